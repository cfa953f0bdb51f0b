// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Header split: which packets are split, and to which pages the data goes.

use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use reflow_testkit::frames::{self, *};
use reflow_testkit::{Rig, Setup, Tcp};

const HEADER: usize = 66;

fn rig(cfg: FlowCfg) -> Rig {
    let mut rig = Rig::usual();
    rig.write(FLOW_CFG, cfg.0);
    rig
}

fn split_all() -> FlowCfg {
    Setup::default().flow_cfg.with_split_all(1)
}

/// All kinds of packets that are split: in order and out of order, single and merged, first and last
/// of a connection, with and without a flow, small and large.
fn with_data() -> Vec<Tcp> {
    vec![
        Tcp::data(1, 1, 5).flags(SYN),
        Tcp::data(1, 7, 1).flags(ACK | PSH),
        Tcp::data(1, 8, 1448),
        Tcp::data(1, 1456, 8),
        Tcp::data(1, 1464, 1).flags(ACK | URG),
        Tcp::data(1, 9000, 100),
        Tcp::data(1, 9100, 20).flags(ACK | FIN),
        Tcp::data(2, 1, 30).flags(RST),
        Tcp::data(3, 1, 1).flags(ACK | PSH).v6(),
    ]
}

/// With split_all no byte of TCP data is in a packet buffer, whether packets are merged or not and
/// whether there are flows or not.
///
/// Claims: 13.
#[test]
fn split_all_splits_all_tcp_data() {
    for cfg in [
        split_all(),
        split_all().with_batching(0).with_suppress(0),
        FlowCfg(0).with_split_all(1),
    ] {
        let mut rig = rig(cfg);
        let sent = with_data();
        for t in &sent {
            rig.arrive(&t.build_padded());
        }
        let got = rig.drain();
        assert_eq!(got.len(), sent.len());
        for (d, t) in got.iter().zip(&sent) {
            assert!(d.whole.is_empty(), "{cfg:?}: {:?}", d.opcode);
            assert_eq!(d.data, t.payload);
            let len = if t.v6 { HEADER + 20 } else { HEADER };
            if let Some(header) = &d.header {
                assert_eq!(header, &t.build()[..len]);
            } else {
                assert!(matches!(d.opcode, Opcode::Append | Opcode::AppendClose));
            }
        }
    }
}

/// Without batching nothing is merged, but each flow has pages of its own.
///
/// Claims: 13, 18.
#[test]
fn split_without_merging() {
    let mut rig = rig(split_all().with_batching(0).with_suppress(0));
    for i in 0..4 {
        for conn in 1..3 {
            rig.arrive(&Tcp::data(conn, 1 + i * 500, 500).build());
        }
    }
    let got = rig.drain();
    assert!(got.iter().all(|d| d.header.is_some() && !d.more));
    let codes = [Opcode::Start, Opcode::CloseStart];
    assert!(got.iter().all(|d| codes.contains(&d.opcode)));
    let of = |flow| got.iter().filter(move |d| d.flow == Some(flow));
    for flow in 0..2 {
        let offs: Vec<_> = of(flow).map(|d| d.pieces[0].off).collect();
        assert_eq!(offs, [0, 500, 1000, 1500]);
    }
    assert_ne!(of(0).next().unwrap().pieces, of(1).next().unwrap().pieces);
}

/// Packets without TCP, data or a right checksum, or that the program does not know, stay whole.
///
/// Claims: 13, 19.
#[test]
fn packets_that_are_never_split() {
    let mut rig = rig(split_all());
    let mut bad = Tcp::data(1, 1, 300).build();
    *bad.last_mut().unwrap() ^= 1;
    let sent = [
        frames::arp(),
        udp(1, false, &[7; 1000]),
        Tcp::data(1, 1, 0).build(),
        Tcp::data(1, 1, 0).flags(SYN).build(),
        bad,
    ];
    for frame in &sent {
        rig.arrive(frame);
    }
    for (d, frame) in rig.drain().iter().zip(&sent) {
        assert_eq!(&d.whole, frame);
    }
}

/// The threshold is the length of the packet as stored, it is exact, and it keeps packets out of
/// aggregates, too.
///
/// Claims: 13, 15, 19.
#[test]
fn the_threshold_is_exact() {
    for cfg in [split_all(), Setup::default().flow_cfg] {
        for limit in [HEADER + 1, 300, 1000] {
            let mut rig = rig(cfg);
            rig.write(SPLIT_THRESH, limit as u32);
            let at = limit - HEADER;
            let small = Tcp::data(1, 1, at);
            let tagged = Tcp {
                vlan: Some(5),
                ..Tcp::data(2, 1, at)
            };
            let large = Tcp::data(1, 1 + at as u32, at + 1);
            let larger = Tcp::data(1, 2 + 2 * at as u32, at + 1);
            let after = Tcp::data(1, 3 + 3 * at as u32, at);
            assert_eq!(rig.opcode(&small.build()), Opcode::Small);
            assert_eq!(rig.opcode(&tagged.build()), Opcode::Small);
            assert_eq!(rig.opcode(&large.build()), Opcode::Start);
            assert_eq!(rig.opcode(&larger.build()), Opcode::Append);
            assert_eq!(rig.opcode(&after.build()), Opcode::Small);
            let got = rig.drain();
            let whole: Vec<_> = got.iter().map(|d| d.whole.len()).collect();
            assert_eq!(whole, [limit, limit, 0, 0, limit]);
            assert_eq!(got[0].first.c0.sb() == 1, limit <= 256);
        }
    }
}

/// With fresh_page, data of a page and more that is not merged starts a page, and leaves the
/// queue's own page to the small ones.
///
/// Claims: 18.
#[test]
fn long_unmerged_data_starts_a_page() {
    let mut rig = rig(split_all().with_fresh_page(1));
    for (conn, len) in [(1, 100), (2, 4096), (3, 200), (4, 5000), (5, 300)] {
        rig.arrive(&Tcp::data(conn, 1, len).flags(ACK | PSH).build());
    }
    let got = rig.drain();
    let pieces = |i: usize| -> Vec<_> { got[i].pieces.iter().map(|p| (p.off, p.len)).collect() };
    assert_eq!(pieces(0), [(0, 100)]);
    assert_eq!(pieces(1), [(0, 4096)]);
    assert_eq!(pieces(2), [(100, 200)]);
    assert_eq!(pieces(3), [(0, 4096), (0, 904)]);
    assert_eq!(pieces(4), [(300, 300)]);
    assert_eq!(got[3].first.c0.rel_rb2(), 1, "nothing goes on behind it");
}
