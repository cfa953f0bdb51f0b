// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command ring, for control operations whose arguments registers do not hold.
//!
//! An entry is 64 bytes, eight little-endian words. The host fills in words 0 to 6, zeroes word 7
//! and writes CMD_TAIL; the device executes the commands in order, and writes word 7 of each last,
//! with the status. Larger arguments are blocks of words in host memory; word 1 is the block's bus
//! address, a multiple of eight. A block that is too short for what is read or written is refused.
//! Entry and block are read once.
//!
//! The ring stops when an entry is not in accessible memory or CMD_TAIL is ahead by more than the
//! size of the ring; CMD_SIZE then reads 0, and the command event is raised.
//!
//! # Steering
//!
//! A packet's queue comes from the control block of its flow if that steers, else from the first
//! steering rule that matches, else from hash context 0. A flow keeps its queue while packets of it
//! wait. A rule that names a context which is no longer set selects context 0.
//!
//! # Control blocks
//!
//! A control block describes one TCP connection. It pins the entry of its flow: only TcbDel, a
//! reset or a write to FLOW_SIZE ends it, not age, a full database, FIN, RST or the stop of a
//! queue. Control blocks pin at most half of the flow database.
//!
//! The completion of each packet of the flow with a correct checksum says whether the block applied
//! (`summary`). It applies to data with the expected sequence number, and to packets without data
//! at that number. It does not apply to, and is stale after: data at another number, SYN, FIN
//! without data, RST, URG, data that the list cannot take, and packets that re-assembly does not
//! take. A packet without data at another number does not change it. In-order data with FIN is the
//! last that it applies to. It is also stale when its queue stops or packets of the flow are lost.
//! A stale block applies to nothing until it is set again, but still steers.
//!
//! With `join`, `expected` and `base` are taken from the flow's entry, if it has one, and not from
//! the words. So a block can be set in the middle of a stream without knowing the next sequence
//! number, and a stale one can be set again. With `pdu` as well, and if the device follows the
//! connection's messages (FLOW_CFG.session), a block that begins in the middle of a PDU starts as
//! far behind the start of the first page as the PDU's data is behind the start of a page. The
//! status is Busy, and nothing changes, while packets of the flow wait, while the stream is inside
//! a PDU's header or a header is missing, and if the rest of the PDU does not fit in the list.
//!
//! Setting a block for a key that has one replaces it and clears its counts. Data that waited to be
//! placed by the old block is transferred as "small", with summary 2: once TcbSet or TcbDel is
//! done, the device does not use the old list.
//!
//! # Placement
//!
//! Data that a block with `place` applies to has operation code "placed". The byte of sequence
//! number `base` + n is byte n % 4096 of page n / 4096 of the list. In the completion, `rb_id` and
//! `rb2_id` are indices in the list, and nothing is released. The header is in a cell, regardless
//! of FLOW_CFG.suppress. A packet that does not fit in the list as a whole is not placed.
//!
//! With `pdu`, `base` is the sequence number of a PDU's first byte and must be the expected one.
//! The data behind each PDU's header starts on the next empty page of the list; a PDU without data
//! takes none. The bytes of PDU headers go to the header cell in order, behind the `hdr_len` bytes
//! of the packet's own headers; their number is `data_len` less the bytes in pages. A PDU that does
//! not fit in the rest of the list as a whole, or a packet with more PDU headers than the cell
//! holds, is not placed.

/// 64-bit words of an entry.
pub const CMD_WORDS: usize = 8;
/// Bytes of an entry.
pub const CMD_SIZE: usize = 64;

/// The kind of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Command {
    /// Nothing; succeeds.
    Nop = 0,
    /// Set the control block (block of [`TCB_WORDS`]) of its key; the value is its flow number,
    /// whose entry it pins. NoSpace: too many control blocks, or packets wait for every entry.
    TcbSet = 1,
    /// Write the control block of flow number `index` to the block. Counts are of packets that were
    /// transferred, `expected` follows the last received.
    TcbGet = 2,
    /// Remove the control block of flow number `index`; its entry is an ordinary one again.
    TcbDel = 3,
    /// Set steering rule `index` (block of [`RULE_WORDS`]); of several that match the lowest wins.
    /// NotFound: it names a hash context that is not set.
    RuleSet = 4,
    /// Remove steering rule `index`.
    RuleDel = 5,
    /// Set hash context `index` (block of [`RSS_WORDS`]), 1 to [`RSS_CONTEXTS`]; context 0 is that
    /// of the registers.
    RssSet = 6,
    /// Remove hash context `index`.
    RssDel = 7,
    /// Write the entries of the flow database from flow number `index` on to the block, as many as
    /// fit, each [`FLOW_WORDS`]; the value is how many were written.
    FlowDump = 8,
    /// Test memories and the parser; the value is a [`TestFailures`].
    SelfTest = 9,
    /// Write the device's clock, in nanoseconds, to word 0 of the block.
    ClockGet = 10,
}

