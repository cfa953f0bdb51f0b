// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules of merging, those of GRO, case by case; and that segmenting an
//! aggregate gives the original frames again.

use proptest::prelude::*;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::AGG_MAX;
use reflow_testkit::frames::*;
use reflow_testkit::stack::Stack;
use reflow_testkit::{Rig, Setup, Tcp};

/// The payload sizes that the stack gets when all frames wait at once.
fn sizes(frames: &[Vec<u8>]) -> Vec<usize> {
    sizes_with(Setup::default(), frames)
}

fn sizes_with(setup: Setup, frames: &[Vec<u8>]) -> Vec<usize> {
    let mut rig = Rig::new(setup);
    let up = pass(&mut rig, frames);
    up.iter()
        .map(|s| {
            if s.segs == 1 {
                s.seg_size
            } else {
                s.data.len()
            }
        })
        .collect()
}

fn pass(rig: &mut Rig, frames: &[Vec<u8>]) -> Vec<reflow_testkit::stack::Super> {
    for frame in frames {
        rig.arrive(frame);
    }
    let mut stack = Stack::default();
    stack.take(rig.drain());
    stack.up
}

/// Both IP versions, plain and through a tunnel.
fn everywhere(make: impl Fn(Tcp) -> Vec<Tcp>, expected: &[usize]) {
    for (v6, tunnel) in [(false, false), (true, false), (false, true), (true, true)] {
        let base = Tcp {
            v6,
            tunnel,
            ..Tcp::data(1, 100, 100)
        };
        let frames: Vec<_> = make(base).iter().map(Tcp::build).collect();
        let setup = Setup {
            program: if tunnel { "tunnels" } else { "default" },
            ..Setup::default()
        };
        assert_eq!(
            sizes_with(setup, &frames),
            expected,
            "v6 {v6} tunnel {tunnel}"
        );
    }
}

/// `n` packets of 100 bytes in order.
fn row(base: &Tcp, n: u32) -> Vec<Tcp> {
    (0..n)
        .map(|i| Tcp {
            seq: base.seq + i * 100,
            payload: stream(1, base.seq + i * 100, 100),
            ..base.clone()
        })
        .collect()
}

/// Claims: 42, 57, 59.
#[test]
fn equal_packets_merge() {
    everywhere(|base| row(&base, 2), &[200]);
    everywhere(|base| row(&base, 7), &[700]);
}

#[test]
fn a_shorter_packet_ends_and_a_longer_one_starts_an_aggregate() {
    let short = |base: Tcp| {
        let mut f = row(&base, 2);
        f[1].payload.truncate(50);
        f
    };
    everywhere(short, &[150]);
    let long = |base: Tcp| {
        let mut f = row(&base, 2);
        f[0].payload.truncate(50);
        f[1].seq = 150;
        f
    };
    everywhere(long, &[50, 100]);
}

/// The zeros that pad a frame are not data, and are put back by whoever sends it. Other bytes in
/// their place are kept with the frame.
#[test]
fn padding_is_trimmed() {
    let base = Tcp {
        options: Vec::new(),
        ..Tcp::data(1, 100, 100)
    };
    let tiny = Tcp {
        seq: 200,
        payload: stream(1, 200, 1),
        ..base.clone()
    };
    assert_eq!(tiny.build_padded().len(), 60);
    assert_eq!(sizes(&[base.build(), tiny.build_padded()]), [101]);
    let mut odd = tiny.build_padded();
    odd[57] = 1;
    assert_eq!(sizes(&[base.build(), odd]), [100, 1]);
}

#[test]
fn pure_acks_are_never_merged() {
    let acks = |base: Tcp| {
        vec![
            Tcp {
                payload: Vec::new(),
                ..base
            };
            3
        ]
    };
    everywhere(acks, &[0, 0, 0]);
}

#[test]
fn push_completes() {
    let third = |base: Tcp| {
        let mut f = row(&base, 5);
        f[2].flags |= PSH;
        f
    };
    everywhere(third, &[300, 200]);
}

/// SYN, RST and URG go alone, between what was before and what comes after.
#[test]
fn packets_with_control_flags_are_not_merged() {
    for flag in [SYN, RST, URG] {
        let between = |base: Tcp| {
            let mut f = row(&base, 4);
            let mut control = f[2].clone().flags(ACK | flag);
            control.payload = Vec::new();
            if flag == SYN {
                control.seq -= 1;
            }
            f.insert(2, control);
            f
        };
        let mut rig = Rig::usual();
        let frames: Vec<_> = between(Tcp::data(1, 100, 100))
            .iter()
            .map(Tcp::build)
            .collect();
        let up = pass(&mut rig, &frames);
        let segs: Vec<_> = up.iter().map(|s| (s.segs, s.seg_size)).collect();
        assert_eq!(segs, [(2, 100), (1, 0), (2, 100)], "flag {flag:#x}");
    }
}

