// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Wire-level tests: the real server between a vfio-user client and a peer on the wire, both of
//! which are this test. No virtual machine is involved.

mod chaos;
mod cli;
mod control;
mod driver;
mod function;
mod hostile;
mod lifecycle;
mod peer;
mod rig;
mod status;
mod traffic;
mod wires;
