// SPDX-License-Identifier: GPL-2.0

//! Packets outside any aggregate: each becomes a socket buffer of its own.

use super::{
    decode::{
        Head,
        Span, //
        Split,
    },
    rings::{
        copy_cell,
        count_drop,
        put_data,
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
    hw::desc::{
        Completion,
        FLOW_NONE, //
    },
    net::{
        napi::RxContext,
        page_pool::PoolPage,
        skbuff::RxSkb, //
    },
    sizes::CELL_SIZE, //
};
use kernel::prelude::*;

/// Bytes of a long packet that go to the linear part when the device did not find its headers.
const PULL: u16 = 128;

impl Stack<'_> {
    /// A packet, or a part of one, in a packet buffer.
    #[inline(always)]
    pub(super) fn whole(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        (head, span): (&Head, &Span),
        count: &counters::Rx,
    ) {
        let before = core::mem::replace(&mut self.partial, Partial::None);
        let refused = match before {
            Partial::Dropped => Dropped::Counted,
            _ => Dropped::BadCompletion,
        };
        let put = rings
            .packet
            .claim(cx, FLOW_NONE, span, |page| match before {
                Partial::None => full_begin(cx, c, page, span),
                Partial::Whole(mut skb) => {
                    match skb.add_page(page, span.off, span.len, span.release) {
                        Ok(()) => Ok(skb),
                        Err(_) => Err(Dropped::BadCompletion),
                    }
                }
                _ => Err(Dropped::Counted),
            });
        let skb = match put.unwrap_or(Err(refused)) {
            Ok(skb) => Some(skb),
            Err(e) => {
                count_drop(count, e, 1);
                None
            }
        };
        match (skb, head.cont) {
            (Some(skb), true) => self.partial = Partial::Whole(skb),
            (Some(skb), false) => submit(rings, cx, skb, c, count),
            (None, true) => self.partial = Partial::Dropped,
            (None, false) => {}
        }
    }

    /// A split packet outside any aggregate.
    #[inline(never)]
    pub(super) fn single(
        &mut self,
        rings: &mut Rings<'_>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Split,
        count: &counters::Rx,
    ) {
        let (header, data, data2) = (p.header, p.data, p.data2);
        let at = header.and_then(|span| rings.header.claim(&span));
        let begun = match core::mem::replace(&mut self.partial, Partial::None) {
            Partial::None => match header {
                Some(span) => copy_cell(cx, &mut self.heads, &rings.header, c, (at, span.len)),
                None => Err(Dropped::BadCompletion),
            },
            Partial::Split(skb) => Ok(skb),
            _ => Err(Dropped::Counted),
        };
        let filled = put_data(
            &mut rings.reasm,
            cx,
            begun,
            (FLOW_NONE, [data, data2]),
            |skb, page, span| skb.add_page(page, span.off, span.len, span.release),
        );
        match (filled, p.head.cont) {
            (Ok(skb), true) => self.partial = Partial::Split(skb),
            (Ok(skb), false) => submit(rings, cx, skb, c, count),
            (Err(e), cont) => {
                self.lost(e, 1, count);
                if cont {
                    self.partial = Partial::Dropped;
                }
            }
        }
    }
}

/// Hands up a packet that stands alone.
#[inline]
fn submit(rings: &Rings<'_>, cx: &RxContext<'_>, skb: RxSkb, c: &Completion, count: &counters::Rx) {
    match skb.submit(cx, &rings.offer.meta(c)) {
        Ok(()) => {
            count.up(1, c.c1.pkt_len());
            count.skbs.add(1);
        }
        Err(_) => count.drop_bad_completion.add(1),
    }
}

/// The first part of a packet in packet buffers: headers are copied, the rest is a fragment.
fn full_begin(
    cx: &RxContext<'_>,
    c: &Completion,
    page: &mut PoolPage,
    span: &Span,
) -> Result<RxSkb, Dropped> {
    let mut skb = RxSkb::alloc(cx, CELL_SIZE).ok_or(Dropped::NoMem)?;
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
        _ => skb.add_page(page, span.off + pull, rest, span.release),
    });
    put.map_err(|_| Dropped::BadCompletion)?;
    Ok(skb)
}
