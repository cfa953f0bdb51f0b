// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A driver of a few lines, in a "guest" that is one memory file.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use reflow_hwdef::desc::{
    Completion,
    B1,
    BUF_DESC_SIZE,
    COMPLETION_SIZE,
    COMPLETION_WORDS,
    T1,
    TX_DESC_SIZE, //
};
use reflow_hwdef::index::Index;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::{self, BufKind};
use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{memfd_create, MemfdFlags};
use vfio_user::Client;

use crate::rig::{until, Nic, PATIENCE};

/// Region index of the registers.
pub(crate) const BAR0: u32 = 0;
/// Region index of the MSI-X table.
pub(crate) const BAR2: u32 = 2;
/// Region index of configuration space.
pub(crate) const CONFIG: u32 = 7;
/// Index of MSI-X among the kinds of interrupts.
pub(crate) const MSIX: u32 = 2;
/// "Signal this eventfd", as VFIO has it.
pub(crate) const SET_EVENTFD: u32 = (1 << 2) | SET_NONE;
/// Nothing but "these vectors".
pub(crate) const SET_NONE: u32 = 1 << 5;

/// Bus address of the guest's memory.
pub(crate) const BASE: u64 = 0x1_4000_0000;
/// Bytes of it.
pub(crate) const RAM: u64 = 4 << 20;

const LOG2_CQ: u32 = 6;
const LOG2_TX: u32 = 4;
/// Entries of each buffer ring, as a power of two.
const LOG2_BUFS: u32 = 4;
const BUFS: u64 = 1 << LOG2_BUFS;
const LOG2_BUF_SIZE: u32 = 12;
const LOG2_CELL: u32 = 8;

/// Where things are in a queue's part of memory.
const QUEUE_SPACE: u64 = 1 << 19;
const TX_RING: u64 = 0x1000;
const TX_HEAD: u64 = 0x1800;
const BUF_RINGS: u64 = 0x2000;
const BUF_RING_SPACE: u64 = 0x400;
const TX_DATA: u64 = 0x4000;
const TX_SLOT: u64 = 0x800;
const BUFFERS: u64 = 0x1_0000;
const BUFFERS_SPACE: u64 = BUFS << LOG2_BUF_SIZE;

/// The guest: memory, interrupts, and one place in each ring.
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) ram: File,
    irqs: Vec<File>,
    consumed: Vec<Index>,
    posted: Vec<[Index; BufKind::COUNT]>,
    tx_tail: Vec<Index>,
}

impl Driver {
    /// Attaches, shares memory, enables the function and connects all vectors.
    pub(crate) fn attach(nic: &Nic) -> Self {
        let ram = File::from(memfd_create("ram", MemfdFlags::CLOEXEC).unwrap());
        ram.set_len(RAM).unwrap();
        let mut client = nic.client();
        client.dma_map(0, BASE, RAM, ram.as_raw_fd()).unwrap();
        let count = client.get_irq_info(MSIX).unwrap().count as usize;
        let mut driver = Self {
            client,
            ram,
            irqs: Vec::new(),
            consumed: vec![Index::ZERO; count - 1],
            posted: vec![[Index::ZERO; BufKind::COUNT]; count - 1],
            tx_tail: vec![Index::ZERO; count - 1],
        };
        driver.enable_function();
        driver.connect_vectors(count);
        driver
    }

    /// Memory space and bus mastering on.
    pub(crate) fn enable_function(&mut self) {
        self.client.region_write(CONFIG, 4, &[0x06, 0x00]).unwrap();
    }

    fn connect_vectors(&mut self, count: usize) {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        for vector in 0..count {
            let fd = File::from(eventfd(0, flags).unwrap());
            let fds = [fd.as_raw_fd()];
            self.client
                .set_irqs(MSIX, SET_EVENTFD, vector as u32, 1, &fds)
                .unwrap();
            self.irqs.push(fd);
        }
    }

    /// An eventfd of a vector, to give it back after it was taken away.
    pub(crate) fn eventfd(&self, vector: usize) -> &File {
        &self.irqs[vector]
    }

    pub(crate) fn read(&mut self, offset: usize) -> u32 {
        let mut word = [0; 4];
        self.client
            .region_read(BAR0, offset as u64, &mut word)
            .unwrap();
        u32::from_le_bytes(word)
    }

    pub(crate) fn write(&mut self, offset: usize, value: u32) {
        self.client
            .region_write(BAR0, offset as u64, &value.to_le_bytes())
            .unwrap();
    }

