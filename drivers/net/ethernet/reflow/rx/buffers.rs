// SPDX-License-Identifier: GPL-2.0

//! Buffers that the device receives into, and their owners.
//!
//! A [`Cells`] ring is coherent memory cut into cells, whose buffers go back to the device as soon
//! as their last cell was used. A [`Pages`] ring is `page_pool` pages under ids; a page stays in
//! its table from posting until the device says that it is done. Those for payload may be of two
//! sizes, see [`Choice`].
//!
//! Both accept only what is due by [`order`](super::order): a completion that names another cell,
//! page or part of one is bad and changes nothing.

use super::{
    choice::Choice,
    decode::Span,
    order::{
        self,
        CellOrder,
        Fill,
        PageOrder,
        Refused, //
    },
    parts::Fail,
    ring::{
        Ring,
        BATCH, //
    }, //
};
use crate::{
    counters,
    hw::{
        desc::{
            Completion,
            B1, //
        },
        regs::BufKind, //
    },
    mmio::Mmio,
    net::{
        dma::Bytes,
        napi::RxContext,
        page_pool::{
            PagePool,
            PoolPage, //
        }, //
    },
    sizes::BUF_SIZE, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::Arc, //
};

/// Buffers of cells.
pub(super) struct Cells<'bound> {
    ring: Ring<'bound>,
    mem: Bytes,
    order: CellOrder,
}

impl<'bound> Cells<'bound> {
    /// Makes a ring of `2^log2` buffers, all posted. May sleep.
    pub(super) fn new(
        dev: &device::Device<Bound>,
        mmio: &Arc<Mmio<'bound>>,
        queue: usize,
        kind: BufKind,
        log2: u32,
    ) -> Result<Self> {
        let count = 1_u16.checked_shl(log2).ok_or(EINVAL)?;
        let mut this = Self {
            ring: Ring::new(dev, mmio, queue, kind, log2, BUF_SIZE.ilog2())?,
            mem: Bytes::new(dev, usize::from(count) * BUF_SIZE as usize)?,
            order: CellOrder::new(log2),
        };
        for id in 0..count {
            this.post(id);
        }
        Ok(this)
    }

    /// Writes the address of the ring.
    pub(super) fn configure(&self) {
        self.ring.configure();
    }

    /// Tells the device of the buffers. The queue must have just been enabled.
    pub(super) fn ring_doorbell(&mut self) {
        self.ring.ring();
    }

    #[inline(never)]
    fn post(&mut self, id: u16) {
        let addr = self.mem.dma_address() + u64::from(id) * u64::from(BUF_SIZE);
        self.ring.post(addr, B1(0).with_id(id.into()));
    }

    /// Claims the cell of a completion: returns where in [`Cells::mem`] its bytes are, if it is to
    /// be believed. They stay there until [`Cells::flush`]: by then its buffer, if this was the
    /// last cell, is posted again, but the device has not heard of it.
    #[inline(always)]
    pub(super) fn claim(&mut self, span: &Span) -> Option<usize> {
        let Span {
            id, off, release, ..
        } = *span;
        if self.order.claim_due((id, off), release, self.ring.unrung()) {
            if release {
                self.post(id);
            }
        } else if !self.claim_other(id, off, release) {
            return None;
        }
        Some((usize::from(id) << BUF_SIZE.ilog2()) + usize::from(off))
    }

    /// Takes scalars, which the caller need not put together.
    #[cold]
    fn claim_other(&mut self, id: u16, off: u16, release: bool) -> bool {
        let unrung = self.ring.unrung();
        let Some((mut id, done)) = self.order.claim((id, off), release, unrung) else {
            return false;
        };
        for _ in 0..done {
            self.post(id);
            id = self.order.after(id);
        }
        true
    }

    /// Records a completion that was refused and may have had a cell.
    #[cold]
    pub(super) fn refuse(&mut self) {
        self.order.refuse();
    }

    /// The memory of all cells.
    #[inline]
    pub(super) fn mem(&self) -> &Bytes {
        &self.mem
    }

    /// Tells the device what was posted during the poll.
    #[inline]
    pub(super) fn flush(&mut self) {
        if self.ring.unrung() >= self.ring.batch() {
            self.ring.ring();
        }
    }
}

