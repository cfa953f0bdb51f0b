// SPDX-License-Identifier: GPL-2.0

//! Arguments for making a receive queue, and settings that change while it runs.

use crate::{
    clock::Stamps,
    counters,
    hw::desc::Completion,
    mmio::Mmio,
    net::{
        device::Device,
        dma::DmaDevice,
        skbuff::{
            rx_flags,
            RxMeta,
            RxTags, //
        },
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
    /// Make each allocation of a page of more than 4 KiB fail, for tests.
    pub(crate) fail_large_pages: Atomic<bool>,
}

/// Which allocations of pages are to fail, for tests.
#[derive(Clone, Copy)]
pub(super) struct Fail {
    /// Of all pages.
    pub(super) all: bool,
    /// Of those of more than 4 KiB.
    pub(super) large: bool,
}

/// The parts of a completion that are passed to the stack: bits of [`rx_flags`].
#[derive(Clone, Copy, Default)]
pub(super) struct Offer(u16);

impl Settings {
    pub(super) fn fail(&self) -> Fail {
        Fail {
            all: self.fail_pages.load(Relaxed),
            large: self.fail_large_pages.load(Relaxed),
        }
    }

    pub(super) fn offer(&self) -> Offer {
        let on = |is: &Atomic<bool>, bits: u16| if is.load(Relaxed) { bits } else { 0 };
        Offer(
            rx_flags::VLAN
                | on(&self.csum, rx_flags::CSUM_OK)
                | on(&self.hash, rx_flags::HASH | rx_flags::HASH_L4)
                | if self.stamps.rx() { rx_flags::TIME } else { 0 },
        )
    }
}

impl Offer {
    /// Whether the hash is passed on.
    #[inline]
    pub(super) fn hash(self) -> bool {
        self.0 & rx_flags::HASH != 0
    }

    /// Whether the time is passed on.
    #[inline(always)]
    pub(super) fn time(self) -> bool {
        self.0 & rx_flags::TIME != 0
    }

    /// The parts of a completion that are passed on, but for the time.
    #[inline(always)]
    pub(super) fn tags(self, c: &Completion) -> RxTags {
        let c0 = c.c0;
        let flag = |is: u64, bit: u16| is as u16 * bit;
        let flags = flag(c0.hash(), rx_flags::HASH)
            | flag(c0.hash_l4(), rx_flags::HASH_L4)
            | flag(c0.vlan(), rx_flags::VLAN)
            | flag(c0.l3_ok() & c0.l4_ok(), rx_flags::CSUM_OK);
        RxTags {
            hash: c.c1.hash() as u32,
            vlan_tci: c.c1.vlan_tci() as u16,
            flags: flags & self.0,
        }
    }

    /// The parts that are passed on, for a socket buffer that may hold several packets.
    #[inline]
    pub(super) fn meta(self, c: &Completion) -> RxMeta {
        let tags = self.tags(c);
        let timed = self.time() && c.time != 0;
        RxMeta {
            flags: tags.flags | if timed { rx_flags::TIME } else { 0 },
            hash: tags.hash,
            vlan_tci: tags.vlan_tci,
            time: c.time,
            ..RxMeta::default()
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
