// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The fuzzer's bytes, read from the front; behind their end come zeros.

use std::cell::Cell;

/// The rest of the input. Reading needs no exclusive access, for a host whose memory it stands for.
pub struct Input<'a>(Cell<&'a [u8]>);

impl<'a> Input<'a> {
    /// All of the input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Cell::new(bytes))
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.get().is_empty()
    }

    /// Up to `n` bytes.
    pub fn bytes(&self, n: usize) -> &'a [u8] {
        let all = self.0.get();
        let (now, later) = all.split_at(n.min(all.len()));
        self.0.set(later);
        now
    }

    /// All that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    /// Fills a buffer.
    pub fn fill(&self, out: &mut [u8]) {
        let bytes = self.bytes(out.len());
        out[..bytes.len()].copy_from_slice(bytes);
        out[bytes.len()..].fill(0);
    }

    fn array<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A byte.
    pub fn u8(&self) -> u8 {
        self.array::<1>()[0]
    }

    /// Two bytes.
    pub fn u16(&self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Four bytes.
    pub fn u32(&self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Eight bytes.
    pub fn u64(&self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number below `n`.
    pub fn below(&self, n: usize) -> usize {
        usize::from(self.u8()) % n
    }

    /// One of several.
    pub fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True once in `n` times.
    pub fn one_in(&self, n: usize) -> bool {
        self.below(n) == n - 1
    }
}