/// The state of an id of a [`Pages`] ring.
enum Entry {
    /// Nothing; the number of the next free id.
    Free(Option<u16>),
    /// A page that no completion has named yet.
    Posted(PoolPage),
    /// A page that the device has begun to fill.
    Begun(PoolPage, Fill),
}

/// Buffers that are pages.
pub(super) struct Pages<'bound> {
    ring: Ring<'bound>,
    /// Drop before `pool`, or its destruction retries a second later.
    entries: KVVec<Entry>,
    pool: PagePool,
    /// Pages of the kernel, if those of `pool` are larger.
    small: Option<PagePool>,
    choice: Choice,
    /// Bytes of the pages that the completion at hand names by their ids alone.
    run: u32,
    free: Option<u16>,
    /// Ids in state `Posted`, in the order in which they were posted.
    order: PageOrder,
    posted: KVVec<u16>,
}

impl<'bound> Pages<'bound> {
    /// Makes a ring of `2^log2` entries that can have `ids` pages out, and fills it. May sleep.
    ///
    /// Of two pools, the second one has pages of the kernel, which are smaller than those of the
    /// first.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is memory for no page, except for memory of user space: the application
    /// may hold all of it now, and the ring is filled when it lets go.
    pub(super) fn new(
        dev: &device::Device<Bound>,
        mmio: &Arc<Mmio<'bound>>,
        queue: usize,
        kind: BufKind,
        log2: u32,
        ids: u16,
        (pool, small): (PagePool, Option<PagePool>),
    ) -> Result<Self> {
        let mut entries = KVVec::with_capacity(ids.into(), GFP_KERNEL)?;
        for id in 0..ids {
            let next = if id + 1 < ids { Some(id + 1) } else { None };
            entries.push(Entry::Free(next), GFP_KERNEL)?;
        }
        let mut posted = KVVec::new();
        posted.resize(1 << log2, 0, GFP_KERNEL)?;
        let mut this = Self {
            ring: Ring::new(dev, mmio, queue, kind, log2, pool.log2_size())?,
            run: 1 << pool.log2_size(),
            pool,
            small,
            choice: Choice::default(),
            entries,
            free: Some(0),
            order: PageOrder::default(),
            posted,
        };
        this.fill()?;
        Ok(this)
    }

    /// Writes the address of the ring.
    pub(super) fn configure(&self) {
        self.ring.configure();
    }

    /// Tells the device of the pages. The queue must have just been enabled.
    pub(super) fn ring_doorbell(&mut self) {
        self.ring.ring();
    }

    /// The pool that the pages come from.
    pub(super) fn pool(&mut self) -> &mut PagePool {
        &mut self.pool
    }

    /// The pools that the pages come from.
    pub(super) fn pools(&mut self) -> (&mut PagePool, Option<&mut PagePool>) {
        (&mut self.pool, self.small.as_mut())
    }

