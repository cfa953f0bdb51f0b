// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Host control blocks: to which packets they apply, what they keep, and how they end.

use reflow_device::RxOutcome;
use reflow_hwdef::cmd::{CmdStatus, Command, TCB_KEY, TCB_SEQ, TCB_WORDS};
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_testkit::control::{Block, Commands, List};
use reflow_testkit::frames::{ACK, FIN, PSH, RST, SYN, URG};
use reflow_testkit::{Delivery, Rig, Setup, Tcp};

fn rig(flows: usize, queues: usize) -> (Rig, Commands) {
    let mut rig = Rig::new(Setup {
        queues,
        flows,
        ram: 8 << 20 << queues,
        ..Setup::default()
    });
    let commands = Commands::new(&mut rig);
    (rig, commands)
}

fn summary(d: &Delivery) -> u64 {
    d.first.c0.summary()
}

/// The verdict of the block in a packet's completion.
fn verdict(rig: &mut Rig, tcp: &Tcp) -> u64 {
    rig.arrive(&tcp.build());
    let got = rig.drain();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].last.c0.summary(), summary(&got[0]));
    summary(&got[0])
}

/// Data that a driver gets, whatever the manner of its transfer.
fn payload(d: &Delivery) -> Vec<u8> {
    if d.header.is_some() || !d.data.is_empty() {
        d.data.clone()
    } else {
        d.whole[d.first.c2.hdr_len() as usize..].to_vec()
    }
}

/// The block of one connection applies to its packets, and not to those of another connection,
/// which are treated as if there were no block.
///
/// Claims: 24, 25, 26.
#[test]
fn a_block_applies_to_its_own_flow_only() {
    for v6 in [false, true] {
        let (mut rig, mut commands) = rig(16, 1);
        let tcp = |conn, seq| Tcp {
            v6,
            ..Tcp::data(conn, seq, 100)
        };
        let flow = commands
            .set_tcb(&mut rig, &Block::expecting(&tcp(1, 50)))
            .unwrap();
        for i in 0..3 {
            for conn in 1..3 {
                rig.arrive(&tcp(conn, 50 + i * 100).build());
            }
        }
        let got = rig.drain();
        for d in &got {
            assert_eq!(summary(d), u64::from(d.flow == Some(flow)));
        }
        // Merging continues.
        let codes: Vec<_> = got.iter().step_by(2).map(|d| d.opcode).collect();
        assert_eq!(codes, [Opcode::Start, Opcode::Append, Opcode::Append]);
        assert_eq!(rig.count(Global::TcbApplied), 3);
        assert_eq!(rig.count(Global::TcbNotApplied), 0);
        let back = commands.tcb(&mut rig, flow).unwrap();
        assert_eq!((back.expected, back.flow, back.stale), (350, flow, false));
        assert_eq!((back.applied, back.not_applied, back.placed), (3, 0, 0));
    }
}

/// Packets of a block leave together like any others, and each is counted.
///
/// Claims: 24, 25, 57.
#[test]
fn packets_of_a_block_are_gathered() {
    let mut setup = Setup::default();
    setup.flow_cfg = setup.flow_cfg.with_gather(1);
    let mut rig = Rig::new(setup);
    let mut commands = Commands::new(&mut rig);
    let flow = commands
        .set_tcb(&mut rig, &Block::expecting(&Tcp::data(1, 50, 100)))
        .unwrap();
    for i in 0..4 {
        rig.arrive(&Tcp::data(1, 50 + i * 100, 100).build());
    }
    let got = rig.drain();
    let told: Vec<_> = got
        .iter()
        .map(|d| (d.first.c0.segs(), summary(d)))
        .collect();
    assert_eq!(told, [(4, 1)]);
    assert_eq!(rig.count(Global::TcbApplied), 4);
    assert_eq!(commands.tcb(&mut rig, flow).unwrap().applied, 4);
}

/// A tag belongs to the key, the other direction does not.
///
/// Claims: 26.
#[test]
fn tags_and_directions_are_other_flows() {
    let (mut rig, mut commands) = rig(16, 1);
    let tagged = Tcp {
        vlan: Some(5),
        ..Tcp::data(1, 1, 10)
    };
    commands
        .set_tcb(&mut rig, &Block::expecting(&tagged))
        .unwrap();
    assert_eq!(verdict(&mut rig, &Tcp::data(1, 1, 10)), 0);
    let other = Tcp {
        vlan: Some(6),
        ..tagged.clone()
    };
    assert_eq!(verdict(&mut rig, &other), 0);
    assert_eq!(verdict(&mut rig, &tagged), 1);
}

