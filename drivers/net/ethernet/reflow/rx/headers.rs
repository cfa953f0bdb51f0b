// SPDX-License-Identifier: GPL-2.0

//! Completes the header of an aggregate.
//!
//! The header that the device delivered is that of the first packet. When more data stand behind
//! it, lengths, checksums and the flags of later packets have to be in it, so that the stack and
//! whoever segments the packet again see what software GRO would have built (claims 57, 59). Pure:
//! compiled in the module and in the host's tests.

/// The header does not have the form that its offsets say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// Where the headers of an aggregate are, as offsets from the start of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Layout {
    /// The outer IP header of a tunnel, 0 without one.
    pub(crate) outer: u8,
    /// The IP header before TCP.
    pub(crate) l3: u8,
    /// The TCP header.
    pub(crate) l4: u8,
    /// That IP header is of IPv6, not IPv4.
    pub(crate) v6: bool,
}

/// Which IPv4 ids are the same in all packets of an aggregate; the others count up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct FixedIds {
    /// Those of the header before TCP.
    pub(crate) inner: bool,
    /// Those of a tunnel's outer header.
    pub(crate) outer: bool,
}

/// The tunnel that a packet is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tunnel {
    /// Nothing but Ethernet.
    None,
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

const IP4_LEN: usize = 2;
const IP4_ID: usize = 4;
const IP4_REST: usize = 6;
const IP4_CSUM: usize = 10;
const IP4_ADDRS: usize = 12;
const IP4_MIN: usize = 20;
const IP6_LEN: usize = 4;
const IP6_REST: usize = 6;
const IP6_ADDRS: usize = 8;
const IP6_MIN: usize = 40;
const TCP_SEQ: usize = 4;
const TCP_ACK: usize = 8;
const TCP_FLAGS: usize = 13;
const TCP_WINDOW: usize = 14;
const TCP_CSUM: usize = 16;
const TCP_URG: usize = 18;
const TCP_MIN: usize = 20;
const PROTO_TCP: u64 = 6;
/// Version 4, five words of header.
const IP4_PLAIN: u8 = 0x45;
/// TCP flags that a later packet may add to the header of its aggregate: FIN and PSH.
const LATER_FLAGS: u8 = 0x09;

/// Sums big-endian words of `bytes`, a multiple of four: as good as 16-bit ones, once folded.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    words.fold(0, |total, word| match word {
        &[a, b, c, d] => total + u64::from(u32::from_be_bytes([a, b, c, d])),
        _ => total,
    })
}

#[inline]
fn fold(total: u64) -> u16 {
    // Each line makes one carry at most into what the next one folds.
    let total = (total & 0xffff_ffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16);
    let total = (total & 0xffff) + (total >> 16);
    let total = (total & 0xffff) + (total >> 16);
    total as u16
}

fn put16(bytes: &mut [u8], at: usize, value: u16) -> Result<(), Malformed> {
    let to = bytes.get_mut(at..at + 2).ok_or(Malformed)?;
    to.copy_from_slice(&value.to_be_bytes());
    Ok(())
}

fn get16(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    match bytes.get(at..at + 2) {
        Some(&[a, b]) => Ok(u16::from_be_bytes([a, b])),
        _ => Err(Malformed),
    }
}

fn get32(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ok(u32::from_be_bytes([a, b, c, d])),
        _ => Err(Malformed),
    }
}

/// Whether an IP header of this version, and without options if it is IPv4, fits between its start
/// and what follows.
fn is_ip(head: &[u8], from: usize, to: usize, v6: bool) -> bool {
    let first = head.get(from).copied().unwrap_or(0);
    if v6 {
        first >> 4 == 6 && from + IP6_MIN <= to
    } else {
        first == IP4_PLAIN && from + IP4_MIN == to
    }
}

