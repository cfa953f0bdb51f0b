// SPDX-License-Identifier: GPL-2.0

//! Counters with the same names for every device: `ethtool -S --groups eth-mac eth-ctrl rmon`.
//!
//! Wraps `ethtool_ops.get_eth_mac_stats`, `get_eth_ctrl_stats` and `get_rmon_stats`. Process
//! context with the instance lock held.
//!
//! Counters without a field in [`Mac`] or [`Lengths`] are not reported.
//!
//! ```
//! struct Nic {
//!     frames: Counter,
//! }
//!
//! impl Operations for Nic {
//!     const CLASSES: &'static [u16] = &[64, 1518];
//!
//!     fn mac(&self) -> Mac {
//!         Mac {
//!             rx: Way {
//!                 frames: self.frames.read(),
//!                 ..Way::default()
//!             },
//!             ..Mac::default()
//!         }
//!     }
//!
//!     fn lengths(&self, to: Lengths<'_>) {
//!         to.rx.fill(0);
//!         to.tx.fill(0);
//!     }
//! }
//! # driver!(Nic, Parts::new().standard_stats());
//! # use stats::Counter;
//! ```

use crate::net::{
    bindings,
    callback::{
        callbacks,
        Handle, //
    },
    device, //
};
use core::marker::PhantomData;

/// Counters of a MAC for one direction.
#[derive(Clone, Copy, Default)]
pub(crate) struct Way {
    /// Frames.
    pub(crate) frames: u64,
    /// Bytes of those frames, FCS included.
    pub(crate) bytes: u64,
    /// Of those frames, multicast.
    pub(crate) multicast: u64,
    /// Of those frames, broadcast.
    pub(crate) broadcast: u64,
    /// MAC control frames.
    pub(crate) control: u64,
}

/// Counters of a MAC.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mac {
    /// Received.
    pub(crate) rx: Way,
    /// Sent.
    pub(crate) tx: Way,
    /// Frames received that were too long.
    pub(crate) too_long: u64,
}

/// Most classes of frames by length.
const CLASSES_MAX: usize = bindings::ETHTOOL_RMON_HIST_MAX as usize;

/// Frames by length.
pub(crate) struct Lengths<'a> {
    /// Frames received, by class.
    pub(crate) rx: &'a mut [u64],
    /// Frames sent, by class.
    pub(crate) tx: &'a mut [u64],
}

/// The part of a driver that has such counters.
pub(crate) trait Operations {
    /// Classes of frames by length: the longest of each, in ascending order.
    const CLASSES: &'static [u16];

    /// Reads the MAC's counters. May sleep.
    fn mac(&self) -> Mac;

    /// Reads the number of frames of each class into slices of that length. May sleep.
    fn lengths(&self, to: Lengths<'_>);
}

/// Classes as the core wants them, behind which there is an empty one.
const fn ranges(classes: &[u16]) -> [bindings::ethtool_rmon_hist_range; CLASSES_MAX + 1] {
    let mut ranges = [bindings::ethtool_rmon_hist_range { low: 0, high: 0 }; CLASSES_MAX + 1];
    // Shorter frames are padded.
    let mut low = bindings::ETH_ZLEN as u16 + bindings::ETH_FCS_LEN as u16;
    let mut i = 0;
    while i < classes.len() {
        ranges[i] = bindings::ethtool_rmon_hist_range {
            low,
            high: classes[i],
        };
        low = classes[i].saturating_add(1);
        i += 1;
    }
    ranges
}

/// The callbacks for a driver.
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    const RANGES: &'static [bindings::ethtool_rmon_hist_range; CLASSES_MAX + 1] =
        &ranges(T::CLASSES);

