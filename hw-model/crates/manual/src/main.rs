// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `reflow-manual`: compares the generated pages of the manual with the files, or writes them.
#![forbid(unsafe_code)]

use reflow_manual::{pages, root, COMMAND};
use std::process::ExitCode;

const USAGE: &str = "Usage: reflow-manual [--write]

Generates the tables of Documentation/ from the definitions that driver and model
share. Without --write it only tells which pages are not up to date, and ends
non-zero if there is one.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["--write"] => write(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown arguments\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("reflow-manual: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<(), String> {
    let mut old = Vec::new();
    for page in pages()? {
        if !page.is_up_to_date() {
            old.push(page.path);
        }
    }
    if old.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "not up to date: {}; run `{COMMAND}`",
            old.join(", ")
        ))
    }
}

fn write() -> Result<(), String> {
    for page in pages()? {
        if page.is_up_to_date() {
            continue;
        }
        let path = root().join(page.path);
        std::fs::write(&path, page.text)
            .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        println!("wrote {}", page.path);
    }
    Ok(())
}
