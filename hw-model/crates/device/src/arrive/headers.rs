// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The check of a frame's headers, independent of the parser program.
//!
//! A parser program comes from outside, so its results are not trusted: before a packet is merged
//! or its checksum is reported as right, the headers are walked again and must lead to the same
//! offsets. A parser program may know more protocols than this walk; such packets get no assist.

use crate::arrive::mac::PADDED;
use crate::arrive::parser::Parsed;
use crate::csum;
use crate::proto::{
    be16, be32, Level, ETH_IPV4, ETH_IPV6, ETH_SERVICE_VLAN, ETH_VLAN, PROTO_DEST_OPTIONS,
    PROTO_FRAGMENT, PROTO_HOP_BY_HOP, PROTO_IPV4, PROTO_IPV6, PROTO_TCP, PROTO_UDP, VLAN_LEN,
};

const MAX_TAGS: usize = 2;

const OPTION_PAD1: u8 = 0;
const OPTION_HOME_ADDRESS: u8 = 201;
const MAX_EXTENSIONS: usize = 8;

/// Most IP headers in a frame.
pub(crate) const MAX_LEVELS: usize = 2;

/// The headers of a frame down to the innermost IP header that the parser program parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layers {
    levels: [Level; MAX_LEVELS],
    count: usize,
    /// Protocol behind the innermost IP header and its extensions, and where it starts; `None` for
    /// fragments and protocols that the walk does not know.
    pub(crate) l4: Option<(u8, usize)>,
    /// Where the IP packet ends in the frame.
    pub(crate) end: usize,
    /// Every IPv4 header checksum is right.
    pub(crate) l3_ok: bool,
    /// No IPv4 options, and nested packets end together: may be merged.
    pub(crate) plain: bool,
    /// The innermost packet is a fragment.
    pub(crate) fragment: bool,
    /// The innermost packet has a Home Address option: the checksum of its payload
    /// covers that address (RFC 6275, 11.3.1) and is not verified here.
    pub(crate) home_address: bool,
    /// Bytes behind the outermost IP packet that a sender would not add again
    /// as padding: anything but zeros up to the length of the shortest frame.
    pub(crate) slack: usize,
}

/// Result of one step of the walk.
struct Step {
    next: u8,
    next_off: usize,
    end: usize,
}

impl Layers {
    /// Walks from the Ethernet header to the IP header at `l3_off`.
    ///
    /// `None` if the walk does not reach it, or a header is broken.
    fn walk(frame: &[u8], l3_off: usize) -> Option<Self> {
        let mut layers = Self {
            levels: [Level::default(); MAX_LEVELS],
            count: 0,
            l4: None,
            end: frame.len(),
            l3_ok: true,
            plain: true,
            fragment: false,
            home_address: false,
            slack: 0,
        };
        let (mut v6, mut off) = first_ip(frame)?;
        loop {
            if layers.count == MAX_LEVELS || layers.fragment {
                return None;
            }
            layers.levels[layers.count] = Level { off, v6 };
            layers.count += 1;
            let step = if v6 {
                layers.ipv6(frame, off)
            } else {
                layers.ipv4(frame, off)
            };
            let Some(step) = step else {
                return layers.without_last();
            };
            // A nested packet that does not fill its outer one leaves bytes behind it.
            layers.plain &= layers.count == 1 || step.end == layers.end;
            if layers.count == 1 {
                layers.slack = slack(frame, step.end);
            }
            layers.end = step.end;
            if off == l3_off {
                let known = matches!(step.next, PROTO_TCP | PROTO_UDP) && !layers.fragment;
                layers.l4 = known.then_some((step.next, step.next_off));
                return Some(layers);
            }
            v6 = match step.next {
                PROTO_IPV4 => false,
                PROTO_IPV6 => true,
                _ => return None,
            };
            off = step.next_off;
        }
    }

    /// If the last header is broken: the one around it, as if it had no packet inside.
    fn without_last(mut self) -> Option<Self> {
        self.count = self.count.checked_sub(1).filter(|&count| count != 0)?;
        self.plain = false;
        self.fragment = false;
        Some(self)
    }

    /// Checks an IPv4 header.
    fn ipv4(&mut self, frame: &[u8], off: usize) -> Option<Step> {
        let first = *frame.get(off)?;
        let len = usize::from(first & 0xf) * 4;
        let header = frame.get(off..off + len)?;
        let end = off + usize::from(be16(header, 2)?);
        if first >> 4 != 4 || len < 20 || end < off + len || end > self.end {
            return None;
        }
        self.plain &= len == 20;
        self.home_address = false;
        self.l3_ok &= csum::fold(csum::sum(header)) == 0xffff;
        // More fragments, or an offset.
        self.fragment = be16(header, 6)? & 0x3fff != 0;
        Some(Step {
            next: header[9],
            next_off: off + len,
            end,
        })
    }

    /// Checks an IPv6 header and the extension headers that may stay in a merged packet.
    fn ipv6(&mut self, frame: &[u8], off: usize) -> Option<Step> {
        let header = frame.get(off..off + 40)?;
        let end = off + 40 + usize::from(be16(header, 4)?);
        if header[0] >> 4 != 6 || end > self.end {
            return None;
        }
        self.home_address = false;
        let mut next = header[6];
        let mut next_off = off + 40;
        for _ in 0..MAX_EXTENSIONS {
            match next {
                PROTO_HOP_BY_HOP | PROTO_DEST_OPTIONS => {
                    let ext = frame.get(next_off..next_off + 2)?;
                    let ext_end = next_off + 8 + usize::from(ext[1]) * 8;
                    if ext_end > end {
                        return None;
                    }
                    let options = frame.get(next_off + 2..ext_end)?;
                    self.home_address |= has_home_address(options);
                    (next, next_off) = (ext[0], ext_end);
                }
                PROTO_FRAGMENT => {
                    self.fragment = true;
                    break;
                }
                _ => break,
            }
        }
        Some(Step {
            next,
            next_off,
            end,
        })
    }

