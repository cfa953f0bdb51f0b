// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sample NIC of `Documentation/networking/rust-nic-tutorial.rst`: one queue pair, one
//! interrupt, no offloads.
//!
//! It is built as the Reflow model is: deterministic, without threads or clocks, and its
//! surroundings are a trait, [`Host`].

#![forbid(unsafe_code)]

#[path = "../../../../drivers/net/rust/sample/regs.rs"]
pub mod regs;

use regs::{BUF_SIZE, RING_LEN};

/// Memory, interrupt and wire of the NIC.
pub trait Host {
    /// Reads guest memory; memory that is not there reads as zeros.
    fn read(&self, at: u64, to: &mut [u8]);
    /// Writes guest memory; writes to memory that is not there are lost.
    fn write(&mut self, at: u64, from: &[u8]);
    /// Raises the interrupt.
    fn interrupt(&mut self);
    /// Puts a frame on the wire.
    fn send(&mut self, frame: &[u8]);
}

/// One ring: where it is, how far the driver has come, and how far the NIC.
#[derive(Default)]
struct Ring {
    at: u64,
    tail: u32,
    head: u32,
}

impl Ring {
    /// Bus address of the next entry, if the driver has put one there.
    fn next(&self) -> Option<u64> {
        let entry = u64::from(self.head) % RING_LEN as u64;
        (self.head != self.tail).then(|| self.at.wrapping_add(16 * entry))
    }
}

/// The NIC.
#[derive(Default)]
pub struct Nic {
    mac: [u8; 6],
    running: bool,
    tx: Ring,
    rx: Ring,
    heads: u64,
    /// Value of [`regs::ARM`] while an interrupt is asked for.
    armed: Option<u32>,
}

/// Replaces one half of a 64-bit address.
fn set_half(to: &mut u64, half: usize, value: u32) {
    let shift = 32 * half;
    *to = (*to & !(0xffff_ffff << shift)) | (u64::from(value) << shift);
}

impl Nic {
    /// A NIC that is stopped.
    pub fn new(mac: [u8; 6]) -> Self {
        Self {
            mac,
            ..Self::default()
        }
    }

    /// The driver reads a register.
    pub fn read(&self, offset: usize) -> u32 {
        let [a, b, c, d, e, f] = self.mac;
        match offset {
            regs::ID => regs::MAGIC,
            regs::MAC_LO => u32::from_le_bytes([a, b, c, d]),
            regs::MAC_HI => u32::from_le_bytes([e, f, 0, 0]),
            regs::CTRL => u32::from(self.running) * regs::RUN,
            _ => 0,
        }
    }

    /// The driver writes a register.
    pub fn write(&mut self, offset: usize, value: u32, host: &mut impl Host) {
        let half = offset / 4 % 2;
        match offset {
            regs::CTRL if value & regs::RUN == 0 => *self = Self::new(self.mac),
            regs::CTRL => self.running = true,
            o if regs::TX_RING.contains(&o) => set_half(&mut self.tx.at, half, value),
            o if regs::RX_RING.contains(&o) => set_half(&mut self.rx.at, half, value),
            o if regs::HEADS.contains(&o) => set_half(&mut self.heads, half, value),
            regs::RX_TAIL => self.rx.tail = value,
            regs::TX_TAIL => self.tx.tail = value,
            regs::ARM => self.armed = Some(value),
            _ => {}
        }
        if self.running {
            self.transmit(host);
            self.alert(host);
        }
    }

    /// A frame comes from the wire. Returns whether the driver gets it.
    pub fn receive(&mut self, frame: &[u8], host: &mut impl Host) -> bool {
        if !self.running || frame.len() > BUF_SIZE {
            return false;
        }
        let Some(entry) = self.rx.next() else {
            return false;
        };
        let mut buffer = [0; 8];
        host.read(entry, &mut buffer);
        host.write(u64::from_le_bytes(buffer), frame);
        host.write(entry + 8, &(frame.len() as u64).to_le_bytes());
        self.rx.head = self.rx.head.wrapping_add(1);
        self.tell(regs::RX_HEAD, self.rx.head, host);
        self.alert(host);
        true
    }

    /// Sends what is on the transmit ring, at most as much as the ring holds.
    fn transmit(&mut self, host: &mut impl Host) {
        for _ in 0..RING_LEN {
            let Some(entry) = self.tx.next() else {
                break;
            };
            let mut words = [[0; 8]; 2];
            host.read(entry, words.as_flattened_mut());
            let [at, len] = words.map(u64::from_le_bytes);
            let mut frame = [0; BUF_SIZE];
            // A frame that is too long is not sent.
            if let Some(frame) = usize::try_from(len).ok().and_then(|n| frame.get_mut(..n)) {
                host.read(at, frame);
                host.send(frame);
            }
            self.tx.head = self.tx.head.wrapping_add(1);
            self.tell(regs::TX_HEAD, self.tx.head, host);
        }
    }

    /// Writes a head to guest memory, after all that it stands for.
    fn tell(&self, which: usize, head: u32, host: &mut impl Host) {
        host.write(
            self.heads.wrapping_add(8 * which as u64),
            &u64::from(head).to_le_bytes(),
        );
    }

    /// Raises the interrupt if it is asked for and the driver has not seen all.
    fn alert(&mut self, host: &mut impl Host) {
        let now = (self.rx.head & 0xffff) | (self.tx.head << 16);
        if self.armed.is_some_and(|seen| seen != now) {
            self.armed = None;
            host.interrupt();
        }
    }
}
