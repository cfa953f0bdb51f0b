// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device: its units, and its state after a reset.
//!
//! Only this file and its folder know the whole device: [`receive`] takes a frame in, [`pump`] moves
//! what waits, [`mmio`] and [`commands`] are the driver's ways to configure it, [`observe`] is for
//! those who look at it from outside, [`hostile`] adds faults.

pub(crate) mod commands;
mod hostile;
mod mmio;
pub(crate) mod observe;
mod pump;
pub(crate) mod receive;
mod selftest;

use crate::arrive::mac::Mac;
use crate::arrive::parser::Program;
use crate::arrive::red::Red;
use crate::arrive::spread::Spread;
use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::flow::database::FlowDb;
use crate::flow::manager::Limits;
use crate::flow::tcb::TcbTable;
use crate::pm::PacketMemory;
use crate::queue::QueuePair;
use crate::regs::RegisterFile;
use crate::stats::{Block, Counters};
use crate::transfer::reasm::Reassembler;
use crate::transfer::Scratch;
use commands::CommandRing;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::{self, Caps, Event, Features, FlowCfg, ParserStatus, Status};

/// Most entries of the flow database: its register counts in powers of two with four bits.
const MAX_FLOWS: usize = 1 << 15;

/// How a device is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Permanent station address.
    pub mac: [u8; 6],
    /// Queue pairs: 1 to [`regs::MAX_QUEUES`].
    pub queues: usize,
    /// Entries of the flow database: a power of two up to 2^15.
    pub flows: usize,
    /// Size of the packet memory in bytes.
    pub pm_bytes: usize,
    /// Seed of all random choices.
    pub seed: u64,
}

/// The device.
///
/// See the crate's documentation for its units. Claims: 1, 31, 47, 48, 58.
#[derive(Debug)]
pub struct Device {
    pub(crate) config: Config,
    pub(crate) now: u64,
    pub(crate) clock: Clock,
    pub(crate) link: bool,
    pub(crate) event: Event,
    pub(crate) event_arm: Event,
    pub(crate) file: RegisterFile,
    pub(crate) parser_status: ParserStatus,
    pub(crate) program: Program,
    pub(crate) mac: Mac,
    pub(crate) spread: Spread,
    pub(crate) fdb: FlowDb,
    pub(crate) tcbs: TcbTable,
    pub(crate) commands: CommandRing,
    pub(crate) pm: PacketMemory,
    pub(crate) red: Red,
    pub(crate) reasm: Reassembler,
    pub(crate) queues: Vec<QueuePair>,
    pub(crate) counters: Counters,
    pub(crate) block: Block,
    /// Times that it was reset.
    pub(crate) resets: u64,
    /// Since the last reset something was switched off and did not stop.
    pub(crate) defies: bool,
    /// Faults, in hostile mode.
    pub(crate) chaos: Option<Chaos>,
    pub(crate) scratch: Scratch,
    pub(crate) frame: Vec<u8>,
}

