// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow database manager: gives each packet that arrives its flow number and operation code, and
//! updates the entry of its flow.
//!
//! It collects the facts, [`decide`] makes the operation code of them, and the entry is updated
//! according to the code.

use crate::arrive::headers::{Checked, Tcp};
use crate::arrive::key::FlowKey;
use crate::arrive::mac::SHORT_FRAME;
use crate::flow::database::FlowDb;
use crate::flow::merge::{FixedIds, Segment, Verdict};
use crate::flow::opcode::{decide, Facts, FlowState, Why};
use crate::flow::tcb::{Mark, TcbTable};
use crate::proto::{FIN, RST, SYN};
use crate::stats::Counters;
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::FlowCfg;
use reflow_hwdef::stats::Global;

/// The configuration of merging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Value of FLOW_CFG.
    pub(crate) cfg: FlowCfg,
    /// Longest aggregate, as the length of its IP packet.
    pub(crate) agg_max: usize,
    /// Packets with fewer bytes of data are not merged.
    pub(crate) data_thresh: usize,
    /// Packets up to so many bytes stay whole.
    pub(crate) split_thresh: usize,
}

/// The manager's decision about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decision {
    /// Operation code.
    pub(crate) opcode: Opcode,
    /// Why it has that code.
    pub(crate) why: Why,
    /// Flow number, FLOW_NONE for none.
    pub(crate) flow: u16,
    /// The queue of the flow that was evicted for it.
    pub(crate) evicted_from: Option<usize>,
    /// The entry ends with this packet.
    pub(crate) ends_flow: bool,
    /// Payload bytes of each packet of the aggregate but the last.
    pub(crate) seg_size: usize,
    /// Which IPv4 ids of the aggregate are constant.
    pub(crate) fixed_ids: FixedIds,
    /// The packet is a complete aggregate by itself.
    pub(crate) complete: bool,
    /// The verdict of the flow's control block.
    pub(crate) tcb: Mark,
}

/// The manager at work on one packet.
pub(crate) struct Manager<'a> {
    /// The flow database.
    pub(crate) fdb: &'a mut FlowDb,
    /// Host control blocks.
    pub(crate) tcbs: &'a mut TcbTable,
    /// Counters.
    pub(crate) counters: &'a mut Counters,
    /// Configuration.
    pub(crate) limits: Limits,
    /// The messages of the packet's connection are followed.
    pub(crate) session: bool,
    /// The parser program refused the packet.
    pub(crate) refused: bool,
    /// Length of the packet as stored.
    pub(crate) stored_len: usize,
    /// The time.
    pub(crate) now: u64,
    /// The packet's queue.
    pub(crate) queue: usize,
}

