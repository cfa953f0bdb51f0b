// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command ring: order, status, refusals, hostile entries.

use proptest::prelude::*;
use reflow_hwdef::cmd::*;
use reflow_hwdef::regs::{Event, CMD_SIZE as SIZE_REG, CMD_TAIL, EVENT, EVENT_ARM, FLOW_AGE_US};
use reflow_hwdef::stats::Global;
use reflow_testkit::control::{context, rule, Block, Commands, List};
use reflow_testkit::{Rig, Setup, Tcp};

fn rig() -> (Rig, Commands) {
    let mut rig = Rig::new(Setup {
        queues: 2,
        flows: 16,
        ram: 16 << 20,
        ..Setup::default()
    });
    let commands = Commands::new(&mut rig);
    (rig, commands)
}

/// Commands are carried out in order, each has its status with its tag, and the event is raised.
#[test]
fn in_order_with_a_status_each() {
    let (mut rig, mut commands) = rig();
    let raised = rig.host.interrupts.len();
    rig.write(EVENT_ARM, Event(0).with_command(1).0);
    let block = commands.block;
    let entries: Vec<u64> = [
        (Command::Nop as u8, 0),
        (Command::ClockGet as u8, 8),
        (77, 0),
        (Command::TcbDel as u8, 0),
        (Command::Nop as u8, 0),
    ]
    .iter()
    .map(|&(command, len)| commands.queue(&rig.host, command, 0, block, len))
    .collect();
    rig.pump();
    assert!(entries.iter().all(|at| rig.host.get_u64(at + 56) == 0));
    commands.kick(&mut rig);
    rig.pump();
    let done: Vec<_> = entries
        .iter()
        .map(|at| Cmd7(rig.host.get_u64(at + 56)))
        .map(|c7| (c7.done(), c7.tag(), c7.status()))
        .collect();
    let want = [
        CmdStatus::Ok,
        CmdStatus::Ok,
        CmdStatus::Unknown,
        CmdStatus::NotFound,
        CmdStatus::Ok,
    ];
    for (i, (done, want)) in done.iter().zip(want).enumerate() {
        assert_eq!(*done, (1, i as u64 + 1, want as u64));
    }
    assert_eq!(rig.host.get_u64(block), rig.now);
    assert_eq!(rig.count(Global::Commands), 3);
    assert_eq!(rig.count(Global::CommandErrors), 2);
    assert_eq!(rig.host.interrupts[raised..], [2]);
    assert_eq!(Event(rig.read(EVENT)).command(), 1);
}

/// The ring wraps around.
#[test]
fn the_ring_wraps() {
    let (mut rig, mut commands) = rig();
    for _ in 0..100 {
        let status = commands.run(&mut rig, Command::Nop as u8, 0, 0);
        assert_eq!(status, (CmdStatus::Ok, 0));
    }
    // More than one turn of the device at once.
    commands.base = rig.host.alloc(CMD_SIZE << 6);
    commands.log2 = 6;
    commands.start(&mut rig);
    let at: Vec<u64> = (0..64)
        .map(|_| commands.put(&rig.host, [0; CMD_WORDS]))
        .collect();
    commands.kick(&mut rig);
    rig.pump();
    let done = |at: &u64| Cmd7(rig.host.get_u64(at + 56)).done() == 1;
    assert!(at.iter().all(done));
    assert_eq!(rig.count(Global::Commands), 164);
}

/// A ring that is not in memory, or whose tail is out of range, stops: CMD_SIZE reads 0, the event
/// says so, and writing the register starts it anew.
#[test]
fn a_broken_ring_stops() {
    let (mut rig, mut commands) = rig();
    let good = commands.base;
    for (base, log2, tail) in [
        (good + 8, 4, 1),
        (good, 2, 1),
        (good, 14, 1),
        (u64::MAX - 63, 4, 1),
        (0, 4, 1),
        (good, 4, 17),
        (good, 4, 0x7fff),
    ] {
        rig.write(EVENT, u32::MAX);
        (commands.base, commands.log2) = (base, log2);
        commands.start(&mut rig);
        rig.write(CMD_TAIL, tail);
        rig.pump();
        assert_eq!(rig.read(SIZE_REG), 0, "{base:#x} {log2} {tail}");
        assert_eq!(Event(rig.read(EVENT)).command(), 1);
        (commands.base, commands.log2) = (good, 4);
        commands.start(&mut rig);
        let status = commands.run(&mut rig, Command::Nop as u8, 0, 0);
        assert_eq!(status, (CmdStatus::Ok, 0));
    }
    // Tails do not go back, and a ring that is off has none.
    rig.write(CMD_TAIL, 5);
    rig.write(CMD_TAIL, 5);
    assert_eq!(rig.read(SIZE_REG), 4);
    rig.write(CMD_TAIL, 4);
    assert_eq!(rig.read(SIZE_REG), 0);
    rig.write(CMD_TAIL, 3);
    rig.pump();
}

