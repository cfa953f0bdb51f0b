// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Transfer of data to the page list of a control block.

use super::describe::with_pieces;
use super::Transfer;
use crate::flow::placement::PAGE;
use crate::flow::tcb::Summary;
use crate::host::{Host, MemError};
use crate::pm::{Control, Packet};
use crate::rings::buffers::{Buffer, Piece};
use crate::rings::rx::RxQueue;
use reflow_hwdef::desc::Completion;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::stats::Global;

/// The control block's verdict in the completion of a packet.
pub(super) fn summary(c: &Control, opcode: Opcode) -> Summary {
    if c.tcb.placed && opcode != Opcode::Placed {
        Summary::NotApplied
    } else {
        c.tcb.summary
    }
}

impl Transfer<'_> {
    /// Whether the list that a packet was to be placed in is gone: the host replaced or
    /// removed it after the packet arrived.
    pub(super) fn is_list_gone(&self, rx: &RxQueue, c: &Control) -> bool {
        let cell = rx.header_limit().unwrap_or(0);
        c.hdr_len + c.tcb.inline > cell || !self.tcbs.is_current(c.flow, &c.tcb)
    }

    /// A packet was transferred: counts the verdict of its control block.
    pub(super) fn summarised(&mut self, c: &Control, opcode: Opcode) {
        let summary = summary(c, opcode);
        match summary {
            Summary::None => return,
            Summary::Applied => self.counters.inc(Global::TcbApplied),
            Summary::NotApplied => self.counters.inc(Global::TcbNotApplied),
        }
        self.tcbs.transferred(c.flow, summary);
    }

    /// The data to the pages, headers to a cell.
    pub(super) fn place(
        &mut self,
        rx: &mut RxQueue,
        packet: &Packet,
        base: Completion,
        host: &impl Host,
    ) -> Result<(), MemError> {
        let c = &packet.control;
        let Some(cell) = rx.header.as_mut().and_then(|cells| cells.take()) else {
            return Ok(());
        };
        let end = packet.bytes.len().min(c.hdr_len + c.data_len);
        let packet = packet.bytes.get(..end).unwrap_or(&[]);
        let (header, mut data) = packet.split_at(c.hdr_len.min(end));
        host.write(cell.addr, header)?;
        let mut in_cell = header.len();
        self.scratch.pieces.clear();
        for _ in 0..c.tcb.runs {
            let Some((run, page)) = self.tcbs.next_run(c.flow) else {
                break;
            };
            let (skip, rest) = data.split_at(run.skip.min(data.len()));
            host.write(cell.addr.wrapping_add(in_cell as u64), skip)?;
            in_cell += skip.len();
            let (now, later) = rest.split_at(run.len.min(rest.len()));
            host.write(page.wrapping_add(run.off as u64), now)?;
            data = later;
            self.counters.add(Global::DmaDataBytes, now.len() as u64);
            if run.first {
                self.counters.inc(Global::SessionPdus);
            }
            self.scratch.pieces.push(Piece {
                buffer: Buffer {
                    id: run.page as u16,
                    addr: page,
                    size: PAGE as usize,
                },
                off: run.off,
                len: run.len,
                last: false,
            });
        }
        host.write(cell.addr.wrapping_add(in_cell as u64), data)?;
        in_cell += data.len();
        self.counters.add(Global::DmaHeaderBytes, in_cell as u64);

        let first = self.scratch.completions.len();
        for pair in self.scratch.pieces.chunks(2) {
            self.scratch.completions.push(with_pieces(base, pair));
        }
        if self.scratch.pieces.is_empty() {
            self.scratch.completions.push(base);
        }
        if let Some(done) = self.scratch.completions.get_mut(first) {
            done.c0 = done.c0.with_hb(1).with_rel_hb(cell.last.into());
            done.c2 = done
                .c2
                .with_hb_id(cell.id.into())
                .with_hb_off(cell.off as u64);
        }
        Ok(())
    }
}
