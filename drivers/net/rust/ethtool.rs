// SPDX-License-Identifier: GPL-2.0

//! Requests of `ethtool`: wraps `struct ethtool_ops`.
//!
//! Each trait of this module and the modules below is a part, which a driver may implement and name
//! among its [`Parts`](super::device::Parts).
//!
//! All operations run in process context with the instance lock held, and may sleep.
//!
//! ```
//! struct Nic {
//!     missed: Counter,
//! }
//!
//! impl Stats for Nic {
//!     fn visit_stats(&self, visitor: &mut dyn StatVisitor) {
//!         visitor.stat(fmt!("rx_missed"), self.missed.read());
//!     }
//! }
//!
//! impl Link for Nic {
//!     fn link_settings(&self) -> LinkSettings {
//!         LinkSettings {
//!             speed: Some(1000),
//!             full_duplex: true,
//!             autoneg: true,
//!         }
//!     }
//! }
//! # driver!(Nic, Parts::new().stats().link());
//! # use crate::net::stats::Counter;
//! ```

mod reset;
pub(crate) mod rxfh;
pub(crate) mod rxnfc;
pub(crate) mod selftest;
pub(crate) mod split;
pub(crate) mod standard;

use super::{
    bindings,
    callback::{
        callbacks,
        Handle,
        Held,
        HeldRtnl, //
    },
    device::{
        self,
        Setup, //
    },
    extack::{
        Extack,
        Refused, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::Formatter,
    sync::atomic::Relaxed, //
};

/// Receives the statistics of a device one by one.
pub(crate) trait StatVisitor {
    /// The next statistic.
    fn stat(&mut self, name: fmt::Arguments<'_>, value: u64);
}

/// Sizes of rings, in entries, and of their buffers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rings {
    /// Receive ring: packets, or completions if buffers have rings of their own.
    pub(crate) rx: u32,
    /// Ring of small buffers, 0 if there is none.
    pub(crate) rx_mini: u32,
    /// Ring of large buffers, 0 if there is none.
    pub(crate) rx_jumbo: u32,
    /// Transmit descriptors.
    pub(crate) tx: u32,
    /// Bytes of a receive buffer; 0 for a driver that does not name
    /// [`Parts::rx_buf_len`](super::device::Parts::rx_buf_len).
    pub(crate) rx_buf_len: u32,
    /// The user wants the headers of all TCP packets apart from their data, so as to map that:
    /// [`split::Split::On`].
    pub(crate) split_on: bool,
}

/// Parameters of rings that come with [`Rings::rx_buf_len`].
pub(super) const RX_BUF_LEN: u32 =
    bindings::ethtool_supported_ring_param_ETHTOOL_RING_USE_RX_BUF_LEN;

/// Interrupt moderation: limits of the delay of an interrupt.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Coalesce {
    /// Microseconds after a packet was received.
    pub(crate) rx_usecs: u32,
    /// Packets received after which it fires at once.
    pub(crate) rx_frames: u32,
    /// Microseconds after a packet was sent.
    pub(crate) tx_usecs: u32,
    /// Packets sent after which it fires at once.
    pub(crate) tx_frames: u32,
    /// Adaptive moderation of receive.
    pub(crate) adaptive: bool,
}

/// Values of [`SetCoalesce::PARAMS`].
pub(crate) mod coalesce {
    use super::bindings;

    /// [`super::Coalesce::rx_usecs`].
    pub(crate) const RX_USECS: u32 = bindings::ETHTOOL_COALESCE_RX_USECS;
    /// [`super::Coalesce::rx_frames`].
    pub(crate) const RX_FRAMES: u32 = bindings::ETHTOOL_COALESCE_RX_MAX_FRAMES;
    /// [`super::Coalesce::tx_usecs`].
    pub(crate) const TX_USECS: u32 = bindings::ETHTOOL_COALESCE_TX_USECS;
    /// [`super::Coalesce::tx_frames`].
    pub(crate) const TX_FRAMES: u32 = bindings::ETHTOOL_COALESCE_TX_MAX_FRAMES;
    /// [`super::Coalesce::adaptive`].
    pub(crate) const ADAPTIVE_RX: u32 = bindings::ETHTOOL_COALESCE_USE_ADAPTIVE_RX;
}

/// Sizes of rings in a [`Setup`], and their change by the user. The instance lock is held.
pub(crate) trait PlanRings: Sized {
    /// Sizes of rings.
    fn rings(&self) -> Rings;

    /// Largest sizes of rings.
    fn max_rings(&self) -> Rings;

