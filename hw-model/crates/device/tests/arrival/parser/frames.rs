// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames at random, from well-formed to broken.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// An IP header, with what stands between it and the transport header.
#[derive(Clone, Debug)]
pub(crate) enum Ip {
    V4 {
        addresses: [u8; 8],
        options: u8,
        fragment: u16,
    },
    V6 {
        addresses: [[u8; 16]; 2],
        /// Numbers of extension headers, and their lengths beyond 8 bytes in units of 8.
        extensions: Vec<(u8, u8)>,
    },
}

/// The payload of an IP packet.
#[derive(Clone, Debug)]
pub(crate) enum Carried {
    Tcp {
        fixed: [u8; 20],
        options: u8,
        data: u8,
    },
    Udp {
        ports: [u8; 4],
        data: u8,
    },
    Other {
        protocol: u8,
        data: Vec<u8>,
    },
}

/// How a frame is spoilt after it was built.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    None,
    /// Cut off at this fraction of its length.
    Cut(u8),
    /// Bytes at these places (modulo the length) replaced.
    Bytes(Vec<(u16, u8)>),
}

pub(crate) fn carried() -> impl Strategy<Value = Carried> {
    let tcp = (any::<[u8; 20]>(), 0..=10_u8, any::<u8>());
    let tcp = tcp.prop_map(|(fixed, options, data)| Carried::Tcp {
        fixed,
        options,
        data,
    });
    let udp = (any::<[u8; 4]>(), any::<u8>());
    let udp = udp.prop_map(|(ports, data)| Carried::Udp { ports, data });
    let protocols = select(vec![1_u8, 2, 4, 6, 17, 41, 43, 47, 50, 51, 58, 59, 132]);
    let other = (protocols, vec(any::<u8>(), 0..60));
    let other = other.prop_map(|(protocol, data)| Carried::Other { protocol, data });
    prop_oneof![5 => tcp, 2 => udp, 1 => other]
}

pub(crate) fn ip(extensions: usize) -> impl Strategy<Value = Ip> {
    let fragment = prop_oneof![
        6 => Just(0x4000_u16),
        2 => Just(0),
        1 => any::<u16>(),
    ];
    let v4 = (
        any::<[u8; 8]>(),
        prop_oneof![4 => Just(0_u8), 1 => 1..=10_u8],
        fragment,
    );
    let v4 = v4.prop_map(|(addresses, options, fragment)| Ip::V4 {
        addresses,
        options,
        fragment,
    });
    let number = prop_oneof![6 => Just(60_u8), 1 => select(vec![0_u8, 43, 44, 51])];
    let length = prop_oneof![6 => 0..=2_u8, 1 => 0..=30_u8];
    let rest = vec((number, length), 0..=extensions);
    let v6 = (any::<[[u8; 16]; 2]>(), any::<bool>(), 0..=2_u8, rest);
    let v6 = v6.prop_map(move |(addresses, hop_by_hop, length, mut extensions)| {
        if hop_by_hop && !extensions.is_empty() {
            extensions[0] = (0, length);
        }
        Ip::V6 {
            addresses,
            extensions,
        }
    });
    prop_oneof![v4, v6]
}

/// Only extension headers and fragment fields that the programs walk past.
pub(crate) fn passable(ip: Ip) -> Ip {
    match ip {
        Ip::V4 { addresses, .. } => Ip::V4 {
            addresses,
            options: 0,
            fragment: 0x4000,
        },
        Ip::V6 {
            addresses,
            extensions,
        } => {
            let walked = |n, number| number == 60 || number == 0 && n == 0;
            let extensions = extensions.into_iter().enumerate();
            let extensions = extensions.filter(|(n, (number, _))| walked(*n, *number));
            Ip::V6 {
                addresses,
                extensions: extensions
                    .map(|(_, (n, length))| (n, length.min(1)))
                    .collect(),
            }
        }
    }
}

/// Extension headers of which three fit into the header memory, with a tunnel around them.
pub(crate) fn short(mut ip: Ip) -> Ip {
    if let Ip::V6 { extensions, .. } = &mut ip {
        for (_, length) in extensions {
            *length = 0;
        }
    }
    ip
}

