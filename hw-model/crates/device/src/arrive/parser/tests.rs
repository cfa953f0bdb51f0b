// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Each instruction and output by itself, at its boundaries.

use super::*;
use isa::{Cmp, Instr, Kind, Out, HEADER_MEMORY, MAX_STEPS, NEXT_DONE, NEXT_REFUSE};

/// Does nothing, reads nothing, ends well.
const PLAIN: Instr = Instr {
    load: 0,
    mask: 0xffff,
    cmp: Cmp::Nop,
    value: 0,
    ok_adv: 0,
    ok_adv_r: false,
    ok_next: NEXT_DONE,
    fail_adv: 0,
    fail_next: NEXT_REFUSE,
    out: Out::None,
    arg: 0,
    shift: 0,
};

fn program(instrs: &[Instr]) -> Program {
    let words: Vec<u32> = instrs.iter().flat_map(|i| i.encode()).collect();
    Program::load(&words).unwrap()
}

/// Runs instructions one after the other: those that would end well go to the next one.
fn run(instrs: &[Instr], frame: &[u8]) -> Parsed {
    let mut chain = instrs.to_vec();
    let last = chain.len() - 1;
    for (at, i) in chain[..last].iter_mut().enumerate() {
        if i.ok_next == NEXT_DONE {
            i.ok_next = (at + 1) as u8;
        }
    }
    let header = &frame[..frame.len().min(HEADER_MEMORY)];
    program(&chain).run(header, frame.len())
}

fn out(out: Out, arg: u16) -> Instr {
    Instr { out, arg, ..PLAIN }
}

/// Moves the cursor.
fn skip(bytes: u8) -> Instr {
    Instr {
        ok_adv: bytes,
        ..PLAIN
    }
}

/// `Out::L3`, then `Out::End` so that the packet ends `len` bytes behind the cursor.
fn packet(len: u16) -> [Instr; 2] {
    [out(Out::L3, 0), out(Out::End, len)]
}

/// Bytes 0, 1, 2, …
fn count(len: usize) -> Vec<u8> {
    (0..len).map(|n| n as u8).collect()
}

/// Claims: 2.
#[test]
fn comparisons() {
    let cases = [
        (Cmp::Eq, [false, true, false]),
        (Cmp::Ne, [true, false, true]),
        (Cmp::Lt, [true, false, false]),
        (Cmp::Gt, [false, false, true]),
        (Cmp::Always, [true, true, true]),
        (Cmp::Nop, [true, true, true]),
    ];
    for (cmp, hits) in cases {
        for (word, hit) in [0x7fff_u16, 0x8000, 0x8001].into_iter().zip(hits) {
            let i = Instr {
                cmp,
                value: 0x8000,
                ..PLAIN
            };
            let parsed = run(&[i], &word.to_be_bytes());
            assert_eq!(parsed.refused, !hit, "{cmp:?} {word:#x}");
            assert_eq!(parsed.steps, 1);
        }
    }
}

#[test]
fn the_mask_applies_to_the_comparison_and_not_to_the_output() {
    let i = Instr {
        cmp: Cmp::Eq,
        mask: 0x0ff0,
        value: 0x0230,
        out: Out::Vlan,
        ..PLAIN
    };
    let parsed = run(&[skip(2), i], &[0x81, 0, 0x12, 0x34]);
    assert_eq!(parsed.vlan, Some((0, 0x1234)));
}

#[test]
fn a_word_must_lie_inside() {
    let load = |load| Instr {
        load,
        cmp: Cmp::Always,
        ..PLAIN
    };
    let refused = |i, len| run(&[i], &count(len)).refused;
    assert!(!refused(load(8), 10));
    assert!(refused(load(8), 9));
    assert!(refused(load(0), 1));
    assert!(refused(load(0), 0));
    // The header memory's last word, however long the frame is.
    assert!(!refused(load(254), 300));
    assert!(refused(load(255), 300));
    // The frame ends before the header memory that was given.
    assert!(program(&[load(8)]).run(&count(10), 9).refused);
    // More header than the header memory has is not looked at.
    assert!(program(&[load(255)]).run(&count(300), 300).refused);
    assert!(!run(&[PLAIN], &[]).refused);
}

