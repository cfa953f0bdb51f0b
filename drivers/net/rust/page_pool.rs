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
//! A page may be a piece of memory that the kernel has no page for: user space
//! can have a queue receive into memory of its own or of another device. It has references and a
//! bus address like a page, but may not be readable by the CPU. Only a pool made for
//! [`Usage::DATA`] hands out such memory, and only copying asks whether it can be read.
//!
//! ```
//! /// Fills a ring as far as there are pages.
//! fn refill(ring: &Words, pages: &mut KVec<PoolPage>, pool: &PagePool, cx: &RxContext<'_>) {
//!     while pages.len() < pages.capacity().min(ring.len()) {
//!         let Some(page) = pool.alloc(cx) else {
//!             break;
//!         };
//!         ring.write(pages.len(), page.dma_address());
//!         let _ = pages.push_within_capacity(page);
//!     }
//! }
//! # use dma::Words;
//! # use napi::RxContext;
//! ```

use super::{
    bindings,
    dma::DmaDevice,
    napi::{
        NapiRef,
        RxContext, //
    },
    own::{
        End,
        Given,
        Live,
        Owned, //
    },
    xdp, //
};
use core::mem::offset_of;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Bytes of a page of the kernel.
pub(crate) const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// Bytes that packets are charged for in one go when they share a page.
const CHARGE_STEP: u32 = 512;
/// A packet is charged for this part of a page at least if it keeps the page.
const LEAST_PART: u32 = 16;

/// The purpose of a pool, which decides how its pages are mapped and handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Usage {
    /// References of a fresh page.
    refs: i32,
    /// Bytes in front of what the device writes.
    offset: u16,
    /// The device writes to them.
    mapped: bool,
    /// They may be sent, too.
    both_ways: bool,
    /// User space may give memory of its own, in pieces of a size of its choice.
    any_memory: bool,
    /// Each belongs to one packet, of XDP.
    sole: bool,
    /// Bytes of each.
    size: u32,
}

impl Usage {
    /// Parts of packets, which the CPU can read. Packets share pages.
    pub(crate) const SHARED: Self = Self {
        refs: bindings::rnet_page_refs_RNET_PAGE_REFS as i32,
        offset: 0,
        mapped: true,
        both_ways: false,
        any_memory: false,
        sole: false,
        size: PAGE_SIZE as u32,
    };
    /// As [`Self::SHARED`], but nobody looks into them before the application does. If user space
    /// has bound memory of its own to the queue, that is what the pool hands out.
    pub(crate) const DATA: Self = Self {
        any_memory: true,
        ..Self::SHARED
    };
    /// Packets that XDP programs see, each in pages of its own and behind room for XDP. They may be
    /// sent from there.
    pub(crate) const XDP: Self = Self {
        refs: 1,
        offset: xdp::HEADROOM,
        both_ways: true,
        sole: true,
        ..Self::SHARED
    };
    /// As [`Self::SHARED`], for fragments of packets that XDP programs see. They may be sent from
    /// there.
    pub(crate) const XDP_FRAGS: Self = Self {
        both_ways: true,
        ..Self::SHARED
    };
    /// As [`Self::SHARED`], but each page goes to one packet, with its only reference.
    pub(super) const WHOLE: Self = Self {
        refs: 1,
        ..Self::SHARED
    };
    /// Written by the CPU only.
    pub(super) const CPU: Self = Self {
        mapped: false,
        ..Self::SHARED
    };

    /// Bytes of each page.
    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// The same with pages of `size` bytes. Pages of more than [`PAGE_SIZE`] are contiguous, hard
    /// to get when memory is short, and cannot be mapped by `TCP_ZEROCOPY_RECEIVE`.
    pub(crate) const fn of_size(self, size: u32) -> Self {
        Self { size, ..self }
    }
}

/// How a pool ends.
struct Destroy;

impl End<bindings::page_pool> for Destroy {
    fn end(pool: Given<bindings::page_pool>) {
        // A NAPI instance that it is attached to is held off: its owner drops the poll state, which
        // has the pool, only then.
        bindings::pp_destroy(pool);
    }
}

/// A fragment of a received packet that is being made.
pub(super) type RxFrag = bindings::rnet_rx_frag;

/// A pool of pages, mapped for the device to write to.
///
/// # Invariants
///
/// A fresh page has `refs` references and `size` bytes. If it is `sole` it has one, lies in memory
/// that the CPU can read, and what is in front of `offset` is free for XDP.
#[repr(C)]
pub(crate) struct PagePool {
    // As in `struct rnet_pool`.
    pool: Owned<bindings::page_pool, Destroy>,
    refs: i32,
    size: u32,
    // For Rust only.
    offset: u16,
    sole: bool,
    lent: bool,
}

