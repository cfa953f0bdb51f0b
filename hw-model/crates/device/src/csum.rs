// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Internet checksum: verified on receive, filled in on transmit.

use crate::proto::Level;

/// Adds up a run of bytes as big-endian 16-bit words; an odd last byte is padded with zero.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    // The ones' complement sum does not care about the width of the words that are added, nor, up
    // to a final swap, about their byte order; this adds four bytes at a time.
    let mut acc = 0_u64;
    let mut words = bytes.chunks_exact(4);
    for w in &mut words {
        acc += u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    }
    for (i, &b) in words.remainder().iter().enumerate() {
        acc += u64::from(b) << (24 - 8 * i);
    }
    acc
}

/// Folds a sum to 16 bits.
pub(crate) fn fold(mut acc: u64) -> u16 {
    while acc >> 16 != 0 {
        acc = (acc & 0xffff) + (acc >> 16);
    }
    acc as u16
}

/// The checksum field for a sum: complemented, and never zero, which would mean "none".
pub(crate) fn finish(acc: u64) -> u16 {
    match !fold(acc) {
        0 => 0xffff,
        sum => sum,
    }
}

/// Sum of the pseudo header.
pub(crate) fn pseudo(frame: &[u8], ip: Level, proto: u8, len: usize) -> Option<u64> {
    let addrs = if ip.v6 {
        frame.get(ip.off + 8..ip.off + 40)?
    } else {
        frame.get(ip.off + 12..ip.off + 20)?
    };
    Some(sum(addrs) + u64::from(proto) + len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> u16 {
        let mut acc = 0_u32;
        for pair in bytes.chunks(2) {
            acc += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
            acc = (acc & 0xffff) + (acc >> 16);
        }
        acc as u16
    }

    #[test]
    fn equals_the_plain_definition_for_every_length() {
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * 37 + 11) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(fold(sum(&bytes[..len])), plain(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn known_header() {
        // The example of the checksum's usual explanations: sums to ffff with its field.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8,
            0, 0xc7,
        ];
        assert_eq!(fold(sum(&header)), 0xffff);
    }

    #[test]
    fn zero_is_never_written() {
        assert_eq!(finish(0xffff), 0xffff);
        assert_eq!(finish(0), 0xffff);
        assert_eq!(finish(0xfffe), 1);
    }
}
