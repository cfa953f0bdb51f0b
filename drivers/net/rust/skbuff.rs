// SPDX-License-Identifier: GPL-2.0

//! Packets, by who owns them and which way they go.
//!
//! Wraps `struct sk_buff`. A packet has one owner at a time and no lock of its own; receiving is
//! done in polls.
//!
//! A [`TxSkb`] comes from the stack and ends in [`TxSkb::consume`] when it was sent or in
//! [`TxSkb::drop_with`] when it was not. A [`RxSkb`] is built by the driver and ends in
//! [`RxSkb::submit`]. All three take the packet by value: nothing can touch it afterwards.
//!
//! ```ignore
//! fn start_xmit(tx: &mut Ring, cx: &XmitContext<'_>, skb: TxSkb) {
//!     if tx.is_full() {
//!         return skb.drop_with(DropReason::FullRing);
//!     }
//!     ..
//! }
//! ```

use super::{
    bindings,
    dma::{
        Bytes,
        DmaDevice, //
    },
    napi::{
        RxContext,
        TxContext, //
    },
    page_pool::{
        Contents,
        PagePool,
        PoolPage,
        PAGE_SIZE, //
    },
    Device, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// Pages of linear parts that are kept for use.
const HEAD_PAGES: u32 = 256;

/// Most fragments of a packet, besides its linear part.
pub(crate) const MAX_FRAGS: u32 = bindings::MAX_SKB_FRAGS;

/// Why a packet was dropped; what `drop_monitor` and tracing show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum DropReason {
    /// No memory for a mapping or a copy.
    NoMem = bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM,
    /// The ring had no room although the queue was not stopped.
    FullRing = bindings::skb_drop_reason_SKB_DROP_REASON_FULL_RING,
    /// The device or its queue is going down.
    NotReady = bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY,
    /// What the device said of the packet is wrong.
    HardwareLie = bindings::skb_drop_reason_SKB_DROP_REASON_DEV_HDR,
}

fn free(skb: NonNull<bindings::sk_buff>, reason: DropReason) {
    // SAFETY: The caller gives up its packet.
    unsafe {
        bindings::dev_kfree_skb_any_reason(skb.as_ptr(), reason as bindings::skb_drop_reason)
    };
}

/// What a driver must know of a packet to send, fetched in one go.
pub(crate) type TxInfo = bindings::rnet_tx_info;

/// Values of [`TxInfo::gso`] besides 0.
pub(crate) mod tx_gso {
    use super::bindings;

    /// TCP segments whose IPv4 ids count up.
    pub(crate) const TCP: u8 = bindings::rnet_tx_gso_RNET_TX_GSO_TCP as u8;
    /// TCP segments that keep the IPv4 id.
    pub(crate) const TCP_FIXED_ID: u8 = bindings::rnet_tx_gso_RNET_TX_GSO_TCP_FIXED_ID as u8;
    /// UDP datagrams.
    pub(crate) const UDP: u8 = bindings::rnet_tx_gso_RNET_TX_GSO_UDP as u8;
}

/// A packet to send.
///
/// # Invariants
///
/// The pointer is a valid packet that this object owns.
pub(crate) struct TxSkb(NonNull<bindings::sk_buff>);

// SAFETY: The object owns the packet, and a packet may be sent and freed on any CPU.
unsafe impl Send for TxSkb {}

impl TxSkb {
    /// Takes over a packet from `ndo_start_xmit`.
    ///
    /// # Safety
    ///
    /// `skb` is a valid packet that the caller gives up.
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(skb)
    }

    pub(super) fn as_raw(&self) -> *const bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Lengths and offload requests.
    #[inline]
    pub(crate) fn info(&self) -> TxInfo {
        let mut info = TxInfo::default();
        // SAFETY: The packet is valid by the type invariant.
        unsafe { bindings::skb_tx_info(self.as_raw(), &mut info) };
        info
    }

    /// Takes the time at which the packet goes to the device, for a socket that asks for it. To be
    /// called right before that.
    #[inline]
    pub(crate) fn time_stamp(&self) {
        // SAFETY: The packet is valid by the type invariant, and the device has not seen it, so it
        // is not freed meanwhile.
        unsafe { bindings::skb_tx_timestamp(self.0.as_ptr()) };
    }

    /// Copies all of the packet to its linear part. In any context.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], also if the CPU cannot read the packet; it is as it was then.
    #[cold]
    pub(crate) fn linearize(&mut self) -> Result {
        // SAFETY: The packet is valid by the type invariant, and nobody else has it: it was given
        // to a driver to be sent.
        if unsafe { bindings::skb_linearize(self.0.as_ptr()) } != 0 {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Ends a packet that was sent.
    pub(crate) fn consume(self, cx: &TxContext<'_>) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: The packet is owned and given up; the budget is that of the running poll.
        unsafe { bindings::napi_consume_skb(this.0.as_ptr(), cx.raw_budget()) };
    }

    /// Ends a packet that was sent, outside a poll. In any context.
    pub(crate) fn consume_stopped(self) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: The packet is owned and given up.
        unsafe { bindings::dev_consume_skb_any(this.0.as_ptr()) };
    }

    /// Ends a packet that was not sent.
    pub(crate) fn drop_with(self, reason: DropReason) {
        let this = core::mem::ManuallyDrop::new(self);
        free(this.0, reason);
    }
}