const _: () = {
    use bindings::rnet_pool;

    assert!(offset_of!(PagePool, pool) == offset_of!(rnet_pool, pool));
    assert!(offset_of!(PagePool, refs) == offset_of!(rnet_pool, refs));
    assert!(offset_of!(PagePool, size) == offset_of!(rnet_pool, size));
};

// SAFETY: A pool is bound to no thread: it is destroyed, and attached, in process context anywhere.
unsafe impl Send for PagePool {}
// SAFETY: Of the methods that take `&self` only `alloc` touches the pool's cache. It does so in the
// context of the NAPI instance that the pool is attached to, which runs on one CPU at a time.
unsafe impl Sync for PagePool {}

impl PagePool {
    /// Creates a pool of receive queue `queue` for about `count` pages in use. May sleep.
    ///
    /// The instance lock is held: user space binds memory to queues under it, and says how large
    /// its pieces are.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] for pages whose size is no power of two or not from [`PAGE_SIZE`] to 32 KiB,
    /// [`ENOMEM`], or what `page_pool_create` says.
    pub(crate) fn new(
        dev: &DmaDevice<'_>,
        netdev: &super::Device,
        queue: u16,
        usage: Usage,
        count: u32,
    ) -> Result<Self> {
        let lent = usage
            .any_memory
            .then(|| netdev.lent_page_size(queue))
            .flatten();
        let size = lent.unwrap_or(usage.size);
        // Offsets and lengths have 16 bits.
        if !size.is_power_of_two() || !(PAGE_SIZE as u32..=1 << 15).contains(&size) {
            return Err(EINVAL);
        }
        let lent = lent.is_some();
        let params = bindings::rnet_pool_params {
            count,
            size,
            queue,
            offset: usage.offset,
            mapped: usage.mapped,
            both_ways: usage.both_ways,
            unreadable: lent,
        };
        let mut err = 0;
        let pool = bindings::pp_create(dev.device(), netdev.as_opaque(), &params, &mut err);
        to_result(err)?;
        // INVARIANT: Pages of the pool are handed out with this object only.
        Ok(Self {
            pool: pool.ok_or(ENOMEM)?.into(),
            refs: usage.refs,
            size,
            offset: usage.offset,
            sole: usage.sole,
            lent,
        })
    }

    /// The pool, for helpers.
    pub(super) fn live(&self) -> &Live<bindings::page_pool> {
        &self.pool
    }

    /// Bytes that the device may write to each page, as a power of two.
    pub(crate) fn log2_size(&self) -> u32 {
        self.log2_room(self.size)
    }

    /// Bytes that the device may write to a page of `size` bytes, as a power of two.
    #[inline]
    pub(crate) fn log2_room(&self, size: u32) -> u32 {
        let room = size.saturating_sub(self.offset.into());
        room.checked_ilog2().unwrap_or(0)
    }

    /// Whether the memory is user space's: it comes back when the application lets go of it.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }

    /// Pages that did not come back because somebody still had them when the packet was freed: a
    /// reader has them mapped, or they are in a pipe. Always 0 without `CONFIG_PAGE_POOL_STATS`.
    pub(crate) fn kept(&self) -> u64 {
        bindings::pp_kept(&self.pool)
    }

    /// Lets the pool recycle without locks in the context of `napi`. May sleep.
    pub(crate) fn attach(&mut self, napi: NapiRef<'_>) {
        // SAFETY: Both are live, and `&mut self` says that nobody allocates. The NAPI instance is
        // freed after the pool: its owner drops the driver's poll state, and with it the pool,
        // while the instance still exists.
        unsafe { bindings::page_pool_enable_direct_recycling(self.pool.as_raw(), napi.as_raw()) };
    }

    /// Ends what [`PagePool::attach`] began, if `napi` is that instance. May sleep.
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        // SAFETY: The pool is live; the instance is, too, and is held off, as the reference says.
        unsafe { bindings::pp_detach(self.pool.as_raw(), napi.as_raw()) };
    }

    /// Takes a page for a pool that is attached to no NAPI instance: used to fill a ring before it
    /// is put to work. May sleep.
    pub(crate) fn alloc_sleeping(&mut self) -> Option<PoolPage> {
        let mut addr = 0;
        let netmem = bindings::pp_alloc_sleeping(self, &mut addr);
        self.page(netmem, addr)
    }

    /// Takes a page, in the context of the NAPI instance that the pool is attached to; there is
    /// none in that of another.
    #[inline]
    pub(crate) fn alloc(&self, cx: &RxContext<'_>) -> Option<PoolPage> {
        let mut addr = 0;
        let netmem = bindings::pp_alloc(cx, self, &mut addr);
        self.page(netmem, addr)
    }

    /// A page that was just allocated, none if it is 0.
    #[inline]
    fn page(&self, netmem: bindings::netmem_ref, addr: bindings::dma_addr_t) -> Option<PoolPage> {
        if netmem == 0 {
            return None;
        }
        // INVARIANT: The page has `refs` references, all ours, and the size of the pool's.
        Some(PoolPage(bindings::rnet_page {
            netmem,
            addr: addr + u64::from(self.offset),
            size: self.size,
            refs: self.refs,
            charged: 0,
            sole: self.sole,
        }))
    }
}

