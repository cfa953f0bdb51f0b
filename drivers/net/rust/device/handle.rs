// SPDX-License-Identifier: GPL-2.0

//! A device and its driver's part, by the permitted operations: those of any context ([`Handle`]),
//! those that need softirqs off ([`BhDisabled`]), the instance lock ([`Held`]) or rtnl as well
//! ([`HeldRtnl`]), and those that take the lock ([`Unlocked`]).
//!
//! All but [`Handle`] are proofs: the layer makes one where it knows that the core holds the lock,
//! or that the lock is not held.

use super::{
    private::Private,
    queues::Instance,
    senders::Cells,
    Device,
    Operations, //
};
use crate::net::{
    bindings,
    callback::{
        Arg,
        Passed, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// A device of a driver `T`.
///
/// # Invariants
///
/// The device was made for this `T`, and is alive for `'a`.
pub(in crate::net) struct Handle<'a, T: Operations> {
    dev: &'a Device,
    _driver: PhantomData<fn() -> T>,
}

impl<T: Operations> Clone for Handle<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Operations> Copy for Handle<'_, T> {}

impl<'a, T: Operations> Handle<'a, T> {
    /// # Safety
    ///
    /// `dev` was made for this `T`, and is alive for `'a`.
    #[inline]
    pub(in crate::net) unsafe fn new(dev: *mut bindings::net_device) -> Self {
        // INVARIANT: By the safety requirement.
        Self {
            // SAFETY: Alive for `'a`.
            dev: unsafe { Device::from_raw(dev) },
            _driver: PhantomData,
        }
    }

    /// The device.
    #[inline]
    pub(in crate::net) fn device(self) -> &'a Device {
        self.dev
    }
}

impl<'a, T: Operations + 'a> Handle<'a, T> {
    /// Private data of the layer.
    #[inline]
    pub(super) fn private(self) -> &'a Private<'a, T> {
        // SAFETY: The device was made for this `T`, by the type invariant: its private area holds a
        // pointer that `Registration::new` put there, to what lives as long as the device and is
        // never borrowed mutably.
        unsafe { &**bindings::netdev_priv(self.dev.as_raw()).cast::<*const Private<'a, T>>() }
    }

    /// The driver's part.
    #[inline]
    pub(in crate::net) fn ops(self) -> &'a T {
        &self.private().ops
    }

    /// Number of statistics that the driver shows, `usize::MAX` until counted.
    pub(in crate::net) fn stat_count(self) -> &'a Atomic<usize> {
        &self.private().stat_count
    }
}

// SAFETY: A table made for `T` is that of devices made for `T`.
unsafe impl<T: Operations> Arg for Handle<'_, T> {
    type Raw = *mut bindings::net_device;

    #[inline]
    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // SAFETY: The core calls with devices of the table, which are alive during the call.
        unsafe { Handle::new(dev.raw()) }
    }
}

/// A device in a callback that the core makes with softirqs off.
///
/// # Invariants
///
/// Softirqs are off for `'a`.
pub(in crate::net) struct BhDisabled<'a, T: Operations>(Handle<'a, T>);

// SAFETY: A table made for `T` is that of devices made for `T`, and callbacks with this parameter
// are called with softirqs off.
unsafe impl<T: Operations> Arg for BhDisabled<'_, T> {
    type Raw = *mut bindings::net_device;

    #[inline]
    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // INVARIANT: The core has switched softirqs off.
        Self(Handle::from_passed(dev))
    }
}

impl<'a, T: Operations + 'a> BhDisabled<'a, T> {
    /// The device.
    #[inline]
    pub(in crate::net) fn device(&self) -> &'a Device {
        self.0.device()
    }

    /// The transmit sides of the queues, `None` while there are none.
    #[inline]
    pub(in crate::net) fn senders(&self) -> Option<&'a Cells<T::Tx>> {
        // SAFETY: Softirqs are off for `'a` by the type invariant.
        unsafe { self.0.private().senders.get() }
    }
}

/// A device whose instance lock is held: the parameter of callbacks that the core makes with it.
///
/// # Invariants
///
/// The lock is held for `'a`, and nobody uses the state under it but by this object, or in calls
/// that borrow it mutably.
pub(in crate::net) struct Held<'a, T: Operations>(Handle<'a, T>);

// SAFETY: A table made for `T` is that of devices made for `T`, and callbacks with this parameter
// are called with the lock held.
unsafe impl<T: Operations> Arg for Held<'_, T> {
    type Raw = *mut bindings::net_device;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // INVARIANT: The core has taken the lock.
        Self(Handle::from_passed(dev))
    }
}

