// SPDX-License-Identifier: GPL-2.0

//! What the device says of a packet, checked once.
//!
//! [`decode`] turns the words of a completion into types that cannot be wrong afterwards: operation
//! codes exist, flow numbers are below the table's size, ranges lie inside their buffer and the
//! parts of a packet fit together. Whether a buffer id is one that the device holds is for its ring
//! to say. Pure: compiled in the module and in the host's tests.

use crate::hw::{
    desc::{
        self,
        Completion,
        CompletionKind,
        C0, //
    },
    opcode::Opcode,
    regs::LOG2_BUF_MAX, //
};

/// Bytes of every receive buffer but those for payload, which may be larger.
pub(crate) const BUF_SIZE: u32 = 4096;
/// Bytes of the largest buffer for payload. How large it is, its page knows.
pub(crate) const PAYLOAD_MAX: u32 = 1 << LOG2_BUF_MAX;
/// Bytes of a header or small-packet cell.
pub(crate) const CELL_SIZE: u32 = 256;
/// Bytes of an Ethernet header.
const ETH_HLEN: u16 = 14;

/// What cannot be true of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    /// No such operation code.
    Opcode,
    /// No such kind of completion.
    Kind,
    /// A flow number outside the table, or none where there must be one.
    Flow,
    /// Bytes outside their buffer, or none, or more than a cell holds.
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

/// Where a packet, or this part of it, is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// All of it in a cell of the small class.
    Small(Span),
    /// In a packet buffer.
    Full(Span),
    /// Split: a header cell, data, more data. A part without either is a lie.
    Split(Option<Span>, Option<Span>, Option<Span>),
}

/// A packet, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packet {
    /// Operation code.
    pub(crate) opcode: Opcode,
    /// Flow number, below the size of the table.
    pub(crate) flow: Option<u16>,
    /// Where it is.
    pub(crate) place: Place,
    /// The next completion goes on with this packet.
    pub(crate) cont: bool,
    /// Another packet of this flow waits in the device.
    pub(crate) more: bool,
    /// Packets on the wire that this one stands for: several if they go on with one aggregate,
    /// whose data then fit their number.
    pub(crate) segs: u16,
    /// Pages full of data between the first range and the second, which then exist.
    pub(crate) pages: u16,
}

/// A completion, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A packet, or a part of one.
    Packet(Packet),
    /// A re-assembly buffer comes back without a packet.
    Release(u16),
}

/// What a completion is about, its operation code left aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// A packet, or a part of one.
    Part(Place),
    /// A re-assembly buffer comes back without a packet.
    Release(u16),
}

impl Packet {
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
fn span(id: u64, (off, len): (u64, u64), limit: u32, size: u32, release: u64) -> Result<Span, Lie> {
    // All come from 16-bit fields.
    let (off, len) = (off as u32, len as u32);
    if len == 0 || len > limit || off + len > size {
        return Err(Lie::Range);
    }
    Ok(Span {
        id: id as u16,
        off: off as u16,
        len: len as u16,
        release: release != 0,
    })
}

#[inline]
fn split(c: &Completion) -> Result<Place, Lie> {
    let c0 = c.c0;
    let header = if c0.hb() != 0 {
        let s = span(
            c.c2.hb_id(),
            (c.c2.hb_off(), c.c2.hdr_len()),
            CELL_SIZE,
            BUF_SIZE,
            c0.rel_hb(),
        )?;
        if s.len < ETH_HLEN {
            return Err(Lie::Range);
        }
        Some(s)
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
        return Err(Lie::Shape);
    }
    Ok(Place::Split(header, data, data2))
}

#[inline]
fn place(c: &Completion) -> Result<Place, Lie> {
    let c0 = c.c0;
    match (c0.sb() != 0, c0.nb() != 0) {
        (false, false) => split(c),
        (true, true) => Err(Lie::Shape),
        (small, _) => {
            if c0.hb() | c0.rb() | c0.rb2() != 0 {
                return Err(Lie::Shape);
            }
            let (limit, release) = if small {
                (CELL_SIZE, c0.rel_sb())
            } else {
                (BUF_SIZE, 1)
            };
            let s = span(
                c.c2.nb_id(),
                (c.c4.nb_off(), c.c4.nb_len()),
                limit,
                BUF_SIZE,
                release,
            )?;
            Ok(if small {
                Place::Small(s)
            } else {
                Place::Full(s)
            })
        }
    }
}

/// Whether packets of this code belong to an aggregate.
#[inline]
pub(crate) fn aggregates(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Start | Opcode::Append | Opcode::AppendClose | Opcode::CloseStart
    )
}