    /// The IP headers, outermost first.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels[..self.count]
    }

    /// Length of the outermost IP packet.
    pub(crate) fn ip_len(&self, end: usize) -> usize {
        end - self.levels[0].off
    }
}

/// See [`Layers::slack`].
fn slack(frame: &[u8], end: usize) -> usize {
    let behind = frame.get(end..).unwrap_or(&[]);
    if frame.len() <= PADDED && behind.iter().all(|&byte| byte == 0) {
        0
    } else {
        behind.len()
    }
}

/// Whether one of the options of an extension header is a Home Address.
fn has_home_address(mut options: &[u8]) -> bool {
    while let Some((&kind, rest)) = options.split_first() {
        if kind == OPTION_HOME_ADDRESS {
            return true;
        }
        // A single byte of padding has no length.
        options = match (kind, rest.split_first()) {
            (OPTION_PAD1, _) => rest,
            (_, Some((&len, rest))) => rest.get(usize::from(len)..).unwrap_or(&[]),
            (_, None) => &[],
        };
    }
    false
}

/// The first IP header behind the Ethernet header and its tags.
fn first_ip(frame: &[u8]) -> Option<(bool, usize)> {
    let mut at = 12;
    for _ in 0..=MAX_TAGS {
        match be16(frame, at)? {
            ETH_IPV4 => return Some((false, at + 2)),
            ETH_IPV6 => return Some((true, at + 2)),
            ETH_VLAN | ETH_SERVICE_VLAN => at += VLAN_LEN,
            _ => return None,
        }
    }
    None
}

/// A TCP header that was found where the parser program says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tcp {
    /// Where it starts.
    pub(crate) off: usize,
    /// Where its data starts.
    pub(crate) data: usize,
    /// Bytes of data.
    pub(crate) len: usize,
    /// Sequence number.
    pub(crate) seq: u32,
    /// Flags, byte 13 of the header.
    pub(crate) flags: u8,
}

/// The headers that parser program and walk agree on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Checked {
    /// The IP headers.
    pub(crate) layers: Option<Layers>,
    /// Start of the TCP or UDP header, and which of them it is.
    pub(crate) l4: Option<(u8, usize)>,
    /// The TCP header, if the parser program's results are right.
    pub(crate) tcp: Option<Tcp>,
    /// Outcome of the TCP or UDP checksum, if there is one to verify.
    pub(crate) l4_ok: Option<bool>,
}

impl Checked {
    /// Compares the parser program's results with the frame.
    pub(crate) fn new(frame: &[u8], parsed: &Parsed) -> Self {
        let Some(layers) = parsed
            .l3_off
            .and_then(|off| Layers::walk(frame, usize::from(off)))
        else {
            return Self::default();
        };
        let inner = layers.levels[layers.count - 1];
        let kind = parsed.kind;
        if (kind.ipv6() != 0) != inner.v6 || (kind.ipv4() != 0) == inner.v6 {
            return Self::default();
        }
        let l4 = layers.l4.filter(|&(proto, off)| {
            parsed.l4_off.map(usize::from) == Some(off)
                && (kind.tcp() != 0) == (proto == PROTO_TCP)
                && (kind.udp() != 0) == (proto == PROTO_UDP)
        });
        let l4_ok = l4
            .filter(|_| !layers.home_address)
            .and_then(|(proto, off)| verify_l4(frame, inner, proto, off, layers.end));
        let tcp = l4
            .filter(|l4| l4.0 == PROTO_TCP)
            .and_then(|(_, off)| tcp_header(frame, off, layers.end))
            .filter(|tcp| {
                parsed.hdr_end.map(usize::from) == Some(tcp.data)
                    && parsed.pkt_end.map(usize::from) == Some(layers.end)
                    && parsed.seq == tcp.seq
                    && parsed.tcp_flags == tcp.flags
            });
        Self {
            layers: Some(layers),
            l4,
            tcp,
            l4_ok,
        }
    }
}

fn tcp_header(frame: &[u8], off: usize, end: usize) -> Option<Tcp> {
    let header = frame.get(off..off + 20)?;
    let data = off + usize::from(header[12] >> 4) * 4;
    if data < off + 20 || data > end {
        return None;
    }
    Some(Tcp {
        off,
        data,
        len: end - data,
        seq: be32(header, 4)?,
        flags: header[13],
    })
}

/// Verifies the TCP or UDP checksum; `None` if there is nothing to verify.
fn verify_l4(frame: &[u8], ip: Level, proto: u8, off: usize, end: usize) -> Option<bool> {
    let segment = frame.get(off..end)?;
    if proto == PROTO_UDP {
        let len = usize::from(be16(segment, 4)?);
        if be16(segment, 6)? == 0 || len != segment.len() {
            return None;
        }
    } else if segment.len() < 20 {
        return None;
    }
    let acc = csum::sum(segment) + csum::pseudo(frame, ip, proto, segment.len())?;
    Some(csum::fold(acc) == 0xffff)
}

#[cfg(test)]
mod tests;
