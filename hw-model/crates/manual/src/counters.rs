// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Pages of counters: the device's block, and what `ethtool -S` shows.

use crate::rst::{inline, join, Rst};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::stats::{CounterInfo, GLOBAL, QUEUE};

/// A counter of the driver.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Counter {
    name: String,
    doc: Vec<String>,
}

/// Counters of the driver under one prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    name: String,
    doc: Vec<String>,
    counters: Vec<Counter>,
}

fn block(page: &mut Rst, base: &str, infos: &[CounterInfo]) {
    let rows: Vec<Vec<String>> = infos
        .iter()
        .enumerate()
        .map(|(i, info)| {
            let offset = format!("{base}{:#05x}", i * 8);
            vec![offset, format!("``{}``", info.name), inline(info.doc)]
        })
        .collect();
    page.table(&["Offset", "Name", "Counts"], &rows);
}

/// The page of the statistics block.
pub(crate) fn hardware() -> String {
    let mut page = Rst::page("Counters", "hw/stats.rs");
    page.paragraph(&[
        "The device keeps its counters in a block of host memory at ``STATS_LO`` and ``STATS_HI``, \
         once ``STATS_CTRL`` is 1. They are 64-bit little-endian words: first those of the device, \
         then those of each queue. They count from the last reset. The block is written when a \
         counter has changed, at most once a millisecond. Words are written one at a time, so a \
         reader may see some old and some new values.",
    ]);
    page.section("Of the device");
    block(&mut page, "", GLOBAL);
    page.section("Of a queue");
    page.paragraph(&[format!(
        "The counters of queue N are at {:#05x} + N * {:#x}. There is a part for every queue of \
         the device, in use or not.",
        GLOBAL.len() * 8,
        QUEUE.len() * 8
    )]);
    block(&mut page, "+", QUEUE);
    page.finish()
}

/// Reads the driver's `counters!` blocks.
fn groups(text: &str) -> Result<Vec<Group>, String> {
    let mut groups = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line == "counters! {") {
        let mut doc = Vec::new();
        let mut group: Option<Group> = None;
        for line in lines.by_ref().take_while(|line| *line != "}") {
            let line = line.trim();
            if let Some(text) = line.strip_prefix("///") {
                doc.push(text.trim().to_owned());
            } else if let (None, Some(name)) = (&group, line.strip_suffix(':')) {
                group = Some(Group {
                    name: name.to_owned(),
                    doc: std::mem::take(&mut doc),
                    counters: Vec::new(),
                });
            } else if let (Some(group), Some(name)) = (&mut group, line.strip_suffix(',')) {
                group.counters.push(Counter {
                    name: name.to_owned(),
                    doc: std::mem::take(&mut doc),
                });
            } else {
                return Err(format!("counters.rs: no counter: {line}"));
            }
        }
        groups.extend(group);
    }
    if groups.is_empty() {
        return Err("counters.rs: no counters! block".into());
    }
    Ok(groups)
}

/// The page of what `ethtool -S` shows, from the driver's source.
pub(crate) fn driver(source: &str) -> Result<String, String> {
    let from = "counters.rs of the driver and hw/stats.rs";
    let mut page = Rst::page("Statistics of the Reflow driver", from);
    page.paragraph(&[
        "Counters of ``ethtool -S``, in its order. N is the number of a queue. The driver's \
         counters count from probe to unbind. Those with ``hw_`` in their names are the device's: \
         they count from its last reset and are a few milliseconds old at most.",
    ]);
    for group in groups(source)? {
        let prefix = match group.name.as_str() {
            "Tcb" => "tcb_",
            name if name.starts_with("Tx") => "txN_",
            _ => "rxN_",
        };
        page.section(&format!("{}: {prefix}*", group.name));
        page.paragraph(&group.doc);
        let rows: Vec<Vec<String>> = group
            .counters
            .iter()
            .map(|c| vec![format!("``{prefix}{}``", c.name), inline(&join(&c.doc))])
            .collect();
        page.table(&["Name", "Counts"], &rows);
    }
    page.section("Operation codes: rxN_op_*");
    page.paragraph(&[
        "Packets by the operation code that they were transferred with. A completion of \
         several packets has the code of the first: the others count as append, even if the last \
         of them closed the aggregate. ``hw_op_*`` are exact.",
    ]);
    let rows: Vec<Vec<String>> = Opcode::ALL
        .iter()
        .map(|op| {
            vec![
                format!("``rxN_op_{}``", op.name()),
                format!("Operation code {}.", *op as u8),
            ]
        })
        .collect();
    page.table(&["Name", "Counts"], &rows);
    page.section("The device's, by queue: rxN_hw_*");
    plain(&mut page, "rxN_", QUEUE);
    page.section("The device's: hw_*");
    plain(&mut page, "", GLOBAL);
    Ok(page.finish())
}

fn plain(page: &mut Rst, prefix: &str, infos: &[CounterInfo]) {
    let rows: Vec<Vec<String>> = infos
        .iter()
        .map(|info| vec![format!("``{prefix}{}``", info.name), inline(info.doc)])
        .collect();
    page.table(&["Name", "Counts"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_drivers_form() {
        let text = "x\ncounters! {\n    /// Group.\n    Rx:\n    /// One.\n    one,\n}\n";
        let groups = groups(text).unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].name.as_str(), groups[0].doc.len()), ("Rx", 1));
        assert_eq!(groups[0].counters[0].name, "one");
    }

    #[test]
    fn an_unknown_counter_is_an_error() {
        assert!(groups("counters! {\n    Rx:\n    one = 1\n}\n").is_err());
        assert!(groups("").is_err());
    }
}
