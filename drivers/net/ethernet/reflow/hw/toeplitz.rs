// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow key's bytes and its Toeplitz hash.

/// Most bytes of a flow key: two IPv6 addresses and two ports.
pub const KEY_MAX: usize = 36;
/// Bytes of the hash's secret key.
pub const SECRET_LEN: usize = 40;

/// The secret key after a reset: the sample key of the RSS specification.
pub const DEFAULT_SECRET: [u8; SECRET_LEN] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// The Toeplitz hash of `input` (network byte order; at most 36 bytes count).
pub fn hash(secret: &[u8; SECRET_LEN], input: &[u8]) -> u32 {
    let mut window = u32::from_be_bytes([secret[0], secret[1], secret[2], secret[3]]);
    let mut next = secret.iter().skip(4).copied();
    let mut out = 0;
    for &byte in input.iter().take(KEY_MAX) {
        let follow = next.next().unwrap_or(0);
        for bit in (0..8).rev() {
            if (byte >> bit) & 1 == 1 {
                out ^= window;
            }
            window = (window << 1) | u32::from((follow >> bit) & 1);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // The published verification suite of this hash: addresses and ports, source first.
    #[test]
    fn published_vectors_ipv4() {
        let key = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(hash(&DEFAULT_SECRET, &key[..8]), 0x323e8fc2);
        assert_eq!(hash(&DEFAULT_SECRET, &key), 0x51ccc178);
    }

    #[test]
    fn published_vectors_ipv6() {
        let mut key = [0_u8; KEY_MAX];
        key[..16].copy_from_slice(&[
            0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x07,
        ]);
        key[16..32].copy_from_slice(&[
            0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 0x01,
        ]);
        key[32..34].copy_from_slice(&2794_u16.to_be_bytes());
        key[34..].copy_from_slice(&1766_u16.to_be_bytes());
        assert_eq!(hash(&DEFAULT_SECRET, &key), 0x40207d3d);
    }
}
