// SPDX-License-Identifier: GPL-2.0

//! The header of an aggregate, made to fit what was merged.
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
    /// The IP header.
    pub(crate) l3: u8,
    /// The TCP header.
    pub(crate) l4: u8,
    /// IPv6, not IPv4.
    pub(crate) v6: bool,
}

const IP4_LEN: usize = 2;
const IP4_ID: usize = 4;
const IP4_CSUM: usize = 10;
const IP4_ADDRS: usize = 12;
const IP4_MIN: usize = 20;
const IP6_LEN: usize = 4;
const IP6_ADDRS: usize = 8;
const IP6_MIN: usize = 40;
const TCP_SEQ: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CSUM: usize = 16;
const TCP_MIN: usize = 20;
const PROTO_TCP: u32 = 6;

/// Sums 16-bit big-endian words.
fn sum(bytes: &[u8]) -> u32 {
    let mut pairs = bytes.chunks_exact(2);
    let mut total = 0_u32;
    for pair in &mut pairs {
        if let &[a, b] = pair {
            total += u32::from(u16::from_be_bytes([a, b]));
        }
    }
    if let &[last] = pairs.remainder() {
        total += u32::from(last) << 8;
    }
    total
}

fn fold(mut total: u32) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
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

/// The IP and TCP parts of a header, once their offsets are known to be inside.
fn parts(head: &mut [u8], at: Layout) -> Result<(&mut [u8], &mut [u8]), Malformed> {
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let min = if at.v6 { IP6_MIN } else { IP4_MIN };
    if l4 < l3 + min || head.len() < l4 + TCP_MIN {
        return Err(Malformed);
    }
    let (front, tcp) = head.split_at_mut_checked(l4).ok_or(Malformed)?;
    Ok((front.get_mut(l3..).ok_or(Malformed)?, tcp))
}

fn ip4_checksum(ip: &mut [u8]) -> Result<(), Malformed> {
    put16(ip, IP4_CSUM, 0)?;
    let csum = !fold(sum(ip));
    put16(ip, IP4_CSUM, csum)
}

/// Writes the IP length for `payload` bytes behind the header, and the sum that it is part of.
fn set_length(ip: &mut [u8], tcp_len: usize, payload: u32, v6: bool) -> Result<u32, Malformed> {
    let tcp_len = u32::try_from(tcp_len).map_err(|_| Malformed)?;
    let segment = tcp_len.checked_add(payload).ok_or(Malformed)?;
    let extra = u32::try_from(ip.len()).map_err(|_| Malformed)?;
    let total = segment.checked_add(extra).ok_or(Malformed)?;
    let addrs = if v6 {
        let behind = total.checked_sub(IP6_MIN as u32).ok_or(Malformed)?;
        put16(ip, IP6_LEN, u16::try_from(behind).map_err(|_| Malformed)?)?;
        ip.get(IP6_ADDRS..IP6_MIN)
    } else {
        put16(ip, IP4_LEN, u16::try_from(total).map_err(|_| Malformed)?)?;
        ip4_checksum(ip)?;
        ip.get(IP4_ADDRS..IP4_MIN)
    };
    Ok(sum(addrs.ok_or(Malformed)?) + PROTO_TCP + segment)
}

/// Makes the header right for `payload` bytes of data.
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
) -> Result<(), Malformed> {
    let (ip, tcp) = parts(head, at)?;
    let pseudo = set_length(ip, tcp.len(), payload, at.v6)?;
    if let Some(f) = tcp.get_mut(TCP_FLAGS) {
        *f |= flags;
    }
    put16(tcp, TCP_CSUM, fold(pseudo))
}

/// Turns the header of an aggregate's first packet into that of a later one.
///
/// `bytes` of data in `segs` segments have gone up before; IPv4 ids count up unless `fixed_id`.
///
/// # Errors
///
/// [`Malformed`] if the offsets do not fit the header.
pub(crate) fn advance(
    head: &mut [u8],
    at: Layout,
    bytes: u32,
    segs: u16,
    fixed_id: bool,
) -> Result<(), Malformed> {
    let (ip, tcp) = parts(head, at)?;
    let seq = tcp.get_mut(TCP_SEQ..TCP_SEQ + 4).ok_or(Malformed)?;
    let old = <[u8; 4]>::try_from(&*seq).map_err(|_| Malformed)?;
    seq.copy_from_slice(&u32::from_be_bytes(old).wrapping_add(bytes).to_be_bytes());
    if !at.v6 && !fixed_id {
        let id = get16(ip, IP4_ID)?.wrapping_add(segs);
        put16(ip, IP4_ID, id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Layout = Layout {
        l3: 14,
        l4: 34,
        v6: false,
    };
    const V6: Layout = Layout {
        l3: 14,
        l4: 54,
        v6: true,
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
        ] {
            assert_eq!(finish(&mut h, at, 100, 0), Err(Malformed));
            assert_eq!(advance(&mut h, at, 100, 1, false), Err(Malformed));
        }
        assert_eq!(finish(&mut [], V4, 1, 0), Err(Malformed));
    }

    #[test]
    fn a_later_header_counts_on_and_wraps() {
        let mut h = v4_header();
        advance(&mut h, V4, 0x20, 3, false).unwrap();
        assert_eq!(h[38..42], [0, 0, 0, 0x10]);
        assert_eq!(get16(&h, 18), Ok(1));
        let mut h = v4_header();
        advance(&mut h, V4, 0x20, 3, true).unwrap();
        assert_eq!(get16(&h, 18), Ok(0xfffe));
    }
}
