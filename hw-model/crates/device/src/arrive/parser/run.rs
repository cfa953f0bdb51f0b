// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The interpreter.

use super::{Parsed, Session};
use reflow_hwdef::isa::{self, Cmp, Instr, Out};

/// Why the parser gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GaveUp {
    /// The word to load is not inside.
    Word,
    /// The bytes of the output are not inside.
    Output,
    /// The flow key is full.
    KeyFull,
    /// The output needs another one that did not come before.
    Order,
    /// Too many steps.
    Steps,
}

impl GaveUp {
    /// The reason as a sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Word => "the word is not inside the header memory, the frame and the IP packet",
            Self::Output => {
                "the output is not inside the header memory, the frame and the IP packet"
            }
            Self::KeyFull => "the flow key has no room for that many bytes",
            Self::Order => "`end` needs `l3` before it, and `session` needs `hdr_end`",
            Self::Steps => "too many steps",
        }
    }
}

/// How an instruction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The comparison succeeded, the output was made.
    Ok,
    /// The comparison failed.
    Fail,
    /// The parser gave up on this instruction.
    GaveUp(GaveUp),
}

/// One executed instruction, as a trace shows it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Number of the instruction.
    pub at: u8,
    /// The instruction.
    pub instr: &'a Instr,
    /// Cursor before it.
    pub cursor: usize,
    /// R before it.
    pub r: u32,
    /// The loaded word, unmasked; `None` if none was or could be loaded.
    pub word: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// Cursor after it.
    pub cursor_after: usize,
    /// R after it.
    pub r_after: u32,
    /// Where it goes on; `NEXT_REFUSE` if the parser gave up.
    pub next: u8,
    /// All outputs so far.
    pub parsed: &'a Parsed,
}

/// The parser's state while a program runs.
struct Machine<'a> {
    header: &'a [u8],
    /// End of what is inside: words and outputs must not reach beyond it.
    limit: usize,
    /// End of the frame, or of the IP packet around the one in work.
    outer: usize,
    cursor: usize,
    r: u32,
    out: Parsed,
}

