// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Assembler text: every mistake is told in a message, and what assembles is a program that its own
//! disassembly assembles to again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_asm::{assemble, image, text, Assembly};
use reflow_device::parser::Program;
use std::io::{Error, ErrorKind};

/// Parts the main file from the one that it may include.
const CUT: &str = "\n%%\n";

fuzz_target!(|data: &[u8]| {
    let all = String::from_utf8_lossy(data);
    let (main, other) = all.split_once(CUT).unwrap_or((&all, ""));
    let read = |name: &str| match name {
        "main" => Ok(main.to_string()),
        "other" => Ok(other.to_string()),
        _ => Err(Error::from(ErrorKind::NotFound)),
    };
    match assemble("main", &read) {
        Ok(assembly) => accepted(&assembly),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});

fn accepted(assembly: &Assembly) {
    let words = assembly.words();
    let program = Program::load(&words).expect("what assembles is verified");
    let text = text::disassemble("again", &words);
    match assemble("again", &|_| Ok(text.clone())) {
        Ok(again) => assert_eq!(again.words(), words, "{text}"),
        Err(errors) => panic!("{errors}\n{text}"),
    }
    if let Some(file) = image(assembly) {
        let parsed = reflow_hwdef::image::parse(&file).expect("what was written can be read");
        assert_eq!(parsed.crc, program.crc());
        assert!(parsed.words().eq(words));
    }
}
