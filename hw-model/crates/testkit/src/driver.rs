// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The driver's double: sets queues up, posts buffers, reads completions and checks the promises that
//! every driver relies on. It panics when the device breaks one.

use crate::host::FakeHost;
use crate::queue::{BufRing, Layout, Local, Queue};
use reflow_device::Device;
use reflow_hwdef::desc::{page_ids, pages_behind, Completion, CompletionKind};
use reflow_hwdef::desc::{
    B1, BUF_DESC_SIZE, BUF_NONE, COMPLETION_SIZE, FLOW_NONE, PAGES_INLINE, T1, T2, TX_DESC_SIZE,
};
use reflow_hwdef::index::Index;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use std::collections::{BTreeMap, VecDeque};

pub use crate::queue::Shape;

/// Shape of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueSetup {
    pub log2_cq: u32,
    /// Completions that the device leaves to the driver at most, 0 for as many as there is room for.
    pub window: u32,
    pub log2_tx: u32,
    pub shapes: [Shape; BufKind::COUNT],
    /// Buffers are posted again when the device gives them back.
    pub recycle: bool,
    /// Re-assembly buffers whose id is a multiple of this are smaller than the ring says: of
    /// [`SMALL`] bytes.
    pub small_every: Option<u16>,
}

/// Bytes of a re-assembly buffer whose descriptor says that it is small.
pub const SMALL: usize = 1 << LOG2_BUF_SMALL;

impl Default for QueueSetup {
    fn default() -> Self {
        let shape = |log2_size, log2_cell| Shape {
            log2_entries: 6,
            log2_size,
            log2_cell,
            posted: 64,
        };
        Self {
            log2_cq: 8,
            window: 0,
            log2_tx: 6,
            shapes: [shape(12, 8), shape(12, 0), shape(11, 0), shape(12, 8)],
            recycle: true,
            small_every: None,
        }
    }
}

impl QueueSetup {
    /// The same, with no buffer of these kinds posted.
    #[must_use]
    pub fn without(mut self, kinds: &[BufKind]) -> Self {
        for &kind in kinds {
            self.shapes[kind as usize].posted = 0;
        }
        self
    }
}

/// A piece of data in a re-assembly buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    pub rb: u16,
    pub off: usize,
    pub len: usize,
}

/// A packet as the driver gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The first completion.
    pub first: Completion,
    /// The last completion.
    pub last: Completion,
    pub opcode: Opcode,
    pub flow: Option<u16>,
    pub more: bool,
    /// The header in its cell, if there was one.
    pub header: Option<Vec<u8>>,
    /// Data in re-assembly buffers.
    pub data: Vec<u8>,
    pub pieces: Vec<Piece>,
    /// Bytes in packet buffers.
    pub whole: Vec<u8>,
    pub completions: usize,
}

/// A buffer that the device has.
struct Posted {
    addr: u64,
    /// Bytes that it has.
    size: usize,
    /// Bytes written so far, for cells and re-assembly buffers.
    filled: usize,
    /// Whose data it holds: `Some(None)` is the queue's own.
    owner: Option<Option<u16>>,
}

/// The buffers of a ring.
struct Buffers {
    shape: Shape,
    free: VecDeque<(u16, u64)>,
    posted: BTreeMap<u16, Posted>,
}

/// The driver's side of a queue.
pub struct QueueDriver {
    /// Its rings.
    pub queue: Queue,
    recycle: bool,
    small_every: Option<u16>,
    rings: Vec<Buffers>,
    tx_bytes: Option<u64>,
    /// Completions that give a page back and name no packet.
    pub releases: Vec<Completion>,
    /// Buffers given back, by kind.
    pub returned: [usize; BufKind::COUNT],
}

