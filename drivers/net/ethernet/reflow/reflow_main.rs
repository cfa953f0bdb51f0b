// SPDX-License-Identifier: GPL-2.0

//! Driver for the Reflow network device, which recognises flows and re-assembles their data.
//!
//! * [`driver`] binds to the PCI function, [`nic`] has the duties of a network device, [`ethtool`]
//!   answers the tool of that name.
//! * [`cmd`] asks the device what registers cannot say.
//! * [`steering`] decides which queue packets go to.
//! * [`tcb`] has connections that the device sends where their application is.
//! * [`queue`] is a queue pair: [`rx`] is the way in, [`tx`] the way out.
//! * [`record`] is the way back from a reset, [`health`] what is wrong with a device.
//! * [`hw`] has the facts that the device's model compiles, too; [`mmio`] reaches the registers.
//! * [`net`] has the safe abstractions over the networking core, with nearly all `unsafe`.

#![deny(unsafe_op_in_unsafe_fn)]

#[forbid(unsafe_code)]
mod cmd;
#[forbid(unsafe_code)]
mod counters;
#[forbid(unsafe_code)]
mod driver;
#[forbid(unsafe_code)]
mod ethtool;
#[forbid(unsafe_code)]
mod filter;
#[forbid(unsafe_code)]
mod health;
#[forbid(unsafe_code)]
#[macro_use]
mod hw;
#[forbid(unsafe_code)]
mod hw_stats;
#[forbid(unsafe_code)]
mod mmio;
#[path = "../../rust/net.rs"]
mod net;
#[forbid(unsafe_code)]
mod nic;
#[forbid(unsafe_code)]
mod observe;
#[forbid(unsafe_code)]
mod params;
#[forbid(unsafe_code)]
mod parser;
#[forbid(unsafe_code)]
mod queue;
#[forbid(unsafe_code)]
mod record;
#[forbid(unsafe_code)]
mod red;
#[forbid(unsafe_code)]
mod rx;
#[forbid(unsafe_code)]
mod selftest;
#[forbid(unsafe_code)]
mod setup;
#[forbid(unsafe_code)]
mod sizes;
#[forbid(unsafe_code)]
mod split;
#[forbid(unsafe_code)]
mod steering;
#[forbid(unsafe_code)]
mod tcb;
#[forbid(unsafe_code)]
mod totals;
#[forbid(unsafe_code)]
mod tuning;
#[forbid(unsafe_code)]
mod tx;

kernel::module_driver!(<T>, net::pci::Adapter<T>, {
    type: driver::Driver,
    name: "reflow",
    authors: ["The Reflow authors"],
    description: "Reflow flow re-assembling network device",
    license: "GPL",
});
