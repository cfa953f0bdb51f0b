// SPDX-License-Identifier: GPL-2.0 OR MIT

//! When a queue interrupts the host.
//!
//! The driver arms one interrupt at a time and writes the completions it has seen with it. Those
//! written in between are still unseen, so no interrupt is lost.
//!
//! While moderation delays an interrupt, packets of the queue stay in the packet memory: the host
//! would not look at them yet, and later packets may be merged with them.

use reflow_hwdef::regs::{QueueItr, QueueTxItr};

/// Events of one direction that an interrupt tells of.
#[derive(Clone, Copy, Default, Debug)]
struct News {
    count: u32,
    since: u64,
    latest: u64,
}

impl News {
    fn become_as_many(&mut self, count: u32, now: u64) {
        if count > self.count {
            self.latest = now;
            if self.count == 0 {
                self.since = now;
            }
        }
        self.count = count;
    }

    fn fall_to(&mut self, count: u32) {
        self.count = count;
        self.since = self.latest;
    }

    /// When it has waited for so many microseconds.
    fn time(&self, usecs: u32) -> u64 {
        self.since.saturating_add(u64::from(usecs) * 1000)
    }

    fn is_time(&self, usecs: u32, limit: u32, now: u64) -> bool {
        (limit != 0 && self.count >= limit) || now >= self.time(usecs)
    }
}

/// Interrupt state of a queue.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Irq {
    /// MSI-X vector.
    pub(crate) vector: u32,
    /// Moderation of receive.
    pub(crate) itr: QueueItr,
    /// Moderation of transmit.
    pub(crate) tx_itr: QueueTxItr,
    armed: bool,
    /// Completions of packets that the driver has not seen.
    unseen: u32,
    /// Packets in the packet memory.
    waiting: u32,
    /// They wait for the driver: for buffers, completions, or room in its window.
    full: bool,
    /// Both of them.
    received: News,
    /// Descriptors that were sent, which the driver has not seen.
    sent: News,
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
        self.unseen = unseen;
        self.waiting = waiting;
        self.received
            .become_as_many(unseen.saturating_add(waiting), now);
    }

    /// Sets the number of descriptors that were sent and not seen.
    pub(crate) fn sent(&mut self, unseen: u32, now: u64) {
        self.sent.become_as_many(unseen, now);
    }

    /// The driver has seen all but so many completions and descriptors.
    pub(crate) fn seen(&mut self, unseen: u32, sent: u32) {
        self.unseen = unseen;
        self.received.fall_to(unseen.saturating_add(self.waiting));
        self.sent.fall_to(sent);
    }

    /// Whether an interrupt is due; disarms it then.
    pub(crate) fn fire(&mut self, now: u64) -> bool {
        let at_once = self.itr.adaptive() != 0 && (self.waiting == 0 || self.full);
        let received = self.unseen > 0 && (at_once || self.is_time(now));
        let due = self.armed && (received || self.is_time_for_sent(now));
        if due {
            self.armed = false;
        }
        due
    }

    /// Whether packets may wait for the interrupt.
    ///
    /// Claims: 20, 21, 27, 40, 56, 62.
    pub(crate) fn holds(&self, now: u64) -> bool {
        self.armed && self.itr.adaptive() == 0 && self.received.count > 0 && !self.is_time(now)
    }

    fn is_time(&self, now: u64) -> bool {
        self.received
            .is_time(self.itr.usecs(), self.itr.packets(), now)
    }

    fn is_time_for_sent(&self, now: u64) -> bool {
        let itr = self.tx_itr;
        self.sent.count > 0 && self.sent.is_time(itr.usecs(), itr.descs(), now)
    }

    /// When an interrupt becomes due, or packets are to be transferred for it, without a new event.
    pub(crate) fn deadline(&self, now: u64) -> Option<u64> {
        let received = self.unseen > 0 || self.holds(now);
        let received = received.then(|| self.received.time(self.itr.usecs()));
        let sent = (self.sent.count > 0).then(|| self.sent.time(self.tx_itr.usecs()));
        let first = received.into_iter().chain(sent).min();
        first.filter(|_| self.armed)
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
        irq.seen(0, 0);
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
        irq.seen(0, 0);
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
        irq.seen(0, 0);
        irq.news(0, 0, 12_000);
        irq.arm(ON);
        irq.news(0, 3, 12_000);
        assert!(!irq.holds(12_000), "enough for an interrupt");
    }

    /// Claims: 27, 40.
    #[test]
    fn what_was_sent_has_a_moderation_of_its_own() {
        let mut irq = irq(10, 3);
        irq.tx_itr = QueueTxItr(0).with_usecs(100).with_descs(4);
        irq.arm(ON);
        irq.sent(1, 1000);
        assert!(!irq.holds(1000), "no packet waits");
        assert!(!irq.fire(100_999));
        assert_eq!(irq.deadline(1000), Some(101_000));
        irq.news(1, 0, 2000);
        assert_eq!(irq.deadline(2000), Some(12_000));
        assert!(irq.fire(12_000), "a packet does not wait for it");
        irq.seen(0, 0);
        irq.arm(ON);
        assert_eq!(irq.deadline(12_000), None, "it was told, too");
        irq.sent(3, 13_000);
        assert!(!irq.fire(13_000));
        irq.sent(4, 14_000);
        assert!(irq.fire(14_000));
        irq.seen(0, 1);
        irq.arm(ON);
        assert!(!irq.fire(113_999));
        assert!(irq.fire(114_000), "time counts from the latest");
    }
}
