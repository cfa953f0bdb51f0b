// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Placement of data in pages that the host lists in a control block.

use proptest::prelude::*;
use reflow_device::RxOutcome;
use reflow_hwdef::cmd::{Command, T8};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{BufKind, EVENT, FLOW_CFG};
use reflow_hwdef::stats::Global;
use reflow_testkit::control::{Block, Commands, List};
use reflow_testkit::driver::{Piece, QueueSetup};
use reflow_testkit::frames::{stream, ACK, FIN, PSH};
use reflow_testkit::{Delivery, Rig, Setup, Tcp};

fn rig() -> (Rig, Commands) {
    let mut rig = Rig::new(Setup {
        flows: 16,
        ram: 16 << 20,
        ..Setup::default()
    });
    let commands = Commands::new(&mut rig);
    (rig, commands)
}

/// A rig whose connection 1 has a control block with a list of so many pages; its flow number.
fn placed(pages: usize) -> (Rig, Commands, List, u16) {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, pages);
    let block = Block::expecting(&Tcp::data(1, 1, 0)).place(&list);
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    (rig, commands, list, flow)
}

/// Operation codes and verdicts of the control block.
fn told(got: &[Delivery]) -> Vec<(Opcode, u64)> {
    got.iter()
        .map(|d| (d.opcode, d.first.c0.summary()))
        .collect()
}

fn piece(rb: u16, off: usize, len: usize) -> Piece {
    Piece { rb, off, len }
}

/// The bytes of the list in front of and behind what was placed are untouched.
fn assert_only(rig: &Rig, list: &List, at: usize, want: &[u8]) {
    let bytes = list.bytes(&rig.host);
    assert_eq!(&bytes[at..at + want.len()], want);
    assert!(bytes[..at].iter().all(|&b| b == 0xee));
    assert!(bytes[at + want.len()..].iter().all(|&b| b == 0xee));
}

/// In-order data lies in the list as in the stream, across pages, whatever the sizes of packets and
/// their flags; each packet has its header in a cell and says where its data is.
///
/// Claims: 24, 26, 55.
#[test]
fn data_goes_to_its_place_in_the_list() {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, 3);
    let block = Block::expecting(&Tcp::data(1, 0xffff_f000, 0)).place(&list);
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    let sizes = [1448, 1, 3000, 4000, 100];
    let mut seq = 0xffff_f000_u32;
    let packets: Vec<Tcp> = sizes
        .iter()
        .map(|&len| {
            let packet = Tcp::data(1, seq, len).flags(ACK | PSH);
            seq = seq.wrapping_add(len as u32);
            packet
        })
        .collect();
    for packet in &packets {
        assert_eq!(rig.opcode(&packet.build()), Opcode::Placed);
        rig.arrive(&Tcp::data(2, packet.seq, 100).build());
    }
    let got: Vec<Delivery> = rig
        .drain()
        .into_iter()
        .filter(|d| d.flow == Some(flow))
        .collect();
    let pieces: Vec<_> = got.iter().map(|d| d.pieces.clone()).collect();
    assert_eq!(
        pieces,
        [
            vec![piece(0, 0, 1448)],
            vec![piece(0, 1448, 1)],
            vec![piece(0, 1449, 2647), piece(1, 0, 353)],
            vec![piece(1, 353, 3743), piece(2, 0, 257)],
            vec![piece(2, 257, 100)],
        ]
    );
    for (d, packet) in got.iter().zip(&packets) {
        assert_eq!(d.header.as_deref(), Some(&packet.build()[..66]));
        assert_eq!((d.opcode, d.completions), (Opcode::Placed, 1));
        assert_eq!(d.first.c0.summary(), 1);
        assert_eq!(d.first.c5.data_len() as usize, packet.payload.len());
    }
    assert_only(&rig, &list, 0, &stream(1, 0xffff_f000, sizes.iter().sum()));
    let back = commands.tcb(&mut rig, flow).unwrap();
    assert_eq!((back.expected, back.placed, back.applied), (seq, 8549, 5));
    assert_eq!(rig.count(Global::OpPlaced), 5);
    assert_eq!(
        rig.queues[0].kept_by_flows(),
        1,
        "the other flow's page only"
    );
}

