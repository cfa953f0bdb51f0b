// SPDX-License-Identifier: GPL-2.0

//! Tests of decoding, on the host.

use super::*;
use crate::hw::desc::{C0, C1, C2, C3, C4, C5};

const PAGE: u32 = 4096;

fn small(c: &Completion, flows: usize) -> Result<(Head, Span), BadCompletion> {
    Ok((whole(c, flows)?, in_cell(c)?))
}

fn full(c: &Completion, flows: usize) -> Result<(Head, Span), BadCompletion> {
    Ok((whole(c, flows)?, in_buffer(c, true)?))
}

fn decode(c: &Completion, flows: usize) -> Result<Split, BadCompletion> {
    assert_eq!(form(c.c0)?, Form::Split);
    split(c, flows, PAGE)
}

fn start() -> Completion {
    Completion {
        c0: C0(0)
            .with_opcode(Opcode::Start as u64)
            .with_flow(3)
            .with_hb(1)
            .with_rb(1)
            .with_more(1),
        c2: C2(0).with_hb_id(1).with_hb_off(256).with_hdr_len(66),
        c3: C3(0).with_rb_id(9).with_rb_off(100).with_rb_len(1448),
        ..Completion::default()
    }
}

/// Claims: 1, 47, 55.
#[test]
fn a_start_is_a_header_and_data_of_a_flow() {
    let p = decode(&start(), 16).unwrap();
    let expected = Head {
        opcode: Opcode::Start,
        flow: Some(3),
        more: true,
        cont: false,
        segs: 1,
    };
    assert_eq!(p.head, expected);
    let (Some(h), Some(d), None) = (p.header, p.data, p.data2) else {
        panic!("not split");
    };
    assert_eq!((h.id, h.off, h.len), (1, 256, 66));
    assert_eq!((d.id, d.off, d.len), (9, 100, 1448));
}

#[test]
fn bad_completions_are_told_apart() {
    let ok = start();
    let c0 = ok.c0;
    let why = |c| decode(&c, 16).err();
    assert_eq!(
        why(Completion {
            c0: c0.with_opcode(10),
            ..ok
        }),
        Some(BadCompletion::Opcode)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_opcode(Opcode::Placed as u64),
            ..ok
        }),
        Some(BadCompletion::Opcode)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_kind(2),
            ..ok
        }),
        Some(BadCompletion::Kind)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_flow(16),
            ..ok
        }),
        Some(BadCompletion::Flow)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_flow(0xffff),
            ..ok
        }),
        Some(BadCompletion::Flow)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_rb(0),
            ..ok
        }),
        Some(BadCompletion::Shape)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_nb(1),
            ..ok
        }),
        Some(BadCompletion::Shape)
    );
    assert_eq!(
        why(Completion {
            c2: ok.c2.with_hdr_len(257),
            ..ok
        }),
        Some(BadCompletion::Range)
    );
    assert_eq!(
        why(Completion {
            c2: ok.c2.with_hdr_len(13),
            ..ok
        }),
        Some(BadCompletion::Range)
    );
    assert_eq!(
        why(Completion {
            c3: ok.c3.with_rb_off(14937),
            ..ok
        }),
        Some(BadCompletion::Range)
    );
    assert_eq!(
        why(Completion {
            c3: ok.c3.with_rb_len(0),
            ..ok
        }),
        Some(BadCompletion::Range)
    );
    assert_eq!(
        why(Completion {
            c0: c0.with_tunnel(1),
            ..ok
        }),
        Some(BadCompletion::Shape)
    );
    assert_eq!(
        why(Completion {
            c5: ok.c5.with_outer_off(14),
            ..ok
        }),
        Some(BadCompletion::Shape)
    );
    let two = Completion {
        c0: c0.with_rb2(1),
        ..ok
    };
    assert_eq!(
        why(Completion {
            c4: C4(0).with_rb2_len(16385),
            ..two
        }),
        Some(BadCompletion::Range)
    );
}

