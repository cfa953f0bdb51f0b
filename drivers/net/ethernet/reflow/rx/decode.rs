// SPDX-License-Identifier: GPL-2.0

//! Checks each completion once.
//!
//! [`form`] tells what a completion is about; [`whole`], [`in_cell`], [`in_buffer`] and [`split`]
//! turn its words into types with valid values only: operation codes exist, flow numbers
//! are below the table's size, ranges lie inside their buffer and the parts of a packet fit
//! together. Whether a buffer id is one that the device holds is for its ring to say. Pure:
//! compiled in the module and in the host's tests.

use crate::{
    hw::{
        desc::{
            self,
            Completion,
            CompletionKind,
            C0,
            C5, //
        },
        opcode::Opcode, //
    },
    sizes::{
        BUF_SIZE,
        CELL_SIZE,
        PAYLOAD_MAX, //
    }, //
};

/// Bytes of an Ethernet header.
const ETH_HLEN: u16 = 14;

/// Why a completion is bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadCompletion {
    /// No such operation code.
    Opcode,
    /// No such kind of completion.
    Kind,
    /// A flow number outside the table, or none where there must be one.
    Flow,
    /// Bytes outside their buffer, or none, or more than a cell holds, or the beginning of a packet
    /// that is shorter than an Ethernet header.
    Range,
    /// Parts that do not go together.
    Shape,
}

/// Bytes in a buffer; never empty, always inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// Id of the buffer.
    pub(crate) id: u16,
    /// Offset in the buffer.
    pub(crate) off: u16,
    /// Number of bytes.
    pub(crate) len: u16,
    /// The device is done with the buffer.
    pub(crate) release: bool,
}

/// The fields that every packet has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Operation code.
    pub(crate) opcode: Opcode,
    /// Flow number, below the size of the table.
    pub(crate) flow: Option<u16>,
    /// The next completion goes on with this packet.
    pub(crate) cont: bool,
    /// Another packet of this flow waits in the device.
    pub(crate) more: bool,
    /// Packets on the wire that this one stands for: several if they go on with one aggregate,
    /// whose data then fit their number.
    pub(crate) segs: u16,
}

/// A packet, or a part of one, that is split into header and data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Split {
    /// The fields of every packet.
    pub(crate) head: Head,
    /// The header.
    pub(crate) header: Option<Span>,
    /// The data, or the first of them. There are some if there is no header, or more data.
    pub(crate) data: Option<Span>,
    /// The last data.
    pub(crate) data2: Option<Span>,
    /// Pages full of data between the first range and the second, which then exist.
    pub(crate) pages: u16,
}

/// The kind of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// A packet in a cell of the small class.
    Small,
    /// A packet, or a part of one, in a packet buffer.
    Full,
    /// A packet, or a part of one, that is split into header and data.
    Split,
    /// A re-assembly buffer comes back without a packet: the first that the completion names.
    Release,
}

impl Head {
    /// Bytes on the wire of the packet, or packets, that its first completion is about.
    #[inline]
    pub(crate) fn wire_bytes(&self, c: &Completion) -> u64 {
        match self.segs {
            1 => c.c1.pkt_len(),
            segs => c.c5.data_len() + u64::from(segs) * c.c2.hdr_len(),
        }
    }
}

/// Checks a range of at most `limit` bytes of a buffer of `size` bytes.
#[inline]
fn span(
    id: u64,
    (off, len): (u64, u64),
    limit: u32,
    size: u32,
    release: u64,
) -> Result<Span, BadCompletion> {
    // All come from 16-bit fields.
    let (off, len) = (off as u32, len as u32);
    if len == 0 || len > limit || off + len > size {
        return Err(BadCompletion::Range);
    }
    Ok(Span {
        id: id as u16,
        off: off as u16,
        len: len as u16,
        release: release != 0,
    })
}

/// Checks the beginning of a packet: the stack reads an Ethernet header there.
#[inline]
fn beginning(span: Span) -> Result<Span, BadCompletion> {
    if span.len < ETH_HLEN {
        return Err(BadCompletion::Range);
    }
    Ok(span)
}

