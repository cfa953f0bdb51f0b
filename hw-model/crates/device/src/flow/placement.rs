// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The place of a connection's data in a list of host pages, PDU by PDU if it has any.

use crate::arrive::parser::Session;
use reflow_hwdef::cmd::{CmdStatus, LIST_MAX, T0};
use std::collections::VecDeque;

/// Bytes of a page of a list.
pub(crate) const PAGE: u64 = 4096;
/// Longest PDU header: its field has six bits.
const HEADER_MAX: usize = 63;

/// A run of data in one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// Bytes of PDU headers in front of the data.
    pub(crate) skip: usize,
    /// Index of the page.
    pub(crate) page: usize,
    /// Where the data starts in it.
    pub(crate) off: usize,
    /// Bytes of data.
    pub(crate) len: usize,
    /// It is the first of a PDU.
    pub(crate) first: bool,
}

/// Progress of a connection's data in a list.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Position of the next data in the list.
    at: u64,
    /// Data of the PDU that is missing.
    left: u64,
    /// None of that data has arrived.
    fresh: bool,
    /// The PDU's header, and the bytes of it received so far.
    header: [u8; HEADER_MAX],
    have: usize,
}

/// A place in the middle of a PDU's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inside {
    /// Data of the PDU before it.
    pub(crate) done: u64,
    /// Data of the PDU behind it.
    pub(crate) left: u64,
}

/// A list of pages that is being filled.
#[derive(Debug)]
pub(crate) struct Placement {
    pages: Vec<u64>,
    framing: Option<Session>,
    cursor: Cursor,
}

impl Placement {
    /// A list of so many pages that data goes to from byte `start` on.
    pub(crate) fn new(
        t0: T0,
        pages: usize,
        start: u32,
        read_list: impl FnOnce(usize) -> Result<Vec<u64>, CmdStatus>,
    ) -> Result<Self, CmdStatus> {
        let framing = (t0.pdu() != 0).then_some(Session {
            header_len: t0.pdu_hdr() as u8,
            len_at: t0.pdu_off() as u8,
            len_bytes: t0.pdu_bytes() as u8,
        });
        let framing_fits = framing.is_none_or(|framing| {
            start == 0
                && (1..=4).contains(&framing.len_bytes)
                && framing.len_at + framing.len_bytes <= framing.header_len
        });
        let in_range =
            (1..=LIST_MAX as usize).contains(&pages) && u64::from(start) <= pages as u64 * PAGE;
        if !framing_fits || !in_range {
            return Err(CmdStatus::BadArgument);
        }
        let pages = read_list(pages)?;
        if pages.iter().any(|page| page % PAGE != 0) {
            return Err(CmdStatus::BadArgument);
        }
        Ok(Self {
            pages,
            framing,
            cursor: Cursor {
                at: start.into(),
                left: 0,
                fresh: false,
                header: [0; HEADER_MAX],
                have: 0,
            },
        })
    }

    /// Begins in the middle of a PDU; `None` if the rest of that does not fit.
    ///
    /// Without framing there is nothing to do.
    pub(crate) fn go_on(&mut self, inside: Inside) -> Option<()> {
        if self.framing.is_none() || inside.left == 0 {
            return Some(());
        }
        let at = inside.done % PAGE;
        if at + inside.left > self.capacity() {
            return None;
        }
        self.cursor.at = at;
        self.cursor.left = inside.left;
        Some(())
    }

    /// Bus address of a page.
    pub(crate) fn page(&self, index: usize) -> Option<u64> {
        self.pages.get(index).copied()
    }

    /// Finds the places of the next data, and appends its runs to `runs`.
    ///
    /// Returns the number of runs and the bytes of PDU headers, at most
    /// `room`. `None` without a change if the list has no room for all of it.
    pub(crate) fn lay_out(
        &mut self,
        data: &[u8],
        room: usize,
        runs: &mut VecDeque<Run>,
    ) -> Option<(usize, usize)> {
        let (cursor, before) = (self.cursor, runs.len());
        let inline = match self.framing {
            Some(framing) => self.frame(framing, data, room, runs),
            None => self.fill(data.len(), 0, runs).map(|()| 0),
        };
        if inline.is_none() {
            self.cursor = cursor;
            runs.truncate(before);
        }
        inline.map(|inline| (runs.len() - before, inline))
    }

