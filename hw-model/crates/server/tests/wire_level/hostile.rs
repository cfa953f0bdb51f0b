// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Clients that break the protocol lose their connection; the next one finds a NIC.

use std::io::{Read, Write};

use reflow_hwdef::regs;

use crate::driver::{Driver, BAR0, CONFIG, MSIX, SET_EVENTFD, SET_NONE};
use crate::rig::{until, Nic};

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
        // Until the server closes the connection; its answers do not matter.
        let _ = stream.read_to_end(&mut Vec::new());
        drop(stream);
    }
    works(&nic);
}

/// The messages of a correct client.
fn good_session() -> Vec<Vec<u8>> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let whole = |command, body: &[u8]| message(command, 16 + body.len() as u32, body);
    let access = |region, offset, count, data: &[u8]| {
        let mut body = words(&[offset, 0, region, count]);
        body.extend_from_slice(data);
        body
    };
    let command_register = access(CONFIG, 4, 2, &[0x06, 0]);
    vec![
        whole(1, b"\0\0\x01\0{\"capabilities\":{}}\0"),
        whole(4, &words(&[16, 0, 0, 0])),
        whole(10, &command_register),
        whole(8, &words(&[20, SET_NONE, MSIX, 0, 1])),
        whole(13, &[]),
        whole(10, &command_register),
        whole(9, &access(BAR0, regs::MAGIC as u32, 4, &[])),
    ]
}

/// A client whose connection ends after any byte of what it says: at the end of a message or within
/// its header, its body or its data.
#[test]
fn hang_up_anywhere() {
    let nic = Nic::start("loop", &[]);
    let session = good_session();
    let all = session.concat();
    let mut answers = 0;
    for cut in 0..=all.len() {
        let mut stream = nic.raw();
        stream.write_all(&all[..cut]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answers += usize::from(answer.ends_with(&regs::MAGIC_VALUE.to_le_bytes()));
    }
    assert_eq!(
        answers, 1,
        "the whole session, and it alone, is answered to its end"
    );
    works(&nic);
}

/// Accesses that claim more bytes than any region has, from a client that goes on and from one that
/// hangs up.
#[test]
fn huge_counts() {
    let nic = Nic::start("loop", &[]);
    let version = good_session().remove(0);
    for (command, count) in [
        (9, u32::MAX),
        (10, u32::MAX),
        (9, 1 << 24),
        (10, 1 << 24),
        (10, 0x10_0001),
    ] {
        let mut body = vec![0; 8];
        body.extend_from_slice(&BAR0.to_le_bytes());
        body.extend_from_slice(&count.to_le_bytes());
        body.extend_from_slice(&[0xff; 300]);
        let mut stream = nic.raw();
        stream.write_all(&version).unwrap();
        // The server may hang up while this is written.
        let _ = stream.write_all(&message(command, 32, &body));
        drop(stream);
        works(&nic);
    }
}

/// Messages of every number with bodies of noise, each after a greeting and the start of the
/// function.
#[test]
fn random_messages() {
    let nic = Nic::start("loop", &[]);
    let session = good_session();
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    for round in 0..200 {
        let len = random() as usize % 64;
        let mut body: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        // Small numbers lead further in.
        body.iter_mut().skip(1).step_by(2).for_each(|b| *b &= 3);
        let mut stream = nic.raw();
        stream.write_all(&session[..3].concat()).unwrap();
        let said = message(round % 17, 16 + len as u32, &body);
        let _ = stream.write_all(&said);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    works(&nic);
    until("nothing is left of them", || {
        (nic.status()["memory_ranges"] == 0).then_some(())
    });
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
