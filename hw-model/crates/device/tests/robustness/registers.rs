// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Registers as a driver finds them: identity, reset, the parser's program, faults of queues, and
//! rings whose indices wrap around.

use reflow_device::{Config, Device, RxOutcome};
use reflow_hwdef::desc::{T1, T2};
use reflow_hwdef::isa::INSTR_WORDS;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::*;
use reflow_hwdef::stats::Global;
use reflow_hwdef::verify::Reason;
use reflow_testkit::driver::QueueSetup;
use reflow_testkit::frames::{self, ACK, PSH};
use reflow_testkit::{load_program, Rig, Setup, Tcp};

/// Claims: 31, 48.
#[test]
fn identity_and_sizes() {
    let mut rig = Rig::new(Setup {
        queues: 3,
        flows: 128,
        ram: 32 << 20,
        ..Setup::default()
    });
    assert_eq!(rig.read(MAGIC), MAGIC_VALUE);
    assert_eq!(rig.read(VERSION), VERSION_VALUE);
    let caps = Caps(rig.read(CAPS));
    assert_eq!(
        (caps.queues(), caps.vectors(), caps.log2_flows()),
        (3, 4, 7)
    );
    assert_eq!(rig.read(PERM_MAC_LO), 2);
    assert_eq!(rig.read(PERM_MAC_HI), 0x0100);
    let features = Features(rig.read(FEATURES));
    assert_eq!(
        (features.reassembly(), features.tso(), features.tcb()),
        (1, 1, 1)
    );
    // Read-only registers stay, unknown ones do not exist.
    for offset in [
        MAGIC,
        CAPS,
        FEATURES,
        PM_SIZE,
        0x28,
        0x7ffc,
        QUEUE_BASE + 3 * QUEUE_STRIDE,
    ] {
        let before = rig.read(offset);
        rig.write(offset, !before);
        assert_eq!(rig.read(offset), before);
    }
}

/// Sizes out of range are cut to what the registers can say.
#[test]
fn odd_sizes() {
    for (queues, flows) in [(0, 0), (1000, 1 << 20), (3, 100)] {
        let mut dev = Device::new(Config {
            mac: frames::DEV_MAC,
            queues,
            flows,
            pm_bytes: 0,
            seed: 0,
        });
        let caps = Caps(dev.mmio_read(CAPS));
        assert_eq!(caps.queues() as usize, queues.clamp(1, MAX_QUEUES));
        assert_eq!(dev.mmio_read(FLOW_SIZE), 1 << caps.log2_flows());
        assert!(dev.mmio_read(FLOW_SIZE) as usize <= flows.max(1));
        assert_eq!(dev.vectors(), caps.vectors() as usize);
    }
}

/// A reset puts everything back, even with packets waiting, and the device works again afterwards.
#[test]
fn reset() {
    let mut rig = Rig::usual();
    rig.arrive(&Tcp::data(1, 1, 100).build());
    rig.deliver();
    rig.arrive(&Tcp::data(1, 101, 100).build());
    rig.write(RESET, 1);
    assert_eq!(rig.read(RESET), 0);
    assert_eq!((rig.dev.pm_level(), rig.dev.flows_in_use()), (0, 0));
    assert_eq!(rig.count(Global::RxFrames), 0);
    assert_eq!(rig.read(CTRL), 0);
    assert_eq!(rig.read(MAX_FRAME), 1514);
    assert_eq!(Status(rig.read(STATUS)).link(), 1);
    assert_eq!(rig.read(QUEUE_BASE + Q_STATUS), 0);
    assert_eq!(
        rig.arrive(&frames::arp()),
        RxOutcome::Dropped(Global::RxDisabled)
    );
    let Rig {
        dev, host, queues, ..
    } = &mut rig;
    queues[0].switch_off(dev, host);
    queues[0].switch_on(dev, host);
    rig.write(RX_MODE, RxMode(0).with_broadcast(1).0);
    rig.write(CTRL, 1);
    rig.arrive(&frames::arp());
    assert_eq!(rig.deliver().len(), 1);
}

