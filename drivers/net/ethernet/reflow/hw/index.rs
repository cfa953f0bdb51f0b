// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Ring index arithmetic.
//!
//! Indices are free-running modulo 2^15, so that a full ring differs from an empty one and a
//! doorbell has room for two. A ring has a power of two of entries, at most 2^13.

/// Bits of an index.
pub const BITS: u32 = 15;
/// Mask of an index.
pub const MASK: u16 = (1 << BITS) - 1;

/// A free-running index, always below 2^15.
///
/// # Invariants
///
/// The value has no bit outside [`MASK`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Index(u16);

impl Index {
    /// Index zero.
    pub const ZERO: Self = Self(0);

    /// Takes the low 15 bits of a word that the other side wrote.
    #[inline(always)]
    pub const fn from_raw(raw: u32) -> Self {
        // INVARIANT: masked.
        Self((raw & MASK as u32) as u16)
    }

    /// The value for a register or a descriptor.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        self.0 as u32
    }

    /// The index plus `n`.
    #[inline(always)]
    #[must_use]
    pub const fn add(self, n: u16) -> Self {
        // INVARIANT: masked.
        Self(self.0.wrapping_add(n) & MASK)
    }

    /// How far this index is ahead of `behind`.
    #[inline(always)]
    pub const fn since(self, behind: Self) -> u16 {
        self.0.wrapping_sub(behind.0) & MASK
    }

    /// The slot in a ring of `2^log2` entries.
    #[inline(always)]
    pub const fn slot(self, log2: u32) -> usize {
        (self.0 as usize) & ((1 << log2) - 1)
    }

    /// The generation bit of a completion at this index: it changes with each round of the ring.
    ///
    /// The first round has 1, so that zeroed memory is not yet complete.
    #[inline(always)]
    pub const fn generation(self, log2: u32) -> bool {
        (self.0 >> log2) & 1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_and_counts() {
        let a = Index::from_raw(0x7fff);
        let b = a.add(3);
        assert_eq!(b.raw(), 2);
        assert_eq!(b.since(a), 3);
        assert_eq!(a.since(b), 0x7ffd);
        assert_eq!(b.slot(3), 2);
    }

    #[test]
    fn generation_flips_each_round() {
        let mut i = Index::ZERO;
        for n in 0..0x1_0000_u32 {
            assert_eq!(i.generation(4), (n / 16) % 2 == 0);
            i = i.add(1);
        }
    }
}
