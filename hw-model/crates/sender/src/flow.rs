// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One TCP connection to the guest, just enough to send bulk data.

use crate::frame::{flags, option, Segment};
use std::time::Duration;

/// Bytes of data in a segment with a time stamp.
pub(crate) const MSS: u32 = 1448;
/// Segments of a burst: what a sender with segmentation offload puts on the wire at once.
pub(crate) const BURST: u32 = 44;
/// Port that the guest listens on.
const PORT: u16 = 5001;
/// After so long without an answer a connection is opened again.
const REOPEN: Duration = Duration::from_secs(1);
/// After so long without progress everything is sent again. An emulated guest takes its time.
const RETRY: Duration = Duration::from_secs(10);

#[derive(PartialEq, Eq, Debug)]
enum State {
    Opening,
    Open,
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Flow {
    port: u16,
    state: State,
    /// Sequence numbers: next to send, first not acknowledged, and what we expect.
    next: u32,
    una: u32,
    ack: u32,
    /// Bytes that the guest takes, and how far it shifts its window.
    window: u32,
    shift: u8,
    /// Bytes that we keep under way at most.
    limit: u32,
    /// Segments of this burst that were sent, and the time stamps that all of it has.
    in_burst: u32,
    stamp: u32,
    echo: u32,
    burst_echo: u32,
    id: u16,
    /// When there was progress last.
    progress: Duration,
    /// Times that everything was sent again.
    pub(crate) retries: u32,
}

impl Flow {
    /// A connection from `port`, with at most `limit` bytes under way.
    pub(crate) fn new(port: u16, seq: u32, limit: u32) -> Self {
        Self {
            port,
            state: State::Opening,
            next: seq,
            una: seq,
            ack: 0,
            window: 0,
            shift: 0,
            limit,
            in_burst: 0,
            stamp: 1,
            echo: 0,
            burst_echo: 0,
            id: 0,
            progress: Duration::ZERO,
            retries: 0,
        }
    }

    /// Whether data can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    fn put(&mut self, out: &mut Vec<u8>, flags: u8, options: &[u8], len: u32) {
        self.id = self.id.wrapping_add(1);
        Segment {
            source: self.port,
            dest: PORT,
            seq: self.next,
            ack: self.ack,
            flags,
            options,
            id: self.id,
            len: len as usize,
        }
        .put(out);
    }

    /// Sends a SYN if one is due.
    pub(crate) fn open(&mut self, now: Duration, out: &mut Vec<u8>) {
        if self.state != State::Opening
            || (self.progress != Duration::ZERO && now - self.progress < REOPEN)
        {
            return;
        }
        self.progress = now;
        // Largest segment 1460, window scale 7, time stamp.
        let mut options = [
            2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        options[12..16].copy_from_slice(&self.stamp.to_be_bytes());
        self.put(out, flags::SYN, &options, 0);
    }

    /// Bytes that may be sent now.
    fn room(&self) -> u32 {
        let window = self.window.min(self.limit);
        window.saturating_sub(self.next.wrapping_sub(self.una))
    }

    /// Whether so many segments may be sent now.
    pub(crate) fn may_send(&self, segments: u32) -> bool {
        self.is_open() && self.room() >= segments * MSS
    }

    /// Sends one segment.
    pub(crate) fn segment(&mut self, now: Duration, out: &mut Vec<u8>) {
        if self.in_burst == 0 {
            self.stamp = now.as_millis() as u32;
            self.burst_echo = self.echo;
        }
        if self.next == self.una {
            self.progress = now;
        }
        self.in_burst = (self.in_burst + 1) % BURST;
        let push = if self.in_burst == 0 { flags::PSH } else { 0 };
        let options = self.stamps();
        self.put(out, flags::ACK | push, &options, MSS);
        self.next = self.next.wrapping_add(MSS);
    }

    fn stamps(&self) -> [u8; 12] {
        let mut options = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
        options[4..8].copy_from_slice(&self.stamp.to_be_bytes());
        options[8..].copy_from_slice(&self.burst_echo.to_be_bytes());
        options
    }

    /// Starts again from what was acknowledged, if nothing was for too long.
    pub(crate) fn retry(&mut self, now: Duration) {
        if self.is_open() && self.next != self.una && now - self.progress > RETRY {
            self.next = self.una;
            self.in_burst = 0;
            self.progress = now;
            self.retries += 1;
        }
    }

    /// Takes a segment of the guest.
    pub(crate) fn receive(&mut self, now: Duration, from: &Answer<'_>, out: &mut Vec<u8>) {
        if from.flags & flags::RST != 0 {
            self.state = State::Closed;
            return;
        }
        if let Some(&[a, b, c, d, ..]) = option(from.options, 8) {
            self.echo = u32::from_be_bytes([a, b, c, d]);
        }
        if self.state == State::Opening && from.flags & flags::SYN != 0 {
            self.state = State::Open;
            self.next = self.next.wrapping_add(1);
            self.ack = from.seq.wrapping_add(1);
            self.shift = option(from.options, 3).map_or(0, |data| data[0].min(14));
            self.burst_echo = self.echo;
            let options = self.stamps();
            self.put(out, flags::ACK, &options, 0);
            self.una = self.next;
            self.window = from.window.into();
            return;
        }
        if from.flags & flags::SYN != 0 {
            // The last packet of the handshake was lost.
            let options = self.stamps();
            self.put(out, flags::ACK, &options, 0);
            return;
        }
        if from.ack.wrapping_sub(self.una) as i32 >= 0 {
            if from.ack != self.una {
                self.progress = now;
            }
            self.una = from.ack;
            if (self.next.wrapping_sub(self.una) as i32) < 0 {
                self.next = self.una;
            }
            self.window = u32::from(from.window) << self.shift;
        }
    }
}

/// A segment of the guest.
pub(crate) struct Answer<'a> {
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) options: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(flags: u8, seq: u32, ack: u32) -> Answer<'static> {
        Answer {
            flags,
            seq,
            ack,
            window: 0xffff,
            options: &[3, 3, 7, 0],
        }
    }

    #[test]
    fn a_connection_opens_keeps_to_its_limit_and_starts_again() {
        let (mut flow, mut out) = (Flow::new(10_000, u32::MAX, 2 * MSS), Vec::new());
        let at = Duration::from_millis;
        assert!(!flow.may_send(1));
        flow.open(at(5), &mut out);
        flow.receive(at(6), &answer(flags::SYN | flags::ACK, 99, 0), &mut out);
        flow.receive(at(7), &answer(flags::ACK, 100, 0), &mut out);
        assert!(flow.may_send(2) && !flow.may_send(3));
        flow.segment(at(8), &mut out);
        flow.segment(at(8), &mut out);
        assert!(!flow.may_send(1));
        flow.receive(at(9), &answer(flags::ACK, 100, MSS), &mut out);
        assert!(flow.may_send(1));
        flow.retry(at(100));
        assert!(!flow.may_send(2));
        flow.retry(at(20_000));
        assert!(flow.may_send(2));
        assert_eq!(flow.retries, 1);
        flow.receive(at(20_001), &answer(flags::RST, 0, 0), &mut out);
        assert!(!flow.may_send(1));
    }
}