/// The program can be replaced while traffic flows; one that is refused leaves the old one at work.
///
/// Claims: 2, 3, 34.
#[test]
fn programs_are_updateable() {
    let mut rig = Rig::usual();
    let data = |conn, seq| Tcp::data(conn, seq, 10).build();
    let crc = rig.read(PARSER_CRC);
    assert_eq!(rig.opcode(&data(1, 1)), Opcode::Start);
    // The empty program refuses all.
    rig.write(PARSER_COMMIT, 0);
    assert_eq!(ParserStatus(rig.read(PARSER_STATUS)).len(), 0);
    assert_eq!(rig.opcode(&data(1, 11)), Opcode::NoAssist);
    assert_eq!(rig.count(Global::RxParserRefused), 1);
    load_program(&mut rig.dev, &mut rig.host, "default");
    assert_eq!(rig.read(PARSER_CRC), crc);
    assert_eq!(rig.opcode(&data(2, 1)), Opcode::Start);
    // A broken one: its first instruction jumps nowhere.
    let first = rig.read(PARSER_RAM + 4);
    rig.write(PARSER_RAM + 4, first & !0x00ff_0000 | 0x007f_0000);
    let len = PROGRAMS[0].words.len() / INSTR_WORDS;
    rig.write(PARSER_COMMIT, len as u32);
    let status = ParserStatus(rig.read(PARSER_STATUS));
    assert_eq!((status.error(), status.at()), (Reason::BadTarget as u32, 0));
    assert_eq!(status.len() as usize, len);
    assert_eq!(rig.opcode(&data(2, 11)), Opcode::Append);
    rig.write(PARSER_COMMIT, 1000);
    assert_eq!(
        ParserStatus(rig.read(PARSER_STATUS)).error(),
        Reason::TooLong as u32
    );
    assert_eq!(rig.opcode(&data(2, 21)), Opcode::Append);
}

/// Another program, another set of protocols: with the one that looks into tunnels, they are
/// merged; with the one that leaves a port alone, that port is.
///
/// Claims: 2, 3, 34.
#[test]
fn programs_select_protocols() {
    let tunnel = Tcp {
        tunnel: true,
        ..Tcp::data(1, 1, 10)
    }
    .build();
    let web = Tcp::data(1, 1, 10).build();
    for (name, of_tunnel, of_web) in [
        ("default", Opcode::NoAssist, Opcode::Start),
        ("tunnels", Opcode::Start, Opcode::Start),
    ] {
        let mut rig = Rig::new(Setup {
            program: name,
            ..Setup::default()
        });
        assert_eq!(rig.opcode(&tunnel), of_tunnel, "{name}");
        assert_eq!(rig.opcode(&web), of_web, "{name}");
    }
}

/// A queue whose set-up is out of range does not start, and says why.
#[test]
fn a_bad_set_up_is_refused() {
    let bad: [(usize, u32); 9] = [
        (CQ_LO, 0x20),
        (CQ_SIZE, 2),
        (CQ_SIZE, 14),
        (BUF_LO, 8),
        (BUF_CFG, BufCfg(0).with_log2_entries(2).with_log2_size(12).0),
        (BUF_CFG, BufCfg(0).with_log2_entries(4).with_log2_size(15).0),
        (
            BUF_CFG,
            BufCfg(0)
                .with_log2_entries(4)
                .with_log2_size(8)
                .with_log2_cell(9)
                .0,
        ),
        // The one kind that must be there.
        (BUF_CFG + 2 * BUF_STRIDE, 0),
        (CQ_HI, u32::MAX),
    ];
    for (i, (reg, value)) in bad.into_iter().enumerate() {
        let mut rig = Rig::usual();
        rig.write(QUEUE_BASE + Q_CTRL, 0);
        rig.write(QUEUE_BASE + CQ_LO, 0xffff_ffc0);
        rig.write(QUEUE_BASE + reg, value);
        rig.write(QUEUE_BASE + Q_CTRL, 1);
        let status = QueueStatus(rig.read(QUEUE_BASE + Q_STATUS));
        assert_eq!(
            (status.rx(), status.error()),
            (0, QueueError::BadConfig as u32),
            "case {i}"
        );
        assert_eq!(Event(rig.read(EVENT)).queue_fault(), 1);
    }
}

