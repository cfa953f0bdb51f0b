// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Facts about the hardware: registers, descriptors, instruction set, hash, statistics.
//!
//! This crate has no source of its own: it compiles the driver's `hw/`, so that driver and model
//! cannot disagree on a layout.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[path = "../../../../drivers/net/ethernet/reflow/hw.rs"]
mod hw;

pub use hw::*;