/// Blocks that are too short, not aligned or not in memory are refused, by every command that has
/// one.
#[test]
fn bad_blocks_are_refused() {
    let (mut rig, mut commands) = rig();
    let tcb = Block::expecting(&Tcp::data(1, 1, 0));
    let flow = commands.set_tcb(&mut rig, &tcb).unwrap();
    for (command, words) in [
        (Command::TcbSet, TCB_WORDS),
        (Command::TcbGet, TCB_WORDS),
        (Command::RuleSet, RULE_WORDS),
        (Command::RssSet, RSS_WORDS),
        (Command::FlowDump, FLOW_WORDS),
        (Command::ClockGet, 1),
    ] {
        let index = match command {
            Command::RssSet => 1,
            Command::TcbGet => flow.into(),
            _ => 0,
        };
        let good = commands.block;
        for (addr, len, want) in [
            (good, words * 8 - 1, CmdStatus::BadArgument),
            (good + 4, words * 8, CmdStatus::BadArgument),
            (8, words * 8, CmdStatus::BadAddress),
            (u64::MAX - 7, words * 8, CmdStatus::BadAddress),
        ] {
            commands.block = addr;
            let got = commands.run(&mut rig, command as u8, index, len);
            assert_eq!(got, (want, 0), "{command:?} {addr:#x} {len}");
        }
        commands.block = good;
    }
}

/// Values out of range in a block are refused.
#[test]
fn bad_arguments_are_refused() {
    let (mut rig, mut commands) = rig();
    let key = [1; KEY_WORDS];
    let bad = Err(CmdStatus::BadArgument);
    for (index, head) in [
        (RULE_MAX as u32, R0(0)),
        (u32::MAX, R0(0)),
        (0, R0(0).with_target(2)),
        (0, R0(0).with_drop(1).with_context(1)),
        (0, R0(1 << 5)),
        (0, R0(1 << 48)),
        (0, R0(0).with_context(1).with_offset(2)),
        (0, R0(0).with_offset(1)),
    ] {
        let block = rule(head, key, key);
        assert_eq!(
            commands.send(&mut rig, Command::RuleSet, index, &block),
            bad
        );
    }
    for (index, x0, queue) in [
        (0, X0(0), 0),
        (RSS_CONTEXTS as u32 + 1, X0(0), 0),
        (1, X0(1), 0),
        (1, X0(1 << 32), 0),
        (1, X0(0), 2),
    ] {
        let block = context(x0, [0; 40], queue);
        assert_eq!(commands.send(&mut rig, Command::RssSet, index, &block), bad);
    }
    let good = Block::expecting(&Tcp::data(1, 1, 0));
    let list = List::new(&rig.host, 2);
    let placed = good.clone().place(&list);
    let framed = placed.clone().framed();
    let t0 = |t0: T0| Block { t0, ..good.clone() };
    let t8 = |of: &Block, t8: T8| Block { t8, ..of.clone() };
    let pdu = |t0: T0| Block {
        t0,
        ..framed.clone()
    };
    for (block, want) in [
        (t0(good.t0.with_key_len(36)), CmdStatus::BadArgument),
        (t0(good.t0.with_v6(1)), CmdStatus::BadArgument),
        (
            t0(good.t0.with_steer(1).with_queue(2)),
            CmdStatus::BadArgument,
        ),
        (t0(T0(good.t0.0 | (1 << 14))), CmdStatus::BadArgument),
        (t0(T0(good.t0.0 | (1 << 63))), CmdStatus::BadArgument),
        (t0(good.t0.with_pdu(1)), CmdStatus::BadArgument),
        (t8(&placed, T8(0)), CmdStatus::BadArgument),
        (
            t8(&placed, T8(0).with_pages(u64::from(LIST_MAX) + 1)),
            CmdStatus::BadArgument,
        ),
        // The expected byte is behind the list.
        (t8(&placed, placed.t8.with_base(2)), CmdStatus::BadArgument),
        (pdu(framed.t0.with_pdu_hdr(3)), CmdStatus::BadArgument),
        (pdu(framed.t0.with_pdu_bytes(0)), CmdStatus::BadArgument),
        (pdu(framed.t0.with_pdu_bytes(5)), CmdStatus::BadArgument),
        // PDUs begin where the list does.
        (t8(&framed, framed.t8.with_base(0)), CmdStatus::BadArgument),
        (
            Block {
                list: list.addr + 4,
                ..placed.clone()
            },
            CmdStatus::BadArgument,
        ),
        (
            Block {
                list: 8,
                ..placed.clone()
            },
            CmdStatus::BadAddress,
        ),
    ] {
        assert_eq!(commands.set_tcb(&mut rig, &block), Err(want), "{block:?}");
    }
    rig.host.put_words(list.addr, &[list.pages[0] + 8]);
    assert_eq!(
        commands.set_tcb(&mut rig, &placed),
        Err(CmdStatus::BadArgument)
    );
    assert_eq!(
        rig.dev.flows_in_use(),
        0,
        "what is refused leaves nothing behind"
    );
}

