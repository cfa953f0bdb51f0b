// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The kinds of wire, the trace, the state of the link.

use std::borrow::Cow;
use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::Path;

use pcap_file::pcap::{PcapPacket, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use reflow_hwdef::regs;
use tempfile::TempDir;

use crate::driver::Driver;
use crate::peer::{plain, tcp, Peer, ACK, PSH};
use crate::rig::{until, until_exists, Nic};

/// Frames of a pcapng file with their direction (1 in, 2 out) and comment.
fn packets(path: &Path) -> Vec<(Vec<u8>, u32, String)> {
    let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.unwrap() else {
            continue;
        };
        let (mut direction, mut comment) = (0, String::new());
        for option in &packet.options {
            match option {
                EnhancedPacketOption::Flags(flags) => direction = flags & 3,
                EnhancedPacketOption::Comment(text) => comment = text.to_string(),
                _ => {}
            }
        }
        packets.push((packet.data.to_vec(), direction, comment));
    }
    packets
}

fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut writer = PcapWriter::new(File::create(path).unwrap()).unwrap();
    for frame in frames {
        writer
            .write_packet(&PcapPacket {
                timestamp: std::time::Duration::from_secs(1),
                orig_len: frame.len() as u32,
                data: Cow::Borrowed(frame),
            })
            .unwrap();
    }
}

/// A wire that listens: the link follows the peer, each change is an event with an interrupt, and
/// the next peer is as good as the first.
#[test]
fn link_follows_the_peer_of_a_listening_wire() {
    let nic = Nic::start("listen:unix:@/wire", &["--queues", "2"]);
    let mut driver = Driver::attach(&nic);
    driver.write(regs::EVENT_VECTOR, 2);
    for round in 0..3 {
        driver.until_link(false);
        driver.write(regs::EVENT, u32::MAX);
        driver.write(regs::EVENT_ARM, regs::Event(0).with_link(1).0);
        let mut peer = Peer::connect(&nic.path("wire"));
        assert_eq!(driver.interrupt(2), Some(1), "round {round}");
        assert_eq!(regs::Event(driver.read(regs::EVENT)).link(), 1);
        driver.until_link(true);
        driver.start();
        peer.send(&[plain(90, round)]);
        let completion = driver.next(0);
        assert_eq!(driver.whole_packet(0, completion), plain(90, round));
        driver.write(regs::RESET, 1);
        driver.write(regs::EVENT_VECTOR, 2);
    }
}

/// A wire that connects retries until there is a listener. Frames sent meanwhile are
/// not waited for.
#[test]
fn link_follows_the_peer_of_a_connecting_wire() {
    let nic = Nic::start("stream:unix:@/wire", &[]);
    let mut driver = Driver::attach(&nic);
    driver.start();
    for round in 0..3 {
        driver.until_link(false);
        driver.transmit(0, &plain(100, 0xee));
        until("the frame is gone", || {
            (driver.tx_head(0) == 2 * round + 1).then_some(())
        });
        let listener = UnixListener::bind(nic.path("wire")).unwrap();
        let mut peer = Peer::new(listener.accept().unwrap().0);
        driver.until_link(true);
        driver.transmit(0, &plain(100, round as u8));
        assert_eq!(peer.receive(), plain(100, round as u8));
        drop(listener);
        fs::remove_file(nic.path("wire")).unwrap();
    }
}

/// All that a peer sent before it closed is received.
#[test]
fn last_frames_are_received() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut driver = Driver::attach(&nic);
    driver.start();
    for round in 0..3 {
        let mut peer = Peer::connect(&nic.path("wire"));
        driver.until_link(true);
        peer.send(&[plain(300, round), plain(400, round), plain(500, round)]);
        drop(peer);
        for len in [300, 400, 500] {
            let completion = driver.next(0);
            assert_eq!(driver.whole_packet(0, completion), plain(len, round));
        }
        driver.until_link(false);
    }
}

