// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sample NIC against a driver's double.

use reflow_sample::{
    regs::{self, BUF_SIZE, RING_LEN},
    Host, Nic,
};

const TX_RING: u64 = 0x1000;
const RX_RING: u64 = 0x2000;
const HEADS: u64 = 0x3000;
const BUFFERS: u64 = 0x1_0000;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Guest memory, the interrupt line and the wire.
struct Guest {
    memory: Vec<u8>,
    interrupts: u32,
    wire: Vec<Vec<u8>>,
}

impl Guest {
    fn range(&self, at: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let at = usize::try_from(at).ok()?;
        let range = at..at.checked_add(len)?;
        (range.end <= self.memory.len()).then_some(range)
    }

    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl Host for Guest {
    fn read(&self, at: u64, to: &mut [u8]) {
        if let Some(range) = self.range(at, to.len()) {
            to.copy_from_slice(&self.memory[range]);
        }
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        if let Some(range) = self.range(at, from.len()) {
            self.memory[range].copy_from_slice(from);
        }
    }

    fn interrupt(&mut self) {
        self.interrupts += 1;
    }

    fn send(&mut self, frame: &[u8]) {
        self.wire.push(frame.to_vec());
    }
}

/// A NIC that runs, with all receive buffers posted, and its guest.
fn started() -> (Nic, Guest) {
    let mut nic = Nic::new(MAC);
    let mut guest = Guest {
        memory: vec![0; 0x4_0000],
        interrupts: 0,
        wire: Vec::new(),
    };
    for i in 0..RING_LEN as u64 {
        let at = BUFFERS + i * BUF_SIZE as u64;
        guest.write(RX_RING + 16 * i, &at.to_le_bytes());
    }
    for (registers, at) in [
        (regs::TX_RING, TX_RING),
        (regs::RX_RING, RX_RING),
        (regs::HEADS, HEADS),
    ] {
        nic.write(registers[0], at as u32, &mut guest);
        nic.write(registers[1], (at >> 32) as u32, &mut guest);
    }
    nic.write(regs::RX_TAIL, RING_LEN as u32, &mut guest);
    nic.write(regs::CTRL, regs::RUN, &mut guest);
    (nic, guest)
}

/// Puts a frame at `at` on entry `i` of the transmit ring.
fn queue(guest: &mut Guest, i: u64, at: u64, len: u64) {
    guest.write(TX_RING + 16 * i, &at.to_le_bytes());
    guest.write(TX_RING + 16 * i + 8, &len.to_le_bytes());
}

#[test]
fn frames_go_out_in_order() {
    let (mut nic, mut guest) = started();
    guest.write(BUFFERS, b"onetwo");
    queue(&mut guest, 0, BUFFERS, 3);
    queue(&mut guest, 1, BUFFERS + 3, 3);
    nic.write(regs::TX_TAIL, 2, &mut guest);
    assert_eq!(guest.wire, [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(guest.word(HEADS), 2);
}

#[test]
fn frames_come_in_until_there_is_no_buffer() {
    let (mut nic, mut guest) = started();
    for _ in 0..RING_LEN {
        assert!(nic.receive(b"frame", &mut guest));
    }
    assert!(!nic.receive(b"frame", &mut guest));
    assert_eq!(guest.word(HEADS + 8), RING_LEN as u64);
    assert_eq!(guest.word(RX_RING + 8), 5);
    let first = BUFFERS as usize;
    assert_eq!(&guest.memory[first..first + 5], b"frame");
}

#[test]
fn an_interrupt_fires_once_for_each_arm() {
    let (mut nic, mut guest) = started();
    nic.write(regs::ARM, 0, &mut guest);
    assert_eq!(guest.interrupts, 0);
    nic.receive(b"one", &mut guest);
    nic.receive(b"two", &mut guest);
    assert_eq!(guest.interrupts, 1);
    // One of the two was seen: the interrupt comes at once.
    nic.write(regs::ARM, 1, &mut guest);
    assert_eq!(guest.interrupts, 2);
}

#[test]
fn a_nic_that_is_stopped_accesses_no_memory() {
    let (mut nic, mut guest) = started();
    nic.write(regs::CTRL, 0, &mut guest);
    let before = guest.memory.clone();
    assert!(!nic.receive(b"frame", &mut guest));
    nic.write(regs::TX_TAIL, 1, &mut guest);
    assert_eq!(nic.read(regs::CTRL), 0);
    assert!(guest.memory == before && guest.wire.is_empty());
}

#[test]
fn invalid_values_of_the_driver_are_ignored() {
    let (mut nic, mut guest) = started();
    queue(&mut guest, 0, u64::MAX, u64::MAX);
    queue(&mut guest, 1, u64::MAX, 64);
    nic.write(regs::RX_RING[1], u32::MAX, &mut guest);
    nic.write(regs::HEADS[1], u32::MAX, &mut guest);
    nic.write(regs::TX_TAIL, u32::MAX, &mut guest);
    nic.receive(b"frame", &mut guest);
    assert_eq!(nic.read(regs::ID), regs::MAGIC);
}
