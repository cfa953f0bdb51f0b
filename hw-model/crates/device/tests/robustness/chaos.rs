// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hostile mode: each fault is injected as its description says, and nothing else changes.

use reflow_device::chaos::Tally;
use reflow_hwdef::cmd::{Cmd7, Command};
use reflow_hwdef::desc::{Completion, C0, C2, C3, C4, FLOW_NONE, T1, T2};
use reflow_hwdef::index::Index;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::{block_len, Global};
use reflow_testkit::control::Commands;
use reflow_testkit::{frames, Rig, Setup, Tcp};

pub(crate) const SEED: u64 = 7;

pub(crate) fn rig(spec: &'static str, seed: u64) -> Rig {
    Rig::new(Setup {
        queues: 2,
        seed,
        chaos: spec,
        ..Setup::default()
    })
}

/// Lets `count` packets of two flows through; all completions of both queues that were written,
/// right generation or not.
pub(crate) fn completions_of(rig: &mut Rig, count: u32) -> Vec<Completion> {
    for n in 0..count {
        let len = [100, 700, 1400][n as usize % 3];
        rig.arrive(&Tcp::data((n % 2) as u16, 1 + n / 2 * 1400, len).build());
        rig.pump();
    }
    let written = |queue: usize| {
        let all = (0..256).map(Index::from_raw);
        let all = all.map(|at| rig.queues[queue].completion_at(&rig.host, at));
        all.take_while(|done| done.to_words() != [0; 8])
            .collect::<Vec<_>>()
    };
    [written(0), written(1)].concat()
}

fn completions(spec: &'static str, seed: u64, count: u32) -> Vec<Completion> {
    completions_of(&mut rig(spec, seed), count)
}

pub(crate) fn tally(rig: &Rig, name: &str) -> Tally {
    let all = rig.dev.injections();
    all.iter().find(|(n, _)| *n == name).expect("a fault").1
}

/// Whether two completions differ in some bits of `mask`, and in no others.
fn differs_in(mask: [u64; 8], a: &Completion, b: &Completion) -> bool {
    let (a, b) = (a.to_words(), b.to_words());
    let mut words = a.iter().zip(b).zip(mask);
    a != b && words.all(|((a, b), mask)| (a ^ b) & !mask == 0)
}

fn opcode_mask() -> [u64; 8] {
    [C0(0).with_opcode(15).0, 0, 0, 0, 0, 0, 0, 0]
}

fn flow_mask() -> [u64; 8] {
    [C0(0).with_flow(0xffff).0, 0, 0, 0, 0, 0, 0, 0]
}

fn id_mask() -> [u64; 8] {
    let c2 = C2(0).with_hb_id(0xffff).with_nb_id(0xffff).0;
    let c3 = C3(0).with_rb_id(0xffff).with_rb2_id(0xffff).0;
    [0, 0, c2, c3, 0, 0, 0, 0]
}

fn span_mask() -> [u64; 8] {
    let c2 = C2(0).with_hb_off(0xffff).with_hdr_len(0xffff).0;
    let c3 = C3(0).with_rb_off(0xffff).with_rb_len(0xffff).0;
    let c4 = C4(0).with_rb2_len(0xffff);
    let c4 = c4.with_nb_off(0xffff).with_nb_len(0xffff).0;
    [0, 0, c2, c3, c4, 0, 0, 0]
}

