// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Log of the packets that left the packet memory, for traces.
//!
//! The final operation code and the batching hint are known only when a packet is transferred. A
//! trace keeps a list of arrived frames for each queue and matches it with this log: each exit has
//! the number of older packets of the queue that stay behind.

use super::Control;
use crate::flow::opcode::Why;
use reflow_hwdef::opcode::Opcode;

/// A packet left the packet memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The queue that it waited in.
    pub queue: u16,
    /// Packets of that queue that came before it and still wait.
    pub before: usize,
    /// Its operation code on arrival.
    pub arrived: Opcode,
    /// Why it had that code.
    pub why: Why,
    /// How it was transferred, `None` if it was lost.
    pub transferred: Option<Transferred>,
}

/// How a packet was transferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transferred {
    /// Its operation code.
    pub opcode: Opcode,
    /// Why that is not the code on arrival, if so.
    pub revised: Option<Why>,
    /// The batching hint: another packet of its flow waits.
    pub more: bool,
}

/// The log, if it was started.
#[derive(Default, Debug)]
pub(crate) struct ExitLog(Option<Vec<Exit>>);

impl ExitLog {
    /// Whether it was started.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// A packet leaves a queue.
    pub(crate) fn left(&mut self, queue: usize, before: usize, control: &Control) {
        if let Some(log) = &mut self.0 {
            log.push(Exit {
                queue: queue as u16,
                before,
                arrived: control.opcode,
                why: control.why,
                transferred: None,
            });
        }
    }

    /// The packet that left last was transferred.
    pub(crate) fn transferred(&mut self, how: Transferred) {
        if let Some(exit) = self.0.as_mut().and_then(|log| log.last_mut()) {
            exit.transferred = Some(how);
        }
    }

    /// Keeps a log from now on.
    pub(crate) fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    /// Empties the log.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Exit> + '_ {
        self.0.iter_mut().flat_map(|log| log.drain(..))
    }
}