/// Packets that a block does not apply to, and those that make it stale.
///
/// Claims: 24.
#[test]
fn packets_that_make_a_block_stale() {
    let data = |seq, len| Tcp::data(1, seq, len);
    // A packet, its summary, and whether the block is stale after it.
    let cases = [
        (data(100, 50), 1, false),
        (data(100, 50).flags(ACK | PSH), 1, false),
        (data(100, 0), 1, false),
        (data(99, 0), 2, false),
        (data(101, 0), 2, false),
        (data(100, 50).flags(ACK | FIN), 1, true),
        (data(101, 50), 2, true),
        (data(99, 50), 2, true),
        (data(50, 50), 2, true),
        (data(100, 0).flags(ACK | FIN), 2, true),
        (data(100, 0).flags(RST), 2, true),
        (data(100, 0).flags(SYN), 2, true),
        (data(100, 50).flags(ACK | URG), 2, true),
    ];
    for (packet, want, stale) in cases {
        let (mut rig, mut commands) = rig(16, 1);
        let block = Block::expecting(&data(100, 0));
        let flow = commands.set_tcb(&mut rig, &block).unwrap();
        assert_eq!(verdict(&mut rig, &packet), want, "{packet:?}");
        let back = commands.tcb(&mut rig, flow).unwrap();
        assert_eq!(back.stale, stale, "{packet:?}");
        let next = if want == 1 {
            100 + packet.payload.len() as u32
        } else {
            100
        };
        assert_eq!(back.expected, next);
        // Stale, it applies to nothing until it is set again; the entry stays in any case.
        let more = data(next, 10);
        assert_eq!(verdict(&mut rig, &more), if stale { 2 } else { 1 });
        assert_eq!(rig.dev.flows_in_use(), 1);
        let again = Block::expecting(&data(next + 10, 0));
        assert_eq!(commands.set_tcb(&mut rig, &again), Ok(flow));
        assert_eq!(verdict(&mut rig, &data(next + 10, 10)), 1);
    }
}

/// A packet without re-assembly does not concern the block; one with a wrong checksum is no packet
/// of the flow.
#[test]
fn packets_that_get_no_assist() {
    let (mut rig, mut commands) = rig(16, 1);
    let block = Block::expecting(&Tcp::data(1, 1, 0));
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    let mut broken = Tcp::data(1, 1, 100).build();
    *broken.last_mut().unwrap() ^= 1;
    rig.arrive(&broken);
    let got = rig.drain();
    assert_eq!((got[0].opcode, summary(&got[0])), (Opcode::NoAssist, 0));
    assert!(!commands.tcb(&mut rig, flow).unwrap().stale);
    rig.write(FLOW_CFG, 0);
    rig.arrive(&Tcp::data(1, 1, 100).build());
    let got = rig.drain();
    assert_eq!((got[0].opcode, summary(&got[0])), (Opcode::NoAssist, 2));
    let back = commands.tcb(&mut rig, flow).unwrap();
    assert_eq!((back.stale, back.not_applied), (true, 1));
}

/// With a wrong sequence number the block does not apply, but the data is right.
///
/// Claims: 24, 26.
#[test]
fn a_wrong_block_does_no_harm() {
    for place in [false, true] {
        let (mut rig, mut commands) = rig(16, 1);
        let list = List::new(&rig.host, 4);
        let mut block = Block::expecting(&Tcp::data(1, 5000, 0));
        if place {
            block = block.place(&list);
        }
        commands.set_tcb(&mut rig, &block).unwrap();
        let mut stream = Vec::new();
        for i in 0..20 {
            rig.arrive(&Tcp::data(1, 1 + i * 300, 300).build());
        }
        for d in rig.drain() {
            assert_eq!(summary(&d), 2);
            stream.extend(payload(&d));
        }
        assert_eq!(stream, reflow_testkit::frames::stream(1, 1, 6000));
        assert!(list.bytes(&rig.host).iter().all(|&byte| byte == 0xee));
    }
}

/// A block that is set in the middle of a flow does not disturb merging.
///
/// Claims: 25.
#[test]
fn set_and_removed_while_packets_wait() {
    let (mut rig, mut commands) = rig(16, 1);
    rig.arrive(&Tcp::data(1, 1, 100).build());
    let flow = commands
        .set_tcb(&mut rig, &Block::expecting(&Tcp::data(1, 101, 0)))
        .unwrap();
    rig.arrive(&Tcp::data(1, 101, 100).build());
    rig.arrive(&Tcp::data(1, 201, 100).build());
    assert_eq!(
        commands.ask(&mut rig, Command::TcbDel, flow.into(), 0),
        Ok(0)
    );
    rig.arrive(&Tcp::data(1, 301, 100).build());
    let got = rig.drain();
    assert!(got.iter().all(|d| d.flow == Some(flow)));
    assert_eq!(got.iter().map(summary).collect::<Vec<_>>(), [0, 1, 1, 0]);
    assert_eq!(commands.tcb(&mut rig, flow), Err(CmdStatus::NotFound));
    assert_eq!(rig.count(Global::OpOutOfOrder), 0);
}

