// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checksums, VLAN tags, the load distributor, and transmit.

use proptest::prelude::*;
use reflow_device::RxOutcome;
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_hwdef::toeplitz;
use reflow_testkit::driver::QueueSetup;
use reflow_testkit::frames::{self, *};
use reflow_testkit::{hashing, Rig, Setup, Tcp};

/// Good checksums are said to be good, for TCP and UDP, IPv4 and IPv6; a flipped bit is found.
#[test]
fn receive_checksums() {
    let mut rig = Rig::usual();
    let good = [
        Tcp::data(1, 1, 77).build(),
        Tcp::data(1, 1, 77).v6().build(),
        udp(1, false, &[1; 33]),
        udp(1, true, &[1; 33]),
    ];
    for frame in &good {
        rig.arrive(frame);
        let mut bad = frame.clone();
        *bad.last_mut().unwrap() ^= 0x10;
        rig.arrive(&bad);
    }
    let got = rig.drain();
    for pair in got.chunks(2) {
        let flags = |i: usize| {
            let c0 = pair[i].first.c0;
            (c0.l3_ok(), c0.l4_ok(), c0.csum_bad())
        };
        assert_eq!((flags(0), flags(1)), ((1, 1, 0), (1, 0, 1)));
    }
    assert_eq!(rig.count(Global::RxL4CsumBad), 4);
}

/// A packet that is sent gets its time where it asks for that, and only there.
#[test]
fn transmit_time() {
    let mut rig = Rig::usual();
    let packet = [0x5a; 100];
    let plain = T1(0);
    let descs = [
        (&[&packet[..]][..], plain.with_stamp(1)),
        (&[&packet[..40], &packet[40..]], plain.with_stamp(1)),
        (&[&packet[..]], plain),
    ];
    for (parts, t1) in descs {
        rig.queues[0].queue_tx(&rig.host, parts, t1, T2(0));
    }
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    let sent = rig.now;
    assert_eq!(rig.queues[0].tx_head(&rig.host).raw(), 4);
    let times: Vec<u64> = (0..4)
        .map(|at| rig.queues[0].tx_time(&rig.host, at))
        .collect();
    assert_eq!(times, [sent, 0, sent, 0]);

    // A packet that is not sent has no time.
    rig.dev.set_link(false);
    rig.queues[0].queue_tx(&rig.host, &[&packet], plain.with_stamp(1), T2(0));
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    assert_eq!(rig.queues[0].tx_head(&rig.host).raw(), 5);
    assert_eq!(rig.queues[0].tx_time(&rig.host, 4), 0);
}

/// A wrong checksum of the outer header is told although the inner one is broken.
#[test]
fn an_outer_checksum_before_a_broken_header() {
    let mut rig = Rig::new(Setup {
        program: "tunnels",
        ..Setup::default()
    });
    let tunnel = Tcp {
        tunnel: true,
        ..Tcp::data(1, 1, 77)
    };
    for (at, value) in [(34, 0x35), (34, 0x44), (36, 0xff)] {
        let mut frame = tunnel.build();
        frame[at] = value;
        rig.arrive(&frame);
        frame[24] ^= 1;
        rig.arrive(&frame);
        let said = |d: &reflow_testkit::Delivery| (d.first.c0.l3_ok(), d.first.c0.csum_bad());
        let got: Vec<_> = rig.drain().iter().map(said).collect();
        assert_eq!(got, [(1, 0), (0, 1)], "{at} {value:#x}");
    }
    assert_eq!(rig.count(Global::RxL3CsumBad), 3);
}

/// A sender away from home: the checksum covers the address in its option, not that in the header,
/// and the device leaves it to the host. Other options change nothing.
#[test]
fn home_address_option() {
    let frame = |option: Vec<u8>| {
        let mut frame = Tcp::data(1, 1, 77).v6().build();
        let mut ext = vec![6, 2];
        ext.extend(option);
        assert_eq!(ext.len(), 24);
        frame[20] = 60;
        frame[19] += 24;
        frame.splice(54..54, ext);
        frame
    };
    let mut away = frame([&[1, 2, 0, 0, 201, 16][..], &[0; 16]].concat());
    let (home, care_of) = (away[22..38].to_vec(), [0xfd; 16]);
    away[22..38].copy_from_slice(&care_of);
    away[62..78].copy_from_slice(&home);
    let at_home = frame([&[1, 20][..], &[0; 20]].concat());
    let mut broken = at_home.clone();
    *broken.last_mut().unwrap() ^= 1;
    let mut rig = Rig::usual();
    for frame in [&away, &at_home, &broken] {
        rig.arrive(frame);
    }
    let said = |d: &reflow_testkit::Delivery| (d.first.c0.l4_ok(), d.first.c0.csum_bad());
    let got: Vec<_> = rig.drain().iter().map(said).collect();
    assert_eq!(got, [(0, 0), (1, 0), (0, 1)]);
    assert_eq!(rig.count(Global::RxL4CsumBad), 1);
}

