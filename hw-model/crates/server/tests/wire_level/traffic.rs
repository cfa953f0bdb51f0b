// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packets through the whole server: from the wire to guest memory and back.

use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{self, BufKind};

use crate::driver::Driver;
use crate::peer::{plain, tcp, ACK, PSH, TCP_HEADERS};
use crate::rig::until;

/// A frame comes in: it is whole in a packet buffer of its size class, the completion says what it
/// is, and the host is interrupted once.
///
/// Claims: 8, 19, 27, 40
#[test]
fn receives() {
    let (nic, mut peer, mut driver) = Driver::connected(&[]);
    driver.start();
    for len in [14, 60, 256, 257, 1514] {
        let frame = plain(len, len as u8);
        peer.send(&[&frame]);
        assert_eq!(driver.interrupt(0), Some(1), "{len} bytes");
        let completion = driver.poll(0).expect("completion before interrupt");
        assert_eq!(completion.c0.opcode(), Opcode::NoAssist as u64);
        assert_eq!(completion.c0.flow(), u64::from(FLOW_NONE));
        assert_eq!(completion.c1.pkt_len(), len as u64);
        assert_eq!(
            completion.c0.sb() == 1,
            len <= 256,
            "size class of {len} bytes"
        );
        assert_eq!(driver.whole_packet(0, completion), frame);
        assert_eq!(driver.interrupts_now(0), None, "not armed");
        driver.arm(0);
    }
    assert_eq!(nic.counter("hw_rx_transferred"), 5);
    assert_eq!(nic.status()["queues"][0]["counters"]["hw_packets"], 5);
}

/// A frame goes out: it is on the wire, the head index is written back, and the host that asked is
/// interrupted.
#[test]
fn transmits() {
    let (nic, mut peer, mut driver) = Driver::connected(&[]);
    driver.start();
    for n in 1..=40 {
        let frame = plain(60 + 30 * n as usize, n as u8);
        driver.transmit(0, &frame);
        assert_eq!(peer.receive(), frame);
        until("the head is written back", || {
            (driver.tx_head(0) == n).then_some(())
        });
        assert_eq!(driver.interrupt(0), Some(1));
        driver.arm(0);
    }
    assert_eq!(nic.counter("hw_tx_frames"), 40);
}

/// Segments of one connection that come together: header and data apart, data gapless in a buffer
/// of the flow's own, later headers left out, the hint telling that more waits.
///
/// Claims: 1, 10, 18, 20, 21, 23, 33, 37, 42, 47, 53, 56, 57, 58, 59, 62
#[test]
fn reassembles() {
    let (_nic, mut peer, mut driver) = Driver::connected(&[]);
    driver.merge();
    driver.start();
    let data: Vec<u8> = (0..3000).map(|i| (i * 7) as u8).collect();
    let segments: Vec<Vec<u8>> = data
        .chunks(1000)
        .enumerate()
        .map(|(i, part)| tcp(4000, 1000 * i as u32, if i == 2 { PSH } else { ACK }, part))
        .collect();
    peer.send(&segments);
    let completions = [driver.next(0), driver.next(0), driver.next(0)];
    let opcodes = completions.map(|c| c.c0.opcode());
    let expected = [Opcode::Start, Opcode::Append, Opcode::AppendClose].map(|o| o as u64);
    assert_eq!(opcodes, expected);
    let hints = completions.map(|c| c.c0.more());
    assert_eq!(hints, [1, 1, 0]);
    assert!(completions
        .iter()
        .all(|c| c.c0.flow() == completions[0].c0.flow()));
    assert_ne!(completions[0].c0.flow(), u64::from(FLOW_NONE));

    let first = completions[0];
    assert_eq!((first.c0.hb(), first.c2.hdr_len()), (1, TCP_HEADERS as u64));
    let header = driver.buffer(0, BufKind::Header, first.c2.hb_id()) + first.c2.hb_off();
    assert_eq!(driver.peek(header, TCP_HEADERS), segments[0][..TCP_HEADERS]);
    assert!(completions[1..].iter().all(|c| c.c0.hb() == 0));

    let mut place = first.c3.rb_off();
    for completion in completions {
        assert_eq!(
            (completion.c3.rb_id(), completion.c3.rb_off()),
            (first.c3.rb_id(), place)
        );
        place += completion.c3.rb_len();
    }
    let buffer = driver.buffer(0, BufKind::Reasm, first.c3.rb_id()) + first.c3.rb_off();
    assert_eq!(driver.peek(buffer, data.len()), data);
}

