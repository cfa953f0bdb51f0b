// SPDX-License-Identifier: GPL-2.0

//! The order in which the device uses what it was given.
//!
//! Cells and buffers are used in the order in which they were posted, and a page from its beginning
//! to its end without a gap, for one flow. So every place is due once, and a completion that names
//! another one is wrong: it names what another packet has, or what nobody has written yet. Such a
//! packet is dropped, and what it names stays as it is.
//!
//! After a completion that is wrong or never came the device goes on behind it. Two things bring
//! both together again: a place may be ahead of what is due by as many as were refused before, and
//! two completions that follow each other are believed, wherever they are. Pure: compiled in the
//! module and in the host's tests.

use crate::{
    hw::desc::FLOW_NONE,
    sizes::{
        BUF_SIZE,
        CELL_SIZE, //
    }, //
};

/// Cells of a buffer, as a power of two.
const LOG2_CELLS: u32 = CELLS.ilog2();
/// Cells of a buffer.
const CELLS: u32 = BUF_SIZE / CELL_SIZE;
/// Places that are skipped at most without a second completion that agrees.
const SKIP_MAX: u32 = 16;

/// Decides whether to accept a place ahead of the one that is due.
#[derive(Clone, Copy, Default, Debug)]
struct Doubt {
    /// How many places completions may have stood for that were not believed.
    refused: u32,
    /// Behind the place that was refused last.
    next: Option<u32>,
}

impl Doubt {
    /// Whether place `at` is believed, `ahead` of the one that is due, in a ring of `len` places.
    #[inline]
    fn believe(&mut self, at: u32, ahead: u32, len: u32) -> bool {
        // More than half a round ahead means behind.
        if ahead <= self.refused || (self.next == Some(at) && ahead < len / 2) {
            *self = Self::default();
            return true;
        }
        self.refuse();
        self.next = Some(at.wrapping_add(1));
        false
    }

    /// Something was not believed that may have stood for a place.
    fn refuse(&mut self) {
        self.refused = SKIP_MAX.min(self.refused + 1);
    }
}

/// The cells of a ring whose buffers are posted again, in order, as soon as they are used up.
pub(crate) struct CellOrder {
    /// The cell that is due; counts on.
    due: u32,
    log2: u32,
    /// Number of the last cell.
    mask: u32,
    doubt: Doubt,
}

impl CellOrder {
    /// The order of `2^log2` buffers, none of them used.
    pub(crate) fn new(log2: u32) -> Self {
        Self {
            due: 0,
            log2,
            mask: (1 << (log2 + LOG2_CELLS)) - 1,
            doubt: Doubt::default(),
        }
    }

    /// Claims a cell if it is the one that is due, and nothing was refused before: nearly always.
    #[inline(always)]
    pub(crate) fn claim_due(&mut self, (id, off): (u16, u16), last: bool, unrung: u16) -> bool {
        // Where they are in the memory of all cells; no sum of 16-bit numbers overflows.
        let at = (u32::from(id) << BUF_SIZE.ilog2()) + u32::from(off);
        let is_due = at == (self.due & self.mask) << CELL_SIZE.ilog2()
            && last == (self.due % CELLS == CELLS - 1)
            && u32::from(unrung) << LOG2_CELLS <= self.mask
            && self.doubt.refused == 0;
        if is_due {
            self.due = self.due.wrapping_add(1);
        }
        is_due
    }

    /// Claims a cell. Returns the first buffer that is used up with it, and how many are; `None` if
    /// the cell is not to be believed. The device has not heard of the `unrung` buffers that were
    /// posted last.
    #[inline]
    pub(crate) fn claim(
        &mut self,
        (id, off): (u16, u16),
        last: bool,
        unrung: u16,
    ) -> Option<(u16, u32)> {
        let mask = self.mask;
        let cell = (u32::from(id) << LOG2_CELLS) + u32::from(off) / CELL_SIZE;
        let is_last = u32::from(off) + CELL_SIZE == BUF_SIZE;
        if cell > mask || u32::from(off) % CELL_SIZE != 0 || last != is_last {
            self.refuse();
            return None;
        }
        let ahead = cell.wrapping_sub(self.due) & mask;
        let at = self.due.wrapping_add(ahead);
        let begun = self.due & ((1 << LOG2_CELLS) - 1);
        if begun + ahead + (u32::from(unrung) << LOG2_CELLS) > mask {
            self.refuse();
            return None;
        }
        if !self.doubt.believe(at, ahead, mask + 1) {
            return None;
        }
        let first = (self.due & mask) >> LOG2_CELLS;
        let cells = begun + ahead + 1;
        self.due = at.wrapping_add(1);
        Some((first as u16, cells >> LOG2_CELLS))
    }

    /// A completion was not believed that may have had a cell.
    #[cold]
    pub(crate) fn refuse(&mut self) {
        self.doubt.refuse();
    }