/// A page of a pool, which the device may write to; the CPU may be unable to read it.
///
/// # Invariants
///
/// The page belongs to a pool and has `size` bytes; `refs` of its references are owned by this
/// object, the pool's included. It is `sole` if the pool was made for [`Usage::XDP`]. The pool
/// stays in memory until its last page has come back, be it destroyed or not.
#[repr(transparent)]
pub(crate) struct PoolPage(bindings::rnet_page);

// SAFETY: The object owns its references, and a page is bound to no CPU.
unsafe impl Send for PoolPage {}

impl PoolPage {
    /// Bus address of where the device is to begin in the page.
    #[inline]
    pub(crate) fn dma_address(&self) -> u64 {
        self.0.addr
    }

    /// Bytes of the page.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        self.0.size
    }

    /// Gives the page away with its one reference, if its pool's pages have but one.
    #[inline]
    pub(super) fn into_whole(mut self) -> Result<bindings::netmem_ref, Self> {
        if !self.0.sole || self.0.refs != 1 {
            return Err(self);
        }
        // INVARIANT: The reference is passed on.
        self.0.refs = 0;
        Ok(self.0.netmem)
    }

    /// The charge (`truesize`) for a packet that has `len` bytes at `off`, as a new
    /// `reference` to the page or behind what it has of it already; `last` says that nobody else
    /// gets any.
    ///
    /// The page is paid for once, by those who share it: each pays for what it has begun to use,
    /// and the last one for the rest. A reference keeps the whole page from being used again, so it
    /// is not cheaper than [`CHARGE_STEP`], nor than one [`LEAST_PART`]th of the page. Nothing is
    /// cheaper than its bytes.
    #[inline]
    pub(super) fn charge(&mut self, off: u16, len: u16, reference: bool, last: bool) -> u32 {
        let page = &mut self.0;
        let end = u32::from(off) + u32::from(len);
        let paid = match last {
            true => page.size,
            false => end.next_multiple_of(CHARGE_STEP).min(page.size),
        };
        let due = paid.saturating_sub(page.charged).max(len.into());
        page.charged = page.charged.max(paid);
        match reference {
            true => due.max(CHARGE_STEP).max(page.size / LEAST_PART),
            false => due,
        }
    }

    /// Where the CPU sees the page; null if it cannot.
    pub(super) fn memory(&self) -> *mut u8 {
        bindings::pp_memory(self).cast()
    }

    /// The `len` bytes at `offset` as the first fragment of a packet, with its charge for them, see
    /// [`Self::charge`]; `None` if they are not inside the page.
    #[inline(always)]
    pub(super) fn first_frag(&mut self, offset: u16, len: u16, last: bool) -> Option<RxFrag> {
        if len == 0 || u32::from(offset) + u32::from(len) > self.0.size {
            return None;
        }
        Some(RxFrag {
            offset,
            len,
            charge: self.charge(offset, len, true, last),
        })
    }

    /// Passes `count` references on, if there are more.
    pub(super) fn lend_refs(&mut self, count: i32) -> bool {
        let enough = count < self.0.refs;
        if enough {
            // INVARIANT: So many less are ours.
            self.0.refs -= count;
        }
        enough
    }

    /// Takes references back that [`Self::lend_refs`] passed on and nobody has taken over.
    pub(super) fn return_refs(&mut self, count: i32) {
        // INVARIANT: So many more are ours.
        self.0.refs += count;
    }

    /// Whether the page belongs to a pool that is attached to the instance being polled.
    #[inline]
    pub(super) fn is_local(&self, cx: &RxContext<'_>) -> bool {
        bindings::pp_is_local(cx, self)
    }

    /// Gives the page back, the quick way if its pool is attached to the instance being polled.
    #[inline]
    pub(crate) fn recycle(mut self, cx: &RxContext<'_>) {
        bindings::pp_recycle(cx, &mut self);
    }
}

impl Drop for PoolPage {
    #[inline]
    fn drop(&mut self) {
        if self.0.refs > 0 {
            bindings::pp_put(self);
        }
    }
}
