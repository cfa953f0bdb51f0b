// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the networking core: devices, packets, NAPI, pages, DMA.
//!
//! This layer knows nothing of the driver that uses it. All calls into C, all C helpers and nearly
//! all `unsafe` of the module are here; each type says in its documentation which wrong use it
//! rules out.

pub(crate) mod arfs;
mod bindings;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod devlink;
pub(crate) mod dma;
pub(crate) mod ethtool;
pub(crate) mod extack;
pub(crate) mod log;
pub(crate) mod napi;
pub(crate) mod page_pool;
pub(crate) mod pci;
mod queue_mgmt;
pub(crate) mod service;
pub(crate) mod skbuff;
pub(crate) mod spsc;
pub(crate) mod stats;
pub(crate) mod sysfs;
pub(crate) mod tx_cell;
pub(crate) mod tx_slots;
pub(crate) mod xdp;

pub(crate) use device::Device;
