// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device and all that it touches, under one lock.
//!
//! Guest memory is under the same lock: a mapping is removed with the lock held, so no transfer is under
//! way, and none can start before the mapping is gone.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use reflow_device::chaos::Spec;
use reflow_device::{Device, Host, MemError};
use reflow_mem::GuestMemory;
use rustix::event::{eventfd, EventfdFlags};

use crate::config::{ConfigSpace, Effect};
use crate::frames::FrameBuffer;
use crate::interrupts::Interrupts;

/// The function with its memory, interrupts and the frames it sends.
pub(crate) struct Nic {
    /// The device itself.
    pub(crate) device: Device,
    /// Memory that the guest shares with it.
    pub(crate) memory: GuestMemory,
    /// Its MSI-X vectors.
    pub(crate) interrupts: Interrupts,
    /// Frames sent that the data thread has not fetched.
    pub(crate) sent: FrameBuffer,
    config: ConfigSpace,
    /// Whether the wire is connected, and whether it is plugged in.
    wire: bool,
    plugged: bool,
    accesses: Accesses,
}

/// Forbidden accesses to guest memory. They are counted from the
/// start of the server on; no reset or new client clears them.
#[derive(Default)]
pub(crate) struct Accesses {
    /// Without bus mastering. These were refused, or put off until it is on.
    pub(crate) without_master: Cell<u64>,
    /// After the driver had switched off all that accesses memory.
    pub(crate) while_quiet: Cell<u64>,
}

/// The device's view of its host.
struct Bus<'a> {
    memory: &'a GuestMemory,
    interrupts: &'a mut Interrupts,
    sent: &'a mut FrameBuffer,
    /// Whether the function may access memory.
    master: bool,
    /// Whether the driver has switched off all units that do.
    quiet: bool,
    accesses: &'a Accesses,
}

impl Nic {
    /// The function of a new device.
    pub(crate) fn new(device: Device, mac: [u8; 6]) -> Self {
        let vectors = device.vectors();
        Self {
            device,
            memory: GuestMemory::new(),
            interrupts: Interrupts::new(vectors),
            sent: FrameBuffer::default(),
            config: ConfigSpace::new(vectors, mac),
            wire: false,
            plugged: true,
            accesses: Accesses::default(),
        }
    }

    /// Reads configuration space.
    pub(crate) fn config_read(&self, offset: usize, data: &mut [u8]) {
        if self.device.is_removed() {
            // A bus reads as all ones when no device answers.
            data.fill(0xff);
        } else {
            self.config.read(offset, data);
        }
    }

    /// Writes configuration space.
    pub(crate) fn config_write(&mut self, offset: usize, data: &[u8]) {
        if self.device.is_removed() {
            return;
        }
        if self.config.write(offset, data) == Effect::Reset {
            self.reset();
        }
        self.interrupts.enable(self.config.bus_master());
    }

    /// Whether accesses to BARs are answered.
    pub(crate) fn memory_enabled(&self) -> bool {
        self.config.memory_enabled() || self.device.is_removed()
    }

    /// Writes a register.
    pub(crate) fn mmio_write(&mut self, offset: usize, value: u32) {
        let (device, mut bus) = self.split();
        device.mmio_write(&mut bus, offset, value);
    }

    /// Pumps the device once; returns whether it has more work now. Without bus mastering it
    /// cannot reach its rings and waits.
    pub(crate) fn pump(&mut self, now_ns: u64) -> bool {
        let gone = self.device.is_removed();
        // Time passes for a removed device even without bus mastering.
        if !self.config.bus_master() && !gone {
            if self.device.wants_memory(now_ns) && !self.device.defies() {
                count(&self.accesses.without_master);
            }
            return false;
        }
        let (device, mut bus) = self.split();
        let more = device.pump(&mut bus, now_ns);
        if gone && !self.device.is_removed() {
            self.reset();
        }
        more
    }

    /// When to call [`Nic::pump`] next if no event comes first.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.device
            .next_deadline()
            .filter(|_| self.config.bus_master() || self.device.is_removed())
    }

    /// Tells the device whether the wire is connected.
    pub(crate) fn set_wire(&mut self, connected: bool) {
        self.wire = connected;
        self.device.set_link(self.link());
    }

    /// Plugs the wire in or out.
    pub(crate) fn plug(&mut self, plugged: bool) {
        self.plugged = plugged;
        self.device.set_link(self.link());
    }

    /// Whether the function may access memory and send interrupts.
    pub(crate) fn bus_master(&self) -> bool {
        self.config.bus_master()
    }

    /// Forbidden accesses to guest memory.
    pub(crate) fn accesses(&self) -> &Accesses {
        &self.accesses
    }

    /// Whether the link is up.
    pub(crate) fn link(&self) -> bool {
        self.wire && self.plugged
    }

    /// Replaces the faults of the device; a removed one comes back as after a power cycle.
    pub(crate) fn set_chaos(&mut self, spec: &Spec) {
        let gone = self.device.is_removed();
        self.device.set_chaos(spec);
        if gone {
            self.reset();
        }
    }

    /// Resets the function: the device as by its register RESET, configuration space with bus
    /// mastering and MSI-X in their initial state, no interrupt pending. Memory and eventfds belong to
    /// the virtual machine and stay.
    pub(crate) fn reset(&mut self) {
        self.device.reset();
        self.config.reset();
        self.interrupts.reset();
        self.interrupts.enable(false);
        self.sent.clear();
    }

    /// Resets the function and drops the memory and eventfds of the virtual machine.
    pub(crate) fn disconnect(&mut self) {
        self.reset();
        self.interrupts.disconnect();
        self.memory.clear();
    }

    fn split(&mut self) -> (&mut Device, Bus<'_>) {
        let bus = Bus {
            memory: &self.memory,
            interrupts: &mut self.interrupts,
            sent: &mut self.sent,
            master: self.config.bus_master(),
            quiet: self.device.is_quiet(),
            accesses: &self.accesses,
        };
        (&mut self.device, bus)
    }
}

