// SPDX-License-Identifier: GPL-2.0

//! RSS state of a device with one indirection table.
//!
//! Wraps nothing of C. Changed in process context; the driver locks it.
//!
//! ```
//! /// Spreads packets over four queues, by a table of 128 entries and a key of 40 bytes.
//! fn spread() -> Spread<128, 40> {
//!     let mut spread = Spread::new();
//!     spread.evenly(4);
//!     spread
//! }
//! ```

use crate::net::{
    device::rss_key_fill,
    ethtool::rxfh::{
        Change,
        View, //
    }, //
};

/// An indirection table of `TABLE` entries, chosen by the low bits of a hash with a key of `KEY`
/// bytes.
pub(crate) struct Spread<const TABLE: usize, const KEY: usize> {
    /// Queue for each value of the hash's low bits.
    pub(crate) table: [u8; TABLE],
    /// Key of the hash.
    pub(crate) key: [u8; KEY],
}

impl<const TABLE: usize, const KEY: usize> Spread<TABLE, KEY> {
    /// All packets to queue 0, with the system's key.
    pub(crate) fn new() -> Self {
        let mut key = [0; KEY];
        rss_key_fill(&mut key);
        Self {
            table: [0; TABLE],
            key,
        }
    }

    /// Distributes packets evenly over the first `queues` queues, at least one.
    pub(crate) fn evenly(&mut self, queues: u32) {
        for (i, entry) in self.table.iter_mut().enumerate() {
            *entry = (i as u32 % queues.max(1)) as u8;
        }
    }

    /// Fills in the requested parts.
    pub(crate) fn show(&self, view: View<'_>) {
        for (to, &from) in view.table.into_iter().flatten().zip(&self.table) {
            *to = from.into();
        }
        for (to, &from) in view.key.into_iter().flatten().zip(&self.key) {
            *to = from;
        }
    }

    /// Applies the user's changes.
    pub(crate) fn change(&mut self, to: &Change<'_>) {
        for (to, &from) in self.table.iter_mut().zip(to.table.into_iter().flatten()) {
            // The core has checked that there is such a queue.
            *to = from as u8;
        }
        for (to, &from) in self.key.iter_mut().zip(to.key.into_iter().flatten()) {
            *to = from;
        }
    }
}