/// Removing an entry that is not set reports NotFound.
#[test]
fn missing_objects_are_not_found() {
    let (mut rig, mut commands) = rig();
    for (command, index, want) in [
        (Command::TcbGet, 0, CmdStatus::NotFound),
        (Command::TcbGet, 0xffff, CmdStatus::NotFound),
        (Command::TcbDel, 3, CmdStatus::NotFound),
        (Command::TcbDel, 0x1_0000, CmdStatus::NotFound),
        (Command::RuleDel, 0, CmdStatus::NotFound),
        (Command::RuleDel, 64, CmdStatus::BadArgument),
        (Command::RssDel, 1, CmdStatus::NotFound),
        (Command::RssDel, 0, CmdStatus::BadArgument),
        (Command::RssDel, 16, CmdStatus::BadArgument),
    ] {
        let len = TCB_WORDS * 8;
        assert_eq!(
            commands.ask(&mut rig, command, index, len),
            Err(want),
            "{command:?}"
        );
    }
    // A rule may only name a context that is set.
    let to_context = rule(R0(0).with_context(1).with_target(3), [0; 5], [0; 5]);
    let set = commands.send(&mut rig, Command::RuleSet, 0, &to_context);
    assert_eq!(set, Err(CmdStatus::NotFound));
    let block = context(X0(0), [3; 40], 1);
    assert_eq!(commands.send(&mut rig, Command::RssSet, 3, &block), Ok(0));
    assert_eq!(
        commands.send(&mut rig, Command::RuleSet, 0, &to_context),
        Ok(0)
    );
    assert_eq!(commands.ask(&mut rig, Command::RssDel, 3, 0), Ok(0));
    assert_eq!(commands.ask(&mut rig, Command::RuleDel, 0, 0), Ok(0));
}

/// The dump of the flow database: every entry, as many as fit, from any number on.
///
/// Claims: 9, 49.
#[test]
fn flows_are_dumped() {
    let (mut rig, mut commands) = rig();
    rig.write(FLOW_AGE_US, 0);
    let flows = [
        Tcp::data(1, 1, 100),
        Tcp::data(2, 500, 100).v6(),
        Tcp {
            vlan: Some(0x2007),
            ..Tcp::data(3, 9, 100)
        },
    ];
    for flow in &flows {
        rig.arrive(&flow.build());
    }
    let came = rig.now;
    let tcb = Block::expecting(&flows[1]).steer(1);
    assert_eq!(commands.set_tcb(&mut rig, &tcb), Ok(1));
    rig.drain();
    rig.now = came + 5_000_000;
    rig.arrive(&Tcp::data(1, 101, 100).build());
    let len = 3 * FLOW_WORDS * 8;
    assert_eq!(commands.ask(&mut rig, Command::FlowDump, 0, len), Ok(3));
    let words = commands.words(&rig.host, 3 * FLOW_WORDS);
    for (i, (entry, flow)) in words.chunks(FLOW_WORDS).zip(&flows).enumerate() {
        let f0 = F0(entry[0]);
        assert_eq!(f0.flow(), i as u64);
        assert_eq!(f0.key_len(), if flow.v6 { 36 } else { 12 });
        assert_eq!((f0.v6(), f0.tcb()), (flow.v6.into(), (i == 1).into()));
        // A packet of the first one waits while the command is carried out.
        assert_eq!((f0.busy(), f0.open()), ((i == 0).into(), (i == 0).into()));
        assert_eq!(f0.vlan(), flow.vlan.is_some().into());
        assert_eq!(f0.vlan_tci(), flow.vlan.unwrap_or(0).into());
        assert_eq!(
            entry[FLOW_KEY..FLOW_KEY + KEY_WORDS],
            reflow_testkit::control::key_of(flow)
        );
        let came = if i == 0 { 200 } else { 100 };
        assert_eq!(F6(entry[6]).expected(), u64::from(flow.seq) + came);
        assert!(if i == 0 {
            entry[7] < 100
        } else {
            entry[7] >= 5000
        });
    }
    // In parts.
    assert_eq!(commands.ask(&mut rig, Command::FlowDump, 0, 64 + 63), Ok(1));
    assert_eq!(commands.ask(&mut rig, Command::FlowDump, 1, len), Ok(2));
    assert_eq!(F0(commands.words(&rig.host, 1)[0]).flow(), 1);
    for index in [3, 16, u32::MAX] {
        assert_eq!(commands.ask(&mut rig, Command::FlowDump, index, len), Ok(0));
    }
}

