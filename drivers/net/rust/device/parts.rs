// SPDX-License-Identifier: GPL-2.0

//! Features of a driver besides sending and receiving: tables of callbacks, composed of parts.
//!
//! All of it happens at compile time. A callback that no part asked for is null in the table.

use super::{
    handle::Handle,
    ndo::Ndo,
    watch,
    Operations, //
};
use crate::net::{
    arfs,
    bindings,
    debugfs,
    devlink::{
        self,
        health, //
    },
    ethtool::{
        self,
        StatVisitor, //
    },
    hwtstamp,
    queue_mgmt,
    service,
    stats,
    sysfs,
    tx_cell::{
        SharesTx,
        TxCell, //
    },
    xdp, //
};
use core::ptr::null;
use kernel::{
    device::{
        self as bus,
        Bound, //
    },
    prelude::*,
    sync::Arc, //
};

/// The parts of a driver, to be composed in a constant expression.
pub(crate) struct Parts<T: Operations> {
    pub(super) netdev: bindings::net_device_ops,
    pub(super) ethtool: bindings::ethtool_ops,
    pub(super) stats: *const bindings::netdev_stat_ops,
    pub(super) queue_mgmt: *const bindings::netdev_queue_mgmt_ops,
    pub(super) xdp_metadata: *const bindings::xdp_metadata_ops,
    pub(super) xdp_features: u32,
    pub(super) arfs: bool,
    pub(super) watch: Option<watch::Hooks<T>>,
    pub(super) device_reporter: usize,
    pub(super) share_tx: Option<ShareTx<T>>,
    pub(super) sysfs: Option<fn() -> Result<sysfs::Group>>,
    pub(super) debugfs: Option<MakeFolder<T>>,
    pub(super) devlink: Option<MakeDevlink>,
    pub(super) reporters: Option<MakeReporters<T>>,
    pub(super) service: Option<StartService<T>>,
    pub(in crate::net) tests: &'static [&'static str],
    pub(in crate::net) visit_stats: Option<fn(&T, &mut dyn StatVisitor)>,
    pub(in crate::net) split: Option<ethtool::split::Hooks<T>>,
}

