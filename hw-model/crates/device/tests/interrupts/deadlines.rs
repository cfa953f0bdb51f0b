// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A deadline that is over is met by pumping: whoever waits for it must not spin.

use reflow_hwdef::regs::BufKind;
use reflow_testkit::frames::arp;
use reflow_testkit::{QueueSetup, Rig, Setup, Tcp};

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
