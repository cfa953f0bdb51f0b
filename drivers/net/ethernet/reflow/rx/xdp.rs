// SPDX-License-Identifier: GPL-2.0

//! Receive with an XDP program attached.
//!
//! The device is given packet buffers only, so that every packet comes whole: nothing is split,
//! merged or copied. Each buffer is part of a page of its own, with room in front for the program
//! to add headers, and room behind. A packet that is longer than a buffer goes on in further pages,
//! the program's *fragments*.

use super::{
    buffers::{
        self,
        Pages, //
    },
    flows,
    ring::Completions,
    Parts,
    Settings, //
};
use crate::{
    counters,
    hw::{
        desc::{
            Completion,
            CompletionKind, //
        },
        index::Index,
        opcode::Opcode,
        regs::BufKind, //
    },
    mmio::Mmio,
    net::{
        napi::{
            NapiRef,
            PollContext, //
        },
        page_pool::{
            Contents,
            PagePool,
            PoolPage, //
        },
        tx_cell::TxCell,
        xdp::{
            self,
            rss_type,
            Buff,
            Frame,
            Hints,
            Holder,
            Program,
            Transmit as _,
            Verdict, //
        }, //
    },
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

/// The receive side of a queue with a program.
pub(crate) struct Receiver<'bound> {
    ring: Completions<'bound>,
    pages: Pages<'bound>,
    /// Unregistered before the pool goes.
    info: xdp::RxQueue,
    program: Arc<Holder>,
    /// Where packets are sent back.
    tx: Option<Arc<TxCell<tx::Ring<'bound>>>>,
    /// Packets to send back; never grows.
    back: KVec<Frame>,
    /// Redirected packets wait to be sent on their way.
    redirected: bool,
    /// The rest of a packet whose beginning was dropped comes next.
    skip: bool,
    queue: u16,
    mmio: Arc<Mmio<'bound>>,
    settings: Arc<Settings>,
    counters: Arc<counters::Queue>,
}

