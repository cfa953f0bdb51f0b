// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Firmware images: what is accepted has one form only, and is what the device would run.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_device::parser::Program;
use reflow_hwdef::image::{self, HEADER_SIZE, SIZE_MAX};

fuzz_target!(|data: &[u8]| {
    try_image(data);
    // The same with the checksum mended, which no fuzzer guesses.
    let mut mended = data.to_vec();
    if mended.len() >= HEADER_SIZE {
        let (header, code) = mended.split_at_mut(HEADER_SIZE);
        let words = code
            .chunks_exact(4)
            .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        header[8..12].copy_from_slice(&image::crc32(words).to_le_bytes());
        try_image(&mended);
    }
});

fn try_image(file: &[u8]) {
    let parsed = match image::parse(file) {
        Ok(parsed) => parsed,
        Err(error) => return assert!(!error.text().is_empty()),
    };
    assert!(file.len() <= SIZE_MAX);
    let words: Vec<u32> = parsed.words().collect();
    let header = image::header(parsed.name, &words).expect("what was read can be written");
    assert_eq!(header, file[..HEADER_SIZE]);
    let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(code, file[HEADER_SIZE..]);
    if let Ok(program) = Program::load(&words) {
        assert_eq!(program.crc(), parsed.crc);
    }
}
