// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control socket: commands take effect at once, and each is answered with one line.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use reflow_hwdef::regs;
use serde_json::json;

use crate::driver::{Driver, CONFIG};
use crate::peer::plain;
use crate::rig::{until, Nic};

fn transferred(nic: &Nic, count: u64) {
    until("it is transferred", || {
        (nic.counter("hw_rx_transferred") == count).then_some(())
    });
}

/// Faults come, are told of, are replaced with counts of their own, and go.
#[test]
fn faults_are_replaced() {
    let (nic, mut peer, mut driver) = Driver::running(&["--chaos", "lost=1"]);
    peer.send(&[plain(100, 0)]);
    transferred(&nic, 1);
    assert_eq!(nic.status()["chaos_spec"], "lost=1");
    assert_eq!(nic.control("chaos lost=1,after=1,count=1"), "ok");
    let status = nic.status();
    assert_eq!(status["chaos_spec"], "lost=1,after=1,count=1");
    let none = json!({ "lost": { "chances": 0, "strikes": 0, "spoiled": 0 } });
    assert_eq!(status["chaos"], none);
    for n in 1..4 {
        peer.send(&[plain(100, n)]);
        transferred(&nic, u64::from(n) + 1);
    }
    assert_eq!(nic.status()["chaos"]["lost"]["strikes"], 1);
    for n in [1, 3] {
        let completion = driver.next(0);
        assert_eq!(driver.whole_packet(0, completion), plain(100, n));
    }
    assert_eq!(nic.control("chaos off"), "ok");
    assert_eq!(nic.status()["chaos"], json!({}));
    assert_eq!(nic.status()["chaos_spec"], "");
}

/// A spec that is wrong is refused in one line, and the faults stay.
#[test]
fn a_wrong_spec_changes_nothing() {
    let nic = Nic::start("loop", &["--chaos", "lost"]);
    let why = nic.control("chaos lots");
    assert_eq!(why, "error: there is no fault 'lots'; 'help' lists them");
    assert_eq!(nic.status()["chaos_spec"], "lost=0.01");
}

/// Memory that did not answer does so again, and so does the transmit write-back.
#[test]
fn lasting_faults_end_at_once() {
    let (nic, mut peer, mut driver) = Driver::running(&["--chaos", "dma-dead,tx-stuck"]);
    peer.send(&[plain(100, 1)]);
    transferred(&nic, 1);
    driver.transmit(0, &plain(100, 2));
    assert_eq!(peer.receive(), plain(100, 2));
    assert_eq!(nic.control("chaos off"), "ok");
    driver.transmit(0, &plain(100, 3));
    assert_eq!(peer.receive(), plain(100, 3));
    until("both are told", || (driver.tx_head(0) == 2).then_some(()));
}

/// A removed device comes back as after a power cycle: registers and configuration space hold
/// what they hold at the start.
#[test]
fn back_from_removal() {
    let (nic, _peer, mut driver) = Driver::running(&[]);
    assert_eq!(nic.control("chaos removed"), "ok");
    assert_eq!(driver.read(regs::MAGIC), u32::MAX);
    // Nobody takes this.
    driver.client.region_write(CONFIG, 4, &[0, 0]).unwrap();
    assert_eq!(driver.read(regs::MAGIC), u32::MAX);
    assert_eq!(nic.control("chaos off"), "ok");
    let mut command = [0xff; 2];
    driver.client.region_read(CONFIG, 4, &mut command).unwrap();
    assert_eq!(command, [0, 0]);
    driver.enable_function();
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
    assert_eq!(driver.read(regs::CTRL), 0);
    driver.start();
    assert_eq!(regs::Status(driver.read(regs::STATUS)).link(), 1);
}

/// The same when its time is over.
#[test]
fn back_from_removal_by_the_clock() {
    let (nic, _peer, mut driver) = Driver::running(&[]);
    driver.write(regs::CTRL, 0);
    assert_eq!(nic.control("chaos removed,count=1,ms=20"), "ok");
    until("it is back", || {
        let mut command = [0xff; 2];
        driver.client.region_read(CONFIG, 4, &mut command).unwrap();
        (command == [0, 0]).then_some(())
    });
    driver.enable_function();
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
}

/// The link that flaps is up when the fault ends, and the event tells.
#[test]
fn the_link_comes_back() {
    let (nic, _peer, mut driver) = Driver::running(&[]);
    assert_eq!(nic.control("chaos link-flap=1,ms=0"), "ok");
    driver.until_link(false);
    driver.write(regs::EVENT, u32::MAX);
    assert_eq!(nic.control("chaos off"), "ok");
    assert_eq!(regs::Status(driver.read(regs::STATUS)).link(), 1);
    assert_eq!(regs::Event(driver.read(regs::EVENT)).link(), 1);
}

/// A wire that is not plugged in carries nothing either way.
#[test]
fn the_wire_is_disconnected_and_connected() {
    let (nic, mut peer, mut driver) = Driver::running(&[]);
    driver.write(regs::EVENT, u32::MAX);
    assert_eq!(nic.control("link down"), "ok");
    assert_eq!(regs::Status(driver.read(regs::STATUS)).link(), 0);
    assert_eq!(regs::Event(driver.read(regs::EVENT)).link(), 1);
    assert_eq!(nic.status()["link"], false);
    peer.send(&[plain(100, 1)]);
    driver.transmit(0, &plain(100, 2));
    until("it is through with that", || {
        (driver.tx_head(0) == 1).then_some(())
    });
    assert_eq!(nic.control("link up"), "ok");
    assert_eq!(nic.status()["link"], true);
    driver.transmit(0, &plain(100, 3));
    assert_eq!(peer.receive(), plain(100, 3));
}

/// One connection carries many commands; an invalid one gets an answer, too.
#[test]
fn several_commands_on_one_connection() {
    let nic = Nic::start("loop", &[]);
    let mut socket = UnixStream::connect(nic.path("control")).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let idle = UnixStream::connect(nic.path("control")).unwrap();
    for (line, start) in [
        (&b"link down\n"[..], "ok"),
        (b"\n", "error: there is no command ''"),
        (b"chaos\n", "error: want chaos SPEC"),
        (b"\xff\xfe\n", "error: the line is not UTF-8"),
        (b"link up\nchaos lost\n", "ok"),
    ] {
        socket.write_all(line).unwrap();
        let answer = lines.next().unwrap().unwrap();
        assert!(answer.starts_with(start), "{answer}");
    }
    assert_eq!(lines.next().unwrap().unwrap(), "ok");
    assert_eq!(nic.status()["chaos_spec"], "lost=0.01");
    drop(idle);
    let mut long = UnixStream::connect(nic.path("control")).unwrap();
    long.write_all(&[b'x'; 4096]).unwrap();
    let mut text = String::new();
    long.read_to_string(&mut text).unwrap();
    assert_eq!(text, "error: the line is too long\n");
}
