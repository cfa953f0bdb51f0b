// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Reflow device as a deterministic library.
//!
//! The path of a received frame, and the module of each step:
//!
//! 1. [`arrive`]: MAC filter, header parser, choice of a queue, random early discard.
//! 2. [`flow`]: the flow database gives the packet its flow number and operation code.
//! 3. [`pm`]: the packet memory holds it, in the order of its queue.
//! 4. [`transfer`]: writes it to host memory as its operation code says, through [`rings`].
//! 5. [`irq`]: interrupts the host.
//!
//! [`tx`] sends frames. [`queue`] is a pair of a receive and a transmit queue. [`device`] puts all of
//! them together and has the registers and the commands. [`chaos`] injects faults.
//!
//! The library has no threads, clocks or sockets. Its surroundings are the trait [`Host`]; time is
//! an argument. The same calls have the same outcome. Nothing that the guest writes, to registers or
//! to its memory, makes it panic.

#![forbid(unsafe_code)]
// The documentation links private modules: build it with --document-private-items.
#![allow(rustdoc::private_intra_doc_links)]

mod arrive;
pub mod chaos;
mod clock;
mod csum;
mod device;
mod flow;
mod host;
mod irq;
mod pm;
mod proto;
mod queue;
mod regs;
mod rings;
mod stats;
mod transfer;
mod tx;

pub use arrive::parser;
pub use device::observe::{CompletionState, QueueState, RingState, TxState};
pub use device::receive::RxOutcome;
pub use device::{Config, Device};
pub use flow::opcode::Why;
pub use host::{Host, MemError};
pub use pm::exits::{Exit, Transferred};
pub use stats::Counters;
