// SPDX-License-Identifier: GPL-2.0 OR MIT

//! When a queue interrupts the host.
//!
//! The driver arms one interrupt at a time and writes the completions it has seen with it. Those
//! written in between are still unseen, so no interrupt is lost.
//!
//! While moderation delays an interrupt, packets of the queue stay in the packet memory: the host
//! would not look at them yet, and later packets may be merged with them.

use reflow_hwdef::regs::QueueItr;

/// Interrupt state of a queue.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Irq {
    /// MSI-X vector.
    pub(crate) vector: u32,
    /// Moderation.
    pub(crate) itr: QueueItr,
    armed: bool,
    /// Completions, of either direction, that the driver has not seen.
    unseen: u32,
    /// Packets in the packet memory.
    waiting: u32,
    /// They wait for the driver: for buffers, completions, or room in its window.
    full: bool,
    since: u64,
    latest: u64,
}

impl Irq {
    /// Arms or disarms one interrupt.
    pub(crate) fn arm(&mut self, on: bool) {
        self.armed = on;
    }

    /// Sets whether the waiting packets wait for the driver.
    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Sets the number of unseen completions and of waiting packets.
    pub(crate) fn news(&mut self, unseen: u32, waiting: u32, now: u64) {
        let before = self.pending();
        self.unseen = unseen;
        self.waiting = waiting;
        if self.pending() > before {
            self.latest = now;
            if before == 0 {
                self.since = now;
            }
        }
    }

    fn pending(&self) -> u32 {
        self.unseen.saturating_add(self.waiting)
    }

    /// The driver has seen all but so many.
    pub(crate) fn seen(&mut self, unseen: u32) {
        self.unseen = unseen;
        self.since = self.latest;
    }

    /// Whether an interrupt is due; disarms it then.
    pub(crate) fn fire(&mut self, now: u64) -> bool {
        let due = self.armed
            && self.unseen > 0
            && ((self.itr.adaptive() != 0 && (self.waiting == 0 || self.full))
                || self.is_time(now));
        if due {
            self.armed = false;
        }
        due
    }

    /// Whether packets may wait for the interrupt.
    ///
    /// Claims: 20, 21, 27, 40, 56, 62.
    pub(crate) fn holds(&self, now: u64) -> bool {
        self.armed && self.itr.adaptive() == 0 && self.pending() > 0 && !self.is_time(now)
    }

    fn is_time(&self, now: u64) -> bool {
        let packets = self.itr.packets();
        (packets != 0 && self.pending() >= packets) || now >= self.time()
    }

    /// When an interrupt becomes due, or packets are to be transferred for it, without a new event.
    pub(crate) fn deadline(&self, now: u64) -> Option<u64> {
        (self.armed && (self.unseen > 0 || self.holds(now))).then(|| self.time())
    }

    fn time(&self) -> u64 {
        self.since
            .saturating_add(u64::from(self.itr.usecs()) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: bool = true;

    fn irq(usecs: u32, packets: u32) -> Irq {
        Irq {
            itr: QueueItr(0).with_usecs(usecs).with_packets(packets),
            ..Irq::default()
        }
    }

    /// Claims: 27, 40.
    #[test]
    fn fires_once_for_each_arm() {
        let mut irq = irq(0, 0);
        irq.news(1, 0, 5);
        assert!(!irq.fire(5));
        irq.arm(ON);
        assert!(irq.fire(5));
        irq.news(2, 0, 6);
        assert!(!irq.fire(6));
        irq.arm(ON);
        assert!(irq.fire(6));
    }

    /// Claims: 27, 40.
    #[test]
    fn moderation_by_time_and_by_packets() {
        let mut irq = irq(10, 3);
        irq.arm(ON);
        irq.news(1, 0, 1000);
        assert!(!irq.fire(1000));
        assert_eq!(irq.deadline(0), Some(11_000));
        irq.news(2, 0, 5000);
        assert!(!irq.fire(10_999));
        assert_eq!(irq.deadline(0), Some(11_000));
        assert!(irq.fire(11_000));
        assert_eq!(irq.deadline(0), None);
        irq.seen(0);
        irq.arm(ON);
        irq.news(3, 0, 13_000);
        assert!(irq.fire(13_000));
    }

    /// Claims: 27, 37, 40.
    #[test]
    fn adaptive_moderation_waits_only_while_packets_wait() {
        let mut irq = irq(10, 0);
        irq.itr = irq.itr.with_adaptive(1);
        irq.arm(ON);
        irq.news(1, 1, 1000);
        assert!(!irq.holds(1000), "nothing is held");
        assert!(!irq.fire(1000));
        irq.news(1, 0, 1000);
        assert!(irq.fire(1000));
        irq.arm(ON);
        irq.news(2, 1, 2000);
        assert!(irq.fire(12_000), "time still counts");
        irq.arm(ON);
        irq.seen(0);
        irq.news(0, 0, 13_000);
        irq.news(3, 1, 13_000);
        assert!(!irq.fire(13_000));
        irq.set_full(true);
        assert!(irq.fire(13_000), "what waits does so for the driver");
    }

    /// Claims: 27, 40.
    #[test]
    fn packets_wait_for_a_delayed_interrupt() {
        let mut irq = irq(10, 3);
        irq.news(0, 1, 1000);
        assert!(!irq.holds(1000), "nobody asked for an interrupt");
        irq.arm(ON);
        assert!(irq.holds(1000) && !irq.fire(1000));
        assert_eq!(irq.deadline(1000), Some(11_000));
        irq.news(0, 2, 5000);
        assert!(irq.holds(10_999) && !irq.holds(11_000));
        assert!(!irq.fire(11_000), "there is nothing to be seen yet");
        assert_eq!(irq.deadline(11_000), None, "buffers are missing");
        irq.news(2, 0, 11_000);
        assert!(irq.fire(11_000), "time counts from the arrival");
        irq.seen(0);
        irq.news(0, 0, 12_000);
        irq.arm(ON);
        irq.news(0, 3, 12_000);
        assert!(!irq.holds(12_000), "enough for an interrupt");
    }
}
