// SPDX-License-Identifier: GPL-2.0

//! Linear parts of received packets, in pieces of pages that come back.
//!
//! Wraps `napi_build_skb()` around memory of a `page_pool`. Packets are made in polls; pools are
//! made and dropped where sleeping is allowed.
//!
//! Short packets and headers, which the device leaves in coherent memory, are copied to such a
//! piece. A packet that needs no more than that, or bytes of one page behind it, costs one call.
//!
//! ```
//! /// Hands a packet to the stack that is 64 bytes of coherent memory.
//! fn receive(heads: &mut Heads<64>, cx: &RxContext<'_>, memory: &Bytes, at: usize) -> Result {
//!     heads.receive(cx, (memory, at, 64), RxTags::default())
//! }
//! # use dma::Bytes;
//! # use heads::Heads;
//! # use napi::RxContext;
//! # use skbuff::RxTags;
//! ```

use super::{
    bindings,
    dma::{
        Bytes,
        DmaDevice, //
    },
    napi::RxContext,
    page_pool::{
        PagePool,
        PoolPage,
        Usage, //
    },
    skbuff::{
        RxSkb,
        RxTags, //
    },
    Device, //
};
use core::mem::offset_of;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// Pages of linear parts that are kept for use.
const PAGES: u32 = 64;
/// Bytes of each: with so many pieces in one, taking a page costs next to nothing for each. While
/// memory is too fragmented for such pages, pieces are of pages of [`PAGE_SIZE`].
const PAGE: usize = 16 << 10;
/// Bytes of an Ethernet header.
const ETH_HLEN: usize = bindings::ETH_HLEN as usize;

/// The pieces of a page that are not in packets yet.
///
/// # Invariants
///
/// From `next` on lie `left` pieces of `size` bytes each, of a page of which this has a reference
/// for each. A piece has room for `room` bytes of a packet, a multiple of `RNET_COPY_STEP`, besides
/// what the kernel puts in front of it and behind.
#[repr(C)]
pub(super) struct Pieces {
    // As in `struct rnet_pieces`.
    next: *mut u8,
    size: u32,
    room: u32,
    left: u32,
}

const _: () = {
    use bindings::rnet_pieces;

    assert!(size_of::<Pieces>() == size_of::<rnet_pieces>());
    assert!(offset_of!(Pieces, next) == offset_of!(rnet_pieces, next));
    assert!(offset_of!(Pieces, size) == offset_of!(rnet_pieces, size));
    assert!(offset_of!(Pieces, room) == offset_of!(rnet_pieces, room));
    assert!(offset_of!(Pieces, left) == offset_of!(rnet_pieces, left));
};

// SAFETY: The pointer goes with references to the page, which may be sent.
unsafe impl Send for Pieces {}

/// Memory for the linear parts of received packets, of up to `LEN` bytes, a multiple of 64: pieces
/// of pages that come back.
///
/// # Invariants
///
/// The pieces that are left are of `page`, whose own count is without their references.
pub(crate) struct Heads<const LEN: usize> {
    /// Declared first: the pool goes at once if its pages are back by then.
    page: Option<PoolPage>,
    large: PagePool,
    small: PagePool,
    pieces: Pieces,
}

impl<const LEN: usize> Heads<LEN> {
    /// Bytes of a page that a linear part takes, as of `SKB_HEAD_ALIGN()`.
    const SIZE: usize = {
        let headroom = bindings::rnet_headroom_RNET_HEADROOM as usize;
        let data = (headroom + LEN).next_multiple_of(bindings::SMP_CACHE_BYTES);
        let size = data + bindings::SKB_SHARED_INFO_ROOM;
        assert!(size <= PAGE_SIZE);
        assert!(LEN != 0 && LEN % bindings::rnet_copy_step_RNET_COPY_STEP as usize == 0);
        size
    };

