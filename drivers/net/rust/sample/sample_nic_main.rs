// SPDX-License-Identifier: GPL-2.0

//! The smallest driver on the layer in `drivers/net/rust`, for a NIC that sends and receives.
//!
//! `Documentation/networking/rust-nic-tutorial.rst` goes through its files one by one.

#![deny(unsafe_op_in_unsafe_fn)]

#[forbid(unsafe_code)]
mod driver;
#[path = "../net.rs"]
mod net;
#[forbid(unsafe_code)]
mod nic;
#[forbid(unsafe_code)]
mod pair;
#[forbid(unsafe_code)]
#[allow(unreachable_pub)]
mod regs;
#[forbid(unsafe_code)]
mod rx;
#[forbid(unsafe_code)]
mod tx;

kernel::module_driver!(<T>, net::pci::Adapter<T>, {
    type: driver::Driver,
    name: "sample_nic",
    authors: ["The Reflow authors"],
    description: "Sample network device",
    license: "GPL",
});
