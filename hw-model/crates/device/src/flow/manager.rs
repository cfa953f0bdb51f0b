// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow database manager: gives each packet its operation code and flow number, and keeps the
//! flow's entry.

use crate::arrive::headers::{Checked, Tcp};
use crate::arrive::key::FlowKey;
use crate::arrive::mac::SHORT_FRAME;
use crate::flow::database::FlowDb;
use crate::flow::merge::{FixedIds, Segment, Verdict};
use crate::flow::tcb::{Mark, TcbTable};
use crate::proto::{FIN, PSH, RST, SYN, URG};
use crate::stats::Counters;
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::FlowCfg;
use reflow_hwdef::stats::Global;

/// Switches and limits of the flow machinery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Value of FLOW_CFG.
    pub(crate) cfg: FlowCfg,
    /// Longest aggregate, as the length of its IP packet.
    pub(crate) agg_max: usize,
    /// Fewer bytes of data than this are not merged.
    pub(crate) data_thresh: usize,
    /// Packets up to so many bytes stay whole.
    pub(crate) split_thresh: usize,
}

/// What the manager decides about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decision {
    /// Operation code.
    pub(crate) opcode: Opcode,
    /// Flow number, FLOW_NONE for none.
    pub(crate) flow: u16,
    /// The queue of the idle flow that had this number until now.
    pub(crate) evicted_from: Option<usize>,
    /// The entry ends with this packet.
    pub(crate) ends_flow: bool,
    /// Payload bytes of each packet of the aggregate but the last.
    pub(crate) seg_size: usize,
    /// Which IPv4 ids of the aggregate are constant.
    pub(crate) fixed_ids: FixedIds,
    /// The packet begins an aggregate and is all of it.
    pub(crate) complete: bool,
    /// What the flow's control block made of it.
    pub(crate) tcb: Mark,
}

impl Decision {
    fn of(opcode: Opcode, flow: u16) -> Self {
        Self {
            opcode,
            flow,
            evicted_from: None,
            ends_flow: false,
            seg_size: 0,
            fixed_ids: FixedIds::default(),
            complete: false,
            tcb: Mark::default(),
        }
    }
}

