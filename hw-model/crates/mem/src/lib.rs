// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The unsafe parts of the model: guest memory and TAP devices.
//!
//! [`GuestMemory`] is the guest's memory as the device sees it: ranges of bus addresses that came
//! with file descriptors and are mapped shared. The guest runs while it is accessed, so no
//! reference to its bytes is handed out; they are copied in and out, or stored atomically.
//! The client may truncate a file under its mapping; an access beyond its end fails (`fault.rs`).
//! The mapping itself and the volatile copies are those of the crate vm-memory.
//!
//! [`tap`] opens a TAP device, for which the kernel has no interface but an `ioctl`.
//!
//! All other crates of the model forbid `unsafe`.

mod fault;
mod guest;
pub mod tap;

pub use guest::{GuestMemory, MapError, MemError, Permissions, UnmapError};