impl QueueDriver {
    /// Sets queue `number` up and switches it on.
    pub fn new(dev: &mut Device, host: &mut FakeHost, number: usize, setup: QueueSetup) -> Self {
        let buffers = |shape: Shape| Buffers {
            shape,
            free: (0..1_u16 << shape.log2_entries)
                .map(|id| (id, host.alloc(1 << shape.log2_size)))
                .collect(),
            posted: BTreeMap::new(),
        };
        let rings = setup.shapes.map(buffers).into();
        let layout = Layout {
            number,
            cq: host.alloc(COMPLETION_SIZE << setup.log2_cq),
            log2_cq: setup.log2_cq,
            window: setup.window,
            tx: host.alloc(TX_DESC_SIZE << setup.log2_tx),
            log2_tx: setup.log2_tx,
            tx_wb: host.alloc(4),
            bufs: setup.shapes.map(|shape| BufRing {
                base: host.alloc(BUF_DESC_SIZE << shape.log2_entries),
                shape,
            }),
        };
        let mut queue = Self {
            queue: Queue::new(layout),
            recycle: setup.recycle,
            small_every: setup.small_every,
            rings,
            tx_bytes: None,
            releases: Vec::new(),
            returned: [0; BufKind::COUNT],
        };
        queue.write(dev, host, Q_VECTOR, number as u32);
        queue.switch_on(dev, host);
        queue
    }

    fn write(&self, dev: &mut Device, host: &mut FakeHost, reg: usize, value: u32) {
        self.queue.write(&mut Local { dev, host }, reg, value);
    }

    /// Writes the registers, switches both halves on, posts buffers.
    pub fn switch_on(&mut self, dev: &mut Device, host: &mut FakeHost) {
        let on = QueueCtrl(0).with_rx(1).with_tx(1);
        self.queue.start(&mut Local { dev, host }, on);
        for kind in BufKind::ALL {
            self.post(dev, host, kind, self.rings[kind as usize].shape.posted);
        }
    }

    /// Switches both halves off; every buffer is the driver's again.
    pub fn switch_off(&mut self, dev: &mut Device, host: &mut FakeHost) {
        self.write(dev, host, Q_CTRL, 0);
        self.forget_posted();
    }

    /// Posts up to `count` buffers; tells how many.
    pub fn post(
        &mut self,
        dev: &mut Device,
        host: &mut FakeHost,
        kind: BufKind,
        count: usize,
    ) -> usize {
        let ring = &mut self.rings[kind as usize];
        let mut done = 0;
        while done < count {
            let Some((id, addr)) = ring.free.pop_front() else {
                break;
            };
            let of_ring = 1 << ring.shape.log2_size;
            let is_small = kind == BufKind::Reasm
                && of_ring > SMALL
                && self.small_every.is_some_and(|n| id % n == 0);
            let mut b1 = B1(0).with_id(id.into());
            if is_small {
                b1 = b1.with_log2_size(LOG2_BUF_SMALL.into());
            }
            self.queue.put_sized_buffer(host, kind, b1, addr);
            let posted = Posted {
                addr,
                size: if is_small { SMALL } else { of_ring },
                filled: 0,
                owner: None,
            };
            assert!(ring.posted.insert(id, posted).is_none());
            done += 1;
        }
        self.queue.kick_buffers(&mut Local { dev, host }, kind);
        done
    }

    /// Buffers of a kind that the device has.
    pub fn outstanding(&self, kind: BufKind) -> usize {
        self.rings[kind as usize].posted.len()
    }

    /// Re-assembly buffers that hold data of a flow and did not come back.
    pub fn kept_by_flows(&self) -> usize {
        let ring = &self.rings[BufKind::Reasm as usize];
        let kept = ring.posted.values();
        kept.filter(|posted| matches!(posted.owner, Some(Some(_))))
            .count()
    }

    /// Reads all new completions and rings the doorbell.
    pub fn poll(&mut self, dev: &mut Device, host: &mut FakeHost, arm: bool) -> Vec<Delivery> {
        let out = self.read_completions(host);
        if self.recycle {
            for kind in BufKind::ALL {
                self.post(dev, host, kind, usize::MAX);
            }
        }
        self.doorbell(dev, host, arm);
        out
    }

