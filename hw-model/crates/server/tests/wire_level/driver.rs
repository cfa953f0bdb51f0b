// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A driver in a "guest" that is one memory file.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use reflow_hwdef::desc::{Completion, T1};
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::{self, BufKind};
use reflow_testkit::queue::{BufRing, Bus, Layout, Memory, Queue, Shape};
use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{memfd_create, MemfdFlags};
use vfio_user::Client;

use crate::peer::Peer;
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

/// The guest: the device as it sees it, and its memory.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) ram: File,
}

impl Memory for Guest {
    fn peek(&self, addr: u64, bytes: &mut [u8]) {
        self.ram.read_exact_at(bytes, addr - BASE).unwrap();
    }

    fn poke(&self, addr: u64, bytes: &[u8]) {
        self.ram.write_all_at(bytes, addr - BASE).unwrap();
    }
}

impl Bus for Guest {
    fn read(&mut self, offset: usize) -> u32 {
        let mut word = [0; 4];
        self.client
            .region_read(BAR0, offset as u64, &mut word)
            .unwrap();
        u32::from_le_bytes(word)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.client
            .region_write(BAR0, offset as u64, &value.to_le_bytes())
            .unwrap();
    }
}

/// The guest, its interrupts, and its queues.
pub(crate) struct Driver {
    guest: Guest,
    irqs: Vec<File>,
    queues: Vec<Queue>,
}

impl Deref for Driver {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl DerefMut for Driver {
    fn deref_mut(&mut self) -> &mut Guest {
        &mut self.guest
    }
}

/// The rings of a queue in its part of memory.
fn layout(number: usize) -> Layout {
    let base = BASE + number as u64 * QUEUE_SPACE;
    let ring = |kind: BufKind| BufRing {
        base: base + BUF_RINGS + kind as u64 * BUF_RING_SPACE,
        shape: Shape {
            log2_entries: LOG2_BUFS,
            log2_size: LOG2_BUF_SIZE,
            log2_cell: LOG2_CELL,
            posted: 0,
        },
    };
    Layout {
        number,
        cq: base,
        log2_cq: LOG2_CQ,
        window: 0,
        tx: base + TX_RING,
        log2_tx: LOG2_TX,
        tx_wb: base + TX_HEAD,
        bufs: BufKind::ALL.map(ring),
    }
}

impl Driver {
    /// A server with a partner on its wire, and a driver; the link is up.
    pub(crate) fn connected(options: &[&str]) -> (Nic, Peer, Self) {
        let nic = Nic::start("listen:unix:@/wire", options);
        let peer = Peer::connect(&nic.path("wire"));
        let mut driver = Self::attach(&nic);
        driver.until_link(true);
        (nic, peer, driver)
    }

    /// The same with the driver started.
    pub(crate) fn running(options: &[&str]) -> (Nic, Peer, Self) {
        let (nic, peer, mut driver) = Self::connected(options);
        driver.start();
        (nic, peer, driver)
    }

    /// Waits until the link is up or down.
    pub(crate) fn until_link(&mut self, up: bool) {
        until("the link changes", || {
            (regs::Status(self.read(regs::STATUS)).link() == u32::from(up)).then_some(())
        });
    }

    /// Attaches, shares memory, enables the function and connects all vectors.
    pub(crate) fn attach(nic: &Nic) -> Self {
        let ram = File::from(memfd_create("ram", MemfdFlags::CLOEXEC).unwrap());
        ram.set_len(RAM).unwrap();
        let mut client = nic.client();
        client.dma_map(0, BASE, RAM, ram.as_raw_fd()).unwrap();
        let count = client.get_irq_info(MSIX).unwrap().count as usize;
        let mut driver = Self {
            guest: Guest { client, ram },
            irqs: Vec::new(),
            queues: (0..count - 1).map(layout).map(Queue::new).collect(),
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
        self.guest.read(offset)
    }

    pub(crate) fn write(&mut self, offset: usize, value: u32) {
        self.guest.write(offset, value);
    }

    pub(crate) fn write_queue(&mut self, queue: usize, reg: usize, value: u32) {
        self.queues[queue].write(&mut self.guest, reg, value);
    }

    pub(crate) fn queue_status(&mut self, queue: usize) -> regs::QueueStatus {
        self.queues[queue].status(&mut self.guest)
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
        for queue in 0..self.queues.len() {
            self.write_queue(queue, regs::Q_CTRL, 0);
        }
        self.write(regs::CMD_SIZE, 0);
        self.write(regs::STATS_CTRL, 0);
        self.read(regs::STATUS);
    }

    /// Starts a queue without any buffers.
    pub(crate) fn start_queue(&mut self, queue: usize) {
        let rings = &mut self.queues[queue];
        rings.write(&mut self.guest, regs::Q_VECTOR, queue as u32);
        let on = regs::QueueCtrl(0).with_rx(1).with_tx(1);
        rings.start(&mut self.guest, on);
    }

    /// Gives `count` buffers of a kind, ids in turn.
    pub(crate) fn post(&mut self, queue: usize, kind: BufKind, count: u16) {
        for _ in 0..count {
            let id = self.queues[queue].buf_slot(kind);
            let addr = self.buffer(queue, kind, id as u64);
            self.queues[queue].put_buffer(&self.guest, kind, id as u16, addr);
        }
        self.queues[queue].kick_buffers(&mut self.guest, kind);
    }

    /// Bus address of a buffer.
    pub(crate) fn buffer(&self, queue: usize, kind: BufKind, id: u64) -> u64 {
        let space = BUFFERS + kind as u64 * BUFFERS_SPACE;
        BASE + queue as u64 * QUEUE_SPACE + space + (id << LOG2_BUF_SIZE)
    }

    /// Asks for one interrupt, and frees the completions that were taken.
    pub(crate) fn arm(&mut self, queue: usize) {
        self.queues[queue].doorbell(&mut self.guest, true);
    }

    /// The transmit write-back word.
    pub(crate) fn tx_head(&self, queue: usize) -> u32 {
        self.queues[queue].tx_head(&self.guest).raw()
    }

    /// Takes the next completion if it is there.
    pub(crate) fn poll(&mut self, queue: usize) -> Option<Completion> {
        self.queues[queue].next_completion(&self.guest)
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
        let rings = &mut self.queues[queue];
        let slot = rings.tx_tail.slot(LOG2_TX) as u64;
        let data = BASE + queue as u64 * QUEUE_SPACE + TX_DATA + slot * TX_SLOT;
        self.guest.poke(data, frame);
        let t1 = T1(0).with_len(frame.len() as u64).with_sop(1).with_eop(1);
        rings.put_tx(&self.guest, [data, t1.0, 0, 0]);
        rings.kick_tx(&mut self.guest);
    }

    /// Bytes of guest memory.
    pub(crate) fn peek(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.guest.peek(addr, &mut bytes);
        bytes
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
