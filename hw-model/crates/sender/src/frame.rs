// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames: building and parsing.

/// Station addresses of the guest's NIC and of ours.
const GUEST_MAC: [u8; 6] = [2, 0, 0x5e, 0x10, 0, 1];
const OUR_MAC: [u8; 6] = [2, 0, 0x5e, 0x10, 0, 2];
/// Addresses of the guest and ours.
const GUEST: [u8; 4] = [192, 0, 2, 1];
const OURS: [u8; 4] = [192, 0, 2, 2];

const ETH: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
const TCP_MIN: usize = 20;
const TCP: u8 = 6;
const PROTO_UDP: u8 = 17;

/// TCP flags.
pub(crate) mod flags {
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const PSH: u8 = 8;
    pub(crate) const ACK: u8 = 16;
}

/// The payload of all data packets.
const FILL: u8 = 0x5a;

/// Calls `take` for each whole frame in `bytes`; returns how many bytes those were.
pub(crate) fn each(bytes: &[u8], mut take: impl FnMut(&[u8])) -> usize {
    let mut at = 0;
    while let Some((len, rest)) = bytes[at..].split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some(frame) = rest.get(..len) else {
            break;
        };
        take(frame);
        at += 4 + len;
    }
    at
}

/// Sums 16-bit words, without carry.
fn sum(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| (u64::from(pair[0]) << 8) | u64::from(*pair.get(1).unwrap_or(&0));
    bytes.chunks(2).map(word).sum()
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The sum of `len` bytes of data.
fn sum_of_fill(len: usize) -> u64 {
    let pair = (u64::from(FILL) << 8) | u64::from(FILL);
    pair * (len as u64 / 2) + (len as u64 % 2) * (u64::from(FILL) << 8)
}

/// Puts the length and the headers down to IP, for `len` bytes behind them.
fn put_ip(out: &mut Vec<u8>, protocol: u8, id: u16, len: usize) {
    let total = IP + len;
    out.extend_from_slice(&((ETH + total) as u32).to_be_bytes());
    out.extend_from_slice(&GUEST_MAC);
    out.extend_from_slice(&OUR_MAC);
    out.extend_from_slice(&[8, 0]);
    let mut ip = [0; IP];
    ip[..2].copy_from_slice(&[0x45, 0]);
    ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    ip[4..6].copy_from_slice(&id.to_be_bytes());
    // Don't fragment.
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = protocol;
    ip[12..16].copy_from_slice(&OURS);
    ip[16..].copy_from_slice(&GUEST);
    let csum = !fold(sum(&ip));
    ip[10..12].copy_from_slice(&csum.to_be_bytes());
    out.extend_from_slice(&ip);
}

fn pseudo(protocol: u8, len: usize) -> u64 {
    sum(&OURS) + sum(&GUEST) + u64::from(protocol) + len as u64
}

/// A TCP segment to send.
pub(crate) struct Segment<'a> {
    pub(crate) source: u16,
    pub(crate) dest: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    /// Options, a multiple of four bytes.
    pub(crate) options: &'a [u8],
    /// IPv4 id.
    pub(crate) id: u16,
    /// Bytes of data.
    pub(crate) len: usize,
}

impl Segment<'_> {
    /// Appends the frame, with its length before it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let header = TCP_MIN + self.options.len();
        put_ip(out, TCP, self.id, header + self.len);
        let at = out.len();
        out.extend_from_slice(&self.source.to_be_bytes());
        out.extend_from_slice(&self.dest.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack.to_be_bytes());
        out.extend_from_slice(&[(header as u8 / 4) << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        out.extend_from_slice(self.options);
        let total = sum(&out[at..]) + sum_of_fill(self.len) + pseudo(TCP, header + self.len);
        out[at + 16..at + 18].copy_from_slice(&(!fold(total)).to_be_bytes());
        out.resize(out.len() + self.len, FILL);
    }
}

