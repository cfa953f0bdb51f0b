// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packet memory and control memory: the bytes of each waiting packet, and its control entry.
//!
//! One memory is shared by all queues, accounted to the byte; each queue has its own order, so that
//! a queue without buffers does not hold up the others.

pub(crate) mod exits;
mod order;

use crate::arrive::parser::Session;
use crate::arrive::spread::Hash;
use crate::flow::merge::FixedIds;
use crate::flow::opcode::Why;
use crate::flow::tcb::Mark;
use exits::ExitLog;
use order::{Entry, Order};
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::isa::Kind;
use reflow_hwdef::opcode::Opcode;

/// Entry of the control memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Control {
    /// Operation code on arrival.
    pub(crate) opcode: Opcode,
    /// Why it has that code.
    pub(crate) why: Why,
    /// Flow number, FLOW_NONE for none.
    pub(crate) flow: u16,
    /// The flow's entry ends with this packet.
    pub(crate) ends_flow: bool,
    /// Protocols found and checked.
    pub(crate) kind: Kind,
    /// Hash of the key.
    pub(crate) hash: Option<Hash>,
    /// IPv4 header checksums are right, or there are none.
    pub(crate) l3_ok: bool,
    /// Outcome of the TCP or UDP checksum.
    pub(crate) l4_ok: Option<bool>,
    /// Some checksum is wrong.
    pub(crate) csum_bad: bool,
    /// Control information of the VLAN tag that was removed.
    pub(crate) vlan: Option<u16>,
    /// Start of the innermost IP header, as stored.
    pub(crate) l3_off: usize,
    /// Start of the IP header around that, as stored; 0 if there is none.
    pub(crate) outer_off: usize,
    /// Start of the TCP or UDP header, as stored.
    pub(crate) l4_off: usize,
    /// Headers up to the TCP data, as stored; 0 if it is not TCP.
    pub(crate) hdr_len: usize,
    /// TCP data.
    pub(crate) data_len: usize,
    /// Payload bytes of each packet of the aggregate but the last.
    pub(crate) seg_size: usize,
    /// Which IPv4 ids of the aggregate are constant.
    pub(crate) fixed_ids: FixedIds,
    /// The frame has a trailer behind the IP packet that must not be lost.
    pub(crate) trailer: bool,
    /// The packet is a complete aggregate by itself.
    pub(crate) complete: bool,
    /// TCP flags.
    pub(crate) tcp_flags: u8,
    /// TCP sequence number.
    pub(crate) seq: u32,
    /// Session framing of the connection.
    pub(crate) session: Option<Session>,
    /// The verdict of the flow's control block.
    pub(crate) tcb: Mark,
    /// When it came.
    pub(crate) time: u64,
}

/// A packet in the memory.
#[derive(Debug)]
pub(crate) struct Packet {
    /// The frame, without the VLAN tag if that was removed.
    pub(crate) bytes: Vec<u8>,
    /// Its entry in the control memory.
    pub(crate) control: Control,
}

/// An item in a queue.
#[derive(Debug)]
pub(crate) enum Item {
    /// A packet.
    Packet(Packet),
    /// A page that an idle flow gives back.
    Release {
        /// The flow number it had.
        flow: u16,
        /// Id of the re-assembly buffer.
        rb_id: u16,
        /// The flow's entry is gone.
        ends_flow: bool,
    },
}

/// The packet memory.
#[derive(Debug)]
pub(crate) struct PacketMemory {
    size: usize,
    level: usize,
    high: usize,
    order: Order,
    slots: Vec<Option<Item>>,
    free: Vec<u32>,
    /// Log of packets that left, for traces.
    pub(crate) exits: ExitLog,
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
}

impl PacketMemory {
    /// An empty memory of so many bytes, for so many queues and flows.
    pub(crate) fn new(size: usize, queues: usize, flows: usize) -> Self {
        Self {
            size,
            level: 0,
            high: 0,
            order: Order::new(queues, flows),
            slots: Vec::new(),
            free: Vec::new(),
            exits: ExitLog::default(),
            spare: Vec::new(),
            spare_bytes: 0,
        }
    }

    /// Bytes that wait.
    pub(crate) fn level(&self) -> usize {
        self.level
    }

    /// Bytes in all.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Highest level so far.
    pub(crate) fn high(&self) -> usize {
        self.high
    }