/// Rings and buffers outside memory stop the queue, which says why; what waits is lost and counted.
#[test]
fn faults_of_memory_stop_the_queue() {
    for (kind, error) in [
        (None, QueueError::BadAddress),
        (Some(BufKind::Reasm), QueueError::BadBuffer),
        (Some(BufKind::Packet), QueueError::BadBuffer),
    ] {
        let mut rig = Rig::usual();
        let frames = [
            Tcp::data(1, 1, 900).build(),
            Tcp::data(1, 901, 900).build(),
            frames::udp(1, false, &[0; 900]),
        ];
        match kind {
            // The completion ring.
            None => {
                rig.write(QUEUE_BASE + Q_CTRL, 0);
                rig.write(QUEUE_BASE + CQ_LO, 0);
                rig.write(QUEUE_BASE + CQ_HI, 0);
                rig.write(QUEUE_BASE + Q_CTRL, 1);
                rig.queues[0].forget_posted();
                for kind in BufKind::ALL {
                    rig.queues[0].post(&mut rig.dev, &mut rig.host, kind, 8);
                }
            }
            Some(kind) => rig.queues[0].spoil_next(&rig.host, kind),
        }
        for frame in &frames {
            rig.arrive(frame);
        }
        rig.pump();
        let status = rig.queues[0].status(&mut rig.dev);
        assert_eq!((status.rx(), status.tx()), (0, u32::from(kind.is_some())));
        assert_eq!(status.error(), error as u32);
        assert_eq!((rig.dev.pm_level(), rig.dev.flows_in_use()), (0, 0));
        assert!(rig.count(Global::RxDmaErrors) > 0 || kind.is_none());
        rig.assert_accounted(0);
    }
}

/// Tail indices that lead by more than the ring holds stop their half.
#[test]
fn bad_tails() {
    let mut rig = Rig::usual();
    rig.write(QUEUE_BASE + TX_TAIL, 65);
    let status = rig.queues[0].status(&mut rig.dev);
    assert_eq!((status.rx(), status.tx()), (1, 0));
    assert_eq!(status.error(), QueueError::BadTail as u32);
    for reg in [BUF_TAIL, BUF_TAIL + BUF_STRIDE, Q_DB] {
        let mut rig = Rig::usual();
        rig.write(QUEUE_BASE + reg, 1000);
        let status = rig.queues[0].status(&mut rig.dev);
        assert_eq!((status.rx(), status.tx()), (0, 1));
        assert_eq!(status.error(), QueueError::BadTail as u32);
    }
}

/// All rings go round and round, across the end of their indices.
#[test]
fn rings_wrap_around() {
    let mut queue = QueueSetup {
        log2_cq: 4,
        log2_tx: 3,
        ..QueueSetup::default()
    };
    for shape in &mut queue.shapes {
        shape.log2_entries = 3;
        shape.log2_size = 8;
        shape.posted = 8;
    }
    let mut rig = Rig::new(Setup {
        queue,
        ..Setup::default()
    });
    let arp = frames::arp();
    let long = frames::udp(1, false, &[1; 400]);
    let mut seq = 1_u32;
    // Each turn is at least one of each index: 2^15 of them are once around.
    for turn in 0..17_000 {
        rig.arrive(&arp);
        rig.arrive(&long);
        for flags in [ACK, ACK | PSH] {
            rig.arrive(&Tcp::data(1, seq, 130).flags(flags).build());
            seq += 130;
        }
        for _ in 0..2 {
            rig.queues[0].queue_tx_at(&rig.host, &arp, T1(0), T2(0), turn % 8);
        }
        rig.queues[0].kick_tx(&mut rig.dev, &mut rig.host);
        let got = rig.deliver();
        assert_eq!(got.len(), 4);
        assert_eq!(got[3].data.len(), 130);
        assert_eq!(rig.host.wire, [&arp[..], &arp]);
        rig.host.wire.clear();
    }
    assert!(rig.count(Global::RxTransferred) > 2 * 0x8000);
    assert_eq!(
        rig.queues[0].tx_head(&rig.host),
        rig.queues[0].queue.tx_tail
    );
    rig.assert_accounted(0);
}
