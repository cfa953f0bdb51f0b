// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Nothing gets lost uncounted: frames, buffers, bytes of the packet memory.

use proptest::prelude::*;
use reflow_device::RxOutcome;
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::{self, Global, Queue};
use reflow_testkit::driver::QueueSetup;
use reflow_testkit::frames::{self, *};
use reflow_testkit::stack::Stack;
use reflow_testkit::{Rig, Setup, Tcp};

/// The packet memory is accounted to the byte; what does not fit is dropped and counted, and
/// counted as missed if the queue waits for buffers.
///
/// Claims: 8, 21.
#[test]
fn packet_memory_overflow_is_counted() {
    let mut rig = Rig::new(Setup {
        pm_bytes: 10_000,
        queue: QueueSetup::default().without(&[BufKind::Reasm]),
        ..Setup::default()
    });
    assert_eq!(rig.read(PM_SIZE), 10_000);
    let frame = |i: u32| Tcp::data(1, 1 + i * 934, 934).build();
    assert_eq!(frame(0).len(), 1000);
    for i in 0..10 {
        assert!(matches!(rig.arrive(&frame(i)), RxOutcome::Queued { .. }));
        rig.pump();
        assert_eq!(rig.read(PM_LEVEL), (i + 1) * 1000);
    }
    for i in 10..15 {
        let outcome = rig.arrive(&frame(i));
        assert_eq!(outcome, RxOutcome::Dropped(Global::RxPmOverflow));
    }
    assert_eq!(rig.dev.counters().queue(0, Queue::Missed), 5);
    assert_eq!(rig.dev.counters().queue(0, Queue::NoBuffer), 1);
    let status = QueueStatus(rig.read(QUEUE_BASE + Q_STATUS));
    let why = (status.waiting(), status.no_buffer(), status.no_completion());
    assert_eq!(why, (1, 1, 0));
    rig.assert_accounted(10);
    rig.queues[0].post(&mut rig.dev, &mut rig.host, BufKind::Reasm, 64);
    assert_eq!(rig.drain().len(), 10);
    assert_eq!((rig.read(PM_LEVEL), rig.read(PM_HIGH)), (0, 10_000));
    rig.write(PM_HIGH, 0);
    assert_eq!(rig.read(PM_HIGH), 0);
    rig.assert_accounted(0);
    // The lost packet leaves a gap, which is detected.
    rig.arrive(&frame(15));
    assert_eq!(rig.count(Global::RxOutOfOrder), 1);
}

/// A queue whose driver sleeps does not hold up another.
#[test]
fn queues_do_not_block_each_other() {
    let mut rig = Rig::new(Setup {
        queues: 2,
        ram: 16 << 20,
        queue: QueueSetup::default().without(&[BufKind::Packet]),
        ..Setup::default()
    });
    let QueueSetup { shapes, .. } = QueueSetup::default();
    rig.queues[1].post(
        &mut rig.dev,
        &mut rig.host,
        BufKind::Packet,
        shapes[BufKind::Packet as usize].posted,
    );
    let mut sent = [0; 2];
    for conn in 0..20 {
        if let RxOutcome::Queued { queue, .. } = rig.arrive(&udp(conn, false, &[1; 600])) {
            sent[usize::from(queue)] += 1;
        }
    }
    rig.pump();
    assert!(sent[0] > 0 && sent[1] > 0);
    let got = [rig.poll(0).len(), rig.poll(1).len()];
    assert_eq!(got, [0, sent[1]]);
}

/// Each way to lose a frame has its counter.
///
/// Claims: 8.
#[test]
fn every_loss_has_its_counter() {
    let mut rig = Rig::usual();
    let good = frames::arp();
    let mut other = good.clone();
    other[5] = 0x77;
    let giant = {
        let mut f = good.clone();
        f.resize(9015, 0);
        f
    };
    for (frame, why) in [
        (&good[..13], Global::RxRunts),
        (&giant[..], Global::RxGiants),
        (&other[..], Global::RxFiltered),
        (&[][..], Global::RxRunts),
    ] {
        assert_eq!(rig.arrive(frame), RxOutcome::Dropped(why));
    }
    rig.arrive(&good);
    rig.pump();
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].switch_off(dev, host);
    assert_eq!(rig.arrive(&good), RxOutcome::Dropped(Global::RxDisabled));
    rig.write(CTRL, 0);
    assert_eq!(rig.arrive(&good), RxOutcome::Dropped(Global::RxDisabled));
    rig.assert_accounted(0);
    assert_eq!(rig.count(Global::RxTransferred), 1);
}

