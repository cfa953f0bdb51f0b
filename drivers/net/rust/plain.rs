// SPDX-License-Identifier: GPL-2.0

//! Common parts of most network devices: a ring for each direction in each queue pair, with one
//! buffer a descriptor.
//!
//! A driver of such a device says what its descriptors look like and how they are switched on. The
//! rest is here, to be taken or left part by part:
//!
//! * [`rx`]: a receive ring that is filled with buffers, and packets out of them;
//! * [`tx`]: a transmit ring that stops when it is full, and its end;
//! * [`pair`]: both of them, as NAPI polls them;
//! * [`counters`]: what a queue counts, and to whom that is told;
//! * [`totals`]: what the device counts, in registers that are cleared by being read;
//! * [`sizes`]: number of queues, sizes of rings and MTU, as the user wants them;
//! * [`spread`]: the table and the key by which packets are spread over queues.
//!
//! ```ignore
//! impl rx::Descriptors for Descriptors {
//!     fn post(&self, ring: &Words, at: usize, buffer: u64) {
//!         ring.write(at, buffer);
//!     }
//!     ..
//! }
//! ```

pub(crate) mod counters;
pub(crate) mod pair;
pub(crate) mod rx;
pub(crate) mod sizes;
pub(crate) mod spread;
pub(crate) mod totals;
pub(crate) mod tx;
