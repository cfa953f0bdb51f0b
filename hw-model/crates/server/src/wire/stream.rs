// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A Unix stream socket with the framing of QEMU's `-netdev stream`.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::PollFlags;
use rustix::net::{socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::Wire;
use crate::frames::{FrameBuffer, FrameReader};
use crate::serve::bind;

/// How long to wait before connecting again.
const RETRY: Duration = Duration::from_millis(100);

/// The socket: connected, or waiting to be.
pub(crate) struct Stream {
    path: PathBuf,
    /// Present if the other side is to connect.
    listener: Option<UnixListener>,
    peer: Option<UnixStream>,
    retry: Option<Instant>,
    received: FrameReader,
    outgoing: FrameBuffer,
}

impl Stream {
    /// Connects to `path` now or as soon as there is a listener.
    pub(crate) fn connect(path: &Path) -> Self {
        let mut stream = Self::new(path, None);
        stream.try_connect();
        stream
    }

    /// Waits for a peer at `path`, one at a time.
    pub(crate) fn listen(path: &Path) -> Result<Self> {
        let listener = bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self::new(path, Some(listener)))
    }

    fn new(path: &Path, listener: Option<UnixListener>) -> Self {
        Self {
            path: path.to_owned(),
            listener,
            peer: None,
            retry: None,
            received: FrameReader::new(),
            outgoing: FrameBuffer::default(),
        }
    }

    fn try_connect(&mut self) {
        match connect(&self.path) {
            Ok(peer) => self.attach(peer),
            Err(error) => {
                log::debug!("wire {}: {error}", self.path.display());
                self.retry = Some(Instant::now() + RETRY);
            }
        }
    }

    fn try_accept(&mut self) {
        let accepted = self.listener.as_ref().map(|listener| {
            let (peer, _) = listener.accept()?;
            peer.set_nonblocking(true)?;
            Ok::<_, io::Error>(peer)
        });
        match accepted {
            Some(Ok(peer)) => self.attach(peer),
            Some(Err(error)) => log::debug!("wire {}: {error}", self.path.display()),
            None => {}
        }
    }

    fn attach(&mut self, peer: UnixStream) {
        log::info!("wire {}: connected", self.path.display());
        self.received.clear();
        self.outgoing.clear();
        self.retry = None;
        self.peer = Some(peer);
    }

    /// Drops the peer. Complete frames can still be received.
    fn detach(&mut self, why: &dyn std::fmt::Display) {
        log::info!("wire {}: disconnected: {why}", self.path.display());
        self.peer = None;
        self.outgoing.clear();
        if self.listener.is_none() {
            self.retry = Some(Instant::now() + RETRY);
        }
    }

    fn read(&mut self) {
        let Some(peer) = &mut self.peer else {
            return;
        };
        match self.received.fill(peer) {
            Ok(0) => self.detach(&"the peer closed"),
            Ok(_) => self.check_framing(),
            Err(error) if would_block(&error) => {}
            Err(error) => self.detach(&error),
        }
    }

    fn check_framing(&mut self) {
        if self.received.is_broken() {
            log::warn!(
                "wire {}: impossible frame length, closing",
                self.path.display()
            );
            self.detach(&"it broke the framing");
        }
    }

    fn flush(&mut self) {
        let Some(peer) = &mut self.peer else {
            return;
        };
        while !self.outgoing.is_empty() {
            match peer.write(self.outgoing.as_bytes()) {
                Ok(n) => self.outgoing.consume(n),
                Err(error) if would_block(&error) => return,
                Err(error) => return self.detach(&error),
            }
        }
    }
}

impl Wire for Stream {
    fn interest(&self, want_frames: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match (&self.peer, &self.listener) {
            (Some(peer), _) => {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, want_frames);
                flags.set(PollFlags::OUT, !self.outgoing.is_empty());
                Some((peer.as_fd(), flags))
            }
            // The next peer is taken when the last one's frames are.
            (None, Some(listener)) if !self.has_frame() => Some((listener.as_fd(), PollFlags::IN)),
            _ => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.retry.filter(|_| !self.has_frame())
    }

    fn service(&mut self, events: PollFlags) {
        if self.peer.is_some() {
            if events.contains(PollFlags::OUT) {
                self.flush();
            }
            if events.contains(PollFlags::IN) {
                self.read();
            } else if events.intersects(PollFlags::HUP | PollFlags::ERR) {
                // Reading is paused; frames in the socket are lost.
                self.detach(&"the peer closed");
            }
        } else if !events.is_empty() {
            self.try_accept();
        } else if self.retry.is_some_and(|at| at <= Instant::now()) && !self.has_frame() {
            self.try_connect();
        }
    }

    fn link(&self) -> bool {
        self.peer.is_some() || self.has_frame()
    }

    fn has_frame(&self) -> bool {
        self.received.has_frame()
    }

    fn receive(&mut self) -> Option<&[u8]> {
        self.received.pop()
    }

    fn send(&mut self, frames: &mut FrameBuffer) {
        if self.peer.is_none() {
            // There is no peer, and the sender must not wait for one.
            frames.clear();
            return;
        }
        if self.outgoing.is_empty() {
            std::mem::swap(&mut self.outgoing, frames);
            self.flush();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.listener.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects without ever waiting for the listener to accept.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
