// SPDX-License-Identifier: GPL-2.0

//! Driver for the Reflow network device, which recognises flows and re-assembles their data.
//!
//! * [`driver`] binds to the PCI function, [`nic`] is the state of a device, [`setup`] that of its
//!   queues.
//! * [`netdev`] has the operations of the network device, [`ethtool`], [`devlink`], [`sysfs`] and
//!   [`debugfs`] answer those of their names, [`stats`] has totals.
//! * [`queue`] is a queue pair: [`rx`] is the way in, [`tx`] the way out.
//! * [`steering`] decides which queue packets go to, [`tcb`] has connections that the device sends
//!   where their application is.
//! * [`filter`], [`tuning`], [`red`] and [`parser`] are units of the device, [`cmd`] asks it what
//!   registers cannot say, [`hw_stats`] has its counters.
//! * [`health`] finds what is wrong with a device, [`restore`] is the way back from a reset.
//! * [`hw`] has the facts that the device's model compiles, too; [`mmio`] reaches the registers.
//! * [`net`] has the safe abstractions over the networking core, with nearly all `unsafe`.

#![deny(unsafe_op_in_unsafe_fn)]

#[forbid(unsafe_code)]
mod clock;
mod cmd;
#[forbid(unsafe_code)]
mod counters;
#[forbid(unsafe_code)]
mod debugfs;
#[forbid(unsafe_code)]
mod devlink;
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
#[forbid(unsafe_code)]
mod moderation;
#[path = "../../rust/net.rs"]
mod net;
#[forbid(unsafe_code)]
mod netdev;
#[forbid(unsafe_code)]
mod nic;
#[forbid(unsafe_code)]
mod parser;
#[forbid(unsafe_code)]
mod queue;
#[forbid(unsafe_code)]
mod red;
#[forbid(unsafe_code)]
mod restore;
#[forbid(unsafe_code)]
mod rx;
#[forbid(unsafe_code)]
mod setup;
#[forbid(unsafe_code)]
mod sizes;
#[forbid(unsafe_code)]
mod stats;
#[forbid(unsafe_code)]
mod steering;
#[forbid(unsafe_code)]
mod sysfs;
#[forbid(unsafe_code)]
mod tcb;
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
