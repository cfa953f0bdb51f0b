// SPDX-License-Identifier: GPL-2.0

//! A ring of descriptors of buffers: cells and pages have one.

use crate::{
    hw::{
        desc::B1,
        index::Index,
        regs::{
            queue_reg,
            BufCfg,
            BufKind, //
        }, //
    },
    mmio::{
        Mmio,
        QueueMmio, //
    },
    net::dma::Words,
    sizes::CELL_SIZE, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::Arc, //
};

/// Buffers for each doorbell; a small ring takes a quarter of its entries. The longest packet takes
/// fewer, even with each PDU in a page of its own.
pub(super) const BATCH: u16 = 8;

/// The descriptor ring that both kinds have.
pub(super) struct Ring<'bound> {
    desc: Words,
    /// Entries, as a power of two.
    pub(super) log2: u32,
    /// Bytes of a buffer, as a power of two.
    log2_size: u32,
    tail: Index,
    rung: Index,
    queue: usize,
    /// The kind of its buffers.
    pub(super) kind: BufKind,
    mmio: Arc<Mmio<'bound>>,
}

impl<'bound> Ring<'bound> {
    /// A ring of `2^log2` descriptors of buffers of `2^log2_size` bytes. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(
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

    /// Buffers for each doorbell. The device must keep enough for the longest packet, or device and
    /// driver would wait for each other.
    #[inline]
    pub(super) fn batch(&self) -> u16 {
        BATCH.min(1 << self.log2.saturating_sub(2))
    }

    #[inline(always)]
    fn regs(&self) -> QueueMmio<'_> {
        self.mmio.queue(self.queue)
    }

    /// Writes the address of the ring. The device reads it when the queue is enabled.
    pub(super) fn configure(&self) {
        let regs = self.regs();
        regs.write_buf_addr(self.kind, self.desc.dma_address());
        let cfg = BufCfg(0)
            .with_log2_entries(self.log2)
            .with_log2_size(self.log2_size)
            .with_log2_cell(CELL_SIZE.ilog2());
        regs.write_buf(queue_reg::BUF_CFG, self.kind, cfg);
    }

    /// Posts a buffer; the device hears of it with [`Ring::ring`].
    #[inline]
    pub(super) fn post(&mut self, addr: u64, b1: B1) {
        let at = self.tail.slot(self.log2) * 2;
        self.desc.write(at, addr);
        self.desc.write(at + 1, b1.0);
        self.tail = self.tail.add(1);
    }

    /// Buffers posted since the last doorbell.
    #[inline]
    pub(super) fn unrung(&self) -> u16 {
        self.tail.since(self.rung)
    }

    /// Tells the device of what was posted.
    pub(super) fn ring(&mut self) {
        if self.rung != self.tail {
            // The register write is ordered after the descriptors.
            self.regs()
                .write_buf(queue_reg::BUF_TAIL, self.kind, self.tail.raw());
            self.rung = self.tail;
        }
    }
}

/// Tells the device that a queue has no buffers of a kind.
pub(super) fn without(mmio: &Mmio<'_>, queue: u16, kind: BufKind) {
    mmio.queue(queue.into())
        .write_buf(queue_reg::BUF_CFG, kind, BufCfg(0));
}
