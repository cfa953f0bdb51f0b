// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages about errors in a program's text.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// A line of a source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Name of the file as it was given, or as the including file's folder makes it.
    pub file: Rc<str>,
    /// Line number, from 1; 0 if the program as a whole is meant.
    pub line: usize,
    /// The line itself.
    pub text: Rc<str>,
}

/// One error: its place, the error, the remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// The line.
    pub origin: Origin,
    /// Byte range in the line that is wrong.
    pub span: Range<usize>,
    /// The error.
    pub message: String,
    /// The remedy.
    pub help: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { file, line, text } = &self.origin;
        // Line 0 stands for the command line.
        if *line > 0 {
            write!(f, "{file}:{line}: ")?;
        }
        f.write_str(&self.message)?;
        if !text.trim().is_empty() {
            let gutter = line.to_string().len();
            let before = text.get(..self.span.start).unwrap_or("").chars();
            let pad: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
            let wrong = text.get(self.span.clone()).unwrap_or("").chars().count();
            write!(f, "\n {line} | {text}")?;
            write!(f, "\n {:gutter$} | {pad}{}", "", "^".repeat(wrong.max(1)))?;
        }
        write!(f, "\n {}", self.help)
    }
}

/// All errors found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Errors(pub Vec<Error>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, e) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n\n")?;
            }
            e.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// An error in a part of a line whose number is not known yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Mistake {
    pub(crate) fn new(
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            span,
            message: message.into(),
            help: help.into(),
        }
    }

    pub(crate) fn at(self, origin: &Origin) -> Error {
        Error {
            origin: origin.clone(),
            span: self.span,
            message: self.message,
            help: self.help,
        }
    }
}

/// Help for an unknown name: the nearest known one, or all of them if there are few.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let near = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, k)) => format!("Did you mean `{k}`?"),
        None if known.is_empty() => "None is defined.".into(),
        None if known.len() <= 14 => format!("Known are: {}.", known.join(", ")),
        None => "Check the spelling, or define it.".into(),
    }
}
