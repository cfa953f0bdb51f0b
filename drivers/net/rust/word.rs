// SPDX-License-Identifier: GPL-2.0

//! Words that somebody else may write at the same time: a device, or another CPU.
//!
//! Wraps `READ_ONCE()` and `WRITE_ONCE()`. Any context. Accesses are not ordered against others.

use core::cell::UnsafeCell;

/// A 64-bit word that is read and written as a whole.
///
/// The kernel's `Atomic` would do the same in two function calls, at ten times the price, and the
/// data path does this several times a packet. Readers never see half of a value: the driver needs
/// a 64-bit machine.
///
/// # Invariants
///
/// The word is accessed by the methods of this type only, and by devices.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct Word(UnsafeCell<u64>);

// SAFETY: All accesses are volatile and of one aligned machine word: what `READ_ONCE` and
// `WRITE_ONCE` are in C, on which the kernel's memory model defines concurrent access.
unsafe impl Sync for Word {}

impl Word {
    /// The value.
    #[inline(always)]
    pub(super) fn read(&self) -> u64 {
        // SAFETY: The reference says that the word is alive and aligned; the access may be
        // concurrent with others by the type invariant.
        unsafe { self.0.get().read_volatile() }
    }

    /// Sets the value.
    #[inline(always)]
    pub(super) fn write(&self, value: u64) {
        // SAFETY: The reference says that the word is alive and aligned, and nobody borrows its
        // inside, by the type invariant.
        unsafe { self.0.get().write_volatile(value) };
    }
}
