// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Segmentation of packets to be sent.

use etherparse::{NetHeaders, PacketHeaders, PayloadSlice, TransportHeader};
use proptest::prelude::*;
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_testkit::frames::*;
use reflow_testkit::stack::Stack;
use reflow_testkit::{Rig, Setup, Tcp};

/// Where the headers of an untagged packet are.
fn offsets(v6: bool, l4_len: usize) -> T2 {
    let l4 = if v6 { 54 } else { 34 };
    T2(0)
        .with_l3_off(14)
        .with_l4_off(l4)
        .with_hdr_len(l4 + l4_len as u64)
}

fn tso(mss: u64) -> T1 {
    T1(0).with_tso(1).with_mss(mss)
}

/// A packet as a driver gives it to be cut: lengths and checksum are not those of any frame.
fn uncut(t: &Tcp) -> (Vec<u8>, T2) {
    let header = Tcp {
        payload: Vec::new(),
        ..t.clone()
    };
    let t2 = offsets(t.v6, 20 + t.options.len());
    ([header.build(), t.payload.clone()].concat(), t2)
}

/// The frames that must come out, made by a library that knows nothing of the device.
fn expected(t: &Tcp, mss: usize, fixed_id: bool) -> Vec<Vec<u8>> {
    let count = t.payload.len().div_ceil(mss).max(1);
    let frame = |i: usize| {
        let (first, last) = (i == 0, i + 1 == count);
        let gone = if last { 0 } else { FIN | PSH } | if first { 0 } else { CWR };
        let end = t.payload.len().min((i + 1) * mss);
        let ids = if fixed_id { 0 } else { i as u16 };
        Tcp {
            seq: t.seq.wrapping_add((i * mss) as u32),
            id: t.id.wrapping_add(ids),
            flags: t.flags & !gone,
            payload: t.payload[i * mss..end].to_vec(),
            ..t.clone()
        }
    };
    (0..count).map(|i| frame(i).build_padded()).collect()
}

/// Sends a packet in so many parts, the wire taking frames by these turns.
fn send(rig: &mut Rig, packet: &[u8], t1: T1, t2: T2, parts: usize, turns: &[usize]) {
    let parts: Vec<&[u8]> = packet.chunks(packet.len().div_ceil(parts)).collect();
    rig.queues[0].queue_tx(&rig.host, &parts, t1, t2);
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    for &turn in turns {
        rig.host.room = turn;
        rig.pump();
    }
    rig.host.room = usize::MAX;
    rig.pump();
}

/// The time of a packet that is cut is that of its last segment.
#[test]
fn time_of_the_last_segment() {
    let mut rig = Rig::usual();
    let tcp = Tcp::data(1, 1, 2500);
    let (packet, t2) = uncut(&tcp);
    send(&mut rig, &packet, tso(1000).with_stamp(1), t2, 2, &[1, 1]);
    assert_eq!(rig.host.wire.len(), 3);
    let times = [0, 1].map(|at| rig.queues[0].tx_time(&rig.host, at));
    assert_eq!(times, [0, rig.now]);
}

