// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Operation codes: when each is given, and the transfer that it causes.

use reflow_device::Why;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{DATA_THRESH, FLOW_CFG};
use reflow_hwdef::stats::Global;
use reflow_testkit::frames::{self, *};
use reflow_testkit::{Rig, Tcp};

/// A packet that no program knows is transferred whole to packet buffers of its size class.
///
/// Claims: 1, 13, 19, 33, 46, 58.
#[test]
fn no_assist_goes_whole_to_packet_buffers() {
    let mut rig = Rig::usual();
    let arp = frames::arp();
    let long = udp(1, false, &[7; 1000]);
    assert_eq!(rig.opcode(&arp), Opcode::NoAssist);
    assert_eq!(rig.opcode(&long), Opcode::NoAssist);
    let got = rig.deliver();
    assert_eq!(got.len(), 2);
    for (d, frame) in got.iter().zip([&arp, &long]) {
        assert_eq!((d.opcode, d.flow, d.more), (Opcode::NoAssist, None, false));
        assert_eq!(&d.whole, frame);
        assert!(d.header.is_none() && d.data.is_empty());
    }
    assert_eq!((got[0].first.c0.sb(), got[0].first.c0.nb()), (1, 0));
    assert_eq!((got[1].first.c0.sb(), got[1].first.c0.nb()), (0, 1));
    assert_eq!(rig.count(Global::DmaDataBytes), 0);
}

/// A bad checksum, IPv4 options, a fragment: no assist, and the completion has the reason.
///
/// Claims: 1, 14.
#[test]
fn packets_that_fail_the_checks_get_no_assist() {
    let mut rig = Rig::usual();
    let mut bad_tcp = Tcp::data(1, 1, 100).build();
    *bad_tcp.last_mut().unwrap() ^= 1;
    let mut bad_ip = Tcp::data(1, 1, 100).build();
    bad_ip[24] ^= 1;
    let mut fragment = Tcp::data(1, 1, 100).build();
    fragment[20] = 0x20;
    let mut sum = 0_u32;
    fragment[24..26].fill(0);
    for pair in fragment[14..34].chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(pair[1]);
    }
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    fragment[24..26].copy_from_slice(&sum.to_be_bytes());
    for frame in [&bad_tcp, &bad_ip, &fragment] {
        assert_eq!(rig.opcode(frame), Opcode::NoAssist);
    }
    let got = rig.deliver();
    let flags: Vec<_> = got
        .iter()
        .map(|d| {
            (
                d.first.c0.l3_ok(),
                d.first.c0.l4_ok(),
                d.first.c0.csum_bad(),
            )
        })
        .collect();
    assert_eq!(flags, [(1, 0, 1), (0, 1, 1), (1, 0, 0)]);
    assert_eq!(rig.count(Global::RxL3CsumBad), 1);
    assert_eq!(rig.count(Global::RxL4CsumBad), 1);
}

/// TCP without payload is never merged, and ends what is open before it.
///
/// Claims: 15, 16.
#[test]
fn no_data_ends_the_aggregate() {
    let mut rig = Rig::usual();
    assert_eq!(rig.opcode(&Tcp::data(1, 1, 100).build()), Opcode::Start);
    assert_eq!(rig.opcode(&Tcp::data(1, 101, 0).build()), Opcode::NoData);
    assert_eq!(rig.opcode(&Tcp::data(1, 101, 100).build()), Opcode::Start);
    let got = rig.deliver();
    assert_eq!(got[1].flow, got[0].flow);
    assert_eq!(got[1].whole, Tcp::data(1, 101, 0).build());
    // The code on arrival stays: no hint ended the aggregate in between.
    assert!(got[0].more && got[1].more && !got[2].more);
}

