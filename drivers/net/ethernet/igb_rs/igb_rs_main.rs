// SPDX-License-Identifier: GPL-2.0

//! Driver for the Intel 82576, as QEMU models it (`-device igb`).
//!
//! * [`nic`] binds to the PCI function and has the duties of a network device, [`ethtool`] answers
//!   the tool of that name;
//! * [`queue`] is a queue pair, [`desc`] what its descriptors look like;
//! * [`hw`] is the device as a whole, [`regs`] has its registers, [`stats`] its counters;
//! * [`net`] is the layer that it stands on, with all `unsafe`.

#![deny(unsafe_op_in_unsafe_fn)]

#[forbid(unsafe_code)]
mod desc;
#[forbid(unsafe_code)]
mod ethtool;
#[forbid(unsafe_code)]
mod hw;
#[path = "../../rust/net.rs"]
mod net;
#[forbid(unsafe_code)]
mod nic;
#[forbid(unsafe_code)]
mod queue;
#[forbid(unsafe_code)]
mod regs;
#[forbid(unsafe_code)]
mod stats;

kernel::module_driver!(<T>, net::pci::Adapter<T>, {
    type: nic::Driver,
    name: "igb_rs",
    authors: ["The Reflow authors"],
    description: "Intel 82576 network device",
    license: "GPL",
});
