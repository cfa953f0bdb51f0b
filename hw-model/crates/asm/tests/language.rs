// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Assembler text: the instruction of each line.

use proptest::prelude::*;
use reflow_asm::{assemble, text, Assembly};
use reflow_hwdef::isa::{Cmp, Instr, Out, NEXT_DONE, NEXT_REFUSE};
use reflow_testkit::programs;
use std::io;

fn assembly(text: &str) -> Assembly {
    assemble("text.rfp", &|_| Ok(text.into())).unwrap_or_else(|e| panic!("{e}"))
}

fn instrs(assembly: &Assembly) -> Vec<Instr> {
    let decode = |i: &reflow_asm::Assembled| Instr::decode(i.words).unwrap();
    assembly.instrs.iter().map(decode).collect()
}

/// The only instruction of a text.
fn one(text: &str) -> Instr {
    let all = instrs(&assembly(text));
    assert_eq!(all.len(), 1);
    all[0]
}

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

#[test]
fn loads_and_comparisons() {
    assert_eq!(one("-> done"), PLAIN);
    let always = Instr {
        load: 12,
        cmp: Cmp::Always,
        ..PLAIN
    };
    assert_eq!(one("at 12 -> done # comment"), always);
    for (sign, cmp) in [
        ("==", Cmp::Eq),
        ("!=", Cmp::Ne),
        ("<", Cmp::Lt),
        (">", Cmp::Gt),
    ] {
        let compared = Instr {
            load: 255,
            mask: 0x0ff0,
            cmp,
            value: 0x0120,
            ..PLAIN
        };
        assert_eq!(
            one(&format!("at 255 & 0x0ff0 if {sign} 0x120 -> done")),
            compared
        );
    }
    assert_eq!(one("at 0 if == 0xffff -> done").value, 0xffff);
}

#[test]
fn branches_and_advances() {
    let i = one("at 0 if == 1 -> refuse adv 4 + r else -> done adv 9");
    assert_eq!((i.ok_next, i.ok_adv, i.ok_adv_r), (NEXT_REFUSE, 4, true));
    assert_eq!((i.fail_next, i.fail_adv), (NEXT_DONE, 9));
    let i = one("-> done adv r");
    assert_eq!((i.ok_adv, i.ok_adv_r), (0, true));
    let all = instrs(&assembly(
        "a: at 0 if == 1 -> c else -> next\nadv 2\nc: at 0 -> a adv 1",
    ));
    assert_eq!((all[0].ok_next, all[0].fail_next), (2, 1));
    assert_eq!((all[1].ok_next, all[1].ok_adv), (2, 2));
    assert_eq!((all[2].ok_next, all[2].ok_adv), (0, 1));
}

#[test]
fn outputs() {
    let cases = [
        ("key 16 at 255", Out::Key, 0x10ff, 0),
        ("kind ipv4 | tcp", Out::Kind, 0b101, 0),
        (
            "kind tunnel | fragment | udp | ipv6",
            Out::Kind,
            0b11_1010,
            0,
        ),
        ("l3", Out::L3, 0, 0),
        ("l4", Out::L4, 0, 0),
        ("end word", Out::End, 0, 0),
        ("end word + 40", Out::End, 40, 0),
        ("seq at 4", Out::Seq, 4, 0),
        ("tcp_flags at 13", Out::TcpFlags, 13, 0),
        ("hdr_end", Out::HdrEnd, 0, 0),
        ("hdr_end (word & 0xf000) >> 10", Out::HdrEnd, 0xf000, 10),
        ("set_r (word & 0x00ff)", Out::SetR, 0xff, 0),
        ("set_r (word & 0x00ff) << 3", Out::SetR, 0xff, 0x83),
        ("set_r (word & 0xf000) >> 12", Out::SetR, 0xf000, 12),
        ("vlan", Out::Vlan, 0, 0),
        ("session 4 length 3 at 1", Out::Session, 0x0301, 4),
        ("key_clear", Out::KeyClear, 0, 0),
    ];
    for (text, out, arg, shift) in cases {
        let expected = Instr {
            out,
            arg,
            shift,
            ..PLAIN
        };
        assert_eq!(one(&format!("do {text} -> done")), expected, "{text}");
        assert_eq!(
            text::output(&expected).unwrap(),
            text.replace(
                "kind tunnel | fragment | udp | ipv6",
                "kind ipv6 | udp | fragment | tunnel"
            )
        );
    }
}