/// Header, data and more data of a packet that is split into header and data.
#[inline(always)]
fn parts(c: &Completion) -> Result<[Option<Span>; 3], BadCompletion> {
    let c0 = c.c0;
    let header = if c0.hb() != 0 {
        let s = span(
            c.c2.hb_id(),
            (c.c2.hb_off(), c.c2.hdr_len()),
            CELL_SIZE,
            BUF_SIZE,
            c0.rel_hb(),
        )?;
        Some(beginning(s)?)
    } else {
        None
    };
    let data = if c0.rb() != 0 {
        Some(span(
            c.c3.rb_id(),
            (c.c3.rb_off(), c.c3.rb_len()),
            PAYLOAD_MAX,
            PAYLOAD_MAX,
            c0.rel_rb(),
        )?)
    } else {
        None
    };
    let data2 = if c0.rb2() != 0 {
        Some(span(
            c.c3.rb2_id(),
            (0, c.c4.rb2_len()),
            PAYLOAD_MAX,
            PAYLOAD_MAX,
            c0.rel_rb2(),
        )?)
    } else {
        None
    };
    if (header.is_none() && data.is_none()) || (data.is_none() && data2.is_some()) {
        return Err(BadCompletion::Shape);
    }
    Ok([header, data, data2])
}

/// Where a packet is that lies in a cell of the small class.
///
/// # Errors
///
/// [`BadCompletion::Range`].
#[inline]
pub(crate) fn in_cell(c: &Completion) -> Result<Span, BadCompletion> {
    let at = (c.c4.nb_off(), c.c4.nb_len());
    beginning(span(c.c2.nb_id(), at, CELL_SIZE, BUF_SIZE, c.c0.rel_sb())?)
}

/// Does the work of [`whole`] and [`in_cell`] for most packets of form [`Form::Small`], in few
/// instructions.
///
/// `None` for those with a code that is not among the first four, a wrong checksum or a summary,
/// and for all that are not valid.
#[inline(always)]
pub(crate) fn plain(c: &Completion, flows: usize) -> Option<(Head, Span)> {
    const CODES: u64 = 4;
    const SEVERAL: u64 = !1;
    const OTHERS: C0 = C0(0)
        .with_opcode(!(CODES - 1))
        .with_csum_bad(1)
        .with_summary(u64::MAX)
        .with_segs(SEVERAL);
    let (c0, c4) = (c.c0, c.c4);
    let (off, len) = (c4.nb_off() as u16, c4.nb_len() as u16);
    if c0.0 & OTHERS.0 != 0
        || c.c5.pages() != 0
        || !(ETH_HLEN..=CELL_SIZE as u16).contains(&len)
        || u32::from(off) + u32::from(len) > BUF_SIZE
    {
        return None;
    }
    let flow = match c0.flow() as u16 {
        desc::FLOW_NONE => None,
        flow if usize::from(flow) < flows => Some(flow),
        _ => return None,
    };
    let head = Head {
        opcode: Opcode::from_raw((c0.opcode() % CODES) as u8)?,
        flow,
        cont: c0.cont() != 0,
        more: c0.more() != 0,
        segs: 1,
    };
    let span = Span {
        id: c.c2.nb_id() as u16,
        off,
        len,
        release: c0.rel_sb() != 0,
    };
    Some((head, span))
}

/// Where a packet, or a part of one, is that lies in a packet buffer; `first` says that the packet
/// begins here.
///
/// # Errors
///
/// [`BadCompletion::Range`].
#[inline]
pub(crate) fn in_buffer(c: &Completion, first: bool) -> Result<Span, BadCompletion> {
    let at = (c.c4.nb_off(), c.c4.nb_len());
    let span = span(c.c2.nb_id(), at, BUF_SIZE, BUF_SIZE, 1)?;
    if first {
        beginning(span)
    } else {
        Ok(span)
    }
}

/// Whether packets of this code belong to an aggregate.
#[inline]
fn aggregates(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Start | Opcode::Append | Opcode::AppendClose | Opcode::CloseStart
    )
}

/// How long the headers of a packet are, by what they say themselves: `byte` is the one at an
/// offset. `None` if only the device knows.
#[inline(always)]
pub(crate) fn header_len(c: &Completion, byte: impl FnOnce(usize) -> Option<u8>) -> Option<u16> {
    /// Where TCP has the length of its header, in words, in the upper four bits.
    const TCP_WORDS: u16 = 12;
    const UDP_LEN: u16 = 8;
    let l4 = c.c4.l4_off() as u16;
    match (l4, c.c0.tcp(), c.c0.udp()) {
        (0, ..) => None,
        (_, 1, _) => Some(l4 + u16::from(byte((l4 + TCP_WORDS).into())? >> 4) * 4),
        (_, _, 1) => Some(l4 + UDP_LEN),
        _ => None,
    }
}

/// Whose pages the data of a packet lie in: its flow's if it belongs to an aggregate, else those of
/// all packets that do not, [`FLOW_NONE`](desc::FLOW_NONE).
#[inline]
pub(crate) fn owner(c: &Completion) -> u16 {
    match Opcode::from_raw(c.c0.opcode() as u8) {
        Some(opcode) if aggregates(opcode) => c.c0.flow() as u16,
        _ => desc::FLOW_NONE,
    }
}

