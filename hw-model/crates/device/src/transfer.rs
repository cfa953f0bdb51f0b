// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The transfer module: moves packets from the packet memory to host memory as their
//! operation codes say.
//!
//! A packet is transferred completely or not at all: no buffer is used before all buffers and
//! completions that it needs are available.

mod describe;
mod gather;
mod placing;
mod plan;
pub(crate) mod reasm;
mod reclaim;
mod write;

use crate::chaos::Chaos;
use crate::flow::database::FlowDb;
use crate::flow::framing::Walk;
use crate::flow::tcb::TcbTable;
use crate::host::{Host, MemError};
use crate::pm::exits::Transferred;
use crate::pm::{Control, Item, PacketMemory};
use crate::rings::buffers::Piece;
use crate::rings::rx::{RxQueue, Wait};
use crate::stats::Counters;
use describe::release;
use plan::{Manner, Plan};
use reasm::Reassembler;
use reflow_hwdef::desc::Completion;
use reflow_hwdef::regs::{FlowCfg, QueueError};
use reflow_hwdef::stats::{Global, Queue as QueueStat};

/// The outcome of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing waits, or the first packet cannot be transferred yet.
    Idle,
    /// An item was transferred.
    Done,
    /// The queue must stop.
    Fault(QueueError),
}

/// The transfer module at work on one queue.
pub(crate) struct Transfer<'a> {
    /// Packet memory.
    pub(crate) pm: &'a mut PacketMemory,
    /// Flow database.
    pub(crate) fdb: &'a mut FlowDb,
    /// Host control blocks.
    pub(crate) tcbs: &'a mut TcbTable,
    /// Re-assembler.
    pub(crate) reasm: &'a mut Reassembler,
    /// Counters.
    pub(crate) counters: &'a mut Counters,
    /// Memory for completions in preparation.
    pub(crate) scratch: &'a mut Scratch,
    /// Faults, in hostile mode.
    pub(crate) chaos: Option<&'a Chaos>,
    /// Value of FLOW_CFG.
    pub(crate) cfg: FlowCfg,
    /// Longest packet that is not split.
    pub(crate) split_thresh: usize,
    /// Longest packet for the small class.
    pub(crate) small_max: usize,
    /// Number of the queue.
    pub(crate) queue: usize,
    /// The time.
    pub(crate) now: u64,
}

/// Memory that is used again for each packet.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) completions: Vec<Completion>,
    pieces: Vec<Piece>,
    /// The data of packets that leave together.
    run: Vec<Piece>,
}

