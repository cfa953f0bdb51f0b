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

/// Smallest buffers for payload, as a power of two of bytes: pages, which a reader can map.
const LOG2_PAYLOAD_MIN: u32 = BUF_SIZE.ilog2();
/// Most bytes of a queue's buffers for payload, as a power of two.
const LOG2_PAYLOAD_BYTES: u32 = LOG2_RING_MAX + LOG2_PAYLOAD_MIN;

/// Smallest transmit ring, as a power of two: a queue that was stopped is started before the ring
/// is empty.
pub(crate) const LOG2_TX_MIN: u32 = 6;
/// Most header buffers, as a power of two: they are coherent memory, of 4 KiB each.
const LOG2_HEADER_MAX: u32 = 10;
/// Smallest ring of pages: the longest packet takes three.
const LOG2_PAGES_MIN: u32 = 4;
/// Smallest completion ring.
const LOG2_COMPLETIONS_MIN: u32 = 6;

/// Entries of a queue's rings, as the user counts them, and the size of buffers for payload.
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
    /// Bytes of a re-assembly page.
    pub(crate) page: u32,
}

impl Entries {
    /// The smallest rings.
    pub(crate) const MIN: Self = Self {
        completions: 1 << LOG2_COMPLETIONS_MIN,
        cells: CELLS_PER_BUFFER << LOG2_RING_MIN,
        pages: 1 << LOG2_PAGES_MIN,
        tx: 1 << LOG2_TX_MIN,
        page: 1 << LOG2_PAYLOAD_MIN,
    };
    /// The largest rings. With larger pages there are fewer of them.
    pub(crate) const MAX: Self = Self {
        completions: 1 << LOG2_RING_MAX,
        cells: CELLS_PER_BUFFER << LOG2_HEADER_MAX,
        pages: 1 << LOG2_RING_MAX,
        tx: 1 << LOG2_RING_MAX,
        page: 1 << LOG2_PAYLOAD_MIN,
    };
}

/// Why there are no rings with so many entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// There are fewer than the smallest ring has.
    TooSmall,
    /// Re-assembly pages of this size there are none.
    NoSuchPage,
    /// So many pages of this size are more memory than a queue may have.
    TooMuchMemory,
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
    /// Bytes of a re-assembly page.
    pub(crate) page: u32,
}

/// The power of two that has room for `entries`, between `min` and the device's largest ring.
fn log2_of(entries: u32, min: u32) -> u32 {
    entries
        .max(1)
        .checked_next_power_of_two()
        .map_or(LOG2_RING_MAX, u32::ilog2)
        .clamp(min, LOG2_RING_MAX)
}

/// Bytes of re-assembly pages if the user does not choose: with so many of them the largest that
/// there may be, which are cheapest to copy from, or pages of the kernel if readers want to map
/// them.
pub(crate) fn usual_page(pages: u32, mapped: bool) -> u32 {
    let most = match mapped {
        true => LOG2_PAYLOAD_MIN,
        false => LOG2_PAYLOAD_BYTES - log2_of(pages, LOG2_PAGES_MIN),
    };
    1 << most.min(LOG2_BUF_MAX)
}

