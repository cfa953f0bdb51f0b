// SPDX-License-Identifier: GPL-2.0

//! The device's counters, which it keeps up to date in host memory.
//!
//! The device counts from its last reset; here counters go on over resets. It counts frames that it
//! does not receive while the interface is down, too; [`Missed`] leaves those out.

use crate::{
    hw::{
        regs::reg,
        stats::{
            self,
            Global,
            Queue, //
        }, //
    },
    mmio::Mmio,
    net::{
        dma::Words,
        stats::Counter, //
    }, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        barrier,
        Arc, //
    }, //
};

/// A count at or above this is not one: the device wrote something else there.
const PLAUSIBLE: u64 = 1 << 48;

/// The statistics block.
pub(crate) struct Block<'bound> {
    words: Words,
    /// Counts from before the last reset, by the same index.
    before: KVVec<Counter>,
    /// The sums of both, while what is in `words` moves to `before`.
    sums: KVVec<Counter>,
    /// Odd while `sums` are good, else `before` and `words` are. Whoever looks finds one or the
    /// other complete, and waits for nobody.
    moves: Atomic<u32>,
    mmio: Arc<Mmio<'bound>>,
}

impl<'bound> Block<'bound> {
    /// Makes the block of a device with `queues` queues, which does not hear of it yet. May sleep.
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
        let counters = || -> Result<KVVec<Counter>> {
            let mut counters = KVVec::with_capacity(words.len(), GFP_KERNEL)?;
            for _ in 0..words.len() {
                counters.push(Counter::default(), GFP_KERNEL)?;
            }
            Ok(counters)
        };
        let (before, sums) = (counters()?, counters()?);
        Ok(Self {
            words,
            before,
            sums,
            moves: Atomic::new(0),
            mmio: mmio.clone(),
        })
    }

    /// Has the device, which was reset, keep its counters in the block. The instance lock is held,
    /// or nobody else knows of the device yet.
    pub(crate) fn restore(&self) {
        // The device does not write now.
        for (i, sum) in self.sums.iter().enumerate() {
            sum.add(self.plain(i).wrapping_sub(sum.read()));
        }
        self.move_on();
        for (i, (before, sum)) in self.before.iter().zip(&self.sums).enumerate() {
            before.add(sum.read().wrapping_sub(before.read()));
            self.words.write(i, 0);
        }
        self.move_on();
        self.ask_again();
    }

    /// Has everybody look at what was written before, before anything else is written.
    fn move_on(&self) {
        self.moves
            .store(self.moves.load(Relaxed).wrapping_add(1), Release);
        barrier::smp_mb(barrier::Full);
    }

    /// The count before and since the last reset.
    fn plain(&self, index: usize) -> u64 {
        let before = self.before.get(index).map_or(0, Counter::read);
        match self.words.read(index) {
            count if count < PLAUSIBLE => before.wrapping_add(count),
            _ => before,
        }
    }

    /// Whether the device keeps the block up to date, as far as it says.
    pub(crate) fn is_kept(&self) -> bool {
        self.mmio.read(reg::STATS_CTRL) == 1
    }

    /// Tells the device of the block once more.
    pub(crate) fn ask_again(&self) {
        self.mmio
            .write_addr(reg::STATS_LO, reg::STATS_HI, self.words.dma_address());
        self.mmio.write(reg::STATS_CTRL, 1);
    }

    /// Has the device access the block no more.
    pub(crate) fn quiesce(&self) {
        self.mmio.write(reg::STATS_CTRL, 0);
        // The read returns when the device has done its last access to memory.
        self.mmio.read(reg::STATS_CTRL);
    }

    /// The counter at an index of the block.
    fn at(&self, index: usize) -> u64 {
        loop {
            let moves = self.moves.load(Acquire);
            let count = if moves % 2 == 0 {
                self.plain(index)
            } else {
                self.sums.get(index).map_or(0, Counter::read)
            };
            barrier::smp_mb(barrier::Read);
            if self.moves.load(Relaxed) == moves {
                return count;
            }
        }
    }

    /// A counter of the device, at most some milliseconds old. From any context.
    pub(crate) fn global(&self, which: Global) -> u64 {
        self.at(which as usize)
    }

    /// The counter at `index` of the device's table.
    pub(crate) fn global_at(&self, index: usize) -> u64 {
        self.at(index)
    }

    /// A counter of a queue.
    pub(crate) fn queue(&self, queue: usize, which: Queue) -> u64 {
        self.at(stats::queue_base(queue) + which as usize)
    }

    /// The counter at `index` of a queue's table.
    pub(crate) fn queue_at(&self, queue: usize, index: usize) -> u64 {
        self.at(stats::queue_base(queue) + index)
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.quiesce();
    }
}

/// Frames that came while the device did not receive.
///
/// It counts them, too, while the interface is down; nobody misses those. All counts are those of
/// the device, which never go back.
pub(crate) struct Missed {
    /// While down: how many had been missed when it went down. Else [`UP`].
    frozen: Atomic<u64>,
    /// Frames that came while down.
    away: Atomic<u64>,
}

/// No count: the interface is up.
const UP: u64 = u64::MAX;

impl Missed {
    /// Of an interface that is down.
    pub(crate) fn new() -> Self {
        Self {
            frozen: Atomic::new(0),
            away: Atomic::new(0),
        }
    }

    /// The interface is up or down from now on, and the device has counted so many. Under the
    /// instance lock.
    pub(crate) fn running(&self, up: bool, count: u64) {
        let frozen = self.frozen.load(Relaxed);
        match (up, frozen == UP) {
            (true, false) => {
                self.away.store(count.wrapping_sub(frozen), Relaxed);
                self.frozen.store(UP, Release);
            }
            (false, true) => {
                let missed = count.wrapping_sub(self.away.load(Relaxed));
                self.frozen.store(missed, Release);
            }
            _ => {}
        }
    }

    /// Those that came while the interface was up; `count` tells how many the device has counted.
    /// From any context.
    pub(crate) fn while_up(&self, count: impl Fn() -> u64) -> u64 {
        let frozen = self.frozen.load(Acquire);
        if frozen != UP {
            return frozen;
        }
        let missed = count().wrapping_sub(self.away.load(Relaxed));
        // If it went down meanwhile: what came after that does not count.
        match self.frozen.load(Acquire) {
            UP => missed,
            frozen => frozen,
        }
    }
}