#[test]
fn the_cursor_moves_by_the_advance_of_the_branch_taken() {
    let branch = Instr {
        cmp: Cmp::Eq,
        value: 0x0001,
        ok_adv: 4,
        fail_adv: 7,
        fail_next: 1,
        ..PLAIN
    };
    let at = |first| {
        let mut frame = count(20);
        frame[1] = first;
        run(&[branch, out(Out::L4, 0)], &frame).l4_off
    };
    assert_eq!(at(1), Some(4));
    assert_eq!(at(2), Some(7));
}

#[test]
fn r_moves_the_cursor_if_the_instruction_says_so() {
    let set = |arg, shift| Instr {
        cmp: Cmp::Always,
        out: Out::SetR,
        arg,
        shift,
        ..PLAIN
    };
    let by_r = Instr {
        ok_adv: 1,
        ok_adv_r: true,
        ..PLAIN
    };
    let at = |set| {
        run(
            &[set, by_r, out(Out::L4, 0)],
            &[&[0x12, 0x34][..], &[0; 250]].concat(),
        )
    };
    assert_eq!(at(set(0x00f0, 4)).l4_off, Some(1 + 3));
    assert_eq!(at(set(0x000f, 0x80 | 3)).l4_off, Some(1 + 32));
    assert_eq!(at(set(0x000f, 0)).l4_off, Some(1 + 4));
    assert_eq!(at(set(0x00ff, 0)).l4_off, Some(1 + 0x34));
    // As far as R goes, no wrap round brings the cursor back.
    assert!(at(set(0xffff, 0x80 | 15)).refused);
    // An instruction that sets R and moves by it takes the new value.
    let both = Instr {
        ok_adv_r: true,
        ..set(0x000f, 0)
    };
    assert_eq!(run(&[both, out(Out::L4, 0)], &[0, 3, 0, 0]).l4_off, Some(3));
}

/// Claims: 4, 5, 6.
#[test]
fn key_bytes_are_appended_in_order() {
    let parsed = run(&[out(Out::Key, 0x0204), out(Out::Key, 0x0101)], &count(6));
    assert_eq!(parsed.key(), [4, 5, 1]);
    assert_eq!(parsed.key[3..], [0; KEY_MAX - 3]);
    assert!(run(&[out(Out::Key, 0x0205)], &count(6)).refused);
    assert!(run(&[out(Out::Key, 0x02ff)], &count(400)).refused);
}

#[test]
fn the_key_holds_36_bytes_at_most() {
    let full = [
        out(Out::Key, 0x1000),
        out(Out::Key, 0x1010),
        out(Out::Key, 0x0420),
    ];
    let parsed = run(&full, &count(64));
    assert_eq!(parsed.key(), count(36));
    assert!(!parsed.refused);
    let more = [full.as_slice(), &[out(Out::Key, 0x0100)]].concat();
    let parsed = run(&more, &count(64));
    assert!(parsed.refused);
    assert_eq!(parsed.key(), count(36));
}

#[test]
fn kinds_add_up_until_they_are_cleared() {
    let (ip, tcp) = (Kind(0).with_ipv4(1), Kind(0).with_tcp(1));
    let add = [
        out(Out::Kind, ip.0 as u16),
        out(Out::Key, 0x0200),
        out(Out::Kind, tcp.0 as u16),
    ];
    let parsed = run(&add, &count(4));
    assert_eq!(parsed.kind, Kind(0).with_ipv4(1).with_tcp(1));
    let clear = [add.as_slice(), &[out(Out::KeyClear, 0)]].concat();
    let parsed = run(&clear, &count(4));
    assert_eq!((parsed.kind, parsed.key()), (Kind(0), &[][..]));
    assert_eq!(parsed.key, [0; KEY_MAX]);
}

#[test]
fn headers_start_inside() {
    for which in [Out::L3, Out::L4] {
        let at = |cursor| run(&[skip(cursor), out(which, 0)], &count(20));
        let off = |p: Parsed| if which == Out::L3 { p.l3_off } else { p.l4_off };
        assert_eq!(off(at(19)), Some(19));
        assert_eq!(off(at(20)), None);
        assert!(at(20).refused);
    }
}

