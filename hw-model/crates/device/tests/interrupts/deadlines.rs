// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Pumping at a deadline clears it, so that the event loop does not spin.

use reflow_hwdef::regs::{BufKind, QueueItr, QUEUE_BASE, Q_ITR};
use reflow_testkit::frames::arp;
use reflow_testkit::{QueueSetup, Rig, Setup, Tcp};

/// A device whose queue waits for a page for the data of a packet.
fn waiting_for_a_page() -> Rig {
    let mut queue = QueueSetup {
        recycle: false,
        ..QueueSetup::default()
    };
    queue.shapes[BufKind::Reasm as usize].posted = 0;
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    rig.arrive(&arp());
    rig.arrive(&Tcp::data(1, 1, 1000).build());
    rig.pump();
    assert!(rig.dev.next_deadline().is_some(), "it waits for a page");
    rig
}

/// After a long time no deadline is left.
fn assert_rests(rig: &mut Rig, after_ns: u64) {
    rig.now += after_ns;
    rig.pump();
    let deadline = rig.dev.next_deadline();
    assert!(deadline.is_none_or(|at| at > rig.now), "{deadline:?}");
}

/// Found by fuzzing: a queue that a fault holds did not look at the page that it waited for.
#[test]
fn a_queue_that_is_stuck_has_no_deadline() {
    let mut rig = waiting_for_a_page();
    rig.dev.set_chaos(&"cq-stuck".parse().unwrap());
    assert_rests(&mut rig, 1_000_000);
}

/// A removed device has no deadline but that of its return.
#[test]
fn a_device_that_is_gone_has_no_deadline() {
    for (spec, comes_back) in [("removed", false), ("removed,ms=5000", true)] {
        let mut rig = waiting_for_a_page();
        rig.dev.set_chaos(&spec.parse().unwrap());
        assert_rests(&mut rig, 3_000_000_000);
        assert_eq!(rig.dev.next_deadline().is_some(), comes_back);
    }
}

/// A queue whose packets wait for an interrupt asks for pages when that is due.
#[test]
fn a_queue_that_moderates_waits_for_its_interrupt() {
    let mut rig = waiting_for_a_page();
    rig.write(QUEUE_BASE + Q_ITR, QueueItr(0).with_usecs(1000).0);
    rig.queues[0].doorbell(&mut rig.dev, &mut rig.host, true);
    assert_rests(&mut rig, 500_000);
    assert!(rig.host.interrupts.is_empty());
    assert_rests(&mut rig, 2_000_000);
}

/// Found by fuzzing: the time at which pages would be taken back stayed when a packet that had
/// waited for a page came to wait for room in the completion ring.
#[test]
fn waiting_for_a_completion_has_no_deadline() {
    let queue = QueueSetup {
        log2_cq: 3,
        recycle: false,
        ..QueueSetup::default()
    };
    let mut rig = Rig::new(Setup {
        queue: queue.without(&[BufKind::Reasm]),
        ..Setup::default()
    });
    for _ in 0..8 {
        rig.arrive(&arp());
    }
    rig.arrive(&Tcp::data(1, 1, 1000).build());
    rig.pump();
    let deadline = rig.dev.next_deadline();
    assert!(deadline.is_some(), "it waits for a page");
    rig.queues[0].post(&mut rig.dev, &mut rig.host, BufKind::Reasm, 1);
    rig.now += 1_000_000;
    rig.pump();
    assert_eq!(rig.dev.next_deadline(), None);
}
