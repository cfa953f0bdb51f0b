// SPDX-License-Identifier: GPL-2.0

//! The sink that runs an XDP program first.
//!
//! Nothing is merged, and as a rule nothing is split: a packet comes in packet buffers, each part
//! of a page of its own, with room in front for the XDP program to add headers, and room behind. A
//! packet that is longer than a buffer goes on in further pages, the XDP program's *fragments*.
//!
//! If the user wants headers apart from data, which the core allows with XDP programs that can deal
//! with fragments only, the headers are copied to such a page, and the data stay in re-assembly
//! pages as fragments.
//!
//! A packet borrows the queue's `xdp_rxq_info` for as long as it exists, so all of its completions
//! are taken at once. They are there: the device writes the first one last.

use super::{
    decode::{
        self,
        Form,
        Head,
        Span, //
        Split,
        Usual,
    },
    parts::{
        Offer,
        Parts, //
    },
    ring,
    rings::{
        check_headers,
        count_drop,
        put_data,
        Dropped,
        Memory,
        Rings, //
    },
    Sink, //
};
use crate::{
    counters,
    hw::{
        desc::Completion,
        regs::BufKind, //
    },
    net::{
        napi::RxContext,
        page_pool::{
            PagePool, //
            Usage,
        },
        tx_cell::TxCell,
        xdp::{
            self,
            rss_type,
            Hints,
            Holder,
            OwnFrame,
            Transmit as _,
            Verdict, //
            XdpBuff,
        }, //
    },
    sizes::RingSizes,
    tx, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Bytes of a buffer.
pub(crate) const XDP_BUF_SIZE: u32 = 2048;
/// Frames that are sent back together.
const BATCH: usize = 32;

const _: () = assert!(XDP_BUF_SIZE as usize <= xdp::FIRST_MAX);

/// An XDP program sees packets before the stack does.
pub(crate) struct Xdp<'bound> {
    /// Borrowed by one packet after the other.
    info: xdp::XdpRxqInfo,
    verdicts: Verdicts<'bound>,
    /// The rest of a packet whose beginning was dropped comes next.
    skip: bool,
}

/// The XDP program, and where its verdicts send packets.
struct Verdicts<'bound> {
    program: Arc<Holder>,
    /// Where packets are sent back.
    tx: Option<Arc<TxCell<tx::Ring<'bound>>>>,
    /// Packets to send back; never grows.
    back: KVec<OwnFrame>,
}

impl<'bound> Xdp<'bound> {
    /// Names the transmit ring that packets are sent back on.
    pub(super) fn set_tx(&mut self, tx: Arc<TxCell<tx::Ring<'bound>>>) {
        self.verdicts.tx = Some(tx);
    }
}

