// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The driver's side of a queue pair: the layout of its rings, the registers that describe them, and
//! the indices. It checks nothing and allocates nothing; [`crate::driver`] adds the checks.

use reflow_device::{Device, Host};
use reflow_hwdef::desc::{
    Completion, B1, BUF_DESC_SIZE, COMPLETION_SIZE, COMPLETION_WORDS, TX_DESC_SIZE,
};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::*;

/// Host memory as a driver accesses it. An address outside of it is a fault of the test.
pub trait Memory {
    /// Reads bytes.
    fn peek(&self, addr: u64, bytes: &mut [u8]);

    /// Writes bytes.
    fn poke(&self, addr: u64, bytes: &[u8]);

    /// Writes words.
    fn poke_words(&self, addr: u64, words: &[u64]) {
        for (at, word) in (addr..).step_by(8).zip(words) {
            self.poke(at, &word.to_le_bytes());
        }
    }
}

impl<H: Host> Memory for H {
    fn peek(&self, addr: u64, bytes: &mut [u8]) {
        self.read(addr, bytes).expect("an address inside memory");
    }

    fn poke(&self, addr: u64, bytes: &[u8]) {
        self.write(addr, bytes).expect("an address inside memory");
    }
}

/// A device as a driver reaches it: registers and memory.
pub trait Bus: Memory {
    /// Reads a register.
    fn read(&mut self, offset: usize) -> u32;

    /// Writes a register.
    fn write(&mut self, offset: usize, value: u32);
}

/// A device and its host in this process.
pub struct Local<'a, H> {
    /// The device.
    pub dev: &'a mut Device,
    /// Its host.
    pub host: &'a mut H,
}

impl<H: Host> Memory for Local<'_, H> {
    fn peek(&self, addr: u64, bytes: &mut [u8]) {
        self.host.peek(addr, bytes);
    }

    fn poke(&self, addr: u64, bytes: &[u8]) {
        self.host.poke(addr, bytes);
    }
}

impl<H: Host> Bus for Local<'_, H> {
    fn read(&mut self, offset: usize) -> u32 {
        self.dev.mmio_read(offset)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.dev.mmio_write(self.host, offset, value);
    }
}

/// Shape of a buffer ring, in powers of two.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Entries.
    pub log2_entries: u32,
    /// Bytes of a buffer.
    pub log2_size: u32,
    /// Bytes of a cell.
    pub log2_cell: u32,
    /// Buffers posted at the start.
    pub posted: usize,
}

/// A buffer ring.
#[derive(Clone, Copy, Debug)]
pub struct BufRing {
    /// Bus address.
    pub base: u64,
    /// Shape.
    pub shape: Shape,
}

/// Where the rings of a queue pair are.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Number of the queue pair.
    pub number: usize,
    /// Bus address of the completion ring.
    pub cq: u64,
    /// Its entries, as a power of two.
    pub log2_cq: u32,
    /// Value of CQ_WINDOW.
    pub window: u32,
    /// Bus address of the transmit ring.
    pub tx: u64,
    /// Its entries, as a power of two.
    pub log2_tx: u32,
    /// Bus address of the transmit write-back.
    pub tx_wb: u64,
    /// Buffer rings by kind.
    pub bufs: [BufRing; BufKind::COUNT],
}

/// A queue pair.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Where its rings are.
    pub layout: Layout,
    /// Next completion.
    pub cq_cons: Index,
    /// Index behind the last transmit descriptor.
    pub tx_tail: Index,
    buf_tails: [Index; BufKind::COUNT],
}

