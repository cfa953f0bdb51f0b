// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The expected result of the default program, from an independent parser.

use etherparse::{
    ip_number, IpNumber, Ipv6ExtensionSlice, LinkExtSlice, LinkSlice, NetSlice, SlicedPacket,
    TcpSlice, TransportSlice,
};
use reflow_device::parser::Parsed;
use reflow_hwdef::isa::{Kind, HEADER_MEMORY};

/// The expected result.
#[derive(Debug)]
pub(crate) enum Expected {
    /// The other parser found a mistake in the packet, or the headers reach beyond the header
    /// memory: the packet must be refused, and that is all.
    Refused,
    /// All this.
    Found(Found),
}

#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: u32,
    pub(crate) l3_off: Option<u16>,
    pub(crate) l4_off: Option<u16>,
    pub(crate) pkt_end: Option<u16>,
    pub(crate) hdr_end: Option<u16>,
    pub(crate) seq: u32,
    pub(crate) tcp_flags: u8,
    pub(crate) vlan: Option<(u16, u16)>,
    pub(crate) conforms: bool,
}

impl From<&Parsed> for Found {
    fn from(p: &Parsed) -> Self {
        Self {
            key: p.key().to_vec(),
            kind: p.kind.0,
            l3_off: p.l3_off,
            l4_off: p.l4_off,
            pkt_end: p.pkt_end,
            hdr_end: p.hdr_end,
            seq: p.seq,
            tcp_flags: p.tcp_flags,
            vlan: p.vlan,
            conforms: !p.refused,
        }
    }
}

/// Where `part`, a slice of the frame, begins.
fn offset(frame: &[u8], part: &[u8]) -> u16 {
    (part.as_ptr() as usize - frame.as_ptr() as usize) as u16
}

pub(crate) fn expected(frame: &[u8]) -> Expected {
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else {
        return Expected::Refused;
    };
    let mut found = Found::default();
    let Some(LinkSlice::Ethernet2(link)) = &sliced.link else {
        return Expected::Refused;
    };
    if let Some(LinkExtSlice::Vlan(tag)) = sliced.link_exts.first() {
        if link.ether_type().0 == 0x8100 {
            let (priority, dei) = (tag.priority_code_point(), tag.drop_eligible_indicator());
            let tci = (u16::from(priority.value()) << 13)
                | (u16::from(dei) << 12)
                | tag.vlan_identifier().value();
            found.vlan = Some((12, tci));
        }
    }
    if sliced.link_exts.len() != usize::from(found.vlan.is_some()) {
        return Expected::Found(found);
    }
    let (l4, protocol) = match network(frame, sliced.net.as_ref(), &mut found) {
        Network::Refused => return Expected::Refused,
        Network::Ends => return Expected::Found(found),
        Network::Carries(l4, protocol) => (l4, protocol),
    };
    let header_len = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) if protocol == ip_number::TCP => {
            transport_tcp(tcp, &mut found);
            tcp.header_slice().len()
        }
        Some(TransportSlice::Udp(udp)) if protocol == ip_number::UDP => {
            found.kind |= Kind(0).with_udp(1).0;
            found.key.extend(udp.source_port().to_be_bytes());
            found.key.extend(udp.destination_port().to_be_bytes());
            8
        }
        _ => return Expected::Found(found),
    };
    let hdr_end = usize::from(l4) + header_len;
    if hdr_end > HEADER_MEMORY {
        return Expected::Refused;
    }
    found.l4_off = Some(l4);
    found.hdr_end = Some(hdr_end as u16);
    Expected::Found(found)
}

/// The layer behind IP.
enum Network {
    Refused,
    Ends,
    Carries(u16, IpNumber),
}

fn network(frame: &[u8], net: Option<&NetSlice<'_>>, found: &mut Found) -> Network {
    match net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let l3 = offset(frame, header.slice());
            found.l3_off = Some(l3);
            found.pkt_end = Some(l3 + header.total_len());
            found.kind = Kind(0).with_ipv4(1).0;
            found.key.extend(header.source());
            found.key.extend(header.destination());
            if header.is_fragmenting_payload() {
                found.kind |= Kind(0).with_fragment(1).0;
                return Network::Ends;
            }
            if !header.options().is_empty() {
                return Network::Ends;
            }
            let payload = ip.payload();
            let l4 = offset(frame, payload.payload);
            Network::Carries(l4, header.protocol())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let l3 = offset(frame, header.slice());
            // A jumbogram, which the other parser takes to fill the frame.
            if header.payload_length() == 0 {
                return Network::Refused;
            }
            found.l3_off = Some(l3);
            found.pkt_end = Some(l3 + 40 + header.payload_length());
            found.kind = Kind(0).with_ipv6(1).0;
            found.key.extend(header.source());
            found.key.extend(header.destination());
            for extension in ip.extensions().clone() {
                use Ipv6ExtensionSlice as E;
                let walked = match extension {
                    E::HopByHop(e) | E::DestinationOptions(e) => e,
                    E::Fragment(_) => {
                        found.kind |= Kind(0).with_fragment(1).0;
                        return Network::Ends;
                    }
                    E::Routing(_) | E::Authentication(_) => return Network::Ends,
                };
                if usize::from(offset(frame, walked.slice())) + 2 > HEADER_MEMORY {
                    return Network::Refused;
                }
            }
            let payload = ip.payload();
            Network::Carries(offset(frame, payload.payload), payload.ip_number)
        }
        _ => Network::Ends,
    }
}

fn transport_tcp(tcp: &TcpSlice<'_>, found: &mut Found) {
    found.kind |= Kind(0).with_tcp(1).0;
    found.key.extend(tcp.source_port().to_be_bytes());
    found.key.extend(tcp.destination_port().to_be_bytes());
    found.seq = tcp.sequence_number();
    let flags = [
        tcp.fin(),
        tcp.syn(),
        tcp.rst(),
        tcp.psh(),
        tcp.ack(),
        tcp.urg(),
        tcp.ece(),
        tcp.cwr(),
    ];
    for (bit, set) in flags.into_iter().enumerate() {
        found.tcp_flags |= u8::from(set) << bit;
    }
    found.conforms = true;
}
