// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Input of the tool: programs as text or image, frames as hex digits or captures.

use crate::assemble::{assemble, Assembly};
use reflow_hwdef::image;
use std::fs::File;
use std::path::Path;

/// A program and the names of its instructions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its words; those of an image are not verified yet.
    pub words: Vec<u32>,
    /// Labels by instruction number; an image has none.
    pub labels: Vec<Option<String>>,
}

/// Assembles a file.
///
/// # Errors
///
/// The errors in it, as text.
pub fn assemble_file(path: &Path) -> Result<Assembly, String> {
    let name = path.to_string_lossy();
    assemble(&name, &|name| std::fs::read_to_string(name)).map_err(|e| e.to_string())
}

/// Reads a program: an image if the file begins like one, else text.
///
/// # Errors
///
/// The error in the file, as text.
pub fn load(path: &Path) -> Result<Loaded, String> {
    let file = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    if file.starts_with(&image::MAGIC) {
        let image = image::parse(&file).map_err(|e| format!("{}: {}", path.display(), e.text()))?;
        return Ok(Loaded {
            name: image.name.into(),
            words: image.words().collect(),
            labels: Vec::new(),
        });
    }
    let assembly = assemble_file(path)?;
    Ok(Loaded {
        words: assembly.words(),
        labels: assembly.labels(),
        name: assembly.name,
    })
}

/// A frame from hex digits; blanks, line ends, `:`, `-` and `0x` are skipped.
///
/// # Errors
///
/// The first character that is no hex digit, or an odd number of digits.
pub fn frame_from_hex(text: &str) -> Result<Vec<u8>, String> {
    let plain = text.replace("0x", "");
    let digits: Vec<char> = plain
        .chars()
        .filter(|c| !c.is_whitespace() && !":-,".contains(*c))
        .collect();
    if let Some(bad) = digits.iter().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!(
            "`{bad}` is not a hex digit; give the frame's bytes as 0a1b2c"
        ));
    }
    if digits.len() % 2 != 0 {
        return Err("the frame has half a byte; give two hex digits for each byte".into());
    }
    let nibble = |c: char| c.to_digit(16).unwrap_or(0) as u8;
    Ok(digits
        .chunks_exact(2)
        .map(|two| two.iter().fold(0, |n, c| (n << 4) | nibble(*c)))
        .collect())
}

/// Packet `number` (from 1) of a pcap or pcapng file.
///
/// # Errors
///
/// The file cannot be read or has fewer packets.
pub fn frame_from_capture(path: &Path, number: usize) -> Result<Vec<u8>, String> {
    let open = || File::open(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let wrong = |e: pcap_file::PcapError| format!("{}: not a capture: {e}", path.display());
    let mut seen = 0;
    let mut wanted = || {
        seen += 1;
        seen == number
    };
    let mut frame = None;
    if let Ok(mut reader) = pcap_file::pcap::PcapReader::new(open()?) {
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(wrong)?;
            if wanted() {
                frame = Some(packet.data.into_owned());
                break;
            }
        }
    } else {
        let mut reader = pcap_file::pcapng::PcapNgReader::new(open()?).map_err(wrong)?;
        while let Some(block) = reader.next_block() {
            use pcap_file::pcapng::Block;
            let data = match block.map_err(wrong)? {
                Block::EnhancedPacket(p) => p.data,
                Block::SimplePacket(p) => p.data,
                Block::Packet(p) => p.data,
                _ => continue,
            };
            if wanted() {
                frame = Some(data.into_owned());
                break;
            }
        }
    }
    frame.ok_or_else(|| {
        format!(
            "{} has no packet {number}, only {seen}; count from 1",
            path.display()
        )
    })
}