    /// Bytes of each page that the completion at hand names by its id alone.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.run
    }

    /// As [`Self::size`], for a completion that is at hand from now on: that of the first page it
    /// names.
    #[inline]
    pub(super) fn size_of_run(&mut self, c: &Completion) -> u32 {
        if c.c5.pages() != 0 && self.small.is_some() {
            let first = self.entries.get(c.c3.rb_id() as usize);
            if let Some(Entry::Posted(page) | Entry::Begun(page, _)) = first {
                self.run = page.size();
            }
        }
        self.run
    }

    #[inline]
    fn room(&self) -> u32 {
        (1 << self.ring.log2) - self.order.len()
    }

    /// Posts one page under a free id; gives it back when there is none.
    #[inline]
    fn post(&mut self, page: PoolPage) -> Result<(), PoolPage> {
        let Some(id) = self.free else {
            return Err(page);
        };
        let Some(entry) = self.entries.get_mut(usize::from(id)) else {
            return Err(page);
        };
        let Entry::Free(next) = entry else {
            return Err(page);
        };
        self.free = *next;
        let mut b1 = B1(0).with_id(id.into());
        if self.small.is_some() {
            b1 = b1.with_log2_size(page.size().ilog2().into());
        }
        self.ring.post(page.dma_address(), b1);
        *entry = Entry::Posted(page);
        self.order.push(&mut self.posted, id);
        Ok(())
    }

    /// Posts as many pages as there is room for.
    fn fill(&mut self) -> Result {
        while self.room() != 0 {
            let page = match &mut self.small {
                None => self.pool.alloc_sleeping(),
                Some(small) => {
                    let large = match self.choice.is_large(|| small.kept()) {
                        true => self.pool.alloc_sleeping(),
                        false => None,
                    };
                    large.or_else(|| small.alloc_sleeping())
                }
            };
            let Some(page) = page else {
                break;
            };
            if self.post(page).is_err() {
                break;
            }
        }
        if self.order.len() == 0 && !self.pool.is_lent() {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Posts pages in place of those that were used. `fail` has allocations fail.
    ///
    /// Returns whether the device may be waiting for pages that could not be allocated.
    pub(super) fn refill(&mut self, cx: &RxContext<'_>, fail: Fail, count: &counters::Rx) -> bool {
        let batch = self.ring.batch();
        let mut lacking = false;
        if self.room() >= batch.into() {
            while self.room() != 0 && self.free.is_some() {
                let page = self.take(cx, fail, count);
                let Some(page) = page else {
                    lacking = true;
                    count.alloc_fail.add(1);
                    break;
                };
                if let Err(page) = self.post(page) {
                    page.recycle(cx);
                    break;
                }
            }
        }
        // The longest packet takes so many; the smallest ring has twice as many.
        let need = u32::from(BATCH).min(1 << (self.ring.log2 - 1));
        let posted = self.order.len();
        if order::is_doorbell_due(self.ring.unrung(), posted, batch, need, lacking) {
            self.ring.ring();
        }
        lacking && posted < need
    }

    /// Takes a page of one of the pools.
    #[inline]
    fn take(&mut self, cx: &RxContext<'_>, fail: Fail, count: &counters::Rx) -> Option<PoolPage> {
        if fail.all {
            return None;
        }
        let Some(small) = &self.small else {
            return self.pool.alloc(cx);
        };
        if self.choice.is_large(|| small.kept()) {
            let page = (!fail.large).then(|| self.pool.alloc(cx)).flatten();
            if page.is_some() {
                return page;
            }
            self.choice.no_memory();
            count.alloc_small.add(1);
        }
        small.alloc(cx)
    }

    /// A page for the driver's own use, to be counted as one that the device has filled.
    #[inline]
    pub(super) fn spare(&self, cx: &RxContext<'_>) -> Option<PoolPage> {
        self.pool.alloc(cx)
    }

    /// Claims the bytes of a completion for `owner`: hands their page to `f`, if they are to be
    /// believed, and takes it back if the device is done with it.
    ///
    /// # Errors
    ///
    /// [`Refused`] if they are not.
    #[inline(always)]
    pub(super) fn claim<R>(
        &mut self,
        cx: &RxContext<'_>,
        owner: u16,
        span: &Span,
        f: impl FnOnce(&mut PoolPage) -> R,
    ) -> Result<R, Refused> {
        let out = f(self.claim_part(owner, span)?);
        self.claimed(cx, span);
        Ok(out)
    }

    /// Claims the bytes of a completion for `owner` if they are to be believed: the result is their
    /// page. [`Self::claimed`] is to follow.
    ///
    /// # Errors
    ///
    /// [`Refused`] if they are not.
    #[inline(always)]
    pub(super) fn claim_part(&mut self, owner: u16, span: &Span) -> Result<&mut PoolPage, Refused> {
        let id = usize::from(span.id);
        if !matches!(self.entries.get(id), Some(Entry::Begun(..))) && !self.claim_page(span.id) {
            return Err(Refused::Gap);
        }
        let Some(Entry::Begun(page, fill)) = self.entries.get_mut(id) else {
            return Err(Refused::Gap);
        };
        fill.claim(owner, span.off, span.len)?;
        Ok(page)
    }

    /// Takes the page back if the device is done with it.
    #[inline(always)]
    pub(super) fn claimed(&mut self, cx: &RxContext<'_>, span: &Span) {
        if span.release {
            self.take_back(cx, span.id);
        }
    }

    /// Claims a page of which no completion has named a part; false if it is not to be believed.
    #[inline(never)]
    fn claim_page(&mut self, id: u16) -> bool {
        if let Some(Entry::Posted(_)) = self.entries.get(usize::from(id)) {
            self.begin(id).is_some()
        } else {
            self.order.refuse();
            false
        }
    }

    /// Gives up a page that the device is done with. Returns whether it had begun it.
    #[inline(never)]
    fn take_back(&mut self, cx: &RxContext<'_>, id: u16) -> bool {
        match self.remove(id) {
            Some(page) => {
                page.recycle(cx);
                true
            }
            None => false,
        }
    }

    /// Claims a page that the device has filled and is done with, if that is to be believed and the
    /// page has [`Self::size`] bytes for it.
    #[inline]
    pub(super) fn claim_whole(&mut self, id: u16) -> Option<PoolPage> {
        let unrung = self.ring.unrung();
        let entry = self.entries.get_mut(usize::from(id))?;
        if let Entry::Posted(_) = entry {
            if self.order.claim_due(&self.posted, id, unrung) {
                let taken = core::mem::replace(entry, Entry::Free(self.free));
                self.free = Some(id);
                return match taken {
                    Entry::Posted(page) if self.is_of_run(&page) => Some(page),
                    _ => None,
                };
            }
        }
        self.claim_other(id)
    }

    /// Whether the device may write as many bytes to a page as the completion at hand means.
    #[inline]
    fn is_of_run(&self, page: &PoolPage) -> bool {
        1 << self.pool.log2_room(page.size()) == self.run
    }

    #[cold]
    fn claim_other(&mut self, id: u16) -> Option<PoolPage> {
        match self.entries.get(usize::from(id)) {
            Some(Entry::Posted(_)) => self.begin(id)?,
            _ => {
                self.order.refuse();
                return None;
            }
        }
        let page = self.remove(id)?;
        self.is_of_run(&page).then_some(page)
    }

    /// The device is done with a page; false if that cannot be.
    #[inline]
    pub(super) fn release(&mut self, cx: &RxContext<'_>, id: u16) -> bool {
        if let Some(Entry::Posted(_)) = self.entries.get(usize::from(id)) {
            if self.begin(id).is_none() {
                return false;
            }
        }
        self.take_back(cx, id)
    }

    /// Records a completion that was refused and may have begun a page.
    #[cold]
    pub(super) fn refuse(&mut self) {
        self.order.refuse();
    }

    /// Takes note that the device has begun to fill a page, if that is to be believed.
    #[inline]
    fn begin(&mut self, id: u16) -> Option<()> {
        let unrung = self.ring.unrung();
        if !self.order.claim_due(&self.posted, id, unrung) {
            let skipped = self.order.claim(&self.posted, id, unrung)?;
            self.skip(skipped);
            self.order.pop(&self.posted)?;
        }
        self.set_begun(id, Fill::EMPTY);
        Some(())
    }

    #[inline]
    fn set_begun(&mut self, id: u16, fill: Fill) {
        let Some(entry) = self.entries.get_mut(usize::from(id)) else {
            return;
        };
        *entry = match core::mem::replace(entry, Entry::Free(None)) {
            Entry::Posted(page) => Entry::Begun(page, fill),
            other => other,
        };
    }

    /// Takes note of pages that the device has begun without a completion that was believed.
    #[cold]
    fn skip(&mut self, count: u32) {
        for _ in 0..count {
            let Some(id) = self.order.pop(&self.posted) else {
                return;
            };
            self.set_begun(id, Fill::UNKNOWN);
            // A packet buffer is named once; others will be named again.
            if self.ring.kind == BufKind::Packet {
                drop(self.remove(id));
            }
        }
    }

    /// The page of an id that the device has begun; the id is free then.
    #[inline]
    fn remove(&mut self, id: u16) -> Option<PoolPage> {
        let entry = self.entries.get_mut(usize::from(id))?;
        if !matches!(entry, Entry::Begun(..)) {
            return None;
        }
        match core::mem::replace(entry, Entry::Free(self.free)) {
            Entry::Begun(page, _) => {
                self.free = Some(id);
                Some(page)
            }
            other => {
                *entry = other;
                None
            }
        }
    }
}