impl Command {
    /// The command of a number.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Nop,
            1 => Self::TcbSet,
            2 => Self::TcbGet,
            3 => Self::TcbDel,
            4 => Self::RuleSet,
            5 => Self::RuleDel,
            6 => Self::RssSet,
            7 => Self::RssDel,
            8 => Self::FlowDump,
            9 => Self::SelfTest,
            10 => Self::ClockGet,
            _ => return None,
        })
    }
}

/// Status of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CmdStatus {
    /// Done.
    Ok = 0,
    /// No such command.
    Unknown = 1,
    /// An argument is out of range.
    BadArgument = 2,
    /// No entry is free.
    NoSpace = 3,
    /// There is no such object.
    NotFound = 4,
    /// The block is not in accessible memory.
    BadAddress = 5,
    /// Not possible at this moment.
    Busy = 6,
}

impl CmdStatus {
    /// The status of a number.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Ok,
            1 => Self::Unknown,
            2 => Self::BadArgument,
            3 => Self::NoSpace,
            4 => Self::NotFound,
            5 => Self::BadAddress,
            6 => Self::Busy,
            _ => return None,
        })
    }
}

bitfields! {
    /// Word 0 of a command. Word 1 is the bus address of its block, word 2 the block's bytes.
    pub struct Cmd0(u64);
    /// A Command.
    7:0 command, with_command;
    /// Chosen by the host, given back in word 7.
    31:16 tag, with_tag;
    /// Index or flow number of the object.
    63:32 index, with_index;
}

bitfields! {
    /// Word 7 of a command, written by the device.
    pub struct Cmd7(u64);
    /// A CmdStatus.
    7:0 status, with_status;
    /// The host's tag.
    31:16 tag, with_tag;
    /// The value that the command returns.
    62:32 value, with_value;
    /// The command is done.
    63:63 done, with_done;
}

bitfields! {
    /// Failures that a self-test found; 0 for a device in order.
    pub struct TestFailures(u32);
    /// The parser reads a known frame wrongly.
    0:0 parser, with_parser;
    /// The hash of a known key is wrong.
    1:1 hash, with_hash;
    /// The level of the packet memory is not the sum of its packets.
    2:2 packet_memory, with_packet_memory;
    /// Index, entries and order of the flow database do not agree.
    3:3 flow_database, with_flow_database;
}

/// Words of a flow key in a block: 40 bytes, the first in the low bits of the first word.
pub const KEY_WORDS: usize = 5;

/// Words of a control block: T0, key, T6, address of the page list, T8, packets that it applied to,
/// packets that it did not apply to, bytes placed, three reserved words. The counts are read only.
pub const TCB_WORDS: usize = 16;
/// First word of the key.
pub const TCB_KEY: usize = 1;
/// Word of sequence and flow number.
pub const TCB_SEQ: usize = 6;
/// Bus address of the page list: bus addresses of 4096-byte pages, 64 bits each.
pub const TCB_LIST: usize = 7;
/// Word of the list's length and the sequence number that it begins with.
pub const TCB_LIST_LEN: usize = 8;
/// Packets that it applied to.
pub const TCB_APPLIED: usize = 9;
/// Packets that it did not apply to.
pub const TCB_NOT_APPLIED: usize = 10;
/// Bytes placed in the list.
pub const TCB_PLACED: usize = 11;
/// Host control blocks that a device takes.
pub const TCB_MAX: usize = 256;
/// Pages of a list.
pub const LIST_MAX: u32 = 1024;

bitfields! {
    /// Word 0 of a control block.
    pub struct T0(u64);
    /// Bytes of the key: 12 for IPv4, 36 for IPv6.
    7:0 key_len, with_key_len;
    /// The connection is IPv6.
    8:8 v6, with_v6;
    /// The flow's packets go to `queue`, whatever the hash says.
    9:9 steer, with_steer;
    /// Data go to the page list.
    10:10 place, with_place;
    /// Every PDU starts on a fresh page; its length is in its header as the last four fields say.
    11:11 pdu, with_pdu;
    /// A VLAN tag belongs to the key.
    12:12 vlan, with_vlan;
    /// Begin at the sequence number that the device expects, if the flow has an entry.
    13:13 join, with_join;
    /// Queue.
    31:16 queue, with_queue;
    /// Tag control information, if `vlan`.
    47:32 vlan_tci, with_vlan_tci;
    /// Bytes of a PDU's header.
    53:48 pdu_hdr, with_pdu_hdr;
    /// Offset of the length field in it.
    58:54 pdu_off, with_pdu_off;
    /// Bytes of the length field, 1 to 4; it counts what follows the header.
    61:59 pdu_bytes, with_pdu_bytes;
}

