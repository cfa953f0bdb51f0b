// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Assembles text to a verified program.

use crate::diag::{did_you_mean, Error, Errors, Mistake, Origin};
use crate::parse::{self, Constants, Jumping, Line, Name};
use reflow_hwdef::isa::{self, Instr};
use reflow_hwdef::verify::{self, Reason};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// One instruction of an assembled program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assembled {
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Its four words.
    pub words: [u32; isa::INSTR_WORDS],
    /// The line that it comes from.
    pub origin: Origin,
}

/// An assembled and verified program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assembly {
    /// Its name: that of the `program` line, or the file's name without extension.
    pub name: String,
    /// Its instructions.
    pub instrs: Vec<Assembled>,
}

impl Assembly {
    /// The words for the program RAM.
    #[must_use]
    pub fn words(&self) -> Vec<u32> {
        self.instrs.iter().flat_map(|i| i.words).collect()
    }

    /// The labels by instruction number.
    #[must_use]
    pub fn labels(&self) -> Vec<Option<String>> {
        self.instrs.iter().map(|i| i.label.clone()).collect()
    }
}

/// How deeply files can include each other.
const DEPTH_MAX: usize = 8;

/// Reads a file by its name: the program itself, and what it includes.
pub type Reader<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// Assembles the file `name`.
///
/// # Errors
///
/// All errors in the text; without any, the first that the verifier finds.
pub fn assemble(name: &str, read: Reader<'_>) -> Result<Assembly, Errors> {
    let mut a = Assembler {
        read,
        open: Vec::new(),
        constants: Constants::new(),
        items: Vec::new(),
        program: None,
        replacing: None,
        errors: Vec::new(),
    };
    let command_line = Origin {
        file: name.into(),
        line: 0,
        text: "".into(),
    };
    a.file(name, &command_line, 0..0);
    let instrs = a.link();
    if !a.errors.is_empty() {
        return Err(Errors(a.errors));
    }
    let stem = Path::new(name).file_stem().unwrap_or_default();
    let assembly = Assembly {
        name: a
            .program
            .unwrap_or_else(|| stem.to_string_lossy().into_owned()),
        instrs,
    };
    match verify::verify(&assembly.words()) {
        Ok(()) => Ok(assembly),
        Err(refusal) => Err(Errors(vec![refused(&assembly, refusal)])),
    }
}

/// An instruction that is not linked yet.
struct Item {
    label: Option<Name>,
    body: Body,
    origin: Origin,
}

enum Body {
    Instr(Jumping),
    Raw([u32; isa::INSTR_WORDS]),
}

/// A `replace` without its `end` so far.
struct Replacing {
    origin: Origin,
    span: std::ops::Range<usize>,
    /// Where the next instruction goes.
    at: usize,
}

struct Assembler<'a> {
    read: Reader<'a>,
    /// Files that are being read, the innermost last.
    open: Vec<String>,
    constants: Constants,
    items: Vec<Item>,
    program: Option<String>,
    replacing: Option<Replacing>,
    errors: Vec<Error>,
}

