// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Session framing: follows the messages of a connection through its byte stream.
//!
//! A message (PDU) is a header with a length field, and data. The parser program tells how to read
//! the header; the SYN gives the place of the first one, and each length that of the next
//! one. The data of a long PDU starts on a page of its own, so that the host finds it
//! contiguous from a page's start, whatever the segments' sizes. The rules are in
//! [`FlowCfg`](reflow_hwdef::regs::FlowCfg).

use crate::arrive::parser::Session;
use crate::flow::placement::Inside;
use reflow_hwdef::regs::{PDU_MAX, PDU_MIN};

/// Most places in one packet where the data of a long PDU starts.
const STARTS: usize = 16;

/// Places in a packet's data where a fresh page is due, in order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Starts {
    at: [u16; STARTS],
    count: usize,
}

impl Starts {
    /// The places, as offsets in the data.
    pub(crate) fn as_slice(&self) -> &[u16] {
        &self.at[..self.count]
    }

    fn push(&mut self, at: usize) {
        // Long PDUs: no packet has room for more of them.
        if let (Some(slot), Ok(at)) = (self.at.get_mut(self.count), u16::try_from(at)) {
            *slot = at;
            self.count += 1;
        }
    }
}

/// The position is not inside a PDU's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unknown;

/// Position of a connection in its messages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Framing {
    /// The position of the next header is known.
    synced: bool,
    /// Sequence number of the next byte of a header.
    at: u32,
    /// Bytes of that header received so far.
    have: u8,
    /// Its length field, as far as received.
    len: u64,
    /// Sequence number of the first byte of data of the PDU before it.
    start: u32,
    /// Start of the data of a long PDU whose page is not begun yet.
    due: Option<u32>,
    /// End of the data of a long PDU that is on its own pages so far, and end of all of it.
    placed: Option<(u32, u32)>,
}

/// The position of a packet's data in the messages of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Walk {
    /// The position after the packet.
    pub(crate) framing: Framing,
    /// Places where a fresh page is due.
    pub(crate) starts: Starts,
    /// The data continues a long PDU on its pages.
    pub(crate) inside: bool,
    /// The data of the next packet does, too.
    pub(crate) goes_on: bool,
    /// Headers whose length is above PDU_MAX.
    pub(crate) insane: u64,
}

impl Framing {
    /// After a SYN: the first header is at this sequence number.
    pub(crate) fn begin(at: u32) -> Self {
        Self {
            synced: true,
            at,
            ..Self::default()
        }
    }

    /// Position in a PDU of the next byte of data; `None` if messages are not followed.
    ///
    /// # Errors
    ///
    /// It is inside a PDU's header, or a header was missed.
    pub(crate) fn inside(&self, seq: u32) -> Result<Option<Inside>, Unknown> {
        let left = self.at.wrapping_sub(seq);
        if !self.synced {
            Ok(None)
        } else if self.have != 0 || left >= 1 << 31 {
            Err(Unknown)
        } else {
            Ok(Some(Inside {
                done: seq.wrapping_sub(self.start).into(),
                left: left.into(),
            }))
        }
    }

    /// Follows the messages in the data of a packet. `merged`: it goes to its flow's pages.
    pub(crate) fn walk(mut self, session: Session, seq: u32, data: &[u8], merged: bool) -> Walk {
        let mut walk = Walk {
            inside: merged
                && matches!(self.placed, Some((next, end)) if next == seq && next != end),
            ..Walk::default()
        };
        let next = seq.wrapping_add(data.len() as u32);
        self.place(&mut walk, seq, data.len());
        while let Some(&byte) = self.next_byte(seq, data) {
            if session.covers(self.have) {
                self.len = (self.len << 8) | u64::from(byte);
            }
            self.have += 1;
            self.at = self.at.wrapping_add(1);
            if self.have >= session.header_len {
                self.pdu(&mut walk);
                self.place(&mut walk, seq, data.len());
            }
        }
        // The start of the last PDU here, or of one before, if its data has not ended yet.
        self.placed = match self.placed {
            Some((from, end)) if merged && (walk.inside || walk.starts.count != 0) => {
                let left = end.wrapping_sub(from);
                (next.wrapping_sub(from) < left).then_some((next, end))
            }
            _ => None,
        };
        walk.goes_on = self.placed.is_some();
        walk.framing = self;
        walk
    }