impl Layout {
    /// Compares what is said of the headers with what they are.
    fn check(self, head: &[u8]) -> Result<Tunnel, Malformed> {
        let (outer, l3, l4) = (
            usize::from(self.outer),
            usize::from(self.l3),
            usize::from(self.l4),
        );
        if head.len() < l4 + TCP_MIN || !is_ip(head, l3, l4, self.v6) {
            return Err(Malformed);
        }
        if outer == 0 {
            Ok(Tunnel::None)
        } else if is_ip(head, outer, l3, false) {
            Ok(Tunnel::Ip4)
        } else if is_ip(head, outer, l3, true) {
            Ok(Tunnel::Ip6)
        } else {
            Err(Malformed)
        }
    }

    /// The IP headers, outermost first: offset, whether IPv6, whether ids stay.
    fn levels(self, tunnel: Tunnel, fixed: FixedIds) -> [Option<(usize, bool, bool)>; 2] {
        let around = match tunnel {
            Tunnel::None => None,
            Tunnel::Ip4 => Some(false),
            Tunnel::Ip6 => Some(true),
        };
        [
            around.map(|v6| (usize::from(self.outer), v6, fixed.outer)),
            Some((usize::from(self.l3), self.v6, fixed.inner)),
        ]
    }
}

/// Writes a field of an IPv4 header, and what that makes of the header's checksum: a wrong one
/// stays wrong.
#[inline]
fn set_ip4(ip: &mut [u8], at: usize, new: u16) -> Result<(), Malformed> {
    let old = get16(ip, at)?;
    put16(ip, at, new)?;
    // RFC 1624: what was not changed need not be summed again.
    let sum = u64::from(!get16(ip, IP4_CSUM)?) + u64::from(!old) + u64::from(new);
    put16(ip, IP4_CSUM, !fold(sum))
}

/// Writes the length of an IP packet of `total` bytes.
#[inline]
fn set_length(ip: &mut [u8], total: u32, v6: bool) -> Result<(), Malformed> {
    if v6 {
        let behind = total.checked_sub(IP6_MIN as u32).ok_or(Malformed)?;
        return put16(ip, IP6_LEN, u16::try_from(behind).map_err(|_| Malformed)?);
    }
    set_ip4(ip, IP4_LEN, u16::try_from(total).map_err(|_| Malformed)?)
}

/// Makes the headers right for `payload` bytes of data.
///
/// `flags` are the TCP flags of all later segments, or-ed. The checksum of TCP becomes that of the
/// pseudo header, as `CHECKSUM_PARTIAL` wants it.
///
/// # Errors
///
/// [`Malformed`] if the offsets do not fit the header or the packet would be too long.
pub(crate) fn finish(
    head: &mut [u8],
    at: Layout,
    payload: u32,
    flags: u8,
) -> Result<Tunnel, Malformed> {
    let tunnel = at.check(head)?;
    // A header is at most as long as a cell.
    let total = payload.checked_add(head.len() as u32).ok_or(Malformed)?;
    for (off, v6, _) in at.levels(tunnel, FixedIds::default()).into_iter().flatten() {
        let ip = head.get_mut(off..).ok_or(Malformed)?;
        set_length(ip, total - off as u32, v6)?;
    }
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let addrs = if at.v6 {
        head.get(l3 + IP6_ADDRS..l3 + IP6_MIN)
    } else {
        head.get(l3 + IP4_ADDRS..l3 + IP4_MIN)
    };
    let pseudo = sum(addrs.ok_or(Malformed)?) + PROTO_TCP + u64::from(total - l4 as u32);
    let tcp = head.get_mut(l4..).ok_or(Malformed)?;
    if let Some(f) = tcp.get_mut(TCP_FLAGS) {
        *f |= flags;
    }
    put16(tcp, TCP_CSUM, fold(pseudo))?;
    Ok(tunnel)
}

