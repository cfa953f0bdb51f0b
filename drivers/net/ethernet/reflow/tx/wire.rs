// SPDX-License-Identifier: GPL-2.0

//! Packets in numbers: what one becomes on the wire, and the sums of those that were sent.
//!
//! Pure: compiled in the module and in the host's tests.

/// The frames that a packet becomes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct OnWire {
    /// How many, and [`STAMPED`].
    frames: u32,
    pub(crate) bytes: u32,
}

/// Bit of [`OnWire::frames`]: the packet waits for the time at which it left.
const STAMPED: u32 = 1 << 31;

impl OnWire {
    /// A packet of `len` bytes that is sent as it is.
    pub(crate) fn whole(len: u32) -> Self {
        Self {
            frames: 1,
            bytes: len,
        }
    }

    /// A packet of `len` bytes that is cut into `segs` segments, of which each repeats `hdr_len`
    /// bytes.
    pub(crate) fn cut(len: u32, segs: u16, hdr_len: u16) -> Self {
        let frames = u32::from(segs.max(1));
        Self {
            frames,
            bytes: len.saturating_add((frames - 1).saturating_mul(hdr_len.into())),
        }
    }

    /// The same; `on` says whether the packet waits for the time at which it left.
    #[inline]
    pub(crate) fn stamped(mut self, on: bool) -> Self {
        self.frames = self.frames() | if on { STAMPED } else { 0 };
        self
    }

    /// Whether the packet waits for the time at which it left.
    #[inline]
    pub(crate) fn is_stamped(self) -> bool {
        self.frames & STAMPED != 0
    }

    /// How many frames.
    #[inline]
    pub(crate) fn frames(self) -> u32 {
        self.frames & !STAMPED
    }
}

/// Sums over the packets of one poll. A ring of packets that are cut into segments of one byte is
/// more than 4 GiB on the wire, so 32 bits do not do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sums {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Packets that were cut.
    pub(crate) large: u64,
    /// Segments that they became.
    pub(crate) segments: u64,
}

impl Sums {
    /// Adds a packet.
    #[inline]
    pub(crate) fn add(&mut self, one: OnWire) {
        let frames = one.frames();
        self.frames += u64::from(frames);
        self.bytes += u64::from(one.bytes);
        if frames > 1 {
            self.large += 1;
            self.segments += u64::from(frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_repeated() {
        let cut = OnWire::cut(54 + 250, 3, 54);
        assert_eq!((cut.frames, cut.bytes), (3, 3 * 54 + 250));
        assert_eq!(OnWire::cut(100, 0, 54), OnWire::whole(100));
    }

    #[test]
    fn stamps_are_not_counted() {
        let one = OnWire::cut(54 + 250, 3, 54).stamped(true);
        assert!(one.is_stamped() && !one.stamped(false).is_stamped());
        let mut sums = Sums::default();
        sums.add(one);
        assert_eq!((sums.frames, sums.segments), (3, 3));
    }

    #[test]
    fn a_ring_of_packets_cut_into_bytes_is_counted() {
        let one = OnWire::cut(65535, 65481, 54);
        let mut sums = Sums::default();
        for _ in 0..1 << 13 {
            sums.add(one);
        }
        assert_eq!(sums.frames, 65481 << 13);
        assert_eq!(sums.bytes, u64::from(one.bytes) << 13);
        assert!(sums.bytes > u64::from(u32::MAX));
        assert_eq!((sums.large, sums.segments), (1 << 13, sums.frames));
    }
}
