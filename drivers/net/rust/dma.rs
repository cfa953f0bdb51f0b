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
use core::{
    marker::PhantomData,
    mem::offset_of, //
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

/// The most words that [`Words::read_of`] takes for a group.
const GROUP_MAX: usize = 8;

/// A coherent array of little-endian 64-bit words whose length is a power of two.
///
/// # Invariants
///
/// `mask + 1` is a power of two. `mem` holds as many words, and no fewer than [`GROUP_MAX`].
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
        // INVARIANT: `len` words are allocated, or more.
        Ok(Self {
            mem: Coherent::zeroed_slice(dev, len.max(GROUP_MAX), GFP_KERNEL)?,
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
        self.read_of::<1>(i, 0)
    }

    /// Reads a word of the group of `N` words that word `i` is in: the one at `k`, modulo `N`. `i`
    /// is taken modulo the length. `N` is a power of two, and at most 8.
    #[inline(always)]
    pub(crate) fn read_of<const N: usize>(&self, i: usize, k: usize) -> u64 {
        u64::from_le(self.word::<N>(i, k).read())
    }

    /// Writes word `i`, modulo the length.
    #[inline(always)]
    pub(crate) fn write(&self, i: usize, value: u64) {
        self.word::<1>(i, 0).write(value.to_le());
    }

    /// Word `k`, modulo `N`, of the group of `N` words that word `i`, modulo the length, is in.
    #[inline(always)]
    fn word<const N: usize>(&self, i: usize, k: usize) -> &Word {
        const { assert!(N.is_power_of_two() && N <= GROUP_MAX) };
        let first = i & self.mask & !(N - 1);
        let at = self.mem.as_mut_ptr().cast::<Word>();
        // SAFETY: If there are `N` words or more, `first` is a multiple of `N` below their number,
        // of which `N` is a divisor, as both are powers of two: the group is inside. If there are
        // fewer, `first` is 0, and the allocation has `N` words all the same by the type invariant.
        // `Word` is a transparent wrapper of the `u64` there, and nobody else on the CPU's side has
        // a reference to the words. The device accesses them as a whole.
        unsafe { &*at.add(first).add(k & (N - 1)) }
    }
}

/// Bytes of coherent memory that are to be copied.
///
/// # Invariants
///
/// From `data` on as many bytes as `len`, rounded up to a multiple of `RNET_COPY_STEP`, are in an
/// allocation that lives for `'a`.
#[repr(C)]
pub(super) struct Part<'a> {
    // As in `struct rnet_coherent`.
    data: *const u8,
    len: u32,
    _memory: PhantomData<&'a Bytes>,
}

const _: () = {
    use bindings::rnet_coherent;

    assert!(size_of::<Part<'_>>() == size_of::<rnet_coherent>());
    assert!(offset_of!(Part<'_>, data) == offset_of!(rnet_coherent, data));
    assert!(offset_of!(Part<'_>, len) == offset_of!(rnet_coherent, len));
};

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

    /// The `len` bytes at `off`, or `None` if they, rounded up to a multiple of `RNET_COPY_STEP`,
    /// are not all inside.
    #[inline(always)]
    pub(super) fn part(&self, off: usize, len: u16) -> Option<Part<'_>> {
        const LAST: u32 = bindings::rnet_copy_step_RNET_COPY_STEP - 1;
        let len = u32::from(len);
        let readable = (len + LAST) & !LAST;
        // INVARIANT: As just made sure of.
        Some(Part {
            data: self.range(off, readable as usize)?,
            len,
            _memory: PhantomData,
        })
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