/// Each completion is spoiled in the way that its fault is about, and in no other.
#[test]
fn completions_are_corrupted_as_specified() {
    let right = completions("", SEED, 30);
    let generation = C0(0).with_generation(1).0;
    type Check = fn(&Completion) -> bool;
    let cases: [(&str, [u64; 8], Check); 8] = [
        ("buffers=1", id_mask(), |_| true),
        ("lengths=1", span_mask(), |_| true),
        ("opcode-unknown=1", opcode_mask(), |c| {
            Opcode::from_raw(c.c0.opcode() as u8).is_none()
        }),
        ("opcode-wrong=1", opcode_mask(), |c| {
            Opcode::from_raw(c.c0.opcode() as u8).is_some()
        }),
        ("flow-range=1", flow_mask(), |c| {
            (64..u64::from(FLOW_NONE)).contains(&c.c0.flow())
        }),
        ("flow-other=1", flow_mask(), |c| c.c0.flow() < 64),
        ("generation=1", [generation, 0, 0, 0, 0, 0, 0, 0], |_| true),
        (
            "random=1",
            [!generation, !0, !0, !0, !0, !0, !0, !0],
            |_| true,
        ),
    ];
    for (spec, mask, check) in cases {
        let mut rig = rig(spec, SEED);
        let wrong = completions_of(&mut rig, 30);
        assert_eq!(wrong.len(), right.len(), "{spec}");
        let spoiled = right
            .iter()
            .zip(&wrong)
            .filter(|(right, wrong)| right != wrong)
            .inspect(|(right, wrong)| {
                assert!(
                    differs_in(mask, right, wrong),
                    "{spec}: {right:?} {wrong:?}"
                );
                assert!(check(wrong), "{spec}: {wrong:?}");
            })
            .count();
        let tally = tally(&rig, spec.split('=').next().unwrap());
        // One completion of each packet.
        assert_eq!((tally.chances, tally.strikes), (30, 30), "{spec}");
        assert_eq!((tally.spoiled, spoiled), (30, 30), "{spec}");
    }
}

/// Completions come twice, or not at all; their ring stays in step.
#[test]
fn completions_are_lost_and_duplicated() {
    let right = completions("", SEED, 20);
    let twice = completions("duplicate=1", SEED, 20);
    assert_eq!(twice.len(), 2 * right.len());
    assert!(right.iter().all(|done| {
        let same = twice.iter().filter(|other| *other == done);
        same.count() == 2
    }));

    let mut rig = rig("lost=1,after=5,count=3", SEED);
    let fewer = completions_of(&mut rig, 20);
    assert!(fewer.len() < right.len() && fewer.iter().all(|done| right.contains(done)));
    assert_eq!(tally(&rig, "lost").strikes, 3);
    assert_eq!(rig.count(Global::RxTransferred), 20);
}

/// The same seed brings the same injections, another one others; other faults have no influence.
#[test]
fn injections_follow_the_seed() {
    let once = completions("lengths=0.3", 1, 60);
    assert_eq!(completions("lengths=0.3", 1, 60), once);
    assert_ne!(completions("lengths=0.3", 2, 60), once);
    let both = completions("irq-lost=0.5,lengths=0.3", 1, 60);
    assert_eq!(both, once);
    assert_ne!(once, completions("", 1, 60));
}

/// About as many strike as the probability says; none before `after`, no more than `count`.
#[test]
fn limits_and_probabilities_hold() {
    let mut often = rig("buffers=0.3", SEED);
    completions_of(&mut often, 90);
    let Tally {
        chances, strikes, ..
    } = tally(&often, "buffers");
    // Four standard deviations.
    assert_eq!(chances, 90);
    assert!((10..45).contains(&strikes), "{strikes} of 90");

    let right = completions("", SEED, 30);
    let mut limited = rig("buffers=1,after=10,count=4", SEED);
    let wrong = completions_of(&mut limited, 30);
    let spoiled: Vec<u64> = right
        .iter()
        .zip(&wrong)
        .filter(|(right, wrong)| right != wrong)
        .map(|(right, _)| right.time)
        .collect();
    let mut times: Vec<u64> = right.iter().map(|done| done.time).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(spoiled.len(), 4);
    assert!(spoiled.iter().all(|time| times[10..14].contains(time)));
    assert_eq!(tally(&limited, "buffers").strikes, 4);
    assert_eq!(tally(&limited, "buffers").chances, 4, "none is left after");

    let mut never = rig("buffers=0", SEED);
    assert_eq!(completions_of(&mut never, 30), right);
}

fn arm(rig: &mut Rig, queue: usize) {
    let at = QUEUE_BASE + queue * QUEUE_STRIDE + Q_DB;
    rig.write(at, QueueDoorbell(0).with_arm(1).0);
}

