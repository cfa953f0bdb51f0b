// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Pages of words, enumerations and constants: descriptors, commands, instructions.

use crate::draw;
use crate::rst::{inline, join, Rst};
use crate::source::{Const, Enum, Field, Source, Word};

/// A doc comment as a cell of a table.
pub(crate) fn cell(doc: &[String]) -> String {
    inline(&join(doc))
}

/// Name of bits in a table.
pub(crate) fn bits(field: &Field) -> String {
    if field.hi == field.lo {
        field.hi.to_string()
    } else {
        format!("{}:{}", field.hi, field.lo)
    }
}

/// A word: text, drawing, fields.
pub(crate) fn word(page: &mut Rst, word: &Word) {
    page.paragraph(&word.doc);
    drawing(page, word);
}

/// A word's drawing and fields.
pub(crate) fn drawing(page: &mut Rst, word: &Word) {
    page.literal(&draw::word(&word.fields, word.bits));
    let rows: Vec<Vec<String>> = word
        .fields
        .iter()
        .map(|f| vec![bits(f), format!("``{}``", f.name), cell(&f.doc)])
        .collect();
    page.table(&["Bits", "Field", "Meaning"], &rows);
}

/// An enumeration.
pub(crate) fn enumeration(page: &mut Rst, e: &Enum) {
    page.paragraph(&e.doc);
    let rows: Vec<Vec<String>> = e
        .variants
        .iter()
        .map(|v| vec![v.value.to_string(), v.name.clone(), cell(&v.doc)])
        .collect();
    page.table(&["Number", "Name", "Meaning"], &rows);
}

/// Constants.
pub(crate) fn constants(page: &mut Rst, consts: &[Const]) {
    let rows: Vec<Vec<String>> = consts
        .iter()
        .map(|c| vec![format!("``{}``", c.name), inline(&c.value), cell(&c.doc)])
        .collect();
    page.table(&["Name", "Value", "Meaning"], &rows);
}

fn words_under_names(page: &mut Rst, words: &[&Word]) {
    for w in words {
        page.subsection(&w.name);
        word(page, w);
    }
}

/// The words of a source whose names begin so.
fn named(source: &Source, prefix: char) -> Vec<&Word> {
    let rest = |w: &&Word| w.name.strip_prefix(prefix).map(|rest| rest.to_owned());
    source
        .words
        .iter()
        .filter(|w| rest(w).is_some_and(|rest| rest.parse::<u8>().is_ok()))
        .collect()
}

const LEGEND: &str = "The highest bit is drawn first. Bits marked ``-`` are reserved: the side \
    that writes the word writes zeros, the other side ignores them unless the text says otherwise.";

/// Page of the descriptors.
pub(crate) fn descriptors(desc: &Source, opcodes: &Source) -> String {
    let mut page = Rst::page("Descriptors", "hw/desc.rs and hw/opcode.rs");
    page.paragraphs(&desc.about);
    page.paragraph(&[LEGEND]);

    page.section("Completion");
    page.paragraph(&[
        "The device writes words 1 to 7 first and word 0, which has the generation bit, last. \
         Completions of one packet are written from the last to the first: a driver that sees the \
         first sees all. Word 6 is the receive time in nanoseconds of the device's clock, 0 if it \
         has none; of several packets, that of the last.",
    ]);
    words_under_names(&mut page, &named(desc, 'C'));
    for e in &desc.enums {
        page.subsection(&e.name);
        enumeration(&mut page, e);
    }
    for e in opcodes.enums.iter().filter(|e| e.name == "Opcode") {
        page.subsection("Operation codes");
        enumeration(&mut page, e);
        page.paragraph(&["The exact conditions are in opcodes.rst."]);
    }

    page.section("Transmit descriptor");
    page.paragraph(&["Word 0 is the bus address of the bytes; word 3 is reserved and zero."]);
    words_under_names(&mut page, &named(desc, 'T'));

    page.section("Buffer descriptor");
    page.paragraph(&["Word 0 is the bus address of the buffer."]);
    words_under_names(&mut page, &named(desc, 'B'));

    page.section("Constants");
    constants(&mut page, &desc.consts);
    page.finish()
}

/// Page of the command ring.
pub(crate) fn commands(cmd: &Source) -> String {
    let mut page = Rst::page("Commands", "hw/cmd.rs");
    page.paragraphs(&cmd.about);
    for e in &cmd.enums {
        page.section(&e.name);
        enumeration(&mut page, e);
    }
    page.section("Words");
    page.paragraph(&[LEGEND]);
    words_under_names(&mut page, &cmd.words.iter().collect::<Vec<_>>());
    page.section("Constants");
    constants(&mut page, &cmd.consts);
    page.finish()
}

/// Page of the parser's instructions.
pub(crate) fn instructions(isa: &Source, verify: &Source) -> String {
    let mut page = Rst::page("Parser instructions", "hw/isa.rs and hw/verify.rs");
    page.paragraphs(&isa.about);
    page.paragraph(&[
        "An instruction is four 32-bit words of the program RAM: the low and the high half of \
         ``I0``, then those of ``I1``. The language that programs are written in is in parser.rst.",
    ]);
    page.section("Encoding");
    page.paragraph(&["Bits marked ``-`` must be zero; the verifier refuses them otherwise."]);
    words_under_names(&mut page, &named(isa, 'I'));
    for e in &isa.enums {
        let title = match e.name.as_str() {
            "Cmp" => "Comparisons",
            "Out" => "Output operations",
            name => name,
        };
        page.section(title);
        enumeration(&mut page, e);
    }
    for w in isa.words.iter().filter(|w| w.name == "Kind") {
        page.section("Kinds of packets");
        word(&mut page, w);
    }
    page.section("Verifier");
    page.paragraphs(&verify.about);
    for e in &verify.enums {
        page.subsection(&format!("{} of a refusal", e.name));
        enumeration(&mut page, e);
    }
    page.section("Constants");
    constants(&mut page, &isa.consts);
    page.finish()
}
