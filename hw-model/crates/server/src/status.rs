// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The status socket: the state of the NIC as one JSON document.
//!
//! Keys are stable; new ones may be added. Numbers are integers, times are in the
//! unit that the key names, and what does not exist is `null`.
//!
//! | Key | Value |
//! |-----|-------|
//! | `version` | version of the server |
//! | `seed` | seed of everything random |
//! | `uptime_ns` | the device's clock |
//! | `link` | whether the wire is connected |
//! | `removed` | whether hostile mode has the device gone |
//! | `memory_ranges` | mappings of guest memory |
//! | `vectors_connected` | MSI-X vectors with an eventfd |
//! | `bus_master` | whether the function may access memory |
//! | `quiet` | whether CTRL, each Q_CTRL, CMD_SIZE and STATS_CTRL are 0 |
//! | `resets` | how often the device was reset |
//! | `dma_without_bus_master` | accesses to guest memory attempted without bus mastering; these
//! | | wait or are refused |
//! | `dma_while_quiet` | accesses to guest memory while it is quiet |
//! | `packet_memory` | `size`, `level`, `high` (highest level) in bytes |
//! | `red` | a list of the bands: `low`, `high` in bytes, `probability` in 1/65536 |
//! | `parser` | `name` of the parser program if it is one that is shipped, `crc`, `instructions` |
//! | `flow_database` | `size`, `used`, `entries` (the first [`MAX_ENTRIES`]), `more` (whether there
//! are further ones) |
//! | `rules` | indices of the steering rules that are set |
//! | `steering` | a digest of all rules, hash contexts and tables |
//! | `registers` | what the driver has configured, by names of registers |
//! | `counters` | the device's counters by their name in the statistics block |
//! | `queues` | a list of the queue pairs |
//! | `chaos` | by fault: `chances`, `strikes`, `spoiled`, see [`reflow_device::chaos::Tally`] |
//! | `chaos_spec` | the faults as `--chaos` takes them, empty without any |
//!
//! A flow has `flow` (its number), `source` and `destination` (address, with port if the key has
//! them), or `key` in hexadecimal if it is no tuple of addresses; `vlan`, `expected` (sequence
//! number), `queue`, `open` (an aggregate is), `waiting` (packets are), `age_us` (since its last
//! packet), and `control_block` with `applied`, `not_applied`, `placed` (bytes) and `stale`.
//!
//! A queue has `rx` and `tx` (whether each half runs), `error`, `waiting` (packets), its
//! `counters`, and its rings: `completion` with `entries` and `unseen`; `header`, `reasm`, `packet`
//! and `small` with `entries` and `available`; `transmit` with `entries`, `available` and `head`.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use reflow_device::parser::Program;
use reflow_device::{Device, RingState};
use reflow_hwdef::cmd::{
    F0,
    F6,
    FLOW_KEY,
    FLOW_WORDS,
    T6,
    TCB_APPLIED,
    TCB_NOT_APPLIED,
    TCB_PLACED,
    TCB_SEQ, //
};
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::{self, BufKind};
use reflow_hwdef::stats;
use serde_json::{json, Map, Value};

use crate::nic::{Nic, Shared};

/// How long to wait for a slow reader.
const PATIENCE: Duration = Duration::from_secs(1);
/// Flows in a document.
const MAX_ENTRIES: usize = 4096;
/// Bytes in a unit of the levels of random early discard.
const RED_UNIT: u32 = 64;

/// Answers each connection with one document.
pub(crate) fn serve(listener: &UnixListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let document = document(&shared.lock(), shared.now_ns());
        if let Err(error) = connection.and_then(|c| answer(c, &document.to_string())) {
            log::debug!("status: {error}");
        }
    }
}

fn answer(mut connection: UnixStream, text: &str) -> std::io::Result<()> {
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(text.as_bytes())?;
    connection.write_all(b"\n")
}

fn document(nic: &Nic, now_ns: u64) -> Value {
    let device = &nic.device;
    let queues: Vec<Value> = (0..device.config().queues)
        .map(|q| queue(device, q))
        .collect();
    let chaos: Map<String, Value> = device
        .injections()
        .into_iter()
        .map(|(name, tally)| {
            let value = json!({
                "chances": tally.chances,
                "strikes": tally.strikes,
                "spoiled": tally.spoiled,
            });
            (name.to_owned(), value)
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "seed": device.config().seed,
        "uptime_ns": now_ns,
        "link": nic.link(),
        "removed": device.is_removed(),
        "memory_ranges": nic.memory.len(),
        "vectors_connected": nic.interrupts.connected(),
        "bus_master": nic.bus_master(),
        "quiet": device.is_quiet(),
        "resets": device.resets(),
        "dma_without_bus_master": nic.accesses().without_master.get(),
        "dma_while_quiet": nic.accesses().while_quiet.get(),
        "packet_memory": {
            "size": device.pm_size(),
            "level": device.pm_level(),
            "high": device.pm_high(),
        },
        "red": red(device),
        "parser": parser(device),
        "flow_database": flows(device),
        "rules": device.rules().collect::<Vec<_>>(),
        "steering": digest(&device.steering()),
        "registers": device.configuration().map(|(name, value)| (name, value.into()))
            .collect::<Map<String, Value>>(),
        "counters": counters(stats::GLOBAL, device.counters().words()),
        "queues": queues,
        "chaos": chaos,
        "chaos_spec": device.chaos_spec().to_string(),
    })
}

/// Digest of a text.
fn digest(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("{:016x}", hasher.finish())
}

