// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes the fuzzer's first inputs: makes a folder for each target in the one that REFLOW_SEEDS
//! names.
//!
//! Made anew each time, they follow every change of a format; and no binary files are kept. In form
//! it is a target, too: instrumented code links with nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_hwdef::image;
use reflow_hwdef::programs::PROGRAMS;
use std::path::Path;
use std::{env, fs, io, process};

/// Targets whose input is a sequence of steps: bytes that count up in several ways.
const STEPS: [&str; 4] = ["frames", "parser", "bar", "rings"];

fuzz_target!(init: main(), |_data: &[u8]| {});

fn main() {
    let Some(folder) = env::var_os("REFLOW_SEEDS") else {
        eprintln!("seeds: REFLOW_SEEDS must name the folder that the inputs go to.");
        process::exit(2);
    };
    if let Err(e) = write_all(Path::new(&folder)) {
        eprintln!(
            "seeds: cannot write to {}: {e}",
            Path::new(&folder).display()
        );
        process::exit(1);
    }
    process::exit(0);
}

fn write_all(folder: &Path) -> io::Result<()> {
    for target in STEPS {
        for step in [1_usize, 3, 7, 31, 113] {
            let bytes: Vec<u8> = (0..600).map(|i| (i * step + i / 256) as u8).collect();
            seed(folder, target, &format!("step-{step}"), &bytes)?;
        }
    }
    for program in PROGRAMS {
        let words = program.words.iter().flat_map(|w| w.to_le_bytes());
        if let Some(header) = image::header(program.name, program.words) {
            let file: Vec<u8> = header.into_iter().chain(words).collect();
            seed(folder, "image", program.name, &file)?;
        }
        let text = reflow_asm::text::disassemble(program.name, program.words);
        seed(folder, "asm", program.name, text.as_bytes())?;
    }
    let include = b"include \"other\"\nreplace a\nb: raw 0 0 0 0\nend\n\n%%\na: do l3 -> done\n";
    seed(folder, "asm", "include", include)?;
    let constants = b"program p\nconst N = 0b1_0\na: at N & 0xff if < 0x2a do key 4 at 12 -> next adv 2 + r else -> a adv 1\ndo session 4 length 3 at 1\ndo kind tcp | ipv4 -> done\n";
    seed(folder, "asm", "constants", constants)
}

fn seed(folder: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{name}")), bytes)
}
