// SPDX-License-Identifier: GPL-2.0

//! Pages that a device receives into, recycled by `page_pool`.
//!
//! Wraps `struct page_pool` and `netmem_ref`. A pool's cache has no lock: it is used in polls of
//! the instance that the pool is attached to, or by whoever borrows the pool exclusively before
//! that. Pages may be given back in any context.
//!
//! A page is allocated with a large reference count, of which the driver owns all. Each fragment
//! of a packet takes one; when the device is done with the page the driver gives back the rest at
//! once. So sharing a page among packets costs no atomic operation.
//!
//! What is called a page here may be a piece of memory that the kernel has no page for: user space
//! can have a queue receive into memory of its own or of another device. It has references and a
//! bus address like a page, but may not be readable by the CPU. Only a pool made for
//! [`Contents::Payload`] hands out such memory, and only copying asks whether it can be read.
//!
//! ```ignore
//! let page = self.pool.alloc(cx)?;
//! self.ring.post(page.dma_address());
//! ```

use super::{
    bindings,
    dma::DmaDevice,
    napi::{
        NapiRef,
        RxContext, //
    },
    xdp, //
};
use core::{
    num::NonZero,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Bytes of a page, unless user space wants larger ones for payload.
pub(crate) const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// Bytes that packets are charged for in one go when they share a page.
const CHARGE_STEP: u32 = 512;

/// References of a fresh page: more than fragments of one byte could take.
const BIAS: i32 = 1 << 16;

/// What the device writes to the pages of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contents {
    /// Anything: the driver may look into them.
    Headers,
    /// Payload only, which nobody looks into before the application does. If user space has bound
    /// memory of its own to the queue, that is what the pool hands out.
    Payload,
    /// Packets, each in pages of its own, behind room for XDP. They may be sent from there.
    Packets,
    /// Payload of packets that XDP programs see. It may be sent from there.
    PacketData,
    /// Nothing: the driver puts the linear parts of packets there.
    Heads,
}

/// A pool of pages, mapped for the device to write to.
///
/// # Invariants
///
/// `pool` is a live pool, to be destroyed once. Its pages are not shared among packets if `bias` is
/// 1, and have nothing in front of `offset` then. A page has `size` bytes.
pub(crate) struct PagePool {
    pool: NonNull<bindings::page_pool>,
    bias: i32,
    offset: u16,
    size: u32,
    lent: bool,
}

// SAFETY: A pool is bound to no thread: it is destroyed, and attached, in process context anywhere.
unsafe impl Send for PagePool {}
// SAFETY: Of the methods that take `&self` only `alloc` touches the pool's cache. It does so in the
// context of the NAPI instance that the pool is attached to, which runs on one CPU at a time.
unsafe impl Sync for PagePool {}

