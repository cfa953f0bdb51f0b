// SPDX-License-Identifier: GPL-2.0

//! Common parts of most network devices: each queue pair has a ring for each direction, with one
//! buffer per descriptor.
//!
//! A driver of such a device describes its descriptors and how they are switched on. The rest is
//! here, and can be used part by part. The modules wrap nothing of C; each says in which context it
//! is used.
//!
//! * [`rx`]: a receive ring: refill, and packets out of its buffers;
//! * [`tx`]: a transmit ring: stop and wake of the queue, and completion;
//! * [`pair`]: both, as a [`Poll`](crate::net::napi::Poll);
//! * [`counters`]: counters of queues, and the interfaces that show them;
//! * [`totals`]: counters of the device in registers that are cleared by a read;
//! * [`sizes`]: number of queues, sizes of rings and MTU, and their change by the user;
//! * [`spread`]: the RSS indirection table and key.
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