impl RingSizes {
    /// The sizes at probe.
    pub(crate) const DEFAULT: Self = Self {
        completions: 11,
        header: 6,
        reasm: 9,
        tx: 9,
        page: LOG2_BUF_MAX,
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
            page: 1 << self.page,
        }
    }

    /// The largest rings with pages of this size.
    pub(crate) fn max_entries(&self) -> Entries {
        Entries {
            pages: 1 << (LOG2_PAYLOAD_BYTES - self.page),
            page: 1 << self.page,
            ..Entries::MAX
        }
    }

    /// Rings with room for so many entries each, or the largest ones.
    ///
    /// # Errors
    ///
    /// [`Refused`]. Less than the smallest rings have is refused, not rounded up, so that whoever
    /// looks for the smallest ring finds it.
    pub(crate) fn with_room_for(to: &Entries) -> Result<Self, Refused> {
        let min = Entries::MIN;
        let is_large_enough = to.completions >= min.completions
            && to.cells >= min.cells
            && to.pages >= min.pages
            && to.tx >= min.tx;
        if !is_large_enough {
            return Err(Refused::TooSmall);
        }
        let page = to.page.checked_ilog2().unwrap_or(0);
        if !to.page.is_power_of_two() || !(LOG2_PAYLOAD_MIN..=LOG2_BUF_MAX).contains(&page) {
            return Err(Refused::NoSuchPage);
        }
        let reasm = log2_of(to.pages, LOG2_PAGES_MIN);
        if reasm + page > LOG2_PAYLOAD_BYTES {
            return Err(Refused::TooMuchMemory);
        }
        let buffers = to.cells.div_ceil(CELLS_PER_BUFFER);
        Ok(Self {
            completions: log2_of(to.completions, LOG2_COMPLETIONS_MIN),
            header: log2_of(buffers, LOG2_RING_MIN).min(LOG2_HEADER_MAX),
            reasm,
            tx: log2_of(to.tx, LOG2_TX_MIN),
            page,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_entries_agree() {
        for to in [Entries::MIN, Entries::MAX, RingSizes::DEFAULT.entries()] {
            assert_eq!(RingSizes::with_room_for(&to).map(|s| s.entries()), Ok(to));
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
            assert_eq!(RingSizes::with_room_for(&smaller), Err(Refused::TooSmall));
        }
    }

    #[test]
    fn sizes_are_rounded_up_to_powers_of_two() {
        let odd = Entries {
            completions: 65,
            cells: 129,
            pages: 17,
            tx: 65,
            page: 8192,
        };
        let rounded = Entries {
            completions: 128,
            cells: 256,
            pages: 32,
            tx: 128,
            page: 8192,
        };
        assert_eq!(
            RingSizes::with_room_for(&odd).map(|s| s.entries()),
            Ok(rounded)
        );
    }

    #[test]
    fn more_than_the_largest_ring_is_the_largest() {
        let most = Entries {
            completions: u32::MAX,
            cells: u32::MAX,
            pages: u32::MAX,
            tx: u32::MAX,
            ..Entries::MIN
        };
        assert_eq!(
            RingSizes::with_room_for(&most).map(|s| s.entries()),
            Ok(Entries::MAX)
        );
    }

    #[test]
    fn pages_are_powers_of_two_up_to_the_largest_buffer() {
        let with = |page| {
            RingSizes::with_room_for(&Entries {
                page,
                ..Entries::MIN
            })
            .map(|sizes| 1 << sizes.page)
        };
        for page in [4096, 8192, 16384] {
            assert_eq!(with(page), Ok(page));
        }
        for page in [0, 1, 2048, 4095, 6144, 16385, 32768, u32::MAX] {
            assert_eq!(with(page), Err(Refused::NoSuchPage), "{page}");
        }
    }

    #[test]
    fn usual_pages_are_large_unless_there_are_many_or_they_are_mapped() {
        for (pages, page) in [
            (0, 16384),
            (2048, 16384),
            (2049, 8192),
            (8192, 4096),
            (9999, 4096),
        ] {
            assert_eq!(usual_page(pages, false), page, "{pages}");
            assert_eq!(usual_page(pages, true), 4096, "{pages}");
        }
        let default = RingSizes::DEFAULT.entries();
        assert_eq!(usual_page(default.pages, false), default.page);
    }

    #[test]
    fn larger_pages_are_fewer() {
        let largest = RingSizes::DEFAULT.max_entries();
        assert_eq!(largest.pages * largest.page, Entries::MAX.pages * BUF_SIZE);
        assert!(RingSizes::with_room_for(&largest).is_ok());
        let more = Entries {
            pages: largest.pages + 1,
            ..largest
        };
        assert_eq!(RingSizes::with_room_for(&more), Err(Refused::TooMuchMemory));
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
