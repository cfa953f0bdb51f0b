// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Gathering: packets of an aggregate that wait together leave together, under one completion.

use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::BufKind;
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::{Delivery, Piece};
use reflow_testkit::frames::{stream, ACK, PSH};
use reflow_testkit::{Rig, Setup, Tcp};

fn gathering() -> Rig {
    let mut setup = Setup::default();
    setup.flow_cfg = setup.flow_cfg.with_gather(1);
    Rig::new(setup)
}

/// Operation code, wire packets, hint and pieces of a delivery.
fn told(d: &Delivery) -> (Opcode, u64, bool, Vec<(u16, usize, usize)>) {
    let pieces = d
        .pieces
        .iter()
        .map(|&Piece { rb, off, len }| (rb, off, len));
    (d.opcode, d.last.c0.segs(), d.more, pieces.collect())
}

/// Packets that wait are one completion, over as many pages as their data take.
///
/// Claims: 18, 20, 42, 55, 57.
#[test]
fn a_burst_is_one_completion() {
    let mut rig = gathering();
    for i in 0..8 {
        rig.arrive(&Tcp::data(1, 1 + i * 1448, 1448).build());
    }
    let got = rig.deliver();
    let pages = vec![(0, 0, 4096), (1, 0, 4096), (2, 0, 3392)];
    assert_eq!(
        got.iter().map(told).collect::<Vec<_>>(),
        [(Opcode::Start, 8, false, pages)]
    );
    let (c0, c5) = (got[0].first.c0, got[0].first.c5);
    assert_eq!(
        (c5.seg_size(), c5.data_len(), c5.pages()),
        (1448, 8 * 1448, 1)
    );
    assert_eq!(got[0].first.c1.pkt_len(), 1514);
    assert_eq!((c0.rel_rb(), c0.rel_rb2()), (1, 0));
    let sent: Vec<u8> = (0..8).flat_map(|i| stream(1, 1 + i * 1448, 1448)).collect();
    assert_eq!(got[0].data, sent);
    assert_eq!(
        (rig.count(Global::OpStart), rig.count(Global::OpAppend)),
        (1, 7)
    );
}

/// Four whole pages are named in the completion itself, more in one behind it.
///
/// Claims: 42, 55, 57, 59.
#[test]
fn the_longest_burst_names_all_its_pages() {
    let mut rig = gathering();
    // The longest IPv4 packet with 32 bytes of TCP header.
    let most = (65_535 - 52) / 1448;
    for i in 0..most + 3 {
        rig.arrive(&Tcp::data(1, 1 + i * 1448, 1448).build());
    }
    let got = rig.deliver();
    let segs: Vec<_> = got.iter().map(|d| d.last.c0.segs()).collect();
    assert_eq!(segs, [u64::from(most), 3]);
    assert_eq!(got[0].first.c5.pages(), 14);
    let whole = got[0].pieces.iter().filter(|p| p.len == 4096).count();
    assert_eq!((whole, got[0].pieces.len()), (15, 16));
    let sent: Vec<u8> = (0..most)
        .flat_map(|i| stream(1, 1 + i * 1448, 1448))
        .collect();
    assert_eq!(got[0].data, sent);
}

/// A frame with a trailer has a completion of its own, as the length of the trailer is in no other
/// field.
#[test]
fn padded_frames_have_a_completion_each() {
    let mut rig = gathering();
    for i in 0..3 {
        let mut frame = Tcp::data(1, 1 + i * 100, 100).build();
        if i == 1 {
            frame.extend([0; 7]);
        }
        rig.arrive(&frame);
    }
    let told: Vec<_> = rig
        .deliver()
        .iter()
        .map(|d| (d.last.c0.segs(), d.first.c1.pkt_len()))
        .collect();
    assert_eq!(told, [(1, 166), (1, 173), (1, 166)]);
}

/// Of flows that come by turns, packets leave together with the first.
///
/// Claims: 20, 21, 22, 23, 37.
#[test]
fn interleaved_flows_are_gathered() {
    let mut rig = gathering();
    for i in 0..4 {
        for conn in 0..4 {
            rig.arrive(&Tcp::data(conn, 1 + i * 500, 500).build());
        }
    }
    let told: Vec<_> = rig.deliver().iter().map(told).collect();
    let whole = |n| (Opcode::Start, 4, false, vec![(n, 0, 2000)]);
    assert_eq!(told, (0..4).map(whole).collect::<Vec<_>>());
}

