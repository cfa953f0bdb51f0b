// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Programs of arbitrary words, and programs that were made to pass the verifier: what is accepted
//! keeps within the frame, and a device that runs it takes every frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_asm::{explain, input::Loaded, text};
use reflow_device::parser::{Parsed, Program};
use reflow_fuzz::common::{Rig, Setup};
use reflow_fuzz::input::Input;
use reflow_fuzz::packets::Packets;
use reflow_hwdef::isa::{
    Cmp, Instr, Out, HEADER_MEMORY, INSTR_WORDS, MAX_STEPS, NEXT_DONE, NEXT_REFUSE,
};
use reflow_hwdef::regs::{ParserStatus, PARSER_COMMIT, PARSER_CRC, PARSER_RAM, PARSER_STATUS};

fuzz_target!(|data: &[u8]| {
    let input = Input::new(data);
    let words = words(&input);
    let Ok(program) = Program::load(&words) else {
        return;
    };
    let mut packets = Packets::default();
    let frames: Vec<Vec<u8>> = (0..4).map(|_| packets.frame(&input)).collect();
    for frame in &frames {
        let header = &frame[..frame.len().min(HEADER_MEMORY)];
        let parsed = program.run(header, frame.len());
        within(&parsed, frame.len());
        assert_eq!(parsed, program.run_traced(header, frame.len(), &mut |_| ()));
    }
    match input.below(8) {
        0 => story(&program, &words, &frames[0]),
        1 => text_and_back(&words),
        _ => device(&words, &program, &frames),
    }
});

/// The program: raw words, or instructions with targets that lead ahead.
fn words(input: &Input<'_>) -> Vec<u32> {
    let instrs = 1 + input.below(24);
    if input.one_in(8) {
        return (0..instrs * INSTR_WORDS).map(|_| input.u32()).collect();
    }
    let at = |i: usize| instr(input, i, instrs).encode();
    (0..instrs).flat_map(at).collect()
}

fn instr(input: &Input<'_>, at: usize, len: usize) -> Instr {
    let next = |byte: u8| match usize::from(byte) {
        0..=127 if at + 1 < len => (at + 1) as u8,
        n @ 128..=219 if at + 1 < len => (at + 1 + n % (len - at - 1)) as u8,
        n @ 220..=235 => (n % len) as u8,
        n if n % 4 == 0 => NEXT_REFUSE,
        _ => NEXT_DONE,
    };
    Instr {
        load: input.u8() % 24,
        mask: input.pick(&[0xffff, 0x0fff, 0x00ff, 0xf000, 0x1fff]),
        cmp: Cmp::from_raw(input.u8() % 6).unwrap_or(Cmp::Nop),
        value: input.pick(&[0x0800, 0x86dd, 6, 0x0600, 17, 0, 0x4500, 0x8100]),
        ok_adv: input.pick(&[0, 2, 8, 14, 18, 20, 40, 255]),
        ok_adv_r: input.one_in(6),
        ok_next: next(input.u8()),
        fail_adv: input.pick(&[0, 0, 0, 2, 4]),
        fail_next: next(input.u8()),
        out: Out::from_raw(input.u8() % 13).unwrap_or(Out::None),
        arg: input.pick(&[
            0, 0x040c, 0x0410, 0x0400, 0x100c, 3, 9, 0xf000, 0x0201, 0xff, 0xffff,
        ]),
        shift: input.pick(&[0, 10, 8, 4, 0x82, 2, 15, 255]),
    }
}

/// All offsets that the parser found lie in the frame.
fn within(parsed: &Parsed, len: usize) {
    let offsets = [parsed.l3_off, parsed.l4_off, parsed.pkt_end, parsed.hdr_end];
    for offset in offsets.into_iter().flatten() {
        assert!(usize::from(offset) <= len);
    }
    if let Some((at, _)) = parsed.vlan {
        assert!(usize::from(at) + 4 <= len.min(HEADER_MEMORY));
    }
    assert!(usize::from(parsed.steps) <= MAX_STEPS);
    assert!(parsed.key[parsed.key_len..].iter().all(|b| *b == 0));
    assert!(parsed.session.is_none() || parsed.hdr_end.is_some());
}

fn story(program: &Program, words: &[u32], frame: &[u8]) {
    let loaded = Loaded {
        name: "fuzz".into(),
        words: words.to_vec(),
        labels: Vec::new(),
    };
    assert!(explain::explain(program, &loaded, frame).contains("fuzz"));
}

fn text_and_back(words: &[u32]) {
    let text = text::disassemble("fuzz", words);
    let again = reflow_asm::assemble("fuzz", &|_| Ok(text.clone()));
    match again {
        Ok(again) => assert_eq!(again.words(), words, "{text}"),
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

/// Loads the program while frames wait, and lets it see some.
fn device(words: &[u32], program: &Program, frames: &[Vec<u8>]) {
    let mut rig = Rig::new(Setup {
        flows: 8,
        pm_bytes: 1 << 16,
        ram: 1 << 20,
        ..Setup::default()
    });
    rig.arrive(&frames[0]);
    for (i, &word) in words.iter().enumerate() {
        rig.write(PARSER_RAM + i * 4, word);
    }
    rig.write(PARSER_COMMIT, (words.len() / INSTR_WORDS) as u32);
    assert_eq!(ParserStatus(rig.read(PARSER_STATUS)).error(), 0);
    assert_eq!(rig.read(PARSER_CRC), program.crc());
    for frame in frames {
        rig.arrive(frame);
        reflow_fuzz::check(&rig.dev);
    }
    rig.drain();
    rig.assert_accounted(0);
}
