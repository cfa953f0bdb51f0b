// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where data goes: re-assembly buffers, header cells, and how they are given back.

use reflow_hwdef::desc::CompletionKind;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{BufKind, FLOW_AGE_US, FLOW_CFG};
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::{Piece, QueueSetup, Shape};
use reflow_testkit::frames::{ACK, FIN, PSH, RST};
use reflow_testkit::{Rig, Setup, Tcp};

/// Data of consecutive packets is packed without gaps and goes on in the next buffer.
///
/// Claims: 13, 18, 42, 44, 55, 59.
#[test]
fn data_is_packed_across_pages() {
    let mut rig = Rig::usual();
    for i in 0..4 {
        rig.arrive(&Tcp::data(1, 1 + i * 1448, 1448).build());
    }
    let got = rig.deliver();
    let pieces: Vec<_> = got.iter().flat_map(|d| d.pieces.clone()).collect();
    let piece = |rb, off, len| Piece { rb, off, len };
    assert_eq!(
        pieces,
        [
            piece(0, 0, 1448),
            piece(0, 1448, 1448),
            piece(0, 2896, 1200),
            piece(1, 0, 248),
            piece(1, 248, 1448),
        ]
    );
    assert_eq!((got[2].first.c0.rb2(), got[2].first.c0.rel_rb()), (1, 1));
    assert_eq!(got[2].completions, 1);
}

/// Interleaved flows have their data in separate buffers.
///
/// Claims: 18, 42.
#[test]
fn each_flow_has_its_own_buffer() {
    let mut rig = Rig::usual();
    for i in 0..6 {
        for conn in 0..3 {
            rig.arrive(&Tcp::data(conn, 1 + i * 500, 500).build());
        }
    }
    let got = rig.deliver();
    for d in &got {
        assert_eq!(d.pieces[0].rb, d.flow.unwrap());
    }
}

/// One header reaches the host for an aggregate, however many packets it has.
///
/// Claims: 57.
#[test]
fn one_header_for_an_aggregate() {
    let mut rig = Rig::usual();
    for i in 0..40 {
        rig.arrive(&Tcp::data(1, 1 + i * 1000, 1000).build());
    }
    let got = rig.drain();
    assert_eq!(got.iter().filter(|d| d.header.is_some()).count(), 1);
    assert_eq!(rig.count(Global::DmaHeaderBytes), 66);
    assert_eq!(rig.count(Global::DmaDataBytes), 40_000);
}

/// Without suppression each packet has its header in a cell.
#[test]
fn without_suppression_every_header_is_there() {
    let mut rig = Rig::usual();
    let cfg = Setup::default().flow_cfg.with_suppress(0);
    rig.write(FLOW_CFG, cfg.0);
    let frames: Vec<_> = (0..3).map(|i| Tcp::data(1, 1 + i * 100, 100)).collect();
    for frame in &frames {
        rig.arrive(&frame.build());
    }
    for (d, frame) in rig.deliver().iter().zip(&frames) {
        assert_eq!(d.header.as_deref(), Some(&frame.build()[..66]));
    }
    assert_eq!(rig.count(Global::OpAppend), 2);
}

/// With fresh_page each aggregate starts on a page of its own, and that page is given back with the
/// last data of the aggregate.
#[test]
fn fresh_pages() {
    let mut rig = Rig::usual();
    let cfg = Setup::default().flow_cfg.with_fresh_page(1);
    rig.write(FLOW_CFG, cfg.0);
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.arrive(&Tcp::data(1, 101, 100).flags(ACK | PSH).build());
    rig.arrive(&Tcp::data(1, 201, 100).build());
    // Ends the aggregate without referring to its page.
    rig.arrive(&Tcp::data(1, 301, 0).build());
    rig.arrive(&Tcp::data(1, 301, 100).build());
    let got = rig.deliver();
    let offs: Vec<_> = got
        .iter()
        .flat_map(|d| d.pieces.iter().map(|p| (p.rb, p.off)))
        .collect();
    assert_eq!(offs, [(0, 0), (0, 100), (1, 0), (2, 0)]);
    assert_eq!(got[1].first.c0.rel_rb(), 1);
    let released: Vec<_> = rig.queues[0]
        .releases
        .iter()
        .map(|c| (c.c3.rb_id(), c.c0.rel_flow()))
        .collect();
    assert_eq!(released, [(1, 0)]);
    assert_eq!(got[4].first.c0.rel_rb(), 1);
}

/// A packet longer than two buffers is a chain of completions, its header in the first.
///
/// Claims: 13.
#[test]
fn long_packets_are_chains() {
    let mut queue = QueueSetup::default();
    queue.shapes[BufKind::Reasm as usize].log2_size = 10;
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.arrive(&Tcp::data(2, 1, 8900).build());
    rig.arrive(&reflow_testkit::frames::udp(1, false, &[3; 5000]));
    let got = rig.deliver();
    assert_eq!(got[1].data, Tcp::data(2, 1, 8900).payload);
    assert_eq!(got[1].pieces.len(), 9);
    assert_eq!(got[1].completions, 5);
    assert_eq!(got[2].completions, 3);
    assert_eq!(
        got[2].whole,
        reflow_testkit::frames::udp(1, false, &[3; 5000])
    );
}