#[test]
fn interrupts_are_lost_misdirected_and_invented() {
    let mut lost = rig("irq-lost=1", SEED);
    let mut wrong = rig("irq-vector=1", SEED);
    for rig in [&mut lost, &mut wrong] {
        for _ in 0..20 {
            arm(rig, 0);
            rig.arrive(&frames::arp());
            rig.pump();
        }
    }
    assert_eq!(lost.host.interrupts, []);
    let all = tally(&lost, "irq-lost");
    assert_eq!((all.strikes, all.spoiled), (20, 20));
    assert_eq!(wrong.host.interrupts.len(), 20);
    assert!(wrong.host.interrupts.iter().all(|v| [1, 2].contains(v)));
    assert_eq!(tally(&wrong, "irq-vector").strikes, 20);

    let mut spurious = rig("irq-spurious=0.5", SEED);
    (0..100).for_each(|_| spurious.pump_once());
    let raised = spurious.host.interrupts.len();
    assert!((30..70).contains(&raised), "{raised} of 100");
    assert!((0..3).all(|v| spurious.host.interrupts.contains(&v)));
    assert_eq!(tally(&spurious, "irq-spurious").strikes, raised as u64);
}

/// A storm lasts and pauses for its time, and sets deadlines for its interrupts.
#[test]
fn interrupts_storm() {
    let mut rig = rig("irq-storm=1,ms=1", SEED);
    let start = rig.now;
    while rig.now < start + 2_000_000 {
        rig.dev.pump(&mut rig.host, rig.now);
        rig.now = rig.dev.next_deadline().expect("the storm goes on");
    }
    assert_eq!(rig.host.interrupts.len(), 100);
    let of = |vector| rig.host.interrupts.iter().filter(|v| **v == vector).count();
    assert!((0..3).all(|vector| of(vector) >= 33));
    assert_eq!(tally(&rig, "irq-storm").strikes, 1);
    rig.dev.pump(&mut rig.host, rig.now);
    assert_eq!(tally(&rig, "irq-storm").strikes, 2, "after the rest");
}

/// Dead memory accesses are dropped for their time, then work again.
#[test]
fn writes_are_dropped() {
    let mut rig = rig("dma-dead=1,ms=1,count=1,after=2", SEED);
    let before = completions_of(&mut rig, 2);
    assert!(!before.is_empty());
    assert_eq!(completions_of(&mut rig, 2), before);
    let dropped = tally(&rig, "dma-dead");
    assert_eq!(dropped.strikes, 1);
    assert!(dropped.spoiled >= 4);
    rig.now += 2_000_000;
    rig.arrive(&frames::arp());
    rig.pump();
    assert_eq!(tally(&rig, "dma-dead").spoiled, dropped.spoiled);
    let slots = (0..32).map(|n| (n / 16, Index::from_raw(n % 16)));
    let written = slots.filter(|&(queue, at)| {
        let done = rig.queues[queue as usize].completion_at(&rig.host, at);
        done.to_words() != [0; 8]
    });
    assert_eq!(written.count(), before.len() + 1);
}

/// Of each write, only a first part arrives; the word that is stored last is not cut.
#[test]
fn writes_are_cut() {
    let right = completions("", SEED, 20);
    let mut rig = rig("dma-partial=1", SEED);
    let cut = completions_of(&mut rig, 20);
    assert_eq!(cut.len(), right.len());
    assert!(cut
        .iter()
        .zip(&right)
        .all(|(cut, right)| cut.c0 == right.c0));
    let differ = cut.iter().zip(&right).filter(|(cut, right)| cut != right);
    // Few were cut behind all that is not zero.
    assert!(differ.count() > right.len() / 2);
    // Bytes of packets are cut, too: each has one write of them or more.
    assert!(tally(&rig, "dma-partial").strikes >= 2 * right.len() as u64);
}

fn send(rig: &mut Rig) {
    let frame = frames::arp();
    rig.queues[0].queue_tx(&rig.host, &[&frame], T1(0), T2(0));
    rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
    rig.pump();
}