/// Turns the header of an aggregate's first packet into that of a later one.
///
/// `bytes` of data in `segs` segments have gone up before.
///
/// # Errors
///
/// [`Malformed`] if the offsets do not fit the header.
pub(crate) fn advance(
    head: &mut [u8],
    at: Layout,
    bytes: u32,
    segs: u16,
    fixed: FixedIds,
) -> Result<(), Malformed> {
    let tunnel = at.check(head)?;
    let at_seq = usize::from(at.l4) + TCP_SEQ;
    let seq = get32(head, at_seq)?.wrapping_add(bytes);
    let to = head.get_mut(at_seq..at_seq + 4).ok_or(Malformed)?;
    to.copy_from_slice(&seq.to_be_bytes());
    for (off, v6, fixed) in at.levels(tunnel, fixed).into_iter().flatten() {
        if !v6 && !fixed {
            let ip = head.get_mut(off..).ok_or(Malformed)?;
            let id = get16(ip, IP4_ID)?.wrapping_add(segs);
            set_ip4(ip, IP4_ID, id)?;
        }
    }
    Ok(())
}

/// The state of an aggregate before its next packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Before {
    /// Where its headers are.
    pub(crate) at: Layout,
    /// Bytes of data in it.
    pub(crate) bytes: u32,
    /// Segments in it.
    pub(crate) segs: u16,
    /// Which IPv4 ids stay, by the device's word about the packet that comes.
    pub(crate) fixed: FixedIds,
}

/// Whether `next` is the header of the packet with `len` bytes of data that an aggregate goes on
/// with, whose own header, not yet finished, is `first`.
///
/// True if segmentation would make of the aggregate's header what `next` is, the flags of a last
/// packet and checksums apart; those of `next` the device has verified.
pub(crate) fn follows(first: &[u8], next: &[u8], before: &Before, len: u32) -> bool {
    compare(first, next, before, len).unwrap_or(false)
}

