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
mod choice;
mod completions;
mod decode;
mod flows;
mod headers;
mod order;
mod parts;
pub(crate) mod queue;
mod ring;
mod rings;
mod single;
mod stack;
pub(crate) mod xdp;

use crate::{
    counters,
    hw::{
        desc::{
            Completion,
            C0, //
        },
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
    Usual,
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

    /// Pools that only this sink has.
    fn pools(&mut self) -> [Option<&mut PagePool>; 2];

    /// Whether this takes aggregates, and no packet is unfinished.
    fn merges_next(&self) -> bool;

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

    /// An aggregate that is all in one completion, after [`Self::merges_next`] said that this takes
    /// it.
    fn usual(
        &mut self,
        rings: &mut Rings<'bound>,
        cx: &RxContext<'_>,
        c: &Completion,
        p: &Usual,
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
        let (data, small) = reasm.pools();
        let all = [Some(data), small, Some(packet.pool())];
        Iterator::chain(all.into_iter(), self.sink.pools()).flatten()
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
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        self.rings.offer = self.rings.settings.offer();
        let (mut work, budget) = (0, cx.budget());
        let mut empty = false;
        while work < budget {
            let Some(c0) = self.rings.ring.peek() else {
                empty = true;
                break;
            };
            work += 1;
            match decode::form(c0) {
                Ok(Form::Small) => {
                    let c = self.rings.ring.take_small(c0);
                    self.small(cx, &c);
                }
                Ok(Form::Split) => {
                    let c = self.rings.take(c0);
                    self.split(cx, &c);
                }
                Ok(Form::Full) => {
                    let c = self.rings.take(c0);
                    self.full(cx, &c);
                }
                Ok(Form::Release) => self.release(cx, c0),
                Err(_) => self.refuse(c0),
            }
        }
        let count = &self.counters.rx;
        self.sink.end(cx, empty, count);
        let starving = self.rings.refill(cx, count);
        self.rings.ring.polled(work, empty, starving)
    }

    /// A completion that cannot be true.
    #[cold]
    fn refuse(&mut self, c0: C0) {
        self.rings.ring.take(c0);
        self.counters.rx.bad_completion.add(1);
    }

    /// A re-assembly buffer that comes back.
    #[cold]
    fn release(&mut self, cx: &RxContext<'_>, c0: C0) {
        let (c, count) = (self.rings.ring.take(c0), &self.counters.rx);
        count.released.add(1);
        if !self.rings.reasm.release(cx, c.c3.rb_id() as u16) {
            count.bad_completion.add(1);
        }
    }

    /// Counts a packet whose first completion this is.
    #[inline(always)]
    fn begin(&mut self, cx: &RxContext<'_>, c: &Completion, h: &Head) {
        note(c, h, &self.counters, &self.tcbs);
        self.sink.begin(cx, h, &self.counters.rx);
    }

    /// A packet that is whole in a cell.
    #[inline(always)]
    fn small(&mut self, cx: &RxContext<'_>, c: &Completion) {
        match decode::plain(c, self.rings.flows) {
            Some((head, span)) => self.small_checked(cx, c, &head, &span),
            // A copy, so that the completion of most packets need not be in memory.
            None => self.small_other(cx, &Completion::from_words(c.to_words())),
        }
    }

    /// One that the quick check did not accept.
    #[inline(never)]
    fn small_other(&mut self, cx: &RxContext<'_>, c: &Completion) {
        let (Ok(head), Ok(span)) = (decode::whole(c, self.rings.flows), decode::in_cell(c)) else {
            return self.refuse_small();
        };
        self.small_checked(cx, c, &head, &span);
    }

    #[inline(always)]
    fn small_checked(&mut self, cx: &RxContext<'_>, c: &Completion, head: &Head, span: &Span) {
        self.sink.break_off(&self.counters.rx);
        self.begin(cx, c, head);
        let (rings, count) = (&mut self.rings, &self.counters.rx);
        self.sink.small(rings, cx, c, span, count);
    }

    #[cold]
    fn refuse_small(&mut self) {
        self.sink.refuse_small();
        self.counters.rx.bad_completion.add(1);
    }

    /// A packet, or a part of one, in a packet buffer.
    #[inline(never)]
    fn full(&mut self, cx: &RxContext<'_>, c: &Completion) {
        let count = &self.counters.rx;
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
            self.begin(cx, c, &head);
        }
        let (part, count) = ((&head, &span), &self.counters.rx);
        self.sink.full(&mut self.rings, cx, c, part, first, count);
    }

    /// A packet, or a part of one, that is split into header and data.
    #[inline(never)]
    fn split(&mut self, cx: &RxContext<'_>, c: &Completion) {
        if self.sink.merges_next() {
            if let Some(p) = decode::usual(c, self.rings.flows) {
                self.begin(cx, c, &p.head());
                let (rings, count) = (&mut self.rings, &self.counters.rx);
                return self.sink.usual(rings, cx, c, &p, count);
            }
        }
        self.split_other(cx, c);
    }

    /// One that the quick check did not accept.
    #[inline(never)]
    fn split_other(&mut self, cx: &RxContext<'_>, c: &Completion) {
        let size = self.rings.reasm.size_of_run(c);
        let Ok(p) = decode::split(c, self.rings.flows, size) else {
            return self.refuse_split();
        };
        let first = !self.sink.continues_split(&p);
        if first {
            self.sink.break_off(&self.counters.rx);
            self.begin(cx, c, &p.head);
        }
        let count = &self.counters.rx;
        self.sink.split(&mut self.rings, cx, c, &p, first, count);
    }

    #[cold]
    fn refuse_split(&mut self) {
        self.rings.header.refuse();
        self.rings.reasm.refuse();
        self.counters.rx.bad_completion.add(1);
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
        summary(c.c0, (h.flow, h.segs), count, tcbs);
    }
}

/// A packet of a connection with a control block.
#[cold]
fn summary(c0: C0, (flow, segs): (Option<u16>, u16), count: &counters::Rx, tcbs: &Tcbs) {
    let applied = c0.summary() == SUMMARY_APPLIED;
    match applied {
        true => count.tcb_applied.add(segs.into()),
        false => count.tcb_not_applied.add(segs.into()),
    }
    if let Some(flow) = flow {
        tcbs.summary(flow, c0, applied);
    }
}
