// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Connection set-up: the entry is there before the data, and a flood of set-ups does not fill the
//! database.

use reflow_hwdef::cmd::{Command, F0, F6, FLOW_KEY, FLOW_WORDS, KEY_WORDS};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::FLOW_AGE_US;
use reflow_hwdef::stats::Global;
use reflow_testkit::control::{Block, Commands};
use reflow_testkit::frames::{ACK, FIN, RST, SYN};
use reflow_testkit::{Rig, Setup, Tcp};

fn rig(flows: usize) -> (Rig, Commands) {
    let mut rig = Rig::new(Setup {
        flows,
        pm_bytes: 4 << 20,
        ..Setup::default()
    });
    let commands = Commands::new(&mut rig);
    (rig, commands)
}

/// The expected sequence number of each flow, in the order of flow numbers.
fn expected(rig: &mut Rig, commands: &mut Commands) -> Vec<(u64, u32, Vec<u64>)> {
    let len = 64 * FLOW_WORDS * 8;
    let count = commands.ask(rig, Command::FlowDump, 0, len).unwrap() as usize;
    commands
        .words(&rig.host, count * FLOW_WORDS)
        .chunks(FLOW_WORDS)
        .map(|entry| {
            let key = entry[FLOW_KEY..FLOW_KEY + KEY_WORDS].to_vec();
            (F0(entry[0]).flow(), F6(entry[6]).expected() as u32, key)
        })
        .collect()
}

/// After SYN or SYN-ACK the entry expects the initial sequence number and one; the first data is in
/// order; FIN and RST remove the entry.
///
/// Claims: 30.
#[test]
fn set_up_makes_an_entry_before_the_data() {
    for (flags, end) in [(SYN, ACK | FIN), (SYN | ACK, RST), (SYN | ACK, RST | ACK)] {
        for isn in [7, u32::MAX] {
            let (mut rig, mut commands) = rig(16);
            let syn = Tcp::data(3, isn, 0).flags(flags);
            rig.arrive(&syn.build());
            let first = isn.wrapping_add(1);
            let key = Block::expecting(&syn).key.to_vec();
            assert_eq!(expected(&mut rig, &mut commands), [(0, first, key)]);
            // An acknowledgment changes nothing.
            rig.arrive(&Tcp::data(3, first, 0).build());
            assert_eq!(rig.opcode(&Tcp::data(3, first, 100).build()), Opcode::Start);
            rig.drain();
            let next = first.wrapping_add(100);
            assert_eq!(expected(&mut rig, &mut commands)[0].1, next);
            rig.arrive(&Tcp::data(3, next, 0).flags(end).build());
            rig.drain();
            assert_eq!(rig.dev.flows_in_use(), 0);
        }
    }
}

/// Set-ups that are never finished take a quarter of the database at most, and are counted beyond
/// that; connections that were there stay, new ones are learnt from their data.
///
/// Claims: 30.
#[test]
fn a_flood_of_set_ups_does_not_fill_the_database() {
    let (mut rig, mut commands) = rig(32);
    rig.write(FLOW_AGE_US, 0);
    for conn in 0..20 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
        rig.drain();
    }
    for conn in 1000..2000 {
        rig.arrive(&Tcp::data(conn, 5, 0).flags(SYN).build());
    }
    rig.drain();
    assert_eq!(rig.dev.flows_in_use(), 28);
    assert_eq!(rig.count(Global::FdbHalfOpen), 992);
    assert_eq!(
        (rig.count(Global::FdbEvict), rig.count(Global::FdbFull)),
        (0, 0)
    );
    for conn in 0..20 {
        assert_eq!(
            rig.opcode(&Tcp::data(conn, 101, 100).build()),
            Opcode::Start
        );
    }
    assert_eq!(rig.opcode(&Tcp::data(1999, 6, 100).build()), Opcode::Start);
    rig.drain();
    assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
}

/// A set-up that goes on, ends, or ages makes room for the next.
#[test]
fn finished_set_ups_make_room() {
    let syn = |conn| Tcp::data(conn, 5, 0).flags(SYN).build();
    let (mut rig, _) = rig(8);
    rig.write(FLOW_AGE_US, 1000);
    let ways: [fn(&mut Rig); 4] = [
        |rig| {
            rig.arrive(&Tcp::data(0, 6, 0).build());
        },
        |rig| {
            rig.arrive(&Tcp::data(1, 6, 100).build());
        },
        |rig| {
            rig.arrive(&Tcp::data(2, 6, 0).flags(RST).build());
        },
        |rig| rig.now += 10_000_000,
    ];
    rig.arrive(&syn(0));
    rig.arrive(&syn(1));
    for (i, way) in (2..).zip(ways) {
        let refused = rig.count(Global::FdbHalfOpen);
        rig.arrive(&syn(100));
        assert_eq!(rig.count(Global::FdbHalfOpen), refused + 1);
        way(&mut rig);
        rig.drain();
        rig.arrive(&syn(i));
        assert_eq!(rig.count(Global::FdbHalfOpen), refused + 1, "way {i}");
        rig.drain();
        if i == 5 {
            // Both have aged.
            rig.arrive(&syn(i + 1));
            assert_eq!(rig.count(Global::FdbHalfOpen), refused + 1);
        }
    }
    assert_eq!(rig.count(Global::FdbFull), 0);
}