#[test]
fn transmission_is_stuck_or_ahead() {
    let mut stuck = rig("tx-stuck,after=2,ms=1,count=1", SEED);
    let heads: Vec<u32> = (0..4)
        .map(|_| {
            send(&mut stuck);
            stuck.queues[0].tx_head(&stuck.host).raw()
        })
        .collect();
    // The second write-back is after two packets were sent.
    assert_eq!(heads, [1, 1, 1, 1]);
    assert_eq!(stuck.host.wire.len(), 4, "frames go out all the same");
    stuck.now += 1_000_000;
    send(&mut stuck);
    assert_eq!(stuck.queues[0].tx_head(&stuck.host).raw(), 5);
    assert_eq!(tally(&stuck, "tx-stuck").spoiled, 3);

    let mut ahead = rig("tx-beyond=1", SEED);
    for sent in 1..=20 {
        send(&mut ahead);
        let head = ahead.queues[0].tx_head(&ahead.host);
        let beyond = head.since(Index::from_raw(sent));
        // Neither behind the tail nor within what a ring could hold.
        assert!((0x2001..0x4000).contains(&beyond), "{beyond:#x}");
    }
}

/// A removed device reads all ones, does nothing, and comes back as after a reset.
#[test]
fn the_device_is_removed() {
    let mut rig = rig("removed,after=3,ms=5,count=1", SEED);
    completions_of(&mut rig, 3);
    assert_eq!(rig.read(MAGIC), MAGIC_VALUE);
    let raised = rig.host.interrupts.len();
    rig.pump_once();
    assert!(rig.dev.is_removed());
    assert_eq!(rig.read(MAGIC), u32::MAX);
    assert_eq!(rig.read(QUEUE_BASE + Q_STATUS), u32::MAX);
    rig.write(RESET, 1);
    rig.arrive(&frames::arp());
    send(&mut rig);
    assert_eq!(
        (rig.host.wire.len(), rig.host.interrupts.len()),
        (0, raised)
    );
    assert_eq!(tally(&rig, "removed").spoiled, 2);

    let back = rig.dev.next_deadline().expect("it comes back");
    rig.dev.pump(&mut rig.host, back);
    assert!(!rig.dev.is_removed());
    assert_eq!(rig.read(MAGIC), MAGIC_VALUE);
    assert_eq!(rig.read(CTRL), 0, "as after a reset");
}

/// The link seems to go and come, each with an event, while it is up all the time.
#[test]
fn the_link_flaps() {
    let mut rig = rig("link-flap=1,ms=2", SEED);
    let mut seen = Vec::new();
    for _ in 0..4 {
        rig.write(EVENT, u32::MAX);
        rig.dev.pump(&mut rig.host, rig.now);
        assert_eq!(Event(rig.read(EVENT)).link(), 1);
        seen.push(Status(rig.read(STATUS)).link());
        rig.now = rig.dev.next_deadline().expect("it goes on");
    }
    assert_eq!(seen, [0, 1, 0, 1]);
    assert_eq!(tally(&rig, "link-flap").strikes, 2);
}

/// The statistics block holds random bytes; the counters are right.
#[test]
fn statistics_are_garbage() {
    let mut rig = rig("stats=1", SEED);
    let addr = rig.host.alloc(8 * block_len(2));
    rig.write(STATS_LO, addr as u32);
    rig.write(STATS_HI, (addr >> 32) as u32);
    rig.write(STATS_CTRL, 1);
    rig.arrive(&frames::arp());
    rig.pump();
    let said = rig.host.get_u64(addr + 8 * Global::RxFrames as u64);
    assert_ne!(said, 1);
    assert_eq!(rig.count(Global::RxFrames), 1);
    assert_eq!(tally(&rig, "stats").strikes, 1);
}

/// A block that stops reads as stopped, and goes on when it is started again; one that is frozen
/// says nothing and is written again after its time.
#[test]
fn statistics_stop() {
    let addr_of = |rig: &mut Rig| {
        let addr = rig.host.alloc(8 * block_len(2));
        rig.write(STATS_LO, addr as u32);
        rig.write(STATS_HI, (addr >> 32) as u32);
        rig.write(STATS_CTRL, 1);
        addr + 8 * Global::RxFrames as u64
    };
    let mut stopped = rig("stats-stopped=1,count=1", SEED);
    let counter = addr_of(&mut stopped);
    stopped.arrive(&frames::arp());
    stopped.pump();
    assert_eq!(stopped.read(STATS_CTRL), 0);
    assert_eq!(stopped.host.get_u64(counter), 0);
    stopped.write(STATS_CTRL, 1);
    stopped.pump();
    assert_eq!(stopped.read(STATS_CTRL), 1);
    assert_eq!(stopped.host.get_u64(counter), 1);

    let mut frozen = rig("stats-frozen,ms=5,count=1", SEED);
    let counter = addr_of(&mut frozen);
    frozen.arrive(&frames::arp());
    frozen.pump();
    assert_eq!(frozen.read(STATS_CTRL), 1);
    assert_eq!(frozen.host.get_u64(counter), 0);
    frozen.now += 6_000_000;
    frozen.arrive(&frames::arp());
    frozen.pump();
    assert_eq!(frozen.host.get_u64(counter), 2);
}