    /// The setup with rings of these sizes or, if the device does not support a size, the next
    /// larger. No number of entries is above the largest.
    ///
    /// # Errors
    ///
    /// A refusal if the device supports no such size.
    fn with_rings(&self, rings: &Rings) -> Result<Self, Refused>;
}

/// Number of queues in a [`Setup`], and its change by the user. The instance lock is held.
pub(crate) trait PlanChannels: Sized {
    /// Largest number of queue pairs.
    fn max_channels(&self) -> u32;

    /// The setup with so many queue pairs, from one to the largest number.
    ///
    /// # Errors
    ///
    /// A refusal if that is not possible.
    fn with_channels(&self, queues: u32) -> Result<Self, Refused>;
}

/// A driver of a device with firmware.
pub(crate) trait FwVersion {
    /// Writes the firmware's version.
    ///
    /// # Errors
    ///
    /// Errors of formatting.
    fn fw_version(&self, out: &mut Formatter<'_>) -> fmt::Result;
}

/// A driver with statistics of its own.
pub(crate) trait Stats {
    /// Calls the visitor for each statistic, always the same ones in the same order: their number
    /// is fixed with the first call, and further ones are cut off. May sleep.
    fn visit_stats(&self, visitor: &mut dyn StatVisitor);
}

/// A driver of a device that moderates its interrupts.
pub(crate) trait SetCoalesce {
    /// Supported parameters of [`Coalesce`], as bits of [`coalesce`]. The others are 0.
    const PARAMS: u32;

    /// Interrupt moderation in force.
    fn coalesce(&self) -> Coalesce;

    /// Changes interrupt moderation. May sleep.
    ///
    /// # Errors
    ///
    /// A refusal when a value is out of range.
    fn set_coalesce(&self, new: Coalesce) -> Result<(), Refused>;
}

/// A driver that moderates the interrupts of each queue apart.
pub(crate) trait SetQueueCoalesce: SetCoalesce {
    /// Interrupt moderation of queue `queue`, or `None` if there is no such queue.
    fn queue_coalesce(&self, queue: usize) -> Option<Coalesce>;

    /// Changes interrupt moderation of one queue. [`SetCoalesce::set_coalesce`] changes all.
    ///
    /// # Errors
    ///
    /// A refusal when a value is out of range or there is no such queue. The core has nowhere to
    /// put its message.
    fn set_queue_coalesce(&self, queue: usize, new: Coalesce) -> Result<(), Refused>;
}

impl Coalesce {
    /// As the core passes it.
    fn from_core(from: &bindings::ethtool_coalesce) -> Self {
        Self {
            rx_usecs: from.rx_coalesce_usecs,
            rx_frames: from.rx_max_coalesced_frames,
            tx_usecs: from.tx_coalesce_usecs,
            tx_frames: from.tx_max_coalesced_frames,
            adaptive: from.use_adaptive_rx_coalesce != 0,
        }
    }

    /// Tells the core.
    fn tell(&self, to: &mut bindings::ethtool_coalesce) {
        to.rx_coalesce_usecs = self.rx_usecs;
        to.rx_max_coalesced_frames = self.rx_frames;
        to.tx_coalesce_usecs = self.tx_usecs;
        to.tx_max_coalesced_frames = self.tx_frames;
        to.use_adaptive_rx_coalesce = self.adaptive.into();
    }
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
        // Truncate a text that exceeds the field.
        let _ = write(&mut Formatter::new(text));
    }
}

/// Statistics of a device, counted the first time that somebody asks.
fn count<T: device::Operations>(handle: &Handle<'_, T>) -> usize {
    let Some(visit) = T::PARTS.visit_stats else {
        return 0;
    };
    let known = handle.stat_count();
    let mut count = Count(known.load(Relaxed));
    if count.0 == usize::MAX {
        count.0 = 0;
        visit(handle.ops(), &mut count);
        known.store(count.0, Relaxed);
    }
    count.0
}

/// The callbacks that all drivers have.
pub(super) struct Core<T>(PhantomData<T>);