    fn write_queue(&mut self, queue: usize, offset: usize, value: u32) {
        self.write(
            regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + offset,
            value,
        );
    }

    fn write_address(&mut self, queue: usize, offset: usize, addr: u64) {
        self.write_queue(queue, offset, addr as u32);
        self.write_queue(queue, offset + 4, (addr >> 32) as u32);
    }

    pub(crate) fn queue_status(&mut self, queue: usize) -> regs::QueueStatus {
        let at = regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + regs::Q_STATUS;
        regs::QueueStatus(self.read(at))
    }

    /// Loads the default parser program and switches merging on.
    pub(crate) fn merge(&mut self) {
        let words = PROGRAMS[0].words;
        for (i, &word) in words.iter().enumerate() {
            self.write(regs::PARSER_RAM + 4 * i, word);
        }
        self.write(regs::PARSER_COMMIT, words.len() as u32 / 4);
        assert_eq!(
            regs::ParserStatus(self.read(regs::PARSER_STATUS)).error(),
            0
        );
        let flows = regs::FlowCfg(0)
            .with_reassembly(1)
            .with_batching(1)
            .with_suppress(1);
        self.write(regs::FLOW_CFG, flows.0);
    }

    /// Starts queue 0 with buffers, reception and transmission.
    pub(crate) fn start(&mut self) {
        self.start_queue(0);
        for kind in BufKind::ALL {
            self.post(0, kind, BUFS as u16);
        }
        self.start_device();
    }

    /// Opens the MAC filter, switches the device on and asks for an interrupt.
    pub(crate) fn start_device(&mut self) {
        self.write(regs::RX_MODE, regs::RxMode(0).with_promisc(1).0);
        self.write(regs::CTRL, regs::Ctrl(0).with_rx(1).with_tx(1).0);
        self.arm(0);
    }

    /// Switches everything off; when this returns the device does nothing more.
    pub(crate) fn quiesce(&mut self) {
        self.write(regs::CTRL, 0);
        for queue in 0..self.consumed.len() {
            self.write_queue(queue, regs::Q_CTRL, 0);
        }
        self.write(regs::CMD_SIZE, 0);
        self.write(regs::STATS_CTRL, 0);
        self.read(regs::STATUS);
    }

    /// Starts a queue without any buffers.
    pub(crate) fn start_queue(&mut self, queue: usize) {
        let base = BASE + queue as u64 * QUEUE_SPACE;
        // A ring that was in use holds completions whose generation would look right.
        let clean = vec![0; COMPLETION_SIZE << LOG2_CQ];
        self.poke(base, &clean);
        self.poke(base + TX_HEAD, &[0; 4]);
        self.write_address(queue, regs::CQ_LO, base);
        self.write_queue(queue, regs::CQ_SIZE, LOG2_CQ);
        self.write_queue(queue, regs::Q_VECTOR, queue as u32);
        self.write_address(queue, regs::TX_LO, base + TX_RING);
        self.write_queue(queue, regs::TX_SIZE, LOG2_TX);
        self.write_address(queue, regs::TX_WB_LO, base + TX_HEAD);
        for kind in BufKind::ALL {
            let block = kind as usize * regs::BUF_STRIDE;
            let ring = base + BUF_RINGS + kind as u64 * BUF_RING_SPACE;
            self.write_address(queue, regs::BUF_LO + block, ring);
            let shape = regs::BufCfg(0)
                .with_log2_entries(LOG2_BUFS)
                .with_log2_size(LOG2_BUF_SIZE)
                .with_log2_cell(LOG2_CELL);
            self.write_queue(queue, regs::BUF_CFG + block, shape.0);
        }
        self.write_queue(
            queue,
            regs::Q_CTRL,
            regs::QueueCtrl(0).with_rx(1).with_tx(1).0,
        );
        self.consumed[queue] = Index::ZERO;
        self.posted[queue] = [Index::ZERO; BufKind::COUNT];
        self.tx_tail[queue] = Index::ZERO;
        let status = self.queue_status(queue);
        assert_eq!((status.rx(), status.tx(), status.error()), (1, 1, 0));
    }

    /// Gives `count` buffers of a kind, ids in turn.
    pub(crate) fn post(&mut self, queue: usize, kind: BufKind, count: u16) {
        let base = BASE + queue as u64 * QUEUE_SPACE;
        let ring = base + BUF_RINGS + kind as u64 * BUF_RING_SPACE;
        for _ in 0..count {
            let tail = self.posted[queue][kind as usize];
            let slot = tail.slot(LOG2_BUFS) as u64;
            let words = [self.buffer(queue, kind, slot), B1(0).with_id(slot).0];
            self.poke_words(ring + slot * BUF_DESC_SIZE as u64, &words);
            self.posted[queue][kind as usize] = tail.add(1);
        }
        let tail = self.posted[queue][kind as usize].raw();
        self.write_queue(
            queue,
            regs::BUF_TAIL + kind as usize * regs::BUF_STRIDE,
            tail,
        );
    }