impl Drop for TxSkb {
    fn drop(&mut self) {
        free(self.0, DropReason::NotReady);
    }
}

/// What is known of a received packet when it goes up.
pub(crate) type RxMeta = bindings::rnet_rx_meta;

/// Bits of [`RxMeta::flags`].
pub(crate) mod rx_flags {
    use super::bindings;

    /// The hash is valid.
    pub(crate) const HASH: u32 = bindings::rnet_rx_flags_RNET_RX_HASH;
    /// The hash covers ports.
    pub(crate) const HASH_L4: u32 = bindings::rnet_rx_flags_RNET_RX_HASH_L4;
    /// A VLAN tag was removed.
    pub(crate) const VLAN: u32 = bindings::rnet_rx_flags_RNET_RX_VLAN;
    /// All checksums were verified.
    pub(crate) const CSUM_OK: u32 = bindings::rnet_rx_flags_RNET_RX_CSUM_OK;
    /// Several segments of TCP over IPv4.
    pub(crate) const GSO_TCPV4: u32 = bindings::rnet_rx_flags_RNET_RX_GSO_TCPV4;
    /// Several segments of TCP over IPv6.
    pub(crate) const GSO_TCPV6: u32 = bindings::rnet_rx_flags_RNET_RX_GSO_TCPV6;
    /// Either.
    pub(super) const GSO: u32 = GSO_TCPV4 | GSO_TCPV6;
    /// Their IPv4 ids are equal.
    pub(crate) const FIXED_ID: u32 = bindings::rnet_rx_flags_RNET_RX_FIXED_ID;
    /// They came through a tunnel over IPv4.
    pub(crate) const IN_IP4: u32 = bindings::rnet_rx_flags_RNET_RX_IN_IP4;
    /// They came through a tunnel over IPv6.
    pub(crate) const IN_IP6: u32 = bindings::rnet_rx_flags_RNET_RX_IN_IP6;
    /// The IPv4 ids of the tunnel are equal.
    pub(crate) const OUTER_FIXED_ID: u32 = bindings::rnet_rx_flags_RNET_RX_OUTER_FIXED_ID;
}

/// Memory for the linear parts of received packets: pieces of pages that come back.
///
/// # Invariants
///
/// `memory` is where `page` lies, if there is one; pieces behind `off` are in no packet.
pub(crate) struct Heads {
    /// Declared first: the pool goes at once if its pages are back by then.
    page: Option<PoolPage>,
    pool: PagePool,
    memory: *mut u8,
    off: usize,
}

// SAFETY: The pointer goes with the page, which may be sent.
unsafe impl Send for Heads {}

impl Heads {
    /// Most bytes that a linear part is made of: what a driver copies there is to be no longer.
    pub(crate) const MAX: u16 = bindings::rnet_head_RNET_HEAD_MAX as u16;
    /// Bytes of a page that a linear part takes.
    const SIZE: usize = bindings::rnet_head_RNET_HEAD_SIZE as usize;