    /// Sets the highest level to that of now.
    pub(crate) fn clear_high(&mut self) {
        self.high = self.level;
    }

    /// Whether a packet of this length fits now.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        len <= self.size - self.level
    }

    /// Stores a packet given in two parts; the caller made sure that it fits.
    pub(crate) fn push(&mut self, queue: usize, parts: [&[u8]; 2], control: Control) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= bytes.capacity();
        bytes.clear();
        bytes.extend_from_slice(parts[0]);
        bytes.extend_from_slice(parts[1]);
        self.level += bytes.len();
        self.high = self.high.max(self.level);
        let flow = control.flow;
        let ends = !matches!(control.opcode, Opcode::Start | Opcode::Append);
        self.append(queue, flow, Item::Packet(Packet { bytes, control }), ends);
    }

    /// Appends the release of a page to a queue.
    pub(crate) fn push_release(&mut self, queue: usize, flow: u16, rb_id: u16, ends_flow: bool) {
        let item = Item::Release {
            flow,
            rb_id,
            ends_flow,
        };
        self.append(queue, FLOW_NONE, item, false);
    }

    fn append(&mut self, queue: usize, flow: u16, item: Item, ends: bool) {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let entry = Entry {
            slot,
            flow,
            packet: matches!(item, Item::Packet(_)),
            ends,
        };
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(item),
            None => self.slots.push(Some(item)),
        }
        self.order.push(queue, entry);
    }

    /// The first item of a queue.
    pub(crate) fn front(&self, queue: usize) -> Option<&Item> {
        self.item(self.order.get(queue, self.order.begin(queue))?)
    }

    fn item(&self, entry: &Entry) -> Option<&Item> {
        self.slots.get(entry.slot as usize)?.as_ref()
    }

    /// Removes the first item of a queue.
    pub(crate) fn pop(&mut self, queue: usize) -> Option<Item> {
        self.remove(queue, self.order.begin(queue))
    }

    /// The first packet of a flow in its queue, and its place in the order.
    pub(crate) fn find(&self, queue: usize, flow: u16) -> Option<(u64, &Packet)> {
        let at = self.order.first_of(flow)?;
        match self.item(self.order.get(queue, at)?)? {
            Item::Packet(packet) => Some((at, packet)),
            Item::Release { .. } => None,
        }
    }

    /// Whether a packet that ends an aggregate, or belongs to none, waits before this place.
    pub(crate) fn ends_before(&self, queue: usize, at: u64) -> bool {
        self.order.ends_before(queue, at)
    }

    /// Removes the packet at a place in a queue's order.
    pub(crate) fn take(&mut self, queue: usize, at: u64) -> Option<Packet> {
        match self.remove(queue, at)? {
            Item::Packet(packet) => Some(packet),
            Item::Release { .. } => None,
        }
    }

    fn remove(&mut self, queue: usize, at: u64) -> Option<Item> {
        let before = match self.exits.is_wanted() {
            true => self.order.packets_before(queue, at),
            false => 0,
        };
        let entry = self.order.remove(queue, at)?;
        let item = self.slots.get_mut(entry.slot as usize)?.take()?;
        self.free.push(entry.slot);
        if let Item::Packet(packet) = &item {
            self.level -= packet.bytes.len();
            self.exits.left(queue, before, &packet.control);
        }
        Some(item)
    }

    /// Packets that wait in a queue.
    pub(crate) fn waiting(&self, queue: usize) -> u32 {
        self.order.waiting(queue)
    }

    /// Whether more than `own` packets of a flow wait.
    pub(crate) fn holds_more_than(&self, own: usize, flow: u16) -> bool {
        self.order.holds_more_than(own, flow)
    }

    /// Whether the level is the sum of the packets that wait.
    pub(crate) fn is_consistent(&self) -> bool {
        let sum: usize = self
            .order
            .entries()
            .map(|entry| match self.item(entry) {
                Some(Item::Packet(packet)) => packet.bytes.len(),
                _ => 0,
            })
            .sum();
        sum == self.level && self.level <= self.high && self.high <= self.size
    }

    /// Takes back the storage of a packet.
    pub(crate) fn recycle(&mut self, packet: Packet) {
        let capacity = packet.bytes.capacity();
        if self.spare_bytes + capacity <= self.size {
            self.spare_bytes += capacity;
            self.spare.push(packet.bytes);
        }
    }
}
