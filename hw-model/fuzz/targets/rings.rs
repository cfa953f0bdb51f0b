// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A device whose rings are set up as a driver does it, on a host whose memory is the fuzzer's:
//! descriptors, commands and whatever they lead to. Doorbells, frames and time come in between.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_device::{Config, Device};
use reflow_fuzz::common::frames::{Tcp, DEV_MAC};
use reflow_fuzz::input::Input;
use reflow_fuzz::load_program;
use reflow_fuzz::packets::Packets;
use reflow_fuzz::stream::{StreamHost, CMD_RING, RINGS, TX_RING};
use reflow_hwdef::regs::*;

const QUEUES: usize = 2;
/// Entries of each ring, as a power of two.
const LOG2: u32 = 4;
/// Faults of the device.
const FAULTS: [&str; 4] = [
    "buffers=0.3,lengths=0.3,flow-other=0.3,duplicate=0.3,lost=0.3,buffer-twice=0.5,append-other=1",
    "dma-partial=0.3,stats=0.3,stats-stopped=0.2,stats-frozen=0.1,ms=1,dma-dead=0.1,ms=1",
    "cmd-silent=0.3,ms=1,cq-stuck=0.2,ms=1,not-ready=0.3,ms=1,tx-stuck=0.3,ms=1,tx-beyond=0.3",
    "removed=0.05,ms=1,link-flap=0.1,ms=1,irq-lost=0.3,irq-storm=0.1,ms=1,random=0.3",
];

fuzz_target!(|data: &[u8]| {
    let input = Input::new(data);
    let host = StreamHost {
        input: &input,
        templates: templates(),
        faulty: input.one_in(4),
        vectors: QUEUES as u16 + 1,
    };
    let mut driver = Driver::new(&input, host);
    while !input.is_empty() {
        driver.step(&input);
        reflow_fuzz::check(&driver.dev);
    }
    reflow_fuzz::pump(&mut driver.dev, &mut driver.host, driver.now);
});

fn templates() -> Vec<Vec<u8>> {
    let udp = reflow_fuzz::common::frames::udp;
    vec![
        Tcp::data(1, 5, 4000).build(),
        Tcp::data(2, 5, 3000).v6().build(),
        udp(1, false, &[3; 2000]),
        udp(2, true, &[4; 1000]),
    ]
}

struct Driver<'a> {
    dev: Device,
    host: StreamHost<'a>,
    packets: Packets,
    tails: [[u32; 6]; QUEUES],
    cmd_tail: u32,
    now: u64,
}

impl<'a> Driver<'a> {
    fn new(input: &Input<'_>, host: StreamHost<'a>) -> Self {
        let dev = Device::new(Config {
            mac: DEV_MAC,
            queues: QUEUES,
            flows: 8,
            pm_bytes: 1 << 16,
            seed: 1,
        });
        let mut driver = Self {
            dev,
            host,
            packets: Packets::default(),
            tails: [[0; 6]; QUEUES],
            cmd_tail: 0,
            now: 1,
        };
        driver.dev.set_link(true);
        if input.one_in(3) {
            // Then its completions are wrong, but its own state must not be.
            let spec = input.pick(&FAULTS);
            let spec = spec.parse().expect("a spec");
            driver.dev.set_chaos(&spec);
        }
        driver.write(FLOW_CFG, u32::from(input.u8()) & 0x3f);
        driver.write(RSS_CTRL, u32::MAX);
        driver.write(RSS_TABLE, 1);
        driver.write(MAX_FRAME, 9014);
        driver.write(STATS_LO, RINGS as u32);
        driver.write(STATS_CTRL, 1);
        driver.write(EVENT_VECTOR, QUEUES as u32);
        driver.write(CMD_LO, CMD_RING as u32);
        driver.write(CMD_SIZE, LOG2);
        for queue in 0..QUEUES {
            driver.start(queue);
        }
        driver.write(CTRL, Ctrl(0).with_rx(1).with_tx(1).0);
        load_program(&mut driver.dev, &mut driver.host, input.below(5));
        driver
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.dev.mmio_write(&mut self.host, offset, value);
    }

    fn write_queue(&mut self, queue: usize, offset: usize, value: u32) {
        self.write(QUEUE_BASE + queue * QUEUE_STRIDE + offset, value);
    }

    /// Switches a queue off and on.
    fn start(&mut self, queue: usize) {
        self.tails[queue] = [0; 6];
        let tx = TX_RING as u32 + queue as u32 * 0x1_0000;
        for (offset, value) in [
            (Q_CTRL, 0),
            (CQ_LO, RINGS as u32),
            (CQ_SIZE, LOG2 + 2),
            (TX_LO, tx),
            (TX_SIZE, LOG2),
            (TX_WB_LO, RINGS as u32),
            (Q_VECTOR, queue as u32),
        ] {
            self.write_queue(queue, offset, value);
        }
        let shape = BufCfg(0)
            .with_log2_entries(LOG2)
            .with_log2_size(11)
            .with_log2_cell(8);
        for kind in BufKind::ALL {
            let block = kind as usize * BUF_STRIDE;
            self.write_queue(queue, BUF_LO + block, RINGS as u32);
            self.write_queue(queue, BUF_CFG + block, shape.0);
        }
        self.write_queue(queue, Q_CTRL, QueueCtrl(0).with_rx(1).with_tx(1).0);
    }

    fn step(&mut self, input: &Input<'_>) {
        let queue = input.below(QUEUES);
        match input.below(16) {
            0..=4 => {
                let frame = self.packets.frame(input);
                self.dev.rx_frame(self.now, &frame);
            }
            5..=7 => self.pump(input),
            8 | 9 => {
                let kind = input.below(BufKind::COUNT);
                let tail = self.tail(queue, kind, input);
                self.write_queue(queue, BUF_TAIL + kind * BUF_STRIDE, tail);
            }
            10 | 11 => {
                let tail = self.tail(queue, 4, input);
                self.write_queue(queue, TX_TAIL, tail);
            }
            12 => {
                let seen = self.tail(queue, 5, input);
                let db = QueueDoorbell(0).with_cq_cons(seen).with_arm(1);
                self.write_queue(queue, Q_DB, db.0);
            }
            13 => {
                self.cmd_tail = (self.cmd_tail + input.below(8) as u32) & 0x7fff;
                self.write(CMD_TAIL, self.cmd_tail);
            }
            14 => self.write(FLOW_CFG, u32::from(input.u8()) & 0x3f),
            _ if input.one_in(3) => self.start(queue),
            _ => self.write(EVENT_ARM, 7),
        }
    }

    /// The next value of a doorbell: a little more, or anything.
    fn tail(&mut self, queue: usize, which: usize, input: &Input<'_>) -> u32 {
        let tail = &mut self.tails[queue][which];
        let step = if input.one_in(16) {
            input.u16().into()
        } else {
            input.below(8) as u32
        };
        *tail = (*tail + step) & 0x7fff;
        *tail
    }

    fn pump(&mut self, input: &Input<'_>) {
        self.now += u64::from(input.u8()) << (input.u8() % 24);
        reflow_fuzz::pump(&mut self.dev, &mut self.host, self.now);
    }
}
