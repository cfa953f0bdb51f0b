// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Parses one line of a program's text.

use crate::diag::{did_you_mean, Mistake};
use crate::token::{tokens, Tok, Token};
use reflow_hwdef::isa::{self, Cmp, Instr, Out};
use std::collections::BTreeMap;
use std::ops::Range;

/// Words of the language, which cannot be names of labels or constants.
pub(crate) const RESERVED: [&str; 18] = [
    "adv", "at", "const", "do", "done", "else", "end", "if", "include", "length", "next",
    "program", "r", "raw", "refuse", "replace", "w", "word",
];

/// Output operations by the names that the language has for them.
pub(crate) const OUTPUTS: [(&str, Out); 12] = [
    ("key", Out::Key),
    ("kind", Out::Kind),
    ("l3", Out::L3),
    ("l4", Out::L4),
    ("end", Out::End),
    ("seq", Out::Seq),
    ("tcp_flags", Out::TcpFlags),
    ("hdr_end", Out::HdrEnd),
    ("set_r", Out::SetR),
    ("vlan", Out::Vlan),
    ("session", Out::Session),
    ("key_clear", Out::KeyClear),
];

/// Comparisons by their signs.
pub(crate) const COMPARISONS: [(&str, Cmp); 4] = [
    ("==", Cmp::Eq),
    ("!=", Cmp::Ne),
    ("<", Cmp::Lt),
    (">", Cmp::Gt),
];

/// An instruction that loads nothing, outputs nothing and goes to the next one.
pub(crate) const PLAIN: Instr = Instr {
    load: 0,
    mask: 0xffff,
    cmp: Cmp::Nop,
    value: 0,
    ok_adv: 0,
    ok_adv_r: false,
    ok_next: isa::NEXT_REFUSE,
    fail_adv: 0,
    fail_next: isa::NEXT_REFUSE,
    out: Out::None,
    arg: 0,
    shift: 0,
};

/// Named constants and their values.
pub(crate) type Constants = BTreeMap<String, u32>;

/// A name and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

/// An instruction whose jumps are names; `next` by default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Jumping {
    /// The instruction without its targets.
    pub(crate) instr: Instr,
    pub(crate) ok: Option<Name>,
    pub(crate) fail: Option<Name>,
}

/// A line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    Blank,
    Program(Name),
    Const(Name, u32),
    Include(Name),
    Replace(Name),
    End,
    Instr(Option<Name>, Jumping),
    Raw(Option<Name>, [u32; isa::INSTR_WORDS]),
}

