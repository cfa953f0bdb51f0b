// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Disassembles instructions to text.

use crate::parse::{self, COMPARISONS, OUTPUTS, PLAIN};
use reflow_hwdef::isa::{self, Cmp, Instr, Out};
use std::fmt::Write;

/// Labels by instruction number; without one the number is the name.
pub type Labels<'a> = &'a [Option<String>];

/// The name of an instruction.
#[must_use]
pub fn label(at: usize, labels: Labels<'_>) -> String {
    match labels.get(at) {
        Some(Some(name)) => name.clone(),
        _ => format!("i{at}"),
    }
}

/// The name of the target `next` of a jump from instruction `at`.
#[must_use]
pub fn target(next: u8, at: usize, labels: Labels<'_>) -> String {
    let to = usize::from(next);
    let unnamed = !matches!(labels.get(to), Some(Some(_)));
    match next {
        isa::NEXT_DONE => "done".into(),
        isa::NEXT_REFUSE => "refuse".into(),
        _ if to == at + 1 && unnamed => "next".into(),
        _ => label(to, labels),
    }
}

/// The comparison's sign; `None` if the instruction always succeeds.
#[must_use]
pub fn sign(cmp: Cmp) -> Option<&'static str> {
    COMPARISONS.iter().find(|(_, c)| *c == cmp).map(|(s, _)| *s)
}

/// The output operation as the language has it; `None` for no output.
#[must_use]
pub fn output(i: &Instr) -> Option<String> {
    let (name, _) = OUTPUTS.iter().find(|(_, out)| *out == i.out)?;
    let [hi, lo] = i.arg.to_be_bytes();
    let (arg, shift) = (i.arg, i.shift);
    Some(match i.out {
        Out::Key => format!("{name} {hi} at {lo}"),
        Out::Kind => format!("{name} {}", kinds(arg)),
        Out::End if arg == 0 => format!("{name} word"),
        Out::End => format!("{name} word + {arg}"),
        Out::Seq | Out::TcpFlags => format!("{name} at {arg}"),
        Out::HdrEnd if arg == 0 => (*name).into(),
        Out::HdrEnd | Out::SetR if shift == 0 => format!("{name} (word & {arg:#06x})"),
        Out::SetR if shift & 0x80 != 0 => {
            format!("{name} (word & {arg:#06x}) << {}", shift & 0x7f)
        }
        Out::HdrEnd | Out::SetR => format!("{name} (word & {arg:#06x}) >> {shift}"),
        Out::Session => format!("{name} {shift} length {hi} at {lo}"),
        Out::None | Out::L3 | Out::L4 | Out::Vlan | Out::KeyClear => (*name).into(),
    })
}

/// Names of a kind's bits.
#[must_use]
pub fn kinds(bits: u16) -> String {
    let fields = isa::Kind::FIELDS.iter();
    let names: Vec<_> = fields
        .filter(|f| (bits >> f.lo) & 1 == 1)
        .map(|f| f.name)
        .collect();
    names.join(" | ")
}

/// The instruction of number `at`, without its label.
#[must_use]
pub fn instruction(at: usize, i: &Instr, labels: Labels<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    if i.cmp != Cmp::Nop {
        parts.push(format!("at {}", i.load));
    }
    if let Some(sign) = sign(i.cmp) {
        if i.mask != 0xffff {
            parts.push(format!("& {:#06x}", i.mask));
        }
        parts.push(format!("if {sign} {:#06x}", i.value));
    }
    if let Some(output) = output(i) {
        parts.push(format!("do {output}"));
    }
    let falls_through = usize::from(i.ok_next) == at + 1;
    if !falls_through || parts.is_empty() || sign(i.cmp).is_some() {
        parts.push(format!("-> {}", target(i.ok_next, at, labels)));
    }
    match (i.ok_adv, i.ok_adv_r) {
        (0, false) => {}
        (0, true) => parts.push("adv r".into()),
        (n, false) => parts.push(format!("adv {n}")),
        (n, true) => parts.push(format!("adv {n} + r")),
    }
    let fails = sign(i.cmp).is_some();
    if fails || i.fail_next != PLAIN.fail_next || i.fail_adv != 0 {
        parts.push(format!("else -> {}", target(i.fail_next, at, labels)));
        if i.fail_adv != 0 {
            parts.push(format!("adv {}", i.fail_adv));
        }
    }
    parts.join(" ")
}

/// Whether the text of the instruction is complete: fields that it leaves out are 0.
fn has_text(at: usize, words: [u32; isa::INSTR_WORDS]) -> bool {
    let Some(i) = Instr::decode(words) else {
        return false;
    };
    let text = instruction(at, &i, &[]);
    let Ok(parse::Line::Instr(_, j)) = parse::line(&text, &parse::Constants::new()) else {
        return false;
    };
    let again = Instr {
        ok_next: i.ok_next,
        fail_next: if j.fail.is_some() {
            i.fail_next
        } else {
            PLAIN.fail_next
        },
        ..j.instr
    };
    again.encode() == words
}

/// The text of a program, which assembles to the same words.
#[must_use]
pub fn disassemble(name: &str, words: &[u32]) -> String {
    let mut out = format!("program {name}\n\n");
    for (at, w) in words.chunks_exact(isa::INSTR_WORDS).enumerate() {
        let &[a, b, c, d] = w else { continue };
        let text = match Instr::decode([a, b, c, d]) {
            Some(i) if has_text(at, [a, b, c, d]) => instruction(at, &i, &[]),
            _ => format!("raw {a:#010x} {b:#010x} {c:#010x} {d:#010x}"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<5} {text}", format!("i{at}:"));
    }
    out
}
