// SPDX-License-Identifier: GPL-2.0

//! The header of an aggregate must be reversible: segmented again as the stack would, it
//! has to give the frames that were merged, byte for byte.

use crate::headers::{self, Before, FixedIds, Layout, Tunnel};
use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader,
};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
/// Destination options: TCP follows, 8 bytes, padding.
const DSTOPTS: [u8; 8] = [6, 0, 1, 4, 0, 0, 0, 0];

/// One IP header: its version, and how its ids go on if that is 4.
#[derive(Debug, Clone, Copy)]
struct Level {
    v6: bool,
    fixed: bool,
    id: u16,
}

impl Level {
    fn len(self) -> usize {
        if self.v6 {
            40
        } else {
            20
        }
    }

    fn id(self, i: usize) -> u16 {
        self.id.wrapping_add(if self.fixed { 0 } else { i as u16 })
    }
}

#[derive(Debug, Clone)]
struct Flow {
    outer: Option<Level>,
    inner: Level,
    /// With a tag in the frame, or destination options behind an inner IPv6 header.
    tag: bool,
    options: bool,
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
        let first = if self.tag { 18 } else { 14 };
        let l3 = first + self.outer.map_or(0, Level::len);
        let options = if self.has_options() { 8 } else { 0 };
        Layout {
            outer: if self.outer.is_some() { first as u8 } else { 0 },
            l3: l3 as u8,
            l4: (l3 + self.inner.len() + options) as u8,
            v6: self.inner.v6,
        }
    }

    fn has_options(&self) -> bool {
        self.options && self.inner.v6
    }

    fn fixed(&self) -> FixedIds {
        FixedIds {
            inner: self.inner.fixed,
            outer: self.outer.is_some_and(|outer| outer.fixed),
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
                let flags = if i == last { self.last_flags } else { 0 };
                let frame = self.frame(i, seq, flags, &payload(seq, size));
                seq = seq.wrapping_add(size as u32);
                frame
            })
            .collect()
    }

    /// Packet `i`, made from the inside out.
    fn frame(&self, i: usize, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut tcp = TcpHeader::new(5001, 443, seq, self.window);
        tcp.acknowledgment_number = self.ack;
        tcp.ack = true;
        tcp.psh = flags & PSH != 0;
        tcp.fin = flags & FIN != 0;
        if self.timestamps {
            tcp.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7])
                .unwrap();
        }
        let segment = tcp.header_len() + payload.len();
        let mut packet = Vec::new();
        if self.inner.v6 {
            let mut ip = self.ipv6(IpNumber::TCP, segment);
            tcp.checksum = tcp.calc_checksum_ipv6(&ip, payload).unwrap();
            if self.has_options() {
                ip.next_header = IpNumber::IPV6_DESTINATION_OPTIONS;
                ip.payload_length += DSTOPTS.len() as u16;
            }
            ip.write(&mut packet).unwrap();
            if self.has_options() {
                packet.extend_from_slice(&DSTOPTS);
            }
        } else {
            let ip = self.ipv4(self.inner.id(i), IpNumber::TCP, segment);
            tcp.checksum = tcp.calc_checksum_ipv4(&ip, payload).unwrap();
            ip.write(&mut packet).unwrap();
        }
        tcp.write(&mut packet).unwrap();
        packet.extend_from_slice(payload);
        self.carried(i, packet)
    }

    /// The frame around a packet, with the tunnel's header if there is one.
    fn carried(&self, i: usize, packet: Vec<u8>) -> Vec<u8> {
        let proto = if self.inner.v6 {
            IpNumber::IPV6
        } else {
            IpNumber::IPV4
        };
        let mut out = Vec::new();
        let kind = if self.outer.unwrap_or(self.inner).v6 {
            EtherType::IPV6
        } else {
            EtherType::IPV4
        };
        let eth = Ethernet2Header {
            source: [2; 6],
            destination: [4; 6],
            ether_type: kind,
        };
        eth.write(&mut out).unwrap();
        if self.tag {
            out.splice(12..12, [0x81, 0, 0x20, 5]);
        }
        match self.outer {
            Some(outer) if outer.v6 => {
                self.ipv6(proto, packet.len()).write(&mut out).unwrap();
            }
            Some(outer) => {
                let ip = self.ipv4(outer.id(i), proto, packet.len());
                ip.write(&mut out).unwrap();
            }
            None => {}
        }
        out.extend_from_slice(&packet);
        out
    }

    fn ipv4(&self, id: u16, proto: IpNumber, len: usize) -> Ipv4Header {
        let addrs = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let mut ip = Ipv4Header::new(len as u16, self.ttl, proto, addrs.0, addrs.1).unwrap();
        ip.identification = id;
        ip.header_checksum = ip.calc_header_checksum();
        ip
    }

    fn ipv6(&self, next_header: IpNumber, len: usize) -> Ipv6Header {
        Ipv6Header {
            traffic_class: 1,
            flow_label: Ipv6FlowLabel::try_new(0x12345).unwrap(),
            payload_length: len as u16,
            next_header,
            hop_limit: self.ttl,
            source: [5; 16],
            destination: [6; 16],
        }
    }

    /// The state before packet `cut`, with the bytes of data before it.
    fn before(&self, cut: usize) -> Before {
        Before {
            at: self.layout(),
            bytes: self.sizes[..cut].iter().sum::<usize>() as u32,
            segs: cut as u16,
            fixed: self.fixed(),
        }
    }

    /// Segments a packet as the stack does: flags of the end only on the last segment, ids counting
    /// up or fixed, all lengths and checksums anew.
    fn segment(&self, header: &[u8], data: &[u8]) -> Vec<Vec<u8>> {
        let at = self.layout();
        let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
        let be16 = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let seq = u32::from_be_bytes(header[l4 + 4..l4 + 8].try_into().unwrap());
        let cut = Flow {
            inner: Level {
                id: be16(l3 + 4),
                ..self.inner
            },
            outer: self.outer.map(|outer| Level {
                id: be16(usize::from(at.outer) + 4),
                ..outer
            }),
            ..self.clone()
        };
        let mss = self.sizes[0];
        let chunks: Vec<&[u8]> = data.chunks(mss).collect();
        let end = header[l4 + 13] & (FIN | PSH);
        chunks
            .iter()
            .enumerate()
            .map(|(i, chunk)| {
                let flags = if i + 1 == chunks.len() { end } else { 0 };
                cut.frame(i, seq.wrapping_add((i * mss) as u32), flags, chunk)
            })
            .collect()
    }
}