type ShareTx<T> = fn(&mut <T as Operations>::Poll, &Arc<TxCell<<T as Operations>::Tx>>);
type MakeFolder<T> = unsafe fn(Handle<'_, T>) -> Result<debugfs::Folder>;
type MakeDevlink = fn(&bus::Device<Bound>) -> Result<devlink::Devlink>;
type MakeReporters<T> = unsafe fn(&devlink::Devlink, Handle<'_, T>) -> Result<health::Reporters>;
type StartService<T> = unsafe fn(Handle<'_, T>) -> Result<service::Attached>;

impl<T: Operations> Parts<T> {
    /// None.
    pub(crate) const fn new() -> Self {
        Self {
            netdev: Ndo::<T>::OPS,
            ethtool: ethtool::Core::<T>::OPS,
            stats: null(),
            queue_mgmt: null(),
            xdp_metadata: null(),
            xdp_features: 0,
            arfs: false,
            watch: None,
            device_reporter: 0,
            share_tx: None,
            sysfs: None,
            debugfs: None,
            devlink: None,
            reporters: None,
            service: None,
            tests: &[],
            visit_stats: None,
            split: None,
        }
    }

    /// Sizes of rings: `ethtool -g`, `-G`.
    pub(crate) const fn rings(mut self) -> Self
    where
        T::Setup: ethtool::PlanRings,
    {
        self.ethtool.get_ringparam = Some(ethtool::Core::<T>::get_ringparam);
        self.ethtool.set_ringparam = Some(ethtool::Core::<T>::set_ringparam);
        self
    }

    /// Header split: `ethtool -G` with `tcp-data-split` and `hds-thresh`. Together with `rings`.
    pub(crate) const fn split(mut self) -> Self
    where
        T: ethtool::split::Operations,
        T::Setup: ethtool::PlanRings,
    {
        self.ethtool.supported_ring_params |= ethtool::split::RING_PARAMS;
        self.split = Some(ethtool::split::Hooks::<T>::NEW);
        self.rings()
    }

    /// Size of receive buffers: `ethtool -G` with `rx-buf-len`. Together with `rings`.
    pub(crate) const fn rx_buf_len(mut self) -> Self
    where
        T::Setup: ethtool::PlanRings,
    {
        self.ethtool.supported_ring_params |= ethtool::RX_BUF_LEN;
        self.rings()
    }

    /// Copying of short packets: `ethtool --set-tunable rx-copybreak`.
    pub(crate) const fn copybreak(mut self) -> Self
    where
        T: ethtool::split::Copybreak,
    {
        self.ethtool.get_tunable = Some(ethtool::split::Adapter::<T>::get_tunable);
        self.ethtool.set_tunable = Some(ethtool::split::Adapter::<T>::set_tunable);
        self
    }

    /// Number of queue pairs: `ethtool -l`, `-L`.
    pub(crate) const fn channels(mut self) -> Self
    where
        T::Setup: ethtool::PlanChannels,
    {
        self.ethtool.get_channels = Some(ethtool::Core::<T>::get_channels);
        self.ethtool.set_channels = Some(ethtool::Core::<T>::set_channels);
        self
    }

    /// Interrupt moderation: `ethtool -c`, `-C`.
    pub(crate) const fn coalesce(mut self) -> Self
    where
        T: ethtool::SetCoalesce,
    {
        self.ethtool.supported_coalesce_params = T::PARAMS;
        self.ethtool.get_coalesce = Some(ethtool::Core::<T>::get_coalesce);
        self.ethtool.set_coalesce = Some(ethtool::Core::<T>::set_coalesce);
        self
    }

    /// Interrupt moderation of each queue: `ethtool -Q INTERFACE --coalesce`.
    pub(crate) const fn queue_coalesce(mut self) -> Self
    where
        T: ethtool::SetQueueCoalesce,
    {
        self.ethtool.get_per_queue_coalesce = Some(ethtool::Core::<T>::get_per_queue_coalesce);
        self.ethtool.set_per_queue_coalesce = Some(ethtool::Core::<T>::set_per_queue_coalesce);
        self
    }

    /// Speed of the link: `ethtool INTERFACE`.
    pub(crate) const fn link(mut self) -> Self
    where
        T: ethtool::Link,
    {
        self.ethtool.get_link_ksettings = Some(ethtool::Core::<T>::get_link_ksettings);
        self
    }

    /// Version of the firmware: `ethtool -i`.
    pub(crate) const fn fw_version(mut self) -> Self
    where
        T: ethtool::FwVersion,
    {
        self.ethtool.get_drvinfo = Some(ethtool::Core::<T>::get_drvinfo);
        self
    }

    /// Statistics of the driver's own: `ethtool -S`.
    pub(crate) const fn stats(mut self) -> Self
    where
        T: ethtool::Stats,
    {
        self.visit_stats = Some(T::visit_stats);
        self.ethtool.get_ethtool_stats = Some(ethtool::Core::<T>::get_ethtool_stats);
        self.strings()
    }

    /// Statistics that have a name for all devices: `ethtool -S --groups`.
    pub(crate) const fn standard_stats(mut self) -> Self
    where
        T: ethtool::standard::Operations,
    {
        self.ethtool.get_eth_mac_stats = Some(ethtool::standard::Adapter::<T>::get_eth_mac_stats);
        self.ethtool.get_eth_ctrl_stats = Some(ethtool::standard::Adapter::<T>::get_eth_ctrl_stats);
        self.ethtool.get_rmon_stats = Some(ethtool::standard::Adapter::<T>::get_rmon_stats);
        self
    }

    /// Self-test: `ethtool -t`.
    pub(crate) const fn selftest(mut self) -> Self
    where
        T: ethtool::selftest::Operations,
    {
        self.tests = T::TESTS;
        self.ethtool.self_test = Some(ethtool::selftest::Adapter::<T>::self_test);
        self.strings()
    }

    /// Spreading of flows over queues: `ethtool -x`, `-X`.
    pub(crate) const fn rxfh(mut self) -> Self
    where
        T: ethtool::rxfh::Operations,
    {
        self.ethtool = ethtool::rxfh::Adapter::<T>::fill(self.ethtool);
        self
    }

    /// Rules that say where packets go: `ethtool -n`, `-N`.
    pub(crate) const fn rxnfc(mut self) -> Self
    where
        T: ethtool::rxnfc::Operations,
    {
        self.ethtool.get_rxnfc = Some(ethtool::rxnfc::Adapter::<T>::get_rxnfc);
        self.ethtool.set_rxnfc = Some(ethtool::rxnfc::Adapter::<T>::set_rxnfc);
        self
    }

    /// XDP programs that see packets first.
    pub(crate) const fn xdp(mut self) -> Self
    where
        T: xdp::Operations,
        T::Setup: xdp::Plan,
        T::Tx: xdp::Transmit,
        T::Poll: SharesTx<T::Tx>,
    {
        self.netdev.ndo_bpf = Some(xdp::Adapter::<T>::bpf);
        self.netdev.ndo_xdp_xmit = Some(xdp::Adapter::<T>::xmit);
        self.xdp_metadata = &xdp::METADATA_OPS;
        self.xdp_features = xdp::FEATURES;
        self.share_tx = Some(<T::Poll as SharesTx<T::Tx>>::share_tx);
        self
    }

    /// Stamps of the device's clock.
    pub(crate) const fn hwtstamp(mut self) -> Self
    where
        T: hwtstamp::Operations,
    {
        self.netdev.ndo_hwtstamp_get = Some(hwtstamp::Adapter::<T>::get);
        self.netdev.ndo_hwtstamp_set = Some(hwtstamp::Adapter::<T>::set);
        self.ethtool.get_ts_info = Some(hwtstamp::Adapter::<T>::get_ts_info);
        self
    }

    /// Flows that follow the application's CPU.
    pub(crate) const fn arfs(mut self) -> Self
    where
        T: arfs::Operations,
    {
        #[cfg(CONFIG_RFS_ACCEL)]
        {
            self.netdev.ndo_rx_flow_steer = Some(arfs::Adapter::<T>::rx_flow_steer);
        }
        self.arfs = true;
        self
    }

    /// Counters of each queue.
    pub(crate) const fn queue_stats(mut self) -> Self
    where
        T: stats::Queues,
    {
        self.stats = stats::Adapter::<T>::OPS;
        self
    }

    /// Receive queues that can be given other memory.
    pub(crate) const fn queue_mgmt(mut self) -> Self
    where
        T: queue_mgmt::Operations,
    {
        self.queue_mgmt = queue_mgmt::Adapter::<T>::OPS;
        self
    }

    /// Files in `/sys/class/net`.
    pub(crate) const fn sysfs(mut self) -> Self
    where
        T: sysfs::Operations,
    {
        self.sysfs = Some(sysfs::Group::new::<T>);
        self
    }

    /// Tables and switches in debugfs.
    pub(crate) const fn debugfs(mut self) -> Self
    where
        T: debugfs::Operations,
    {
        self.debugfs = Some(debugfs::Folder::new::<T>);
        self
    }

    /// A devlink instance: `devlink dev`.
    pub(crate) const fn devlink(mut self) -> Self
    where
        T: devlink::Operations,
    {
        self.devlink = Some(devlink::Devlink::new::<T>);
        self
    }

    /// Health reporters: `devlink health`. Together with `devlink`.
    pub(crate) const fn health(mut self) -> Self
    where
        T: devlink::Operations + health::Operations,
    {
        self.reporters = Some(health::Reporters::new::<T>);
        self.device_reporter = T::DEVICE_REPORTER;
        self.devlink()
    }

    /// Looking for faults once a second.
    pub(crate) const fn watch(mut self) -> Self
    where
        T: watch::Operations,
    {
        self.watch = Some(watch::Hooks::<T>::NEW);
        self
    }

    /// Work that is put off until one may sleep.
    pub(crate) const fn service(mut self) -> Self
    where
        T: service::Operations,
    {
        self.service = Some(service::start::<T>);
        self
    }

    /// Names of what `stats` and `selftest` show.
    const fn strings(mut self) -> Self {
        self.ethtool.get_sset_count = Some(ethtool::Core::<T>::get_sset_count);
        self.ethtool.get_strings = Some(ethtool::Core::<T>::get_strings);
        self
    }
}

impl<T: Operations> Parts<T> {
    /// The tables of the driver, which live for ever.
    pub(super) const NETDEV: &'static bindings::net_device_ops = &T::PARTS.netdev;
    /// As [`Self::NETDEV`].
    pub(super) const ETHTOOL: &'static bindings::ethtool_ops = &T::PARTS.ethtool;

    /// Enters the tables into a device that is not registered yet.
    pub(super) fn enter(dev: &mut bindings::net_device) {
        dev.netdev_ops = Self::NETDEV;
        dev.ethtool_ops = Self::ETHTOOL;
        dev.stat_ops = T::PARTS.stats;
        dev.queue_mgmt_ops = T::PARTS.queue_mgmt;
        dev.xdp_metadata_ops = T::PARTS.xdp_metadata;
        dev.xdp_features = T::PARTS.xdp_features;
    }
}
