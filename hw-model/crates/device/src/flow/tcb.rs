// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Host control blocks: settings of the host for single connections.
//!
//! A block has the expected sequence number of a connection, the queue of its packets, and the
//! pages for its data. Each packet of the flow is compared with it on arrival, and its
//! completion says whether the block applied. [`reflow_hwdef::cmd`] has the rules.

use crate::arrive::headers::Tcp;
use crate::arrive::key::{key_bytes, FlowKey};
use crate::flow::placement::{Inside, Placement, Run};
use crate::proto::{FIN, RST, SYN, URG};
use reflow_hwdef::cmd::{
    CmdStatus, T0, T6, T8, TCB_APPLIED, TCB_KEY, TCB_LIST, TCB_LIST_LEN, TCB_MAX, TCB_NOT_APPLIED,
    TCB_PLACED, TCB_SEQ, TCB_WORDS,
};
use reflow_hwdef::isa::Kind;
use std::collections::VecDeque;

/// Bits of word 0 that no field names.
const T0_RESERVED: u64 = (0x3 << 62) | 0xc000;

/// Whether the block of a packet's flow applied to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub(crate) enum Summary {
    /// The flow has no block.
    #[default]
    None = 0,
    /// It applied.
    Applied = 1,
    /// It did not apply.
    NotApplied = 2,
}

/// The verdict of a control block on a packet: part of the packet's entry in the control memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Mark {
    /// Whether it applied.
    pub(crate) summary: Summary,
    /// Its data goes to the list of the block, as it was set then.
    pub(crate) placed: bool,
    /// Runs of data in the list.
    pub(crate) runs: usize,
    /// Bytes of PDU headers, which go to the header cell.
    pub(crate) inline: usize,
    epoch: u32,
}

impl Mark {
    const NOT_APPLIED: Self = Self {
        summary: Summary::NotApplied,
        placed: false,
        runs: 0,
        inline: 0,
        epoch: 0,
    };
}

/// Progress of the device in a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Joint {
    /// Sequence number of the next data.
    pub(crate) expected: u32,
    /// Where in a PDU that is, if it is known.
    pub(crate) inside: Option<Inside>,
}

/// A block as the host wrote it, checked.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The flow.
    pub(crate) key: FlowKey,
    /// Queue of the flow's packets.
    pub(crate) queue: Option<usize>,
    /// Sequence number of the next data.
    pub(crate) expected: u32,
    placement: Option<Placement>,
    words: [u64; TCB_WORDS],
}

impl Setting {
    /// Checks a block; `join` returns the progress in a known flow, and
    /// `read_list` reads the page list.
    ///
    /// Claims: 25.
    pub(crate) fn new(
        words: [u64; TCB_WORDS],
        queues: usize,
        join: impl FnOnce(&FlowKey) -> Result<Option<Joint>, CmdStatus>,
        read_list: impl FnOnce(u64, usize) -> Result<Vec<u64>, CmdStatus>,
    ) -> Result<Self, CmdStatus> {
        let t0 = T0(words[0]);
        let queue = t0.queue() as usize;
        let key_len = if t0.v6() != 0 { 36 } else { 12 };
        if t0.0 & T0_RESERVED != 0
            || t0.key_len() != key_len
            || (t0.steer() != 0 && queue >= queues)
            || (t0.pdu() != 0 && t0.place() == 0)
        {
            return Err(CmdStatus::BadArgument);
        }
        let kind = Kind(0)
            .with_ipv4((t0.v6() == 0).into())
            .with_ipv6((t0.v6() != 0).into())
            .with_tcp(1);
        let vlan = (t0.vlan() != 0).then_some(t0.vlan_tci() as u16);
        let bytes = key_bytes(&words[TCB_KEY..TCB_SEQ]);
        let key = FlowKey::of(&bytes[..key_len as usize], kind, vlan);
        let joint = if t0.join() != 0 { join(&key)? } else { None };
        let mut expected = T6(words[TCB_SEQ]).expected() as u32;
        let mut words = words;
        if let Some(joint) = joint {
            expected = joint.expected;
            words[TCB_LIST_LEN] = T8(words[TCB_LIST_LEN]).with_base(expected.into()).0;
        }
        words[TCB_SEQ] = 0;
        words[TCB_LIST_LEN + 1..].fill(0);
        let placement = if t0.place() != 0 {
            let t8 = T8(words[TCB_LIST_LEN]);
            let start = expected.wrapping_sub(t8.base() as u32);
            let mut placement = Placement::new(t0, t8.pages() as usize, start, |count| {
                read_list(words[TCB_LIST], count)
            })?;
            if let Some(inside) = joint.and_then(|joint| joint.inside) {
                placement.go_on(inside).ok_or(CmdStatus::Busy)?;
            }
            Some(placement)
        } else {
            None
        };
        Ok(Self {
            key,
            queue: (t0.steer() != 0).then_some(queue),
            expected,
            placement,
            words,
        })
    }
}

