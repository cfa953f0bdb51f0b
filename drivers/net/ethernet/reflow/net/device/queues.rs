// SPDX-License-Identifier: GPL-2.0

//! The life of a device's queues: up, down, and made anew with another setup.

use super::{
    Device,
    Operations,
    Setup, //
};
use crate::net::{
    bindings,
    napi::{
        NapiRef,
        Vector, //
    },
    tx_cell::{
        SharesTx as _,
        TxCell, //
    }, //
};
use core::cell::UnsafeCell;
use kernel::{
    error::to_result,
    irq::IrqRequest,
    pci,
    prelude::*,
    sync::Arc, //
};

/// What lies behind a `net_device`.
pub(super) struct Private<'bound, T: Operations> {
    ops: T,
    irqs: Arc<pci::IrqVectorRegistration<'bound>>,
    /// Touched under the instance lock only.
    setup: UnsafeCell<T::Setup>,
    /// Written under the instance lock and while no transmit queue is started; read by
    /// `start_xmit`.
    running: UnsafeCell<Option<Running<T>>>,
}

/// The queues while the interface is up.
struct Running<T: Operations> {
    /// Touched under the instance lock only, while `start_xmit` may be reading `tx`.
    vectors: UnsafeCell<KVec<Vector<T::Poll>>>,
    tx: KVec<Arc<TxCell<T::Tx>>>,
}

impl<'bound, T: Operations> Private<'bound, T> {
    pub(super) fn new(
        ops: T,
        irqs: Arc<pci::IrqVectorRegistration<'bound>>,
        setup: T::Setup,
    ) -> Self {
        Self {
            ops,
            irqs,
            setup: UnsafeCell::new(setup),
            running: UnsafeCell::new(None),
        }
    }

    /// Allocates the queues of a setup, which do not run yet.
    ///
    /// # Safety
    ///
    /// The instance lock is held, here and when the queues are dropped.
    unsafe fn prepare(&self, dev: &Device, setup: &T::Setup) -> Result<Running<T>> {
        let pairs = self.ops.open(dev, setup)?;
        let mut vectors = KVec::with_capacity(pairs.len(), GFP_KERNEL)?;
        let mut tx = KVec::with_capacity(pairs.len(), GFP_KERNEL)?;
        for (i, mut pair) in pairs.into_iter().enumerate() {
            let queue = u32::try_from(i)?;
            // SAFETY: The device outlives its queues, which are published one set at a time.
            let cell = Arc::new(unsafe { TxCell::new(dev, queue, pair.tx) }, GFP_KERNEL)?;
            pair.poll.share_tx(&cell);
            tx.push(cell, GFP_KERNEL)?;
            // SAFETY: By the safety requirement; the queue exists.
            let vector = unsafe { Vector::new(dev, queue, pair.poll, pair.shared)? };
            vectors.push(vector, GFP_KERNEL)?;
        }
        Ok(Running {
            vectors: UnsafeCell::new(vectors),
            tx,
        })
    }

    /// Starts queues that were prepared; transmit queues of the core stay stopped.
    ///
    /// # Safety
    ///
    /// The instance lock is held and no other queues run.
    unsafe fn launch(&self, dev: &Device, setup: &T::Setup, running: &mut Running<T>) -> Result {
        let vectors = running.vectors.get_mut();
        for (i, (vector, tx)) in vectors.iter_mut().zip(&running.tx).enumerate() {
            let irq: IrqRequest<'_> = self.irqs.index(i)?.into();
            // SAFETY: The transmit queue is stopped, so whoever wants to send is turned away.
            let tx = unsafe { &mut *tx.get() };
            self.ops
                .start_queue(i, tx, vector.poll_mut().ok_or(EBUSY)?)?;
            // SAFETY: The interrupt vectors live as long as the private data.
            unsafe { vector.start(irq.irq())? };
            // SAFETY: The queue exists and is stopped.
            unsafe { bindings::netdev_tx_reset_subqueue(dev.as_raw(), u32::try_from(i)?) };
        }
        self.ops.start(dev, setup);
        // A queue without buffers brings no packets, and so no interrupt: a first poll begins to
        // ask for what could not be had now.
        for vector in vectors.iter() {
            vector.kick();
        }
        Ok(())
    }

    /// Stops queues, in whatever state `launch` left them.
    ///
    /// # Safety
    ///
    /// The instance lock is held and `start_xmit` cannot run.
    unsafe fn halt(&self, dev: &Device, running: &Running<T>) {
        // SAFETY: By the safety requirement this is the only reference to the vectors.
        let vectors = unsafe { &mut *running.vectors.get() };
        for vector in vectors.iter_mut() {
            vector.stop();
        }
        self.ops.stop(dev);
        for (i, vector) in vectors.iter_mut().enumerate() {
            if let Some(poll) = vector.poll_mut() {
                self.ops.stop_queue(i, poll);
            }
        }
    }