/// Checks a frame with a library that knows nothing of the device; its TCP or UDP payload.
fn reparse(frame: &[u8]) -> Vec<u8> {
    let p = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let net = p.net.unwrap();
    if let NetHeaders::Ipv4(ip, _) = &net {
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    }
    let payload = match p.payload {
        PayloadSlice::Tcp(payload) | PayloadSlice::Udp(payload) => payload,
        other => panic!("{other:?}"),
    };
    let (found, right) = match (&p.transport, &net) {
        (Some(TransportHeader::Tcp(h)), NetHeaders::Ipv4(ip, _)) => {
            (h.checksum, h.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (Some(TransportHeader::Tcp(h)), NetHeaders::Ipv6(ip, _)) => {
            (h.checksum, h.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (Some(TransportHeader::Udp(h)), NetHeaders::Ipv4(ip, _)) => {
            assert_eq!(usize::from(h.length), 8 + payload.len());
            (h.checksum, h.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (Some(TransportHeader::Udp(h)), NetHeaders::Ipv6(ip, _)) => {
            assert_eq!(usize::from(h.length), 8 + payload.len());
            (h.checksum, h.calc_checksum_ipv6(ip, payload).unwrap())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(found, right);
    payload.to_vec()
}

/// A frame without what pads it.
fn unpadded(frame: &[u8]) -> &[u8] {
    let word = |at| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let ip = if word(12) == 0x8100 { 18 } else { 14 };
    let len = match frame[ip] >> 4 {
        4 => word(ip + 2),
        _ => 40 + word(ip + 4),
    };
    &frame[..ip + len]
}

/// Frames come to another device of this kind, whose driver and stack merge them; cut again they
/// are what came, and the data is in order.
fn round_trip(frames: &[Vec<u8>], payload: &[u8], max_frame: u32) {
    let mut rig = Rig::new(Setup {
        max_frame,
        rx_mode: RxMode(0),
        ..Setup::default()
    });
    let mut stack = Stack::default();
    for burst in frames.chunks(20) {
        for frame in burst {
            rig.arrive(frame);
        }
        stack.take(rig.drain());
    }
    let again: Vec<_> = stack.up.iter().flat_map(|up| up.cut()).collect();
    assert!(again
        .iter()
        .map(|frame| unpadded(frame))
        .eq(frames.iter().map(|frame| unpadded(frame))));
    let data: Vec<_> = again.iter().flat_map(|frame| reparse(frame)).collect();
    assert!(data == payload);
}

/// A packet to be cut, told in few words.
#[derive(Clone, Debug)]
struct Case {
    v6: bool,
    seq: u32,
    id: u16,
    flags: u8,
    options: Vec<u8>,
    len: usize,
}

impl Case {
    fn tcp(&self) -> Tcp {
        Tcp {
            v6: self.v6,
            id: self.id,
            flags: self.flags,
            options: self.options.clone(),
            ..Tcp::data(3, self.seq, self.len)
        }
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    (
        any::<(bool, u32, u16)>(),
        any::<u8>().prop_map(|flags| ACK | (flags & (PSH | FIN | CWR | ECE))),
        prop_oneof![
            Just(Vec::new()),
            Just(TIMESTAMP.to_vec()),
            Just(vec![1; 40])
        ],
        prop_oneof![0..200_usize, 200..20_000_usize, Just(65536_usize)],
    )
        .prop_map(|((v6, seq, id), flags, options, len)| Case {
            v6,
            seq,
            id,
            flags,
            options,
            len,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Segments of a TCP packet are what an independent library makes of them, byte for byte,
    /// however the wire takes them; and what a device of this kind makes of them is the packet
    /// again.
    #[test]
    fn tcp_segments_round_trip(
        case in any_case(),
        mss in prop_oneof![1..60_usize, 60..3000_usize, Just(1448_usize)],
        fixed_id: bool,
        parts in 2..20_usize,
        turns in proptest::collection::vec(0..8_usize, 0..6),
    ) {
        let t = case.tcp();
        let mss = mss.max(case.len / 2000 + 1);
        let mut rig = Rig::usual();
        let (packet, t2) = uncut(&t);
        let t1 = tso(mss as u64).with_fixed_id(fixed_id.into());
        send(&mut rig, &packet, t1, t2, parts, &turns);
        let want = expected(&t, mss, fixed_id);
        prop_assert!(rig.host.wire == want);
        prop_assert_eq!(rig.queues[0].tx_head(&rig.host), rig.queues[0].queue.tx_tail);
        prop_assert_eq!(rig.count(Global::TxSegmented), 1);
        prop_assert_eq!(rig.count(Global::TxFrames), want.len() as u64);
        prop_assert_eq!(rig.count(Global::TxCsum), want.len() as u64);
        let bytes: usize = want.iter().map(Vec::len).sum();
        prop_assert_eq!(rig.count(Global::TxBytes), bytes as u64);
        round_trip(&want, &t.payload, 9014);
    }

    /// Segments of a UDP packet: right lengths, checksums and ids, and the payload in order.
    #[test]
    fn udp_segments_are_right(
        v6: bool,
        len in prop_oneof![0..100_usize, 100..30_000_usize, Just(65536_usize)],
        mss in 1..3000_usize,
        fixed_id: bool,
        turns in proptest::collection::vec(0..8_usize, 0..6),
    ) {
        let mss = mss.max(len / 2000 + 1);
        let payload = stream(1, 77, len);
        let packet = [udp(1, v6, &[]), payload.clone()].concat();
        let t1 = T1(0).with_uso(1).with_mss(mss as u64).with_fixed_id(fixed_id.into());
        let mut rig = Rig::usual();
        send(&mut rig, &packet, t1, offsets(v6, 8), 4, &turns);
        let wire = std::mem::take(&mut rig.host.wire);
        prop_assert_eq!(wire.len(), len.div_ceil(mss).max(1));
        let mut data = Vec::new();
        for (i, frame) in wire.iter().enumerate() {
            prop_assert!(frame.len() >= 60);
            let part = reparse(frame);
            prop_assert!(part.len() == mss || i + 1 == wire.len());
            data.extend(part);
            if !v6 {
                let id = u16::from_be_bytes([frame[18], frame[19]]);
                prop_assert_eq!(id, 7 + if fixed_id { 0 } else { i as u16 });
            }
            rig.arrive(frame);
        }
        prop_assert!(data == payload);
        for d in rig.drain() {
            prop_assert_eq!((d.first.c0.l4_ok(), d.first.c0.csum_bad()), (1, 0));
        }
    }
}

/// Each segment gets the tag; the offsets are those before it is inserted.
#[test]
fn every_segment_is_tagged() {
    let mut rig = Rig::usual();
    let t = Tcp::data(1, 1, 3000);
    let (packet, t2) = uncut(&t);
    let t1 = tso(1000).with_vlan(1).with_vlan_tci(0x2064).with_csum(1);
    send(&mut rig, &packet, t1, t2, 3, &[]);
    let tagged = Tcp {
        vlan: Some(0x2064),
        ..t
    };
    assert_eq!(rig.host.wire, expected(&tagged, 1000, false));
}

/// Tags, IPv4 options and extension headers in front are repeated as they are.
#[test]
fn outer_headers_are_repeated() {
    let t = Tcp {
        vlan: Some(5),
        ..Tcp::data(1, 1, 2500)
    };
    let mut rig = Rig::usual();
    let (packet, _) = uncut(&t);
    let t2 = T2(0).with_l3_off(18).with_l4_off(38).with_hdr_len(70);
    send(&mut rig, &packet, tso(900), t2, 1, &[]);
    assert_eq!(rig.host.wire, expected(&t, 900, false));

    // Eight bytes of destination options: next header TCP, no more than these, padding.
    let t = Tcp::data(1, 1, 2500).v6();
    let mut rig = Rig::usual();
    let (mut packet, _) = uncut(&t);
    packet.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
    packet[20] = 60;
    let t2 = T2(0).with_l3_off(14).with_l4_off(62).with_hdr_len(94);
    send(&mut rig, &packet, tso(900), t2, 1, &[]);
    let data: Vec<_> = rig.host.wire.iter().flat_map(|f| reparse(f)).collect();
    assert_eq!((rig.host.wire.len(), data), (3, t.payload.clone()));
    round_trip(&rig.host.wire, &t.payload, 9014);

    let t = Tcp::data(1, 1, 2500);
    let mut rig = Rig::usual();
    let (mut packet, _) = uncut(&t);
    packet.splice(34..34, [1, 1, 1, 1]);
    packet[14] = 0x46;
    let t2 = T2(0).with_l3_off(14).with_l4_off(38).with_hdr_len(70);
    send(&mut rig, &packet, tso(900), t2, 1, &[]);
    let data: Vec<_> = rig.host.wire.iter().flat_map(|f| reparse(f)).collect();
    assert_eq!((rig.host.wire.len(), data), (3, t.payload));
}

/// The wire is busy after each frame: descriptors are written back when the last frame is out, and
/// what stands behind waits for its turn.
#[test]
fn segmentation_resumes_after_a_busy_wire() {
    let mut rig = Rig::usual();
    let t = Tcp::data(1, 1, 5000);
    let (packet, t2) = uncut(&t);
    let behind = arp();
    rig.queues[0].queue_tx(&rig.host, &[&packet[..100], &packet[100..]], tso(1000), t2);
    rig.queues[0].queue_tx(&rig.host, &[&behind], T1(0), T2(0));
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    let mut want = expected(&t, 1000, false);
    want.push(behind);
    for sent in 1..=6 {
        rig.host.room = 1;
        rig.pump();
        assert_eq!(rig.host.wire, want[..sent]);
        let head = rig.queues[0].tx_head(&rig.host).raw();
        assert_eq!(head, [0, 0, 0, 0, 2, 3][sent - 1]);
    }
    assert_eq!(rig.count(Global::TxErrors), 0);
}

/// A packet whose frames are too long is lost as a whole; one that the link is lost under, its
/// long.
#[test]
fn packets_that_cannot_be_sent_are_counted_once() {
    let mut rig = Rig::usual();
    rig.write(MAX_FRAME, 1514);
    let t = Tcp::data(1, 1, 5000);
    let (packet, t2) = uncut(&t);
    send(&mut rig, &packet, tso(1449), t2, 2, &[]);
    assert_eq!((rig.host.wire.len(), rig.count(Global::TxErrors)), (0, 1));
    send(&mut rig, &packet, tso(1448), t2, 2, &[]);
    assert_eq!((rig.host.wire.len(), rig.count(Global::TxErrors)), (4, 1));
    rig.queues[0].queue_tx(&rig.host, &[&packet], tso(1448), t2);
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.host.room = 2;
    rig.pump();
    rig.dev.set_link(false);
    rig.pump();
    assert_eq!((rig.host.wire.len(), rig.count(Global::TxErrors)), (6, 2));
    assert_eq!(
        rig.queues[0].tx_head(&rig.host),
        rig.queues[0].queue.tx_tail
    );
    assert_eq!(rig.queues[0].status(&mut rig.dev).error(), 0);
}

/// A queue switched off in the middle of a packet starts clean.
#[test]
fn a_restart_drops_the_packet_in_progress() {
    let mut rig = Rig::usual();
    let t = Tcp::data(1, 1, 5000);
    let (packet, t2) = uncut(&t);
    rig.queues[0].queue_tx(&rig.host, &[&packet], tso(1000), t2);
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.host.room = 2;
    rig.pump();
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].switch_off(dev, host);
    queues[0].switch_on(dev, host);
    rig.host.room = 100;
    rig.pump();
    assert_eq!(rig.host.wire.len(), 2);
    send(&mut rig, &packet, tso(1000), t2, 1, &[]);
    assert_eq!(rig.host.wire[2..], expected(&t, 1000, false));
}

/// A descriptor that breaks a rule stops the queue before anything is sent.
#[test]
fn broken_descriptors() {
    let (packet, t2) = uncut(&Tcp::data(1, 1, 500));
    let uso = T1(0).with_uso(1).with_mss(100);
    let cases = [
        (tso(0), t2),
        (tso(100).with_uso(1), t2),
        (tso(100), t2.with_l3_off(13)),
        (tso(100), t2.with_l4_off(33)),
        (tso(100), t2.with_hdr_len(53)),
        (tso(100), t2.with_l4_off(200).with_hdr_len(210)),
        (uso, t2),
        (uso, t2.with_hdr_len(41)),
        (tso(100), t2.with_l4_off(70).with_hdr_len(0)),
    ];
    for (i, (t1, t2)) in cases.into_iter().enumerate() {
        let mut rig = Rig::usual();
        send(&mut rig, &packet, t1, t2, 2, &[]);
        let error = rig.queues[0].status(&mut rig.dev).error();
        assert_eq!(error, QueueError::BadTxDesc as u32, "case {i}");
        assert!(rig.host.wire.is_empty());
    }
    for (len, error) in [(65, 4), (66, 0), (66 + 65536, 0), (67 + 65536, 4)] {
        let mut rig = Rig::usual();
        let mut packet = packet.clone();
        packet.resize(len, 0);
        send(&mut rig, &packet, tso(8000), t2, 2, &[]);
        let status = rig.queues[0].status(&mut rig.dev);
        assert_eq!(status.error(), error, "{len} bytes");
    }
}

/// Bytes that are not the headers that the descriptor tells of: the packet is dropped and counted,
/// and the queue goes on.
#[test]
fn packets_without_the_headers_are_dropped() {
    let (good, t2) = uncut(&Tcp::data(1, 1, 500));
    let (good6, t6) = uncut(&Tcp::data(1, 1, 500).v6());
    let cases = [
        (&good, t2, 14, 0x55),
        (&good, t2, 14, 0x46),
        (&good, t2, 23, 17),
        (&good, t2, 46, 0x50),
        (&good6, t6, 14, 0x40),
        (&good6, t6, 20, 17),
        (&good6, t6, 20, 60),
        (&good6, t6, 66, 0xf0),
    ];
    let mut rig = Rig::usual();
    for (n, (packet, t2, at, value)) in cases.into_iter().enumerate() {
        let mut packet = packet.clone();
        packet[at] = value;
        send(&mut rig, &packet, tso(100), t2, 1, &[]);
        assert!(rig.host.wire.is_empty(), "case {n}");
        assert_eq!(rig.count(Global::TxErrors), 1 + n as u64);
    }
    send(&mut rig, &good, tso(100), t2, 1, &[]);
    assert_eq!(rig.host.wire.len(), 5);
}

/// Short frames are padded with zeros.
#[test]
fn short_frames_are_padded() {
    let mut rig = Rig::usual();
    for len in [14, 42, 59, 60, 61] {
        rig.queues[0].queue_tx(&rig.host, &[&vec![7; len]], T1(0), T2(0));
    }
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    for (frame, len) in rig.host.wire.iter().zip([14, 42, 59, 60, 61]) {
        assert_eq!(frame.len(), len.max(60));
        assert!(frame[..len].iter().all(|&b| b == 7));
        assert!(frame[len..].iter().all(|&b| b == 0));
    }
    assert_eq!(rig.count(Global::TxBytes), 4 * 60 + 61);
}

/// The device says that it can.
#[test]
fn features() {
    let features = Features(Rig::usual().read(FEATURES));
    assert_eq!((features.tso(), features.uso()), (1, 1));
}
