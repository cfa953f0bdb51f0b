// SPDX-License-Identifier: GPL-2.0

//! The transmit sides that `ndo_start_xmit` uses: an RCU pointer, null while there are no queues.

use super::super::{
    bindings,
    tx_cell::TxCell, //
};
use core::ptr::null_mut;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Arc, //
    }, //
};

/// The transmit sides of a device's queues, by number.
pub(in crate::net) type Cells<Tx> = KVec<Arc<TxCell<Tx>>>;

/// The pointer to the transmit sides.
///
/// # Invariants
///
/// The pointer is null, or an `Arc<Cells<Tx>>` that this object owns. It is dropped an RCU grace
/// period after it was taken out, see [`Retired`].
pub(super) struct Senders<Tx>(Atomic<*mut Cells<Tx>>);

// SAFETY: The object owns the cells, which may be sent.
unsafe impl<Tx: Send> Send for Senders<Tx> {}
// SAFETY: Shared access gives shared cells only, which are `Sync` if what is inside may be sent.
unsafe impl<Tx: Send> Sync for Senders<Tx> {}

impl<Tx> Senders<Tx> {
    /// Nobody can send.
    pub(super) fn new() -> Self {
        // INVARIANT: Null.
        Self(Atomic::new(null_mut()))
    }

    /// The current transmit sides.
    ///
    /// # Safety
    ///
    /// Softirqs are off for all of `'a`, which is an RCU read section.
    #[inline]
    pub(super) unsafe fn get<'a>(&self) -> Option<&'a Cells<Tx>>
    where
        Tx: 'a,
    {
        // SAFETY: By the type invariant the pointer is null or good until a grace period after it
        // was taken out, which by the safety requirement does not end during `'a`. Acquire pairs
        // with the full barrier of `replace`, so the cells are seen complete.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Replaces the transmit sides. Any context.
    pub(super) fn replace(&self, with: Option<Arc<Cells<Tx>>>) -> Retired<Tx> {
        let new = with.map_or(null_mut(), |cells| Arc::into_raw(cells).cast_mut());
        // INVARIANT: The reference of `new` moves in, the old one out.
        Retired(self.0.xchg(new, Full))
    }
}

impl<Tx> Drop for Senders<Tx> {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}

/// Transmit sides that were replaced. Dropping sleeps: it waits for an RCU grace period.
#[must_use]
pub(super) struct Retired<Tx>(*mut Cells<Tx>);

impl<Tx> Drop for Retired<Tx> {
    fn drop(&mut self) {
        if self.0.is_null() {
            return;
        }
        bindings::synchronize_net();
        // SAFETY: The reference was taken out of `Senders`, whose invariant says that it is one.
        // The grace period is over.
        drop(unsafe { Arc::from_raw(self.0) });
    }
}