/// Received and sent frames are counted by length, FCS included, and by address.
#[test]
fn lengths_and_addresses() {
    let mut rig = Rig::usual();
    let all = [0xff; 6];
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let frame = |dst: [u8; 6], len: usize| {
        let mut f = frames::arp();
        f[..6].copy_from_slice(&dst);
        f.resize(len, 0);
        f
    };
    let mut pause = frame(group, 60);
    pause[12..14].copy_from_slice(&[0x88, 0x08]);
    let mut sent = vec![frame(all, 60), frame(group, 124), frame(group, 60), pause];
    sent.extend([61, 123, 1514, 1515].map(|len| frame(DEV_MAC, len)));
    rig.write(MAX_FRAME, 9014);
    for f in &sent {
        rig.arrive(f);
        rig.queues[0].queue_tx(&rig.host, &[f], T1(0), T2(0));
    }
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
    let rx = stats::LENGTHS.map(|class| rig.count(class.rx));
    let tx = stats::LENGTHS.map(|class| rig.count(class.tx));
    assert_eq!(rx, [3, 2, 1, 0, 0, 1, 1]);
    assert_eq!(tx, rx);
    assert_eq!(rig.count(Global::TxBroadcast), 1);
    assert_eq!(rig.count(Global::TxMulticast), 3);
    assert_eq!(rig.count(Global::RxMacControl), 1);
    assert_eq!(rig.count(Global::TxMacControl), 1);
}

/// The MAC filter through its registers.
#[test]
fn mac_filter() {
    let mut rig = Rig::usual();
    let to = |dst: [u8; 6]| {
        let mut f = frames::arp();
        f[..6].copy_from_slice(&dst);
        f
    };
    let passes = |rig: &mut Rig, dst| matches!(rig.arrive(&to(dst)), RxOutcome::Queued { .. });
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let new = [2, 9, 8, 7, 6, 5];
    assert!(passes(&mut rig, DEV_MAC) && passes(&mut rig, [0xff; 6]));
    assert!(!passes(&mut rig, group) && !passes(&mut rig, new));
    rig.write(MC_TABLE, 0x0000_3333);
    rig.write(MC_TABLE + 4, 0x0100);
    rig.write(MC_COUNT, 1);
    assert!(passes(&mut rig, group));
    rig.write(MAC_LO, 0x0708_0902);
    assert!(
        passes(&mut rig, DEV_MAC),
        "both halves become valid together"
    );
    rig.write(MAC_HI, 0x0506);
    assert!(!passes(&mut rig, DEV_MAC) && passes(&mut rig, new));
    rig.write(RX_MODE, RxMode(0).with_promisc(1).0);
    assert!(passes(&mut rig, DEV_MAC));
    assert_eq!(rig.count(Global::RxBroadcast), 1);
    assert_eq!(rig.count(Global::RxMulticast), 1);
}

/// The statistics block in host memory follows the counters, not more often than once in a
/// millisecond, and the last change gets out.
#[test]
fn statistics_block() {
    let mut rig = Rig::usual();
    let len = stats::block_len(1);
    let addr = rig.host.alloc(len * 8);
    rig.write(STATS_LO, addr as u32);
    rig.write(STATS_HI, (addr >> 32) as u32);
    rig.write(STATS_CTRL, 1);
    let frames = |rig: &Rig| rig.host.get_u64(addr + Global::RxFrames as u64 * 8);
    rig.pump();
    for _ in 0..3 {
        rig.arrive(&frames::arp());
    }
    rig.drain();
    assert_eq!(frames(&rig), 0);
    rig.now = rig.dev.next_deadline().expect("the change wants out");
    rig.pump();
    assert_eq!(frames(&rig), 3);
    let packets = stats::queue_base(0) + Queue::Packets as usize;
    assert_eq!(rig.host.get_u64(addr + packets as u64 * 8), 3);
    assert_eq!(rig.dev.next_deadline(), None);
    rig.write(STATS_LO, 8);
    rig.write(STATS_HI, 0);
    rig.write(STATS_CTRL, 1);
    rig.pump();
    assert_eq!(rig.read(STATS_CTRL), 0, "there is no memory");
}