impl Transfer<'_> {
    /// Transfers the first item of the queue if that can be done.
    pub(crate) fn step(&mut self, rx: &mut RxQueue, host: &impl Host) -> Step {
        let plan = match self.pm.front(self.queue) {
            None => return Step::Idle,
            Some(Item::Packet(packet)) => Some(self.plan(rx, packet)),
            Some(Item::Release { .. }) => None,
        };
        match self.ready(rx, plan.as_ref(), host) {
            Ok(None) => {
                rx.wait = None;
                rx.reclaim_at = None;
            }
            Ok(Some(wait)) => return self.wait(rx, plan.as_ref(), wait, host),
            Err(_) => return Step::Fault(QueueError::BadAddress),
        }
        self.scratch.completions.clear();
        match (self.pm.pop(self.queue), plan) {
            (Some(Item::Packet(packet)), Some(plan)) => {
                let mut done = self.packet(rx, &packet, &plan, host);
                self.leave(packet.control.flow, plan.ends_flow);
                if done.is_ok() && self.may_gather(&plan) {
                    done = self.gather(rx, &packet.control, host);
                }
                self.pm.recycle(packet);
                if done.is_err() {
                    // It has left the queue, so the loss of the queue's packets does not count it.
                    self.counters.inc(Global::RxDmaErrors);
                    return Step::Fault(QueueError::BadBuffer);
                }
            }
            (
                Some(Item::Release {
                    flow,
                    rb_id,
                    ends_flow,
                }),
                _,
            ) => {
                self.scratch
                    .completions
                    .push(release(flow, rb_id, ends_flow));
            }
            _ => return Step::Idle,
        }
        match self.publish(rx, host) {
            Ok(()) => Step::Done,
            Err(_) => Step::Fault(QueueError::BadAddress),
        }
    }

    /// Waits, or drops the packet if waiting cannot help.
    fn wait(
        &mut self,
        rx: &mut RxQueue,
        plan: Option<&Plan>,
        wait: Wait,
        host: &impl Host,
    ) -> Step {
        let never = plan.is_some_and(|plan| {
            let ring = match plan.manner {
                Manner::Small | Manner::Place => 1,
                Manner::Whole => rx.packet.entries(),
                Manner::Split { .. } => rx.reasm.as_ref().map_or(0, |ring| ring.entries()),
            };
            plan.buffers > ring || plan.completions > rx.cq.entries()
        });
        if never {
            return self.lose();
        }
        if rx.wait != Some(wait) {
            rx.wait = Some(wait);
            let which = match wait {
                Wait::Buffer => QueueStat::NoBuffer,
                Wait::Completion => QueueStat::CqFull,
            };
            self.counters.inc_queue(self.queue, which);
        }
        let reasm = matches!(plan.map(|plan| plan.manner), Some(Manner::Split { .. }));
        if reasm && wait == Wait::Buffer {
            self.reclaim(rx, host)
        } else {
            rx.reclaim_at = None;
            Step::Idle
        }
    }

    /// Drops the first packet: it needs more than the rings can hold.
    fn lose(&mut self) -> Step {
        let ends_flow = match self.pm.front(self.queue) {
            Some(Item::Packet(packet)) => self.ends_flow(&packet.control),
            _ => false,
        };
        if let Some(Item::Packet(packet)) = self.pm.pop(self.queue) {
            let c = packet.control;
            self.reasm.lost(c.flow);
            self.tcbs.lost(c.flow, &c.tcb);
            if ends_flow {
                if let Some(place) = self.reasm.forget(c.flow) {
                    self.pm
                        .push_release(self.queue, c.flow, place.buffer.id, true);
                }
            }
            self.leave(c.flow, ends_flow);
            self.pm.recycle(packet);
            self.counters.inc(Global::RxDmaErrors);
        }
        Step::Done
    }

    /// A packet has left: its flow may be idle now, or at its end.
    fn leave(&mut self, flow: u16, ends_flow: bool) {
        if ends_flow {
            self.reasm.forget(flow);
            self.fdb.remove(flow);
        } else if !self.pm.holds_more_than(0, flow) {
            self.fdb.set_idle(flow, self.now);
        }
    }

    /// Whether the flow's entry ends with the first packet: it was the last, and the flow has not begun
    /// again.
    fn ends_flow(&self, c: &Control) -> bool {
        c.ends_flow && !self.pm.holds_more_than(1, c.flow) && !self.fdb.is_pinned(c.flow)
    }

    /// Counts a packet that was transferred, and updates its flow.
    fn transferred(&mut self, c: &Control, plan: &Plan) {
        self.reasm.transferred(c.flow, plan.opcode, plan.more);
        self.walked(c.flow, &plan.walk);
        self.summarised(c, plan.opcode);
        self.pm.exits.transferred(Transferred {
            opcode: plan.opcode,
            revised: plan.revised,
            more: plan.more,
        });
        self.counters.inc(Global::RxTransferred);
        self.counters.inc_opcode(plan.opcode);
        self.counters.inc_queue(self.queue, QueueStat::Packets);
        if plan.more {
            self.counters.inc(Global::HintMore);
        }
    }

    /// Updates the position of a flow in its messages.
    fn walked(&mut self, flow: u16, walk: &Walk) {
        self.reasm.set_framing(flow, walk.framing);
        let pdus = walk.starts.as_slice().len() as u64;
        if pdus != 0 {
            self.counters.add(Global::SessionPdus, pdus);
        }
        if walk.insane != 0 && self.cfg.session() != 0 {
            self.counters.add(Global::SessionInsane, walk.insane);
        }
    }

    /// Writes the prepared completions, in hostile mode with faults.
    fn publish(&mut self, rx: &mut RxQueue, host: &impl Host) -> Result<(), MemError> {
        let done = &mut self.scratch.completions;
        if let Some(chaos) = self.chaos {
            chaos.spoil_completions(done, self.fdb.size(), rx.cq.free());
        }
        rx.cq.publish(host, done)
    }
}
