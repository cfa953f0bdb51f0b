// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Descriptors in host memory: arrays of 64-bit little-endian words.
//!
//! * completion: 64 bytes, written by the device, word 0 last;
//! * transmit descriptor: 32 bytes, read by the device;
//! * buffer descriptor: 16 bytes, read by the device.

/// Flow number of a packet that belongs to no flow.
pub const FLOW_NONE: u16 = 0xffff;
/// Buffer id that stands for no buffer.
pub const BUF_NONE: u16 = 0xffff;
/// Ids of whole pages that a completion of a packet has room for.
pub const PAGES_INLINE: usize = 4;
/// Ids that a completion of kind [`CompletionKind::Pages`] has room for.
pub const PAGES_EACH: usize = 28;
/// Most whole pages between the first and the last data of a completion.
pub const PAGES_MAX: usize = 63;
/// Bytes of a completion.
pub const COMPLETION_SIZE: usize = 64;
/// 64-bit words of a completion.
pub const COMPLETION_WORDS: usize = 8;
/// Bytes of a transmit descriptor.
pub const TX_DESC_SIZE: usize = 32;
/// Bytes of a buffer descriptor.
pub const BUF_DESC_SIZE: usize = 16;
/// Most descriptors of one packet to send.
pub const TX_MAX_DESCS: usize = 20;
/// Most payload bytes of one packet to segment.
pub const TX_MAX_PAYLOAD: usize = 65536;

/// The kind of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CompletionKind {
    /// A packet, or a part of one.
    Packet = 0,
    /// No packet: the device only releases a re-assembly buffer.
    Release = 1,
    /// Further ids of whole pages of the completion before: words 1 to 7 have four each, from the
    /// lowest bits up.
    Pages = 2,
}

bitfields! {
    /// Word 0 of a completion: kind and flags of the packet. Written last.
    pub struct C0(u64);
    /// Operation code.
    3:0 opcode, with_opcode;
    /// A CompletionKind.
    5:4 kind, with_kind;
    /// Batching hint: another packet of this flow waits in the packet memory.
    6:6 more, with_more;
    /// The packet continues in the next completion of this ring.
    7:7 cont, with_cont;
    /// Header checksums of IPv4 were verified and are correct (or there are none, IPv6).
    8:8 l3_ok, with_l3_ok;
    /// Checksum of TCP or UDP was verified and is correct.
    9:9 l4_ok, with_l4_ok;
    /// A checksum was verified and is wrong.
    10:10 csum_bad, with_csum_bad;
    /// A VLAN tag was removed and is in word 1.
    11:11 vlan, with_vlan;
    /// The device is done with the header buffer `hb_id`.
    12:12 rel_hb, with_rel_hb;
    /// The device is done with the re-assembly buffer `rb_id`.
    13:13 rel_rb, with_rel_rb;
    /// The device is done with the re-assembly buffer `rb2_id`.
    14:14 rel_rb2, with_rel_rb2;
    /// The device is done with the small-class buffer `nb_id` (full-size buffers always are).
    15:15 rel_sb, with_rel_sb;
    /// The whole packet, or this part of it, is in a packet buffer of full size.
    16:16 nb, with_nb;
    /// The whole packet is in a cell of the small class.
    17:17 sb, with_sb;
    /// A header cell is used.
    18:18 hb, with_hb;
    /// A re-assembly buffer is used.
    19:19 rb, with_rb;
    /// Data continues at the start of a second re-assembly buffer.
    20:20 rb2, with_rb2;
    /// IPv4 (the innermost parsed).
    21:21 ipv4, with_ipv4;
    /// IPv6 (the innermost parsed).
    22:22 ipv6, with_ipv6;
    /// TCP.
    23:23 tcp, with_tcp;
    /// UDP.
    24:24 udp, with_udp;
    /// The hash covers ports.
    25:25 hash_l4, with_hash_l4;
    /// The hash is valid.
    26:26 hash, with_hash;
    /// IPv4 ids of the innermost parsed header are constant in this aggregate; else they count up.
    27:27 fixed_id, with_fixed_id;
    /// The packet was parsed through a tunnel.
    28:28 tunnel, with_tunnel;
    /// The flow's entry ends with this completion.
    29:29 rel_flow, with_rel_flow;
    /// Summary of the host control block: 0 none, 1 applied, 2 did not apply.
    31:30 summary, with_summary;
    /// Flow number, FLOW_NONE for none.
    47:32 flow, with_flow;
    /// TCP flags of this packet (byte 13 of the TCP header).
    55:48 tcp_flags, with_tcp_flags;
    /// Wire packets that this completion stands for.
    62:56 segs, with_segs;
    /// Generation: changes with each round of the ring.
    63:63 generation, with_generation;
}

bitfields! {
    /// Word 1 of a completion: the packet.
    pub struct C1(u64);
    /// Hash of the flow key.
    31:0 hash, with_hash;
    /// Length of the frame on the wire without FCS; a VLAN tag counts only if it was not removed.
    /// For several packets, the length of the first. Each of them has a header of `hdr_len` bytes,
    /// and its data.
    47:32 pkt_len, with_pkt_len;
    /// VLAN tag control information that was removed.
    63:48 vlan_tci, with_vlan_tci;
}

