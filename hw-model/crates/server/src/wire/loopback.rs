// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A loop: sent frames are received again.

use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;

use super::Wire;
use crate::frames::FrameBuffer;

/// Frames sent and not received yet.
#[derive(Default)]
pub(crate) struct Loopback {
    frames: FrameBuffer,
}

impl Wire for Loopback {
    fn interest(&self, _want_frames: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        None
    }

    fn service(&mut self, _events: PollFlags) {}

    fn has_frame(&self) -> bool {
        !self.frames.is_empty()
    }

    fn receive(&mut self) -> Option<&[u8]> {
        self.frames.pop()
    }

    fn send(&mut self, frames: &mut FrameBuffer) {
        while !self.frames.is_full() {
            match frames.pop() {
                Some(frame) => self.frames.push(frame),
                None => break,
            }
        }
    }
}