#[test]
fn nothing_behind_the_end_of_the_packet_is_read() {
    let load = |load| Instr {
        load,
        cmp: Cmp::Always,
        ..PLAIN
    };
    let read = |at| run(&[&packet(10)[..], &[load(at)]].concat(), &count(20));
    assert_eq!(read(8).pkt_end, Some(10));
    assert!(!read(8).refused);
    assert!(read(9).refused, "padding must not be read");
    // Up to the frame's last byte, but not beyond.
    let end = |len| run(&packet(len), &count(20));
    assert_eq!(end(20).pkt_end, Some(20));
    assert!(!end(20).refused);
    assert!(end(21).refused);
    assert!(end(0xffff).refused);
    // A long frame's packet ends behind the header memory.
    assert_eq!(run(&packet(9000), &count(9000)).pkt_end, Some(9000));
}

#[test]
fn the_end_counts_from_the_ip_header_and_adds_the_word() {
    let end = Instr {
        cmp: Cmp::Always,
        ..out(Out::End, 4)
    };
    let frame = [&[0, 0, 0, 5][..], &[0; 20]].concat();
    let parsed = run(&[skip(2), out(Out::L3, 0), end], &frame);
    assert_eq!(parsed.pkt_end, Some(2 + 5 + 4));
    assert!(run(&[end], &frame).refused, "no IP header yet");
}

#[test]
fn an_inner_packet_ends_in_the_outer_one() {
    let inner = |len| {
        run(
            &[&packet(20)[..], &[skip(8)], &packet(len)].concat(),
            &count(40),
        )
    };
    assert_eq!(inner(12).pkt_end, Some(20));
    assert_eq!(inner(12).l3_off, Some(8));
    assert_eq!(inner(5).pkt_end, Some(13));
    assert!(inner(13).refused);
}

/// Claims: 4.
#[test]
fn sequence_number_and_flags_are_copied() {
    let parsed = run(&[out(Out::Seq, 2), out(Out::TcpFlags, 7)], &count(8));
    assert_eq!(parsed.seq, 0x0203_0405);
    assert_eq!(parsed.tcp_flags, 7);
    assert!(!parsed.refused);
    assert!(run(&[out(Out::Seq, 5)], &count(8)).refused);
    assert!(run(&[out(Out::TcpFlags, 8)], &count(8)).refused);
}

#[test]
fn the_headers_end_inside_or_right_behind() {
    let end = |shift| Instr {
        cmp: Cmp::Always,
        shift,
        ..out(Out::HdrEnd, 0xf000)
    };
    let parsed = |first: u8, len| {
        let mut frame = count(len);
        frame[2] = first;
        run(&[skip(2), end(10)], &frame)
    };
    assert_eq!(parsed(0x50, 22).hdr_end, Some(22));
    assert_eq!(parsed(0x5f, 40).hdr_end, Some(22));
    assert_eq!(parsed(0x50, 21).hdr_end, None);
    assert!(parsed(0x50, 21).refused);
    // Not behind the end of the packet, nor of the header memory.
    let far = |at: u8| run(&[skip(at), out(Out::HdrEnd, 0)], &count(400));
    assert_eq!(far(255).hdr_end, Some(255));
    let beyond = [skip(255), skip(1), out(Out::HdrEnd, 0)];
    assert_eq!(run(&beyond, &count(400)).hdr_end, Some(256));
    let beyond = [skip(255), skip(2), out(Out::HdrEnd, 0)];
    assert!(run(&beyond, &count(400)).refused);
    let padding = [&packet(10)[..], &[skip(11), out(Out::HdrEnd, 0)]].concat();
    assert!(run(&padding, &count(20)).refused);
}

#[test]
fn a_vlan_tag_needs_its_tpid_before_the_cursor() {
    let vlan = Instr {
        cmp: Cmp::Always,
        ..out(Out::Vlan, 0)
    };
    assert!(run(&[vlan], &count(4)).refused);
    assert!(run(&[skip(1), vlan], &count(4)).refused);
    assert_eq!(run(&[skip(2), vlan], &count(4)).vlan, Some((0, 0x0203)));
    assert!(run(&[skip(3), out(Out::Vlan, 0)], &count(4)).refused);
}