    fn capacity(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// Appends data page by page; `skip` bytes of headers precede it.
    fn fill(&mut self, mut len: usize, mut skip: usize, runs: &mut VecDeque<Run>) -> Option<()> {
        if self.cursor.at + len as u64 > self.capacity() {
            return None;
        }
        while len > 0 {
            let off = (self.cursor.at % PAGE) as usize;
            let n = len.min(PAGE as usize - off);
            runs.push_back(Run {
                skip,
                page: (self.cursor.at / PAGE) as usize,
                off,
                len: n,
                first: std::mem::take(&mut self.cursor.fresh),
            });
            self.cursor.at += n as u64;
            len -= n;
            skip = 0;
        }
        Some(())
    }

    /// Cuts data into PDUs; returns the bytes of their headers.
    fn frame(
        &mut self,
        framing: Session,
        mut data: &[u8],
        room: usize,
        runs: &mut VecDeque<Run>,
    ) -> Option<usize> {
        let header_len = usize::from(framing.header_len);
        let (mut inline, mut skip) = (0, 0);
        while !data.is_empty() {
            let c = &mut self.cursor;
            if c.left == 0 {
                let (header, rest) = data.split_at(data.len().min(header_len - c.have));
                c.header[c.have..c.have + header.len()].copy_from_slice(header);
                c.have += header.len();
                inline += header.len();
                skip += header.len();
                data = rest;
                if c.have == header_len {
                    c.have = 0;
                    let whole = framing.message_len(&c.header[..header_len])?;
                    self.begin(whole.saturating_sub(header_len as u64))?;
                }
            } else {
                let n = data
                    .len()
                    .min(usize::try_from(c.left).unwrap_or(usize::MAX));
                c.left -= n as u64;
                self.fill(n, skip, runs)?;
                data = &data[n..];
                skip = 0;
            }
        }
        (inline <= room).then_some(inline)
    }

    /// A PDU with so much data begins.
    fn begin(&mut self, len: u64) -> Option<()> {
        if len == 0 {
            return Some(());
        }
        let at = self.cursor.at.next_multiple_of(PAGE);
        if at + len > self.capacity() {
            return None;
        }
        self.cursor.at = at;
        self.cursor.left = len;
        self.cursor.fresh = true;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(t0: T0, pages: usize, start: u32) -> Placement {
        let at = |i| 0x10_0000 + i as u64 * PAGE;
        Placement::new(t0, pages, start, |n| Ok((0..n).map(at).collect())).unwrap()
    }

    fn framed() -> T0 {
        T0(0)
            .with_pdu(1)
            .with_pdu_hdr(4)
            .with_pdu_off(1)
            .with_pdu_bytes(3)
    }

    #[test]
    fn data_that_does_not_fit_changes_nothing() {
        let mut list = list(T0(0), 1, 4000);
        let mut runs = VecDeque::new();
        assert_eq!(list.lay_out(&[0; 97], 0, &mut runs), None);
        assert!(runs.is_empty());
        assert_eq!(list.lay_out(&[0; 96], 0, &mut runs), Some((1, 0)));
        assert_eq!((runs[0].page, runs[0].off, runs[0].len), (0, 4000, 96));
        assert_eq!(list.lay_out(&[0; 1], 0, &mut runs), None);
    }

    #[test]
    fn pdus_without_data_take_no_page() {
        let mut list = list(framed(), 2, 0);
        let mut runs = VecDeque::new();
        let data = [0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 0, 1];
        assert_eq!(list.lay_out(&data, 11, &mut runs), None);
        assert_eq!(list.lay_out(&data, 12, &mut runs), Some((1, 12)));
        assert_eq!((runs[0].skip, runs[0].page, runs[0].len), (8, 0, 1));
        assert_eq!(list.lay_out(&[8], 0, &mut runs), Some((1, 0)));
        assert_eq!((runs[1].skip, runs[1].page, runs[1].len), (0, 1, 1));
        // No page is left, and the length of this one exceeds any list.
        assert_eq!(list.lay_out(&[0, 0xff, 0xff, 0xff], 4, &mut runs), None);
    }

    proptest! {
        /// However a stream is cut into packets, every byte has the same place.
        ///
        /// Claims: 41.
        #[test]
        fn placement_does_not_depend_on_segmentation(
            pdus in proptest::collection::vec(0..9000_usize, 1..8),
            cuts in proptest::collection::vec(1..3000_usize, 1..8),
        ) {
            let mut stream = Vec::new();
            let (mut want, mut page) = (Vec::new(), 0);
            for len in pdus {
                stream.extend_from_slice(&(len as u32).to_be_bytes());
                stream.resize(stream.len() + len, 0);
                want.extend((0..len).map(|i| page * PAGE as usize + i));
                page += len.div_ceil(PAGE as usize);
            }
            let mut list = list(framed(), 100, 0);
            let mut runs = VecDeque::new();
            let (mut at, mut inline) = (0, 0);
            for cut in cuts.iter().cycle() {
                let end = stream.len().min(at + cut);
                inline += list.lay_out(&stream[at..end], usize::MAX, &mut runs).unwrap().1;
                at = end;
                if at == stream.len() {
                    break;
                }
            }
            let got: Vec<_> = runs
                .iter()
                .flat_map(|run| (0..run.len).map(|i| run.page * PAGE as usize + run.off + i))
                .collect();
            prop_assert_eq!(inline + want.len(), stream.len());
            prop_assert_eq!(got, want);
        }
    }
}
