// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Counters, and the block of them in host memory.

use crate::host::Host;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::stats::{block_len, queue_base, Global, Queue};

/// The block is not written more often than this.
const INTERVAL_NS: u64 = 1_000_000;

/// Counters of the device since its last reset.
#[derive(Clone, Debug)]
pub struct Counters {
    words: Vec<u64>,
    changed: bool,
}

impl Counters {
    pub(crate) fn new(queues: usize) -> Self {
        Self {
            words: vec![0; block_len(queues)],
            changed: false,
        }
    }

    /// A counter of the device.
    #[must_use]
    pub fn global(&self, which: Global) -> u64 {
        self.words[which as usize]
    }

    /// A counter of a queue; 0 for a queue that does not exist.
    #[must_use]
    pub fn queue(&self, queue: usize, which: Queue) -> u64 {
        let at = queue_base(queue) + which as usize;
        self.words.get(at).copied().unwrap_or(0)
    }

    /// Packets transferred with an operation code.
    #[must_use]
    pub fn opcode(&self, opcode: Opcode) -> u64 {
        self.words[op_index(opcode)]
    }

    /// All counters in the order of the statistics block.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn add(&mut self, which: Global, n: u64) {
        self.words[which as usize] += n;
        self.changed = true;
    }

    pub(crate) fn inc(&mut self, which: Global) {
        self.add(which, 1);
    }

    pub(crate) fn inc_queue(&mut self, queue: usize, which: Queue) {
        if let Some(word) = self.words.get_mut(queue_base(queue) + which as usize) {
            *word += 1;
            self.changed = true;
        }
    }

    pub(crate) fn inc_opcode(&mut self, opcode: Opcode) {
        self.words[op_index(opcode)] += 1;
        self.changed = true;
    }
}

/// The opcodes' counters stand in the order of the opcodes.
fn op_index(opcode: Opcode) -> usize {
    Global::OpNoAssist as usize + opcode as usize
}

/// Updates the statistics block in host memory.
#[derive(Debug, Default)]
pub(crate) struct Block {
    addr: u64,
    on: bool,
    not_before: u64,
    scratch: Vec<u8>,
}

impl Block {
    /// Starts to keep the block at an address.
    pub(crate) fn start(&mut self, addr: u64, counters: &mut Counters) {
        self.addr = addr;
        self.on = addr % 8 == 0;
        self.not_before = 0;
        counters.changed = true;
    }

    /// Bus addresses of the block, none if it is not kept.
    pub(crate) fn range(&self, counters: &Counters) -> std::ops::Range<u64> {
        let len = if self.on { counters.words.len() * 8 } else { 0 };
        self.addr..self.addr.saturating_add(len as u64)
    }

    /// Stops.
    pub(crate) fn stop(&mut self) {
        self.on = false;
    }

    /// Whether the block is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Writes the block if it is due.
    pub(crate) fn update(&mut self, counters: &mut Counters, host: &impl Host, now: u64) {
        if !self.on || !counters.changed || now < self.not_before {
            return;
        }
        self.scratch.clear();
        for word in &counters.words {
            self.scratch.extend_from_slice(&word.to_le_bytes());
        }
        counters.changed = false;
        self.not_before = now.saturating_add(INTERVAL_NS);
        // Unmapped memory stops the block only; the driver sees that STATS_CTRL reads 0.
        if host.write(self.addr, &self.scratch).is_err() {
            self.on = false;
        }
    }

    /// When the block is due.
    pub(crate) fn deadline(&self, counters: &Counters) -> Option<u64> {
        (self.on && counters.changed).then_some(self.not_before)
    }
}
