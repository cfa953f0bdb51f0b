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
        self,
        usual_page,
        Entries,
        RingSizes,
        PAYLOAD_MAX, //
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
    /// Size of re-assembly pages, if the user chose it.
    page: Option<u32>,
    /// The user has header split on.
    split_on: bool,
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
            page: None,
            split_on: false,
            xdp: false,
        }
    }
}

// `text` names them to the user.
const _: () = assert!(
    Entries::MIN.completions == 64
        && Entries::MIN.cells == 128
        && Entries::MIN.pages == 16
        && Entries::MIN.tx == 64
        && Entries::MIN.page == 4096
        && PAYLOAD_MAX == 16384
        && Entries::MAX.pages * Entries::MAX.page == 32 << 20
);

/// Tells the user why there are no such rings.
fn text(why: sizes::Refused) -> &'static CStr {
    match why {
        sizes::Refused::TooSmall => {
            c"too small: the smallest rings are rx 64, rx-mini 128, rx-jumbo 16 and tx 64"
        }
        sizes::Refused::NoSuchPage => c"rx-buf-len is 4096, 8192 or 16384",
        sizes::Refused::TooMuchMemory => c"rx-jumbo times rx-buf-len is at most 32 MiB",
    }
}

impl From<Entries> for Rings {
    fn from(entries: Entries) -> Self {
        Self {
            rx: entries.completions,
            rx_mini: entries.cells,
            rx_jumbo: entries.pages,
            tx: entries.tx,
            rx_buf_len: entries.page,
            split_on: false,
        }
    }
}

impl PlanRings for Setup {
    fn rings(&self) -> Rings {
        Rings {
            split_on: self.split_on,
            ..self.rings.entries().into()
        }
    }

    fn max_rings(&self) -> Rings {
        match self.page {
            Some(_) => self.rings.max_entries().into(),
            None => Entries::MAX.into(),
        }
    }

    fn with_rings(&self, to: &Rings) -> Result<Self, Refused> {
        let split_on = to.split_on;
        let usual = usual_page(to.rx_jumbo, split_on);
        // Whoever says nothing of it has what is usual, and so has who asks for that.
        let page = match to.rx_buf_len {
            same if same == self.rings().rx_buf_len => self.page,
            other => Some(other).filter(|&page| page != usual),
        };
        let to = Entries {
            completions: to.rx,
            cells: to.rx_mini,
            pages: to.rx_jumbo,
            tx: to.tx,
            page: page.unwrap_or(usual),
        };
        let rings = RingSizes::with_room_for(&to).map_err(|why| Refused::new(EINVAL, text(why)))?;
        Ok(Self {
            rings,
            page,
            split_on,
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