impl<T: device::Operations> Core<T> {
    /// The table of a driver without parts.
    pub(super) const OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        // The instance lock is held for all, rtnl besides where the core's functions want it.
        op_needs_rtnl: bindings::ETHTOOL_OP_NEEDS_RTNL_SCHANNELS
            | bindings::ETHTOOL_OP_NEEDS_RTNL_SRINGPARAM
            | bindings::ETHTOOL_OP_NEEDS_RTNL_GLINK,
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        reset: Some(reset::Adapter::<T>::reset),
        ..pin_init::zeroed()
    };

    callbacks! {
        /// `ethtool_ops.get_sset_count`.
        pub(super) fn get_sset_count(handle: Handle<'_, T>, set: i32) -> Result<i32> {
            let count = match set as u32 {
                bindings::ethtool_stringset_ETH_SS_STATS => count(&handle),
                bindings::ethtool_stringset_ETH_SS_TEST => T::PARTS.tests.len(),
                _ => return Err(EOPNOTSUPP),
            };
            Ok(count.try_into()?)
        }

        /// `ethtool_ops.get_strings`.
        pub(super) fn get_strings(handle: Handle<'_, T>, set: u32, data: *mut u8) {
            let (tests, stats) = (T::PARTS.tests, T::PARTS.visit_stats);
            let names = match set {
                bindings::ethtool_stringset_ETH_SS_TEST => tests.len(),
                bindings::ethtool_stringset_ETH_SS_STATS => count(&handle),
                _ => return,
            };
            // SAFETY: The core made room for as many names as `get_sset_count` told, and a number
            // that was told never changes.
            let out = unsafe { core::slice::from_raw_parts_mut(data, names * NAME_LEN) };
            let mut names = Names(out.chunks_exact_mut(NAME_LEN));
            if set == bindings::ethtool_stringset_ETH_SS_TEST {
                for name in tests {
                    names.stat(fmt!("{name}"), 0);
                }
            } else if let Some(visit) = stats {
                visit(handle.ops(), &mut names);
            }
        }
    }
}

/// The callbacks of [`Stats`].
impl<T: device::Operations + Stats> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_ethtool_stats`.
        pub(super) fn get_ethtool_stats(
            handle: Handle<'_, T>,
            _stats: *mut bindings::ethtool_stats,
            data: *mut u64,
        ) {
            // SAFETY: The core made room for as many values as `get_sset_count` told, and a number
            // that was told never changes.
            let out = unsafe { core::slice::from_raw_parts_mut(data, count(&handle)) };
            handle.ops().visit_stats(&mut Values(out.iter_mut()));
        }
    }
}

/// The callbacks of [`FwVersion`].
impl<T: device::Operations + FwVersion> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_drvinfo`.
        pub(super) fn get_drvinfo(handle: Handle<'_, T>, info: &mut bindings::ethtool_drvinfo) {
            write_terminated(&mut info.fw_version, |f| handle.ops().fw_version(f));
        }
    }
}

/// The callbacks of [`PlanChannels`].
impl<T: device::Operations<Setup: PlanChannels>> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_channels`.
        pub(super) fn get_channels(held: Held<'_, T>, channels: &mut bindings::ethtool_channels) {
            channels.max_combined = held.setup().max_channels();
            channels.combined_count = held.setup().queues();
        }

        /// `ethtool_ops.set_channels`: rtnl held, too, as `op_needs_rtnl` says.
        pub(super) fn set_channels(
            held: HeldRtnl<'_, T>,
            channels: &mut bindings::ethtool_channels,
        ) -> Result {
            // The core refuses counts out of range itself, with a message.
            let (setup, count) = (held.setup(), channels.combined_count);
            if count == 0 || count > setup.max_channels() {
                return Err(EINVAL);
            }
            let new = setup.with_channels(count);
            let new = new.map_err(|no| no.tell(&mut Extack::nowhere()))?;
            let (mut instance, rtnl) = held.instance();
            instance.reconfigure_queues(new, &rtnl)
        }
    }
}

/// The callbacks of [`PlanRings`].
impl<T: device::Operations<Setup: PlanRings>> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_ringparam`.
        pub(super) fn get_ringparam(
            held: Held<'_, T>,
            ring: &mut bindings::ethtool_ringparam,
            kernel: &mut bindings::kernel_ethtool_ringparam,
            _ack: Extack<'_>,
        ) {
            if let Some(split) = &T::PARTS.split {
                (split.show)(held.ops(), kernel);
            }
            let (now, max) = (held.setup().rings(), held.setup().max_rings());
            ring.rx_pending = now.rx;
            ring.rx_mini_pending = now.rx_mini;
            ring.rx_jumbo_pending = now.rx_jumbo;
            ring.tx_pending = now.tx;
            ring.rx_max_pending = max.rx;
            ring.rx_mini_max_pending = max.rx_mini;
            ring.rx_jumbo_max_pending = max.rx_jumbo;
            ring.tx_max_pending = max.tx;
            kernel.rx_buf_len = now.rx_buf_len;
        }

        /// `ethtool_ops.set_ringparam`: rtnl held, too.
        pub(super) fn set_ringparam(
            held: Held<'_, T>,
            ring: &mut bindings::ethtool_ringparam,
            kernel: &mut bindings::kernel_ethtool_ringparam,
            ack: Extack<'_>,
        ) -> Result {
            let rings = Rings {
                rx: ring.rx_pending,
                rx_mini: ring.rx_mini_pending,
                rx_jumbo: ring.rx_jumbo_pending,
                tx: ring.tx_pending,
                rx_buf_len: kernel.rx_buf_len,
                split_on: T::PARTS.split.is_some() && split::is_on(kernel),
            };
            if rings != held.setup().rings() {
                let new = held.setup().with_rings(&rings);
                let new = new.map_err(|no| no.tell(&mut ack))?;
                held.instance().reconfigure(new)?;
            }
            if let Some(split) = &T::PARTS.split {
                (split.apply)(held.ops(), kernel, &mut ack);
                held.update_features();
            }
            Ok(())
        }
    }
}

