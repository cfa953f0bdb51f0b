// SPDX-License-Identifier: GPL-2.0

//! Packets without a socket buffer on their way out.
//!
//! Wraps `struct xdp_frame` and `struct xdp_frame_bulk`. Frames may be freed in any context, those
//! of a bulk in the poll that it was made in.

use super::super::{
    bindings,
    napi::RxContext,
    own::{
        End,
        Given,
        Live,
        Owned, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        MaybeUninit, //
    }, //
};

/// How a frame ends that nobody has sent.
struct Return;

impl End<bindings::xdp_frame> for Return {
    fn end(frame: Given<bindings::xdp_frame>) {
        bindings::xdp_return_frame(frame);
    }
}

/// A packet to send that is not a socket buffer, with all its memory.
#[repr(transparent)]
pub(crate) struct XdpFrame(Owned<bindings::xdp_frame, Return>);

// SAFETY: The object owns the frame, and a frame may be sent and freed on any CPU.
unsafe impl Send for XdpFrame {}

impl XdpFrame {
    /// The frame, for helpers.
    #[inline]
    pub(in crate::net) fn live(&self) -> &Live<bindings::xdp_frame> {
        &self.0
    }

    /// How many pieces of memory it consists of, and its length in bytes.
    #[inline]
    pub(crate) fn shape(&self) -> (u32, u32) {
        let mut len = 0;
        let parts = bindings::xdp_frame_shape(&self.0, &mut len);
        (parts, len)
    }

    /// Ends a frame that was sent. The memory goes back with that of others, in bulk.
    #[inline]
    pub(crate) fn consume(self, bulk: &mut XdpFrameBulk<'_>) {
        bindings::xdp_return_frame_bulk(self.0.give(), bulk);
    }
}

/// A packet to send back that was received in pages of pools of this layer, which are mapped for
/// both directions.
///
/// # Invariants
///
/// All memory of the frame is in such pages.
pub(crate) struct OwnFrame(XdpFrame);

impl OwnFrame {
    /// Takes over the frame that an [`super::XdpBuff`] was converted to.
    #[inline]
    pub(super) fn new(frame: Given<bindings::xdp_frame>) -> Self {
        // INVARIANT: A packet of this layer is in such pages; XDP programs can make it shorter or
        // longer, but only within them.
        Self(XdpFrame(frame.into()))
    }

    /// The frame, for helpers.
    #[inline]
    pub(in crate::net) fn live(&self) -> &Live<bindings::xdp_frame> {
        self.0.live()
    }

    /// The frame, as one of anyone's.
    #[inline]
    pub(crate) fn into_frame(self) -> XdpFrame {
        self.0
    }

    /// As [`XdpFrame::shape`].
    #[inline]
    pub(crate) fn shape(&self) -> (u32, u32) {
        self.0.shape()
    }
}

/// Memory of frames that go back together when this is dropped.
///
/// # Invariants
///
/// The first `count` entries are references that frames gave up.
#[repr(C)]
pub(crate) struct XdpFrameBulk<'p> {
    // As in `struct xdp_frame_bulk`.
    count: i32,
    netmems: [MaybeUninit<bindings::netmem_ref>; BULK],
    _poll: PhantomData<&'p ()>,
}

/// Most frames that go back together.
const BULK: usize = {
    let bulk: bindings::xdp_frame_bulk = pin_init::zeroed();
    bulk.q.len()
};

const _: () = {
    use bindings::xdp_frame_bulk;

    assert!(size_of::<XdpFrameBulk<'_>>() == size_of::<xdp_frame_bulk>());
    assert!(offset_of!(XdpFrameBulk<'_>, count) == offset_of!(xdp_frame_bulk, count));
    assert!(offset_of!(XdpFrameBulk<'_>, netmems) == offset_of!(xdp_frame_bulk, q));
};

impl<'p> XdpFrameBulk<'p> {
    /// An empty one, for the rest of a poll.
    #[inline]
    pub(crate) fn new(_cx: &'p RxContext<'_>) -> Self {
        // INVARIANT: No entry counts.
        Self {
            count: 0,
            netmems: [const { MaybeUninit::uninit() }; BULK],
            _poll: PhantomData,
        }
    }
}

impl Drop for XdpFrameBulk<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count != 0 {
            bindings::xdp_flush_frame_bulk(self);
        }
    }
}
