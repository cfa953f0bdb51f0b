// SPDX-License-Identifier: GPL-2.0

//! What `ethtool` asks and sets.
//!
//! All operations run in process context with the instance lock held, and may sleep.

mod reset;
pub(crate) mod rxfh;
pub(crate) mod rxnfc;
pub(crate) mod selftest;
pub(crate) mod split;
pub(crate) mod standard;

use super::{
    bindings,
    device::{
        self,
        private,
        queues,
        Setup, //
    },
    extack::{
        Extack,
        Refused, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::Formatter,
    sync::atomic::Relaxed, //
};

/// Takes the statistics of a device one by one.
pub(crate) trait StatVisitor {
    /// The next statistic.
    fn stat(&mut self, name: fmt::Arguments<'_>, value: u64);
}

/// Sizes of rings, in entries.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    /// Receive completions.
    pub(crate) rx: u32,
    /// Header cells.
    pub(crate) rx_mini: u32,
    /// Re-assembly pages.
    pub(crate) rx_jumbo: u32,
    /// Transmit descriptors.
    pub(crate) tx: u32,
}

/// Interrupt moderation of receive.
#[derive(Clone, Copy, Default)]
pub(crate) struct Coalesce {
    /// Microseconds that an interrupt waits at most.
    pub(crate) rx_usecs: u32,
    /// Packets after which it comes at once.
    pub(crate) rx_frames: u32,
    /// It comes at once when the device has nothing more for the queue.
    pub(crate) adaptive: bool,
}

/// What a setup of queues says of sizes and numbers, and how the user's wishes change it.
///
/// Pure: a plan is carried out by [`queues::reconfigure`].
pub(crate) trait Plan: Sized {
    /// Sizes of rings.
    fn rings(&self) -> Rings;

    /// Largest sizes of rings.
    fn max_rings(&self) -> Rings;

    /// The setup with rings of these sizes or, where the device cannot have them, the next larger.
    /// None is above the largest.
    ///
    /// # Errors
    ///
    /// A refusal if a size makes no sense.
    fn with_rings(&self, rings: &Rings) -> Result<Self, Refused>;

    /// Most queue pairs.
    fn max_channels(&self) -> u32;

    /// The setup with so many queue pairs, at least one and not more than the most.
    ///
    /// # Errors
    ///
    /// A refusal if that does not go.
    fn with_channels(&self, queues: u32) -> Result<Self, Refused>;
}

/// The part of a driver that answers `ethtool`.
pub(crate) trait Operations {
    /// Writes the firmware's version.
    ///
    /// # Errors
    ///
    /// What formatting says.
    fn fw_version(&self, out: &mut Formatter<'_>) -> fmt::Result;

    /// Shows the visitor each statistic, always the same ones in the same order. Were there more
    /// than the first time, the last ones would not be seen.
    fn visit_stats(&self, visitor: &mut dyn StatVisitor);

    /// Interrupt moderation in force.
    fn coalesce(&self) -> Coalesce;

    /// Changes interrupt moderation.
    ///
    /// # Errors
    ///
    /// A refusal when a value is out of range.
    fn set_coalesce(&self, new: Coalesce) -> Result<(), Refused>;
}

/// Bytes of a statistic's name.
const NAME_LEN: usize = bindings::ETH_GSTRING_LEN as usize;

struct Count(usize);

impl StatVisitor for Count {
    fn stat(&mut self, _name: fmt::Arguments<'_>, _value: u64) {
        self.0 += 1;
    }
}

struct Names<'a>(core::slice::ChunksExactMut<'a, u8>);

impl StatVisitor for Names<'_> {
    fn stat(&mut self, name: fmt::Arguments<'_>, _value: u64) {
        if let Some(out) = self.0.next() {
            write_terminated(out, |f| f.write_fmt(name));
        }
    }
}

struct Values<'a>(core::slice::IterMut<'a, u64>);

impl StatVisitor for Values<'_> {
    fn stat(&mut self, _name: fmt::Arguments<'_>, value: u64) {
        if let Some(out) = self.0.next() {
            *out = value;
        }
    }
}

