// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that decide about a packet before there is a socket buffer.
//!
//! Wraps `struct xdp_buff`, `struct xdp_rxq_info` and `struct bpf_prog`. Programs run in polls;
//! they are exchanged under rtnl and the instance lock.
//!
//! A packet lies in pages of a [`PagePool`] that hold nothing else. [`Buff`] owns those pages, and
//! [`Program::run`] takes the `Buff` and gives a [`Verdict`] in its place: what of the packet is
//! still the driver's is inside the verdict, all else has found its new owner or was given back.
//! So no path can forget a page or use one twice.
//!
//! What happens on the way out, and how a program gets in, is in [`frame`] and [`attach`].
//!
//! ```ignore
//! match program.run(cx, packet) {
//!     Verdict::Pass(packet) => packet.submit(cx, &meta)?,
//!     Verdict::Tx(frame) => self.send_back(frame),
//!     Verdict::Redirected | Verdict::Dropped | Verdict::Aborted => {}
//! }
//! ```

mod attach;
mod frame;

use super::{
    bindings,
    dma::Bytes,
    napi::RxContext,
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
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        }, //
    },
    types::Opaque, //
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
    Frame,
    FrameBulk,
    OwnFrame, //
};

/// Room that every packet has in front: what programs may rely on, and what describes a packet that
/// was sent on.
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

/// What a program may ask about a packet besides its bytes: [`rss_type`] 0 means no hash, time 0
/// none.
pub(crate) type Hints = bindings::rnet_xdp_hints;

/// The receive queue that packets come from, as programs see it.
///
/// # Invariants
///
/// The structure is registered, with pages of a pool as its memory.
pub(crate) struct RxQueue {
    info: Pin<KBox<Opaque<bindings::xdp_rxq_info>>>,
}

// SAFETY: Once it is registered the structure is touched in polls of the queue only, and it may be
// unregistered anywhere.
unsafe impl Send for RxQueue {}

impl RxQueue {
    /// Registers queue `queue`, whose packets lie in pages of `pool`. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(dev: &Device, queue: u32, pool: &PagePool) -> Result<Self> {
        let info = KBox::pin(Opaque::zeroed(), GFP_KERNEL)?;
        // SAFETY: The structure is zeroed and pinned; the device outlives its queues.
        to_result(unsafe { bindings::__xdp_rxq_info_reg(info.get(), dev.as_raw(), queue, 0, 0) })?;
        // INVARIANT: Registered just now, memory to follow; `drop` copes with either.
        let this = Self { info };
        // SAFETY: Registered; the pool is alive, and is kept by the registration.
        to_result(unsafe {
            bindings::xdp_rxq_info_reg_mem_model(
                this.info.get(),
                bindings::xdp_mem_type_MEM_TYPE_PAGE_POOL,
                pool.as_raw().cast(),
            )
        })?;
        Ok(this)
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        // SAFETY: Registered by the type invariant.
        unsafe { bindings::xdp_rxq_info_unreg(self.info.get()) };
    }
}

/// A received packet on its way to a program.
///
/// # Invariants
///
/// `raw` describes pages of pools that are attached to the instance being polled. One reference of
/// each is owned by this object, which lives within one poll and has its queue, where some of its
/// state is, to itself.
pub(crate) struct Buff<'p> {
    raw: bindings::rnet_xdp_buff,
    _poll: PhantomData<&'p mut RxQueue>,
}

impl<'p> Buff<'p> {
    /// A packet that begins with `len` bytes at the offset of the pool in a page that it fills
    /// alone. Gives the page back if they do not fit or are less than an Ethernet header.
    #[inline]
    pub(crate) fn new(
        cx: &'p RxContext<'_>,
        queue: &'p mut RxQueue,
        page: PoolPage,
        len: u16,
        hints: &Hints,
    ) -> Result<Self, PoolPage> {
        let fits = u32::from(len) >= bindings::ETH_HLEN && usize::from(len) <= FIRST_MAX;
        if !fits || !page.is_local(cx) {
            return Err(page);
        }
        let page = page.into_whole()?;
        let mut raw = MaybeUninit::<bindings::rnet_xdp_buff>::uninit();
        // SAFETY: Pools whose pages are given away whole have room in front, and the bytes lie in
        // the page, with room for the shared info behind. The helper fills in everything.
        let raw = unsafe {
            bindings::xdp_begin(raw.as_mut_ptr(), queue.info.get(), page, len.into(), hints);
            raw.assume_init()
        };
        // INVARIANT: The page's reference moved here.
        Ok(Self {
            raw,
            _poll: PhantomData,
        })
    }

