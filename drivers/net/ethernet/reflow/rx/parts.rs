// SPDX-License-Identifier: GPL-2.0

//! What a receive queue is made from, and settings that change while it runs.

use crate::{
    counters,
    mmio::Mmio,
    net::{
        device::Device,
        dma::DmaDevice,
        xdp::Holder, //
    },
    sizes::RingSizes,
    tcb::Tcbs, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// What user settings change while packets flow.
pub(crate) struct Settings {
    /// Believe the device's checksums.
    pub(crate) csum: Atomic<bool>,
    /// Pass the device's hash on.
    pub(crate) hash: Atomic<bool>,
    /// Have each allocation of a page fail, to see what becomes of it.
    pub(crate) fail_pages: Atomic<bool>,
}

/// What of a completion the stack is told, by user settings.
#[derive(Clone, Copy, Default)]
pub(super) struct Offer {
    pub(super) csum: bool,
    pub(super) hash: bool,
}

impl Settings {
    pub(super) fn offer(&self) -> Offer {
        Offer {
            csum: self.csum.load(Relaxed),
            hash: self.hash.load(Relaxed),
        }
    }
}

/// What a receiver is made from.
pub(crate) struct Parts<'a, 'bound> {
    /// The bus device.
    pub(crate) dev: &'a device::Device<Bound>,
    /// The same, for mappings.
    pub(crate) dma: &'a DmaDevice<'bound>,
    /// The network device.
    pub(crate) netdev: &'a Device,
    /// Registers.
    pub(crate) mmio: &'a Arc<Mmio<'bound>>,
    /// Number of the queue.
    pub(crate) queue: u16,
    /// Sizes of its rings.
    pub(crate) rings: RingSizes,
    /// Size of the device's flow database.
    pub(crate) flows: usize,
    /// User settings.
    pub(crate) settings: &'a Arc<Settings>,
    /// Counters of the queue.
    pub(crate) counters: &'a Arc<counters::Queue>,
    /// The XDP program.
    pub(crate) xdp: &'a Arc<Holder>,
    /// Control blocks of the device.
    pub(crate) tcbs: &'a Arc<Tcbs>,
}
