// SPDX-License-Identifier: GPL-2.0

//! Callbacks: functions of a driver that the core calls through a table.
//!
//! [`callbacks!`] generates the C side of each. A parameter has the type that the body works with,
//! and its [`Arg`] says how the core passes it; [`Answer`] converts the result for C. So the
//! argument why a callback may access its parameters is in one place: it is a contract of the core
//! that holds for all tables of this layer.
//!
//! Only [`callbacks!`] makes a [`Passed`], so such a parameter cannot be obtained otherwise.
//!
//! ```ignore
//! callbacks! {
//!     /// `ethtool_ops.get_channels`.
//!     fn get_channels(held: Held<'_, T>, channels: &mut bindings::ethtool_channels) {
//!         channels.combined_count = held.setup().queues();
//!     }
//! }
//! ```

use super::{
    bindings,
    extack::Extack,
    own::Live, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A value that the core passed to a callback.
///
/// # Invariants
///
/// The core passed it to a callback in a table that was made for the [`Arg`] that uses it, and
/// nothing made from it is used after the callback. So a pointer to a structure is valid, and until
/// then nobody else writes through it.
pub(super) struct Passed<R>(R);

impl<R> Passed<R> {
    /// For [`callbacks!`].
    ///
    /// # Safety
    ///
    /// The type invariants must hold.
    #[inline(always)]
    pub(super) unsafe fn new(raw: R) -> Self {
        // INVARIANT: By the safety requirement.
        Self(raw)
    }

    /// The plain value.
    #[inline(always)]
    pub(super) fn raw(self) -> R {
        self.0
    }
}

/// A parameter of a callback.
///
/// # Safety
///
/// The core passes to callbacks with such a parameter what `from_passed` takes it for.
pub(super) unsafe trait Arg: Sized {
    /// As C passes it.
    type Raw;

    /// The parameter, of what the core passed.
    fn from_passed(passed: Passed<Self::Raw>) -> Self;
}

/// Result of a callback.
pub(super) trait Answer {
    /// As C wants it.
    type Raw;

    /// The answer for C.
    fn into_raw(self) -> Self::Raw;
}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        // SAFETY: A plain value, from which nothing follows.
        unsafe impl Arg for $ty {
            type Raw = Self;

            #[inline(always)]
            fn from_passed(passed: Passed<Self>) -> Self {
                passed.raw()
            }
        }

        impl Answer for $ty {
            type Raw = Self;

            fn into_raw(self) -> Self {
                self
            }
        }
    )*};
}

plain!(u16, i32, u32, i64, u64, isize, usize, bool, ());

// SAFETY: A pointer is a plain value, whatever it points to.
unsafe impl<S> Arg for *mut S {
    type Raw = Self;

    #[inline(always)]
    fn from_passed(passed: Passed<Self>) -> Self {
        passed.raw()
    }
}

// SAFETY: A pointer is a plain value, whatever it points to.
unsafe impl<S> Arg for *const S {
    type Raw = Self;

    #[inline(always)]
    fn from_passed(passed: Passed<Self>) -> Self {
        passed.raw()
    }
}

// SAFETY: Wherever a table has a pointer to a constant structure, the core passes a valid one.
unsafe impl<S> Arg for &S {
    type Raw = *const S;

    #[inline(always)]
    fn from_passed(passed: Passed<*const S>) -> Self {
        // SAFETY: Valid, and not written meanwhile.
        unsafe { &*passed.raw() }
    }
}

// SAFETY: Wherever a table has a pointer to a structure to fill in, the core passes a valid one,
// which it leaves to the callback.
unsafe impl<S> Arg for &mut S {
    type Raw = *mut S;

    #[inline(always)]
    fn from_passed(passed: Passed<*mut S>) -> Self {
        // SAFETY: Valid, and used by nobody else meanwhile.
        unsafe { &mut *passed.raw() }
    }
}

/// A pointer to an `S`, constant or not. Private: no other type is one.
trait Pointer<S> {
    /// The pointer.
    fn into_mut(self) -> *mut S;
}

impl<S> Pointer<S> for *mut S {
    #[inline(always)]
    fn into_mut(self) -> *mut S {
        self
    }
}