/// The list may begin before the expected byte, and a jumbo packet may take many pages.
#[test]
fn long_packets_are_chains() {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, 4);
    let mut block = Block::expecting(&Tcp::data(1, 5000, 0)).place(&list);
    block.t8 = T8(0).with_pages(4).with_base(4000);
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&Tcp::data(1, 5000, 8900).build());
    let got = rig.drain();
    assert_eq!(
        got[0].pieces,
        [piece(0, 1000, 3096), piece(1, 0, 4096), piece(2, 0, 1708)]
    );
    assert_eq!((got.len(), got[0].completions), (1, 2));
    assert_eq!(got[0].last.c0.hb(), 0);
    assert_only(&rig, &list, 1000, &stream(1, 5000, 8900));
}

/// Out of order: the block does not apply any more, the data takes the normal path, and what was
/// placed stays as it is. Set again, it continues at the next byte.
///
/// Claims: 24, 26.
#[test]
fn out_of_order_takes_the_normal_path() {
    let (mut rig, mut commands, list, flow) = placed(2);
    for seq in [1, 1001, 3001, 2001, 4001] {
        rig.arrive(&Tcp::data(1, seq, 1000).build());
    }
    let got = rig.drain();
    let said = told(&got);
    assert_eq!(
        said,
        [
            (Opcode::Placed, 1),
            (Opcode::Placed, 1),
            (Opcode::Start, 2),
            (Opcode::CloseStart, 2),
            (Opcode::CloseStart, 2),
        ]
    );
    for (d, seq) in got[2..].iter().zip([3001, 2001, 4001]) {
        assert_eq!(d.data, stream(1, seq, 1000));
    }
    assert_only(&rig, &list, 0, &stream(1, 1, 2000));
    let back = commands.tcb(&mut rig, flow).unwrap();
    assert_eq!((back.expected, back.stale, back.placed), (2001, true, 2000));
    let mut again = Block::expecting(&Tcp::data(1, 5001, 0)).place(&list);
    again.t8 = T8(0).with_pages(2).with_base(1);
    assert_eq!(commands.set_tcb(&mut rig, &again), Ok(flow));
    rig.arrive(&Tcp::data(1, 5001, 500).build());
    assert_eq!(rig.drain()[0].pieces, [piece(1, 904, 500)]);
}

/// When a list is used up, the packet that does not fit and all later ones take the normal path.
#[test]
fn data_beyond_the_list_takes_the_normal_path() {
    let (mut rig, mut commands, list, flow) = placed(1);
    for seq in [1, 2001, 4001, 6001] {
        rig.arrive(&Tcp::data(1, seq, 2000).build());
    }
    let got = rig.drain();
    let said = told(&got);
    assert_eq!(
        said,
        [
            (Opcode::Placed, 1),
            (Opcode::Placed, 1),
            (Opcode::Start, 2),
            (Opcode::Append, 2),
        ]
    );
    assert_eq!(got[2].data, stream(1, 4001, 2000));
    assert_only(&rig, &list, 0, &stream(1, 1, 4000));
    let back = commands.tcb(&mut rig, flow).unwrap();
    assert_eq!((back.expected, back.stale), (4001, true));
}

/// An aggregate that is open ends before placed data; FIN ends the block, not the entry.
#[test]
fn aggregates_end_before_placed_data() {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, 1);
    rig.arrive(&Tcp::data(1, 1, 500).build());
    let block = Block::expecting(&Tcp::data(1, 501, 0)).place(&list);
    // The command is carried out before the packet that waits is transferred.
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&Tcp::data(1, 501, 500).flags(ACK | FIN).build());
    rig.arrive(&Tcp::data(1, 1002, 500).build());
    let got = rig.drain();
    let said = told(&got);
    assert_eq!(
        said,
        [(Opcode::Start, 0), (Opcode::Placed, 1), (Opcode::Start, 2)]
    );
    assert!(got.iter().all(|d| d.last.c0.rel_flow() == 0));
    assert_eq!(rig.dev.flows_in_use(), 1);
}