/// The self-test passes on an idle device and under load.
#[test]
fn self_test() {
    let (mut rig, mut commands) = rig();
    assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
    for conn in 0..40 {
        rig.arrive(&Tcp::data(conn, 1, 700).build());
    }
    assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
    rig.drain();
    assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
}

/// The clock is that of the timestamps: each packet has the time at which it came.
#[test]
fn timestamps() {
    let (mut rig, mut commands) = rig();
    let mut came = Vec::new();
    for i in 0..3 {
        rig.arrive(&Tcp::data(1, 1 + i * 100, 100).build());
        came.push(rig.now);
    }
    assert_eq!(commands.ask(&mut rig, Command::ClockGet, 0, 8), Ok(0));
    assert_eq!(rig.host.get_u64(commands.block), rig.now);
    let times: Vec<u64> = rig.drain().iter().map(|d| d.first.time).collect();
    assert_eq!(times, came);
}

/// The clock can be read, set, stepped and steered through registers, and goes on over a reset.
#[test]
fn clock() {
    use reflow_hwdef::regs::*;
    fn time(rig: &mut Rig) -> u64 {
        rig.dev.advance(rig.now);
        u64::from(rig.read(CLOCK_LO)) | (u64::from(rig.read(CLOCK_HI)) << 32)
    }
    let (mut rig, _) = rig();
    assert_eq!(time(&mut rig), rig.now);
    let set = 0x7_1234_5678;
    rig.write(CLOCK_SET_LO, set as u32);
    assert_eq!(time(&mut rig), rig.now, "set by the high half only");
    rig.write(CLOCK_SET_HI, (set >> 32) as u32);
    assert_eq!(time(&mut rig), set);
    let back = -0x7_0000_0000_i64;
    rig.write(CLOCK_STEP_LO, back as u32);
    rig.write(CLOCK_STEP_HI, (back >> 32) as u32);
    assert_eq!(time(&mut rig), 0x1234_5678);
    // 100 parts per million.
    rig.write(CLOCK_RATE, 100 << 16);
    rig.now += 1_000_000;
    assert_eq!(time(&mut rig), 0x1234_5678 + 1_000_100);
    rig.write(RESET, 1);
    assert_eq!(rig.read(CLOCK_RATE), 100 << 16);
    rig.now += 1_000_000;
    assert_eq!(time(&mut rig), 0x1234_5678 + 2_000_200);
    // The latched half stays until the low half is read again.
    rig.now += 1 << 33;
    rig.dev.advance(rig.now);
    assert_eq!(rig.read(CLOCK_HI), 0);
}

/// A reset stops the ring and forgets all that was set.
#[test]
fn a_reset_clears_all_settings() {
    let (mut rig, mut commands) = rig();
    let flow = commands
        .set_tcb(&mut rig, &Block::expecting(&Tcp::data(1, 1, 0)))
        .unwrap();
    rig.write(reflow_hwdef::regs::RESET, 1);
    assert_eq!((rig.read(SIZE_REG), rig.dev.flows_in_use()), (0, 0));
    commands.start(&mut rig);
    assert_eq!(commands.tcb(&mut rig, flow), Err(CmdStatus::NotFound));
}

#[derive(Clone, Debug)]
enum Hostile {
    Entry([u64; CMD_WORDS]),
    /// A control block that is valid, or valid but for one word.
    Tcb(u16, u64, Option<(usize, u64)>),
    Block(usize, u64),
    Tail(u32),
    Base(u64, u32),
    Frame(u16, u32, u8, usize),
    Pump,
}

/// Words that are now and then plausible.
fn word(good: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..64_u64,
        Just(good),
        (0..32_u64).prop_map(move |i| good + i * 8),
        (0..64_u32).prop_map(|bit| 1 << bit),
    ]
}