/// After a control packet merging continues at the next data.
#[test]
fn merging_continues_after_a_control_packet() {
    for flag in [SYN, RST, URG] {
        let after = |base: Tcp| {
            let mut f = row(&base, 5);
            f[2].payload.clear();
            f[2].flags |= flag;
            f[2].seq = base.seq;
            f
        };
        everywhere(after, &[200, 0, 200]);
    }
}

#[test]
fn tcp_ecn_flags_start_an_aggregate() {
    let marked = |base: Tcp| {
        let mut f = row(&base, 5);
        f[1].flags |= CWR;
        f[2].flags |= CWR;
        f
    };
    everywhere(marked, &[100, 200, 200]);
    let echo = |base: Tcp| {
        let mut f = row(&base, 2);
        f[1].flags |= ECE;
        f
    };
    everywhere(echo, &[100, 100]);
}

/// One field of the second packet differs: it is not appended.
#[test]
fn any_other_header_field_starts_an_aggregate() {
    type Change = fn(&mut Tcp);
    let changes: [(&str, Change); 8] = [
        ("ttl", |t| t.ttl = 5),
        ("tos", |t| t.tos = 0x10),
        ("ecn", |t| t.tos = 3),
        ("ack", |t| t.ack += 1),
        ("window", |t| t.window += 1),
        ("timestamp", |t| t.options[7] += 1),
        ("option", |t| t.options = vec![2, 4, 5, 0xb4]),
        ("sequence", |t| t.seq += 1),
    ];
    for (name, change) in changes {
        let second = |base: Tcp| {
            let mut f = row(&base, 2);
            change(&mut f[1]);
            f
        };
        println!("{name}");
        everywhere(second, &[100, 100]);
    }
    let mac = |base: Tcp| {
        let mut f = row(&base, 2);
        f[1].src_mac[5] = 9;
        f
    };
    everywhere(mac, &[100, 100]);
    let label = |base: Tcp| {
        let mut f = row(&base.v6(), 2);
        f[1].label += 1;
        f
    };
    everywhere(label, &[100, 100]);
    let df = |base: Tcp| {
        let mut f = row(&Tcp { v6: false, ..base }, 2);
        f[1].df = false;
        f
    };
    assert_eq!(
        sizes(
            &df(Tcp::data(1, 100, 100))
                .iter()
                .map(Tcp::build)
                .collect::<Vec<_>>()
        ),
        [100, 100]
    );
}

/// Timestamps change in mid-stream as in real life.
#[test]
fn timestamps_that_change() {
    let frames = |base: Tcp| {
        let mut f = row(&base, 6);
        for t in &mut f[3..] {
            t.options[7] = 9;
        }
        f
    };
    everywhere(frames, &[300, 300]);
}

/// Ids count up or stay; the first pair says which, and a later change starts anew.
#[test]
fn ipv4_ids() {
    let with_ids = |df: bool, ids: &[u16]| {
        let mut f = row(&Tcp::data(1, 100, 100), ids.len() as u32);
        for (t, &id) in f.iter_mut().zip(ids) {
            t.id = id;
            t.df = df;
        }
        sizes(&f.iter().map(Tcp::build).collect::<Vec<_>>())
    };
    for df in [false, true] {
        assert_eq!(with_ids(df, &[7, 8]), [200]);
        assert_eq!(with_ids(df, &[7, 7]), [200]);
        assert_eq!(with_ids(df, &[7, 9]), [100, 100]);
        assert_eq!(with_ids(df, &[7, 8, 8]), [200, 100]);
        assert_eq!(with_ids(df, &[7, 7, 8]), [200, 100]);
        assert_eq!(with_ids(df, &[7, 8, 7]), [200, 100]);
        assert_eq!(with_ids(df, &[7, 7, 9]), [200, 100]);
        assert_eq!(with_ids(df, &[7, 8, 9, 10]), [400]);
        assert_eq!(with_ids(df, &[0xfffe, 0xffff, 0, 1]), [400]);
        assert_eq!(with_ids(df, &[7, 6]), [100, 100]);
    }
}

