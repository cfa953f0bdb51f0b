// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes packets to host memory.

use super::describe::{describe, release, with_pieces, with_run};
use super::plan::{Manner, Plan};
use super::{Scratch, Transfer};
use crate::host::{Host, MemError};
use crate::pm::Packet;
use crate::rings::buffers::{is_run, lay_out};
use crate::rings::rx::RxQueue;
use reflow_hwdef::desc::Completion;
use reflow_hwdef::stats::Global;

impl Transfer<'_> {
    /// Writes a packet's bytes and prepares its completions.
    pub(super) fn packet(
        &mut self,
        rx: &mut RxQueue,
        packet: &Packet,
        plan: &Plan,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let c = &packet.control;
        if let Some(place) = plan.give_back {
            let completion = release(c.flow, place.buffer.id, false);
            self.scratch.completions.push(completion);
            self.reasm.set_place(c.flow, None);
        }
        let first = self.scratch.completions.len();
        let mut run = false;
        let base = describe(packet, plan.opcode, self.cfg);
        match plan.manner {
            Manner::Small => self.small(rx, packet, base, host)?,
            Manner::Whole => self.whole(rx, packet, base, host)?,
            Manner::Split { header, own } => {
                self.data(rx, packet, plan, own, host)?;
                let Scratch {
                    completions,
                    pieces,
                    ..
                } = &mut *self.scratch;
                run = plan.run && is_run(pieces);
                if run {
                    with_run(base, pieces, completions);
                } else {
                    completions.extend(pieces.chunks(2).map(|pair| with_pieces(base, pair)));
                }
                if header {
                    self.header(rx, packet, first, host)?;
                }
            }
            Manner::Place => self.place(rx, packet, base, host)?,
        }
        let last = match run {
            true => self.scratch.completions.get_mut(first),
            false => self.scratch.completions.last_mut(),
        };
        if let Some(last) = last {
            last.c0 = last
                .c0
                .with_cont(0)
                .with_segs(1)
                .with_more(plan.more.into())
                .with_rel_flow(plan.ends_flow.into());
        }
        self.transferred(c, plan);
        Ok(())
    }

    /// The whole packet to a cell of the small class.
    fn small(
        &mut self,
        rx: &mut RxQueue,
        packet: &Packet,
        mut done: Completion,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let Some(cell) = rx.small.as_mut().and_then(|cells| cells.take()) else {
            return Ok(());
        };
        let len = packet.bytes.len();
        host.write(cell.addr, &packet.bytes)?;
        done.c0 = done.c0.with_sb(1).with_rel_sb(cell.last.into());
        done.c2 = done.c2.with_nb_id(cell.id.into());
        done.c4 = done.c4.with_nb_off(cell.off as u64).with_nb_len(len as u64);
        self.scratch.completions.push(done);
        self.counters.add(Global::DmaPacketBytes, len as u64);
        Ok(())
    }

    /// The whole packet to packet buffers of full size.
    fn whole(
        &mut self,
        rx: &mut RxQueue,
        packet: &Packet,
        base: Completion,
        host: &impl Host,
    ) -> Result<(), MemError> {
        for part in packet.bytes.chunks(rx.packet.size()) {
            let Some(buffer) = rx.packet.take() else {
                return Ok(());
            };
            host.write(buffer.addr, part)?;
            let mut done = base;
            done.c0 = done.c0.with_nb(1);
            done.c2 = done.c2.with_nb_id(buffer.id.into());
            done.c4 = done.c4.with_nb_len(part.len() as u64);
            self.scratch.completions.push(done);
        }
        self.counters
            .add(Global::DmaPacketBytes, packet.bytes.len() as u64);
        Ok(())
    }

    /// The data to re-assembly buffers; where they went is in `scratch.pieces`.
    pub(super) fn data(
        &mut self,
        rx: &mut RxQueue,
        packet: &Packet,
        plan: &Plan,
        own: bool,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let c = &packet.control;
        let Some(ring) = &mut rx.reasm else {
            return Ok(());
        };
        let mut place = plan.place;
        let starts = plan.walk.starts.as_slice();
        lay_out(
            &mut place,
            ring,
            c.data_len,
            starts,
            &mut self.scratch.pieces,
        );
        if plan.close_page && place.take().is_some() {
            if let Some(piece) = self.scratch.pieces.last_mut() {
                piece.last = true;
            }
        }
        if plan.apart {
            // Its last page is released: no data follows on it.
        } else if own {
            rx.own = place;
        } else {
            self.reasm.set_place(c.flow, place);
        }
        let mut data = packet
            .bytes
            .get(c.hdr_len..c.hdr_len + c.data_len)
            .unwrap_or(&[]);
        for piece in &self.scratch.pieces {
            let (now, later) = data.split_at(piece.len.min(data.len()));
            host.write(piece.buffer.addr.wrapping_add(piece.off as u64), now)?;
            data = later;
        }
        self.counters.add(Global::DmaDataBytes, c.data_len as u64);
        Ok(())
    }

    /// The header to a cell, named by the packet's first completion.
    fn header(
        &mut self,
        rx: &mut RxQueue,
        packet: &Packet,
        first: usize,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let header = packet.bytes.get(..packet.control.hdr_len).unwrap_or(&[]);
        let Some(cell) = rx.header.as_mut().and_then(|cells| cells.take()) else {
            return Ok(());
        };
        host.write(cell.addr, header)?;
        if let Some(done) = self.scratch.completions.get_mut(first) {
            done.c0 = done.c0.with_hb(1).with_rel_hb(cell.last.into());
            done.c2 = done
                .c2
                .with_hb_id(cell.id.into())
                .with_hb_off(cell.off as u64);
        }
        self.counters
            .add(Global::DmaHeaderBytes, header.len() as u64);
        Ok(())
    }
}