/// Claims: 55, 57.
#[test]
fn several_packets_have_data_that_fit_their_number() {
    let two = |len, size| {
        decode(
            &Completion {
                c0: start().c0.with_segs(2),
                c3: start().c3.with_rb_len(len),
                c5: C5(0).with_seg_size(size).with_data_len(len),
                ..start()
            },
            16,
        )
    };
    let head = two(2896, 1448).unwrap().head;
    assert_eq!(head.segs, 2);
    let c = Completion {
        c1: C1(0).with_pkt_len(1514),
        c5: C5(0).with_data_len(2896),
        ..start()
    };
    assert_eq!(head.wire_bytes(&c), 2896 + 2 * 66);
    assert_eq!(Head { segs: 1, ..head }.wire_bytes(&c), 1514);
    assert!(two(1449, 1448).is_ok());
    assert_eq!(two(1448, 1448), Err(BadCompletion::Shape));
    assert_eq!(two(2897, 1448), Err(BadCompletion::Shape));
    assert_eq!(two(1, 0), Err(BadCompletion::Shape));
    let alone = Completion {
        c0: start().c0.with_segs(2).with_opcode(Opcode::Small as u64),
        ..start()
    };
    assert_eq!(decode(&alone, 16), Err(BadCompletion::Shape));
}

/// Claims: 42, 55, 59.
#[test]
fn whole_pages_lie_between_two_ranges() {
    let run = |off, pages, c0: C0| {
        let c = Completion {
            c0: c0.with_rb2(1),
            c3: C3(0)
                .with_rb_off(off)
                .with_rb_len(4096 - off)
                .with_rb2_id(3),
            c4: C4(0).with_rb2_len(100),
            c5: C5(0).with_pages(pages),
            ..start()
        };
        decode(&c, 16)
    };
    let c0 = start().c0;
    let p = run(1000, 14, c0).unwrap();
    assert_eq!((p.pages, p.len(PAGE)), (14, 3096 + 14 * PAGE + 100));
    for lie in [
        c0.with_cont(1),
        c0.with_opcode(Opcode::Small as u64),
        c0.with_segs(2),
    ] {
        assert_eq!(run(1000, 14, lie), Err(BadCompletion::Shape));
    }
    let gap = Completion {
        c5: C5(0).with_pages(1),
        ..start()
    };
    assert_eq!(decode(&gap, 16), Err(BadCompletion::Shape));
    let gap = Completion {
        c0: c0.with_rb2(1),
        c4: C4(0).with_rb2_len(1),
        ..gap
    };
    assert_eq!(decode(&gap, 16), Err(BadCompletion::Shape));
}

#[test]
fn a_release_names_its_buffer() {
    let c = Completion {
        c0: C0(0).with_kind(1).with_rel_rb(1),
        c3: C3(0).with_rb_id(7),
        ..Completion::default()
    };
    assert_eq!(form(c.c0), Ok(Form::Release));
    let c0 = C0(0).with_kind(1);
    assert_eq!(form(c0), Err(BadCompletion::Shape));
}

#[test]
fn whole_packets_are_in_one_place_and_in_no_aggregate() {
    let c0 = C0(0).with_sb(1).with_opcode(Opcode::NoData as u64);
    let c = Completion {
        c0: c0.with_flow(2),
        c2: C2(0).with_nb_id(5),
        c4: C4(0).with_nb_off(512).with_nb_len(60),
        ..Completion::default()
    };
    assert_eq!(form(c.c0), Ok(Form::Small));
    let (head, span) = small(&c, 16).unwrap();
    assert_eq!((head.flow, head.opcode), (Some(2), Opcode::NoData));
    assert_eq!((span.id, span.off, span.len), (5, 512, 60));
    let why = |c0| small(&Completion { c0, ..c }, 16).err();
    assert_eq!(why(c.c0.with_flow(16)), Some(BadCompletion::Flow));
    assert_eq!(why(c.c0.with_segs(2)), Some(BadCompletion::Shape));
    assert_eq!(
        why(c.c0.with_opcode(Opcode::Start as u64)),
        Some(BadCompletion::Shape)
    );
    let c4 = C4(0).with_nb_len(257);
    assert_eq!(
        small(&Completion { c4, ..c }, 16).err(),
        Some(BadCompletion::Range)
    );
    assert!(full(&Completion { c4, ..c }, 16).is_ok());
    for c0 in [c.c0.with_nb(1), c.c0.with_hb(1), c.c0.with_rb2(1)] {
        assert_eq!(form(c0), Err(BadCompletion::Shape));
    }
}

/// A header that is longer than it says would have bytes of another packet behind it.
#[test]
fn headers_say_how_long_they_are() {
    let c = |c0: C0, l4| Completion {
        c0,
        c4: C4(0).with_l4_off(l4),
        ..Completion::default()
    };
    let tcp = |at| (at == 34 + 12).then_some(0x80);
    assert_eq!(header_len(&c(C0(0).with_tcp(1), 34), tcp), Some(66));
    assert_eq!(header_len(&c(C0(0).with_tcp(1), 34), |_| None), None);
    assert_eq!(header_len(&c(C0(0).with_udp(1), 34), |_| None), Some(42));
    assert_eq!(header_len(&c(C0(0), 34), |_| Some(0xff)), None);
    assert_eq!(header_len(&c(C0(0).with_tcp(1), 0), |_| Some(0xff)), None);
    assert_eq!(
        header_len(&c(C0(0).with_tcp(1), 255), |_| Some(0xff)),
        Some(315)
    );
}

