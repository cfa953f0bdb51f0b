// SPDX-License-Identifier: GPL-2.0

//! Buffers that the device receives into, and who holds them.
//!
//! A [`Cells`] ring is coherent memory cut into cells, whose buffers go back to the device as soon
//! as their last cell was used. A [`Pages`] ring is `page_pool` pages under ids; a page stays in
//! its table from posting until the device says that it is done.

use super::decode::{
    Span,
    BUF_SIZE,
    CELL_SIZE, //
};
use crate::{
    counters,
    hw::{
        desc::B1,
        index::Index,
        regs::{
            self,
            BufCfg,
            BufKind, //
        }, //
    },
    mmio::{
        buf_reg,
        Mmio, //
    },
    net::{
        dma::{
            Bytes,
            Words, //
        },
        napi::RxContext,
        page_pool::{
            PagePool,
            PoolPage, //
        }, //
    }, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::Arc, //
};

/// Doorbells are rung for so many buffers at once, and for a quarter of a small ring.
const BATCH: u16 = 8;

/// The descriptor ring that both kinds have.
struct Ring<'bound> {
    desc: Words,
    log2: u32,
    /// Bytes of a buffer, as a power of two.
    log2_size: u32,
    tail: Index,
    rung: Index,
    queue: usize,
    kind: BufKind,
    mmio: Arc<Mmio<'bound>>,
}

impl<'bound> Ring<'bound> {
    fn new(
        dev: &device::Device<Bound>,
        mmio: &Arc<Mmio<'bound>>,
        queue: usize,
        kind: BufKind,
        log2: u32,
        log2_size: u32,
    ) -> Result<Self> {
        Ok(Self {
            desc: Words::new(dev, log2 + 1)?,
            log2,
            log2_size,
            tail: Index::ZERO,
            rung: Index::ZERO,
            queue,
            kind,
            mmio: mmio.clone(),
        })
    }

    /// Buffers that are worth a doorbell. What the device still has must do for the longest packet,
    /// or it and we would wait for each other.
    #[inline]
    fn batch(&self) -> u16 {
        BATCH.min(1 << self.log2.saturating_sub(2))
    }

    fn reg(&self, reg: usize) -> usize {
        buf_reg(self.queue, self.kind, reg)
    }

    /// Tells the device where the ring is. It takes note when the queue is switched on.
    fn program(&self) {
        self.mmio.write_addr(
            self.reg(regs::BUF_LO),
            self.reg(regs::BUF_HI),
            self.desc.dma_address(),
        );
        let cfg = BufCfg(0)
            .with_log2_entries(self.log2)
            .with_log2_size(self.log2_size)
            .with_log2_cell(CELL_SIZE.ilog2());
        self.mmio.write(self.reg(regs::BUF_CFG), cfg.0);
    }

    #[inline]
    fn post(&mut self, addr: u64, id: u16) {
        let at = self.tail.slot(self.log2) * 2;
        self.desc.write(at, addr);
        self.desc.write(at + 1, B1(0).with_id(id.into()).0);
        self.tail = self.tail.add(1);
    }

    /// Tells the device of what was posted, if it is worth it or `now`.
    #[inline]
    fn ring(&mut self, now: bool) {
        let new = self.tail.since(self.rung);
        if new >= self.batch() || (now && new != 0) {
            // The register write is ordered after the descriptors.
            self.mmio.write(self.reg(regs::BUF_TAIL), self.tail.raw());
            self.rung = self.tail;
        }
    }
}

/// Tells the device that a queue has no buffers of a kind.
pub(super) fn without(mmio: &Mmio<'_>, queue: u16, kind: BufKind) {
    mmio.write(buf_reg(queue.into(), kind, regs::BUF_CFG), 0);
}

/// Buffers of cells.
pub(super) struct Cells<'bound> {
    ring: Ring<'bound>,
    mem: Bytes,
    /// Ids are below this; each is posted or has cells in use.
    count: u16,
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
            count,
        };
        for id in 0..this.count {
            this.post(id);
        }
        Ok(this)
    }

    /// Tells the device where the ring is.
    pub(super) fn program(&self) {
        self.ring.program();
    }

    /// Tells the device of the buffers. The queue must have been switched on just now.
    pub(super) fn launch(&mut self) {
        self.ring.ring(true);
    }

    #[inline]
    fn post(&mut self, id: u16) {
        let addr = self.mem.dma_address() + u64::from(id) * u64::from(BUF_SIZE);
        self.ring.post(addr, id);
    }

    /// The memory and the offset of a cell's bytes in it; `None` if there is no such buffer.
    #[inline]
    pub(super) fn at(&self, span: &Span) -> Option<(&Bytes, usize)> {
        if span.id >= self.count {
            return None;
        }
        let off = usize::from(span.id) * BUF_SIZE as usize + usize::from(span.off);
        Some((&self.mem, off))
    }

    /// Takes note that a cell was copied; posts its buffer again when the device is done with it.
    #[inline]
    pub(super) fn used(&mut self, span: &Span) {
        if span.release && span.id < self.count {
            self.post(span.id);
        }
    }

    /// Tells the device what was posted during the poll.
    #[inline]
    pub(super) fn flush(&mut self) {
        self.ring.ring(false);
    }
}

