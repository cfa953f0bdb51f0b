// SPDX-License-Identifier: GPL-2.0

//! Packets of an aggregate: one socket buffer for as many as the device has put together.

use super::{
    buffers::Pages,
    completions::Completions,
    decode::{
        self,
        Span, //
        Split,
        Usual,
    },
    flows::{
        self,
        Need,
        Refused, //
    },
    rings::{
        check_headers,
        copy_cell,
        count_drop,
        put_data,
        put_span,
        Dropped,
        Rings, //
    },
    stack::{
        Partial,
        Stack, //
    }, //
};
use crate::{
    counters,
    hw::{
        desc::{
            page_ids,
            pages_behind,
            Completion,
            PAGES_INLINE, //
        },
        opcode::Opcode,
        regs::PDU_MIN, //
    },
    net::{
        napi::RxContext,
        skbuff::RxSkb, //
    },
    sizes::{
        BUF_SIZE,
        CELL_SIZE, //
    }, //
};
use core::borrow::BorrowMut;
use kernel::prelude::*;

impl Stack<'_> {
    /// An aggregate that is all in one completion, as most are.
    #[inline(always)]
    pub(super) fn usual(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Usual,
        count: &counters::Rx,
    ) {
        let at = rings.header.claim(&p.header);
        let right = |off: &usize| check_headers(&rings.header, c, *off, p.header.len).is_ok();
        let Some(off) = at.filter(right) else {
            // A copy, so that the fields of most need not be in memory.
            let p = *p;
            return self.without_header(rings, cx, c, &p, count);
        };
        let linear = (rings.header.mem(), off, p.header.len);
        let at = (p.data.off, p.data.len, p.data.release);
        let page = rings.reasm.claim_part(p.flow, &p.data);
        if p.segs == 1 && p.len2 == 0 && !rings.offer.time() {
            // A packet alone: nothing was under way to be merged with it.
            let page = match page {
                Ok(page) => page,
                Err(e) => return self.lost(e.into(), 1, count),
            };
            let tags = rings.offer.tags(c);
            match self.heads.receive_with(cx, linear, page, at, tags) {
                Ok(()) => {
                    count.up(1, u64::from(p.header.len) + u64::from(p.bytes()));
                    count.skbs.add(1);
                }
                Err(e) => self.lost(e.into(), 1, count),
            }
            return rings.reasm.claimed(cx, &p.data);
        }
        let begun = match page {
            Ok(page) => {
                let begun = self.heads.copy_with(cx, linear, page, at);
                rings.reasm.claimed(cx, &p.data);
                begun.map_err(Dropped::from)
            }
            Err(e) => Err(e.into()),
        };
        let filled = match p.data2(c) {
            Some(span) => append(&mut rings.reasm, cx, begun, p.flow, &span),
            None => begun,
        };
        match filled {
            Ok(skb) => {
                let meta = rings.offer.meta(c);
                flows::submit(cx, skb, c, meta, (p.segs, p.bytes()), count);
            }
            Err(e) => self.lost(e, p.segs, count),
        }
    }

    /// The same, if there is something wrong with its header.
    #[cold]
    fn without_header(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Usual,
        count: &counters::Rx,
    ) {
        let spans = (p.flow, [Some(p.data), p.data2(c)]);
        let none: Result<RxSkb, _> = Err(Dropped::BadCompletion);
        if let Err(e) = put_data(&mut rings.reasm, cx, none, spans, |_, _, _| Ok(())) {
            self.lost(e, p.segs, count);
        }
    }

    /// An aggregate that is all in one completion, and so need not be kept at its flow number.
    #[inline(never)]
    pub(super) fn aggregate(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Split,
        count: &counters::Rx,
    ) {
        let bytes = p.len(rings.reasm.size());
        match self.build(rings, cx, c, p, bytes) {
            Ok(skb) => {
                let meta = rings.offer.meta(c);
                flows::submit(cx, skb, c, meta, (p.head.segs, bytes), count);
            }
            Err(e) => self.lost(e, p.head.segs, count),
        }
    }

    /// The socket buffer of an aggregate with so many bytes of data.
    #[inline]
    fn build(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Split,
        bytes: u32,
    ) -> Result<RxSkb, Dropped> {
        let named = p.pages == 0 || self.name_pages(&mut rings.ring, c, p.pages.into());
        let skb = match p.header {
            Some(span) => {
                let at = rings.header.claim(&span);
                copy_cell(cx, &mut self.heads, &rings.header, c, (at, span.len))
            }
            None => Err(Dropped::BadCompletion),
        };
        // Length by length the data must be what the device says there is.
        let right = named && u64::from(bytes) == c.c5.data_len();
        let mut skb = if right {
            skb
        } else {
            Err(Dropped::BadCompletion)
        };
        let whole = if p.pages == 0 { &[] } else { &*self.whole };
        let to = skb.as_mut().map_err(|e| *e);
        put_run(
            &mut rings.reasm,
            cx,
            to,
            decode::owner(c),
            (p.data, whole, p.data2),
        )?;
        skb
    }

    /// A packet, or a part of one, of a flow's aggregate.
    #[inline(never)]
    pub(super) fn flow(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        (p, flow): (&Split, u16),
        count: &counters::Rx,
    ) {
        let (header, data, data2) = (p.header, p.data, p.data2);
        let named = p.pages == 0 || self.name_pages(&mut rings.ring, c, p.pages.into());
        let before = core::mem::replace(&mut self.partial, Partial::None);
        let (mut bytes, mut dropped) = match before {
            Partial::Flow { bytes, dropped, .. } => (bytes, dropped),
            _ => (0, false),
        };
        let first = matches!(before, Partial::None);
        let at = header.and_then(|span| rings.header.claim(&span));
        let need = if first { need(c, p) } else { Need::default() };
        let starts = first
            && match (p.head.opcode, &header) {
                (Opcode::Start | Opcode::CloseStart, _) => true,
                (_, Some(span)) => !self.joins(rings, cx, c, (flow, at, span.len), &need, count),
                (_, None) => false,
            };
        if starts {
            let skb = match header {
                Some(span) => copy_cell(cx, &mut self.heads, &rings.header, c, (at, span.len)),
                None => Err(Dropped::BadCompletion),
            };
            if let Err(e) = &skb {
                count_drop(count, *e, p.head.segs);
                dropped = true;
            }
            let meta = rings.offer.meta(c);
            self.flows.start(flow, skb.ok(), c, meta);
        }
        bytes = bytes.saturating_add(p.len(rings.reasm.size()));
        let whole = if p.pages == 0 { &[] } else { &*self.whole };
        let skb = match self.flows.skb(cx, flow, c, &need, count) {
            // Length by length the data must be what the device says the packet has.
            Ok(_) if !p.head.cont && u64::from(bytes) != c.c5.data_len() => {
                Err(Dropped::BadCompletion)
            }
            Ok(_) if (p.head.segs > 1 && !first) || !named => Err(Dropped::BadCompletion),
            Ok(skb) => Ok(skb),
            Err(Refused::NoMem) => Err(Dropped::NoMem),
            Err(Refused::Orphan) => Err(Dropped::Orphan),
            Err(Refused::Malformed) => Err(Dropped::BadCompletion),
        };
        if let Err(e) = put_run(&mut rings.reasm, cx, skb, flow, (data, whole, data2)) {
            let packets = if dropped { 0 } else { p.head.segs };
            dropped = true;
            self.lost(e, packets, count);
            count.drop_orphan.add(self.flows.spoil(flow).into());
        }
        if p.head.cont {
            self.partial = Partial::Flow {
                flow,
                bytes,
                dropped,
            };
            return;
        }
        let last = data2.as_ref().or(data.as_ref());
        self.flows.appended(flow, c, p.head.segs, bytes, last);
        if p.head.opcode == Opcode::AppendClose || !p.head.more {
            self.flows.close(cx, flow, count);
        }
    }

    /// Collects the ids of a completion's whole pages. False if there are fewer.
    fn name_pages(&mut self, ring: &mut Completions<'_>, c: &Completion, count: usize) -> bool {
        let whole = &mut self.whole;
        whole.clear();
        let mut name = |id| {
            if whole.len() < count {
                // There is room for as many as a completion can say.
                let _ = whole.push_within_capacity(id);
            }
        };
        let here = page_ids(c.c7.0).into_iter().take(PAGES_INLINE);
        here.for_each(&mut name);
        for _ in 0..pages_behind(count) {
            if !ring.take_pages(&mut name) {
                return false;
            }
        }
        true
    }

    /// Whether a packet with this header goes on with its flow's open aggregate.
    fn joins(
        &mut self,
        rings: &Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        (flow, at, len): (u16, Option<usize>, u16),
        need: &Need,
        count: &counters::Rx,
    ) -> bool {
        let mut copy = [0; CELL_SIZE as usize];
        // The device might write to the cell once more: what is compared is a copy.
        let Some(header) = copy.get_mut(..usize::from(len)) else {
            return false;
        };
        match at {
            Some(off) if rings.header.mem().copy_to(off, header).is_ok() => {
                self.flows.joins(cx, flow, c, header, need, count)
            }
            _ => false,
        }
    }
}