/// SYN, FIN without data, RST and URG are control packets.
///
/// Claims: 14, 30, 47.
#[test]
fn control_packets() {
    let mut rig = Rig::usual();
    let syn = Tcp::data(1, 99, 0).flags(SYN);
    assert_eq!(rig.opcode(&syn.build()), Opcode::Control);
    assert_eq!(rig.opcode(&Tcp::data(1, 100, 10).build()), Opcode::Start);
    let urg = Tcp::data(1, 110, 10).flags(ACK | URG);
    assert_eq!(rig.opcode(&urg.build()), Opcode::Control);
    assert_eq!(rig.opcode(&Tcp::data(1, 120, 10).build()), Opcode::Start);
    let fin = Tcp::data(1, 130, 0).flags(ACK | FIN);
    assert_eq!(rig.opcode(&fin.build()), Opcode::Control);
    let got = rig.deliver();
    assert!(got.iter().all(|d| d.flow == Some(0)));
    let ends: Vec<_> = got.iter().map(|d| d.last.c0.rel_flow()).collect();
    assert_eq!(ends, [0, 0, 0, 0, 1]);
    let rst = Tcp::data(1, 131, 0).flags(RST);
    assert_eq!(rig.opcode(&rst.build()), Opcode::Control);
    assert_eq!(rig.deliver()[0].flow, None);
}

/// Data below the threshold, data that is released at once, and data without an entry are small.
///
/// Claims: 15, 19.
#[test]
fn small_data() {
    let mut rig = Rig::usual();
    let pushed = Tcp::data(1, 1, 50).flags(ACK | PSH);
    assert_eq!(rig.opcode(&pushed.build()), Opcode::Small);
    assert_eq!(rig.count(Global::FdbInsert), 0);
    rig.write(DATA_THRESH, 64);
    assert_eq!(rig.opcode(&Tcp::data(1, 51, 63).build()), Opcode::Small);
    assert_eq!(rig.opcode(&Tcp::data(1, 114, 64).build()), Opcode::Start);
    assert_eq!(rig.opcode(&Tcp::data(1, 178, 63).build()), Opcode::Small);
    let got = rig.deliver();
    let flows: Vec<_> = got.iter().map(|d| d.flow).collect();
    assert_eq!(flows, [None, None, Some(0), Some(0)]);
    assert!(got[0].first.c0.sb() == 1 && got[0].whole == pushed.build());
}

/// Small data that is too long for the small class is split, into the queue's own page.
///
/// Claims: 13, 19.
#[test]
fn long_small_data_is_split_without_a_flow() {
    let mut rig = Rig::usual();
    let pushed = Tcp::data(1, 1, 1000).flags(ACK | PSH);
    rig.arrive(&pushed.build());
    rig.arrive(&Tcp::data(2, 1, 1000).flags(ACK | PSH).build());
    let got = rig.deliver();
    assert_eq!(got[0].opcode, Opcode::Small);
    assert_eq!(got[0].data, pushed.payload);
    assert_eq!(got[0].header.as_deref(), Some(&pushed.build()[..66]));
    assert_eq!(got[1].pieces[0].off, 1000);
    assert_eq!(got[0].pieces[0].rb, got[1].pieces[0].rb);
}

/// With split_all, small data is split, too, and no payload byte is in a packet buffer.
#[test]
fn split_all_keeps_data_out_of_packet_buffers() {
    let mut rig = Rig::usual();
    let cfg = rig.read(FLOW_CFG);
    rig.write(FLOW_CFG, cfg | (1 << 4));
    rig.arrive(&Tcp::data(1, 1, 1).flags(ACK | PSH).build());
    let got = rig.deliver();
    assert_eq!(got[0].data.len(), 1);
    assert!(got[0].whole.is_empty());
}

/// A gap, a retransmission and an overlap are out of order; the flow goes on from there. Each begins
/// an aggregate, unless nothing can follow it.
///
/// Claims: 12, 16.
#[test]
fn out_of_order() {
    let mut rig = Rig::usual();
    assert_eq!(rig.opcode(&Tcp::data(1, 1000, 100).build()), Opcode::Start);
    for seq in [1200, 1000, 1050] {
        let frame = Tcp::data(1, seq, 100);
        assert_eq!(rig.opcode(&frame.build()), Opcode::Start);
    }
    assert_eq!(rig.count(Global::RxOutOfOrder), 3);
    assert_eq!(rig.opcode(&Tcp::data(1, 1150, 100).build()), Opcode::Append);
    for seq in [1300, 1000] {
        let frame = Tcp::data(1, seq, 100).flags(ACK | PSH);
        assert_eq!(rig.opcode(&frame.build()), Opcode::OutOfOrder);
    }
    assert_eq!(rig.opcode(&Tcp::data(1, 1100, 100).build()), Opcode::Start);
    let got = rig.deliver();
    assert!(got.iter().all(|d| d.flow == Some(0)));
    assert_eq!(rig.count(Global::OpCloseStart), 3);
}

