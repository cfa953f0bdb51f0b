// SPDX-License-Identifier: GPL-2.0

//! Arguments for making a receive queue, and settings that change while it runs.

use crate::{
    clock::Stamps,
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

/// Settings that change while packets flow.
pub(crate) struct Settings {
    /// Pass the result of the checksum test on.
    pub(crate) csum: Atomic<bool>,
    /// Pass the device's hash on.
    pub(crate) hash: Atomic<bool>,
    /// Make each allocation of a page fail, for tests.
    pub(crate) fail_pages: Atomic<bool>,
    /// Pass the time of the device's clock on.
    pub(crate) stamps: Arc<Stamps>,
}

/// The parts of a completion that are passed to the stack.
#[derive(Clone, Copy, Default)]
pub(super) struct Offer {
    pub(super) csum: bool,
    pub(super) hash: bool,
    pub(super) time: bool,
}

impl Settings {
    pub(super) fn offer(&self) -> Offer {
        Offer {
            csum: self.csum.load(Relaxed),
            hash: self.hash.load(Relaxed),
            time: self.stamps.rx(),
        }
    }
}

/// Arguments for making a receive queue.
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
