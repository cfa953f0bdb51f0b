// SPDX-License-Identifier: GPL-2.0

//! Descriptors: the two 64-bit words by which driver and device pass buffers to each other.
//!
//! Layouts are those of the data sheet, sections 7.1.5 (receive) and 7.2.2 (transmit). This file
//! needs no kernel, and is tested on the host.

/// 64-bit words of a descriptor of any kind.
pub(crate) const WORDS: usize = 2;

/// Longest Ethernet header that a context can tell of, and longest IP header.
const MAC_LEN_MAX: u16 = 127;
const IP_LEN_MAX: u16 = 511;
/// Longest TCP header, what its own length field can say, and the shortest.
const TCP_LEN_MAX: u16 = 60;
const TCP_LEN_MIN: u16 = 20;

/// Descriptor type and extension bit of a context, in its second word.
const CONTEXT: u64 = (1 << 29) | (2 << 20);
/// Descriptor type and extension bit of data, in its second word; the device is to add the frame's
/// checksum.
const DATA: u64 = (1 << 29) | (3 << 20) | (1 << 25);
/// Last data descriptor of a packet, at which the device is to report how far it came.
pub(crate) const LAST: u64 = (1 << 24) | (1 << 27);
/// Insert the VLAN tag of the context.
const INSERT_VLAN: u64 = 1 << 30;
/// Cut into TCP segments.
const SEGMENT: u64 = 1 << 31;
/// Insert the checksum of the IPv4 header.
const IP_SUM: u64 = 1 << 40;
/// Insert the checksum of TCP or UDP.
const L4_SUM: u64 = 1 << 41;

/// The transport checksum of a received packet was checked.
const SUM_CHECKED: u64 = 1 << 5;
/// It is wrong, or that of the IPv4 header.
const SUMS_WRONG: u64 = (1 << 29) | (1 << 30);

/// Where the headers of a packet are, whose checksum the device is to insert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Headers {
    /// Offset of the IP header.
    pub(crate) l3: u16,
    /// Offset of the transport header.
    pub(crate) l4: u16,
    /// That is TCP, else UDP.
    pub(crate) tcp: bool,
}

impl Headers {
    /// Whether the device's fields can tell of these headers.
    fn fit(&self) -> bool {
        let ip = self.l4.checked_sub(self.l3);
        self.l3 <= MAC_LEN_MAX && ip.is_some_and(|len| len <= IP_LEN_MAX)
    }
}

/// TCP segments that a packet is to be cut into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segments {
    /// Payload bytes of each but the last.
    pub(crate) mss: u16,
    /// Bytes of all headers, which each segment repeats.
    pub(crate) headers: u16,
    /// IPv6, else IPv4.
    pub(crate) v6: bool,
}

/// Offloads requested for a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offload {
    /// Tag to insert.
    pub(crate) vlan: Option<u16>,
    /// Insert the transport checksum.
    pub(crate) sum: Option<Headers>,
    /// Cut it, which takes the checksum as well.
    pub(crate) segments: Option<Segments>,
}

/// A context: what several packets have in common that the device is to do something to. It stays
/// in force for the queue until there is another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context(pub(crate) [u64; WORDS]);

impl Offload {
    /// The context that the device has to know, `None` if there is nothing to do.
    ///
    /// # Errors
    ///
    /// The headers are such as the device cannot be told of.
    pub(crate) fn context(&self) -> Result<Option<Context>, ()> {
        if *self == Self::default() {
            return Ok(None);
        }
        let mut words = [u64::from(self.vlan.unwrap_or(0)) << 16, CONTEXT];
        if let Some(h) = self.sum {
            if !h.fit() {
                return Err(());
            }
            words[0] |= u64::from(h.l4 - h.l3) | (u64::from(h.l3) << 9);
            words[1] |= u64::from(h.tcp) << 11;
        }
        if let Some(s) = self.segments {
            let h = self.sum.filter(|h| h.tcp).ok_or(())?;
            let tcp = s.headers.checked_sub(h.l4).ok_or(())?;
            if s.mss == 0 || !(TCP_LEN_MIN..=TCP_LEN_MAX).contains(&tcp) {
                return Err(());
            }
            words[1] |=
                (u64::from(!s.v6) << 10) | (u64::from(tcp) << 40) | (u64::from(s.mss) << 48);
        }
        Ok(Some(Context(words)))
    }