/// The room that a packet of an aggregate, whose first completion this is, needs.
#[inline]
fn need(c: &Completion, p: &Split) -> Need {
    let frags = if p.head.cont {
        // The 16-bit length in pages and one that it begins in the middle of, and with aligned PDUs
        // another for each that begins in it.
        let pages = c.c5.data_len() as u32 / BUF_SIZE + 1;
        let pdus = c.c5.data_len() as u32 / PDU_MIN as u32 + 1;
        1 + pages + pdus
    } else {
        1 + u32::from(p.pages) + u32::from(p.data2.is_some())
    };
    Need {
        frags,
        at: p.data.map(|span| (span.id, span.off)),
    }
}

/// Puts data behind what a socket buffer holds, if that is not lost: a range, whole pages, a range.
/// The whole pages are the device's no more.
#[inline]
fn put_run<'a>(
    pages: &mut Pages<'_>,
    cx: &RxContext<'_>,
    skb: Result<&'a mut RxSkb, Dropped>,
    owner: u16,
    (first, whole, last): (Option<Span>, &[u16], Option<Span>),
) -> Result<(), Dropped> {
    let mut skb = match &first {
        Some(span) => append(pages, cx, skb, owner, span),
        None => skb,
    };
    for &id in whole {
        let Some(page) = pages.claim_whole(id) else {
            skb = skb.and(Err(Dropped::BadCompletion));
            continue;
        };
        let left = match &mut skb {
            Ok(skb) => skb.add_whole(page),
            Err(_) => Err(page),
        };
        if let Err(page) = left {
            page.recycle(cx);
            skb = skb.and(Err(Dropped::BadCompletion));
        }
    }
    if let Some(span) = &last {
        skb = append(pages, cx, skb, owner, span);
    }
    skb.map(|_| ())
}

/// Puts a range behind what a socket buffer holds, if that is not lost.
#[inline(never)]
fn append<T: BorrowMut<RxSkb>>(
    pages: &mut Pages<'_>,
    cx: &RxContext<'_>,
    skb: Result<T, Dropped>,
    owner: u16,
    span: &Span,
) -> Result<T, Dropped> {
    put_span(pages, cx, skb, (owner, span), |skb, page, span| {
        skb.borrow_mut()
            .add_page(page, span.off, span.len, span.release)
    })
}