    /// Rings the doorbell for all that was read.
    pub fn doorbell(&mut self, dev: &mut Device, host: &mut FakeHost, arm: bool) {
        self.queue.doorbell(&mut Local { dev, host }, arm);
    }

    /// The completion at an index, new or not.
    pub fn completion_at(&self, host: &FakeHost, index: Index) -> Completion {
        self.queue.completion_at(host, index)
    }

    /// Reads all new completions and leaves them to the driver.
    pub fn read_completions(&mut self, host: &FakeHost) -> Vec<Delivery> {
        let mut out = Vec::new();
        let mut open: Option<Delivery> = None;
        while let Some(done) = self.queue.next_completion(host) {
            if done.c0.kind() == CompletionKind::Release as u64 {
                assert!(open.is_none(), "a release in the middle of a packet");
                assert_eq!(done.c0.rel_rb(), 1);
                self.take_back(BufKind::Reasm, done.c3.rb_id());
                self.releases.push(done);
                continue;
            }
            let mut delivery = open.take().unwrap_or_else(|| Delivery {
                first: done,
                last: done,
                opcode: Opcode::from_raw(done.c0.opcode() as u8).unwrap(),
                flow: Some(done.c0.flow() as u16).filter(|&flow| flow != FLOW_NONE),
                more: false,
                header: None,
                data: Vec::new(),
                pieces: Vec::new(),
                whole: Vec::new(),
                completions: 0,
            });
            let pages = self.pages_of(host, &done);
            self.part(host, &done, &pages, &mut delivery);
            if done.c0.cont() == 1 {
                assert_eq!(
                    (done.c0.segs(), done.c0.more(), done.c0.rel_flow()),
                    (0, 0, 0)
                );
                open = Some(delivery);
            } else {
                let merged = done.c0.segs() > 1;
                assert!(done.c0.segs() == 1 || (merged && delivery.completions == 1));
                delivery.more = done.c0.more() == 1;
                delivery.last = done;
                trim_placed(&mut delivery);
                out.push(delivery);
            }
        }
        assert!(
            open.is_none(),
            "the parts of a packet become visible together"
        );
        out
    }

    /// Ids of the whole pages between the first and the last data of a completion.
    fn pages_of(&mut self, host: &FakeHost, done: &Completion) -> Vec<u16> {
        let count = done.c5.pages() as usize;
        let mut ids = page_ids(done.c7.0).to_vec();
        ids[count.min(PAGES_INLINE)..]
            .iter()
            .for_each(|id| assert_eq!(*id, 0));
        for _ in 0..pages_behind(count) {
            let more = self
                .queue
                .next_completion(host)
                .expect("they are published together");
            assert_eq!(more.c0.kind(), CompletionKind::Pages as u64);
            assert_eq!(more.c0.flow(), done.c0.flow());
            ids.extend(more.to_words()[1..].iter().flat_map(|&word| page_ids(word)));
        }
        ids.truncate(count);
        ids
    }

