// SPDX-License-Identifier: GPL-2.0

//! Receive: from completions to packets.
//!
//! [`Receiver::poll`] is the hot path and the only receive loop. It takes completions off the ring
//! one by one, has [`decode`] check each once, counts its packet, reads its control-block summary,
//! and hands it to a [`Sink`]. There are two: [`Stack`](stack::Stack) makes socket buffers,
//! [`Filtered`](xdp::Filtered) asks an XDP program first. Each has a loop of its own by
//! monomorphisation, so that nothing is decided at run time.

mod alone;
mod buffers;
mod decode;
mod flows;
mod headers;
mod merged;
mod order;
mod ring;
mod side;
mod stack;
pub(crate) mod xdp;

use crate::{
    counters,
    hw::{
        desc::Completion,
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
    Apart,
    Form,
    Head,
    Span,
    BUF_SIZE, //
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

/// The rings of a receive queue that every sink takes packets from.
pub(crate) struct Rings<'bound> {
    ring: Completions<'bound>,
    header: Cells<'bound>,
    /// Pages for data.
    reasm: Pages<'bound>,
    /// Pages for whole packets.
    packet: Pages<'bound>,
    settings: Arc<Settings>,
    /// What of a completion the stack is told, in this poll.
    offer: Offer,
    /// Size of the device's flow database.
    flows: usize,
    queue: u16,
    mmio: Arc<Mmio<'bound>>,
}

/// Where the packets of a queue go.
///
/// What does not depend on it is done in [`Receiver`]: a sink is given packets that were checked
/// and counted. It says what becomes of them, and counts that.
pub(crate) trait Sink<'bound>: Sized {
    /// The pages that data are received into.
    const DATA: Contents;
    /// The pages that whole packets are received into.
    const PACKETS: Contents;
    /// For how many times the pages of a ring its pool has room.
    const POOL_FACTOR: u32;

    /// Pages in the ring for whole packets, as a power of two.
    fn packet_pages(sizes: &RingSizes) -> u32;

    /// Makes the sink of a queue with these rings. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    fn new(s: &Parts<'_, 'bound>, rings: &mut Rings<'bound>) -> Result<Self>;

    /// Tells the device of rings that only this sink has.
    fn program(&self, rings: &Rings<'bound>);

    /// Gives the device the first buffers of such rings.
    fn launch(&mut self);

    /// A pool that only this sink has.
    fn pool(&mut self) -> Option<&mut PagePool>;

    /// Whether a part of a packet in a packet buffer goes on with the packet at hand.
    fn continues_full(&self) -> bool;

    /// Whether a part of a packet whose header and data are apart goes on with the packet at hand.
    fn continues_apart(&self, p: &Apart) -> bool;

    /// The packet at hand, if there is one, is not gone on with.
    fn break_off(&mut self, count: &counters::Rx);

    /// A packet begins, and was counted.
    fn begin(&mut self, cx: &RxContext<'_>, h: &Head, count: &counters::Rx);

    /// A packet that is whole in a cell of the small class.
    fn small(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        span: &Span,
        count: &counters::Rx,
    );

    /// A completion was not believed that may have had such a cell.
    fn refuse_small(&mut self);

    /// A packet, or a part of one, in a packet buffer; `first` says that it begins here.
    fn full(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        part: (&Head, &Span),
        first: bool,
        count: &counters::Rx,
    );

    /// A packet, or a part of one, whose header and data are apart; `first` says that it begins
    /// here.
    fn apart(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Apart,
        first: bool,
        count: &counters::Rx,
    );

    /// The poll ends; `empty` says that no completion waits.
    fn end(&mut self, cx: &RxContext<'_>, empty: bool, count: &counters::Rx);

    /// Packets that were counted and have not been handed on. The queue goes.
    fn left_over(&self) -> u64;
}

/// The receive side of a queue whose packets go to `S`.
pub(crate) struct Receiver<'bound, S: Sink<'bound>> {
    /// Declared first: an XDP queue is unregistered before its pool goes.
    sink: S,
    rings: Rings<'bound>,
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

impl<'bound> Rings<'bound> {
    fn new<S: Sink<'bound>>(s: &Parts<'_, 'bound>) -> Result<Self> {
        let queue = usize::from(s.queue);
        // Besides those in the ring, each flow may keep one page partly filled, as may the queue.
        let pages = |kind, contents, log2: u32, kept: usize| {
            let ids = u16::try_from((1 << log2) + kept + 1)?;
            let count = S::POOL_FACTOR * u32::from(ids);
            let pool = PagePool::new(s.dma, s.netdev, s.queue, contents, count)?;
            Pages::new(s.dev, s.mmio, queue, kind, log2, ids, pool)
        };
        let packets = S::packet_pages(&s.rings);
        Ok(Self {
            ring: Completions::new(s)?,
            header: Cells::new(s.dev, s.mmio, queue, BufKind::Header, s.rings.header)?,
            reasm: pages(BufKind::Reasm, S::DATA, s.rings.reasm, s.flows)?,
            packet: pages(BufKind::Packet, S::PACKETS, packets, 0)?,
            settings: s.settings.clone(),
            offer: Offer::default(),
            flows: s.flows,
            queue: s.queue,
            mmio: s.mmio.clone(),
        })
    }
}

impl<'bound, S: Sink<'bound>> Receiver<'bound, S> {
    /// Makes the rings and fills them with buffers; the device does not hear of it. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(s: &Parts<'_, 'bound>) -> Result<Self> {
        let mut rings = Rings::new::<S>(s)?;
        Ok(Self {
            sink: S::new(s, &mut rings)?,
            rings,
            counters: s.counters.clone(),
            tcbs: s.tcbs.clone(),
        })
    }

    /// Tells the device where the rings are. It takes note when the queue is switched on, which can
    /// be done once with these rings.
    pub(crate) fn program(&self) {
        self.rings.ring.program();
        self.rings.header.program();
        self.rings.reasm.program();
        self.rings.packet.program();
        self.sink.program(&self.rings);
    }

    /// Tells from outside of polls whether completions wait.
    pub(crate) fn probe(&self) -> &Arc<Probe> {
        self.rings.ring.probe()
    }

    /// Gives the device its first buffers. The queue must have been switched on just now.
    pub(crate) fn launch(&mut self) {
        self.rings.header.launch();
        self.sink.launch();
        self.rings.reasm.launch();
        self.rings.packet.launch();
    }

    fn pools(&mut self) -> impl Iterator<Item = &mut PagePool> {
        let Rings { reasm, packet, .. } = &mut self.rings;
        let all = [Some(reasm.pool()), Some(packet.pool()), self.sink.pool()];
        all.into_iter().flatten()
    }

    /// Lets the pools recycle in the context of the queue's NAPI instance.
    pub(crate) fn attached(&mut self, napi: NapiRef<'_>) {
        self.pools().for_each(|pool| pool.attach(napi));
    }

    /// Takes the pools out of that context: the receiver will be dropped while NAPI goes on.
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        self.pools().for_each(|pool| pool.detach(napi));
    }

    /// Takes completions up to the budget.
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        let counters = self.counters.clone();
        let count = &counters.rx;
        self.rings.offer = self.rings.settings.offer();
        let (mut work, budget) = (0, cx.budget());
        let mut empty = false;
        while work < budget {
            let Some(c) = self.rings.ring.take() else {
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
                    if !self.rings.reasm.release(cx, id) {
                        count.bad_completion.add(1);
                    }
                }
                Err(_) => count.bad_completion.add(1),
            }
        }
        self.sink.end(cx, empty, count);
        let rings = &mut self.rings;
        rings.header.flush();
        let fail = rings.settings.fail_pages.load(Relaxed);
        let starving = rings.reasm.refill(cx, fail, count) | rings.packet.refill(cx, fail, count);
        rings.ring.polled(work, empty, starving)
    }

    /// Takes note of a packet whose first completion this is.
    #[inline(always)]
    fn begin(&mut self, cx: &RxContext<'_>, c: &Completion, h: &Head, counters: &counters::Queue) {
        note(c, h, counters, &self.tcbs);
        self.sink.begin(cx, h, &counters.rx);
    }

    /// A packet that is whole in a cell.
    #[inline(never)]
    fn small(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let count = &counters.rx;
        let (Ok(head), Ok(span)) = (decode::whole(c, self.rings.flows), decode::in_cell(c)) else {
            self.sink.refuse_small();
            return count.bad_completion.add(1);
        };
        self.sink.break_off(count);
        self.begin(cx, c, &head, counters);
        self.sink.small(&mut self.rings, cx, c, &span, count);
    }

    /// A packet, or a part of one, in a packet buffer.
    #[inline(never)]
    fn full(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let count = &counters.rx;
        let first = !self.sink.continues_full();
        let (Ok(head), Ok(span)) = (
            decode::whole(c, self.rings.flows),
            decode::in_buffer(c, first),
        ) else {
            self.rings.packet.refuse();
            return count.bad_completion.add(1);
        };
        if first {
            self.sink.break_off(count);
            self.begin(cx, c, &head, counters);
        }
        let part = (&head, &span);
        self.sink.full(&mut self.rings, cx, c, part, first, count);
    }

    /// A packet, or a part of one, whose header and data are apart.
    #[inline(never)]
    fn apart(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let count = &counters.rx;
        let Ok(p) = decode::apart(c, self.rings.flows, self.rings.reasm.size()) else {
            self.rings.header.refuse();
            self.rings.reasm.refuse();
            return count.bad_completion.add(1);
        };
        let first = !self.sink.continues_apart(&p);
        if first {
            self.sink.break_off(count);
            self.begin(cx, c, &p.head, counters);
        }
        self.sink.apart(&mut self.rings, cx, c, &p, first, count);
    }
}

impl<'bound, S: Sink<'bound>> Drop for Receiver<'bound, S> {
    fn drop(&mut self) {
        self.counters.rx.drop_orphan.add(self.sink.left_over());
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
