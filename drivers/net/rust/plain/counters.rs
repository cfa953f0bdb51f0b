// SPDX-License-Identifier: GPL-2.0

//! Counters of each queue.
//!
//! Wraps nothing of C. Counters belong to a queue number and outlive its rings. Each has one writer
//! at a time, and is read in any context.
//!
//! ```
//! struct Nic {
//!     counters: Counters,
//! }
//!
//! impl Counts for Nic {
//!     fn counters(&self) -> &Counters {
//!         &self.counters
//!     }
//! }
//! # driver!(Nic, Parts::new().queue_stats());
//! ```

use crate::net::{
    device::Stats64,
    ethtool::StatVisitor,
    stats::{
        counters,
        Counter,
        Queues,
        RxQueue,
        TxQueue, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

counters! {
    /// Receive counters of a queue. Written by its NAPI instance.
    Rx:
    /// Packets taken from the device.
    packets,
    /// Bytes of those packets.
    bytes,
    /// Packets dropped: no memory, damaged, or too long.
    dropped,
    /// Packets whose checksum the device found wrong.
    csum_bad,
    /// Buffers that could not be allocated; the ring is refilled later.
    alloc_fail,
}

counters! {
    /// Transmit counters of a queue: `dropped` and `stops` are written under the queue's lock, the
    /// others by its NAPI instance.
    Tx:
    /// Packets sent, as on the wire.
    packets,
    /// Bytes of those packets.
    bytes,
    /// Packets that were not sent.
    dropped,
    /// Times that the queue was stopped as the ring was full.
    stops,
    /// Times that it was woken.
    wakes,
    /// Times that the device reported an invalid head.
    bad_completion,
}

/// All counters of a queue pair.
#[derive(Default)]
pub(crate) struct Queue {
    /// Receive.
    pub(crate) rx: Rx,
    /// Transmit.
    pub(crate) tx: Tx,
    /// Packets that the device dropped as there was no buffer. Written by the driver, which reads
    /// it from the device.
    pub(crate) missed: Counter,
}

/// The counters of all queue pairs that there can be.
pub(crate) struct Counters(KVec<Arc<Queue>>);

impl Counters {
    /// Makes the counters of so many queue pairs, zeroed. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(queues: usize) -> Result<Self> {
        let mut all = KVec::with_capacity(queues, GFP_KERNEL)?;
        for _ in 0..queues {
            all.push(Arc::new(Queue::default(), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self(all))
    }

    /// The counters of a queue pair.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if there is none of this number.
    pub(crate) fn get(&self, queue: usize) -> Result<&Arc<Queue>> {
        self.0.get(queue).ok_or(EINVAL)
    }

    /// The counters of each queue pair, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.0.iter().map(|queue| &**queue)
    }

    /// Adds all counters to the totals of an interface. Any context.
    pub(crate) fn add_to(&self, to: &mut Stats64) {
        for queue in self.iter() {
            to.rx_packets += queue.rx.packets.read();
            to.rx_bytes += queue.rx.bytes.read();
            to.rx_dropped += queue.rx.dropped.read();
            to.rx_missed_errors += queue.missed.read();
            to.tx_packets += queue.tx.packets.read();
            to.tx_bytes += queue.tx.bytes.read();
            to.tx_dropped += queue.tx.dropped.read();
        }
    }

    /// Shows each counter, for `ethtool -S`.
    pub(crate) fn visit(&self, v: &mut dyn StatVisitor) {
        for (q, queue) in self.iter().enumerate() {
            let rx = |name, value| v.stat(fmt!("rx{q}_{name}"), value);
            queue.rx.visit(rx);
            v.stat(fmt!("rx{q}_missed"), queue.missed.read());
            let tx = |name, value| v.stat(fmt!("tx{q}_{name}"), value);
            queue.tx.visit(tx);
        }
    }
}

/// A driver with these counters. It gets [`Queues`], the core's statistics of queues.
pub(crate) trait Counts {
    /// Its counters.
    fn counters(&self) -> &Counters;
}

impl<T: Counts> Queues for T {
    fn rx_queue(&self, queue: usize) -> RxQueue {
        let Ok(c) = self.counters().get(queue) else {
            return RxQueue::default();
        };
        RxQueue {
            packets: c.rx.packets.read(),
            bytes: c.rx.bytes.read(),
            alloc_fail: c.rx.alloc_fail.read(),
            hw_drops: c.missed.read(),
            hw_drop_overruns: c.missed.read(),
            csum_bad: c.rx.csum_bad.read(),
            ..RxQueue::default()
        }
    }

    fn tx_queue(&self, queue: usize) -> TxQueue {
        let Ok(c) = self.counters().get(queue) else {
            return TxQueue::default();
        };
        TxQueue {
            packets: c.tx.packets.read(),
            bytes: c.tx.bytes.read(),
            stop: c.tx.stops.read(),
            wake: c.tx.wakes.read(),
            ..TxQueue::default()
        }
    }
}