impl Manager<'_> {
    /// Decides about a packet; `header_limit` is the longest header that re-assembly takes.
    pub(crate) fn decide(
        &mut self,
        frame: &[u8],
        key: Option<FlowKey>,
        checked: &Checked,
        header_limit: usize,
    ) -> Decision {
        let flow = key.and_then(|key| self.fdb.lookup(&key));
        let unassisted = self.unassisted(frame, checked, header_limit);
        let mut decision = Decision {
            opcode: Opcode::NoAssist,
            why: Why::NotTcp,
            flow: flow.unwrap_or(FLOW_NONE),
            evicted_from: None,
            ends_flow: false,
            seg_size: 0,
            fixed_ids: FixedIds::default(),
            complete: false,
            tcb: Mark::default(),
        };
        let (Some(key), Some(layers), Some(tcp)) = (key, &checked.layers, &checked.tcp) else {
            decision.why = unassisted.unwrap_or(Why::NotTcp);
            self.touch(&mut decision, None, false);
            return decision;
        };
        let seg = Segment { frame, layers, tcp };
        if let (Some(flow), None) = (flow, unassisted) {
            self.counters.inc(Global::FdbHit);
            if tcp.flags & SYN == 0 {
                self.fdb.established(flow);
            }
            let data = frame.get(tcp.data..tcp.data + tcp.len).unwrap_or(&[]);
            decision.tcb = self.tcbs.judge(flow, data, tcp, header_limit - tcp.data);
        }
        let facts = self.facts(&seg, flow, unassisted, decision.tcb.placed);
        let agg_max = self.limits.agg_max;
        let entry = self.fdb.entry(decision.flow);
        (decision.opcode, decision.why) = decide(&facts, || match entry {
            Some(entry) => entry.aggregate.append(&seg, agg_max),
            None => Verdict::Differs,
        });
        self.update(&mut decision, key, &seg, &facts);
        decision
    }

    /// Why a packet gets no assist, if so.
    fn unassisted(&self, frame: &[u8], checked: &Checked, header_limit: usize) -> Option<Why> {
        if self.refused {
            return Some(Why::Refused);
        }
        let (Some(layers), Some(tcp)) = (&checked.layers, &checked.tcp) else {
            return Some(Why::NotTcp);
        };
        let trailer = layers.slack != 0 && frame.len() > SHORT_FRAME;
        if !layers.l3_ok || checked.l4_ok != Some(true) {
            Some(Why::BadChecksum)
        } else if self.limits.cfg.reassembly() == 0
            || !layers.plain
            || trailer
            || tcp.data > header_limit
        {
            Some(Why::NotMergeable)
        } else {
            None
        }
    }

    fn facts(
        &mut self,
        seg: &Segment<'_>,
        flow: Option<u16>,
        unassisted: Option<Why>,
        placed: bool,
    ) -> Facts {
        let (tcp, layers) = (seg.tcp, seg.layers);
        let room = self.fdb.has_room();
        let entry = flow.and_then(|flow| self.fdb.entry(flow));
        let batching = self.limits.cfg.batching() != 0;
        Facts {
            unassisted,
            placed,
            flags: tcp.flags,
            len: tcp.len,
            // A packet with a trailer stays whole.
            tiny: tcp.len < self.limits.data_thresh
                || self.stored_len <= self.limits.split_thresh
                || layers.slack != 0,
            session: self.session,
            flow: match &entry {
                None if room => FlowState::New,
                None => FlowState::NoRoom,
                Some(entry) if entry.ending => FlowState::Ending,
                Some(entry) if entry.expected != tcp.seq && !entry.resync => FlowState::Gap,
                Some(_) => FlowState::InOrder,
            },
            open: entry.is_some_and(|entry| entry.aggregate.is_open()),
            batching,
        }
    }

    /// Updates the entry of the packet's flow as its operation code says.
    fn update(&mut self, decision: &mut Decision, key: FlowKey, seg: &Segment<'_>, facts: &Facts) {
        let tcp = seg.tcp;
        let fin = tcp.flags & FIN != 0;
        let next = tcp.seq.wrapping_add(tcp.len as u32);
        let is_data = !matches!(
            decision.opcode,
            Opcode::NoAssist | Opcode::Placed | Opcode::Control | Opcode::NoData
        );
        if is_data && facts.flow == FlowState::Gap {
            self.counters.inc(Global::RxOutOfOrder);
        }
        match decision.opcode {
            Opcode::NoAssist => {
                if decision.why == Why::NotMergeable && decision.flow != FLOW_NONE {
                    // The control block becomes stale: it missed the packet's data.
                    decision.tcb = self.tcbs.miss(decision.flow);
                }
                self.touch(decision, None, false);
            }
            Opcode::NoData => self.touch(decision, None, false),
            Opcode::Control => self.control(decision, key, tcp),
            Opcode::Placed | Opcode::OutOfOrder => self.touch(decision, Some(next), fin),
            Opcode::Small => match decision.why {
                Why::NoEntry => self.counters.inc(Global::FdbFull),
                _ => self.touch(decision, Some(next), fin),
            },
            Opcode::Start => {
                match facts.flow {
                    FlowState::New | FlowState::NoRoom => self.learn(decision, key),
                    FlowState::Ending => self.revive(decision.flow),
                    FlowState::Gap | FlowState::InOrder => {}
                }
                self.merge(decision, seg, facts);
            }
            Opcode::CloseStart | Opcode::Append | Opcode::AppendClose => {
                self.merge(decision, seg, facts);
            }
        }
    }

    /// SYN, FIN without data, RST or URG: the flow begins, ends, or has urgent data.
    fn control(&mut self, decision: &mut Decision, key: FlowKey, tcp: &Tcp) {
        let syn = tcp.flags & SYN != 0;
        let ends = tcp.flags & (FIN | RST) != 0;
        let known = decision.flow != FLOW_NONE;
        if syn && !ends {
            if known {
                self.revive(decision.flow);
            } else {
                self.set_up(decision, key);
            }
        }
        let next = tcp.seq.wrapping_add(tcp.len as u32 + u32::from(syn));
        // After a control packet of an established connection any data may follow.
        let resync = known && self.fdb.is_established(decision.flow);
        self.touch(decision, Some(next), ends);
        if let Some(entry) = self.fdb.entry(decision.flow) {
            entry.resync = resync;
        }
    }

    /// Payload that begins an aggregate or was appended to one.
    fn merge(&mut self, decision: &mut Decision, seg: &Segment<'_>, facts: &Facts) {
        let tcp = seg.tcp;
        // A packet that restarts the flow is never the last of its aggregate.
        let at_once = facts.at_once() && facts.flow == FlowState::InOrder;
        let Some(entry) = self.fdb.entry(decision.flow) else {
            return;
        };
        if matches!(decision.opcode, Opcode::Start | Opcode::CloseStart) {
            entry.aggregate.start(seg);
            decision.complete = at_once;
        }
        decision.seg_size = entry.aggregate.seg_size();
        decision.fixed_ids = entry.aggregate.fixed_ids();
        entry.expected = tcp.seq.wrapping_add(tcp.len as u32);
        entry.resync = false;
        if at_once || decision.opcode == Opcode::AppendClose {
            entry.aggregate.close();
        }
        if tcp.flags & FIN != 0 {
            self.end(decision);
        }
    }

    /// A packet of a flow that is not merged: the aggregate ends before it.
    fn touch(&mut self, decision: &mut Decision, expected: Option<u32>, ends: bool) {
        let Some(entry) = self.fdb.entry(decision.flow) else {
            return;
        };
        if entry.ending {
            // An earlier packet releases the flow number.
            decision.flow = FLOW_NONE;
            return;
        }
        entry.aggregate.close();
        if let Some(expected) = expected {
            entry.expected = expected;
            entry.resync = false;
        }
        if ends {
            self.end(decision);
        }
    }

    /// The entry ends with this packet, unless a control block keeps it.
    fn end(&mut self, decision: &mut Decision) {
        if self.fdb.is_pinned(decision.flow) {
            return;
        }
        if let Some(entry) = self.fdb.entry(decision.flow) {
            entry.ending = true;
            decision.ends_flow = true;
            self.counters.inc(Global::FdbTeardown);
        }
    }

    /// A flow that ended, but whose last packet still waits, begins again under its number.
    fn revive(&mut self, flow: u16) {
        if let Some(entry) = self.fdb.entry(flow).filter(|entry| entry.ending) {
            entry.ending = false;
            self.counters.inc(Global::FdbInsert);
        }
    }

    /// Makes an entry for a SYN, unless too many entries are half-open.
    ///
    /// Claims: 30.
    fn set_up(&mut self, decision: &mut Decision, key: FlowKey) {
        if !self.fdb.takes_set_up() {
            self.counters.inc(Global::FdbHalfOpen);
            return;
        }
        self.learn(decision, key);
        self.fdb.set_up(decision.flow);
    }

    /// Makes an entry that expects this packet.
    fn learn(&mut self, decision: &mut Decision, key: FlowKey) {
        let Some(made) = self.fdb.insert(key, self.queue, self.now) else {
            self.counters.inc(Global::FdbFull);
            return;
        };
        self.counters.inc(Global::FdbInsert);
        if made.evicted_from.is_some() {
            self.counters.inc(Global::FdbEvict);
        }
        decision.flow = made.flow;
        decision.evicted_from = made.evicted_from;
    }
}
