// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Reflow device as a deterministic library.
//!
//! A frame from the wire passes the MAC filter ([`mac`]), is stored in the packet memory ([`pm`]),
//! parsed by a microprogram ([`parser`]) whose word the flow manager ([`manager`]) checks against
//! the headers ([`headers`]), and gets a flow number ([`fdb`]), an operation code, and a queue
//! ([`spread`]). When buffers are there it is moved to host memory ([`transfer`]) in the manner of
//! its operation code, with a hint whether another packet of its flow waits ([`fm`]).
//!
//! The host asks for more than registers can say by commands ([`cmd`]): steering rules ([`rules`])
//! and hash contexts, and control blocks ([`tcb`]) of connections whose data it wants at a place of
//! its own ([`placement`]).
//!
//! The library has no threads, clocks or sockets. Its surroundings are a trait, [`Host`]; time is
//! passed in. The same calls always have the same outcome. Nothing that the guest writes, to
//! registers or to its memory, makes it panic.

#![forbid(unsafe_code)]
// The documentation names private modules: it is read with them.
#![allow(rustdoc::private_intra_doc_links)]

mod buffers;
pub mod chaos;
mod cmd;
mod csum;
mod device;
mod exits;
mod fdb;
mod fm;
mod framing;
mod headers;
mod host;
mod irq;
mod mac;
mod manager;
mod merge;
mod mmio;
mod observe;
pub mod parser;
mod placement;
mod pm;
mod queue;
mod reasm;
mod receive;
mod reclaim;
mod red;
mod regs;
mod rings;
mod rules;
mod segment;
mod selftest;
mod spread;
mod stats;
mod tcb;
mod transfer;
mod tx;

pub use device::{Config, Device};
pub use exits::{Exit, Transferred};
pub use host::{Host, MemError};
pub use observe::{CompletionState, QueueState, RingState, TxState};
pub use receive::RxOutcome;
pub use stats::Counters;