impl Assembler<'_> {
    fn mistake(&mut self, mistake: Mistake, origin: &Origin) {
        self.errors.push(mistake.at(origin));
    }

    /// Reads a file that `origin` names.
    fn file(&mut self, name: &str, origin: &Origin, span: std::ops::Range<usize>) {
        if self.open.len() == DEPTH_MAX || self.open.iter().any(|open| open == name) {
            let message = format!("{name} is included from within itself, or too deeply");
            let help = format!("Take this line out; {DEPTH_MAX} files can be nested.");
            return self.mistake(Mistake::new(span, message, help), origin);
        }
        let text = match (self.read)(name) {
            Ok(text) => text,
            Err(e) => {
                let message = format!("cannot read {name}: {e}");
                let help = match self.open.is_empty() {
                    true => "Check the name.",
                    false => "Check the name; it is relative to the folder of the including file.",
                };
                return self.mistake(Mistake::new(span, message, help), origin);
            }
        };
        self.open.push(name.into());
        let file: Rc<str> = name.into();
        for (n, text) in text.lines().enumerate() {
            let origin = Origin {
                file: Rc::clone(&file),
                line: n + 1,
                text: text.into(),
            };
            match parse::line(text, &self.constants) {
                Ok(line) => self.line(line, origin),
                Err(mistake) => self.mistake(mistake, &origin),
            }
        }
        if let Some(open) = self.replacing.take() {
            let help = "Close it with a line that says `end`.";
            let mistake = Mistake::new(open.span, "this `replace` has no `end`", help);
            self.mistake(mistake, &open.origin);
        }
        self.open.pop();
    }

    fn line(&mut self, line: Line, origin: Origin) {
        match line {
            Line::Blank => {}
            // The name in an included file is ignored.
            Line::Program(name) if self.open.len() == 1 => self.program = Some(name.name),
            Line::Program(_) => {}
            Line::Const(name, value) => self.constant(name, value, &origin),
            Line::Include(file) => {
                let folder = self.open.last().map(Path::new).and_then(Path::parent);
                let path = folder.unwrap_or(Path::new("")).join(&file.name);
                self.file(&path.to_string_lossy(), &origin, file.span);
            }
            Line::Replace(label) => self.replace(label, origin),
            Line::End => {
                if self.replacing.take().is_none() {
                    let help = "Take it out; `end` closes `replace LABEL`.";
                    let span = 0..origin.text.len();
                    self.mistake(Mistake::new(span, "there is nothing to end", help), &origin);
                }
            }
            Line::Instr(label, j) => self.item(label, Body::Instr(j), origin),
            Line::Raw(label, words) => self.item(label, Body::Raw(words), origin),
        }
    }

    fn constant(&mut self, name: Name, value: u32, origin: &Origin) {
        if self.constants.insert(name.name.clone(), value).is_some() {
            let message = format!("the constant `{}` is defined twice", name.name);
            let help = "Choose another name.";
            self.mistake(Mistake::new(name.span, message, help), origin);
        }
    }

    fn replace(&mut self, label: Name, origin: Origin) {
        let Name { name, span } = label;
        if self.replacing.is_some() {
            let help = "Close the other one first, with a line that says `end`.";
            let message = "a `replace` cannot stand in another one";
            return self.mistake(Mistake::new(span, message, help), &origin);
        }
        let found = self
            .items
            .iter()
            .position(|i| i.label.as_ref().is_some_and(|l| l.name == name));
        match found {
            Some(at) => {
                self.items.remove(at);
                self.replacing = Some(Replacing { origin, span, at });
            }
            None => {
                let message = format!("no instruction before this line has the label `{name}`");
                let labels = self.items.iter().filter_map(|i| i.label.as_ref());
                let help = did_you_mean(&name, labels.map(|l| l.name.as_str()));
                self.mistake(Mistake::new(span.clone(), message, help), &origin);
                // Read the block to report its errors as well.
                let at = self.items.len();
                self.replacing = Some(Replacing { origin, span, at });
            }
        }
    }

    fn item(&mut self, label: Option<Name>, body: Body, origin: Origin) {
        let at = match &mut self.replacing {
            Some(r) => {
                r.at += 1;
                r.at - 1
            }
            None => self.items.len(),
        };
        let item = Item {
            label,
            body,
            origin,
        };
        self.items.insert(at.min(self.items.len()), item);
    }

    /// Resolves labels to instruction numbers.
    fn link(&mut self) -> Vec<Assembled> {
        let items = std::mem::take(&mut self.items);
        if let Some(extra) = items.get(isa::MAX_INSTRS) {
            let message = format!("the program has {} instructions", items.len());
            let help = format!("The program RAM holds {}.", isa::MAX_INSTRS);
            let span = 0..extra.origin.text.len();
            self.mistake(Mistake::new(span, message, help), &extra.origin);
            return Vec::new();
        }
        let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            let Some(Name { name, span }) = &item.label else {
                continue;
            };
            if let Some(first) = labels.insert(name, at).and_then(|at| items.get(at)) {
                let Origin { file, line, .. } = &first.origin;
                let message = format!("the label `{name}` is used twice");
                let help = format!("It stands at {file}:{line}, too: choose another name.");
                self.mistake(Mistake::new(span.clone(), message, help), &item.origin);
            }
        }
        let mut out = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let words = match &item.body {
                Body::Raw(words) => Ok(*words),
                Body::Instr(j) => jumps(j, at, items.len(), &labels).map(Instr::encode),
            };
            match words {
                Ok(words) => out.push(Assembled {
                    label: item.label.as_ref().map(|l| l.name.clone()),
                    words,
                    origin: item.origin.clone(),
                }),
                Err(mistake) => self.mistake(mistake, &item.origin),
            }
        }
        out
    }
}

/// The instruction of number `at` with its jumps.
fn jumps(
    j: &Jumping,
    at: usize,
    len: usize,
    labels: &BTreeMap<&str, usize>,
) -> Result<Instr, Mistake> {
    let mut i = j.instr;
    i.ok_next = match &j.ok {
        Some(name) => target(name, at, len, labels)?,
        None => target(
            &Name {
                name: "next".into(),
                span: 0..0,
            },
            at,
            len,
            labels,
        )?,
    };
    if let Some(name) = &j.fail {
        i.fail_next = target(name, at, len, labels)?;
    }
    Ok(i)
}

fn target(
    Name { name, span }: &Name,
    at: usize,
    len: usize,
    labels: &BTreeMap<&str, usize>,
) -> Result<u8, Mistake> {
    match name.as_str() {
        "done" => Ok(isa::NEXT_DONE),
        "refuse" => Ok(isa::NEXT_REFUSE),
        "next" if at + 1 < len => Ok((at + 1) as u8),
        "next" => Err(Mistake::new(
            span.clone(),
            "no instruction follows this one",
            "Say how the program ends: `-> done` or `-> refuse`.",
        )),
        _ => match labels.get(name.as_str()) {
            Some(at) => Ok(*at as u8),
            None => Err(Mistake::new(
                span.clone(),
                format!("no instruction has the label `{name}`"),
                did_you_mean(
                    name,
                    labels.keys().copied().chain(["next", "done", "refuse"]),
                ),
            )),
        },
    }
}

/// The verifier's refusal as a message about a line.
fn refused(assembly: &Assembly, refusal: verify::Refusal) -> Error {
    let origin = match assembly.instrs.get(usize::from(refusal.at)) {
        Some(i) => i.origin.clone(),
        None => Origin {
            file: assembly.name.as_str().into(),
            line: 0,
            text: "".into(),
        },
    };
    let help = match refusal.reason {
        Reason::TooLong => "Shorten the program.",
        Reason::BadEncoding => "Correct the words behind `raw`.",
        Reason::BadTarget => "Jump to an instruction of this program, or to `done` or `refuse`.",
        Reason::Loop => "Let the jump move the cursor with `adv`, or put the instruction later.",
        Reason::BadOutput => "Correct the output; for `session`, the field must be in the header.",
        Reason::Unreachable => "Take it out, or jump to it from an instruction before it.",
    };
    let start = origin.text.len() - origin.text.trim_start().len();
    let code = origin.text.split('#').next().unwrap_or("");
    Mistake::new(start..code.trim_end().len(), refusal.reason.text(), help).at(&origin)
}