impl<'bound> Sink<'bound> for Xdp<'bound> {
    fn memory(sizes: &RingSizes) -> Memory {
        Memory {
            data: Usage::XDP_FRAGS,
            packets: Usage::XDP,
            // Each packet takes one: as many as there are for data without an XDP program.
            log2_packets: sizes.reasm,
            pool_factor: 1,
        }
    }

    fn new(s: &Parts<'_, 'bound>, rings: &mut Rings<'bound>) -> Result<Self> {
        Ok(Self {
            info: xdp::XdpRxqInfo::new(s.netdev, s.queue.into(), rings.packet.pool())?,
            verdicts: Verdicts {
                program: s.xdp.clone(),
                tx: None,
                back: KVec::with_capacity(BATCH, GFP_KERNEL)?,
            },
            skip: false,
        })
    }

    fn configure(&self, rings: &Rings<'bound>) {
        ring::without(&rings.mmio, rings.queue, BufKind::Small);
    }

    fn post_first(&mut self) {}

    fn pools(&mut self) -> [Option<&mut PagePool>; 2] {
        [None, None]
    }

    /// Nothing is merged.
    #[inline(always)]
    fn merges_next(&self) -> bool {
        false
    }

    #[inline]
    fn continues_full(&self) -> bool {
        self.skip
    }

    #[inline]
    fn continues_split(&self, _p: &Split) -> bool {
        self.skip
    }

    #[inline]
    fn break_off(&mut self, _count: &counters::Rx) {
        self.skip = false;
    }

    fn begin(&mut self, _cx: &RxContext<'_>, _h: &Head, _count: &counters::Rx) {}

    /// The device was given no cells of this class.
    #[cold]
    fn small(
        &mut self,
        _rings: &mut Rings<'bound>,
        _cx: &RxContext<'_>,
        _c: &Completion,
        _span: &Span,
        count: &counters::Rx,
    ) {
        count.drop_bad_completion.add(1);
    }

    fn refuse_small(&mut self) {}

    #[inline(always)]
    fn full(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        (head, span): (&Head, &Span),
        first: bool,
        count: &counters::Rx,
    ) {
        if !first {
            self.skip = head.cont;
            drop(rings.add_page(cx, span, Err(Dropped::Counted)));
            return;
        }
        let hints = rings.hints(c);
        let begun = match rings.packet.claim_whole(span.id) {
            Some(page) if in_place(span) => {
                XdpBuff::new(cx, &mut self.info, page, span.len, &hints)
            }
            Some(page) => Err(page),
            None => {
                self.skip = head.cont;
                return count_drop(count, Dropped::BadCompletion, 1);
            }
        };
        let begun = begun.map_err(|page| {
            page.recycle(cx);
            Dropped::BadCompletion
        });
        let (packet, skip) = rings.rest(cx, begun, head.cont);
        self.skip = skip;
        match packet {
            Ok(packet) => self.verdicts.decide(cx, c, packet, rings.offer, count),
            Err(e) => count_drop(count, e, 1),
        }
    }

    fn usual(
        &mut self,
        _rings: &mut Rings<'bound>,
        _cx: &RxContext<'_>,
        _c: &Completion,
        _p: &Usual,
        count: &counters::Rx,
    ) {
        count.drop_bad_completion.add(1);
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
        if !first {
            self.skip = p.head.cont;
            drop(rings.add_data(cx, c, p, Err(Dropped::Counted)));
            return;
        }
        let at = p.header.and_then(|span| rings.header.claim(&span));
        let begun = match (at, &p.header) {
            // Nothing is merged here.
            _ if p.head.segs > 1 || p.pages != 0 => Err(Dropped::BadCompletion),
            (Some(off), Some(span)) => rings.headers(cx, c, &mut self.info, (off, span.len)),
            _ => Err(Dropped::BadCompletion),
        };
        let begun = rings.put_data(cx, c, p, begun);
        let (packet, skip) = rings.rest(cx, begun, p.head.cont);
        self.skip = skip;
        match packet {
            Ok(packet) => self.verdicts.decide(cx, c, packet, rings.offer, count),
            Err(e) => count_drop(count, e, p.head.segs),
        }
    }

    fn end(&mut self, cx: &RxContext<'_>, _empty: bool, count: &counters::Rx) {
        self.verdicts.flush(cx, count);
    }

    fn left_over(&self) -> u64 {
        0
    }
}

/// Whether a part of a packet lies where a page has room for it.
#[inline]
fn in_place(span: &Span) -> bool {
    span.off == 0 && u32::from(span.len) <= XDP_BUF_SIZE
}

