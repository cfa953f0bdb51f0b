// SPDX-License-Identifier: GPL-2.0

//! Setup of the queues of a device: number of queues, sizes of rings, MTU.
//!
//! Wraps nothing of C. Values are plain data, changed with the instance lock held.
//!
//! ```
//! /// Four of eight queue pairs, with rings of 512 descriptors; the user may set 256 to 4096.
//! fn setup() -> Sizes {
//!     Sizes::new(4, 8, 9, 8, 12)
//! }
//! ```

use crate::net::{
    bindings,
    device::{
        Setup,
        ETH_HLEN,
        VLAN_HLEN, //
    },
    ethtool::{
        PlanChannels,
        PlanRings,
        Rings, //
    },
    extack::Refused, //
};
use kernel::prelude::*;

/// A setup of queue pairs with one ring for each direction.
#[derive(Clone)]
pub(crate) struct Sizes {
    queues: u32,
    max_queues: u32,
    log2_rx: u32,
    log2_tx: u32,
    log2_min: u32,
    log2_max: u32,
    mtu: u32,
}

impl Sizes {
    /// The initial setup: `queues` of at most `max_queues`, rings of `2^log2` descriptors. The user
    /// may set powers of two from `2^log2_min` to `2^log2_max`.
    pub(crate) fn new(
        queues: u32,
        max_queues: u32,
        log2: u32,
        log2_min: u32,
        log2_max: u32,
    ) -> Self {
        Self {
            queues,
            max_queues,
            log2_rx: log2,
            log2_tx: log2,
            log2_min,
            log2_max,
            mtu: 1500,
        }
    }

    /// Receive descriptors, as a power of two.
    pub(crate) fn log2_rx(&self) -> u32 {
        self.log2_rx
    }

    /// Transmit descriptors, as a power of two.
    pub(crate) fn log2_tx(&self) -> u32 {
        self.log2_tx
    }

    /// Bytes of the longest frame, with two VLAN tags and without FCS.
    pub(crate) fn max_frame(&self) -> u32 {
        self.mtu + ETH_HLEN + 2 * VLAN_HLEN
    }

    /// As [`Self::max_frame`], with FCS.
    pub(crate) fn max_frame_on_wire(&self) -> u32 {
        self.max_frame() + bindings::ETH_FCS_LEN
    }

    /// The power of two that has room for `entries`.
    fn log2_of(&self, entries: u32) -> Result<u32, Refused> {
        match entries.checked_next_power_of_two().map(u32::ilog2) {
            Some(log2) if (self.log2_min..=self.log2_max).contains(&log2) => Ok(log2),
            _ => Err(Refused::new(
                EINVAL,
                c"the device has no rings of this size",
            )),
        }
    }
}

impl PlanRings for Sizes {
    fn rings(&self) -> Rings {
        Rings {
            rx: 1 << self.log2_rx,
            tx: 1 << self.log2_tx,
            ..Rings::default()
        }
    }

    fn max_rings(&self) -> Rings {
        Rings {
            rx: 1 << self.log2_max,
            tx: 1 << self.log2_max,
            ..Rings::default()
        }
    }

    fn with_rings(&self, to: &Rings) -> Result<Self, Refused> {
        Ok(Self {
            log2_rx: self.log2_of(to.rx)?,
            log2_tx: self.log2_of(to.tx)?,
            ..self.clone()
        })
    }
}

impl PlanChannels for Sizes {
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

impl Setup for Sizes {
    fn queues(&self) -> u32 {
        self.queues
    }

    fn with_mtu(&self, mtu: u32) -> Option<Self> {
        Some(Self {
            mtu,
            ..self.clone()
        })
    }
}