impl PagePool {
    /// Creates a pool of receive queue `queue` for about `count` pages in use. May sleep.
    ///
    /// The instance lock is held: user space binds memory to queues under it, and says how large
    /// pages of payload are to be.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or what `page_pool_create` says.
    pub(crate) fn new(
        dev: &DmaDevice<'_>,
        netdev: &super::Device,
        queue: u16,
        contents: Contents,
        count: u32,
    ) -> Result<Self> {
        // SAFETY: The device is valid; the core checks the number of the queue.
        let bound = unsafe { bindings::netif_rxq_has_unreadable_mp(netdev.as_raw(), queue.into()) };
        let lent = bound && contents == Contents::Payload;
        let size = match contents {
            Contents::Payload => netdev.rx_page_size(queue),
            Contents::Headers | Contents::Packets | Contents::PacketData | Contents::Heads => {
                PAGE_SIZE as u32
            }
        };
        let (bias, offset, dma_dir) = match contents {
            Contents::Headers | Contents::Payload | Contents::Heads => {
                (BIAS, 0, bindings::dma_data_direction::DMA_FROM_DEVICE)
            }
            Contents::Packets => (
                1,
                xdp::HEADROOM,
                bindings::dma_data_direction::DMA_BIDIRECTIONAL,
            ),
            Contents::PacketData => (BIAS, 0, bindings::dma_data_direction::DMA_BIDIRECTIONAL),
        };
        let mut params = bindings::page_pool_params::default();
        {
            let fast = &mut params.__bindgen_anon_1;
            // SAFETY: The union's members are views of the same plain fields.
            let fast = unsafe { &mut fast.fast };
            fast.order = size.ilog2() - PAGE_SIZE.ilog2();
            fast.pool_size = count;
            fast.nid = bindings::NUMA_NO_NODE;
            fast.dev = dev.as_raw();
            fast.dma_dir = dma_dir;
            fast.offset = offset.into();
            fast.max_len = size - u32::from(offset);
        }
        {
            let slow = &mut params.__bindgen_anon_2;
            // SAFETY: As above.
            let slow = unsafe { &mut slow.slow };
            slow.netdev = netdev.as_raw();
            slow.queue_idx = queue.into();
            if contents != Contents::Heads {
                slow.flags = bindings::PP_FLAG_DMA_MAP | bindings::PP_FLAG_DMA_SYNC_DEV;
            }
            if lent {
                slow.flags |= bindings::PP_FLAG_ALLOW_UNREADABLE_NETMEM;
            }
        }
        // SAFETY: The parameters are valid for the call.
        let pool = unsafe { bindings::pp_create(&params) };
        let pool = kernel::error::from_err_ptr(pool)?;
        // INVARIANT: A fresh pool.
        Ok(Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
            bias,
            offset,
            size,
            lent,
        })
    }

    pub(super) fn as_raw(&self) -> *mut bindings::page_pool {
        self.pool.as_ptr()
    }

    /// Bytes that the device may write to each page, as a power of two.
    pub(crate) fn log2_size(&self) -> u32 {
        (self.size - u32::from(self.offset)).ilog2()
    }

    /// Whether the memory is user space's: it comes back when the application lets go of it.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }

    /// Lets the pool recycle without locks in the context of `napi`. May sleep.
    pub(crate) fn attach(&mut self, napi: NapiRef<'_>) {
        // SAFETY: Both are live, and `&mut self` says that nobody allocates. The NAPI instance is
        // freed after the pool: its owner drops the driver's poll state, and with it the pool,
        // while the instance still exists.
        unsafe { bindings::page_pool_enable_direct_recycling(self.as_raw(), napi.as_raw()) };
    }

    /// Ends what [`PagePool::attach`] began, if `napi` is that instance. May sleep.
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        // SAFETY: The pool is live; the instance is, too, and is held off, as the reference says.
        unsafe { bindings::pp_detach(self.as_raw(), napi.as_raw()) };
    }

    /// Takes a page for a pool that is attached to no NAPI instance: used to fill a ring before it
    /// is put to work. May sleep.
    pub(crate) fn alloc_sleeping(&mut self) -> Option<PoolPage> {
        // `&mut self`, and no instance: nobody else touches the pool's cache.
        self.alloc_for(core::ptr::null_mut())
    }

    /// Takes a page, in the context of the NAPI instance that the pool is attached to; there is
    /// none in that of another.
    #[inline]
    pub(crate) fn alloc(&self, cx: &RxContext<'_>) -> Option<PoolPage> {
        self.alloc_for(cx.napi())
    }

    /// Takes a page if the pool is attached to `napi`, which is the caller's context, or null in
    /// process context with the pool borrowed exclusively.
    #[inline]
    fn alloc_for(&self, napi: *mut bindings::napi_struct) -> Option<PoolPage> {
        let mut addr = 0;
        // SAFETY: The pool is live. The helper makes sure that it is attached to `napi`, so the
        // caller is its only user now.
        let netmem = unsafe { bindings::pp_alloc(self.as_raw(), self.bias, napi, &mut addr) };
        // INVARIANT: The page has `bias` references, all ours, and the size of the pool's.
        Some(PoolPage {
            netmem: NonZero::new(netmem)?,
            addr: addr + u64::from(self.offset),
            refs: self.bias,
            size: self.size,
            charged: 0,
            sole: self.bias == 1,
        })
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: The pool is live and this is its end. Pages still in packets keep it until they
        // come back. A NAPI instance that it is attached to is held off: its owner drops the poll
        // state, which has the pool, only then.
        unsafe { bindings::page_pool_destroy(self.as_raw()) };
    }
}

/// A page of a pool, which the device may write to; the CPU may be unable to read it.
///
/// # Invariants
///
/// The page belongs to a pool and has `size` bytes; `refs` of its references are owned by this
/// object. The pool stays in memory until its last page has come back, be it destroyed or not.
pub(crate) struct PoolPage {
    netmem: NonZero<bindings::netmem_ref>,
    addr: bindings::dma_addr_t,
    refs: i32,
    size: u32,
    /// Bytes that packets were charged for.
    charged: u32,
    /// The page is not shared among packets.
    sole: bool,
}

