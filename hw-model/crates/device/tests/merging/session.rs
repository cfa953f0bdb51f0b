// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Session framing: the data of each long PDU start on a new page.

use proptest::prelude::*;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::{Piece, QueueSetup};
use reflow_testkit::frames::{ACK, FIN, PSH, SYN};
use reflow_testkit::stack::Stack;
use reflow_testkit::{Delivery, Rig, Setup, Tcp};

const ISN: u32 = 0xffff_f000;
const PAGE: usize = 4096;
/// The port of NetBIOS sessions is what the program goes by; the frames' connection has it.
const SMB_PORT: u16 = 445;
const CONN: u16 = 7;

fn rig(flow_cfg: FlowCfg) -> Rig {
    Rig::new(Setup {
        program: "session",
        flow_cfg: flow_cfg.with_session(1),
        ram: 16 << 20,
        ..Setup::default()
    })
}

fn usual() -> FlowCfg {
    Setup::default().flow_cfg
}

/// A frame of the connection, to the port that the program knows.
fn frame(t: &Tcp) -> Vec<u8> {
    reflow_testkit::frames::with_port(t, SMB_PORT)
}

fn set_up(rig: &mut Rig) {
    let syn = Tcp {
        options: vec![2, 4, 5, 0xb4],
        ..Tcp::data(CONN, ISN, 0)
    };
    assert_eq!(rig.opcode(&frame(&syn.flags(SYN))), Opcode::Control);
    rig.drain();
}

/// A packet with `data`, which stands at `at` in the connection's stream.
fn segment(at: usize, data: &[u8]) -> Tcp {
    Tcp {
        payload: data.to_vec(),
        ..Tcp::data(CONN, ISN.wrapping_add(1 + at as u32), 0)
    }
}

/// A stream of PDUs with NetBIOS headers, and where each one's data starts.
fn pdus(lens: &[usize]) -> (Vec<u8>, Vec<usize>) {
    let (mut stream, mut starts) = (Vec::new(), Vec::new());
    for (i, &len) in lens.iter().enumerate() {
        stream.extend((len as u32).to_be_bytes());
        starts.push(stream.len());
        stream.extend((0..len).map(|at| (at * 7 + i * 31 + at / PAGE) as u8));
    }
    (stream, starts)
}

/// Sends the stream in packets of `mss` bytes, `burst` of them at a time, and takes what comes.
fn send(rig: &mut Rig, stream: &[u8], mss: usize, burst: usize) -> Vec<Delivery> {
    let mut out = Vec::new();
    for (i, chunk) in stream.chunks(mss).enumerate() {
        let last = (i + 1) * mss >= stream.len();
        let flags = if last { ACK | PSH } else { ACK };
        rig.arrive(&frame(&segment(i * mss, chunk).flags(flags)));
        if i % burst == burst - 1 {
            out.extend(rig.drain());
        }
    }
    out.extend(rig.drain());
    out
}

/// Pieces as (where in the stream, piece).
fn pieces(got: &[Delivery]) -> Vec<(usize, Piece)> {
    let mut at = 0;
    let all = got.iter().flat_map(|d| d.pieces.iter().copied());
    all.map(|piece| {
        at += piece.len;
        (at - piece.len, piece)
    })
    .collect()
}

/// Checks that data from `start` on fills pages from their first byte, one after the other.
fn assert_on_pages(pieces: &[(usize, Piece)], start: usize, len: usize) {
    let mut page = None;
    let mut used = 0;
    for &(at, piece) in pieces {
        let end = at + piece.len;
        assert!(
            end <= start || at >= start,
            "the data starts with a piece of its own"
        );
        if end <= start || at >= start + len {
            continue;
        }
        let offset = at - start;
        if offset % PAGE == 0 {
            assert_eq!(piece.off, 0);
            assert_ne!(page, Some(piece.rb), "a page of its own");
            page = Some(piece.rb);
            used += 1;
        } else {
            assert_eq!(page, Some(piece.rb));
            assert_eq!(piece.off, offset % PAGE);
        }
        assert!(piece.off + piece.len <= PAGE);
    }
    assert_eq!(used, len.div_ceil(PAGE));
}