/// Claims: 29.
#[test]
fn a_session_needs_the_end_of_the_headers() {
    let session = Instr {
        shift: 4,
        ..out(Out::Session, 0x0301)
    };
    assert!(run(&[session], &count(8)).refused);
    let parsed = run(&[out(Out::HdrEnd, 0), session], &count(8));
    let framing = parsed.session.unwrap();
    assert_eq!(
        framing,
        Session {
            header_len: 4,
            len_at: 1,
            len_bytes: 3
        }
    );
    assert_eq!(framing.message_len(&[0, 1, 2, 3, 4]), Some(0x01_0203 + 4));
    assert_eq!(framing.message_len(&[0xff; 4]), Some(0xff_ffff + 4));
    assert_eq!(framing.message_len(&[0, 1, 2]), None);
    // Even one that no verified program makes.
    let odd = Session {
        header_len: 1,
        len_at: 255,
        len_bytes: 255,
    };
    assert_eq!(odd.message_len(&[0; 600]), Some(1));
    assert_eq!(odd.message_len(&[0; 300]), None);
}

#[test]
fn the_parser_gives_up_after_the_maximum_of_steps() {
    let again = Instr {
        cmp: Cmp::Always,
        ok_adv: 1,
        ok_next: 0,
        ..PLAIN
    };
    let parsed = program(&[again]).run(&[0; 256], 256);
    assert!(parsed.refused);
    assert_eq!(usize::from(parsed.steps), MAX_STEPS);
    let exactly = vec![PLAIN; MAX_STEPS];
    assert!(!run(&exactly, &[]).refused);
    let one_more = vec![PLAIN; MAX_STEPS + 1];
    assert!(run(&one_more, &[]).refused);
}

/// Claims: 2, 34.
#[test]
fn the_empty_program_refuses_all() {
    let parsed = Program::empty().run(&count(60), 60);
    assert_eq!(
        parsed,
        Parsed {
            refused: true,
            ..Parsed::NOTHING
        }
    );
    assert!(Program::load(&[]).unwrap().is_empty());
    assert_eq!(Program::empty().crc(), 0);
}

/// Claims: 3.
#[test]
fn loading_verifies() {
    let bad = Program::load(&PLAIN.encode()[..3]).unwrap_err();
    assert_eq!(bad.reason, verify::Reason::TooLong);
    let bad = Instr {
        ok_next: 0,
        ..PLAIN
    };
    let bad = Program::load(&bad.encode()).unwrap_err();
    assert_eq!(bad.reason, verify::Reason::Loop);
    let good = program(&[PLAIN]);
    assert_eq!((good.len(), good.instrs()), (1, &[PLAIN][..]));
}

#[test]
fn the_crc_matches_that_of_images() {
    let words = [0x0102_0304, 0, 0xffff_ffff, 9];
    let crc = reflow_hwdef::image::crc32(words.into_iter());
    assert_eq!(crc, crc32fast::hash(&words.map(u32::to_le_bytes).concat()));
    let words = PLAIN.encode();
    let crc = reflow_hwdef::image::crc32(words.into_iter());
    assert_eq!(program(&[PLAIN]).crc(), crc);
}

#[test]
fn a_trace_tells_every_step() {
    let first = Instr {
        cmp: Cmp::Eq,
        value: 1,
        fail_adv: 2,
        fail_next: 1,
        ..PLAIN
    };
    let second = Instr {
        ok_adv: 3,
        ok_next: 2,
        ..out(Out::L4, 0)
    };
    let third = Instr {
        cmp: Cmp::Always,
        load: 99,
        ..PLAIN
    };
    let mut steps = Vec::new();
    let parsed = program(&[first, second, third]).run_traced(&count(8), 8, &mut |s| {
        steps.push((
            s.at,
            s.cursor,
            s.word,
            s.outcome,
            s.cursor_after,
            s.next,
            s.parsed.l4_off,
        ));
    });
    assert_eq!(steps, [(0, 0, Some(1), Outcome::Ok, 0, NEXT_DONE, None),]);
    assert!(!parsed.refused);
    steps.clear();
    let _ = program(&[first, second, third]).run_traced(&count(9)[1..], 8, &mut |s| {
        steps.push((
            s.at,
            s.cursor,
            s.word,
            s.outcome,
            s.cursor_after,
            s.next,
            s.parsed.l4_off,
        ));
    });
    let gave_up = Outcome::GaveUp(GaveUp::Word);
    assert_eq!(
        steps,
        [
            (0, 0, Some(0x0102), Outcome::Fail, 2, 1, None),
            (1, 2, None, Outcome::Ok, 5, 2, Some(2)),
            (2, 5, None, gave_up, 5, NEXT_REFUSE, Some(2)),
        ]
    );
}
