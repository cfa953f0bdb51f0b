// SPDX-License-Identifier: GPL-2.0

//! The rings of a receive queue that both sinks have.

use super::{
    buffers::{
        Cells,
        Pages, //
    },
    completions::Completions,
    decode::{
        self,
        Span, //
    },
    order::Refused,
    parts::{
        Offer,
        Parts,
        Settings, //
    }, //
};
use crate::{
    counters,
    hw::{
        desc::{
            Completion,
            C0, //
        },
        regs::BufKind, //
    },
    mmio::Mmio,
    net::{
        heads::Heads,
        napi::RxContext,
        page_pool::{
            PagePool,
            PoolPage, //
            Usage,
        },
        skbuff::RxSkb, //
    },
    sizes::{
        BUF_SIZE,
        CELL_SIZE, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Memory for linear parts of socket buffers: headers, and packets that are copied, fill a cell.
pub(super) type LinearParts = Heads<{ CELL_SIZE as usize }>;

/// The rings of a receive queue that every sink takes packets from.
pub(crate) struct Rings<'bound> {
    pub(super) ring: Completions<'bound>,
    pub(super) header: Cells<'bound>,
    /// Pages for data.
    pub(super) reasm: Pages<'bound>,
    /// Pages for whole packets.
    pub(super) packet: Pages<'bound>,
    pub(super) settings: Arc<Settings>,
    /// The parts of a completion that are passed to the stack, in this poll.
    pub(super) offer: Offer,
    /// Size of the device's flow database.
    pub(super) flows: usize,
    pub(super) queue: u16,
    pub(super) mmio: Arc<Mmio<'bound>>,
}

/// The pages that a sink wants packets in.
pub(crate) struct Memory {
    /// Pages for data.
    pub(super) data: Usage,
    /// Pages for whole packets.
    pub(super) packets: Usage,
    /// How many of those, as a power of two.
    pub(super) log2_packets: u32,
    /// For how many times the pages of a ring its pool has room.
    pub(super) pool_factor: u32,
}

impl<'bound> Rings<'bound> {
    /// Makes the rings and fills them with buffers; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(s: &Parts<'_, 'bound>, memory: &Memory) -> Result<Self> {
        let queue = usize::from(s.queue);
        // Besides those in the ring, each flow may keep one page partly filled, as may the queue.
        let pages = |kind, contents, log2: u32, kept: usize| {
            let ids = u16::try_from((1 << log2) + kept + 1)?;
            // As many bytes of large pages as of small ones: what they hold is the same.
            let bytes = memory.pool_factor * u32::from(ids) * BUF_SIZE;
            let pool = |usage: Usage| {
                let count = (bytes / usage.size()).max(ids.into());
                PagePool::new(s.dma, s.netdev, s.queue, usage, count)
            };
            let large = pool(contents)?;
            let small = match contents.size() > BUF_SIZE && !large.is_lent() {
                true => Some(pool(contents.of_size(BUF_SIZE))?),
                false => None,
            };
            Pages::new(s.dev, s.mmio, queue, kind, log2, ids, (large, small))
        };
        Ok(Self {
            ring: Completions::new(s)?,
            header: Cells::new(s.dev, s.mmio, queue, BufKind::Header, s.rings.header)?,
            reasm: pages(BufKind::Reasm, memory.data, s.rings.reasm, s.flows)?,
            packet: pages(BufKind::Packet, memory.packets, memory.log2_packets, 0)?,
            settings: s.settings.clone(),
            offer: Offer::default(),
            flows: s.flows,
            queue: s.queue,
            mmio: s.mmio.clone(),
        })
    }

    /// Writes the addresses of the rings.
    pub(super) fn configure(&self) {
        self.ring.configure();
        self.header.configure();
        self.reasm.configure();
        self.packet.configure();
    }

    /// Posts the first buffers.
    pub(super) fn post_first(&mut self) {
        self.header.ring_doorbell();
        self.reasm.ring_doorbell();
        self.packet.ring_doorbell();
    }

    /// Takes the completion at the head of its ring, whose first word is `c0`.
    #[inline(always)]
    pub(super) fn take(&mut self, c0: C0) -> Completion {
        let mut c = self.ring.take(c0);
        if self.offer.time() {
            c.time = self.ring.time();
        }
        c
    }

    /// Refills the rings at the end of a poll. True if the device may be waiting for memory that
    /// could not be had.
    #[inline]
    pub(super) fn refill(&mut self, cx: &RxContext<'_>, count: &counters::Rx) -> bool {
        self.header.flush();
        let fail = self.settings.fail();
        self.reasm.refill(cx, fail, count) | self.packet.refill(cx, fail, count)
    }
}

