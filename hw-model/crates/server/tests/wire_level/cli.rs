// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Errors in the command line are reported in one line.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use tempfile::TempDir;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reflow-hw"))
        .args(args)
        .output()
        .unwrap()
}

/// Runs with options that must be refused; returns the message.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?} was accepted");
    assert!(output.stdout.is_empty(), "{args:?} wrote to stdout");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    stderr
}

/// Each bad option is named in its message.
#[test]
fn bad_options() {
    let serve = ["serve", "--socket", "/nonexistent/nic", "--wire", "loop"];
    for (option, value) in [
        ("--mac", "01:00:00:00:00:00"),
        ("--mac", "02:00"),
        ("--queues", "0"),
        ("--queues", "33"),
        ("--flows", "1000"),
        ("--flows", "65536"),
        ("--seed", "-1"),
        ("--pm-kib", "1"),
        ("--wire", "carrier-pigeon"),
        ("--chaos", "lenghts=0.1"),
        ("--chaos", "lost=2"),
        ("--chaos", ""),
        ("--no-such-option", "1"),
    ] {
        let mut args = serve.to_vec();
        if option == "--wire" {
            args.truncate(3);
        }
        args.extend([option, value]);
        let said = refused(&args);
        assert!(said.contains(option), "{option} {value}: {said}");
    }
    assert!(refused(&["serve", "--wire", "loop"]).contains("--socket"));
    assert!(refused(&["fly"]).contains("fly"));
    refused(&[]);
}

/// Files and sockets that cannot be had are named with the reason.
#[test]
fn unusable_paths() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("file"), "not a capture").unwrap();
    let _listener = UnixListener::bind(at("busy")).unwrap();
    let (nic, file, busy, none) = (at("nic"), at("file"), at("busy"), at("no/such"));

    for (socket, wire, mentioned) in [
        (&none, "loop".to_owned(), &none),
        (&file, "loop".to_owned(), &file),
        (&busy, "loop".to_owned(), &busy),
        (&nic, format!("listen:unix:{busy}"), &busy),
        (&nic, format!("pcap:{none}"), &none),
        (&nic, format!("pcap:{file}"), &file),
        (&nic, format!("pcap:{file},{none}"), &file),
    ] {
        let said = refused(&["serve", "--socket", socket, "--wire", &wire]);
        assert!(said.contains(mentioned.as_str()), "{said}");
    }
    for (option, path) in [("--trace", &none), ("--status", &busy)] {
        let said = refused(&["serve", "--socket", &nic, "--wire", "loop", option, path]);
        assert!(said.contains(path.as_str()), "{said}");
    }
    assert!(
        !dir.path().join("nic").exists(),
        "a server that failed left its socket"
    );
}

/// Help is what was asked for, so it goes to stdout.
#[test]
fn help() {
    let faults: [&[&str]; 2] = [&["serve", "--chaos", "help"], &["serve", "--chaos=help"]];
    for args in faults {
        let text = String::from_utf8(run(args).stdout).unwrap();
        for fault in ["lengths", "irq-storm", "removed"] {
            assert!(text.contains(&format!("  {fault} ")), "{text}");
        }
    }
    for args in [
        &["--help"][..],
        &["serve", "--help"],
        &["--version"],
        faults[0],
        faults[1],
    ] {
        let output = run(args);
        assert!(output.status.success());
        assert!(output.stderr.is_empty());
        assert!(!output.stdout.is_empty());
    }
}