/// Every flipped bit of a segment is found.
#[test]
fn every_flipped_bit_is_found() {
    let mut rig = Rig::usual();
    let good = Tcp::data(1, 1, 9).build();
    for bit in 34 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        rig.arrive(&bad);
        assert_eq!(rig.drain()[0].first.c0.l4_ok(), 0, "bit {bit}");
    }
}

/// A packet without a checksum is not reported as verified.
#[test]
fn a_missing_checksum_is_not_reported_as_good() {
    let mut rig = Rig::usual();
    let mut none = udp(1, false, &[1; 33]);
    none[40..42].fill(0);
    rig.arrive(&none);
    rig.arrive(&frames::arp());
    for d in rig.drain() {
        assert_eq!((d.first.c0.l4_ok(), d.first.c0.csum_bad()), (0, 0));
    }
}

/// The tag is removed and told, or left where it is; offsets are those of the frame as delivered.
#[test]
fn vlan_tags_on_receive() {
    for strip in [0, 1] {
        let mut setup = Setup::default();
        setup.rx_mode = setup.rx_mode.with_vlan_strip(strip);
        let mut rig = Rig::new(setup);
        let plain = Tcp::data(1, 1, 20).flags(ACK | PSH);
        let tagged = Tcp {
            vlan: Some(0x2064),
            ..plain.clone()
        };
        rig.arrive(&tagged.build());
        let d = &rig.drain()[0];
        let c0 = d.first.c0;
        let off = if strip == 1 { 14 } else { 18 };
        let expected = if strip == 1 { &plain } else { &tagged }.build();
        assert_eq!(d.whole, expected);
        assert_eq!(d.first.c1.pkt_len() as usize, expected.len());
        assert_eq!(c0.vlan(), strip.into());
        assert_eq!(d.first.c1.vlan_tci(), 0x2064 * u64::from(strip));
        assert_eq!((d.first.c4.l3_off(), d.first.c4.l4_off()), (off, off + 20));
        assert_eq!((c0.l3_ok(), c0.l4_ok()), (1, 1));
    }
}

/// The hash is Toeplitz over addresses and ports, and the indirection table says the queue.
///
/// Claims: 32, 38, 39, 45, 54, 61.
#[test]
fn load_distribution() {
    let mut rig = Rig::new(Setup {
        queues: 4,
        ram: 32 << 20,
        ..Setup::default()
    });
    let mut used = [false; 4];
    for conn in 0..40 {
        let v6 = conn % 2 == 1;
        let frame = Tcp {
            v6,
            ..Tcp::data(conn, 1, 10)
        }
        .build();
        let end = if v6 { 14 + 40 + 4 } else { 14 + 20 + 4 };
        let start = if v6 { 14 + 8 } else { 14 + 12 };
        let hash = toeplitz::hash(&toeplitz::DEFAULT_SECRET, &frame[start..end]);
        let RxOutcome::Queued { queue, .. } = rig.arrive(&frame) else {
            panic!("dropped");
        };
        assert_eq!(u32::from(queue), hash % 128 % 4);
        used[usize::from(queue)] = true;
        rig.pump();
        let d = &rig.poll(usize::from(queue))[0];
        assert_eq!(d.first.c1.hash(), u64::from(hash));
        assert_eq!((d.first.c0.hash(), d.first.c0.hash_l4()), (1, 1));
    }
    assert_eq!(used, [true; 4]);
}