/// A packet that completes its aggregate overtakes data, but no other such packet and none outside
/// any aggregate.
///
/// Claims: 20, 21, 37.
#[test]
fn complete_aggregates_stay_in_order() {
    let mut rig = gathering();
    let data = |conn, seq, flags| Tcp::data(conn, seq, 100).flags(flags).build();
    for (conn, seq, flags) in [
        (1, 1, ACK),
        (2, 1, ACK),
        (2, 101, ACK),
        (1, 101, ACK | PSH),
        (2, 201, ACK | PSH),
    ] {
        rig.arrive(&data(conn, seq, flags));
    }
    let got: Vec<_> = rig.deliver().iter().map(told).collect();
    assert_eq!(
        got,
        [
            (Opcode::Start, 2, false, vec![(0, 0, 200)]),
            (Opcode::Start, 3, false, vec![(1, 0, 300)]),
        ]
    );
    // A packet without data is handed up at once: what is complete stays behind it.
    rig.arrive(&data(1, 201, ACK));
    rig.arrive(&Tcp::data(3, 1, 0).build());
    rig.arrive(&data(1, 301, ACK | PSH));
    let got: Vec<_> = rig
        .deliver()
        .iter()
        .map(|d| (d.opcode, d.last.c0.segs()))
        .collect();
    let expected = [
        (Opcode::Start, 1),
        (Opcode::NoData, 1),
        (Opcode::AppendClose, 1),
    ];
    assert_eq!(got, expected);
}

/// While the window of completions is used up, further packets are merged.
///
/// Claims: 8, 20, 21, 40, 56, 62.
#[test]
fn packets_wait_at_the_completion_window() {
    let mut setup = Setup::default();
    setup.flow_cfg = setup.flow_cfg.with_gather(1);
    setup.queue.window = 2;
    let mut rig = Rig::new(setup);
    let send = |rig: &mut Rig, i: u32| {
        for conn in 1..4 {
            rig.arrive(&Tcp::data(conn, 1 + i * 100, 100).build());
            rig.pump();
        }
    };
    (0..5).for_each(|i| send(&mut rig, i));
    // The host looks three times; each time there are two completions at most.
    let looks: Vec<Vec<u64>> = (0..4)
        .map(|_| {
            let seen = rig.poll(0);
            rig.pump();
            seen.iter().map(|d| d.last.c0.segs()).collect()
        })
        .collect();
    assert_eq!(looks, [vec![1, 1], vec![5, 4], vec![4], vec![]]);
}

/// A packet over more buffers than a completion can name takes several completions.
#[test]
fn more_pages_than_a_completion_can_name() {
    let mut setup = Setup::default();
    setup.flow_cfg = setup.flow_cfg.with_gather(1);
    let reasm = &mut setup.queue.shapes[BufKind::Reasm as usize];
    (reasm.log2_size, reasm.log2_entries, reasm.posted) = (6, 9, 512);
    let mut rig = Rig::new(setup);
    rig.arrive(&Tcp::data(1, 1, 8948).build());
    for i in 0..5 {
        rig.arrive(&Tcp::data(2, 1 + i * 1000, 1000).build());
    }
    let got = rig.deliver();
    let told: Vec<_> = got
        .iter()
        .map(|d| (d.completions, d.last.c0.segs(), d.data.len()))
        .collect();
    // 140 buffers in pairs; of the others 63 go into one completion.
    assert_eq!(told, [(70, 1, 8948), (1, 4, 4000), (1, 1, 1000)]);
    assert_eq!(got[0].data, stream(1, 1, 8948));
}

/// The device exceeds the window of completions before it loses packets.
#[test]
fn a_full_packet_memory_does_not_wait() {
    let mut setup = Setup {
        pm_bytes: 16 << 10,
        ..Setup::default()
    };
    setup.queue.window = 1;
    let mut rig = Rig::new(setup);
    for conn in 0..20 {
        rig.arrive(&Tcp::data(conn, 1, 1448).build());
        rig.pump();
    }
    assert!(rig.poll(0).len() > 1);
    assert_eq!(rig.count(Global::RxPmOverflow), 0);
}

