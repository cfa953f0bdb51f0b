// SPDX-License-Identifier: GPL-2.0

//! The sink that makes socket buffers.
//!
//! Packets outside any aggregate go up at once ([`single`](super::single)), data of an aggregate
//! share a socket buffer ([`aggregate`](super::aggregate)).

use super::{
    buffers::Cells,
    decode::{
        Head,
        Span, //
        Split,
        Usual,
    },
    flows::Flows,
    parts::Parts,
    rings::{
        count_drop,
        Dropped,
        LinearParts,
        Memory,
        Rings, //
    },
    Sink, //
};
use crate::{
    counters,
    hw::{
        desc::{
            Completion,
            PAGES_MAX, //
        },
        opcode::Opcode,
        regs::BufKind, //
    },
    net::{
        napi::RxContext,
        page_pool::{
            PagePool, //
            Usage,
        },
        skbuff::RxSkb, //
    },
    sizes::RingSizes, //
};
use kernel::prelude::*;

/// For how many times the pages of a ring its pool has room. Applications give pages back in
/// bursts; those that find no room are freed, and made anew, cleared and mapped.
const POOL_FACTOR: u32 = 4;

/// A packet in several completions.
pub(super) enum Partial {
    /// None is unfinished.
    None,
    /// A whole packet, in several packet buffers.
    Whole(RxSkb),
    /// A split packet outside any aggregate.
    Split(RxSkb),
    /// A packet of a flow's aggregate.
    Flow {
        /// The flow.
        flow: u16,
        /// How many bytes of data were named.
        bytes: u32,
        /// It was counted as dropped.
        dropped: bool,
    },
    /// The rest of a packet whose beginning was dropped.
    Dropped,
}

/// Packets go to the stack.
pub(crate) struct Stack<'bound> {
    pub(super) small: Cells<'bound>,
    pub(super) heads: LinearParts,
    pub(super) flows: Flows,
    /// Whole pages of the completion at hand.
    pub(super) whole: KVec<u16>,
    pub(super) partial: Partial,
}

impl Stack<'_> {
    /// Counts so many packets on the wire as dropped; a flow that misses their data loses its
    /// aggregate.
    #[cold]
    pub(super) fn lost(&mut self, why: Dropped, packets: u16, count: &counters::Rx) {
        if let Dropped::Taken(flow) = why {
            count.drop_orphan.add(self.flows.spoil(flow).into());
        }
        count_drop(count, why, packets);
    }

    /// Drops the unfinished packet.
    #[cold]
    fn lose_partial(&mut self, count: &counters::Rx) {
        let counted = match self.partial {
            // Its aggregate has a part of it.
            Partial::Flow { flow, dropped, .. } => {
                count.drop_orphan.add(self.flows.spoil(flow).into());
                dropped
            }
            Partial::Dropped => true,
            _ => false,
        };
        count.drop_bad_completion.add((!counted).into());
        self.partial = Partial::None;
    }
}

impl<'bound> Sink<'bound> for Stack<'bound> {
    fn memory(sizes: &RingSizes) -> Memory {
        Memory {
            data: Usage::DATA.of_size(1 << sizes.page),
            packets: Usage::SHARED,
            log2_packets: sizes.packet(),
            pool_factor: POOL_FACTOR,
        }
    }

    fn new(s: &Parts<'_, 'bound>, _rings: &mut Rings<'bound>) -> Result<Self> {
        let (queue, log2) = (s.queue.into(), s.rings.small());
        Ok(Self {
            small: Cells::new(s.dev, s.mmio, queue, BufKind::Small, log2)?,
            heads: LinearParts::new(s.dma, s.netdev, s.queue)?,
            flows: Flows::new(s.flows)?,
            whole: KVec::with_capacity(PAGES_MAX, GFP_KERNEL)?,
            partial: Partial::None,
        })
    }

    fn configure(&self, _rings: &Rings<'bound>) {
        self.small.configure();
    }

    fn post_first(&mut self) {
        self.small.ring_doorbell();
    }

    fn pools(&mut self) -> [Option<&mut PagePool>; 2] {
        self.heads.pools().map(Some)
    }

    #[inline(always)]
    fn merges_next(&self) -> bool {
        matches!(self.partial, Partial::None)
    }

    #[inline]
    fn continues_full(&self) -> bool {
        matches!(self.partial, Partial::Whole(_) | Partial::Dropped)
    }

    #[inline]
    fn continues_split(&self, p: &Split) -> bool {
        match self.partial {
            // The rest of a packet is its flow's.
            Partial::Flow { flow, .. } => p.is_of_aggregate() && p.head.flow == Some(flow),
            Partial::Split(_) | Partial::Dropped => !p.is_of_aggregate(),
            Partial::Whole(_) | Partial::None => false,
        }
    }

    #[inline(always)]
    fn break_off(&mut self, count: &counters::Rx) {
        if !matches!(self.partial, Partial::None) {
            self.lose_partial(count);
        }
    }

    /// A packet that is not appended ends the flow's aggregate.
    #[inline(always)]
    fn begin(&mut self, cx: &RxContext<'_>, h: &Head, count: &counters::Rx) {
        if let Some(flow) = h.flow {
            if !matches!(h.opcode, Opcode::Append | Opcode::AppendClose) {
                self.flows.close(cx, flow, count);
            }
        }
    }

    /// Copied, which costs less than a page.
    #[inline(always)]
    fn small(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        span: &Span,
        count: &counters::Rx,
    ) {
        let Some(off) = self.small.claim(span) else {
            return count.drop_bad_completion.add(1);
        };
        let bytes = (self.small.mem(), off, span.len);
        let handed_up = if rings.offer.time() {
            let time = rings.ring.time();
            let meta = rings.offer.meta(&Completion { time, ..*c });
            let made = self.heads.copy(cx, bytes);
            made.and_then(|skb| skb.submit(cx, &meta))
        } else {
            self.heads.receive(cx, bytes, rings.offer.tags(c))
        };
        match handed_up {
            Ok(()) => {
                count.up(1, c.c1.pkt_len());
                count.skbs.add(1);
            }
            Err(e) => count_drop(count, e.into(), 1),
        }
    }

    #[cold]
    fn refuse_small(&mut self) {
        self.small.refuse();
    }

    #[inline(always)]
    fn full(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        (head, span): (&Head, &Span),
        _first: bool,
        count: &counters::Rx,
    ) {
        self.whole(rings, cx, c, (head, span), count);
    }

    #[inline(always)]
    fn usual(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Usual,
        count: &counters::Rx,
    ) {
        self.usual(rings, cx, c, p, count);
    }

    #[inline(always)]
    fn split(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Split,
        first: bool,
        count: &counters::Rx,
    ) {
        match p.head.flow {
            Some(_) if first && p.is_all_of_aggregate() => self.aggregate(rings, cx, c, p, count),
            Some(flow) if p.is_of_aggregate() => self.flow(rings, cx, c, (p, flow), count),
            _ => self.single(rings, cx, c, p, count),
        }
    }

    fn end(&mut self, cx: &RxContext<'_>, empty: bool, count: &counters::Rx) {
        if empty {
            self.flows.flush(cx, count);
        }
        self.small.flush();
    }

    fn left_over(&self) -> u64 {
        self.flows.left_over()
    }
}
