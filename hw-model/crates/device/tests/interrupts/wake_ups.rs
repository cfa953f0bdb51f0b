// SPDX-License-Identifier: GPL-2.0 OR MIT

//! No wake-up is lost: every order of a few events is tried.
//!
//! A driver sleeps until it is interrupted, then looks, then rings its doorbell for what it saw and
//! asks for the next interrupt. Frames and transmissions may come before, between and behind all of
//! these steps. Whatever the order, once nothing more comes, the driver must have seen everything.

use crate::napi::{Napi, Step};
use reflow_hwdef::regs::{BufKind, QueueItr, QUEUE_BASE, Q_ITR};
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::{QueueSetup, Shape};
use reflow_testkit::{Rig, Setup};

/// How often each step occurs.
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
            small_every: None,
        },
        ..Setup::default()
    });
    let itr = QueueItr(0).with_usecs(usecs).with_packets(packets);
    rig.write(QUEUE_BASE + Q_ITR, itr.0);
    rig
}

/// Takes the steps; whether the driver then sees everything without another event.
fn all_is_seen(steps: &[Step], usecs: u32, packets: u32) -> bool {
    let mut rig = rig(usecs, packets);
    let mut napi = Napi::start(&mut rig);
    for &step in steps {
        napi.step(&mut rig, step, u64::from(usecs) * 600);
    }
    napi.finish(&mut rig);
    let count = |which| steps.iter().filter(|&&step| step == which).count();
    let interrupts = rig.host.interrupts.len() as u64;
    assert_eq!(rig.count(Global::Interrupts), interrupts);
    napi.frames == count(Step::Frame) && napi.sent == rig.queues[0].queue.tx_tail
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
fn no_interleaving_loses_a_wake_up() {
    explore_all(0, 0);
}

/// With moderation by time.
///
/// Claims: 27, 40.
#[test]
fn no_interleaving_loses_a_wake_up_moderated_by_time() {
    explore_all(50, 0);
}

/// With moderation by time and packets: the number is not always reached.
///
/// Claims: 27, 40.
#[test]
fn no_interleaving_loses_a_wake_up_moderated_by_packets() {
    explore_all(50, 2);
}

/// An order that would lose one if the doorbell told more than was looked at: the check can fail.
#[test]
fn the_check_finds_a_lost_wake_up() {
    let mut rig = rig(0, 0);
    let mut napi = Napi::start(&mut rig);
    let mut steps = |rig: &mut Rig, steps: &[Step]| {
        for &step in steps {
            napi.step(rig, step, 0);
        }
        napi.frames
    };
    let read = [Step::Frame, Step::Pump, Step::Driver];
    steps(&mut rig, &read);
    steps(&mut rig, &[Step::Frame, Step::Pump]);
    // Rings for a completion that it did not read.
    rig.queues[0].queue.cq_cons = rig.queues[0].queue.cq_cons.add(1);
    let frames = steps(&mut rig, &[Step::Driver, Step::Pump, Step::Driver]);
    assert_eq!(frames, 1);
    assert_eq!(rig.host.interrupts.len(), 1);
}
