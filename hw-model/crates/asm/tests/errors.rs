// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages: each says where, what is wrong and what to do.

use reflow_asm::assemble;
use std::io;

fn message(text: &str) -> String {
    let read = |name: &str| match name {
        "x.rfp" => Ok(text.to_owned()),
        "base.rfp" => Ok("one: at 0\ntwo: at 2\n".to_owned()),
        name if name.ends_with("loop.rfp") => Ok("include \"a/loop.rfp\"".to_owned()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    match assemble("x.rfp", &read) {
        Ok(_) => panic!("accepted: {text}"),
        Err(errors) => errors.to_string(),
    }
}

/// The message has the line as it stands, what is wrong marked, and advice.
#[test]
fn a_message_shows_the_line() {
    let text = "# A comment\nethertype: at 0 if == 0x0800 -> ipv5 adv 2\nipv4: -> refuse\n";
    assert_eq!(
        message(text),
        "\
x.rfp:2: no instruction has the label `ipv5`
 2 | ethertype: at 0 if == 0x0800 -> ipv5 adv 2
   |                                 ^^^^
 Did you mean `ipv4`?"
    );
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = message("at 300 -> done\n\tat 0 do kee 4 at 0\n-> done");
    assert_eq!(
        text,
        "\
x.rfp:1: the offset of the word is 300, which is out of range
 1 | at 300 -> done
   |    ^^^
 It may be 0 to 255.

x.rfp:2: no output is named `kee`
 2 | \tat 0 do kee 4 at 0
   | \t        ^^^
 Did you mean `key`?"
    );
}

/// First line and last line of the message about each text.
#[test]
fn each_error_has_its_message() {
    for (text, first, last) in MISTAKES {
        let got = message(text);
        let lines: Vec<_> = got.lines().collect();
        assert_eq!(lines.first(), Some(first), "{text:?}:\n{got}");
        assert_eq!(lines.last(), Some(last), "{text:?}:\n{got}");
    }
}

const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "at 0 ?",
        "x.rfp:1: `?` has no meaning here",
        " Take it out; comments begin with `#`.",
    ),
    (
        "at 0x",
        "x.rfp:1: `0x` is not a number of 32 bits",
        " Write it as 42, 0x2a or 0b10_1010.",
    ),
    (
        "include \"base.rfp",
        "x.rfp:1: the quotation mark is not closed",
        " End the file's name with another `\"`.",
    ),
    (
        "include base",
        "x.rfp:1: `base` is not expected here",
        " Name the file: `include \"FILE\"`.",
    ),
    (
        "include \"none.rfp\"",
        "x.rfp:1: cannot read none.rfp: no such file",
        " Check the name; it is relative to the folder of the including file.",
    ),
    (
        "include \"x.rfp\"",
        "x.rfp:1: x.rfp is included from within itself, or too deeply",
        " Take this line out; 8 files can be nested.",
    ),
    (
        "include \"loop.rfp\"",
        "a/a/a/a/a/a/loop.rfp:1: a/a/a/a/a/a/a/loop.rfp is included from within itself, or too deeply",
        " Take this line out; 8 files can be nested.",
    ),
    (
        "next: -> done",
        "x.rfp:1: `next` is a word of the language",
        " Choose another name.",
    ),
    (
        "a:\n-> done",
        "x.rfp:1: the end of the line is not expected here",
        " A label stands before its instruction, on the same line.",
    ),
    (
        "a: -> done\na: -> done",
        "x.rfp:2: the label `a` is used twice",
        " It stands at x.rfp:1, too: choose another name.",
    ),
    (
        "const A = 1\nconst A = 2",
        "x.rfp:2: the constant `A` is defined twice",
        " Choose another name.",
    ),
    (
        "const PORT = 80\nat 0 if == PART -> done",
        "x.rfp:2: the value must be a number, and no constant is named `PART`",
        " Did you mean `PORT`?",
    ),
    (
        "at 0 if == PORT -> done",
        "x.rfp:1: the value must be a number, and no constant is named `PORT`",
        " None is defined.",
    ),
    (
        "at 0 if = 1 -> done",
        "x.rfp:1: `=` is not expected here",
        " Compare with `==`, `!=`, `<` or `>`.",
    ),
    (
        "at 0 if == 0x10000 -> done",
        "x.rfp:1: the value is 65536, which is out of range",
        " It may be 0 to 65535.",
    ),
    (
        "at 0 & 0xff00 if == 6 -> done",
        "x.rfp:1: 0x0006 has bits that the mask 0xff00 takes away",
        " The two can never be equal: correct the mask or the value.",
    ),
    (
        "at 0 & 0xff -> done",
        "x.rfp:1: a mask without a comparison does nothing",
        " Add `if …`, or take the mask out: outputs use the whole word.",
    ),
    (
        "if == 1 -> done",
        "x.rfp:1: `if` is not expected here",
        " Say which word to compare: `at OFFSET if …`.",
    ),
    (
        "at 0 -> done else -> refuse",
        "x.rfp:1: `else` is not expected here",
        " Without a comparison there is no other way to go.",
    ),
    (
        "do key 17 at 0 -> done",
        "x.rfp:1: the number of key bytes is 17, which is out of range",
        " It may be 1 to 16.",
    ),
    (
        "do kind ipx -> done",
        "x.rfp:1: no kind is named `ipx`",
        " Known are: fragment, ipv4, ipv6, tcp, tunnel, udp.",
    ),
    (
        "do set_r word -> done",
        "x.rfp:1: `word` is not expected here",
        " Write `(word & MASK)`, and a shift behind it if need be.",
    ),
    (
        "do hdr_end (word & 1) >> 16 -> done",
        "x.rfp:1: the shift is 16, which is out of range",
        " It may be 0 to 15.",
    ),
    (
        "do end 40 -> done",
        "x.rfp:1: the number 40 is not expected here",
        " Write `end word` or `end word + N`.",
    ),
    (
        "do session 4 at 1 -> done",
        "x.rfp:1: `at` is not expected here",
        " Say where its length field stands: `length BYTES at OFFSET`.",
    ),
    (
        "-> done adv 1 + 2",
        "x.rfp:1: the number 2 is not expected here",
        " Only the register can be added: `adv N + r`.",
    ),
    (
        "-> done adv 1 adv 2",
        "x.rfp:1: `adv` is not expected here",
        " Next may come `-> LABEL`, `adv N` or `else -> LABEL`, once each.",
    ),
    (
        "load 4",
        "x.rfp:1: `load` is not expected here",
        " An instruction is `[LABEL:] [at N [& MASK] [if COMPARISON]] [do OUTPUT] [-> LABEL [adv N]] \
         [else -> LABEL [adv N]]`.",
    ),
    (
        "program a b",
        "x.rfp:1: `b` is not expected here",
        " Take it out; the line is complete before it.",
    ),
    (
        "at 0",
        "x.rfp:1: no instruction follows this one",
        " Say how the program ends: `-> done` or `-> refuse`.",
    ),
    (
        "include \"base.rfp\"\nreplace tow\nend\n-> done",
        "x.rfp:2: no instruction before this line has the label `tow`",
        " Did you mean `two`?",
    ),
    (
        "include \"base.rfp\"\nreplace two\n-> done",
        "x.rfp:2: this `replace` has no `end`",
        " Close it with a line that says `end`.",
    ),
    (
        "include \"base.rfp\"\nreplace two\nreplace one\nend\n-> done",
        "x.rfp:3: a `replace` cannot stand in another one",
        " Close the other one first, with a line that says `end`.",
    ),
    (
        "-> done\nend",
        "x.rfp:2: there is nothing to end",
        " Take it out; `end` closes `replace LABEL`.",
    ),
    // Errors that the verifier finds.
    (
        "a: at 0 -> a",
        "x.rfp:1: a jump goes back without moving the cursor, so the program may not end",
        " Let the jump move the cursor with `adv`, or put the instruction later.",
    ),
    (
        "-> done\nat 0 -> done",
        "x.rfp:2: no path leads to this instruction",
        " Take it out, or jump to it from an instruction before it.",
    ),
    (
        "do session 2 length 3 at 1 -> done",
        "x.rfp:1: the output operation's length or shift is out of range",
        " Correct the output; for `session`, the field must be in the header.",
    ),
    (
        "raw 0 0 0 0xff000000",
        "x.rfp:1: unknown operation or reserved bit set",
        " Correct the words behind `raw`.",
    ),
    (
        "raw 0 0xfe010004 0 0",
        "x.rfp:1: a jump leaves the program",
        " Jump to an instruction of this program, or to `done` or `refuse`.",
    ),
];

#[test]
fn a_program_too_long_is_refused_at_the_first_excess_line() {
    let text = "at 0\n".repeat(129);
    assert_eq!(
        message(&text),
        "\
x.rfp:129: the program has 129 instructions
 129 | at 0
     | ^^^^
 The program RAM holds 128."
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let none = |_: &str| Err(io::Error::new(io::ErrorKind::NotFound, "no such file"));
    let errors = assemble("gone.rfp", &none).unwrap_err();
    assert!(errors
        .to_string()
        .contains("cannot read gone.rfp: no such file"));
}
