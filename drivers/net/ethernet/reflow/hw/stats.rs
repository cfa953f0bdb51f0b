// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The statistics block that the device keeps in host memory.
//!
//! 64-bit little-endian counters: first the device's ([`GLOBAL`]), then for each queue its own
//! ([`QUEUE`]). They count from the last reset.

/// One counter: its name as `ethtool -S` shows it, and what it counts.
#[derive(Clone, Copy, Debug)]
pub struct CounterInfo {
    /// Name.
    pub name: &'static str,
    /// Events that it counts.
    pub doc: &'static str,
}

macro_rules! counters {
    (
        $(#[$emeta:meta])* $enum:ident, $(#[$tmeta:meta])* $table:ident:
        $( #[doc = $doc:literal] $variant:ident = $name:literal; )*
    ) => {
        $(#[$emeta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum $enum { $( #[doc = $doc] $variant, )* }

        impl $enum {
            /// How many there are.
            pub const COUNT: usize = $table.len();
        }

        $(#[$tmeta])*
        pub const $table: &[CounterInfo] = &[
            $( CounterInfo { name: $name, doc: $doc }, )*
        ];
    };
}

counters! {
    /// Counters of the device; the value is the index in the block.
    Global,
    /// Names of the device's counters, in the order of the block.
    GLOBAL:
    #[doc = "Frames received from the wire."]
    RxFrames = "hw_rx_frames";
    #[doc = "Bytes of those frames."]
    RxBytes = "hw_rx_bytes";
    #[doc = "Frames shorter than 14 bytes."]
    RxRunts = "hw_rx_runts";
    #[doc = "Frames longer than MAX_FRAME."]
    RxGiants = "hw_rx_giants";
    #[doc = "Frames that the MAC filter refused."]
    RxFiltered = "hw_rx_filtered";
    #[doc = "Frames received while reception or their queue was off."]
    RxDisabled = "hw_rx_disabled";
    #[doc = "Frames for which the packet memory had no room."]
    RxPmOverflow = "hw_rx_pm_overflow";
    #[doc = "Packets discarded at random, before the packet memory was full."]
    RxRed = "hw_rx_red";
    #[doc = "Of those, discarded in band 0."]
    RxRed0 = "hw_rx_red_band0";
    #[doc = "Of those, discarded in band 1."]
    RxRed1 = "hw_rx_red_band1";
    #[doc = "Of those, discarded in band 2."]
    RxRed2 = "hw_rx_red_band2";
    #[doc = "Of those, discarded in band 3."]
    RxRed3 = "hw_rx_red_band3";
    #[doc = "Packets dropped by a steering rule."]
    RxRuleDrop = "hw_rx_rule_drop";
    #[doc = "Packets lost because a queue stopped or memory was not accessible."]
    RxDmaErrors = "hw_rx_dma_errors";
    #[doc = "Packets transferred to host memory."]
    RxTransferred = "hw_rx_transferred";
    #[doc = "Broadcast frames accepted."]
    RxBroadcast = "hw_rx_broadcast";
    #[doc = "Multicast frames accepted."]
    RxMulticast = "hw_rx_multicast";
    #[doc = "MAC control frames, including pause frames; not passed on."]
    RxMacControl = "hw_rx_mac_control";
    #[doc = "Frames of up to 64 bytes received, FCS included."]
    RxLen64 = "hw_rx_len_64";
    #[doc = "Frames of 65 to 127 bytes received."]
    RxLen127 = "hw_rx_len_127";
    #[doc = "Frames of 128 to 255 bytes received."]
    RxLen255 = "hw_rx_len_255";
    #[doc = "Frames of 256 to 511 bytes received."]
    RxLen511 = "hw_rx_len_511";
    #[doc = "Frames of 512 to 1023 bytes received."]
    RxLen1023 = "hw_rx_len_1023";
    #[doc = "Frames of 1024 to 1518 bytes received."]
    RxLen1518 = "hw_rx_len_1518";
    #[doc = "Longer frames received."]
    RxLenLong = "hw_rx_len_long";
    #[doc = "Packets with a wrong IPv4 header checksum."]
    RxL3CsumBad = "hw_rx_l3_csum_bad";
    #[doc = "Packets with a wrong TCP or UDP checksum."]
    RxL4CsumBad = "hw_rx_l4_csum_bad";
    #[doc = "Packets on which the parser program gave up or that it refused."]
    RxParserRefused = "hw_rx_parser_refused";
    #[doc = "Operation code no assist."]
    OpNoAssist = "hw_op_no_assist";
    #[doc = "Operation code no data."]
    OpNoData = "hw_op_no_data";
    #[doc = "Operation code control."]
    OpControl = "hw_op_control";
    #[doc = "Operation code small."]
    OpSmall = "hw_op_small";
    #[doc = "Operation code out of order."]
    OpOutOfOrder = "hw_op_out_of_order";
    #[doc = "Operation code start."]
    OpStart = "hw_op_start";
    #[doc = "Operation code append."]
    OpAppend = "hw_op_append";
    #[doc = "Operation code append and close."]
    OpAppendClose = "hw_op_append_close";
    #[doc = "Operation code close and start."]
    OpCloseStart = "hw_op_close_start";
    #[doc = "Operation code placed."]
    OpPlaced = "hw_op_placed";
    #[doc = "Flow database: entries made."]
    FdbInsert = "hw_fdb_insert";
    #[doc = "Flow database: packets that found their entry."]
    FdbHit = "hw_fdb_hit";
    #[doc = "Flow database: packets that found no room for an entry."]
    FdbFull = "hw_fdb_full";
    #[doc = "Flow database: idle entries that made room for a new one."]
    FdbEvict = "hw_fdb_evict";
    #[doc = "Flow database: entries ended by FIN or RST."]
    FdbTeardown = "hw_fdb_teardown";
    #[doc = "Flow database: entries ended by age."]
    FdbAged = "hw_fdb_aged";
    #[doc = "Flow database: connection set-ups that made no entry because too many are half open."]
    FdbHalfOpen = "hw_fdb_half_open";
    #[doc = "Header bytes written to host memory."]
    DmaHeaderBytes = "hw_dma_header_bytes";
    #[doc = "Data bytes written to re-assembly buffers and page lists."]
    DmaDataBytes = "hw_dma_data_bytes";
    #[doc = "Bytes written to packet buffers."]
    DmaPacketBytes = "hw_dma_packet_bytes";
    #[doc = "Packets transferred with the batching hint set."]
    HintMore = "hw_hint_more";
    #[doc = "Frames put on the wire."]
    TxFrames = "hw_tx_frames";
    #[doc = "Bytes of those frames."]
    TxBytes = "hw_tx_bytes";
    #[doc = "Of those frames, broadcast."]
    TxBroadcast = "hw_tx_broadcast";
    #[doc = "Of those frames, multicast."]
    TxMulticast = "hw_tx_multicast";
    #[doc = "Of those frames, MAC control."]
    TxMacControl = "hw_tx_mac_control";
    #[doc = "Frames of up to 64 bytes sent, FCS included."]
    TxLen64 = "hw_tx_len_64";
    #[doc = "Frames of 65 to 127 bytes sent."]
    TxLen127 = "hw_tx_len_127";
    #[doc = "Frames of 128 to 255 bytes sent."]
    TxLen255 = "hw_tx_len_255";
    #[doc = "Frames of 256 to 511 bytes sent."]
    TxLen511 = "hw_tx_len_511";
    #[doc = "Frames of 512 to 1023 bytes sent."]
    TxLen1023 = "hw_tx_len_1023";
    #[doc = "Frames of 1024 to 1518 bytes sent."]
    TxLen1518 = "hw_tx_len_1518";
    #[doc = "Longer frames sent."]
    TxLenLong = "hw_tx_len_long";
    #[doc = "Frames that could not be sent: too long, broken descriptors or no wire."]
    TxErrors = "hw_tx_errors";
    #[doc = "Packets that were cut into segments."]
    TxSegmented = "hw_tx_segmented";
    #[doc = "Frames whose checksum the device filled in."]
    TxCsum = "hw_tx_csum";
    #[doc = "Packets that a host control block applied to."]
    TcbApplied = "hw_tcb_applied";
    #[doc = "Packets of a host control block that it did not apply to."]
    TcbNotApplied = "hw_tcb_not_applied";
    #[doc = "PDUs that started on a fresh page."]
    SessionPdus = "hw_session_pdus";
    #[doc = "Session headers with a length above the longest PDU."]
    SessionInsane = "hw_session_insane";
    #[doc = "Commands carried out."]
    Commands = "hw_commands";
    #[doc = "Commands refused."]
    CommandErrors = "hw_command_errors";
    #[doc = "Interrupts raised."]
    Interrupts = "hw_interrupts";
    #[doc = "Packets with data whose sequence number was not the expected one."]
    RxOutOfOrder = "hw_rx_out_of_order";
}

counters! {
    /// Counters of a queue; the value is the index in the queue's part of the block.
    Queue,
    /// Names of a queue's counters, in the order of the block.
    QUEUE:
    #[doc = "Packets transferred to this queue."]
    Packets = "hw_packets";
    #[doc = "Times that the transfer waited because a buffer ring was empty."]
    NoBuffer = "hw_no_buffer";
    #[doc = "Times that the transfer waited because the completion ring was full."]
    CqFull = "hw_cq_full";
    #[doc = "Packets lost because the packet memory was full while this queue had no buffers."]
    Missed = "hw_missed";
}

/// Index in the block of a queue's first counter.
pub const fn queue_base(queue: usize) -> usize {
    Global::COUNT + queue * Queue::COUNT
}

/// Counters in the block of a device with so many queues.
pub const fn block_len(queues: usize) -> usize {
    queue_base(queues)
}

/// Bytes of the FCS.
pub const FCS_LEN: usize = 4;

/// A class of frames by length, FCS included.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// The longest of them.
    pub longest: u16,
    /// Counter of those received.
    pub rx: Global,
    /// Counter of those sent.
    pub tx: Global,
}

/// All classes, from short to long; longer frames belong to the last.
pub const LENGTHS: [Length; 7] = [
    Length {
        longest: 64,
        rx: Global::RxLen64,
        tx: Global::TxLen64,
    },
    Length {
        longest: 127,
        rx: Global::RxLen127,
        tx: Global::TxLen127,
    },
    Length {
        longest: 255,
        rx: Global::RxLen255,
        tx: Global::TxLen255,
    },
    Length {
        longest: 511,
        rx: Global::RxLen511,
        tx: Global::TxLen511,
    },
    Length {
        longest: 1_023,
        rx: Global::RxLen1023,
        tx: Global::TxLen1023,
    },
    Length {
        longest: 1_518,
        rx: Global::RxLen1518,
        tx: Global::TxLen1518,
    },
    Length {
        longest: 65_535,
        rx: Global::RxLenLong,
        tx: Global::TxLenLong,
    },
];
