// SPDX-License-Identifier: GPL-2.0

//! Receive with an XDP program attached.
//!
//! Nothing is merged, and as a rule nothing is split: a packet comes in packet buffers, each part
//! of a page of its own, with room in front for the program to add headers, and room behind. A
//! packet that is longer than a buffer goes on in further pages, the program's *fragments*.
//!
//! If the user wants headers apart from data, which the core allows with programs that can deal
//! with fragments only, the headers are copied to such a page, and the data stay in re-assembly
//! pages as fragments.

use super::{
    buffers::{
        self,
        Cells,
        Pages, //
    },
    check_headers,
    count_drop,
    decode::{
        self,
        Form,
        Item,
        Place,
        Span, //
    },
    flows,
    note,
    put_data,
    ring::{
        Completions,
        Probe, //
    },
    side::Polled,
    Dropped,
    Parts,
    Settings, //
};
use crate::{
    counters,
    hw::{
        desc::Completion,
        regs::BufKind, //
    },
    mmio::Mmio,
    net::{
        napi::{
            NapiRef,
            RxContext, //
        },
        page_pool::{
            Contents,
            PagePool, //
        },
        tx_cell::TxCell,
        xdp::{
            self,
            rss_type,
            Buff,
            Hints,
            Holder,
            OwnFrame,
            Program,
            Transmit as _,
            Verdict, //
        }, //
    },
    tcb::Tcbs,
    tx, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// Bytes of a buffer.
pub(crate) const BUF_SIZE: u32 = 2048;
/// Frames that are sent back together.
const BATCH: usize = 32;

const _: () = assert!(BUF_SIZE as usize <= xdp::FIRST_MAX);

/// What there is of a packet when its next part comes.
enum Before<'p> {
    /// Nothing: the packet will come from this queue.
    Nothing(&'p mut xdp::RxQueue),
    /// What came so far.
    Part(Buff<'p>),
}

/// The receive side of a queue with a program.
pub(crate) struct Receiver<'bound> {
    /// Lent to one packet after the other. Declared first: unregistered before the pool goes.
    info: Option<xdp::RxQueue>,
    ring: Completions<'bound>,
    header: Cells<'bound>,
    reasm: Pages<'bound>,
    pages: Pages<'bound>,
    program: Arc<Holder>,
    /// Where packets are sent back.
    tx: Option<Arc<TxCell<tx::Ring<'bound>>>>,
    /// Packets to send back; never grows.
    back: KVec<OwnFrame>,
    /// The rest of a packet whose beginning was dropped comes next.
    skip: bool,
    queue: u16,
    mmio: Arc<Mmio<'bound>>,
    settings: Arc<Settings>,
    counters: Arc<counters::Queue>,
    tcbs: Arc<Tcbs>,
    /// Size of the device's flow database.
    flows: usize,
}

impl<'bound> Receiver<'bound> {
    /// Makes the rings and fills them with buffers; the device does not hear of it. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(s: &Parts<'_, 'bound>) -> Result<Self> {
        let pool =
            |contents, ids: u16| PagePool::new(s.dma, s.netdev, s.queue, contents, ids.into());
        let pages = |kind, log2, ids, pool| {
            Pages::new(s.dev, s.mmio, s.queue.into(), kind, log2, ids, pool)
        };
        // Every packet takes a page at least: as many as there are for data without a program.
        let log2 = s.rings.reasm;
        let ids = u16::try_from((1 << log2) + 1)?;
        let packets = pool(Contents::Packets, ids)?;
        let info = xdp::RxQueue::new(s.netdev, s.queue.into(), &packets)?;
        // Each flow may keep a page partly filled.
        let kept = ids + u16::try_from(s.flows)?;
        let data = pool(Contents::PacketData, kept)?;
        let cells = s.rings.header;
        Ok(Self {
            ring: Completions::new(s)?,
            header: Cells::new(s.dev, s.mmio, s.queue.into(), BufKind::Header, cells)?,
            reasm: pages(BufKind::Reasm, log2, kept, data)?,
            pages: pages(BufKind::Packet, log2, ids, packets)?,
            info: Some(info),
            program: s.program.clone(),
            tx: None,
            back: KVec::with_capacity(BATCH, GFP_KERNEL)?,
            skip: false,
            queue: s.queue,
            mmio: s.mmio.clone(),
            settings: s.settings.clone(),
            counters: s.counters.clone(),
            tcbs: s.tcbs.clone(),
            flows: s.flows,
        })
    }

    pub(super) fn program(&self) {
        self.ring.program();
        self.header.program();
        self.reasm.program();
        self.pages.program();
        buffers::without(&self.mmio, self.queue, BufKind::Small);
    }

    pub(super) fn probe(&self) -> &Arc<Probe> {
        self.ring.probe()
    }

    pub(super) fn launch(&mut self) {
        self.header.launch();
        self.reasm.launch();
        self.pages.launch();
    }

    pub(super) fn attached(&mut self, napi: NapiRef<'_>) {
        self.reasm.pool().attach(napi);
        self.pages.pool().attach(napi);
    }

    pub(super) fn detach(&mut self, napi: NapiRef<'_>) {
        self.reasm.pool().detach(napi);
        self.pages.pool().detach(napi);
    }

    pub(super) fn set_tx(&mut self, tx: Arc<TxCell<tx::Ring<'bound>>>) {
        self.tx = Some(tx);
    }

    /// Receives packets up to the budget.
    pub(super) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        let counters = self.counters.clone();
        let program = self.program.get(cx);
        let mut info = self.info.take();
        let (mut work, budget) = (0, cx.budget());
        let mut empty = false;
        while work < budget {
            let Some(c) = self.ring.take() else {
                empty = true;
                break;
            };
            work += 1;
            match decode::form(&c) {
                Ok(Form::Release(id)) => {
                    counters.rx.released.add(1);
                    if !self.reasm.release(cx, id) {
                        counters.rx.bad_completion.add(1);
                    }
                }
                _ => match &mut info {
                    Some(info) if !self.skip => self.packet(cx, program, &c, info, &counters),
                    _ => {
                        self.skip = c.c0.cont() != 0;
                        drop(self.part(cx, &c, Err(Dropped::Counted)));
                    }
                },
            }
        }
        self.info = info;
        self.send_back(cx, &counters.rx);
        self.header.flush();
        let fail = self.settings.fail_pages.load(Relaxed);
        let starving =
            self.reasm.refill(cx, fail, &counters.rx) | self.pages.refill(cx, fail, &counters.rx);
        self.ring.polled(work, empty, starving)
    }

    /// Takes the completions of one packet, of which the device wrote the last one first.
    fn packet(
        &mut self,
        cx: &RxContext<'_>,
        program: Option<Program<'_>>,
        first: &Completion,
        info: &mut xdp::RxQueue,
        counters: &counters::Queue,
    ) {
        let count = &counters.rx;
        let before = match decode::head(first, self.flows) {
            Ok(head) => {
                note(first, &head, counters, &self.tcbs);
                Ok(Before::Nothing(info))
            }
            Err(_) => Err(Dropped::Lie),
        };
        let packet = match self.gather(cx, first, before) {
            Ok(packet) => packet,
            Err(e) => return count_drop(count, e, 1),
        };
        let verdict = match program {
            Some(program) => program.run(cx, packet),
            None => Verdict::Pass(packet),
        };
        // What a program decided on has got to it, unless it failed.
        if !matches!(verdict, Verdict::Pass(_) | Verdict::Aborted) {
            count.up(1, first.c1.pkt_len());
        }
        match verdict {
            Verdict::Pass(packet) => {
                let meta = flows::meta(first, self.settings.offer());
                match packet.submit(cx, &meta) {
                    Ok(()) => {
                        count.up(1, first.c1.pkt_len());
                        count.skbs.add(1);
                        count.xdp_pass.add(program.is_some().into());
                    }
                    Err(_) => count.drop_nomem.add(1),
                }
            }
            Verdict::Tx(frame) => {
                if let Err(full) = self.back.push_within_capacity(frame) {
                    // Cannot be: it is emptied when it is full.
                    drop(full);
                    count.xdp_tx_full.add(1);
                }
                if self.back.len() == BATCH {
                    self.send_back(cx, count);
                }
            }
            Verdict::Redirected => count.xdp_redirect.add(1),
            Verdict::Dropped => count.xdp_drop.add(1),
            Verdict::Aborted => count.xdp_aborted.add(1),
        }
    }

    /// All parts of a packet.
    fn gather<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        first: &Completion,
        before: Result<Before<'p>, Dropped>,
    ) -> Result<Buff<'p>, Dropped> {
        let mut packet = self.part(cx, first, before);
        let mut more = first.c0.cont() != 0;
        while more && packet.is_ok() {
            let Some(c) = self.ring.take() else {
                packet = Err(Dropped::Lie);
                break;
            };
            more = c.c0.cont() != 0;
            packet = self.part(cx, &c, packet.map(Before::Part));
        }
        // What comes behind a packet that is dropped already.
        self.skip = more;
        packet
    }

    /// Puts one part behind what there is of a packet, if that is not lost. What the device is done
    /// with is taken back in any case.
    fn part<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        before: Result<Before<'p>, Dropped>,
    ) -> Result<Buff<'p>, Dropped> {
        match decode::item(c, matches!(before, Ok(Before::Nothing(_)))) {
            Ok(Item::Part(Place::Full(span))) => self.whole(cx, c, before, &span),
            Ok(Item::Part(Place::Split(header, data, data2))) => {
                let at = header.and_then(|span| self.header.claim(&span));
                let packet = match (before, &header) {
                    // Nothing is merged here.
                    (Ok(_), _) if c.c0.segs() > 1 || c.c5.pages() != 0 => Err(Dropped::Lie),
                    (Ok(Before::Nothing(info)), Some(span)) => {
                        self.headers(cx, c, info, at, span.len)
                    }
                    (Ok(Before::Part(packet)), None) => Ok(packet),
                    (Ok(_), _) => Err(Dropped::Lie),
                    (Err(e), _) => Err(e),
                };
                let spans = (decode::owner(c), [data, data2]);
                put_data(&mut self.reasm, cx, packet, spans, |packet, page, span| {
                    packet.add_shared(cx, page, (span.off, span.len), span.release)
                })
            }
            _ => {
                self.header.refuse();
                self.reasm.refuse();
                self.pages.refuse();
                before.and(Err(Dropped::Lie))
            }
        }
    }

    /// A packet, or a part of one, in a page of its own.
    #[inline]
    fn whole<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        before: Result<Before<'p>, Dropped>,
        span: &Span,
    ) -> Result<Buff<'p>, Dropped> {
        let Some(page) = self.pages.claim_whole(span.id) else {
            return before.and(Err(Dropped::Lie));
        };
        let put = if span.off != 0 || u32::from(span.len) > BUF_SIZE {
            Err(page)
        } else {
            match before {
                Ok(Before::Nothing(info)) => Buff::new(cx, info, page, span.len, &self.hints(c)),
                Ok(Before::Part(mut packet)) => packet.add(cx, page, span.len).map(|()| packet),
                Err(e) => {
                    page.recycle(cx);
                    return Err(e);
                }
            }
        };
        put.map_err(|page| {
            page.recycle(cx);
            Dropped::Lie
        })
    }

    /// The headers of a packet whose data are elsewhere; they lie at `at` if they were claimed.
    fn headers<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        info: &'p mut xdp::RxQueue,
        at: Option<usize>,
        len: u16,
    ) -> Result<Buff<'p>, Dropped> {
        let off = at.ok_or(Dropped::Lie)?;
        check_headers(&self.header, c, off, len)?;
        let page = self.pages.spare(cx).ok_or(Dropped::NoMem)?;
        let from = (self.header.mem(), off, len);
        Buff::copied(cx, info, page, from, &self.hints(c)).map_err(|page| {
            page.recycle(cx);
            Dropped::Lie
        })
    }

    /// What the device knows of the packet whose completion was taken last.
    #[inline]
    fn hints(&self, c: &Completion) -> Hints {
        let c0 = c.c0;
        let mut rss_type = 0;
        if c0.hash() != 0 && self.settings.hash.load(Relaxed) {
            let l4 = match (c0.tcp() != 0, c0.udp() != 0) {
                (true, _) => rss_type::TCP,
                (_, true) => rss_type::UDP,
                _ => rss_type::L4,
            };
            for (on, what) in [
                (c0.ipv4(), rss_type::IPV4),
                (c0.ipv6(), rss_type::IPV6),
                (c0.hash_l4(), l4),
            ] {
                if on != 0 {
                    rss_type |= what;
                }
            }
        }
        Hints {
            time: self.ring.time(),
            hash: c.c1.hash() as u32,
            rss_type,
            vlan_tci: c.c1.vlan_tci() as u16,
            vlan: c0.vlan() as u16,
        }
    }

    /// Puts what programs sent back on the transmit ring.
    fn send_back(&mut self, cx: &RxContext<'_>, count: &counters::Rx) {
        if self.back.is_empty() {
            return;
        }
        let (mut sent, mut full) = (0, 0);
        let back = &mut self.back;
        let tx = self.tx.as_ref();
        let open = tx.and_then(|tx| {
            tx.with(cx, |ring, _| {
                for frame in back.drain_all() {
                    match ring.send_back(frame) {
                        Ok(()) => sent += 1,
                        Err(_) => full += 1,
                    }
                }
                ring.flush_frames();
            })
        });
        if open.is_none() {
            full = self.back.len() as u64;
            self.back.clear();
        }
        count.xdp_tx.add(sent);
        count.xdp_tx_full.add(full);
    }
}
