// SPDX-License-Identifier: GPL-2.0 OR MIT

//! No wake-up is lost: every order of a few events is tried.
//!
//! A driver sleeps until it is interrupted, then looks, then rings its doorbell for what it saw and
//! asks for the next interrupt. Frames and transmissions may come before, between and behind all of
//! these steps. Whatever the order, once nothing more comes, the driver must have seen everything.

mod common;

use common::driver::{QueueSetup, Shape};
use common::frames;
use common::{Rig, Setup};
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;

/// What may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// A frame comes from the wire.
    Frame,
    /// The driver's other side queues a frame to be sent.
    Send,
    /// The device does all it can.
    Pump,
    /// The driver's next step.
    Driver,
    /// A part of the moderation's time goes by.
    Time,
}

/// How often each may happen.
const BUDGET: [(Step, usize); 5] = [
    (Step::Frame, 2),
    (Step::Send, 1),
    (Step::Pump, 2),
    (Step::Driver, 2),
    (Step::Time, 1),
];

/// A small rig: thousands of them are made.
fn rig(usecs: u32, packets: u32) -> Rig {
    let shape = Shape {
        log2_entries: 3,
        log2_size: 6,
        log2_cell: 6,
        posted: 8,
    };
    let mut rig = Rig::new(Setup {
        flows: 4,
        pm_bytes: 4096,
        ram: 64 << 10,
        queue: QueueSetup {
            log2_cq: 4,
            window: 0,
            log2_tx: 3,
            shapes: [shape; BufKind::COUNT],
            recycle: true,
        },
        ..Setup::default()
    });
    let itr = QueueItr(0).with_usecs(usecs).with_packets(packets);
    rig.write(QUEUE_BASE + Q_ITR, itr.0);
    rig
}

/// A driver that does nothing unless it is interrupted.
#[derive(Default)]
struct Driver {
    awake: bool,
    /// What it has looked at and not yet rung for.
    looked: Option<Index>,
    interrupts: usize,
    frames: usize,
    sent: Index,
}

impl Driver {
    fn step(&mut self, rig: &mut Rig) {
        if rig.host.interrupts.len() > self.interrupts {
            self.interrupts = rig.host.interrupts.len();
            self.awake = true;
        }
        if !self.awake {
            return;
        }
        match self.looked.take() {
            None => {
                self.frames += rig.queues[0].read_completions(&rig.host).len();
                self.sent = rig.queues[0].tx_head(&rig.host);
                self.looked = Some(self.sent);
            }
            Some(sent) => {
                self.ring(rig, sent);
                self.awake = false;
            }
        }
    }

    /// Rings for what was looked at, not for what is there by now.
    fn ring(&self, rig: &mut Rig, sent: Index) {
        let db = QueueDoorbell(0)
            .with_cq_cons(rig.queues[0].cq_cons.raw())
            .with_tx_seen(sent.raw())
            .with_arm(1);
        rig.write(QUEUE_BASE + Q_DB, db.0);
    }
}

/// Lets the steps happen, then nothing more; whether the driver saw everything.
fn all_is_seen(steps: &[Step], usecs: u32, packets: u32) -> bool {
    let mut rig = rig(usecs, packets);
    let mut driver = Driver::default();
    driver.ring(&mut rig, Index::ZERO);
    for step in steps {
        match step {
            Step::Frame => {
                rig.arrive(&frames::arp());
            }
            Step::Send => {
                rig.queues[0].queue_tx(&rig.host, &[&frames::arp()], T1(0), T2(0));
                rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
            }
            Step::Pump => rig.pump(),
            Step::Driver => driver.step(&mut rig),
            Step::Time => rig.now += u64::from(usecs) * 600,
        }
    }
    // The server pumps when something came, and when the device wants it.
    rig.pump();
    for _ in 0..12 {
        driver.step(&mut rig);
        if let Some(due) = rig.dev.next_deadline() {
            rig.now = rig.now.max(due);
            while rig.dev.pump(&mut rig.host, rig.now) {}
        }
    }
    let count = |which| steps.iter().filter(|&&step| step == which).count();
    let interrupts = rig.host.interrupts.len() as u64;
    assert_eq!(rig.count(Global::Interrupts), interrupts);
    driver.frames == count(Step::Frame) && driver.sent == rig.queues[0].tx_tail
}

/// Tries every order of what is left.
fn explore(left: &mut [(Step, usize)], steps: &mut Vec<Step>, leaf: &mut impl FnMut(&[Step])) {
    let mut end = true;
    for i in 0..left.len() {
        if left[i].1 != 0 {
            end = false;
            left[i].1 -= 1;
            steps.push(left[i].0);
            explore(left, steps, leaf);
            steps.pop();
            left[i].1 += 1;
        }
    }
    if end {
        leaf(steps);
    }
}

fn explore_all(usecs: u32, packets: u32) {
    let mut orders = 0;
    explore(&mut BUDGET.clone(), &mut Vec::new(), &mut |steps| {
        orders += 1;
        assert!(
            all_is_seen(steps, usecs, packets),
            "{usecs} us, {packets} packets: {steps:?}"
        );
    });
    // Eight steps, of which three kinds come twice.
    assert_eq!(orders, 40320 / 8);
}

/// Without moderation.
///
/// Claims: 27, 40.
#[test]
fn no_order_loses_a_wake_up() {
    explore_all(0, 0);
}

/// With moderation by time.
///
/// Claims: 27, 40.
#[test]
fn no_order_loses_a_wake_up_moderated_by_time() {
    explore_all(50, 0);
}

/// With moderation by time and packets: the number is not always reached.
///
/// Claims: 27, 40.
#[test]
fn no_order_loses_a_wake_up_moderated_by_packets() {
    explore_all(50, 2);
}

/// An order that would lose one if the doorbell told more than was looked at: the check can fail.
#[test]
fn the_check_finds_a_lost_wake_up() {
    let mut rig = rig(0, 0);
    let mut driver = Driver::default();
    driver.ring(&mut rig, Index::ZERO);
    rig.arrive(&frames::arp());
    rig.pump();
    driver.step(&mut rig);
    rig.arrive(&frames::arp());
    rig.pump();
    // Rings for a completion that it did not see.
    rig.queues[0].cq_cons = rig.queues[0].cq_cons.add(1);
    driver.step(&mut rig);
    rig.pump();
    driver.step(&mut rig);
    assert_eq!(driver.frames, 1);
    assert_eq!(rig.host.interrupts.len(), 1);
}
