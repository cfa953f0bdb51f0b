// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the networking core: devices, packets, NAPI, pages, DMA.
//!
//! The layer knows nothing of the drivers that use it. All calls into C, all C helpers and nearly
//! all `unsafe` of a driver are here; each type says in its documentation which wrong use it rules
//! out.
//!
//! # How a driver attaches
//!
//! The layer is a module of the driver's own crate, and so inlined into it. The crate root has
//!
//! ```ignore
//! #[path = "../../rust/net.rs"]
//! mod net;
//! ```
//!
//! and the driver's Makefile includes `drivers/net/rust/Makefile.module`, which says what it has
//! to set. The module must be called `net` and stand in the crate root: macros name it by
//! `crate::net`. Parts that a driver leaves alone are left out of its object.

// A driver uses what it needs of the layer.
#![allow(dead_code, unused_imports, unused_macros)]

pub(crate) mod arfs;
mod bindings;
mod callback;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod devlink;
pub(crate) mod dma;
pub(crate) mod ethtool;
pub(crate) mod extack;
pub(crate) mod heads;
pub(crate) mod hwtstamp;
pub(crate) mod log;
pub(crate) mod napi;
mod own;
pub(crate) mod page_pool;
pub(crate) mod pci;
pub(crate) mod plain;
pub(crate) mod prelude;
pub(crate) mod ptp;
pub(crate) mod queue_mgmt;
pub(crate) mod rx_buffers;
pub(crate) mod service;
pub(crate) mod skbuff;
pub(crate) mod spsc;
pub(crate) mod stats;
pub(crate) mod sysfs;
pub(crate) mod tcp;
pub(crate) mod tx_cell;
pub(crate) mod tx_slots;
mod word;
pub(crate) mod xdp;

pub(crate) use device::Device;