/// Each header of a tunnel has its ids.
#[test]
fn ipv4_ids_in_tunnels() {
    let with_ids = |ids: &[(u16, u16)]| {
        let base = Tcp {
            tunnel: true,
            ..Tcp::data(1, 100, 100)
        };
        let mut f = row(&base, ids.len() as u32);
        for (t, &(outer, inner)) in f.iter_mut().zip(ids) {
            t.outer_id = outer;
            t.id = inner;
        }
        let setup = Setup {
            program: "tunnels",
            ..Setup::default()
        };
        sizes_with(setup, &f.iter().map(Tcp::build).collect::<Vec<_>>())
    };
    assert_eq!(with_ids(&[(1, 5), (2, 6), (3, 7)]), [300]);
    assert_eq!(with_ids(&[(1, 5), (1, 5)]), [200]);
    // Each level has a rule of its own.
    assert_eq!(with_ids(&[(1, 5), (2, 5), (3, 5)]), [300]);
    assert_eq!(with_ids(&[(1, 5), (1, 6), (1, 7)]), [300]);
    assert_eq!(with_ids(&[(1, 5), (2, 5), (2, 5)]), [200, 100]);
    assert_eq!(with_ids(&[(1, 5), (1, 6), (1, 6)]), [200, 100]);
    assert_eq!(with_ids(&[(1, 5), (2, 7)]), [100, 100]);
    assert_eq!(with_ids(&[(1, 5), (3, 6)]), [100, 100]);
}

/// A tunnel is not merged by a program that does not look into it.
#[test]
fn tunnels_need_their_program() {
    let base = Tcp {
        tunnel: true,
        ..Tcp::data(1, 100, 100)
    };
    let frames: Vec<_> = row(&base, 3).iter().map(Tcp::build).collect();
    assert_eq!(sizes(&frames), [0, 0, 0]);
}

/// Bytes behind the inner packet of a tunnel would be lost: no assist.
#[test]
fn bytes_behind_an_inner_packet_get_no_assist() {
    let mut rig = Rig::new(Setup {
        program: "tunnels",
        ..Setup::default()
    });
    let base = Tcp {
        tunnel: true,
        v6: true,
        ..Tcp::data(1, 100, 100)
    };
    let mut frame = base.build();
    assert_eq!(rig.opcode(&frame), Opcode::Start);
    // Slack behind the outer packet shows in the frame's length, slack inside it in its own.
    frame.extend_from_slice(&[0; 4]);
    assert_eq!(rig.opcode(&frame), Opcode::NoAssist);
    frame[19] += 4;
    assert_eq!(rig.opcode(&frame), Opcode::NoAssist);
}

/// The longest IP packet is 65535 bytes, or what AGG_MAX says.
#[test]
fn the_length_is_limited() {
    let header = 20 + 32;
    let run = |agg_max: Option<u32>, lens: &[usize]| {
        let mut rig = Rig::usual();
        if let Some(max) = agg_max {
            rig.write(AGG_MAX, max);
        }
        let mut seq = 1;
        let frames: Vec<_> = lens
            .iter()
            .map(|&len| {
                seq += len as u32;
                Tcp::data(1, seq - len as u32, len).build()
            })
            .collect();
        let up = pass(&mut rig, &frames);
        up.iter().map(|s| s.data.len()).collect::<Vec<_>>()
    };
    let full = 65_535 - header;
    let (n, rest) = (full / 4044, full % 4044);
    let mut lens = vec![4044; n];
    lens.push(rest);
    lens.push(rest);
    assert_eq!(run(None, &lens), [full, rest]);
    lens[n] = rest + 1;
    lens[n + 1] = rest + 1;
    assert_eq!(run(None, &lens), [full - rest, 2 * (rest + 1)]);
    let max = header as u32 + 3000;
    assert_eq!(run(Some(max), &[1000; 7]), [3000, 3000, 1000]);
    assert_eq!(run(Some(max - 1), &[1000; 7]), [2000, 2000, 2000, 1000]);
}

/// A VLAN tag is part of what tells flows apart, removed or not.
#[test]
fn flows_differ_by_vlan_tag() {
    for strip in [0, 1] {
        let mut setup = Setup::default();
        setup.rx_mode = setup.rx_mode.with_vlan_strip(strip);
        let mut f = row(&Tcp::data(1, 100, 100), 4);
        f[0].vlan = Some(5);
        f[1].vlan = Some(5);
        f[2].vlan = Some(6);
        let mut rig = Rig::new(setup);
        let frames: Vec<_> = f.iter().map(Tcp::build).collect();
        let up = pass(&mut rig, &frames);
        let got: Vec<_> = up.iter().map(|s| (s.data.len(), s.vlan)).collect();
        let tag = |tci| if strip == 1 { Some(tci) } else { None };
        assert_eq!(got, [(200, tag(5)), (100, tag(6)), (100, None)]);
    }
}

