// SPDX-License-Identifier: GPL-2.0

//! Packets outside any aggregate: each becomes a socket buffer of its own.

use super::{
    copy_cell,
    count_drop,
    decode::{
        self,
        Apart,
        Span,
        CELL_SIZE, //
    },
    flows,
    put_data,
    release_data,
    Dropped,
    Partial,
    Receiver, //
};
use crate::{
    counters,
    hw::desc::Completion,
    net::{
        napi::RxContext,
        skbuff::RxSkb, //
    }, //
};
use kernel::prelude::*;

/// Bytes of a long packet that go to the linear part when the device did not find its headers.
const PULL: u16 = 128;

impl Receiver<'_> {
    /// A packet that is whole in a cell: copied, which costs less than a page.
    #[inline(never)]
    pub(super) fn small(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let count = &counters.rx;
        let (Ok(head), Ok(span)) = (decode::whole(c, self.flows.len()), decode::in_cell(c)) else {
            return count.drop_bad_completion.add(1);
        };
        self.break_off(false, count);
        self.begin(cx, c, &head, counters);
        let meta = flows::meta(c, self.offer);
        match self.small.at(&span) {
            Some((mem, off)) => match self.heads.receive(cx, mem, off, span.len, &meta) {
                Ok(()) => count.skbs.add(1),
                Err(e) if e == ENOMEM => count.drop_nomem.add(1),
                Err(_) => count.drop_bad_completion.add(1),
            },
            None => count.drop_bad_completion.add(1),
        }
        self.small.used(&span);
    }

    /// A packet, or a part of one, in a packet buffer.
    #[inline(never)]
    pub(super) fn full(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let count = &counters.rx;
        let goes_on = matches!(self.partial, Partial::Whole(_) | Partial::Dropped);
        let (Ok(head), Ok(span)) = (
            decode::whole(c, self.flows.len()),
            decode::in_buffer(c, !goes_on),
        ) else {
            return count.drop_bad_completion.add(1);
        };
        let span = &span;
        self.break_off(goes_on, count);
        if !goes_on {
            self.begin(cx, c, &head, counters);
        }
        let skb = match core::mem::replace(&mut self.partial, Partial::None) {
            Partial::None => self.full_begin(cx, c, span, count),
            Partial::Whole(mut skb) => {
                let page = self.packet.get(span.id).ok_or(EINVAL);
                match page.and_then(|page| skb.add_page(page, span.off, span.len)) {
                    Ok(()) => Some(skb),
                    Err(_) => {
                        count.drop_bad_completion.add(1);
                        None
                    }
                }
            }
            _ => None,
        };
        self.packet.release(cx, span.id);
        match (skb, head.cont) {
            (Some(skb), true) => self.partial = Partial::Whole(skb),
            (Some(skb), false) => self.submit(cx, skb, c, count),
            (None, true) => self.partial = Partial::Dropped,
            (None, false) => {}
        }
    }

    /// The first part of a packet in packet buffers: headers are copied, the rest is a fragment.
    fn full_begin(
        &mut self,
        cx: &RxContext<'_>,
        c: &Completion,
        span: &Span,
        count: &counters::Rx,
    ) -> Option<RxSkb> {
        let Some(page) = self.packet.get(span.id) else {
            count.drop_bad_completion.add(1);
            return None;
        };
        let Some(mut skb) = RxSkb::alloc(cx, CELL_SIZE) else {
            count.drop_nomem.add(1);
            return None;
        };
        let headers = c.c2.hdr_len() as u16;
        let pull = match headers {
            14..=256 => headers,
            _ => PULL,
        }
        .min(span.len);
        let rest = span.len - pull;
        let put = skb.put_page(page, span.off, pull);
        let put = put.and_then(|()| match rest {
            0 => Ok(()),
            _ => skb.add_page(page, span.off + pull, rest),
        });
        match put {
            Ok(()) => Some(skb),
            Err(_) => {
                count.drop_bad_completion.add(1);
                None
            }
        }
    }

    /// A split packet outside any aggregate.
    pub(super) fn alone(
        &mut self,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Apart,
        count: &counters::Rx,
    ) {
        let (header, data, data2) = (p.header, p.data, p.data2);
        let begun = match core::mem::replace(&mut self.partial, Partial::None) {
            Partial::None => match header {
                Some(span) => {
                    let skb = copy_cell(cx, &mut self.heads, &self.header, &span);
                    self.header.used(&span);
                    skb
                }
                None => Err(Dropped::Lie),
            },
            Partial::Split(skb) => Ok(skb),
            _ => Err(Dropped::Counted),
        };
        let filled = begun.and_then(|mut skb| {
            put_data(&mut self.reasm, &mut skb, [data, data2])?;
            Ok(skb)
        });
        release_data(&mut self.reasm, cx, [data, data2]);
        match (filled, p.head.cont) {
            (Ok(skb), true) => self.partial = Partial::Split(skb),
            (Ok(skb), false) => self.submit(cx, skb, c, count),
            (Err(e), cont) => {
                count_drop(count, &e, 1);
                if cont {
                    self.partial = Partial::Dropped;
                }
            }
        }
    }

    /// Hands up a packet that stands alone.
    #[inline]
    fn submit(&self, cx: &RxContext<'_>, skb: RxSkb, c: &Completion, count: &counters::Rx) {
        match skb.submit(cx, &flows::meta(c, self.offer)) {
            Ok(()) => count.skbs.add(1),
            Err(_) => count.drop_bad_completion.add(1),
        }
    }
}