/// A block that is taken away or set anew while its data waits: the device has no part in the old
/// list any more.
///
/// Claims: 24, 25.
#[test]
fn a_replaced_list_is_not_written() {
    for again in [false, true] {
        let (mut rig, mut commands) = rig();
        let list = List::new(&rig.host, 2);
        let block = Block::expecting(&Tcp::data(1, 1, 0)).place(&list);
        let flow = commands.set_tcb(&mut rig, &block).unwrap();
        assert_eq!(rig.opcode(&Tcp::data(1, 1, 1000).build()), Opcode::Placed);
        assert_eq!(rig.opcode(&Tcp::data(1, 1001, 100).build()), Opcode::Placed);
        let other = List::new(&rig.host, 1);
        if again {
            let block = Block::expecting(&Tcp::data(1, 1101, 0)).place(&other);
            assert_eq!(commands.set_tcb(&mut rig, &block), Ok(flow));
        } else {
            assert_eq!(
                commands.ask(&mut rig, Command::TcbDel, flow.into(), 0),
                Ok(0)
            );
        }
        rig.arrive(&Tcp::data(1, 1101, 100).build());
        let got = rig.drain();
        for d in &got[..2] {
            assert_eq!((d.opcode, d.first.c0.summary()), (Opcode::Small, 2));
        }
        assert_eq!(got[0].data, stream(1, 1, 1000));
        assert_eq!(got[1].whole, Tcp::data(1, 1001, 100).build());
        assert_only(&rig, &list, 0, &[]);
        if again {
            assert_only(&rig, &other, 0, &stream(1, 1101, 100));
        } else {
            assert_eq!(got[2].opcode, Opcode::Start);
        }
    }
}

/// Pages that are not in memory stop the queue, as any buffer that is not.
#[test]
fn pages_that_are_not_in_memory_stop_the_queue() {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, 1);
    rig.host.put_words(list.addr, &[0x1000]);
    let block = Block::expecting(&Tcp::data(1, 1, 0)).place(&list);
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.write(EVENT, u32::MAX);
    rig.arrive(&Tcp::data(1, 1, 1000).build());
    rig.pump();
    assert_eq!(rig.read(EVENT) & 2, 2);
    assert_eq!(rig.count(Global::RxDmaErrors), 1);
    assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
}

/// Header cells that run out make placed packets wait; nothing is lost.
#[test]
fn placed_packets_wait_for_header_cells() {
    let mut queue = QueueSetup {
        recycle: false,
        ..QueueSetup::default()
    };
    queue.shapes[BufKind::Header as usize].posted = 1;
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    let mut commands = Commands::new(&mut rig);
    let list = List::new(&rig.host, 1);
    let block = Block::expecting(&Tcp::data(1, 1, 0)).place(&list);
    commands.set_tcb(&mut rig, &block).unwrap();
    for i in 0..20 {
        rig.arrive(&Tcp::data(1, 1 + i * 50, 50).build());
    }
    assert_eq!(rig.drain().len(), 16);
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].post(dev, host, BufKind::Header, 1);
    assert_eq!(rig.drain().len(), 4);
    assert_only(&rig, &list, 0, &stream(1, 1, 1000));
}

/// A stream of PDUs and the place of each byte: headers, and the data of PDU after PDU.
struct Pdus {
    bytes: Vec<u8>,
    headers: Vec<u8>,
    bodies: Vec<Vec<u8>>,
}

impl Pdus {
    fn new(lens: &[usize]) -> Self {
        let mut pdus = Self {
            bytes: Vec::new(),
            headers: Vec::new(),
            bodies: Vec::new(),
        };
        for (i, &len) in lens.iter().enumerate() {
            let header = [0x5a, (len >> 16) as u8, (len >> 8) as u8, len as u8];
            let body = stream(i as u16, i as u32 * 1_000_000, len);
            pdus.bytes.extend(header);
            pdus.headers.extend(header);
            pdus.bytes.extend(&body);
            pdus.bodies.push(body);
        }
        pdus
    }

