// SPDX-License-Identifier: GPL-2.0

//! Counters with one writer and any number of readers, and the core's statistics of queues.
//!
//! Wraps `struct netdev_stat_ops`. Counters are read in any context and written by one at a time;
//! the core reads those of queues under the instance lock.
//!
//! ```
//! counters! {
//!     /// Receive counters of a queue.
//!     Rx:
//!     /// Packets.
//!     packets,
//!     /// Bytes of those packets.
//!     bytes,
//! }
//!
//! fn count(rx: &Rx, len: u64) {
//!     rx.packets.add(1);
//!     rx.bytes.add(len);
//! }
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Handle, //
    },
    device,
    word::Word, //
};
use core::marker::PhantomData;

/// A 64-bit counter with one writer at a time.
///
/// Adding is a load and a store, not a locked operation; two writers at the same time lose counts.
#[derive(Default)]
pub(crate) struct Counter(Word);

impl Counter {
    /// Adds `n`.
    #[inline(always)]
    pub(crate) fn add(&self, n: u64) {
        self.0.write(self.0.read().wrapping_add(n));
    }

    /// The value.
    #[inline(always)]
    pub(crate) fn read(&self) -> u64 {
        self.0.read()
    }
}

/// Defines counters with the names that `ethtool -S` shows behind the queue's prefix.
macro_rules! counters {
    (
        $(#[$meta:meta])* $name:ident:
        $( $(#[$fmeta:meta])* $field:ident, )*
    ) => {
        $(#[$meta])*
        #[derive(Default)]
        pub(crate) struct $name {
            $( $(#[$fmeta])* pub(crate) $field: $crate::net::stats::Counter, )*
        }

        impl $name {
            /// Shows each counter's name and value.
            pub(crate) fn visit(&self, mut f: impl FnMut(&'static str, u64)) {
                $( f(stringify!($field), self.$field.read()); )*
            }
        }
    };
}
pub(crate) use counters;

/// A count that the driver does not keep: it is not told.
const NOT_COUNTED: u64 = u64::MAX;

/// Counters of a receive queue for the core. All counts are of wire packets except those of
/// aggregates. By default none is reported.
#[derive(Clone, Copy)]
pub(crate) struct RxQueue {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes of those packets.
    pub(crate) bytes: u64,
    /// Buffers that could not be allocated.
    pub(crate) alloc_fail: u64,
    /// Packets that the device dropped, for whatever reason.
    pub(crate) hw_drops: u64,
    /// Packets of `hw_drops` for which there was no buffer.
    pub(crate) hw_drop_overruns: u64,
    /// Packets with a wrong checksum.
    pub(crate) csum_bad: u64,
    /// Aggregates of at least two packets that the device merged.
    pub(crate) hw_gro_packets: u64,
    /// Packets in those aggregates.
    pub(crate) hw_gro_wire_packets: u64,
}

/// Counters of a transmit queue for the core. By default none is reported.
#[derive(Clone, Copy)]
pub(crate) struct TxQueue {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes of those packets.
    pub(crate) bytes: u64,
    /// Packets that the device segmented.
    pub(crate) hw_gso_packets: u64,
    /// Segments that they became.
    pub(crate) hw_gso_wire_packets: u64,
    /// Times that the queue was stopped.
    pub(crate) stop: u64,
    /// Times that it was woken.
    pub(crate) wake: u64,
}

/// A driver that counts by queue. The counters of a queue must outlive its rings.
///
/// Both operations run with the instance lock held, and may sleep.
pub(crate) trait Queues {
    /// Counters of receive queue `queue`.
    fn rx_queue(&self, queue: usize) -> RxQueue;

    /// Counters of transmit queue `queue`.
    fn tx_queue(&self, queue: usize) -> TxQueue;
}

impl Default for RxQueue {
    fn default() -> Self {
        Self {
            packets: NOT_COUNTED,
            bytes: NOT_COUNTED,
            alloc_fail: NOT_COUNTED,
            hw_drops: NOT_COUNTED,
            hw_drop_overruns: NOT_COUNTED,
            csum_bad: NOT_COUNTED,
            hw_gro_packets: NOT_COUNTED,
            hw_gro_wire_packets: NOT_COUNTED,
        }
    }
}

impl RxQueue {
    /// 0 for each count that is kept.
    fn zeroed(mut self) -> Self {
        for count in [
            &mut self.packets,
            &mut self.bytes,
            &mut self.alloc_fail,
            &mut self.hw_drops,
            &mut self.hw_drop_overruns,
            &mut self.csum_bad,
            &mut self.hw_gro_packets,
            &mut self.hw_gro_wire_packets,
        ] {
            if *count != NOT_COUNTED {
                *count = 0;
            }
        }
        self
    }

    fn fill(&self, to: &mut bindings::netdev_queue_stats_rx) {
        to.packets = self.packets;
        to.bytes = self.bytes;
        to.alloc_fail = self.alloc_fail;
        to.hw_drops = self.hw_drops;
        to.hw_drop_overruns = self.hw_drop_overruns;
        to.csum_bad = self.csum_bad;
        to.hw_gro_packets = self.hw_gro_packets;
        to.hw_gro_wire_packets = self.hw_gro_wire_packets;
    }
}

impl Default for TxQueue {
    fn default() -> Self {
        Self {
            packets: NOT_COUNTED,
            bytes: NOT_COUNTED,
            hw_gso_packets: NOT_COUNTED,
            hw_gso_wire_packets: NOT_COUNTED,
            stop: NOT_COUNTED,
            wake: NOT_COUNTED,
        }
    }
}

impl TxQueue {
    /// 0 for each count that is kept.
    fn zeroed(mut self) -> Self {
        for count in [
            &mut self.packets,
            &mut self.bytes,
            &mut self.hw_gso_packets,
            &mut self.hw_gso_wire_packets,
            &mut self.stop,
            &mut self.wake,
        ] {
            if *count != NOT_COUNTED {
                *count = 0;
            }
        }
        self
    }

    fn fill(&self, to: &mut bindings::netdev_queue_stats_tx) {
        to.packets = self.packets;
        to.bytes = self.bytes;
        to.hw_gso_packets = self.hw_gso_packets;
        to.hw_gso_wire_packets = self.hw_gso_wire_packets;
        to.stop = self.stop;
        to.wake = self.wake;
    }
}

/// The table of callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Queues> Adapter<T> {
    pub(super) const OPS: &'static bindings::netdev_stat_ops = &bindings::netdev_stat_ops {
        get_queue_stats_rx: Some(Self::rx),
        get_queue_stats_tx: Some(Self::tx),
        get_base_stats: Some(Self::base),
    };

    callbacks! {
        /// `netdev_stat_ops.get_queue_stats_rx`.
        fn rx(handle: Handle<'_, T>, queue: i32, to: &mut bindings::netdev_queue_stats_rx) {
            if let Ok(queue) = queue.try_into() {
                handle.ops().rx_queue(queue).fill(to);
            }
        }

        /// `netdev_stat_ops.get_queue_stats_tx`.
        fn tx(handle: Handle<'_, T>, queue: i32, to: &mut bindings::netdev_queue_stats_tx) {
            if let Ok(queue) = queue.try_into() {
                handle.ops().tx_queue(queue).fill(to);
            }
        }

        /// `netdev_stat_ops.get_base_stats`.
        fn base(
            handle: Handle<'_, T>,
            rx: &mut bindings::netdev_queue_stats_rx,
            tx: &mut bindings::netdev_queue_stats_tx,
        ) {
            handle.ops().rx_queue(0).zeroed().fill(rx);
            handle.ops().tx_queue(0).zeroed().fill(tx);
            // The counters of a queue continue when it is re-created, and stay when it is removed:
            // those that the core does not read are of queues that are not in use.
            bindings::netdev_stat_unused_queues(handle.device().as_opaque(), rx, tx);
        }
    }
}
