// SPDX-License-Identifier: GPL-2.0

//! Accelerated receive flow steering: flows that follow the application's CPU.
//!
//! Wraps `ndo_rx_flow_steer` and `rps_may_expire_flow()`. Flows are TCP connections.
//!
//! The core notes which CPU reads a socket, and asks for the flow to go to a queue of that CPU. It
//! does so for single packets, in softirq context: the driver records the request and programs the
//! device later.
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
        Handle,
        Object, //
    },
    device::{
        self,
        Device, //
    },
    tcp::Flow, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A request to steer a flow; the core identifies the flow by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The queue that the flow is to go to.
    pub(crate) queue: u16,
    /// Index in that queue's flow table.
    pub(crate) flow_id: u32,
}

/// A driver that steers flows.
pub(crate) trait Operations {
    /// Steers a TCP connection. In softirq context, for a packet just received.
    ///
    /// Returns a filter number below 0xffff, which [`Device::may_expire`] takes; the same for each
    /// request of a connection. The driver must steer the flow once it has returned a number.
    ///
    /// # Errors
    ///
    /// Any; the core asks again with the next packet.
    fn steer(&self, flow: &Flow, to: Wanted) -> Result<u16>;
}

impl Device {
    /// Whether the driver may stop steering a flow: it is idle, is read on another CPU, or aRFS was
    /// turned off. Process context.
    pub(crate) fn may_expire(&self, of: Wanted, number: u16) -> bool {
        bindings::arfs_may_expire(self.as_opaque(), of.queue, of.flow_id, number)
    }
}

/// The callback for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `ndo_rx_flow_steer`: softirqs off.
        pub(super) fn rx_flow_steer(
            handle: Handle<'_, T>,
            skb: Object<'_, bindings::sk_buff, *const bindings::sk_buff>,
            queue: u16,
            flow_id: u32,
        ) -> Result<i32> {
            let mut flow = Flow::default();
            if !bindings::flow_of_skb(skb.live(), &mut flow) {
                return Err(EPROTONOSUPPORT);
            }
            handle.ops().steer(&flow, Wanted { queue, flow_id }).map(i32::from)
        }
    }
}
