// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Doubles for tests of the device: a host, a driver, frames, and a network stack that merges and
//! cuts.
//!
//! [`queue::Queue`] is the one driver of a queue pair. Tests of the library use it through
//! [`driver::QueueDriver`], which checks all that the device promises, most of them as part of a
//! [`Rig`]. The benchmark and the tests of the server use it directly.

#![forbid(unsafe_code)]
#![allow(missing_docs)]

pub mod control;
pub mod driver;
pub mod frames;
pub mod host;
#[cfg(feature = "programs")]
pub mod programs;
pub mod queue;
pub mod stack;

pub use driver::{Delivery, QueueDriver, QueueSetup};
pub use frames::Tcp;
pub use host::FakeHost;
use reflow_device::{Config, Device, RxOutcome};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;

/// Addresses are hashed of all packets, of TCP and UDP ports as well if so wished.
pub fn hashing(ports: bool) -> RssCtrl {
    let l4 = if ports { HASH_PORTS } else { HASH_ADDRS };
    RssCtrl(0)
        .with_tcp4(l4)
        .with_udp4(l4)
        .with_ip4(HASH_ADDRS)
        .with_tcp6(l4)
        .with_udp6(l4)
        .with_ip6(HASH_ADDRS)
}

/// How a rig is built.
#[derive(Clone, Debug)]
pub struct Setup {
    pub queues: usize,
    pub flows: usize,
    pub pm_bytes: usize,
    pub queue: QueueSetup,
    pub flow_cfg: FlowCfg,
    pub rx_mode: RxMode,
    pub max_frame: u32,
    pub ram: usize,
    /// Which of the shipped parser programs is at work.
    pub program: &'static str,
    pub seed: u64,
    /// Faults of the device.
    pub chaos: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            queues: 1,
            flows: 64,
            pm_bytes: 1 << 20,
            queue: QueueSetup::default(),
            flow_cfg: FlowCfg(0)
                .with_reassembly(1)
                .with_batching(1)
                .with_suppress(1),
            rx_mode: RxMode(0).with_broadcast(1).with_vlan_strip(1),
            max_frame: 9014,
            ram: 8 << 20,
            program: "default",
            seed: 1,
            chaos: "",
        }
    }
}

/// A device, its host, and a driver for each queue.
pub struct Rig {
    pub dev: Device,
    pub host: FakeHost,
    pub queues: Vec<QueueDriver>,
    pub now: u64,
}

impl Rig {
    pub fn new(setup: Setup) -> Self {
        let config = Config {
            mac: frames::DEV_MAC,
            queues: setup.queues,
            flows: setup.flows,
            pm_bytes: setup.pm_bytes,
            seed: setup.seed,
        };
        let mut dev = match setup.chaos {
            "" => Device::new(config),
            spec => Device::hostile(config, &spec.parse().unwrap()),
        };
        dev.set_link(true);
        let mut host = FakeHost::new(setup.ram);
        for (offset, value) in [
            (FLOW_CFG, setup.flow_cfg.0),
            (RX_MODE, setup.rx_mode.0),
            (MAX_FRAME, setup.max_frame),
            (EVENT, u32::MAX),
            (EVENT_VECTOR, setup.queues as u32),
            (RSS_CTRL, hashing(true).with_enable(1).0),
        ] {
            dev.mmio_write(&mut host, offset, value);
        }
        for i in 0..RSS_ENTRIES {
            let queue = (i % setup.queues) as u32;
            dev.mmio_write(&mut host, RSS_TABLE + i * 4, queue);
        }
        load_program(&mut dev, &mut host, setup.program);
        let queues = (0..setup.queues)
            .map(|n| QueueDriver::new(&mut dev, &mut host, n, setup.queue))
            .collect();
        let on = Ctrl(0).with_rx(1).with_tx(1);
        dev.mmio_write(&mut host, CTRL, on.0);
        Self {
            dev,
            host,
            queues,
            now: 1_000_000,
        }
    }

    /// The usual rig.
    pub fn usual() -> Self {
        Self::new(Setup::default())
    }

    pub fn write(&mut self, offset: usize, value: u32) {
        self.dev.mmio_write(&mut self.host, offset, value);
    }

    pub fn read(&mut self, offset: usize) -> u32 {
        self.dev.mmio_read(offset)
    }

    /// A frame comes and waits in the packet memory.
    pub fn arrive(&mut self, frame: &[u8]) -> RxOutcome {
        self.now += 1000;
        self.dev.rx_frame(self.now, frame)
    }

    /// A frame comes; the operation code it gets.
    pub fn opcode(&mut self, frame: &[u8]) -> Opcode {
        match self.arrive(frame) {
            RxOutcome::Queued { opcode, .. } => opcode,
            RxOutcome::Dropped(why) => panic!("dropped: {why:?}"),
        }
    }

    /// The device does all it can.
    pub fn pump(&mut self) {
        self.now += 1000;
        while self.dev.pump(&mut self.host, self.now) {}
    }

    /// Pumps the device once.
    pub fn pump_once(&mut self) {
        self.now += 1000;
        self.dev.pump(&mut self.host, self.now);
    }

    /// The device does all it can, the driver of queue 0 takes what there is.
    pub fn deliver(&mut self) -> Vec<Delivery> {
        self.pump();
        self.poll(0)
    }

    /// The driver of a queue takes what there is.
    pub fn poll(&mut self, queue: usize) -> Vec<Delivery> {
        self.queues[queue].poll(&mut self.dev, &mut self.host, false)
    }

    /// Turns of device and drivers until nothing comes any more.
    pub fn drain(&mut self) -> Vec<Delivery> {
        let mut out = Vec::new();
        loop {
            self.pump();
            let before = out.len();
            let releases: usize = self.queues.iter().map(|q| q.releases.len()).sum();
            for queue in 0..self.queues.len() {
                out.extend(self.poll(queue));
            }
            let now: usize = self.queues.iter().map(|q| q.releases.len()).sum();
            if out.len() == before && releases == now {
                return out;
            }
        }
    }

    pub fn count(&self, which: Global) -> u64 {
        self.dev.counters().global(which)
    }

    /// Every frame is accounted for: those that came are those that went or are counted as lost,
    /// and `waiting` of them.
    pub fn assert_accounted(&self, waiting: u64) {
        let gone: u64 = [
            Global::RxRunts,
            Global::RxGiants,
            Global::RxFiltered,
            Global::RxDisabled,
            Global::RxPmOverflow,
            Global::RxRed,
            Global::RxRuleDrop,
            Global::RxDmaErrors,
            Global::RxTransferred,
        ]
        .iter()
        .map(|&which| self.count(which))
        .sum();
        assert_eq!(self.count(Global::RxFrames), gone + waiting);
    }
}

/// Puts one of the shipped parser programs to work.
pub fn load_program(dev: &mut Device, host: &mut FakeHost, name: &str) {
    let program = reflow_hwdef::programs::PROGRAMS
        .iter()
        .find(|program| program.name == name)
        .expect("a shipped program");
    for (i, &word) in program.words.iter().enumerate() {
        dev.mmio_write(host, PARSER_RAM + i * 4, word);
    }
    let instrs = program.words.len() / reflow_hwdef::isa::INSTR_WORDS;
    dev.mmio_write(host, PARSER_COMMIT, instrs as u32);
    assert_eq!(ParserStatus(dev.mmio_read(PARSER_STATUS)).error(), 0);
}
