// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Generates the driver's source of shipped programs.

use crate::assemble::Assembly;
use crate::text;
use reflow_hwdef::isa::Instr;
use std::fmt::Write;

const HEAD: &str = "\
// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Parser programs that come with the driver, made by `reflow-asm`; do not edit.

/// A program that comes with the driver.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its instructions, four words each.
    pub words: &'static [u32],
}

/// Programs that come with the driver; the first is the default.
pub const PROGRAMS: &[Program] = &[
";

/// The source of `hw/programs.rs`.
#[must_use]
pub fn source(programs: &[Assembly]) -> String {
    let mut out = String::from(HEAD);
    for program in programs {
        let name = program.name.to_ascii_uppercase();
        let _ = writeln!(out, "    Program {{\n        name: \"{}\",", program.name);
        let _ = writeln!(out, "        words: {name},\n    }},");
    }
    out.push_str("];\n");
    for program in programs {
        constant(&mut out, program);
    }
    out
}

/// A program's words, with each instruction's text above it.
fn constant(out: &mut String, program: &Assembly) {
    let name = program.name.to_ascii_uppercase();
    if program.instrs.is_empty() {
        let _ = writeln!(out, "\nconst {name}: &[u32] = &[];");
        return;
    }
    let _ = writeln!(out, "\n#[rustfmt::skip]\nconst {name}: &[u32] = &[");
    let labels = program.labels();
    for (at, i) in program.instrs.iter().enumerate() {
        let text = match Instr::decode(i.words) {
            Some(instr) => text::instruction(at, &instr, &labels),
            None => "raw".into(),
        };
        let label = i.label.as_ref().map_or(String::new(), |l| format!("{l}: "));
        let [a, b, c, d] = i.words;
        let _ = writeln!(out, "    // {at} {label}{text}");
        let _ = writeln!(out, "    {a:#010x}, {b:#010x}, {c:#010x}, {d:#010x},");
    }
    out.push_str("];\n");
}