/// A peer that breaks the framing is hung up on; the next one is served.
#[test]
fn impossible_lengths_end_the_connection() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut driver = Driver::attach(&nic);
    driver.start();
    let mut peer = Peer::connect(&nic.path("wire"));
    peer.send(&[plain(100, 1)]);
    driver.next(0);
    peer.send_raw(&[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert!(peer.is_closed());
    let mut peer = Peer::connect(&nic.path("wire"));
    peer.send(&[plain(100, 2)]);
    let completion = driver.next(0);
    assert_eq!(driver.whole_packet(0, completion), plain(100, 2));
}

/// Frames in a capture file wait for the driver, then come in order; what is sent is in the other.
#[test]
fn capture_files() {
    let dir = TempDir::new().unwrap();
    let frames: Vec<Vec<u8>> = (0..10).map(|i| plain(60 + 20 * i as usize, i)).collect();
    write_pcap(&dir.path().join("in"), &frames);
    let nic = Nic::start_in(dir, "pcap:@/in,@/out", &[]);
    let mut driver = Driver::attach(&nic);
    driver.start();
    for frame in &frames {
        let completion = driver.next(0);
        assert_eq!(&driver.whole_packet(0, completion), frame);
    }
    driver.transmit(0, &plain(123, 7));
    until("the frame is in the file", || {
        (packets(&nic.path("out")) == [(plain(123, 7), 2, "sent".to_owned())]).then_some(())
    });
    assert_eq!(nic.counter("hw_rx_disabled"), 0);
}

/// On the loop wire each frame comes back.
#[test]
fn loopback() {
    let nic = Nic::start("loop", &[]);
    let mut driver = Driver::attach(&nic);
    driver.start();
    for n in 0..30 {
        driver.transmit(0, &plain(100, n));
        let completion = driver.next(0);
        assert_eq!(driver.whole_packet(0, completion), plain(100, n));
        driver.post(0, regs::BufKind::Small, u16::from(n % 16 == 15));
        driver.arm(0);
    }
}

/// The trace has every frame in the order of the wire, its direction, and what the NIC made of it;
/// it is whole when the server ends.
///
/// Claims: 21, 37
#[test]
fn trace() {
    let nic = Nic::start("listen:unix:@/wire", &["--trace", "@/trace"]);
    let mut peer = Peer::connect(&nic.path("wire"));
    until_exists(&nic.path("trace"));
    peer.send(&[plain(60, 1)]);
    until("it is dropped", || {
        (nic.counter("hw_rx_disabled") == 1).then_some(())
    });
    let mut driver = Driver::attach(&nic);
    driver.merge();
    driver.start();
    peer.send(&[plain(70, 2)]);
    driver.next(0);
    driver.transmit(0, &plain(80, 3));
    peer.receive();
    let segments: Vec<Vec<u8>> = [(0, ACK), (500, ACK), (1000, PSH)]
        .map(|(seq, flags)| tcp(4000, seq, flags, &[5; 500]))
        .into();
    peer.send(&segments);
    for _ in 0..3 {
        driver.next(0);
    }
    // No buffer is left of those that the next one would need.
    driver.write(regs::QUEUE_BASE + regs::Q_CTRL, 0);
    driver.start_queue(0);
    peer.send(&[plain(90, 4)]);
    until("it waits", || {
        (nic.status()["queues"][0]["waiting"] == 1).then_some(())
    });
    driver.transmit(0, &plain(100, 5));
    peer.receive();
    driver.write(regs::RESET, 1);
    driver.start();
    peer.send(&[plain(110, 6)]);
    driver.next(0);
    let (_, dir) = nic.terminate();
    let flow = "flow 0, queue 0";
    let other = "no_assist, no flow, queue 0";
    let why = "the parser program refused it";
    let expected = [
        (plain(60, 1), 1, "dropped: hw_rx_disabled".to_owned()),
        (plain(70, 2), 1, format!("{other}, hint 0: {why}")),
        (plain(80, 3), 2, "sent".to_owned()),
        (
            segments[0].clone(),
            1,
            format!("start, {flow}, hint 1: first data of a flow"),
        ),
        (
            segments[1].clone(),
            1,
            format!("append, {flow}, hint 1: it is next in order and its headers are equal"),
        ),
        (
            segments[2].clone(),
            1,
            format!(
                "append_close, {flow}, hint 0: it is next in order and completes the aggregate"
            ),
        ),
        (plain(90, 4), 1, format!("{other}, lost: {why}")),
        (plain(100, 5), 2, "sent".to_owned()),
        (plain(110, 6), 1, format!("{other}, hint 0: {why}")),
    ];
    assert_eq!(packets(&dir.path().join("trace")), expected);
}

/// A frame whose outcome is open for long is in the file, and so are later ones.
#[test]
fn trace_of_a_queue_that_is_stuck() {
    let nic = Nic::start("listen:unix:@/wire", &["--trace", "@/trace"]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    driver.start_queue(0);
    driver.start_device();
    peer.send(&[plain(90, 1)]);
    until("it waits", || {
        (nic.status()["queues"][0]["waiting"] == 1).then_some(())
    });
    driver.transmit(0, &plain(100, 2));
    until("both are in the file", || {
        let seen = packets(&nic.path("trace"));
        let comments: Vec<&str> = seen.iter().map(|packet| packet.2.as_str()).collect();
        (comments == ["no_assist, no flow, queue 0, waits", "sent"]).then_some(())
    });
}
