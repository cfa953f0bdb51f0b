// SPDX-License-Identifier: GPL-2.0

//! Header split (`tcp-data-split`, `hds-thresh`) and what is copied anyway (`rx-copybreak`).
//!
//! The core keeps what the user said of header split, hands it over with the sizes of rings and
//! checks it against XDP programs and memory providers.

use super::Extack;
use crate::net::{
    bindings,
    device, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// What the user says of header split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Split {
    /// Nothing: the driver decides.
    Auto,
    /// Packets are to be whole.
    Off,
    /// The headers of all TCP packets are to be apart from their data.
    On,
}

/// The part of a driver that splits headers from data.
pub(crate) trait Operations {
    /// Largest threshold.
    const THRESHOLD_MAX: u32;
    /// Longest packet that can be copied.
    const COPYBREAK_MAX: u32;

    /// Whether headers are split when the user says nothing, as things are now.
    fn splits_unasked(&self) -> bool;

    /// Splits headers or not, and never those of packets up to `threshold` bytes. May sleep.
    ///
    /// Returns what the user ought to hear, if anything. What cannot be together with it is taken
    /// out of the features right after this.
    fn set_split(&self, split: Split, threshold: u32) -> Option<&'static CStr>;

    /// Whole packets up to so many bytes are copied.
    fn copybreak(&self) -> u32;

    /// Copies whole packets up to so many bytes, at most the largest. May sleep.
    fn set_copybreak(&self, to: u32);
}

/// Parameters of rings that the core may hand over.
pub(super) const RING_PARAMS: u32 =
    bindings::ethtool_supported_ring_param_ETHTOOL_RING_USE_TCP_DATA_SPLIT
        | bindings::ethtool_supported_ring_param_ETHTOOL_RING_USE_HDS_THRS;

const UNKNOWN: u8 = bindings::ethtool_tcp_data_split_ETHTOOL_TCP_DATA_SPLIT_UNKNOWN as u8;
const DISABLED: u8 = bindings::ethtool_tcp_data_split_ETHTOOL_TCP_DATA_SPLIT_DISABLED as u8;
const ENABLED: u8 = bindings::ethtool_tcp_data_split_ETHTOOL_TCP_DATA_SPLIT_ENABLED as u8;

/// The callbacks, for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations> Adapter<T> {
    /// Completes what the core has filled in with the user's wishes.
    pub(super) fn show(ops: &T, ring: &mut bindings::kernel_ethtool_ringparam) {
        if ring.tcp_data_split == UNKNOWN {
            ring.tcp_data_split = if ops.splits_unasked() {
                ENABLED
            } else {
                DISABLED
            };
        }
        ring.hds_thresh_max = T::THRESHOLD_MAX;
    }

    /// Applies the user's wishes.
    ///
    /// # Safety
    ///
    /// `dev` is a device of a driver `T`; rtnl and the instance lock are held.
    pub(super) unsafe fn apply(
        dev: *mut bindings::net_device,
        ring: &bindings::kernel_ethtool_ringparam,
        ack: &mut Extack<'_>,
    ) {
        let split = match ring.tcp_data_split {
            ENABLED => Split::On,
            DISABLED => Split::Off,
            _ => Split::Auto,
        };
        // SAFETY: By the safety requirement.
        let ops = unsafe { device::ops_of::<T>(dev) };
        if let Some(remark) = ops.set_split(split, ring.hds_thresh) {
            ack.say(remark);
        }
        // SAFETY: By the safety requirement.
        unsafe { bindings::netdev_update_features(dev) };
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_tunable`: `data` has room for a value of the tunable's type.
    pub(super) unsafe extern "C" fn get_tunable(
        dev: *mut bindings::net_device,
        which: *const bindings::ethtool_tunable,
        data: *mut c_void,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a valid description.
        let (ops, which) = unsafe { (device::ops_of::<T>(dev), &*which) };
        if which.id != bindings::tunable_id_ETHTOOL_RX_COPYBREAK {
            return EOPNOTSUPP.to_errno();
        }
        // SAFETY: The core has checked that the value is 32 bits wide.
        unsafe { data.cast::<u32>().write_unaligned(ops.copybreak()) };
        0
    }

    /// # Safety
    ///
    /// `ethtool_ops.set_tunable`: `data` is a value of the tunable's type.
    pub(super) unsafe extern "C" fn set_tunable(
        dev: *mut bindings::net_device,
        which: *const bindings::ethtool_tunable,
        data: *const c_void,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a valid description.
        let (ops, which) = unsafe { (device::ops_of::<T>(dev), &*which) };
        from_result(|| {
            if which.id != bindings::tunable_id_ETHTOOL_RX_COPYBREAK {
                return Err(EOPNOTSUPP);
            }
            // SAFETY: The core has checked that the value is 32 bits wide.
            let to = unsafe { data.cast::<u32>().read_unaligned() };
            if to > T::COPYBREAK_MAX {
                return Err(EINVAL);
            }
            ops.set_copybreak(to);
            Ok(0)
        })
    }
}
