// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command ring: executes commands of the driver in order and writes a status for every
//! command. [`reflow_hwdef::cmd`] describes them.

use crate::arrive::key::FlowKey;
use crate::chaos::Chaos;
use crate::device::Device;
use crate::flow::tcb::{Joint, Setting};
use crate::host::{Host, MemError};
use crate::rings::check_ring;
use reflow_hwdef::cmd::{
    Cmd0, Cmd7, CmdStatus, Command, CMD_SIZE, CMD_WORDS, FLOW_WORDS, RSS_WORDS, RULE_WORDS, T0,
    TCB_WORDS,
};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs;
use reflow_hwdef::stats::Global;

/// Commands that one pump executes.
const TURN: usize = 16;

/// A ring that runs.
#[derive(Clone, Copy, Debug)]
struct Ring {
    base: u64,
    log2: u32,
    head: Index,
    tail: Index,
}

/// The command ring.
#[derive(Default, Debug)]
pub(crate) struct CommandRing {
    ring: Option<Ring>,
}

impl CommandRing {
    /// Bus address of the next command.
    fn next(&self) -> Option<u64> {
        let ring = self.ring.filter(|ring| ring.head != ring.tail)?;
        Some(ring.base + (ring.head.slot(ring.log2) * CMD_SIZE) as u64)
    }

    /// Whether a command waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.next().is_some()
    }

    /// The next command is done.
    fn advance(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.head = ring.head.add(1);
        }
    }
}

/// The arguments of a command.
#[derive(Clone, Copy)]
struct Args {
    index: usize,
    addr: u64,
    bytes: u64,
}

impl Args {
    /// The index as a flow number.
    fn flow(self) -> Result<u16, CmdStatus> {
        u16::try_from(self.index).map_err(|_| CmdStatus::NotFound)
    }

    /// Checks the place of a block that has `words` words or more.
    fn check(self, words: usize) -> Result<(), CmdStatus> {
        if self.addr % 8 != 0 || self.bytes < words as u64 * 8 {
            return Err(CmdStatus::BadArgument);
        }
        Ok(())
    }

    /// Reads the block.
    fn read<const N: usize>(self, host: &impl Host) -> Result<[u64; N], CmdStatus> {
        self.check(N)?;
        let mut words = [0; N];
        read_words(host, self.addr, &mut words).map_err(|_| CmdStatus::BadAddress)?;
        Ok(words)
    }

    /// Writes the block.
    fn write(self, host: &impl Host, words: &[u64]) -> Result<(), CmdStatus> {
        self.check(words.len())?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        host.write(self.addr, &bytes)
            .map_err(|_| CmdStatus::BadAddress)
    }
}

/// Reads little-endian words.
fn read_words(host: &impl Host, addr: u64, words: &mut [u64]) -> Result<(), MemError> {
    let mut bytes = vec![0; words.len() * 8];
    host.read(addr, &mut bytes)?;
    for (word, b) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    }
    Ok(())
}

impl Device {
    /// A write to CMD_SIZE.
    pub(crate) fn start_commands(&mut self, log2: u32) {
        let base = self.file.pair(regs::CMD_LO, regs::CMD_HI);
        self.commands.ring = None;
        if log2 == 0 {
            return;
        }
        if check_ring(base, log2, 64, CMD_SIZE).is_err() {
            self.stop_commands();
            return;
        }
        self.commands.ring = Some(Ring {
            base,
            log2,
            head: Index::ZERO,
            tail: Index::ZERO,
        });
    }

    /// A write to CMD_TAIL.
    pub(crate) fn ring_commands(&mut self, raw: u32) {
        let tail = Index::from_raw(raw);
        let Some(ring) = &mut self.commands.ring else {
            return;
        };
        let ready = tail.since(ring.head);
        if u32::from(ready) > 1 << ring.log2 || ready < ring.tail.since(ring.head) {
            self.stop_commands();
            return;
        }
        ring.tail = tail;
    }

    /// The ring stops on an error; the driver sees that CMD_SIZE reads 0.
    fn stop_commands(&mut self) {
        self.commands.ring = None;
        self.file.set(regs::CMD_SIZE, 0);
        self.event = self.event.with_command(1);
    }

    /// Executes commands that wait; true if more of them are left.
    pub(crate) fn pump_commands(&mut self, host: &impl Host) -> bool {
        for _ in 0..TURN {
            let Some(addr) = self.commands.next() else {
                return false;
            };
            let Ok(answered) = self.command(addr, host) else {
                self.stop_commands();
                return false;
            };
            self.commands.advance();
            if answered {
                self.event = self.event.with_command(1);
            }
        }
        self.commands.next().is_some()
    }