    /// One completion of a packet.
    fn part(&mut self, host: &FakeHost, done: &Completion, pages: &[u16], delivery: &mut Delivery) {
        delivery.completions += 1;
        let c0 = done.c0;
        assert_eq!(c0.opcode(), delivery.opcode as u64);
        if c0.hb() == 1 {
            assert_eq!(delivery.completions, 1, "a header in a later part");
            let (id, off) = (done.c2.hb_id(), done.c2.hb_off() as usize);
            let len = match delivery.opcode {
                Opcode::Placed => 1 << self.rings[BufKind::Header as usize].shape.log2_cell,
                _ => done.c2.hdr_len() as usize,
            };
            let header = self.cell(host, BufKind::Header, id, off, len, c0.rel_hb() == 1);
            delivery.header = Some(header);
        } else {
            assert_eq!((c0.rel_hb(), done.c2.hb_id()), (0, BUF_NONE.into()));
        }
        if c0.sb() == 1 {
            let (id, off) = (done.c2.nb_id(), done.c4.nb_off() as usize);
            let len = done.c4.nb_len() as usize;
            delivery.whole = self.cell(host, BufKind::Small, id, off, len, c0.rel_sb() == 1);
        }
        if c0.nb() == 1 {
            assert_eq!(done.c4.nb_off(), 0);
            let (id, len) = (done.c2.nb_id(), done.c4.nb_len() as usize);
            let ring = &self.rings[BufKind::Packet as usize];
            assert!(len > 0 && len <= 1 << ring.shape.log2_size);
            let bytes = host.get(ring.posted[&(id as u16)].addr, len);
            delivery.whole.extend(bytes);
            self.take_back(BufKind::Packet, id);
        }
        // Buffers that are named by an id alone are as large as the first.
        let reasm = &self.rings[BufKind::Reasm as usize];
        let first = reasm.posted.get(&(done.c3.rb_id() as u16));
        let size = first.map_or(0, |posted| posted.size);
        if c0.rb() == 1 {
            let (id, off) = (done.c3.rb_id(), done.c3.rb_off() as usize);
            let len = done.c3.rb_len() as usize;
            self.piece(host, id, off, len, c0.rel_rb() == 1, delivery);
        } else {
            assert_eq!((c0.rel_rb(), c0.rb2()), (0, 0));
        }
        for &id in pages {
            assert_eq!((c0.rb(), c0.rb2(), c0.rel_rb()), (1, 1, 1));
            self.piece(host, id.into(), 0, size, true, delivery);
        }
        if c0.rb2() == 1 {
            let (id, len) = (done.c3.rb2_id(), done.c4.rb2_len() as usize);
            self.piece(host, id, 0, len, c0.rel_rb2() == 1, delivery);
        }
    }

    /// A cell: cells of a buffer come in their order, and the last one gives it back.
    fn cell(
        &mut self,
        host: &FakeHost,
        kind: BufKind,
        id: u64,
        off: usize,
        len: usize,
        last: bool,
    ) -> Vec<u8> {
        let ring = &mut self.rings[kind as usize];
        let cell = 1_usize << ring.shape.log2_cell;
        let posted = ring
            .posted
            .get_mut(&(id as u16))
            .expect("a cell of no buffer");
        assert_eq!(off, posted.filled, "cells are used in order");
        assert!(len > 0 && len <= cell);
        posted.filled += cell;
        let bytes = host.get(posted.addr + off as u64, len);
        assert_eq!(last, posted.filled == 1 << ring.shape.log2_size);
        if last {
            self.take_back(kind, id);
        }
        bytes
    }

    /// Data in a re-assembly buffer: gapless, and of one flow.
    fn piece(
        &mut self,
        host: &FakeHost,
        id: u64,
        off: usize,
        len: usize,
        released: bool,
        delivery: &mut Delivery,
    ) {
        if delivery.opcode == Opcode::Placed {
            assert!(len > 0 && !released, "pages of a list are no buffers");
            let rb = id as u16;
            delivery.pieces.push(Piece { rb, off, len });
            return;
        }
        let ring = &mut self.rings[BufKind::Reasm as usize];
        let posted = ring
            .posted
            .get_mut(&(id as u16))
            .expect("data in a buffer that the device does not have");
        let merged = matches!(
            delivery.opcode,
            Opcode::Start | Opcode::Append | Opcode::AppendClose | Opcode::CloseStart
        );
        let owner = delivery.flow.filter(|_| merged);
        assert_eq!(
            *posted.owner.get_or_insert(owner),
            owner,
            "a page of one flow only"
        );
        assert_eq!(off, posted.filled, "data is packed without gaps");
        assert!(len > 0);
        posted.filled += len;
        let full = posted.filled >= posted.size;
        assert!(posted.filled <= posted.size);
        assert!(!full || released, "a full buffer is given back");
        delivery
            .data
            .extend(host.get(posted.addr + off as u64, len));
        delivery.pieces.push(Piece {
            rb: id as u16,
            off,
            len,
        });
        if released {
            self.take_back(BufKind::Reasm, id);
        }
    }

