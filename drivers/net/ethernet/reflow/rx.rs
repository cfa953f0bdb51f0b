// SPDX-License-Identifier: GPL-2.0

//! Receive: from completions to socket buffers.
//!
//! [`Receiver::poll`] is the hot path. It takes completions off the ring one by one, has each
//! checked by [`decode`], and dispatches on the operation code: packets outside any aggregate go up
//! at once, data of a flow go to the socket buffer at its flow number.

mod alone;
mod buffers;
mod decode;
mod flows;
mod headers;
mod ring;
mod side;
pub(crate) mod xdp;

use crate::{
    counters,
    hw::{
        desc::{
            page_ids,
            pages_behind,
            Completion,
            PAGES_INLINE,
            PAGES_MAX, //
        },
        opcode::Opcode,
        regs::{
            BufKind,
            PDU_MIN, //
        }, //
    },
    mmio::Mmio,
    net::{
        device::Device,
        dma::DmaDevice,
        napi::{
            NapiRef,
            PollContext, //
        },
        page_pool::{
            Contents,
            PagePool, //
        },
        skbuff::{
            Heads,
            RxSkb, //
        },
        xdp::Holder, //
    },
    setup::RingSizes,
    tcb::Tcbs, //
};
use buffers::{
    Cells,
    Pages, //
};
pub(crate) use decode::CELL_SIZE;
use decode::{
    Apart,
    Form,
    Head,
    Span,
    BUF_SIZE, //
};
use flows::{
    Flows,
    Need,
    Refused, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use ring::Completions;
use side::Polled;
pub(crate) use side::Side;

/// Cells of a header buffer or small-packet buffer.
pub(crate) const CELLS_PER_BUFFER: u32 = BUF_SIZE / CELL_SIZE;
/// Summary of a control block that applied.
const SUMMARY_APPLIED: u64 = 1;

/// What user settings change while packets flow.
pub(crate) struct Settings {
    /// Believe the device's checksums.
    pub(crate) csum: Atomic<bool>,
    /// Pass the device's hash on.
    pub(crate) hash: Atomic<bool>,
    /// Have each allocation of a page fail, to see what becomes of it.
    pub(crate) fail_pages: Atomic<bool>,
}

/// What of a completion the stack is told, by user settings.
#[derive(Clone, Copy, Default)]
struct Offer {
    csum: bool,
    hash: bool,
}

impl Settings {
    fn offer(&self) -> Offer {
        Offer {
            csum: self.csum.load(Relaxed),
            hash: self.hash.load(Relaxed),
        }
    }
}

/// A packet in several completions.
enum Partial {
    /// None is under way.
    None,
    /// A whole packet, in several packet buffers.
    Whole(RxSkb),
    /// A split packet outside any aggregate.
    Split(RxSkb),
    /// A packet of a flow's aggregate: how many bytes of it were named, and whether it was counted
    /// as dropped.
    Flow(u32, bool),
    /// The rest of a packet whose beginning was dropped.
    Dropped,
}

/// The receive side of a queue.
pub(crate) struct Receiver<'bound> {
    ring: Completions<'bound>,
    header: Cells<'bound>,
    small: Cells<'bound>,
    reasm: Pages<'bound>,
    packet: Pages<'bound>,
    heads: Heads,
    flows: Flows,
    /// Whole pages of the completion at hand.
    whole: KVec<u16>,
    partial: Partial,
    queue: u16,
    settings: Arc<Settings>,
    /// What of a completion the stack is told, in this poll.
    offer: Offer,
    counters: Arc<counters::Queue>,
    tcbs: Arc<Tcbs>,
}

/// What a receiver is made from.
pub(crate) struct Parts<'a, 'bound> {
    /// The bus device.
    pub(crate) dev: &'a device::Device<Bound>,
    /// The same, for mappings.
    pub(crate) dma: &'a DmaDevice,
    /// The network device.
    pub(crate) netdev: &'a Device,
    /// Registers.
    pub(crate) mmio: &'a Arc<Mmio<'bound>>,
    /// Number of the queue.
    pub(crate) queue: u16,
    /// Sizes of its rings.
    pub(crate) rings: RingSizes,
    /// Size of the device's flow database.
    pub(crate) flows: usize,
    /// User settings.
    pub(crate) settings: &'a Arc<Settings>,
    /// Counters of the queue.
    pub(crate) counters: &'a Arc<counters::Queue>,
    /// The XDP program.
    pub(crate) program: &'a Arc<Holder>,
    /// Control blocks of the device.
    pub(crate) tcbs: &'a Arc<Tcbs>,
}

