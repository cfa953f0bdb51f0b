// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Draws a word of bit fields.

use crate::source::Field;

/// Columns of a drawing.
const WIDTH: usize = 74;

/// A field, or bits that none names.
struct Cell<'a> {
    name: &'a str,
    hi: u32,
    lo: u32,
}

impl Cell<'_> {
    /// The numbers of its first and last bit.
    fn ends(&self) -> (String, String) {
        if self.hi == self.lo {
            (self.hi.to_string(), String::new())
        } else {
            (self.hi.to_string(), self.lo.to_string())
        }
    }

    fn width(&self) -> usize {
        let (hi, lo) = self.ends();
        let ends = hi.len() + lo.len() + usize::from(!lo.is_empty());
        self.name.len().max(ends)
    }

    fn ruler(&self) -> String {
        let (hi, lo) = self.ends();
        let width = self.width();
        if lo.is_empty() {
            return format!("{hi:^width$}");
        }
        let gap = " ".repeat(width - hi.len() - lo.len());
        format!("{hi}{gap}{lo}")
    }
}

/// Draws a word of so many bits, the highest first; bits that no field names are marked `-`.
pub(crate) fn word(fields: &[Field], bits: u32) -> Vec<String> {
    let mut lines = Vec::new();
    let mut row: Vec<Cell<'_>> = Vec::new();
    for cell in cells(fields, bits) {
        let used: usize = row.iter().map(|cell| cell.width() + 3).sum();
        if !row.is_empty() && used + cell.width() + 4 > WIDTH {
            draw_row(&row, &mut lines);
            row.clear();
        }
        row.push(cell);
    }
    draw_row(&row, &mut lines);
    lines
}

/// Fields and gaps from the highest bit down.
fn cells(fields: &[Field], bits: u32) -> Vec<Cell<'_>> {
    let mut sorted: Vec<&Field> = fields.iter().collect();
    sorted.sort_by_key(|field| std::cmp::Reverse(field.lo));
    let mut cells = Vec::new();
    let mut above = bits;
    for field in sorted {
        if field.hi + 1 < above {
            cells.push(Cell {
                name: "-",
                hi: above - 1,
                lo: field.hi + 1,
            });
        }
        cells.push(Cell {
            name: &field.name,
            hi: field.hi,
            lo: field.lo,
        });
        above = field.lo;
    }
    if above > 0 {
        cells.push(Cell {
            name: "-",
            hi: above - 1,
            lo: 0,
        });
    }
    cells
}

fn draw_row(row: &[Cell<'_>], lines: &mut Vec<String>) {
    let (mut ruler, mut bar, mut names) = (String::new(), String::new(), String::new());
    for cell in row {
        let width = cell.width();
        ruler += &format!("  {} ", cell.ruler());
        bar += &format!("+{}", "-".repeat(width + 2));
        names += &format!("| {:^width$} ", cell.name);
    }
    lines.push(ruler.trim_end().to_owned());
    lines.push(format!("{bar}+"));
    lines.push(format!("{names}|"));
    lines.push(format!("{bar}+"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, hi: u32, lo: u32) -> Field {
        Field {
            name: name.into(),
            hi,
            lo,
            doc: Vec::new(),
        }
    }

    #[test]
    fn gaps_are_drawn() {
        let drawn = word(&[field("on", 0, 0), field("mode", 5, 4)], 8);
        assert_eq!(
            drawn,
            [
                "  7 6   5  4   3 1   0",
                "+-----+------+-----+----+",
                "|  -  | mode |  -  | on |",
                "+-----+------+-----+----+",
            ]
        );
    }

    #[test]
    fn long_words_take_several_rows() {
        let fields: Vec<Field> = (0..32).map(|bit| field("a_long_name", bit, bit)).collect();
        let drawn = word(&fields, 32);
        assert!(drawn.len() > 4 && drawn.len() % 4 == 0);
        assert!(drawn.iter().all(|line| line.len() <= WIDTH));
    }
}
