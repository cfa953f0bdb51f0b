// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device: its units put together, and what it does with time.

use crate::chaos::Chaos;
use crate::cmd::CommandRing;
use crate::fdb::FlowDb;
use crate::fm::FlowMemory;
use crate::host::Host;
use crate::mac::Mac;
use crate::manager::Limits;
use crate::parser::Program;
use crate::pm::{Item, PacketMemory};
use crate::queue::{Queue, RxSide};
use crate::reasm::Reassembler;
use crate::red::Red;
use crate::regs::RegisterFile;
use crate::spread::Spread;
use crate::stats::{Block, Counters};
use crate::tcb::TcbTable;
use crate::transfer::{Scratch, Step, Transfer};
use crate::tx::Transmit;
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::{
    self, Caps, Ctrl, Event, Features, FlowCfg, ParserStatus, QueueError, Status,
};
use reflow_hwdef::stats::Global;

/// Frames that a queue may send before the next queue's turn.
const TX_TURN: usize = 16;
/// Packets that a queue may transfer before the next queue's turn.
const RX_TURN: usize = 16;
/// Turns of all queues in one pump.
const ROUNDS: usize = 4;
/// Flows that one pump ends by age.
const AGE_TURN: usize = 256;
/// Most entries of the flow database: its register counts in powers of two with four bits.
const MAX_FLOWS: usize = 1 << 15;

/// How a device is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Station address from the factory.
    pub mac: [u8; 6],
    /// Queue pairs: 1 to [`regs::MAX_QUEUES`].
    pub queues: usize,
    /// Entries of the flow database: a power of two up to 2^15.
    pub flows: usize,
    /// Size of the packet memory in bytes.
    pub pm_bytes: usize,
    /// Seed of whatever the device does at random.
    pub seed: u64,
}

/// The device.
///
/// See the crate's documentation for its units. Claims: 1, 31, 47, 48, 58.
#[derive(Debug)]
pub struct Device {
    pub(crate) config: Config,
    pub(crate) now: u64,
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
    pub(crate) fm: FlowMemory,
    pub(crate) pm: PacketMemory,
    pub(crate) red: Red,
    pub(crate) reasm: Reassembler,
    pub(crate) queues: Vec<Queue>,
    pub(crate) counters: Counters,
    pub(crate) block: Block,
    /// Something that was switched off since the last reset goes on.
    pub(crate) defies: bool,
    /// Faults, in hostile mode.
    pub(crate) chaos: Option<Chaos>,
    scratch: Scratch,
    frame: Vec<u8>,
}