impl Device {
    /// A device in its reset state. Sizes are limited to the range of the registers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let config = Config {
            queues: config.queues.clamp(1, regs::MAX_QUEUES),
            flows: (config.flows.clamp(1, MAX_FLOWS) + 1).next_power_of_two() >> 1,
            pm_bytes: config.pm_bytes.min(u32::MAX as usize),
            ..config
        };
        let mut device = Self {
            now: 0,
            clock: Clock::default(),
            link: false,
            event: Event(0),
            event_arm: Event(0),
            file: RegisterFile::new(config.queues),
            parser_status: ParserStatus(0),
            program: Program::empty(),
            mac: Mac::new(config.mac),
            spread: Spread::new(),
            fdb: FlowDb::new(config.flows),
            tcbs: TcbTable::new(config.flows),
            commands: CommandRing::default(),
            pm: PacketMemory::new(config.pm_bytes, config.queues, config.flows),
            red: Red::new(config.seed),
            reasm: Reassembler::new(config.flows),
            queues: (0..config.queues).map(|_| QueuePair::default()).collect(),
            counters: Counters::new(config.queues),
            block: Block::default(),
            resets: 0,
            defies: false,
            chaos: None,
            scratch: Scratch::default(),
            frame: Vec::new(),
            config,
        };
        device.load_reset_values();
        device
    }

    /// Resets all state but the link and the clock.
    pub fn reset(&mut self) {
        let (now, link) = (self.now, self.link);
        let (clock, resets) = (self.clock.clone(), self.resets + 1);
        let (exits, chaos) = (self.empty_for_reset(), self.chaos.take());
        *self = Self::new(self.config.clone());
        self.resets = resets;
        self.now = now;
        self.clock = clock;
        self.link = link;
        self.pm.exits = exits;
        self.chaos = chaos;
    }

    /// Sets the reset values that depend on the configuration.
    fn load_reset_values(&mut self) {
        let config = &self.config;
        let caps = Caps(0)
            .with_queues(config.queues as u32)
            .with_vectors(config.queues as u32 + 1)
            .with_log2_flows(config.flows.trailing_zeros());
        let features = Features(0)
            .with_rx_csum(1)
            .with_tx_csum(1)
            .with_rss(1)
            .with_reassembly(1)
            .with_batching(1)
            .with_vlan_strip(1)
            .with_vlan_insert(1)
            .with_tso(1)
            .with_uso(1)
            .with_red(1)
            .with_session(1)
            .with_tcb(1)
            .with_cmd(1)
            .with_timestamp(1)
            .with_gather(1)
            .with_clock(1);
        let m = config.mac;
        let lo = u32::from_le_bytes([m[0], m[1], m[2], m[3]]);
        let hi = u32::from_le_bytes([m[4], m[5], 0, 0]);
        for (offset, value) in [
            (regs::CAPS, caps.0),
            (regs::FEATURES, features.0),
            (regs::PERM_MAC_LO, lo),
            (regs::PERM_MAC_HI, hi),
            (regs::MAC_LO, lo),
            (regs::MAC_HI, hi),
            (regs::FLOW_SIZE, config.flows as u32),
            (regs::PM_SIZE, config.pm_bytes as u32),
        ] {
            self.file.set(offset, value);
        }
        for (i, bytes) in self.spread.secret.chunks_exact(4).enumerate() {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            self.file.set(regs::RSS_KEY + i * 4, word);
        }
        if let Some(rom) = PROGRAMS.first() {
            for (i, &word) in rom.words.iter().enumerate() {
                self.file.set(regs::PARSER_RAM + i * 4, word);
            }
            self.commit_program(rom.words);
        }
    }

    /// Replaces the parser program if the verifier accepts the new one. Claims: 3, 34.
    pub(crate) fn commit_program(&mut self, words: &[u32]) {
        let outcome = match Program::load(words) {
            Ok(program) => {
                self.program = program;
                ParserStatus(0)
            }
            Err(refusal) => ParserStatus(0)
                .with_error(refusal.reason as u32)
                .with_at(refusal.at.into()),
        };
        self.parser_status = outcome.with_len(self.program.len() as u32);
    }

    /// MSI-X vectors: one for each queue pair and one for events.
    #[must_use]
    pub fn vectors(&self) -> usize {
        self.config.queues + 1
    }

    /// How the device was built.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes in the packet memory.
    #[must_use]
    pub fn pm_level(&self) -> usize {
        self.pm.level()
    }

    /// Size of the packet memory in bytes.
    #[must_use]
    pub fn pm_size(&self) -> usize {
        self.pm.size()
    }

    /// Entries of the flow database in use.
    #[must_use]
    pub fn flows_in_use(&self) -> usize {
        self.fdb.len()
    }

    /// The link came up or went down.
    pub fn set_link(&mut self, up: bool) {
        if self.link != up {
            self.link = up;
            self.event = self.event.with_link(1);
        }
    }

    /// Value of STATUS.
    pub(crate) fn status(&self) -> Status {
        let link = self.link && !self.chaos.as_ref().is_some_and(Chaos::hides_link);
        let ready = !self.chaos.as_ref().is_some_and(Chaos::hides_ready);
        Status(0).with_link(link.into()).with_ready(ready.into())
    }

    /// The registers that configure merging.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            cfg: FlowCfg(self.file.get(regs::FLOW_CFG)),
            agg_max: self.file.get(regs::AGG_MAX).min(0xffff) as usize,
            data_thresh: self.file.get(regs::DATA_THRESH) as usize,
            split_thresh: self.file.get(regs::SPLIT_THRESH) as usize,
        }
    }
}
