// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Facts about the hardware: registers, descriptors, instruction set, hash, statistics.
//!
//! This crate has no source of its own: it compiles the driver's `hw/`, so that driver and model
//! cannot disagree on a layout.
//!
//! A register knows the type of its value, so the driver writes no other to it:
//!
//! ```
//! use reflow_hwdef::{layout::Reg, regs::{reg, Ctrl, Global}};
//!
//! fn write<T>(_reg: Reg<Global, T>, _value: T) {}
//! write(reg::CTRL, Ctrl(0).with_rx(1));
//! write(reg::RESET, 1);
//! ```
//!
//! ```compile_fail,E0308
//! use reflow_hwdef::{layout::Reg, regs::{reg, FlowCfg, Global}};
//!
//! fn write<T>(_reg: Reg<Global, T>, _value: T) {}
//! write(reg::CTRL, FlowCfg(0));
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[path = "../../../../drivers/net/ethernet/reflow/hw.rs"]
mod hw;

pub use hw::*;
