// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A log of how packets left the packet memory, for traces.
//!
//! Whether another packet of a flow waits is known only when a packet is transferred. Who wants to
//! record that keeps what arrived, queue by queue, and matches it with this log: each exit tells how
//! many packets of the queue that came before stay behind.

use reflow_hwdef::opcode::Opcode;

/// A packet left the packet memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The queue that it waited in.
    pub queue: u16,
    /// Packets of that queue that came before it and still wait.
    pub before: usize,
    /// How it was transferred, `None` if it was lost.
    pub transferred: Option<Transferred>,
}

/// How a packet was transferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transferred {
    /// Its operation code, which may have become another one since it arrived.
    pub opcode: Opcode,
    /// The batching hint: another packet of its flow waits.
    pub more: bool,
}

/// The log, if somebody wants it.
#[derive(Default, Debug)]
pub(crate) struct ExitLog(Option<Vec<Exit>>);

impl ExitLog {
    /// Whether somebody wants it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// A packet leaves a queue.
    pub(crate) fn left(&mut self, queue: usize, before: usize) {
        if let Some(log) = &mut self.0 {
            log.push(Exit {
                queue: queue as u16,
                before,
                transferred: None,
            });
        }
    }

    /// The packet that left last was transferred.
    pub(crate) fn transferred(&mut self, opcode: Opcode, more: bool) {
        if let Some(exit) = self.0.as_mut().and_then(|log| log.last_mut()) {
            exit.transferred = Some(Transferred { opcode, more });
        }
    }

    /// Keeps a log from now on.
    pub(crate) fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    /// Takes what was logged.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Exit> + '_ {
        self.0.iter_mut().flat_map(|log| log.drain(..))
    }
}
