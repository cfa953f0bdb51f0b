// SPDX-License-Identifier: GPL-2.0

//! Driver for the Reflow network device, which recognises flows and re-assembles their data.
//!
//! * [`driver`] binds to the PCI function, [`nic`] has the duties of a network device, [`ethtool`]
//!   answers the tool of that name.
//! * [`queue`] is a queue pair: [`rx`] is the way in, [`tx`] the way out.
//! * [`hw`] has the facts that the device's model compiles, too; [`mmio`] reaches the registers.
//! * [`net`] has the safe abstractions over the networking core, with nearly all `unsafe`.

#![deny(unsafe_op_in_unsafe_fn)]

mod counters;
mod driver;
mod ethtool;
#[macro_use]
mod hw;
mod hw_stats;
mod mmio;
mod net;
mod nic;
mod parser;
mod queue;
mod rx;
mod tx;

kernel::module_pci_driver! {
    type: driver::Driver,
    name: "reflow",
    authors: ["The Reflow authors"],
    description: "Reflow flow re-assembling network device",
    license: "GPL",
}
