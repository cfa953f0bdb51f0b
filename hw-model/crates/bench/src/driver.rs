// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A minimal driver: it reads completions and posts the buffers that they release.

use reflow_device::Device;
use reflow_hwdef::desc::{CompletionKind, BUF_DESC_SIZE, COMPLETION_SIZE};
use reflow_hwdef::regs::{BufKind, QueueCtrl};
use reflow_testkit::host::FakeHost;
use reflow_testkit::queue::{BufRing, Layout, Local, Queue, Shape};

const LOG2_CQ: u32 = 10;
/// Entries of each buffer ring, size of a buffer and of a cell, as powers of two, in the order of
/// their kinds. Each of a thousand flows keeps a re-assembly buffer.
const SHAPES: [(u32, u32, u32); BufKind::COUNT] = [(8, 12, 8), (11, 12, 0), (8, 11, 0), (8, 12, 8)];

/// The driver of queue 0.
#[derive(Debug)]
pub struct Driver {
    queue: Queue,
    /// Bus address of the buffers of each kind.
    buffers: [u64; BufKind::COUNT],
}

impl Driver {
    /// Sets the queue up and posts all buffers.
    ///
    /// # Panics
    ///
    /// The memory is too small for it.
    pub fn new(dev: &mut Device, host: &mut FakeHost) -> Self {
        let shapes = SHAPES.map(|(log2_entries, log2_size, log2_cell)| Shape {
            log2_entries,
            log2_size,
            log2_cell,
            posted: 1 << log2_entries,
        });
        let queue = Queue::new(Layout {
            number: 0,
            cq: host.alloc(COMPLETION_SIZE << LOG2_CQ),
            log2_cq: LOG2_CQ,
            window: 0,
            tx: 0,
            log2_tx: 0,
            tx_wb: host.alloc(4),
            bufs: shapes.map(|shape| BufRing {
                base: host.alloc(BUF_DESC_SIZE << shape.log2_entries),
                shape,
            }),
        });
        let buffers = shapes.map(|shape| host.alloc(shape.posted << shape.log2_size));
        let mut driver = Self { queue, buffers };
        let on = QueueCtrl(0).with_rx(1);
        driver.queue.start(&mut Local { dev, host }, on);
        for (kind, shape) in BufKind::ALL.into_iter().zip(shapes) {
            for id in 0..shape.posted {
                driver.post(host, kind, id as u64);
            }
        }
        driver.ring_doorbells(dev, host);
        driver
    }

    fn post(&mut self, host: &FakeHost, kind: BufKind, id: u64) {
        let log2_size = self.queue.layout.bufs[kind as usize].shape.log2_size;
        let addr = self.buffers[kind as usize] + (id << log2_size);
        self.queue.put_buffer(host, kind, id as u16, addr);
    }

    fn ring_doorbells(&mut self, dev: &mut Device, host: &mut FakeHost) {
        let mut bus = Local { dev, host };
        for kind in BufKind::ALL {
            self.queue.kick_buffers(&mut bus, kind);
        }
        self.queue.doorbell(&mut bus, false);
    }

    /// Gives back all that new completions release.
    pub fn poll(&mut self, dev: &mut Device, host: &mut FakeHost) {
        while let Some(done) = self.queue.next_completion(host) {
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
                    self.post(host, kind, id);
                }
            }
        }
        self.ring_doorbells(dev, host);
    }
}