/// Bytes that depend on their place in the stream.
fn payload(seq: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (seq.wrapping_add(i) % 251) as u8)
        .collect()
}

prop_compose! {
    fn levels()(v6 in any::<bool>(), fixed in any::<bool>(), id in any::<u16>()) -> Level {
        Level { v6, fixed, id }
    }
}

prop_compose! {
    fn flows()(
        outer in prop::option::of(levels()), inner in levels(), tag in any::<bool>(),
        options in any::<bool>(), seq in any::<u32>(), ack in any::<u32>(), window in any::<u16>(),
        ttl in 1_u8..,
        last_flags in prop_oneof![Just(0_u8), Just(PSH), Just(PSH | FIN)],
        timestamps in any::<bool>(), size in 1_usize..1449, n in 2_usize..44, short in 1_usize..1449,
    ) -> Flow {
        let mut sizes = vec![size; n];
        sizes[n - 1] = short.min(size);
        Flow { outer, inner, tag, options, seq, ack, window, ttl, last_flags, timestamps, sizes }
    }
}

/// The data of some frames, one behind the other.
fn data_of(flow: &Flow, frames: &[Vec<u8>]) -> Vec<u8> {
    let data = frames.iter().flat_map(|f| f[flow.header_len()..].to_vec());
    data.collect()
}