/// An event between device and driver.
#[derive(Clone, Debug)]
enum Event {
    Frame { conn: u16, len: usize, odd: u8 },
    Udp(usize),
    Pump,
    Poll(usize),
    Wait(u64),
    Restart(usize),
    Configure(u32),
    Redirect(u32),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => (0..24_u16, prop_oneof![Just(1448_usize), 0..3000_usize], 0..40_u8)
            .prop_map(|(conn, len, odd)| Event::Frame { conn, len, odd }),
        2 => (0..4000_usize).prop_map(Event::Udp),
        4 => Just(Event::Pump),
        4 => (0..2_usize).prop_map(Event::Poll),
        2 => (0..3_000_000_u64).prop_map(Event::Wait),
        1 => (0..2_usize).prop_map(Event::Restart),
        1 => (0..128_u32).prop_map(Event::Configure),
        1 => (0..2_u32).prop_map(Event::Redirect),
    ]
}

/// A rig with few buffers, few flows and little memory.
fn narrow() -> Rig {
    let mut queue = QueueSetup {
        log2_cq: 4,
        ..QueueSetup::default()
    };
    for (kind, log2) in [
        (BufKind::Header, 3),
        (BufKind::Reasm, 4),
        (BufKind::Packet, 3),
        (BufKind::Small, 3),
    ] {
        let shape = &mut queue.shapes[kind as usize];
        shape.log2_entries = log2;
        shape.posted = 1 << log2;
        shape.log2_size = if kind == BufKind::Reasm { 11 } else { 10 };
    }
    Rig::new(Setup {
        queues: 2,
        flows: 8,
        pm_bytes: 60_000,
        queue,
        ..Setup::default()
    })
}

fn happen(rig: &mut Rig, event: &Event, seqs: &mut [u32], stacks: &mut [Stack; 2]) {
    match *event {
        Event::Frame { conn, len, odd } => {
            let seq = &mut seqs[usize::from(conn)];
            let flags = match odd {
                0 => ACK | FIN,
                1 => RST,
                2 => SYN,
                3 | 4 => ACK | PSH,
                5 => {
                    *seq = seq.wrapping_add(77);
                    ACK
                }
                _ => ACK,
            };
            rig.arrive(&Tcp::data(conn, *seq, len).flags(flags).build());
            *seq = seq.wrapping_add(len as u32 + u32::from(flags == SYN));
        }
        Event::Udp(len) => {
            rig.arrive(&udp(7, false, &vec![5; len]));
        }
        Event::Pump => rig.pump(),
        Event::Poll(queue) => {
            let got = rig.poll(queue);
            stacks[queue].take(got);
        }
        Event::Wait(ns) => rig.now += ns,
        Event::Restart(queue) => {
            let Rig {
                dev, host, queues, ..
            } = rig;
            queues[queue].switch_off(dev, host);
            stacks[queue] = Stack::default();
            queues[queue].switch_on(dev, host);
        }
        Event::Configure(cfg) => rig.write(FLOW_CFG, cfg | 1),
        Event::Redirect(queue) => rig.write(RSS_TABLE + 5 * 4, queue),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens: the driver's double finds every buffer given back at most once, every page
    /// with data of one flow, data without gaps, and operation codes that make sense; at the end
    /// all frames are accounted for and no flow keeps a page.
    ///
    /// Claims: 8, 13, 18, 33, 58.
    #[test]
    fn buffers_and_frames_are_accounted_for(
        events in proptest::collection::vec(any_event(), 1..400),
    ) {
        let mut rig = narrow();
        let mut seqs = vec![1_u32; 24];
        let mut stacks = [Stack::default(), Stack::default()];
        for event in &events {
            happen(&mut rig, event, &mut seqs, &mut stacks);
        }
        rig.write(FLOW_CFG, FlowCfg(0).with_batching(1).0);
        for _ in 0..200 {
            rig.now += 200_000;
            rig.pump();
            for (queue, stack) in stacks.iter_mut().enumerate() {
                stack.take(rig.poll(queue));
            }
            if rig.dev.pm_level() == 0 && rig.dev.flows_in_use() == 0 {
                break;
            }
        }
        rig.pump();
        for queue in 0..2 {
            rig.poll(queue);
            prop_assert_eq!(rig.queues[queue].kept_by_flows(), 0);
        }
        prop_assert_eq!(rig.dev.pm_level(), 0);
        prop_assert_eq!(rig.dev.flows_in_use(), 0);
        rig.assert_accounted(0);
        for stack in &stacks {
            prop_assert!((0..8).all(|flow| !stack.is_open(flow)));
        }
    }
}
