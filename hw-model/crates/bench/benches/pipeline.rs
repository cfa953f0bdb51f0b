// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How many frames a second the device takes, and where the time goes; prints a table.

#[path = "table/mod.rs"]
mod table;

use criterion::{BenchmarkId, Criterion, Throughput};
use etherparse::{LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use reflow_bench::{cpu_time, Rig, Times, Traffic, BATCH};
use reflow_device::parser::Program;
use reflow_hwdef::isa::HEADER_MEMORY;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::toeplitz::{self, DEFAULT_SECRET, KEY_MAX};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

const PAYLOADS: [usize; 2] = [64, 1448];
const FLOWS: [u16; 3] = [1, 64, 1000];

/// The result of a parser: flow key and offsets.
#[derive(PartialEq, Eq, Debug)]
struct Found {
    key: [u8; KEY_MAX],
    key_len: usize,
    l3: u16,
    l4: u16,
    data: u16,
    end: u16,
    seq: u32,
    flags: u8,
}

fn by_program(program: &Program, frame: &[u8]) -> Option<Found> {
    let parsed = program.run(&frame[..frame.len().min(HEADER_MEMORY)], frame.len());
    Some(Found {
        key: parsed.key,
        key_len: parsed.key_len,
        l3: parsed.l3_off?,
        l4: parsed.l4_off?,
        data: parsed.hdr_end?,
        end: parsed.pkt_end?,
        seq: parsed.seq,
        flags: parsed.tcp_flags,
    })
}

/// The same by a library made for it.
fn by_etherparse(frame: &[u8]) -> Option<Found> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(_)) = sliced.link else {
        return None;
    };
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
        return None;
    };
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
        return None;
    };
    let offset = |part: &[u8]| (part.as_ptr() as usize - frame.as_ptr() as usize) as u16;
    let header = ip.header();
    let mut key = [0; KEY_MAX];
    key[..4].copy_from_slice(&header.source());
    key[4..8].copy_from_slice(&header.destination());
    key[8..10].copy_from_slice(&tcp.source_port().to_be_bytes());
    key[10..12].copy_from_slice(&tcp.destination_port().to_be_bytes());
    let l3 = offset(header.slice());
    let l4 = offset(tcp.slice());
    let bits = [
        tcp.fin(),
        tcp.syn(),
        tcp.rst(),
        tcp.psh(),
        tcp.ack(),
        tcp.urg(),
        tcp.ece(),
        tcp.cwr(),
    ];
    let flags = bits
        .iter()
        .rev()
        .fold(0, |all, &bit| (all << 1) | u8::from(bit));
    Some(Found {
        key,
        key_len: 12,
        l3,
        l4,
        data: l4 + tcp.header_slice().len() as u16,
        end: l3 + header.total_len(),
        seq: tcp.sequence_number(),
        flags,
    })
}

/// A figure of a batch, and its name.
type Part = (&'static str, fn(Times) -> Duration);

/// Arrival, transfer, and both.
fn pipeline(c: &mut Criterion, rows: &mut Vec<table::Row>) {
    let parts: [Part; 3] = [
        ("pipeline", |t| t.arrival + t.transfer),
        ("arrival", |t| t.arrival),
        ("transfer", |t| t.transfer),
    ];
    for payload in PAYLOADS {
        for flows in FLOWS {
            let name = format!("{payload}-{flows}");
            let mut rig = Rig::new(flows, payload);
            for (part, time) in parts {
                let mut group = c.benchmark_group(part);
                group.throughput(Throughput::Elements(BATCH as u64));
                group.bench_function(BenchmarkId::from_parameter(&name), |b| {
                    b.iter_custom(|n| (0..n).map(|_| time(rig.batch())).sum());
                });
            }
            rows.push(table::Row {
                name,
                payload,
                flows,
                frame_len: rig.frame_len(),
                merged: rig.packets_per_aggregate(),
            });
        }
    }
}

/// Parts that can be measured by themselves, for each frame of a batch.
fn stages(c: &mut Criterion, payload: usize) {
    let program = Program::load(PROGRAMS[0].words).expect("the ROM's program");
    let mut traffic = Traffic::new(64, payload);
    let frames = traffic.next_batch();
    assert_eq!(by_program(&program, &frames[0]), by_etherparse(&frames[0]));
    let key = by_etherparse(&frames[0]).expect("a TCP packet").key;
    let mut ring = vec![0_u8; 8 << 20];
    let mut at = 0;
    let mut group = c.benchmark_group("stage");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut bench = |name: &str, work: &mut dyn FnMut(&[u8])| {
        group.bench_function(BenchmarkId::new(name, payload), |b| {
            b.iter_custom(|n| {
                let start = cpu_time();
                for _ in 0..n {
                    frames.iter().for_each(|frame| work(frame));
                }
                cpu_time() - start
            });
        });
    };
    bench(table::COPY, &mut |frame| {
        at = if at + payload > ring.len() { 0 } else { at };
        ring[at..at + payload].copy_from_slice(black_box(&frame[frame.len() - payload..]));
        at += payload;
    });
    bench(table::PARSE, &mut |frame| {
        black_box(by_program(&program, black_box(frame)));
    });
    bench(table::ETHERPARSE, &mut |frame| {
        black_box(by_etherparse(black_box(frame)));
    });
    bench(table::HASH, &mut |_| {
        black_box(toeplitz::hash(&DEFAULT_SECRET, black_box(&key[..12])));
    });
}

/// Whether everything is only tried, as part of the tests. Then cargo says nothing of benches.
fn is_test() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

fn main() {
    // Beside the program, wherever that was built.
    let folder = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.ancestors().nth(3).map(|dir| dir.join("criterion")))
        .unwrap_or_else(|| PathBuf::from("criterion"));
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30)
        .without_plots()
        .output_directory(&folder)
        .configure_from_args();
    let mut rows = Vec::new();
    pipeline(&mut c, &mut rows);
    for payload in PAYLOADS {
        stages(&mut c, payload);
    }
    if is_test() {
        // In the format of libtest, for the runner of the tests.
        return println!("test pipeline_runs ... ok");
    }
    c.final_summary();
    table::print(&folder, &rows, &PAYLOADS);
}