impl<S> Pointer<S> for *const S {
    #[inline(always)]
    fn into_mut(self) -> *mut S {
        self.cast_mut()
    }
}

/// An object of the core that others may use at the same time; helpers access it. `P` is the type
/// of the parameter in C.
pub(super) struct Object<'a, S, P = *mut S>(&'a Live<S>, PhantomData<P>);

impl<S, P> Object<'_, S, P> {
    /// The object.
    #[inline(always)]
    pub(super) fn live(&self) -> &Live<S> {
        self.0
    }
}

// SAFETY: Wherever a table has a pointer to such an object, constant or not, the core passes a
// valid one.
unsafe impl<S, P: Pointer<S>> Arg for Object<'_, S, P> {
    type Raw = P;

    #[inline(always)]
    fn from_passed(passed: Passed<P>) -> Self {
        let ptr = passed.raw().into_mut();
        // SAFETY: Valid until the callback is over.
        let object = unsafe { Live::from_raw(NonNull::new_unchecked(ptr)) };
        Self(object, PhantomData)
    }
}

impl<S, P> Deref for Object<'_, S, P> {
    type Target = Opaque<S>;

    #[inline(always)]
    fn deref(&self) -> &Opaque<S> {
        self.0.as_opaque()
    }
}

// SAFETY: The core passes null or an acknowledgment of the request at hand.
unsafe impl Arg for Extack<'_> {
    type Raw = *mut bindings::netlink_ext_ack;

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        // SAFETY: Null, or valid and not used by others during the request.
        unsafe { Extack::from_raw(passed.raw()) }
    }
}

impl Answer for bindings::irqreturn_t {
    type Raw = Self;

    fn into_raw(self) -> Self {
        self
    }
}

impl Answer for Result {
    type Raw = i32;

    fn into_raw(self) -> i32 {
        self.map_or_else(Error::to_errno, |()| 0)
    }
}

impl Answer for Result<i32> {
    type Raw = i32;

    fn into_raw(self) -> i32 {
        self.unwrap_or_else(Error::to_errno)
    }
}

impl Answer for Result<isize> {
    type Raw = isize;

    fn into_raw(self) -> isize {
        self.unwrap_or_else(|e| e.to_errno() as isize)
    }
}

/// A buffer of the core, if there is one.
///
/// # Safety
///
/// `at` is null or valid for `len` elements during `'a`, which nobody else uses.
pub(super) unsafe fn slice<'a, E>(at: *mut E, len: usize) -> Option<&'a mut [E]> {
    if at.is_null() {
        return None;
    }
    // SAFETY: By the safety requirement.
    Some(unsafe { core::slice::from_raw_parts_mut(at, len) })
}

/// Runs a body in a closure, so that `?` and `return` end the body and not the callback around it.
#[inline(always)]
pub(super) fn answer<A: Answer>(body: impl FnOnce() -> A) -> A::Raw {
    body().into_raw()
}

/// Defines functions for tables of callbacks, see [`callback`](self).
macro_rules! callbacks {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? { $($body:tt)* }
    )*) => {$(
        $(#[$meta])*
        ///
        /// # Safety
        ///
        /// To be called by the core, through the table that it was put in.
        $vis unsafe extern "C" fn $name(
            $($arg: <$ty as $crate::net::callback::Arg>::Raw),*
        ) -> $crate::net::callback::raw_answer!($($ret)?) {
            $(
                // SAFETY: The core calls through the table, which was made for this type, and the
                // object goes when the callback is over.
                let $arg = unsafe { $crate::net::callback::Passed::new($arg) };
                #[allow(unused_mut)]
                let mut $arg = <$ty as $crate::net::callback::Arg>::from_passed($arg);
            )*
            $crate::net::callback::answer(move || $(-> $ret)? { $($body)* })
        }
    )*};
}

/// The C type of an answer.
macro_rules! raw_answer {
    () => {
        ()
    };
    ($ret:ty) => {
        <$ret as $crate::net::callback::Answer>::Raw
    };
}

pub(super) use super::device::handle::{
    BhDisabled,
    Handle,
    Held,
    HeldRtnl, //
};
pub(super) use callbacks;
pub(super) use raw_answer;