/// An active block.
#[derive(Debug)]
struct Tcb {
    setting: Setting,
    expected: u32,
    stale: bool,
    epoch: u32,
    /// Runs of the packets that wait to be placed.
    runs: VecDeque<Run>,
    applied: u64,
    not_applied: u64,
    placed: u64,
}

impl Tcb {
    /// Compares a packet with the block; `room` are the bytes of a header cell behind the headers.
    fn judge(&mut self, data: &[u8], tcp: &Tcp, room: usize) -> Mark {
        let fin = tcp.flags & FIN != 0;
        if self.stale || tcp.flags & (SYN | RST | URG) != 0 || (fin && tcp.len == 0) {
            self.stale = true;
            return Mark::NOT_APPLIED;
        }
        let in_order = tcp.seq == self.expected;
        if tcp.len == 0 {
            return match in_order {
                true => self.applied(),
                false => Mark::NOT_APPLIED,
            };
        }
        let mut mark = self.applied();
        if let Some(placement) = self.setting.placement.as_mut().filter(|_| in_order) {
            match placement.lay_out(data, room, &mut self.runs) {
                Some((runs, inline)) => {
                    mark.placed = true;
                    (mark.runs, mark.inline) = (runs, inline);
                }
                None => self.stale = true,
            }
        }
        self.stale |= !in_order;
        if self.stale {
            return Mark::NOT_APPLIED;
        }
        self.expected = self.expected.wrapping_add(tcp.len as u32);
        self.stale = fin;
        mark
    }

    fn applied(&self) -> Mark {
        Mark {
            summary: Summary::Applied,
            epoch: self.epoch,
            ..Mark::default()
        }
    }
}

/// The control blocks, by flow number. Claims: 24, 26.
#[derive(Debug)]
pub(crate) struct TcbTable {
    blocks: Vec<Option<Box<Tcb>>>,
    count: usize,
    epoch: u32,
}

impl TcbTable {
    /// No blocks, for so many flows.
    pub(crate) fn new(flows: usize) -> Self {
        Self {
            blocks: (0..flows).map(|_| None).collect(),
            count: 0,
            epoch: 0,
        }
    }

    /// Whether one more block may be set.
    pub(crate) fn has_room(&self) -> bool {
        self.count < TCB_MAX.min(self.blocks.len() / 2)
    }

    fn get_mut(&mut self, flow: u16) -> Option<&mut Tcb> {
        self.blocks.get_mut(usize::from(flow))?.as_deref_mut()
    }

    fn get(&self, flow: u16) -> Option<&Tcb> {
        self.blocks.get(usize::from(flow))?.as_deref()
    }

    /// Whether a flow has a block.
    pub(crate) fn has(&self, flow: u16) -> bool {
        self.get(flow).is_some()
    }

