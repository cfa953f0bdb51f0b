// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The status socket: the document agrees with the device.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use reflow_hwdef::regs::{self, BufKind};
use reflow_hwdef::stats;
use serde_json::{json, Value};

use crate::driver::Driver;
use crate::peer::{tcp, Peer, ACK};
use crate::rig::{until, Nic};

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// Before a client is attached: all units are listed, and all are off.
#[test]
fn of_an_idle_device() {
    let nic = Nic::start("loop", &["--queues", "3", "--flows", "64", "--seed", "9"]);
    let status = nic.status();
    assert_eq!(
        keys(&status),
        [
            "bus_master",
            "chaos",
            "chaos_spec",
            "counters",
            "dma_while_quiet",
            "dma_without_bus_master",
            "flow_database",
            "link",
            "memory_ranges",
            "packet_memory",
            "parser",
            "queues",
            "quiet",
            "red",
            "registers",
            "removed",
            "resets",
            "rules",
            "seed",
            "steering",
            "uptime_ns",
            "vectors_connected",
            "version",
        ]
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["seed"], 9);
    assert_eq!(
        (&status["quiet"], &status["bus_master"]),
        (&json!(true), &json!(false))
    );
    let memory = json!({ "size": 8 << 20, "level": 0, "high": 0 });
    assert_eq!(status["packet_memory"], memory);
    assert_eq!(status["parser"]["name"], "default");
    let flows = json!({ "size": 64, "used": 0, "entries": [], "more": false });
    assert_eq!(status["flow_database"], flows);
    let band = json!({ "low": 0, "high": 0, "probability": 0 });
    assert_eq!(status["red"], json!(vec![band; regs::RED_BANDS]));
    assert_eq!(keys(&status["counters"]).len(), stats::GLOBAL.len());
    let queues = status["queues"].as_array().unwrap();
    assert_eq!(queues.len(), 3);
    for queue in queues {
        assert_eq!((&queue["rx"], &queue["tx"]), (&json!(false), &json!(false)));
        assert_eq!(keys(&queue["counters"]).len(), stats::QUEUE.len());
        for ring in [
            "completion",
            "header",
            "reasm",
            "packet",
            "small",
            "transmit",
        ] {
            assert_eq!(queue[ring], Value::Null, "{ring}");
        }
    }
    let later = nic.status()["uptime_ns"].as_u64().unwrap();
    assert!(later > status["uptime_ns"].as_u64().unwrap());
}

/// While packets of a flow wait for buffers: the flow, its queue and the memory tell of them.
#[test]
fn of_packets_that_wait() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    driver.merge();
    driver.write(
        regs::RED_LEVELS + 4,
        regs::RedLevels(0).with_low(10).with_high(20).0,
    );
    driver.write(regs::RED_PROB + 4, 77);
    driver.start_queue(0);
    driver.post(0, BufKind::Header, 3);
    driver.start_device();
    let segments: Vec<Vec<u8>> = (0..3)
        .map(|i| tcp(4000, 1000 * i, ACK, &[i as u8; 1000]))
        .collect();
    peer.send(&segments);
    until("they wait", || {
        (nic.status()["queues"][0]["waiting"] == 3).then_some(())
    });
    let status = nic.status();
    let bytes: usize = segments.iter().map(Vec::len).sum();
    let memory = json!({ "size": 8 << 20, "level": bytes, "high": bytes });
    assert_eq!(status["packet_memory"], memory);
    let band = json!({ "low": 640, "high": 1280, "probability": 77 });
    assert_eq!(status["red"][1], band);

    let flows = &status["flow_database"];
    assert_eq!((&flows["used"], &flows["more"]), (&json!(1), &json!(false)));
    let flow = &flows["entries"][0];
    let source = flow["source"].as_str().unwrap();
    assert!(source.ends_with(":4000"), "{source}");
    assert!(flow["destination"].as_str().unwrap().contains(':'));
    let said = [
        "expected",
        "queue",
        "open",
        "waiting",
        "vlan",
        "control_block",
    ];
    let said = said.map(|key| flow[key].clone());
    let expected = [
        json!(3000),
        json!(0),
        json!(true),
        json!(true),
        Value::Null,
        Value::Null,
    ];
    assert_eq!(said, expected);

    let queue = &status["queues"][0];
    assert_eq!(queue["header"], json!({ "entries": 16, "available": 3 }));
    assert_eq!(queue["reasm"], json!({ "entries": 16, "available": 0 }));
    assert_eq!(queue["completion"], json!({ "entries": 64, "unseen": 0 }));
    let transmit = json!({ "entries": 16, "available": 0, "head": 0 });
    assert_eq!(queue["transmit"], transmit);

    driver.post(0, BufKind::Reasm, 4);
    for _ in 0..3 {
        driver.next(0);
    }
    let status = nic.status();
    assert_eq!(status["packet_memory"]["level"], 0);
    assert_eq!(status["packet_memory"]["high"], bytes);
    assert_eq!(status["flow_database"]["entries"][0]["waiting"], false);
    assert_eq!(status["queues"][0]["completion"]["unseen"], 3);
}

/// Readers that write, close early or do not read do not block other readers.
#[test]
fn readers_do_not_block_each_other() {
    let nic = Nic::start("loop", &[]);
    let connect = || UnixStream::connect(nic.path("status")).unwrap();
    let idle: Vec<UnixStream> = (0..4).map(|_| connect()).collect();
    drop(connect());
    let _ = connect().write_all(&[0xff; 4096]);
    let mut text = String::new();
    connect().read_to_string(&mut text).unwrap();
    assert!(text.ends_with("}\n") && text.lines().count() == 1);
    until("the link is up", || {
        (nic.status()["link"] == true).then_some(())
    });
    drop(idle);
}
