// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Random early discard.

use reflow_device::RxOutcome;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_testkit::driver::QueueSetup;
use reflow_testkit::frames::*;
use reflow_testkit::{Rig, Setup, Tcp};

/// Bytes of the packets that hold the level, and how many of them there are.
const WEIGHT: usize = 1000;
const WEIGHTS: usize = 100;
/// Units of the level that they make, cut off.
const LEVEL: u32 = (WEIGHT * WEIGHTS / 64) as u32;

/// A rig whose packet memory holds [`LEVEL`], in a queue whose driver sleeps.
fn at_level(seed: u64) -> Rig {
    let mut rig = Rig::new(Setup {
        queues: 2,
        ram: 16 << 20,
        queue: QueueSetup::default().without(&[BufKind::Packet]),
        seed,
        ..Setup::default()
    });
    hold(&mut rig);
    rig
}

fn hold(rig: &mut Rig) {
    let heavy = udp(sleeper(), false, &[0; WEIGHT - 42]);
    for _ in 0..WEIGHTS {
        let outcome = rig.arrive(&heavy);
        assert!(matches!(outcome, RxOutcome::Queued { queue: 1, .. }));
    }
    rig.pump();
    assert_eq!(rig.read(PM_LEVEL) as usize, WEIGHT * WEIGHTS);
}

/// A connection whose packets go to queue 1.
fn sleeper() -> u16 {
    connection_of(1)
}

/// A connection whose packets go to queue 0.
fn waker() -> u16 {
    connection_of(0)
}

fn connection_of(queue: u16) -> u16 {
    let mut rig = Rig::new(Setup {
        queues: 2,
        ram: 16 << 20,
        ..Setup::default()
    });
    let goes_there = |conn: &u16| {
        let outcome = [udp(*conn, false, &[]), Tcp::data(*conn, 1, 100).build()]
            .map(|frame| rig.arrive(&frame));
        outcome
            .iter()
            .all(|outcome| matches!(outcome, RxOutcome::Queued { queue: q, .. } if *q == queue))
    };
    (0..64).find(goes_there).expect("one of them")
}

fn band(rig: &mut Rig, number: usize, low: u32, high: u32, prob: u32) {
    let levels = RedLevels(0).with_low(low).with_high(high);
    rig.write(RED_LEVELS + number * 4, levels.0);
    rig.write(RED_PROB + number * 4, prob);
}

/// So many frames come; which of them are lost.
fn losses(rig: &mut Rig, frame: &[u8], count: usize) -> Vec<bool> {
    let mut lost = Vec::new();
    for i in 0..count {
        lost.push(match rig.arrive(frame) {
            RxOutcome::Dropped(Global::RxRed) => true,
            RxOutcome::Queued { .. } => false,
            RxOutcome::Dropped(why) => panic!("{why:?}"),
        });
        if i % 8 == 7 {
            rig.pump();
            rig.poll(0);
        }
    }
    rig.pump();
    rig.poll(0);
    lost
}

/// At a held level, of 10^5 frames as many are lost as the probability says, within five standard
/// deviations of the binomial distribution, and the band's counter has them all.
///
/// Claims: 28.
#[test]
fn losses_are_binomial() {
    let frame = udp(waker(), false, &[1; 18]);
    for (number, prob) in [(0, 655), (1, 8192), (2, 32768), (3, 57344)] {
        let mut rig = at_level(number as u64);
        band(&mut rig, number, LEVEL - 1, LEVEL + 100, prob);
        let n = 100_000_usize;
        let lost = losses(&mut rig, &frame, n).iter().filter(|&&l| l).count() as f64;
        let p = f64::from(prob) / 65536.0;
        let mean = n as f64 * p;
        let sigma = (mean * (1.0 - p)).sqrt();
        assert!(
            (lost - mean).abs() < 5.0 * sigma,
            "{lost} of {mean}, {sigma}"
        );
        let bands = [
            Global::RxRed0,
            Global::RxRed1,
            Global::RxRed2,
            Global::RxRed3,
        ];
        for (i, which) in bands.into_iter().enumerate() {
            let expected = if i == number { lost as u64 } else { 0 };
            assert_eq!(rig.count(which), expected);
        }
        assert_eq!(rig.count(Global::RxRed), lost as u64);
        assert_eq!(rig.count(Global::RxPmOverflow), 0);
        rig.assert_accounted(WEIGHTS as u64);
    }
}

