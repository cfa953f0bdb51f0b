// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A driver with NAPI, in steps that may interleave with events of the device.

use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::{QueueDoorbell, QUEUE_BASE, Q_DB};
use reflow_testkit::{frames, Rig};

/// An event of the device or a step of the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// A frame arrives from the wire.
    Frame,
    /// The driver queues a frame to be sent.
    Send,
    /// The device does all it can.
    Pump,
    /// The next step of the poll.
    Driver,
    /// Time passes.
    Time,
}

/// A driver that polls only when it is interrupted, in two steps: it reads completions, then it
/// rings the doorbell for those it read and arms the interrupt.
#[derive(Default)]
pub(crate) struct Napi {
    scheduled: bool,
    /// The transmit index that was read, with the doorbell not rung yet.
    read: Option<Index>,
    interrupts: usize,
    /// Frames received.
    pub(crate) frames: usize,
    /// Descriptors seen as sent.
    pub(crate) sent: Index,
}

impl Napi {
    /// Arms the interrupt for the first time.
    pub(crate) fn start(rig: &mut Rig) -> Self {
        let napi = Self::default();
        napi.ring(rig, Index::ZERO);
        napi
    }

    /// The driver's next step, if it was interrupted.
    fn poll(&mut self, rig: &mut Rig) {
        if rig.host.interrupts.len() > self.interrupts {
            self.interrupts = rig.host.interrupts.len();
            self.scheduled = true;
        }
        if !self.scheduled {
            return;
        }
        match self.read.take() {
            None => {
                self.frames += rig.queues[0].read_completions(&rig.host).len();
                self.sent = rig.queues[0].tx_head(&rig.host);
                self.read = Some(self.sent);
            }
            Some(sent) => {
                self.ring(rig, sent);
                self.scheduled = false;
            }
        }
    }

    /// Rings for the completions that were read, not for those written since.
    fn ring(&self, rig: &mut Rig, sent: Index) {
        let db = QueueDoorbell(0)
            .with_cq_cons(rig.queues[0].queue.cq_cons.raw())
            .with_tx_seen(sent.raw())
            .with_arm(1);
        rig.write(QUEUE_BASE + Q_DB, db.0);
    }

    /// Takes a step; `tick` is the time that passes with [`Step::Time`].
    pub(crate) fn step(&mut self, rig: &mut Rig, step: Step, tick: u64) {
        match step {
            Step::Frame => {
                rig.arrive(&frames::arp());
            }
            Step::Send => {
                rig.queues[0].queue_tx(&rig.host, &[&frames::arp()], T1(0), T2(0));
                rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
            }
            Step::Pump => rig.pump(),
            Step::Driver => self.poll(rig),
            Step::Time => rig.now += tick,
        }
    }

    /// Polls on until no event is left; the device is pumped at its deadlines only.
    pub(crate) fn finish(&mut self, rig: &mut Rig) {
        rig.pump();
        for _ in 0..12 {
            self.poll(rig);
            // A second is longer than any moderation, and shorter than a flow's age.
            let due = rig.dev.next_deadline();
            if let Some(due) = due.filter(|&due| due < rig.now + 1_000_000_000) {
                rig.now = rig.now.max(due);
                while rig.dev.pump(&mut rig.host, rig.now) {}
            }
        }
    }
}
