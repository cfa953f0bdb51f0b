// SPDX-License-Identifier: GPL-2.0

//! `ethtool --reset`: the device is reset and brought back to all that is configured.
//!
//! Wraps `ethtool_ops.reset`, which every device has. Process context with rtnl and the instance
//! lock held.

use crate::net::{
    bindings,
    callback::{
        callbacks,
        Held, //
    },
    device, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// The callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

/// Components that a reset covers: all of the function, and nothing that it shares with others.
const WHOLE: u32 = bindings::ethtool_reset_flags_ETH_RESET_IRQ
    | bindings::ethtool_reset_flags_ETH_RESET_DMA
    | bindings::ethtool_reset_flags_ETH_RESET_FILTER
    | bindings::ethtool_reset_flags_ETH_RESET_OFFLOAD
    | bindings::ethtool_reset_flags_ETH_RESET_MAC
    | bindings::ethtool_reset_flags_ETH_RESET_RAM;

impl<T: device::Operations> Adapter<T> {
    callbacks! {
        /// `ethtool_ops.reset`.
        pub(super) fn reset(held: Held<'_, T>, flags: &mut u32) -> Result {
            // Components cannot be reset one by one.
            if *flags & WHOLE != WHOLE {
                return Err(EOPNOTSUPP);
            }
            held.instance().restart()?;
            *flags &= !WHOLE;
            Ok(())
        }
    }
}
