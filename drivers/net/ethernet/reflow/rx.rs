// SPDX-License-Identifier: GPL-2.0

//! Receive: from completions to socket buffers.
//!
//! [`Receiver::poll`] is the hot path. It takes completions off the ring one by one and dispatches
//! on where the packet lies; each is checked once, by [`decode`]. Packets outside any aggregate go
//! up at once ([`alone`]), data of an aggregate share a socket buffer ([`merged`]).

mod alone;
mod buffers;
mod decode;
mod flows;
mod headers;
mod merged;
mod order;
mod ring;
mod side;
pub(crate) mod xdp;

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
    mmio::Mmio,
    net::{
        device::Device,
        dma::DmaDevice,
        napi::{
            NapiRef,
            RxContext, //
        },
        page_pool::{
            Contents,
            PagePool,
            PoolPage, //
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
    Form,
    Head,
    Span,
    BUF_SIZE, //
};
use flows::Flows;
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
use order::Refused;
use ring::Completions;
pub(crate) use ring::Probe;
use side::Polled;
pub(crate) use side::Side;

// Headers, and packets that are copied, fit the linear part of a socket buffer.
const _: () = assert!(CELL_SIZE <= Heads::MAX as u32);

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
    pub(crate) dma: &'a DmaDevice<'bound>,
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
            let count = buffers::POOL_FACTOR * u32::from(ids);
            let pool = PagePool::new(s.dma, s.netdev, s.queue, contents, count)?;
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

    /// Tells from outside of polls whether completions wait.
    pub(crate) fn probe(&self) -> &Arc<Probe> {
        self.ring.probe()
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
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        for pool in [self.reasm.pool(), self.packet.pool(), self.heads.pool()] {
            pool.detach(napi);
        }
    }

    /// Takes completions up to the budget.
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        let counters = self.counters.clone();
        let count = &counters.rx;
        self.offer = self.settings.offer();
        let (mut work, budget) = (0, cx.budget());
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
                        count.bad_completion.add(1);
                    }
                }
                Err(_) => count.bad_completion.add(1),
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

    /// Counts so many packets on the wire as dropped; a flow that misses their data loses its
    /// aggregate.
    #[cold]
    fn lost(&mut self, why: Dropped, packets: u16, count: &counters::Rx) {
        if let Dropped::Taken(flow) = why {
            count.drop_orphan.add(self.flows.spoil(flow).into());
        }
        count_drop(count, why, packets);
    }

    /// Forgets a packet in several completions if the one at hand does not go on with it.
    #[inline]
    fn break_off(&mut self, goes_on: bool, count: &counters::Rx) {
        if goes_on || matches!(self.partial, Partial::None) {
            return;
        }
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

    /// Takes note of a packet whose first completion this is. What is not appended ends the flow's
    /// aggregate.
    #[inline(always)]
    fn begin(&mut self, cx: &RxContext<'_>, c: &Completion, h: &Head, counters: &counters::Queue) {
        note(c, h, counters, &self.tcbs);
        if let Some(flow) = h.flow {
            if !matches!(h.opcode, Opcode::Append | Opcode::AppendClose) {
                self.flows.close(cx, flow, &counters.rx);
            }
        }
    }

    /// A packet, or a part of one, whose header and data are apart.
    #[inline(never)]
    fn apart(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let p = match decode::apart(c, self.flows.len(), self.reasm.size()) {
            Ok(p) => p,
            Err(_) => {
                self.header.refuse();
                self.reasm.refuse();
                return counters.rx.bad_completion.add(1);
            }
        };
        let count = &counters.rx;
        let goes_on = match self.partial {
            // The rest of a packet is its flow's.
            Partial::Flow { flow, .. } => p.is_of_aggregate() && p.head.flow == Some(flow),
            Partial::Split(_) | Partial::Dropped => !p.is_of_aggregate(),
            Partial::Whole(_) | Partial::None => false,
        };
        self.break_off(goes_on, count);
        let first = !goes_on;
        if first {
            self.begin(cx, c, &p.head, counters);
        }
        match p.head.flow {
            Some(_) if first && p.is_all_of_aggregate() => self.aggregate(cx, c, &p, count),
            Some(flow) if p.is_of_aggregate() => self.flow(cx, c, &p, flow, count),
            _ => self.alone(cx, c, &p, count),
        }
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let lost = self.flows.left_over();
        self.counters.rx.drop_orphan.add(lost);
    }
}