/// 64 KiB PDUs in packets of odd size: the data of each starts at offset 0 of a page and fills the
/// pages 0 to 15 in order, whatever is merged.
///
/// Claims: 29, 41.
#[test]
fn pdus_start_on_fresh_pages() {
    for (mss, burst) in [
        (1447, 30),
        (1, 4),
        (1448, 1),
        (8900, 5),
        (333, 64),
        (4096, 16),
    ] {
        for cfg in [
            usual(),
            usual().with_fresh_page(1),
            usual().with_batching(0),
        ] {
            let mut rig = rig(cfg);
            set_up(&mut rig);
            let lens: &[usize] = if mss == 1 { &[5000, 4096] } else { &[65536; 4] };
            let (stream, starts) = pdus(lens);
            let got = send(&mut rig, &stream, mss, burst);
            let data: Vec<u8> = got.iter().flat_map(|d| d.data.clone()).collect();
            assert!(data == stream, "{mss}, {burst}");
            let pieces = pieces(&got);
            for (&start, &len) in starts.iter().zip(lens) {
                assert_on_pages(&pieces, start, len);
            }
            assert_eq!(rig.count(Global::SessionPdus), lens.len() as u64);
            assert_eq!(rig.count(Global::SessionInsane), 0);
        }
    }
}

/// Headers and the data of short PDUs stand behind what came before; long ones in between have
/// their pages all the same.
///
/// Claims: 41.
#[test]
fn headers_and_short_pdus_follow_earlier_data() {
    let mut rig = rig(usual());
    set_up(&mut rig);
    let lens = [100, 4095, 4096, 0, 4200, 5, 9000];
    let (stream, starts) = pdus(&lens);
    let got = send(&mut rig, &stream, 1001, 8);
    let pieces = pieces(&got);
    for i in [2, 4, 6] {
        assert_on_pages(&pieces, starts[i], lens[i]);
    }
    assert_eq!(rig.count(Global::SessionPdus), 3);
    // The header of the long one behind the short one: at the end of the second page of the stream.
    let header = starts[2] - 4;
    let before = pieces.iter().find(|(at, p)| at + p.len == starts[2]);
    let (at, piece) = before.expect("a piece ends with the header");
    assert_eq!(piece.off + (header - at), header % PAGE);
    // Behind the 4200 bytes: header, five bytes, and the next header, on the second page of theirs.
    let behind = starts[4] + 4200;
    let (at, piece) = pieces
        .iter()
        .find(|(at, p)| (*at..at + p.len).contains(&behind))
        .expect("a piece has it");
    assert_eq!(piece.off + (behind - at), 4200 - PAGE);
}

/// A header cut by packets is read all the same, and a PDU that starts with a packet gives the page
/// before it back by a completion of its own.
///
/// Claims: 29.
#[test]
fn a_header_in_several_segments() {
    for cut in 1..=4 {
        let mut rig = rig(usual());
        set_up(&mut rig);
        let (stream, starts) = pdus(&[10, 5000]);
        let first = starts[1] - 4 + cut;
        let mut got = send(&mut rig, &stream[..first], 1000, 1);
        rig.arrive(&frame(&segment(first, &stream[first..])));
        got.extend(rig.drain());
        assert_on_pages(&pieces(&got), starts[1], 5000);
        let released = rig.queues[0].releases.len();
        assert_eq!(released, usize::from(cut == 4), "cut at {cut}");
    }
}

/// A length beyond measure is counted and its data placed as without framing.
///
/// Claims: 29, 41.
#[test]
fn a_length_above_the_limit() {
    let mut rig = rig(usual());
    set_up(&mut rig);
    let mut stream = vec![0, 0xff, 0xff, 0xff];
    stream.resize(20_000, 3);
    let got = send(&mut rig, &stream, 1448, 7);
    for (at, piece) in pieces(&got) {
        assert_eq!(piece.off, at % PAGE, "packed without gaps");
    }
    assert_eq!(rig.count(Global::SessionInsane), 1);
    assert_eq!(rig.count(Global::SessionPdus), 0);
}