bitfields! {
    /// Word 2 of a completion: the header, and packet buffers.
    pub struct C2(u64);
    /// Id of the header buffer.
    15:0 hb_id, with_hb_id;
    /// Offset of the cell in the header buffer, in bytes.
    31:16 hb_off, with_hb_off;
    /// Length of the header in the cell or, without a cell, of the suppressed header. The headers
    /// of PDUs of a placed packet follow it.
    47:32 hdr_len, with_hdr_len;
    /// Id of the packet buffer, small or full size.
    63:48 nb_id, with_nb_id;
}

bitfields! {
    /// Word 3 of a completion: the data. Operation code "placed": ids are not those of buffers but
    /// indices in the page list of the flow's control block, and nothing is released.
    pub struct C3(u64);
    /// Id of the re-assembly buffer.
    15:0 rb_id, with_rb_id;
    /// Offset of the data in the re-assembly buffer, in bytes.
    31:16 rb_off, with_rb_off;
    /// Bytes of data in the re-assembly buffer.
    47:32 rb_len, with_rb_len;
    /// Id of the second re-assembly buffer.
    63:48 rb2_id, with_rb2_id;
}

bitfields! {
    /// Word 4 of a completion: lengths and offsets.
    pub struct C4(u64);
    /// Bytes of data in the second re-assembly buffer.
    15:0 rb2_len, with_rb2_len;
    /// Offset of the bytes in the packet buffer.
    31:16 nb_off, with_nb_off;
    /// Bytes in the packet buffer.
    47:32 nb_len, with_nb_len;
    /// Offset of the (innermost parsed) IP header in the frame as delivered.
    55:48 l3_off, with_l3_off;
    /// Offset of the TCP or UDP header in the frame as delivered.
    63:56 l4_off, with_l4_off;
}

bitfields! {
    /// Word 5 of a completion: the TCP payload of this packet, and the tunnel it came through.
    pub struct C5(u64);
    /// TCP payload bytes of the packet or packets, over all completions of a packet.
    15:0 data_len, with_data_len;
    /// Payload bytes of each packet of this aggregate but the last.
    31:16 seg_size, with_seg_size;
    /// Offset of the outer IP header of a tunnel in the frame as delivered, 0 without a tunnel.
    39:32 outer_off, with_outer_off;
    /// IPv4 ids of the outer header are constant in this aggregate; else they count up.
    40:40 outer_fixed_id, with_outer_fixed_id;
    /// Of a start: headers of the packets appended to it will be delivered, too.
    41:41 headers, with_headers;
    /// Whole re-assembly buffers with data between `rb_id` and `rb2_id`. They are as large as
    /// `rb_id`, and the device is done with them. The ids of the first four are in word 7, the
    /// others in completions of kind Pages that follow this one.
    47:42 pages, with_pages;
}

bitfields! {
    /// Word 7 of a completion: buffers that are full of data, in order; see `pages` in word 5.
    pub struct C7(u64);
    /// Id of the first.
    15:0 page0, with_page0;
    /// Id of the second.
    31:16 page1, with_page1;
    /// Id of the third.
    47:32 page2, with_page2;
    /// Id of the fourth.
    63:48 page3, with_page3;
}

// Word 6 is the receive time in nanoseconds of the device's clock, 0 where it has none.
// Of several packets it is that of the last.

bitfields! {
    /// Word 1 of a transmit descriptor. Word 0 is the bus address of the bytes.
    pub struct T1(u64);
    /// Bytes at the address; at least one.
    15:0 len, with_len;
    /// First descriptor of a packet; words 1 and 2 of this one describe the packet.
    16:16 sop, with_sop;
    /// Last descriptor of a packet.
    17:17 eop, with_eop;
    /// Fill in the checksum at csum_off, summed from csum_start to the end.
    18:18 csum, with_csum;
    /// Segment TCP. Each segment gets its own sequence number, lengths, IPv4 id and checksums,
    /// regardless of csum; FIN and PSH are on the last only, CWR on the first.
    19:19 tso, with_tso;
    /// Segment UDP. Not together with tso.
    20:20 uso, with_uso;
    /// Insert the VLAN tag.
    21:21 vlan, with_vlan;
    /// Segments keep the IPv4 id of the packet; else it counts up from that.
    22:22 fixed_id, with_fixed_id;
    /// Write the time at which the packet left, or its last segment, to word 3 of its last
    /// descriptor, before the write-back word passes it. A packet that is not sent has no time.
    23:23 stamp, with_stamp;
    /// Payload bytes of a segment, at least one; the last has the rest.
    47:32 mss, with_mss;
    /// VLAN tag control information to insert.
    63:48 vlan_tci, with_vlan_tci;
}