    /// Makes a pool for receive queue `queue`. May sleep; the instance lock is held.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(dev: &DmaDevice<'_>, netdev: &Device, queue: u16) -> Result<Self> {
        // INVARIANT: There is no page.
        Ok(Self {
            pool: PagePool::new(dev, netdev, queue, Contents::Heads, HEAD_PAGES)?,
            page: None,
            memory: core::ptr::null_mut(),
            off: PAGE_SIZE,
        })
    }

    /// The pool.
    pub(crate) fn pool(&mut self) -> &mut PagePool {
        &mut self.pool
    }

    /// A packet that begins with `len` bytes of coherent memory.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the bytes are not inside `from`, or too many; [`ENOMEM`] without memory.
    #[inline(always)]
    pub(crate) fn copy(
        &mut self,
        cx: &RxContext<'_>,
        from: &Bytes,
        off: usize,
        len: u16,
    ) -> Result<RxSkb> {
        let src = source(from, off, len)?;
        let head = self.piece(cx)?;
        // SAFETY: The context proves that its NAPI instance is running on this CPU; `head` is a
        // piece of a page that nobody else has, and `src` has `len` bytes, for which it has room.
        // The C function copies bytes whatever the device writes meanwhile.
        let skb = unsafe { bindings::rx_copy(cx.napi(), head, src, len.into()) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        self.gave_piece();
        // INVARIANT: A fresh packet, owned by nobody else.
        Ok(RxSkb { skb, frags: 0 })
    }

    /// Hands a packet to the stack that is `len` bytes of coherent memory.
    ///
    /// # Errors
    ///
    /// As for [`Heads::copy`]; [`EINVAL`], too, for bytes that are less than an Ethernet header,
    /// and for several segments.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        cx: &RxContext<'_>,
        from: &Bytes,
        off: usize,
        len: u16,
        meta: &RxMeta,
    ) -> Result {
        if len < bindings::ETH_HLEN as u16 || meta.flags & rx_flags::GSO != 0 {
            return Err(EINVAL);
        }
        let src = source(from, off, len)?;
        let head = self.piece(cx)?;
        // SAFETY: The context proves that its NAPI instance is running on this CPU; `head` is a
        // piece of a page that nobody else has, and `src` has `len` bytes, for which it has room.
        // An Ethernet header is among them.
        if !unsafe { bindings::rx_receive(cx.napi(), head, src, len.into(), meta, cx.queue()) } {
            return Err(ENOMEM);
        }
        self.gave_piece();
        Ok(())
    }

    /// The next piece.
    #[inline(always)]
    fn piece(&mut self, cx: &RxContext<'_>) -> Result<*mut c_void> {
        if self.off > PAGE_SIZE - Self::SIZE && !self.renew(cx) {
            return Err(ENOMEM);
        }
        // It is inside the page, as was just made sure of.
        Ok(self.memory.wrapping_add(self.off).cast())
    }

    /// Takes note that a packet has the piece, and a reference to its page.
    #[inline(always)]
    fn gave_piece(&mut self) {
        self.off += Self::SIZE;
        if let Some(page) = &mut self.page {
            page.gave_ref();
        }
    }

    /// Begins another page, if there is one to be had.
    #[cold]
    fn renew(&mut self, cx: &RxContext<'_>) -> bool {
        if let Some(page) = self.page.take() {
            page.recycle(cx);
        }
        let page = self.pool.alloc(cx);
        // INVARIANT: The page is fresh, or there is none and no room for a piece.
        self.off = if page.is_some() { 0 } else { PAGE_SIZE };
        self.memory = page
            .as_ref()
            .map_or(core::ptr::null_mut(), PoolPage::memory);
        self.page = page;
        self.page.is_some()
    }
}

/// The bytes, of which a piece of a page can hold a copy.
#[inline]
fn source(from: &Bytes, off: usize, len: u16) -> Result<*const c_void> {
    if len > Heads::MAX {
        return Err(EINVAL);
    }
    Ok(from.range(off, len.into()).ok_or(EINVAL)?.cast())
}

/// A received packet under construction.
///
/// # Invariants
///
/// The pointer is a valid packet that this object owns and nobody else sees.
pub(crate) struct RxSkb {
    skb: NonNull<bindings::sk_buff>,
    /// Fragments that it has, at most `MAX_SKB_FRAGS`.
    frags: u32,
}

// SAFETY: The object owns the packet, which is bound to no CPU.
unsafe impl Send for RxSkb {}

impl RxSkb {
    /// Allocates a packet with room for `len` bytes in its linear part.
    #[inline]
    pub(crate) fn alloc(cx: &RxContext<'_>, len: u32) -> Option<Self> {
        // SAFETY: The context proves that its NAPI instance is running on this CPU.
        let skb = unsafe { bindings::rx_alloc(cx.napi(), len) };
        // INVARIANT: A fresh packet, owned by nobody else.
        Some(Self {
            skb: NonNull::new(skb)?,
            frags: 0,
        })
    }

    fn has_tailroom(&self, len: u32) -> bool {
        // SAFETY: The packet is valid by the type invariant.
        let room = unsafe { bindings::skb_tailroom(self.skb.as_ptr()) };
        len <= room
    }