    /// The second word of the data descriptors of a packet of `len` bytes, but for what differs
    /// between them.
    pub(crate) fn data(&self, len: u32) -> Data {
        let mut word = DATA;
        if self.vlan.is_some() {
            word |= INSERT_VLAN;
        }
        if self.sum.is_some() {
            word |= L4_SUM;
        }
        let mut payload = len;
        if let Some(s) = self.segments {
            word |= if s.v6 { SEGMENT } else { SEGMENT | IP_SUM };
            payload = len.saturating_sub(s.headers.into());
        }
        Data(word | (u64::from(payload) << 46))
    }
}

/// The second word of a data descriptor without its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Data(pub(crate) u64);

impl Data {
    /// Most bytes of one descriptor.
    pub(crate) const MAX_LEN: u32 = 0xffff;

    /// The word for `len` bytes, at most [`Self::MAX_LEN`].
    #[inline(always)]
    pub(crate) fn part(self, len: u32, last: bool) -> u64 {
        self.0 | u64::from(len & Self::MAX_LEN) | if last { LAST } else { 0 }
    }
}

/// The second word of a receive descriptor, as the device wrote it. It is complete with
/// [`Self::is_done`]; the first word is to be read after that.
#[derive(Clone, Copy)]
pub(crate) struct Received(pub(crate) u64);

impl Received {
    /// Whether the device has written the descriptor.
    #[inline(always)]
    pub(crate) fn is_done(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether the packet ends in this buffer. Only then the rest is valid but for the length.
    #[inline(always)]
    pub(crate) fn is_last(self) -> bool {
        self.0 & (1 << 1) != 0
    }

    /// Bytes in the buffer.
    #[inline(always)]
    pub(crate) fn len(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// The tag that the device removed.
    #[inline(always)]
    pub(crate) fn vlan(self) -> Option<u16> {
        (self.0 & (1 << 3) != 0).then_some((self.0 >> 48) as u16)
    }

    /// Whether the device found the transport checksum right, and those before it.
    #[inline(always)]
    pub(crate) fn sums_right(self) -> bool {
        self.0 & (SUM_CHECKED | SUMS_WRONG) == SUM_CHECKED
    }

    /// Whether it found one of them wrong.
    #[inline(always)]
    pub(crate) fn sums_wrong(self) -> bool {
        self.0 & SUMS_WRONG != 0
    }

    /// Whether the frame itself is damaged.
    #[inline(always)]
    pub(crate) fn is_damaged(self) -> bool {
        self.0 & (1 << 31) != 0
    }
}

/// The first word of a receive descriptor, as the device wrote it.
#[derive(Clone, Copy)]
pub(crate) struct Hashed(pub(crate) u64);

impl Hashed {
    /// The flow hash, and whether it covers ports.
    #[inline(always)]
    pub(crate) fn hash(self) -> Option<(u32, bool)> {
        let hash = (self.0 >> 32) as u32;
        match self.0 & 0xf {
            // TCP or UDP, over IPv4, IPv6 or IPv6 with extensions.
            1 | 3 | 6..=9 => Some((hash, true)),
            2 | 4 | 5 => Some((hash, false)),
            _ => None,
        }
    }
}

/// Bit of the multicast table that an address is looked up by: its upper twelve bits.
pub(crate) fn multicast_bit(addr: &[u8; 6]) -> usize {
    usize::from(u16::from_le_bytes([addr[4], addr[5]]) >> 4)
}
