// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Interrupts: when they come, and that none is missing.

mod common;

use common::frames;
use common::{Rig, Setup};
use proptest::prelude::*;
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;

fn set_itr(rig: &mut Rig, usecs: u32, packets: u32) {
    let itr = QueueItr(0).with_usecs(usecs).with_packets(packets);
    rig.write(QUEUE_BASE + Q_ITR, itr.0);
}

fn arm(rig: &mut Rig) {
    rig.queues[0].doorbell(&mut rig.dev, &mut rig.host, true);
}

/// One interrupt for each time the driver asks; none before.
///
/// Claims: 27, 40.
#[test]
fn one_shot() {
    let mut rig = Rig::usual();
    rig.arrive(&frames::arp());
    rig.pump();
    assert!(rig.host.interrupts.is_empty(), "nobody asked");
    arm(&mut rig);
    assert_eq!(rig.host.interrupts, [0], "news in between come at once");
    rig.arrive(&frames::arp());
    rig.pump();
    assert_eq!(rig.host.interrupts, [0], "it fires once");
    rig.poll(0);
    arm(&mut rig);
    assert_eq!(rig.host.interrupts, [0], "nothing is new");
    rig.arrive(&frames::arp());
    rig.pump();
    assert_eq!(rig.host.interrupts, [0, 0]);
    assert_eq!(rig.count(Global::Interrupts), 2);
}

/// Frames sent are news, too.
#[test]
fn transmit_completion() {
    let mut rig = Rig::usual();
    arm(&mut rig);
    rig.queues[0].queue_tx(&rig.host, &[&frames::arp()], T1(0), T2(0));
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    assert_eq!(rig.host.interrupts, [0]);
    arm(&mut rig);
    assert_eq!(
        rig.host.interrupts,
        [0],
        "the doorbell told that it was seen"
    );
}

/// Moderation: after so many microseconds, or so many completions.
///
/// Claims: 27, 40.
#[test]
fn moderation() {
    let mut rig = Rig::usual();
    set_itr(&mut rig, 100, 4);
    arm(&mut rig);
    rig.arrive(&frames::arp());
    rig.pump();
    assert!(rig.host.interrupts.is_empty());
    let due = rig.dev.next_deadline().unwrap();
    assert_eq!(due, rig.now + 100_000);
    rig.now = due - 1000;
    rig.pump();
    assert_eq!(rig.host.interrupts, [0]);
    rig.poll(0);
    arm(&mut rig);
    for _ in 0..3 {
        rig.arrive(&frames::arp());
        rig.pump();
    }
    assert_eq!(rig.host.interrupts, [0]);
    rig.arrive(&frames::arp());
    rig.pump();
    assert_eq!(rig.host.interrupts, [0, 0]);
}

/// Events of the control plane have a vector of their own, which fires once for each time it is
/// armed.
#[test]
fn events() {
    let mut rig = Rig::usual();
    let link = Event(0).with_link(1);
    rig.write(EVENT_ARM, link.0);
    rig.pump();
    assert!(rig.host.interrupts.is_empty());
    rig.dev.set_link(false);
    rig.dev.set_link(true);
    rig.pump();
    assert_eq!(rig.host.interrupts, [1]);
    assert_eq!(Status(rig.read(STATUS)).link(), 1);
    rig.write(EVENT_ARM, link.0);
    assert_eq!(rig.host.interrupts, [1, 1], "not acknowledged yet");
    rig.write(EVENT, link.0);
    rig.write(EVENT_ARM, link.0);
    rig.pump();
    assert_eq!(rig.host.interrupts, [1, 1]);
    rig.write(QUEUE_BASE + Q_VECTOR, 77);
    arm(&mut rig);
    rig.arrive(&frames::arp());
    rig.pump();
    assert_eq!(rig.host.interrupts, [1, 1], "there is no such vector");
}

/// What a driver with NAPI does, in steps that others may come between.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Frame,
    Send,
    Pump,
    Driver,
    Time,
}

/// A driver that polls when it is interrupted, and in two steps: first it looks, then it rings.
#[derive(Default)]
struct Napi {
    scheduled: bool,
    looked: bool,
    seen: usize,
    taken: usize,
}

impl Napi {
    fn step(&mut self, rig: &mut Rig) {
        if rig.host.interrupts.len() > self.taken {
            self.taken = rig.host.interrupts.len();
            self.scheduled = true;
        }
        if !self.scheduled {
            return;
        }
        if self.looked {
            arm(rig);
            self.looked = false;
            self.scheduled = false;
        } else {
            self.seen += rig.queues[0].read_completions(&rig.host).len();
            self.looked = true;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No wake-up is lost, whatever comes between looking and asking: a driver that only polls when
    /// it is interrupted gets everything, without further traffic.
    ///
    /// Claims: 27, 40.
    #[test]
    fn no_lost_wake_up(
        steps in proptest::collection::vec(
            prop_oneof![
                Just(Step::Frame), Just(Step::Send), Just(Step::Pump), Just(Step::Driver),
                Just(Step::Driver), Just(Step::Time),
            ],
            1..80,
        ),
        usecs in prop_oneof![Just(0_u32), 1..200_u32],
        packets in 0..4_u32,
    ) {
        let mut rig = Rig::new(Setup { ram: 4 << 20, ..Setup::default() });
        set_itr(&mut rig, usecs, packets);
        arm(&mut rig);
        let mut napi = Napi::default();
        let mut came = 0;
        for step in steps {
            match step {
                Step::Frame => {
                    rig.arrive(&frames::arp());
                    came += 1;
                }
                Step::Send => {
                    rig.queues[0].queue_tx(&rig.host, &[&frames::arp()], T1(0), T2(0));
                    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
                }
                Step::Pump => rig.pump(),
                Step::Driver => napi.step(&mut rig),
                Step::Time => rig.now += 30_000,
            }
        }
        rig.pump();
        for _ in 0..10 {
            napi.step(&mut rig);
            if let Some(due) = rig.dev.next_deadline() {
                // A second is more than all moderation, and less than a flow's age.
                if due < rig.now + 1_000_000_000 {
                    rig.now = rig.now.max(due);
                    rig.pump();
                }
            }
        }
        prop_assert_eq!(napi.seen, came);
        prop_assert_eq!(rig.dev.pm_level(), 0);
    }
}
