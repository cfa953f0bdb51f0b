// SPDX-License-Identifier: GPL-2.0

//! The transmit side of a queue, shared by the stack and by those who send past it.
//!
//! Wraps the lock of `struct netdev_queue`. Taken with softirqs off, by `ndo_start_xmit`,
//! `ndo_xdp_xmit` and polls.
//!
//! ```ignore
//! self.tx.with(cx, |tx, _| tx.xmit_frame(frame));
//! ```

use super::{
    bindings,
    device::XmitContext,
    napi::RxContext,
    Device, //
};
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::sync::Arc;

/// What `ndo_start_xmit` of one queue works on. Everybody takes the queue's lock first.
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
// SAFETY: What is inside is reached under the lock of the transmit queue only.
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

    /// What is inside, to be touched by whoever has the queue locked, or has it stopped.
    #[inline]
    pub(super) fn get(&self) -> *mut Tx {
        self.tx.get()
    }

    /// Runs `f` under the queue's lock, or gives `None` while the queue is stopped: it has no room,
    /// or is going away. `None` also in a poll of another device.
    pub(crate) fn with<R>(
        &self,
        cx: &RxContext<'_>,
        f: impl FnOnce(&mut Tx, &XmitContext<'_>) -> R,
    ) -> Option<R> {
        // SAFETY: The NAPI instance of a running poll is valid.
        let dev = unsafe { (*cx.napi()).dev };
        if dev != self.dev.as_ptr() {
            return None;
        }
        // SAFETY: The device is that of a running poll, so it is alive and softirqs are off. Should
        // it be another one at the place of one that is gone, it has no such queue or has a lock
        // for it, which is all that is asked of it: who reaches inside takes that same lock.
        let locked = unsafe { Locked::queue(dev, self.queue)? };
        // SAFETY: The queue is locked until `locked` is dropped.
        Some(f(unsafe { &mut *self.tx.get() }, &locked.cx))
    }
}

/// What NAPI works on, if it is to send as well.
pub(crate) trait SharesTx<Tx> {
    /// Names the transmit side of the queue. Called once, before the first poll.
    fn share_tx(&mut self, tx: &Arc<TxCell<Tx>>);
}

/// A started transmit queue, locked by this CPU.
pub(super) struct Locked<'a> {
    cx: XmitContext<'a>,
    queue: u32,
}

impl<'a> Locked<'a> {
    /// Locks transmit queue `queue` unless it is stopped.
    ///
    /// # Safety
    ///
    /// The device is alive for `'a`; softirqs are off.
    unsafe fn queue(dev: *mut bindings::net_device, mut queue: u32) -> Option<Self> {
        // SAFETY: By the safety requirement.
        let txq = unsafe { bindings::xdp_lock_txq(dev, &mut queue, false) };
        // SAFETY: Locked just now, if it is one.
        NonNull::new(txq).map(|txq| unsafe { Self::new(txq, queue) })
    }

    /// Locks the transmit queue that this CPU is to use, unless it is stopped.
    ///
    /// # Safety
    ///
    /// The device is alive for `'a`; softirqs are off.
    pub(super) unsafe fn any(dev: *mut bindings::net_device) -> Option<Self> {
        let mut queue = 0;
        // SAFETY: By the safety requirement.
        let txq = unsafe { bindings::xdp_lock_txq(dev, &mut queue, true) };
        // SAFETY: Locked just now, if it is one.
        NonNull::new(txq).map(|txq| unsafe { Self::new(txq, queue) })
    }

    /// # Safety
    ///
    /// `txq` is started and locked by this CPU, with the number `queue`; the lock is given up.
    unsafe fn new(txq: NonNull<bindings::netdev_queue>, queue: u32) -> Self {
        Self {
            // SAFETY: The lock is held as long as the context, which is part of this object.
            cx: unsafe { XmitContext::new(txq.as_ptr()) },
            queue,
        }
    }

    /// The number of the queue.
    pub(super) fn number(&self) -> u32 {
        self.queue
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: The queue is locked by this CPU.
        unsafe { bindings::xdp_unlock_txq(self.cx.as_raw()) };
    }
}
