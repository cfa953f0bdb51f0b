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
//! ```
//! /// Hands a packet to the stack that begins with 64 bytes of headers in a page of its own.
//! fn receive(cx: &RxContext<'_>, mut page: PoolPage, len: u16) -> Result {
//!     let mut skb = RxSkb::alloc(cx, 64).ok_or(ENOMEM)?;
//!     skb.put_page(&page, 0, 64)?;
//!     skb.add_page(&mut page, 64, len - 64, true)?;
//!     page.recycle(cx);
//!     skb.submit(cx, &RxMeta::default())
//! }
//! # use napi::RxContext;
//! # use page_pool::PoolPage;
//! ```

use super::{
    bindings,
    napi::{
        RxContext,
        TxContext, //
    },
    own::{
        End,
        Given,
        Live,
        Owned, //
    },
    page_pool::PoolPage, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Most fragments of a packet, besides its linear part.
pub(crate) const MAX_FRAGS: u32 = bindings::MAX_SKB_FRAGS;

/// Why a packet was dropped, as `drop_monitor` and tracing show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum DropReason {
    /// No memory for a mapping or a copy.
    NoMem = bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM,
    /// The ring had no room although the queue was not stopped.
    FullRing = bindings::skb_drop_reason_SKB_DROP_REASON_FULL_RING,
    /// The device or its queue is going down.
    DevReady = bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY,
    /// The device cannot do what the packet wants, and the stack did not know.
    NotOffloadable = bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED,
    /// The description of the packet by the device is wrong.
    DevHdr = bindings::skb_drop_reason_SKB_DROP_REASON_DEV_HDR,
}

/// Drops a packet. In any context.
fn free(skb: Given<bindings::sk_buff>, reason: DropReason) {
    bindings::dev_kfree_skb_any_reason(skb, reason as u32);
}

/// How a packet ends that nobody has sent.
struct NotSent;

impl End<bindings::sk_buff> for NotSent {
    fn end(skb: Given<bindings::sk_buff>) {
        free(skb, DropReason::DevReady);
    }
}

/// How a received packet ends that nobody has handed to the stack.
struct NotSubmitted;

impl End<bindings::sk_buff> for NotSubmitted {
    fn end(skb: Given<bindings::sk_buff>) {
        free(skb, DropReason::DevHdr);
    }
}

/// Lengths and offload requests of a packet to send, fetched in one call.
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
pub(crate) struct TxSkb(Owned<bindings::sk_buff, NotSent>);

// SAFETY: The object owns the packet, and a packet may be sent and freed on any CPU.
unsafe impl Send for TxSkb {}

