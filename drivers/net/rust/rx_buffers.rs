// SPDX-License-Identifier: GPL-2.0

//! Receive buffers with room for a socket buffer around the packet: nothing is copied.
//!
//! Wraps `napi_build_skb()` over pages of a [`PagePool`]. Buffers are taken and received in polls,
//! or taken by whoever borrows the source exclusively before that; they may be given back in any
//! context.
//!
//! A buffer is a page of a pool or half of one. The device writes behind some headroom, and the
//! kernel's part of the socket buffer lies behind the packet, so a packet that needs one buffer
//! costs one call: [`Buffer::receive`]. A longer one begins with [`Buffer::into_skb`] and goes on
//! with [`RxSkb::add_buffer`].
//!
//! Two buffers of half a page take turns: when a packet has one, the other is where the device
//! writes next, if its packet is freed by then. So as long as packets are freed within two rounds
//! of the ring, nothing is allocated, and the page stays mapped.
//!
//! ```
//! /// Hands a packet in two buffers to the stack.
//! fn receive(cx: &RxContext<'_>, first: Buffer, rest: Buffer, len: u16) -> Result {
//!     let mut skb = first.into_skb(cx, Size::Half.room() as u16)?;
//!     skb.add_buffer(rest, len)?;
//!     skb.submit(cx, &RxMeta::default())
//! }
//! # use napi::RxContext;
//! # use skbuff::RxMeta;
//! ```

use super::{
    bindings,
    dma::DmaDevice,
    napi::{
        NapiRef,
        RxContext, //
    },
    page_pool::{
        PagePool,
        PoolPage,
        Usage,
        PAGE_SIZE, //
    },
    skbuff::{
        RxMeta,
        RxSkb, //
    },
    Device, //
};
use core::mem::offset_of;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// How large buffers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// Half a page.
    Half,
    /// A page.
    Page,
}

impl Size {
    /// The smallest one in which there is room for any frame of up to `len` bytes, if there is one.
    pub(crate) fn for_frames(len: u32) -> Self {
        if len as usize <= Self::Half.room() {
            Self::Half
        } else {
            Self::Page
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Half => PAGE_SIZE / 2,
            Self::Page => PAGE_SIZE,
        }
    }

    /// Bytes that a packet can have in a buffer.
    pub(crate) const fn room(self) -> usize {
        self.bytes() - HEADROOM - bindings::SKB_SHARED_INFO_ROOM
    }
}

/// Bytes in front of the packet.
const HEADROOM: usize = bindings::rnet_headroom_RNET_HEADROOM as usize;

/// A source of receive buffers.
pub(crate) struct Buffers {
    pool: PagePool,
    size: Size,
}

impl Buffers {
    /// Makes a source for receive queue `queue`, of which about `count` are in use. May sleep; the
    /// instance lock is held.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(
        dev: &DmaDevice<'_>,
        netdev: &Device,
        queue: u16,
        size: Size,
        count: u32,
    ) -> Result<Self> {
        let usage = match size {
            Size::Half => Usage::SHARED,
            Size::Page => Usage::WHOLE,
        };
        Ok(Self {
            pool: PagePool::new(dev, netdev, queue, usage, count)?,
            size,
        })
    }

    /// How large its buffers are.
    #[inline]
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// As [`PagePool::attach`]. May sleep.
    pub(crate) fn attach(&mut self, napi: NapiRef<'_>) {
        self.pool.attach(napi);
    }

    /// As [`PagePool::detach`]. May sleep.
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        self.pool.detach(napi);
    }

    /// Takes a buffer, in the context of the NAPI instance that the source is attached to.
    #[inline]
    pub(crate) fn alloc(&mut self, cx: &RxContext<'_>) -> Option<Buffer> {
        self.pool.alloc(cx).map(|page| self.buffer(page))
    }

    /// Takes a buffer from a source that is attached to no NAPI instance: used to fill a ring
    /// before it is put to work. May sleep.
    pub(crate) fn alloc_sleeping(&mut self) -> Option<Buffer> {
        self.pool.alloc_sleeping().map(|page| self.buffer(page))
    }

    /// The first buffer in a fresh page.
    #[inline]
    fn buffer(&self, page: PoolPage) -> Buffer {
        // INVARIANT: The page has no other buffer, and all its references.
        Buffer {
            page,
            off: 0,
            size: self.size.bytes() as u32,
        }
    }
}

/// A buffer that the device may write to.
///
/// # Invariants
///
/// The page is one that the CPU can read, and in no other buffer. While this has a reference to it,
/// the `size` bytes at `off` are in no packet.
#[repr(C)]
pub(crate) struct Buffer {
    // As in `struct rnet_buffer`.
    page: PoolPage,
    off: u32,
    size: u32,
}

const _: () = {
    use bindings::rnet_buffer;

    assert!(offset_of!(Buffer, page) == offset_of!(rnet_buffer, page));
    assert!(offset_of!(Buffer, off) == offset_of!(rnet_buffer, off));
    assert!(offset_of!(Buffer, size) == offset_of!(rnet_buffer, size));
};

impl Buffer {
    /// Bus address of where the device is to begin.
    #[inline]
    pub(crate) fn dma_address(&self) -> u64 {
        let off = u64::from(self.off).wrapping_add(HEADROOM as u64);
        self.page.dma_address().wrapping_add(off)
    }

    /// Hands a packet of `len` bytes in this buffer to the stack. Returns whether there is a buffer
    /// again, at another address: the other half of the page. Else there is none in here any more.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the packet is less than an Ethernet header or more than there is room for,
    /// and for several segments; [`ENOMEM`] without memory. The buffer is as before then.
    #[inline(always)]
    pub(crate) fn receive(&mut self, cx: &RxContext<'_>, len: u16, meta: &RxMeta) -> Result<bool> {
        match bindings::rx_build_receive(cx, self, len, meta) {
            err if err < 0 => Err(Error::from_errno(err)),
            again => Ok(again != 0),
        }
    }

    /// A packet that begins with the `len` bytes in this buffer.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if they are more than there is room for, [`ENOMEM`] without memory.
    pub(crate) fn into_skb(mut self, cx: &RxContext<'_>, len: u16) -> Result<RxSkb> {
        let mut err = 0;
        let skb = bindings::rx_build(cx, &mut self, len, &mut err);
        to_result(err)?;
        skb.map(RxSkb::new).ok_or(ENOMEM)
    }
}

impl RxSkb {
    /// Appends the `len` bytes in a buffer as a fragment.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if there are none or more than there is room for, [`ENOSPC`] if the packet can
    /// hold no more fragments. The packet is as before then.
    pub(crate) fn add_buffer(&mut self, mut buffer: Buffer, len: u16) -> Result {
        to_result(bindings::rx_add_buffer(self, &mut buffer, len))
    }
}