    fn packet(&self, at: usize, len: usize) -> Tcp {
        let mut tcp = Tcp::data(1, 77 + at as u32, 0);
        tcp.payload = self.bytes[at..self.bytes.len().min(at + len)].to_vec();
        tcp
    }
}

/// Every PDU's data starts on a page of its own and is contiguous there; PDU headers are with the
/// packets' headers, in order.
///
/// Claims: 24, 29, 41.
#[test]
fn pdus_start_on_fresh_pages() {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, 10);
    let lens = [5000, 0, 100, 3, 4096, 9000];
    let pdus = Pdus::new(&lens);
    let block = Block::expecting(&pdus.packet(0, 0)).place(&list).framed();
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    let (mut at, mut headers) = (0, Vec::<u8>::new());
    // The cut at 2 is in the middle of a header.
    for len in [2, 1448, 1448, 3000, 1, 5, 1448, 1448, 8900, 1448] {
        let packet = pdus.packet(at, len);
        rig.arrive(&packet.build());
        at += packet.payload.len();
        for d in rig.drain() {
            assert_eq!((d.opcode, d.first.c0.summary()), (Opcode::Placed, 1));
            headers.extend(&d.header.unwrap()[66..]);
        }
    }
    assert_eq!(at, pdus.bytes.len());
    assert_eq!(headers, pdus.headers);
    let bytes = list.bytes(&rig.host);
    let mut page = 0;
    for body in &pdus.bodies {
        assert_eq!(&bytes[page * 4096..page * 4096 + body.len()], &body[..]);
        page += body.len().div_ceil(4096);
    }
    assert_eq!(rig.count(Global::SessionPdus), 5);
    let back = commands.tcb(&mut rig, flow).unwrap();
    assert_eq!(back.placed as usize, lens.iter().sum::<usize>());
}

/// A length that the list cannot take: from that PDU on, the normal path.
///
/// Claims: 29, 41.
#[test]
fn a_length_above_the_limit_takes_the_normal_path() {
    let (mut rig, mut commands) = rig();
    let list = List::new(&rig.host, 2);
    let mut pdus = Pdus::new(&[1000, 500]);
    pdus.bytes[1005] = 0xff;
    let block = Block::expecting(&pdus.packet(0, 0)).place(&list).framed();
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&pdus.packet(0, 1004).build());
    rig.arrive(&pdus.packet(1004, 504).build());
    let got = rig.drain();
    assert_eq!(
        (got[0].opcode, got[0].first.c0.summary()),
        (Opcode::Placed, 1)
    );
    assert_eq!(
        (got[1].opcode, got[1].first.c0.summary()),
        (Opcode::Start, 2)
    );
    assert_eq!(got[1].data, pdus.bytes[1004..]);
    assert_only(&rig, &list, 0, &pdus.bodies[0]);
}

/// More PDU headers than a cell takes: the normal path.
#[test]
fn too_many_headers_for_a_cell() {
    let (mut rig, mut commands) = rig();
    // Behind 66 bytes of headers a cell of 256 has room for 190.
    for (count, placed) in [(47, true), (48, false)] {
        let list = List::new(&rig.host, 48);
        let pdus = Pdus::new(&vec![1; count]);
        let block = Block::expecting(&pdus.packet(0, 0)).place(&list).framed();
        commands.set_tcb(&mut rig, &block).unwrap();
        let outcome = rig.arrive(&pdus.packet(0, 1000).build());
        let RxOutcome::Queued { opcode, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(opcode == Opcode::Placed, placed);
        let got = rig.drain();
        assert_eq!(got[0].pieces.len(), if placed { count } else { 1 });
        assert_eq!(got[0].completions, if placed { 24 } else { 1 });
    }
}

/// A packet that takes more completions than the ring has is lost: the block is stale, and what
/// came behind it has its own place still.
#[test]
fn a_placed_packet_that_can_never_fit() {
    let mut rig = Rig::new(Setup {
        queue: QueueSetup {
            log2_cq: 3,
            ..QueueSetup::default()
        },
        ..Setup::default()
    });
    let mut commands = Commands::new(&mut rig);
    let list = List::new(&rig.host, 32);
    let mut lens = vec![1; 20];
    lens.push(500);
    let pdus = Pdus::new(&lens);
    let block = Block::expecting(&pdus.packet(0, 0)).place(&list).framed();
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&pdus.packet(0, 100).build());
    rig.arrive(&pdus.packet(100, 504).build());
    let got = rig.drain();
    assert_eq!((got.len(), rig.count(Global::RxDmaErrors)), (1, 1));
    assert_eq!(
        (got[0].opcode, got[0].pieces[0]),
        (Opcode::Placed, piece(20, 0, 500))
    );
    assert_only(&rig, &list, 20 * 4096, &pdus.bodies[20]);
    assert!(commands.tcb(&mut rig, flow).unwrap().stale);
    rig.assert_accounted(0);
}