/// Writes text into a field that ends with a zero byte, cut if need be.
fn write_terminated(out: &mut [u8], write: impl FnOnce(&mut Formatter<'_>) -> fmt::Result) {
    out.fill(0);
    let room = out.len().saturating_sub(1);
    if let Some(text) = out.get_mut(..room) {
        // What does not fit is cut, as the field's size demands.
        let _ = write(&mut Formatter::new(text));
    }
}

/// The table of callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations> Adapter<T> {
    pub(super) const OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        supported_coalesce_params: bindings::ETHTOOL_COALESCE_RX_USECS
            | bindings::ETHTOOL_COALESCE_RX_MAX_FRAMES
            | bindings::ETHTOOL_COALESCE_USE_ADAPTIVE_RX,
        supported_ring_params: split::RING_PARAMS,
        // The instance lock is held for all, rtnl besides where the core's functions want it.
        op_needs_rtnl: bindings::ETHTOOL_OP_NEEDS_RTNL_SCHANNELS
            | bindings::ETHTOOL_OP_NEEDS_RTNL_SRINGPARAM
            | bindings::ETHTOOL_OP_NEEDS_RTNL_GLINK,
        get_drvinfo: Some(Self::get_drvinfo),
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        get_sset_count: Some(Self::get_sset_count),
        get_strings: Some(Self::get_strings),
        get_ethtool_stats: Some(Self::get_ethtool_stats),
        get_channels: Some(Self::get_channels),
        set_channels: Some(Self::set_channels),
        get_ringparam: Some(Self::get_ringparam),
        set_ringparam: Some(Self::set_ringparam),
        get_coalesce: Some(Self::get_coalesce),
        set_coalesce: Some(Self::set_coalesce),
        _bitfield_1: bindings::__BindgenBitfieldUnit::new(rxfh::FLAGS),
        rxfh_max_num_contexts: T::CONTEXTS + 1,
        get_rx_ring_count: Some(rxfh::Adapter::<T>::get_rx_ring_count),
        get_rxfh_key_size: Some(rxfh::Adapter::<T>::get_rxfh_key_size),
        get_rxfh_indir_size: Some(rxfh::Adapter::<T>::get_rxfh_indir_size),
        get_rxfh: Some(rxfh::Adapter::<T>::get_rxfh),
        set_rxfh: Some(rxfh::Adapter::<T>::set_rxfh),
        create_rxfh_context: Some(rxfh::Adapter::<T>::create_rxfh_context),
        modify_rxfh_context: Some(rxfh::Adapter::<T>::modify_rxfh_context),
        remove_rxfh_context: Some(rxfh::Adapter::<T>::remove_rxfh_context),
        get_rxfh_fields: Some(rxfh::Adapter::<T>::get_rxfh_fields),
        set_rxfh_fields: Some(rxfh::Adapter::<T>::set_rxfh_fields),
        reset: Some(reset::Adapter::<T>::reset),
        self_test: Some(selftest::Adapter::<T>::self_test),
        get_rxnfc: Some(rxnfc::Adapter::<T>::get_rxnfc),
        set_rxnfc: Some(rxnfc::Adapter::<T>::set_rxnfc),
        get_tunable: Some(split::Adapter::<T>::get_tunable),
        set_tunable: Some(split::Adapter::<T>::set_tunable),
        get_eth_mac_stats: Some(standard::Adapter::<T>::get_eth_mac_stats),
        get_eth_ctrl_stats: Some(standard::Adapter::<T>::get_eth_ctrl_stats),
        get_rmon_stats: Some(standard::Adapter::<T>::get_rmon_stats),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dev` is a device of a driver `T`, alive for the call, and so is `'a`.
    unsafe fn ops<'a>(dev: *mut bindings::net_device) -> &'a T
    where
        T: 'a,
    {
        // SAFETY: By the safety requirement.
        unsafe { device::ops_of(dev) }
    }

    /// # Safety
    ///
    /// As for `ops`; the instance lock is held, and nothing is reconfigured during `'a`.
    unsafe fn setup<'a>(dev: *mut bindings::net_device) -> &'a T::Setup
    where
        T: 'a,
    {
        // SAFETY: By the safety requirement.
        unsafe { private::setup_of::<T>(dev) }
    }

    /// Statistics of a device, counted the first time that somebody asks.
    ///
    /// # Safety
    ///
    /// As for `ops`.
    unsafe fn count(dev: *mut bindings::net_device) -> usize {
        // SAFETY: By the safety requirement.
        let (ops, known) = unsafe { (Self::ops(dev), private::stat_count_of::<T>(dev)) };
        let mut count = Count(known.load(Relaxed));
        if count.0 == usize::MAX {
            count.0 = 0;
            ops.visit_stats(&mut count);
            known.store(count.0, Relaxed);
        }
        count.0
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_drvinfo`.
    unsafe extern "C" fn get_drvinfo(
        dev: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: The core passes a device of ours and a structure to fill in.
        let (ops, info) = unsafe { (Self::ops(dev), &mut *info) };
        write_terminated(&mut info.fw_version, |f| ops.fw_version(f));
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_sset_count`.
    unsafe extern "C" fn get_sset_count(dev: *mut bindings::net_device, set: i32) -> i32 {
        let count = match set as u32 {
            // SAFETY: The core passes a device of ours.
            bindings::ethtool_stringset_ETH_SS_STATS => unsafe { Self::count(dev) },
            bindings::ethtool_stringset_ETH_SS_TEST => T::TESTS.len(),
            _ => return EOPNOTSUPP.to_errno(),
        };
        count.try_into().unwrap_or(EOVERFLOW.to_errno())
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_strings`: `data` has room for as many names as `get_sset_count` said.
    unsafe extern "C" fn get_strings(dev: *mut bindings::net_device, set: u32, data: *mut u8) {
        if set == bindings::ethtool_stringset_ETH_SS_TEST {
            // SAFETY: By the safety requirement.
            let out = unsafe { core::slice::from_raw_parts_mut(data, T::TESTS.len() * NAME_LEN) };
            for (name, out) in T::TESTS.iter().zip(out.chunks_exact_mut(NAME_LEN)) {
                write_terminated(out, |f| f.write_str(name));
            }
            return;
        }
        if set != bindings::ethtool_stringset_ETH_SS_STATS {
            return;
        }
        // SAFETY: The core passes a device of ours.
        let (ops, count) = unsafe { (Self::ops(dev), Self::count(dev)) };
        // SAFETY: By the safety requirement; a count that was told never changes.
        let out = unsafe { core::slice::from_raw_parts_mut(data, count * NAME_LEN) };
        ops.visit_stats(&mut Names(out.chunks_exact_mut(NAME_LEN)));
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_ethtool_stats`: `data` has room for as many values as `get_sset_count`
    /// said.
    unsafe extern "C" fn get_ethtool_stats(
        dev: *mut bindings::net_device,
        _stats: *mut bindings::ethtool_stats,
        data: *mut u64,
    ) {
        // SAFETY: The core passes a device of ours.
        let (ops, count) = unsafe { (Self::ops(dev), Self::count(dev)) };
        // SAFETY: By the safety requirement; a count that was told never changes.
        let out = unsafe { core::slice::from_raw_parts_mut(data, count) };
        ops.visit_stats(&mut Values(out.iter_mut()));
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_channels`.
    unsafe extern "C" fn get_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) {
        // SAFETY: The core passes a device of ours and a structure to fill in.
        let (setup, channels) = unsafe { (Self::setup(dev), &mut *channels) };
        channels.max_combined = setup.max_channels();
        channels.combined_count = setup.queues();
    }

    /// # Safety
    ///
    /// `ethtool_ops.set_channels`: rtnl held, too.
    unsafe extern "C" fn set_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a filled-in structure.
        let (setup, channels) = unsafe { (Self::setup(dev), &*channels) };
        from_result(|| {
            let new = setup.with_channels(channels.combined_count);
            // The core refuses what is out of range itself, and says so.
            // SAFETY: There is nowhere to put a sentence.
            let mut nowhere = unsafe { Extack::from_raw(core::ptr::null_mut()) };
            let new = new.map_err(|no| no.tell(&mut nowhere))?;
            // SAFETY: The core passes a device of ours, with both locks held.
            unsafe { queues::reconfigure::<T>(dev, new).map(|()| 0) }
        })
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_ringparam`.
    unsafe extern "C" fn get_ringparam(
        dev: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        kernel: *mut bindings::kernel_ethtool_ringparam,
        _ack: *mut bindings::netlink_ext_ack,
    ) {
        // SAFETY: The core passes a device of ours and structures to fill in.
        let (ops, setup, ring, kernel) =
            unsafe { (Self::ops(dev), Self::setup(dev), &mut *ring, &mut *kernel) };
        split::Adapter::<T>::show(ops, kernel);
        let (now, max) = (setup.rings(), setup.max_rings());
        ring.rx_pending = now.rx;
        ring.rx_mini_pending = now.rx_mini;
        ring.rx_jumbo_pending = now.rx_jumbo;
        ring.tx_pending = now.tx;
        ring.rx_max_pending = max.rx;
        ring.rx_mini_max_pending = max.rx_mini;
        ring.rx_jumbo_max_pending = max.rx_jumbo;
        ring.tx_max_pending = max.tx;
    }

    /// # Safety
    ///
    /// `ethtool_ops.set_ringparam`: rtnl held, too.
    unsafe extern "C" fn set_ringparam(
        dev: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        kernel: *mut bindings::kernel_ethtool_ringparam,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and filled-in structures.
        let (setup, ring, kernel, mut ack) =
            unsafe { (Self::setup(dev), &*ring, &*kernel, Extack::from_raw(ack)) };
        from_result(|| {
            let rings = Rings {
                rx: ring.rx_pending,
                rx_mini: ring.rx_mini_pending,
                rx_jumbo: ring.rx_jumbo_pending,
                tx: ring.tx_pending,
            };
            if rings != setup.rings() {
                let new = setup.with_rings(&rings).map_err(|no| no.tell(&mut ack))?;
                // SAFETY: The core passes a device of ours, with the instance lock held; the
                // number of queues stays.
                unsafe { queues::reconfigure::<T>(dev, new)? };
            }
            // SAFETY: The core passes a device of ours, with both locks held.
            unsafe { split::Adapter::<T>::apply(dev, kernel, &mut ack) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_coalesce`.
    unsafe extern "C" fn get_coalesce(
        dev: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel: *mut bindings::kernel_ethtool_coalesce,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a structure to fill in.
        let (ops, coalesce) = unsafe { (Self::ops(dev), &mut *coalesce) };
        let now = ops.coalesce();
        coalesce.rx_coalesce_usecs = now.rx_usecs;
        coalesce.rx_max_coalesced_frames = now.rx_frames;
        coalesce.use_adaptive_rx_coalesce = now.adaptive.into();
        0
    }

    /// # Safety
    ///
    /// `ethtool_ops.set_coalesce`.
    unsafe extern "C" fn set_coalesce(
        dev: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel: *mut bindings::kernel_ethtool_coalesce,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes a device of ours, a filled-in structure, and a place for a
        // sentence or none.
        let (ops, coalesce, mut ack) =
            unsafe { (Self::ops(dev), &*coalesce, Extack::from_raw(ack)) };
        from_result(|| {
            let set = ops.set_coalesce(Coalesce {
                rx_usecs: coalesce.rx_coalesce_usecs,
                rx_frames: coalesce.rx_max_coalesced_frames,
                adaptive: coalesce.use_adaptive_rx_coalesce != 0,
            });
            set.map(|()| 0).map_err(|no| no.tell(&mut ack))
        })
    }
}
