// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Draws the table that `scripts/bench` writes: the cost of each workload with each NIC, as a part
//! of the cost with one of them.

mod draw;
mod table;

use anyhow::{bail, Context, Result};
use std::fs;
use table::Table;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [table, baseline, picture] = &arguments[..] else {
        bail!("usage: reflow-chart TABLE.csv NIC PICTURE.svg");
    };
    let text = fs::read_to_string(table).with_context(|| table.clone())?;
    let table = Table::parse(&text).with_context(|| table.clone())?;
    let picture_text = draw::svg(&table.relative_to(baseline)?)?;
    fs::write(picture, picture_text).with_context(|| picture.clone())
}