    /// The queue that a flow's block names.
    pub(crate) fn queue(&self, flow: u16) -> Option<usize> {
        self.get(flow)?.setting.queue
    }

    /// Sets the block of a flow, in the place of the one before.
    pub(crate) fn set(&mut self, flow: u16, setting: Setting) {
        self.epoch = self.epoch.wrapping_add(1);
        let Some(slot) = self.blocks.get_mut(usize::from(flow)) else {
            return;
        };
        self.count += usize::from(slot.is_none());
        *slot = Some(Box::new(Tcb {
            expected: setting.expected,
            setting,
            stale: false,
            epoch: self.epoch,
            runs: VecDeque::new(),
            applied: 0,
            not_applied: 0,
            placed: 0,
        }));
    }

    /// Takes the block of a flow away; false if there is none.
    pub(crate) fn remove(&mut self, flow: u16) -> bool {
        let slot = self.blocks.get_mut(usize::from(flow));
        let found = slot.is_some_and(|slot| slot.take().is_some());
        self.count -= usize::from(found);
        found
    }

    /// The block of a flow as the host reads it back.
    pub(crate) fn read_back(&self, flow: u16) -> Option<[u64; TCB_WORDS]> {
        let tcb = self.get(flow)?;
        let mut words = tcb.setting.words;
        words[TCB_SEQ] = T6(0)
            .with_expected(tcb.expected.into())
            .with_flow(flow.into())
            .with_stale(tcb.stale.into())
            .0;
        words[TCB_APPLIED] = tcb.applied;
        words[TCB_NOT_APPLIED] = tcb.not_applied;
        words[TCB_PLACED] = tcb.placed;
        Some(words)
    }

    /// Compares a packet with its flow's block. Claims: 24, 26.
    pub(crate) fn judge(&mut self, flow: u16, data: &[u8], tcp: &Tcp, room: usize) -> Mark {
        self.get_mut(flow)
            .map_or(Mark::default(), |tcb| tcb.judge(data, tcp, room))
    }

    /// A packet of a flow was not compared with its block, which becomes stale.
    pub(crate) fn miss(&mut self, flow: u16) -> Mark {
        self.get_mut(flow).map_or(Mark::default(), |tcb| {
            tcb.stale = true;
            Mark::NOT_APPLIED
        })
    }

    /// Whether the list that a packet is to be placed in is still set.
    pub(crate) fn is_current(&self, flow: u16, mark: &Mark) -> bool {
        self.get(flow).is_some_and(|tcb| tcb.epoch == mark.epoch)
    }

    /// The next run of the flow's first packet that is to be placed, and the bus address of its
    /// page.
    pub(crate) fn next_run(&mut self, flow: u16) -> Option<(Run, u64)> {
        let tcb = self.get_mut(flow)?;
        let run = tcb.runs.pop_front()?;
        let page = tcb.setting.placement.as_ref()?.page(run.page)?;
        tcb.placed += run.len as u64;
        Some((run, page))
    }

    /// A packet was transferred.
    pub(crate) fn transferred(&mut self, flow: u16, summary: Summary) {
        if let Some(tcb) = self.get_mut(flow) {
            match summary {
                Summary::None => {}
                Summary::Applied => tcb.applied += 1,
                Summary::NotApplied => tcb.not_applied += 1,
            }
        }
    }

    /// A packet was lost: its data is missing in the list.
    pub(crate) fn lost(&mut self, flow: u16, mark: &Mark) {
        let current = self.is_current(flow, mark);
        if let Some(tcb) = self.get_mut(flow).filter(|_| mark.summary != Summary::None) {
            tcb.stale = true;
            if mark.placed && current {
                tcb.runs.drain(..mark.runs.min(tcb.runs.len()));
            }
        }
    }

    /// All packets of a flow that waited are lost.
    pub(crate) fn interrupt(&mut self, flow: u16) {
        if let Some(tcb) = self.get_mut(flow) {
            tcb.stale = true;
        }
    }
}
