// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cheapest driver there can be: it reads completions and posts what they give back.

use reflow_device::{Device, Host, MemError};
use reflow_hwdef::desc::{Completion, CompletionKind, B1, BUF_DESC_SIZE, COMPLETION_SIZE};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::{
    BufCfg, BufKind, QueueCtrl, QueueDoorbell, BUF_CFG, BUF_LO, BUF_STRIDE, BUF_TAIL, CQ_LO,
    CQ_SIZE, QUEUE_BASE, Q_CTRL, Q_DB,
};
use std::cell::RefCell;

const LOG2_CQ: u32 = 10;
/// Entries of each buffer ring, size of a buffer and of a cell, as powers of two, in the order of
/// their kinds. Each of a thousand flows keeps a re-assembly buffer.
const SHAPES: [(u32, u32, u32); BufKind::COUNT] = [(8, 12, 8), (11, 12, 0), (8, 11, 0), (8, 12, 8)];

/// Host memory. Its bus addresses begin at 0.
#[derive(Debug)]
pub struct Ram(RefCell<Vec<u8>>);

impl Ram {
    /// Enough of it for the driver.
    #[must_use]
    pub fn new() -> Self {
        Self(RefCell::new(vec![0; 16 << 20]))
    }

    fn error(addr: u64, len: usize) -> MemError {
        MemError { addr, len }
    }
}

impl Default for Ram {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for Ram {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        let (ram, at) = (self.0.borrow(), addr as usize);
        let from = ram.get(at..at + buf.len());
        buf.copy_from_slice(from.ok_or(Self::error(addr, buf.len()))?);
        Ok(())
    }

    fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
        let (mut ram, at) = (self.0.borrow_mut(), addr as usize);
        let to = ram.get_mut(at..at + data.len());
        to.ok_or(Self::error(addr, data.len()))?
            .copy_from_slice(data);
        Ok(())
    }

    fn store_release_u64(&self, addr: u64, value: u64) -> Result<(), MemError> {
        self.write(addr, &value.to_le_bytes())
    }

    fn store_release_u32(&self, addr: u64, value: u32) -> Result<(), MemError> {
        self.write(addr, &value.to_le_bytes())
    }

    fn interrupt(&mut self, _vector: u16) {}

    fn wire_ready(&self) -> bool {
        true
    }

    fn send(&mut self, _frame: &[u8]) {}
}

#[derive(Clone, Copy, Debug)]
struct Ring {
    base: u64,
    buffers: u64,
    log2_entries: u32,
    log2_size: u32,
    tail: Index,
}

impl Ring {
    fn post(&mut self, ram: &Ram, id: u64) {
        let slot = self.tail.slot(self.log2_entries) as u64;
        let addr = self.buffers + (id << self.log2_size);
        let mut desc = [0; BUF_DESC_SIZE];
        desc[..8].copy_from_slice(&addr.to_le_bytes());
        desc[8..].copy_from_slice(&B1(0).with_id(id).0.to_le_bytes());
        // All of it lies in the memory that was laid out for it.
        let _ = ram.write(self.base + slot * BUF_DESC_SIZE as u64, &desc);
        self.tail = self.tail.add(1);
    }
}

/// The driver of queue 0.
#[derive(Debug)]
pub struct Driver {
    rings: [Ring; BufKind::COUNT],
    cq_cons: Index,
}

impl Driver {
    /// Sets the queue up at the start of memory, and posts all buffers.
    ///
    /// # Panics
    ///
    /// The memory is too small for it.
    pub fn new(device: &mut Device, ram: &mut Ram) -> Self {
        let mut brk = (COMPLETION_SIZE as u64) << LOG2_CQ;
        let mut take = |bytes: u64| {
            let at = brk.next_multiple_of(4096);
            brk = at + bytes;
            at
        };
        let mut rings = SHAPES.map(|(log2_entries, log2_size, _)| Ring {
            base: take((BUF_DESC_SIZE as u64) << log2_entries),
            buffers: take(1 << (log2_entries + log2_size)),
            log2_entries,
            log2_size,
            tail: Index::ZERO,
        });
        assert!(brk <= ram.0.borrow().len() as u64);
        let mut write = |reg, value| device.mmio_write(ram, QUEUE_BASE + reg, value);
        write(CQ_LO, 0);
        write(CQ_SIZE, LOG2_CQ);
        for (kind, ((log2_entries, log2_size, log2_cell), ring)) in
            SHAPES.iter().zip(&rings).enumerate()
        {
            let shape = BufCfg(0)
                .with_log2_entries(*log2_entries)
                .with_log2_size(*log2_size)
                .with_log2_cell(*log2_cell);
            write(BUF_LO + kind * BUF_STRIDE, ring.base as u32);
            write(BUF_CFG + kind * BUF_STRIDE, shape.0);
        }
        write(Q_CTRL, QueueCtrl(0).with_rx(1).0);
        for ring in &mut rings {
            for id in 0..1 << ring.log2_entries {
                ring.post(ram, id);
            }
        }
        let mut driver = Self {
            rings,
            cq_cons: Index::ZERO,
        };
        driver.ring_doorbells(device, ram);
        driver
    }

    fn ring_doorbells(&mut self, device: &mut Device, ram: &mut Ram) {
        for (kind, ring) in self.rings.iter().enumerate() {
            let register = QUEUE_BASE + BUF_TAIL + kind * BUF_STRIDE;
            device.mmio_write(ram, register, ring.tail.raw());
        }
        let db = QueueDoorbell(0).with_cq_cons(self.cq_cons.raw());
        device.mmio_write(ram, QUEUE_BASE + Q_DB, db.0);
    }

    /// Gives back what all new completions release.
    pub fn poll(&mut self, device: &mut Device, ram: &mut Ram) {
        while let Some(done) = self.next_completion(ram) {
            let (c0, c2, c3) = (done.c0, done.c2, done.c3);
            let packet = c0.kind() == CompletionKind::Packet as u64;
            for (released, kind, id) in [
                (c0.rel_hb() == 1, BufKind::Header, c2.hb_id()),
                (c0.rel_rb() == 1, BufKind::Reasm, c3.rb_id()),
                (c0.rel_rb2() == 1, BufKind::Reasm, c3.rb2_id()),
                (packet && c0.nb() == 1, BufKind::Packet, c2.nb_id()),
                (c0.rel_sb() == 1, BufKind::Small, c2.nb_id()),
            ] {
                if released {
                    self.rings[kind as usize].post(ram, id);
                }
            }
        }
        self.ring_doorbells(device, ram);
    }

    fn next_completion(&mut self, ram: &Ram) -> Option<Completion> {
        let mut bytes = [0; COMPLETION_SIZE];
        let at = self.cq_cons.slot(LOG2_CQ) * COMPLETION_SIZE;
        ram.read(at as u64, &mut bytes).ok()?;
        let mut words = [0; COMPLETION_SIZE / 8];
        for (word, b) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        }
        let done = Completion::from_words(words);
        if done.c0.generation() != u64::from(self.cq_cons.generation(LOG2_CQ)) {
            return None;
        }
        self.cq_cons = self.cq_cons.add(1);
        Some(done)
    }
}
