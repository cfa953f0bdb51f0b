// SPDX-License-Identifier: GPL-2.0

//! Work that a device puts off until it may sleep.
//!
//! Wraps `struct delayed_work`.
//!
//! A driver has one [`Service`] for work of its own, the core another one to look after the device.
//! Whoever finds that there is something to do, be it in softirq context, says [`Service::kick`];
//! [`Operations::serve`] runs soon after in process context, once however often it was asked for.
//! It never runs on two CPUs at once, nor before the device is
//! registered, nor when it is being unregistered.

use super::{
    bindings,
    callback::Handle,
    device::{
        self,
        Device, //
    }, //
};
use core::ptr::null_mut;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// A driver with work that it puts off.
pub(crate) trait Operations {
    /// The service of the device.
    fn service(&self) -> &Arc<Service>;

    /// Does what was put off. In process context, without the instance lock; may sleep.
    fn serve(&self, dev: &Device);
}

/// A function that serves a device.
pub(super) type Serve = unsafe fn(*mut bindings::net_device);

#[repr(C)]
struct Inner {
    /// First, so that its address is that of the whole.
    work: Opaque<bindings::delayed_work>,
    /// Set before the work is enabled, and constant while it is.
    dev: Atomic<*mut bindings::net_device>,
    /// The address of a [`Serve`], likewise.
    serve: Atomic<*mut c_void>,
}

/// The place of work that is put off.
///
/// # Invariants
///
/// `inner` stays where it is; its work is initialised. While the work is enabled, `dev` is a device
/// that is alive and `serve` is the address of a [`Serve`] that may be called with it.
pub(crate) struct Service {
    inner: Pin<KBox<Inner>>,
}

// SAFETY: Work may be queued from any context.
unsafe impl Send for Service {}
// SAFETY: As above; the other fields are atomic.
unsafe impl Sync for Service {}

impl Service {
    /// Makes a service that does nothing until its device is registered. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new() -> Result<Arc<Self>> {
        let inner = KBox::pin(
            Inner {
                work: Opaque::zeroed(),
                dev: Atomic::new(null_mut()),
                serve: Atomic::new(null_mut()),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The memory is pinned and zeroed.
        unsafe { bindings::service_init(inner.work.get(), Some(run)) };
        // INVARIANT: Initialised, and not enabled.
        Ok(Arc::new(Self { inner }, GFP_KERNEL)?)
    }

    /// Has the device served soon. From softirq or process context.
    pub(crate) fn kick(&self) {
        // SAFETY: The work is initialised by the type invariant.
        unsafe { bindings::service_kick(self.inner.work.get()) };
    }

    /// Has the device served in so many milliseconds, if that is not to happen sooner.
    pub(crate) fn later(&self, ms: u32) {
        // SAFETY: The work is initialised by the type invariant.
        unsafe { bindings::service_later(self.inner.work.get(), ms) };
    }

    /// Has `serve` called with `dev` from now on, until what this returns is dropped.
    ///
    /// # Safety
    ///
    /// `dev` stays alive, and `serve` callable with it, until then. The service is not attached.
    pub(super) unsafe fn attach(
        self: &Arc<Self>,
        dev: *mut bindings::net_device,
        serve: Serve,
    ) -> Attached {
        self.inner.dev.store(dev, Relaxed);
        // CAST: A function's address, to be cast back before it is called.
        self.inner.serve.store(serve as *mut c_void, Relaxed);
        // SAFETY: The work is initialised by the type invariant, and disabled once.
        // INVARIANT: Device and function are in place.
        unsafe { bindings::enable_delayed_work(self.inner.work.get()) };
        self.kick();
        Attached(self.clone())
    }

    fn detach(&self) {
        // SAFETY: The work is initialised by the type invariant. When this returns it does not run,
        // and cannot be queued any more.
        unsafe { bindings::disable_delayed_work_sync(self.inner.work.get()) };
    }
}

/// A service that is at work. When this was dropped it is not, and cannot be asked any more.
#[must_use]
pub(super) struct Attached(Arc<Service>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// Lets a device be served from now on.
///
/// # Safety
///
/// `dev` was made for this `T` and stays alive until what this returns is dropped.
pub(super) unsafe fn start<T: device::Operations + Operations>(
    dev: *mut bindings::net_device,
) -> Attached {
    // SAFETY: By the safety requirement.
    unsafe {
        Handle::<T>::new(dev)
            .ops()
            .service()
            .attach(dev, serve::<T>)
    }
}

/// # Safety
///
/// `dev` was made for this `T`, and is alive.
unsafe fn serve<T: device::Operations + Operations>(dev: *mut bindings::net_device) {
    // SAFETY: By the safety requirement.
    let dev = unsafe { Handle::<T>::new(dev) };
    dev.ops().serve(dev.device());
}

/// # Safety
///
/// To be called by the workqueue for work of an [`Inner`].
unsafe extern "C" fn run(work: *mut bindings::work_struct) {
    // CAST: The work is the first field of `delayed_work`, which is that of `Inner`, `repr(C)`.
    // SAFETY: `Inner` is alive: its work is disabled before it goes.
    let inner = unsafe { &*work.cast::<Inner>() };
    let serve = inner.serve.load(Relaxed);
    if serve.is_null() {
        return;
    }
    // SAFETY: By the invariant of `Service`, the address is that of such a function, which may be
    // called with the device.
    unsafe { core::mem::transmute::<*mut c_void, Serve>(serve)(inner.dev.load(Relaxed)) };
}

impl Drop for Service {
    fn drop(&mut self) {
        // Once more than it was enabled: nothing is queued or runs after this.
        self.detach();
    }
}