/// Flows go to the queues that hash and table choose, each with an interrupt of its own.
///
/// Claims: 38, 39, 45, 54, 61
#[test]
fn spreads() {
    let (nic, mut peer, mut driver) = Driver::connected(&["--queues", "4"]);
    driver.merge();
    for queue in 0..4 {
        driver.start_queue(queue);
        for kind in BufKind::ALL {
            driver.post(queue, kind, 16);
        }
    }
    for i in 0..regs::RSS_KEY_WORDS {
        driver.write(
            regs::RSS_KEY + 4 * i,
            0x6d5a_56da_u32.rotate_left(i as u32 * 3),
        );
    }
    for i in 0..regs::RSS_ENTRIES {
        driver.write(regs::RSS_TABLE + 4 * i, i as u32 % 4);
    }
    driver.write(
        regs::RSS_CTRL,
        regs::RssCtrl(0)
            .with_enable(1)
            .with_tcp4(regs::HASH_PORTS)
            .0,
    );
    driver.start_device();
    (1..4).for_each(|queue| driver.arm(queue));

    let frames: Vec<Vec<u8>> = (0..32)
        .map(|port| tcp(5000 + port, 1, PSH, &[1; 100]))
        .collect();
    peer.send(&frames);
    until("all are transferred", || {
        (nic.counter("hw_rx_transferred") == 32).then_some(())
    });
    for queue in 0..4 {
        assert_eq!(driver.interrupt(queue), Some(1), "queue {queue}");
        assert!(driver.poll(queue).is_some(), "queue {queue}");
    }
}

/// While the host gives no buffers the wire is left alone, and nothing is lost.
#[test]
fn pauses_the_peer() {
    let (nic, mut peer, mut driver) = Driver::connected(&["--pm-kib", "64"]);
    driver.start_queue(0);
    driver.start_device();
    // Twice what the packet memory holds.
    let frames: Vec<Vec<u8>> = (0..128).map(|i| plain(1000, i)).collect();
    peer.send(&frames);
    until("the packet memory is nearly full", || {
        (driver.read(regs::PM_LEVEL) > 48 * 1024).then_some(())
    });
    for (i, frame) in frames.iter().enumerate() {
        if i % 8 == 0 {
            driver.post(0, BufKind::Packet, 8);
            driver.arm(0);
        }
        let completion = driver.next(0);
        assert_eq!(&driver.whole_packet(0, completion), frame, "frame {i}");
    }
    assert_eq!(nic.counter("hw_rx_pm_overflow"), 0);
    assert_eq!(nic.counter("hw_rx_frames"), 128);
}

/// Told not to pause, the device drops what its packet memory cannot hold, and counts it.
#[test]
fn overflows_when_told_to() {
    let (nic, mut peer, mut driver) = Driver::connected(&["--pm-kib", "64", "--no-pause"]);
    driver.start_queue(0);
    driver.start_device();
    peer.send(&vec![plain(1000, 1); 200]);
    until("all have arrived", || {
        (nic.counter("hw_rx_frames") == 200).then_some(())
    });
    let lost = nic.counter("hw_rx_pm_overflow");
    assert!((100..200).contains(&lost), "{lost} lost");
    for _ in 0..200 - lost {
        driver.post(0, BufKind::Packet, 1);
        driver.arm(0);
        driver.next(0);
    }
    until("all others are transferred", || {
        (nic.counter("hw_rx_transferred") == 200 - lost).then_some(())
    });
}

/// A peer that does not read stops transmission, not the device; nothing is lost.
#[test]
fn waits_for_a_slow_peer() {
    let (_nic, mut peer, mut driver) = Driver::connected(&[]);
    driver.start();
    let count = 2000;
    let mut sent = 0;
    let mut seen = 0;
    while seen < count {
        // Fill the ring, then everything between here and the peer.
        while sent < count && sent - tx_done(&driver, sent) < 15 {
            driver.transmit(0, &plain(1500, sent as u8));
            sent += 1;
        }
        if sent == count || stuck(&driver, sent) {
            assert_eq!(peer.receive(), plain(1500, seen as u8), "frame {seen}");
            seen += 1;
        }
    }
}

/// How many of `sent` frames are done, from an index that wraps.
fn tx_done(driver: &Driver, sent: u32) -> u32 {
    sent - (sent.wrapping_sub(driver.tx_head(0)) & 0x7fff)
}

/// Whether the ring stays full for a while.
fn stuck(driver: &Driver, sent: u32) -> bool {
    let done = tx_done(driver, sent);
    std::thread::sleep(std::time::Duration::from_millis(2));
    sent - done >= 15 && tx_done(driver, sent) == done
}
