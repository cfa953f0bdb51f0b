// SPDX-License-Identifier: GPL-2.0

//! Deferred work of a device, in a context that may sleep.
//!
//! Wraps `struct delayed_work`. The kernel crate's `DelayedWork` is not used: it cannot be
//! cancelled, so it may run after the module is unloaded.
//!
//! A driver has one [`Service`] for its own work, the layer another one for the watch.
//! [`Service::kick`] may be called in softirq context; [`Operations::serve`] runs soon after in
//! process context, once for any number of calls. It never runs on two CPUs at once, nor before the
//! device is registered, nor once it is being unregistered.
//!
//! ```
//! struct Nic {
//!     service: Arc<Service>,
//!     wanted: Atomic<u32>,
//! }
//!
//! impl Nic {
//!     /// Asks for a filter. In softirq context.
//!     fn want(&self, filter: u32) {
//!         self.wanted.store(filter, Relaxed);
//!         self.service.kick();
//!     }
//! }
//!
//! impl Operations for Nic {
//!     fn service(&self) -> &Arc<Service> {
//!         &self.service
//!     }
//!
//!     fn serve(&self, dev: &Device) {
//!         log::netdev_info!(dev, "filter {}\n", self.wanted.load(Relaxed));
//!     }
//! }
//! # driver!(Nic, Parts::new().service());
//! # use kernel::sync::{atomic::{Atomic, Relaxed}, Arc};
//! ```

use super::{
    bindings,
    callback::callbacks,
    device::{
        self,
        handle::{
            Handle,
            Unlocked, //
        },
        Device, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A driver with deferred work.
pub(crate) trait Operations {
    /// The service of the device.
    fn service(&self) -> &Arc<Service>;

    /// Does the deferred work. In process context, without the instance lock; may sleep.
    fn serve(&self, dev: &Device);
}

/// A callback that serves a device.
pub(super) type Serve = unsafe extern "C" fn(*mut bindings::net_device);

/// The place of work that is put off.
///
/// # Invariants
///
/// The work is initialised. While it is enabled, the device in it is alive and its function may be
/// called with it.
#[pin_data(PinnedDrop)]
pub(crate) struct Service {
    #[pin]
    inner: Opaque<bindings::rnet_service>,
}

// SAFETY: Work may be queued from any context.
unsafe impl Send for Service {}
// SAFETY: Work may be queued by several at the same time.
unsafe impl Sync for Service {}

impl Service {
    /// Makes a service without a device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new() -> Result<Arc<Self>> {
        // INVARIANT: Initialised, and not enabled.
        let service = pin_init!(Self {
            // SAFETY: The place stays where it is.
            inner <- Opaque::ffi_init(|place| unsafe { bindings::service_init(place) }),
        });
        Arc::pin_init(service, GFP_KERNEL)
    }

    /// Schedules [`Operations::serve`] now. Softirq or process context.
    pub(crate) fn kick(&self) {
        bindings::service_kick(&self.inner);
    }

    /// Schedules [`Operations::serve`] in `ms` milliseconds, unless it is scheduled already.
    /// Softirq or process context.
    pub(crate) fn later(&self, ms: u32) {
        bindings::service_later(&self.inner, ms);
    }

    /// Calls `serve` with `dev` soon, and whenever it is scheduled, until the result is dropped.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if a device is attached already.
    ///
    /// # Safety
    ///
    /// `dev` stays alive, and `serve` callable with it, until then.
    pub(super) unsafe fn attach(self: &Arc<Self>, dev: &Device, serve: Serve) -> Result<Attached> {
        // SAFETY: By the safety requirement.
        // INVARIANT: Device and function are in place when the work is enabled.
        match unsafe { bindings::service_attach(self.inner.get(), dev.as_raw(), Some(serve)) } {
            true => Ok(Attached(self.clone())),
            false => Err(EBUSY),
        }
    }

    /// Waits for a running callback, and prevents further ones. May sleep.
    fn detach(&self) {
        bindings::service_detach(&self.inner);
    }
}

#[pinned_drop]
impl PinnedDrop for Service {
    fn drop(self: Pin<&mut Self>) {
        // The work may have been queued while no device was attached.
        self.detach();
    }
}

/// A service with a device. Dropping it waits for a running callback and prevents further ones.
#[must_use]
pub(super) struct Attached(Arc<Service>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// Attaches a device to its service.
///
/// # Errors
///
/// [`EBUSY`] if its service is also another device's.
///
/// # Safety
///
/// The device stays alive until what this returns is dropped.
pub(super) unsafe fn start<T>(dev: Handle<'_, T>) -> Result<Attached>
where
    T: device::Operations + Operations,
{
    let service = dev.ops().service();
    // SAFETY: By the safety requirement; the device is one of a driver `T`.
    unsafe { service.attach(dev.device(), Adapter::<T>::serve) }
}

/// The callback for a driver.
struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `rnet_service.serve`: process context, without any lock.
        fn serve(dev: Unlocked<'_, T>) {
            let dev = dev.handle();
            dev.ops().serve(dev.device());
        }
    }
}
