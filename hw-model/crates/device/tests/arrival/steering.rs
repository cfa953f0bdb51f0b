// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The load distributor: rules, hash contexts, the symmetric hash, and who has precedence.

use proptest::prelude::*;
use reflow_device::RxOutcome;
use reflow_hwdef::cmd::*;
use reflow_hwdef::regs::{HashFields, RssCtrl, RSS_CTRL, RSS_ENTRIES, RSS_TABLE};
use reflow_hwdef::stats::{Global, Queue};
use reflow_hwdef::toeplitz;
use reflow_testkit::control::{
    context, hashed, key_of, key_of_frame, rule, words_of, Block, Commands, Key,
};
use reflow_testkit::{hashing, QueueSetup, Rig, Setup, Tcp};

fn rig() -> (Rig, Commands) {
    let mut rig = Rig::new(Setup {
        queues: 4,
        ram: 32 << 20,
        ..Setup::default()
    });
    for i in 0..RSS_ENTRIES {
        rig.write(RSS_TABLE + i * 4, 0);
    }
    let commands = Commands::new(&mut rig);
    (rig, commands)
}

/// Queue of a frame; `None` if a rule dropped it. Nothing waits afterwards.
fn queue_of(rig: &mut Rig, frame: &[u8]) -> Option<u16> {
    let outcome = rig.arrive(frame);
    rig.drain();
    match outcome {
        RxOutcome::Queued { queue, .. } => Some(queue),
        RxOutcome::Dropped(Global::RxRuleDrop) => None,
        RxOutcome::Dropped(why) => panic!("{why:?}"),
    }
}

fn set(rig: &mut Rig, commands: &mut Commands, index: u32, head: R0, key: Key, mask: Key) {
    let block = rule(head, key, mask);
    assert_eq!(commands.send(rig, Command::RuleSet, index, &block), Ok(0));
}

const ALL: Key = [u64::MAX; KEY_WORDS];

/// A mask of the first bytes of an IPv4 or IPv6 key.
fn mask(bytes: std::ops::Range<usize>) -> Key {
    let bytes: Vec<u8> = (0..40)
        .map(|i| if bytes.contains(&i) { 0xff } else { 0 })
        .collect();
    words_of(&bytes)
}

/// Rules match what their mask covers, and protocol and version; the lowest number wins.
///
/// Claims: 32, 38, 54, 61.
#[test]
fn rules_match_under_their_mask() {
    let (mut rig, mut commands) = rig();
    let tcp = |conn| Tcp::data(conn, 1, 100).build();
    let key = key_of(&Tcp::data(1, 1, 0));
    let v4 = R0(0).with_tcp(1);
    // The whole key.
    set(
        &mut rig,
        &mut commands,
        9,
        v4.with_target(1),
        key,
        mask(0..12),
    );
    assert_eq!(queue_of(&mut rig, &tcp(1)), Some(1));
    assert_eq!(queue_of(&mut rig, &tcp(2)), Some(0));
    // The destination's address and port only; it stands behind the first rule.
    let server = [mask(4..8), mask(10..12)];
    let server: Key = std::array::from_fn(|i| server[0][i] | server[1][i]);
    set(&mut rig, &mut commands, 10, v4.with_target(2), key, server);
    assert_eq!(queue_of(&mut rig, &tcp(1)), Some(1));
    assert_eq!(queue_of(&mut rig, &tcp(2)), Some(2));
    // Now one before both.
    set(
        &mut rig,
        &mut commands,
        0,
        v4.with_target(3),
        key,
        mask(4..8),
    );
    assert_eq!(queue_of(&mut rig, &tcp(1)), Some(3));
    // Rules do not match other protocols and versions.
    let udp = reflow_testkit::frames::udp(1, false, &[1; 100]);
    assert_eq!(queue_of(&mut rig, &udp), Some(0));
    assert_eq!(
        queue_of(&mut rig, &Tcp::data(1, 1, 100).v6().build()),
        Some(0)
    );
    assert_eq!(queue_of(&mut rig, &reflow_testkit::frames::arp()), Some(0));
    // Without them the others go on.
    for (index, left) in [(10, 3), (0, 1), (9, 0)] {
        assert_eq!(commands.ask(&mut rig, Command::RuleDel, index, 0), Ok(0));
        assert_eq!(queue_of(&mut rig, &tcp(1)), Some(left));
    }
    assert_eq!(rig.count(Global::RxRuleDrop), 0);
}