#[inline]
fn flow(c0: C0, flows: usize) -> Result<Option<u16>, Lie> {
    let flow = c0.flow() as u16;
    if flow == desc::FLOW_NONE {
        Ok(None)
    } else if usize::from(flow) < flows {
        Ok(Some(flow))
    } else {
        Err(Lie::Flow)
    }
}

/// Checks where a completion says its packet is, whatever it says besides.
///
/// # Errors
///
/// The first thing found that cannot be true.
#[inline]
pub(crate) fn item(c: &Completion) -> Result<Item, Lie> {
    let c0 = c.c0;
    let kind = c0.kind();
    if kind == CompletionKind::Release as u64 {
        return if c0.rel_rb() != 0 {
            Ok(Item::Release(c.c3.rb_id() as u16))
        } else {
            Err(Lie::Shape)
        };
    }
    if kind != CompletionKind::Packet as u64 {
        return Err(Lie::Kind);
    }
    place(c).map(Item::Part)
}

/// How many packets on the wire a completion stands for.
///
/// Several have data as they would be cut again: all as long as the aggregate's first, but for the
/// last, which may be shorter.
#[inline]
fn segs(c: &Completion, opcode: Opcode, place: &Place, whole: u32) -> Result<u16, Lie> {
    let segs = c.c0.segs() as u32;
    if segs <= 1 {
        return Ok(1);
    }
    let Place::Split(_, Some(data), data2) = place else {
        return Err(Lie::Shape);
    };
    let len = u32::from(data.len) + whole + data2.as_ref().map_or(0, |span| span.len.into());
    let size = c.c5.seg_size() as u32;
    if !aggregates(opcode) || c.c0.cont() != 0 || len > segs * size || len <= (segs - 1) * size {
        return Err(Lie::Shape);
    }
    Ok(segs as u16)
}

/// How many pages of `size` bytes lie between the first range of data and the second.
///
/// They are full, so the first range ends with its page.
#[inline]
fn pages(c: &Completion, opcode: Opcode, place: &Place, size: u32) -> Result<u16, Lie> {
    let pages = c.c5.pages() as u16;
    if pages == 0 {
        return Ok(0);
    }
    match place {
        Place::Split(_, Some(data), Some(_))
            if aggregates(opcode)
                && c.c0.cont() == 0
                && u32::from(data.off) + u32::from(data.len) == size =>
        {
            Ok(pages)
        }
        _ => Err(Lie::Shape),
    }
}