/// A block reads back as it was set, with counts.
///
/// Claims: 25.
#[test]
fn read_back() {
    let (mut rig, mut commands) = rig(16, 2);
    let list = List::new(&rig.host, 3);
    let tcp = Tcp {
        vlan: Some(0x6123),
        ..Tcp::data(7, 900, 500).v6()
    };
    let block = Block::expecting(&tcp).place(&list).steer(1);
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&tcp.build());
    rig.drain();
    rig.arrive(
        &Tcp {
            seq: 7,
            ..tcp.clone()
        }
        .build(),
    );
    rig.drain();
    let back = commands.tcb(&mut rig, flow).unwrap();
    let mut want = block.words();
    assert_eq!(back.words[..TCB_SEQ], want[..TCB_SEQ]);
    assert_eq!(
        back.words[TCB_SEQ + 1..TCB_SEQ + 3],
        want[TCB_SEQ + 1..TCB_SEQ + 3]
    );
    assert_eq!((back.expected, back.stale), (1400, true));
    assert_eq!((back.applied, back.not_applied, back.placed), (1, 1, 500));
    assert_eq!(back.words[12..], [0; TCB_WORDS - 12]);
    // Values that the host writes to counters of the device are ignored.
    want[9..].fill(u64::MAX);
    assert_eq!(
        commands.send(&mut rig, Command::TcbSet, 0, &want),
        Ok(flow.into())
    );
    let back = commands.tcb(&mut rig, flow).unwrap();
    assert_eq!((back.applied, back.not_applied, back.placed), (0, 0, 0));
    assert_eq!(back.words[12..], [0; TCB_WORDS - 12]);
    assert_eq!(back.words[TCB_KEY..TCB_SEQ], want[TCB_KEY..TCB_SEQ]);
}

/// The block's entry stays, however old and however full the database; without the block it is an
/// ordinary one again.
///
/// Claims: 24, 26.
#[test]
fn pinned_entries_survive_age_and_a_full_database() {
    let (mut rig, mut commands) = rig(8, 1);
    rig.write(FLOW_AGE_US, 100);
    let first = |conn| Block::expecting(&Tcp::data(conn, 1, 0));
    for conn in 0..4 {
        assert_eq!(commands.set_tcb(&mut rig, &first(conn)), Ok(conn));
    }
    // Half of the database is what blocks may have.
    assert_eq!(
        commands.set_tcb(&mut rig, &first(4)),
        Err(CmdStatus::NoSpace)
    );
    assert_eq!(commands.set_tcb(&mut rig, &first(3)), Ok(3));
    for conn in 100..200 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
        rig.drain();
    }
    rig.now += 1_000_000_000;
    rig.pump();
    assert_eq!(rig.dev.flows_in_use(), 4);
    assert_eq!(rig.dev.next_deadline(), None);
    for conn in 0..4 {
        assert_eq!(verdict(&mut rig, &Tcp::data(conn, 1, 10)), 1);
    }
    // All other entries are busy: no room for a packet's flow, and none for a block's.
    for conn in 300..304 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
    }
    assert_eq!(rig.opcode(&Tcp::data(400, 1, 100).build()), Opcode::Small);
    assert_eq!(commands.ask(&mut rig, Command::TcbDel, 0, 0), Ok(0));
    rig.drain();
    for conn in 300..304 {
        rig.arrive(&Tcp::data(conn, 101, 100).build());
    }
    assert_eq!(commands.set_tcb(&mut rig, &first(9)), Ok(0));
    assert_eq!(rig.count(Global::FdbEvict), 97);
    rig.drain();
    rig.now += 1_000_000_000;
    rig.pump();
    assert_eq!(rig.dev.flows_in_use(), 4);
}

/// A block that takes the entry of an idle flow: that flow's page goes back.
#[test]
fn a_block_evicts_an_idle_flow() {
    let (mut rig, mut commands) = rig(2, 1);
    for conn in 1..3 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
        rig.drain();
    }
    let set = commands.set_tcb(&mut rig, &Block::expecting(&Tcp::data(9, 1, 0)));
    assert_eq!(set, Ok(0));
    rig.drain();
    let released: Vec<_> = rig.queues[0].releases.iter().map(|c| c.c0).collect();
    assert_eq!(released.len(), 1);
    assert_eq!((released[0].flow(), released[0].rel_flow()), (0, 1));
    assert_eq!(verdict(&mut rig, &Tcp::data(9, 1, 100)), 1);
    // The other one continues.
    assert_eq!(rig.opcode(&Tcp::data(2, 101, 100).build()), Opcode::Start);
}

