// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Gathering: packets of an aggregate that wait together are transferred under one completion.
//!
//! Their data are contiguous in as many buffers as they fill, and
//! one completion stands for all of them. The host processes one completion for an aggregate, not
//! one for each packet, even if packets of many flows alternate on the wire.

use super::describe::{describe, with_run};
use super::plan::{Manner, Plan};
use super::{placing, Scratch, Transfer};
use crate::flow::framing::Walk;
use crate::flow::opcode;
use crate::host::{Host, MemError};
use crate::pm::{Control, Packet};
use crate::rings::buffers::{is_run, needed, BufferRing, Piece};
use crate::rings::rx::RxQueue;
use reflow_hwdef::desc::{pages_behind, Completion, CompletionKind, PAGES_MAX};
use reflow_hwdef::opcode::Opcode;

/// Most packets that a completion can stand for.
const MAX_SEGS: u64 = 127;
/// Most bytes of data of a completion.
const MAX_DATA: u64 = 0xffff;

/// Whether the re-assembler alone decides where a packet's data goes.
pub(super) fn is_plain(c: &Control, manner: Manner, walk: &Walk) -> bool {
    !c.tcb.placed
        && walk.starts.as_slice().is_empty()
        && !walk.inside
        && !walk.goes_on
        && matches!(manner, Manner::Split { own: false, .. })
}

/// Whether a frame is only header and data. Padding shows in the frame's length, which a
/// completion of several packets does not have.
fn is_bare(packet: &Packet) -> bool {
    packet.bytes.len() == packet.control.hdr_len + packet.control.data_len
}