/// Commands get no answer while everything else works; later ones are answered.
#[test]
fn commands_are_not_answered() {
    let mut rig = rig("cmd-silent,ms=5,count=1", SEED);
    let mut commands = Commands::new(&mut rig);
    let nop = |rig: &mut Rig, commands: &mut Commands| {
        let at = commands.queue(&rig.host, Command::Nop as u8, 0, 0, 0);
        commands.kick(rig);
        rig.pump();
        at
    };
    let done = |rig: &Rig, at| Cmd7(rig.host.get_u64(at + 56)).done();
    rig.write(EVENT, u32::MAX);
    let first = nop(&mut rig, &mut commands);
    let second = nop(&mut rig, &mut commands);
    assert_eq!((done(&rig, first), done(&rig, second)), (0, 0));
    assert_eq!(Event(rig.read(EVENT)).command(), 0);
    assert_ne!(rig.read(CMD_SIZE), 0);
    assert_eq!(completions_of(&mut rig, 4).len(), 4);
    rig.now += 6_000_000;
    let third = nop(&mut rig, &mut commands);
    assert_eq!((done(&rig, first), done(&rig, third)), (0, 1));
    assert_eq!(tally(&rig, "cmd-silent").spoiled, 2);
}

/// STATUS says so, and nothing else changes.
#[test]
fn the_device_is_not_ready() {
    let mut rig = rig("not-ready,ms=5,count=1", SEED);
    rig.pump();
    assert_eq!(Status(rig.read(STATUS)).ready(), 0);
    assert_eq!(completions_of(&mut rig, 4).len(), 4);
    rig.now += 6_000_000;
    rig.pump();
    assert_eq!(Status(rig.read(STATUS)).ready(), 1);
}

/// A deaf device ignores being switched off, obeys being switched on, and takes a reset.
#[test]
fn switching_off_is_ignored() {
    let mut rig = rig("deaf", SEED);
    let queue = QUEUE_BASE + Q_CTRL;
    let before = rig.read(queue);
    assert_ne!(before, 0);
    rig.write(queue, 0);
    rig.write(CTRL, 0);
    assert_eq!(rig.read(queue), before);
    assert_ne!(rig.read(CTRL), 0);
    assert_eq!(completions_of(&mut rig, 4).len(), 4);
    let resets = rig.dev.resets();
    rig.write(RESET, 1);
    assert_eq!(rig.dev.resets(), resets + 1);
    assert_eq!((rig.read(queue), rig.read(CTRL)), (0, 0));
    rig.write(CTRL, 3);
    assert_eq!(rig.read(CTRL), 3);
}

/// A reset is never over, and does nothing.
#[test]
fn a_reset_is_stuck() {
    let mut rig = rig("reset-stuck,ms=5,count=1", SEED);
    assert_eq!(rig.read(RESET), 0);
    rig.write(RESET, 1);
    assert_eq!(rig.read(RESET), 1);
    assert_eq!(completions_of(&mut rig, 4).len(), 4);
    rig.now += 6_000_000;
    rig.pump();
    assert_eq!(rig.read(RESET), 0);
    rig.write(RESET, 1);
    assert_eq!(rig.read(CTRL), 0);
}

