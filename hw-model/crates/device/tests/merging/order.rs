// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Order within a flow: a stack gets its packets in the order of arrival and can segment them into
//! the original frames.

use proptest::prelude::*;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::FlowCfg;
use reflow_hwdef::stats::Global;
use reflow_testkit::frames::{ACK, FIN, PSH, URG};
use reflow_testkit::stack::Stack;
use reflow_testkit::{Rig, Setup, Tcp};

/// The frames that a stack makes again of what comes when these wait together.
fn forwarded(rig: &mut Rig, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    for frame in frames {
        rig.arrive(frame);
    }
    let mut stack = Stack::default();
    stack.take(rig.drain());
    sent_again(&stack)
}

/// The frames of a stack as they are sent: padded.
fn sent_again(stack: &Stack) -> Vec<Vec<u8>> {
    let frames = stack.up.iter().flat_map(|up| up.cut());
    frames
        .map(|mut frame| {
            frame.resize(frame.len().max(60), 0);
            frame
        })
        .collect()
}

fn spoilt(t: &Tcp) -> Vec<u8> {
    let mut frame = t.build();
    *frame.last_mut().unwrap() ^= 1;
    frame
}

/// A segment with a wrong checksum keeps its place in the flow, and changes nothing of what is
/// expected.
#[test]
fn a_packet_with_a_wrong_checksum_keeps_its_order() {
    let mut rig = Rig::usual();
    let frames = [
        Tcp::data(1, 1, 100).build(),
        Tcp::data(1, 101, 100).build(),
        spoilt(&Tcp::data(1, 201, 100)),
        Tcp::data(1, 201, 100).build(),
    ];
    assert_eq!(forwarded(&mut rig, &frames), frames);
    assert_eq!(rig.count(Global::OpNoAssist), 1);
    assert_eq!(rig.count(Global::OpStart), 2);
    // Without an entry it has no flow.
    rig.arrive(&spoilt(&Tcp::data(2, 1, 100)));
    assert_eq!(rig.drain()[0].flow, None);
}

/// A packet whose headers do not fit a cell keeps its place, too.
#[test]
fn a_packet_with_long_headers_keeps_its_order() {
    let mut setup = Setup::default();
    setup.queue.shapes[0].log2_cell = 6;
    let mut rig = Rig::new(setup);
    let bare = |seq| Tcp {
        options: Vec::new(),
        ..Tcp::data(1, seq, 100)
    };
    let frames = [
        bare(1).build(),
        bare(101).build(),
        Tcp::data(1, 201, 100).build(),
        bare(301).build(),
    ];
    assert_eq!(forwarded(&mut rig, &frames), frames);
    assert_eq!(rig.count(Global::OpNoAssist), 1);
}

/// Data with FIN that begins an aggregate is all of it: what comes behind without a flow number does
/// not overtake it, also when the flow begins anew behind that.
#[test]
fn fin_with_session_framing() {
    let mut rig = Rig::new(Setup {
        program: "session",
        flow_cfg: Setup::default().flow_cfg.with_session(1),
        ..Setup::default()
    });
    let to_smb = |t: Tcp| reflow_testkit::frames::with_port(&t, 445);
    rig.arrive(&to_smb(
        Tcp::data(1, 0, 0).flags(reflow_testkit::frames::SYN),
    ));
    rig.drain();
    let frames = [
        to_smb(Tcp::data(1, 1, 100).flags(ACK | FIN)),
        to_smb(Tcp::data(1, 102, 100).flags(ACK | PSH)),
        to_smb(Tcp::data(1, 202, 100)),
    ];
    assert_eq!(forwarded(&mut rig, &frames), frames);
}

/// Bytes behind the IP packet belong to the frame: it is neither split nor merged.
#[test]
fn trailers_are_kept() {
    for len in [4, 100] {
        let mut rig = Rig::usual();
        let mut frames: Vec<_> = (0..4)
            .map(|i| Tcp::data(1, 1 + i * 100, 100).build())
            .collect();
        frames[1].extend((0..len).map(|i| i as u8 + 1));
        assert_eq!(forwarded(&mut rig, &frames), frames);
        assert_eq!(rig.count(Global::OpNoAssist), 1);
    }
}

/// Padding of a short frame that is not zeros is kept, too; the packet has its place in the stream.
#[test]
fn short_frames_are_kept() {
    let bare = |seq, len| Tcp {
        options: Vec::new(),
        ..Tcp::data(1, seq, len)
    };
    let mut padded = bare(101, 2).build_padded();
    *padded.last_mut().unwrap() = 7;
    let frames = [
        bare(1, 100).build(),
        padded,
        bare(103, 100).build(),
        bare(203, 100).build(),
    ];
    let mut rig = Rig::usual();
    assert_eq!(forwarded(&mut rig, &frames), frames);
    assert_eq!(rig.count(Global::OpSmall), 1);
    assert_eq!(rig.count(Global::OpAppend), 1);
}

