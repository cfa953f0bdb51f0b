// SPDX-License-Identifier: GPL-2.0

//! Packets without a socket buffer on their way out.
//!
//! Wraps `struct xdp_frame` and `struct xdp_frame_bulk`. Frames may be freed in any context, those
//! of a bulk in the poll that it was made in.

use super::super::{
    bindings,
    napi::RxContext, //
};
use core::{
    marker::PhantomData,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};

/// A packet to send that is not a socket buffer.
///
/// # Invariants
///
/// The pointer is a frame that this object owns with all its memory.
pub(crate) struct Frame(NonNull<bindings::xdp_frame>);

// SAFETY: The object owns the frame, and a frame may be sent and freed on any CPU.
unsafe impl Send for Frame {}

impl Frame {
    /// # Safety
    ///
    /// `frame` is a valid frame that the caller gives up.
    pub(super) unsafe fn from_raw(frame: NonNull<bindings::xdp_frame>) -> Self {
        // INVARIANT: By the safety requirement.
        Self(frame)
    }

    pub(in crate::net) fn as_raw(&self) -> *const bindings::xdp_frame {
        self.0.as_ptr()
    }

    /// Gives the frame up without freeing it.
    pub(super) fn into_raw(self) -> *mut bindings::xdp_frame {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// How many pieces of memory it consists of, and its length in bytes.
    #[inline]
    pub(crate) fn shape(&self) -> (u32, u32) {
        let mut len = 0;
        // SAFETY: The frame is valid by the type invariant.
        let parts = unsafe { bindings::xdp_frame_shape(self.0.as_ptr(), &mut len) };
        (parts, len)
    }

    /// Ends a frame that was sent. The memory goes back with that of others, in bulk.
    #[inline]
    pub(crate) fn consume(self, bulk: &mut FrameBulk<'_>) {
        // SAFETY: The frame is owned and given up.
        unsafe { bindings::xdp_frame_done(self.into_raw(), bulk.raw.as_mut_ptr()) };
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: The frame is owned by the type invariant.
        unsafe { bindings::xdp_return_frame(self.0.as_ptr()) };
    }
}

/// A packet to send back that was received in pages of pools of this layer, which are mapped for
/// both directions.
///
/// # Invariants
///
/// All memory of the frame is in such pages.
pub(crate) struct OwnFrame(Frame);

impl OwnFrame {
    /// # Safety
    ///
    /// `frame` is what became of a [`super::Buff`].
    pub(super) unsafe fn new(frame: Frame) -> Self {
        // INVARIANT: A packet of this layer is in such pages; programs can make it shorter or
        // longer, but only within them.
        Self(frame)
    }

    pub(in crate::net) fn as_raw(&self) -> *const bindings::xdp_frame {
        self.0.as_raw()
    }

    /// The frame, as one of anyone's.
    #[inline]
    pub(crate) fn into_frame(self) -> Frame {
        self.0
    }

    /// As [`Frame::shape`].
    #[inline]
    pub(crate) fn shape(&self) -> (u32, u32) {
        self.0.shape()
    }
}

/// Memory of frames that go back together when this is dropped.
pub(crate) struct FrameBulk<'p> {
    /// Of the array inside, only as many entries are written as `count` says.
    raw: MaybeUninit<bindings::xdp_frame_bulk>,
    _poll: PhantomData<&'p ()>,
}

impl<'p> FrameBulk<'p> {
    /// An empty one, for the rest of a poll.
    #[inline]
    pub(crate) fn new(_cx: &'p RxContext<'_>) -> Self {
        let mut raw = MaybeUninit::<bindings::xdp_frame_bulk>::uninit();
        // SAFETY: The pointer is good for writing; the other field stays as it is.
        unsafe { (&raw mut (*raw.as_mut_ptr()).count).write(0) };
        Self {
            raw,
            _poll: PhantomData,
        }
    }
}

impl Drop for FrameBulk<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Written by `new` at the latest.
        if unsafe { (*self.raw.as_ptr()).count } != 0 {
            // SAFETY: The entries are references that frames gave up.
            unsafe { bindings::xdp_bulk_flush(self.raw.as_mut_ptr()) };
        }
    }
}