/// IPv6, UDP, any protocol, and bytes that a key does not have.
#[test]
fn rules_distinguish_versions_and_protocols() {
    let (mut rig, mut commands) = rig();
    let tcp6 = Tcp::data(1, 1, 100).v6();
    let udp = reflow_testkit::frames::udp(1, false, &[1; 100]);
    let udp_key = key_of_frame(&udp, false, false);
    let v6 = R0(0).with_v6(1).with_tcp(1).with_target(1);
    set(&mut rig, &mut commands, 1, v6, key_of(&tcp6), mask(0..36));
    let v4 = R0(0).with_udp(1).with_target(2);
    set(&mut rig, &mut commands, 2, v4, udp_key, mask(0..12));
    assert_eq!(queue_of(&mut rig, &tcp6.build()), Some(1));
    assert_eq!(queue_of(&mut rig, &udp), Some(2));
    let other = Tcp {
        conn: 2,
        ..tcp6.clone()
    };
    assert_eq!(queue_of(&mut rig, &other.build()), Some(0));
    // No key of IPv4 has a thirteenth byte.
    set(
        &mut rig,
        &mut commands,
        0,
        R0(0).with_target(3),
        udp_key,
        mask(0..13),
    );
    assert_eq!(queue_of(&mut rig, &udp), Some(2));
    set(
        &mut rig,
        &mut commands,
        0,
        R0(0).with_target(3),
        udp_key,
        mask(4..8),
    );
    assert_eq!(queue_of(&mut rig, &udp), Some(3));
    assert_eq!(queue_of(&mut rig, &Tcp::data(1, 1, 100).build()), Some(3));
    let both = R0(0).with_tcp(1).with_udp(1).with_target(1);
    set(&mut rig, &mut commands, 0, both, udp_key, [0; KEY_WORDS]);
    assert_eq!(queue_of(&mut rig, &udp), Some(1));
    assert_eq!(queue_of(&mut rig, &Tcp::data(9, 1, 100).build()), Some(1));
}

/// Packets dropped by a rule are counted and never reach the packet memory.
#[test]
fn rules_drop() {
    let (mut rig, mut commands) = rig();
    let tcp = Tcp::data(1, 1, 100);
    rig.arrive(&tcp.build());
    set(
        &mut rig,
        &mut commands,
        5,
        R0(0).with_drop(1),
        key_of(&tcp),
        mask(0..12),
    );
    rig.drain();
    for i in 1..4 {
        assert_eq!(
            queue_of(&mut rig, &Tcp::data(1, 1 + i * 100, 100).build()),
            None
        );
    }
    assert_eq!(queue_of(&mut rig, &Tcp::data(2, 1, 100).build()), Some(0));
    assert_eq!((rig.count(Global::RxRuleDrop), rig.dev.pm_level()), (3, 0));
    rig.assert_accounted(0);
}

