// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow database: learning, ending, ageing, eviction.

use reflow_device::RxOutcome;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{BufKind, CTRL, FLOW_SIZE, RSS_TABLE};
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::QueueSetup;
use reflow_testkit::frames::{ACK, FIN, PSH, RST, SYN};
use reflow_testkit::stack::Stack;
use reflow_testkit::{Rig, Setup, Tcp};

fn with_flows(flows: usize) -> Rig {
    Rig::new(Setup {
        flows,
        ..Setup::default()
    })
}

fn flow_of(rig: &mut Rig, frame: &Tcp) -> u16 {
    match rig.arrive(&frame.build()) {
        RxOutcome::Queued { flow, .. } => flow,
        RxOutcome::Dropped(why) => panic!("dropped: {why:?}"),
    }
}

/// Connection set-up makes the entry before any data: the first data is in order.
///
/// Claims: 9, 10, 30, 43, 49.
#[test]
fn connection_set_up_makes_the_entry() {
    for flags in [SYN, SYN | ACK] {
        let mut rig = Rig::usual();
        let syn = Tcp::data(1, 0xffff_ffff, 0).flags(flags);
        assert_eq!(flow_of(&mut rig, &syn), 0);
        assert_eq!(rig.count(Global::FdbInsert), 1);
        // The initial sequence number counts for one, also across zero.
        assert_eq!(rig.opcode(&Tcp::data(1, 0, 100).build()), Opcode::Start);
        assert_eq!(rig.opcode(&Tcp::data(1, 100, 100).build()), Opcode::Append);
    }
    let mut rig = Rig::usual();
    rig.arrive(&Tcp::data(1, 1000, 0).flags(SYN).build());
    rig.arrive(&Tcp::data(1, 1002, 9).build());
    assert_eq!(rig.count(Global::RxOutOfOrder), 1);
}

/// Every packet of a flow finds the same entry and updates what is expected.
///
/// Claims: 12, 36, 50, 51, 60.
#[test]
fn packets_of_a_flow_share_its_number() {
    let mut rig = Rig::usual();
    for i in 0..5 {
        for conn in 0..8 {
            assert_eq!(flow_of(&mut rig, &Tcp::data(conn, 1 + i * 10, 10)), conn);
        }
    }
    assert_eq!(rig.count(Global::FdbInsert), 8);
    assert_eq!(rig.count(Global::FdbHit), 32);
    assert_eq!(rig.count(Global::RxOutOfOrder), 0);
}

/// Source and destination make the key: the other direction is another flow, and so is another
/// port.
///
/// Claims: 5, 6, 7.
#[test]
fn flows_differ_by_addresses_and_ports() {
    let mut rig = Rig::usual();
    assert_eq!(flow_of(&mut rig, &Tcp::data(1, 1, 10)), 0);
    assert_eq!(flow_of(&mut rig, &Tcp::data(2, 1, 10)), 1);
    assert_eq!(flow_of(&mut rig, &Tcp::data(1, 1, 10).v6()), 2);
    let mut back = Tcp::data(1, 1, 10).build();
    for i in 0..4 {
        back.swap(26 + i, 30 + i);
    }
    back.swap(34, 36);
    back.swap(35, 37);
    assert!(matches!(
        rig.arrive(&back),
        RxOutcome::Queued { flow: 3, .. }
    ));
}

/// A full database: busy entries stay, idle ones make room, and no data is lost.
///
/// Claims: 43.
#[test]
fn a_full_database_evicts_only_idle_flows() {
    let mut rig = with_flows(4);
    for conn in 0..4 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
    }
    // All are busy: no entry, no flow, but the packet is delivered.
    assert_eq!(rig.opcode(&Tcp::data(9, 1, 100).build()), Opcode::Small);
    assert_eq!(
        (rig.count(Global::FdbFull), rig.count(Global::FdbEvict)),
        (1, 0)
    );
    assert_eq!(rig.drain().len(), 5);
    // All are idle now: the one that is idle longest goes, and its page with it.
    assert_eq!(flow_of(&mut rig, &Tcp::data(9, 101, 100)), 0);
    assert_eq!(rig.count(Global::FdbEvict), 1);
    rig.drain();
    assert_eq!(rig.queues[0].releases.len(), 1);
    assert_eq!(rig.queues[0].releases[0].c0.rel_flow(), 1);
}

/// As many flows as entries merge all at once; with one packet each that is released at once, no
/// entry is taken from a flow that waits.
#[test]
fn capacity_and_order() {
    for flows in [4, 32] {
        let mut rig = with_flows(flows);
        for conn in 0..flows as u16 {
            rig.arrive(&Tcp::data(conn, 1, 100).build());
        }
        for conn in 100..110 {
            let pushed = Tcp::data(conn, 1, 100).flags(ACK | PSH);
            rig.arrive(&pushed.build());
        }
        for conn in 0..flows as u16 {
            let pushed = Tcp::data(conn, 101, 100).flags(ACK | PSH);
            rig.arrive(&pushed.build());
        }
        assert_eq!(rig.count(Global::FdbFull), 0);
        let mut stack = Stack::default();
        stack.take(rig.drain());
        let merged = stack.up.iter().filter(|s| s.segs == 2).count();
        assert_eq!((merged, stack.up.len()), (flows, flows + 10));
    }
}

