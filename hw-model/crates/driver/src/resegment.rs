// SPDX-License-Identifier: GPL-2.0

//! What an aggregate's header becomes must be reversible: segmented again as the stack would, it
//! has to give the frames that were merged, byte for byte.

use crate::headers::{self, Layout};
use etherparse::PacketBuilder;
use proptest::prelude::*;
use std::{vec, vec::Vec};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;

#[derive(Debug, Clone)]
struct Flow {
    v6: bool,
    fixed_id: bool,
    id: u16,
    seq: u32,
    ack: u32,
    window: u16,
    ttl: u8,
    last_flags: u8,
    timestamps: bool,
    sizes: Vec<usize>,
}

impl Flow {
    fn layout(&self) -> Layout {
        Layout {
            l3: 14,
            l4: if self.v6 { 54 } else { 34 },
            v6: self.v6,
        }
    }

    fn header_len(&self) -> usize {
        usize::from(self.layout().l4) + 20 + if self.timestamps { 12 } else { 0 }
    }

    /// The frames as a sender would put them on the wire.
    fn frames(&self) -> Vec<Vec<u8>> {
        let mut seq = self.seq;
        let last = self.sizes.len() - 1;
        self.sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| {
                let id = if self.fixed_id {
                    self.id
                } else {
                    self.id.wrapping_add(i as u16)
                };
                let flags = if i == last { self.last_flags } else { 0 };
                let frame = self.frame(id, seq, flags, &payload(seq, size));
                seq = seq.wrapping_add(size as u32);
                frame
            })
            .collect()
    }

    fn frame(&self, id: u16, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let eth = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = if self.v6 {
            eth.ipv6([5; 16], [6; 16], self.ttl)
        } else {
            let mut ip = etherparse::Ipv4Header::new(
                0,
                self.ttl,
                etherparse::ip_number::TCP,
                [192, 0, 2, 1],
                [192, 0, 2, 2],
            )
            .unwrap();
            ip.identification = id;
            eth.ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
        };
        let mut tcp = ip.tcp(5001, 443, seq, self.window).ack(self.ack);
        if flags & PSH != 0 {
            tcp = tcp.psh();
        }
        if flags & FIN != 0 {
            tcp = tcp.fin();
        }
        if self.timestamps {
            tcp = tcp
                .options_raw(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7])
                .unwrap();
        }
        let mut out = Vec::new();
        tcp.write(&mut out, payload).unwrap();
        out
    }
}

/// Bytes that depend on their place in the stream.
fn payload(seq: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (seq.wrapping_add(i) % 251) as u8)
        .collect()
}

/// Segments a packet as the stack does: flags of the end only on the last segment, ids counting
/// up or fixed, all lengths and checksums anew.
fn segment(flow: &Flow, header: &[u8], data: &[u8], mss: usize) -> Vec<Vec<u8>> {
    let (ip, tcp) = (14, usize::from(flow.layout().l4));
    let be16 = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let seq = u32::from_be_bytes(header[tcp + 4..tcp + 8].try_into().unwrap());
    let chunks: Vec<&[u8]> = data.chunks(mss).collect();
    let n = chunks.len();
    let end = header[tcp + 13] & (FIN | PSH);
    chunks
        .iter()
        .enumerate()
        .map(|(i, chunk)| {
            let id = if flow.v6 {
                0
            } else if flow.fixed_id {
                be16(ip + 4)
            } else {
                be16(ip + 4).wrapping_add(i as u16)
            };
            let flags = if i + 1 == n { end } else { 0 };
            flow.frame(id, seq.wrapping_add((i * mss) as u32), flags, chunk)
        })
        .collect()
}

prop_compose! {
    fn flows()(
        v6 in any::<bool>(), fixed_id in any::<bool>(), id in any::<u16>(), seq in any::<u32>(),
        ack in any::<u32>(), window in any::<u16>(), ttl in 1_u8..,
        last_flags in prop_oneof![Just(0_u8), Just(PSH), Just(PSH | FIN)],
        timestamps in any::<bool>(), size in 1_usize..1449, n in 2_usize..44, short in 1_usize..1449,
    ) -> Flow {
        let mut sizes = vec![size; n];
        sizes[n - 1] = short.min(size);
        Flow { v6, fixed_id, id, seq, ack, window, ttl, last_flags, timestamps, sizes }
    }
}

proptest! {
    /// Claims: 57, 59.
    #[test]
    fn a_merged_packet_segments_into_the_frames_it_was_made_of(flow in flows()) {
        let frames = flow.frames();
        let mut header = frames[0][..flow.header_len()].to_vec();
        let data: Vec<u8> = frames.iter().flat_map(|f| f[flow.header_len()..].to_vec()).collect();
        headers::finish(&mut header, flow.layout(), data.len() as u32, flow.last_flags).unwrap();
        prop_assert_eq!(segment(&flow, &header, &data, flow.sizes[0]), frames);
    }

    /// The same when the aggregate goes up in two parts, the second with the advanced header.
    #[test]
    fn a_parked_header_goes_on_where_the_first_part_ended(flow in flows(), cut in 1_usize..43) {
        let cut = cut.min(flow.sizes.len() - 1);
        let frames = flow.frames();
        let first = frames[0][..flow.header_len()].to_vec();
        let bytes: usize = flow.sizes[..cut].iter().sum();
        let mut header = first;
        headers::advance(&mut header, flow.layout(), bytes as u32, cut as u16, flow.fixed_id)
            .unwrap();
        let data: Vec<u8> =
            frames[cut..].iter().flat_map(|f| f[flow.header_len()..].to_vec()).collect();
        headers::finish(&mut header, flow.layout(), data.len() as u32, flow.last_flags).unwrap();
        prop_assert_eq!(segment(&flow, &header, &data, flow.sizes[0]), &frames[cut..]);
    }

    /// Whatever header and offsets the device delivers, nothing panics.
    #[test]
    fn hostile_headers_are_refused_or_edited_in_place(
        mut head in proptest::collection::vec(any::<u8>(), 0..257),
        l3 in any::<u8>(), l4 in any::<u8>(), v6 in any::<bool>(), payload in 0_u32..200_000,
        flags in any::<u8>(), segs in any::<u16>(), fixed in any::<bool>(),
    ) {
        let len = head.len();
        let at = Layout { l3, l4, v6 };
        let _ = headers::advance(&mut head, at, payload, segs, fixed);
        let _ = headers::finish(&mut head, at, payload, flags);
        prop_assert_eq!(head.len(), len);
    }
}