impl Carried {
    fn bytes(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Tcp {
                fixed,
                options,
                data,
            } => {
                let mut out = fixed.to_vec();
                out[12] = ((5 + options) << 4) | (out[12] & 0xf);
                out.resize(20 + usize::from(*options) * 4, 1);
                out.resize(out.len() + usize::from(*data), 0x5a);
                (6, out)
            }
            Self::Udp { ports, data } => {
                let mut out = ports.to_vec();
                out.extend((8 + u16::from(*data)).to_be_bytes());
                out.resize(8 + usize::from(*data), 0x5a);
                (17, out)
            }
            Self::Other { protocol, data } => (*protocol, data.clone()),
        }
    }
}

/// The IP packet: header, extensions, and what it carries, whose protocol is `protocol`.
pub(crate) fn packet_of(ip: &Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match ip {
        Ip::V4 {
            addresses,
            options,
            fragment,
        } => {
            let header = 20 + usize::from(*options) * 4;
            let mut out = vec![0x45 + options, 0];
            out.extend(((header + payload.len()) as u16).to_be_bytes());
            out.extend([0x12, 0x34]);
            out.extend(fragment.to_be_bytes());
            out.extend([64, protocol, 0, 0]);
            out.extend(addresses);
            out.resize(header, 1);
            out.extend(payload);
            out
        }
        Ip::V6 {
            addresses,
            extensions,
        } => {
            let mut behind = Vec::new();
            for (n, (_, length)) in extensions.iter().enumerate() {
                let next = extensions
                    .get(n + 1)
                    .map_or(protocol, |(number, _)| *number);
                behind.extend([next, *length]);
                behind.resize(behind.len() + 6 + usize::from(*length) * 8, 0);
            }
            behind.extend(payload);
            let next = extensions.first().map_or(protocol, |(number, _)| *number);
            let mut out = vec![0x60, 0, 0, 0];
            out.extend((behind.len() as u16).to_be_bytes());
            out.extend([next, 64]);
            out.extend(addresses.concat());
            out.extend(behind);
            out
        }
    }
}

/// The IP packet with what it carries.
pub(crate) fn packet(ip: &Ip, carried: &Carried) -> Vec<u8> {
    let (protocol, payload) = carried.bytes();
    packet_of(ip, protocol, &payload)
}

/// The frame with VLAN tags of these EtherTypes around an IP packet.
pub(crate) fn frame_of(tags: &[u16], ip: &Ip, packet: &[u8], padding: u8) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        out.extend(tag.to_be_bytes());
        out.extend([0x20, 0x05]);
    }
    out.extend(match ip {
        Ip::V4 { .. } => [0x08, 0x00],
        Ip::V6 { .. } => [0x86, 0xdd],
    });
    out.extend(packet);
    out.resize(out.len() + usize::from(padding), 0xee);
    out
}

/// Whole frames, some of them damaged.
pub(crate) fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![6 => Just(0x8100_u16), 1 => select(vec![0x88a8_u16, 0x9100])];
    let tags = prop_oneof![3 => vec(tag.clone(), 0..=1), 1 => vec(tag, 2..=3)];
    let damage = prop_oneof![
        4 => Just(Damage::None),
        1 => any::<u8>().prop_map(Damage::Cut),
        3 => vec((0..120_u16, any::<u8>()), 1..6).prop_map(Damage::Bytes),
    ];
    let built = (tags, ip(5), carried(), 0..=20_u8, damage);
    let built = built.prop_map(|(tags, ip, carried, padding, damage)| {
        let mut frame = frame_of(&tags, &ip, &packet(&ip, &carried), padding);
        match damage {
            Damage::None => {}
            Damage::Cut(at) => frame.truncate(frame.len() * usize::from(at) / 256),
            Damage::Bytes(bytes) => {
                for (at, byte) in bytes {
                    let at = usize::from(at) % frame.len();
                    frame[at] = byte;
                }
            }
        }
        frame
    });
    prop_oneof![9 => built, 1 => vec(any::<u8>(), 0..400)]
}
