// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Interrupts: when they are raised, and that none is lost.

use crate::napi::{Napi, Step};
use proptest::prelude::*;
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_testkit::frames;
use reflow_testkit::{Rig, Setup};

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No interrupt is lost, whatever happens between poll and doorbell: a driver that polls only when
    /// it is interrupted receives all frames without further traffic.
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
        let mut napi = Napi::start(&mut rig);
        let came = steps.iter().filter(|&&step| step == Step::Frame).count();
        for step in steps {
            napi.step(&mut rig, step, 30_000);
        }
        napi.finish(&mut rig);
        prop_assert_eq!(napi.frames, came);
        prop_assert_eq!(rig.dev.pm_level(), 0);
    }
}
