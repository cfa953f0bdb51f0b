// SPDX-License-Identifier: GPL-2.0

//! Receive: from completions to packets.
//!
//! [`Receiver::poll`] is the hot path and the only receive loop. It takes completions off the ring
//! one by one, has [`decode`] check each once, counts its packet, reads its control-block summary,
//! and hands it to a [`Sink`]. There are two: [`Stack`](stack::Stack) makes socket buffers,
//! [`Xdp`](xdp::Xdp) runs an XDP program first. The loop is compiled once for each: no dispatch at
//! run time.

mod aggregate;
mod buffers;
mod completions;
mod decode;
mod flows;
mod headers;
mod order;
mod parts;
pub(crate) mod queue;
mod rings;
mod single;
mod stack;
pub(crate) mod xdp;

use crate::{
    counters,
    hw::{
        desc::Completion,
        opcode::Opcode, //
    },
    net::{
        napi::{
            NapiRef,
            RxContext, //
        },
        page_pool::PagePool, //
    },
    sizes::RingSizes,
    tcb::Tcbs, //
};
use completions::Polled;
pub(crate) use completions::Probe;
use decode::{
    Form,
    Head,
    Span, //
    Split,
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
pub(crate) use parts::{
    Parts,
    Settings, //
};
use rings::{
    Memory,
    Rings, //
};

/// Summary of a control block that applied.
const SUMMARY_APPLIED: u64 = 1;

/// Where the packets of a queue go.
///
/// [`Receiver`] checks and counts packets before it hands them to the sink. The sink counts where
/// they went.
pub(crate) trait Sink<'bound>: Sized {
    /// The pages that packets are to come in, in rings of these sizes.
    fn memory(sizes: &RingSizes) -> Memory;

    /// Makes the sink of a queue with these rings. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    fn new(s: &Parts<'_, 'bound>, rings: &mut Rings<'bound>) -> Result<Self>;

    /// Writes the addresses of rings that only this sink has.
    fn configure(&self, rings: &Rings<'bound>);

    /// Posts the first buffers of such rings.
    fn post_first(&mut self);

    /// A pool that only this sink has.
    fn pool(&mut self) -> Option<&mut PagePool>;

    /// Whether a part of a packet in a packet buffer continues the unfinished packet.
    fn continues_full(&self) -> bool;

    /// Whether a part of a packet that is split into header and data continues the unfinished one.
    fn continues_split(&self, p: &Split) -> bool;

    /// Drops the unfinished packet, if there is one: the next completion does not continue it.
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

    /// A packet, or a part of one, that is split into header and data; `first` says that it begins
    /// here.
    fn split(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Split,
        first: bool,
        count: &counters::Rx,
    );

    /// The poll ends; `empty` says that no completion waits.
    fn end(&mut self, cx: &RxContext<'_>, empty: bool, count: &counters::Rx);

    /// Packets that were counted and not handed on. Called when the queue is freed.
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

impl<'bound, S: Sink<'bound>> Receiver<'bound, S> {
    /// Makes the rings and fills them with buffers; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(s: &Parts<'_, 'bound>) -> Result<Self> {
        let mut rings = Rings::new(s, &S::memory(&s.rings))?;
        Ok(Self {
            sink: S::new(s, &mut rings)?,
            rings,
            counters: s.counters.clone(),
            tcbs: s.tcbs.clone(),
        })
    }

    /// Writes the addresses of the rings. The device reads them when the queue is enabled, which
    /// can be done once with these rings.
    pub(crate) fn configure(&self) {
        self.rings.configure();
        self.sink.configure(&self.rings);
    }

    /// Tells from outside of polls whether completions wait.
    pub(crate) fn probe(&self) -> &Arc<Probe> {
        self.rings.ring.probe()
    }

    /// Posts the first buffers. The queue must have just been enabled.
    pub(crate) fn post_first(&mut self) {
        self.rings.post_first();
        self.sink.post_first();
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
            let Some(mut c) = self.rings.ring.take() else {
                empty = true;
                break;
            };
            if self.rings.offer.time {
                c.time = self.rings.ring.time();
            }
            work += 1;
            match decode::form(&c) {
                Ok(Form::Small) => self.small(cx, &c, &counters),
                Ok(Form::Full) => self.full(cx, &c, &counters),
                Ok(Form::Split) => self.split(cx, &c, &counters),
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
        let starving = self.rings.refill(cx, count);
        self.rings.ring.polled(work, empty, starving)
    }

    /// Counts a packet whose first completion this is.
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

    /// A packet, or a part of one, that is split into header and data.
    #[inline(never)]
    fn split(&mut self, cx: &RxContext<'_>, c: &Completion, counters: &counters::Queue) {
        let count = &counters.rx;
        let Ok(p) = decode::split(c, self.rings.flows, self.rings.reasm.size()) else {
            self.rings.header.refuse();
            self.rings.reasm.refuse();
            return count.bad_completion.add(1);
        };
        let first = !self.sink.continues_split(&p);
        if first {
            self.sink.break_off(count);
            self.begin(cx, c, &p.head, counters);
        }
        self.sink.split(&mut self.rings, cx, c, &p, first, count);
    }
}

impl<'bound, S: Sink<'bound>> Drop for Receiver<'bound, S> {
    fn drop(&mut self) {
        self.counters.rx.drop_orphan.add(self.sink.left_over());
    }
}

/// Counts a packet, or several, whose first completion this is, and reads its summary.
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