    /// The buffer behind `id`.
    #[inline]
    pub(crate) fn after(&self, id: u16) -> u16 {
        id.wrapping_add(1) & ((1_u16 << self.log2) - 1)
    }
}

/// The buffers that were posted and that no completion has named, by a table of ids.
#[derive(Default)]
pub(crate) struct PageOrder {
    head: u32,
    tail: u32,
    doubt: Doubt,
}

fn slot(ids: &[u16], at: u32) -> usize {
    at as usize & ids.len().wrapping_sub(1)
}

impl PageOrder {
    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Takes note of a buffer that was posted. The table has a power of two of places, one free.
    #[inline]
    pub(crate) fn push(&mut self, ids: &mut [u16], id: u16) {
        let at = slot(ids, self.tail);
        if let Some(place) = ids.get_mut(at) {
            *place = id;
            self.tail = self.tail.wrapping_add(1);
        }
    }

    /// Takes the oldest out.
    #[inline]
    pub(crate) fn pop(&mut self, ids: &[u16]) -> Option<u16> {
        if self.len() == 0 {
            return None;
        }
        let id = ids.get(slot(ids, self.head)).copied();
        self.head = self.head.wrapping_add(1);
        id
    }

    /// Takes a buffer out if it is the one that is due, and nothing was refused before: nearly
    /// always.
    #[inline(always)]
    pub(crate) fn claim_due(&mut self, ids: &[u16], id: u16, unrung: u16) -> bool {
        let is_due = ids.get(slot(ids, self.head)) == Some(&id)
            && self.len() > unrung.into()
            && self.doubt.refused == 0;
        self.head = self.head.wrapping_add(is_due.into());
        is_due
    }

    /// Whether a buffer is believed to be the next that the device has begun. If so, the result is
    /// how many before it are to be taken out first: the device has begun them, too, and nobody
    /// heard of it. It has not heard of the `unrung` ones that were posted last.
    #[inline]
    pub(crate) fn claim(&mut self, ids: &[u16], id: u16, unrung: u16) -> Option<u32> {
        let at = |ahead: u32| ids.get(slot(ids, self.head.wrapping_add(ahead))).copied();
        let rung = self.len().saturating_sub(unrung.into());
        let found = (0..rung).find(|&ahead| at(ahead) == Some(id));
        let Some(ahead) = found else {
            self.refuse();
            return None;
        };
        let at = self.head.wrapping_add(ahead);
        // All of these are ahead.
        let believed = self.doubt.believe(at, ahead, u32::MAX);
        believed.then_some(ahead)
    }

    /// A completion was not believed that may have begun a buffer.
    #[cold]
    pub(crate) fn refuse(&mut self) {
        self.doubt.refuse();
    }
}

/// How far a page is filled, and with whose data: an aggregate's flow, or that of all packets
/// outside any aggregate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fill {
    /// Where its next data begin.
    due: u16,
    /// Behind the data that were refused last.
    next: u16,
    owner: u16,
}

/// No offset in a page.
const NOWHERE: u16 = u16::MAX;
/// Whoever claims the page first. No flow has this number, and [`FLOW_NONE`] is another.
const ANYBODY: u16 = FLOW_NONE - 1;

/// Why data in a page are not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// They are not where the owner's next data are: something was lost in between.
    Gap,
    /// The page is another's, who has lost these data if they are his.
    Owner(u16),
}

impl Fill {
    /// Nothing is in the page.
    pub(crate) const EMPTY: Self = Self {
        due: 0,
        next: NOWHERE,
        owner: ANYBODY,
    };

    /// The device has begun to fill the page, nobody knows how far.
    pub(crate) const UNKNOWN: Self = Self {
        due: NOWHERE,
        next: NOWHERE,
        owner: ANYBODY,
    };

    /// Claims `len` bytes at `off`, inside the page, for `owner`.
    ///
    /// # Errors
    ///
    /// [`Refused`] if they are not to be believed.
    #[inline(always)]
    pub(crate) fn claim(&mut self, owner: u16, off: u16, len: u16) -> Result<(), Refused> {
        if self.owner != owner {
            if self.owner != ANYBODY {
                return Err(Refused::Owner(self.owner));
            }
            self.owner = owner;
        }
        let ahead = self.due == NOWHERE || off > self.due;
        if off == self.due || (off == self.next && ahead) {
            self.due = off + len;
            self.next = NOWHERE;
            Ok(())
        } else {
            self.next = off + len;
            Err(Refused::Gap)
        }
    }
}

/// When the device is told of pages: `new` of the `posted` ones it has not heard of.
///
/// It must have what the longest packet takes, `need`, or both sides would wait for each other; and
/// what could be had when memory is short.
#[inline]
pub(crate) fn is_doorbell_due(new: u16, posted: u32, batch: u16, need: u32, lacking: bool) -> bool {
    new >= batch || (new != 0 && (lacking || posted < need + u32::from(new)))
}

#[cfg(test)]
#[path = "order/tests.rs"]
mod tests;