    /// Executes one command and writes its status; false if chaos withholds the answer.
    fn command(&mut self, addr: u64, host: &impl Host) -> Result<bool, MemError> {
        let mut words = [0; CMD_WORDS];
        read_words(host, addr, &mut words)?;
        if self.chaos.as_ref().is_some_and(Chaos::is_silent) {
            return Ok(false);
        }
        let head = Cmd0(words[0]);
        let args = Args {
            index: head.index() as usize,
            addr: words[1],
            bytes: words[2],
        };
        let (status, value) = match self.carry_out(head.command() as u8, args, host) {
            Ok(value) => (CmdStatus::Ok, value),
            Err(status) => (status, 0),
        };
        self.counters.inc(match status {
            CmdStatus::Ok => Global::Commands,
            _ => Global::CommandErrors,
        });
        let done = Cmd7(0)
            .with_status(status as u64)
            .with_tag(head.tag())
            .with_value(value.into())
            .with_done(1);
        host.store_release_u64(addr + (CMD_SIZE - 8) as u64, done.0)?;
        Ok(true)
    }

    /// The value that a command returns, or why it is refused.
    fn carry_out(&mut self, raw: u8, args: Args, host: &impl Host) -> Result<u32, CmdStatus> {
        let queues = self.queues.len();
        match Command::from_raw(raw).ok_or(CmdStatus::Unknown)? {
            Command::Nop => {}
            Command::TcbSet => return self.set_tcb(args, host),
            Command::TcbGet => {
                let block = self.tcbs.read_back(args.flow()?);
                args.write(host, &block.ok_or(CmdStatus::NotFound)?)?;
            }
            Command::TcbDel => {
                let flow = args.flow()?;
                if !self.tcbs.remove(flow) {
                    return Err(CmdStatus::NotFound);
                }
                self.fdb.unpin(flow, self.now);
            }
            Command::RuleSet => {
                let block = args.read::<RULE_WORDS>(host)?;
                self.spread.set_rule(args.index, &block, queues)?;
            }
            Command::RuleDel => self.spread.remove_rule(args.index)?,
            Command::RssSet => {
                let block = args.read::<RSS_WORDS>(host)?;
                self.spread.set_context(args.index, &block, queues)?;
            }
            Command::RssDel => self.spread.remove_context(args.index)?,
            Command::FlowDump => return self.dump_flows(args, host),
            Command::SelfTest => return Ok(self.self_test().0),
            Command::ClockGet => args.write(host, &[self.clock.at(self.now)])?,
        }
        Ok(0)
    }

    /// Sets a control block, and makes an entry for its flow if there is none. Claims: 24, 25.
    fn set_tcb(&mut self, args: Args, host: &impl Host) -> Result<u32, CmdStatus> {
        let block = args.read::<TCB_WORDS>(host)?;
        let read_list = |addr, count| {
            if addr % 8 != 0 {
                return Err(CmdStatus::BadArgument);
            }
            let mut pages = vec![0; count];
            read_words(host, addr, &mut pages).map_err(|_| CmdStatus::BadAddress)?;
            Ok(pages)
        };
        let framed = T0(block[0]).pdu() != 0;
        let queues = self.queues.len();
        let setting = Setting::new(block, queues, |key| self.joint(key, framed), read_list)?;
        let known = self.fdb.lookup(&setting.key);
        if !known.is_some_and(|flow| self.tcbs.has(flow)) && !self.tcbs.has_room() {
            return Err(CmdStatus::NoSpace);
        }
        let flow = match known {
            Some(flow) => flow,
            None => self.make_entry(&setting)?,
        };
        self.fdb.pin(flow);
        self.tcbs.set(flow, setting);
        Ok(flow.into())
    }

    /// The expected sequence number of a flow and its place in a PDU, if the flow is known.
    fn joint(&self, key: &FlowKey, framed: bool) -> Result<Option<Joint>, CmdStatus> {
        let Some((flow, expected, busy)) = self.fdb.position(key) else {
            return Ok(None);
        };
        let inside = if framed {
            // Messages are followed only up to the last packet that was transferred.
            if busy {
                return Err(CmdStatus::Busy);
            }
            let framing = self.reasm.framing(flow);
            framing.inside(expected).map_err(|_| CmdStatus::Busy)?
        } else {
            None
        };
        Ok(Some(Joint { expected, inside }))
    }

    /// Makes the entry of a flow that no packet has made yet.
    fn make_entry(&mut self, setting: &Setting) -> Result<u16, CmdStatus> {
        let queue = setting.queue.unwrap_or(0);
        let made = self.fdb.insert(setting.key, queue, self.now);
        let made = made.ok_or(CmdStatus::NoSpace)?;
        self.counters.inc(Global::FdbInsert);
        if let Some(old_queue) = made.evicted_from {
            self.counters.inc(Global::FdbEvict);
            self.succeed(made.flow, old_queue);
        }
        if let Some(entry) = self.fdb.entry(made.flow) {
            entry.expected = setting.expected;
        }
        Ok(made.flow)
    }

    /// Writes entries of the flow database, as many as fit.
    fn dump_flows(&self, args: Args, host: &impl Host) -> Result<u32, CmdStatus> {
        args.check(FLOW_WORDS)?;
        let room = usize::try_from(args.bytes).unwrap_or(usize::MAX) / (FLOW_WORDS * 8);
        let entries = (args.index..self.fdb.size())
            .filter_map(|flow| self.fdb.describe(flow as u16, self.now))
            .take(room);
        let words: Vec<u64> = entries.flatten().collect();
        args.write(host, &words)?;
        Ok((words.len() / FLOW_WORDS) as u32)
    }
}
