// SPDX-License-Identifier: GPL-2.0

//! Sizes of rings, buffers and cells.
//!
//! Pure: compiled in the module and in the host's tests.

use crate::hw::regs::{
    LOG2_BUF_MAX,
    LOG2_RING_MAX,
    LOG2_RING_MIN, //
};

/// Bytes of every receive buffer but those for payload, which may be larger.
pub(crate) const BUF_SIZE: u32 = 4096;
/// Bytes of the largest buffer for payload. How large it is, its page knows.
pub(crate) const PAYLOAD_MAX: u32 = 1 << LOG2_BUF_MAX;
/// Bytes of a header or small-packet cell.
pub(crate) const CELL_SIZE: u32 = 256;
/// Cells of a header buffer or small-packet buffer.
pub(crate) const CELLS_PER_BUFFER: u32 = BUF_SIZE / CELL_SIZE;

/// Smallest transmit ring, as a power of two: a queue that was stopped is started before the ring
/// is empty.
pub(crate) const LOG2_TX_MIN: u32 = 6;
/// Most header buffers, as a power of two: they are coherent memory, of 4 KiB each.
const LOG2_HEADER_MAX: u32 = 10;
/// Smallest ring of pages: the longest packet takes three.
const LOG2_PAGES_MIN: u32 = 4;
/// Smallest completion ring.
const LOG2_COMPLETIONS_MIN: u32 = 6;

/// Entries of a queue's rings, as the user counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entries {
    /// Completions.
    pub(crate) completions: u32,
    /// Header cells.
    pub(crate) cells: u32,
    /// Re-assembly pages.
    pub(crate) pages: u32,
    /// Transmit descriptors.
    pub(crate) tx: u32,
}

impl Entries {
    /// The smallest rings.
    pub(crate) const MIN: Self = Self {
        completions: 1 << LOG2_COMPLETIONS_MIN,
        cells: CELLS_PER_BUFFER << LOG2_RING_MIN,
        pages: 1 << LOG2_PAGES_MIN,
        tx: 1 << LOG2_TX_MIN,
    };
    /// The largest rings.
    pub(crate) const MAX: Self = Self {
        completions: 1 << LOG2_RING_MAX,
        cells: CELLS_PER_BUFFER << LOG2_HEADER_MAX,
        pages: 1 << LOG2_RING_MAX,
        tx: 1 << LOG2_RING_MAX,
    };
}

/// Sizes of a queue's rings, as powers of two of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RingSizes {
    /// Completions.
    pub(crate) completions: u32,
    /// Header buffers.
    pub(crate) header: u32,
    /// Re-assembly pages.
    pub(crate) reasm: u32,
    /// Transmit descriptors.
    pub(crate) tx: u32,
}

/// The power of two that has room for `entries`, between `min` and the device's largest ring.
fn log2_of(entries: u32, min: u32) -> u32 {
    entries
        .max(1)
        .checked_next_power_of_two()
        .map_or(LOG2_RING_MAX, u32::ilog2)
        .clamp(min, LOG2_RING_MAX)
}

impl RingSizes {
    /// The sizes at probe.
    pub(crate) const DEFAULT: Self = Self {
        completions: 11,
        header: 6,
        reasm: 9,
        tx: 9,
    };

    /// Packet pages: most packets come in cells and re-assembly pages, and if not, the page that a
    /// packet takes is posted again at the end of the poll.
    pub(crate) fn packet(&self) -> u32 {
        self.completions.saturating_sub(3).max(LOG2_PAGES_MIN)
    }

    /// Small-packet buffers: a burst of small packets may take as many cells as headers do.
    pub(crate) fn small(&self) -> u32 {
        self.header
    }

    /// Entries of rings of these sizes.
    pub(crate) fn entries(&self) -> Entries {
        Entries {
            completions: 1 << self.completions,
            cells: CELLS_PER_BUFFER << self.header,
            pages: 1 << self.reasm,
            tx: 1 << self.tx,
        }
    }

    /// Rings with room for so many entries each, or the largest ones. `None` if that is less than
    /// the smallest ones have: they are refused, not rounded up, so that whoever looks for the
    /// smallest ring finds it.
    pub(crate) fn with_room_for(to: &Entries) -> Option<Self> {
        let min = Entries::MIN;
        let is_large_enough = to.completions >= min.completions
            && to.cells >= min.cells
            && to.pages >= min.pages
            && to.tx >= min.tx;
        let buffers = to.cells.div_ceil(CELLS_PER_BUFFER);
        is_large_enough.then(|| Self {
            completions: log2_of(to.completions, LOG2_COMPLETIONS_MIN),
            header: log2_of(buffers, LOG2_RING_MIN).min(LOG2_HEADER_MAX),
            reasm: log2_of(to.pages, LOG2_PAGES_MIN),
            tx: log2_of(to.tx, LOG2_TX_MIN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_entries_agree() {
        for to in [Entries::MIN, Entries::MAX, RingSizes::DEFAULT.entries()] {
            assert_eq!(RingSizes::with_room_for(&to).map(|s| s.entries()), Some(to));
        }
    }

    #[test]
    fn less_than_the_smallest_ring_is_refused() {
        for smaller in [
            Entries {
                completions: 63,
                ..Entries::MIN
            },
            Entries {
                cells: 127,
                ..Entries::MIN
            },
            Entries {
                pages: 15,
                ..Entries::MIN
            },
            Entries {
                tx: 63,
                ..Entries::MIN
            },
        ] {
            assert_eq!(RingSizes::with_room_for(&smaller), None);
        }
    }

    #[test]
    fn sizes_are_rounded_up_to_powers_of_two() {
        let odd = Entries {
            completions: 65,
            cells: 129,
            pages: 17,
            tx: 65,
        };
        let rounded = Entries {
            completions: 128,
            cells: 256,
            pages: 32,
            tx: 128,
        };
        assert_eq!(
            RingSizes::with_room_for(&odd).map(|s| s.entries()),
            Some(rounded)
        );
    }

    #[test]
    fn more_than_the_largest_ring_is_the_largest() {
        let most = Entries {
            completions: u32::MAX,
            cells: u32::MAX,
            pages: u32::MAX,
            tx: u32::MAX,
        };
        assert_eq!(
            RingSizes::with_room_for(&most).map(|s| s.entries()),
            Some(Entries::MAX)
        );
    }

    #[test]
    fn packet_pages_follow_completions() {
        let packet = |completions| {
            RingSizes {
                completions,
                ..RingSizes::DEFAULT
            }
            .packet()
        };
        assert_eq!(packet(0), LOG2_PAGES_MIN);
        assert_eq!(packet(LOG2_COMPLETIONS_MIN), LOG2_PAGES_MIN);
        assert_eq!(packet(11), 8);
    }
}
