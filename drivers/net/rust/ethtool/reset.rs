// SPDX-License-Identifier: GPL-2.0

//! `ethtool --reset`: the device is reset and brought back to all that is configured.

use super::super::{
    bindings,
    device::{
        self,
        queues::Instance, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// The callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

/// What goes with a reset: all of the function, and nothing that it shares with others.
const WHOLE: u32 = bindings::ethtool_reset_flags_ETH_RESET_IRQ
    | bindings::ethtool_reset_flags_ETH_RESET_DMA
    | bindings::ethtool_reset_flags_ETH_RESET_FILTER
    | bindings::ethtool_reset_flags_ETH_RESET_OFFLOAD
    | bindings::ethtool_reset_flags_ETH_RESET_MAC
    | bindings::ethtool_reset_flags_ETH_RESET_RAM;

impl<T: device::Operations> Adapter<T> {
    /// # Safety
    ///
    /// `ethtool_ops.reset`: process context, rtnl and instance lock held.
    pub(super) unsafe extern "C" fn reset(dev: *mut bindings::net_device, flags: *mut u32) -> i32 {
        // SAFETY: The core passes a word to be read and written.
        let flags = unsafe { &mut *flags };
        from_result(|| {
            // The parts do not come one by one.
            if *flags & WHOLE != WHOLE {
                return Err(EOPNOTSUPP);
            }
            // SAFETY: The core passes a device of ours, alive for the call, with the lock held.
            unsafe { Instance::<T>::new(dev) }.restart()?;
            *flags &= !WHOLE;
            Ok(0)
        })
    }
}