/// FIN and RST end the entry; data that comes while the last packet waits begins anew.
///
/// Claims: 50.
#[test]
fn fin_and_rst_end_the_entry() {
    for (flags, len) in [(ACK | FIN, 0), (ACK | FIN, 50), (RST, 0)] {
        let mut rig = Rig::usual();
        rig.arrive(&Tcp::data(1, 1, 100).build());
        rig.arrive(&Tcp::data(1, 101, len).flags(flags).build());
        assert_eq!(rig.count(Global::FdbTeardown), 1);
        // A late pure ACK has no part in it.
        let late = flow_of(&mut rig, &Tcp::data(1, 101, 0));
        assert_eq!(late, reflow_hwdef::desc::FLOW_NONE);
        let got = rig.drain();
        assert_eq!(got[1].last.c0.rel_flow(), 1);
        assert_eq!(rig.dev.flows_in_use(), 0);

        rig.arrive(&Tcp::data(1, 1, 100).build());
        rig.arrive(&Tcp::data(1, 101, len).flags(flags).build());
        assert_eq!(rig.opcode(&Tcp::data(1, 500, 100).build()), Opcode::Start);
        assert_eq!(rig.opcode(&Tcp::data(1, 600, 100).build()), Opcode::Append);
        let got = rig.drain();
        assert!(got.iter().all(|d| d.last.c0.rel_flow() == 0));
        assert_eq!(rig.dev.flows_in_use(), 1);
        let mut stack = Stack::default();
        stack.take(got);
        assert_eq!(stack.up.last().unwrap().segs, 2);
    }
}

/// The size of the database is set while nothing moves, in powers of two; other writes are ignored.
#[test]
fn resizing() {
    let mut rig = with_flows(64);
    assert_eq!(rig.read(FLOW_SIZE), 64);
    rig.write(FLOW_SIZE, 4);
    assert_eq!(rig.read(FLOW_SIZE), 64, "reception is on");
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.drain();
    rig.write(CTRL, 0);
    for bad in [0, 3, 128, u32::MAX] {
        rig.write(FLOW_SIZE, bad);
        assert_eq!(rig.read(FLOW_SIZE), 64);
    }
    rig.write(FLOW_SIZE, 2);
    assert_eq!(rig.read(FLOW_SIZE), 2);
    rig.drain();
    assert_eq!(rig.queues[0].releases.len(), 1);
    rig.write(CTRL, 3);
    for conn in 0..3 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
    }
    assert_eq!(rig.count(Global::FdbFull), 1);
}

/// A flow stays with its queue while packets of it wait; then it moves, and its page goes back to
/// the queue that it came from. Whether one waits is searched for by the key of the packet that
/// comes.
///
/// Claims: 20, 21, 22, 38, 45.
#[test]
fn a_flow_changes_queue_only_when_nothing_of_it_waits() {
    let mut rig = Rig::new(Setup {
        queues: 2,
        ram: 16 << 20,
        ..Setup::default()
    });
    let redirect = |rig: &mut Rig, queue: u32| {
        for i in 0..128 {
            rig.write(RSS_TABLE + i * 4, queue);
        }
    };
    let queue_of = |rig: &mut Rig, seq| match rig.arrive(&Tcp::data(1, seq, 100).build()) {
        RxOutcome::Queued { queue, flow: 0, .. } => queue,
        other => panic!("{other:?}"),
    };
    redirect(&mut rig, 0);
    assert_eq!(queue_of(&mut rig, 1), 0);
    redirect(&mut rig, 1);
    assert_eq!(queue_of(&mut rig, 101), 0);
    rig.drain();
    assert_eq!(queue_of(&mut rig, 201), 1);
    rig.drain();
    assert_eq!(rig.queues[0].releases.len(), 1);
    assert_eq!(rig.queues[0].releases[0].c0.rel_flow(), 0);
}

/// A queue that is switched off takes its flows with it.
#[test]
fn switching_a_queue_off_forgets_its_flows() {
    let mut rig = Rig::new(Setup {
        queue: QueueSetup::default(),
        ..Setup::default()
    });
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.drain();
    rig.arrive(&Tcp::data(1, 101, 100).build());
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].switch_off(dev, host);
    assert_eq!((rig.dev.flows_in_use(), rig.dev.pm_level()), (0, 0));
    rig.assert_accounted(0);
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].switch_on(dev, host);
    assert_eq!(rig.opcode(&Tcp::data(1, 201, 100).build()), Opcode::Start);
    let got = rig.drain();
    assert_eq!(got[0].pieces[0].off, 0);
    assert_eq!(rig.queues[0].outstanding(BufKind::Reasm), 64);
}
