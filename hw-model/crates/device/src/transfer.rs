// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The transfer module: moves packets from the packet memory to host memory, in the manner that
//! their operation code says.
//!
//! A packet is transferred as a whole or not at all: nothing is used up before all buffers and
//! completions that it takes are there.

mod describe;
mod gather;
mod placing;

pub(crate) use describe::release;

use crate::buffers::{lay_out, needed, Piece, Place};
use crate::chaos::Chaos;
use crate::fdb::FlowDb;
use crate::fm::FlowMemory;
use crate::framing::Walk;
use crate::host::{Host, MemError};
use crate::mac::SHORT_FRAME;
use crate::pm::{Control, Item, Packet, PacketMemory};
use crate::queue::{RxSide, Wait};
use crate::reasm::Reassembler;
use crate::stats::Counters;
use crate::tcb::TcbTable;
use describe::{describe, with_pieces, with_run};
use gather::is_plain;
use reflow_hwdef::desc::{pages_behind, Completion, PAGES_MAX};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{FlowCfg, QueueError};
use reflow_hwdef::stats::{Global, Queue as QueueStat};

/// What a step of the transfer came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing waits, or it must wait on.
    Idle,
    /// An item was transferred.
    Done,
    /// The queue has to stop.
    Fault(QueueError),
}

/// Where the bytes of a packet go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// The whole packet to a cell of the small class.
    Small,
    /// The whole packet to packet buffers of full size.
    Whole,
    /// Data to a re-assembly buffer, its flow's or the queue's own; the header to a cell or
    /// nowhere.
    Split { header: bool, own: bool },
    /// Data to the page list of the flow's control block, the header to a cell.
    Place,
}

/// How a packet will be transferred, and what that takes.
#[derive(Clone, Copy, Debug)]
struct Plan {
    opcode: Opcode,
    more: bool,
    /// The flow's entry ends with this packet.
    ends_flow: bool,
    manner: Manner,
    /// Page that a completion of its own gives back first.
    give_back: Option<Place>,
    /// The page that the data ends in is given back with it.
    close_page: bool,
    /// The data has pages of its own, whatever its flow or the queue has.
    apart: bool,
    /// One completion names all buffers of the data.
    run: bool,
    /// Where the data starts.
    place: Option<Place>,
    /// What the data is to the messages of its connection.
    walk: Walk,
    buffers: usize,
    completions: usize,
}

