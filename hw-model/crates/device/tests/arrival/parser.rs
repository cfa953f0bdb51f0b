// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The parser against an independent one, programs against each other, and random programs.

mod frames;
mod oracle;

use oracle::{Expected, Found};
use proptest::prelude::*;
use reflow_device::parser::{Parsed, Program};
use reflow_hwdef::isa::{Kind, HEADER_MEMORY, MAX_STEPS};
use reflow_hwdef::programs::PROGRAMS;

fn shipped(name: &str) -> Program {
    let program = PROGRAMS.iter().find(|p| p.name == name).unwrap();
    Program::load(program.words).unwrap()
}

fn run(program: &Program, frame: &[u8]) -> Parsed {
    program.run(&frame[..frame.len().min(HEADER_MEMORY)], frame.len())
}

/// A tunnel whose inner header is broken: the packet is refused, and key and kind are those of the
/// outer header.
#[test]
fn a_broken_inner_header_leaves_the_outer_key() {
    let program = shipped("tunnels");
    let v4 = |proto: u8, len: u8| {
        let mut ip = [0x45, 0, 0, len, 0, 0, 0, 0, 64, proto, 0, 0];
        ip[0] = 0x45;
        [&ip[..], &[10, 0, 0, len, 10, 0, 1, len]].concat()
    };
    let v6 = |next: u8, len: u8| {
        let mut ip = vec![0x60, 0, 0, 0, 0, len, next, 64];
        ip.extend([len; 32]);
        ip
    };
    let eth = |kind: [u8; 2]| [&[2; 12][..], &kind].concat();
    let rest = [0_u8; 20];
    for (outer, kind, inner_at) in [
        (v4(4, 60), [0x08, 0x00], 34),
        (v4(41, 80), [0x08, 0x00], 34),
        (v6(4, 40), [0x86, 0xdd], 54),
        (v6(41, 60), [0x86, 0xdd], 54),
    ] {
        let inner_is_v6 =
            matches!(outer[9], 41) && outer[0] == 0x45 || outer[0] == 0x60 && outer[6] == 41;
        let inner = if inner_is_v6 { v6(6, 20) } else { v4(6, 40) };
        let good = [eth(kind), outer, inner, rest.to_vec()].concat();
        let outer_only = run(&shipped("default"), &good);
        let tunnel = |parsed: &Parsed| parsed.kind.tunnel() != 0;
        assert!(tunnel(&run(&program, &good)));
        let lengths = if inner_is_v6 { 4..6 } else { 2..4 };
        let mut broken = Vec::new();
        for (at, value) in [(0, 0x35), (0, if inner_is_v6 { 0x40 } else { 0x44 })] {
            let mut frame = good.clone();
            frame[inner_at + at] = value;
            broken.push(frame);
        }
        let mut frame = good.clone();
        frame[inner_at + lengths.start..inner_at + lengths.end].fill(0xff);
        broken.push(frame);
        // Nothing but the beginning of an inner header.
        let mut frame = good[..inner_at + 10].to_vec();
        let end = (frame.len() - 14) as u8;
        match kind {
            [0x08, 0x00] => frame[17] = end,
            _ => frame[19] = end - 40,
        }
        broken.push(frame);
        for frame in broken {
            let parsed = run(&program, &frame);
            assert!(parsed.refused);
            assert_eq!(
                (parsed.key(), parsed.kind),
                (outer_only.key(), outer_only.kind)
            );
        }
    }
}

