// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that decide about a packet before there is a socket buffer.
//!
//! Wraps `struct xdp_buff`, `struct xdp_rxq_info` and `struct bpf_prog`. XDP programs run in polls;
//! they are exchanged under rtnl and the instance lock.
//!
//! A packet lies in pages of a [`PagePool`] that hold nothing else. An [`XdpBuff`] owns them.
//! [`BpfProg::run`] takes it and gives a [`Verdict`], which holds what is still the driver's; the
//! rest was given to its new owner or back to the pool. So no path leaks a page or uses one twice.
//!
//! Sending is in [`frame`], attaching XDP programs in [`attach`].
//!
//! ```
//! /// Has a program decide about a packet; gives a frame that is to be sent back.
//! fn decide<'p>(
//!     program: BpfProg<'_>,
//!     cx: &'p RxContext<'_>,
//!     packet: XdpBuff<'p>,
//!     meta: &RxMeta,
//! ) -> Result<Option<OwnFrame>> {
//!     match program.run(cx, packet) {
//!         Verdict::Pass(packet) => packet.submit(cx, meta).map(|()| None),
//!         Verdict::Tx(frame) => Ok(Some(frame)),
//!         Verdict::Redirected | Verdict::Dropped | Verdict::Aborted => Ok(None),
//!     }
//! }
//! # use napi::RxContext;
//! # use skbuff::RxMeta;
//! ```

mod attach;
mod frame;

use super::{
    bindings,
    dma::Bytes,
    napi::RxContext,
    own::{
        End,
        Given,
        Live,
        Owned, //
    },
    page_pool::{
        PagePool,
        PoolPage,
        PAGE_SIZE, //
    },
    skbuff::RxMeta,
    Device, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full, //
    }, //
};

pub(super) use attach::{
    Adapter,
    FEATURES,
    METADATA_OPS, //
};
pub(crate) use attach::{
    Operations,
    Plan,
    Transmit, //
};
pub(crate) use frame::{
    OwnFrame, //
    XdpFrame,
    XdpFrameBulk,
};

/// Room in front of every packet: the headroom that XDP programs rely on, and `struct xdp_frame`.
pub(crate) const HEADROOM: u16 = (bindings::XDP_PACKET_HEADROOM as usize
    + core::mem::size_of::<bindings::xdp_frame>())
.next_multiple_of(64) as u16;
/// Bytes behind [`HEADROOM`] that the first page of a packet has at most.
pub(crate) const FIRST_MAX: usize = PAGE_SIZE - HEADROOM as usize - bindings::SKB_SHARED_INFO_ROOM;

/// Kinds of headers that a hash covers.
pub(crate) mod rss_type {
    use super::bindings;

    /// IPv4 addresses.
    pub(crate) const IPV4: u32 = bindings::xdp_rss_hash_type_XDP_RSS_L3_IPV4;
    /// IPv6 addresses.
    pub(crate) const IPV6: u32 = bindings::xdp_rss_hash_type_XDP_RSS_L3_IPV6;
    /// Ports of TCP.
    pub(crate) const TCP: u32 =
        bindings::xdp_rss_hash_type_XDP_RSS_L4 | bindings::xdp_rss_hash_type_XDP_RSS_L4_TCP;
    /// Ports of UDP.
    pub(crate) const UDP: u32 =
        bindings::xdp_rss_hash_type_XDP_RSS_L4 | bindings::xdp_rss_hash_type_XDP_RSS_L4_UDP;
    /// Ports of an unnamed protocol.
    pub(crate) const L4: u32 = bindings::xdp_rss_hash_type_XDP_RSS_L4;
}

/// Metadata of a packet that an XDP program may ask for. [`rss_type`] 0 means no hash, time 0 none.
pub(crate) type Hints = bindings::rnet_xdp_hints;

/// How a receive queue of XDP programs ends.
struct Unregister;

impl End<bindings::xdp_rxq_info> for Unregister {
    fn end(info: Given<bindings::xdp_rxq_info>) {
        bindings::xdp_rxq_free(info);
    }
}

/// The receive queue that packets come from, as XDP programs see it.
pub(crate) struct XdpRxqInfo(Owned<bindings::xdp_rxq_info, Unregister>);

// SAFETY: The structure is touched in polls of the queue only, and it may be unregistered anywhere.
unsafe impl Send for XdpRxqInfo {}

impl XdpRxqInfo {
    /// Registers queue `queue`, whose packets lie in pages of `pool`. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(dev: &Device, queue: u32, pool: &PagePool) -> Result<Self> {
        let mut err = 0;
        let info = bindings::xdp_rxq_new(dev.as_opaque(), queue, pool.live(), &mut err);
        to_result(err)?;
        Ok(Self(info.ok_or(ENOMEM)?.into()))
    }
}

