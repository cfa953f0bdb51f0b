// SPDX-License-Identifier: GPL-2.0

//! The clock of a device, `/dev/ptpN`, which users read, set and steer.
//!
//! Wraps `struct ptp_clock_info` and `ptp_clock_register()`. Of its optional parts there are none:
//! no pins, alarms or pulses.
//!
//! The operations run in process context without rtnl or instance lock, and may sleep. Several may
//! run at once, from registration until [`Clock`] is dropped.
//!
//! ```
//! /// A clock that nobody can steer, of which the device shows a counter of nanoseconds.
//! struct Counter(Atomic<i64>);
//!
//! impl Operations for Counter {
//!     const NAME: &'static CStr = c"counter";
//!     const MAX_PPB: i32 = 0;
//!
//!     fn read(&self, system: &mut SystemTime<'_>) -> Result<i64> {
//!         Ok(system.around(|| self.0.load(Relaxed)))
//!     }
//!     fn set(&self, ns: i64) -> Result {
//!         self.0.store(ns, Relaxed);
//!         Ok(())
//!     }
//!     fn step(&self, ns: i64) -> Result {
//!         self.set(self.0.load(Relaxed).wrapping_add(ns))
//!     }
//!     fn set_rate(&self, _scaled_ppm: i64) -> Result {
//!         Err(EOPNOTSUPP)
//!     }
//! }
//! # use kernel::sync::atomic::{Atomic, Relaxed};
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        slice,
        Arg,
        Passed, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    device::{
        self as bus,
        Bound, //
    },
    error::from_err_ptr,
    prelude::*,
    types::Opaque, //
};

const NS_PER_SEC: i64 = 1_000_000_000;

/// A clock that the core can steer.
pub(crate) trait Operations: Send + Sync {
    /// The clock's name, shorter than 32 bytes; several clocks may have the same.
    const NAME: &'static CStr;
    /// By how many parts per thousand million the clock can be made faster or slower.
    const MAX_PPB: i32;

    /// The time, in nanoseconds. Reads it within [`SystemTime::around`].
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if the device has gone.
    fn read(&self, system: &mut SystemTime<'_>) -> Result<i64>;

    /// Sets the clock to a time in nanoseconds.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if the device has gone.
    fn set(&self, ns: i64) -> Result;

    /// Moves the clock by so many nanoseconds.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if the device has gone.
    fn step(&self, ns: i64) -> Result;

    /// Has the clock run faster by so many 2^-16 parts per million, at most [`Self::MAX_PPB`]
    /// either way, from now on.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if the device has gone.
    fn set_rate(&self, scaled_ppm: i64) -> Result;
}

/// Where the core wants the system's time before and after the clock is read, if it does.
pub(crate) struct SystemTime<'a>(Option<&'a mut bindings::ptp_system_timestamp>);

impl SystemTime<'_> {
    /// Calls `read`, which accesses the clock once, and takes the system's time around it.
    pub(crate) fn around<R>(&mut self, read: impl FnOnce() -> R) -> R {
        if let Some(system) = &mut self.0 {
            bindings::ptp_before(system);
        }
        let value = read();
        if let Some(system) = &mut self.0 {
            bindings::ptp_behind(system);
        }
        value
    }
}

/// The clock as the core knows it.
#[repr(C)]
#[pin_data]
struct Body<T> {
    // First: the core passes its address.
    #[pin]
    info: Opaque<bindings::ptp_clock_info>,
    ops: T,
}

/// A clock that is registered.
///
/// # Invariants
///
/// `clock` is registered with the information in `body`.
pub(crate) struct Clock<T: Operations> {
    clock: NonNull<bindings::ptp_clock>,
    index: u32,
    _body: Pin<KBox<Body<T>>>,
}

// SAFETY: The clock may be unregistered on any CPU, and its operations are `Send`.
unsafe impl<T: Operations> Send for Clock<T> {}
// SAFETY: What is shared is its number; the core calls operations that are `Sync`.
unsafe impl<T: Operations> Sync for Clock<T> {}