/// Appends a UDP frame, with its length before it; `word` is put at the start of the data.
pub(crate) fn put_udp(out: &mut Vec<u8>, port: u16, id: u16, word: u32, len: usize) {
    put_ip(out, PROTO_UDP, id, UDP + len);
    let at = out.len();
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&((UDP + len) as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&word.to_be_bytes());
    out.resize(out.len() + len - 4, FILL);
    let csum = match !fold(sum(&out[at..]) + pseudo(PROTO_UDP, UDP + len)) {
        0 => 0xffff,
        csum => csum,
    };
    out[at + 6..at + 8].copy_from_slice(&csum.to_be_bytes());
}

/// A frame from the guest.
pub(crate) enum Received<'a> {
    /// A TCP segment.
    Tcp {
        /// Our port, and the guest's.
        to: u16,
        flags: u8,
        seq: u32,
        ack: u32,
        window: u16,
        options: &'a [u8],
        /// Bytes of data.
        len: u32,
    },
    /// A datagram.
    Udp {
        /// Our port.
        to: u16,
        data: &'a [u8],
    },
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Parses a frame; `None` if it is not for us.
pub(crate) fn parse(frame: &[u8]) -> Option<Received<'_>> {
    let ip = frame.get(ETH..)?;
    if frame[..6] != OUR_MAC || be16(&frame[12..]) != 0x800 || ip.len() < IP || ip[0] != 0x45 {
        return None;
    }
    let l4 = ip.get(IP..usize::from(be16(&ip[2..])))?;
    match ip[9] {
        TCP if l4.len() >= TCP_MIN => {
            let header = usize::from(l4[12] >> 4) * 4;
            Some(Received::Tcp {
                to: be16(&l4[2..]),
                seq: be32(&l4[4..]),
                ack: be32(&l4[8..]),
                flags: l4[13],
                window: be16(&l4[14..]),
                options: l4.get(TCP_MIN..header)?,
                len: (l4.len() - header) as u32,
            })
        }
        PROTO_UDP if l4.len() >= UDP => Some(Received::Udp {
            to: be16(&l4[2..]),
            data: &l4[UDP..],
        }),
        _ => None,
    }
}

/// The data of an option of TCP.
pub(crate) fn option(mut options: &[u8], kind: u8) -> Option<&[u8]> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [k, len, ..] => {
                let whole = options.get(..usize::from(*len))?;
                let data = whole.get(2..)?;
                if *k == kind {
                    return Some(data);
                }
                options = &options[whole.len()..];
            }
            [_] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(frame: &[u8], protocol: u8) {
        assert_eq!(fold(sum(&frame[ETH..ETH + IP])), 0xffff);
        let l4 = &frame[ETH + IP..];
        assert_eq!(fold(sum(l4) + pseudo(protocol, l4.len())), 0xffff);
    }

    #[test]
    fn frames_have_correct_lengths_and_checksums() {
        let mut out = Vec::new();
        Segment {
            source: 10_000,
            dest: 5001,
            seq: 0xffff_fff0,
            ack: 7,
            flags: flags::ACK | flags::PSH,
            options: &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            id: 3,
            len: 1447,
        }
        .put(&mut out);
        put_udp(&mut out, 5002, 9, 77, 18);
        let mut seen = Vec::new();
        let tail = [0, 0, 0, 9, 1];
        out.extend_from_slice(&tail);
        assert_eq!(
            each(&out, |frame| seen.push(frame.to_vec())),
            out.len() - tail.len()
        );
        assert_eq!(seen[0].len(), 1513);
        assert_eq!(seen[1].len(), 60);
        checked(&seen[0], TCP);
        checked(&seen[1], PROTO_UDP);
    }

    #[test]
    fn options_are_found_behind_others() {
        let options = [2, 4, 5, 180, 1, 3, 3, 7, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(option(&options, 3), Some(&[7][..]));
        assert_eq!(option(&options, 8).map(be32), Some(0x0102_0304));
        assert_eq!(option(&options, 4), None);
        assert_eq!(option(&[3, 9], 3), None);
        assert_eq!(option(&[3, 1], 3), None);
    }
}
