// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Explains each step of a program for a frame.

use crate::input::Loaded;
use crate::text::{self, Labels};
use reflow_device::parser::{Outcome, Parsed, Program, Step};
use reflow_hwdef::isa::{self, Cmp, Out};
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The explanation of a program's steps for a frame.
#[must_use]
pub fn explain(program: &Program, loaded: &Loaded, frame: &[u8]) -> String {
    let (name, labels) = (&loaded.name, &loaded.labels);
    let header = frame.get(..isa::HEADER_MEMORY).unwrap_or(frame);
    let mut out = format!(
        "Program {name}, {} instructions. The frame has {} bytes, {} of them in the header \
         memory:\n\n",
        program.len(),
        frame.len(),
        header.len()
    );
    dump(&mut out, header);
    out.push('\n');
    let width = (0..program.len())
        .map(|at| text::label(at, labels).len())
        .max()
        .unwrap_or(0);
    let parsed = program.run_traced(header, frame.len(), &mut |step| {
        let at = usize::from(step.at);
        let label = text::label(at, labels);
        let instruction = text::instruction(at, step.instr, labels);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:>3}  {label:width$}  {instruction}",
            step.parsed.steps
        );
        let _ = writeln!(out, "     {:width$}    {}", "", sentence(step, labels));
    });
    out.push('\n');
    summary(&mut out, &parsed, frame);
    out
}

/// Sixteen bytes a line.
fn dump(out: &mut String, bytes: &[u8]) {
    for (n, line) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "  {:4} ", n * 16);
        for (i, byte) in line.iter().enumerate() {
            let gap = if i == 8 { "  " } else { " " };
            let _ = write!(out, "{gap}{byte:02x}");
        }
        out.push('\n');
    }
}

/// One sentence about a step.
fn sentence(step: &Step<'_>, labels: Labels<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(word) = step.word {
        parts.push(comparison(step, word));
    }
    if let Outcome::GaveUp(why) = step.outcome {
        if step.instr.cmp != Cmp::Nop && step.word.is_none() {
            let at = step.cursor.saturating_add(usize::from(step.instr.load));
            parts.push(format!("word at {at}"));
        }
        parts.push(format!("the parser gives up: {}", why.text()));
        return parts.join("; ");
    }
    if step.outcome == Outcome::Ok && step.instr.out != Out::None {
        parts.push(result(step));
    }
    if step.cursor_after != step.cursor {
        parts.push(format!("cursor {} -> {}", step.cursor, step.cursor_after));
    }
    match step.next {
        isa::NEXT_DONE => parts.push("done".into()),
        isa::NEXT_REFUSE => parts.push("refuse".into()),
        next if usize::from(next) == usize::from(step.at) + 1 => {}
        next => parts.push(format!("go to {}", text::label(usize::from(next), labels))),
    }
    if parts.is_empty() {
        parts.push("go on".into());
    }
    parts.join("; ")
}

/// The loaded word and how it compares.
fn comparison(step: &Step<'_>, word: u16) -> String {
    let at = step.cursor.saturating_add(usize::from(step.instr.load));
    let mut out = format!("word at {at} is {word:#06x}");
    let Some(sign) = text::sign(step.instr.cmp) else {
        return out;
    };
    if step.instr.mask != 0xffff {
        let _ = write!(out, ", masked {:#06x}", word & step.instr.mask);
    }
    let answer = match step.outcome {
        Outcome::Fail => "no",
        _ => "yes",
    };
    let _ = write!(out, "; {sign} {:#06x}? {answer}", step.instr.value);
    out
}

/// The result of the output operation.
fn result(step: &Step<'_>) -> String {
    let parsed = step.parsed;
    let at = |offset: Option<u16>| offset.map_or("nowhere".into(), |o| o.to_string());
    match step.instr.out {
        Out::None => String::new(),
        Out::Key => format!("key = {}", hex(parsed.key())),
        Out::Kind => format!("kind = {}", kind(parsed)),
        Out::L3 => format!("IP header at {}", at(parsed.l3_off)),
        Out::L4 => format!("transport header at {}", at(parsed.l4_off)),
        Out::End => format!("IP packet ends before {}", at(parsed.pkt_end)),
        Out::Seq => format!("sequence number = {:#010x}", parsed.seq),
        Out::TcpFlags => format!("TCP flags = {}", flags(parsed.tcp_flags)),
        Out::HdrEnd => format!("headers end before {}", at(parsed.hdr_end)),
        Out::SetR => format!("r = {}", step.r_after),
        Out::Vlan => format!("VLAN tag {:#06x}", parsed.vlan.map_or(0, |(_, tci)| tci)),
        Out::Session => "the data has session headers".into(),
        Out::KeyClear => "key and kind start anew".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn kind(parsed: &Parsed) -> String {
    text::kinds(parsed.kind.0 as u16)
}

/// Names of TCP flags, lowest bit first.
fn flags(bits: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES.iter().enumerate();
    let set: Vec<_> = set
        .filter(|(bit, _)| (bits >> bit) & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "none".into()
    } else {
        set.join(" ")
    }
}

/// The flow key as addresses and ports.
fn key(parsed: &Parsed) -> String {
    let key = parsed.key();
    let addresses = match key.len() {
        8 | 12 => 8,
        32 | 36 => 32,
        0 => return "none".into(),
        _ => return hex(key),
    };
    let (addresses, ports) = key.split_at(addresses);
    let (source, destination) = addresses.split_at(addresses.len() / 2);
    let port = |at: usize| match ports.get(at..at + 2) {
        Some([hi, lo]) => format!(" port {}", u16::from_be_bytes([*hi, *lo])),
        _ => String::new(),
    };
    format!(
        "{}{} to {}{}",
        address(source),
        port(0),
        address(destination),
        port(2)
    )
}

fn address(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(v6).to_string()
    } else {
        hex(bytes)
    }
}

/// The parser's result.
fn summary(out: &mut String, p: &Parsed, frame: &[u8]) {
    let verdict = if p.refused {
        "refused: no assist for this packet"
    } else {
        "conforms: the device assists"
    };
    let mut line = |what: &str, value: String| {
        let _ = writeln!(out, "  {what:18}{value}");
    };
    line("verdict", format!("{verdict} ({} steps)", p.steps));
    line("flow key", key(p));
    if p.kind.0 != 0 {
        line("kind", kind(p));
    }
    if let Some((at, tci)) = p.vlan {
        line(
            "VLAN tag",
            format!("at {at}: id {}, priority {}", tci & 0xfff, tci >> 13),
        );
    }
    if let Some(at) = p.l3_off {
        line("IP header", format!("at {at}"));
    }
    if let Some(at) = p.l4_off {
        line("transport header", format!("at {at}"));
    }
    if p.kind.tcp() != 0 && p.hdr_end.is_some() {
        line("sequence number", p.seq.to_string());
        line("TCP flags", flags(p.tcp_flags));
    }
    if let Some(end) = p.pkt_end {
        let padding = frame.len() - usize::from(end).min(frame.len());
        line(
            "IP packet",
            format!("ends before {end}, {padding} bytes of padding"),
        );
    }
    if let Some(at) = p.hdr_end {
        let end = p.pkt_end.unwrap_or(at);
        line("data", format!("{} bytes at {at}", end.saturating_sub(at)));
    }
    if let Some(s) = p.session {
        line(
            "session",
            format!(
                "headers of {} bytes, length in {} bytes at {}",
                s.header_len, s.len_bytes, s.len_at
            ),
        );
    }
}