    /// The device is done with a buffer, which it must have had.
    fn take_back(&mut self, kind: BufKind, id: u64) {
        let ring = &mut self.rings[kind as usize];
        let posted = ring
            .posted
            .remove(&(id as u16))
            .unwrap_or_else(|| panic!("{kind:?} buffer {id} came back without having been posted"));
        ring.free.push_back((id as u16, posted.addr));
        self.returned[kind as usize] += 1;
    }

    /// The transmit index that the device wrote back.
    pub fn tx_head(&self, host: &FakeHost) -> Index {
        self.queue.tx_head(host)
    }

    /// The time that the device wrote to a transmit descriptor, counted from the start of the ring.
    pub fn tx_time(&self, host: &FakeHost, at: u64) -> u64 {
        host.get_u64(self.queue.layout.tx + at * 32 + 24)
    }

    /// Queues a packet of parts, without the doorbell; `t1` and `t2` say what to do with it.
    pub fn queue_tx(&mut self, host: &FakeHost, parts: &[&[u8]], t1: T1, t2: T2) {
        for (i, part) in parts.iter().enumerate() {
            let addr = host.alloc(part.len());
            host.put(addr, part);
            let base = if i == 0 { t1 } else { T1(0) };
            let t1 = base
                .with_len(part.len() as u64)
                .with_sop((i == 0).into())
                .with_eop((i + 1 == parts.len()).into());
            let t2 = if i == 0 { t2.0 } else { 0 };
            self.put_tx_desc(host, [addr, t1.0, t2, 0]);
        }
    }

    /// Queues a packet of one part, whose bytes lie in slot `at` of a few that are used again.
    pub fn queue_tx_at(&mut self, host: &FakeHost, bytes: &[u8], t1: T1, t2: T2, at: usize) {
        let addr = *self.tx_bytes.get_or_insert_with(|| host.alloc(8 * 2048)) + at as u64 * 2048;
        host.put(addr, bytes);
        let t1 = t1.with_len(bytes.len() as u64).with_sop(1).with_eop(1);
        self.put_tx_desc(host, [addr, t1.0, t2.0, 0]);
    }

    /// Makes the next buffer of a kind that the device takes one outside memory.
    pub fn spoil_next(&mut self, host: &FakeHost, kind: BufKind) {
        host.put_words(self.queue.layout.bufs[kind as usize].base, &[0x1000]);
    }

    /// The queue was switched off by other means.
    pub fn forget_posted(&mut self) {
        self.queue.forget();
        for ring in &mut self.rings {
            for (id, posted) in std::mem::take(&mut ring.posted) {
                ring.free.push_back((id, posted.addr));
            }
        }
    }

    /// Writes a transmit descriptor as it is.
    pub fn put_tx_desc(&mut self, host: &FakeHost, words: [u64; 4]) {
        self.queue.put_tx(host, words);
    }

    /// Rings the transmit doorbell.
    pub fn kick_tx(&self, dev: &mut Device, host: &mut FakeHost) {
        self.queue.kick_tx(&mut Local { dev, host });
    }

    /// Value of Q_STATUS.
    pub fn status(&self, dev: &mut Device) -> QueueStatus {
        QueueStatus(dev.mmio_read(self.queue.register(Q_STATUS)))
    }
}

/// The header cell of a placed packet has what is not in pages: its headers and those of PDUs.
fn trim_placed(delivery: &mut Delivery) {
    if delivery.opcode == Opcode::Placed {
        let header = delivery.header.as_mut().expect("a header cell");
        let in_pages: usize = delivery.pieces.iter().map(|piece| piece.len).sum();
        let data_len = delivery.first.c5.data_len() as usize;
        header.truncate(delivery.first.c2.hdr_len() as usize + data_len - in_pages);
    }
}
