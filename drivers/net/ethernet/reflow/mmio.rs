// SPDX-License-Identifier: GPL-2.0

//! Access to the registers.

use crate::{
    hw::regs::{
        self,
        BufKind,
        Status, //
    },
    net::pci::BusMaster, //
};
use kernel::{
    io::Io,
    pci,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// What a register reads when the device has gone.
pub(crate) const GONE: u32 = u32::MAX;

/// How often the end of a reset is looked for.
const RESET_LOOKS: u32 = 100;
/// Pause between two such looks.
const RESET_PAUSE: Delta = Delta::from_millis(2);

/// The registers of a device, BAR 0, and whether it may access memory.
pub(crate) struct Mmio<'bound> {
    bar: pci::Bar<'bound, { regs::BAR_SIZE }>,
    master: BusMaster<'bound>,
}

impl<'bound> Mmio<'bound> {
    /// Takes the mapped registers.
    pub(crate) fn new(
        bar: pci::Bar<'bound, { regs::BAR_SIZE }>,
        master: BusMaster<'bound>,
    ) -> Self {
        Self { bar, master }
    }

    /// Reads the register at `offset`. Slow, some 60 microseconds in a virtual machine: not for
    /// the data path.
    pub(crate) fn read(&self, offset: usize) -> u32 {
        (&self.bar).try_read32(offset).unwrap_or(GONE)
    }

    /// Looks whether the device is still there.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if not: what is read of it then means nothing.
    pub(crate) fn present(&self) -> Result {
        match self.read(regs::MAGIC) {
            GONE => Err(ENODEV),
            _ => Ok(()),
        }
    }

    /// Resets the device, and waits until it says that it is done: it accesses no memory any more
    /// then, and knows nothing of what it was told. May sleep, 0.2 s at most.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if there is none any more, [`ETIMEDOUT`] if it does not come back.
    pub(crate) fn reset(&self) -> Result {
        self.write(regs::RESET, 1);
        for _ in 0..RESET_LOOKS {
            self.present()?;
            if self.read(regs::RESET) == 0 && self.is_ready() {
                return Ok(());
            }
            fsleep(RESET_PAUSE);
        }
        Err(ETIMEDOUT)
    }

    /// Has the device access no memory any more, whatever it takes: it is reset or, if that does
    /// nothing, loses bus mastering. What was in use by it may be freed then. Others may not be
    /// doing the same. May sleep, 0.2 s at most.
    pub(crate) fn silence(&self) {
        if !self.master.is_allowed() {
            return;
        }
        let done = self.reset();
        if done.is_err() {
            self.master.deny();
        }
        if done == Err(ETIMEDOUT) {
            dev_warn!(
                self.master.dev(),
                "the device cannot be reset; bus mastering is off until it can\n"
            );
        }
    }

    /// Lets the device, which was reset, access memory. Under the instance lock, or nobody else
    /// knows of the device yet.
    pub(crate) fn allow_memory(&self) {
        self.master.allow();
    }

    /// Whether the device may access memory.
    pub(crate) fn may_access_memory(&self) -> bool {
        self.master.is_allowed()
    }

    /// Whether the device says that it works.
    pub(crate) fn is_ready(&self) -> bool {
        let status = self.read(regs::STATUS);
        status != GONE && Status(status).ready() != 0
    }

    /// Writes the register at `offset`. All offsets come from `hw::regs` and are inside.
    #[inline(always)]
    pub(crate) fn write(&self, offset: usize, value: u32) {
        // An offset outside cannot be written, and there is none.
        let _ = (&self.bar).try_write32(value, offset);
    }

    /// Writes element `i` of an array of 32-bit registers.
    pub(crate) fn write_at(&self, array: usize, i: usize, value: u32) {
        self.write(array + 4 * i, value);
    }

    /// Writes a 64-bit address to a pair of registers.
    pub(crate) fn write_addr(&self, lo: usize, hi: usize, addr: u64) {
        self.write(lo, addr as u32);
        self.write(hi, (addr >> 32) as u32);
    }
}

/// Offset of register `reg` of queue `queue`.
pub(crate) const fn queue_reg(queue: usize, reg: usize) -> usize {
    regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + reg
}

/// Offset of register `reg` of buffer ring `kind` of queue `queue`.
pub(crate) const fn buf_reg(queue: usize, kind: BufKind, reg: usize) -> usize {
    queue_reg(queue, reg) + kind as usize * regs::BUF_STRIDE
}
