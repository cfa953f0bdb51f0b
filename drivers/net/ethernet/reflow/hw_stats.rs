// SPDX-License-Identifier: GPL-2.0

//! The device's counters, which it keeps up to date in host memory.

use crate::{
    hw::{
        regs,
        stats::{
            self,
            Global,
            Queue, //
        }, //
    },
    mmio::Mmio,
    net::dma::Words, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::Arc, //
};

/// The statistics block.
pub(crate) struct Block<'bound> {
    words: Words,
    mmio: Arc<Mmio<'bound>>,
}

impl<'bound> Block<'bound> {
    /// Has the device keep its counters of `queues` queues in memory. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(
        dev: &device::Device<Bound>,
        mmio: &Arc<Mmio<'bound>>,
        queues: usize,
    ) -> Result<Self> {
        let log2 = stats::block_len(queues).next_power_of_two().ilog2();
        let words = Words::new(dev, log2)?;
        mmio.write_addr(regs::STATS_LO, regs::STATS_HI, words.dma_address());
        mmio.write(regs::STATS_CTRL, 1);
        Ok(Self {
            words,
            mmio: mmio.clone(),
        })
    }

    /// A counter of the device, at most some milliseconds old. From any context.
    pub(crate) fn global(&self, which: Global) -> u64 {
        self.words.read(which as usize)
    }

    /// The counter at `index` of the device's table.
    pub(crate) fn global_at(&self, index: usize) -> u64 {
        self.words.read(index)
    }

    /// A counter of a queue.
    pub(crate) fn queue(&self, queue: usize, which: Queue) -> u64 {
        self.words.read(stats::queue_base(queue) + which as usize)
    }

    /// The counter at `index` of a queue's table.
    pub(crate) fn queue_at(&self, queue: usize, index: usize) -> u64 {
        self.words.read(stats::queue_base(queue) + index)
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.mmio.write(regs::STATS_CTRL, 0);
        // The read returns when the device has done its last access to memory.
        self.mmio.read(regs::STATS_CTRL);
    }
}
