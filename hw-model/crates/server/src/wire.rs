// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The wire that the NIC is connected to.

mod capture;
mod loopback;
mod stream;
mod tap;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use anyhow::Result;
use rustix::event::PollFlags;

use crate::cli::WireSpec;
use crate::frames::FrameBuffer;

/// A wire: frames in, frames out, and the link state.
///
/// No method blocks. The data thread polls [`Wire::interest`] and calls [`Wire::service`].
pub(crate) trait Wire: Send {
    /// Events to wait for; `wanted` says whether frames are wanted.
    fn interest(&self, want_frames: bool) -> Option<(BorrowedFd<'_>, PollFlags)>;

    /// When to call [`Wire::service`] at the latest.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Handles `events` on the descriptor, or the deadline.
    fn service(&mut self, events: PollFlags);

    /// Whether the link is up.
    fn link(&self) -> bool {
        true
    }

    /// Whether a frame is held that [`Wire::receive`] would return.
    fn has_frame(&self) -> bool;

    /// The next frame.
    fn receive(&mut self) -> Option<&[u8]>;

    /// Sends as many of these frames as it can.
    fn send(&mut self, frames: &mut FrameBuffer);

    /// The NIC starts or stops receiving.
    fn listening(&mut self, _on: bool) {}
}

/// Opens the wire.
pub(crate) fn open(spec: &WireSpec) -> Result<Box<dyn Wire>> {
    Ok(match spec {
        WireSpec::Connect(path) => Box::new(stream::Stream::connect(path)),
        WireSpec::Listen(path) => Box::new(stream::Stream::listen(path)?),
        WireSpec::Tap(name) => Box::new(tap::Tap::open(name)?),
        WireSpec::Pcap(input, output) => {
            Box::new(capture::Capture::open(input, output.as_deref())?)
        }
        WireSpec::Loop => Box::new(loopback::Loopback::default()),
    })
}