/// Without ports, only addresses are hashed; without hashing, all goes to the first queue; entries
/// that name no queue count as off.
///
/// Claims: 38.
#[test]
fn load_distribution_is_configured() {
    let mut rig = Rig::new(Setup {
        queues: 2,
        ram: 16 << 20,
        ..Setup::default()
    });
    rig.write(RSS_CTRL, hashing(false).with_enable(1).0);
    let frame = Tcp::data(3, 1, 10).build();
    let RxOutcome::Queued { queue, .. } = rig.arrive(&frame) else {
        panic!("dropped");
    };
    rig.pump();
    let d = &rig.poll(usize::from(queue))[0];
    let hash = toeplitz::hash(&toeplitz::DEFAULT_SECRET, &frame[26..34]);
    assert_eq!(d.first.c1.hash(), u64::from(hash));
    assert_eq!(d.first.c0.hash_l4(), 0);

    rig.write(RSS_CTRL, 0);
    for conn in 0..10 {
        let outcome = rig.arrive(&udp(conn, false, &[0; 9]));
        assert!(matches!(outcome, RxOutcome::Queued { queue: 0, .. }));
    }
    rig.write(RSS_CTRL, hashing(false).with_enable(1).0);
    for i in 0..128 {
        rig.write(RSS_TABLE + i * 4, 200);
    }
    let outcome = rig.arrive(&udp(50, false, &[0; 9]));
    assert_eq!(outcome, RxOutcome::Dropped(Global::RxDisabled));
    // No key, no hash: the first queue.
    let outcome = rig.arrive(&frames::arp());
    assert!(matches!(outcome, RxOutcome::Queued { queue: 0, .. }));
}

/// A new key changes the hash.
#[test]
fn the_hash_key_is_written_in_words() {
    let mut rig = Rig::usual();
    let mut secret = [0; 40];
    for (i, b) in secret.iter_mut().enumerate() {
        *b = (i as u8).wrapping_mul(7) + 1;
    }
    for (i, w) in secret.chunks(4).enumerate() {
        let word = u32::from_le_bytes(w.try_into().unwrap());
        rig.write(RSS_KEY + i * 4, word);
        assert_eq!(rig.read(RSS_KEY + i * 4), word);
    }
    let frame = Tcp::data(3, 1, 10).build();
    rig.arrive(&frame);
    let hash = toeplitz::hash(&secret, &frame[26..38]);
    assert_eq!(rig.drain()[0].first.c1.hash(), u64::from(hash));
}

/// A frame in several parts is gathered, its checksum filled in, its tag inserted.
#[test]
fn transmit_gathers_sums_and_tags() {
    let mut rig = Rig::usual();
    let full = Tcp::data(1, 5, 333).build();
    let mut partial = full.clone();
    // The stack leaves the pseudo header's sum in the field.
    let mut sum = 6 + (full.len() as u32 - 34);
    for pair in full[26..34].chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(pair[1]);
    }
    let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
    partial[50..52].copy_from_slice(&sum.to_be_bytes());
    let t1 = T1(0).with_csum(1).with_vlan(1).with_vlan_tci(0x0123);
    let t2 = T2(0).with_csum_start(34).with_csum_off(50);
    let parts = [
        &partial[..14],
        &partial[14..66],
        &partial[66..67],
        &partial[67..],
    ];
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].queue_tx(host, &parts, t1, t2);
    queues[0].queue_tx(host, &[&full], T1(0), T2(0));
    queues[0].kick_tx(dev, host);
    rig.pump();
    let mut tagged = full.clone();
    tagged.splice(12..12, [0x81, 0, 1, 0x23]);
    assert_eq!(rig.host.wire, [tagged, full]);
    assert_eq!(rig.queues[0].tx_head(&rig.host).raw(), 5);
    assert_eq!(rig.count(Global::TxFrames), 2);
    assert_eq!(rig.count(Global::TxCsum), 1);
}

/// A busy wire holds frames back; nothing is lost, nothing is written back early.
#[test]
fn a_busy_wire_delays_frames() {
    let mut rig = Rig::usual();
    rig.host.room = 3;
    let frame = frames::arp();
    for _ in 0..10 {
        rig.queues[0].queue_tx(&rig.host, &[&frame], T1(0), T2(0));
    }
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    assert_eq!(rig.host.wire.len(), 3);
    assert_eq!(rig.queues[0].tx_head(&rig.host).raw(), 3);
    rig.host.room = 100;
    rig.pump();
    assert_eq!(rig.host.wire.len(), 10);
    assert_eq!(rig.queues[0].tx_head(&rig.host).raw(), 10);
}