fn compare(first: &[u8], next: &[u8], before: &Before, len: u32) -> Result<bool, Malformed> {
    let at = before.at;
    let tunnel = at.check(first)?;
    if first.len() != next.len() {
        return Ok(false);
    }
    let total = len.checked_add(next.len() as u32).ok_or(Malformed)?;
    let same = |from: usize, to: usize| first.get(from..to) == next.get(from..to);
    // Up to here both are compared.
    let mut done = 0;
    let mut equal = true;
    for (off, v6, fixed) in at.levels(tunnel, before.fixed).into_iter().flatten() {
        let ip_len = total - off as u32;
        if v6 {
            equal &= same(done, off + IP6_LEN);
            equal &= u32::from(get16(next, off + IP6_LEN)?) + IP6_MIN as u32 == ip_len;
            done = off + IP6_REST;
        } else {
            let ids = if fixed { 0 } else { before.segs };
            let id = get16(first, off + IP4_ID)?.wrapping_add(ids);
            equal &= same(done, off + IP4_LEN);
            equal &= u32::from(get16(next, off + IP4_LEN)?) == ip_len;
            equal &= get16(next, off + IP4_ID)? == id;
            equal &= same(off + IP4_REST, off + IP4_CSUM);
            done = off + IP4_ADDRS;
        }
    }
    let tcp = usize::from(at.l4);
    let seq = get32(first, tcp + TCP_SEQ)?.wrapping_add(before.bytes);
    equal &= same(done, tcp + TCP_SEQ);
    equal &= get32(next, tcp + TCP_SEQ)? == seq;
    equal &= same(tcp + TCP_ACK, tcp + TCP_FLAGS);
    let flags = |head: &[u8]| head.get(tcp + TCP_FLAGS).map(|f| f & !LATER_FLAGS);
    equal &= flags(first) == flags(next);
    equal &= same(tcp + TCP_WINDOW, tcp + TCP_CSUM);
    equal &= same(tcp + TCP_URG, first.len());
    Ok(equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Layout = Layout {
        outer: 0,
        l3: 14,
        l4: 34,
        v6: false,
    };
    const V6: Layout = Layout {
        outer: 0,
        l3: 14,
        l4: 54,
        v6: true,
    };

    const COUNTING: FixedIds = FixedIds {
        inner: false,
        outer: false,
    };
    const FIXED: FixedIds = FixedIds {
        inner: true,
        outer: true,
    };

    fn v4_header() -> [u8; 66] {
        let mut h = [0; 66];
        h[12] = 8;
        h[14] = 0x45;
        h[18..20].copy_from_slice(&[0xff, 0xfe]);
        h[22] = 64;
        h[23] = 6;
        h[26..34].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        h[38..42].copy_from_slice(&[0xff, 0xff, 0xff, 0xf0]);
        h[46] = 0x80;
        h[47] = 0x10;
        let csum = !fold(sum(&h[14..34]));
        h[24..26].copy_from_slice(&csum.to_be_bytes());
        h
    }

    /// Claims: 57, 59.
    #[test]
    fn ipv4_length_checksums_and_flags() {
        let mut h = v4_header();
        finish(&mut h, V4, 2896, 0x08).unwrap();
        assert_eq!(get16(&h, 16), Ok(20 + 32 + 2896));
        assert_eq!(fold(sum(&h[14..34])), 0xffff);
        assert_eq!(h[47], 0x18);
        let pseudo = sum(&h[26..34]) + 6 + 32 + 2896;
        assert_eq!(get16(&h, 50), Ok(fold(pseudo)));
    }

    /// Claims: 57, 59.
    #[test]
    fn a_wrong_checksum_stays_wrong() {
        let mut h = v4_header();
        h[24] ^= 1;
        finish(&mut h, V4, 2896, 0).unwrap();
        assert_ne!(fold(sum(&h[14..34])), 0xffff);
    }

    #[test]
    fn sums_fold_to_sixteen_bits() {
        assert_eq!(fold(0), 0);
        assert_eq!(fold(0x1_0000), 1);
        assert_eq!(fold(0xffff_ffff), 0xffff);
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x1_ffff_fffe), 0xffff);
        assert_eq!(fold(sum(&[0xff; 60])), 0xffff);
    }

    /// Claims: 57, 59.
    #[test]
    fn ipv6_length_counts_what_follows_its_header() {
        let mut h = [0_u8; 86];
        h[14] = 0x60;
        h[22..54].copy_from_slice(&[7; 32]);
        finish(&mut h, V6, 65_000, 0).unwrap();
        assert_eq!(get16(&h, 18), Ok(32 + 65_000));
        assert_eq!(get16(&h, 70), Ok(fold(sum(&[7; 32]) + 6 + 32 + 65_000)));
    }

    #[test]
    fn too_long_or_misplaced_is_refused() {
        let mut h = v4_header();
        assert_eq!(finish(&mut h, V4, 65_535, 0), Err(Malformed));
        assert_eq!(finish(&mut h, V4, u32::MAX, 0), Err(Malformed));
        for at in [
            Layout { l4: 33, ..V4 },
            Layout { l4: 60, ..V4 },
            Layout { l3: 255, ..V4 },
            Layout { v6: true, ..V4 },
            Layout { l3: 15, ..V4 },
            Layout { outer: 14, ..V4 },
            Layout { outer: 1, ..V4 },
        ] {
            assert_eq!(finish(&mut h, at, 100, 0), Err(Malformed));
            assert_eq!(advance(&mut h, at, 100, 1, COUNTING), Err(Malformed));
        }
        assert_eq!(finish(&mut [], V4, 1, 0), Err(Malformed));
    }

    #[test]
    fn a_later_header_counts_on_and_wraps() {
        let mut h = v4_header();
        advance(&mut h, V4, 0x20, 3, COUNTING).unwrap();
        assert_eq!(h[38..42], [0, 0, 0, 0x10]);
        assert_eq!(get16(&h, 18), Ok(1));
        assert_eq!(fold(sum(&h[14..34])), 0xffff);
        let mut h = v4_header();
        advance(&mut h, V4, 0x20, 3, FIXED).unwrap();
        assert_eq!(get16(&h, 18), Ok(0xfffe));
    }
}
