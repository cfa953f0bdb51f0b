// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Segmentation: cuts a TCP or UDP packet that is longer than the wire takes into frames.
//!
//! Each frame has the packet's headers, edited for its position, and the next bytes of the
//! payload. A packet is read from host memory once and kept until its last frame is sent, so a
//! busy wire neither loses a frame nor repeats one.

use crate::csum;
use crate::proto::{
    be16, be32, Level, CWR, ETH_LEN, FIN, PROTO_DEST_OPTIONS, PROTO_HOP_BY_HOP, PROTO_TCP,
    PROTO_UDP, PSH,
};
use reflow_hwdef::desc::{T1, T2, TX_MAX_PAYLOAD};
use reflow_hwdef::regs::QueueError;

const IPV4_MIN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_MIN: usize = 20;
const UDP_LEN: usize = 8;
/// How a packet is to be cut, as its descriptor says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Shape {
    udp: bool,
    mss: usize,
    hdr_len: usize,
    l3_off: usize,
    l4_off: usize,
    fixed_id: bool,
}

impl Shape {
    /// The shape that a descriptor asks for; `None` if the packet is not to be cut.
    ///
    /// [`T2`] has the rules.
    pub(crate) fn new(t1: T1, t2: T2, len: usize) -> Result<Option<Self>, QueueError> {
        if t1.tso() | t1.uso() == 0 {
            return Ok(None);
        }
        let shape = Self {
            udp: t1.uso() != 0,
            mss: t1.mss() as usize,
            hdr_len: t2.hdr_len() as usize,
            l3_off: t2.l3_off() as usize,
            l4_off: t2.l4_off() as usize,
            fixed_id: t1.fixed_id() != 0,
        };
        let l4_fits = if shape.udp {
            shape.hdr_len == shape.l4_off + UDP_LEN
        } else {
            shape.hdr_len >= shape.l4_off + TCP_MIN
        };
        let right = t1.tso() != t1.uso()
            && shape.mss > 0
            && shape.l3_off >= ETH_LEN
            && shape.l4_off >= shape.l3_off + IPV4_MIN
            && l4_fits
            && (shape.hdr_len..=shape.hdr_len + TX_MAX_PAYLOAD).contains(&len);
        if right {
            Ok(Some(shape))
        } else {
            Err(QueueError::BadTxDesc)
        }
    }

    fn proto(&self) -> u8 {
        if self.udp {
            PROTO_UDP
        } else {
            PROTO_TCP
        }
    }

    /// The IP header, if the packet has the headers that its descriptor tells of.
    fn level(&self, packet: &[u8]) -> Option<Level> {
        let ip = packet.get(self.l3_off..self.l4_off)?;
        let first = *ip.first()?;
        let v6 = first >> 4 == 6;
        let found = if v6 {
            behind_extensions(ip)?
        } else {
            let plain = first >> 4 == 4 && usize::from(first & 0xf) * 4 == ip.len();
            plain.then_some(ip[9])?
        };
        let l4 = packet.get(self.l4_off..self.hdr_len)?;
        let l4_len = match self.udp {
            true => UDP_LEN,
            false => usize::from(*l4.get(12)? >> 4) * 4,
        };
        (found == self.proto() && l4_len == l4.len()).then_some(Level {
            off: self.l3_off,
            v6,
        })
    }
}

/// The protocol behind an IPv6 header and extension headers that end with the slice.
fn behind_extensions(ip: &[u8]) -> Option<u8> {
    let mut next = *ip.get(..IPV6_LEN)?.get(6)?;
    let mut at = IPV6_LEN;
    while at < ip.len() {
        if !matches!(next, PROTO_HOP_BY_HOP | PROTO_DEST_OPTIONS) {
            return None;
        }
        let ext = ip.get(at..at + 2)?;
        next = ext[0];
        at += 8 + usize::from(ext[1]) * 8;
    }
    (at == ip.len()).then_some(next)
}

