// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A hostile guest: whatever it writes to registers and to its memory, the device neither panics
//! nor loses count.

use proptest::prelude::*;
use reflow_device::{Config, Device, Host};
use reflow_hwdef::layout::RegInfo;
use reflow_hwdef::regs::*;
use reflow_testkit::frames::{self, *};
use reflow_testkit::host::BASE;
use reflow_testkit::{load_program, FakeHost, Rig, Setup, Tcp};

/// Something done to the device.
#[derive(Clone, Debug)]
enum Act {
    Write(usize, u32),
    Queue(usize, usize, u32),
    Memory(u64, u64),
    Frame(Vec<u8>),
    Tcp(u16, u32, usize, u8),
    Pump(u64),
}

fn any_value() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0_u32),
        Just(u32::MAX),
        0..64_u32,
        any::<u32>(),
        (0..32_u32).prop_map(|bit| 1 << bit),
        // Addresses in memory.
        (0..0x4000_u32).prop_map(|n| n * 64),
    ]
}

fn any_register(table: &'static [RegInfo]) -> impl Strategy<Value = usize> {
    proptest::sample::select(table)
        .prop_flat_map(|reg| (0..reg.count).prop_map(move |i| reg.offset + i * reg.stride))
}

fn any_act() -> impl Strategy<Value = Act> {
    let tcp = (0..6_u16, 0..4_u32, 0..2000_usize, any::<u8>());
    prop_oneof![
        3 => (any_register(GLOBAL_REGS), any_value()).prop_map(|(at, v)| Act::Write(at, v)),
        1 => (0..BAR_SIZE + 64, any_value()).prop_map(|(at, v)| Act::Write(at, v)),
        8 => (0..3_usize, any_register(QUEUE_REGS), any_value())
            .prop_map(|(q, at, v)| Act::Queue(q, at, v)),
        4 => (0..0x1_8000_u64, prop_oneof![any::<u64>(), (0..0x10_0000_u64).prop_map(|n| BASE + n)])
            .prop_map(|(at, v)| Act::Memory(at * 8, v)),
        2 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Act::Frame),
        4 => tcp.prop_map(|(conn, seq, len, flags)| Act::Tcp(conn, seq * 500, len, flags)),
        3 => (0..3_000_000_u64).prop_map(Act::Pump),
    ]
}

const RAM: usize = 0xc_0000;

fn act(dev: &mut Device, host: &mut FakeHost, now: &mut u64, act: &Act) {
    match act {
        Act::Write(at, value) => {
            dev.mmio_write(host, *at, *value);
            dev.mmio_read(*at);
        }
        Act::Queue(queue, at, value) => {
            let at = QUEUE_BASE + queue * QUEUE_STRIDE + at;
            dev.mmio_write(host, at, *value);
            dev.mmio_read(at);
        }
        Act::Memory(at, value) => {
            // Outside memory, too, where nothing happens.
            let _ = host.write(BASE + at, &value.to_le_bytes());
        }
        Act::Frame(frame) => {
            dev.rx_frame(*now, frame);
        }
        Act::Tcp(conn, seq, len, flags) => {
            let frame = Tcp::data(*conn, *seq, *len).flags(*flags).build();
            dev.rx_frame(*now, &frame);
        }
        Act::Pump(ns) => {
            *now += ns;
            for _ in 0..200 {
                if !dev.pump(host, *now) {
                    break;
                }
            }
        }
    }
}

/// A device that a sane driver has set up, for a hostile one to go on with.
fn running() -> (Device, FakeHost) {
    let Rig { dev, host, .. } = Rig::new(Setup {
        queues: 2,
        flows: 4,
        pm_bytes: 20_000,
        rx_mode: RxMode(0).with_promisc(1),
        ..Setup::default()
    });
    (dev, host)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// From reset: nothing is set up but by chance.
    #[test]
    fn random_accesses_after_reset(acts in proptest::collection::vec(any_act(), 1..300)) {
        let mut dev = Device::new(Config {
            mac: DEV_MAC,
            queues: 2,
            flows: 8,
            pm_bytes: 20_000,
            seed: 0,
        });
        let mut host = FakeHost::new(RAM);
        dev.mmio_write(&mut host, CTRL, 3);
        let mut now = 0;
        for a in &acts {
            act(&mut dev, &mut host, &mut now, a);
            prop_assert!(dev.pm_level() <= dev.pm_size());
        }
    }

    /// From a device at work: its rings and buffers are real, and are then trodden on.
    #[test]
    fn random_accesses_while_running(acts in proptest::collection::vec(any_act(), 1..300)) {
        let (mut dev, mut host) = running();
        let mut now = 0;
        for a in &acts {
            act(&mut dev, &mut host, &mut now, a);
            prop_assert!(dev.pm_level() <= dev.pm_size());
            prop_assert!(dev.flows_in_use() <= 4);
        }
    }

    /// Any frame, mutated from a good one, under every shipped program; what the device says of it
    /// lies inside the frame.
    #[test]
    fn random_frames(
        program in proptest::sample::select(&["default", "tunnels", "noport", "session"][..]),
        v6: bool,
        tunnel: bool,
        vlan in proptest::option::of(any::<u16>()),
        changes in proptest::collection::vec((0..120_usize, any::<u8>()), 0..6),
        cut in proptest::option::of(14..200_usize),
    ) {
        let mut rig = Rig::usual();
        load_program(&mut rig.dev, &mut rig.host, program);
        let mut frame = Tcp { v6, tunnel, vlan, ..Tcp::data(1, 1, 60) }.build();
        for (at, value) in changes {
            if at >= 6 && at < frame.len() {
                frame[at] = value;
            }
        }
        frame.truncate(cut.unwrap_or(usize::MAX));
        rig.arrive(&frame);
        for d in rig.drain() {
            let len = d.first.c1.pkt_len();
            prop_assert!(d.first.c4.l3_off() < len && d.first.c4.l4_off() < len);
            prop_assert!(d.first.c2.hdr_len() + d.first.c5.data_len() <= len);
            prop_assert!(d.first.c0.tcp() & d.first.c0.udp() == 0);
        }
        rig.assert_accounted(0);
    }

    /// A verified program of any instructions cannot lead the device astray: what is merged is
    /// still what the walk over the headers finds.
    #[test]
    fn random_programs(
        changes in proptest::collection::vec((0..40_usize, 0..4_usize, any::<u32>(), 0..32_u32), 1..6),
        v6: bool,
    ) {
        let mut rig = Rig::usual();
        let words = reflow_hwdef::programs::PROGRAMS[0].words;
        for (instr, word, value, bits) in changes {
            let at = (instr * 4 + word) % words.len();
            let mask = (value % 0xff) << bits;
            rig.write(PARSER_RAM + at * 4, words[at] ^ mask);
        }
        rig.write(PARSER_COMMIT, (words.len() / 4) as u32);
        for i in 0..4 {
            let frame = Tcp { v6, ..Tcp::data(1, 1 + i * 50, 50) };
            rig.arrive(&frame.build());
            rig.arrive(&frames::udp(1, v6, &[1; 30]));
            rig.arrive(&frames::arp());
        }
        let mut stack = reflow_testkit::stack::Stack::default();
        stack.take(rig.drain());
        for done in stack.up.iter().filter(|s| s.segs > 1) {
            prop_assert_eq!(done.cut().len(), done.segs);
            let first = Tcp { v6, ..Tcp::data(1, 1, 50) }.build();
            let last = &done.cut()[0];
            prop_assert_eq!(last.len(), first.len());
        }
        rig.assert_accounted(0);
    }
}
