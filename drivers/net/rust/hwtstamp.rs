// SPDX-License-Identifier: GPL-2.0

//! Time stamps of a device's clock on packets: `ethtool -T`, `SIOCSHWTSTAMP`.
//!
//! Wraps `ndo_hwtstamp_get`, `ndo_hwtstamp_set` and `ethtool_ops.get_ts_info`, in process context
//! with the instance lock held.
//!
//! A driver marks what it received in [`RxMeta`](super::skbuff::RxMeta). A packet to send asks for
//! a stamp in [`TxInfo`](super::skbuff::TxInfo); it gets one by
//! [`TxSkb::hw_time_stamp`](super::skbuff::TxSkb::hw_time_stamp).
//!
//! ```
//! struct Nic {
//!     stamp_rx: Atomic<bool>,
//! }
//!
//! impl Operations for Nic {
//!     fn clock(&self) -> Option<u32> {
//!         Some(0)
//!     }
//!     fn stamping(&self) -> Stamping {
//!         Stamping { rx: self.stamp_rx.load(Relaxed), tx: false }
//!     }
//!     fn set_stamping(&self, to: Stamping) {
//!         self.stamp_rx.store(to.rx, Relaxed);
//!     }
//! }
//! # use kernel::sync::atomic::{Atomic, Relaxed};
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Handle, //
    },
    device,
    extack::Extack, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Which packets get a stamp of the device's clock.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamping {
    /// All that are received.
    pub(crate) rx: bool,
    /// Those to send that ask for it.
    pub(crate) tx: bool,
}

/// A driver of a device that may have a clock.
pub(crate) trait Operations {
    /// Number of the clock, see [`Clock::index`](super::ptp::Clock::index); none without one.
    fn clock(&self) -> Option<u32>;

    /// Which packets are stamped now.
    fn stamping(&self) -> Stamping;

    /// Changes which packets are stamped; only with a clock.
    fn set_stamping(&self, to: Stamping);
}

/// Stamps of the stack, for all devices.
const SOFTWARE: u32 = bindings::SOF_TIMESTAMPING_TX_SOFTWARE
    | bindings::SOF_TIMESTAMPING_RX_SOFTWARE
    | bindings::SOF_TIMESTAMPING_SOFTWARE;
/// Stamps of a device with a clock, besides.
const HARDWARE: u32 = bindings::SOF_TIMESTAMPING_TX_HARDWARE
    | bindings::SOF_TIMESTAMPING_RX_HARDWARE
    | bindings::SOF_TIMESTAMPING_RAW_HARDWARE;

const TX_OFF: u32 = bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF;
const TX_ON: u32 = bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON;
const RX_NONE: u32 = bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_NONE;
const RX_ALL: u32 = bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_ALL;

/// The callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `ethtool_ops.get_ts_info`.
        pub(super) fn get_ts_info(
            handle: Handle<'_, T>,
            info: &mut bindings::kernel_ethtool_ts_info,
        ) -> i32 {
            info.so_timestamping = SOFTWARE;
            if let Some(clock) = handle.ops().clock() {
                info.so_timestamping |= HARDWARE;
                info.phc_index = clock as i32;
                info.tx_types = 1 << TX_OFF | 1 << TX_ON;
                info.rx_filters = 1 << RX_NONE | 1 << RX_ALL;
            }
            0
        }

        /// `ndo_hwtstamp_get`.
        pub(super) fn get(
            handle: Handle<'_, T>,
            config: &mut bindings::kernel_hwtstamp_config,
        ) -> Result {
            handle.ops().clock().ok_or(EOPNOTSUPP)?;
            tell(config, handle.ops().stamping());
            Ok(())
        }

        /// `ndo_hwtstamp_set`: the core has checked that the values are known.
        pub(super) fn set(
            handle: Handle<'_, T>,
            config: &mut bindings::kernel_hwtstamp_config,
            ack: Extack<'_>,
        ) -> Result {
            handle.ops().clock().ok_or(EOPNOTSUPP)?;
            let tx = config.tx_type as u32;
            if tx != TX_OFF && tx != TX_ON {
                ack.say(c"transmit stamps are off or on, without one-step");
                return Err(ERANGE);
            }
            // Who asks for some packets gets all.
            let to = Stamping { rx: config.rx_filter as u32 != RX_NONE, tx: tx == TX_ON };
            handle.ops().set_stamping(to);
            tell(config, to);
            Ok(())
        }
    }
}

/// Writes what is stamped in the core's terms.
fn tell(config: &mut bindings::kernel_hwtstamp_config, now: Stamping) {
    config.tx_type = if now.tx { TX_ON } else { TX_OFF } as i32;
    config.rx_filter = if now.rx { RX_ALL } else { RX_NONE } as i32;
}