/// A packet that is being cut, or none.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    packet: Vec<u8>,
    shape: Shape,
    ip: Level,
    descs: usize,
    at: usize,
    count: u16,
}

impl Cut {
    /// Whether there is a packet whose frames are not all out.
    pub(crate) fn is_open(&self) -> bool {
        self.descs != 0
    }

    /// Takes a packet to be cut, in exchange for memory that is no longer needed.
    ///
    /// False, and nothing is open, if its headers are not those that the descriptor tells of.
    pub(crate) fn open(&mut self, shape: Shape, descs: usize, packet: &mut Vec<u8>) -> bool {
        let Some(ip) = shape.level(packet) else {
            return false;
        };
        std::mem::swap(&mut self.packet, packet);
        self.shape = shape;
        self.ip = ip;
        self.descs = descs;
        self.at = shape.hdr_len;
        self.count = 0;
        true
    }

    /// The packet is sent or given up; returns the number of its descriptors.
    pub(crate) fn close(&mut self) -> usize {
        std::mem::take(&mut self.descs)
    }

    /// Puts the next frame together; true if it is the last.
    pub(crate) fn next(&mut self, frame: &mut Vec<u8>) -> bool {
        let end = self.packet.len().min(self.at + self.shape.mss);
        let last = end == self.packet.len();
        frame.clear();
        frame.extend_from_slice(&self.packet[..self.shape.hdr_len]);
        frame.extend_from_slice(&self.packet[self.at..end]);
        self.edit_ip(frame);
        if self.shape.udp {
            self.edit_udp(frame);
        } else {
            self.edit_tcp(frame, last);
        }
        self.at = end;
        self.count = self.count.wrapping_add(1);
        last
    }

    /// Length, IPv4 id and IPv4 header checksum.
    fn edit_ip(&self, frame: &mut [u8]) {
        let Shape { l3_off, l4_off, .. } = self.shape;
        let len = frame.len() - l3_off;
        if self.ip.v6 {
            put16(frame, l3_off + 4, (len - IPV6_LEN) as u16);
            return;
        }
        put16(frame, l3_off + 2, len as u16);
        if !self.shape.fixed_id {
            let id = be16(frame, l3_off + 4).unwrap_or(0);
            put16(frame, l3_off + 4, id.wrapping_add(self.count));
        }
        put16(frame, l3_off + 10, 0);
        let sum = csum::fold(csum::sum(&frame[l3_off..l4_off]));
        put16(frame, l3_off + 10, !sum);
    }

    /// Sequence number, flags and checksum.
    fn edit_tcp(&self, frame: &mut [u8], last: bool) {
        let tcp = self.shape.l4_off;
        let done = (self.at - self.shape.hdr_len) as u32;
        let seq = be32(frame, tcp + 4).unwrap_or(0).wrapping_add(done);
        frame[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
        if !last {
            frame[tcp + 13] &= !(FIN | PSH);
        }
        // The first frame alone says that the congestion window was reduced.
        if self.count != 0 {
            frame[tcp + 13] &= !CWR;
        }
        let sum = self.l4_sum(frame, tcp + 16);
        put16(frame, tcp + 16, !csum::fold(sum));
    }

    /// Length and checksum.
    fn edit_udp(&self, frame: &mut [u8]) {
        let udp = self.shape.l4_off;
        put16(frame, udp + 4, (frame.len() - udp) as u16);
        let sum = self.l4_sum(frame, udp + 6);
        put16(frame, udp + 6, csum::finish(sum));
    }

    /// The sum over pseudo header and segment, with nothing in the checksum's field.
    fn l4_sum(&self, frame: &mut [u8], field: usize) -> u64 {
        put16(frame, field, 0);
        let l4 = self.shape.l4_off;
        let len = frame.len() - l4;
        let pseudo = csum::pseudo(frame, self.ip, self.shape.proto(), len).unwrap_or(0);
        pseudo + csum::sum(&frame[l4..])
    }
}

/// Writes a big-endian word; the shape was checked, so it is inside.
fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
