// SPDX-License-Identifier: GPL-2.0

//! Memory that a bus device reads or writes.
//!
//! Wraps `dma_alloc_coherent()` through the kernel's `Coherent`, and the device that memory is
//! mapped for. Allocating and freeing may sleep; reading and writing are allowed in any context.
//!
//! [`Words`] and [`Bytes`] are coherent allocations that CPU and device share all their life. They
//! are only read and written as scalars or copied out, never borrowed as Rust slices, because the
//! device may write at any time. Packets to send are mapped in [`super::tx_slots`].
//!
//! ```
//! fn ring(dev: &device::Device<device::Bound>, descriptor: u64) -> Result<Words> {
//!     let ring = Words::new(dev, 8)?;
//!     ring.write(0, descriptor);
//!     Ok(ring)
//! }
//! # use kernel::device;
//! ```

use super::{
    bindings,
    word::Word, //
};
use kernel::{
    device::{
        self,
        Bound,
        Core, //
    },
    dma::{
        Coherent,
        Device as _,
        DmaMask, //
    },
    pci,
    prelude::*, //
};

/// The bus device that memory is mapped for, bound to its driver for `'bound`.
#[derive(Clone, Copy)]
pub(crate) struct DmaDevice<'bound>(&'bound device::Device<Bound>);

impl<'bound> DmaDevice<'bound> {
    /// Prepares a PCI device that supports 64-bit addresses. To be called first in `probe`. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// Errors of `dma_set_mask_and_coherent()`.
    pub(crate) fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: `Core` means that a bus callback is running; nothing was allocated or mapped on
        // behalf of the device before, as that takes an object of this type or comes after it.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())? };
        let pdev: &'bound pci::Device<Bound> = pdev;
        Ok(Self(pdev.as_ref()))
    }

    /// The bus device.
    pub(crate) fn device(&self) -> &'bound device::Device<Bound> {
        self.0
    }

    pub(super) fn as_raw(&self) -> *mut bindings::device {
        // CAST: `device::Device` is a transparent wrapper of `struct device`.
        core::ptr::from_ref::<device::Device<Bound>>(self.0)
            .cast_mut()
            .cast()
    }
}

/// A coherent array of little-endian 64-bit words whose length is a power of two.
///
/// # Invariants
///
/// `mem` holds `mask + 1` words.
pub(crate) struct Words {
    mem: Coherent<[u64]>,
    mask: usize,
}

impl Words {
    /// Allocates `2^log2` zeroed words. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(dev: &device::Device<Bound>, log2: u32) -> Result<Self> {
        let len = 1_usize.checked_shl(log2).ok_or(EINVAL)?;
        // INVARIANT: `len` words are allocated.
        Ok(Self {
            mem: Coherent::zeroed_slice(dev, len, GFP_KERNEL)?,
            mask: len - 1,
        })
    }

    /// Bus address of word 0.
    pub(crate) fn dma_address(&self) -> u64 {
        self.mem.dma_address()
    }

    /// Number of words.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.mask + 1
    }

    /// Reads word `i`, modulo the length.
    #[inline(always)]
    pub(crate) fn read(&self, i: usize) -> u64 {
        u64::from_le(self.word(i).read())
    }

    /// Writes word `i`, modulo the length.
    #[inline(always)]
    pub(crate) fn write(&self, i: usize, value: u64) {
        self.word(i).write(value.to_le());
    }

    /// Word `i`, modulo the length.
    #[inline(always)]
    fn word(&self, i: usize) -> &Word {
        let at = self.mem.as_mut_ptr().cast::<Word>();
        // SAFETY: The index is masked into the allocation by the type invariant, `Word` is a
        // transparent wrapper of the `u64` there, and nobody else on the CPU's side has a reference
        // to the words. The device accesses them as a whole.
        unsafe { &*at.add(i & self.mask) }
    }
}

/// A coherent array of bytes that the device writes and the CPU copies from.
pub(crate) struct Bytes {
    mem: Coherent<[u8]>,
}

impl Bytes {
    /// Allocates `len` zeroed bytes. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(dev: &device::Device<Bound>, len: usize) -> Result<Self> {
        Ok(Self {
            mem: Coherent::zeroed_slice(dev, len, GFP_KERNEL)?,
        })
    }

    /// Bus address of byte 0.
    pub(crate) fn dma_address(&self) -> u64 {
        self.mem.dma_address()
    }

    /// Copies bytes at `off`.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if they are not all inside; nothing is copied then.
    pub(crate) fn copy_to(&self, off: usize, to: &mut [u8]) -> Result {
        let from = self.range(off, to.len()).ok_or(EINVAL)?;
        // SAFETY: `from` has as many bytes as `to`, which is memory of the CPU's alone. The C
        // function copies bytes whatever the device writes meanwhile.
        unsafe {
            bindings::coherent_copy(to.as_mut_ptr().cast(), from.cast(), to.len());
        }
        Ok(())
    }

    /// The byte at `off`, or `None` if it is not inside.
    #[inline]
    pub(crate) fn byte(&self, off: usize) -> Option<u8> {
        let at = self.range(off, 1)?;
        // SAFETY: The byte is inside the memory. A volatile read is sound whatever the device
        // writes meanwhile.
        Some(unsafe { at.read_volatile() })
    }

    /// The address of `len` bytes at `off`, or `None` if they are not all inside.
    #[inline]
    pub(super) fn range(&self, off: usize, len: usize) -> Option<*const u8> {
        if off.checked_add(len)? > self.mem.len() {
            return None;
        }
        Some(self.mem.as_ptr().cast::<u8>().wrapping_add(off))
    }
}
