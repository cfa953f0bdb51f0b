// SPDX-License-Identifier: GPL-2.0

//! How the queues are made: what the user's settings decide, and what the device allows.

use crate::{
    hw::regs::{
        LOG2_RING_MAX,
        LOG2_RING_MIN, //
    },
    net::{
        device,
        ethtool::{
            PlanChannels,
            PlanRings,
            Rings, //
        },
        extack::Refused,
        xdp, //
    },
    rx::CELLS_PER_BUFFER,
    tx, //
};
use kernel::prelude::*;

/// Sizes of a queue's rings, as powers of two of entries.
#[derive(Clone, Copy)]
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

impl RingSizes {
    /// Packet pages: most packets come in cells and re-assembly pages, and if not, the page that a
    /// packet takes is posted again at the end of the poll.
    pub(crate) fn packet(&self) -> u32 {
        self.completions.saturating_sub(3).max(LOG2_PAGES_MIN)
    }

    /// Small-packet buffers: a burst of small packets may take as many cells as headers do.
    pub(crate) fn small(&self) -> u32 {
        self.header
    }
}

/// How the queues are made.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Queue pairs.
    pub(crate) queues: u32,
    /// Most queue pairs: as many as there are counters and interrupts for.
    pub(crate) max_queues: u32,
    /// Rings of each queue.
    pub(crate) rings: RingSizes,
    /// An XDP program sees packets first.
    pub(crate) xdp: bool,
}

impl Setup {
    /// The setup at probe.
    pub(crate) fn new(queues: u32, max_queues: u32) -> Self {
        Self {
            queues,
            max_queues,
            rings: RingSizes {
                completions: 11,
                header: 6,
                reasm: 9,
                tx: 9,
            },
            xdp: false,
        }
    }
}

/// Smallest transmit ring.
const LOG2_TX_MIN: u32 = tx::RING_MIN.ilog2();
/// Most header buffers, as a power of two: they are coherent memory, of 4 KiB each.
const LOG2_HEADER_MAX: u32 = 10;
/// Smallest ring of pages: the longest packet takes three.
const LOG2_PAGES_MIN: u32 = 4;
/// Smallest completion ring.
const LOG2_COMPLETIONS_MIN: u32 = 6;

// What `with_rings` tells the user.
const _: () = assert!(
    1 << LOG2_COMPLETIONS_MIN == 64
        && CELLS_PER_BUFFER << LOG2_RING_MIN == 128
        && 1 << LOG2_PAGES_MIN == 16
        && 1 << LOG2_TX_MIN == 64
);

/// The power of two that has room for `entries`, between `min` and the device's largest ring.
fn log2_of(entries: u32, min: u32) -> u32 {
    entries
        .max(1)
        .checked_next_power_of_two()
        .map_or(LOG2_RING_MAX, u32::ilog2)
        .clamp(min, LOG2_RING_MAX)
}

impl PlanRings for Setup {
    fn rings(&self) -> Rings {
        Rings {
            rx: 1 << self.rings.completions,
            rx_mini: CELLS_PER_BUFFER << self.rings.header,
            rx_jumbo: 1 << self.rings.reasm,
            tx: 1 << self.rings.tx,
        }
    }

    fn max_rings(&self) -> Rings {
        Rings {
            rx: 1 << LOG2_RING_MAX,
            rx_mini: CELLS_PER_BUFFER << LOG2_HEADER_MAX,
            rx_jumbo: 1 << LOG2_RING_MAX,
            tx: 1 << LOG2_RING_MAX,
        }
    }

    fn with_rings(&self, to: &Rings) -> Result<Self, Refused> {
        // Refused, not rounded up: whoever looks for the smallest ring wants to know when it is
        // there.
        if to.rx < 1 << LOG2_COMPLETIONS_MIN
            || to.rx_mini < CELLS_PER_BUFFER << LOG2_RING_MIN
            || to.rx_jumbo < 1 << LOG2_PAGES_MIN
            || to.tx < 1 << LOG2_TX_MIN
        {
            return Err(Refused::new(
                EINVAL,
                c"too small: the smallest rings are rx 64, rx-mini 128, rx-jumbo 16 and tx 64",
            ));
        }
        let header = to.rx_mini.div_ceil(CELLS_PER_BUFFER);
        Ok(Self {
            rings: RingSizes {
                completions: log2_of(to.rx, LOG2_COMPLETIONS_MIN),
                header: log2_of(header, LOG2_RING_MIN).min(LOG2_HEADER_MAX),
                reasm: log2_of(to.rx_jumbo, LOG2_PAGES_MIN),
                tx: log2_of(to.tx, LOG2_TX_MIN),
            },
            ..self.clone()
        })
    }
}

impl PlanChannels for Setup {
    fn max_channels(&self) -> u32 {
        self.max_queues
    }

    fn with_channels(&self, queues: u32) -> Result<Self, Refused> {
        if queues == 0 || queues > self.max_queues {
            return Err(Refused::new(EINVAL, c"the device has not so many queues"));
        }
        Ok(Self {
            queues,
            ..self.clone()
        })
    }
}

impl xdp::Plan for Setup {
    fn with_xdp(&self, on: bool) -> Result<Self, Refused> {
        Ok(Self {
            xdp: on,
            ..self.clone()
        })
    }
}

impl device::Setup for Setup {
    fn queues(&self) -> u32 {
        self.queues
    }
}
