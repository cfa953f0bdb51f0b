// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The batching hint.

mod common;

use common::driver::QueueSetup;
use common::{Rig, Setup, Tcp};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{BufKind, FlowCfg, FLOW_CFG};
use reflow_hwdef::stats::Global;

/// A rig whose queue has no buffers yet.
fn starved(flow_cfg: FlowCfg) -> Rig {
    let mut queue = QueueSetup::default();
    for shape in &mut queue.shapes {
        shape.posted = 0;
    }
    Rig::new(Setup {
        queue,
        flow_cfg,
        ..Setup::default()
    })
}

fn feed(rig: &mut Rig) {
    for kind in BufKind::ALL {
        rig.queues[0].post(&mut rig.dev, &mut rig.host, kind, 64);
    }
}

/// A1 A2 B1 A3 wait while the queue lacks buffers: the hints are 1, 1, 0, 0.
///
/// Claims: 20, 21, 23, 32, 37, 56, 62.
#[test]
fn hints_tell_whether_another_packet_of_the_flow_waits() {
    let mut rig = starved(Setup::default().flow_cfg);
    for (conn, seq) in [(1, 1), (1, 101), (2, 1), (1, 201)] {
        rig.arrive(&Tcp::data(conn, seq, 100).build());
        rig.pump();
    }
    assert!(rig.poll(0).is_empty());
    feed(&mut rig);
    let got = rig.deliver();
    let hints: Vec<_> = got.iter().map(|d| (d.flow, d.more)).collect();
    let (a, b) = (Some(0), Some(1));
    assert_eq!(hints, [(a, true), (a, true), (b, false), (a, false)]);
    assert_eq!(rig.count(Global::HintMore), 2);
}

/// With batching off, every hint is 0, and as no aggregate may go on then, each packet starts one.
///
/// Claims: 37.
#[test]
fn without_batching_every_hint_is_zero() {
    let off = Setup::default().flow_cfg.with_batching(0);
    let mut rig = starved(off);
    for seq in [1, 101, 201] {
        let opcode = rig.opcode(&Tcp::data(1, seq, 100).build());
        assert!(matches!(opcode, Opcode::Start | Opcode::CloseStart));
    }
    feed(&mut rig);
    let got = rig.deliver();
    for d in &got {
        assert_eq!((d.opcode, d.more), (Opcode::Start, false));
    }
    assert_eq!(got.len(), 3);
}

/// Batching is switched off while packets wait: no append reaches a driver that was told to hand
/// its aggregate up.
#[test]
fn switching_batching_while_packets_wait() {
    let on = Setup::default().flow_cfg;
    let mut rig = starved(on);
    for seq in [1, 101, 201] {
        rig.arrive(&Tcp::data(1, seq, 100).build());
    }
    rig.write(FLOW_CFG, on.with_batching(0).0);
    feed(&mut rig);
    let got = rig.deliver();
    assert!(got.iter().all(|d| d.opcode == Opcode::Start && !d.more));
    assert!(got.iter().all(|d| d.first.c5.seg_size() == 100));
}

/// A lone packet has hint 0, and the next one, which comes later, starts anew.
///
/// Claims: 20.
#[test]
fn hint_zero_ends_the_aggregate_in_the_device() {
    let mut rig = Rig::usual();
    for seq in [1, 101, 201] {
        rig.arrive(&Tcp::data(1, seq, 100).build());
        let got = rig.deliver();
        assert_eq!((got[0].opcode, got[0].more), (Opcode::Start, false));
    }
}