    /// Makes the pools for receive queue `queue`. May sleep; the instance lock is held.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(dev: &DmaDevice<'_>, netdev: &Device, queue: u16) -> Result<Self> {
        let pool =
            |size: usize| PagePool::new(dev, netdev, queue, Usage::CPU.of_size(size as u32), PAGES);
        // INVARIANT: There is no page, and no piece is left.
        Ok(Self {
            large: pool(PAGE)?,
            small: pool(PAGE_SIZE)?,
            page: None,
            pieces: Pieces {
                next: core::ptr::null_mut(),
                size: Self::SIZE as u32,
                room: LEN as u32,
                left: 0,
            },
        })
    }

    /// The pools.
    pub(crate) fn pools(&mut self) -> [&mut PagePool; 2] {
        [&mut self.large, &mut self.small]
    }

    /// A packet that begins with `len` bytes of coherent memory.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the bytes, rounded up to a multiple of 64, are not inside `from`, or are none
    /// or too many; [`ENOMEM`] without memory.
    #[inline]
    pub(crate) fn copy(
        &mut self,
        cx: &RxContext<'_>,
        (from, off, len): (&Bytes, usize, u16),
    ) -> Result<RxSkb> {
        let part = from.part(off, len).ok_or(EINVAL)?;
        let made = self.build(cx, len, |pieces| bindings::rx_copy(pieces, &part));
        made.map(RxSkb::new)
    }

    /// Hands a packet to the stack that is `len` bytes of coherent memory.
    ///
    /// # Errors
    ///
    /// As for [`Heads::copy`]; [`EINVAL`], too, for bytes that are less than an Ethernet header.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        cx: &RxContext<'_>,
        (from, off, len): (&Bytes, usize, u16),
        tags: RxTags,
    ) -> Result {
        let part = from.part(off, len).ok_or(EINVAL)?;
        self.build(cx, len, |pieces| {
            bindings::rx_receive(cx, pieces, &part, tags).then_some(())
        })
    }

    /// A packet that begins with bytes of coherent memory and goes on with `data_len` bytes at `at`
    /// in a page. `last` says that no other packet will have bytes of the page, so that this one is
    /// charged for what is left.
    ///
    /// # Errors
    ///
    /// As for [`Heads::copy`]; [`EINVAL`], too, if the page has no such bytes.
    #[inline(always)]
    pub(crate) fn copy_with(
        &mut self,
        cx: &RxContext<'_>,
        (from, off, len): (&Bytes, usize, u16),
        page: &mut PoolPage,
        (at, data_len, last): (u16, u16, bool),
    ) -> Result<RxSkb> {
        let part = from.part(off, len).ok_or(EINVAL)?;
        let frag = page.first_frag(at, data_len, last).ok_or(EINVAL)?;
        let made = self.build(cx, len, |pieces| {
            bindings::rx_copy_with(pieces, &part, page, frag)
        });
        made.map(RxSkb::with_frag)
    }

    /// Hands a packet to the stack that begins with bytes of coherent memory and goes on with bytes
    /// of a page, as of [`Heads::copy_with`].
    ///
    /// # Errors
    ///
    /// As for [`Heads::copy_with`] and [`Heads::receive`].
    #[inline(always)]
    pub(crate) fn receive_with(
        &mut self,
        cx: &RxContext<'_>,
        (from, off, len): (&Bytes, usize, u16),
        page: &mut PoolPage,
        (at, data_len, last): (u16, u16, bool),
        tags: RxTags,
    ) -> Result {
        let part = from.part(off, len).ok_or(EINVAL)?;
        let frag = page.first_frag(at, data_len, last).ok_or(EINVAL)?;
        self.build(cx, len, |pieces| {
            bindings::rx_receive_with(cx, pieces, &part, page, frag, tags).then_some(())
        })
    }

    /// Has `f` make a packet of the next piece, of which `len` bytes are to be in there.
    #[inline(always)]
    fn build<R>(
        &mut self,
        cx: &RxContext<'_>,
        len: u16,
        mut f: impl FnMut(&mut Pieces) -> Option<R>,
    ) -> Result<R> {
        if let Some(made) = f(&mut self.pieces) {
            return Ok(made);
        }
        if self.renew(cx) {
            if let Some(made) = f(&mut self.pieces) {
                return Ok(made);
            }
        }
        match usize::from(len) {
            0..ETH_HLEN => Err(EINVAL),
            len if len > LEN => Err(EINVAL),
            _ => Err(ENOMEM),
        }
    }

    /// Begins another page if no piece is left, and there is one to be had.
    #[cold]
    fn renew(&mut self, cx: &RxContext<'_>) -> bool {
        if self.pieces.left != 0 {
            return false;
        }
        if let Some(page) = self.page.take() {
            page.recycle(cx);
        }
        let page = self.large.alloc(cx).or_else(|| self.small.alloc(cx));
        let Some(mut page) = page else {
            return false;
        };
        let count = page.size() as usize / Self::SIZE;
        let memory = page.memory();
        if !memory.is_null() && page.lend_refs(count as i32) {
            // INVARIANT: The page is fresh, and so has memory for as many. Their references move.
            self.pieces.next = memory;
            self.pieces.left = count as u32;
        }
        self.page = Some(page);
        self.pieces.left != 0
    }
}

impl<const LEN: usize> Drop for Heads<LEN> {
    fn drop(&mut self) {
        if let Some(page) = &mut self.page {
            // INVARIANT: The references move back.
            page.return_refs(self.pieces.left as i32);
        }
    }
}
