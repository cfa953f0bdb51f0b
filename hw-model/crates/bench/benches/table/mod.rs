// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The medians as tables.

use reflow_bench::BATCH;
use std::path::Path;

/// Names of the stages.
pub(crate) const COPY: &str = "copy";
pub(crate) const PARSE: &str = "parse";
pub(crate) const ETHERPARSE: &str = "etherparse";
pub(crate) const HASH: &str = "hash";

/// A line of the table of the pipeline.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) payload: usize,
    pub(crate) flows: u16,
    pub(crate) frame_len: usize,
    pub(crate) merged: f64,
}

/// The median of a measurement, in nanoseconds for one frame; `None` if it was not run.
fn median(folder: &Path, name: &str) -> Option<f64> {
    let file = folder.join(name).join("new/estimates.json");
    let text = std::fs::read_to_string(file).ok()?;
    let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(estimates["median"]["point_estimate"].as_f64()? / BATCH as f64)
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}

/// Prints what was measured now or, where a filter left it out, before.
pub(crate) fn print(folder: &Path, rows: &[Row], payloads: &[usize]) {
    println!("The whole pipeline, one thread; ns are for one frame\n");
    println!("segment  flows  Mframes/s  Gbit/s  merged  arrival ns  transfer ns");
    for row in rows {
        let ns = |part: &str| median(folder, &format!("{part}/{}", row.name));
        let whole = ns("pipeline");
        println!(
            "{:7}  {:5}  {:>9}  {:>6}  {:6.1}  {:>10}  {:>11}",
            row.payload,
            row.flows,
            cell(whole.map(|ns| 1000.0 / ns), 2),
            cell(whole.map(|ns| row.frame_len as f64 * 8.0 / ns), 2),
            row.merged,
            cell(ns("arrival"), 0),
            cell(ns("transfer"), 0),
        );
    }
    let head: Vec<String> = payloads.iter().map(|n| format!("{n:>8}")).collect();
    println!("\nParts by themselves, ns for one frame of a segment\n");
    println!("{:36}{}", "", head.concat());
    for (name, text) in [
        (COPY, "copy of the payload, the floor"),
        (PARSE, "parser program: key and offsets"),
        (ETHERPARSE, "etherparse: the same key and offsets"),
        (HASH, "Toeplitz hash of the key"),
    ] {
        let ns = |payload| cell(median(folder, &format!("stage/{name}/{payload}")), 1);
        let cells: Vec<String> = payloads.iter().map(|&n| format!("{:>8}", ns(n))).collect();
        println!("{text:36}{}", cells.concat());
    }
}
