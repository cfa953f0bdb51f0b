// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Splits a line into tokens.

use crate::diag::Mistake;
use std::fmt;
use std::ops::Range;

/// A token's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Tok {
    Name(String),
    Number(u32),
    Text(String),
    Sign(&'static str),
    End,
}

impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(n) => write!(f, "`{n}`"),
            Self::Number(n) => write!(f, "the number {n}"),
            Self::Text(t) => write!(f, "\"{t}\""),
            Self::Sign(s) => write!(f, "`{s}`"),
            Self::End => f.write_str("the end of the line"),
        }
    }
}

/// A token and where it stands in the line.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    pub(crate) span: Range<usize>,
}

/// Longer signs first, so that `->` is not read as `-`.
const SIGNS: [&str; 14] = [
    "->", "==", "!=", "<<", ">>", "<", ">", "&", "|", "+", "(", ")", ":", "=",
];

/// The tokens of a line up to its comment; the last one is [`Tok::End`].
pub(crate) fn tokens(line: &str) -> Result<Vec<Token>, Mistake> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or("");
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next().filter(|c| *c != '#') else {
            let end = line.get(..at).unwrap_or(line).trim_end().len();
            out.push(Token {
                tok: Tok::End,
                span: end..end,
            });
            return Ok(out);
        };
        let (tok, len) = token(trimmed, first, at)?;
        out.push(Token {
            tok,
            span: at..at + len,
        });
        at += len;
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn token(rest: &str, first: char, at: usize) -> Result<(Tok, usize), Mistake> {
    if is_word(first) {
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..len).unwrap_or(rest);
        let tok = if first.is_ascii_digit() {
            Tok::Number(number(word).ok_or_else(|| {
                Mistake::new(
                    at..at + len,
                    format!("`{word}` is not a number of 32 bits"),
                    "Write it as 42, 0x2a or 0b10_1010.",
                )
            })?)
        } else {
            Tok::Name(word.into())
        };
        return Ok((tok, len));
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        return match quoted.split_once('"') {
            Some((text, _)) => Ok((Tok::Text(text.into()), text.len() + 2)),
            None => Err(Mistake::new(
                at..at + rest.len(),
                "the quotation mark is not closed",
                "End the file's name with another `\"`.",
            )),
        };
    }
    match SIGNS.iter().find(|s| rest.starts_with(**s)) {
        Some(sign) => Ok((Tok::Sign(sign), sign.len())),
        None => Err(Mistake::new(
            at..at + first.len_utf8(),
            format!("`{first}` has no meaning here"),
            "Take it out; comments begin with `#`.",
        )),
    }
}

fn number(word: &str) -> Option<u32> {
    let digits = word.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x") {
        u32::from_str_radix(hex, 16).ok()
    } else if let Some(binary) = digits.strip_prefix("0b") {
        u32::from_str_radix(binary, 2).ok()
    } else {
        digits.parse().ok()
    }
}
