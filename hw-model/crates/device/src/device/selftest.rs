// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The self-test.

use crate::arrive::parser::Program;
use crate::device::Device;
use reflow_hwdef::cmd::TestFailures;
use reflow_hwdef::isa::Kind;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::toeplitz::{self, DEFAULT_SECRET};

/// A frame: TCP over IPv4 from 66.9.149.187 port 2794 to 161.142.100.80 port 1766, two bytes of
/// data.
#[rustfmt::skip]
const FRAME: [u8; 56] = [
    0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02, 0x08, 0x00,
    0x45, 0, 0, 42, 0, 1, 0x40, 0, 64, 6, 0, 0, 66, 9, 149, 187, 161, 142, 100, 80,
    0x0a, 0xea, 0x06, 0xe6, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 9, 0x50, 0x18, 1, 0, 0, 0, 0, 0,
    0xaa, 0xbb,
];
/// Where its key starts.
const KEY: usize = 26;
/// Bytes of its key.
const KEY_LEN: usize = 12;
/// The published hash of that key.
const KEY_HASH: u32 = 0x51cc_c178;

/// Whether the parser, with this program, reads the known frame rightly.
fn parser_works(words: &[u32]) -> bool {
    let Ok(program) = Program::load(words) else {
        return false;
    };
    let parsed = program.run(&FRAME, FRAME.len());
    !parsed.refused
        && parsed.key() == &FRAME[KEY..KEY + KEY_LEN]
        && parsed.kind == Kind(0).with_ipv4(1).with_tcp(1)
        && (parsed.l3_off, parsed.l4_off) == (Some(14), Some(34))
        && (parsed.hdr_end, parsed.pkt_end) == (Some(54), Some(56))
        && (parsed.seq, parsed.tcp_flags) == (0x1234_5678, 0x18)
}

impl Device {
    /// Tests memories and the parser, between packets.
    pub(crate) fn self_test(&self) -> TestFailures {
        let rom = PROGRAMS.first().map_or(&[][..], |rom| rom.words);
        let hash = toeplitz::hash(&DEFAULT_SECRET, &FRAME[KEY..KEY + KEY_LEN]);
        TestFailures(0)
            .with_parser((!parser_works(rom)).into())
            .with_hash((hash != KEY_HASH).into())
            .with_packet_memory((!self.pm.is_consistent()).into())
            .with_flow_database((!self.fdb.is_consistent()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_check_finds_faults() {
        assert!(parser_works(PROGRAMS[0].words));
        assert!(!parser_works(&[]));
        // Any single instruction that is left out is missed, as far as the frame meets it.
        let words = PROGRAMS[0].words;
        let met = (0..words.len() / 4)
            .filter(|at| {
                let mut broken = words.to_vec();
                broken[at * 4 + 2] &= 0x00ff_ffff;
                !parser_works(&broken)
            })
            .count();
        assert!(met >= 8, "{met}");
    }
}
