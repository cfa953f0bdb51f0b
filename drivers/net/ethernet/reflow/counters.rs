// SPDX-License-Identifier: GPL-2.0

//! The driver's own counters. They belong to a queue number and outlive its rings.

use crate::{
    hw::opcode::Opcode,
    net::stats::{
        counters,
        Counter, //
    }, //
};

counters! {
    /// Receive counters of a queue. Written by its NAPI instance.
    Rx:
    /// Packets taken from the device, counted as on the wire.
    packets,
    /// Bytes of those packets.
    bytes,
    /// Of those packets, the ones handed to the stack or taken by an XDP program. The others were
    /// dropped, or are in an aggregate that still grows.
    up_packets,
    /// Bytes of the packets handed up.
    up_bytes,
    /// Socket buffers handed to the stack.
    skbs,
    /// Socket buffers that hold more than one packet.
    hw_gro_packets,
    /// Packets in those socket buffers.
    hw_gro_wire_packets,
    /// Packets whose checksum the device found wrong.
    csum_bad,
    /// Packets dropped because no memory was to be had for their socket buffer.
    drop_nomem,
    /// Packets dropped because a completion of theirs cannot be true.
    drop_bad_completion,
    /// Completions that cannot be true, and of which no packet was counted.
    bad_completion,
    /// Packets dropped because the beginning of their aggregate was lost.
    drop_orphan,
    /// Packets that had arrived when the queue was taken down or made anew; not among `packets`.
    drop_down,
    /// Pages that could not be allocated; the ring is refilled later.
    alloc_fail,
    /// Times that pages of 4 KiB were taken, up to 64, as there was no memory for a larger one.
    alloc_small,
    /// Aggregates handed up before the device closed them.
    parked,
    /// Packets whose header was delivered and does not go on with the aggregate that the device
    /// appended them to; they were not put there.
    header_mismatch,
    /// Pages given back by the device without a packet.
    released,
    /// Packets that the control block of their connection applied to.
    tcb_applied,
    /// Packets of connections with a control block that it did not apply to.
    tcb_not_applied,
    /// Polls.
    polls,
    /// Interrupts that came for nothing.
    irq_useless,
    /// Interrupts that did not come though packets waited; a poll made up for each.
    irq_lost,
    /// Packets that an XDP program passed to the stack.
    xdp_pass,
    /// Packets that an XDP program dropped.
    xdp_drop,
    /// Packets that an XDP program sent back.
    xdp_tx,
    /// Packets that an XDP program redirected.
    xdp_redirect,
    /// Packets dropped because an XDP program failed, or what it wanted could not be done.
    xdp_aborted,
    /// Packets dropped because an XDP program sent them back and the ring had no room.
    xdp_tx_full,
}

counters! {
    /// Transmit counters of a queue that `ndo_start_xmit` writes, under the queue's lock.
    TxQueued:
    /// Packets dropped because memory could not be mapped.
    drop_map,
    /// Packets dropped because the ring was full.
    drop_full,
    /// Times that the queue was stopped for want of room.
    stops,
    /// Doorbells rung.
    doorbells,
    /// Frames that other devices redirected to this one.
    xdp_xmit,
    /// Frames that were refused because the ring had no room.
    xdp_xmit_full,
}

counters! {
    /// Transmit counters of a queue that its NAPI instance writes, and who takes the queue down.
    TxDone:
    /// Packets sent.
    packets,
    /// Bytes of those packets.
    bytes,
    /// Packets of the stack that the device cut into segments.
    hw_gso_packets,
    /// Segments that they became.
    hw_gso_wire_packets,
    /// Times that the queue was woken.
    wakes,
    /// Times that what the device said of its progress could not be true.
    bad_completion,
    /// Packets that were on the ring and had not been sent when the queue was taken down or made
    /// anew.
    drop_down,
}

counters! {
    /// Operations on control blocks.
    Tcb:
    /// Times that the core asked for a connection to be steered to the CPU that reads it.
    steered,
    /// Blocks set.
    set,
    /// Of those, set again because packets had come out of order or their queue was made anew.
    set_again,
    /// Blocks handed back because packets of their connection kept coming out of order.
    handed_back,
    /// Blocks taken away because their connection ended.
    ended,
    /// Blocks taken away because the core did not want them any more.
    expired,
    /// Connections that there was no room for.
    no_room,
    /// Blocks that the device refused.
    refused,
}

impl Rx {
    /// Counts packets handed up, with their bytes as on the wire.
    #[inline]
    pub(crate) fn up(&self, packets: u16, bytes: u64) {
        self.up_packets.add(packets.into());
        self.up_bytes.add(bytes);
    }

    /// Packets taken from the device that did not reach the stack.
    pub(crate) fn dropped(&self) -> u64 {
        [
            &self.drop_nomem,
            &self.drop_bad_completion,
            &self.drop_orphan,
            &self.xdp_aborted,
        ]
        .iter()
        .fold(0, |sum, c| sum.wrapping_add(c.read()))
    }
}

/// All counters of a queue pair.
#[derive(Default)]
pub(crate) struct Queue {
    /// Receive.
    pub(crate) rx: Rx,
    /// Packets by operation code.
    pub(crate) opcodes: [Counter; Opcode::COUNT],
    /// Transmit, on the way in.
    pub(crate) tx_queued: TxQueued,
    /// Transmit, on the way out.
    pub(crate) tx_done: TxDone,
}

impl Queue {
    /// Packets and frames to be sent that were not.
    pub(crate) fn tx_dropped(&self) -> u64 {
        [
            &self.tx_queued.drop_map,
            &self.tx_queued.drop_full,
            &self.tx_done.drop_down,
            &self.rx.xdp_tx_full,
        ]
        .iter()
        .fold(0, |sum, c| sum.wrapping_add(c.read()))
    }
}
