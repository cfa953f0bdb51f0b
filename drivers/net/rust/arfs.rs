// SPDX-License-Identifier: GPL-2.0

//! Accelerated receive flow steering: flows that follow the application's CPU.
//!
//! Wraps `ndo_rx_flow_steer` and `rps_may_expire_flow()`. Flows are TCP connections.
//!
//! The core sees where a socket is read, and asks for its flow to be sent to a queue of that CPU.
//! This happens per packet, in softirq context; the driver takes a note and puts the rest off.
//!
//! ```
//! struct Nic {
//!     /// Flows to steer, written to the device by a service.
//!     wanted: [Atomic<u32>; 64],
//! }
//!
//! impl Operations for Nic {
//!     fn steer(&self, flow: &Flow, to: Wanted) -> Result<u16> {
//!         let place = flow.key[0] % 64;
//!         let slot = self.wanted.get(usize::from(place)).ok_or(EINVAL)?;
//!         slot.store(to.flow_id, Relaxed);
//!         Ok(place.into())
//!     }
//! }
//! # use kernel::sync::atomic::{Atomic, Relaxed};
//! # use tcp::Flow;
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Handle,
        Passed, //
    },
    device::{
        self,
        Device, //
    },
    own::Live,
    tcp::Flow, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// A steered flow, as the core names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The queue that it is to go to.
    pub(crate) queue: u16,
    /// Its place in that queue's flow table.
    pub(crate) flow_id: u32,
}

/// A driver that steers flows.
pub(crate) trait Operations {
    /// Is asked to steer a TCP connection. In softirq context, for a packet just received.
    ///
    /// Returns the number that [`Device::may_expire`] is told of the flow, below 0xffff; asked
    /// again for a connection, it is the same. From then on the core counts on it.
    ///
    /// # Errors
    ///
    /// Any; the core asks again with the next packet.
    fn steer(&self, flow: &Flow, to: Wanted) -> Result<u16>;
}

impl Device {
    /// Whether a steered flow may be forgotten: it has not been active for a while, is read
    /// elsewhere now, or the user does not want it any more. From process context.
    pub(crate) fn may_expire(&self, of: Wanted, number: u16) -> bool {
        bindings::arfs_may_expire(self.as_opaque(), of.queue, of.flow_id, number)
    }
}

/// A packet that was received just now.
pub(super) struct Received<'a>(&'a Live<bindings::sk_buff>);

// SAFETY: The core passes a packet that it goes on with after the callback.
unsafe impl Arg for Received<'_> {
    type Raw = *const bindings::sk_buff;

    #[inline]
    fn from_passed(skb: Passed<Self::Raw>) -> Self {
        // SAFETY: Valid until the callback is over, by the contract above.
        Self(unsafe { Live::from_raw(NonNull::new_unchecked(skb.raw().cast_mut())) })
    }
}

/// The callback for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `ndo_rx_flow_steer`: softirqs off.
        pub(super) fn rx_flow_steer(
            handle: Handle<'_, T>,
            skb: Received<'_>,
            queue: u16,
            flow_id: u32,
        ) -> Result<i32> {
            let mut flow = Flow::default();
            if !bindings::flow_of_skb(skb.0, &mut flow) {
                return Err(EPROTONOSUPPORT);
            }
            handle.ops().steer(&flow, Wanted { queue, flow_id }).map(i32::from)
        }
    }
}