/// Contexts hash with their own secret, fields and table; the completion has that hash.
///
/// Claims: 38, 45, 54.
#[test]
fn each_context_has_its_own_hash() {
    let (mut rig, mut commands) = rig();
    let secret: [u8; 40] = std::array::from_fn(|i| (i * 7 + 3) as u8);
    let tcp = Tcp::data(1, 1, 100);
    let mut block = context(hashed(hashing(true)), secret, 0);
    let key: Vec<u8> = key_of(&tcp).iter().flat_map(|w| w.to_le_bytes()).collect();
    let hash = toeplitz::hash(&secret, &key[..12]);
    // One entry of the table names queue 2, all others queue 0.
    let at = hash as usize % RSS_ENTRIES;
    block[RSS_TABLE_WORD + at / 8] = 2 << (at % 8 * 8);
    assert_eq!(commands.send(&mut rig, Command::RssSet, 15, &block), Ok(0));
    let head = R0(0).with_context(1).with_target(15);
    set(&mut rig, &mut commands, 0, head, key_of(&tcp), mask(0..4));
    rig.arrive(&tcp.build());
    let got = rig.drain();
    assert_eq!(got[0].first.c1.hash() as u32, hash);
    assert_eq!(got[0].first.c0.hash_l4(), 1);
    assert_eq!(queue_of(&mut rig, &Tcp::data(1, 101, 100).build()), Some(2));
    // Addresses only.
    let addrs = context(hashed(hashing(false)), secret, 3);
    assert_eq!(commands.send(&mut rig, Command::RssSet, 15, &addrs), Ok(0));
    rig.arrive(&Tcp::data(1, 201, 100).build());
    let got = rig.drain();
    assert_eq!(
        got[0].first.c1.hash() as u32,
        toeplitz::hash(&secret, &key[..8])
    );
    assert_eq!(got[0].first.c0.hash_l4(), 0);
    assert_eq!(queue_of(&mut rig, &Tcp::data(1, 301, 100).build()), Some(3));
    // A deleted context is context 0.
    assert_eq!(commands.ask(&mut rig, Command::RssDel, 15, 0), Ok(0));
    assert_eq!(queue_of(&mut rig, &Tcp::data(1, 401, 100).build()), Some(0));
    let zero = R0(0).with_context(1);
    set(&mut rig, &mut commands, 0, zero, key_of(&tcp), ALL);
    assert_eq!(queue_of(&mut rig, &Tcp::data(1, 501, 100).build()), Some(0));
}

/// A rule adds its offset to the queue that its context chooses, and to that of no other rule.
///
/// Claims: 38, 45, 54.
#[test]
fn rules_add_to_the_queue() {
    let (mut rig, mut commands) = rig();
    let block = context(hashed(hashing(true)), [3; 40], 1);
    assert_eq!(commands.send(&mut rig, Command::RssSet, 1, &block), Ok(0));
    let key = key_of(&Tcp::data(1, 1, 0));
    let head = R0(0).with_context(1).with_target(1);
    set(
        &mut rig,
        &mut commands,
        0,
        head.with_offset(2),
        key,
        mask(10..12),
    );
    let tcp = |seq| Tcp::data(1, seq, 100).build();
    assert_eq!(queue_of(&mut rig, &tcp(1)), Some(3));
    set(&mut rig, &mut commands, 0, head, key, mask(10..12));
    assert_eq!(queue_of(&mut rig, &tcp(101)), Some(1));
    // There is no fifth queue: packets for it are lost and counted.
    set(
        &mut rig,
        &mut commands,
        0,
        head.with_offset(3),
        key,
        mask(10..12),
    );
    assert_eq!(
        rig.arrive(&tcp(201)),
        RxOutcome::Dropped(Global::RxDisabled)
    );
}

/// Control block before rule before hash.
///
/// Claims: 24, 38, 54.
#[test]
fn precedence() {
    let (mut rig, mut commands) = rig();
    for i in 0..RSS_ENTRIES {
        rig.write(RSS_TABLE + i * 4, 1);
    }
    let mut seq = 1;
    let mut next = |rig: &mut Rig| {
        seq += 100;
        queue_of(rig, &Tcp::data(1, seq, 100).build())
    };
    assert_eq!(next(&mut rig), Some(1));
    let key = key_of(&Tcp::data(1, 1, 0));
    set(
        &mut rig,
        &mut commands,
        3,
        R0(0).with_target(2),
        key,
        mask(0..12),
    );
    assert_eq!(next(&mut rig), Some(2));
    // A block that does not steer leaves it to the rule.
    let block = Block::expecting(&Tcp::data(1, 1, 0));
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    assert_eq!(next(&mut rig), Some(2));
    commands.set_tcb(&mut rig, &block.steer(3)).unwrap();
    assert_eq!(next(&mut rig), Some(3));
    set(
        &mut rig,
        &mut commands,
        3,
        R0(0).with_drop(1),
        key,
        mask(0..12),
    );
    assert_eq!(next(&mut rig), Some(3));
    assert_eq!(
        commands.ask(&mut rig, Command::TcbDel, flow.into(), 0),
        Ok(0)
    );
    assert_eq!(next(&mut rig), None);
    assert_eq!(commands.ask(&mut rig, Command::RuleDel, 3, 0), Ok(0));
    assert_eq!(next(&mut rig), Some(1));
}