/// Start, append, append and close, close and start: the life of an aggregate.
///
/// Claims: 14, 18, 42, 47, 55, 57, 59.
#[test]
fn start_append_close() {
    let mut rig = Rig::usual();
    let differs = Tcp {
        window: 9,
        ..Tcp::data(1, 301, 100)
    };
    let frames = [
        (Tcp::data(1, 1, 100), Opcode::Start),
        (Tcp::data(1, 101, 100), Opcode::Append),
        (Tcp::data(1, 201, 100), Opcode::Append),
        (differs.clone(), Opcode::CloseStart),
        (
            Tcp {
                seq: 401,
                ..differs.clone()
            }
            .flags(ACK | PSH),
            Opcode::AppendClose,
        ),
        (Tcp::data(1, 501, 100), Opcode::Start),
        (Tcp::data(1, 601, 99), Opcode::AppendClose),
    ];
    for (frame, opcode) in &frames {
        assert_eq!(rig.opcode(&frame.build()), *opcode, "at {}", frame.seq);
    }
    let got = rig.deliver();
    for (d, (frame, opcode)) in got.iter().zip(&frames) {
        assert_eq!(d.opcode, *opcode);
        assert_eq!(d.data, frame.payload);
        let starts = matches!(opcode, Opcode::Start | Opcode::CloseStart);
        assert_eq!(d.header.is_some(), starts);
        assert_eq!(d.first.c2.hdr_len(), 66);
    }
    for opcode in Opcode::ALL {
        let n = frames.iter().filter(|f| f.1 == opcode).count() as u64;
        assert_eq!(rig.dev.counters().opcode(opcode), n);
    }
}

/// The opcode on arrival is the one in the completion, and counters follow the transfer.
///
/// Claims: 17, 35, 52.
#[test]
fn the_opcode_of_arrival_is_kept_in_control_memory() {
    let mut rig = Rig::usual();
    let opcode = rig.opcode(&Tcp::data(1, 1, 100).build());
    assert_eq!(rig.dev.counters().opcode(opcode), 0);
    assert_eq!(rig.dev.pm_level(), 166);
    let got = rig.deliver();
    assert_eq!(got[0].opcode, opcode);
    assert_eq!(rig.dev.counters().opcode(opcode), 1);
    assert_eq!(rig.dev.pm_level(), 0);
}

/// The log has for each packet the codes on arrival and on transfer, and the reason.
#[test]
fn the_log_has_the_reasons() {
    let mut rig = Rig::usual();
    rig.dev.log_exits();
    let data = |seq, len, flags| Tcp::data(1, seq, len).flags(flags).build();
    rig.arrive(&data(1, 1448, ACK));
    rig.arrive(&data(1449, 1448, ACK));
    rig.arrive(&data(2897, 100, ACK | PSH));
    rig.arrive(&data(2997, 0, ACK));
    // Packets that wait are appended on arrival, but the host must not append them any more.
    rig.pump_once();
    rig.arrive(&data(2997, 1448, ACK));
    rig.arrive(&data(9000, 1448, ACK));
    rig.arrive(&arp());
    rig.deliver();
    let told: Vec<_> = rig
        .dev
        .exits()
        .map(|exit| {
            let how = exit.transferred.expect("none is lost");
            assert_eq!(how.revised.is_some(), how.opcode != exit.arrived);
            (exit.arrived, exit.why, how.revised)
        })
        .collect();
    let expected = [
        (Opcode::Start, Why::NewFlow, None),
        (Opcode::Append, Why::NextInOrder, None),
        (Opcode::AppendClose, Why::LastOfAggregate, None),
        (Opcode::NoData, Why::NoPayload, None),
        (Opcode::Start, Why::NothingOpen, None),
        (Opcode::Start, Why::Gap, Some(Why::HostHasOther)),
        (Opcode::NoAssist, Why::Refused, None),
    ];
    assert_eq!(told, expected);
}