/// Frames that cannot be sent are counted and the queue goes on; broken descriptors stop it.
#[test]
fn transmit_errors() {
    let mut rig = Rig::usual();
    rig.write(MAX_FRAME, 100);
    rig.queues[0].queue_tx(&rig.host, &[&[0; 101]], T1(0), T2(0));
    rig.queues[0].queue_tx(&rig.host, &[&[0; 13]], T1(0), T2(0));
    rig.queues[0].queue_tx(&rig.host, &[&[0; 100]], T1(0), T2(0));
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    assert_eq!((rig.host.wire.len(), rig.count(Global::TxErrors)), (1, 2));
    assert_eq!(rig.queues[0].tx_head(&rig.host).raw(), 3);
    rig.dev.set_link(false);
    rig.queues[0].queue_tx(&rig.host, &[&[0; 60]], T1(0), T2(0));
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    assert_eq!((rig.host.wire.len(), rig.count(Global::TxErrors)), (1, 3));
    assert_eq!(rig.queues[0].status(&mut rig.dev).error(), 0);
}

#[test]
fn broken_transmit_descriptors_stop_the_queue() {
    let sop_eop = T1(0).with_sop(1).with_eop(1).with_len(60);
    let broken: [(QueueError, &[[u64; 4]]); 8] = [
        (QueueError::BadTxDesc, &[[0, T1(0).with_len(9).0, 0, 0]]),
        (QueueError::BadTxDesc, &[[0, sop_eop.with_len(0).0, 0, 0]]),
        (QueueError::BadTxDesc, &[[0, sop_eop.0, 0, 1]]),
        (QueueError::BadTxDesc, &[[0, sop_eop.with_tso(1).0, 0, 0]]),
        (QueueError::BadTxDesc, &[[0, sop_eop.0 | (1 << 31), 0, 0]]),
        (
            QueueError::BadTxDesc,
            &[[0, sop_eop.with_eop(0).0, 0, 0], [0, sop_eop.0, 0, 0]],
        ),
        (
            QueueError::BadTxDesc,
            &[[0, T1(0).with_sop(1).with_len(1).0, 0, 0]; 1],
        ),
        (QueueError::BadBuffer, &[[0, sop_eop.0, 0, 0]]),
    ];
    for (i, (error, descs)) in broken.into_iter().enumerate() {
        let mut rig = Rig::usual();
        for &desc in descs {
            rig.queues[0].put_tx_desc(&rig.host, desc);
        }
        if i == 6 {
            // More parts than a packet may have.
            for _ in 0..20 {
                let desc = [0, T1(0).with_len(1).0, 0, 0];
                rig.queues[0].put_tx_desc(&rig.host, desc);
            }
        }
        rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
        rig.pump();
        let status = rig.queues[0].status(&mut rig.dev);
        assert_eq!((status.rx(), status.tx()), (1, 0), "case {i}");
        assert_eq!(status.error(), error as u32, "case {i}");
        assert_eq!(Event(rig.read(EVENT)).queue_fault(), 1);
        assert_eq!(rig.count(Global::TxErrors), 1);
    }
}

/// A checksum that lies outside the frame is a broken descriptor.
#[test]
fn checksums_outside_the_frame() {
    for (start, off) in [(60, 70), (10, 59), (100, 100), (20, 10)] {
        let mut rig = Rig::usual();
        let t2 = T2(0).with_csum_start(start).with_csum_off(off);
        rig.queues[0].queue_tx(&rig.host, &[&[1; 60]], T1(0).with_csum(1), t2);
        rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
        rig.pump();
        let error = rig.queues[0].status(&mut rig.dev).error();
        assert_eq!(error, QueueError::BadTxDesc as u32);
        assert!(rig.host.wire.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a frame is cut into parts and however full the ring is, the frame on the wire is the
    /// frame that was given, padded if it is short, and the ring's indices wrap around without a
    /// hitch.
    #[test]
    fn sent_frames_equal_those_given(
        cuts in proptest::collection::vec((14..1500_usize, 1..20_usize, 0..5_usize), 1..60),
    ) {
        let mut rig = Rig::new(Setup {
            queue: QueueSetup { log2_tx: 5, ..QueueSetup::default() },
            ..Setup::default()
        });
        let mut given = Vec::new();
        for (i, &(len, parts, turns)) in cuts.iter().enumerate() {
            let mut frame = Tcp::data(i as u16, 0, len).payload;
            frame[12] = 0;
            let bytes: Vec<&[u8]> = frame.chunks(len.div_ceil(parts)).collect();
            rig.queues[0].queue_tx(&rig.host, &bytes, T1(0), T2(0));
            rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
            frame.resize(len.max(60), 0);
            given.push(frame);
            rig.host.room = turns;
            rig.pump();
            rig.host.room = usize::MAX;
            rig.pump();
        }
        prop_assert_eq!(&rig.host.wire, &given);
        prop_assert_eq!(rig.queues[0].tx_head(&rig.host), rig.queues[0].queue.tx_tail);
    }
}
