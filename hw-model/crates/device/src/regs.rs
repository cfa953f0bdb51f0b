// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The register file: values, access rights and reset values.

use reflow_hwdef::layout::{Access, RegInfo};
use reflow_hwdef::regs::{BAR_SIZE, GLOBAL_REGS, QUEUE_BASE, QUEUE_REGS, QUEUE_STRIDE};

const WORDS: usize = BAR_SIZE / 4;

/// The register file.
#[derive(Debug)]
pub(crate) struct RegisterFile {
    access: Vec<Option<Access>>,
    values: Vec<u32>,
}

impl RegisterFile {
    /// The registers of a device with so many queues, reset.
    pub(crate) fn new(queues: usize) -> Self {
        let mut file = Self {
            access: vec![None; WORDS],
            values: vec![0; WORDS],
        };
        for reg in GLOBAL_REGS {
            file.define(0, reg);
        }
        for queue in 0..queues {
            for reg in QUEUE_REGS {
                file.define(QUEUE_BASE + queue * QUEUE_STRIDE, reg);
            }
        }
        file
    }

    fn define(&mut self, base: usize, reg: &RegInfo) {
        for i in 0..reg.count {
            let word = (base + reg.offset + i * reg.stride) / 4;
            if let Some(access) = self.access.get_mut(word) {
                *access = Some(reg.access);
                self.values[word] = reg.reset;
            }
        }
    }

    /// The access of the register at an offset; `None` if there is none.
    pub(crate) fn access(&self, offset: usize) -> Option<Access> {
        if offset % 4 != 0 {
            return None;
        }
        self.access.get(offset / 4).copied().flatten()
    }

    /// The value last stored at an offset.
    pub(crate) fn get(&self, offset: usize) -> u32 {
        self.values.get(offset / 4).copied().unwrap_or(0)
    }

    /// Stores a value.
    pub(crate) fn set(&mut self, offset: usize, value: u32) {
        if let Some(word) = self.values.get_mut(offset / 4) {
            *word = value;
        }
    }

    /// The 64-bit value of two registers.
    pub(crate) fn pair(&self, lo: usize, hi: usize) -> u64 {
        u64::from(self.get(lo)) | (u64::from(self.get(hi)) << 32)
    }

    /// `N` registers from an offset on, four bytes apart.
    pub(crate) fn run(&self, offset: usize, count: usize) -> &[u32] {
        let first = offset / 4;
        self.values.get(first..first + count).unwrap_or(&[])
    }
}

/// Splits the offset of a queue's register into the queue and the offset in its block.
pub(crate) fn queue_of(offset: usize) -> Option<(usize, usize)> {
    let rest = offset.checked_sub(QUEUE_BASE)?;
    Some((rest / QUEUE_STRIDE, rest % QUEUE_STRIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_do_not_overlap() {
        let mut seen = vec![false; WORDS];
        for reg in GLOBAL_REGS {
            for i in 0..reg.count {
                let word = (reg.offset + i * reg.stride) / 4;
                assert!(!seen[word], "{}", reg.name);
                seen[word] = true;
            }
        }
        assert!(GLOBAL_REGS.iter().all(|reg| reg.offset < QUEUE_BASE));
        assert!(QUEUE_REGS
            .iter()
            .all(|reg| reg.offset + (reg.count - 1) * reg.stride < QUEUE_STRIDE));
    }

    #[test]
    fn unknown_and_unaligned_offsets_are_no_registers() {
        let file = RegisterFile::new(1);
        assert!(file.access(2).is_none());
        assert!(file.access(0x28).is_none());
        assert!(file.access(QUEUE_BASE + QUEUE_STRIDE).is_none());
        assert!(file.access(usize::MAX - 3).is_none());
        assert_eq!(file.get(BAR_SIZE), 0);
    }
}
