// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A deadline that is over is met by pumping: whoever waits for it must not spin.

mod common;

use common::frames::arp;
use common::{QueueSetup, Rig, Setup, Tcp};
use reflow_hwdef::regs::BufKind;

/// Found by fuzzing: the time at which pages would be taken back stayed when a packet that had
/// waited for a page came to wait for room in the completion ring.
#[test]
fn waiting_for_a_completion_has_no_deadline() {
    let mut queue = QueueSetup {
        log2_cq: 3,
        recycle: false,
        ..QueueSetup::default()
    };
    queue.shapes[BufKind::Reasm as usize].posted = 0;
    let mut rig = Rig::new(Setup {
        queue,
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