impl<T: Operations> Clock<T> {
    /// Registers a clock of `dev`. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; [`EOPNOTSUPP`] in a kernel without such clocks.
    pub(crate) fn new(dev: &bus::Device<Bound>, ops: T) -> Result<Self> {
        let body = pin_init!(Body {
            info: Opaque::new(Adapter::<T>::info()),
            ops,
        });
        let body = KBox::pin_init(body, GFP_KERNEL)?;
        let mut index = 0;
        // CAST: `Device` is a transparent wrapper of `struct device`.
        let parent = core::ptr::from_ref(dev).cast_mut().cast();
        // SAFETY: The information stays where it is until the clock is unregistered, and its
        // callbacks are those for the body that it is in. The parent is a bound device.
        let clock = unsafe { bindings::ptp_register(body.info.get(), parent, &mut index) };
        let clock = NonNull::new(from_err_ptr(clock)?).ok_or(EOPNOTSUPP)?;
        // INVARIANT: Registered just now.
        Ok(Self {
            clock,
            index,
            _body: body,
        })
    }

    /// The `N` of `/dev/ptpN`.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }
}

impl<T: Operations> Drop for Clock<T> {
    fn drop(&mut self) {
        // SAFETY: Registered, by the type invariant. When this returns no operation runs any more,
        // and none will.
        unsafe { bindings::ptp_unregister(self.clock.as_ptr()) };
    }
}

/// The operations of the clock that the core calls.
struct Running<'a, T>(&'a T);

// SAFETY: Tables with such callbacks are in a `Body` only, at its address, and the core calls them
// while the clock is registered, as long as the body lives.
unsafe impl<T: Operations> Arg for Running<'_, T> {
    type Raw = *mut bindings::ptp_clock_info;

    fn from_passed(info: Passed<Self::Raw>) -> Self {
        // SAFETY: The information is the first field of a body of this type, by the contract above.
        Self(unsafe { &(*info.raw().cast::<Body<T>>()).ops })
    }
}

/// The callbacks for a clock.
struct Adapter<T>(PhantomData<T>);

impl<T: Operations> Adapter<T> {
    fn info() -> bindings::ptp_clock_info {
        let mut info = bindings::ptp_clock_info {
            max_adj: T::MAX_PPB,
            adjfine: Some(Self::adjfine),
            adjtime: Some(Self::adjtime),
            gettimex64: Some(Self::gettimex64),
            settime64: Some(Self::settime64),
            ..pin_init::zeroed()
        };
        let room = info.name.len() - 1;
        for (to, from) in info.name.iter_mut().take(room).zip(T::NAME.to_bytes()) {
            *to = *from;
        }
        info
    }

    callbacks! {
        /// `ptp_clock_info.adjfine`.
        fn adjfine(clock: Running<'_, T>, scaled_ppm: isize) -> Result {
            clock.0.set_rate(scaled_ppm as i64)
        }

        /// `ptp_clock_info.adjtime`.
        fn adjtime(clock: Running<'_, T>, ns: i64) -> Result {
            clock.0.step(ns)
        }

        /// `ptp_clock_info.gettimex64`.
        fn gettimex64(
            clock: Running<'_, T>,
            time: &mut bindings::timespec64,
            system: *mut bindings::ptp_system_timestamp,
        ) -> Result {
            // SAFETY: The core passes null or a place for the system's time, which it leaves alone
            // meanwhile.
            let system = unsafe { slice(system, 1) };
            let mut system = SystemTime(system.and_then(|one| one.first_mut()));
            let ns = clock.0.read(&mut system)?;
            time.tv_sec = ns.div_euclid(NS_PER_SEC);
            time.tv_nsec = ns.rem_euclid(NS_PER_SEC) as isize;
            Ok(())
        }

        /// `ptp_clock_info.settime64`.
        fn settime64(clock: Running<'_, T>, time: &bindings::timespec64) -> Result {
            let ns = time.tv_sec.checked_mul(NS_PER_SEC).ok_or(ERANGE)?;
            clock.0.set(ns.checked_add(time.tv_nsec as i64).ok_or(ERANGE)?)
        }
    }
}