/// A packet begins with an Ethernet header, wherever it lies; a later part may be one byte.
#[test]
fn a_packet_begins_with_an_ethernet_header() {
    let c = |len| Completion {
        c4: C4(0).with_nb_len(len),
        ..Completion::default()
    };
    for (len, ok) in [(1, false), (13, false), (14, true)] {
        assert_eq!(in_cell(&c(len)).is_ok(), ok);
        assert_eq!(in_buffer(&c(len), true).is_ok(), ok);
        assert!(in_buffer(&c(len), false).is_ok());
        let mut header = start();
        header.c2 = header.c2.with_hdr_len(len);
        assert_eq!(decode(&header, 16).is_ok(), ok);
    }
}

/// The quick checks agree with the others where they accept a completion.
fn quick_checks_agree(c: &Completion) {
    let form = form(c.c0);
    if let (Ok(Form::Small), Some(found)) = (form, plain(c, 4096)) {
        assert_eq!(small(c, 4096), Ok(found));
    }
    if let Some(found) = usual(c, 4096) {
        assert_eq!(form, Ok(Form::Split));
        let p = split(c, 4096, PAYLOAD_MAX).unwrap();
        assert!(p.is_all_of_aggregate() && p.pages == 0);
        assert_eq!(p.head, found.head());
        assert_eq!((p.header, p.data), (Some(found.header), Some(found.data)));
        assert_eq!((p.data2, p.len(0)), (found.data2(c), found.bytes()));
    }
}

#[test]
fn quick_checks_accept_the_usual() {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x % below
    };
    let (mut plains, mut usuals) = (0, 0);
    for _ in 0..100_000 {
        let (len, len2, segs) = (1 + next(1448), next(2) * 700, next(3));
        let c0 = C0(0)
            .with_opcode(next(10))
            .with_flow(next(5000))
            .with_segs(segs)
            .with_more(u64::from(next(8) == 0));
        let c = Completion {
            c0: match next(2) {
                0 => c0.with_sb(1).with_csum_bad(u64::from(next(8) == 0)),
                _ => c0.with_hb(1).with_rb(1).with_rb2(u64::from(len2 != 0)),
            },
            c2: C2(0).with_hb_off(next(16) << 8).with_hdr_len(next(260)),
            c3: C3(0).with_rb_len(len).with_rb_off(next(16384)),
            c4: C4(0)
                .with_rb2_len(len2)
                .with_nb_off(next(17) << 8)
                .with_nb_len(next(260)),
            c5: C5(0)
                .with_data_len(len + len2)
                .with_seg_size(1448 - next(800)),
            ..Completion::default()
        };
        quick_checks_agree(&c);
        plains += u32::from(form(c.c0) == Ok(Form::Small) && plain(&c, 4096).is_some());
        usuals += u32::from(usual(&c, 4096).is_some());
    }
    assert!(plains > 1000 && usuals > 1000, "{plains} {usuals}");
}

/// Whatever the words are, decoding neither panics nor lets a range leave its buffer.
#[test]
fn no_words_lead_outside() {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    for _ in 0..200_000 {
        let mut words = [0; 8];
        words.fill_with(&mut next);
        // Make the likely mistakes likelier than uniform words would.
        words[0] &= !0x8_0000_0000_u64 | next();
        let c = Completion::from_words(words);
        quick_checks_agree(&c);
        let (head, spans, begins) = match form(c.c0) {
            Ok(Form::Small) => match small(&c, 4096) {
                Ok((head, s)) => (head, [Some(s), None, None], Some(s)),
                Err(_) => continue,
            },
            Ok(Form::Full) => match full(&c, 4096) {
                Ok((head, s)) => (head, [Some(s), None, None], Some(s)),
                Err(_) => continue,
            },
            Ok(Form::Split) => match split(&c, 4096, PAGE) {
                Ok(p) => (p.head, [p.header, p.data, p.data2], p.header),
                Err(_) => continue,
            },
            _ => continue,
        };
        assert!(head.flow.is_none_or(|f| f < 4096));
        assert!(begins.is_none_or(|s| s.len >= 14));
        for s in spans.into_iter().flatten() {
            assert!(s.len > 0 && u32::from(s.off) + u32::from(s.len) <= PAYLOAD_MAX);
        }
    }
}