/// A packet that takes more completions than the ring has is lost and counted; the flow goes on
/// with an aggregate that the driver can tell from the broken one.
#[test]
fn a_packet_that_can_never_fit_is_dropped() {
    let mut queue = QueueSetup {
        log2_cq: 3,
        ..QueueSetup::default()
    };
    queue.shapes[BufKind::Reasm as usize] = Shape {
        log2_entries: 6,
        log2_size: 6,
        log2_cell: 0,
        posted: 64,
    };
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    rig.arrive(&Tcp::data(1, 1, 1200).build());
    rig.arrive(&Tcp::data(1, 1201, 300).build());
    let got = rig.deliver();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].opcode, Opcode::Start);
    assert_eq!(rig.count(Global::RxDmaErrors), 1);
    rig.assert_accounted(0);
}

/// The end of a flow gives its page back: on the completion if that names the page, else on its
/// own.
///
/// Claims: 50.
#[test]
fn the_end_of_a_flow_releases_its_page() {
    let mut rig = Rig::usual();
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.arrive(&Tcp::data(1, 101, 100).flags(ACK | FIN).build());
    let got = rig.deliver();
    assert_eq!(got[1].opcode, Opcode::AppendClose);
    let c0 = got[1].first.c0;
    assert_eq!((c0.rel_rb(), c0.rel_flow()), (1, 1));
    assert!(rig.queues[0].releases.is_empty());

    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.arrive(&Tcp::data(1, 101, 0).flags(RST).build());
    let got = rig.deliver();
    assert_eq!(got[1].last.c0.rel_flow(), 1);
    let release = rig.queues[0].releases[0];
    assert_eq!(release.c0.kind(), CompletionKind::Release as u64);
    assert_eq!(release.c3.rb_id(), u64::from(got[0].pieces[0].rb));
    assert_eq!(rig.dev.flows_in_use(), 0);
}

/// A flow that ends by age gives its page back with the end of its entry.
///
/// Claims: 50.
#[test]
fn age_releases_the_page() {
    let mut rig = Rig::usual();
    rig.write(FLOW_AGE_US, 50);
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.deliver();
    assert_eq!(rig.dev.flows_in_use(), 1);
    let due = rig.dev.next_deadline().expect("an idle flow has an end");
    assert!(due <= rig.now + 50_000);
    // A pump takes a microsecond.
    rig.now = due - 1001;
    rig.pump();
    assert_eq!(rig.dev.flows_in_use(), 1);
    rig.now = due - 1000;
    rig.deliver();
    assert_eq!(rig.dev.flows_in_use(), 0);
    assert_eq!(rig.count(Global::FdbAged), 1);
    let release = rig.queues[0].releases[0];
    assert_eq!((release.c0.rel_rb(), release.c0.rel_flow()), (1, 1));
}

/// Re-assembly switched off: every packet is whole, and all pages come back.
#[test]
fn re_assembly_off() {
    let mut rig = Rig::usual();
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.deliver();
    rig.write(FLOW_CFG, 0);
    rig.arrive(&Tcp::data(1, 101, 100).build());
    let got = rig.drain();
    assert_eq!(got[0].opcode, Opcode::NoAssist);
    assert_eq!(got[0].whole, Tcp::data(1, 101, 100).build());
    assert_eq!(rig.queues[0].releases.len(), 1);
    assert_eq!(rig.dev.flows_in_use(), 0);
}

/// A header that is longer than a cell gets no assist.
#[test]
fn a_header_longer_than_a_cell_gets_no_assist() {
    let mut queue = QueueSetup::default();
    queue.shapes[BufKind::Header as usize].log2_cell = 6;
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    assert_eq!(rig.opcode(&Tcp::data(1, 1, 100).build()), Opcode::NoAssist);
    let short = Tcp {
        options: Vec::new(),
        ..Tcp::data(1, 1, 100)
    };
    assert_eq!(rig.opcode(&short.build()), Opcode::Start);
}

/// Flows keep partly filled pages; a queue that waits for one takes them back, so that a driver
/// with few pages is not stuck.
#[test]
fn pages_are_reclaimed_when_the_driver_has_no_more() {
    let mut queue = QueueSetup::default();
    queue.shapes[BufKind::Reasm as usize].log2_entries = 4;
    queue.shapes[BufKind::Reasm as usize].posted = 16;
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    for conn in 0..16 {
        rig.arrive(&Tcp::data(conn, 1, 100).build());
        rig.drain();
    }
    assert_eq!(rig.queues[0].outstanding(BufKind::Reasm), 16);
    rig.arrive(&Tcp::data(20, 1, 100).build());
    assert!(rig.drain().is_empty());
    rig.now = rig.dev.next_deadline().expect("it will not wait for ever");
    let got = rig.drain();
    assert_eq!((got.len(), got[0].opcode), (1, Opcode::Start));
    assert!(!rig.queues[0].releases.is_empty());
    // The same with flows that are all busy: the packet at the head needs the page of one that
    // waits behind it.
    for turn in 1..3 {
        for conn in 0..24 {
            rig.arrive(&Tcp::data(conn, 1 + turn * 3000, 3000).build());
        }
    }
    let mut got = Vec::new();
    for _ in 0..50 {
        got.extend(rig.drain());
        if got.len() == 48 {
            break;
        }
        rig.now = rig.dev.next_deadline().expect("it will not wait for ever");
    }
    assert_eq!(got.len(), 48);
}