impl<'bound> Receiver<'bound> {
    /// Makes the rings and fills them with buffers; the device does not hear of it. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(s: &Parts<'_, 'bound>) -> Result<Self> {
        let queue = usize::from(s.queue);
        let sizes = &s.rings;
        let cells = |kind, log2| Cells::new(s.dev, s.mmio, queue, kind, log2);
        // Besides those in the ring, each flow may keep one page partly filled, as may the queue.
        let pages = |kind, contents, log2: u32, kept: usize| {
            let ids = u16::try_from((1 << log2) + kept + 1)?;
            let pool = PagePool::new(s.dma, s.netdev, s.queue, contents, ids.into())?;
            Pages::new(s.dev, s.mmio, queue, kind, log2, ids, pool)
        };
        Ok(Self {
            ring: Completions::new(s)?,
            header: cells(BufKind::Header, sizes.header)?,
            small: cells(BufKind::Small, sizes.small())?,
            reasm: pages(BufKind::Reasm, Contents::Payload, sizes.reasm, s.flows)?,
            packet: pages(BufKind::Packet, Contents::Headers, sizes.packet(), 0)?,
            heads: Heads::new(s.dma, s.netdev, s.queue)?,
            flows: Flows::new(s.flows)?,
            whole: KVec::with_capacity(PAGES_MAX, GFP_KERNEL)?,
            partial: Partial::None,
            queue: s.queue,
            settings: s.settings.clone(),
            offer: Offer::default(),
            counters: s.counters.clone(),
            tcbs: s.tcbs.clone(),
        })
    }

    /// Tells the device where the rings are. It takes note when the queue is switched on, which can
    /// be done once with these rings.
    pub(crate) fn program(&self) {
        self.ring.program();
        self.header.program();
        self.small.program();
        self.reasm.program();
        self.packet.program();
    }

    /// Gives the device its first buffers. The queue must have been switched on just now.
    pub(crate) fn launch(&mut self) {
        self.header.launch();
        self.small.launch();
        self.reasm.launch();
        self.packet.launch();
    }

    /// Lets the pools recycle in the context of the queue's NAPI instance.
    pub(crate) fn attached(&mut self, napi: NapiRef<'_>) {
        for pool in [self.reasm.pool(), self.packet.pool(), self.heads.pool()] {
            pool.attach(napi);
        }
    }

    /// Takes the pools out of that context: the receiver will be dropped while NAPI goes on.
    pub(crate) fn detach(&mut self) {
        for pool in [self.reasm.pool(), self.packet.pool(), self.heads.pool()] {
            pool.detach();
        }
    }

    /// Receives up to `budget` packets.
    pub(crate) fn poll(&mut self, cx: &PollContext<'_>, budget: usize) -> Polled {
        let counters = self.counters.clone();
        let count = &counters.rx;
        self.offer = self.settings.offer();
        let mut work = 0;
        let mut empty = false;
        while work < budget {
            let Some(c) = self.ring.take() else {
                empty = true;
                break;
            };
            work += 1;
            match decode::form(&c) {
                Ok(Form::Small) => self.small(cx, &c, &counters),
                Ok(Form::Full) => self.full(cx, &c, &counters),
                Ok(Form::Apart) => self.apart(cx, &c, &counters),
                Ok(Form::Release(id)) => {
                    count.released.add(1);
                    if !self.reasm.release(cx, id) {
                        count.drop_bad_completion.add(1);
                    }
                }
                Err(_) => count.drop_bad_completion.add(1),
            }
        }
        if empty {
            self.flows.flush(cx, count);
        }
        self.header.flush();
        self.small.flush();
        let fail = self.settings.fail_pages.load(Relaxed);
        let starving = self.reasm.refill(cx, fail, count) | self.packet.refill(cx, fail, count);
        self.ring.polled(work, empty, starving)
    }

    /// Takes note of a packet whose first completion this is. What is not appended ends the flow's
    /// aggregate.
    #[inline(always)]
    fn begin(
        &mut self,
        cx: &PollContext<'_>,
        c: &Completion,
        h: &Head,
        counters: &counters::Queue,
    ) {
        let count = &counters.rx;
        if let Some(counter) = counters.opcodes.get(h.opcode as usize) {
            counter.add(1);
        }
        if h.segs > 1 {
            if let Some(counter) = counters.opcodes.get(Opcode::Append as usize) {
                counter.add(u64::from(h.segs) - 1);
            }
        }
        count.packets.add(h.segs.into());
        count.bytes.add(h.wire_bytes(c));
        if c.c0.csum_bad() != 0 {
            count.csum_bad.add(1);
        }
        if c.c0.summary() != 0 {
            self.summary(c, h, count);
        }
        if let Some(flow) = h.flow {
            if !matches!(h.opcode, Opcode::Append | Opcode::AppendClose) {
                self.flows.close(cx, flow, count);
            }
        }
    }

    /// A packet of a connection with a control block.
    fn summary(&self, c: &Completion, h: &Head, count: &counters::Rx) {
        let applied = c.c0.summary() == SUMMARY_APPLIED;
        match applied {
            true => count.tcb_applied.add(h.segs.into()),
            false => count.tcb_not_applied.add(h.segs.into()),
        }
        if let Some(flow) = h.flow {
            self.tcbs.summary(flow, c.c0, applied);
        }
    }

    /// A packet, or a part of one, whose header and data are apart.
    #[inline(never)]
    fn apart(&mut self, cx: &PollContext<'_>, c: &Completion, counters: &counters::Queue) {
        let p = match decode::apart(c, self.flows.len(), self.reasm.size()) {
            Ok(p) => p,
            Err(_) => return counters.rx.drop_bad_completion.add(1),
        };
        let count = &counters.rx;
        let first = matches!(self.partial, Partial::None);
        if first {
            self.begin(cx, c, &p.head, counters);
        }
        match p.head.flow {
            Some(_) if first && p.is_all_of_aggregate() => self.aggregate(cx, c, &p, count),
            Some(flow) if p.is_of_aggregate() => self.flow(cx, c, &p, flow, count),
            _ => self.alone(cx, c, &p, count),
        }
    }

    /// An aggregate that is all in one completion, and so need not be kept at its flow number.
    #[inline]
    fn aggregate(&mut self, cx: &PollContext<'_>, c: &Completion, p: &Apart, count: &counters::Rx) {
        let bytes = p.len(self.reasm.size());
        match self.build(cx, c, p, bytes) {
            Ok(skb) => {
                let meta = flows::meta(c, self.queue, self.offer);
                flows::submit(cx, skb, c, meta, (p.head.segs, bytes), count);
            }
            Err(e) => count_drop(count, &e, p.head.segs),
        }
        release_data(&mut self.reasm, cx, [p.data, p.data2]);
    }

    /// The socket buffer of an aggregate with so many bytes of data.
    #[inline]
    fn build(
        &mut self,
        cx: &PollContext<'_>,
        c: &Completion,
        p: &Apart,
        bytes: u32,
    ) -> Result<RxSkb, Dropped> {
        let named = p.pages == 0 || self.name_pages(c, p.pages.into());
        let header = p.header.ok_or(Dropped::Lie);
        let skb = header.and_then(|span| {
            let skb = copy_cell(cx, &mut self.heads, &self.header, &span);
            self.header.used(&span);
            skb
        });
        let whole = if p.pages == 0 { &[] } else { &*self.whole };
        let put = skb.and_then(|mut skb| {
            // Length by length the data must be what the device says there is.
            if !named || u64::from(bytes) != c.c5.data_len() {
                return Err(Dropped::Lie);
            }
            put_run(&mut self.reasm, cx, &mut skb, p.data, whole, p.data2)?;
            Ok(skb)
        });
        if put.is_err() {
            for &id in whole {
                self.reasm.release(cx, id);
            }
        }
        put
    }

    /// A packet, or a part of one, of a flow's aggregate.
    #[inline(never)]
    fn flow(
        &mut self,
        cx: &PollContext<'_>,
        c: &Completion,
        p: &Apart,
        flow: u16,
        count: &counters::Rx,
    ) {
        let (header, data, data2) = (p.header, p.data, p.data2);
        let named = p.pages == 0 || self.name_pages(c, p.pages.into());
        let before = core::mem::replace(&mut self.partial, Partial::None);
        let (mut bytes, mut dropped) = match before {
            Partial::Flow(bytes, dropped) => (bytes, dropped),
            _ => (0, false),
        };
        let first = matches!(before, Partial::None);
        let need = if first { need(c, p) } else { Need::default() };
        let starts = first
            && match (p.head.opcode, &header) {
                (Opcode::Start | Opcode::CloseStart, _) => true,
                (_, Some(span)) => !self.joins(cx, c, flow, span, &need, count),
                (_, None) => false,
            };
        if starts {
            let skb = match header {
                Some(span) => copy_cell(cx, &mut self.heads, &self.header, &span),
                None => Err(Dropped::Lie),
            };
            if let Err(e) = &skb {
                count_drop(count, e, p.head.segs);
                dropped = true;
            }
            let meta = flows::meta(c, self.queue, self.offer);
            self.flows.start(flow, skb.ok(), c, meta);
        }
        if let Some(span) = &header {
            self.header.used(span);
        }
        bytes = bytes.saturating_add(p.len(self.reasm.size()));
        let whole = if p.pages == 0 { &[] } else { &*self.whole };
        let put = match self.flows.skb(cx, flow, c, &need, count) {
            // Length by length the data must be what the device says the packet has.
            Ok(_) if !p.head.cont && u64::from(bytes) != c.c5.data_len() => Err(Dropped::Lie),
            Ok(_) if (p.head.segs > 1 && !first) || !named => Err(Dropped::Lie),
            Ok(skb) => put_run(&mut self.reasm, cx, skb, data, whole, data2),
            Err(Refused::NoMem) => Err(Dropped::NoMem),
            Err(Refused::Orphan) => Err(Dropped::Orphan),
            Err(Refused::Malformed) => Err(Dropped::Lie),
        };
        release_data(&mut self.reasm, cx, [data, data2]);
        if let Err(e) = put {
            for &id in whole {
                self.reasm.release(cx, id);
            }
            if !dropped {
                count_drop(count, &e, p.head.segs);
                dropped = true;
            }
            count.drop_orphan.add(self.flows.spoil(flow).into());
        }
        if p.head.cont {
            self.partial = Partial::Flow(bytes, dropped);
            return;
        }
        let last = data2.as_ref().or(data.as_ref());
        self.flows.appended(flow, c, p.head.segs, bytes, last);
        if p.head.opcode == Opcode::AppendClose || !p.head.more {
            self.flows.close(cx, flow, count);
        }
    }

    /// Takes note of the ids of a completion's whole pages. False if it has not so many.
    fn name_pages(&mut self, c: &Completion, count: usize) -> bool {
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
            if !self.ring.take_pages(&mut name) {
                return false;
            }
        }
        true
    }

    /// Whether a packet with this header goes on with its flow's open aggregate.
    fn joins(
        &mut self,
        cx: &PollContext<'_>,
        c: &Completion,
        flow: u16,
        span: &Span,
        need: &Need,
        count: &counters::Rx,
    ) -> bool {
        let mut copy = [0; CELL_SIZE as usize];
        // The device might write to the cell once more: what is compared is a copy.
        let Some(header) = copy.get_mut(..usize::from(span.len)) else {
            return false;
        };
        match self.header.at(span) {
            Some((mem, off)) if mem.copy_to(off, header).is_ok() => {
                self.flows.joins(cx, flow, c, header, need, count)
            }
            _ => false,
        }
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let lost = self.flows.left_over();
        self.counters.rx.drop_orphan.add(lost);
    }
}

