// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A parser program as a firmware file, made by `reflow-asm`.
//!
//! A header of [`HEADER_SIZE`] bytes, then the parser program's words; all numbers in little
//! endian.
//!
//! | bytes  | what |
//! | ------ | ---- |
//! | 0..4   | magic `RFLP` |
//! | 4..6   | version of the format |
//! | 6..8   | number of instructions |
//! | 8..12  | CRC-32 (IEEE) of the words |
//! | 12..16 | zero |
//! | 16..48 | name in ASCII without blanks, padded with zeros |

use super::isa;

/// First bytes of an image.
pub const MAGIC: [u8; 4] = *b"RFLP";
/// Version of the format.
pub const VERSION: u16 = 1;
/// Bytes before the words.
pub const HEADER_SIZE: usize = 48;
/// Most bytes of a parser program's name.
pub const NAME_MAX: usize = 32;
/// Bytes of the largest image.
pub const SIZE_MAX: usize = HEADER_SIZE + isa::MAX_INSTRS * isa::INSTR_WORDS * 4;

/// Why an image was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// Shorter than its header.
    Short,
    /// Not an image.
    Magic,
    /// Another version of the format.
    Version,
    /// The file's size is not what the number of instructions makes.
    Size,
    /// More instructions than the program RAM holds.
    TooLong,
    /// The name is empty or has bytes that a name may not have.
    Name,
    /// The words are not those that the image was made of.
    Crc,
    /// A byte that must be zero is not.
    Reserved,
}

impl ImageError {
    /// The reason as a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Short => "the file is shorter than the header of a parser image",
            Self::Magic => "the file is not a parser image made by reflow-asm",
            Self::Version => "the image has an unknown version; make it anew with reflow-asm",
            Self::Size => "the image has not the size that its header tells",
            Self::TooLong => "the image has more instructions than the program RAM",
            Self::Name => "the image's name is not plain ASCII padded with zeros",
            Self::Crc => "the image's checksum is wrong, it was damaged or changed by hand",
            Self::Reserved => "a byte of the image's header that must be zero is not",
        }
    }
}

/// A parser program in an image whose header and checksum are right; the words are not verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image<'a> {
    /// Its name.
    pub name: &'a str,
    /// CRC-32 of the words, as the device tells it of the parser program at work.
    pub crc: u32,
    code: &'a [u8],
}

impl<'a> Image<'a> {
    /// The words in order.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.code.chunks_exact(4).map(le32)
    }
}

/// A number of at most four bytes.
fn le32(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, b| (n << 8) | u32::from(*b))
}

/// CRC-32 (IEEE) of words in little endian.
pub fn crc32(words: impl Iterator<Item = u32>) -> u32 {
    let mut crc = u32::MAX;
    for word in words {
        crc ^= word;
        for _ in 0..32 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// The header of an image; `None` if the name is none or the parser program is too long.
pub fn header(name: &str, words: &[u32]) -> Option<[u8; HEADER_SIZE]> {
    let instrs = words.len() / isa::INSTR_WORDS;
    if instrs > isa::MAX_INSTRS || words.len() % isa::INSTR_WORDS != 0 || !is_name(name) {
        return None;
    }
    let mut out = [0; HEADER_SIZE];
    let mut at = 0;
    let parts: [&[u8]; 6] = [
        &MAGIC,
        &VERSION.to_le_bytes(),
        &(instrs as u16).to_le_bytes(),
        &crc32(words.iter().copied()).to_le_bytes(),
        &[0; 4],
        name.as_bytes(),
    ];
    for part in parts {
        out.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
    }
    Some(out)
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Reads an image.
///
/// # Errors
///
/// An error in the file, which must not be used then.
pub fn parse(file: &[u8]) -> Result<Image<'_>, ImageError> {
    let Some((header, code)) = file.split_at_checked(HEADER_SIZE) else {
        return Err(ImageError::Short);
    };
    let field = |from: usize, to: usize| header.get(from..to).unwrap_or(&[]);
    if field(0, 4) != MAGIC {
        return Err(ImageError::Magic);
    }
    if le32(field(4, 6)) != u32::from(VERSION) {
        return Err(ImageError::Version);
    }
    let instrs = le32(field(6, 8)) as usize;
    if instrs > isa::MAX_INSTRS {
        return Err(ImageError::TooLong);
    }
    if code.len() != instrs * isa::INSTR_WORDS * 4 {
        return Err(ImageError::Size);
    }
    if field(12, 16) != [0; 4] {
        return Err(ImageError::Reserved);
    }
    let padded = field(16, HEADER_SIZE);
    let len = padded.iter().position(|b| *b == 0).unwrap_or(NAME_MAX);
    let (name, padding) = padded.split_at_checked(len).unwrap_or((&[], &[]));
    let name = match core::str::from_utf8(name) {
        Ok(name) if is_name(name) && padding.iter().all(|b| *b == 0) => name,
        _ => return Err(ImageError::Name),
    };
    let image = Image {
        name,
        crc: le32(field(8, 12)),
        code,
    };
    if crc32(image.words()) != image.crc {
        return Err(ImageError::Crc);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn image(name: &str, words: &[u32]) -> Vec<u8> {
        let mut out = header(name, words).unwrap().to_vec();
        out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        out
    }

    #[test]
    fn an_image_is_read_as_it_was_made() {
        let words = [1, 0x8000_0000, 0xdead_beef, 7];
        let file = image("name", &words);
        let read = parse(&file).unwrap();
        assert_eq!(read.name, "name");
        assert_eq!(read.words().collect::<Vec<_>>(), words);
        assert_eq!(parse(&image("empty", &[])).unwrap().words().len(), 0);
    }

    #[test]
    fn the_checksum_has_the_published_check_value() {
        // The check value of CRC-32/ISO-HDLC is that of "123456789"; this is its first 8 bytes'.
        assert_eq!(crc32([0x3433_3231, 0x3837_3635].into_iter()), 0x9ae0_daaf);
        assert_eq!(crc32(core::iter::empty()), 0);
    }

    #[test]
    fn each_damage_is_refused_with_its_reason() {
        let good = image("name", &[1, 2, 3, 4]);
        let damaged = |at: usize, value: u8| {
            let mut file = good.clone();
            file[at] = value;
            parse(&file).unwrap_err()
        };
        assert_eq!(parse(&good[..47]), Err(ImageError::Short));
        assert_eq!(parse(&good[..good.len() - 1]), Err(ImageError::Size));
        assert_eq!(damaged(0, 0), ImageError::Magic);
        assert_eq!(damaged(4, 2), ImageError::Version);
        assert_eq!(damaged(6, 2), ImageError::Size);
        assert_eq!(damaged(6, 129), ImageError::TooLong);
        assert_eq!(damaged(8, !good[8]), ImageError::Crc);
        assert_eq!(damaged(12, 1), ImageError::Reserved);
        assert_eq!(damaged(16, 0), ImageError::Name);
        assert_eq!(damaged(17, b' '), ImageError::Name);
        assert_eq!(damaged(21, b'x'), ImageError::Name);
        assert_eq!(damaged(HEADER_SIZE, 9), ImageError::Crc);
    }

    #[test]
    fn a_bad_name_or_length_has_no_header() {
        assert!(header("", &[]).is_none());
        assert!(header("a b", &[]).is_none());
        assert!(header("x", &[0; 3]).is_none());
        assert!(header("x", &[0; 129 * 4]).is_none());
        assert!(header("a name of more than 32 characters", &[]).is_none());
        assert!(header(&"x".repeat(33), &[]).is_none());
        assert!(header(&"x".repeat(32), &[]).is_some());
    }
}