#[test]
fn constants_names_and_numbers() {
    let i = one("const PORT = 0x1_bd\nconst MASK = 0b1111_1111\nat 0 & MASK if > PORT -> done");
    assert_eq!((i.value, i.mask), (445, 0xff));
    assert_eq!(assembly("program other\n-> done").name, "other");
    assert_eq!(assembly("-> done").name, "text");
    assert!(assembly("# nothing\n\n").instrs.is_empty());
}

/// A reader of three files.
fn files(name: &str) -> io::Result<String> {
    Ok(match name {
        "dir/top.rfp" => {
            "program top\ninclude \"sub/base.rfp\"\nreplace mid\nmid: at VALUE\nat 3\nend\n"
        }
        "dir/sub/base.rfp" => "program base\nconst VALUE = 2\ninclude \"inc.rfp\"\n-> done\n",
        "dir/sub/inc.rfp" => "first: at 1\nmid: at 9\n",
        _ => return Err(io::ErrorKind::NotFound.into()),
    }
    .into())
}

#[test]
fn included_instructions_can_be_replaced_in_place() {
    let top = assemble("dir/top.rfp", &files).unwrap();
    assert_eq!(top.name, "top");
    let loads: Vec<_> = instrs(&top).iter().map(|i| (i.load, i.cmp)).collect();
    let always = |load| (load, Cmp::Always);
    assert_eq!(loads, [always(1), always(2), always(3), (0, Cmp::Nop)]);
    let labels: Vec<_> = top.labels();
    assert_eq!(labels[1].as_deref(), Some("mid"));
}

#[test]
fn raw_words_encode_any_instruction() {
    // A mask that plays no part.
    let odd = Instr { mask: 7, ..PLAIN };
    let text = text::disassemble("odd", &odd.encode());
    assert!(text.contains("raw 0x00070000 "), "{text}");
    assert_eq!(assembly(&text).words(), odd.encode());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_survives_disassembly(program in programs::program()) {
        let words: Vec<u32> = program.iter().flat_map(|i| i.encode()).collect();
        let text = text::disassemble("random", &words);
        let again = assembly(&text);
        prop_assert_eq!(again.words(), words);
        prop_assert_eq!(text::disassemble("random", &again.words()), text);
    }

    #[test]
    fn any_text_assembles_or_is_refused_with_a_line(text in "([ -~é\t]{0,40}\n){0,6}") {
        if let Err(errors) = assemble("x.rfp", &|name| {
            if name == "x.rfp" { Ok(text.clone()) } else { Err(io::ErrorKind::NotFound.into()) }
        }) {
            for error in &errors.0 {
                prop_assert!(error.origin.line > 0);
                prop_assert!(error.to_string().starts_with("x.rfp:"));
            }
        }
    }

    #[test]
    fn random_words_assemble_or_are_refused(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "at", "do", "if", "else", "->", "adv", "r", "next", "done", "key", "kind", "ipv4",
            "word", "(", ")", "&", "==", "<<", "+", "12", "0xf0", "a:", "a", "end", "session",
            "length", "raw", "const", "=", "replace", "include", "\"x.rfp\"", "\n",
        ]), 0..30))
    {
        let text = words.join(" ");
        if let Err(errors) = assemble("x.rfp", &|_| Ok(text.clone())) {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.to_string().starts_with("x.rfp:"));
        }
    }
}