fn count(which: &Cell<u64>) {
    which.set(which.get() + 1);
}

impl Bus<'_> {
    fn access(
        &self,
        addr: u64,
        len: usize,
        access: impl FnOnce(&GuestMemory) -> Result<(), reflow_mem::MemError>,
    ) -> Result<(), MemError> {
        if self.quiet {
            count(&self.accesses.while_quiet);
        }
        if !self.master {
            count(&self.accesses.without_master);
            return Err(MemError { addr, len });
        }
        access(self.memory).map_err(|error| {
            log::debug!("DMA of {len} bytes at {addr:#x}: {error}");
            MemError { addr, len }
        })
    }
}

impl Host for Bus<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        self.access(addr, buf.len(), |memory| memory.read(addr, buf))
    }

    fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
        self.access(addr, data.len(), |memory| memory.write(addr, data))
    }

    fn store_release_u64(&self, addr: u64, value: u64) -> Result<(), MemError> {
        self.access(addr, size_of::<u64>(), |memory| {
            memory.store_release_u64(addr, value)
        })
    }

    fn store_release_u32(&self, addr: u64, value: u32) -> Result<(), MemError> {
        self.access(addr, size_of::<u32>(), |memory| {
            memory.store_release_u32(addr, value)
        })
    }

    fn interrupt(&mut self, vector: u16) {
        self.interrupts.raise(usize::from(vector));
    }

    fn wire_ready(&self) -> bool {
        !self.sent.is_full()
    }

    fn send(&mut self, frame: &[u8]) {
        self.sent.push(frame);
    }
}

/// State that the threads share.
pub(crate) struct Shared {
    nic: Mutex<Nic>,
    /// Readable when the data thread has work.
    wake: OwnedFd,
    /// Whether [`Shared::wake`] is signalled and not yet read: saves the system
    /// call for each further doorbell.
    woken: AtomicBool,
    stop: AtomicBool,
    started: Instant,
}

impl Shared {
    /// Wraps the NIC.
    pub(crate) fn new(nic: Nic) -> io::Result<Self> {
        Ok(Self {
            nic: Mutex::new(nic),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            woken: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            started: Instant::now(),
        })
    }

    /// Locks the NIC. Callers that lock often release it with `unlock_fair`.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Nic> {
        self.nic.lock()
    }

    /// The device's clock.
    pub(crate) fn now_ns(&self) -> u64 {
        // The cast truncates after 584 years.
        self.started.elapsed().as_nanos() as u64
    }

    /// Wakes the data thread.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            // It fails only when the counter is at its limit: then the descriptor is readable.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Descriptors that the data thread waits for.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Clears the wake-up. The data thread calls it before it looks for work.
    pub(crate) fn awake(&self, signalled: bool) {
        if signalled {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// Ends the data thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the data thread is to end.
    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use reflow_device::Config;
    use reflow_hwdef::regs;

    use super::*;

    fn nic() -> Nic {
        let config = Config {
            mac: [2, 0, 0, 0, 0, 1],
            queues: 2,
            flows: 16,
            pm_bytes: 1 << 16,
            seed: 0,
        };
        Nic::new(Device::new(config), [2, 0, 0, 0, 0, 1])
    }

    /// A read of guest memory by the device, with its accounting.
    fn access(nic: &mut Nic) -> (u64, u64) {
        let counts = |nic: &Nic| {
            let accesses = nic.accesses();
            (accesses.without_master.get(), accesses.while_quiet.get())
        };
        let before = counts(nic);
        let _ = nic.split().1.read(0x1000, &mut [0; 4]);
        let after = counts(nic);
        (after.0 - before.0, after.1 - before.1)
    }

    /// Each unit that the driver switches on ends the quiet state, and the last one that it switches off
    /// restores it.
    #[test]
    fn accesses_while_quiet_are_counted() {
        let mut nic = nic();
        assert_eq!(access(&mut nic), (1, 1));
        nic.config_write(4, &[0x06, 0]);
        assert_eq!(access(&mut nic), (0, 1));
        let queue = |queue| regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + regs::Q_CTRL;
        for (at, on) in [
            (regs::CTRL, 1),
            (regs::CTRL, 2),
            (queue(0), 1),
            (queue(1), 2),
            (regs::CMD_SIZE, 3),
            (regs::STATS_CTRL, 1),
        ] {
            nic.mmio_write(at, on);
            assert_eq!(access(&mut nic), (0, 0), "{at:#x}");
            nic.mmio_write(at, 0);
            assert_eq!(access(&mut nic), (0, 1), "{at:#x}");
        }
        nic.mmio_write(regs::CTRL, 3);
        nic.reset();
        assert_eq!(access(&mut nic), (1, 1));
    }
}
