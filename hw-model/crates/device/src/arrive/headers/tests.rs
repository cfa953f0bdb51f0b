// SPDX-License-Identifier: GPL-2.0 OR MIT

use super::*;
use crate::arrive::parser::Program;
use crate::proto::ETH_LEN;
use etherparse::{IpNumber, Ipv4Header, Ipv4Options, PacketBuilder};
use reflow_hwdef::programs::PROGRAMS;

const L3: usize = ETH_LEN;

fn tcp_frame(payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1000, 80, 77, 500)
        .ack(9)
        .write(&mut frame, &vec![5; payload])
        .unwrap();
    frame
}

fn parse(frame: &[u8]) -> Parsed {
    let program = Program::load(PROGRAMS[0].words).unwrap();
    program.run(&frame[..frame.len().min(256)], frame.len())
}

/// A TCP packet with an IPv4 option, or in an outer packet with `slack` bytes behind it.
fn wrapped(option: bool, slack: Option<usize>) -> Vec<u8> {
    let inner = tcp_frame(20);
    let mut body = inner[L3 + 20..].to_vec();
    let mut ip = Ipv4Header::new(body.len() as u16, 64, IpNumber::TCP, [1; 4], [2; 4]).unwrap();
    if option {
        ip.options = Ipv4Options::try_from(&[1_u8, 1, 1, 1][..]).unwrap();
        ip.set_payload_len(body.len()).unwrap();
    }
    ip.header_checksum = ip.calc_header_checksum();
    let mut packet = ip.to_bytes().to_vec();
    packet.append(&mut body);
    let mut frame = inner[..L3].to_vec();
    if let Some(slack) = slack {
        packet.resize(packet.len() + slack, 0);
        let mut outer =
            Ipv4Header::new(packet.len() as u16, 64, IpNumber::IPV4, [3; 4], [4; 4]).unwrap();
        outer.header_checksum = outer.calc_header_checksum();
        frame.extend_from_slice(&outer.to_bytes());
    }
    frame.extend_from_slice(&packet);
    frame
}

#[test]
fn the_walk_finds_all_headers() {
    let frame = tcp_frame(30);
    let layers = Layers::walk(&frame, L3).unwrap();
    assert_eq!(layers.levels(), [Level { off: L3, v6: false }]);
    assert_eq!(layers.l4, Some((PROTO_TCP, 34)));
    assert_eq!((layers.end, layers.ip_len(layers.end)), (84, 70));
    assert!(layers.l3_ok && layers.plain && !layers.fragment);
}

#[test]
fn the_walk_must_reach_the_parsed_header() {
    let frame = tcp_frame(30);
    for off in [0, 12, 13, 15, 34, 10_000] {
        assert!(Layers::walk(&frame, off).is_none(), "{off}");
    }
    for len in 0..L3 + 20 {
        assert!(Layers::walk(&frame[..len], L3).is_none(), "{len}");
    }
    // The packet claims more than the frame has.
    assert!(Layers::walk(&frame[..80], L3).is_none());
}

#[test]
fn options_and_trailing_bytes_are_not_plain() {
    let plain = |option, slack: Option<usize>| {
        let l3 = if slack.is_some() { L3 + 20 } else { L3 };
        let layers = Layers::walk(&wrapped(option, slack), l3).unwrap();
        assert!(layers.l3_ok && layers.l4.is_some());
        layers.plain
    };
    assert!(plain(false, None) && plain(false, Some(0)));
    assert!(!plain(true, None) && !plain(true, Some(0)));
    assert!(!plain(false, Some(1)));
}

#[test]
fn a_wrong_checksum_at_any_level_is_detected() {
    for at in [24, 44] {
        let mut frame = wrapped(false, Some(0));
        frame[at] ^= 1;
        assert!(!Layers::walk(&frame, L3 + 20).unwrap().l3_ok);
    }
}

#[test]
fn fragments_end_the_walk() {
    for (at, value) in [(20, 0x20), (21, 1)] {
        let mut frame = tcp_frame(30);
        frame[at] = value;
        let layers = Layers::walk(&frame, L3).unwrap();
        assert!(layers.fragment && layers.l4.is_none());
        let mut frame = wrapped(false, Some(0));
        frame[at] = value;
        assert!(Layers::walk(&frame, L3 + 20).is_none());
    }
}

#[test]
fn padding_follows_the_end_of_the_packet() {
    let mut frame = tcp_frame(1);
    frame.resize(60, 0);
    let checked = Checked::new(&frame, &parse(&frame));
    assert_eq!(checked.tcp.unwrap().len, 1);
    assert_eq!(checked.l4_ok, Some(true));
}

/// The program is not trusted: whatever it says wrongly, the packet is not taken for TCP.
#[test]
fn wrong_parser_results_are_detected() {
    let frame = tcp_frame(30);
    let good = parse(&frame);
    let tcp = Checked::new(&frame, &good).tcp.unwrap();
    assert_eq!(
        (tcp.off, tcp.data, tcp.len, tcp.seq, tcp.flags),
        (34, 54, 30, 77, 0x10)
    );
    type Lie = fn(&mut Parsed);
    let lies: [Lie; 12] = [
        |p| p.l3_off = None,
        |p| p.l3_off = Some(18),
        |p| p.l4_off = None,
        |p| p.l4_off = Some(35),
        |p| p.pkt_end = Some(83),
        |p| p.pkt_end = None,
        |p| p.hdr_end = Some(58),
        |p| p.hdr_end = None,
        |p| p.seq += 1,
        |p| p.tcp_flags ^= 1,
        |p| p.kind = p.kind.with_udp(1),
        |p| p.kind = p.kind.with_ipv4(0).with_ipv6(1),
    ];
    for (i, lie) in lies.iter().enumerate() {
        let mut parsed = good.clone();
        lie(&mut parsed);
        assert_eq!(Checked::new(&frame, &parsed).tcp, None, "lie {i}");
    }
}

#[test]
fn broken_tcp_headers() {
    for doff in [0, 4, 15] {
        let mut frame = tcp_frame(10);
        frame[46] = doff << 4;
        assert!(Checked::new(&frame, &parse(&frame)).tcp.is_none());
    }
}
