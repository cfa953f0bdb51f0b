// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The plan of a transfer: how, and with which buffers and completions.

use super::gather::is_plain;
use super::Transfer;
use crate::arrive::mac::SHORT_FRAME;
use crate::flow::framing::{Framing, Starts, Walk};
use crate::flow::opcode::{revise, Why};
use crate::host::{Host, MemError};
use crate::pm::Packet;
use crate::proto::SYN;
use crate::rings::buffers::{needed, Place};
use crate::rings::rx::{RxQueue, Wait};
use reflow_hwdef::desc::{pages_behind, PAGES_MAX};
use reflow_hwdef::opcode::Opcode;

/// Where the bytes of a packet go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
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

/// The plan of a packet's transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) opcode: Opcode,
    /// Why that is not the code on arrival, if so.
    pub(super) revised: Option<Why>,
    pub(super) more: bool,
    /// The flow's entry ends with this packet.
    pub(super) ends_flow: bool,
    pub(super) manner: Manner,
    /// Page that is released first, by a completion of its own.
    pub(super) give_back: Option<Place>,
    /// The page that the data ends in is released with it.
    pub(super) close_page: bool,
    /// The data has pages of its own, and those of flow and queue stay as they are.
    pub(super) apart: bool,
    /// One completion names all buffers of the data.
    pub(super) run: bool,
    /// Where the data starts.
    pub(super) place: Option<Place>,
    /// The position of the data in the messages of its connection.
    pub(super) walk: Walk,
    pub(super) buffers: usize,
    pub(super) completions: usize,
}

impl Transfer<'_> {
    /// Decides how a packet is transferred.
    pub(super) fn plan(&self, rx: &RxQueue, packet: &Packet) -> Plan {
        let c = &packet.control;
        let follows = self.cfg.batching() != 0 && self.pm.holds_more_than(1, c.flow);
        let more = follows && !c.complete;
        let ends_flow = self.ends_flow(c);
        let (opcode, revised) = revise(c.opcode, self.reasm.open(c.flow), self.is_list_gone(rx, c));
        let manner = self.manner(rx, packet, opcode);
        let page = self.reasm.place(c.flow);
        let walk = self.walk(packet, matches!(manner, Manner::Split { own: false, .. }));
        let (mut place, mut give_back, mut close_page) = (None, None, false);
        let size = rx.reasm.as_ref().map_or(1, |ring| ring.size());
        let least = rx.reasm.as_ref().map_or(1, |ring| ring.least());
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
                // Smaller buffers than the ring's may come, and then no run is sure.
                let (fresh, pieces) = needed(place, least, c.data_len, walk.starts.as_slice());
                run &= pieces <= PAGES_MAX + 2;
                let apart = pieces.div_ceil(2);
                let parts = if run && least == size {
                    1 + pages_behind(pieces.saturating_sub(2))
                } else {
                    apart
                };
                (fresh, parts)
            }
            Manner::Place => (0, c.tcb.runs.div_ceil(2).max(1)),
        };
        Plan {
            opcode,
            revised,
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

    fn manner(&self, rx: &RxQueue, packet: &Packet, opcode: Opcode) -> Manner {
        let c = &packet.control;
        let len = packet.bytes.len();
        let small = rx
            .small
            .as_ref()
            .is_some_and(|cells| len <= self.small_max.min(cells.cell()));
        let whole = if small { Manner::Small } else { Manner::Whole };
        let can_split = c.data_len > 0 && rx.header_limit().is_some_and(|limit| c.hdr_len <= limit);
        let split_all = self.cfg.split_all() != 0;
        // Bytes behind the IP packet belong to neither header nor data.
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

    /// The resource that the plan lacks. Reads the descriptors of available buffers.
    pub(super) fn ready(
        &self,
        rx: &mut RxQueue,
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

    /// Follows the messages in the data of a packet to be transferred; `merged`: it goes to its
    /// flow's pages.
    fn walk(&self, packet: &Packet, merged: bool) -> Walk {
        let c = &packet.control;
        let framing = self.reasm.framing(c.flow);
        let Some(session) = c.session else {
            return Walk {
                framing,
                ..Walk::default()
            };
        };
        let data = packet.bytes.get(c.hdr_len..c.hdr_len + c.data_len);
        let data = data.unwrap_or(&[]);
        let merged = merged && self.cfg.session() != 0;
        let mut walk = if c.tcp_flags & SYN != 0 {
            let seq = c.seq.wrapping_add(1);
            Framing::begin(seq).walk(session, seq, data, merged)
        } else {
            framing.walk(session, c.seq, data, merged)
        };
        if !merged {
            walk.starts = Starts::default();
        }
        walk
    }
}