    callbacks! {
        /// `ethtool_ops.get_eth_mac_stats`.
        pub(in crate::net) fn get_eth_mac_stats(
            handle: Handle<'_, T>,
            stats: &mut bindings::ethtool_eth_mac_stats,
        ) {
            let Mac { rx, tx, too_long } = handle.ops().mac();
            stats.__bindgen_anon_1.stats = MacStats {
                FramesReceivedOK: rx.frames,
                OctetsReceivedOK: rx.bytes,
                MulticastFramesReceivedOK: rx.multicast,
                BroadcastFramesReceivedOK: rx.broadcast,
                FramesTransmittedOK: tx.frames,
                OctetsTransmittedOK: tx.bytes,
                MulticastFramesXmittedOK: tx.multicast,
                BroadcastFramesXmittedOK: tx.broadcast,
                FrameTooLongErrors: too_long,
                ..NO_MAC_STATS
            };
        }

        /// `ethtool_ops.get_eth_ctrl_stats`.
        pub(in crate::net) fn get_eth_ctrl_stats(
            handle: Handle<'_, T>,
            stats: &mut bindings::ethtool_eth_ctrl_stats,
        ) {
            let mac = handle.ops().mac();
            stats.__bindgen_anon_1.stats = CtrlStats {
                MACControlFramesReceived: mac.rx.control,
                MACControlFramesTransmitted: mac.tx.control,
                UnsupportedOpcodesReceived: NOT_SET,
            };
        }

        /// `ethtool_ops.get_rmon_stats`.
        pub(in crate::net) fn get_rmon_stats(
            handle: Handle<'_, T>,
            stats: &mut bindings::ethtool_rmon_stats,
            ranges: &mut *const bindings::ethtool_rmon_hist_range,
        ) {
            *ranges = Self::RANGES.as_ptr();
            let mut to = RmonStats {
                undersize_pkts: NOT_SET,
                oversize_pkts: handle.ops().mac().too_long,
                fragments: NOT_SET,
                jabbers: NOT_SET,
                hist: [NOT_SET; CLASSES_MAX],
                hist_tx: [NOT_SET; CLASSES_MAX],
            };
            let count = T::CLASSES.len();
            if let (Some(rx), Some(tx)) = (to.hist.get_mut(..count), to.hist_tx.get_mut(..count)) {
                handle.ops().lengths(Lengths { rx, tx });
            }
            stats.__bindgen_anon_1.stats = to;
        }
    }
}

type MacStats = bindings::ethtool_eth_mac_stats__bindgen_ty_1__bindgen_ty_2;
type CtrlStats = bindings::ethtool_eth_ctrl_stats__bindgen_ty_1__bindgen_ty_2;
type RmonStats = bindings::ethtool_rmon_stats__bindgen_ty_1__bindgen_ty_2;

/// Value that the core takes for "not counted".
const NOT_SET: u64 = u64::MAX;

const NO_MAC_STATS: MacStats = MacStats {
    FramesTransmittedOK: NOT_SET,
    SingleCollisionFrames: NOT_SET,
    MultipleCollisionFrames: NOT_SET,
    FramesReceivedOK: NOT_SET,
    FrameCheckSequenceErrors: NOT_SET,
    AlignmentErrors: NOT_SET,
    OctetsTransmittedOK: NOT_SET,
    FramesWithDeferredXmissions: NOT_SET,
    LateCollisions: NOT_SET,
    FramesAbortedDueToXSColls: NOT_SET,
    FramesLostDueToIntMACXmitError: NOT_SET,
    CarrierSenseErrors: NOT_SET,
    OctetsReceivedOK: NOT_SET,
    FramesLostDueToIntMACRcvError: NOT_SET,
    MulticastFramesXmittedOK: NOT_SET,
    BroadcastFramesXmittedOK: NOT_SET,
    FramesWithExcessiveDeferral: NOT_SET,
    MulticastFramesReceivedOK: NOT_SET,
    BroadcastFramesReceivedOK: NOT_SET,
    InRangeLengthErrors: NOT_SET,
    OutOfRangeLengthField: NOT_SET,
    FrameTooLongErrors: NOT_SET,
};
