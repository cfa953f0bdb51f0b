// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A turn of work: what waits is transferred and sent, timers expire, interrupts are raised.

use crate::chaos::Chaos;
use crate::device::Device;
use crate::host::Host;
use crate::pm::Item;
use crate::queue::QueuePair;
use crate::rings::rx::RxQueue;
use crate::transfer::{Step, Transfer};
use crate::tx::Transmit;
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::regs::{self, Ctrl, Event, QueueError};
use reflow_hwdef::stats::Global;

/// Frames that a queue may send before the next queue's turn.
const TX_TURN: usize = 16;
/// Packets that a queue may transfer before the next queue's turn.
const RX_TURN: usize = 16;
/// Turns of all queues in one pump.
const ROUNDS: usize = 4;
/// Flows that one pump ends by age.
const AGE_TURN: usize = 256;

impl Device {
    /// Does the work that is possible now; true if more could be done at once.
    ///
    /// Call it after a register write, after a frame arrived, when the wire has room again, and at
    /// [`Device::next_deadline`].
    pub fn pump(&mut self, host: &mut impl Host, now_ns: u64) -> bool {
        self.now = self.now.max(now_ns);
        match self.chaos.clone() {
            None => self.work(host),
            Some(chaos) => self.pump_hostile(chaos, host),
        }
    }

    /// Does the work that is possible now; true if more could be done at once.
    pub(crate) fn work(&mut self, host: &mut impl Host) -> bool {
        let old = self.age();
        let commands = self.pump_commands(host);
        for queue in 0..self.queues.len() {
            self.note_news(queue);
        }
        let mut more = false;
        for _ in 0..ROUNDS {
            more = false;
            for queue in 0..self.queues.len() {
                more |= self.pump_tx(queue, host);
                more |= self.pump_rx(queue, host);
            }
            if !more {
                break;
            }
        }
        for queue in 0..self.queues.len() {
            self.pump_irq(queue, host);
        }
        self.pump_event(host);
        self.block.update(&mut self.counters, host, self.now);
        more || old || commands
    }