/// A packet is lost in the middle of a PDU: the rest is placed as it comes, and from the next PDU
/// on all is well again.
///
/// Claims: 41.
#[test]
fn the_next_pdu_after_a_gap() {
    let mut rig = rig(usual());
    set_up(&mut rig);
    let (stream, starts) = pdus(&[20_000, 20_000, 20_000]);
    let mut got = Vec::new();
    for (i, chunk) in stream.chunks(1400).enumerate() {
        if i != 5 {
            rig.arrive(&frame(&segment(i * 1400, chunk)));
        }
        if i % 9 == 8 {
            got.extend(rig.drain());
        }
    }
    got.extend(rig.drain());
    let opcodes = got.iter().filter(|d| d.opcode == Opcode::OutOfOrder);
    assert_eq!(opcodes.count(), 1);
    // The lost packet leaves a hole in the stream as it was delivered.
    let pieces: Vec<_> = pieces(&got)
        .into_iter()
        .map(|(at, piece)| (if at >= 7000 { at + 1400 } else { at }, piece))
        .collect();
    assert_on_pages(&pieces, starts[1], 20_000);
    assert_on_pages(&pieces, starts[2], 20_000);
    assert_eq!(rig.count(Global::SessionPdus), 3);
}

/// Data with PSH or FIN, alone, belongs on the pages, too; a stack makes the stream of it.
///
/// Claims: 41.
#[test]
fn psh_does_not_end_alignment() {
    let mut rig = rig(usual());
    set_up(&mut rig);
    let (stream, starts) = pdus(&[6000, 6000]);
    let (mut got, mut stack) = (Vec::new(), Stack::default());
    let count = stream.len().div_ceil(1448);
    for (i, chunk) in stream.chunks(1448).enumerate() {
        let end = if i + 1 == count { FIN } else { 0 };
        rig.arrive(&frame(&segment(i * 1448, chunk).flags(ACK | PSH | end)));
        if i % 3 == 2 || i + 1 == count {
            let now = rig.drain();
            stack.take(now.clone());
            got.extend(now);
        }
    }
    assert!(got
        .iter()
        .all(|d| matches!(d.opcode, Opcode::Start | Opcode::CloseStart)));
    assert_on_pages(&pieces(&got), starts[0], 6000);
    assert_on_pages(&pieces(&got), starts[1], 6000);
    let up: Vec<u8> = stack.up.iter().flat_map(|up| up.data.clone()).collect();
    assert!(up == stream);
    assert_eq!(rig.dev.flows_in_use(), 0);
    assert_eq!(rig.queues[0].kept_by_flows(), 0);
}

/// Connections that the program does not name, those whose set-up was not seen, and all of them
/// with the switch off are placed as ever.
#[test]
fn other_connections_are_not_aligned() {
    assert_eq!(Features(Rig::usual().read(FEATURES)).session(), 1);
    let (stream, _) = pdus(&[20_000]);
    for case in 0..3 {
        let mut rig = rig(usual());
        if case == 0 {
            rig.write(FLOW_CFG, usual().0);
        }
        if case != 1 {
            set_up(&mut rig);
        }
        let mut got = Vec::new();
        for (i, chunk) in stream.chunks(1448).enumerate() {
            let t = segment(i * 1448, chunk);
            let frame = if case == 2 { t.build() } else { frame(&t) };
            rig.arrive(&frame);
            got.extend(rig.drain());
        }
        for (at, piece) in pieces(&got) {
            assert_eq!(piece.off, at % PAGE, "case {case}");
        }
        assert_eq!(rig.count(Global::SessionPdus), 0);
    }
}