/// The packet that completes the aggregate is the last to join; what follows starts anew.
#[test]
fn a_complete_aggregate_is_one_completion() {
    let mut rig = gathering();
    for (i, flags) in [ACK, ACK | PSH, ACK, ACK].into_iter().enumerate() {
        let frame = Tcp::data(1, 1 + i as u32 * 100, 100);
        rig.arrive(&frame.flags(flags).build());
    }
    let got = rig.deliver();
    let told: Vec<_> = got.iter().map(told).collect();
    assert_eq!(
        told,
        [
            (Opcode::Start, 2, false, vec![(0, 0, 200)]),
            (Opcode::Start, 2, false, vec![(0, 200, 200)]),
        ]
    );
    assert_ne!(got[0].first.c0.tcp_flags() & u64::from(PSH), 0);
    assert_eq!(rig.count(Global::OpAppendClose), 1);
}

/// Packets that are not appended, and those of other flows, keep their completions.
#[test]
fn a_packet_that_is_not_appended_stays_single() {
    let mut rig = gathering();
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.arrive(&Tcp::data(2, 1, 100).build());
    // Out of order, and what goes on with it.
    rig.arrive(&Tcp::data(1, 900, 100).build());
    rig.arrive(&Tcp::data(1, 1000, 100).build());
    let told: Vec<_> = rig
        .deliver()
        .iter()
        .map(|d| (d.opcode, d.last.c0.segs()))
        .collect();
    assert_eq!(
        told,
        [
            (Opcode::Start, 1),
            (Opcode::Start, 1),
            (Opcode::CloseStart, 2),
        ]
    );
}

/// Smaller buffers among those of a ring are filled to their end, and one completion names by their
/// ids alone only such that are as large as its first: no byte is lost or moved, in bursts and in
/// long packets.
///
/// Claims: 42, 57.
#[test]
fn buffers_may_be_smaller_than_the_ring_says() {
    for every in 1..6 {
        let mut setup = Setup::default();
        setup.flow_cfg = setup.flow_cfg.with_gather(1);
        setup.queue.small_every = Some(every);
        setup.queue.shapes[BufKind::Reasm as usize].log2_size = 14;
        let mut rig = Rig::new(setup);
        let (mut sent, mut seq) = ([Vec::new(), Vec::new()], [1, 1]);
        for _ in 0..20 {
            for (flow, len) in [1448, 8948].into_iter().enumerate() {
                let conn = flow as u16 + 1;
                sent[flow].extend(stream(conn, seq[flow], len));
                rig.arrive(&Tcp::data(conn, seq[flow], len).build());
                seq[flow] += len as u32;
            }
        }
        let got = rig.deliver();
        for (flow, sent) in sent.iter().enumerate() {
            let of_flow = got.iter().filter(|d| d.flow == got[flow].flow);
            let data: Vec<u8> = of_flow.flat_map(|d| d.data.iter().copied()).collect();
            assert!(data == *sent, "one in {every} is small");
        }
        assert!(
            rig.count(Global::OpAppend) > 20,
            "hardly anything was merged"
        );
        rig.assert_accounted(0);
    }
}

/// With small buffers only, as when memory is short, a burst is one completion as in a ring of such.
#[test]
fn small_buffers_alone_are_a_run() {
    let mut setup = Setup::default();
    setup.flow_cfg = setup.flow_cfg.with_gather(1);
    setup.queue.small_every = Some(1);
    setup.queue.shapes[BufKind::Reasm as usize].log2_size = 14;
    let mut rig = Rig::new(setup);
    for i in 0..8 {
        rig.arrive(&Tcp::data(1, 1 + i * 1448, 1448).build());
    }
    let got = rig.deliver();
    let pages = vec![(0, 0, 4096), (1, 0, 4096), (2, 0, 3392)];
    assert_eq!(
        got.iter().map(told).collect::<Vec<_>>(),
        [(Opcode::Start, 8, false, pages)]
    );
}
