// SPDX-License-Identifier: GPL-2.0

//! Objects of the core, by what holds them alive.
//!
//! Wraps pointers to structures that the networking core allocates. A [`Live`] object is borrowed
//! from whoever owns it, an [`Owned`] one ends with its owner, and a [`Given`] one is on its way
//! from one owner to the next. The helpers in C take and give these, so that a call needs no
//! argument of its own why a pointer is good: `bindgen_safe.awk` says how.
//!
//! None of the types is bound to a context; what may be called on an object where is up to the
//! object.

use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::types::Opaque;

/// An object of the core.
///
/// # Invariants
///
/// A reference points to an object that is initialised, and not freed for the life of the
/// reference.
#[repr(transparent)]
pub(super) struct Live<T>(Opaque<T>);

impl<T> Live<T> {
    /// # Safety
    ///
    /// `ptr` points to an initialised object that is not freed for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(ptr: NonNull<T>) -> &'a Self {
        // INVARIANT: By the safety requirement.
        // SAFETY: By the safety requirement; `Self` is a transparent wrapper.
        unsafe { ptr.cast().as_ref() }
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut T {
        self.0.get()
    }

    /// The object, as helpers take it that rely on nothing inside.
    #[inline]
    pub(super) fn as_opaque(&self) -> &Opaque<T> {
        &self.0
    }
}

/// The ownership of an object on its way to the next owner. Dropping it leaks the object.
///
/// # Invariants
///
/// The pointer is an initialised object, of which this has what its owner has: all of it, or a
/// reference if it is counted.
#[must_use]
#[repr(transparent)]
pub(super) struct Given<T>(NonNull<Live<T>>);

impl<T> Given<T> {
    /// # Safety
    ///
    /// `ptr` is an initialised object that the caller owns and gives up.
    #[inline]
    pub(super) unsafe fn from_raw(ptr: NonNull<T>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(ptr.cast())
    }

    /// The pointer, which the caller is to give to an owner.
    #[inline]
    pub(super) fn into_raw(self) -> *mut T {
        self.0.cast().as_ptr()
    }
}

/// How objects of an owner end.
pub(super) trait End<T> {
    /// Ends an object.
    fn end(object: Given<T>);
}

/// An object that ends with its owner, as `E` says.
///
/// # Invariants
///
/// As of [`Given`].
#[repr(transparent)]
pub(super) struct Owned<T, E: End<T>>(NonNull<Live<T>>, PhantomData<E>);

impl<T, E: End<T>> Owned<T, E> {
    /// Gives the object up.
    #[inline]
    pub(super) fn give(self) -> Given<T> {
        // INVARIANT: The object moves, as `self` is not dropped.
        Given(ManuallyDrop::new(self).0)
    }
}

impl<T, E: End<T>> From<Given<T>> for Owned<T, E> {
    #[inline]
    fn from(object: Given<T>) -> Self {
        // INVARIANT: The object moves.
        Self(object.0, PhantomData)
    }
}

impl<T, E: End<T>> Deref for Owned<T, E> {
    type Target = Live<T>;

    #[inline]
    fn deref(&self) -> &Live<T> {
        // SAFETY: The object is initialised by the type invariant, and does not end before this.
        unsafe { self.0.as_ref() }
    }
}

impl<T, E: End<T>> Drop for Owned<T, E> {
    #[inline]
    fn drop(&mut self) {
        // INVARIANT: The object moves: nobody uses `self` after this.
        E::end(Given(self.0));
    }
}