proptest! {
    /// Claims: 57, 59.
    #[test]
    fn a_merged_packet_segments_into_the_frames_it_was_made_of(flow in flows()) {
        let frames = flow.frames();
        let mut header = frames[0][..flow.header_len()].to_vec();
        let data = data_of(&flow, &frames);
        let tunnel =
            headers::finish(&mut header, flow.layout(), data.len() as u32, flow.last_flags);
        prop_assert_eq!(tunnel, Ok(match flow.outer {
            None => Tunnel::None,
            Some(Level { v6: false, .. }) => Tunnel::Ip4,
            Some(Level { v6: true, .. }) => Tunnel::Ip6,
        }));
        // The stack's checks of an IPv4 header, and the lengths.
        for (level, off) in flow.outer.iter().zip([flow.layout().outer])
            .chain([(&flow.inner, flow.layout().l3)])
        {
            let ip = &header[usize::from(off)..];
            let len = header.len() + data.len() - usize::from(off);
            if level.v6 {
                prop_assert_eq!(usize::from(u16::from_be_bytes([ip[4], ip[5]])) + 40, len);
            } else {
                let (ip, _) = Ipv4Header::from_slice(ip).unwrap();
                prop_assert_eq!(usize::from(ip.total_len), len);
                prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            }
        }
        prop_assert_eq!(flow.segment(&header, &data), frames);
    }

    /// The same when the aggregate goes up in two parts, the second with the advanced header.
    #[test]
    fn a_parked_header_goes_on_where_the_first_part_ended(flow in flows(), cut in 1_usize..43) {
        let cut = cut.min(flow.sizes.len() - 1);
        let frames = flow.frames();
        let before = flow.before(cut);
        let mut header = frames[0][..flow.header_len()].to_vec();
        headers::advance(&mut header, before.at, before.bytes, before.segs, before.fixed).unwrap();
        let data = data_of(&flow, &frames[cut..]);
        headers::finish(&mut header, flow.layout(), data.len() as u32, flow.last_flags).unwrap();
        prop_assert_eq!(flow.segment(&header, &data), &frames[cut..]);
    }

    /// A delivered header is taken as that of the next packet if it is that, byte by byte.
    #[test]
    fn followers_are_those_that_segmentation_makes(
        flow in flows(), cut in 1_usize..43, at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let cut = cut.min(flow.sizes.len() - 1);
        let frames = flow.frames();
        let first = &frames[0][..flow.header_len()];
        let mut next = frames[cut][..flow.header_len()].to_vec();
        let (before, len) = (flow.before(cut), flow.sizes[cut] as u32);
        prop_assert!(headers::follows(first, &next, &before, len));
        prop_assert!(!headers::follows(first, &next, &before, len + 1));
        prop_assert!(!headers::follows(first, &next[1..], &before, len));
        let at = at.index(next.len());
        next[at] ^= 1 << bit;
        let (l3, l4) = (usize::from(before.at.l3), usize::from(before.at.l4));
        let mut free: Vec<_> = (l4 + 16..l4 + 18).collect();
        for (level, off) in flow.outer.iter().zip([usize::from(before.at.outer)])
            .chain([(&flow.inner, l3)])
        {
            if !level.v6 {
                free.extend(off + 10..off + 12);
            }
        }
        let of_the_last = at == l4 + 13 && (1 << bit) & (PSH | FIN) != 0;
        prop_assert_eq!(
            headers::follows(first, &next, &before, len), free.contains(&at) || of_the_last
        );
    }

    /// Whatever header and offsets the device delivers, nothing panics.
    #[test]
    fn hostile_headers_are_refused_or_edited_in_place(
        mut head in proptest::collection::vec(any::<u8>(), 0..257),
        next in proptest::collection::vec(any::<u8>(), 0..257),
        outer in any::<u8>(), l3 in any::<u8>(), l4 in any::<u8>(), v6 in any::<bool>(),
        payload in prop_oneof![0_u32..200_000, any::<u32>()],
        flags in any::<u8>(), segs in any::<u16>(), fixed in any::<(bool, bool)>(),
        honest in any::<bool>(),
    ) {
        if honest {
            for (off, v6) in [(outer, !v6), (l3, v6)] {
                if let Some(byte) = head.get_mut(usize::from(off)) {
                    *byte = if v6 { 0x60 } else { 0x45 };
                }
            }
        }
        let len = head.len();
        let at = Layout { outer, l3, l4, v6 };
        let fixed = FixedIds { inner: fixed.0, outer: fixed.1 };
        let _ = headers::follows(&head, &next, &Before { at, bytes: payload, segs, fixed }, payload);
        let _ = headers::advance(&mut head, at, payload, segs, fixed);
        let _ = headers::finish(&mut head, at, payload, flags);
        prop_assert_eq!(head.len(), len);
    }
}
