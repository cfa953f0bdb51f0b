// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Shared by the fuzz targets: an input that is read bit by bit, frames made from it, and
//! invariants of the device.

#![forbid(unsafe_code)]

pub mod input;
pub mod packets;
pub mod stream;

pub use reflow_testkit as common;

use reflow_device::{Device, Host};
use reflow_hwdef::isa::INSTR_WORDS;
use reflow_hwdef::programs::PROGRAMS;
use reflow_hwdef::regs::{PARSER_COMMIT, PARSER_RAM};

/// Pumps in a row after which a device that still wants more is at fault.
const PUMPS: usize = 5000;

/// Pumps until the device is idle at time `now`; checks that it gets there.
pub fn pump(dev: &mut Device, host: &mut impl Host, now: u64) {
    let mut left = PUMPS;
    while dev.pump(host, now) || dev.next_deadline().is_some_and(|at| at <= now) {
        left -= 1;
        assert!(left > 0, "the device does not become idle");
    }
}

/// Checks the invariants of the device.
pub fn check(dev: &Device) {
    assert!(dev.pm_level() <= dev.pm_size());
    assert!(dev.flows_in_use() <= dev.config().flows);
}

/// Puts one of the shipped programs to work.
pub fn load_program(dev: &mut Device, host: &mut impl Host, number: usize) {
    let program = PROGRAMS[number % PROGRAMS.len()];
    for (i, &word) in program.words.iter().enumerate() {
        dev.mmio_write(host, PARSER_RAM + i * 4, word);
    }
    let instrs = program.words.len() / INSTR_WORDS;
    dev.mmio_write(host, PARSER_COMMIT, instrs as u32);
}
