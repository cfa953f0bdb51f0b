// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reads the shared definitions from their source: constants, enumerations, words of bit fields.
//!
//! Only what stands at the outermost level counts; `registers!` and `counters!` are left out, as
//! they leave tables.

use std::iter::Peekable;
use std::str::Lines;

/// A bit field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Highest bit.
    pub hi: u32,
    /// Lowest bit.
    pub lo: u32,
    /// Doc comment.
    pub doc: Vec<String>,
}

/// A word of bit fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Name of the type.
    pub name: String,
    /// 32 or 64.
    pub bits: u32,
    /// Doc comment.
    pub doc: Vec<String>,
    /// Its fields in the order of the source.
    pub fields: Vec<Field>,
}

/// A value of an enumeration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variant {
    /// Name.
    pub name: String,
    /// Number.
    pub value: u32,
    /// Doc comment.
    pub doc: Vec<String>,
}

/// An enumeration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enum {
    /// Name of the type.
    pub name: String,
    /// Doc comment.
    pub doc: Vec<String>,
    /// Its values.
    pub variants: Vec<Variant>,
}

/// A constant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Const {
    /// Name.
    pub name: String,
    /// Value as written.
    pub value: String,
    /// Doc comment.
    pub doc: Vec<String>,
}

/// The definitions in a source file, each kind in the order of the source.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Source {
    /// The file's own doc comment.
    pub about: Vec<String>,
    /// Constants of one line.
    pub consts: Vec<Const>,
    /// Enumerations whose values have numbers.
    pub enums: Vec<Enum>,
    /// Words of bit fields.
    pub words: Vec<Word>,
}

impl Source {
    /// Reads a source text.
    ///
    /// # Errors
    ///
    /// A line that ought to be a field or a value and is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut source = Self::default();
        let mut doc = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(about) = line.strip_prefix("//!") {
                source.about.push(about.trim().to_owned());
            } else if let Some(text) = doc_of(line) {
                doc.push(text);
            } else if line == "#[cfg(test)]" {
                break;
            } else if line.starts_with("#[") {
                // Stands between a doc comment and what it is about.
            } else {
                source.item(line, std::mem::take(&mut doc), &mut lines)?;
            }
        }
        Ok(source)
    }

    fn item(
        &mut self,
        line: &str,
        doc: Vec<String>,
        lines: &mut Peekable<Lines<'_>>,
    ) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("pub const ") {
            if let Some((name, value)) = constant(rest) {
                self.consts.push(Const { name, value, doc });
            }
        } else if let Some(name) = line
            .strip_prefix("pub enum ")
            .and_then(|rest| rest.strip_suffix(" {"))
        {
            let variants = variants(lines)?;
            if let Some(variants) = variants {
                let name = name.to_owned();
                self.enums.push(Enum {
                    name,
                    doc,
                    variants,
                });
            }
        } else if line == "bitfields! {" {
            self.words.push(word(lines)?);
        } else if line.ends_with('{') {
            lines.find(|line| *line == "}" || *line == "};");
        }
        Ok(())
    }
}

fn doc_of(line: &str) -> Option<String> {
    let text = line.trim_start().strip_prefix("///")?;
    Some(text.trim().to_owned())
}

/// `NAME: TYPE = VALUE;` of a constant that is a number.
fn constant(text: &str) -> Option<(String, String)> {
    let (name, rest) = text.split_once(": ")?;
    let value = rest.split_once(" = ")?.1.strip_suffix(';')?;
    Some((name.to_owned(), value.to_owned()))
}

/// The values of an enumeration, `None` if they have no numbers.
fn variants(lines: &mut Peekable<Lines<'_>>) -> Result<Option<Vec<Variant>>, String> {
    let mut variants = Vec::new();
    let mut doc = Vec::new();
    let mut numbered = true;
    for line in lines.by_ref().take_while(|line| *line != "}") {
        if let Some(text) = doc_of(line) {
            doc.push(text);
            continue;
        }
        let Some((name, value)) = line
            .trim()
            .strip_suffix(',')
            .and_then(|text| text.split_once(" = "))
        else {
            numbered = false;
            continue;
        };
        let value = number(value).ok_or_else(|| format!("no number: {line}"))?;
        variants.push(Variant {
            name: name.to_owned(),
            value,
            doc: std::mem::take(&mut doc),
        });
    }
    Ok(numbered.then_some(variants))
}

/// The body of `bitfields!`.
fn word(lines: &mut Peekable<Lines<'_>>) -> Result<Word, String> {
    let mut doc = Vec::new();
    let mut word: Option<Word> = None;
    for line in lines.by_ref().take_while(|line| *line != "}") {
        if let Some(text) = doc_of(line) {
            doc.push(text);
            continue;
        }
        let doc = std::mem::take(&mut doc);
        match &mut word {
            None => word = Some(head(line, doc).ok_or_else(|| format!("no word: {line}"))?),
            Some(word) => word
                .fields
                .push(field(line, doc).ok_or_else(|| format!("no field: {line}"))?),
        }
    }
    word.ok_or_else(|| "bitfields! without a word".into())
}

/// `pub struct NAME(u32);`
fn head(line: &str, doc: Vec<String>) -> Option<Word> {
    let (name, ty) = line.trim().strip_prefix("pub struct ")?.split_once('(')?;
    Some(Word {
        name: name.to_owned(),
        bits: ty.strip_suffix(");")?.strip_prefix('u')?.parse().ok()?,
        doc,
        fields: Vec::new(),
    })
}

/// `hi:lo name, with_name;`
fn field(line: &str, doc: Vec<String>) -> Option<Field> {
    let (bits, names) = line.trim().split_once(' ')?;
    let (hi, lo) = bits.split_once(':')?;
    Some(Field {
        name: names.split_once(',')?.0.to_owned(),
        hi: hi.parse().ok()?,
        lo: lo.parse().ok()?,
        doc,
    })
}

fn number(text: &str) -> Option<u32> {
    let text = text.replace('_', "");
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
// SPDX-License-Identifier: GPL-2.0 OR MIT

//! About.

/// How many.
pub const COUNT: usize = 4;

/// Which.
#[repr(u8)]
pub enum Which {
    /// The first,
    /// of two.
    First = 0,
    /// The other.
    Other = 0x10,
}

impl Which {
    pub const ALL: usize = 2;
}

bitfields! {
    /// A word.
    pub struct W(u64);
    /// A field.
    15:8 size, with_size;
}

#[cfg(test)]
pub const HIDDEN: u8 = 1;
";

    #[test]
    fn reads_each_kind() {
        let s = Source::parse(TEXT).unwrap();
        assert_eq!(s.about, ["About."]);
        assert_eq!(s.consts.len(), 1);
        assert_eq!(
            (s.consts[0].name.as_str(), s.consts[0].value.as_str()),
            ("COUNT", "4")
        );
        assert_eq!(s.enums[0].doc, ["Which."]);
        assert_eq!(s.enums[0].variants[0].doc, ["The first,", "of two."]);
        assert_eq!(s.enums[0].variants[1].value, 16);
        assert_eq!((s.words[0].bits, s.words[0].fields[0].hi), (64, 15));
        assert_eq!(s.words[0].fields[0].name, "size");
    }

    #[test]
    fn broken_fields_are_errors() {
        assert!(Source::parse("bitfields! {\n    pub struct W(u32);\n    x name;\n}\n").is_err());
        assert!(Source::parse("bitfields! {\n}\n").is_err());
        assert!(Source::parse("pub enum E {\n    A = b,\n}\n").is_err());
    }
}
