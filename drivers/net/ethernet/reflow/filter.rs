// SPDX-License-Identifier: GPL-2.0

//! The MAC filter: which frames the device accepts, and whether it strips VLAN tags.

use crate::{
    hw::regs::{
        self,
        reg,
        RxMode, //
    },
    mmio::Mmio,
    net::device::{
        self as netdev,
        MacAddr, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The filter of a device.
pub(crate) struct Filter<'bound> {
    mmio: Arc<Mmio<'bound>>,
    config: Pin<KBox<Mutex<Config>>>,
}

/// The configuration.
struct Config {
    station: MacAddr,
    /// Groups, as many as the device's table holds.
    groups: KVec<MacAddr>,
    mode: RxMode,
}

impl<'bound> Filter<'bound> {
    /// A filter for the station address alone; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>, station: MacAddr) -> Result<Self> {
        let config = Config {
            station,
            groups: KVec::with_capacity(regs::MC_ENTRIES, GFP_KERNEL)?,
            mode: RxMode(0).with_broadcast(1),
        };
        Ok(Self {
            mmio: mmio.clone(),
            config: KBox::pin_init(new_mutex!(config, "reflow::filter"), GFP_KERNEL)?,
        })
    }

    /// Writes the configuration to the device after a reset. May sleep.
    pub(crate) fn restore(&self) {
        let config = self.config.lock();
        self.write_station(&config.station);
        self.write_groups(&config.groups);
        self.mmio.write(reg::RX_MODE, config.mode);
    }

    /// Changes the station address. May sleep.
    pub(crate) fn set_station(&self, to: &MacAddr) {
        let mut config = self.config.lock();
        config.station = *to;
        self.write_station(to);
    }

    /// Changes whether VLAN tags are removed. May sleep.
    pub(crate) fn strip_vlan(&self, on: bool) {
        let mut config = self.config.lock();
        config.mode = config.mode.with_vlan_strip(on.into());
        self.mmio.write(reg::RX_MODE, config.mode);
    }

    /// Changes the frames accepted besides those for the station address. May sleep.
    pub(crate) fn set(&self, to: &netdev::RxMode<'_>) {
        let mut config = self.config.lock();
        let fits = to.multicast.len() <= regs::MC_ENTRIES;
        if fits && *config.groups != *to.multicast {
            // Accept all groups while the table is written, so that no group loses a frame.
            let open = config.mode.with_allmulti(1);
            self.mmio.write(reg::RX_MODE, open);
            config.groups.clear();
            for group in to.multicast {
                // There is room for as many.
                let _ = config.groups.push_within_capacity(*group);
            }
            self.write_groups(&config.groups);
        }
        config.mode = config
            .mode
            .with_promisc(to.promisc.into())
            .with_allmulti((to.allmulti || !fits).into());
        self.mmio.write(reg::RX_MODE, config.mode);
    }

    fn write_station(&self, &[a, b, c, d, e, f]: &MacAddr) {
        self.mmio
            .write(reg::MAC_LO, u32::from_le_bytes([a, b, c, d]));
        self.mmio
            .write(reg::MAC_HI, u32::from_le_bytes([e, f, 0, 0]));
    }

    fn write_groups(&self, groups: &[MacAddr]) {
        for (i, &[a, b, c, d, e, f]) in groups.iter().enumerate() {
            let (lo, hi) = ([a, b, c, d], [e, f, 0, 0]);
            self.mmio
                .write_at(reg::MC_TABLE, 2 * i, u32::from_le_bytes(lo));
            self.mmio
                .write_at(reg::MC_TABLE, 2 * i + 1, u32::from_le_bytes(hi));
        }
        self.mmio.write(reg::MC_COUNT, groups.len() as u32);
    }
}