/// The manager at work on one packet.
pub(crate) struct Manager<'a> {
    /// The flow database.
    pub(crate) fdb: &'a mut FlowDb,
    /// Host control blocks.
    pub(crate) tcbs: &'a mut TcbTable,
    /// Counters.
    pub(crate) counters: &'a mut Counters,
    /// Switches and limits.
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
        let (Some(key), Some(layers), Some(tcp)) = (key, &checked.layers, &checked.tcp) else {
            return self.no_assist(flow);
        };
        if self.refused || !layers.l3_ok || checked.l4_ok != Some(true) {
            return self.no_assist(flow);
        }
        let reassembly = self.limits.cfg.reassembly() != 0;
        let trailer = layers.slack != 0 && frame.len() > SHORT_FRAME;
        if !reassembly || !layers.plain || trailer || tcp.data > header_limit {
            let mut decision = self.no_assist(flow);
            // What a control block does not see, it cannot go on behind.
            decision.tcb = flow.map_or(Mark::default(), |flow| self.tcbs.miss(flow));
            return decision;
        }
        let seg = Segment { frame, layers, tcp };
        let mut mark = Mark::default();
        if let Some(flow) = flow {
            self.counters.inc(Global::FdbHit);
            if tcp.flags & SYN == 0 {
                self.fdb.established(flow);
            }
            let data = frame.get(tcp.data..tcp.data + tcp.len).unwrap_or(&[]);
            mark = self.tcbs.judge(flow, data, tcp, header_limit - tcp.data);
        }
        let mut decision = match flow {
            Some(flow) if mark.placed => self.placed(flow, tcp),
            _ => self.unplaced(key, flow, &seg),
        };
        decision.tcb = mark;
        decision
    }

    /// The whole packet. If its key is that of a flow, it keeps its place in that: what is open
    /// ends before it.
    fn no_assist(&mut self, flow: Option<u16>) -> Decision {
        let mut decision = Decision::of(Opcode::NoAssist, flow.unwrap_or(FLOW_NONE));
        self.touch(&mut decision, None, false);
        decision
    }

    /// Data that goes to the list of a control block.
    fn placed(&mut self, flow: u16, tcp: &Tcp) -> Decision {
        let mut decision = Decision::of(Opcode::Placed, flow);
        let next = tcp.seq.wrapping_add(tcp.len as u32);
        self.touch(&mut decision, Some(next), tcp.flags & FIN != 0);
        decision
    }

    /// Whatever does not go to the list of a control block.
    fn unplaced(&mut self, key: FlowKey, flow: Option<u16>, seg: &Segment<'_>) -> Decision {
        let tcp = seg.tcp;
        if tcp.flags & (SYN | RST | URG) != 0 || (tcp.len == 0 && tcp.flags & FIN != 0) {
            self.control(key, flow, tcp)
        } else if tcp.len == 0 {
            self.no_data(flow)
        } else {
            self.data(key, flow, seg)
        }
    }

    /// SYN, FIN without data, RST or URG: the flow begins, ends, or is not for us.
    fn control(&mut self, key: FlowKey, flow: Option<u16>, tcp: &Tcp) -> Decision {
        let syn = tcp.flags & SYN != 0;
        let ends = tcp.flags & (FIN | RST) != 0;
        let mut decision = Decision::of(Opcode::Control, flow.unwrap_or(FLOW_NONE));
        if syn && !ends {
            if flow.is_none() {
                decision = self.set_up(key, decision);
            } else {
                self.revive(decision.flow);
            }
        }
        let next = tcp.seq.wrapping_add(tcp.len as u32 + u32::from(syn));
        // What does not set a connection up does not tell how its data goes on either.
        let resync = flow.is_some_and(|flow| self.fdb.is_established(flow));
        self.touch(&mut decision, Some(next), ends);
        if let Some(entry) = self.fdb.entry(decision.flow) {
            entry.resync = resync;
        }
        decision
    }

    /// No payload: nothing is expected otherwise, but the aggregate ends.
    fn no_data(&mut self, flow: Option<u16>) -> Decision {
        let mut decision = Decision::of(Opcode::NoData, flow.unwrap_or(FLOW_NONE));
        self.touch(&mut decision, None, false);
        decision
    }

    /// Payload.
    fn data(&mut self, key: FlowKey, flow: Option<u16>, seg: &Segment<'_>) -> Decision {
        let tcp = seg.tcp;
        let ends = tcp.flags & FIN != 0;
        // What has a trailer stays whole.
        let tiny = tcp.len < self.limits.data_thresh
            || self.stored_len <= self.limits.split_thresh
            || seg.layers.slack != 0;
        let at_once = tcp.flags & (PSH | FIN) != 0 || tiny;
        let next = Some(tcp.seq.wrapping_add(tcp.len as u32));
        let mut decision = Decision::of(Opcode::Small, flow.unwrap_or(FLOW_NONE));
        match flow.and_then(|flow| self.fdb.entry(flow)) {
            Some(entry) if entry.ending && at_once => decision.flow = FLOW_NONE,
            Some(entry) if entry.ending => {
                self.revive(decision.flow);
                self.merge(&mut decision, seg, false);
            }
            Some(entry) if entry.expected != tcp.seq && !entry.resync => {
                self.counters.inc(Global::RxOutOfOrder);
                if at_once || self.session {
                    decision.opcode = Opcode::OutOfOrder;
                    self.touch(&mut decision, next, ends);
                } else {
                    entry.aggregate.close();
                    self.merge(&mut decision, seg, false);
                }
            }
            Some(_) if tiny => self.touch(&mut decision, next, ends),
            Some(_) => self.merge(&mut decision, seg, at_once),
            // Released at once: an entry would serve no one.
            None if at_once => {}
            None => {
                decision = self.learn(key, decision);
                if decision.flow != FLOW_NONE {
                    self.merge(&mut decision, seg, false);
                }
            }
        }
        decision
    }

    /// Payload that goes on with the open aggregate, or begins one.
    fn merge(&mut self, decision: &mut Decision, seg: &Segment<'_>, at_once: bool) {
        let tcp = seg.tcp;
        let batching = self.limits.cfg.batching() != 0;
        let agg_max = self.limits.agg_max;
        let Some(entry) = self.fdb.entry(decision.flow) else {
            return;
        };
        let open = entry.aggregate.is_open();
        let verdict = if open && batching {
            entry.aggregate.append(seg, agg_max)
        } else {
            Verdict::Differs
        };
        decision.opcode = match verdict {
            Verdict::Appended => Opcode::Append,
            Verdict::Complete => Opcode::AppendClose,
            // Alone: it ends what is open, and nothing may follow it.
            // But data of a message belongs on its pages.
            Verdict::Differs if at_once && !self.session => Opcode::Small,
            Verdict::Differs if open => Opcode::CloseStart,
            Verdict::Differs => Opcode::Start,
        };
        if matches!(decision.opcode, Opcode::Start | Opcode::CloseStart) {
            entry.aggregate.start(seg);
            decision.complete = at_once;
        }
        if decision.opcode != Opcode::Small {
            decision.seg_size = entry.aggregate.seg_size();
            decision.fixed_ids = entry.aggregate.fixed_ids();
        }
        let goes_on = matches!(
            decision.opcode,
            Opcode::Start | Opcode::CloseStart | Opcode::Append
        ) && !at_once;
        entry.expected = tcp.seq.wrapping_add(tcp.len as u32);
        entry.resync = false;
        if !goes_on {
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
            // The number ends with an earlier packet.
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

    /// A flow that ended, but whose last packet still waits, begins anew under its number.
    fn revive(&mut self, flow: u16) {
        if let Some(entry) = self.fdb.entry(flow).filter(|entry| entry.ending) {
            entry.ending = false;
            self.counters.inc(Global::FdbInsert);
        }
    }

    /// Makes an entry at a connection's set-up, unless too many others do not get beyond theirs.
    ///
    /// Claims: 30.
    fn set_up(&mut self, key: FlowKey, decision: Decision) -> Decision {
        if !self.fdb.takes_set_up() {
            self.counters.inc(Global::FdbHalfOpen);
            return decision;
        }
        let decision = self.learn(key, decision);
        self.fdb.set_up(decision.flow);
        decision
    }

    /// Makes an entry that expects this packet.
    fn learn(&mut self, key: FlowKey, decision: Decision) -> Decision {
        let Some(made) = self.fdb.insert(key, self.queue, self.now) else {
            self.counters.inc(Global::FdbFull);
            return decision;
        };
        self.counters.inc(Global::FdbInsert);
        if made.evicted_from.is_some() {
            self.counters.inc(Global::FdbEvict);
        }
        Decision {
            flow: made.flow,
            evicted_from: made.evicted_from,
            ..decision
        }
    }
}