/// What an id of a [`Pages`] ring stands for.
enum Entry {
    /// Nothing; the number of the next free id.
    Free(Option<u16>),
    /// A page that no completion has named yet.
    Posted(PoolPage),
    /// A page that the device has begun to fill.
    Begun(PoolPage),
}

/// Buffers that are pages.
pub(super) struct Pages<'bound> {
    ring: Ring<'bound>,
    /// Declared before the pool, which goes at once if its pages are back by then, else a second
    /// later.
    entries: KVVec<Entry>,
    pool: Arc<PagePool>,
    free: Option<u16>,
    /// Ids in state `Posted`: at least as many as the device still has in the ring.
    posted: u16,
}

impl<'bound> Pages<'bound> {
    /// Makes a ring of `2^log2` entries that can have `ids` pages out, and fills it. May sleep.
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
        pool: Arc<PagePool>,
    ) -> Result<Self> {
        let mut entries = KVVec::with_capacity(ids.into(), GFP_KERNEL)?;
        for id in 0..ids {
            let next = if id + 1 < ids { Some(id + 1) } else { None };
            entries.push(Entry::Free(next), GFP_KERNEL)?;
        }
        let mut this = Self {
            ring: Ring::new(dev, mmio, queue, kind, log2, pool.log2_size())?,
            pool,
            entries,
            free: Some(0),
            posted: 0,
        };
        this.fill()?;
        Ok(this)
    }

    /// Tells the device where the ring is.
    pub(super) fn program(&self) {
        self.ring.program();
    }

    /// Tells the device of the pages. The queue must have been switched on just now.
    pub(super) fn launch(&mut self) {
        self.ring.ring(true);
    }

    /// The pool that the pages come from.
    pub(super) fn pool(&self) -> &PagePool {
        &self.pool
    }

    /// Bytes of each page.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        1 << self.ring.log2_size
    }

    fn room(&self) -> u16 {
        (1_u16 << self.ring.log2) - self.posted
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
        self.ring.post(page.dma_address(), id);
        *entry = Entry::Posted(page);
        self.posted += 1;
        Ok(())
    }

    /// Posts as many pages as there is room for.
    fn fill(&mut self) -> Result {
        while self.room() != 0 {
            let Some(page) = self.pool.alloc_sleeping() else {
                break;
            };
            if self.post(page).is_err() {
                break;
            }
        }
        if self.posted == 0 && !self.pool.is_lent() {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Posts pages in place of those that were used. `fail` has each allocation fail.
    ///
    /// Returns whether the device may be waiting for pages that could not be allocated.
    pub(super) fn refill(&mut self, cx: &RxContext<'_>, fail: bool, count: &counters::Rx) -> bool {
        let mut lacking = false;
        if self.room() >= self.ring.batch() {
            while self.room() != 0 && self.free.is_some() {
                let page = if fail { None } else { self.pool.alloc(cx) };
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
        let starving = lacking && self.posted < self.ring.batch();
        self.ring.ring(starving);
        starving
    }

    /// A page for the driver's own use, to be counted as one that the device has filled.
    #[inline]
    pub(super) fn spare(&self, cx: &RxContext<'_>) -> Option<PoolPage> {
        self.pool.alloc(cx)
    }

    /// The page of an id, if the device holds it.
    #[inline]
    pub(super) fn get(&mut self, id: u16) -> Option<&mut PoolPage> {
        let entry = self.entries.get_mut(usize::from(id))?;
        if let Entry::Posted(_) = entry {
            let Entry::Posted(page) = core::mem::replace(entry, Entry::Free(None)) else {
                return None;
            };
            *entry = Entry::Begun(page);
            self.posted -= 1;
        }
        match entry {
            Entry::Begun(page) => Some(page),
            _ => None,
        }
    }

    /// Takes the page of an id that the device is done with, if it held it.
    #[inline]
    pub(super) fn take(&mut self, id: u16) -> Option<PoolPage> {
        let entry = self.entries.get_mut(usize::from(id))?;
        if let Entry::Free(_) = entry {
            return None;
        }
        let taken = core::mem::replace(entry, Entry::Free(self.free));
        self.free = Some(id);
        match taken {
            Entry::Free(_) => None,
            Entry::Posted(page) => {
                self.posted -= 1;
                Some(page)
            }
            Entry::Begun(page) => Some(page),
        }
    }

    /// The device is done with an id; false if it did not hold it.
    #[inline]
    pub(super) fn release(&mut self, cx: &RxContext<'_>, id: u16) -> bool {
        match self.take(id) {
            Some(page) => {
                page.recycle(cx);
                true
            }
            None => false,
        }
    }
}
