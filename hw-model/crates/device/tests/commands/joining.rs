// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Control blocks that start at the device's current position in a flow.

use reflow_hwdef::cmd::{CmdStatus, T8};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::stats::Global;
use reflow_testkit::control::{key_of_frame, Block, Commands, List};
use reflow_testkit::frames::{stream, ACK, SYN};
use reflow_testkit::{Rig, Setup, Tcp};

const PAGE: usize = 4096;
/// The port that the program "session" recognises.
const SMB_PORT: [u8; 2] = 445_u16.to_be_bytes();

fn rig(program: &'static str) -> (Rig, Commands) {
    let mut rig = Rig::new(Setup {
        flows: 16,
        ram: 16 << 20,
        program,
        ..Setup::default()
    });
    let commands = Commands::new(&mut rig);
    (rig, commands)
}

/// A block for a packet's flow without an expected sequence number.
fn joining(tcp: &Tcp) -> Block {
    let mut block = Block::expecting(tcp);
    block.t0 = block.t0.with_join(1);
    block.expected = 0xdead_beef;
    block
}

/// A block begins in the middle of a stream, a stale one again: it applies from the next packet on,
/// and reads back the sequence number of that.
///
/// Claims: 24, 25, 26.
#[test]
fn join_in_the_middle_of_a_stream() {
    for v6 in [false, true] {
        let (mut rig, mut commands) = rig("default");
        let tcp = |seq| Tcp {
            v6,
            ..Tcp::data(1, seq, 100)
        };
        let summaries = |rig: &mut Rig, seqs: &[u32]| -> Vec<u64> {
            for &seq in seqs {
                rig.arrive(&tcp(seq).build());
            }
            rig.drain().iter().map(|d| d.first.c0.summary()).collect()
        };
        assert_eq!(summaries(&mut rig, &[50, 150]), [0, 0]);
        let flow = commands.set_tcb(&mut rig, &joining(&tcp(0))).unwrap();
        assert_eq!(commands.tcb(&mut rig, flow).unwrap().expected, 250);
        assert_eq!(summaries(&mut rig, &[250, 350, 550]), [1, 1, 2]);
        assert!(commands.tcb(&mut rig, flow).unwrap().stale);
        assert_eq!(commands.set_tcb(&mut rig, &joining(&tcp(0))), Ok(flow));
        let back = commands.tcb(&mut rig, flow).unwrap();
        assert_eq!((back.expected, back.stale), (650, false));
        assert_eq!(summaries(&mut rig, &[650]), [1]);
    }
}

/// For a flow that the device does not know, the sequence number in the block counts.
///
/// Claims: 25.
#[test]
fn join_without_an_entry() {
    let (mut rig, mut commands) = rig("default");
    let mut block = joining(&Tcp::data(1, 0, 0));
    block.expected = 77;
    let flow = commands.set_tcb(&mut rig, &block).unwrap();
    assert_eq!(commands.tcb(&mut rig, flow).unwrap().expected, 77);
    rig.arrive(&Tcp::data(1, 77, 100).build());
    assert_eq!(rig.drain()[0].first.c0.summary(), 1);
}

/// A list begins with the next data, wherever its base was said to be.
///
/// Claims: 24, 41.
#[test]
fn join_with_a_page_list() {
    let (mut rig, mut commands) = rig("default");
    let list = List::new(&rig.host, 2);
    rig.arrive(&Tcp::data(1, 1, 1000).build());
    rig.drain();
    let mut block = joining(&Tcp::data(1, 0, 0)).place(&list);
    block.t8 = T8(0).with_pages(2).with_base(5);
    commands.set_tcb(&mut rig, &block).unwrap();
    rig.arrive(&Tcp::data(1, 1001, 5000).build());
    let got = rig.drain();
    assert_eq!(got[0].opcode, Opcode::Placed);
    assert_eq!(list.bytes(&rig.host)[..5000], stream(1, 1001, 5000));
}

/// A frame of the connection's, to the port that the program knows.
fn framed(at: usize, data: &[u8], flags: u8) -> Vec<u8> {
    let mut tcp = Tcp::data(3, 1 + at as u32, 0).flags(flags);
    tcp.payload = data.to_vec();
    if flags & SYN != 0 {
        tcp.seq = 0;
    }
    let mut frame = tcp.build();
    // Port and checksum: the sum changes by what the word changes.
    let old = u16::from_be_bytes([frame[36], frame[37]]);
    frame[36..38].copy_from_slice(&SMB_PORT);
    let sum = u32::from(!u16::from_be_bytes([frame[50], frame[51]]));
    let sum = sum + u32::from(!old) + u32::from(u16::from_be_bytes(SMB_PORT));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[50..52].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame
}

/// In the middle of a PDU the list begins at the page offset where the PDU is, so that the pages
/// hold what they would have held; the next PDU starts on a page of its own. Not while a header is
/// coming in, and not if the rest of the PDU does not fit.
///
/// Claims: 24, 29, 41.
#[test]
fn join_in_the_middle_of_a_pdu() {
    let (mut rig, mut commands) = rig("session");
    let mut bytes = vec![0, 0, 0x30, 0];
    bytes.extend(stream(9, 0, 0x3000));
    bytes.extend([0, 0, 0x20, 0]);
    bytes.extend(stream(8, 0, 0x2000));
    let send = |rig: &mut Rig, from: usize, to: usize| {
        rig.arrive(&framed(from, &bytes[from..to], ACK));
        rig.drain()
    };
    rig.arrive(&framed(0, &[], SYN));
    rig.drain();
    let small = List::new(&rig.host, 2);
    let list = List::new(&rig.host, 8);
    let block = |list: &List| {
        let mut block = joining(&Tcp::data(3, 0, 0)).place(list).framed();
        block.key = key_of_frame(&framed(0, &[], ACK), false, false);
        block
    };
    send(&mut rig, 0, 3);
    let busy = Err(CmdStatus::Busy);
    assert_eq!(commands.set_tcb(&mut rig, &block(&list)), busy);
    send(&mut rig, 3, 1000);
    assert_eq!(commands.set_tcb(&mut rig, &block(&small)), busy);
    let flow = commands.set_tcb(&mut rig, &block(&list)).unwrap();
    assert_eq!(commands.tcb(&mut rig, flow).unwrap().expected, 1001);
    for from in (1000..bytes.len()).step_by(1447) {
        let got = send(&mut rig, from, bytes.len().min(from + 1447));
        assert_eq!(
            (got[0].opcode, got[0].first.c0.summary()),
            (Opcode::Placed, 1)
        );
    }
    let placed = list.bytes(&rig.host);
    assert_eq!(placed[996..3 * PAGE], bytes[1000..4 + 3 * PAGE]);
    assert_eq!(placed[3 * PAGE..5 * PAGE], bytes[8 + 3 * PAGE..]);
    assert!(placed[5 * PAGE..].iter().all(|&b| b == 0xee));
    assert_eq!(rig.count(Global::SessionPdus), 1);
}