/// The transfer module at work on one queue.
pub(crate) struct Transfer<'a> {
    /// Packet memory.
    pub(crate) pm: &'a mut PacketMemory,
    /// Flow memory.
    pub(crate) fm: &'a mut FlowMemory,
    /// Flow database.
    pub(crate) fdb: &'a mut FlowDb,
    /// Host control blocks.
    pub(crate) tcbs: &'a mut TcbTable,
    /// Re-assembler.
    pub(crate) reasm: &'a mut Reassembler,
    /// Counters.
    pub(crate) counters: &'a mut Counters,
    /// Memory for what is being put together.
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
    pub(crate) fn step(&mut self, rx: &mut RxSide, host: &impl Host) -> Step {
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
                self.fm.pop(self.queue);
                self.leave(packet.control.flow, plan.ends_flow);
                if done.is_ok() && self.may_gather(&plan) {
                    done = self.gather(rx, &packet.control, host);
                }
                self.pm.recycle(packet);
                if done.is_err() {
                    // Popped already, so not among those that are lost with the queue.
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

    /// Decides how a packet is transferred.
    fn plan(&self, rx: &RxSide, packet: &Packet) -> Plan {
        let c = &packet.control;
        let follows = self.cfg.batching() != 0 && self.fm.holds_more_than(1, c.flow);
        let more = follows && !c.complete;
        let ends_flow = self.ends_flow(c);
        let opcode = self.reasm.settle(c.flow, self.settle_placed(rx, c));
        let manner = self.manner(rx, packet, opcode);
        let page = self.reasm.place(c.flow);
        let walk = self.walk(packet, matches!(manner, Manner::Split { own: false, .. }));
        let (mut place, mut give_back, mut close_page) = (None, None, false);
        let size = rx.reasm.as_ref().map_or(1, |ring| ring.size());
        let fresh = self.cfg.fresh_page() != 0;
        let mut apart = false;
        match manner {
            Manner::Split { own: true, .. } if fresh && c.data_len >= size => {
                (apart, close_page) = (true, true);
            }
            Manner::Split { own: true, .. } => place = rx.own,
            Manner::Split { own: false, .. } => {
                let starts = matches!(opcode, Opcode::Start | Opcode::CloseStart);
                if (fresh && starts && !walk.inside) || walk.starts.as_slice().first() == Some(&0) {
                    give_back = page;
                } else {
                    place = page;
                }
                let complete = opcode == Opcode::AppendClose || !more;
                close_page = ends_flow || (fresh && complete && !walk.goes_on);
            }
            Manner::Small | Manner::Whole | Manner::Place => {}
        }
        if ends_flow && !matches!(manner, Manner::Split { own: false, .. }) {
            give_back = page;
        }
        let mut run = self.cfg.gather() != 0 && is_plain(c, manner, &walk);
        let (buffers, parts) = match manner {
            Manner::Small => (0, 1),
            Manner::Whole => {
                let n = packet.bytes.len().div_ceil(rx.packet.size()).max(1);
                (n, n)
            }
            Manner::Split { .. } => {
                let (fresh, pieces) = needed(place, size, c.data_len, walk.starts.as_slice());
                run &= pieces <= PAGES_MAX + 2;
                let parts = if run {
                    1 + pages_behind(pieces.saturating_sub(2))
                } else {
                    pieces.div_ceil(2)
                };
                (fresh, parts)
            }
            Manner::Place => (0, c.tcb.runs.div_ceil(2).max(1)),
        };
        Plan {
            opcode,
            more,
            ends_flow,
            manner,
            give_back,
            close_page,
            apart,
            run,
            place,
            walk,
            buffers,
            completions: parts + usize::from(give_back.is_some()),
        }
    }

    fn manner(&self, rx: &RxSide, packet: &Packet, opcode: Opcode) -> Manner {
        let c = &packet.control;
        let len = packet.bytes.len();
        let small = rx
            .small
            .as_ref()
            .is_some_and(|cells| len <= self.small_max.min(cells.cell()));
        let whole = if small { Manner::Small } else { Manner::Whole };
        let can_split = c.data_len > 0 && rx.header_limit().is_some_and(|limit| c.hdr_len <= limit);
        let split_all = self.cfg.split_all() != 0;
        // What is behind the IP packet is in no header and no data.
        let trailer = c.trailer && (len > SHORT_FRAME || !split_all);
        let stays_whole = len <= self.split_thresh
            || trailer
            || match opcode {
                Opcode::NoAssist | Opcode::Control => {
                    !split_all || !c.l3_ok || c.l4_ok != Some(true)
                }
                _ => small && !split_all,
            };
        match opcode {
            Opcode::NoData => whole,
            Opcode::Placed => Manner::Place,
            _ if !can_split => whole,
            Opcode::NoAssist | Opcode::Control | Opcode::Small | Opcode::OutOfOrder
                if stays_whole =>
            {
                whole
            }
            Opcode::NoAssist | Opcode::Control | Opcode::Small | Opcode::OutOfOrder => {
                Manner::Split {
                    header: true,
                    own: true,
                }
            }
            Opcode::Start | Opcode::CloseStart => Manner::Split {
                header: true,
                own: false,
            },
            Opcode::Append | Opcode::AppendClose => Manner::Split {
                header: self.cfg.suppress() == 0,
                own: false,
            },
        }
    }

    /// What is missing for the plan; descriptors of what is there are read.
    fn ready(
        &self,
        rx: &mut RxSide,
        plan: Option<&Plan>,
        host: &impl Host,
    ) -> Result<Option<Wait>, MemError> {
        let completions = plan.map_or(1, |plan| plan.completions);
        let enough = match plan.map(|plan| (plan.manner, plan.buffers)) {
            None => true,
            Some((Manner::Small, _)) => match &mut rx.small {
                Some(cells) => {
                    cells.fetch(host)?;
                    cells.has_cell()
                }
                None => false,
            },
            Some((Manner::Whole, n)) => {
                rx.packet.fetch(host, n)?;
                rx.packet.available() >= n
            }
            Some((Manner::Place, _)) => match &mut rx.header {
                Some(cells) => {
                    cells.fetch(host)?;
                    cells.has_cell()
                }
                None => false,
            },
            Some((Manner::Split { header, .. }, n)) => {
                let mut enough = true;
                if let Some(cells) = rx.header.as_mut().filter(|_| header) {
                    cells.fetch(host)?;
                    enough = cells.has_cell();
                }
                if let Some(ring) = &mut rx.reasm {
                    ring.fetch(host, n)?;
                    enough &= ring.available() >= n;
                }
                enough
            }
        };
        Ok(if !enough {
            Some(Wait::Buffer)
        } else if rx.cq.free() < completions {
            Some(Wait::Completion)
        } else {
            None
        })
    }

    /// Waits, or, if no patience would help, loses the packet.
    fn wait(&mut self, rx: &mut RxSide, plan: Option<&Plan>, wait: Wait, host: &impl Host) -> Step {
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

    /// Loses the first packet: it is larger than all that the rings can hold.
    fn lose(&mut self) -> Step {
        if let Some(Item::Packet(packet)) = self.pm.pop(self.queue) {
            let c = packet.control;
            self.reasm.lost(c.flow);
            self.tcbs.lost(c.flow, &c.tcb);
            let ends_flow = self.ends_flow(&c);
            if ends_flow {
                if let Some(place) = self.reasm.forget(c.flow) {
                    self.pm
                        .push_release(self.queue, c.flow, place.buffer.id, true);
                }
            }
            self.fm.pop(self.queue);
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
        } else if !self.fm.holds_more_than(0, flow) {
            self.fdb.set_idle(flow, self.now);
        }
    }

    /// Whether the flow's entry ends with the first packet: it said so, and the flow has not begun
    /// anew since.
    fn ends_flow(&self, c: &Control) -> bool {
        c.ends_flow && !self.fm.holds_more_than(1, c.flow) && !self.fdb.is_pinned(c.flow)
    }

    /// Writes a packet's bytes and puts its completions together.
    fn packet(
        &mut self,
        rx: &mut RxSide,
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
                if plan.run {
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
        let last = match plan.run {
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

    /// Takes note of a packet that was transferred.
    fn transferred(&mut self, c: &Control, plan: &Plan) {
        self.reasm.transferred(c.flow, plan.opcode, plan.more);
        self.walked(c.flow, &plan.walk);
        self.summarised(c, plan.opcode);
        self.pm.exits.transferred(plan.opcode, plan.more);
        self.counters.inc(Global::RxTransferred);
        self.counters.inc_opcode(plan.opcode);
        self.counters.inc_queue(self.queue, QueueStat::Packets);
        if plan.more {
            self.counters.inc(Global::HintMore);
        }
    }

    /// The whole packet to a cell of the small class.
    fn small(
        &mut self,
        rx: &mut RxSide,
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
        rx: &mut RxSide,
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
    fn data(
        &mut self,
        rx: &mut RxSide,
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
            // Nothing goes on behind it.
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
        rx: &mut RxSide,
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