/// Parses a line.
pub(crate) fn line(text: &str, constants: &Constants) -> Result<Line, Mistake> {
    let tokens = tokens(text)?;
    let mut p = Parser {
        tokens: &tokens,
        at: 0,
        constants,
    };
    let line = p.line()?;
    match p.peek().tok {
        Tok::End => Ok(line),
        _ => Err(p.unexpected(p.hint(&line))),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    constants: &'a Constants,
}

const NO_TOKEN: &Token = &Token {
    tok: Tok::End,
    span: 0..0,
};

impl Parser<'_> {
    fn token(&self, ahead: usize) -> &Token {
        let last = self.tokens.last().unwrap_or(NO_TOKEN);
        self.tokens.get(self.at + ahead).unwrap_or(last)
    }

    fn peek(&self) -> &Token {
        self.token(0)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().tok, Tok::Name(n) if n == word)
    }

    /// Takes a word of the language if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    /// Takes a sign if it comes next.
    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().tok, Tok::Sign(s) if s == sign);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, help: impl Into<String>) -> Mistake {
        let Token { tok, span } = self.peek();
        Mistake::new(span.clone(), format!("{tok} is not expected here"), help)
    }

    /// Words that may follow a complete line.
    fn hint(&self, line: &Line) -> String {
        match line {
            Line::Instr(_, j) if j.instr.out == Out::None && j.ok.is_none() => {
                "An instruction is `[LABEL:] [at N [& MASK] [if COMPARISON]] [do OUTPUT] \
                 [-> LABEL [adv N]] [else -> LABEL [adv N]]`."
                    .into()
            }
            Line::Instr(..) => {
                "Next may come `-> LABEL`, `adv N` or `else -> LABEL`, once each.".into()
            }
            _ => "Take it out; the line is complete before it.".into(),
        }
    }

    fn expect_sign(&mut self, sign: &str, help: &str) -> Result<(), Mistake> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(self.unexpected(help))
        }
    }

    fn expect_word(&mut self, word: &str, help: &str) -> Result<(), Mistake> {
        if self.word(word) {
            Ok(())
        } else {
            Err(self.unexpected(help))
        }
    }

    fn name(&mut self, help: &str) -> Result<Name, Mistake> {
        let Token {
            tok: Tok::Name(name),
            span,
        } = self.peek().clone()
        else {
            return Err(self.unexpected(help));
        };
        self.at += 1;
        Ok(Name { name, span })
    }

    /// A name that the text defines.
    fn new_name(&mut self, help: &str) -> Result<Name, Mistake> {
        let name = self.name(help)?;
        if RESERVED.contains(&name.name.as_str()) {
            return Err(Mistake::new(
                name.span,
                format!("`{}` is a word of the language", name.name),
                "Choose another name.",
            ));
        }
        Ok(name)
    }

    /// A number or constant of at most `max`.
    fn number(&mut self, what: &str, max: u32) -> Result<u32, Mistake> {
        let Token { tok, span } = self.peek().clone();
        let value = match tok {
            Tok::Number(n) => n,
            Tok::Name(name) => *self.constants.get(&name).ok_or_else(|| {
                let known = self.constants.keys().map(String::as_str);
                Mistake::new(
                    span.clone(),
                    format!("{what} must be a number, and no constant is named `{name}`"),
                    did_you_mean(&name, known),
                )
            })?,
            _ => return Err(self.unexpected(format!("Write {what} here, as a number."))),
        };
        self.at += 1;
        if value > max {
            return Err(Mistake::new(
                span,
                format!("{what} is {value}, which is out of range"),
                format!("It may be 0 to {max}."),
            ));
        }
        Ok(value)
    }

    fn byte(&mut self, what: &str) -> Result<u8, Mistake> {
        Ok(self.number(what, 0xff)? as u8)
    }

    fn half(&mut self, what: &str) -> Result<u16, Mistake> {
        Ok(self.number(what, 0xffff)? as u16)
    }

    fn line(&mut self) -> Result<Line, Mistake> {
        if self.peek().tok == Tok::End {
            return Ok(Line::Blank);
        }
        if self.word("program") {
            return Ok(Line::Program(self.name("Name the program.")?));
        }
        if self.word("const") {
            let name = self.new_name("Name the constant: `const NAME = VALUE`.")?;
            self.expect_sign("=", "Write `const NAME = VALUE`.")?;
            return Ok(Line::Const(name, self.number("the constant", u32::MAX)?));
        }
        if self.word("include") {
            let Token { tok, span } = self.peek().clone();
            let Tok::Text(name) = tok else {
                return Err(self.unexpected("Name the file: `include \"FILE\"`."));
            };
            self.at += 1;
            return Ok(Line::Include(Name { name, span }));
        }
        if self.word("replace") {
            let help = "Name the instruction to replace: `replace LABEL`.";
            return Ok(Line::Replace(self.name(help)?));
        }
        if self.word("end") {
            return Ok(Line::End);
        }
        let labelled = matches!(self.token(1).tok, Tok::Sign(":"));
        let label = if labelled {
            let name = self.new_name("A label begins with a letter.")?;
            self.at += 1;
            Some(name)
        } else {
            None
        };
        if self.word("raw") {
            let mut words = [0; isa::INSTR_WORDS];
            for word in &mut words {
                *word = self.number("a word of the instruction", u32::MAX)?;
            }
            return Ok(Line::Raw(label, words));
        }
        Ok(Line::Instr(label, self.instruction()?))
    }

    fn instruction(&mut self) -> Result<Jumping, Mistake> {
        let mut i = PLAIN;
        if self.peek().tok == Tok::End {
            return Err(self.unexpected("A label stands before its instruction, on the same line."));
        }
        if self.word("at") {
            i.load = self.byte("the offset of the word")?;
            i.cmp = Cmp::Always;
            self.comparison(&mut i)?;
        } else if self.is_word("if") {
            return Err(self.unexpected("Say which word to compare: `at OFFSET if …`."));
        }
        if self.word("do") {
            self.output(&mut i)?;
        }
        let mut j = Jumping {
            instr: i,
            ok: None,
            fail: None,
        };
        if self.sign("->") {
            j.ok = Some(self.target()?);
        }
        if self.word("adv") {
            (j.instr.ok_adv, j.instr.ok_adv_r) = self.advance()?;
        }
        if self.is_word("else") {
            if matches!(i.cmp, Cmp::Always | Cmp::Nop) {
                return Err(self.unexpected("Without a comparison there is no other way to go."));
            }
            self.at += 1;
            self.expect_sign("->", "Write `else -> LABEL`.")?;
            j.fail = Some(self.target()?);
            if self.word("adv") {
                j.instr.fail_adv = self.byte("the advance")?;
            }
        }
        Ok(j)
    }

    fn comparison(&mut self, i: &mut Instr) -> Result<(), Mistake> {
        let mask = self.peek().span.start;
        let masked = self.sign("&");
        if masked {
            i.mask = self.half("the mask")?;
        }
        if !self.word("if") {
            if masked {
                let end = self.token(0).span.start;
                return Err(Mistake::new(
                    mask..end,
                    "a mask without a comparison does nothing",
                    "Add `if …`, or take the mask out: outputs use the whole word.",
                ));
            }
            return Ok(());
        }
        let sign = self.peek().tok.clone();
        let Some((_, cmp)) = COMPARISONS.iter().find(|(s, _)| sign == Tok::Sign(s)) else {
            return Err(self.unexpected("Compare with `==`, `!=`, `<` or `>`."));
        };
        self.at += 1;
        i.cmp = *cmp;
        let span = self.peek().span.clone();
        i.value = self.half("the value")?;
        if matches!(cmp, Cmp::Eq | Cmp::Ne) && i.value & !i.mask != 0 {
            return Err(Mistake::new(
                span,
                format!(
                    "{:#06x} has bits that the mask {:#06x} takes away",
                    i.value, i.mask
                ),
                "The two can never be equal: correct the mask or the value.",
            ));
        }
        Ok(())
    }

    fn target(&mut self) -> Result<Name, Mistake> {
        self.name("Name a label, or `next`, `done` or `refuse`.")
    }

    /// `adv N`, `adv r` or `adv N + r`.
    fn advance(&mut self) -> Result<(u8, bool), Mistake> {
        if self.word("r") {
            return Ok((0, true));
        }
        let adv = self.byte("the advance")?;
        if !self.sign("+") {
            return Ok((adv, false));
        }
        self.expect_word("r", "Only the register can be added: `adv N + r`.")?;
        Ok((adv, true))
    }

    fn output(&mut self, i: &mut Instr) -> Result<(), Mistake> {
        let name = self.name("Name an output, such as `key` or `l4`.")?;
        let Some((_, out)) = OUTPUTS.iter().find(|(n, _)| *n == name.name) else {
            return Err(Mistake::new(
                name.span,
                format!("no output is named `{}`", name.name),
                did_you_mean(&name.name, OUTPUTS.iter().map(|(n, _)| *n)),
            ));
        };
        i.out = *out;
        match out {
            Out::Key => i.arg = self.bytes_at("the number of key bytes", 1..=16)?,
            Out::Kind => i.arg = self.kinds()?,
            Out::End => i.arg = self.end_of_packet()?,
            Out::Seq | Out::TcpFlags => {
                self.expect_word("at", "Say where it stands: `at OFFSET`.")?;
                i.arg = u16::from(self.byte("the offset")?);
            }
            Out::HdrEnd if self.peek().tok != Tok::Sign("(") => {}
            Out::HdrEnd => {
                i.arg = self.masked_word()?;
                if self.sign(">>") {
                    i.shift = self.number("the shift", 15)? as u8;
                }
            }
            Out::SetR => {
                i.arg = self.masked_word()?;
                if self.sign(">>") {
                    i.shift = self.number("the shift", 15)? as u8;
                } else if self.sign("<<") {
                    i.shift = 0x80 | self.number("the shift", 15)? as u8;
                }
            }
            Out::Session => {
                i.shift = self.byte("the length of the session header")?;
                let help = "Say where its length field stands: `length BYTES at OFFSET`.";
                self.expect_word("length", help)?;
                i.arg = self.bytes_at("the number of bytes of the length field", 1..=4)?;
            }
            Out::None | Out::L3 | Out::L4 | Out::Vlan | Out::KeyClear => {}
        }
        Ok(())
    }

    /// `BYTES at OFFSET`, packed as an argument.
    fn bytes_at(
        &mut self,
        what: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u16, Mistake> {
        let span = self.peek().span.clone();
        let bytes = self.number(what, u32::MAX)?;
        if !range.contains(&bytes) {
            return Err(Mistake::new(
                span,
                format!("{what} is {bytes}, which is out of range"),
                format!("It may be {} to {}.", range.start(), range.end()),
            ));
        }
        self.expect_word("at", "Say where they stand: `at OFFSET`.")?;
        Ok(((bytes as u16) << 8) | u16::from(self.byte("the offset")?))
    }

    fn kinds(&mut self) -> Result<u16, Mistake> {
        let fields = isa::Kind::FIELDS;
        let mut bits = 0;
        loop {
            let name = self.name("Name what was found, such as `ipv4`.")?;
            let Some(field) = fields.iter().find(|f| f.name == name.name) else {
                return Err(Mistake::new(
                    name.span,
                    format!("no kind is named `{}`", name.name),
                    did_you_mean(&name.name, fields.iter().map(|f| f.name)),
                ));
            };
            bits |= 1 << field.lo;
            if !self.sign("|") {
                return Ok(bits);
            }
        }
    }

    /// `word` or `word + N`.
    fn end_of_packet(&mut self) -> Result<u16, Mistake> {
        self.expect_word("word", "Write `end word` or `end word + N`.")?;
        if self.sign("+") {
            self.half("the addend")
        } else {
            Ok(0)
        }
    }

    /// `(word & MASK)`.
    fn masked_word(&mut self) -> Result<u16, Mistake> {
        const HELP: &str = "Write `(word & MASK)`, and a shift behind it if need be.";
        self.expect_sign("(", HELP)?;
        self.expect_word("word", HELP)?;
        self.expect_sign("&", HELP)?;
        let mask = self.half("the mask")?;
        self.expect_sign(")", HELP)?;
        Ok(mask)
    }
}