fn swapped(tcp: &Tcp) -> Vec<u8> {
    let mut frame = tcp.build();
    let (at, len) = if tcp.v6 { (22, 16) } else { (26, 4) };
    for i in 0..len {
        frame.swap(at + i, at + len + i);
    }
    let ports = at + 2 * len;
    frame.swap(ports, ports + 2);
    frame.swap(ports + 1, ports + 3);
    frame
}

fn hash_of(rig: &mut Rig, frame: &[u8]) -> u64 {
    rig.arrive(frame);
    rig.drain()[0].first.c1.hash()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The symmetric hash is the same for both directions, in any context; the plain one is not.
    ///
    /// Claims: 38, 45.
    #[test]
    fn the_symmetric_hash(conn in 1..60_000_u16, v6: bool, ports: bool, by_context: bool) {
        let (mut rig, mut commands) = rig();
        let tcp = Tcp { v6, ..Tcp::data(conn % 50_000, 1, 10) };
        if by_context {
            let x0 = hashed(hashing(ports).with_symmetric(1));
            let block = context(x0, toeplitz::DEFAULT_SECRET, 1);
            prop_assert_eq!(commands.send(&mut rig, Command::RssSet, 1, &block), Ok(0));
            let head = R0(0).with_v6(v6.into()).with_context(1).with_target(1);
            set(&mut rig, &mut commands, 0, head, [0; KEY_WORDS], [0; KEY_WORDS]);
        } else {
            let ctrl = hashing(ports).with_enable(1).with_symmetric(1);
            rig.write(RSS_CTRL, ctrl.0);
        }
        let there = hash_of(&mut rig, &tcp.build());
        let back = hash_of(&mut rig, &swapped(&tcp));
        prop_assert_eq!(there, back);
        // Exclusive or of source and destination, in the place of both.
        let key: Vec<u8> = key_of(&tcp).iter().flat_map(|w| w.to_le_bytes()).collect();
        let n = if v6 { 16 } else { 4 };
        let mut input: Vec<u8> = (0..n).map(|i| key[i] ^ key[n + i]).collect();
        input.extend(input.clone());
        if ports {
            let port: Vec<u8> = (0..2).map(|i| key[2 * n + i] ^ key[2 * n + 2 + i]).collect();
            input.extend(port.iter().chain(&port));
        }
        prop_assert_eq!(there as u32, toeplitz::hash(&toeplitz::DEFAULT_SECRET, &input));
        rig.write(RSS_CTRL, hashing(true).with_enable(1).0);
        commands.ask(&mut rig, Command::RuleDel, 0, 0).ok();
        prop_assert_ne!(hash_of(&mut rig, &tcp.build()), hash_of(&mut rig, &swapped(&tcp)));
    }

    /// Of addresses, ports and flow label just those are hashed that are chosen for a packet's kind,
    /// whatever is chosen for others.
    ///
    /// Claims: 5, 6, 38.
    #[test]
    fn chosen_fields_are_hashed(
        conn in 1..5_000_u16, v6: bool, is_tcp: bool, chosen in 0..32_u32, rest: u32,
        label in 0..1_u32 << 20,
    ) {
        let (mut rig, _) = rig();
        let (frame, key) = if is_tcp {
            let tcp = Tcp { v6, label, ..Tcp::data(conn, 1, 10) };
            (tcp.build(), key_of(&tcp))
        } else {
            let mut frame = reflow_testkit::frames::udp(conn, v6, &[1; 10]);
            if v6 {
                frame[14..18].copy_from_slice(&((6 << 28) | label).to_be_bytes());
            }
            let key = key_of_frame(&frame, v6, false);
            (frame, key)
        };
        let ctrl = match (is_tcp, v6) {
            (true, false) => RssCtrl(rest).with_tcp4(chosen),
            (false, false) => RssCtrl(rest).with_udp4(chosen),
            (true, true) => RssCtrl(rest).with_tcp6(chosen),
            (false, true) => RssCtrl(rest).with_udp6(chosen),
        };
        rig.write(RSS_CTRL, ctrl.with_enable(1).with_symmetric(0).0);
        let fields = HashFields(chosen);
        let key: Vec<u8> = key.iter().flat_map(|w| w.to_le_bytes()).collect();
        let n = if v6 { 16 } else { 4 };
        let (addrs, ports) = key.split_at(2 * n);
        let mut input = Vec::new();
        let mut put = |wanted: u32, part: &[u8]| {
            if wanted != 0 {
                input.extend_from_slice(part);
            }
        };
        put(fields.src(), &addrs[..n]);
        put(fields.dst(), &addrs[n..]);
        if v6 && fields.label() != 0 {
            let port = |wanted, at: usize| match wanted {
                0 => 0,
                _ => (u32::from(ports[at]) << 8) | u32::from(ports[at + 1]),
            };
            let word = (port(fields.src_port(), 0) << 16) | port(fields.dst_port(), 2);
            put(1, &(word ^ label).to_be_bytes());
        } else {
            put(fields.src_port(), &ports[..2]);
            put(fields.dst_port(), &ports[2..4]);
        }
        rig.arrive(&frame);
        let got = rig.drain();
        prop_assert_eq!(
            got[0].first.c1.hash() as u32,
            toeplitz::hash(&toeplitz::DEFAULT_SECRET, &input)
        );
        let covers_ports = fields.src_port() | fields.dst_port();
        prop_assert_eq!(got[0].first.c0.hash_l4(), u64::from(covers_ports));
    }

    /// Whatever changes the queue of a flow under way: a packet goes to another queue than the one
    /// before it only when that one has been transferred.
    ///
    /// Claims: 39, 45.
    #[test]
    fn flows_keep_their_order(
        steps in proptest::collection::vec((0..4_u16, 0..4_u64, 0..16_u8), 1..120),
    ) {
        // Rings so short that packets wait while the driver does not read.
        let mut rig = Rig::new(Setup {
            queues: 4,
            ram: 32 << 20,
            queue: QueueSetup { log2_cq: 3, ..QueueSetup::default() },
            ..Setup::default()
        });
        let mut commands = Commands::new(&mut rig);
        let mut next = [1_u32; 4];
        let mut came = [0_u64; 4];
        let mut last: [Option<(usize, u64)>; 4] = [None; 4];
        for (conn, target, what) in steps {
            let at = usize::from(conn);
            let tcp = Tcp::data(conn, next[at], 100);
            match what {
                0 => {
                    let head = R0(0).with_target(target);
                    set(&mut rig, &mut commands, conn.into(), head, key_of(&tcp), mask(0..12));
                }
                1 => {
                    commands.ask(&mut rig, Command::RuleDel, conn.into(), 0).ok();
                }
                2 => {
                    let block = Block::expecting(&tcp).steer(target);
                    commands.set_tcb(&mut rig, &block).unwrap();
                }
                3 => {
                    commands.ask(&mut rig, Command::TcbDel, conn.into(), 0).ok();
                }
                4 => {
                    for i in 0..RSS_ENTRIES {
                        rig.write(RSS_TABLE + i * 4, target as u32);
                    }
                }
                5 => {
                    rig.drain();
                }
                _ => {
                    let RxOutcome::Queued { queue, .. } = rig.arrive(&tcp.build()) else {
                        panic!("dropped");
                    };
                    let queue = usize::from(queue);
                    if let Some((before, place)) = last[at].filter(|l| l.0 != queue) {
                        let gone = rig.dev.counters().queue(before, Queue::Packets);
                        prop_assert!(gone > place);
                    }
                    last[at] = Some((queue, came[queue]));
                    came[queue] += 1;
                    next[at] += 100;
                }
            }
        }
        prop_assert_eq!(rig.count(Global::OpOutOfOrder), 0);
        prop_assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
        rig.drain();
        rig.assert_accounted(0);
    }
}