/// Checks a completion against a table of `flows` flows. Pages of payload have `size` bytes.
///
/// # Errors
///
/// The first thing found that cannot be true.
#[inline]
pub(crate) fn decode(c: &Completion, flows: usize, size: u32) -> Result<Event, Lie> {
    let c0 = c.c0;
    let place = match item(c)? {
        Item::Part(place) => place,
        Item::Release(id) => return Ok(Event::Release(id)),
    };
    let opcode = Opcode::from_raw(c0.opcode() as u8).ok_or(Lie::Opcode)?;
    if opcode == Opcode::Placed {
        // The device was given no list of pages to place data in.
        return Err(Lie::Opcode);
    }
    let flow = flow(c0, flows)?;
    if aggregates(opcode) {
        if flow.is_none() {
            return Err(Lie::Flow);
        }
        if !matches!(place, Place::Split(_, Some(_), _)) {
            return Err(Lie::Shape);
        }
        // What goes through a tunnel has an outer header.
        if (c0.tunnel() != 0) != (c.c5.outer_off() != 0) {
            return Err(Lie::Shape);
        }
    }
    let pages = pages(c, opcode, &place, size)?;
    let segs = segs(c, opcode, &place, u32::from(pages) * size)?;
    Ok(Event::Packet(Packet {
        opcode,
        flow,
        place,
        segs,
        pages,
        cont: c0.cont() != 0,
        more: c0.more() != 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::desc::{C1, C2, C3, C4, C5};

    const PAGE: u32 = 4096;

    fn start() -> Completion {
        Completion {
            c0: C0(0)
                .with_opcode(Opcode::Start as u64)
                .with_flow(3)
                .with_hb(1)
                .with_rb(1)
                .with_more(1),
            c2: C2(0).with_hb_id(1).with_hb_off(256).with_hdr_len(66),
            c3: C3(0).with_rb_id(9).with_rb_off(100).with_rb_len(1448),
            ..Completion::default()
        }
    }

    /// Claims: 1, 47, 55.
    #[test]
    fn a_start_is_a_header_and_data_of_a_flow() {
        let Ok(Event::Packet(p)) = decode(&start(), 16, PAGE) else {
            panic!("refused");
        };
        assert_eq!(
            (p.opcode, p.flow, p.more, p.cont),
            (Opcode::Start, Some(3), true, false)
        );
        let Place::Split(Some(h), Some(d), None) = p.place else {
            panic!("not split");
        };
        assert_eq!((h.id, h.off, h.len), (1, 256, 66));
        assert_eq!((d.id, d.off, d.len), (9, 100, 1448));
    }

    #[test]
    fn lies_are_told_apart() {
        let ok = start();
        let c0 = ok.c0;
        let lie = |c| decode(&c, 16, PAGE).err();
        assert_eq!(
            lie(Completion {
                c0: c0.with_opcode(10),
                ..ok
            }),
            Some(Lie::Opcode)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_opcode(Opcode::Placed as u64),
                ..ok
            }),
            Some(Lie::Opcode)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_kind(2),
                ..ok
            }),
            Some(Lie::Kind)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_flow(16),
                ..ok
            }),
            Some(Lie::Flow)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_flow(0xffff),
                ..ok
            }),
            Some(Lie::Flow)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_rb(0),
                ..ok
            }),
            Some(Lie::Shape)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_nb(1),
                ..ok
            }),
            Some(Lie::Shape)
        );
        assert_eq!(
            lie(Completion {
                c2: ok.c2.with_hdr_len(257),
                ..ok
            }),
            Some(Lie::Range)
        );
        assert_eq!(
            lie(Completion {
                c2: ok.c2.with_hdr_len(13),
                ..ok
            }),
            Some(Lie::Range)
        );
        assert_eq!(
            lie(Completion {
                c3: ok.c3.with_rb_off(14937),
                ..ok
            }),
            Some(Lie::Range)
        );
        assert_eq!(
            lie(Completion {
                c3: ok.c3.with_rb_len(0),
                ..ok
            }),
            Some(Lie::Range)
        );
        assert_eq!(
            lie(Completion {
                c0: c0.with_tunnel(1),
                ..ok
            }),
            Some(Lie::Shape)
        );
        assert_eq!(
            lie(Completion {
                c5: ok.c5.with_outer_off(14),
                ..ok
            }),
            Some(Lie::Shape)
        );
        let two = Completion {
            c0: c0.with_rb2(1),
            ..ok
        };
        assert_eq!(
            lie(Completion {
                c4: C4(0).with_rb2_len(16385),
                ..two
            }),
            Some(Lie::Range)
        );
    }

    /// Claims: 55, 57.
    #[test]
    fn several_packets_have_data_that_fit_their_number() {
        let two = |len, size| {
            decode(
                &Completion {
                    c0: start().c0.with_segs(2),
                    c3: start().c3.with_rb_len(len),
                    c5: C5(0).with_seg_size(size).with_data_len(len),
                    ..start()
                },
                16,
                PAGE,
            )
        };
        let Ok(Event::Packet(p)) = two(2896, 1448) else {
            panic!("refused");
        };
        assert_eq!(p.segs, 2);
        let c = Completion {
            c1: C1(0).with_pkt_len(1514),
            c5: C5(0).with_data_len(2896),
            ..start()
        };
        assert_eq!(p.wire_bytes(&c), 2896 + 2 * 66);
        assert_eq!(Packet { segs: 1, ..p }.wire_bytes(&c), 1514);
        assert!(two(1449, 1448).is_ok());
        assert_eq!(two(1448, 1448), Err(Lie::Shape));
        assert_eq!(two(2897, 1448), Err(Lie::Shape));
        assert_eq!(two(1, 0), Err(Lie::Shape));
        let alone = Completion {
            c0: start().c0.with_segs(2).with_opcode(Opcode::Small as u64),
            ..start()
        };
        assert_eq!(decode(&alone, 16, PAGE), Err(Lie::Shape));
    }

    /// Claims: 42, 55, 59.
    #[test]
    fn whole_pages_lie_between_two_ranges() {
        let run = |off, pages, c0: C0| {
            let c = Completion {
                c0: c0.with_rb2(1),
                c3: C3(0)
                    .with_rb_off(off)
                    .with_rb_len(4096 - off)
                    .with_rb2_id(3),
                c4: C4(0).with_rb2_len(100),
                c5: C5(0).with_pages(pages),
                ..start()
            };
            decode(&c, 16, PAGE)
        };
        let c0 = start().c0;
        let Ok(Event::Packet(p)) = run(1000, 14, c0) else {
            panic!("refused");
        };
        assert_eq!(p.pages, 14);
        for lie in [
            c0.with_cont(1),
            c0.with_opcode(Opcode::Small as u64),
            c0.with_segs(2),
        ] {
            assert_eq!(run(1000, 14, lie), Err(Lie::Shape));
        }
        let gap = Completion {
            c5: C5(0).with_pages(1),
            ..start()
        };
        assert_eq!(decode(&gap, 16, PAGE), Err(Lie::Shape));
        let gap = Completion {
            c0: c0.with_rb2(1),
            c4: C4(0).with_rb2_len(1),
            ..gap
        };
        assert_eq!(decode(&gap, 16, PAGE), Err(Lie::Shape));
    }

    #[test]
    fn a_release_names_its_buffer() {
        let c = Completion {
            c0: C0(0).with_kind(1).with_rel_rb(1),
            c3: C3(0).with_rb_id(7),
            ..Completion::default()
        };
        assert_eq!(decode(&c, 1, PAGE), Ok(Event::Release(7)));
        assert_eq!(
            decode(
                &Completion {
                    c0: C0(0).with_kind(1),
                    ..c
                },
                1,
                PAGE
            ),
            Err(Lie::Shape)
        );
    }

    /// Whatever the words are, decoding neither panics nor lets a range leave its buffer.
    #[test]
    fn no_words_lead_outside() {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for _ in 0..200_000 {
            let mut words = [0; 8];
            words.fill_with(&mut next);
            // Make the likely mistakes likelier than uniform words would.
            words[0] &= !0x8_0000_0000_u64 | next();
            let Ok(Event::Packet(p)) = decode(&Completion::from_words(words), 4096, PAGE) else {
                continue;
            };
            assert!(p.flow.is_none_or(|f| f < 4096));
            let spans = match p.place {
                Place::Small(s) | Place::Full(s) => [Some(s), None, None],
                Place::Split(a, b, c) => [a, b, c],
            };
            for s in spans.into_iter().flatten() {
                assert!(s.len > 0 && u32::from(s.off) + u32::from(s.len) <= PAYLOAD_MAX);
            }
        }
    }
}
