// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The data thread: moves frames between the wire and the device.
//!
//! All frames of the wire go to the device before it is pumped, because the batching hint
//! depends on the packets that wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use reflow_hwdef::regs;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::frames::FrameBuffer;
use crate::nic::{Nic, Shared};
use crate::trace::Trace;
use crate::wire::Wire;

/// Rounds after which the descriptors are polled, even if there is more work.
const ROUNDS: usize = 16;

/// The thread's own state.
pub(crate) struct DataPath {
    shared: Arc<Shared>,
    wire: Box<dyn Wire>,
    trace: Option<Trace>,
    /// Whether the wire is left alone while the packet memory is nearly full.
    pause: bool,
    /// Whether it is nearly full.
    paused: bool,
    /// When to pump the device again.
    deadline: Option<u64>,
    /// Frames on their way from the device to the wire.
    outgoing: FrameBuffer,
}

impl DataPath {
    /// A data path between the device and this wire.
    pub(crate) fn new(
        shared: Arc<Shared>,
        wire: Box<dyn Wire>,
        trace: Option<Trace>,
        pause: bool,
    ) -> Self {
        Self {
            shared,
            wire,
            trace,
            pause,
            paused: false,
            deadline: None,
            outgoing: FrameBuffer::default(),
        }
    }

    /// Works until the server stops.
    pub(crate) fn run(mut self) -> Result<(), Errno> {
        while !self.shared.stopping() {
            let busy = (0..ROUNDS).all(|_| self.step());
            let timeout = if busy {
                Some(Duration::ZERO)
            } else {
                self.trace.iter_mut().for_each(Trace::flush);
                self.timeout()
            };
            self.wait(timeout)?;
        }
        Ok(())
    }

    /// Waits for the wire, the vfio-user thread or the clock.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        let want_frames = !self.paused && !self.wire.has_frame();
        let interest = self.wire.interest(want_frames);
        let timeout = timeout.map(|d| Timespec {
            tv_sec: d.as_secs() as i64,
            tv_nsec: i64::from(d.subsec_nanos()),
        });
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.shared.wake_fd(),
            PollFlags::IN,
        )];
        fds.extend(interest.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let woken = !fds[0].revents().is_empty();
        let events = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
        self.shared.awake(woken);
        self.wire.service(events);
        Ok(())
    }

    /// How long to wait at most.
    fn timeout(&self) -> Option<Duration> {
        let device = self
            .deadline
            .map(|at| Duration::from_nanos(at.saturating_sub(self.shared.now_ns())));
        let wire = self
            .wire
            .deadline()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let trace = self.trace.as_ref().and_then(Trace::timeout);
        [device, wire, trace].into_iter().flatten().min()
    }

    /// One round: frames in, transfer, frames out. Whether another round would find work.
    fn step(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let now = shared.now_ns();
        let mut nic = shared.lock();
        nic.set_wire(self.wire.link());
        self.wire
            .listening(regs::Ctrl(nic.device.register(regs::CTRL)).rx() != 0);
        let fed = self.feed(&mut nic, now);
        let more = nic.pump(now);
        if let Some(trace) = &mut self.trace {
            nic.device.exits().for_each(|exit| trace.left(exit));
        }
        self.deadline = nic.next_deadline();
        let fetch = self.outgoing.is_empty();
        if fetch {
            std::mem::swap(&mut self.outgoing, &mut nic.sent);
        }
        self.paused = self.pause && is_nearly_full(&nic);
        // The vfio-user thread may wait for a register; it goes first.
        MutexGuard::unlock_fair(nic);
        if let Some(trace) = self.trace.as_mut().filter(|_| fetch) {
            self.outgoing.iter().for_each(|frame| trace.sent(frame));
        }
        let sent = self.send();
        more || sent || (fed && self.wire.has_frame() && !self.paused)
    }

    /// Passes frames from the wire to the device; returns whether there were any.
    fn feed(&mut self, nic: &mut Nic, now: u64) -> bool {
        let mut fed = false;
        while !(self.pause && is_nearly_full(nic)) {
            let Some(frame) = self.wire.receive() else {
                break;
            };
            if !nic.link() {
                // Frames on an unplugged wire are lost.
                fed = true;
                continue;
            }
            let outcome = nic.device.rx_frame(now, frame);
            if let Some(trace) = &mut self.trace {
                trace.received(frame, outcome);
            }
            fed = true;
        }
        fed
    }

    /// Passes frames from the device to the wire; returns whether it took any.
    fn send(&mut self) -> bool {
        if self.outgoing.is_empty() {
            return false;
        }
        let before = self.outgoing.as_bytes().len();
        self.wire.send(&mut self.outgoing);
        before != self.outgoing.as_bytes().len()
    }
}

/// Whether the packet memory is so full that the peer would be asked to pause.
fn is_nearly_full(nic: &Nic) -> bool {
    nic.device.pm_level() > nic.device.pm_size() / 4 * 3
}
