// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The verifier of parser programs, run by the driver before loading and by the device at commit.
//!
//! An accepted parser program ends on every path: a jump goes forward, or it goes back and then the
//! cursor moves by at least one byte on that edge, so that it leaves the header memory sooner or
//! later.

use super::isa::{self, Instr, Out};

/// Why a parser program was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Reason {
    /// More instructions than the program RAM holds, or words that make no whole instruction.
    TooLong = 1,
    /// An unknown comparison or output, or a reserved bit.
    BadEncoding = 2,
    /// A jump leaves the parser program.
    BadTarget = 3,
    /// A jump goes back, or stays, without moving the cursor.
    Loop = 4,
    /// An output reads more bytes than it may, or none.
    BadOutput = 5,
    /// No path from the first instruction leads here.
    Unreachable = 6,
}

impl Reason {
    /// The reason as a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooLong => "the program is longer than the program RAM or not whole",
            Self::BadEncoding => "unknown operation or reserved bit set",
            Self::BadTarget => "a jump leaves the program",
            Self::Loop => "a jump goes back without moving the cursor, so the program may not end",
            Self::BadOutput => "the output operation's length or shift is out of range",
            Self::Unreachable => "no path leads to this instruction",
        }
    }
}

/// A refusal: the error, and the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The error.
    pub reason: Reason,
    /// Number of the instruction.
    pub at: u8,
}

const fn refuse(reason: Reason, at: usize) -> Result<(), Refusal> {
    Err(Refusal {
        reason,
        at: at as u8,
    })
}

const fn is_end(next: u8) -> bool {
    next == isa::NEXT_DONE || next == isa::NEXT_REFUSE
}

/// Checks one edge from instruction `at`.
fn check_edge(at: usize, len: usize, next: u8, adv: u8) -> Result<(), Refusal> {
    if is_end(next) {
        return Ok(());
    }
    if usize::from(next) >= len {
        return refuse(Reason::BadTarget, at);
    }
    if usize::from(next) <= at && adv == 0 {
        return refuse(Reason::Loop, at);
    }
    Ok(())
}

/// Checks the output operation's argument.
fn check_output(at: usize, i: &Instr) -> Result<(), Refusal> {
    let bytes = i.arg >> 8;
    let good = match i.out {
        Out::Key => (1..=16).contains(&bytes),
        Out::Session => (1..=4).contains(&bytes) && (bytes + (i.arg & 0xff)) <= u16::from(i.shift),
        Out::HdrEnd => i.shift < 16,
        Out::SetR => i.shift & 0x70 == 0,
        Out::Kind => u32::from(i.arg) >> isa::Kind::FIELDS.len() == 0,
        _ => true,
    };
    if good {
        Ok(())
    } else {
        refuse(Reason::BadOutput, at)
    }
}

/// Verifies an encoded parser program, four words an instruction.
///
/// The empty parser program is accepted: it refuses every packet.
///
/// # Errors
///
/// The first refusal, by instruction number.
pub fn verify(words: &[u32]) -> Result<(), Refusal> {
    let len = words.len() / isa::INSTR_WORDS;
    if len > isa::MAX_INSTRS || words.len() % isa::INSTR_WORDS != 0 {
        return refuse(Reason::TooLong, 0);
    }
    // Bit n: instruction n is the target of an edge from a reachable instruction. An edge that goes
    // back starts at an instruction that a forward path reached, so one pass in order finds all.
    let mut reached: u128 = 1;
    for (at, w) in words.chunks_exact(isa::INSTR_WORDS).enumerate() {
        let &[a, b, c, d] = w else {
            return refuse(Reason::TooLong, at);
        };
        let Some(i) = Instr::decode([a, b, c, d]) else {
            return refuse(Reason::BadEncoding, at);
        };
        check_edge(at, len, i.ok_next, i.ok_adv)?;
        check_edge(at, len, i.fail_next, i.fail_adv)?;
        check_output(at, &i)?;
        if (reached >> at) & 1 == 0 {
            return refuse(Reason::Unreachable, at);
        }
        for next in [i.ok_next, i.fail_next] {
            if !is_end(next) {
                reached |= 1 << next;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use isa::{Cmp, NEXT_DONE, NEXT_REFUSE};

    const BASE: Instr = Instr {
        load: 0,
        mask: 0xffff,
        cmp: Cmp::Eq,
        value: 0,
        ok_adv: 2,
        ok_adv_r: false,
        ok_next: NEXT_DONE,
        fail_adv: 0,
        fail_next: NEXT_REFUSE,
        out: Out::None,
        arg: 0,
        shift: 0,
    };

    fn reason(i: Instr) -> Option<Reason> {
        verify(&i.encode()).err().map(|r| r.reason)
    }

    #[test]
    fn accepts_the_empty_and_the_simplest_program() {
        assert!(verify(&[]).is_ok());
        assert!(verify(&BASE.encode()).is_ok());
    }

    #[test]
    fn refuses_each_error_with_its_reason() {
        assert_eq!(verify(&[0; 3]).unwrap_err().reason, Reason::TooLong);
        assert_eq!(verify(&[0; 129 * 4]).unwrap_err().reason, Reason::TooLong);
        assert_eq!(
            verify(&[0, 0xf, 0, 0]).unwrap_err().reason,
            Reason::BadEncoding
        );
        assert_eq!(
            reason(Instr { ok_next: 1, ..BASE }),
            Some(Reason::BadTarget)
        );
        assert_eq!(
            reason(Instr {
                fail_next: 0,
                ..BASE
            }),
            Some(Reason::Loop)
        );
        assert_eq!(
            reason(Instr {
                out: Out::Key,
                arg: 0x1100,
                ..BASE
            }),
            Some(Reason::BadOutput)
        );
        let two = [BASE.encode(), BASE.encode()].concat();
        assert_eq!(verify(&two), refuse(Reason::Unreachable, 1));
    }

    #[test]
    fn a_loop_that_moves_the_cursor_is_accepted() {
        assert_eq!(reason(Instr { ok_next: 0, ..BASE }), None);
    }
}
