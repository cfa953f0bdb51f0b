// SPDX-License-Identifier: GPL-2.0

//! Proofs of what a poll may do.
//!
//! Made by the poll function of the layer alone, for the time of one poll. The helpers in C take
//! them in place of a `napi_struct`.

use super::super::{
    bindings,
    Device, //
};
use core::{
    cell::Cell,
    marker::PhantomData,
    ops::Deref, //
};

/// Proof that a NAPI instance is polled on this CPU, at any budget.
///
/// # Invariants
///
/// `raw.napi` is the instance being polled, and stays so for the lifetime of the context. It
/// belongs to queue pair `raw.queue` of its device.
#[repr(C)]
pub(crate) struct TxContext<'a> {
    /// First, as the helpers in C expect it.
    pub(super) raw: bindings::rnet_tx_context,
    /// An interrupt came since the last poll.
    pub(super) interrupted: bool,
    /// [`RxContext::redirected`] was called.
    pub(super) redirected: Cell<bool>,
    pub(super) _napi: PhantomData<&'a mut ()>,
}

impl TxContext<'_> {
    /// The context to receive in; `None` at budget 0.
    #[inline]
    pub(crate) fn rx(&self) -> Option<&RxContext<'_>> {
        if self.raw.budget <= 0 {
            return None;
        }
        // INVARIANT: The budget is above 0.
        // SAFETY: `RxContext` is a transparent wrapper, borrowed for as long.
        Some(unsafe { &*core::ptr::from_ref(self).cast() })
    }

    pub(in crate::net) fn raw_budget(&self) -> i32 {
        self.raw.budget
    }

    /// The device.
    #[inline]
    pub(in crate::net) fn device(&self) -> &Device {
        // SAFETY: The instance is valid by the type invariant, and its device lives longer.
        unsafe { Device::from_raw((*self.raw.napi).dev) }
    }

    /// The queue pair's transmit queue.
    #[inline]
    pub(crate) fn tx_queue(&self) -> CompletedQueue<'_> {
        CompletedQueue(self)
    }
}

/// Proof that a NAPI instance is polled on this CPU, in softirq context, and may receive.
///
/// # Invariants
///
/// The budget is above 0.
#[repr(transparent)]
pub(crate) struct RxContext<'a>(TxContext<'a>);

impl<'a> Deref for RxContext<'a> {
    type Target = TxContext<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl RxContext<'_> {
    /// How many packets may be received, at least one.
    #[inline]
    pub(crate) fn budget(&self) -> usize {
        self.0.raw.budget as usize
    }

    /// Whether an interrupt came since the last poll.
    #[inline]
    pub(crate) fn interrupted(&self) -> bool {
        self.0.interrupted
    }

    pub(in crate::net) fn napi(&self) -> *mut bindings::napi_struct {
        self.0.raw.napi
    }

    /// The context, for helpers.
    #[inline]
    pub(in crate::net) fn as_raw(&self) -> *const bindings::rnet_rx_context {
        core::ptr::from_ref(self).cast()
    }

    /// Notes that a packet was redirected: it is sent on its way when the poll is over.
    #[inline]
    pub(in crate::net) fn redirected(&self) {
        self.0.redirected.set(true);
    }
}

/// The completion side of the transmit queue that belongs to a poll.
pub(crate) struct CompletedQueue<'a>(&'a TxContext<'a>);

impl CompletedQueue<'_> {
    /// Reports sent packets to byte queue limits.
    #[inline]
    pub(crate) fn completed(&self, packets: u32, bytes: u32) {
        bindings::polled_txq_completed(self.0, packets, bytes);
    }

    /// Whether the driver has stopped the queue.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        bindings::polled_txq_stopped(self.0)
    }

    /// Lets the stack send again.
    pub(crate) fn wake(&self) {
        bindings::polled_txq_wake(self.0);
    }
}
