// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules of merging: an aggregate, segmented again, must give the original frames
//! byte for byte.
//!
//! So every header byte must be as in the first packet of the aggregate, except for those that
//! follow from the position in it: lengths, checksums, the sequence number, an IPv4 id that increments
//! (or does not), and PSH and FIN, which may only be on the last packet.

use crate::arrive::headers::{Layers, Tcp, MAX_LEVELS};
use crate::proto::{be16, FIN, PSH};
use reflow_hwdef::isa::HEADER_MEMORY;

/// How the IPv4 ids of one header change from packet to packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ids {
    /// One packet so far: not known.
    Open,
    /// One more for each packet.
    Counting,
    /// The same in all.
    Fixed,
}

/// Which headers of an aggregate have constant IPv4 ids.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct FixedIds {
    /// The innermost one.
    pub(crate) inner: bool,
    /// The one around it.
    pub(crate) outer: bool,
}

/// A TCP packet with data that may be merged.
pub(crate) struct Segment<'a> {
    /// The whole frame as it came.
    pub(crate) frame: &'a [u8],
    /// Its IP headers.
    pub(crate) layers: &'a Layers,
    /// Its TCP header.
    pub(crate) tcp: &'a Tcp,
}

/// The outcome of appending a packet to its aggregate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// A header field differs, the data is longer than the first's, or the aggregate would be too
    /// long: it may not be appended.
    Differs,
    /// Appended; the aggregate goes on.
    Appended,
    /// Appended; the aggregate is complete.
    Complete,
}

/// An open aggregate of a flow.
#[derive(Debug)]
pub(crate) struct Aggregate {
    /// Headers of the first packet without the fields that may differ.
    header: Vec<u8>,
    layers: Option<Layers>,
    ids: [u16; MAX_LEVELS],
    modes: [Ids; MAX_LEVELS],
    count: u16,
    seg_size: usize,
    ip_len: usize,
}

impl Aggregate {
    /// No aggregate.
    pub(crate) const fn none() -> Self {
        Self {
            header: Vec::new(),
            layers: None,
            ids: [0; MAX_LEVELS],
            modes: [Ids::Open; MAX_LEVELS],
            count: 0,
            seg_size: 0,
            ip_len: 0,
        }
    }

    /// Whether there is one.
    pub(crate) fn is_open(&self) -> bool {
        self.count != 0
    }

    /// Closes it.
    pub(crate) fn close(&mut self) {
        self.count = 0;
    }

    /// Payload bytes of each packet but the last.
    pub(crate) fn seg_size(&self) -> usize {
        self.seg_size
    }

    /// Which IPv4 ids are known to be constant.
    pub(crate) fn fixed_ids(&self) -> FixedIds {
        let fixed = |level: usize| self.modes.get(level) == Some(&Ids::Fixed);
        let levels = self.layers.map_or(0, |layers| layers.levels().len());
        FixedIds {
            inner: levels.checked_sub(1).is_some_and(fixed),
            outer: levels.checked_sub(2).is_some_and(fixed),
        }
    }

    /// Opens an aggregate with its first packet.
    pub(crate) fn start(&mut self, seg: &Segment<'_>) {
        let mut scratch = [0; HEADER_MEMORY];
        let Some(header) = constant_part(seg, &mut scratch) else {
            self.close();
            return;
        };
        self.header.clear();
        self.header.extend_from_slice(header);
        self.layers = Some(*seg.layers);
        self.ids = ids(seg);
        self.modes = [Ids::Open; MAX_LEVELS];
        self.count = 1;
        self.seg_size = seg.tcp.len;
        self.ip_len = seg.layers.ip_len(seg.layers.end);
    }

    /// Appends a packet with the expected sequence number if the rules allow it.
    pub(crate) fn append(&mut self, seg: &Segment<'_>, max_ip_len: usize) -> Verdict {
        let ip_len = self.ip_len + seg.tcp.len;
        if seg.tcp.len > self.seg_size || ip_len > max_ip_len || self.count == u16::MAX {
            return Verdict::Differs;
        }
        let Some(modes) = self.equal_but_for_position(seg) else {
            return Verdict::Differs;
        };
        self.modes = modes;
        self.count += 1;
        self.ip_len = ip_len;
        let last = seg.tcp.flags & (PSH | FIN) != 0;
        if last || seg.tcp.len < self.seg_size || ip_len == max_ip_len {
            Verdict::Complete
        } else {
            Verdict::Appended
        }
    }

    /// Compares headers; returns how the ids change, `None` for a difference.
    fn equal_but_for_position(&self, seg: &Segment<'_>) -> Option<[Ids; MAX_LEVELS]> {
        let layers = self.layers?;
        if layers.levels() != seg.layers.levels() || layers.l4 != seg.layers.l4 {
            return None;
        }
        let mut scratch = [0; HEADER_MEMORY];
        if constant_part(seg, &mut scratch)? != self.header {
            return None;
        }
        let ids = ids(seg);
        let mut modes = self.modes;
        for (i, level) in layers.levels().iter().enumerate() {
            if level.v6 {
                continue;
            }
            let next = if ids[i] == self.ids[i].wrapping_add(self.count) {
                Ids::Counting
            } else if ids[i] == self.ids[i] {
                Ids::Fixed
            } else {
                return None;
            };
            if modes[i] != Ids::Open && modes[i] != next {
                return None;
            }
            modes[i] = next;
        }
        Some(modes)
    }
}

/// IPv4 ids of all headers.
fn ids(seg: &Segment<'_>) -> [u16; MAX_LEVELS] {
    let mut ids = [0; MAX_LEVELS];
    for (id, level) in ids.iter_mut().zip(seg.layers.levels()) {
        if !level.v6 {
            *id = be16(seg.frame, level.off + 4).unwrap_or(0);
        }
    }
    ids
}

/// Copies the headers without the fields that may differ; `None` if they exceed the header memory.
fn constant_part<'a>(
    seg: &Segment<'_>,
    scratch: &'a mut [u8; HEADER_MEMORY],
) -> Option<&'a mut [u8]> {
    let header = scratch.get_mut(..seg.tcp.data)?;
    header.copy_from_slice(seg.frame.get(..seg.tcp.data)?);
    for level in seg.layers.levels() {
        let ip = header.get_mut(level.off..level.off + 20)?;
        if level.v6 {
            ip[4..6].fill(0);
        } else {
            ip[2..6].fill(0);
            ip[10..12].fill(0);
        }
    }
    let tcp = header.get_mut(seg.tcp.off..seg.tcp.off + 20)?;
    tcp[4..8].fill(0);
    tcp[13] &= !(PSH | FIN);
    tcp[16..18].fill(0);
    Some(header)
}