/// Probability 0 never, 65536 and more always; outside its levels a band does nothing.
///
/// Claims: 28.
#[test]
fn probabilities_zero_and_one() {
    let frame = Tcp::data(waker(), 1, 100).build();
    for (low, high, prob, expected) in [
        (0, 0xffff, 0, 0),
        (0, 0xffff, 65536, 1000),
        (0, 0xffff, u32::MAX, 1000),
        (LEVEL, LEVEL + 200, 65536, 1000),
        (LEVEL + 200, 0xffff, 65536, 0),
        (0, LEVEL, 65536, 0),
        (LEVEL, LEVEL, 65536, 0),
        (LEVEL + 9, LEVEL, 65536, 0),
    ] {
        let mut rig = at_level(1);
        band(&mut rig, 2, low, high, prob);
        let lost = losses(&mut rig, &frame, 1000)
            .iter()
            .filter(|&&l| l)
            .count();
        assert_eq!(lost, expected, "{low} to {high}, {prob}");
        rig.assert_accounted(WEIGHTS as u64);
    }
}

/// Packets that set up, end or pace a connection are never lost; data is.
///
/// Claims: 28.
#[test]
fn control_packets_are_exempt() {
    let conn = waker();
    let mut rig = at_level(1);
    band(&mut rig, 0, 0, 0xffff, 65536);
    let options = vec![2, 4, 5, 0xb4];
    let syn = Tcp {
        options,
        ..Tcp::data(conn, 1, 0)
    };
    let exempt = [
        syn.clone().flags(SYN).build(),
        syn.flags(SYN | ACK).build(),
        Tcp::data(conn, 2, 0).build_padded(),
        Tcp::data(conn, 2, 0).flags(ACK | FIN).build(),
        Tcp::data(conn, 2, 10).flags(ACK | FIN).build(),
        Tcp::data(conn, 2, 0).flags(RST).build(),
        Tcp::data(conn, 2, 0).flags(ACK | ECE).v6().build(),
    ];
    for frame in &exempt {
        for _ in 0..10_000 / exempt.len() {
            assert!(matches!(rig.arrive(frame), RxOutcome::Queued { .. }));
            rig.pump();
            rig.poll(0);
            rig.poll(1);
        }
    }
    for frame in [
        Tcp::data(conn, 2, 1).build(),
        Tcp::data(conn, 2, 100).flags(ACK | PSH).build(),
        udp(conn, false, &[1; 18]),
        arp(),
    ] {
        assert_eq!(rig.arrive(&frame), RxOutcome::Dropped(Global::RxRed));
    }
    assert_eq!(rig.count(Global::RxRed0), 4);
}

/// The same seed gives the same losses, a reset starts them anew, another seed gives others.
///
/// Claims: 28.
#[test]
fn losses_repeat_with_the_same_seed() {
    let frame = udp(waker(), false, &[1; 18]);
    let run = |rig: &mut Rig| {
        band(rig, 1, 0, 0xffff, 20_000);
        losses(rig, &frame, 2000)
    };
    let first = run(&mut at_level(7));
    let mut rig = at_level(7);
    assert_eq!(run(&mut rig), first);
    assert_ne!(run(&mut at_level(8)), first);
    rig.write(RESET, 1);
    rig.queues[0].forget_posted();
    let on = Ctrl(0).with_rx(1).with_tx(1);
    rig.write(CTRL, on.0);
    for (offset, value) in [
        (RSS_CTRL, RssCtrl(0).with_enable(0).0),
        (RX_MODE, RxMode(0).with_broadcast(1).0),
    ] {
        rig.write(offset, value);
    }
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].switch_on(dev, host);
    assert_eq!(run(&mut rig), first);
}

/// A packet that does not fit is overflow, even where early discard is certain.
#[test]
fn overflow_is_not_early_discard() {
    let mut rig = Rig::new(Setup {
        pm_bytes: 3000,
        queue: QueueSetup::default().without(&[BufKind::Packet]),
        ..Setup::default()
    });
    assert_eq!(Features(rig.read(FEATURES)).red(), 1);
    let frame = udp(1, false, &[1; 958]);
    for _ in 0..3 {
        assert!(matches!(rig.arrive(&frame), RxOutcome::Queued { .. }));
    }
    band(&mut rig, 0, 0, 0xffff, 65536);
    assert_eq!(rig.arrive(&frame), RxOutcome::Dropped(Global::RxPmOverflow));
    assert_eq!(rig.count(Global::RxRed), 0);
    rig.assert_accounted(3);
}