/// A driver with few pages and a small ring: everything waits its turn and nothing is lost.
#[test]
fn packets_wait_with_few_pages() {
    let mut queue = QueueSetup {
        log2_cq: 3,
        ..QueueSetup::default()
    };
    let shape = &mut queue.shapes[BufKind::Reasm as usize];
    (shape.log2_entries, shape.posted) = (3, 8);
    let mut rig = Rig::new(Setup {
        program: "session",
        flow_cfg: usual().with_session(1),
        queue,
        ..Setup::default()
    });
    set_up(&mut rig);
    let (stream, starts) = pdus(&[65536, 5000, 30_000]);
    let got = send(&mut rig, &stream, 8900, 12);
    let data: Vec<u8> = got.iter().flat_map(|d| d.data.clone()).collect();
    assert!(data == stream);
    let pieces = pieces(&got);
    for (start, len) in starts.into_iter().zip([65536, 5000, 30_000]) {
        let first = pieces.iter().find(|(at, _)| *at == start);
        assert_eq!(first.map(|(_, piece)| piece.off), Some(0), "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the PDUs, the packets and the batches: the stream is whole, and long PDUs lie on
    /// pages of their own.
    ///
    /// Claims: 29, 41.
    #[test]
    fn any_pdus_in_any_packets(
        lens in proptest::collection::vec(
            prop_oneof![0..50_usize, 4000..4200_usize, 4096..30_000_usize], 1..8,
        ),
        mss in 700..8900_usize,
        burst in 1..20_usize,
        fresh_page in 0..2_u32,
        suppress in 0..2_u32,
    ) {
        let mut rig = rig(usual().with_fresh_page(fresh_page).with_suppress(suppress));
        set_up(&mut rig);
        let (stream, starts) = pdus(&lens);
        let got = send(&mut rig, &stream, mss, burst);
        let data: Vec<u8> = got.iter().flat_map(|d| d.data.clone()).collect();
        prop_assert!(data == stream);
        let pieces = pieces(&got);
        for (&start, &len) in starts.iter().zip(&lens).filter(|(_, &len)| len >= PAGE) {
            assert_on_pages(&pieces, start, len);
        }
    }
}

/// An event of a connection whose PDUs are followed.
#[derive(Clone, Debug)]
enum Event {
    /// A packet, after so many bytes that are lost, or come again if negative.
    Packet {
        gap: i32,
        len: usize,
        flags: u8,
    },
    Drain,
    Wait(u64),
    Configure(u32),
    Restart,
}

fn any_event() -> impl Strategy<Value = Event> {
    let gap = prop_oneof![8 => Just(0), 1 => 1..5000, 1 => -3000..0];
    let flags =
        prop_oneof![9 => Just(ACK), 2 => Just(ACK | PSH), 1 => Just(SYN), 1 => Just(ACK | FIN)];
    prop_oneof![
        20 => (gap, 0..3000_usize, flags)
            .prop_map(|(gap, len, flags)| Event::Packet { gap, len, flags }),
        4 => Just(Event::Drain),
        1 => (0..3_000_000_u64).prop_map(Event::Wait),
        1 => (0..64_u32).prop_map(Event::Configure),
        1 => Just(Event::Restart),
    ]
}

fn happen(rig: &mut Rig, event: &Event, at: &mut usize, stream: &[u8]) {
    match *event {
        Event::Packet { gap, len, flags } => {
            *at = at.saturating_add_signed(gap as isize).min(stream.len());
            let end = stream.len().min(*at + len);
            let data = if flags == SYN { &[] } else { &stream[*at..end] };
            rig.arrive(&frame(&segment(*at, data).flags(flags)));
            *at += data.len();
        }
        Event::Drain => {
            rig.drain();
        }
        Event::Wait(ns) => rig.now += ns,
        Event::Configure(cfg) => rig.write(FLOW_CFG, cfg | 1),
        Event::Restart => {
            let Rig {
                dev, host, queues, ..
            } = rig;
            queues[0].switch_off(dev, host);
            queues[0].switch_on(dev, host);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens, the driver's double finds every page given back once and with data of one
    /// flow, and at the end no flow keeps one and every frame is accounted for.
    #[test]
    fn pages_are_accounted_for(
        lens in proptest::collection::vec(prop_oneof![0..50_usize, 4000..9000_usize], 1..20),
        events in proptest::collection::vec(any_event(), 1..150),
    ) {
        let mut queue = QueueSetup { log2_cq: 4, ..QueueSetup::default() };
        let shape = &mut queue.shapes[BufKind::Reasm as usize];
        (shape.log2_entries, shape.posted, shape.log2_size) = (4, 16, 11);
        let mut rig = Rig::new(Setup {
            program: "session",
            flow_cfg: usual().with_session(1),
            queue,
            ..Setup::default()
        });
        set_up(&mut rig);
        let (stream, _) = pdus(&lens);
        let mut at = 0;
        for event in &events {
            happen(&mut rig, event, &mut at, &stream);
        }
        rig.write(FLOW_CFG, FlowCfg(0).with_batching(1).0);
        for _ in 0..200 {
            rig.now += 200_000;
            rig.drain();
            if rig.dev.pm_level() == 0 && rig.dev.flows_in_use() == 0 {
                break;
            }
        }
        rig.drain();
        prop_assert_eq!((rig.dev.pm_level(), rig.dev.flows_in_use()), (0, 0));
        prop_assert_eq!(rig.queues[0].kept_by_flows(), 0);
        rig.assert_accounted(0);
    }
}