fn hostile() -> impl Strategy<Value = Hostile> {
    let (_, commands) = rig();
    let (base, block) = (commands.base, commands.block);
    let head = prop_oneof![
        any::<u64>(),
        (0..12_u64, 0..20_u64).prop_map(|(command, index)| command | (index << 32)),
        Just(Command::TcbSet as u64),
    ];
    let addr = prop_oneof![word(block), Just(block)];
    let entry = (head, addr, prop_oneof![any::<u64>(), 0..512_u64])
        .prop_map(|(head, addr, len)| Hostile::Entry([head, addr, len, 0, 0, 0, 0, 0]));
    prop_oneof![
        8 => entry,
        6 => (0..32_usize, word(block)).prop_map(|(at, value)| Hostile::Block(at, value)),
        4 => (0..4_u16, any::<u64>(), proptest::option::of((0..TCB_WORDS, word(block))))
            .prop_map(|(conn, switches, broken)| Hostile::Tcb(conn, switches, broken)),
        1 => any::<u32>().prop_map(Hostile::Tail),
        1 => (word(base), 0..16_u32).prop_map(|(base, log2)| Hostile::Base(base, log2)),
        2 => (0..4_u16, 0..4_u32, any::<u8>(), 0..3000_usize)
            .prop_map(|(conn, seq, flags, len)| Hostile::Frame(conn, seq * 1000, flags, len)),
        4 => Just(Hostile::Pump),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// With any entries, blocks and registers nothing panics, and the ring has stopped or every
    /// command has a status.
    #[test]
    fn hostile_commands(steps in proptest::collection::vec(hostile(), 1..120)) {
        let (mut rig, mut commands) = rig();
        let list = List::new(&rig.host, 3);
        let mut waiting: Vec<u64> = Vec::new();
        let mut own = true;
        for step in steps {
            match step {
                Hostile::Entry(words) if waiting.len() < 16 => {
                    waiting.push(commands.put(&rig.host, words));
                }
                Hostile::Entry(_) => {}
                Hostile::Tcb(conn, switches, broken) => {
                    let mut tcb = Block::expecting(&Tcp::data(conn, switches as u32 & 1000, 0));
                    tcb = if switches & (1 << 32) != 0 { tcb.place(&list) } else { tcb };
                    tcb = if switches & (3 << 32) == 3 << 32 { tcb.framed() } else { tcb };
                    tcb = if switches & (1 << 34) != 0 { tcb.steer(1) } else { tcb };
                    let mut words = tcb.words();
                    if let Some((at, value)) = broken {
                        words[at] = value;
                    }
                    rig.host.put_words(commands.block, &words);
                }
                Hostile::Block(at, value) => {
                    rig.host.put_words(commands.block + at as u64 * 8, &[value]);
                }
                Hostile::Tail(raw) => rig.write(CMD_TAIL, raw),
                Hostile::Base(base, log2) => {
                    rig.write(reflow_hwdef::regs::CMD_LO, base as u32);
                    rig.write(reflow_hwdef::regs::CMD_HI, (base >> 32) as u32);
                    rig.write(SIZE_REG, log2);
                    own = false;
                }
                Hostile::Frame(conn, seq, flags, len) => {
                    rig.arrive(&Tcp::data(conn, seq, len).flags(flags).build());
                }
                Hostile::Pump => {
                    commands.kick(&mut rig);
                    rig.pump();
                    let stopped = rig.read(SIZE_REG) == 0;
                    for at in waiting.drain(..) {
                        let done = Cmd7(rig.host.get_u64(at + 56)).done() == 1;
                        prop_assert!(done || stopped || !own);
                    }
                    commands.start(&mut rig);
                    own = true;
                }
            }
        }
        commands.start(&mut rig);
        prop_assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
    }

    /// Random commands through the driver's own ring: each gets a status.
    #[test]
    fn every_command_has_a_status(
        entries in proptest::collection::vec((word(0), word(0x1_0000_0000), word(64)), 1..16),
    ) {
        let (mut rig, mut commands) = rig();
        // Entries overlap with no block that a command writes: blocks lie in front of the ring.
        let end = commands.base - 0x1_0000_0000;
        let at: Vec<u64> = entries
            .iter()
            .map(|&(head, addr, len)| {
                let len = len.min(end);
                let addr = if addr < 0x1_0000_0000 { addr } else { 0x1_0000_0000 + addr % 8 };
                commands.put(&rig.host, [head, addr, len, 0, 0, 0, 0, 0])
            })
            .collect();
        commands.kick(&mut rig);
        rig.pump();
        for at in at {
            let done = Cmd7(rig.host.get_u64(at + 56));
            prop_assert_eq!(done.done(), 1);
            prop_assert!(CmdStatus::from_raw(done.status() as u8).is_some());
        }
        prop_assert_eq!(rig.read(SIZE_REG), commands.log2);
    }
}