bitfields! {
    /// Word 2 of a packet's first transmit descriptor. Word 3 is zero; `stamp` in word 1 has the
    /// device write it.
    ///
    /// For segmentation, `l3_off` is at least 14 and `l4_off` 20 more; `hdr_len` ends the TCP
    /// header, so it is at least 20 more again, or the UDP header, exactly 8 more; at most
    /// [`TX_MAX_PAYLOAD`] bytes follow. Other offsets stop the queue. If there are no such headers
    /// at these offsets (IPv4 with or without options, IPv6 with or without hop-by-hop and
    /// destination options, then TCP or UDP), the packet is dropped and counted as an error.
    pub struct T2(u64);
    /// Where the checksum starts, from the start of the packet.
    15:0 csum_start, with_csum_start;
    /// Where the checksum is put, from the start of the packet.
    31:16 csum_off, with_csum_off;
    /// Headers that each segment repeats, in bytes.
    39:32 hdr_len, with_hdr_len;
    /// Offset of the IP header that segmentation edits.
    47:40 l3_off, with_l3_off;
    /// Offset of the TCP or UDP header that segmentation edits.
    55:48 l4_off, with_l4_off;
}

bitfields! {
    /// Word 1 of a buffer descriptor. Word 0 is the bus address of the buffer.
    pub struct B1(u64);
    /// Id that completions name this buffer by.
    15:0 id, with_id;
    /// Bytes of this buffer, as a power of two, if it is smaller than the others of its ring: from
    /// LOG2_BUF_SMALL (12) to the ring's log2_size. Any other value stands for the ring's. Read for
    /// re-assembly buffers only.
    20:16 log2_size, with_log2_size;
}

/// A completion as it lies in memory, words already in host byte order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Completion {
    /// Word 0.
    pub c0: C0,
    /// Word 1.
    pub c1: C1,
    /// Word 2.
    pub c2: C2,
    /// Word 3.
    pub c3: C3,
    /// Word 4.
    pub c4: C4,
    /// Word 5.
    pub c5: C5,
    /// Word 6: receive time.
    pub time: u64,
    /// Word 7.
    pub c7: C7,
}

/// The four ids in a word of ids.
pub const fn page_ids(word: u64) -> [u16; 4] {
    [
        word as u16,
        (word >> 16) as u16,
        (word >> 32) as u16,
        (word >> 48) as u16,
    ]
}

/// The word of up to four ids.
pub const fn page_word(ids: &[u16]) -> u64 {
    let (mut word, mut rest, mut shift) = (0, ids, 0);
    while let [id, others @ ..] = rest {
        if shift < 64 {
            word |= (*id as u64) << shift;
        }
        (rest, shift) = (others, shift + 16);
    }
    word
}

/// Number of completions of kind [`CompletionKind::Pages`] that follow one with so many whole
/// pages.
pub const fn pages_behind(pages: usize) -> usize {
    pages.saturating_sub(PAGES_INLINE).div_ceil(PAGES_EACH)
}

impl Completion {
    /// The words in order.
    pub const fn to_words(self) -> [u64; COMPLETION_WORDS] {
        [
            self.c0.0, self.c1.0, self.c2.0, self.c3.0, self.c4.0, self.c5.0, self.time, self.c7.0,
        ]
    }

    /// The completion that these words are.
    pub const fn from_words(w: [u64; COMPLETION_WORDS]) -> Self {
        Self {
            c0: C0(w[0]),
            c1: C1(w[1]),
            c2: C2(w[2]),
            c3: C3(w[3]),
            c4: C4(w[4]),
            c5: C5(w[5]),
            time: w[6],
            c7: C7(w[7]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_word_do_not_overlap() {
        for fields in [
            C0::FIELDS,
            C1::FIELDS,
            C2::FIELDS,
            C3::FIELDS,
            C4::FIELDS,
            C5::FIELDS,
            C7::FIELDS,
            T1::FIELDS,
            T2::FIELDS,
            B1::FIELDS,
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
    fn setters_touch_their_field_only() {
        let c = C0(u64::MAX).with_flow(0);
        assert_eq!(c.flow(), 0);
        assert_eq!(c.0, !(0xffff << 32));
        assert_eq!(C0(0).with_opcode(0x1f).0, 0xf);
    }

    #[test]
    fn words_round_trip() {
        let w = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Completion::from_words(w).to_words(), w);
    }

    #[test]
    fn ids_of_pages_round_trip() {
        assert_eq!(page_ids(page_word(&[1, 2, 3, 0xffff])), [1, 2, 3, 0xffff]);
        assert_eq!(page_ids(page_word(&[7])), [7, 0, 0, 0]);
        assert_eq!(page_word(&[1, 2, 3, 4, 5]), page_word(&[1, 2, 3, 4]));
        assert_eq!(page_word(&[9]), C7(0).with_page0(9).0);
    }

    #[test]
    fn whole_pages_take_further_completions() {
        assert_eq!(pages_behind(0), 0);
        assert_eq!(pages_behind(PAGES_INLINE), 0);
        assert_eq!(pages_behind(PAGES_INLINE + 1), 1);
        assert_eq!(pages_behind(PAGES_INLINE + PAGES_EACH), 1);
        assert_eq!(pages_behind(PAGES_MAX), 3);
    }
}