    /// When the device must be pumped without another event, in the time of `now_ns`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let faults = self.chaos.as_ref().and_then(Chaos::deadline);
        if self.chaos.as_ref().is_some_and(Chaos::is_removed) {
            return faults;
        }
        let age = self
            .fdb
            .oldest_idle()
            .zip(self.age_ns())
            .map(|((_, since), age)| since.saturating_add(age));
        // A queue that does not look at its packets waits for no time to take pages back.
        let looks = |number, rx: &&RxQueue| {
            !rx.is_window_full() && !self.is_moderated(number) && !self.is_stuck(number)
        };
        let reclaim = |(number, queue): (usize, &QueuePair)| {
            let rx = queue.rx.as_ref().filter(|rx| looks(number, rx));
            rx.and_then(|rx| rx.reclaim_at)
        };
        self.queues
            .iter()
            .enumerate()
            .flat_map(|at| [at.1.irq.deadline(self.now), reclaim(at)])
            .flatten()
            .chain(age)
            .chain(self.block.deadline(&self.counters))
            .chain(faults)
            .min()
    }

    /// Whether packets of a queue are left where they are until its interrupt is due.
    fn is_moderated(&self, queue: usize) -> bool {
        // A full memory is emptied even if the host is not to be interrupted yet.
        let room = self.pm.level() <= self.pm.size() / 4;
        room && self.queues[queue].irq.holds(self.now)
    }

    /// Whether a fault keeps a queue from transferring anything.
    fn is_stuck(&self, queue: usize) -> bool {
        self.chaos.as_ref().is_some_and(|c| c.is_stuck(queue))
    }

    /// Age at which an idle flow ends; `None` for never.
    fn age_ns(&self) -> Option<u64> {
        if self.limits().cfg.reassembly() == 0 {
            return Some(0);
        }
        let us = self.file.get(regs::FLOW_AGE_US);
        (us != 0).then(|| u64::from(us) * 1000)
    }

    /// Ends flows that were idle too long; true if more of them are left.
    fn age(&mut self) -> bool {
        let Some(age) = self.age_ns() else {
            return false;
        };
        for _ in 0..AGE_TURN {
            match self.fdb.oldest_idle() {
                Some((flow, since)) if self.now >= since.saturating_add(age) => {
                    self.end_idle_flow(flow);
                    self.counters.inc(Global::FdbAged);
                }
                _ => return false,
            }
        }
        true
    }

    /// Ends a flow of which no packet waits; its page goes back.
    fn end_idle_flow(&mut self, flow: u16) {
        self.give_page_back(flow, true);
        self.fdb.remove(flow);
    }

    /// Releases the page of a flow of which no packet waits.
    pub(crate) fn give_page_back(&mut self, flow: u16, ends_flow: bool) {
        let queue = self.fdb.entry(flow).map(|entry| entry.queue);
        let place = match ends_flow {
            true => self.reasm.forget(flow),
            false => self.reasm.take_place(flow),
        };
        if let (Some(place), Some(queue)) = (place, queue) {
            self.pm
                .push_release(queue, flow, place.buffer.id, ends_flow);
        }
    }

    /// One queue's turn to receive; true if it could go on.
    fn pump_rx(&mut self, queue: usize, host: &impl Host) -> bool {
        let limits = self.limits();
        let small_max = self.file.get(regs::SMALL_MAX) as usize;
        if self.is_moderated(queue) {
            return false;
        }
        let Some(rx) = self.queues[queue].rx.as_mut() else {
            return false;
        };
        let stuck = |chaos: &Chaos| self.pm.waiting(queue) > 0 && chaos.holds(queue);
        if self.chaos.as_ref().is_some_and(stuck) {
            return false;
        }
        let full = self.pm.level() > self.pm.size() / 8 * 7;
        if !full && rx.is_window_full() {
            return false;
        }
        let mut transfer = Transfer {
            pm: &mut self.pm,
            fdb: &mut self.fdb,
            tcbs: &mut self.tcbs,
            reasm: &mut self.reasm,
            counters: &mut self.counters,
            scratch: &mut self.scratch,
            chaos: self.chaos.as_ref(),
            cfg: limits.cfg,
            split_thresh: limits.split_thresh,
            small_max,
            queue,
            now: self.now,
        };
        for _ in 0..RX_TURN {
            match transfer.step(rx, host) {
                Step::Done if !full && rx.is_window_full() => return false,
                Step::Done => {}
                Step::Idle => return false,
                Step::Fault(error) => {
                    self.fail_rx(queue, error);
                    return false;
                }
            }
        }
        true
    }

    /// One queue's turn to transmit; true if it could go on.
    fn pump_tx(&mut self, queue: usize, host: &mut impl Host) -> bool {
        if Ctrl(self.file.get(regs::CTRL)).tx() == 0 {
            return false;
        }
        let Some(tx) = self.queues[queue].tx.as_mut() else {
            return false;
        };
        let outcome = Transmit {
            counters: &mut self.counters,
            mac: &self.mac,
            link: self.link,
            time: self.clock.at(self.now),
            frame: &mut self.frame,
        }
        .run(tx, host, TX_TURN);
        match outcome {
            Ok(done) => done == TX_TURN,
            Err(error) => {
                self.queues[queue].fail_tx(error);
                self.event = self.event.with_queue_fault(1);
                false
            }
        }
    }

    /// Raises a queue's interrupt if it is due.
    pub(crate) fn pump_irq(&mut self, queue: usize, host: &mut impl Host) {
        self.note_news(queue);
        let irq = &mut self.queues[queue].irq;
        if irq.fire(self.now) {
            let vector = irq.vector;
            self.raise(vector, host);
        }
    }

    /// Updates the numbers that the moderation of a queue's interrupt depends on.
    fn note_news(&mut self, queue: usize) {
        let stuck = self.is_stuck(queue);
        let waiting = if stuck { 0 } else { self.pm.waiting(queue) };
        let q = &mut self.queues[queue];
        let (unseen, sent) = (q.unseen(), q.unseen_sent());
        q.irq
            .set_full(q.rx.as_ref().is_some_and(RxQueue::waits_for_driver));
        q.irq.news(unseen, waiting, self.now);
        q.irq.sent(sent, self.now);
    }

    /// Raises the event vector if an event is asked for.
    pub(crate) fn pump_event(&mut self, host: &mut impl Host) {
        if self.event.0 & self.event_arm.0 != 0 {
            self.event_arm = Event(0);
            self.raise(self.file.get(regs::EVENT_VECTOR), host);
        }
    }

    fn raise(&mut self, vector: u32, host: &mut impl Host) {
        if (vector as usize) < self.vectors() {
            self.counters.inc(Global::Interrupts);
            host.interrupt(vector as u16);
        }
    }

    /// Stops the receive half of a queue on an error; its packets are lost.
    pub(crate) fn fail_rx(&mut self, queue: usize, error: QueueError) {
        self.queues[queue].fail_rx(error);
        self.event = self.event.with_queue_fault(1);
        self.drop_waiting(queue, Global::RxDmaErrors);
    }

    /// Drops all packets of a queue, and removes its flows.
    pub(crate) fn drop_waiting(&mut self, queue: usize, why: Global) {
        while let Some(item) = self.pm.pop(queue) {
            if let Item::Packet(packet) = item {
                self.pm.recycle(packet);
                self.counters.inc(why);
            }
        }
        let (reasm, tcbs) = (&mut self.reasm, &mut self.tcbs);
        self.fdb.remove_queue(queue, self.now, |flow| {
            debug_assert_ne!(flow, FLOW_NONE);
            reasm.forget(flow);
            tcbs.interrupt(flow);
        });
    }
}