bitfields! {
    /// Word 6 of a control block.
    pub struct T6(u64);
    /// Sequence number of the next data.
    31:0 expected, with_expected;
    /// Flow number; written on read-back.
    47:32 flow, with_flow;
    /// Stale: it does not apply until it is set again. Written on read-back.
    48:48 stale, with_stale;
}

bitfields! {
    /// Word 8 of a control block.
    pub struct T8(u64);
    /// Pages of the list.
    31:0 pages, with_pages;
    /// Sequence number of the first byte of the first page.
    63:32 base, with_base;
}

/// Words of a steering rule: R0, key, mask of the key.
pub const RULE_WORDS: usize = 11;
/// First word of the key.
pub const RULE_KEY: usize = 1;
/// First word of the mask.
pub const RULE_MASK: usize = 6;
/// Steering rules that a device takes.
pub const RULE_MAX: usize = 64;

bitfields! {
    /// Word 0 of a steering rule.
    pub struct R0(u64);
    /// Matches IPv6, else IPv4. A packet matches if its key, masked, is the rule's; bytes that a
    /// key does not have match only a mask of 0.
    0:0 v6, with_v6;
    /// Matches TCP. Neither this nor `udp`: matches every protocol.
    1:1 tcp, with_tcp;
    /// Matches UDP.
    2:2 udp, with_udp;
    /// Drop packets that match.
    3:3 drop, with_drop;
    /// `target` is a hash context, else a queue.
    4:4 context, with_context;
    /// Queue or hash context.
    31:16 target, with_target;
    /// Added to the queue that the hash context chooses.
    47:32 offset, with_offset;
}

/// Words of a hash context: X0, secret key, indirection table of a byte an entry.
pub const RSS_WORDS: usize = 22;
/// First word of the secret key.
pub const RSS_SECRET: usize = 1;
/// First word of the table.
pub const RSS_TABLE_WORD: usize = 6;
/// Hash contexts besides that of the registers.
pub const RSS_CONTEXTS: usize = 15;

bitfields! {
    /// Word 0 of a hash context.
    pub struct X0(u64);
    /// The hashed fields, as in RssCtrl; its bit 0 is 0.
    31:0 hashed, with_hashed;
}

/// Words of a flow in a dump: F0, key, F6, microseconds since its last packet.
pub const FLOW_WORDS: usize = 8;
/// First word of the key.
pub const FLOW_KEY: usize = 1;

bitfields! {
    /// Word 0 of a flow in a dump.
    pub struct F0(u64);
    /// Flow number.
    15:0 flow, with_flow;
    /// Bytes of the key.
    23:16 key_len, with_key_len;
    /// IPv6, else IPv4.
    24:24 v6, with_v6;
    /// An aggregate is open.
    25:25 open, with_open;
    /// Packets of it wait in the packet memory.
    26:26 busy, with_busy;
    /// A host control block pins it.
    27:27 tcb, with_tcb;
    /// The key has a VLAN tag.
    28:28 vlan, with_vlan;
    /// Queue.
    47:32 queue, with_queue;
    /// Tag control information.
    63:48 vlan_tci, with_vlan_tci;
}

bitfields! {
    /// Word 6 of a flow in a dump.
    pub struct F6(u64);
    /// Sequence number of the next data.
    31:0 expected, with_expected;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_word_do_not_overlap() {
        for fields in [
            Cmd0::FIELDS,
            Cmd7::FIELDS,
            TestFailures::FIELDS,
            T0::FIELDS,
            T6::FIELDS,
            T8::FIELDS,
            R0::FIELDS,
            X0::FIELDS,
            F0::FIELDS,
            F6::FIELDS,
        ] {
            let mut seen = 0_u64;
            for f in fields {
                let mask = (u64::MAX >> (63 - (f.hi - f.lo))) << f.lo;
                assert_eq!(seen & mask, 0, "{}", f.name);
                seen |= mask;
            }
        }
    }

    #[test]
    fn commands_and_statuses_round_trip() {
        for raw in 0..=255 {
            assert!(Command::from_raw(raw).is_none_or(|c| c as u8 == raw));
            assert!(CmdStatus::from_raw(raw).is_none_or(|s| s as u8 == raw));
        }
    }
}
