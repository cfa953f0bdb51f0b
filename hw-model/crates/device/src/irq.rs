// SPDX-License-Identifier: GPL-2.0 OR MIT

//! When a queue alerts the host.
//!
//! The driver asks for one interrupt at a time and says in the same write how far it has seen. News
//! that came in between are still news, so no wake-up is lost.

use reflow_hwdef::regs::QueueItr;

/// Interrupt state of a queue.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Irq {
    /// MSI-X vector.
    pub(crate) vector: u32,
    /// Moderation.
    pub(crate) itr: QueueItr,
    armed: bool,
    unseen: u32,
    since: u64,
    latest: u64,
}

impl Irq {
    /// Asks for one interrupt, or for silence.
    pub(crate) fn arm(&mut self, on: bool) {
        self.armed = on;
    }

    /// There are so many news that the driver has not seen.
    pub(crate) fn news(&mut self, unseen: u32, now: u64) {
        if unseen > self.unseen {
            self.latest = now;
            if self.unseen == 0 {
                self.since = now;
            }
        }
        self.unseen = unseen;
    }

    /// The driver told how far it has seen; so many news are left.
    pub(crate) fn seen(&mut self, unseen: u32) {
        self.unseen = unseen;
        self.since = self.latest;
    }

    /// Whether an interrupt is due; it then is no longer asked for. `idle`: nothing follows soon.
    pub(crate) fn fire(&mut self, now: u64, idle: bool) -> bool {
        let due = self.armed && self.unseen > 0 && {
            let packets = self.itr.packets();
            (packets != 0 && self.unseen >= packets)
                || (idle && self.itr.adaptive() != 0)
                || now >= self.time()
        };
        if due {
            self.armed = false;
        }
        due
    }

    /// When an interrupt becomes due without further news.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (self.armed && self.unseen > 0).then(|| self.time())
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
    fn fires_once_for_each_time_it_is_asked() {
        let mut irq = irq(0, 0);
        irq.news(1, 5);
        assert!(!irq.fire(5, ON));
        irq.arm(ON);
        assert!(irq.fire(5, ON));
        irq.news(2, 6);
        assert!(!irq.fire(6, ON));
        irq.arm(ON);
        assert!(irq.fire(6, ON));
    }

    /// Claims: 27, 40.
    #[test]
    fn moderation_by_time_and_by_packets() {
        let mut irq = irq(10, 3);
        irq.arm(ON);
        irq.news(1, 1000);
        assert!(!irq.fire(1000, ON));
        assert_eq!(irq.deadline(), Some(11_000));
        irq.news(2, 5000);
        assert!(!irq.fire(10_999, ON));
        assert_eq!(irq.deadline(), Some(11_000));
        assert!(irq.fire(11_000, ON));
        assert_eq!(irq.deadline(), None);
        irq.seen(0);
        irq.arm(ON);
        irq.news(3, 13_000);
        assert!(irq.fire(13_000, ON));
    }

    /// Claims: 27, 37, 40.
    #[test]
    fn adaptive_moderation_waits_only_while_more_waits() {
        let mut irq = irq(10, 0);
        irq.itr = irq.itr.with_adaptive(1);
        irq.arm(ON);
        irq.news(1, 1000);
        assert!(!irq.fire(1000, false));
        assert!(irq.fire(1000, true));
        irq.arm(ON);
        irq.news(2, 2000);
        assert!(irq.fire(12_000, false), "time still counts");
    }
}