// SAFETY: The object owns its references, and a page is bound to no CPU.
unsafe impl Send for PoolPage {}

impl PoolPage {
    /// Bus address of where the device is to begin in the page.
    pub(crate) fn dma_address(&self) -> u64 {
        self.addr
    }

    pub(super) fn as_raw(&self) -> bindings::netmem_ref {
        self.netmem.get()
    }

    /// Gives the page away with its one reference, if its pool's pages have but one.
    #[inline]
    pub(super) fn into_whole(self) -> Result<bindings::netmem_ref, Self> {
        if !self.sole || self.refs != 1 {
            return Err(self);
        }
        let netmem = self.netmem.get();
        // The reference is passed on; that to the pool is not.
        let mut this = self;
        // INVARIANT: None are left.
        this.refs = 0;
        Ok(netmem)
    }

    /// What a packet is charged for (`truesize`) that has `len` bytes at `off`, as a new
    /// `reference` to the page or behind what it has of it already; `last` says that nobody else
    /// gets any.
    ///
    /// The page is paid for once, by those who share it: each pays for what it has begun to use,
    /// and the last one for the rest. A reference is not cheaper than [`CHARGE_STEP`], as it keeps
    /// the whole page from being used again, and nothing is cheaper than its bytes.
    #[inline]
    pub(super) fn charge(&mut self, off: u16, len: u16, reference: bool, last: bool) -> u32 {
        let end = u32::from(off) + u32::from(len);
        let paid = match last {
            true => self.size,
            false => end.next_multiple_of(CHARGE_STEP).min(self.size),
        };
        let due = paid.saturating_sub(self.charged).max(len.into());
        self.charged = self.charged.max(paid);
        match reference {
            true => due.max(CHARGE_STEP),
            false => due,
        }
    }

    /// Whether `len` bytes, at least one, at `off` lie in the page.
    #[inline]
    pub(super) fn contains(&self, off: u16, len: u16) -> bool {
        len != 0 && u32::from(off) + u32::from(len) <= self.size
    }

    /// Where the CPU sees the page; null if it cannot.
    pub(super) fn memory(&self) -> *mut u8 {
        // SAFETY: The page is valid by the type invariant.
        unsafe { bindings::pp_memory(self.as_raw()) }.cast()
    }

    /// Bytes of the page.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Whether no packet has a reference, though the page is made to be shared.
    #[inline]
    pub(super) fn is_untouched(&self) -> bool {
        self.refs == BIAS
    }

    /// Notes that a packet took over all references.
    #[inline]
    pub(super) fn gave_all(mut self) {
        // INVARIANT: None are left.
        self.refs = 0;
    }

    #[inline]
    pub(super) fn has_refs(&self) -> bool {
        self.refs > 1
    }

    /// Notes that a packet took over one reference.
    #[inline]
    pub(super) fn gave_ref(&mut self) {
        // INVARIANT: One reference less is ours.
        self.refs -= 1;
    }

    /// Whether the page belongs to a pool that is attached to the instance being polled.
    #[inline]
    pub(super) fn is_local(&self, cx: &RxContext<'_>) -> bool {
        // SAFETY: The page is valid by the type invariant.
        unsafe { bindings::pp_is_local(self.as_raw(), cx.napi()) }
    }

    /// Gives the page back, the quick way if its pool is attached to the instance being polled.
    #[inline]
    pub(crate) fn recycle(mut self, cx: &RxContext<'_>) {
        self.release(cx.napi());
    }

    /// Gives the page back; `napi` is the caller's context, or null.
    #[inline]
    fn release(&mut self, napi: *mut bindings::napi_struct) {
        if self.refs > 0 {
            // SAFETY: The references are ours by the type invariant. The helper goes the quick way
            // only if the page's pool is attached to `napi`, whose context this is.
            unsafe { bindings::pp_release(self.as_raw(), self.refs, napi) };
            // INVARIANT: None are left.
            self.refs = 0;
        }
    }
}

impl Drop for PoolPage {
    fn drop(&mut self) {
        self.release(core::ptr::null_mut());
    }
}
