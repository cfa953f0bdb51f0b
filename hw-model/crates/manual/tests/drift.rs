// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The committed pages are up to date with the definitions.

use reflow_hwdef::layout::FieldInfo;
use reflow_hwdef::{desc, regs};
use reflow_manual::{hw, pages, root, COMMAND, HW};
use std::collections::BTreeSet;

#[test]
fn pages_are_up_to_date() {
    let pages = pages().unwrap();
    let old: Vec<&str> = pages
        .iter()
        .filter(|page| !page.is_up_to_date())
        .map(|page| page.path)
        .collect();
    assert!(
        old.is_empty(),
        "not what the definitions make: {}; run `{COMMAND}`",
        old.join(", ")
    );
}

/// Values read from the source text equal those that the compiler computed.
#[test]
fn fields_read_from_text_are_the_compiled_ones() {
    let compiled: [(&str, &str, &[FieldInfo]); 6] = [
        ("desc", "C0", desc::C0::FIELDS),
        ("desc", "C4", desc::C4::FIELDS),
        ("desc", "T1", desc::T1::FIELDS),
        ("regs", "FlowCfg", regs::FlowCfg::FIELDS),
        ("regs", "QueueDoorbell", regs::QueueDoorbell::FIELDS),
        ("regs", "BufCfg", regs::BufCfg::FIELDS),
    ];
    for (file, name, fields) in compiled {
        let source = hw(file).unwrap();
        let word = source.words.iter().find(|w| w.name == name).unwrap();
        assert_eq!(word.fields.len(), fields.len(), "{name}");
        for (read, field) in word.fields.iter().zip(fields) {
            assert_eq!((read.hi, read.lo), (field.hi, field.lo), "{name}");
            assert_eq!(read.name, field.name);
            let doc: Vec<&str> = field.doc.iter().map(|line| line.trim()).collect();
            assert_eq!(read.doc, doc);
        }
    }
}

/// A new file of definitions has to find its place in the manual.
#[test]
fn every_file_of_definitions_is_in_the_manual_or_needs_no_page() {
    let in_manual = ["cmd", "desc", "isa", "opcode", "regs", "stats", "verify"];
    // Code, generated words, and formats that parser.rst and programming.rst describe.
    let no_page = ["image", "index", "layout", "programs", "toeplitz"];
    let known: BTreeSet<String> = in_manual
        .iter()
        .chain(&no_page)
        .map(|name| format!("{name}.rs"))
        .collect();
    let files: BTreeSet<String> = std::fs::read_dir(root().join(HW))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, known);
}