    /// Prepares and launches in one, or changes nothing.
    ///
    /// # Safety
    ///
    /// The instance lock is held, no queues run and `start_xmit` cannot run.
    unsafe fn bring_up(&self, dev: &Device, setup: &T::Setup) -> Result<Running<T>> {
        // SAFETY: By the safety requirement; queues are dropped under the lock only.
        let mut running = unsafe { self.prepare(dev, setup)? };
        // SAFETY: By the safety requirement.
        if let Err(e) = unsafe { self.launch(dev, setup, &mut running) } {
            // SAFETY: As above.
            unsafe { self.halt(dev, &running) };
            return Err(e);
        }
        Ok(running)
    }

    /// Lets the stack send on queues that run from now on.
    ///
    /// # Safety
    ///
    /// The instance lock is held, and all transmit queues are stopped.
    unsafe fn publish(&self, dev: &Device, running: Running<T>) {
        // SAFETY: Transmit queues are stopped, so nobody reads the cell.
        unsafe { *self.running.get() = Some(running) };
        // SAFETY: The device is valid. The store above is visible to whoever finds a queue started:
        // it takes the queue's lock, and so did nobody since it was stopped. Woken, not just
        // started: packets may be waiting in a queueing discipline that heard of the stop.
        unsafe { bindings::netif_tx_wake_all_queues(dev.as_raw()) };
    }

    /// Stops the queues that run, and takes them out.
    ///
    /// # Safety
    ///
    /// The instance lock is held.
    unsafe fn take_down(&self, dev: &Device) -> Option<Running<T>> {
        // First those who could wake a transmit queue.
        // SAFETY: What is inside changes under the instance lock only, which is held.
        if let Some(running) = unsafe { &*self.running.get() } {
            // SAFETY: The instance lock is held.
            for vector in unsafe { &mut *running.vectors.get() } {
                vector.stop();
            }
        }
        // SAFETY: The device is valid. After these two nobody is in `start_xmit`, and nobody gets
        // in before `publish` starts the queues again.
        unsafe {
            bindings::netif_tx_disable(dev.as_raw());
            bindings::synchronize_net();
        }
        // SAFETY: Nobody else reads the cell any more.
        let running = unsafe { (*self.running.get()).take() }?;
        // SAFETY: The lock is held and nobody sends.
        unsafe { self.halt(dev, &running) };
        Some(running)
    }
}

/// # Safety
///
/// `dev` was made by `Registration::new` for this `T`, and is alive.
pub(super) unsafe fn private_of<'a, T: Operations>(
    dev: *mut bindings::net_device,
) -> *mut Private<'a, T> {
    // SAFETY: The private area holds the pointer, by the invariant of `Registration`.
    unsafe { *bindings::netdev_priv(dev).cast::<*mut Private<'a, T>>() }
}

/// The driver's part of a device.
///
/// # Safety
///
/// As for [`private_of`], for all of `'a`.
pub(in crate::net) unsafe fn ops_of<'a, T: Operations + 'a>(
    dev: *mut bindings::net_device,
) -> &'a T {
    // SAFETY: By the safety requirement; `ops` is never borrowed mutably.
    unsafe { &(*private_of::<T>(dev)).ops }
}

/// The setup in force.
///
/// # Safety
///
/// As for [`private_of`]; the instance lock is held, and no [`reconfigure`] comes during `'a`.
pub(in crate::net) unsafe fn setup_of<'a, T: Operations + 'a>(
    dev: *mut bindings::net_device,
) -> &'a T::Setup {
    // SAFETY: By the safety requirement.
    unsafe { &*(*private_of::<T>(dev)).setup.get() }
}

/// The transmit side of a queue, `None` if there is no such queue now.
///
/// # Safety
///
/// As for [`private_of`]; the transmit queue is started and locked, for all of `'a`.
pub(in crate::net) unsafe fn tx_of<'a, T: Operations + 'a>(
    dev: *mut bindings::net_device,
    queue: u32,
) -> Option<&'a TxCell<T::Tx>> {
    // SAFETY: The queue is started, so `publish` has filled in the cell and `take_down` has not
    // begun to empty it: it waits for whoever has the lock.
    let running = unsafe { &*(*private_of::<T>(dev)).running.get() };
    running.as_ref()?.tx.get(queue as usize).map(|tx| &**tx)
}

