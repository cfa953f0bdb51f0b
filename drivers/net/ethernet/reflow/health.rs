// SPDX-License-Identifier: GPL-2.0

//! The watch: detects faults of a device that is up, and names the remedy for each.
//!
//! It runs once a second, and reads only the driver's own state and registers that never stall.

mod pauses;
pub(crate) mod seen;

use crate::{
    hw::{
        regs::{
            queue_reg,
            reg, //
        },
        stats::Global, //
    },
    mmio::GONE,
    net::{
        device::watch::{
            Finding,
            Operations,
            Remedy,
            Watched, //
        },
        devlink::Sentence,
        log::netdev_warn_ratelimited,
        Device, //
    },
    nic::Nic,
    queue::Doorbell, //
};
use kernel::{
    fmt,
    prelude::*, //
};
use seen::{
    GAP_LOOKS,
    LOST_LOOKS,
    STATS_LOOKS, //
};

/// Indices of the reporters.
pub(crate) const RX: usize = 0;
pub(crate) const TX: usize = 1;
pub(crate) const COMMAND: usize = 2;
pub(crate) const DEVICE: usize = 3;

fn finding(reporter: usize, remedy: Remedy, text: fmt::Arguments<'_>) -> Option<Finding> {
    Some(Finding {
        reporter,
        remedy,
        text: Sentence::new(text),
    })
}

impl<'bound> Operations for Nic<'bound> {
    fn watch(&self, dev: &Device) -> Option<Finding> {
        if self.mmio.present().is_err() {
            return finding(
                DEVICE,
                Remedy::Detach,
                fmt!("the device does not answer any more; the interface is detached"),
            );
        }
        if !self.mmio.is_ready() {
            return finding(
                DEVICE,
                Remedy::RestartDevice,
                fmt!("the device says that it is not ready; resetting it"),
            );
        }
        if !self.mmio.may_access_memory() {
            return finding(
                DEVICE,
                Remedy::RestartDevice,
                fmt!("the device may not access memory any more; resetting it"),
            );
        }
        if !self.hw.is_kept() {
            if self.mmio.read(reg::CTRL).0 == 0 {
                return finding(
                    DEVICE,
                    Remedy::RestartDevice,
                    fmt!("the device has lost its configuration; resetting it"),
                );
            }
            if let Some(pause) = self.seen.reset_is_due() {
                return finding(
                    DEVICE,
                    Remedy::RestartDevice,
                    fmt!("the device keeps no counters; resetting it, not again within {pause} s"),
                );
            }
            self.hw.ask_again();
        }
        if self.cmd.is_silent() {
            if self.cmd.answers_again() {
                return finding(
                    COMMAND,
                    Remedy::RestartDevice,
                    fmt!("the device answers commands again; resetting it, as it missed some"),
                );
            }
            if let Some(pause) = self.seen.reset_is_due() {
                return finding(
                    COMMAND,
                    Remedy::RestartDevice,
                    fmt!(
                        "the device answers no commands; resetting it, not again within {pause} s"
                    ),
                );
            }
        }
        self.watch_statistics(dev);
        None
    }

    fn watch_queue(
        &self,
        _dev: &Device,
        queue: usize,
        shared: &Doorbell<'bound>,
        watched: Watched,
    ) -> Option<Finding> {
        let status = self.mmio.queue(queue).read(queue_reg::Q_STATUS);
        if status.0 == GONE {
            return None;
        }
        let restart = Remedy::RestartQueue(queue);
        if status.rx() == 0 || status.tx() == 0 || status.error() != 0 {
            let side = if status.tx() == 0 { TX } else { RX };
            return finding(
                side,
                restart,
                fmt!(
                    "queue {queue} stopped with error {}; restarting it",
                    status.error()
                ),
            );
        }
        let counters = self.counters.get(queue)?;
        let outstanding = shared.tx.outstanding() != 0;
        let written = shared.tx.written().into();
        // Packets that were sent and not cleaned up are the fault of the host.
        let timed_out = watched.timed_out && !shared.tx.pending();
        if timed_out || watched.counts && shared.seen.is_stuck(outstanding, written) {
            return finding(
                TX,
                restart,
                fmt!("packets do not leave queue {queue}; restarting it"),
            );
        }
        // All checks below compare with the last look.
        if !watched.counts {
            return None;
        }
        let count = &counters.rx;
        let polls = count.polls.read();
        if shared.seen.disagrees(count.irq_useless.read(), polls) {
            return finding(
                RX,
                restart,
                fmt!("queue {queue} raises interrupts for nothing; restarting it"),
            );
        }
        if shared.seen.gap.in_a_row(shared.rx.has_gap(), GAP_LOOKS) {
            return finding(
                RX,
                restart,
                fmt!("a completion of queue {queue} never came; restarting it"),
            );
        }
        let news = shared.rx.has_news();
        let waits = status.waiting() != 0 && !news && watched.waits;
        if shared.seen.is_dry(waits, count) {
            let why = match (status.no_buffer(), status.no_completion()) {
                (0, 0) => "for nothing",
                (0, _) => "for completions that were freed",
                _ => "for memory that it was given",
            };
            return finding(
                RX,
                restart,
                fmt!("packets of queue {queue} wait {why}; restarting it"),
            );
        }
        let polled = shared.seen.polls.changed(polls);
        let waits = !polled && watched.waits && (news || shared.tx.pending());
        if shared.seen.waiting.in_a_row(waits, LOST_LOOKS) {
            // A counter with one writer: polls write the others of its kind.
            count.irq_lost.add(1);
            return finding(
                RX,
                Remedy::Poll,
                fmt!("an interrupt of queue {queue} was lost; polling in its place"),
            );
        }
        let seen = &shared.seen;
        if seen.waiting.is_last(LOST_LOOKS) || seen.gap.is_last(GAP_LOOKS) {
            return finding(RX, Remedy::LookAgain, fmt!(""));
        }
        None
    }
}

impl Nic<'_> {
    /// Has the device keep its counters again if it has stopped to.
    fn watch_statistics(&self, dev: &Device) {
        let seen = &self.seen;
        let packets = self.counters.iter().map(|c| c.rx.packets.read());
        let grew = seen.packets.changed(packets.fold(0, u64::wrapping_add));
        let counted = seen
            .transferred
            .changed(self.hw.global(Global::RxTransferred));
        let still = match (grew, counted) {
            (_, true) => 0,
            (true, false) => seen.stats_still.get() + 1,
            (false, false) => return,
        };
        seen.stats_still.set(still);
        if still == u64::from(STATS_LOOKS) {
            seen.stats_still.set(0);
            netdev_warn_ratelimited!(dev, "the device has stopped counting; asking it to go on\n");
            self.hw.ask_again();
        }
    }
}
