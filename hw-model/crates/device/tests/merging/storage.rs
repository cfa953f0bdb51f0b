// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which bytes reach the host, and in which kind of storage.

use reflow_device::RxOutcome;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::{Piece, QueueSetup};
use reflow_testkit::frames::{self, *};
use reflow_testkit::{Delivery, Rig, Setup, Tcp};

const HEADER: usize = 66;

/// Three flows with two aggregates each, of four packets, interleaved.
fn traffic() -> Vec<Tcp> {
    let mut out = Vec::new();
    for i in 0..8_u32 {
        for conn in 1..4 {
            let push = if i % 4 == 3 { PSH } else { 0 };
            let t = Tcp::data(conn, 1 + i * 1448, 1448).flags(ACK | push);
            out.push(t);
        }
    }
    out
}

fn receive(cfg: FlowCfg, traffic: &[Tcp]) -> (Rig, Vec<Delivery>) {
    let mut rig = Rig::usual();
    rig.write(FLOW_CFG, cfg.0);
    for t in traffic {
        rig.arrive(&t.build());
    }
    let got = rig.drain();
    assert_eq!(got.len(), traffic.len());
    (rig, got)
}

fn bytes_on_the_bus(rig: &Rig) -> [u64; 3] {
    [
        Global::DmaHeaderBytes,
        Global::DmaDataBytes,
        Global::DmaPacketBytes,
    ]
    .map(|which| rig.count(which))
}

/// The bytes on the bus: one header for an aggregate, the data, and nothing else.
///
/// Claims: 1, 53, 57.
#[test]
fn one_header_is_written_for_each_aggregate() {
    let traffic = traffic();
    let (rig, got) = receive(Setup::default().flow_cfg, &traffic);
    let data = traffic.len() * 1448;
    let headers = 6 * HEADER;
    assert_eq!(bytes_on_the_bus(&rig), [headers as u64, data as u64, 0]);
    let with_header = got.iter().filter(|d| d.header.is_some());
    assert!(with_header.clone().all(|d| d.opcode == Opcode::Start));
    assert_eq!(with_header.count(), 6);
}

/// Without suppression every header crosses the bus and is in a cell, and what is merged is the
/// same.
///
/// Claims: 13, 18, 33.
#[test]
fn without_suppression_every_header_is_written() {
    let traffic = traffic();
    let on = Setup::default().flow_cfg;
    let (rig, got) = receive(on.with_suppress(0), &traffic);
    let (headers, data) = (traffic.len() * HEADER, traffic.len() * 1448);
    assert_eq!(bytes_on_the_bus(&rig), [headers as u64, data as u64, 0]);
    let (_, suppressed) = receive(on, &traffic);
    for ((d, s), t) in got.iter().zip(&suppressed).zip(&traffic) {
        let frame = t.build();
        assert_eq!(d.header.as_deref(), Some(&frame[..HEADER]));
        assert_eq!((d.opcode, d.more, d.flow), (s.opcode, s.more, s.flow));
        assert_eq!(d.first.c2.hdr_len(), s.first.c2.hdr_len());
        assert_eq!((&d.data, &s.data), (&t.payload, &t.payload));
    }
}

/// With fresh_page each aggregate starts at offset 0 of a page and straddles into the next ones;
/// its last page comes back with its last data.
///
/// Claims: 18.
#[test]
fn aggregates_on_fresh_pages_continue_on_the_next() {
    let (_, got) = receive(Setup::default().flow_cfg.with_fresh_page(1), &traffic());
    for flow in 0..3 {
        let of_flow: Vec<_> = got.iter().filter(|d| d.flow == Some(flow)).collect();
        for aggregate in of_flow.chunks(4) {
            let pieces: Vec<Piece> = aggregate.iter().flat_map(|d| d.pieces.clone()).collect();
            let shape: Vec<_> = pieces.iter().map(|p| (p.off, p.len)).collect();
            // 4 times 1448 bytes: the page ends in the third packet.
            let expected = [(0, 1448), (1448, 1448), (2896, 1200), (0, 248), (248, 1448)];
            assert_eq!(shape, expected);
            assert_eq!(aggregate[2].first.c0.rel_rb(), 1);
            assert_eq!(aggregate[3].first.c0.rel_rb(), 1);
        }
    }
}

/// Where a packet of so many bytes goes: the small class, or packet buffers of full size.
fn is_small(rig: &mut Rig, len: usize) -> bool {
    rig.arrive(&udp(1, false, &vec![7; len - 42]));
    let got = rig.drain();
    assert_eq!(got[0].whole.len(), len);
    assert_ne!(got[0].first.c0.sb(), got[0].first.c0.nb());
    got[0].first.c0.sb() == 1
}

/// The limit of the small class is exact, may be moved while packets come, and never exceeds a
/// cell.
///
/// Claims: 19.
#[test]
fn size_classes() {
    let mut rig = Rig::usual();
    assert_eq!(rig.read(SMALL_MAX), 256);
    for (limit, sizes) in [
        (256, [(60, true), (256, true), (257, false), (1500, false)]),
        (100, [(60, true), (100, true), (101, false), (256, false)]),
        (0, [(43, false), (60, false), (256, false), (1500, false)]),
        (9000, [(60, true), (256, true), (257, false), (1500, false)]),
    ] {
        rig.write(SMALL_MAX, limit);
        for (len, small) in sizes {
            assert_eq!(is_small(&mut rig, len), small, "{len} of {limit}");
        }
    }
    let sent: u64 = [60, 256, 257, 1500, 60, 100, 101, 256, 43, 60, 256, 1500]
        .iter()
        .chain(&[60, 256, 257, 1500])
        .sum();
    assert_eq!(bytes_on_the_bus(&rig), [0, 0, sent]);
}

/// A queue without the small class puts everything into buffers of full size.
///
/// Claims: 19.
#[test]
fn a_queue_without_the_small_class() {
    let mut queue = QueueSetup::default();
    let shape = &mut queue.shapes[BufKind::Small as usize];
    (shape.log2_entries, shape.posted) = (0, 0);
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    assert!(!is_small(&mut rig, 60));
    rig.arrive(&frames::arp());
    assert_eq!(rig.drain()[0].first.c0.nb(), 1);
}

/// Hints are about flows, whatever queue they go to and in whatever order the queues get buffers.
///
/// Claims: 20, 37, 56.
#[test]
fn hints_of_flows_in_several_queues() {
    let mut rig = Rig::new(Setup {
        queues: 2,
        ram: 16 << 20,
        queue: QueueSetup::default().without(&BufKind::ALL),
        ..Setup::default()
    });
    let mut waiting = [Vec::new(), Vec::new()];
    for seq in [1, 101, 201] {
        for conn in 0..12 {
            let t = Tcp {
                v6: conn % 2 == 1,
                ..Tcp::data(conn, seq, 100)
            };
            let RxOutcome::Queued { queue, flow, .. } = rig.arrive(&t.build()) else {
                panic!("dropped");
            };
            waiting[usize::from(queue)].push((Some(flow), seq != 201));
        }
    }
    assert!(waiting.iter().all(|queue| !queue.is_empty()));
    for (n, expected) in waiting.iter().enumerate().rev() {
        for kind in BufKind::ALL {
            rig.queues[n].post(&mut rig.dev, &mut rig.host, kind, 64);
        }
        rig.pump();
        let got: Vec<_> = rig.poll(n).iter().map(|d| (d.flow, d.more)).collect();
        assert_eq!(&got, expected);
    }
    assert_eq!(rig.count(Global::HintMore), 24);
}