/// One queue holds its packets without an interrupt, and transfers them when the fault ends.
#[test]
fn a_queue_is_stuck() {
    let mut rig = rig("cq-stuck,ms=5,count=1", SEED);
    let queue_of = |rig: &mut Rig, conn| match rig.arrive(&Tcp::data(conn, 1, 100).build()) {
        reflow_device::RxOutcome::Queued { queue, .. } => usize::from(queue),
        other => panic!("{other:?}"),
    };
    arm(&mut rig, 0);
    arm(&mut rig, 1);
    let stuck = queue_of(&mut rig, 1);
    rig.pump();
    let conn = (2..20).find(|&conn| queue_of(&mut rig, conn) != stuck);
    assert!(conn.is_some());
    rig.pump();
    assert!(rig.poll(stuck).is_empty());
    assert_eq!(rig.poll(1 - stuck).len(), 1);
    assert_eq!(rig.host.interrupts, [1 - stuck as u16]);
    let waiting = rig.dev.queue_state(stuck).waiting;
    arm(&mut rig, stuck);
    rig.now += 6_000_000;
    rig.pump();
    assert_eq!(rig.poll(stuck).len(), waiting);
    assert!(rig.host.interrupts.contains(&(stuck as u16)));
}

/// A buffer comes back that came back before, and appended data are said to be another flow's.
#[test]
fn buffers_are_released_twice_and_flows_repeated() {
    let right = completions("", SEED, 60);
    let again = completions("buffer-twice=1", SEED, 60);
    let wrong = right.iter().zip(&again).filter(|(a, b)| a != b);
    let mut released = Vec::new();
    for (_, again) in wrong {
        let kinds = [
            again.c0.rel_hb(),
            again.c0.rel_sb() << 1,
            again.c0.rel_rb() << 2,
        ];
        assert!(kinds.iter().any(|&kind| kind != 0) || again.c0.nb() == 1);
        released.push(again);
    }
    assert!(!released.is_empty());

    let mut rig = rig("append-other=1", SEED);
    for n in 0..8_u32 {
        for conn in 0..2 {
            rig.arrive(&Tcp::data(conn, 1 + n * 500, 500).build());
        }
    }
    rig.pump();
    let strikes = tally(&rig, "append-other").strikes;
    assert!(strikes > 0 && strikes <= 14, "{strikes}");
    let got: Vec<u64> = (0..2)
        .flat_map(|queue| (0..16).map(move |at| (queue, Index::from_raw(at))))
        .map(|(queue, at)| rig.queues[queue].completion_at(&rig.host, at).c0)
        .filter(|c0| [Opcode::Append as u64].contains(&c0.opcode()))
        .map(|c0| c0.flow())
        .collect();
    assert!(got.iter().all(|&flow| flow < 2));
}

/// With all faults at once the device itself stays sound: whatever it tells the host, every frame
/// is accounted for.
#[test]
fn all_faults_at_once_do_not_confuse_the_device() {
    let mut rig = rig(
        "buffers=0.2,lengths=0.2,opcode-unknown=0.2,opcode-wrong=0.2,flow-range=0.2,\
         flow-other=0.2,generation=0.2,random=0.2,duplicate=0.3,lost=0.2,irq-lost=0.2,\
         irq-spurious=0.2,irq-storm=0.1,ms=1,irq-vector=0.2,dma-dead=0.1,ms=1,dma-partial=0.2,\
         tx-stuck=0.2,ms=1,tx-beyond=0.2,link-flap=0.2,ms=1,stats=0.5,removed=0.01,after=400,\
         ms=1,count=1",
        SEED,
    );
    let addr = rig.host.alloc(8 * block_len(2));
    rig.write(STATS_LO, addr as u32);
    rig.write(STATS_HI, (addr >> 32) as u32);
    rig.write(STATS_CTRL, 1);
    let mut consumed = 0;
    for n in 0..1500_u32 {
        rig.now += 20_000;
        rig.arrive(&Tcp::data((n % 5) as u16, 1 + n * 700, 700).build());
        if n % 7 == 0 {
            send(&mut rig);
        }
        rig.dev.pump(&mut rig.host, rig.now);
        // A driver that believes everything.
        consumed += rig.dev.queue_state(0).completion.map_or(0, |c| c.unseen);
        let db = QueueDoorbell(0).with_arm(1);
        let db = db.with_cq_cons(consumed as u32 % (1 << 15));
        rig.write(QUEUE_BASE + Q_DB, db.0);
    }
    let struck = rig
        .dev
        .injections()
        .iter()
        .filter(|i| i.1.strikes > 0)
        .count();
    assert_eq!(struck, 21, "{:?}", rig.dev.injections());
    let waiting: usize = (0..2).map(|q| rig.dev.queue_state(q).waiting).sum();
    rig.assert_accounted(waiting as u64);
}