/// The callbacks of [`SetCoalesce`].
impl<T: device::Operations + SetCoalesce> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_coalesce`.
        pub(super) fn get_coalesce(
            handle: Handle<'_, T>,
            coalesce: &mut bindings::ethtool_coalesce,
            _kernel: *mut bindings::kernel_ethtool_coalesce,
            _ack: Extack<'_>,
        ) -> Result {
            handle.ops().coalesce().tell(coalesce);
            Ok(())
        }

        /// `ethtool_ops.set_coalesce`.
        pub(super) fn set_coalesce(
            handle: Handle<'_, T>,
            coalesce: &mut bindings::ethtool_coalesce,
            _kernel: *mut bindings::kernel_ethtool_coalesce,
            ack: Extack<'_>,
        ) -> Result {
            let set = handle.ops().set_coalesce(Coalesce::from_core(coalesce));
            set.map_err(|no| no.tell(&mut ack))
        }
    }
}

/// The callbacks of [`SetQueueCoalesce`].
impl<T: device::Operations + SetQueueCoalesce> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_per_queue_coalesce`.
        pub(super) fn get_per_queue_coalesce(
            handle: Handle<'_, T>,
            queue: u32,
            coalesce: &mut bindings::ethtool_coalesce,
        ) -> Result {
            let now = handle.ops().queue_coalesce(queue as usize);
            now.ok_or(EINVAL)?.tell(coalesce);
            Ok(())
        }

        /// `ethtool_ops.set_per_queue_coalesce`.
        pub(super) fn set_per_queue_coalesce(
            handle: Handle<'_, T>,
            queue: u32,
            coalesce: &mut bindings::ethtool_coalesce,
        ) -> Result {
            let new = Coalesce::from_core(coalesce);
            let set = handle.ops().set_queue_coalesce(queue as usize, new);
            set.map_err(|no| no.tell(&mut Extack::nowhere()))
        }
    }
}

/// Settings of a link, as far as the driver knows them.
#[derive(Clone, Copy)]
pub(crate) struct LinkSettings {
    /// Mbit/s; `None` while it is unknown.
    pub(crate) speed: Option<u32>,
    /// Full duplex, else half.
    pub(crate) full_duplex: bool,
    /// Autonegotiation is on.
    pub(crate) autoneg: bool,
}

/// A driver that knows the speed of its link.
pub(crate) trait Link {
    /// The link as it is now.
    fn link_settings(&self) -> LinkSettings;
}

/// The callbacks of [`Link`].
impl<T: device::Operations + Link> Core<T> {
    callbacks! {
        /// `ethtool_ops.get_link_ksettings`.
        pub(super) fn get_link_ksettings(
            handle: Handle<'_, T>,
            settings: &mut bindings::ethtool_link_ksettings,
        ) -> Result {
            let now = handle.ops().link_settings();
            let base = &mut settings.base;
            base.speed = now.speed.unwrap_or(bindings::SPEED_UNKNOWN as u32);
            base.duplex = match (now.speed, now.full_duplex) {
                (None, _) => bindings::DUPLEX_UNKNOWN,
                (_, true) => bindings::DUPLEX_FULL,
                (_, false) => bindings::DUPLEX_HALF,
            } as u8;
            base.autoneg = match now.autoneg {
                true => bindings::AUTONEG_ENABLE,
                false => bindings::AUTONEG_DISABLE,
            } as u8;
            base.port = bindings::PORT_OTHER as u8;
            Ok(())
        }
    }
}
