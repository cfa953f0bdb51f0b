// SPDX-License-Identifier: GPL-2.0

//! A device and its driver's part, by what the holder may do: anything that any context may
//! ([`Handle`]), what wants the instance lock ([`Held`]), and what takes it ([`Unlocked`]).

use super::{
    private::{
        private_of,
        Private, //
    },
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
    },
    devlink::health::Reporters, //
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
    /// What the layer keeps.
    #[inline]
    pub(super) fn private(self) -> &'a Private<'a, T> {
        // SAFETY: The device was made for this `T`, by the type invariant; what lies behind it is
        // never borrowed mutably.
        unsafe { &*private_of(self.dev.as_raw()) }
    }

    /// The driver's part.
    #[inline]
    pub(in crate::net) fn ops(self) -> &'a T {
        &self.private().ops
    }

    /// How many statistics the driver shows, `usize::MAX` until somebody has counted them.
    pub(in crate::net) fn stat_count(self) -> &'a Atomic<usize> {
        &self.private().stat_count
    }

    /// The health reporters.
    ///
    /// # Safety
    ///
    /// To be called from the watch.
    pub(in crate::net) unsafe fn reporters(self) -> Option<&'a Reporters> {
        // SAFETY: They are not exchanged while the watch runs.
        unsafe { (*self.private().reporters.get()).as_ref() }
    }

    /// The transmit sides of the queues, `None` while there are none.
    ///
    /// # Safety
    ///
    /// Softirqs are off for all of `'a`.
    #[inline]
    pub(in crate::net) unsafe fn senders(self) -> Option<&'a Cells<T::Tx>> {
        // SAFETY: By the safety requirement.
        unsafe { self.private().senders.get() }
    }
}

// SAFETY: A table made for `T` is that of devices made for `T`.
unsafe impl<T: Operations> Arg for Handle<'_, T> {
    type Raw = *mut bindings::net_device;

    #[inline]
    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // SAFETY: The core calls with devices of the table, which are alive during the call.
        unsafe { Handle::new(raw) }
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

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // SAFETY: The core calls with devices of the table, which are alive during the call.
        // INVARIANT: The core has taken the lock.
        Self(unsafe { Handle::new(raw) })
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

    /// What the lock protects.
    pub(in crate::net) fn instance(&mut self) -> Instance<'_, T> {
        // SAFETY: The lock is held by the type invariant, and this is borrowed mutably meanwhile.
        unsafe { Instance::new(self.0) }
    }

    /// Has the core look which features can be now: it calls the driver's `fix_features` and
    /// `set_features`. rtnl is held, too.
    pub(in crate::net) fn update_features(&mut self) {
        // SAFETY: The lock is held by the type invariant. The callbacks that follow have objects of
        // this kind, for which this one is borrowed mutably.
        unsafe { bindings::netdev_update_features(self.device().as_raw()) };
    }
}

/// A device whose instance lock the caller does not hold, so that it may be taken.
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

    /// The device without the right to take its lock.
    pub(in crate::net) fn handle(&self) -> Handle<'a, T> {
        self.0
    }

    /// Runs `f` with the instance lock held. May sleep. As the object is borrowed meanwhile, `f`
    /// cannot take the lock once more.
    pub(in crate::net) fn locked<R>(&mut self, f: impl FnOnce(&mut Instance<'_, T>) -> R) -> R {
        let dev = self.0.dev.as_raw();
        // SAFETY: The device is alive and its lock is not held, by the type invariant.
        unsafe { bindings::netdev_lock(dev) };
        // SAFETY: Locked just now, for the life of the object.
        let done = f(&mut unsafe { Instance::new(self.0) });
        // SAFETY: Locked above.
        unsafe { bindings::netdev_unlock(dev) };
        done
    }

    /// Does what must not be done while the interface is up, with the instance lock held. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is up, or what `change` says.
    pub(crate) fn while_down(&mut self, change: impl FnOnce() -> Result) -> Result {
        self.locked(|held| {
            if held.device().is_running() {
                return Err(EBUSY);
            }
            change()
        })
    }

    /// Has the core act on the carrier of a device that was detached: tell bridges, routes and
    /// users. By itself it does so some time after a change, and leaves out a device that is not
    /// present. May sleep; takes rtnl and the instance lock.
    pub(super) fn announce_carrier(&mut self) {
        let dev = self.0.dev.as_raw();
        // SAFETY: Neither lock is held, by the type invariant; they are taken in the order of the
        // core and given back. Asking for the link brings the core's view of it up to date.
        unsafe {
            bindings::rtnl_lock();
            bindings::netdev_lock(dev);
            bindings::ethtool_op_get_link(dev);
            bindings::netdev_unlock(dev);
            bindings::rtnl_unlock();
        }
    }
}
