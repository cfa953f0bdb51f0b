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
//! ```
//! /// Allocates queue pair 0 of a device, with rings of 512 descriptors.
//! fn open<'bound, H: pair::Hardware>(
//!     hw: H,
//!     (rx, tx): (H::Rx, H::Tx),
//!     (dma, dev): (DmaDevice<'bound>, &Device),
//!     counters: &Arc<counters::Queue>,
//! ) -> Result<(tx::Ring<'bound, H::Tx>, pair::Pair<'bound, H>)> {
//!     let (ring, cleaner) = tx::new(tx, 9, dma, counters)?;
//!     let rx = rx::Ring::new(rx, 9, (&dma, dev, 0), Size::Half, counters)?;
//!     Ok((ring, pair::Pair { hw, rx, tx: cleaner }))
//! }
//! # use dma::DmaDevice;
//! # use kernel::sync::Arc;
//! # use rx_buffers::Size;
//! ```

pub(crate) mod counters;
pub(crate) mod pair;
pub(crate) mod rx;
pub(crate) mod sizes;
pub(crate) mod spread;
pub(crate) mod totals;
pub(crate) mod tx;