/// Headers are written although append's are suppressed, and not counted as data.
#[test]
fn pdu_headers_count_as_header_bytes() {
    let (mut rig, mut commands) = rig();
    let cfg = Setup::default().flow_cfg;
    rig.write(FLOW_CFG, cfg.0);
    let list = List::new(&rig.host, 1);
    let pdus = Pdus::new(&[100, 100]);
    let block = Block::expecting(&pdus.packet(0, 0)).place(&list);
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&pdus.packet(0, 208).build());
    rig.drain();
    assert_eq!(rig.count(Global::DmaDataBytes), 208);
    assert_eq!(rig.count(Global::DmaHeaderBytes), 66);
    let list = List::new(&rig.host, 2);
    let block = Block::expecting(&pdus.packet(0, 0)).place(&list).framed();
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&pdus.packet(0, 208).build());
    rig.drain();
    assert_eq!(rig.count(Global::DmaDataBytes), 408);
    assert_eq!(rig.count(Global::DmaHeaderBytes), 66 + 74);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Packets in any order and number, with blocks set again now and then: what is in the list is
    /// right, and all else reaches the driver.
    ///
    /// Claims: 24, 26.
    #[test]
    fn placed_and_other_data_are_complete(
        steps in proptest::collection::vec((0..40_u32, 1..1400_usize, 0..12_u8), 1..60),
    ) {
        let (mut rig, mut commands) = rig();
        let list = List::new(&rig.host, 16);
        let set = |rig: &mut Rig, commands: &mut Commands, seq| {
            let mut block = Block::expecting(&Tcp::data(1, seq, 0)).place(&list);
            block.t8 = T8(0).with_pages(16).with_base(0);
            commands.set_tcb(rig, &block).unwrap();
        };
        set(&mut rig, &mut commands, 0);
        let (mut seq, mut sent, mut got) = (0, 0, Vec::new());
        for (jump, len, what) in steps {
            match what {
                0 => seq = jump * 1000,
                1 => set(&mut rig, &mut commands, seq),
                2 => got.extend(rig.drain()),
                _ => {
                    rig.arrive(&Tcp::data(1, seq, len).build());
                    seq += len as u32;
                    sent += 1;
                }
            }
        }
        got.extend(rig.drain());
        prop_assert_eq!(got.len(), sent);
        for d in &got {
            let len = d.first.c5.data_len() as usize;
            let header = d.header.as_ref().unwrap_or(&d.whole);
            let seq = if d.opcode == Opcode::Append || d.opcode == Opcode::AppendClose {
                // Its place is told by the packets before it.
                continue;
            } else {
                u32::from_be_bytes(header[38..42].try_into().unwrap())
            };
            let bytes = if d.opcode == Opcode::Placed {
                prop_assert_eq!(d.first.c0.summary(), 1);
                let at = d.pieces[0].off + usize::from(d.pieces[0].rb) * 4096;
                prop_assert_eq!(at, seq as usize);
                d.pieces.iter().flat_map(|p| list.piece(&rig.host, p)).collect()
            } else if d.header.is_some() {
                d.data.clone()
            } else {
                d.whole[66..].to_vec()
            };
            prop_assert_eq!(bytes, stream(1, seq, len));
        }
        prop_assert_eq!(commands.ask(&mut rig, Command::SelfTest, 0, 0), Ok(0));
    }
}
