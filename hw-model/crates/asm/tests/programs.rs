// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The shipped programs: their text, the driver's source and images say the same.

use reflow_asm::{assemble, image, input, rust, text, Assembly};
use reflow_hwdef::image as format;
use reflow_hwdef::programs::PROGRAMS;
use std::path::PathBuf;

fn driver() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../drivers/net/ethernet/reflow")
}

fn shipped() -> Vec<Assembly> {
    let file = |name| driver().join(format!("programs/{name}.rfp"));
    PROGRAMS
        .iter()
        .map(|p| input::assemble_file(&file(p.name)).unwrap())
        .collect()
}

/// Assembles a text that includes nothing.
fn assemble_text(text: &str) -> Assembly {
    assemble("text.rfp", &|_| Ok(text.into())).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_drivers_source_matches_the_texts() {
    let source = std::fs::read_to_string(driver().join("hw/programs.rs")).unwrap();
    assert!(
        source == rust::source(&shipped()),
        "hw/programs.rs is not what programs/*.rfp make; generate it anew: \
         reflow-asm rust programs/{{{}}}.rfp -o hw/programs.rs",
        PROGRAMS
            .iter()
            .map(|p| p.name)
            .collect::<Vec<_>>()
            .join(",")
    );
    for (program, words) in shipped().iter().zip(PROGRAMS) {
        assert_eq!(program.words(), words.words, "{}", program.name);
    }
}

#[test]
fn every_text_is_shipped() {
    let files = std::fs::read_dir(driver().join("programs")).unwrap();
    let mut names: Vec<_> = files
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut known: Vec<_> = PROGRAMS.iter().map(|p| format!("{}.rfp", p.name)).collect();
    known.sort();
    assert_eq!(names, known);
}

/// Claims: 3.
#[test]
fn disassembled_programs_assemble_to_the_same_words() {
    for program in shipped() {
        let text = text::disassemble(&program.name, &program.words());
        let again = assemble_text(&text);
        assert_eq!(again.words(), program.words(), "{text}");
        assert_eq!(again.name, program.name);
        assert!(!text.contains("raw"), "{text}");
        assert_eq!(text::disassemble(&again.name, &again.words()), text);
    }
}

#[test]
fn images_hold_the_program() {
    for program in shipped() {
        let file = image(&program).unwrap();
        let read = format::parse(&file).unwrap();
        assert_eq!(read.name, program.name);
        assert_eq!(read.words().collect::<Vec<_>>(), program.words());
        assert!(file.len() <= format::SIZE_MAX);
    }
}
