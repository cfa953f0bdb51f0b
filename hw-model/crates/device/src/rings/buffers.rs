// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Buffers that the driver posted: whole ones, cells of them, and partly filled ones.

use crate::host::{Host, MemError};
use crate::rings::{check_ring, DescRing};
use reflow_hwdef::desc::{B1, BUF_DESC_SIZE};
use reflow_hwdef::regs::{BufCfg, QueueError, LOG2_BUF_MAX, LOG2_BUF_SMALL};

/// Smallest buffer and smallest cell, as powers of two.
const LOG2_BUF_MIN: u32 = 6;

/// A buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Buffer {
    /// Id that completions name it by.
    pub(crate) id: u16,
    /// Bus address.
    pub(crate) addr: u64,
    /// Bytes.
    pub(crate) size: usize,
}

/// A ring of buffers of one kind.
#[derive(Debug)]
pub(crate) struct BufferRing {
    ring: DescRing<2>,
    size: usize,
}

impl BufferRing {
    /// The ring that a queue's registers describe; `None` if they describe none.
    pub(crate) fn configure(base: u64, cfg: BufCfg) -> Result<Option<Self>, QueueError> {
        if cfg.log2_entries() == 0 {
            return Ok(None);
        }
        check_ring(base, cfg.log2_entries(), 16, BUF_DESC_SIZE)?;
        if !(LOG2_BUF_MIN..=LOG2_BUF_MAX).contains(&cfg.log2_size()) {
            return Err(QueueError::BadConfig);
        }
        Ok(Some(Self {
            ring: DescRing::new(base, cfg.log2_entries()),
            size: 1 << cfg.log2_size(),
        }))
    }

    /// Bytes of each buffer whose descriptor does not say otherwise.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of the smallest buffer that there may be.
    pub(crate) fn least(&self) -> usize {
        self.size.min(1 << LOG2_BUF_SMALL)
    }

    /// Bytes of the buffer that a descriptor is about.
    fn size_of(&self, w1: u64) -> usize {
        match B1(w1).log2_size() as u32 {
            log2 @ LOG2_BUF_SMALL..=LOG2_BUF_MAX => self.size.min(1 << log2),
            _ => self.size,
        }
    }

    /// Bytes of a buffer whose descriptor was read, counted from the next one.
    pub(crate) fn peek_size(&self, at: usize) -> Option<usize> {
        self.ring.peek(at).map(|[_, w1]| self.size_of(w1))
    }

    /// Most buffers that can be ready.
    pub(crate) fn entries(&self) -> usize {
        self.ring.entries()
    }

    /// Buffers that are ready.
    pub(crate) fn available(&self) -> usize {
        self.ring.available()
    }

    /// The driver's doorbell.
    pub(crate) fn set_tail(&mut self, raw: u32) -> Result<(), QueueError> {
        self.ring.set_tail(raw)
    }

    /// Reads descriptors until `count` buffers, or all available ones, can be taken.
    pub(crate) fn fetch(&mut self, host: &impl Host, count: usize) -> Result<(), MemError> {
        self.ring.fetch(host, count)
    }

    /// Takes a buffer.
    pub(crate) fn take(&mut self) -> Option<Buffer> {
        self.ring.pop().map(|[addr, w1]| Buffer {
            id: B1(w1).id() as u16,
            addr,
            size: self.size_of(w1),
        })
    }
}

/// A cell of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    /// Id of the buffer.
    pub(crate) id: u16,
    /// Where the cell starts in it.
    pub(crate) off: usize,
    /// Bus address of the cell.
    pub(crate) addr: u64,
    /// The buffer has no further cell: the device is done with it.
    pub(crate) last: bool,
}

/// A ring of buffers that are used cell by cell.
#[derive(Debug)]
pub(crate) struct CellRing {
    /// The buffers.
    pub(crate) ring: BufferRing,
    cell: usize,
    current: Option<(Buffer, usize)>,
}

impl CellRing {
    /// The ring that a queue's registers describe; `None` if they describe none.
    pub(crate) fn configure(base: u64, cfg: BufCfg) -> Result<Option<Self>, QueueError> {
        let Some(ring) = BufferRing::configure(base, cfg)? else {
            return Ok(None);
        };
        if !(LOG2_BUF_MIN..=cfg.log2_size()).contains(&cfg.log2_cell()) {
            return Err(QueueError::BadConfig);
        }
        Ok(Some(Self {
            ring,
            cell: 1 << cfg.log2_cell(),
            current: None,
        }))
    }

