// SPDX-License-Identifier: GPL-2.0

//! The transmit side of a queue, shared by the stack and by XDP.
//!
//! Wraps the lock of `struct netdev_queue`. It is taken with softirqs off, by `ndo_start_xmit`,
//! `ndo_xdp_xmit` and polls.
//!
//! ```
//! /// Sends a frame from a poll.
//! fn send<Tx: Transmit>(cell: &TxCell<Tx>, cx: &RxContext<'_>, frame: XdpFrame) -> Result {
//!     let sent = cell.with(cx, |tx, _| tx.xmit_frame(frame)).ok_or(ENOSPC)?;
//!     // A frame that comes back is freed.
//!     sent.map_err(|_frame| ENOSPC)
//! }
//! # use napi::RxContext;
//! # use xdp::{XdpFrame, Transmit};
//! ```

use super::{
    bindings,
    callback::BhDisabled,
    device::{
        Operations,
        XmitContext, //
    },
    napi::RxContext,
    Device, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::sync::Arc;

/// The transmit side of one queue. All users take the queue's lock first.
///
/// The object may outlive the device: it reaches for the lock only on behalf of somebody who has a
/// context of the same device.
pub(crate) struct TxCell<Tx> {
    /// Dereferenced only where that device is known to be alive.
    dev: NonNull<bindings::net_device>,
    queue: u32,
    tx: UnsafeCell<Tx>,
}

// SAFETY: The device is bound to no thread; what is inside may be sent.
unsafe impl<Tx: Send> Send for TxCell<Tx> {}
// SAFETY: The contents are reached under the lock of the transmit queue only.
unsafe impl<Tx: Send> Sync for TxCell<Tx> {}

impl<Tx> TxCell<Tx> {
    /// # Safety
    ///
    /// While transmit queue `queue` of the device is started, the object is the only one of that
    /// queue whose inside is reached by other ways than [`Self::with`].
    pub(super) unsafe fn new(dev: &Device, queue: u32, tx: Tx) -> Self {
        Self {
            dev: NonNull::from(dev).cast(),
            queue,
            tx: UnsafeCell::new(tx),
        }
    }

    /// The transmit side, for callers that have the queue locked or stopped.
    #[inline]
    pub(super) fn get(&self) -> *mut Tx {
        self.tx.get()
    }

    /// Runs `f` under the queue's lock. Returns `None` while the queue is stopped, as it has no
    /// room or goes down, and in a poll of another device.
    pub(crate) fn with<R>(
        &self,
        cx: &RxContext<'_>,
        f: impl FnOnce(&mut Tx, &XmitContext<'_>) -> R,
    ) -> Option<R> {
        let dev = cx.device();
        if dev.as_raw() != self.dev.as_ptr() {
            return None;
        }
        // Should it be another device at the place of one that is gone, it has no such queue or has
        // a lock for it, which is all that is asked of it: who reaches inside takes that same lock.
        //
        // INVARIANT: Softirqs are off in a poll.
        let mut locked = Locked::take(dev, Some(self.queue), SoftirqsOff(PhantomData))?;
        let (tx, cx) = locked.reach(self)?;
        Some(f(tx, cx))
    }
}

/// Poll state that also sends.
pub(crate) trait SharesTx<Tx> {
    /// Sets the transmit side of the queue. Called once, before the first poll, in process context.
    fn share_tx(&mut self, tx: &Arc<TxCell<Tx>>);
}

/// Proof that softirqs are off on this CPU for `'a`.
struct SoftirqsOff<'a>(PhantomData<&'a *mut ()>);

impl<'a, T: Operations + 'a> BhDisabled<'a, T> {
    /// Locks the transmit queue that this CPU is to use, unless it is stopped.
    pub(super) fn lock(&self) -> Option<Locked<'a>> {
        // INVARIANT: Softirqs are off by the type invariant.
        Locked::take(self.device(), None, SoftirqsOff(PhantomData))
    }
}

/// A started transmit queue, locked by this CPU.
///
/// # Invariants
///
/// The queue has this number, of this device.
pub(super) struct Locked<'a> {
    cx: XmitContext<'a>,
    dev: &'a Device,
    queue: u32,
}

impl<'a> Locked<'a> {
    /// Locks a transmit queue unless it is stopped: one by its number, or that which this CPU is to
    /// use.
    #[inline]
    fn take(dev: &'a Device, queue: Option<u32>, _off: SoftirqsOff<'a>) -> Option<Self> {
        let (mut number, any) = (queue.unwrap_or(0), queue.is_none());
        let txq = bindings::xdp_lock_txq(dev.as_opaque(), &mut number, any);
        let txq = NonNull::new(txq)?;
        // INVARIANT: Locked just now.
        Some(Self {
            // SAFETY: Started and locked by this CPU, as long as the context, which is part of this
            // object.
            cx: unsafe { XmitContext::new(txq.as_ptr()) },
            dev,
            queue: number,
        })
    }

    /// The number of the queue.
    pub(super) fn number(&self) -> u32 {
        self.queue
    }

    /// The transmit side in a cell of this queue; `None` for a cell of another.
    #[inline]
    pub(super) fn reach<'b, Tx>(
        &'b mut self,
        cell: &'b TxCell<Tx>,
    ) -> Option<(&'b mut Tx, &'b XmitContext<'a>)> {
        if cell.dev.as_ptr() != self.dev.as_raw() || cell.queue != self.queue {
            return None;
        }
        // SAFETY: The queue of the cell is started and locked by the type invariant, for longer
        // than this is borrowed.
        Some((unsafe { &mut *cell.tx.get() }, &self.cx))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: The queue is locked by this CPU.
        unsafe { bindings::xdp_unlock_txq(self.cx.as_raw()) };
    }
}