    /// Bus address of a buffer.
    pub(crate) fn buffer(&self, queue: usize, kind: BufKind, id: u64) -> u64 {
        let space = BUFFERS + kind as u64 * BUFFERS_SPACE;
        BASE + queue as u64 * QUEUE_SPACE + space + (id << LOG2_BUF_SIZE)
    }

    /// Asks for one interrupt, and frees the completions that were taken.
    pub(crate) fn arm(&mut self, queue: usize) {
        let doorbell = regs::QueueDoorbell(0)
            .with_cq_cons(self.consumed[queue].raw())
            .with_tx_seen(self.tx_head(queue))
            .with_arm(1);
        self.write_queue(queue, regs::Q_DB, doorbell.0);
    }

    /// The transmit write-back word.
    pub(crate) fn tx_head(&self, queue: usize) -> u32 {
        let at = BASE + queue as u64 * QUEUE_SPACE + TX_HEAD;
        u32::from_le_bytes(self.peek(at, 4).try_into().unwrap())
    }

    /// Takes the next completion if it is there.
    pub(crate) fn poll(&mut self, queue: usize) -> Option<Completion> {
        let index = self.consumed[queue];
        let slot = index.slot(LOG2_CQ) * COMPLETION_SIZE;
        let bytes = self.peek(
            BASE + queue as u64 * QUEUE_SPACE + slot as u64,
            COMPLETION_SIZE,
        );
        let mut words = [0; COMPLETION_WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap());
        }
        let completion = Completion::from_words(words);
        if (completion.c0.generation() == 1) != index.generation(LOG2_CQ) {
            return None;
        }
        self.consumed[queue] = index.add(1);
        Some(completion)
    }

    /// Waits for the next completion without an interrupt.
    pub(crate) fn next(&mut self, queue: usize) -> Completion {
        until("a completion comes", || self.poll(queue))
    }

    /// Waits for an interrupt; how often the vector was raised since last asked.
    pub(crate) fn interrupt(&self, vector: usize) -> Option<u64> {
        let fd = &self.irqs[vector];
        let timeout = Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)).unwrap();
        self.interrupts_now(vector)
    }

    /// How often a vector was raised since last asked, without waiting.
    pub(crate) fn interrupts_now(&self, vector: usize) -> Option<u64> {
        let mut count = [0; 8];
        rustix::io::read(&self.irqs[vector], &mut count).ok()?;
        Some(u64::from_ne_bytes(count))
    }

    /// Sends a frame.
    pub(crate) fn transmit(&mut self, queue: usize, frame: &[u8]) {
        let base = BASE + queue as u64 * QUEUE_SPACE;
        let tail = self.tx_tail[queue];
        let slot = tail.slot(LOG2_TX) as u64;
        let data = base + TX_DATA + slot * TX_SLOT;
        self.poke(data, frame);
        let t1 = T1(0).with_len(frame.len() as u64).with_sop(1).with_eop(1);
        self.poke_words(
            base + TX_RING + slot * TX_DESC_SIZE as u64,
            &[data, t1.0, 0, 0],
        );
        self.tx_tail[queue] = tail.add(1);
        self.write_queue(queue, regs::TX_TAIL, tail.add(1).raw());
    }

    /// Bytes of guest memory.
    pub(crate) fn peek(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read_exact_at(&mut bytes, addr - BASE).unwrap();
        bytes
    }

    fn poke(&self, addr: u64, bytes: &[u8]) {
        self.ram.write_all_at(bytes, addr - BASE).unwrap();
    }

    fn poke_words(&self, addr: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.poke(addr, &bytes);
    }

    /// The bytes of a packet that is whole in packet buffers; takes its further completions.
    pub(crate) fn whole_packet(&mut self, queue: usize, first: Completion) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut part = first;
        loop {
            let kind = if part.c0.sb() == 1 {
                BufKind::Small
            } else {
                BufKind::Packet
            };
            let at = self.buffer(queue, kind, part.c2.nb_id()) + part.c4.nb_off();
            bytes.extend(self.peek(at, part.c4.nb_len() as usize));
            if part.c0.cont() == 0 {
                return bytes;
            }
            part = self.next(queue);
        }
    }
}