    /// A packet whose headers, `len` bytes at `off` in coherent memory, are copied to a page that
    /// it fills alone. Gives the page back if they do not fit or are not there.
    pub(crate) fn copied(
        cx: &'p RxContext<'_>,
        queue: &'p mut RxQueue,
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

    /// Appends `len` bytes at `off` in a page that other packets have parts of, too; `last` says
    /// that no further ones will.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if they do not lie in the page, or that is of another queue's pool, [`ENOSPC`] if
    /// the packet can hold no more.
    pub(crate) fn add_shared(
        &mut self,
        cx: &'p RxContext<'_>,
        page: &mut PoolPage,
        (off, len): (u16, u16),
        last: bool,
    ) -> Result {
        if !page.contains(off, len) || !page.has_refs() || !page.is_local(cx) {
            return Err(EINVAL);
        }
        if !self.has_room() {
            return Err(ENOSPC);
        }
        let charge = page.charge(off, len, true, last);
        let (netmem, off, len) = (page.as_raw(), off.into(), len.into());
        // SAFETY: The bytes lie in the page, of which a reference is given away, and there is room
        // for one more.
        unsafe { bindings::xdp_add_shared(&mut self.raw, netmem, off, len, charge) };
        page.gave_ref();
        Ok(())
    }

    /// Appends `len` bytes at the offset of the pool in a page that holds nothing else. Gives the
    /// page back if they do not fit, or the packet can hold no more pages.
    pub(crate) fn add(
        &mut self,
        cx: &'p RxContext<'_>,
        page: PoolPage,
        len: u16,
    ) -> Result<(), PoolPage> {
        let fits = len != 0 && usize::from(len) <= PAGE_SIZE - usize::from(HEADROOM);
        if !fits || !self.has_room() || !page.is_local(cx) {
            return Err(page);
        }
        let page = page.into_whole()?;
        // SAFETY: The bytes lie in the page, which is wholly ours, and there is room for one more.
        unsafe { bindings::xdp_add(&mut self.raw, page, len.into()) };
        Ok(())
    }

    fn has_room(&self) -> bool {
        // SAFETY: `raw` describes a packet by the type invariant.
        unsafe { bindings::xdp_has_room(&self.raw) }
    }

    /// Hands the packet to the stack.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] without memory for a socket buffer, or if a program left less than an Ethernet
    /// header in the linear part; the packet is dropped then.
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
        let frame = NonNull::new(unsafe { bindings::xdp_to_frame(&mut self.raw.xdp) })?;
        let _ = ManuallyDrop::new(self);
        // SAFETY: The frame owns the pages, which are those of this packet.
        Some(unsafe { OwnFrame::new(Frame::from_raw(frame)) })
    }
}

impl Drop for Buff<'_> {
    fn drop(&mut self) {
        // SAFETY: The pages are ours by the type invariant, and the poll that they were taken in is
        // still running, as the lifetime says.
        unsafe { bindings::xdp_return_buff(&mut self.raw.xdp) };
    }
}

/// What has become of a packet.
#[must_use]
pub(crate) enum Verdict<'p> {
    /// It is for the stack.
    Pass(Buff<'p>),
    /// It is to be sent back where it came from.
    Tx(OwnFrame),
    /// It is on its way to another device, CPU or socket, for good at the end of the poll.
    Redirected,
    /// It was dropped, as the program said.
    Dropped,
    /// It was dropped because the program failed, said what nobody understands, or because what it
    /// said could not be done.
    Aborted,
}