impl Transfer<'_> {
    /// Whether more packets may join one that is transferred by this plan.
    pub(super) fn may_gather(&self, plan: &Plan) -> bool {
        let begins = matches!(
            plan.opcode,
            Opcode::Start | Opcode::CloseStart | Opcode::Append
        );
        plan.run && self.cfg.suppress() != 0 && begins && plan.more && !plan.ends_flow
    }

    /// Transfers packets of the flow that continue the aggregate of the one that was just
    /// transferred, and joins them to its completion.
    pub(super) fn gather(
        &mut self,
        rx: &mut RxQueue,
        first: &Control,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let Scratch {
            completions,
            pieces,
            run,
        } = &mut *self.scratch;
        if !is_run(pieces) {
            return Ok(());
        }
        run.clone_from(pieces);
        let is_packet = |done: &Completion| done.c0.kind() == CompletionKind::Packet as u64;
        let Some(at) = completions.iter().position(is_packet) else {
            return Ok(());
        };
        let Some(mut done) = completions.get(at).copied() else {
            return Ok(());
        };
        // Its completion has its padding.
        if done.c1.pkt_len() != (first.hdr_len + first.data_len) as u64 {
            return Ok(());
        }
        let joined = self.join_more(rx, first, at, &mut done, host);
        let Scratch {
            completions, run, ..
        } = &mut *self.scratch;
        completions.truncate(at);
        with_run(done, run, completions);
        joined
    }

    /// Joins packets to `done`, which will be completion number `at` of those that leave now.
    fn join_more(
        &mut self,
        rx: &mut RxQueue,
        first: &Control,
        at: usize,
        done: &mut Completion,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let flow = first.flow;
        loop {
            let Some((place, packet)) = self.pm.find(self.queue, flow) else {
                return Ok(());
            };
            let plan = self.plan(rx, packet);
            // Complete aggregates stay in order: of packets that end an aggregate, or belong to none,
            // none overtakes another.
            let overtakes =
                plan.opcode == Opcode::AppendClose && self.pm.ends_before(self.queue, place);
            if overtakes
                || packet.control.hdr_len != first.hdr_len
                || !self.fits(rx, packet, &plan, (at, done), host)
            {
                return Ok(());
            }
            let Some(packet) = self.pm.take(self.queue, place) else {
                return Ok(());
            };
            let written = self.data(rx, &packet, &plan, false, host);
            if written.is_ok() {
                let next = describe(&packet, plan.opcode, self.cfg);
                join(done, &next, &plan);
                self.extend_run();
            }
            if written.is_ok() {
                self.transferred(&packet.control, &plan);
            }
            self.leave(flow, plan.ends_flow);
            self.pm.recycle(packet);
            written?;
            if plan.opcode == Opcode::AppendClose || !plan.more {
                return Ok(());
            }
        }
    }

    /// Whether a packet can join `done`, completion number `at`.
    fn fits(
        &self,
        rx: &mut RxQueue,
        packet: &Packet,
        plan: &Plan,
        (at, done): (usize, &Completion),
        host: &impl Host,
    ) -> bool {
        let size = rx.reasm.as_ref().map_or(1, |ring| ring.least());
        let len = packet.control.data_len;
        let (fresh, _) = needed(plan.place, size, len, &[]);
        // A buffer named by its id alone is full.
        let gapless = match (plan.place, self.scratch.run.last()) {
            (Some(place), Some(last)) => place.buffer == last.buffer,
            (None, Some(last)) => last.off + last.len == last.buffer.size,
            (_, None) => false,
        };
        let between = (self.scratch.run.len() + fresh).saturating_sub(2);
        let completions = at + 1 + pages_behind(between);
        if !matches!(plan.opcode, Opcode::Append | Opcode::AppendClose)
            || !plan.run
            || !is_bare(packet)
            || plan.give_back.is_some()
            || placing::summary(&packet.control, plan.opcode) as u64 != done.c0.summary()
            || !gapless
            || between > PAGES_MAX
            || completions > rx.cq.free()
            || done.c0.segs() == MAX_SEGS
            || done.c5.data_len() + len as u64 > MAX_DATA
        {
            return false;
        }
        match &mut rx.reasm {
            // A fault is reported when the packet is the first of the queue.
            Some(ring) => {
                ring.fetch(host, fresh).is_ok()
                    && ring.available() >= fresh
                    && self.stays_run(ring, fresh)
            }
            None => false,
        }
    }

    /// Whether the pieces so far and so many fresh buffers can be named by one completion. The
    /// buffers were fetched.
    fn stays_run(&self, ring: &BufferRing, fresh: usize) -> bool {
        let (Some(first), Some(last)) = (self.scratch.run.first(), self.scratch.run.last()) else {
            return true;
        };
        let size = first.buffer.size;
        let mut between = (0..fresh.saturating_sub(1)).map(|at| ring.peek_size(at));
        fresh == 0 || (last.buffer.size == size && between.all(|next| next == Some(size)))
    }

    /// Appends the pieces of the packet to those of the packets before.
    fn extend_run(&mut self) {
        let Scratch { pieces, run, .. } = &mut *self.scratch;
        for piece in pieces.iter() {
            match run.last_mut() {
                Some(last) if last.buffer == piece.buffer => {
                    *last = Piece {
                        off: last.off,
                        len: last.len + piece.len,
                        ..*piece
                    };
                }
                _ => run.push(*piece),
            }
        }
    }
}

/// Extends `done` by the packet of `next`.
fn join(done: &mut Completion, next: &Completion, plan: &Plan) {
    let closes = plan.opcode == Opcode::AppendClose;
    let raw = done.c0.opcode();
    let first = Opcode::from_raw(raw as u8);
    let opcode = first.map_or(raw, |first| opcode::join(first, plan.opcode) as u64);
    done.c0 = done
        .c0
        .with_opcode(opcode)
        .with_segs(done.c0.segs() + 1)
        .with_more((plan.more && !closes).into())
        .with_tcp_flags(done.c0.tcp_flags() | next.c0.tcp_flags())
        .with_fixed_id(next.c0.fixed_id())
        .with_rel_flow(plan.ends_flow.into());
    done.time = next.time;
    done.c5 = done
        .c5
        .with_data_len(done.c5.data_len() + next.c5.data_len())
        .with_outer_fixed_id(next.c5.outer_fixed_id());
}