    /// Bytes of a cell.
    pub(crate) fn cell(&self) -> usize {
        self.cell
    }

    /// Whether a cell can be taken after a fetch.
    pub(crate) fn has_cell(&self) -> bool {
        self.current.is_some() || self.ring.available() > 0
    }

    /// Reads a descriptor if a cell needs it.
    pub(crate) fn fetch(&mut self, host: &impl Host) -> Result<(), MemError> {
        if self.current.is_none() {
            self.ring.fetch(host, 1)?;
        }
        Ok(())
    }

    /// Takes a cell.
    pub(crate) fn take(&mut self) -> Option<Cell> {
        let (buffer, off) = match self.current.take() {
            Some(current) => current,
            None => (self.ring.take()?, 0),
        };
        let next = off + self.cell;
        let last = next >= self.ring.size();
        if !last {
            self.current = Some((buffer, next));
        }
        Some(Cell {
            id: buffer.id,
            off,
            addr: buffer.addr.wrapping_add(off as u64),
            last,
        })
    }
}

/// A re-assembly buffer that is partly filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The buffer.
    pub(crate) buffer: Buffer,
    /// Bytes used so far.
    pub(crate) used: usize,
}

/// A run of data in one re-assembly buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// The buffer.
    pub(crate) buffer: Buffer,
    /// Where the data starts in it.
    pub(crate) off: usize,
    /// Bytes of data.
    pub(crate) len: usize,
    /// The device is done with the buffer.
    pub(crate) last: bool,
}

/// Whether one completion can name these pieces: those that have only an id there are as large as the
/// first.
pub(crate) fn is_run(pieces: &[Piece]) -> bool {
    match pieces {
        [first, between @ .., _] => between
            .iter()
            .all(|piece| piece.buffer.size == first.buffer.size),
        _ => true,
    }
}

/// The number of fresh buffers of `size` bytes and of pieces that data takes, behind a partly filled
/// buffer.
///
/// At the offsets in `starts`, which are in order, it goes on in a fresh buffer.
pub(crate) fn needed(
    place: Option<Place>,
    size: usize,
    len: usize,
    starts: &[u16],
) -> (usize, usize) {
    let mut left = place.map_or(0, |place| place.buffer.size.saturating_sub(place.used));
    let (mut at, mut fresh, mut pieces) = (0, 0, 0);
    for end in starts.iter().map(|&start| usize::from(start)).chain([len]) {
        let here = left.min(end - at);
        let beyond = end - at - here;
        let buffers = beyond.div_ceil(size);
        fresh += buffers;
        pieces += buffers + usize::from(here != 0);
        left = if buffers == 0 {
            left - here
        } else {
            buffers * size - beyond
        };
        if end < len {
            left = 0;
        }
        at = end;
    }
    (fresh, pieces)
}

/// Lays out data behind a partly filled buffer, without gaps except at `starts`; the buffers were
/// fetched before.
pub(crate) fn lay_out(
    place: &mut Option<Place>,
    ring: &mut BufferRing,
    len: usize,
    starts: &[u16],
    pieces: &mut Vec<Piece>,
) {
    pieces.clear();
    let mut starts = starts.iter().map(|&start| usize::from(start)).peekable();
    let mut at = 0;
    while at < len {
        if starts.next_if_eq(&at).is_some() && place.take().is_some() {
            if let Some(piece) = pieces.last_mut() {
                piece.last = true;
            }
        }
        let end = starts.peek().map_or(len, |&start| start.min(len));
        let current = match place.take() {
            Some(place) => place,
            None => match ring.take() {
                Some(buffer) => Place { buffer, used: 0 },
                None => return,
            },
        };
        let n = (end - at).min(current.buffer.size - current.used);
        let used = current.used + n;
        let last = used == current.buffer.size;
        pieces.push(Piece {
            buffer: current.buffer,
            off: current.used,
            len: n,
            last,
        });
        if !last {
            *place = Some(Place { used, ..current });
        }
        at += n;
    }
}
