// SPDX-License-Identifier: GPL-2.0

//! Access to the registers.

use crate::{
    hw::{
        layout::Reg,
        regs::{
            self,
            queue_reg,
            reg,
            BufKind,
            Global,
            Queue, //
        }, //
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

/// The value of every register when the device is gone.
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

    /// Reads a register. Slow, some 60 microseconds in a virtual machine: not for the data path.
    /// All ones if the device has gone.
    pub(crate) fn read<T: From<u32>>(&self, reg: Reg<Global, T>) -> T {
        self.peek(reg.offset()).into()
    }

    /// Reads the word at `offset`, whatever it is: for dumps.
    pub(crate) fn peek(&self, offset: usize) -> u32 {
        (&self.bar).try_read32(offset).unwrap_or(GONE)
    }

    /// Looks whether the device is still there.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if not: what is read of it then means nothing.
    pub(crate) fn present(&self) -> Result {
        match self.read(reg::MAGIC) {
            GONE => Err(ENODEV),
            _ => Ok(()),
        }
    }

    /// Resets the device and waits until it is done. Afterwards it accesses no memory and has no
    /// configuration. May sleep, 0.2 s at most.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if there is none any more, [`ETIMEDOUT`] if it does not come back.
    pub(crate) fn reset(&self) -> Result {
        self.write(reg::RESET, 1);
        for _ in 0..RESET_LOOKS {
            self.present()?;
            if self.read(reg::RESET) == 0 && self.is_ready() {
                return Ok(());
            }
            fsleep(RESET_PAUSE);
        }
        Err(ETIMEDOUT)
    }

    /// Has the device access no memory any more, whatever it takes: it is reset or, if that does
    /// nothing, loses bus mastering. Memory in use by it may be freed then. Others may not be
    /// doing the same. May sleep, 0.2 s at most.
    pub(crate) fn silence(&self) {
        self.master.silence(|| self.reset());
    }

    /// Resets the device and lets it access memory. Under the instance lock, or before the device
    /// is registered. May sleep, 0.2 s at most.
    ///
    /// # Errors
    ///
    /// As for [`Self::reset`].
    pub(crate) fn reset_and_allow(&self) -> Result {
        self.master.allow_after(|| self.reset())
    }

    /// Whether the device may access memory.
    pub(crate) fn may_access_memory(&self) -> bool {
        self.master.is_allowed()
    }

    /// Whether the device reports itself ready.
    pub(crate) fn is_ready(&self) -> bool {
        let status = self.read(reg::STATUS);
        status.0 != GONE && status.ready() != 0
    }

    /// Writes a register.
    pub(crate) fn write<T>(&self, reg: Reg<Global, T>, value: T)
    where
        u32: From<T>,
    {
        // An offset outside cannot be written, and there is none.
        let _ = (&self.bar).try_write32(value.into(), reg.offset());
    }

    /// Writes element `i` of an array of registers, if it has so many.
    pub(crate) fn write_at<T>(&self, array: Reg<Global, T>, i: usize, value: T)
    where
        u32: From<T>,
    {
        if let Some(reg) = array.at(i) {
            self.write(reg, value);
        }
    }

    /// Writes a 64-bit address to a pair of registers.
    pub(crate) fn write_addr(&self, lo: Reg<Global, u32>, hi: Reg<Global, u32>, addr: u64) {
        self.write(lo, addr as u32);
        self.write(hi, (addr >> 32) as u32);
    }

    /// The registers of queue `queue`; a device with more than there can be is refused at probe.
    #[inline(always)]
    pub(crate) fn queue(&self, queue: usize) -> QueueMmio<'_> {
        QueueMmio {
            bar: &self.bar,
            queue,
        }
    }
}

/// The registers of a queue.
pub(crate) struct QueueMmio<'a> {
    bar: &'a pci::Bar<'a, { regs::BAR_SIZE }>,
    queue: usize,
}

// Cutting the number of a queue leaves each that there can be, and those of its buffers.
const _: () = assert!(regs::MAX_QUEUES.is_power_of_two() && BufKind::COUNT.is_power_of_two());

impl QueueMmio<'_> {
    /// Where a register is in the BAR. The number of the queue is cut, and not checked: the
    /// compiler sees that the result lies inside.
    #[inline(always)]
    fn offset<T>(&self, reg: Reg<Queue, T>) -> usize {
        let queue = self.queue & (regs::MAX_QUEUES - 1);
        regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + reg.offset()
    }

    /// Reads a register, see [`Mmio::read`].
    pub(crate) fn read<T: From<u32>>(&self, reg: Reg<Queue, T>) -> T {
        self.bar.try_read32(self.offset(reg)).unwrap_or(GONE).into()
    }

    /// Writes a register, which is to be a constant: it is not looked at run time whether there is
    /// one.
    #[inline(always)]
    pub(crate) fn write<T>(&self, reg: Reg<Queue, T>, value: T)
    where
        u32: From<T>,
    {
        self.bar.write32(value.into(), self.offset(reg));
    }

    /// Writes a 64-bit address to a pair of registers, which are to be constants.
    #[inline(always)]
    pub(crate) fn write_addr(&self, lo: Reg<Queue, u32>, hi: Reg<Queue, u32>, addr: u64) {
        self.write(lo, addr as u32);
        self.write(hi, (addr >> 32) as u32);
    }

    /// Writes a register of buffer ring `kind`, of an array of [`queue_reg`] that is to be a
    /// constant.
    #[inline(always)]
    pub(crate) fn write_buf<T>(&self, array: Reg<Queue, T>, kind: BufKind, value: T)
    where
        u32: From<T>,
    {
        let ring = kind as usize & (BufKind::COUNT - 1);
        let offset = self.offset(array) + ring * regs::BUF_STRIDE;
        self.bar.write32(value.into(), offset);
    }

    /// Writes the address of buffer ring `kind`.
    pub(crate) fn write_buf_addr(&self, kind: BufKind, addr: u64) {
        self.write_buf(queue_reg::BUF_LO, kind, addr as u32);
        self.write_buf(queue_reg::BUF_HI, kind, (addr >> 32) as u32);
    }
}
