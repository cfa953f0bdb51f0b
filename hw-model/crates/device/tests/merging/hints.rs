// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The batching hint.

use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{BufKind, FlowCfg, QueueItr, FLOW_CFG, QUEUE_BASE, Q_ITR};
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::QueueSetup;
use reflow_testkit::{frames, Rig, Setup, Tcp};

/// A rig whose queue has no buffers yet.
fn starved(flow_cfg: FlowCfg) -> Rig {
    Rig::new(Setup {
        queue: QueueSetup::default().without(&BufKind::ALL),
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

/// While moderation delays the interrupt, packets are merged with those that wait: a burst is one
/// aggregate with one interrupt. Without moderation no packet waits.
///
/// Claims: 20, 21, 23, 27, 37, 40, 56, 62.
#[test]
fn packets_that_wait_for_the_interrupt_are_merged() {
    for (usecs, hints) in [(50, vec![true, true, false]), (0, vec![false; 3])] {
        let mut rig = Rig::usual();
        rig.write(QUEUE_BASE + Q_ITR, QueueItr(0).with_usecs(usecs).0);
        rig.queues[0].doorbell(&mut rig.dev, &mut rig.host, true);
        for i in 0..3 {
            rig.arrive(&Tcp::data(1, 1 + i * 100, 100).build());
            rig.pump();
            rig.now += 10_000;
        }
        if usecs != 0 {
            assert!(rig.host.interrupts.is_empty());
            assert_eq!(rig.count(Global::RxTransferred), 0);
            rig.now = rig.dev.next_deadline().unwrap();
            rig.pump();
        }
        assert_eq!(rig.host.interrupts, [0]);
        let got: Vec<_> = rig.deliver().iter().map(|d| d.more).collect();
        assert_eq!(got, hints, "{usecs} microseconds");
    }
}

/// Moderation does not hold back packets when the packet memory fills up.
#[test]
fn a_full_packet_memory_waits_for_no_interrupt() {
    let mut rig = Rig::new(Setup {
        pm_bytes: 8 << 10,
        ..Setup::default()
    });
    rig.write(QUEUE_BASE + Q_ITR, QueueItr(0).with_usecs(60_000).0);
    rig.queues[0].doorbell(&mut rig.dev, &mut rig.host, true);
    for i in 0..64 {
        rig.arrive(&Tcp::data(1, 1 + i * 1000, 1000).build());
        rig.pump();
    }
    assert_eq!(rig.count(Global::RxPmOverflow), 0);
    assert!(rig.deliver().len() > 60);
}

/// After a change of header suppression an open aggregate is not appended to: its header may have
/// been delivered under the other rule.
///
/// Claims: 57.
#[test]
fn a_change_of_suppression_ends_aggregates() {
    for change in [false, true] {
        let cfg = Setup::default().flow_cfg.with_suppress(0);
        let mut rig = starved(cfg);
        let long = frames::arp().repeat(20);
        for frame in [
            &Tcp::data(1, 1, 100).build(),
            &long,
            &Tcp::data(1, 101, 100).build(),
        ] {
            rig.arrive(frame);
        }
        for kind in [BufKind::Header, BufKind::Reasm] {
            rig.queues[0].post(&mut rig.dev, &mut rig.host, kind, 4);
        }
        rig.pump();
        let got: Vec<_> = rig.deliver().iter().map(|d| (d.opcode, d.more)).collect();
        assert_eq!(got, [(Opcode::Start, true)]);
        if change {
            rig.write(FLOW_CFG, cfg.with_suppress(1).0);
        }
        feed(&mut rig);
        let got = rig.deliver();
        let last = got.last().unwrap();
        let expected = [Opcode::Append, Opcode::CloseStart][usize::from(change)];
        assert_eq!((last.opcode, last.header.is_some()), (expected, true));
    }
}
