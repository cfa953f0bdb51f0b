// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `reflow-hw`: the modelled NIC as a process that a virtual machine attaches by vfio-user.
//!
//! Two threads share the device under one lock. The *vfio-user thread* serves the virtual machine:
//! register accesses, DMA mappings, interrupts. The *data thread* moves frames between the wire and
//! the device. A register write wakes the data thread; an interrupt is a write to an eventfd.

#![forbid(unsafe_code)]

mod backend;
mod cli;
mod config;
mod control;
mod data;
mod frames;
mod interrupts;
mod nic;
mod serve;
mod status;
mod trace;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli::Command::Serve(options) = match cli::parse() {
        Ok(command) => command,
        Err(code) => return code,
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve::serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reflow-hw: {error:#}");
            ExitCode::FAILURE
        }
    }
}
