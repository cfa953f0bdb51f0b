// SPDX-License-Identifier: GPL-2.0

//! How the queues are made: what the user's settings decide, and what the device allows.

use crate::{
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
    sizes::{
        Entries,
        RingSizes, //
    }, //
};
use kernel::prelude::*;

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
            rings: RingSizes::DEFAULT,
            xdp: false,
        }
    }
}

// `with_rings` names them to the user.
const _: () = assert!(
    Entries::MIN.completions == 64
        && Entries::MIN.cells == 128
        && Entries::MIN.pages == 16
        && Entries::MIN.tx == 64
);

impl From<Entries> for Rings {
    fn from(entries: Entries) -> Self {
        Self {
            rx: entries.completions,
            rx_mini: entries.cells,
            rx_jumbo: entries.pages,
            tx: entries.tx,
        }
    }
}

impl PlanRings for Setup {
    fn rings(&self) -> Rings {
        self.rings.entries().into()
    }

    fn max_rings(&self) -> Rings {
        Entries::MAX.into()
    }

    fn with_rings(&self, to: &Rings) -> Result<Self, Refused> {
        let to = Entries {
            completions: to.rx,
            cells: to.rx_mini,
            pages: to.rx_jumbo,
            tx: to.tx,
        };
        let rings = RingSizes::with_room_for(&to).ok_or(Refused::new(
            EINVAL,
            c"too small: the smallest rings are rx 64, rx-mini 128, rx-jumbo 16 and tx 64",
        ))?;
        Ok(Self {
            rings,
            ..self.clone()
        })
    }
}

impl PlanChannels for Setup {
    fn max_channels(&self) -> u32 {
        self.max_queues
    }

    fn with_channels(&self, queues: u32) -> Result<Self, Refused> {
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