impl Device {
    /// A device in its reset state. Sizes out of range are cut to what the registers can say.
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
            fm: FlowMemory::new(config.queues, config.flows),
            pm: PacketMemory::new(config.pm_bytes, config.queues),
            red: Red::new(config.seed),
            reasm: Reassembler::new(config.flows),
            queues: (0..config.queues).map(|_| Queue::default()).collect(),
            counters: Counters::new(config.queues),
            block: Block::default(),
            defies: false,
            chaos: None,
            scratch: Scratch::default(),
            frame: Vec::new(),
            config,
        };
        device.load_reset_values();
        device
    }

    /// Back to the reset state; the link stays as it is.
    pub fn reset(&mut self) {
        let (now, link) = (self.now, self.link);
        let (exits, chaos) = (self.empty_for_reset(), self.chaos.take());
        *self = Self::new(self.config.clone());
        self.now = now;
        self.link = link;
        self.pm.exits = exits;
        self.chaos = chaos;
    }

    /// Values after a reset that depend on how the device was built.
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
            .with_gather(1);
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

    /// Puts a program to work if the verifier accepts it. Claims: 3, 34.
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

    /// What the registers say about merging.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            cfg: FlowCfg(self.file.get(regs::FLOW_CFG)),
            agg_max: self.file.get(regs::AGG_MAX).min(0xffff) as usize,
            data_thresh: self.file.get(regs::DATA_THRESH) as usize,
            split_thresh: self.file.get(regs::SPLIT_THRESH) as usize,
        }
    }

    /// Does what can be done now; true if more could be done at once.
    ///
    /// To be called after a register was written, a frame came, the wire has room again, and at
    /// [`Device::next_deadline`].
    pub fn pump(&mut self, host: &mut impl Host, now_ns: u64) -> bool {
        self.now = self.now.max(now_ns);
        match self.chaos.clone() {
            None => self.work(host),
            Some(chaos) => self.pump_hostile(chaos, host),
        }
    }

    /// Does what can be done now; true if more could be done at once.
    pub(crate) fn work(&mut self, host: &mut impl Host) -> bool {
        let old = self.age();
        let commands = self.pump_commands(host);
        for queue in 0..self.queues.len() {
            self.note_news(queue);
        }
        let mut more = false;
        for _ in 0..ROUNDS {
            more = false;
            for queue in 0..self.queues.len() {
                more |= self.pump_tx(queue, host);
                more |= self.pump_rx(queue, host);
            }
            if !more {
                break;
            }
        }
        for queue in 0..self.queues.len() {
            self.pump_irq(queue, host);
        }
        self.pump_event(host);
        self.block.update(&mut self.counters, host, self.now);
        more || old || commands
    }

    /// When the device wants to be pumped again although nothing happens, in the time of `now_ns`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let age = self
            .fdb
            .oldest_idle()
            .zip(self.age_ns())
            .map(|((_, since), age)| since.saturating_add(age));
        // A queue whose window is full waits for the driver alone.
        let reclaim = |queue: &Queue| {
            let rx = queue.rx.as_ref().filter(|rx| !rx.is_window_full());
            rx.and_then(|rx| rx.reclaim_at)
        };
        self.queues
            .iter()
            .flat_map(|queue| [queue.irq.deadline(self.now), reclaim(queue)])
            .flatten()
            .chain(age)
            .chain(self.block.deadline(&self.counters))
            .chain(self.chaos.as_ref().and_then(Chaos::deadline))
            .min()
    }

    /// Age at which an idle flow ends, `None` for never.
    fn age_ns(&self) -> Option<u64> {
        if self.limits().cfg.reassembly() == 0 {
            return Some(0);
        }
        let us = self.file.get(regs::FLOW_AGE_US);
        (us != 0).then(|| u64::from(us) * 1000)
    }

    /// Ends flows that were idle too long; true if there are more of them.
    fn age(&mut self) -> bool {
        let Some(age) = self.age_ns() else {
            return false;
        };
        for _ in 0..AGE_TURN {
            match self.fdb.oldest_idle() {
                Some((flow, since)) if self.now >= since.saturating_add(age) => {
                    self.end_idle_flow(flow);
                    self.counters.inc(Global::FdbAged);
                }
                _ => return false,
            }
        }
        true
    }

    /// Ends a flow of which no packet waits; its page goes back.
    fn end_idle_flow(&mut self, flow: u16) {
        self.give_page_back(flow, true);
        self.fdb.remove(flow);
    }

    /// Gives the page of a flow of which no packet waits back to its queue.
    pub(crate) fn give_page_back(&mut self, flow: u16, ends_flow: bool) {
        let queue = self.fdb.entry(flow).map(|entry| entry.queue);
        let place = match ends_flow {
            true => self.reasm.forget(flow),
            false => self.reasm.take_place(flow),
        };
        if let (Some(place), Some(queue)) = (place, queue) {
            self.pm
                .push_release(queue, flow, place.buffer.id, ends_flow);
        }
    }

    /// One queue's turn to receive; true if it could go on.
    fn pump_rx(&mut self, queue: usize, host: &impl Host) -> bool {
        let limits = self.limits();
        let small_max = self.file.get(regs::SMALL_MAX) as usize;
        // What waits in vain makes room when the memory fills.
        let room = self.pm.level() <= self.pm.size() / 4;
        if room && self.queues[queue].irq.holds(self.now) {
            return false;
        }
        let Some(rx) = self.queues[queue].rx.as_mut() else {
            return false;
        };
        let stuck = |chaos: &Chaos| self.pm.waiting(queue) > 0 && chaos.holds(queue);
        if self.chaos.as_ref().is_some_and(stuck) {
            return false;
        }
        let full = self.pm.level() > self.pm.size() / 8 * 7;
        if !full && rx.is_window_full() {
            return false;
        }
        let mut transfer = Transfer {
            pm: &mut self.pm,
            fm: &mut self.fm,
            fdb: &mut self.fdb,
            tcbs: &mut self.tcbs,
            reasm: &mut self.reasm,
            counters: &mut self.counters,
            scratch: &mut self.scratch,
            chaos: self.chaos.as_ref(),
            cfg: limits.cfg,
            split_thresh: limits.split_thresh,
            small_max,
            queue,
            now: self.now,
        };
        for _ in 0..RX_TURN {
            match transfer.step(rx, host) {
                Step::Done if !full && rx.is_window_full() => return false,
                Step::Done => {}
                Step::Idle => return false,
                Step::Fault(error) => {
                    self.fail_rx(queue, error);
                    return false;
                }
            }
        }
        true
    }

    /// One queue's turn to transmit; true if it could go on.
    fn pump_tx(&mut self, queue: usize, host: &mut impl Host) -> bool {
        if Ctrl(self.file.get(regs::CTRL)).tx() == 0 {
            return false;
        }
        let Some(tx) = self.queues[queue].tx.as_mut() else {
            return false;
        };
        let outcome = Transmit {
            counters: &mut self.counters,
            mac: &self.mac,
            link: self.link,
            frame: &mut self.frame,
        }
        .run(tx, host, TX_TURN);
        match outcome {
            Ok(done) => done == TX_TURN,
            Err(error) => {
                self.queues[queue].fail_tx(error);
                self.event = self.event.with_queue_fault(1);
                false
            }
        }
    }

    /// Raises a queue's interrupt if it is due.
    pub(crate) fn pump_irq(&mut self, queue: usize, host: &mut impl Host) {
        self.note_news(queue);
        let irq = &mut self.queues[queue].irq;
        if irq.fire(self.now) {
            let vector = irq.vector;
            self.raise(vector, host);
        }
    }

    /// Tells a queue's alert how much there is that the host has not seen.
    fn note_news(&mut self, queue: usize) {
        let stuck = self.chaos.as_ref().is_some_and(|c| c.is_stuck(queue));
        let waiting = if stuck { 0 } else { self.fm.waiting(queue) };
        let q = &mut self.queues[queue];
        let unseen = q.unseen();
        q.irq
            .set_full(q.rx.as_ref().is_some_and(RxSide::waits_for_driver));
        q.irq.news(unseen, waiting, self.now);
    }

    /// Raises the event vector if an event is asked for.
    pub(crate) fn pump_event(&mut self, host: &mut impl Host) {
        if self.event.0 & self.event_arm.0 != 0 {
            self.event_arm = Event(0);
            self.raise(self.file.get(regs::EVENT_VECTOR), host);
        }
    }

    fn raise(&mut self, vector: u32, host: &mut impl Host) {
        if (vector as usize) < self.vectors() {
            self.counters.inc(Global::Interrupts);
            host.interrupt(vector as u16);
        }
    }

    /// A queue's receive half stops on an error; what waits for it is lost.
    pub(crate) fn fail_rx(&mut self, queue: usize, error: QueueError) {
        self.queues[queue].fail_rx(error);
        self.event = self.event.with_queue_fault(1);
        self.drop_waiting(queue, Global::RxDmaErrors);
    }

    /// Loses what waits for a queue, and forgets the flows whose pages it had.
    pub(crate) fn drop_waiting(&mut self, queue: usize, why: Global) {
        while let Some(item) = self.pm.pop(queue) {
            if let Item::Packet(packet) = item {
                self.fm.pop(queue);
                self.pm.recycle(packet);
                self.counters.inc(why);
            }
        }
        let (reasm, tcbs) = (&mut self.reasm, &mut self.tcbs);
        self.fdb.remove_queue(queue, self.now, |flow| {
            debug_assert_ne!(flow, FLOW_NONE);
            reasm.forget(flow);
            tcbs.interrupt(flow);
        });
    }
}