/// Counts a packet, or several, whose first completion this is, and hears of control blocks.
#[inline(always)]
fn note(c: &Completion, h: &Head, counters: &counters::Queue, tcbs: &Tcbs) {
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
        summary(c, h, count, tcbs);
    }
}

/// A packet of a connection with a control block.
#[cold]
fn summary(c: &Completion, h: &Head, count: &counters::Rx, tcbs: &Tcbs) {
    let applied = c.c0.summary() == SUMMARY_APPLIED;
    match applied {
        true => count.tcb_applied.add(h.segs.into()),
        false => count.tcb_not_applied.add(h.segs.into()),
    }
    if let Some(flow) = h.flow {
        tcbs.summary(flow, c.c0, applied);
    }
}

/// Why a packet was dropped.
#[derive(Clone, Copy)]
enum Dropped {
    NoMem,
    Lie,
    Orphan,
    /// It has data of this flow, which misses them.
    Taken(u16),
    /// The packet was counted with an earlier completion.
    Counted,
}

/// Counts so many packets on the wire as dropped.
fn count_drop(count: &counters::Rx, why: Dropped, packets: u16) {
    let packets = packets.into();
    match why {
        Dropped::NoMem => count.drop_nomem.add(packets),
        Dropped::Lie | Dropped::Taken(_) => count.drop_bad_completion.add(packets),
        Dropped::Orphan => count.drop_orphan.add(packets),
        Dropped::Counted => {}
    }
}

/// A socket buffer that begins with the headers of a packet, in a cell at `off` if it was claimed.
#[inline]
fn copy_cell(
    cx: &RxContext<'_>,
    heads: &mut Heads,
    cells: &Cells<'_>,
    c: &Completion,
    (off, len): (Option<usize>, u16),
) -> Result<RxSkb, Dropped> {
    let off = off.ok_or(Dropped::Lie)?;
    check_headers(cells, c, off, len)?;
    heads.copy(cx, cells.mem(), off, len).map_err(|e| {
        if e == ENOMEM {
            Dropped::NoMem
        } else {
            Dropped::Lie
        }
    })
}

/// Whether headers in a cell are as long as they say. What is behind them in the cell would be
/// taken for data.
#[inline]
fn check_headers(cells: &Cells<'_>, c: &Completion, off: usize, len: u16) -> Result<(), Dropped> {
    match decode::header_len(c, |at| cells.mem().byte(off + at)) {
        Some(right) if right != len => Err(Dropped::Lie),
        _ => Ok(()),
    }
}

/// Puts data behind what a packet holds, with `add`, if it is not lost. Of data that are not put
/// anywhere note is taken all the same, and pages that the device is done with are taken back.
#[inline]
fn put_data<T>(
    pages: &mut Pages<'_>,
    cx: &RxContext<'_>,
    mut packet: Result<T, Dropped>,
    (owner, spans): (u16, [Option<Span>; 2]),
    mut add: impl FnMut(&mut T, &mut PoolPage, &Span) -> Result,
) -> Result<T, Dropped> {
    for span in spans.into_iter().flatten() {
        let added = pages.claim(cx, owner, &span, |page| match &mut packet {
            Ok(packet) => add(packet, page, &span),
            Err(_) => Ok(()),
        });
        let lost = match added {
            Ok(Ok(())) => continue,
            Ok(Err(_)) | Err(Refused::Gap) => Dropped::Lie,
            Err(Refused::Owner(flow)) => Dropped::Taken(flow),
        };
        packet = packet.and(Err(lost));
    }
    packet
}
