// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Generates the pages of the manual that consist of facts: registers, descriptors, commands,
//! counters, the parser's instructions.
//!
//! The facts are those that driver and model compile. Tables, such as
//! [`reflow_hwdef::regs::GLOBAL_REGS`], are read as data; bit fields, enumerations and constants
//! are read from the source text ([`source`]), whose macros leave it no freedom of form; reset
//! values are asked of the model.

#![forbid(unsafe_code)]

mod counters;
mod draw;
mod hostile;
mod items;
mod registers;
mod rst;
pub mod source;

use source::Source;
use std::path::PathBuf;

/// The command that brings the pages up to date.
pub const COMMAND: &str = "cd hw-model && cargo run -p reflow-manual -- --write";

/// Folder of the definitions that driver and model share.
pub const HW: &str = "drivers/net/ethernet/reflow/hw";

/// A generated page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Path from the project's root.
    pub path: &'static str,
    /// The expected content of the file.
    pub text: String,
}

impl Page {
    /// Whether the file says the same.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        std::fs::read_to_string(root().join(self.path)).is_ok_and(|text| text == self.text)
    }
}

/// Root of the project.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Reads a file of the project.
fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(path)).map_err(|e| format!("cannot read {path}: {e}"))
}

/// Reads a file of the shared definitions.
///
/// # Errors
///
/// It is not there, or is written in a way that [`Source::parse`] does not know.
pub fn hw(name: &str) -> Result<Source, String> {
    let path = format!("{HW}/{name}.rs");
    Source::parse(&read(&path)?).map_err(|e| format!("{path}: {e}"))
}

/// All generated pages.
///
/// # Errors
///
/// A source file cannot be read or understood.
pub fn pages() -> Result<Vec<Page>, String> {
    Ok(vec![
        Page {
            path: "Documentation/hardware/registers.rst",
            text: registers::page(&hw("regs")?),
        },
        Page {
            path: "Documentation/hardware/descriptors.rst",
            text: items::descriptors(&hw("desc")?, &hw("opcode")?),
        },
        Page {
            path: "Documentation/hardware/commands.rst",
            text: items::commands(&hw("cmd")?),
        },
        Page {
            path: "Documentation/hardware/isa-encoding.rst",
            text: items::instructions(&hw("isa")?, &hw("verify")?),
        },
        Page {
            path: "Documentation/hardware/counters.rst",
            text: counters::hardware(),
        },
        Page {
            path: "Documentation/hardware/hostile.rst",
            text: hostile::page(),
        },
        Page {
            path: "Documentation/networking/reflow-statistics.rst",
            text: counters::driver(&read("drivers/net/ethernet/reflow/counters.rs")?)?,
        },
    ])
}
