// SPDX-License-Identifier: GPL-2.0

//! Statistics for the core: totals of the interface, counters of its queues.

use crate::{
    hw::stats::{
        Global,
        Queue as HwQueue, //
    },
    net::{
        device::Stats64,
        stats::{
            Queues,
            RxQueue,
            TxQueue, //
        }, //
    },
    nic::Nic, //
};

impl Nic<'_> {
    /// Fills in the totals that `ip -s link` shows. In an RCU read section.
    pub(crate) fn fill_totals(&self, s: &mut Stats64) {
        // The device's counts may be any number: sums wrap.
        let sum = |counts: &[u64]| counts.iter().fold(0, |a: u64, b| a.wrapping_add(*b));
        for c in &self.counters {
            s.rx_packets = sum(&[s.rx_packets, c.rx.up_packets.read()]);
            s.rx_bytes = sum(&[s.rx_bytes, c.rx.up_bytes.read()]);
            s.tx_packets += c.tx_done.packets.read();
            s.tx_bytes += c.tx_done.bytes.read();
            s.rx_dropped = sum(&[s.rx_dropped, c.rx.dropped(), c.rx.drop_down.read()]);
            s.rx_errors = sum(&[s.rx_errors, c.rx.bad_completion.read()]);
            s.tx_dropped += c.tx_dropped();
        }
        let hw = |which| self.hw.global(which);
        s.rx_dropped = sum(&[s.rx_dropped, hw(Global::RxRed)]);
        // The device had no room, or the queue was being replaced.
        let disabled = self.missed.while_up(|| hw(Global::RxDisabled));
        s.rx_missed_errors = sum(&[hw(Global::RxPmOverflow), disabled]);
        s.rx_length_errors = sum(&[hw(Global::RxRunts), hw(Global::RxGiants)]);
        s.rx_errors = sum(&[s.rx_errors, s.rx_length_errors, hw(Global::RxDmaErrors)]);
        s.tx_errors = hw(Global::TxErrors);
        s.multicast = hw(Global::RxMulticast);
    }
}

impl Queues for Nic<'_> {
    fn rx_queue(&self, queue: usize) -> RxQueue {
        let Some(c) = self.counters.get(queue) else {
            return RxQueue::default();
        };
        let missed = self.hw.queue(queue, HwQueue::Missed);
        RxQueue {
            packets: c.rx.up_packets.read(),
            bytes: c.rx.up_bytes.read(),
            alloc_fail: c.rx.alloc_fail.read(),
            hw_drops: missed,
            hw_drop_overruns: missed,
            csum_bad: c.rx.csum_bad.read(),
            hw_gro_packets: c.rx.hw_gro_packets.read(),
            hw_gro_wire_packets: c.rx.hw_gro_wire_packets.read(),
        }
    }

    fn tx_queue(&self, queue: usize) -> TxQueue {
        let Some(c) = self.counters.get(queue) else {
            return TxQueue::default();
        };
        TxQueue {
            packets: c.tx_done.packets.read(),
            bytes: c.tx_done.bytes.read(),
            hw_gso_packets: c.tx_done.hw_gso_packets.read(),
            hw_gso_wire_packets: c.tx_done.hw_gso_wire_packets.read(),
            stop: c.tx_queued.stops.read(),
            wake: c.tx_done.wakes.read(),
        }
    }
}
