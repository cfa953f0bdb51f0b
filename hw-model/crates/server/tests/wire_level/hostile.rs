// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Clients that break the protocol lose their connection; the next one finds a NIC.

use std::io::{Read, Write};

use reflow_hwdef::regs;

use crate::driver::Driver;
use crate::rig::Nic;

/// A message header of the protocol: id, command, size, flags, error.
fn message(command: u16, size: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend_from_slice(&command.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(body);
    bytes
}

fn works(nic: &Nic) {
    let mut driver = Driver::attach(nic);
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
}

/// Messages with impossible sizes, commands, regions and interrupts.
#[test]
fn broken_messages() {
    let nic = Nic::start("loop", &[]);
    let ones = [0xff; 64];
    let attempts = [
        // Version: smaller than itself, endless, without the end of its text.
        message(1, 0, &[0, 0, 1, 0]),
        message(1, 20, &[0, 0, 1, 0]),
        message(1, 24, &[0, 0, 1, 0, b'{', b'}', b'}', b'}']),
        // No such commands.
        message(0, 16, &[]),
        message(11, 16, &ones),
        message(0xffff, 16, &ones),
        // Every field of region accesses, interrupts, mappings at its limit.
        message(5, 48, &ones),
        message(7, 32, &ones),
        message(8, 36, &ones),
        message(2, 48, &ones),
        message(3, 40, &ones),
        // Half a header, and nothing.
        vec![1, 0, 9],
        Vec::new(),
    ];
    for attempt in attempts {
        let mut stream = nic.raw();
        stream.write_all(&attempt).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Until the server hangs up; what it says is its own affair.
        let _ = stream.read_to_end(&mut Vec::new());
        drop(stream);
    }
    works(&nic);
}

/// A client that stops in the middle of a message.
#[test]
fn half_a_message() {
    let nic = Nic::start("loop", &[]);
    let mut stream = nic.raw();
    stream.write_all(&message(10, 48, &[0; 3])).unwrap();
    drop(stream);
    works(&nic);
}

/// Interrupts that do not exist cannot be connected, and asking for them changes nothing.
#[test]
fn interrupts_that_do_not_exist() {
    use std::os::fd::AsRawFd;

    use crate::driver::{MSIX, SET_EVENTFD, SET_NONE};

    let nic = Nic::start("loop", &["--queues", "2"]);
    let mut driver = Driver::attach(&nic);
    let fd = driver.eventfd(0).as_raw_fd();
    driver
        .client
        .set_irqs(MSIX, SET_EVENTFD, 3, 1, &[fd])
        .unwrap();
    driver
        .client
        .set_irqs(MSIX, SET_EVENTFD, u32::MAX, u32::MAX, &[fd])
        .unwrap();
    driver.client.set_irqs(0, SET_EVENTFD, 0, 1, &[fd]).unwrap();
    driver
        .client
        .set_irqs(MSIX, SET_NONE, 0, u32::MAX, &[])
        .unwrap();
    assert_eq!(nic.status()["vectors_connected"], 3);
    // Vectors can be raised by hand, to test the way to the guest.
    driver.client.set_irqs(MSIX, SET_NONE, 1, 1, &[]).unwrap();
    assert_eq!(driver.interrupt(1), Some(1));
    assert_eq!(driver.interrupts_now(0), None);
}