impl<'a, T: Operations + 'a> Held<'a, T> {
    /// The driver's part.
    pub(in crate::net) fn ops(&self) -> &'a T {
        self.0.ops()
    }

    /// The device.
    pub(in crate::net) fn device(&self) -> &'a Device {
        self.0.device()
    }

    /// The setup in force.
    pub(in crate::net) fn setup(&self) -> &T::Setup {
        // SAFETY: The lock is held by the type invariant; an `Instance` borrows this mutably.
        unsafe { &(*self.0.private().state.get()).setup }
    }

    /// The state that the lock protects.
    pub(in crate::net) fn instance(&mut self) -> Instance<'_, T> {
        // SAFETY: The lock is held by the type invariant, and this is borrowed mutably meanwhile.
        unsafe { Instance::new(self.0) }
    }

    /// Makes the core recompute the features: it calls the driver's `fix_features` and
    /// `set_features`. rtnl is held as well. May sleep.
    pub(in crate::net) fn update_features(&mut self) {
        // SAFETY: The lock is held by the type invariant. The callbacks that follow have objects of
        // this kind, for which this one is borrowed mutably.
        unsafe { bindings::netdev_update_features(self.device().as_raw()) };
    }
}

/// Proof that rtnl is held for `'a`.
pub(in crate::net) struct Rtnl<'a>(PhantomData<&'a ()>);

/// As [`Held`], in callbacks that the core makes with rtnl held, too.
pub(in crate::net) struct HeldRtnl<'a, T: Operations>(Held<'a, T>);

// SAFETY: A table made for `T` is that of devices made for `T`, and callbacks with this parameter
// are called with rtnl and the lock held.
unsafe impl<T: Operations> Arg for HeldRtnl<'_, T> {
    type Raw = *mut bindings::net_device;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        Self(Held::from_passed(dev))
    }
}

impl<'a, T: Operations + 'a> HeldRtnl<'a, T> {
    /// The setup in force.
    pub(in crate::net) fn setup(&self) -> &T::Setup {
        self.0.setup()
    }

    /// The state that the instance lock protects, and the proof that rtnl is held.
    pub(in crate::net) fn instance(&mut self) -> (Instance<'_, T>, Rtnl<'_>) {
        (self.0.instance(), Rtnl(PhantomData))
    }
}

/// A device whose locks the caller does not hold, so that they may be taken.
///
/// # Invariants
///
/// Whoever has the object holds neither rtnl nor the instance lock.
pub(crate) struct Unlocked<'a, T: Operations>(Handle<'a, T>);

impl<'a, T: Operations> Unlocked<'a, T> {
    /// # Safety
    ///
    /// The caller holds neither rtnl nor the instance lock of `dev`, nor any lock that is taken
    /// under them, and hands the object to nobody who does.
    pub(in crate::net) unsafe fn new(dev: Handle<'a, T>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(dev)
    }

    /// The device, without permission to take its lock.
    pub(in crate::net) fn handle(&self) -> Handle<'a, T> {
        self.0
    }

    /// Runs `f` with the instance lock held. May sleep. As the object is borrowed meanwhile, `f`
    /// cannot take the lock once more.
    pub(in crate::net) fn locked<R>(&mut self, f: impl FnOnce(&mut Instance<'_, T>) -> R) -> R {
        let lock = InstanceLock::take(self.0.dev);
        // SAFETY: The lock is held until `lock` is dropped, after the object.
        let done = f(&mut unsafe { Instance::new(self.0) });
        drop(lock);
        done
    }

    /// Runs `change` with the instance lock held, if the interface is down. May sleep.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is up, or errors of `change`.
    pub(crate) fn while_down(&mut self, change: impl FnOnce() -> Result) -> Result {
        self.locked(|held| {
            if held.device().is_running() {
                return Err(EBUSY);
            }
            change()
        })
    }

    /// Makes the core process the carrier of a device that was detached, and notify bridges, routes
    /// and users. Otherwise it does so some time after a change, and skips a device that is not
    /// present. May sleep; takes rtnl and the instance lock.
    pub(super) fn announce_carrier(&mut self) {
        bindings::netdev_announce_carrier(self.0.dev.as_opaque());
    }
}

// SAFETY: A table made for `T` is that of devices made for `T`, and callbacks with this parameter
// are called without any lock of the device, or one that is taken under those.
unsafe impl<T: Operations> Arg for Unlocked<'_, T> {
    type Raw = *mut bindings::net_device;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // INVARIANT: Whoever calls holds no such lock.
        Self(Handle::from_passed(dev))
    }
}

/// The instance lock of a device, taken by this object.
struct InstanceLock<'a>(&'a Device);

impl<'a> InstanceLock<'a> {
    fn take(dev: &'a Device) -> Self {
        bindings::netdev_lock(dev.as_opaque());
        Self(dev)
    }
}

impl Drop for InstanceLock<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken when the object was made.
        unsafe { bindings::netdev_unlock(self.0.as_raw()) };
    }
}
