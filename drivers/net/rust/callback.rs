// SPDX-License-Identifier: GPL-2.0

//! Callbacks: functions that the core finds in a table of a driver and calls.
//!
//! [`callbacks!`] writes the C side of each. Its parameters have the types that the body works
//! with, each of which says by [`Arg`] how the core passes it; its result is turned into that of C
//! by [`Answer`]. So the argument why a callback may touch what it was given stands in one place:
//! it is a contract of the core that holds for all tables of this layer.
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
    extack::Extack, //
};
use kernel::prelude::*;

/// A parameter of a callback.
///
/// # Safety
///
/// `from_raw` may rely on its safety requirement and on nothing else.
pub(super) unsafe trait Arg: Sized {
    /// As C passes it.
    type Raw;

    /// # Safety
    ///
    /// `raw` is what the core passed to a callback in a table that was made for this type, and the
    /// result is not used when that callback is over. So a pointer to a structure is valid, and
    /// until then nobody else writes what can be written through it.
    unsafe fn from_raw(raw: Self::Raw) -> Self;
}

/// What a callback answers.
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

            unsafe fn from_raw(raw: Self) -> Self {
                raw
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

plain!(u16, i32, u32, u64, usize, bool, ());

// SAFETY: A pointer is a plain value, whatever it points to.
unsafe impl<S> Arg for *mut S {
    type Raw = Self;

    unsafe fn from_raw(raw: Self) -> Self {
        raw
    }
}

// SAFETY: A pointer is a plain value, whatever it points to.
unsafe impl<S> Arg for *const S {
    type Raw = Self;

    unsafe fn from_raw(raw: Self) -> Self {
        raw
    }
}

// SAFETY: What the requirement of `from_raw` says of pointers to structures.
unsafe impl<S> Arg for &S {
    type Raw = *const S;

    unsafe fn from_raw(raw: *const S) -> Self {
        // SAFETY: Valid, and not written meanwhile.
        unsafe { &*raw }
    }
}

// SAFETY: What the requirement of `from_raw` says of pointers to structures.
unsafe impl<S> Arg for &mut S {
    type Raw = *mut S;

    unsafe fn from_raw(raw: *mut S) -> Self {
        // SAFETY: Valid, and used by nobody else meanwhile.
        unsafe { &mut *raw }
    }
}

// SAFETY: The core passes null or an acknowledgment of the request at hand.
unsafe impl Arg for Extack<'_> {
    type Raw = *mut bindings::netlink_ext_ack;

    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: Null, or valid and not used by others during the request.
        unsafe { Extack::from_raw(raw) }
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

/// Runs a body, so that `?` and `return` end it and not the callback around it.
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
                #[allow(unused_mut)]
                // SAFETY: The core calls through the table, which was made for this type, and the
                // object goes when the callback is over.
                let mut $arg: $ty = unsafe {
                    <$ty as $crate::net::callback::Arg>::from_raw($arg)
                };
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
    Handle,
    Held, //
};
pub(super) use callbacks;
pub(super) use raw_answer;