/// A received packet on its way to an XDP program.
///
/// # Invariants
///
/// `raw` is the first field, as helpers in C expect it. It describes pages of pools that are
/// attached to the instance being polled. One reference of each is owned by this object, which
/// lives within one poll and has its queue, where some of its state is, to itself.
#[repr(C)]
pub(crate) struct XdpBuff<'p> {
    raw: bindings::rnet_xdp_buff,
    _poll: PhantomData<&'p mut XdpRxqInfo>,
}

impl<'p> XdpBuff<'p> {
    /// A packet that begins with `len` bytes at the offset of the pool in a page of its own.
    /// Returns the page if they do not fit or are less than an Ethernet header. In a poll.
    #[inline]
    pub(crate) fn new(
        cx: &'p RxContext<'_>,
        queue: &'p mut XdpRxqInfo,
        page: PoolPage,
        len: u16,
        hints: &Hints,
    ) -> Result<Self, PoolPage> {
        let fits = u32::from(len) >= bindings::ETH_HLEN && usize::from(len) <= FIRST_MAX;
        if !fits || !page.is_local(cx) {
            return Err(page);
        }
        let page = page.into_whole()?;
        // SAFETY: Pools whose pages are given away whole have room in front, and the bytes lie in
        // the page, with room for the shared info behind. The queue is borrowed with the packet.
        let raw = unsafe { bindings::xdp_begin(queue.0.as_raw(), page, len.into(), hints) };
        // INVARIANT: The page's reference moved here.
        Ok(Self {
            raw,
            _poll: PhantomData,
        })
    }

    /// A packet whose headers, `len` bytes at `off` in coherent memory, are copied to a page of its
    /// own. Returns the page if they do not fit or are not inside `from`. In a poll.
    pub(crate) fn copied(
        cx: &'p RxContext<'_>,
        queue: &'p mut XdpRxqInfo,
        page: PoolPage,
        (from, off, len): (&Bytes, usize, u16),
        hints: &Hints,
    ) -> Result<Self, PoolPage> {
        let Some(src) = from.range(off, len.into()) else {
            return Err(page);
        };
        let mut this = Self::new(cx, queue, page, len, hints)?;
        // SAFETY: There are `len` bytes at both places. The C function copies bytes whatever the
        // device writes meanwhile.
        unsafe { bindings::xdp_copy(&mut this.raw, src.cast(), len.into()) };
        Ok(this)
    }

    /// Appends `len` bytes at `off` in a page that other packets share; `last` says that no further
    /// ones will.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if they are not inside the page, or the page is of another queue's pool;
    /// [`ENOSPC`] if the packet has no room for a fragment.
    pub(crate) fn add_shared(
        &mut self,
        cx: &'p RxContext<'_>,
        page: &mut PoolPage,
        (off, len): (u16, u16),
        last: bool,
    ) -> Result {
        if !bindings::xdp_has_room(self) {
            return Err(ENOSPC);
        }
        let charge = page.charge(off, len, true, last);
        to_result(bindings::xdp_add_shared(cx, self, page, off, len, charge))
    }

    /// Appends `len` bytes at the offset of the pool in a page of its own. Returns the page if they
    /// do not fit, or the packet has no room for a fragment.
    pub(crate) fn add(
        &mut self,
        cx: &'p RxContext<'_>,
        mut page: PoolPage,
        len: u16,
    ) -> Result<(), PoolPage> {
        if bindings::xdp_add(cx, self, &mut page, len) {
            Ok(())
        } else {
            Err(page)
        }
    }

    /// Hands the packet to the stack.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] without memory for a socket buffer, or if the XDP program left less than an
    /// Ethernet header in the linear part; the packet is dropped then.
    #[inline]
    pub(crate) fn submit(self, cx: &RxContext<'_>, meta: &RxMeta) -> Result {
        // SAFETY: `raw` describes a packet by the type invariant; the context proves that its NAPI
        // instance is running on this CPU.
        if unsafe { bindings::xdp_submit(cx.napi(), &self.raw, meta) } {
            // The pages are the socket buffer's now.
            let _ = ManuallyDrop::new(self);
            Ok(())
        } else {
            Err(ENOMEM)
        }
    }

    /// The packet as something that can outlive the poll.
    fn into_frame(mut self) -> Option<OwnFrame> {
        // SAFETY: `raw` describes a packet by the type invariant. If the room in front suffices,
        // the frame lies there and takes the pages over.
        let frame = unsafe {
            NonNull::new(bindings::xdp_to_frame(&mut self.raw.xdp)).map(|f| Given::from_raw(f))
        }?;
        let _ = ManuallyDrop::new(self);
        Some(OwnFrame::new(frame))
    }
}

