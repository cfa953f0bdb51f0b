// SPDX-License-Identifier: GPL-2.0

//! Counters that one context writes and any other reads.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A 64-bit counter with one writer at a time.
///
/// Readers never see half of it: the driver needs a 64-bit machine. Adding is a load and a store,
/// no locked operation; two writers at the same time would lose counts, nothing worse.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    /// Adds `n`.
    #[inline(always)]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value.
    #[inline(always)]
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