prop_compose! {
    /// A packet as it may follow another: mostly in order and equal, sometimes not.
    fn any_step()(
        conn in 0..3_u16,
        len in prop_oneof![Just(700_usize), Just(700), Just(700), 0..1400_usize],
        odd in 0..24_u8,
        jump in -900..900_i32,
    ) -> (u16, usize, u8, i32) {
        (conn, len, odd, jump)
    }
}

/// Frames of a few connections, with all that happens to real ones.
fn traffic(steps: &[(u16, usize, u8, i32)], v6: bool, tunnel: bool) -> Vec<(u16, Vec<u8>)> {
    let mut next: Vec<Tcp> = (0..3)
        .map(|conn| Tcp {
            v6,
            tunnel,
            seq: 0xffff_f000,
            ..Tcp::data(conn, 0, 0)
        })
        .collect();
    let mut out = Vec::new();
    for &(conn, len, odd, jump) in steps {
        let state = &mut next[usize::from(conn)];
        state.flags = ACK;
        match odd {
            0 => state.flags |= PSH,
            1 => state.flags |= FIN,
            2 => state.flags |= CWR,
            3 => state.window ^= 1,
            4 => state.ttl ^= 1,
            5 => state.tos ^= 1,
            6 => state.options[7] ^= 1,
            7 => state.seq = state.seq.wrapping_add(jump as u32),
            8 => state.id = state.id.wrapping_add(jump as u16),
            9 => state.df ^= true,
            10 => state.outer_id = state.outer_id.wrapping_add(1),
            12 => state.outer_id = state.outer_id.wrapping_sub(1),
            13 => state.id = state.id.wrapping_sub(1),
            _ => {}
        }
        let frame = Tcp {
            payload: stream(conn, state.seq, len),
            ..state.clone()
        };
        state.seq = state.seq.wrapping_add(len as u32);
        // Each connection has a way of its own to number packets, inside and outside.
        if conn != 1 {
            state.id = state.id.wrapping_add(u16::from(odd != 11));
        }
        if conn != 2 {
            state.outer_id = state.outer_id.wrapping_add(u16::from(odd != 11));
        }
        out.push((conn, frame.build()));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever comes and whenever it is transferred: cut again, each connection's frames are the
    /// ones that came, byte for byte and in their order.
    ///
    /// Claims: 18, 42, 44, 57, 59.
    #[test]
    fn segmentation_gives_the_original_frames(
        steps in proptest::collection::vec(any_step(), 1..120),
        v6: bool,
        tunnel: bool,
        chunk in 1..40_usize,
        cfg in 0..16_u32,
    ) {
        let mut setup = Setup {
            program: if tunnel { "tunnels" } else { "default" },
            ..Setup::default()
        };
        setup.flow_cfg = setup.flow_cfg
            .with_suppress(cfg & 1)
            .with_fresh_page((cfg >> 1) & 1)
            .with_split_all((cfg >> 2) & 1)
            .with_gather((cfg >> 3) & 1);
        let mut rig = Rig::new(setup);
        let frames = traffic(&steps, v6, tunnel);
        let mut stack = Stack::default();
        for some in frames.chunks(chunk) {
            for (_, frame) in some {
                rig.arrive(frame);
            }
            stack.take(rig.drain());
            prop_assert!((0..64).all(|flow| !stack.is_open(flow)));
        }
        rig.assert_accounted(0);
        let sent: Vec<Vec<Vec<u8>>> = per_connection(frames.iter().map(|f| f.1.clone()), v6, tunnel);
        let cut: Vec<_> = stack.up.iter().flat_map(|s| s.cut()).collect();
        prop_assert_eq!(per_connection(cut.into_iter(), v6, tunnel), sent);
    }
}

/// Frames sorted by connection, which their source port tells.
fn per_connection(
    frames: impl Iterator<Item = Vec<u8>>,
    v6: bool,
    tunnel: bool,
) -> Vec<Vec<Vec<u8>>> {
    let ip = if v6 { 40 } else { 20 };
    let tcp = 14 + if tunnel { 2 * ip } else { ip };
    let mut out = vec![Vec::new(); 3];
    for frame in frames {
        let port = u16::from_be_bytes([frame[tcp], frame[tcp + 1]]);
        out[usize::from(port - 10_000)].push(frame);
    }
    out
}