impl Rings<'_> {
    /// Puts the rest of a packet behind what there is of it, if that is not lost. True if further
    /// completions of a lost one come.
    #[inline]
    fn rest<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        mut packet: Result<XdpBuff<'p>, Dropped>,
        mut more: bool,
    ) -> (Result<XdpBuff<'p>, Dropped>, bool) {
        while more && packet.is_ok() {
            let Some(c) = self.ring.take_next() else {
                packet = Err(Dropped::BadCompletion);
                break;
            };
            more = c.c0.cont() != 0;
            packet = self.add(cx, &c, packet);
        }
        (packet, more)
    }

    /// Puts one part behind what there is of a packet.
    fn add<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        packet: Result<XdpBuff<'p>, Dropped>,
    ) -> Result<XdpBuff<'p>, Dropped> {
        match decode::form(c.c0) {
            Ok(Form::Full) => {
                if let Ok(span) = decode::in_buffer(c, false) {
                    return self.add_page(cx, &span, packet);
                }
            }
            Ok(Form::Split) => {
                if let Ok(p) = decode::split(c, self.flows, self.reasm.size()) {
                    return self.add_data(cx, c, &p, packet);
                }
            }
            _ => {}
        }
        self.header.refuse();
        self.reasm.refuse();
        self.packet.refuse();
        packet.and(Err(Dropped::BadCompletion))
    }

    /// A part of a packet, in a page of its own. The page is taken back if the packet is lost.
    #[inline]
    fn add_page<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        span: &Span,
        packet: Result<XdpBuff<'p>, Dropped>,
    ) -> Result<XdpBuff<'p>, Dropped> {
        let Some(page) = self.packet.claim_whole(span.id) else {
            return packet.and(Err(Dropped::BadCompletion));
        };
        let put = match packet {
            Ok(mut packet) if in_place(span) => packet.add(cx, page, span.len).map(|()| packet),
            Ok(_) => Err(page),
            Err(e) => {
                page.recycle(cx);
                return Err(e);
            }
        };
        put.map_err(|page| {
            page.recycle(cx);
            Dropped::BadCompletion
        })
    }

    /// More data of a packet that is split into header and data. Pages that the device is done with
    /// are taken back in any case.
    fn add_data<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        p: &Split,
        packet: Result<XdpBuff<'p>, Dropped>,
    ) -> Result<XdpBuff<'p>, Dropped> {
        if let Some(span) = &p.header {
            self.header.claim(span);
        }
        let goes_on = p.header.is_none() && p.head.segs == 1 && p.pages == 0;
        let packet = match goes_on {
            true => packet,
            false => packet.and(Err(Dropped::BadCompletion)),
        };
        self.put_data(cx, c, p, packet)
    }

    /// Puts the data of a completion behind what there is of a packet.
    fn put_data<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        p: &Split,
        packet: Result<XdpBuff<'p>, Dropped>,
    ) -> Result<XdpBuff<'p>, Dropped> {
        let spans = (decode::owner(c), [p.data, p.data2]);
        put_data(&mut self.reasm, cx, packet, spans, |packet, page, span| {
            packet.add_shared(cx, page, (span.off, span.len), span.release)
        })
    }

    /// A packet that begins with headers in a cell, copied to a page of its own.
    fn headers<'p>(
        &mut self,
        cx: &'p RxContext<'_>,
        c: &Completion,
        info: &'p mut xdp::XdpRxqInfo,
        (off, len): (usize, u16),
    ) -> Result<XdpBuff<'p>, Dropped> {
        check_headers(&self.header, c, off, len)?;
        let page = self.packet.spare(cx).ok_or(Dropped::NoMem)?;
        let from = (self.header.mem(), off, len);
        XdpBuff::copied(cx, info, page, from, &self.hints(c)).map_err(|page| {
            page.recycle(cx);
            Dropped::BadCompletion
        })
    }

    /// The metadata of the packet whose completion was taken last.
    #[inline]
    fn hints(&self, c: &Completion) -> Hints {
        let c0 = c.c0;
        let mut rss_type = 0;
        if c0.hash() != 0 && self.offer.hash() {
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
}

impl Verdicts<'_> {
    /// Runs the XDP program and carries out its verdict.
    #[inline]
    fn decide(
        &mut self,
        cx: &RxContext<'_>,
        c: &Completion,
        packet: XdpBuff<'_>,
        offer: Offer,
        count: &counters::Rx,
    ) {
        let program = self.program.get(cx);
        let verdict = match program {
            Some(program) => program.run(cx, packet),
            None => Verdict::Pass(packet),
        };
        // The packet reached the XDP program, unless that failed.
        if !matches!(verdict, Verdict::Pass(_) | Verdict::Aborted) {
            count.up(1, c.c1.pkt_len());
        }
        match verdict {
            Verdict::Pass(packet) => match packet.submit(cx, &offer.meta(c)) {
                Ok(()) => {
                    count.up(1, c.c1.pkt_len());
                    count.skbs.add(1);
                    count.xdp_pass.add(program.is_some().into());
                }
                Err(_) => count.drop_nomem.add(1),
            },
            Verdict::Tx(frame) => {
                if let Err(full) = self.back.push_within_capacity(frame) {
                    // Cannot happen: it is flushed when it is full.
                    drop(full);
                    count.xdp_tx_full.add(1);
                }
                if self.back.len() == BATCH {
                    self.flush(cx, count);
                }
            }
            Verdict::Redirected => count.xdp_redirect.add(1),
            Verdict::Dropped => count.xdp_drop.add(1),
            Verdict::Aborted => count.xdp_aborted.add(1),
        }
    }

    /// Puts what XDP programs sent back on the transmit ring.
    fn flush(&mut self, cx: &RxContext<'_>, count: &counters::Rx) {
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