    /// Appends bytes to the linear part.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if they do not fit; nothing is copied then.
    pub(crate) fn put_slice(&mut self, bytes: &[u8]) -> Result {
        let len = u32::try_from(bytes.len())?;
        if !self.has_tailroom(len) {
            return Err(EINVAL);
        }
        // SAFETY: The packet has room for the bytes.
        unsafe { bindings::skb_put_data(self.skb.as_ptr(), bytes.as_ptr().cast(), len) };
        Ok(())
    }

    /// Appends bytes of a page to the linear part by copying them.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the bytes are not inside the page or do not fit, [`EFAULT`] if the CPU cannot
    /// read them; nothing is copied then.
    pub(crate) fn put_page(&mut self, page: &PoolPage, off: u16, len: u16) -> Result {
        if !page.contains(off, len) || !self.has_tailroom(len.into()) {
            return Err(EINVAL);
        }
        // SAFETY: The bytes lie in the page, and the packet has room for them.
        let copied = unsafe {
            bindings::rx_copy_page(self.skb.as_ptr(), page.as_raw(), off.into(), len.into())
        };
        if copied {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Appends bytes of a page as a fragment, without copying. `last` says that no other packet
    /// will have bytes of it, so that this one is charged for what is left.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the bytes are not inside the page, [`ENOSPC`] if the packet can hold no more
    /// fragments. The packet is as before then.
    #[inline]
    pub(crate) fn add_page(
        &mut self,
        page: &mut PoolPage,
        off: u16,
        len: u16,
        last: bool,
    ) -> Result {
        if !page.contains(off, len) || !page.has_refs() {
            return Err(EINVAL);
        }
        // SAFETY: The bytes lie in the page, which holds at least one reference to give away.
        let taken = unsafe {
            bindings::rx_add_frag(self.skb.as_ptr(), page.as_raw(), off.into(), len.into())
        };
        if taken < 0 {
            return Err(ENOSPC);
        }
        let reference = taken != 0;
        let charge = page.charge(off, len, reference, last);
        // SAFETY: The packet is valid and exclusively owned by the type invariant.
        unsafe { (*self.skb.as_ptr()).truesize += charge };
        if reference {
            page.gave_ref();
            self.frags += 1;
        }
        Ok(())
    }

    /// Appends all of a page as a fragment, without copying. No packet may have a part of it.
    ///
    /// # Errors
    ///
    /// The page, if one has, or if the packet can hold no more fragments.
    #[inline]
    pub(crate) fn add_whole(&mut self, page: PoolPage) -> Result<(), PoolPage> {
        if !page.is_untouched() || self.frag_room() == 0 {
            return Err(page);
        }
        // SAFETY: The packet has room for a fragment, and all references to the page are owned and
        // given up.
        unsafe { bindings::rx_add_whole(self.skb.as_ptr(), page.as_raw(), page.size()) };
        page.gave_all();
        self.frags += 1;
        Ok(())
    }

    /// How many more fragments fit, not counting bytes that go on where the last one ends.
    #[inline]
    pub(crate) fn frag_room(&self) -> u32 {
        bindings::MAX_SKB_FRAGS.saturating_sub(self.frags)
    }

    /// The linear part.
    #[inline]
    pub(crate) fn head_mut(&mut self) -> &mut [u8] {
        let mut len = 0;
        // SAFETY: The packet is valid and exclusively owned by the type invariant.
        let head = unsafe { bindings::skb_head(self.skb.as_ptr(), &mut len) };
        // SAFETY: The linear part is `len` bytes long, all written by one of the `put` functions,
        // and borrowed with the packet.
        unsafe { core::slice::from_raw_parts_mut(head, len as usize) }
    }

    /// Hands the packet to the stack.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the linear part is shorter than an Ethernet header, or the headers that `meta`
    /// tells of do not lie in it; the packet is dropped then.
    #[inline]
    pub(crate) fn submit(self, cx: &RxContext<'_>, meta: &RxMeta) -> Result {
        // SAFETY: The packet is owned, and given up if it is taken; the context proves that its
        // NAPI instance is running on this CPU.
        if !unsafe { bindings::rx_submit(cx.napi(), self.skb.as_ptr(), meta, cx.queue()) } {
            return Err(EINVAL);
        }
        let _ = core::mem::ManuallyDrop::new(self);
        Ok(())
    }
}

impl Drop for RxSkb {
    fn drop(&mut self) {
        free(self.skb, DropReason::HardwareLie);
    }
}