/// The block names the queue; a flow moves there when none of its packets wait.
///
/// Claims: 24, 38.
#[test]
fn steering_changes_when_no_packet_waits() {
    let (mut rig, mut commands) = rig(16, 2);
    for i in 0..RSS_ENTRIES {
        rig.write(RSS_TABLE + i * 4, 0);
    }
    let queue_of = |rig: &mut Rig, seq| match rig.arrive(&Tcp::data(1, seq, 100).build()) {
        RxOutcome::Queued { queue, .. } => queue,
        other => panic!("{other:?}"),
    };
    // A driver that does not read its completions keeps packets waiting.
    for _ in 0..300 {
        rig.arrive(&reflow_testkit::frames::arp());
    }
    assert_eq!(queue_of(&mut rig, 1), 0);
    let block = Block::expecting(&Tcp::data(1, 101, 0)).steer(1);
    assert_eq!(commands.set_tcb(&mut rig, &block), Ok(0));
    assert_eq!(queue_of(&mut rig, 101), 0, "packets of it wait in queue 0");
    rig.drain();
    assert_eq!(queue_of(&mut rig, 201), 1);
    rig.drain();
    // Gone with the block, when nothing waits.
    assert_eq!(commands.ask(&mut rig, Command::TcbDel, 0, 0), Ok(0));
    assert_eq!(queue_of(&mut rig, 301), 0);
    assert_eq!(rig.count(Global::OpOutOfOrder), 0);
}

/// A queue that stops makes the blocks of its flows stale; they stay, and can be set again.
///
/// Claims: 24.
#[test]
fn a_queue_that_stops_makes_its_blocks_stale() {
    let (mut rig, mut commands) = rig(16, 2);
    let list = List::new(&rig.host, 2);
    let block = Block::expecting(&Tcp::data(1, 1, 0)).steer(1).place(&list);
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    let other = commands
        .set_tcb(&mut rig, &Block::expecting(&Tcp::data(2, 1, 0)).steer(0))
        .unwrap();
    rig.arrive(&Tcp::data(1, 1, 100).build());
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[1].switch_off(dev, host);
    assert_eq!((rig.dev.flows_in_use(), rig.dev.pm_level()), (2, 0));
    assert!(commands.tcb(&mut rig, flow).unwrap().stale);
    assert!(!commands.tcb(&mut rig, other).unwrap().stale);
    assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
    assert_eq!(
        rig.arrive(&Tcp::data(1, 1, 100).build()),
        RxOutcome::Dropped(Global::RxDisabled)
    );
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[1].switch_on(dev, host);
    assert_eq!(verdict(&mut rig, &Tcp::data(1, 1, 100)), 2);
    let again = Block::expecting(&Tcp::data(1, 101, 0))
        .steer(1)
        .place(&list);
    assert_eq!(commands.set_tcb(&mut rig, &again), Ok(flow));
    assert_eq!(verdict(&mut rig, &Tcp::data(1, 101, 100)), 1);
    rig.assert_accounted(0);
}

/// A write to FLOW_SIZE gives up all blocks.
#[test]
fn resizing_removes_blocks() {
    let (mut rig, mut commands) = rig(16, 1);
    let flow = commands
        .set_tcb(&mut rig, &Block::expecting(&Tcp::data(1, 1, 0)))
        .unwrap();
    rig.write(CTRL, 0);
    rig.write(FLOW_SIZE, 4);
    assert_eq!(commands.tcb(&mut rig, flow), Err(CmdStatus::NotFound));
    for conn in 0..3 {
        let set = commands.set_tcb(&mut rig, &Block::expecting(&Tcp::data(conn, 1, 0)));
        assert_eq!(set.is_ok(), conn < 2);
    }
}

/// A block that is set while the last packet of its flow waits keeps the entry.
#[test]
fn a_block_outlives_the_end_of_its_flow() {
    let (mut rig, mut commands) = rig(16, 1);
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.arrive(&Tcp::data(1, 101, 0).flags(ACK | FIN).build());
    let flow = commands
        .set_tcb(&mut rig, &Block::expecting(&Tcp::data(1, 1, 0)))
        .unwrap();
    let got = rig.drain();
    assert!(got.iter().all(|d| d.last.c0.rel_flow() == 0));
    assert_eq!(rig.dev.flows_in_use(), 1);
    assert_eq!(verdict(&mut rig, &Tcp::data(1, 1, 10)), 1);
    assert_ne!(flow, FLOW_NONE);
}
