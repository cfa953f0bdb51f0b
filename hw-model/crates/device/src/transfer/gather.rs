// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packets of an aggregate that wait together leave together.
//!
//! What they share is told once: their data lie side by side in one or two buffers, and one
//! completion stands for all of them. The host works once for a page or two, not once for a packet,
//! and has one flow in hand at a time however many come by turns on the wire.

use super::describe::describe;
use super::{Manner, Plan, Transfer};
use crate::buffers::needed;
use crate::host::{Host, MemError};
use crate::pm::Packet;
use crate::queue::RxSide;
use crate::tcb::Summary;
use reflow_hwdef::desc::Completion;
use reflow_hwdef::opcode::Opcode;

/// Most packets that a completion can stand for.
const MAX_SEGS: u64 = 127;
/// Most bytes of frames that a completion can tell of.
const MAX_LEN: u64 = 0xffff;

impl Transfer<'_> {
    /// Whether packets may leave together with this one, which was just transferred.
    pub(super) fn may_gather(&self, packet: &Packet, plan: &Plan) -> bool {
        let begins = matches!(
            plan.opcode,
            Opcode::Start | Opcode::CloseStart | Opcode::Append
        );
        self.cfg.gather() != 0
            && self.cfg.suppress() != 0
            && begins
            && plan.more
            && !plan.ends_flow
            && plan.completions == 1 + usize::from(plan.give_back.is_some())
            && self.is_plain(packet, plan)
    }

    /// Whether nobody but the re-assembler has a say about where the data goes.
    fn is_plain(&self, packet: &Packet, plan: &Plan) -> bool {
        let walk = &plan.walk;
        packet.control.tcb.summary == Summary::None
            && !packet.control.tcb.placed
            && walk.starts.as_slice().is_empty()
            && !walk.inside
            && !walk.goes_on
            && matches!(plan.manner, Manner::Split { own: false, .. })
    }

    /// Transfers packets of the flow that go on with the aggregate, as long as they fit the last
    /// completion.
    pub(super) fn gather(
        &mut self,
        rx: &mut RxSide,
        flow: u16,
        host: &impl Host,
    ) -> Result<(), MemError> {
        loop {
            let Some((at, packet)) = self.pm.find(self.queue, flow) else {
                return Ok(());
            };
            let plan = self.plan(rx, packet);
            // Aggregates end in the order of the packets that end them: none of those overtakes.
            let goes_on = plan.opcode == Opcode::Append && plan.more;
            if (at != 0 && !goes_on) || !self.fits(rx, packet, &plan, host)? {
                return Ok(());
            }
            let Some(packet) = self.pm.take(self.queue, at) else {
                return Ok(());
            };
            self.fm.take(self.queue, flow);
            let base = describe(&packet, plan.opcode, self.cfg);
            let written = self.data(rx, &packet, &plan, base, false, host);
            if written.is_ok() {
                self.join(&plan);
            }
            self.transferred(&packet.control, &plan);
            self.leave(flow, plan.ends_flow);
            self.pm.recycle(packet);
            written?;
            if plan.opcode == Opcode::AppendClose || !plan.more {
                return Ok(());
            }
        }
    }

    /// Whether a packet can join the last completion.
    fn fits(
        &self,
        rx: &mut RxSide,
        packet: &Packet,
        plan: &Plan,
        host: &impl Host,
    ) -> Result<bool, MemError> {
        let Some(last) = self.scratch.completions.last() else {
            return Ok(false);
        };
        let appended = matches!(plan.opcode, Opcode::Append | Opcode::AppendClose);
        let size = rx.reasm.as_ref().map_or(1, |ring| ring.size());
        let (fresh, _) = needed(plan.place, size, packet.control.data_len, &[]);
        let one = last.c0.rb2() == 0;
        if !appended
            || !self.is_plain(packet, plan)
            || plan.give_back.is_some()
            || fresh > usize::from(one)
            || (plan.place.is_none() && !one)
            || last.c0.segs() == MAX_SEGS
            || last.c1.pkt_len() + packet.bytes.len() as u64 > MAX_LEN
        {
            return Ok(false);
        }
        match &mut rx.reasm {
            Some(ring) => {
                ring.fetch(host, fresh)?;
                Ok(ring.available() >= fresh)
            }
            None => Ok(false),
        }
    }

    /// Makes one completion of the last two.
    fn join(&mut self, plan: &Plan) {
        let completions = &mut self.scratch.completions;
        let Some(next) = completions.pop() else {
            return;
        };
        if let Some(done) = completions.last_mut() {
            join_pieces(done, &next);
            let closes = plan.opcode == Opcode::AppendClose;
            let opcode = if closes && done.c0.opcode() == Opcode::Append as u64 {
                Opcode::AppendClose as u64
            } else {
                done.c0.opcode()
            };
            done.c0 = done
                .c0
                .with_opcode(opcode)
                .with_segs(done.c0.segs() + 1)
                .with_more((plan.more && !closes).into())
                .with_tcp_flags(done.c0.tcp_flags() | next.c0.tcp_flags())
                .with_fixed_id(next.c0.fixed_id())
                .with_rel_flow(plan.ends_flow.into());
            done.c1 = done.c1.with_pkt_len(done.c1.pkt_len() + next.c1.pkt_len());
            done.c5 = done
                .c5
                .with_data_len(done.c5.data_len() + next.c5.data_len())
                .with_outer_fixed_id(next.c5.outer_fixed_id());
        }
    }
}

/// Puts the data of `next` behind that of `done`: on the same page, on another, or both.
fn join_pieces(done: &mut Completion, next: &Completion) {
    let (len, released) = (next.c3.rb_len(), next.c0.rel_rb());
    if done.c0.rb2() != 0 {
        done.c4 = done.c4.with_rb2_len(done.c4.rb2_len() + len);
        done.c0 = done.c0.with_rel_rb2(released);
    } else if done.c0.rel_rb() != 0 {
        done.c3 = done.c3.with_rb2_id(next.c3.rb_id());
        done.c4 = done.c4.with_rb2_len(len);
        done.c0 = done.c0.with_rb2(1).with_rel_rb2(released);
    } else {
        done.c3 = done.c3.with_rb_len(done.c3.rb_len() + len);
        done.c0 = done.c0.with_rel_rb(released);
        if next.c0.rb2() != 0 {
            done.c3 = done.c3.with_rb2_id(next.c3.rb2_id());
            done.c4 = done.c4.with_rb2_len(next.c4.rb2_len());
            done.c0 = done.c0.with_rb2(1).with_rel_rb2(next.c0.rel_rb2());
        }
    }
}