/// The kind of a completion, by the flags of its first word.
///
/// # Errors
///
/// [`BadCompletion::Kind`] and [`BadCompletion::Shape`].
#[inline(always)]
pub(crate) fn form(c0: C0) -> Result<Form, BadCompletion> {
    const PACKET: C0 = C0(0).with_kind(CompletionKind::Packet as u64);
    const RELEASE: u64 = CompletionKind::Release as u64;
    const SMALL: u64 = PACKET.with_sb(1).0;
    const FULL: u64 = PACKET.with_nb(1).0;
    const SPLIT: u64 = C0(0).with_hb(1).with_rb(1).with_rb2(1).0;
    const SAYS: u64 = C0(SPLIT).with_kind(u64::MAX).with_sb(1).with_nb(1).0;
    // One comparison for each.
    match c0.0 & SAYS {
        SMALL => Ok(Form::Small),
        FULL => Ok(Form::Full),
        says if says & !SPLIT == PACKET.0 => Ok(Form::Split),
        _ if c0.kind() == RELEASE && c0.rel_rb() != 0 => Ok(Form::Release),
        _ if c0.kind() <= RELEASE => Err(BadCompletion::Shape),
        _ => Err(BadCompletion::Kind),
    }
}

/// Checks what every packet has, against a table of `flows` flows.
///
/// # Errors
///
/// [`BadCompletion::Opcode`] and [`BadCompletion::Flow`].
#[inline]
pub(crate) fn head(c: &Completion, flows: usize) -> Result<Head, BadCompletion> {
    let c0 = c.c0;
    let opcode = Opcode::from_raw(c0.opcode() as u8).ok_or(BadCompletion::Opcode)?;
    if opcode == Opcode::Placed {
        // The device was given no list of pages to place data in.
        return Err(BadCompletion::Opcode);
    }
    let flow = match c0.flow() as u16 {
        desc::FLOW_NONE => None,
        flow if usize::from(flow) < flows => Some(flow),
        _ => return Err(BadCompletion::Flow),
    };
    Ok(Head {
        opcode,
        flow,
        cont: c0.cont() != 0,
        more: c0.more() != 0,
        segs: 1,
    })
}

/// Checks a completion of form [`Form::Small`] or [`Form::Full`] against a table of `flows` flows.
///
/// # Errors
///
/// The first contradiction found.
#[inline]
pub(crate) fn whole(c: &Completion, flows: usize) -> Result<Head, BadCompletion> {
    let head = head(c, flows)?;
    if aggregates(head.opcode) || c.c0.segs() > 1 || c.c5.pages() != 0 {
        return Err(BadCompletion::Shape);
    }
    Ok(head)
}

/// Checks a completion of form [`Form::Split`] against a table of `flows` flows. Pages of payload
/// have `size` bytes.
///
/// # Errors
///
/// The first contradiction found.
#[inline(always)]
pub(crate) fn split(c: &Completion, flows: usize, size: u32) -> Result<Split, BadCompletion> {
    let [header, data, data2] = parts(c)?;
    let mut this = Split {
        head: head(c, flows)?,
        header,
        data,
        data2,
        pages: c.c5.pages() as u16,
    };
    if this.is_of_aggregate() {
        this.check_aggregate(c, size)?;
    } else if c.c0.segs() > 1 || this.pages != 0 {
        return Err(BadCompletion::Shape);
    }
    Ok(this)
}

/// An aggregate that is all in one completion, without whole pages and outside a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Usual {
    /// Operation code, one that begins an aggregate.
    pub(crate) opcode: Opcode,
    /// Flow number, below the size of the table.
    pub(crate) flow: u16,
    /// Packets on the wire, whose data fit their number.
    pub(crate) segs: u16,
    /// The header.
    pub(crate) header: Span,
    /// The data, or the first of them.
    pub(crate) data: Span,
    /// Bytes of data at the beginning of a second buffer; 0 without one.
    pub(crate) len2: u16,
}