impl TxSkb {
    /// Takes over a packet from `ndo_start_xmit`.
    ///
    /// # Safety
    ///
    /// `skb` is a valid packet that the caller gives up.
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // SAFETY: By the safety requirement.
        Self(unsafe { Given::from_raw(skb) }.into())
    }

    /// The packet, for helpers.
    #[inline]
    pub(super) fn live(&self) -> &Live<bindings::sk_buff> {
        &self.0
    }

    /// Lengths and offload requests.
    #[inline]
    pub(crate) fn info(&self) -> TxInfo {
        let mut info = TxInfo::default();
        bindings::skb_tx_info(&self.0, &mut info);
        info
    }

    /// Offset of the header behind that of Ethernet and VLAN tags.
    #[inline]
    pub(crate) fn network_offset(&self) -> u16 {
        bindings::skb_network_offset(&self.0) as u16
    }

    /// Prepares the headers of a packet that is to be cut into TCP segments, for a device that
    /// adds the length of each segment to the checksum and to the IPv4 header by itself.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if the headers are shared and cannot be copied, [`EINVAL`] for a packet that is
    /// not to be cut.
    #[inline]
    pub(crate) fn prepare_tso(&mut self) -> Result {
        to_result(bindings::skb_prepare_tso(&self.0))
    }

    /// Fills in the checksum that the packet wants inserted, if it wants one. In any context.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if the bytes are shared and cannot be copied, or what the core says.
    #[cold]
    pub(crate) fn fill_checksum(&mut self) -> Result {
        to_result(bindings::skb_fill_checksum(&self.0))
    }

    /// Takes the time at which the packet goes to the device, for a socket that asks for it. To be
    /// called right before that.
    #[inline]
    pub(crate) fn time_stamp(&self) {
        bindings::skb_tx_timestamp(&self.0);
    }

    /// Tells the stack that [`TxSkb::hw_time_stamp`] will follow, so that it takes no time itself.
    /// To be called before [`TxSkb::time_stamp`].
    #[cold]
    pub(crate) fn hw_time_comes(&self) {
        bindings::skb_hw_time_comes(&self.0);
    }

    /// Passes on the time at which the device sent the packet, in nanoseconds of its clock.
    #[cold]
    pub(crate) fn hw_time_stamp(&self, _cx: &TxContext<'_>, ns: u64) {
        bindings::skb_hw_time(&self.0, ns);
    }

    /// Copies all of the packet to its linear part. In any context.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], also if the CPU cannot read the packet; it is as it was then.
    #[cold]
    pub(crate) fn linearize(&mut self) -> Result {
        if bindings::skb_linearize(&self.0) != 0 {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Ends a packet that was sent.
    pub(crate) fn consume(self, cx: &TxContext<'_>) {
        // SAFETY: The packet is given up; the budget is that of the running poll.
        unsafe { bindings::napi_consume_skb(self.0.give().into_raw(), cx.raw_budget()) };
    }

    /// Ends a packet that was sent, outside a poll. In any context.
    pub(crate) fn consume_stopped(self) {
        bindings::dev_consume_skb_any(self.0.give());
    }

    /// Ends a packet that was not sent.
    pub(crate) fn drop_with(self, reason: DropReason) {
        free(self.0.give(), reason);
    }
}

/// The description of a received packet for the stack.
pub(crate) type RxMeta = bindings::rnet_rx_meta;

impl RxMeta {
    /// With a flow hash, if there is one, and whether that covers ports.
    #[inline(always)]
    pub(crate) fn with_hash(mut self, hash: Option<(u32, bool)>) -> Self {
        if let Some((hash, has_ports)) = hash {
            self.hash = hash;
            self.flags |= rx_flags::HASH;
            if has_ports {
                self.flags |= rx_flags::HASH_L4;
            }
        }
        self
    }

    /// With a VLAN tag that was removed, if one was.
    #[inline(always)]
    pub(crate) fn with_vlan(mut self, tag: Option<u16>) -> Self {
        if let Some(tag) = tag {
            self.vlan_tci = tag;
            self.flags |= rx_flags::VLAN;
        }
        self
    }

    /// With whether all checksums were verified.
    #[inline(always)]
    pub(crate) fn with_csum_ok(mut self, ok: bool) -> Self {
        if ok {
            self.flags |= rx_flags::CSUM_OK;
        }
        self
    }
}

/// The description for the stack of a received packet that is not several segments.
pub(crate) type RxTags = bindings::rnet_rx_tags;

/// Bits of [`RxMeta::flags`] and [`RxTags::flags`].
pub(crate) mod rx_flags {
    use super::bindings;

    /// The hash is valid.
    pub(crate) const HASH: u16 = bindings::rnet_rx_flags_RNET_RX_HASH as u16;
    /// The hash covers ports.
    pub(crate) const HASH_L4: u16 = bindings::rnet_rx_flags_RNET_RX_HASH_L4 as u16;
    /// A VLAN tag was removed.
    pub(crate) const VLAN: u16 = bindings::rnet_rx_flags_RNET_RX_VLAN as u16;
    /// All checksums were verified.
    pub(crate) const CSUM_OK: u16 = bindings::rnet_rx_flags_RNET_RX_CSUM_OK as u16;
    /// The time of the device's clock is valid.
    pub(crate) const TIME: u16 = bindings::rnet_rx_flags_RNET_RX_TIME as u16;
}

/// Bits of [`RxMeta::gso_type`], of which exactly one says what IP carries TCP.
pub(crate) mod gso_type {
    use super::bindings;

    /// Several segments of TCP over IPv4.
    pub(crate) const TCPV4: u32 = bindings::SKB_GSO_TCPV4 as u32;
    /// Several segments of TCP over IPv6.
    pub(crate) const TCPV6: u32 = bindings::SKB_GSO_TCPV6 as u32;
    /// The IPv4 ids of the outermost header are equal.
    pub(crate) const TCP_FIXEDID: u32 = bindings::SKB_GSO_TCP_FIXEDID as u32;
    /// They came through a tunnel over IPv4.
    pub(crate) const IPXIP4: u32 = bindings::SKB_GSO_IPXIP4 as u32;
    /// They came through a tunnel over IPv6.
    pub(crate) const IPXIP6: u32 = bindings::SKB_GSO_IPXIP6 as u32;
    /// The IPv4 ids inside the tunnel are equal.
    pub(crate) const TCP_FIXEDID_INNER: u32 = bindings::SKB_GSO_TCP_FIXEDID_INNER as u32;
}

/// A received packet under construction, which nobody else sees.
///
/// # Invariants
///
/// The packet has `nr_frags` fragments, at most `MAX_SKB_FRAGS`.
#[repr(C)]
pub(crate) struct RxSkb {
    // As in `struct rnet_rx_skb`.
    skb: Owned<bindings::sk_buff, NotSubmitted>,
    nr_frags: u32,
}

const _: () = {
    use bindings::rnet_rx_skb;

    assert!(size_of::<RxSkb>() == size_of::<rnet_rx_skb>());
    assert!(offset_of!(RxSkb, skb) == offset_of!(rnet_rx_skb, skb));
    assert!(offset_of!(RxSkb, nr_frags) == offset_of!(rnet_rx_skb, nr_frags));
};

// SAFETY: The object owns the packet, which is bound to no CPU.
unsafe impl Send for RxSkb {}

impl RxSkb {
    /// A packet without fragments that nobody else has.
    #[inline]
    pub(super) fn new(skb: Given<bindings::sk_buff>) -> Self {
        // INVARIANT: It has no fragments yet.
        Self {
            skb: skb.into(),
            nr_frags: 0,
        }
    }

    /// A packet with one fragment that nobody else has.
    #[inline]
    pub(super) fn with_frag(skb: Given<bindings::sk_buff>) -> Self {
        // INVARIANT: As the caller says.
        Self {
            skb: skb.into(),
            nr_frags: 1,
        }
    }

    /// Allocates a packet with room for `len` bytes in its linear part.
    #[inline]
    pub(crate) fn alloc(cx: &RxContext<'_>, len: u32) -> Option<Self> {
        bindings::rx_alloc(cx, len).map(Self::new)
    }

    /// Appends bytes to the linear part.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if they do not fit; nothing is copied then.
    pub(crate) fn put_slice(&mut self, bytes: &[u8]) -> Result {
        let len = u32::try_from(bytes.len())?;
        // SAFETY: There are `len` bytes to read. The type has the layout that C expects.
        if !unsafe {
            bindings::rx_put(core::ptr::from_mut(self).cast(), bytes.as_ptr().cast(), len)
        } {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Appends bytes of a page to the linear part by copying them.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the bytes are not inside the page or do not fit, [`EFAULT`] if the CPU cannot
    /// read them; nothing is copied then.
    pub(crate) fn put_page(&mut self, page: &PoolPage, off: u16, len: u16) -> Result {
        to_result(bindings::rx_copy_page(self, page, off, len))
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
        let taken = bindings::rx_add_frag(self, page, off, len);
        to_result(taken.min(0))?;
        let charge = page.charge(off, len, taken != 0, last);
        // SAFETY: The packet is alive and nobody else uses it.
        unsafe { (*self.skb.as_raw()).truesize += charge };
        Ok(())
    }

    /// Appends all of a page as a fragment, without copying. No packet may have a part of it.
    ///
    /// # Errors
    ///
    /// The page, if one has, or if the packet can hold no more fragments.
    #[inline]
    pub(crate) fn add_whole(&mut self, mut page: PoolPage) -> Result<(), PoolPage> {
        if bindings::rx_add_whole(self, &mut page) {
            Ok(())
        } else {
            Err(page)
        }
    }

    /// How many more fragments fit, not counting bytes that go on where the last one ends.
    #[inline]
    pub(crate) fn frag_room(&self) -> u32 {
        bindings::MAX_SKB_FRAGS.saturating_sub(self.nr_frags)
    }

    /// The linear part.
    #[inline]
    pub(crate) fn head_mut(&mut self) -> &mut [u8] {
        let mut len = 0;
        let head = bindings::rx_head(self, &mut len);
        // SAFETY: The linear part is `len` bytes long, all written by one of the `put` functions or
        // copied by `Heads`, and borrowed with the packet.
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
        if bindings::rx_submit(cx, self.skb.give(), meta) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }
}