/// Makes and starts the queues. May sleep.
///
/// # Errors
///
/// What the driver or the interrupt says; the interface stays down.
///
/// # Safety
///
/// As for [`private_of`]; the instance lock is held and the device is down.
pub(super) unsafe fn up<T: Operations>(dev: *mut bindings::net_device) -> Result {
    // SAFETY: By the safety requirement. Transmit queues are stopped since allocation or since the
    // device went down.
    unsafe {
        let (this, device) = (&*private_of::<T>(dev), Device::from_raw(dev));
        let running = this.bring_up(device, &*this.setup.get())?;
        this.publish(device, running);
    }
    Ok(())
}

/// Stops the queues and drops them. May sleep.
///
/// # Safety
///
/// As for [`private_of`]; the instance lock is held.
pub(super) unsafe fn down<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: By the safety requirement.
    unsafe {
        let (this, device) = (&*private_of::<T>(dev), Device::from_raw(dev));
        drop(this.take_down(device));
    }
}

/// Goes over to another setup: at once if the interface is up, else when it comes up. May sleep.
///
/// New queues are allocated before old ones are stopped. If the new ones cannot be started, queues
/// of the old setup are made again.
///
/// # Errors
///
/// [`ENOMEM`] and the like: nothing has changed. If not even the old setup can be started, the log
/// says so, and the interface is without queues until it is taken down and up.
///
/// # Safety
///
/// As for [`private_of`]; the instance lock is held, and rtnl if the number of queues changes.
pub(in crate::net) unsafe fn reconfigure<T: Operations>(
    dev: *mut bindings::net_device,
    setup: T::Setup,
) -> Result {
    // SAFETY: By the safety requirement.
    let (this, device) = unsafe { (&*private_of::<T>(dev), Device::from_raw(dev)) };
    // SAFETY: The lock is held.
    let old = unsafe { &mut *this.setup.get() };
    // SAFETY: What is inside changes under the instance lock only.
    if unsafe { (*this.running.get()).is_none() } {
        // SAFETY: The locks are held.
        unsafe { set_queues(dev, setup.queues())? };
        *old = setup;
        return Ok(());
    }
    // SAFETY: The lock is held, here and below.
    let mut new = unsafe { this.prepare(device, &setup)? };
    // SAFETY: As above.
    drop(unsafe { this.take_down(device) });
    // SAFETY: The locks are held.
    let resized = unsafe { set_queues(dev, setup.queues()) };
    // SAFETY: As above, and the queues were just taken down.
    let launched = resized.and_then(|()| unsafe { this.launch(device, &setup, &mut new) });
    if let Err(e) = launched {
        // SAFETY: As above; whatever was launched is halted.
        unsafe {
            this.halt(device, &new);
            drop(new);
            let back = set_queues(dev, old.queues());
            match back.and_then(|()| this.bring_up(device, old)) {
                Ok(running) => this.publish(device, running),
                Err(_) => bindings::netdev_lost_queues(dev),
            }
        }
        return Err(e);
    }
    *old = setup;
    // SAFETY: As above.
    unsafe { this.publish(device, new) };
    Ok(())
}

/// # Safety
///
/// `dev` is valid; if it is registered, the instance lock is held, and rtnl if the number changes.
pub(super) unsafe fn set_queues(dev: *mut bindings::net_device, queues: u32) -> Result {
    // SAFETY: By the safety requirement.
    to_result(unsafe { bindings::netif_set_real_num_queues(dev, queues, queues) })
}

/// Holds NAPI of a queue off while `f` works on its poll state. May sleep.
///
/// # Errors
///
/// [`ENETDOWN`] if the queue does not run, or what `f` says.
///
/// # Safety
///
/// As for [`private_of`]; the instance lock is held.
pub(in crate::net) unsafe fn paused<T: Operations, R>(
    dev: *mut bindings::net_device,
    queue: usize,
    f: impl FnOnce(&T, &mut T::Poll, NapiRef<'_>) -> Result<R>,
) -> Result<R> {
    // SAFETY: By the safety requirement.
    let this = unsafe { &*private_of::<T>(dev) };
    // SAFETY: What is inside changes under the instance lock only.
    let running = unsafe { (*this.running.get()).as_ref() }.ok_or(ENETDOWN)?;
    // SAFETY: The lock is held, so this is the only reference to the vectors.
    let vectors = unsafe { &mut *running.vectors.get() };
    let vector = vectors.get_mut(queue).ok_or(ENETDOWN)?;
    vector.paused(|poll, napi| f(&this.ops, poll, napi))
}