    /// The next byte of a header, if it is in the packet.
    fn next_byte<'a>(&self, seq: u32, data: &'a [u8]) -> Option<&'a u8> {
        let off = self.at.wrapping_sub(seq) as usize;
        data.get(off).filter(|_| self.synced)
    }

    /// A header is complete: the next one is behind its data.
    fn pdu(&mut self, walk: &mut Walk) {
        let len = std::mem::take(&mut self.len);
        self.have = 0;
        let start = self.at;
        self.start = start;
        match u32::try_from(len) {
            // From 2^31 on, ahead and behind cannot be told apart.
            Ok(len) if len < 1 << 31 => self.at = start.wrapping_add(len),
            _ => self.synced = false,
        }
        if len > PDU_MAX {
            walk.insane += 1;
        } else if len >= PDU_MIN {
            self.due = Some(start);
        }
    }

    /// Places the start of the data that is due, if it is in the packet.
    fn place(&mut self, walk: &mut Walk, seq: u32, len: usize) {
        let Some(start) = self.due else {
            return;
        };
        let off = start.wrapping_sub(seq) as usize;
        if off < len {
            walk.starts.push(off);
            self.placed = Some((start, self.at));
            self.due = None;
        } else if off >= 1 << 31 {
            // The stream has passed it.
            self.due = None;
        }
    }
}

impl Session {
    /// Whether a byte of the header belongs to the length field.
    fn covers(self, at: u8) -> bool {
        (self.len_at..self.len_at.saturating_add(self.len_bytes)).contains(&at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NETBIOS: Session = Session {
        header_len: 4,
        len_at: 1,
        len_bytes: 3,
    };

    fn header(len: usize) -> [u8; 4] {
        (len as u32).to_be_bytes()
    }

    proptest! {
        /// However a stream is cut into packets, each long PDU's data starts a page exactly
        /// once.
        ///
        /// Claims: 29, 41.
        #[test]
        fn pdu_starts_do_not_depend_on_segmentation(
            pdus in proptest::collection::vec(prop_oneof![0..10_usize, 4000..20_000_usize], 1..12),
            cuts in proptest::collection::vec(1..3000_usize, 1..8),
            isn: u32,
        ) {
            let (mut stream, mut want) = (Vec::new(), Vec::new());
            for &len in &pdus {
                stream.extend(header(len));
                if len >= 4096 {
                    want.push(stream.len());
                }
                stream.resize(stream.len() + len, 0xff);
            }
            let (mut framing, mut got, mut at) = (Framing::begin(isn), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = stream.len().min(at + cut);
                let seq = isn.wrapping_add(at as u32);
                let walk = framing.walk(NETBIOS, seq, &stream[at..end], true);
                got.extend(walk.starts.as_slice().iter().map(|&s| at + usize::from(s)));
                framing = walk.framing;
                at = end;
                if at == stream.len() {
                    break;
                }
            }
            prop_assert_eq!(got, want);
        }

        /// No input makes it panic.
        #[test]
        fn any_stream_in_any_order(
            packets in proptest::collection::vec(
                (any::<u32>(), proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..40,
            ),
            isn: u32,
            header_len in 1..=255_u8,
            len_at: u8,
            len_bytes in 1..=4_u8,
        ) {
            let session = Session { header_len, len_at, len_bytes };
            let mut framing = Framing::begin(isn);
            for (seq, data, merged) in packets {
                let seq = isn.wrapping_add(seq % 500);
                framing = framing.walk(session, seq, &data, merged).framing;
            }
        }
    }

    #[test]
    fn a_length_above_the_limit_is_counted() {
        let framing = Framing::begin(100);
        let walk = framing.walk(NETBIOS, 100, &[0, 0xff, 0xff, 0xff, 1, 2], true);
        assert_eq!((walk.insane, walk.starts.count), (1, 0));
        let max = header(1 << 20);
        let walk = framing.walk(NETBIOS, 100, &[&max[..], &[1]].concat(), true);
        assert_eq!((walk.insane, walk.starts.as_slice()), (0, &[4][..]));
    }

    #[test]
    fn a_gap_ends_a_pdu_and_the_next_one_is_found() {
        let mut stream = header(8000).to_vec();
        stream.resize(8004, 0);
        stream.extend(header(5000));
        stream.resize(8008 + 5000, 0);
        let walk = Framing::begin(0).walk(NETBIOS, 0, &stream[..1000], true);
        assert!(walk.goes_on);
        let walk = walk.framing.walk(NETBIOS, 2000, &stream[2000..3000], false);
        assert!(!walk.goes_on && !walk.inside);
        let walk = walk.framing.walk(NETBIOS, 3000, &stream[3000..4000], true);
        assert!(!walk.goes_on && !walk.inside);
        let walk = walk.framing.walk(NETBIOS, 7500, &stream[7500..8500], true);
        assert_eq!(walk.starts.as_slice(), [508]);
        // A retransmission changes nothing.
        let again = walk.framing.walk(NETBIOS, 0, &stream[..1000], false);
        assert_eq!(again.starts.count, 0);
    }

    #[test]
    fn a_connection_without_set_up_has_no_framing() {
        let stream = [&header(8000)[..], &[0; 100]].concat();
        let walk = Framing::default().walk(NETBIOS, 0, &stream, true);
        assert_eq!((walk.starts.count, walk.goes_on), (0, false));
    }
}