impl Queue {
    /// A queue pair that is off.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            cq_cons: Index::ZERO,
            tx_tail: Index::ZERO,
            buf_tails: [Index::ZERO; BufKind::COUNT],
        }
    }

    /// Offset of a register of the queue.
    #[must_use]
    pub fn register(&self, reg: usize) -> usize {
        QUEUE_BASE + self.layout.number * QUEUE_STRIDE + reg
    }

    /// Writes a register of the queue.
    pub fn write(&self, bus: &mut impl Bus, reg: usize, value: u32) {
        bus.write(self.register(reg), value);
    }

    fn write_address(&self, bus: &mut impl Bus, lo: usize, addr: u64) {
        self.write(bus, lo, addr as u32);
        self.write(bus, lo + 4, (addr >> 32) as u32);
    }

    /// Value of Q_STATUS.
    pub fn status(&self, bus: &mut impl Bus) -> QueueStatus {
        QueueStatus(bus.read(self.register(Q_STATUS)))
    }

    /// Sets the rings up and switches the queue on.
    ///
    /// # Panics
    ///
    /// The device refuses.
    pub fn start(&mut self, bus: &mut impl Bus, ctrl: QueueCtrl) {
        self.forget();
        let layout = self.layout;
        // A ring that was in use holds completions whose generation would look right.
        for entry in 0..1 << layout.log2_cq {
            bus.poke(
                layout.cq + entry * COMPLETION_SIZE as u64,
                &[0; COMPLETION_SIZE],
            );
        }
        self.write_address(bus, CQ_LO, layout.cq);
        self.write(bus, CQ_SIZE, layout.log2_cq);
        self.write(bus, CQ_WINDOW, layout.window);
        if ctrl.tx() != 0 {
            self.write_address(bus, TX_LO, layout.tx);
            self.write(bus, TX_SIZE, layout.log2_tx);
            self.write_address(bus, TX_WB_LO, layout.tx_wb);
            bus.poke(layout.tx_wb, &[0; 4]);
        }
        for kind in BufKind::ALL {
            let ring = layout.bufs[kind as usize];
            let block = kind as usize * BUF_STRIDE;
            self.write_address(bus, BUF_LO + block, ring.base);
            let cfg = BufCfg(0)
                .with_log2_entries(ring.shape.log2_entries)
                .with_log2_size(ring.shape.log2_size)
                .with_log2_cell(ring.shape.log2_cell);
            self.write(bus, BUF_CFG + block, cfg.0);
        }
        self.write(bus, Q_CTRL, ctrl.0);
        let status = self.status(bus);
        assert_eq!(
            (status.rx(), status.tx(), status.error()),
            (ctrl.rx(), ctrl.tx(), 0)
        );
    }

    /// The queue was switched off: all indices are zero again.
    pub fn forget(&mut self) {
        *self = Self::new(self.layout);
    }

    /// Slot of the next buffer that is posted.
    #[must_use]
    pub fn buf_slot(&self, kind: BufKind) -> usize {
        let log2 = self.layout.bufs[kind as usize].shape.log2_entries;
        self.buf_tails[kind as usize].slot(log2)
    }

    /// Writes a buffer descriptor, without the doorbell.
    pub fn put_buffer(&mut self, memory: &impl Memory, kind: BufKind, id: u16, addr: u64) {
        self.put_sized_buffer(memory, kind, B1(0).with_id(id.into()), addr);
    }

    /// As [`Queue::put_buffer`], with what its descriptor says of it.
    pub fn put_sized_buffer(&mut self, memory: &impl Memory, kind: BufKind, b1: B1, addr: u64) {
        let slot = self.buf_slot(kind);
        let at = self.layout.bufs[kind as usize].base + (slot * BUF_DESC_SIZE) as u64;
        memory.poke_words(at, &[addr, b1.0]);
        let tail = &mut self.buf_tails[kind as usize];
        *tail = tail.add(1);
    }

    /// Rings the doorbell of a buffer ring.
    pub fn kick_buffers(&self, bus: &mut impl Bus, kind: BufKind) {
        let tail = self.buf_tails[kind as usize].raw();
        self.write(bus, BUF_TAIL + kind as usize * BUF_STRIDE, tail);
    }

    /// The completion at an index, new or not.
    #[must_use]
    pub fn completion_at(&self, memory: &impl Memory, index: Index) -> Completion {
        let slot = index.slot(self.layout.log2_cq);
        let mut bytes = [0; COMPLETION_SIZE];
        memory.peek(self.layout.cq + (slot * COMPLETION_SIZE) as u64, &mut bytes);
        let mut words = [0; COMPLETION_WORDS];
        for (word, b) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        }
        Completion::from_words(words)
    }

    /// Takes the next completion if it is there.
    pub fn next_completion(&mut self, memory: &impl Memory) -> Option<Completion> {
        let done = self.completion_at(memory, self.cq_cons);
        if (done.c0.generation() == 1) != self.cq_cons.generation(self.layout.log2_cq) {
            return None;
        }
        self.cq_cons = self.cq_cons.add(1);
        Some(done)
    }

    /// Rings the doorbell: frees the completions that were taken; `arm` asks for an interrupt.
    pub fn doorbell(&self, bus: &mut impl Bus, arm: bool) {
        let db = QueueDoorbell(0)
            .with_cq_cons(self.cq_cons.raw())
            .with_tx_seen(self.tx_head(bus).raw())
            .with_arm(arm.into());
        self.write(bus, Q_DB, db.0);
    }

    /// The transmit index that the device wrote back.
    #[must_use]
    pub fn tx_head(&self, memory: &impl Memory) -> Index {
        let mut bytes = [0; 4];
        memory.peek(self.layout.tx_wb, &mut bytes);
        Index::from_raw(u32::from_le_bytes(bytes))
    }

    /// Writes a transmit descriptor, without the doorbell.
    pub fn put_tx(&mut self, memory: &impl Memory, words: [u64; TX_DESC_SIZE / 8]) {
        let slot = self.tx_tail.slot(self.layout.log2_tx);
        memory.poke_words(self.layout.tx + (slot * TX_DESC_SIZE) as u64, &words);
        self.tx_tail = self.tx_tail.add(1);
    }

    /// Rings the transmit doorbell.
    pub fn kick_tx(&self, bus: &mut impl Bus) {
        self.write(bus, TX_TAIL, self.tx_tail.raw());
    }
}