/// A program that is at work.
///
/// # Invariants
///
/// The pointer is a program that stays alive for the lifetime.
#[derive(Clone, Copy)]
pub(crate) struct Program<'p>(NonNull<bindings::bpf_prog>, PhantomData<&'p ()>);

impl Program<'_> {
    /// Has the program decide about a packet, and does what it says as far as that is not the
    /// driver's business.
    #[inline]
    pub(crate) fn run<'p>(&self, cx: &'p RxContext<'_>, mut packet: Buff<'p>) -> Verdict<'p> {
        let prog = self.0.as_ptr();
        // SAFETY: The program is alive by the type invariant, and the packet is ours. In a poll
        // softirqs are off and the redirect context is set up.
        let action = unsafe { bindings::xdp_run(prog, &mut packet.raw.xdp) };
        match action {
            bindings::xdp_action_XDP_PASS => Verdict::Pass(packet),
            bindings::xdp_action_XDP_DROP => Verdict::Dropped,
            bindings::xdp_action_XDP_TX => match packet.into_frame() {
                Some(frame) => Verdict::Tx(frame),
                None => self.abort(cx, action),
            },
            bindings::xdp_action_XDP_REDIRECT => {
                // SAFETY: As above. On success the packet is somebody else's.
                let ret = unsafe {
                    bindings::xdp_do_redirect((*cx.napi()).dev, &mut packet.raw.xdp, prog)
                };
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

    /// Lets tracing know of a packet that the program or its wish was the end of.
    #[cold]
    fn abort<'p>(&self, cx: &'p RxContext<'_>, action: u32) -> Verdict<'p> {
        // SAFETY: The device lives as long as its NAPI instance, the program by the invariant.
        unsafe { bindings::xdp_aborted((*cx.napi()).dev, self.0.as_ptr(), action) };
        Verdict::Aborted
    }
}

/// A reference to a program.
///
/// # Invariants
///
/// The pointer is a program of which one reference is owned by this object.
struct Owned(NonNull<bindings::bpf_prog>);

impl Owned {
    /// Whether it can deal with packets in several pages.
    fn has_frags(&self) -> bool {
        // SAFETY: The program is alive by the type invariant.
        unsafe { bindings::xdp_prog_has_frags(self.0.as_ptr()) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: The reference is owned by the type invariant. Polls that are still running the
        // program are waited for: it is freed after an RCU grace period.
        unsafe { bindings::bpf_prog_put(self.0.as_ptr()) };
    }
}

/// Where the program of a device is kept. It can be replaced while packets flow.
///
/// # Invariants
///
/// The pointer is null or a program of which one reference is owned by this object.
#[derive(Default)]
pub(crate) struct Holder(AtomicProgram);

struct AtomicProgram(Atomic<*mut bindings::bpf_prog>);

impl Default for AtomicProgram {
    fn default() -> Self {
        Self(Atomic::new(core::ptr::null_mut()))
    }
}

// SAFETY: A program may be used and put on any CPU.
unsafe impl Send for AtomicProgram {}
// SAFETY: As above; the pointer is atomic.
unsafe impl Sync for AtomicProgram {}

impl Holder {
    /// The program to run for the rest of this poll, if there is one.
    #[inline]
    pub(crate) fn get<'p>(&self, _cx: &'p RxContext<'_>) -> Option<Program<'p>> {
        // INVARIANT: Softirqs are off during a poll, which holds off the RCU grace period that
        // frees a program after its last reference was put.
        Some(Program(NonNull::new(self.0 .0.load(Acquire))?, PhantomData))
    }

    /// Whether there is a program.
    pub(crate) fn is_set(&self) -> bool {
        !self.0 .0.load(Acquire).is_null()
    }

    /// Replaces the program; the one before is let go of.
    fn replace(&self, with: Option<Owned>) {
        let new = with.map_or(core::ptr::null_mut(), |owned| {
            ManuallyDrop::new(owned).0.as_ptr()
        });
        // INVARIANT: The reference of `new` moves in, that of the old one out.
        drop(NonNull::new(self.0 .0.xchg(new, Full)).map(Owned));
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.replace(None);
    }
}
