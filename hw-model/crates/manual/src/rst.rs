// SPDX-License-Identifier: GPL-2.0 OR MIT

//! reStructuredText: titles, paragraphs, tables.

/// Columns of a line.
const WIDTH: usize = 80;

/// A page that is being written.
#[derive(Default)]
pub(crate) struct Rst {
    text: String,
}

impl Rst {
    /// A page with its title; `from` says what it is generated from.
    pub(crate) fn page(title: &str, from: &str) -> Self {
        let mut page = Self::default();
        page.line(".. SPDX-License-Identifier: GPL-2.0");
        page.line(&format!(".. Generated from {from}."));
        page.line(&format!(".. Do not edit; run `{}`.", crate::COMMAND));
        page.line("");
        let bar = "=".repeat(title.len());
        page.line(&bar);
        page.line(title);
        page.line(&bar);
        page
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A title of the first level below the page's.
    pub(crate) fn section(&mut self, title: &str) {
        self.title(title, '=');
    }

    /// A title of the second level below the page's.
    pub(crate) fn subsection(&mut self, title: &str) {
        self.title(title, '-');
    }

    fn title(&mut self, title: &str, bar: char) {
        self.line("");
        self.line(title);
        self.line(&bar.to_string().repeat(title.len()));
    }

    /// A paragraph of doc comment lines.
    pub(crate) fn paragraph(&mut self, lines: &[impl AsRef<str>]) {
        let text = inline(&join(lines));
        if text.is_empty() {
            return;
        }
        self.line("");
        for line in wrap(&text, WIDTH) {
            self.line(&line);
        }
    }

    /// Doc comment lines with empty ones between paragraphs. `# X` is a section, lists keep their
    /// lines.
    pub(crate) fn paragraphs(&mut self, lines: &[String]) {
        for part in lines.split(|line| line.trim().is_empty()) {
            if let [title] = part {
                if let Some(title) = title.strip_prefix("# ") {
                    self.section(title);
                    continue;
                }
            }
            if part.first().is_some_and(|line| line.starts_with("* ")) {
                self.line("");
                part.iter().for_each(|line| self.line(&inline(line)));
            } else {
                self.paragraph(part);
            }
        }
    }

    /// Lines as they are, in a fixed pitch.
    pub(crate) fn literal(&mut self, lines: &[String]) {
        self.line("");
        self.line("::");
        self.line("");
        for line in lines {
            self.line(&format!("  {line}"));
        }
    }

    /// A field list.
    pub(crate) fn fields(&mut self, fields: &[(&str, String)]) {
        self.line("");
        for (name, value) in fields {
            self.line(&format!(":{name}: {value}"));
        }
    }

    /// A table; the last column is wrapped, the others are as wide as they need.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let last = head.len() - 1;
        let mut widths: Vec<usize> = head.iter().map(|h| h.len()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row).take(last) {
                *width = (*width).max(cell.len());
            }
        }
        let used: usize = widths[..last].iter().map(|w| w + 2).sum();
        widths[last] = WIDTH.saturating_sub(used).max(30);
        let bar: Vec<String> = widths.iter().map(|w| "=".repeat(*w)).collect();
        let bar = bar.join("  ");
        self.line("");
        self.line(&bar);
        self.row(
            &widths,
            &head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>(),
        );
        self.line(&bar);
        for row in rows {
            self.row(&widths, row);
        }
        self.line(&bar);
    }

    fn row(&mut self, widths: &[usize], cells: &[String]) {
        let last = widths.len() - 1;
        for (i, part) in wrap(&cells[last], widths[last]).iter().enumerate() {
            let mut line = String::new();
            for (width, cell) in widths[..last].iter().zip(cells) {
                let cell = if i == 0 { cell.as_str() } else { "" };
                line.push_str(&format!("{cell:width$}  "));
            }
            line.push_str(part);
            self.line(&line);
        }
    }
}

/// Doc comment lines as one.
pub(crate) fn join(lines: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.as_ref().split_whitespace())
        .collect();
    words.join(" ")
}

/// Turns the marks of doc comments into those of reStructuredText.
pub(crate) fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut code = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '[' if !code && rest.starts_with('`') => {}
            ']' if !code && out.ends_with("``") => {}
            // A literal of our own already.
            '`' if rest.starts_with('`') => {
                rest = &rest[1..];
                code = !code;
                out.push_str("``");
            }
            '`' => {
                code = !code;
                out.push_str("``");
            }
            _ => out.push(c),
        }
    }
    out
}

/// Breaks a text into lines of at most `width` columns; never empty. Literals are not broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words(text) {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(&word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

/// Words of a text; a literal with blanks in it is one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        match words.last_mut().filter(|_| open) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        if word.matches("``").count() % 2 == 1 {
            open = !open;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_marks_become_literals() {
        assert_eq!(
            inline("Value of [`Q_DB`], see `x`."),
            "Value of ``Q_DB``, see ``x``."
        );
        assert_eq!(inline("a [b] c ``-``"), "a [b] c ``-``");
    }

    #[test]
    fn literals_are_not_broken() {
        assert_eq!(wrap("see ``a | b`` now", 9), ["see", "``a | b``", "now"]);
        assert_eq!(wrap("", 9), [""]);
    }

    #[test]
    fn tables_wrap_their_last_column() {
        let mut page = Rst::default();
        page.table(&["a", "b"], &[vec!["1".into(), "word ".repeat(20)]]);
        let text = page.finish();
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.contains("\n1  word"), "{text}");
        assert!(text.contains("\n   word"), "{text}");
    }
}