/// Why a packet was dropped.
#[derive(Clone, Copy)]
pub(super) enum Dropped {
    NoMem,
    BadCompletion,
    Orphan,
    /// It held data of this flow, which are lost.
    Taken(u16),
    /// The packet was counted with an earlier completion.
    Counted,
}

/// Counts so many packets on the wire as dropped.
pub(super) fn count_drop(count: &counters::Rx, why: Dropped, packets: u16) {
    let packets = packets.into();
    match why {
        Dropped::NoMem => count.drop_nomem.add(packets),
        Dropped::BadCompletion | Dropped::Taken(_) => count.drop_bad_completion.add(packets),
        Dropped::Orphan => count.drop_orphan.add(packets),
        Dropped::Counted => {}
    }
}

/// A socket buffer that begins with the headers of a packet, in a cell at `off` if it was claimed.
#[inline]
pub(super) fn copy_cell(
    cx: &RxContext<'_>,
    heads: &mut LinearParts,
    cells: &Cells<'_>,
    c: &Completion,
    (off, len): (Option<usize>, u16),
) -> Result<RxSkb, Dropped> {
    let off = off.ok_or(Dropped::BadCompletion)?;
    check_headers(cells, c, off, len)?;
    heads
        .copy(cx, (cells.mem(), off, len))
        .map_err(Dropped::from)
}

impl From<Error> for Dropped {
    /// Why a packet could not be made.
    fn from(e: Error) -> Self {
        if e == ENOMEM {
            Self::NoMem
        } else {
            Self::BadCompletion
        }
    }
}

/// Whether headers in a cell are as long as the completion says. Bytes behind them would be taken
/// for data.
#[inline(always)]
pub(super) fn check_headers(
    cells: &Cells<'_>,
    c: &Completion,
    off: usize,
    len: u16,
) -> Result<(), Dropped> {
    match decode::header_len(c, |at| cells.mem().byte(off + at)) {
        Some(right) if right != len => Err(Dropped::BadCompletion),
        _ => Ok(()),
    }
}

/// Puts data behind what a packet holds, with `add`, if it is not lost. Of data that are not put
/// anywhere note is taken all the same, and pages that the device is done with are taken back.
#[inline]
pub(super) fn put_data<T>(
    pages: &mut Pages<'_>,
    cx: &RxContext<'_>,
    mut packet: Result<T, Dropped>,
    (owner, spans): (u16, [Option<Span>; 2]),
    mut add: impl FnMut(&mut T, &mut PoolPage, &Span) -> Result,
) -> Result<T, Dropped> {
    for span in spans.into_iter().flatten() {
        packet = put_span(pages, cx, packet, (owner, &span), &mut add);
    }
    packet
}

/// As [`put_data`], of one range.
#[inline(always)]
pub(super) fn put_span<T>(
    pages: &mut Pages<'_>,
    cx: &RxContext<'_>,
    mut packet: Result<T, Dropped>,
    (owner, span): (u16, &Span),
    add: impl FnOnce(&mut T, &mut PoolPage, &Span) -> Result,
) -> Result<T, Dropped> {
    let added = pages.claim(cx, owner, span, |page| match &mut packet {
        Ok(packet) => add(packet, page, span),
        Err(_) => Ok(()),
    });
    let lost = match added {
        Ok(Ok(())) => return packet,
        Ok(Err(_)) => Dropped::BadCompletion,
        Err(e) => e.into(),
    };
    packet.and(Err(lost))
}

impl From<Refused> for Dropped {
    fn from(e: Refused) -> Self {
        match e {
            Refused::Gap => Self::BadCompletion,
            Refused::Owner(flow) => Self::Taken(flow),
        }
    }
}