/// Does the work of [`split`] for most aggregates, in few instructions.
///
/// `None` for those that go on, have whole pages, came through a tunnel, or have a wrong checksum
/// or a summary, and for all that are not valid.
#[inline(always)]
pub(crate) fn usual(c: &Completion, flows: usize) -> Option<Usual> {
    const IS: C0 = C0(0).with_hb(1).with_rb(1);
    const SAYS: C0 = IS
        .with_kind(u64::MAX)
        .with_nb(1)
        .with_sb(1)
        .with_cont(1)
        .with_more(1)
        .with_csum_bad(1)
        .with_tunnel(1)
        .with_summary(u64::MAX);
    const OTHERS: C5 = C5(0).with_pages(u64::MAX).with_outer_off(u64::MAX);
    const START: u64 = Opcode::Start as u64;
    const CLOSE_START: u64 = Opcode::CloseStart as u64;
    let c0 = c.c0;
    if c0.0 & SAYS.0 != IS.0 || c.c5.0 & OTHERS.0 != 0 {
        return None;
    }
    let opcode = match c0.opcode() {
        START => Opcode::Start,
        CLOSE_START => Opcode::CloseStart,
        _ => return None,
    };
    let this = Usual {
        opcode,
        flow: c0.flow() as u16,
        segs: (c0.segs() as u16).max(1),
        header: Span {
            id: c.c2.hb_id() as u16,
            off: c.c2.hb_off() as u16,
            len: c.c2.hdr_len() as u16,
            release: c0.rel_hb() != 0,
        },
        data: Span {
            id: c.c3.rb_id() as u16,
            off: c.c3.rb_off() as u16,
            len: c.c3.rb_len() as u16,
            release: c0.rel_rb() != 0,
        },
        len2: if c0.rb2() != 0 {
            c.c4.rb2_len() as u16
        } else {
            0
        },
    };
    let end = |span: &Span| u32::from(span.off) + u32::from(span.len);
    let right = usize::from(this.flow) < flows
        && (ETH_HLEN..=CELL_SIZE as u16).contains(&this.header.len)
        && end(&this.header) <= BUF_SIZE
        && this.data.len != 0
        && end(&this.data) <= PAYLOAD_MAX
        && u32::from(this.len2) <= PAYLOAD_MAX
        && (this.len2 != 0) == (c0.rb2() != 0)
        && u64::from(this.bytes()) == c.c5.data_len()
        && (this.segs == 1 || fits(this.bytes(), this.segs.into(), c));
    right.then_some(this)
}

impl Usual {
    /// Bytes of data.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u32 {
        u32::from(self.data.len) + u32::from(self.len2)
    }

    /// The fields of every packet.
    #[inline(always)]
    pub(crate) fn head(&self) -> Head {
        Head {
            opcode: self.opcode,
            flow: Some(self.flow),
            cont: false,
            more: false,
            segs: self.segs,
        }
    }

    /// The last data, if they are not the first: `c` is the completion.
    #[inline(always)]
    pub(crate) fn data2(&self, c: &Completion) -> Option<Span> {
        let span = Span {
            id: c.c3.rb2_id() as u16,
            off: 0,
            len: self.len2,
            release: c.c0.rel_rb2() != 0,
        };
        (self.len2 != 0).then_some(span)
    }
}

/// Whether several packets have data as they would be cut again: all as long as the aggregate's
/// first, but for the last, which may be shorter.
#[inline(always)]
fn fits(len: u32, segs: u32, c: &Completion) -> bool {
    let each = c.c5.seg_size() as u32;
    len <= segs * each && len > (segs - 1) * each
}

impl Split {
    /// Whether it belongs to an aggregate. It has a flow and data then.
    #[inline]
    pub(crate) fn is_of_aggregate(&self) -> bool {
        aggregates(self.head.opcode)
    }

    /// Whether it is an aggregate that nothing will be appended to.
    #[inline]
    pub(crate) fn is_all_of_aggregate(&self) -> bool {
        let starts = matches!(self.head.opcode, Opcode::Start | Opcode::CloseStart);
        starts && !self.head.cont && !self.head.more
    }

    /// Bytes of data.
    #[inline]
    pub(crate) fn len(&self, size: u32) -> u32 {
        let len = |span: &Option<Span>| span.as_ref().map_or(0, |s| u32::from(s.len));
        len(&self.data) + u32::from(self.pages) * size + len(&self.data2)
    }

    #[inline]
    fn check_aggregate(&mut self, c: &Completion, size: u32) -> Result<(), BadCompletion> {
        let c0 = c.c0;
        let Some(data) = &self.data else {
            return Err(BadCompletion::Shape);
        };
        if self.head.flow.is_none() {
            return Err(BadCompletion::Flow);
        }
        // A packet in a tunnel has an outer header.
        if (c0.tunnel() != 0) != (c.c5.outer_off() != 0) {
            return Err(BadCompletion::Shape);
        }
        // Pages that are named by an id alone are full, so the first range ends with its page.
        let to_end = u32::from(data.off) + u32::from(data.len) == size;
        if self.pages != 0 && (self.head.cont || self.data2.is_none() || !to_end) {
            return Err(BadCompletion::Shape);
        }
        let segs = c0.segs() as u32;
        if segs > 1 {
            if self.head.cont || !fits(self.len(size), segs, c) {
                return Err(BadCompletion::Shape);
            }
            self.head.segs = segs as u16;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "decode/tests.rs"]
mod tests;