/// Claims: 2, 34.
#[test]
fn all_shipped_programs_are_accepted_and_default_is_first() {
    assert_eq!(PROGRAMS[0].name, "default");
    let mut names: Vec<_> = PROGRAMS.iter().map(|p| p.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["default", "empty", "noport", "session", "tunnels"]);
    for program in PROGRAMS {
        Program::load(program.words).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4 * ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Claims: 1, 2, 4, 5, 6, 33, 34.
    #[test]
    fn the_default_program_agrees_with_an_independent_parser(frame in frames::frame()) {
        let parsed = run(&shipped("default"), &frame);
        match oracle::expected(&frame) {
            Expected::Refused => prop_assert!(parsed.refused),
            Expected::Found(found) => prop_assert_eq!(Found::from(&parsed), found),
        }
    }

    /// Nothing behind the header memory, the frame or the IP packet has a part in the result.
    #[test]
    fn nothing_outside_the_packet_is_read(frame in frames::frame(), other in any::<u8>()) {
        for program in PROGRAMS {
            let program = Program::load(program.words).unwrap();
            let parsed = run(&program, &frame);
            let mut longer = frame.clone();
            longer.resize(frame.len() + 300, other);
            prop_assert_eq!(&program.run(&longer, frame.len()), &parsed);
            if let (Some(end), Some(_)) = (parsed.pkt_end, parsed.hdr_end) {
                let mut padded = frame.clone();
                padded[usize::from(end)..].fill(other);
                prop_assert_eq!(&run(&program, &padded), &parsed);
            }
            prop_assert!(usize::from(parsed.steps) <= MAX_STEPS);
            check_offsets(&parsed, frame.len())?;
        }
    }

    /// A packet in a tunnel is parsed as if it had come alone.
    ///
    /// Claims: 2, 3, 34.
    #[test]
    fn tunnels_gives_the_inner_packet(
        tag in proptest::option::of(Just(0x8100)),
        outer in frames::ip(2).prop_map(frames::passable),
        inner in frames::ip(3).prop_map(frames::short),
        carried in frames::carried(),
    ) {
        let tags: Vec<u16> = tag.into_iter().collect();
        let packet = frames::packet(&inner, &carried);
        let alone = frames::frame_of(&[], &inner, &packet, 0);
        let protocol = match inner {
            frames::Ip::V4 { .. } => 4,
            frames::Ip::V6 { .. } => 41,
        };
        let around = frames::packet_of(&outer, protocol, &packet);
        let frame = frames::frame_of(&tags, &outer, &around, 6);
        let shift = (frame.len() - 6 - alone.len()) as u16;
        let mut expected = Found::from(&run(&shipped("default"), &alone));
        let offsets = [
            &mut expected.l3_off,
            &mut expected.l4_off,
            &mut expected.hdr_end,
            &mut expected.pkt_end,
        ];
        for offset in offsets {
            *offset = offset.map(|o| o + shift);
        }
        expected.kind |= Kind(0).with_tunnel(1).0;
        expected.vlan = tags.first().map(|_| (12, 0x2005));
        prop_assert_eq!(Found::from(&run(&shipped("tunnels"), &frame)), expected);
    }

    /// Without a tunnel the program for tunnels does as the default one.
    #[test]
    fn tunnels_equals_default_without_a_tunnel(frame in frames::frame()) {
        let parsed = run(&shipped("tunnels"), &frame);
        prop_assume!(parsed.kind.tunnel() == 0);
        let default = run(&shipped("default"), &frame);
        prop_assert!(parsed.refused || parsed == default);
        prop_assert!(parsed.l3_off != default.l3_off || parsed.key() == default.key());
    }

    /// Claims: 3, 34.
    #[test]
    fn noport_leaves_one_port_alone(frame in frames::frame(), which in 0..3_usize) {
        let mut frame = frame;
        let default = shipped("default");
        let l4 = run(&default, &frame).l4_off.map(usize::from);
        if let (Some(l4), 1..=2) = (l4, which) {
            if let Some(port) = frame.get_mut(l4 + (which - 1) * 2..l4 + which * 2) {
                port.copy_from_slice(&80_u16.to_be_bytes());
            }
        }
        let expected = run(&default, &frame);
        let ports = expected.key().get(expected.key_len.saturating_sub(4)..).unwrap();
        let left_alone = !expected.refused
            && ports.chunks(2).any(|port| port == 80_u16.to_be_bytes());
        let parsed = run(&shipped("noport"), &frame);
        prop_assert_eq!(parsed.refused, expected.refused || left_alone);
        prop_assert_eq!(parsed.key(), expected.key());
        if !parsed.refused {
            prop_assert_eq!(parsed.hdr_end, expected.hdr_end);
        }
    }

    /// Claims: 29.
    #[test]
    fn session_knows_the_framing_of_smb(
        frame in frames::frame(),
        which in 0..3_usize,
        port in prop_oneof![Just(139_u16), Just(445)],
    ) {
        let mut frame = frame;
        let default = shipped("default");
        let l4 = run(&default, &frame).l4_off.map(usize::from);
        if let (Some(l4), 1..=2) = (l4, which) {
            if let Some(at) = frame.get_mut(l4 + (which - 1) * 2..l4 + which * 2) {
                at.copy_from_slice(&port.to_be_bytes());
            }
        }
        let expected = Found::from(&run(&default, &frame));
        let parsed = run(&shipped("session"), &frame);
        let ports = expected.key.get(expected.key.len().saturating_sub(4)..).unwrap();
        let framed = expected.conforms
            && ports.chunks(2).any(|p| [[0, 139], [1, 189]].iter().any(|known| p == known));
        prop_assert_eq!(parsed.session.is_some(), framed);
        if let Some(session) = parsed.session {
            prop_assert_eq!(session.message_len(&[0, 0, 1, 2]), Some(0x102 + 4));
        }
        prop_assert_eq!(Found::from(&parsed), expected);
    }

    /// Whatever the verifier lets pass ends in time, and whatever it is given, nothing panics.
    #[test]
    fn verified_programs_terminate(
        instrs in reflow_testkit::programs::program(),
        frame in frames::frame(),
        frame_len in prop_oneof![3 => Just(None), 1 => (0..0x2_0000_usize).prop_map(Some)],
    ) {
        let words: Vec<u32> = instrs.iter().flat_map(|i| i.encode()).collect();
        let program = Program::load(&words).unwrap();
        let frame_len = frame_len.unwrap_or(frame.len());
        let mut steps = 0;
        let parsed = program.run_traced(&frame, frame_len, &mut |_| steps += 1);
        prop_assert!(usize::from(parsed.steps) <= MAX_STEPS);
        prop_assert!(steps <= MAX_STEPS + 1);
        check_offsets(&parsed, frame_len)?;
    }

    #[test]
    fn any_words_load_or_are_refused(words in proptest::collection::vec(any::<u32>(), 0..60)) {
        if let Ok(program) = Program::load(&words) {
            prop_assert_eq!(program.len() * 4, words.len());
        }
    }

    #[test]
    fn any_file_is_an_image_or_is_refused(
        start in prop_oneof![Just(b"RFLP\x01\x00".to_vec()), Just(Vec::new())],
        rest in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..200),
    ) {
        let file = [start, rest].concat();
        if let Ok(image) = reflow_hwdef::image::parse(&file) {
            prop_assert!(image.words().len() * 4 + 48 == file.len());
        }
    }
}

/// Offsets that users of the result rely on.
fn check_offsets(parsed: &Parsed, frame_len: usize) -> Result<(), TestCaseError> {
    prop_assert!(parsed.key().len() == parsed.key_len);
    let inside = |offset: Option<u16>, limit: usize| usize::from(offset.unwrap_or(0)) <= limit;
    prop_assert!(inside(parsed.pkt_end, frame_len));
    for offset in [parsed.l3_off, parsed.l4_off, parsed.hdr_end] {
        prop_assert!(inside(offset, frame_len.min(HEADER_MEMORY)));
    }
    if let Some((at, _)) = parsed.vlan {
        prop_assert!(usize::from(at) + 4 <= frame_len.min(HEADER_MEMORY));
    }
    prop_assert!(parsed.session.is_none() || parsed.hdr_end.is_some());
    Ok(())
}
