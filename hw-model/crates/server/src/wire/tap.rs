// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A TAP device of the host.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use rustix::event::PollFlags;

use super::Wire;
use crate::frames::{FrameBuffer, MAX_FRAME};

/// Frames read at once, so that the transmit side is not kept waiting.
const BATCH: usize = 256;

/// The device, and frames read from it.
pub(crate) struct Tap {
    file: File,
    name: String,
    received: FrameBuffer,
    frame: Vec<u8>,
    /// Whether the last write found the device's queue full.
    blocked: bool,
    /// Whether the interface was deleted.
    gone: bool,
}

impl Tap {
    /// Attaches to the device, which is made if it is not there.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let file = reflow_mem::tap::open(name)
            .with_context(|| format!("cannot attach to TAP device {name}"))?;
        Ok(Self {
            file,
            name: name.to_owned(),
            received: FrameBuffer::default(),
            frame: vec![0; MAX_FRAME],
            blocked: false,
            gone: false,
        })
    }
}

impl Wire for Tap {
    fn interest(&self, want_frames: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.gone {
            return None;
        }
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, want_frames);
        flags.set(PollFlags::OUT, self.blocked);
        Some((self.file.as_fd(), flags))
    }

    fn service(&mut self, events: PollFlags) {
        if events.intersects(PollFlags::ERR | PollFlags::HUP) {
            log::warn!("{}: the interface was deleted, the link is down", self.name);
            self.gone = true;
        }
        self.blocked &= !events.contains(PollFlags::OUT);
        if !events.contains(PollFlags::IN) {
            return;
        }
        for _ in 0..BATCH {
            match self.file.read(&mut self.frame) {
                Ok(n) => self.received.push(&self.frame[..n]),
                Err(error) => {
                    // An interface that is down gives EIO, and is polled again when it is up.
                    if error.kind() != io::ErrorKind::WouldBlock {
                        log::debug!("{}: {error}", self.name);
                    }
                    break;
                }
            }
        }
    }

    fn link(&self) -> bool {
        !self.gone
    }

    fn has_frame(&self) -> bool {
        !self.received.is_empty()
    }

    fn receive(&mut self) -> Option<&[u8]> {
        self.received.pop()
    }

    fn send(&mut self, frames: &mut FrameBuffer) {
        while let Some(frame) = frames.peek() {
            match self.file.write(frame) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return;
                }
                // The frame is lost: the interface is down or gone.
                Err(error) => log::debug!("{}: frame not sent: {error}", self.name),
                Ok(_) => {}
            }
            frames.pop();
        }
    }
}