impl<'bound> Receiver<'bound> {
    /// Makes the rings and fills them with buffers; the device does not hear of it. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(s: &Parts<'_, 'bound>) -> Result<Self> {
        // Every packet takes a page at least, as many as wait in the completion ring.
        let log2 = s.rings.reasm;
        let ids = u16::try_from((1 << log2) + 1)?;
        let pool = PagePool::new(s.dma, s.netdev, s.queue, Contents::Packets, ids.into())?;
        let info = xdp::RxQueue::new(s.netdev, s.queue.into(), &pool)?;
        Ok(Self {
            ring: Completions::new(s)?,
            pages: Pages::new(
                s.dev,
                s.mmio,
                s.queue.into(),
                BufKind::Packet,
                log2,
                ids,
                pool,
            )?,
            info,
            program: s.program.clone(),
            tx: None,
            back: KVec::with_capacity(BATCH, GFP_KERNEL)?,
            redirected: false,
            skip: false,
            queue: s.queue,
            mmio: s.mmio.clone(),
            settings: s.settings.clone(),
            counters: s.counters.clone(),
        })
    }

    pub(super) fn program(&self) {
        self.ring.program();
        self.pages.program();
        for kind in [BufKind::Header, BufKind::Reasm, BufKind::Small] {
            buffers::without(&self.mmio, self.queue, kind);
        }
    }

    pub(super) fn launch(&mut self) {
        self.pages.launch();
    }

    pub(super) fn attached(&mut self, napi: NapiRef<'_>) {
        self.pages.pool().attach(napi);
    }

    pub(super) fn detach(&mut self) {
        self.pages.pool().detach();
    }

    pub(super) fn set_tx(&mut self, tx: Arc<TxCell<tx::Ring<'bound>>>) {
        self.tx = Some(tx);
    }

    pub(super) fn is_starving(&self) -> bool {
        self.pages.is_starving()
    }

    pub(super) fn consumed(&self) -> Index {
        self.ring.consumed()
    }

    /// Receives up to `budget` packets. Returns how many, and whether the ring was emptied.
    pub(super) fn poll(&mut self, cx: &PollContext<'_>, budget: usize) -> (usize, bool) {
        let counters = self.counters.clone();
        let program = self.program.get(cx);
        let mut work = 0;
        let mut empty = false;
        while work < budget {
            let Some(c) = self.ring.take() else {
                empty = true;
                break;
            };
            work += 1;
            if self.skip {
                self.skip = c.c0.cont() != 0;
                if let Some((page, _)) = self.take(cx, &c) {
                    page.recycle(cx);
                }
            } else {
                self.packet(cx, program, &c, &counters);
            }
        }
        self.send_back(cx, &counters.rx);
        if core::mem::take(&mut self.redirected) {
            xdp::flush(cx);
        }
        let fail = self.settings.fail_pages.load(Relaxed);
        if self.pages.refill(cx, fail).is_err() {
            counters.rx.alloc_fail.add(1);
        }
        (work, empty)
    }

    /// The page of a completion and how many bytes are in it.
    #[inline]
    fn take(&mut self, cx: &PollContext<'_>, c: &Completion) -> Option<(PoolPage, u16)> {
        let whole = c.c0.kind() == CompletionKind::Packet as u64
            && c.c0.nb() != 0
            && c.c0.sb() | c.c0.hb() | c.c0.rb() | c.c0.rb2() == 0;
        if !whole {
            return None;
        }
        let page = self.pages.take(c.c2.nb_id() as u16)?;
        let len = c.c4.nb_len();
        if c.c4.nb_off() != 0 || len == 0 || len > BUF_SIZE.into() {
            page.recycle(cx);
            return None;
        }
        Some((page, len as u16))
    }

    /// Takes the completions of one packet, of which the device wrote the last one first.
    fn packet(
        &mut self,
        cx: &PollContext<'_>,
        program: Option<Program<'_>>,
        first: &Completion,
        counters: &counters::Queue,
    ) {
        let count = &counters.rx;
        if let Some(opcode) = Opcode::from_raw(first.c0.opcode() as u8) {
            if let Some(counter) = counters.opcodes.get(opcode as usize) {
                counter.add(1);
            }
        }
        count.packets.add(1);
        count.bytes.add(first.c1.pkt_len());
        if first.c0.csum_bad() != 0 {
            count.csum_bad.add(1);
        }
        let Some(packet) = self.gather(cx, first) else {
            count.drop_bad_completion.add(1);
            return;
        };
        let verdict = match program {
            Some(program) => program.run(cx, packet),
            None => Verdict::Pass(packet),
        };
        match verdict {
            Verdict::Pass(packet) => {
                let meta = flows::meta(first, self.queue, &self.settings);
                match packet.submit(cx, &meta) {
                    Ok(()) => {
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
            Verdict::Redirected => {
                self.redirected = true;
                count.xdp_redirect.add(1);
            }
            Verdict::Dropped => count.xdp_drop.add(1),
            Verdict::Aborted => count.xdp_aborted.add(1),
        }
    }

    /// All pages of a packet; none if the device lies about one of them.
    fn gather<'p>(&mut self, cx: &'p PollContext<'_>, first: &Completion) -> Option<Buff<'p>> {
        let hints = self.hints(first);
        let begin = self.take(cx, first);
        let mut packet = begin.and_then(|(page, len)| {
            let packet = Buff::new(cx, &self.info, page, len, &hints);
            packet.map_err(|page| page.recycle(cx)).ok()
        });
        let mut more = first.c0.cont() != 0;
        while more && packet.is_some() {
            let Some(c) = self.ring.take() else {
                packet = None;
                break;
            };
            more = c.c0.cont() != 0;
            let part = self.take(cx, &c);
            packet = packet.zip(part).and_then(|(mut packet, (page, len))| {
                let added = packet.add(page, len).map_err(|page| page.recycle(cx));
                added.is_ok().then_some(packet)
            });
        }
        // What comes behind a packet that is dropped already.
        self.skip = more;
        packet
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
    fn send_back(&mut self, cx: &PollContext<'_>, count: &counters::Rx) {
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
