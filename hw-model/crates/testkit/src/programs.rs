// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Random parser programs that the verifier accepts.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use reflow_hwdef::isa::{Cmp, Instr, Out, NEXT_DONE, NEXT_REFUSE};

fn output() -> impl Strategy<Value = (Out, u16, u8)> {
    let any_arg = (
        select(vec![
            Out::None,
            Out::L3,
            Out::L4,
            Out::End,
            Out::Seq,
            Out::TcpFlags,
            Out::Vlan,
            Out::KeyClear,
        ]),
        prop_oneof![0..100_u16, any::<u16>()],
        any::<u8>(),
    );
    prop_oneof![
        4 => any_arg,
        1 => (1..=16_u16, any::<u8>()).prop_map(|(n, at)| (Out::Key, (n << 8) | u16::from(at), 0)),
        1 => (0..64_u16).prop_map(|bits| (Out::Kind, bits, 0)),
        1 => (any::<u16>(), 0..16_u8).prop_map(|(mask, by)| (Out::HdrEnd, mask, by)),
        1 => (any::<u16>(), 0..16_u8, any::<bool>())
            .prop_map(|(mask, by, left)| (Out::SetR, mask, by | (u8::from(left) << 7))),
        1 => (1..=4_u16, 0..200_u8)
            .prop_map(|(n, at)| (Out::Session, (n << 8) | u16::from(at), at + n as u8)),
    ]
}

/// Fields of an instruction; the jumps are still fractions of where they may go.
fn fields() -> impl Strategy<Value = (Instr, [u8; 2], bool)> {
    let numbers = (0..40_u8, any::<u16>(), 0..6_u8, any::<u16>());
    let moves = (0..30_u8, any::<bool>(), 0..30_u8);
    (numbers, moves, output(), any::<[u8; 2]>(), any::<bool>()).prop_map(
        |(
            (load, mask, cmp, value),
            (ok_adv, ok_adv_r, fail_adv),
            (out, arg, shift),
            jumps,
            way,
        )| {
            let instr = Instr {
                load,
                mask,
                cmp: Cmp::from_raw(cmp).unwrap(),
                value,
                ok_adv,
                ok_adv_r,
                ok_next: NEXT_DONE,
                fail_adv,
                fail_next: NEXT_REFUSE,
                out,
                arg,
                shift,
            };
            (instr, jumps, way)
        },
    )
}

/// Where an instruction may go: one time in eight it ends, else anywhere that its advance allows.
fn jump(at: usize, len: usize, adv: u8, choice: u8) -> u8 {
    let first = if adv == 0 { at + 1 } else { 0 };
    match choice {
        0..=15 => NEXT_DONE,
        16..=31 => NEXT_REFUSE,
        _ if first < len => (first + usize::from(choice) % (len - first)) as u8,
        _ => NEXT_DONE,
    }
}

/// A parser program of which every instruction leads to the next one, on one of its two ways.
pub fn program() -> impl Strategy<Value = Vec<Instr>> {
    let lengths = prop_oneof![8 => 1..=20_usize, 1 => 1..=128_usize];
    let fields = lengths.prop_flat_map(|len| vec(fields(), len));
    fields.prop_map(|fields| {
        let len = fields.len();
        let instrs = fields.into_iter().enumerate();
        instrs
            .map(|(at, (mut i, [ok, fail], way))| {
                i.ok_next = jump(at, len, i.ok_adv, ok);
                i.fail_next = jump(at, len, i.fail_adv, fail);
                if at + 1 < len {
                    let next = if way {
                        &mut i.ok_next
                    } else {
                        &mut i.fail_next
                    };
                    *next = (at + 1) as u8;
                }
                i
            })
            .collect()
    })
}
