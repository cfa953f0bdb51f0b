// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Flows: what the device knows of each connection, and the operation code of its packets.
//!
//! [`database`] holds the entries, [`manager`] updates the entry of each packet that arrives and has
//! [`opcode`] decide its operation code. [`merge`] says which packets form one aggregate. [`tcb`] are
//! control blocks of connections whose data the host wants in pages of its own ([`placement`]);
//! [`framing`] follows the messages of a connection.

pub(crate) mod database;
pub(crate) mod framing;
pub(crate) mod manager;
pub(crate) mod merge;
pub(crate) mod opcode;
pub(crate) mod placement;
pub(crate) mod tcb;