impl Drop for XdpBuff<'_> {
    fn drop(&mut self) {
        // SAFETY: The pages are ours by the type invariant, and the poll that they were taken in is
        // still running, as the lifetime says.
        unsafe { bindings::xdp_return_buff(&mut self.raw.xdp) };
    }
}

/// Result of an XDP program for a packet.
#[must_use]
pub(crate) enum Verdict<'p> {
    /// It is for the stack.
    Pass(XdpBuff<'p>),
    /// It is to be sent back where it came from.
    Tx(OwnFrame),
    /// It was redirected to another device, CPU or socket; the end of the poll completes that.
    Redirected,
    /// It was dropped, as the XDP program said.
    Dropped,
    /// It was dropped because the XDP program failed, returned an unknown action, or its action
    /// could not be carried out.
    Aborted,
}

/// An XDP program that is attached.
#[derive(Clone, Copy)]
pub(crate) struct BpfProg<'p>(&'p Live<bindings::bpf_prog>);

impl BpfProg<'_> {
    /// Runs the XDP program on a packet, and carries out its action except for sending and passing
    /// up.
    #[inline]
    pub(crate) fn run<'p>(&self, cx: &'p RxContext<'_>, mut packet: XdpBuff<'p>) -> Verdict<'p> {
        let action = bindings::xdp_run(self.0, &mut packet);
        match action {
            bindings::xdp_action_XDP_PASS => Verdict::Pass(packet),
            bindings::xdp_action_XDP_DROP => Verdict::Dropped,
            bindings::xdp_action_XDP_TX => match packet.into_frame() {
                Some(frame) => Verdict::Tx(frame),
                None => self.abort(cx, action),
            },
            bindings::xdp_action_XDP_REDIRECT => {
                let dev = cx.device().as_raw();
                // SAFETY: Device and XDP program are alive, and the packet is ours. In a poll
                // softirqs are off and the redirect context is set up. On success the packet is
                // somebody else's.
                let ret =
                    unsafe { bindings::xdp_do_redirect(dev, &mut packet.raw.xdp, self.0.as_raw()) };
                if ret == 0 {
                    let _ = ManuallyDrop::new(packet);
                    cx.redirected();
                    Verdict::Redirected
                } else {
                    self.abort(cx, action)
                }
            }
            _ => self.abort(cx, action),
        }
    }

    /// Traces a packet that was dropped because the XDP program or its action failed.
    #[cold]
    fn abort<'p>(&self, cx: &'p RxContext<'_>, action: u32) -> Verdict<'p> {
        bindings::xdp_aborted(cx, self.0, action);
        Verdict::Aborted
    }
}

/// How a reference to an XDP program ends.
struct Put;

impl End<bindings::bpf_prog> for Put {
    fn end(prog: Given<bindings::bpf_prog>) {
        bindings::xdp_prog_put(prog);
    }
}

/// A reference to an XDP program.
type ProgramRef = Owned<bindings::bpf_prog, Put>;

/// Holds the XDP program of a device. It can be replaced while packets flow.
///
/// # Invariants
///
/// The pointer is null or an XDP program of which one reference is owned by this object.
#[derive(Default)]
pub(crate) struct Holder(AtomicProgram);

struct AtomicProgram(Atomic<*mut bindings::bpf_prog>);

impl Default for AtomicProgram {
    fn default() -> Self {
        Self(Atomic::new(null_mut()))
    }
}

// SAFETY: An XDP program may be used and put on any CPU.
unsafe impl Send for AtomicProgram {}
// SAFETY: As above; the pointer is atomic.
unsafe impl Sync for AtomicProgram {}

impl Holder {
    /// The XDP program to run for the rest of this poll, if one is attached.
    #[inline]
    pub(crate) fn get<'p>(&self, _cx: &'p RxContext<'_>) -> Option<BpfProg<'p>> {
        let prog = NonNull::new(self.0 .0.load(Acquire))?;
        // SAFETY: An XDP program by the type invariant. Softirqs are off during a poll, which holds
        // off the RCU grace period that frees an XDP program after its last reference was put.
        Some(BpfProg(unsafe { Live::from_raw(prog) }))
    }

    /// Whether an XDP program is attached.
    pub(crate) fn is_set(&self) -> bool {
        !self.0 .0.load(Acquire).is_null()
    }

    /// Replaces the XDP program; the reference to the old one is dropped.
    fn replace(&self, with: Option<ProgramRef>) {
        let new = with.map_or(null_mut(), |prog| prog.give().into_raw());
        // INVARIANT: The reference of `new` moves in, that of the old one out.
        let old = NonNull::new(self.0 .0.xchg(new, Full));
        // SAFETY: An XDP program whose reference this object had, by the type invariant.
        drop(old.map(|prog| ProgramRef::from(unsafe { Given::from_raw(prog) })));
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.replace(None);
    }
}