fn counters(names: &[stats::CounterInfo], words: &[u64]) -> Value {
    let pairs = names.iter().zip(words);
    pairs
        .map(|(info, &value)| (info.name.to_owned(), value.into()))
        .collect::<Map<String, Value>>()
        .into()
}

fn red(device: &Device) -> Value {
    let band = |at: usize| {
        let levels = regs::RedLevels(device.register(regs::RED_LEVELS + 4 * at));
        json!({
            "low": levels.low() * RED_UNIT,
            "high": levels.high() * RED_UNIT,
            "probability": device.register(regs::RED_PROB + 4 * at),
        })
    };
    (0..regs::RED_BANDS).map(band).collect()
}

fn parser(device: &Device) -> Value {
    let program = device.program();
    let same = |words| Program::load(words).is_ok_and(|shipped| shipped.crc() == program.crc());
    let shipped = PROGRAMS.iter().find(|shipped| same(shipped.words));
    json!({
        "name": shipped.map(|shipped| shipped.name),
        "crc": program.crc(),
        "instructions": program.len(),
    })
}

fn flows(device: &Device) -> Value {
    let used = device.flows_in_use();
    let entries: Vec<Value> = (0..device.flow_entries())
        .filter_map(|flow| device.flow(flow as u16))
        .take(MAX_ENTRIES)
        .map(|words| flow(device, &words))
        .collect();
    json!({
        "size": device.flow_entries(),
        "used": used,
        "more": used > entries.len(),
        "entries": entries,
    })
}

fn flow(device: &Device, words: &[u64; FLOW_WORDS]) -> Value {
    let head = F0(words[0]);
    let key: Vec<u8> = words[FLOW_KEY..FLOW_WORDS - 2]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .take(head.key_len() as usize)
        .collect();
    let block = device.control_block(head.flow() as u16).map(|block| {
        json!({
            "applied": block[TCB_APPLIED],
            "not_applied": block[TCB_NOT_APPLIED],
            "placed": block[TCB_PLACED],
            "stale": T6(block[TCB_SEQ]).stale() != 0,
        })
    });
    let mut value = json!({
        "flow": head.flow(),
        "vlan": (head.vlan() != 0).then(|| head.vlan_tci()),
        "expected": F6(words[FLOW_WORDS - 2]).expected(),
        "queue": head.queue(),
        "open": head.open() != 0,
        "waiting": head.busy() != 0,
        "age_us": words[FLOW_WORDS - 1],
        "control_block": block,
    });
    match ends(&key, head.v6() != 0) {
        Some([source, destination]) => {
            value["source"] = source.into();
            value["destination"] = destination.into();
        }
        None => {
            value["key"] = key
                .iter()
                .fold(String::new(), |mut text, byte| {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{byte:02x}");
                    text
                })
                .into();
        }
    }
    value
}

/// Both ends of a key, if it is addresses, with ports behind them or not.
fn ends(key: &[u8], v6: bool) -> Option<[String; 2]> {
    fn address(bytes: &[u8]) -> Option<IpAddr> {
        let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
            .ok()
    }
    let len = if v6 { 16 } else { 4 };
    let (source, rest) = key.split_at_checked(len)?;
    let (destination, ports) = rest.split_at_checked(len)?;
    let ends = [address(source)?, address(destination)?];
    match *ports {
        [] => Some(ends.map(|end| end.to_string())),
        [a, b, c, d] => {
            let port = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            let end = |at: usize| SocketAddr::new(ends[at], port[at]).to_string();
            Some([end(0), end(1)])
        }
        _ => None,
    }
}

fn queue(device: &Device, queue: usize) -> Value {
    let at = regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + regs::Q_STATUS;
    let status = regs::QueueStatus(device.register(at));
    let words = device.counters().words();
    let own = words.get(stats::queue_base(queue)..).unwrap_or(&[]);
    let state = device.queue_state(queue);
    let ring = |kind: BufKind| {
        state.buffers[kind as usize].map(
            |RingState { entries, available }| json!({ "entries": entries, "available": available }),
        )
    };
    let completion = state
        .completion
        .map(|ring| json!({ "entries": ring.entries, "unseen": ring.unseen }));
    let transmit = state.tx.map(|ring| {
        json!({
            "entries": ring.entries,
            "available": ring.available,
            "head": ring.head,
        })
    });
    json!({
        "rx": status.rx() != 0,
        "tx": status.tx() != 0,
        "error": status.error(),
        "waiting": state.waiting,
        "completion": completion,
        "header": ring(BufKind::Header),
        "reasm": ring(BufKind::Reasm),
        "packet": ring(BufKind::Packet),
        "small": ring(BufKind::Small),
        "transmit": transmit,
        "counters": counters(stats::QUEUE, own),
    })
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn keys_are_shown_as_addresses_and_ports() {
        let mut v4 = vec![192, 0, 2, 1, 198, 51, 100, 2];
        let text =
            |source: &str, destination: &str| Some([source.to_owned(), destination.to_owned()]);
        assert_eq!(ends(&v4, false), text("192.0.2.1", "198.51.100.2"));
        v4.extend([0x14, 0x51, 0, 80]);
        assert_eq!(ends(&v4, false), text("192.0.2.1:5201", "198.51.100.2:80"));
        let mut v6 = [[0_u8; 15], [1; 15]].concat();
        v6.insert(15, 1);
        v6.insert(16, 0x20);
        v6.extend([0, 1, 0, 2]);
        let ends_of_v6 = text("[::1]:1", "[2001:101:101:101:101:101:101:101]:2");
        assert_eq!(ends(&v6, true), ends_of_v6);
        assert_eq!(ends(&v4[..11], false), None);
        assert_eq!(ends(&[], true), None);
    }
}