pub(super) fn run(
    instrs: &[Instr],
    header: &[u8],
    frame_len: usize,
    trace: &mut impl FnMut(&Step<'_>),
) -> Parsed {
    let mut m = Machine {
        header,
        limit: header.len().min(frame_len).min(isa::HEADER_MEMORY),
        outer: frame_len,
        cursor: 0,
        r: 0,
        out: Parsed::NOTHING,
    };
    let mut at = 0;
    // A verified program never leaves its instructions but through DONE and REFUSE, neither of
    // which is the number of an instruction; the empty program ends here at once and refuses.
    while let Some(instr) = instrs.get(usize::from(at)) {
        let (cursor, r) = (m.cursor, m.r);
        let (word, outcome) = m.step(instr);
        let next = match outcome {
            Outcome::Ok => instr.ok_next,
            Outcome::Fail => instr.fail_next,
            Outcome::GaveUp(_) => isa::NEXT_REFUSE,
        };
        trace(&Step {
            at,
            instr,
            cursor,
            r,
            word,
            outcome,
            cursor_after: m.cursor,
            r_after: m.r,
            next,
            parsed: &m.out,
        });
        at = next;
    }
    m.out.refused = at != isa::NEXT_DONE;
    m.out
}

impl Machine<'_> {
    /// Executes one instruction.
    #[inline(always)]
    fn step(&mut self, i: &Instr) -> (Option<u16>, Outcome) {
        if usize::from(self.out.steps) == isa::MAX_STEPS {
            return (None, Outcome::GaveUp(GaveUp::Steps));
        }
        self.out.steps += 1;
        let word = match i.cmp {
            Cmp::Nop => None,
            _ => match self.bytes(i.load) {
                Ok(bytes) => Some(u16::from_be_bytes(bytes)),
                Err(_) => return (None, Outcome::GaveUp(GaveUp::Word)),
            },
        };
        let w = word.unwrap_or(0);
        let masked = w & i.mask;
        let hit = match i.cmp {
            Cmp::Eq => masked == i.value,
            Cmp::Ne => masked != i.value,
            Cmp::Lt => masked < i.value,
            Cmp::Gt => masked > i.value,
            Cmp::Always | Cmp::Nop => true,
        };
        if !hit {
            self.advance(usize::from(i.fail_adv));
            return (word, Outcome::Fail);
        }
        if let Err(why) = self.output(i, w) {
            return (word, Outcome::GaveUp(why));
        }
        self.advance(usize::from(i.ok_adv));
        if i.ok_adv_r {
            self.advance(usize::try_from(self.r).unwrap_or(usize::MAX));
        }
        (word, Outcome::Ok)
    }

    fn advance(&mut self, by: usize) {
        self.cursor = self.cursor.saturating_add(by);
    }

    /// Position `offset` behind the cursor, of which `len` bytes must be inside.
    #[inline(always)]
    fn inside(&self, offset: usize, len: usize) -> Result<usize, GaveUp> {
        let at = self.cursor.saturating_add(offset);
        if at.saturating_add(len) <= self.limit {
            Ok(at)
        } else {
            Err(GaveUp::Output)
        }
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: u8) -> Result<[u8; N], GaveUp> {
        let at = self.inside(usize::from(offset), N)?;
        self.header
            .get(at..at + N)
            .and_then(|b| b.try_into().ok())
            .ok_or(GaveUp::Output)
    }

    #[inline(always)]
    fn output(&mut self, i: &Instr, w: u16) -> Result<(), GaveUp> {
        let [hi, lo] = i.arg.to_be_bytes();
        match i.out {
            Out::None => {}
            Out::Key => self.key(usize::from(hi), usize::from(lo))?,
            Out::Kind => self.out.kind.0 |= u32::from(i.arg),
            Out::L3 => self.out.l3_off = Some(offset(self.inside(0, 1)?)?),
            Out::L4 => self.out.l4_off = Some(offset(self.inside(0, 1)?)?),
            Out::End => self.end(usize::from(w) + usize::from(i.arg))?,
            Out::Seq => self.out.seq = u32::from_be_bytes(self.bytes(lo)?),
            Out::TcpFlags => [self.out.tcp_flags] = self.bytes(lo)?,
            Out::HdrEnd => {
                let len = usize::from((w & i.arg).checked_shr(u32::from(i.shift)).unwrap_or(0));
                self.out.hdr_end = Some(offset(self.inside(len, 0)?)?);
            }
            Out::SetR => {
                let (value, by) = (u32::from(w & i.arg), u32::from(i.shift & 15));
                self.r = if i.shift & 0x80 == 0 {
                    value >> by
                } else {
                    value << by
                };
            }
            Out::Vlan => {
                let tag = self.inside(0, 2)?.checked_sub(2).ok_or(GaveUp::Output)?;
                self.out.vlan = Some((offset(tag)?, w));
            }
            Out::Session => {
                if self.out.hdr_end.is_none() {
                    return Err(GaveUp::Order);
                }
                self.out.session = Some(Session {
                    header_len: i.shift,
                    len_at: lo,
                    len_bytes: hi,
                });
            }
            Out::KeyClear => {
                self.out.key = [0; super::KEY_MAX];
                self.out.key_len = 0;
                self.out.kind = isa::Kind(0);
            }
        }
        Ok(())
    }

    /// Appends `len` bytes at cursor + `at` to the key.
    #[inline(always)]
    fn key(&mut self, len: usize, at: usize) -> Result<(), GaveUp> {
        let from = self.inside(at, len)?;
        let (have, want) = (self.out.key_len, self.out.key_len + len);
        let to = self.out.key.get_mut(have..want).ok_or(GaveUp::KeyFull)?;
        let bytes = self.header.get(from..from + len).ok_or(GaveUp::Output)?;
        to.copy_from_slice(bytes);
        self.out.key_len = want;
        Ok(())
    }

    /// The IP packet ends `len` bytes behind the start of its header.
    fn end(&mut self, len: usize) -> Result<(), GaveUp> {
        let l3 = self.out.l3_off.ok_or(GaveUp::Order)?;
        let end = usize::from(l3) + len;
        if end > self.outer {
            return Err(GaveUp::Output);
        }
        self.out.pkt_end = Some(offset(end)?);
        self.outer = end;
        self.limit = self.limit.min(end);
        Ok(())
    }
}

/// An offset as the parser puts it out.
fn offset(at: usize) -> Result<u16, GaveUp> {
    u16::try_from(at).map_err(|_| GaveUp::Output)
}