/// What a packet of an aggregate, whose first completion this is, needs of its socket buffer.
#[inline]
fn need(c: &Completion, p: &Apart) -> Need {
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

/// Why a packet was dropped.
enum Dropped {
    NoMem,
    Lie,
    Orphan,
    /// The packet was counted with an earlier completion.
    Counted,
}

/// Counts so many packets on the wire as dropped.
fn count_drop(count: &counters::Rx, why: &Dropped, packets: u16) {
    let packets = packets.into();
    match why {
        Dropped::NoMem => count.drop_nomem.add(packets),
        Dropped::Lie => count.drop_bad_completion.add(packets),
        Dropped::Orphan => count.drop_orphan.add(packets),
        Dropped::Counted => {}
    }
}

/// A socket buffer that begins with the bytes of a cell.
#[inline]
fn copy_cell(
    cx: &PollContext<'_>,
    heads: &mut Heads,
    cells: &Cells<'_>,
    span: &Span,
) -> Result<RxSkb, Dropped> {
    let (mem, off) = cells.at(span).ok_or(Dropped::Lie)?;
    heads.copy(cx, mem, off, span.len).map_err(|e| {
        if e == ENOMEM {
            Dropped::NoMem
        } else {
            Dropped::Lie
        }
    })
}

/// Puts data behind what a socket buffer holds.
#[inline]
fn put_data(
    pages: &mut Pages<'_>,
    skb: &mut RxSkb,
    spans: [Option<Span>; 2],
) -> Result<(), Dropped> {
    for span in spans.into_iter().flatten() {
        let page = pages.get(span.id).ok_or(Dropped::Lie)?;
        skb.add_page(page, span.off, span.len)
            .map_err(|_| Dropped::Lie)?;
    }
    Ok(())
}

/// Puts data behind what a socket buffer holds: a range, whole pages, a range.
///
/// The whole pages are the device's no more, but for those behind one that was refused.
#[inline]
fn put_run(
    pages: &mut Pages<'_>,
    cx: &PollContext<'_>,
    skb: &mut RxSkb,
    first: Option<Span>,
    whole: &[u16],
    last: Option<Span>,
) -> Result<(), Dropped> {
    put_data(pages, skb, [first, None])?;
    for &id in whole {
        let page = pages.take(id).ok_or(Dropped::Lie)?;
        if let Err(page) = skb.add_whole(page) {
            page.recycle(cx);
            return Err(Dropped::Lie);
        }
    }
    put_data(pages, skb, [last, None])
}

/// Takes back the pages that the device is done with.
#[inline]
fn release_data(pages: &mut Pages<'_>, cx: &PollContext<'_>, spans: [Option<Span>; 2]) {
    for span in spans.into_iter().flatten() {
        if span.release {
            pages.release(cx, span.id);
        }
    }
}