/// Packets whose data takes more than one completion keep their place, too.
#[test]
fn an_append_in_several_completions() {
    let mut rig = Rig::usual();
    let frames: Vec<_> = (0..4)
        .map(|i| Tcp::data(1, 1 + i * 8900, 8900).build())
        .collect();
    assert_eq!(forwarded(&mut rig, &frames), frames);
    assert_eq!(rig.count(Global::OpAppend), 3);
}

/// A gap does not cost an aggregate: the packet behind it begins the next one.
#[test]
fn out_of_order_begins_an_aggregate() {
    let mut rig = Rig::usual();
    let frames: Vec<_> = [1, 101, 301, 401, 501]
        .map(|seq| Tcp::data(1, seq, 100).build())
        .into();
    for frame in &frames {
        rig.arrive(frame);
    }
    let mut stack = Stack::default();
    stack.take(rig.drain());
    assert_eq!(
        stack.up.iter().map(|up| up.segs).collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(rig.count(Global::OpCloseStart), 1);
    assert_eq!(rig.count(Global::RxOutOfOrder), 1);
    // Data released at once is not merged.
    let pushed = Tcp::data(1, 901, 100).flags(ACK | PSH).build();
    assert_eq!(rig.opcode(&pushed), Opcode::OutOfOrder);
    assert_eq!(rig.opcode(&Tcp::data(1, 1001, 100).build()), Opcode::Start);
    assert_eq!(rig.count(Global::RxOutOfOrder), 2);
}

/// One packet of a stream, by its special property.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Short,
    Flags(u8),
    Ack,
    Skip,
    Back,
    Options,
    Spoilt,
    Trailer,
    Id(u16),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Plain),
        1 => Just(Kind::Short),
        2 => prop_oneof![Just(PSH), Just(FIN), Just(FIN | PSH), Just(URG)].prop_map(Kind::Flags),
        1 => Just(Kind::Ack),
        1 => Just(Kind::Skip),
        1 => Just(Kind::Back),
        1 => Just(Kind::Options),
        1 => Just(Kind::Spoilt),
        1 => Just(Kind::Trailer),
        1 => (0_u16..4).prop_map(Kind::Id),
    ]
}

fn frame(kind: Kind, seq: &mut u32, session: bool) -> Vec<u8> {
    let mut t = Tcp::data(1, *seq, 100);
    match kind {
        Kind::Short => t.payload.truncate(3),
        Kind::Flags(flags) => t.flags |= flags,
        Kind::Ack => t.payload.clear(),
        Kind::Skip => t.seq = seq.wrapping_add(500),
        Kind::Back => t.seq = seq.wrapping_sub(100),
        Kind::Options => t.options = vec![1; 40],
        Kind::Id(id) => t.id = id,
        Kind::Plain | Kind::Spoilt | Kind::Trailer => {}
    }
    t.payload = reflow_testkit::frames::stream(1, t.seq, t.payload.len());
    *seq = t.seq.wrapping_add(t.payload.len() as u32);
    let mut frame = match session {
        true => reflow_testkit::frames::with_port(&t, 445),
        false => t.build_padded(),
    };
    match kind {
        Kind::Spoilt => *frame.last_mut().unwrap() ^= 0x40,
        Kind::Trailer => frame.extend([1, 2, 3, 4, 5, 6]),
        _ => {}
    }
    frame
}

proptest! {
    /// Any stream of packets keeps its order and contents, whichever of them wait together.
    #[test]
    fn forwarded_frames_are_unchanged(
        kinds in prop::collection::vec(kind(), 1..60),
        session in any::<bool>(),
        gather in any::<bool>(),
        waits in prop::collection::vec(1_usize..12, 60),
    ) {
        let cfg = FlowCfg(0)
            .with_reassembly(1)
            .with_batching(1)
            .with_suppress(1)
            .with_session(session.into())
            .with_gather(gather.into());
        let mut rig = Rig::new(Setup {
            program: if session { "session" } else { "default" },
            flow_cfg: cfg,
            ..Setup::default()
        });
        let mut seq = 1;
        let frames: Vec<_> = kinds.iter().map(|&kind| frame(kind, &mut seq, session)).collect();
        let mut stack = Stack::default();
        let mut left = &frames[..];
        for wait in waits {
            let (now, later) = left.split_at(wait.min(left.len()));
            for frame in now {
                rig.arrive(frame);
            }
            stack.take(rig.drain());
            left = later;
        }
        prop_assert_eq!(sent_again(&stack), frames);
    }
}
