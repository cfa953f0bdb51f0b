// SPDX-License-Identifier: GPL-2.0

//! Memory that a bus device reads or writes.
//!
//! [`Words`] and [`Bytes`] are coherent allocations that CPU and device share all their life; they
//! are only ever read and written as scalars or copied out, never borrowed as Rust slices, because
//! the device may write at any time. [`Mapping`] is a streaming mapping of a packet to send.

use super::{
    bindings,
    skbuff::TxSkb, //
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
    prelude::*,
    sync::aref::ARef, //
};

/// The bus device on whose behalf memory is mapped.
pub(crate) struct DmaDevice(ARef<device::Device>);

impl DmaDevice {
    /// Prepares a PCI device that can reach all 64-bit addresses. To be called first in `probe`.
    ///
    /// # Errors
    ///
    /// What setting the DMA mask says.
    pub(crate) fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: `Core` means that a bus callback is running; nothing was allocated or mapped on
        // behalf of the device before, as that takes an object of this type or comes after it.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())? };
        let dev: &device::Device = pdev.as_ref();
        Ok(Self(dev.into()))
    }

    pub(super) fn as_raw(&self) -> *mut bindings::device {
        // CAST: `device::Device` is a transparent wrapper of `struct device`.
        core::ptr::from_ref::<device::Device>(&self.0)
            .cast_mut()
            .cast()
    }

    /// Maps the linear part of a packet.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] when the mapping fails.
    pub(crate) fn map_head(&self, skb: &TxSkb, len: u32) -> Result<Mapping> {
        // SAFETY: The device is valid by `ARef`, the packet by its type.
        let addr = unsafe { bindings::skb_map_head(self.as_raw(), skb.as_raw()) };
        self.checked(addr, len, false)
    }

    /// Maps fragment `i` of a packet.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] when the mapping fails or there is no such fragment.
    pub(crate) fn map_frag(&self, skb: &TxSkb, i: u16) -> Result<Mapping> {
        let (mut len, mut foreign) = (0, false);
        // SAFETY: As in `map_head`; the helper checks `i`.
        let addr = unsafe {
            bindings::skb_map_frag(
                self.as_raw(),
                skb.as_raw(),
                i.into(),
                &mut len,
                &mut foreign,
            )
        };
        self.checked(addr, len, foreign)
    }

    pub(super) fn checked(
        &self,
        addr: bindings::dma_addr_t,
        len: u32,
        foreign: bool,
    ) -> Result<Mapping> {
        // SAFETY: The device is valid by `ARef`.
        if unsafe { bindings::dma_mapping_error(self.as_raw(), addr) } != 0 {
            return Err(ENOMEM);
        }
        Ok(Mapping { addr, len, foreign })
    }

    /// Ends a mapping that this device made.
    pub(crate) fn unmap(&self, mapping: Mapping) {
        if mapping.foreign {
            return;
        }
        // SAFETY: A `Mapping` comes from `checked` only and is given up here, so it is live and is
        // ended once. A driver has one DMA device.
        unsafe { bindings::dma_unmap_tx(self.as_raw(), mapping.addr, mapping.len) };
    }
}

/// A live streaming mapping towards the device. It is to be given to [`DmaDevice::unmap`].
#[must_use]
pub(crate) struct Mapping {
    addr: bindings::dma_addr_t,
    len: u32,
    /// Whoever lent the memory to the stack has mapped it, and ends that.
    foreign: bool,
}

impl Mapping {
    /// Bus address of the first byte.
    pub(crate) fn addr(&self) -> u64 {
        self.addr
    }

    /// Bytes mapped.
    pub(crate) fn len(&self) -> u32 {
        self.len
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
        // SAFETY: The index is masked into the allocation by the type invariant. The read is
        // volatile, as the device may write at the same time; it does so in whole words.
        u64::from_le(unsafe {
            self.mem
                .as_ptr()
                .cast::<u64>()
                .add(i & self.mask)
                .read_volatile()
        })
    }

    /// Writes word `i`, modulo the length.
    #[inline(always)]
    pub(crate) fn write(&self, i: usize, value: u64) {
        // SAFETY: As in `read`. Nobody else on the CPU's side reads words that it writes, other
        // than through this type.
        unsafe {
            self.mem
                .as_mut_ptr()
                .cast::<u64>()
                .add(i & self.mask)
                .write_volatile(value.to_le())
        }
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
