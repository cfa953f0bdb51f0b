// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Facts about the hardware that the driver and the device model both compile.
//!
//! Registers, descriptor layouts, the instruction set of the header parser, the hash and the layout
//! of the statistics block live here, and nothing else: what the device *does* is in the model, how
//! it is *driven* is in the driver, and the two share no behaviour.
//!
//! Everything under this module uses `core` only, does not allocate and does not panic.

#![allow(dead_code, unreachable_pub)]
// A field may be called `len`; that makes no collection of the word it is in.
#![allow(clippy::len_without_is_empty)]

// The paths let the model's workspace compile this file from where it stands.
#[macro_use]
#[path = "hw/layout.rs"]
pub mod layout;
#[path = "hw/cmd.rs"]
pub mod cmd;
#[path = "hw/desc.rs"]
pub mod desc;
#[path = "hw/image.rs"]
pub mod image;
#[path = "hw/index.rs"]
pub mod index;
#[path = "hw/isa.rs"]
pub mod isa;
#[path = "hw/opcode.rs"]
pub mod opcode;
#[path = "hw/programs.rs"]
pub mod programs;
#[path = "hw/regs.rs"]
pub mod regs;
#[path = "hw/stats.rs"]
pub mod stats;
#[path = "hw/toeplitz.rs"]
pub mod toeplitz;
#[path = "hw/verify.rs"]
pub mod verify;
