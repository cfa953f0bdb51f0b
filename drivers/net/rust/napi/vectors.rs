// SPDX-License-Identifier: GPL-2.0

//! The NAPI instances of a device, which go together.
//!
//! The memory of an instance may be freed an RCU grace period after nobody can find it any more.
//! One is enough for all that were deleted before it began.

use super::{
    super::bindings,
    Poll,
    Stage,
    Vector, //
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::prelude::*;

/// Instances of a device that end together.
pub(in crate::net) struct Vectors<P: Poll>(KVec<Vector<P>>);

impl<P: Poll> Vectors<P> {
    /// None, with room for `count`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(in crate::net) fn with_capacity(count: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(count, GFP_KERNEL)?))
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(in crate::net) fn push(&mut self, vector: Vector<P>) -> Result {
        Ok(self.0.push(vector, GFP_KERNEL)?)
    }
}

impl<P: Poll> Deref for Vectors<P> {
    type Target = [Vector<P>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<P: Poll> DerefMut for Vectors<P> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<P: Poll> Drop for Vectors<P> {
    fn drop(&mut self) {
        for vector in &mut self.0 {
            vector.delete();
        }
        if self.0.is_empty() {
            return;
        }
        bindings::synchronize_net();
        for vector in &mut self.0 {
            // INVARIANT: Deleted above, and a grace period has passed since.
            vector.stage = Stage::Unused;
        }
    }
}
