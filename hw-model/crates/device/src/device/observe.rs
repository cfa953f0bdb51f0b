// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Views of the device for status and tests: none changes it, none is visible to
//! the driver.

use crate::arrive::parser::Program;
use crate::device::Device;
use crate::pm::exits::{Exit, ExitLog};
use crate::queue::QueuePair;
use crate::rings::buffers::BufferRing;
use reflow_hwdef::cmd::{FLOW_WORDS, RULE_MAX, TCB_WORDS};
use reflow_hwdef::layout::Access;
use reflow_hwdef::regs::{self, BufKind, Ctrl};

/// A ring that the driver fills.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingState {
    /// Its size.
    pub entries: usize,
    /// Buffers that the device may still take.
    pub available: usize,
}

/// The completion ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompletionState {
    /// Its size.
    pub entries: usize,
    /// Completions written and not consumed.
    pub unseen: usize,
}

/// The transmit ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxState {
    /// Its size.
    pub entries: usize,
    /// Descriptors that were given and not sent.
    pub available: usize,
    /// Index that was written back last.
    pub head: u32,
}

/// The rings of a queue pair; those of a half that is off are absent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct QueueState {
    /// Completions.
    pub completion: Option<CompletionState>,
    /// Buffers, by [`BufKind`]; absent for a kind that the driver does not use.
    pub buffers: [Option<RingState>; BufKind::COUNT],
    /// Transmission.
    pub tx: Option<TxState>,
    /// Packets that wait in the packet memory.
    pub waiting: usize,
}

impl Device {
    /// Highest level of the packet memory since it was cleared.
    #[must_use]
    pub fn pm_high(&self) -> usize {
        self.pm.high()
    }

    /// Entries of the flow database in all, as the driver sized it.
    #[must_use]
    pub fn flow_entries(&self) -> usize {
        self.fdb.size()
    }

    /// The entry of a flow number, as a dump has it; `None` if it is not in use.
    #[must_use]
    pub fn flow(&self, flow: u16) -> Option<[u64; FLOW_WORDS]> {
        self.fdb.describe(flow, self.now)
    }

    /// The host control block of a flow, as the host reads it back; `None` if it has none.
    #[must_use]
    pub fn control_block(&self, flow: u16) -> Option<[u64; TCB_WORDS]> {
        self.tcbs.read_back(flow)
    }

    /// Which steering rules are set.
    pub fn rules(&self) -> impl Iterator<Item = usize> + '_ {
        (0..RULE_MAX).filter(|&index| self.spread.has_rule(index))
    }

    /// The steering configuration as text, for comparison.
    #[must_use]
    pub fn steering(&self) -> String {
        format!("{:?}", self.spread)
    }

    /// The configuration, without the state of current traffic: names and values
    /// of the registers that it writes, but for doorbells, bus addresses and the program RAM.
    pub fn configuration(&self) -> impl Iterator<Item = (String, u32)> + '_ {
        const PASSING: [usize; 8] = [
            regs::RESET,
            regs::EVENT_ARM,
            regs::PM_HIGH,
            regs::STATS_LO,
            regs::CMD_LO,
            regs::CMD_HI,
            regs::CMD_SIZE,
            regs::PARSER_RAM,
        ];
        let global = regs::GLOBAL_REGS.iter();
        let global = global
            .filter(|reg| !PASSING.contains(&reg.offset) && reg.offset != regs::STATS_HI)
            .map(|reg| (String::new(), 0, reg));
        let queues = (0..self.queues.len()).flat_map(|queue| {
            let base = regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE;
            let named = regs::QUEUE_REGS.iter();
            named
                .filter(|reg| !reg.name.ends_with("_LO") && !reg.name.ends_with("_HI"))
                .map(move |reg| (format!("queue {queue} "), base, reg))
        });
        global
            .chain(queues)
            .filter(|(_, _, reg)| reg.access == Access::Rw)
            .flat_map(move |(prefix, base, reg)| {
                (0..reg.count).map(move |i| {
                    let value = self.read_register(base + reg.offset + i * reg.stride);
                    (format!("{prefix}{} {i}", reg.name), value)
                })
            })
    }

    /// The parser program in use.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The value of a register, even if the device is gone.
    #[must_use]
    pub fn register(&self, offset: usize) -> u32 {
        self.read_register(offset)
    }

    /// Whether the driver has switched off all that accesses its memory: CTRL, Q_CTRL of each
    /// queue, CMD_SIZE and STATS_CTRL are 0, as after a reset.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let queue = |queue| regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + regs::Q_CTRL;
        let queues = (0..self.queues.len()).map(queue);
        [regs::CTRL, regs::CMD_SIZE, regs::STATS_CTRL]
            .into_iter()
            .chain(queues)
            .all(|offset| self.read_register(offset) == 0)
    }

    /// How often it was reset, in whatever way.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Whether, since the last reset, it did not stop something that the driver switched off.
    #[must_use]
    pub fn defies(&self) -> bool {
        self.defies
    }

    /// Whether it would access memory if it were pumped.
    #[must_use]
    pub fn wants_memory(&self, now_ns: u64) -> bool {
        let sends = Ctrl(self.file.get(regs::CTRL)).tx() != 0;
        let wants = |(index, pair): (usize, &QueuePair)| {
            let receives = pair.rx.is_some() && !pair.irq.holds(now_ns);
            let sends = pair.tx.as_ref().filter(|_| sends);
            receives && self.pm.waiting(index) > 0
                || sends.is_some_and(|tx| tx.ring.available() > 0)
        };
        let block = self.block.deadline(&self.counters);
        self.commands.is_waiting()
            || block.is_some_and(|at| at <= now_ns)
            || self.queues.iter().enumerate().any(wants)
    }

    /// The rings of a queue pair.
    #[must_use]
    pub fn queue_state(&self, queue: usize) -> QueueState {
        let mut state = QueueState::default();
        let Some(pair) = self.queues.get(queue) else {
            return state;
        };
        state.waiting = self.pm.waiting(queue) as usize;
        if let Some(rx) = &pair.rx {
            state.completion = Some(CompletionState {
                entries: rx.cq.entries(),
                unseen: rx.cq.unseen().into(),
            });
            let whole = |ring: &BufferRing| RingState {
                entries: ring.entries(),
                available: ring.available(),
            };
            state.buffers[BufKind::Header as usize] = rx.header.as_ref().map(|c| whole(&c.ring));
            state.buffers[BufKind::Reasm as usize] = rx.reasm.as_ref().map(whole);
            state.buffers[BufKind::Packet as usize] = Some(whole(&rx.packet));
            state.buffers[BufKind::Small as usize] = rx.small.as_ref().map(|c| whole(&c.ring));
        }
        state.tx = pair.tx.as_ref().map(|tx| TxState {
            entries: tx.ring.entries(),
            available: tx.ring.available(),
            head: tx.written.raw(),
        });
        state
    }
}

impl Device {
    /// Starts the log of exits, which survives resets. [`Device::exits`] empties it.
    pub fn log_exits(&mut self) {
        self.pm.exits.start();
    }

    /// Empties the log.
    pub fn exits(&mut self) -> impl Iterator<Item = Exit> + '_ {
        self.pm.exits.drain()
    }

    /// Drops all packets, and takes the log for the device after its reset.
    pub(crate) fn empty_for_reset(&mut self) -> ExitLog {
        if self.pm.exits.is_wanted() {
            for queue in 0..self.queues.len() {
                while self.pm.pop(queue).is_some() {}
            }
        }
        std::mem::take(&mut self.pm.exits)
    }
}
