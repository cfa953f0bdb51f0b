// SPDX-License-Identifier: GPL-2.0

//! Header split (`tcp-data-split`, `hds-thresh`) and copying of short packets (`rx-copybreak`).
//!
//! Wraps what `kernel_ethtool_ringparam` has of header split, and the tunable
//! `ETHTOOL_RX_COPYBREAK`. Process context with the instance lock held, for header split rtnl as
//! well.
//!
//! The core keeps the user's setting of header split, passes it with the sizes of rings and checks
//! it against XDP programs and memory providers.
//!
//! ```
//! struct Nic {
//!     split: Atomic<bool>,
//!     copybreak: Atomic<u32>,
//! }
//!
//! impl Operations for Nic {
//!     const THRESHOLD_MAX: u32 = 0;
//!
//!     fn splits_unasked(&self) -> bool {
//!         false
//!     }
//!
//!     fn set_split(&self, split: Split, _threshold: u32) -> Option<&'static CStr> {
//!         self.split.store(split == Split::On, Relaxed);
//!         None
//!     }
//! }
//!
//! impl Copybreak for Nic {
//!     const COPYBREAK_MAX: u32 = 512;
//!
//!     fn copybreak(&self) -> u32 {
//!         self.copybreak.load(Relaxed)
//!     }
//!
//!     fn set_copybreak(&self, to: u32) {
//!         self.copybreak.store(to, Relaxed);
//!     }
//! }
//! # driver!(Nic, Parts::new().split().copybreak());
//! # use kernel::sync::atomic::{Atomic, Relaxed};
//! ```

use crate::net::{
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

/// The user's setting of header split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Split {
    /// Not set: the driver decides.
    Auto,
    /// Off: packets stay whole.
    Off,
    /// On: the headers of all TCP packets are split from their data.
    On,
}

/// The part of a driver that splits headers from data.
pub(crate) trait Operations {
    /// Largest threshold, in bytes.
    const THRESHOLD_MAX: u32;

    /// Whether headers are split at present if the user has set nothing.
    fn splits_unasked(&self) -> bool;

    /// Splits headers or not; packets up to `threshold` bytes are never split. May sleep.
    ///
    /// Returns a message for the user, if any. The layer turns off features that exclude the
    /// setting after this.
    fn set_split(&self, split: Split, threshold: u32) -> Option<&'static CStr>;
}

/// The part of a driver that copies short packets.
pub(crate) trait Copybreak {
    /// Longest packet that can be copied, in bytes.
    const COPYBREAK_MAX: u32;

    /// Length up to which whole packets are copied, in bytes.
    fn copybreak(&self) -> u32;

    /// Sets that length, at most [`Self::COPYBREAK_MAX`]. May sleep.
    fn set_copybreak(&self, to: u32);
}

/// Parameters of rings that the core may hand over.
pub(in crate::net) const RING_PARAMS: u32 =
    bindings::ethtool_supported_ring_param_ETHTOOL_RING_USE_TCP_DATA_SPLIT
        | bindings::ethtool_supported_ring_param_ETHTOOL_RING_USE_HDS_THRS;

const UNKNOWN: u8 = bindings::ethtool_tcp_data_split_ETHTOOL_TCP_DATA_SPLIT_UNKNOWN as u8;
const DISABLED: u8 = bindings::ethtool_tcp_data_split_ETHTOOL_TCP_DATA_SPLIT_DISABLED as u8;
const ENABLED: u8 = bindings::ethtool_tcp_data_split_ETHTOOL_TCP_DATA_SPLIT_ENABLED as u8;

/// Whether the user has header split on.
pub(super) fn is_on(ring: &bindings::kernel_ethtool_ringparam) -> bool {
    ring.tcp_data_split == ENABLED
}

/// Functions that the callbacks for rings call if headers can be split.
pub(in crate::net) struct Hooks<T> {
    /// Completes what the core has filled in with the user's wishes.
    pub(super) show: fn(&T, &mut bindings::kernel_ethtool_ringparam),
    /// Applies the user's wishes.
    pub(super) apply: fn(&T, &bindings::kernel_ethtool_ringparam, &mut Extack<'_>),
}

impl<T: Operations> Hooks<T> {
    pub(in crate::net) const NEW: Self = Self {
        show: show::<T>,
        apply: apply::<T>,
    };
}

fn show<T: Operations>(ops: &T, ring: &mut bindings::kernel_ethtool_ringparam) {
    if ring.tcp_data_split == UNKNOWN {
        ring.tcp_data_split = if ops.splits_unasked() {
            ENABLED
        } else {
            DISABLED
        };
    }
    ring.hds_thresh_max = T::THRESHOLD_MAX;
}

fn apply<T: Operations>(ops: &T, ring: &bindings::kernel_ethtool_ringparam, ack: &mut Extack<'_>) {
    let split = match ring.tcp_data_split {
        ENABLED => Split::On,
        DISABLED => Split::Off,
        _ => Split::Auto,
    };
    if let Some(remark) = ops.set_split(split, ring.hds_thresh) {
        ack.say(remark);
    }
}

/// The callbacks of [`Copybreak`].
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Copybreak> Adapter<T> {
    callbacks! {
        /// `ethtool_ops.get_tunable`.
        pub(in crate::net) fn get_tunable(
            handle: Handle<'_, T>,
            which: &bindings::ethtool_tunable,
            data: *mut c_void,
        ) -> Result {
            if which.id != bindings::tunable_id_ETHTOOL_RX_COPYBREAK {
                return Err(EOPNOTSUPP);
            }
            // SAFETY: The core has checked that the value is 32 bits wide.
            unsafe { data.cast::<u32>().write_unaligned(handle.ops().copybreak()) };
            Ok(())
        }

        /// `ethtool_ops.set_tunable`.
        pub(in crate::net) fn set_tunable(
            handle: Handle<'_, T>,
            which: &bindings::ethtool_tunable,
            data: *const c_void,
        ) -> Result {
            if which.id != bindings::tunable_id_ETHTOOL_RX_COPYBREAK {
                return Err(EOPNOTSUPP);
            }
            // SAFETY: The core has checked that the value is 32 bits wide.
            let to = unsafe { data.cast::<u32>().read_unaligned() };
            if to > T::COPYBREAK_MAX {
                return Err(EINVAL);
            }
            handle.ops().set_copybreak(to);
            Ok(())
        }
    }
}
