// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The state of the NIC as one JSON document, for whoever connects to the status socket.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use reflow_hwdef::{regs, stats};
use serde_json::{json, Map, Value};

use crate::nic::{Nic, Shared};

/// How long a reader that does not read is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers each connection with one document.
pub(crate) fn serve(listener: &UnixListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let text = document(&mut shared.lock(), shared.now_ns()).to_string();
        if let Err(error) = connection.and_then(|c| answer(c, &text)) {
            log::debug!("status: {error}");
        }
    }
}

fn answer(mut connection: UnixStream, text: &str) -> std::io::Result<()> {
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(text.as_bytes())?;
    connection.write_all(b"\n")
}

fn document(nic: &mut Nic, now_ns: u64) -> Value {
    let queues: Vec<Value> = (0..nic.device.vectors() - 1)
        .map(|q| queue(nic, q))
        .collect();
    let counters = nic.device.counters();
    let global: Map<String, Value> = stats::GLOBAL
        .iter()
        .zip(counters.words())
        .map(|(info, &value)| (info.name.to_owned(), value.into()))
        .collect();
    json!({
        "uptime_ns": now_ns,
        "link": nic.link(),
        "memory_ranges": nic.memory.len(),
        "vectors_connected": nic.interrupts.connected(),
        "packet_memory": { "level": nic.device.pm_level(), "size": nic.device.pm_size() },
        "counters": global,
        "queues": queues,
    })
}

fn queue(nic: &mut Nic, queue: usize) -> Value {
    let at = regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE + regs::Q_STATUS;
    let status = regs::QueueStatus(nic.device.mmio_read(at));
    let base = stats::queue_base(queue);
    let words = nic.device.counters().words();
    let counters: Map<String, Value> = stats::QUEUE
        .iter()
        .zip(words.iter().skip(base))
        .map(|(info, &value)| (info.name.to_owned(), value.into()))
        .collect();
    json!({
        "rx": status.rx() != 0,
        "tx": status.tx() != 0,
        "error": status.error(),
        "counters": counters,
    })
}
