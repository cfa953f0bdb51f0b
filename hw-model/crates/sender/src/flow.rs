// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One TCP connection to the guest, just enough to exchange data without loss.

use crate::frame::{flags, option, Segment};
use crate::order::Stamps;
use std::time::Duration;

/// Bytes of data in a segment with a time stamp.
pub(crate) const MSS: u32 = 1448;
/// Segments of a burst: what a sender with segmentation offload puts on the wire at once.
pub(crate) const BURST: u32 = 44;
/// The same of a sender that may go beyond 64 KiB.
pub(crate) const LONG_BURST: u32 = 127;
/// Bytes of data in a frame that is never cut into segments.
pub(crate) const GIANT: u32 = BURST * MSS;
/// Port that the guest listens on.
const PORT: u16 = 5001;
/// After so long without an answer a connection is opened again.
const REOPEN: Duration = Duration::from_secs(1);
/// After so long without progress everything is sent again. An emulated guest takes its time.
const RETRY: Duration = Duration::from_secs(10);
/// Received segments that are acknowledged together, as by a receiver that merges.
const ACK_AFTER: u32 = 32;
/// After so long fewer are acknowledged.
const ACK_DELAY: Duration = Duration::from_millis(2);

#[derive(PartialEq, Eq, Debug)]
enum State {
    Opening,
    Open,
    Closed,
}

/// Data that came and is not yet acknowledged.
#[derive(Debug)]
struct Owed {
    segments: u32,
    since: Duration,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Flow {
    port: u16,
    state: State,
    /// Sequence numbers: the first of the data, next to send, first not acknowledged.
    first: u32,
    next: u32,
    una: u32,
    /// Sequence number that we expect, and that of the guest's first data.
    ack: u32,
    guest_first: u32,
    /// Bytes that the guest takes, and how far it shifts its window.
    window: u32,
    shift: u8,
    stamps: Stamps,
    /// Segments of a burst, those of this one that were sent, and the time stamps of it.
    burst: u32,
    in_burst: u32,
    stamp: u32,
    echo: u32,
    burst_echo: u32,
    id: u16,
    owed: Owed,
    /// When there was progress last.
    progress: Duration,
    /// Times that everything was sent again.
    pub(crate) retries: u32,
}

impl Flow {
    /// A connection from `port` with bursts of so many segments.
    pub(crate) fn new(port: u16, seq: u32, stamps: Stamps, burst: u32) -> Self {
        Self {
            port,
            state: State::Opening,
            first: seq.wrapping_add(1),
            next: seq,
            una: seq,
            ack: 0,
            guest_first: 0,
            window: 0,
            shift: 0,
            stamps,
            burst,
            in_burst: 0,
            stamp: 1,
            echo: 0,
            burst_echo: 0,
            id: 0,
            owed: Owed {
                segments: 0,
                since: Duration::ZERO,
            },
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

    /// Bytes sent that the guest has not acknowledged.
    pub(crate) fn under_way(&self) -> u32 {
        self.next.wrapping_sub(self.una)
    }

    /// Bytes that the guest takes.
    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// Bytes of data sent, but for what is to be sent again.
    pub(crate) fn sent(&self) -> u32 {
        self.next.wrapping_sub(self.first)
    }

    /// Whether so many bytes may be sent now, with at most `limit` under way.
    pub(crate) fn may_send(&self, bytes: u32, limit: u32) -> bool {
        let window = self.window.min(limit);
        self.is_open() && window.saturating_sub(self.under_way()) >= bytes
    }

    /// Whether as many bytes came back as were sent.
    pub(crate) fn is_even(&self) -> bool {
        let received = self.ack.wrapping_sub(self.guest_first);
        self.is_open() && received == self.sent()
    }

    /// Sends one segment of a stream, with PSH or as part of a burst.
    pub(crate) fn segment(&mut self, now: Duration, len: u32, push: bool, out: &mut Vec<u8>) {
        match self.stamps {
            Stamps::Step => self.restamp(self.stamp.wrapping_add(1)),
            Stamps::Batch if self.in_burst == 0 => self.restamp(now.as_millis() as u32),
            Stamps::Batch => {}
        }
        self.in_burst = (self.in_burst + len.div_ceil(MSS)) % self.burst;
        self.data(now, len, push || self.in_burst == 0, out);
    }

    /// Sends data that the guest answers: with PSH and the present time stamp.
    pub(crate) fn request(&mut self, now: Duration, len: u32, out: &mut Vec<u8>) {
        self.restamp(now.as_millis() as u32);
        self.data(now, len, true, out);
        self.owed.segments = 0;
    }

    fn restamp(&mut self, stamp: u32) {
        self.stamp = stamp;
        self.burst_echo = self.echo;
    }

    fn data(&mut self, now: Duration, len: u32, push: bool, out: &mut Vec<u8>) {
        if self.next == self.una {
            self.progress = now;
        }
        let push = if push { flags::PSH } else { 0 };
        let options = self.stamp_option();
        self.put(out, flags::ACK | push, &options, len);
        self.next = self.next.wrapping_add(len);
    }

    fn stamp_option(&self) -> [u8; 12] {
        let mut options = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
        options[4..8].copy_from_slice(&self.stamp.to_be_bytes());
        options[8..].copy_from_slice(&self.burst_echo.to_be_bytes());
        options
    }

    /// Sends an ACK.
    fn acknowledge(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.restamp(self.stamp.max(now.as_millis() as u32));
        let options = self.stamp_option();
        self.put(out, flags::ACK, &options, 0);
        self.owed.segments = 0;
    }

    /// Acknowledges what came, once it is enough or old enough; returns whether some is left.
    pub(crate) fn settle(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let owed = &self.owed;
        if owed.segments >= ACK_AFTER || owed.segments != 0 && now - owed.since >= ACK_DELAY {
            self.acknowledge(now, out);
        }
        self.owed.segments != 0
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
        if from.flags & flags::SYN != 0 {
            if self.state == State::Opening {
                self.state = State::Open;
                self.next = self.first;
                self.una = self.first;
                self.ack = from.seq.wrapping_add(1);
                self.guest_first = self.ack;
                self.shift = option(from.options, 3).map_or(0, |data| data[0].min(14));
                self.window = from.window.into();
            }
            // Else the last packet of the handshake was lost.
            self.acknowledge(now, out);
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
        self.take(now, from);
    }

    /// Takes the data of a segment; what is not the next is acknowledged again.
    fn take(&mut self, now: Duration, from: &Answer<'_>) {
        if from.len == 0 {
            return;
        }
        if self.owed.segments == 0 {
            self.owed.since = now;
        }
        self.owed.segments += from.len.div_ceil(MSS);
        if from.seq == self.ack {
            self.ack = self.ack.wrapping_add(from.len);
        } else {
            self.owed.segments = ACK_AFTER;
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
    /// Bytes of data.
    pub(crate) len: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn answer(flags: u8, seq: u32, ack: u32, len: u32) -> Answer<'static> {
        Answer {
            flags,
            seq,
            ack,
            window: 0xffff,
            options: &[3, 3, 7, 0],
            len,
        }
    }

    /// A connection that is open; the guest's data begins at 100, ours at 0.
    fn opened(stamps: Stamps, out: &mut Vec<u8>) -> Flow {
        let mut flow = Flow::new(10_000, u32::MAX, stamps, BURST);
        assert!(!flow.may_send(1, MSS));
        flow.open(at(5), out);
        flow.receive(at(6), &answer(flags::SYN | flags::ACK, 99, 0, 0), out);
        flow.receive(at(7), &answer(flags::ACK, 100, 0, 0), out);
        out.clear();
        flow
    }

    /// Time stamps and flags of the frames.
    fn sent(out: &[u8]) -> Vec<(u32, u8)> {
        let mut seen = Vec::new();
        crate::frame::each(out, |frame| {
            let stamp = &frame[14 + 20 + 20 + 4..][..4];
            seen.push((
                u32::from_be_bytes(stamp.try_into().unwrap()),
                frame[14 + 20 + 13],
            ));
        });
        seen
    }

    #[test]
    fn a_connection_opens_keeps_to_its_limit_and_starts_again() {
        let mut out = Vec::new();
        let mut flow = opened(Stamps::Batch, &mut out);
        let limit = 2 * MSS;
        assert!(flow.may_send(2 * MSS, limit) && !flow.may_send(3 * MSS, limit));
        flow.segment(at(8), MSS, false, &mut out);
        flow.segment(at(8), MSS, false, &mut out);
        assert!(!flow.may_send(MSS, limit));
        assert_eq!(flow.under_way(), 2 * MSS);
        flow.receive(at(9), &answer(flags::ACK, 100, MSS, 0), &mut out);
        assert!(flow.may_send(MSS, limit));
        flow.retry(at(100));
        assert!(!flow.may_send(2 * MSS, limit));
        flow.retry(at(20_000));
        assert!(flow.may_send(2 * MSS, limit));
        assert_eq!(flow.retries, 1);
        flow.receive(at(20_001), &answer(flags::RST, 0, 0, 0), &mut out);
        assert!(!flow.may_send(MSS, limit));
    }

    #[test]
    fn time_stamps_step_or_stay_and_the_last_of_a_burst_is_pushed() {
        let mut out = Vec::new();
        for (stamps, step) in [(Stamps::Batch, 0), (Stamps::Step, 1)] {
            let mut flow = opened(stamps, &mut out);
            for ms in 0..u64::from(BURST) {
                flow.segment(at(10 + ms), MSS, false, &mut out);
            }
            let seen = sent(&out);
            out.clear();
            assert_eq!(seen.len(), BURST as usize);
            for pair in seen.windows(2) {
                assert_eq!(pair[1].0 - pair[0].0, step);
                assert_eq!(pair[0].1, flags::ACK);
            }
            assert_eq!(seen.last().unwrap().1, flags::ACK | flags::PSH);
        }
    }

    #[test]
    fn data_is_acknowledged_in_batches_or_when_it_is_old() {
        let mut out = Vec::new();
        let mut flow = opened(Stamps::Batch, &mut out);
        let mut seq = 100;
        for _ in 0..ACK_AFTER - 1 {
            flow.receive(at(10), &answer(flags::ACK, seq, 0, MSS), &mut out);
            seq += MSS;
        }
        assert!(flow.settle(at(11), &mut out) && out.is_empty());
        flow.receive(at(11), &answer(flags::ACK, seq, 0, MSS), &mut out);
        assert!(!flow.settle(at(11), &mut out));
        assert_eq!(sent(&out).len(), 1);
        flow.receive(at(12), &answer(flags::ACK, seq + MSS, 0, 1), &mut out);
        assert!(flow.settle(at(12), &mut out));
        assert!(!flow.settle(at(14), &mut out));
        assert_eq!(sent(&out).len(), 2);
        // Not the next: acknowledged at once.
        flow.receive(at(15), &answer(flags::ACK, 100, 0, 1), &mut out);
        assert!(!flow.settle(at(15), &mut out));
    }

    #[test]
    fn a_request_waits_for_the_answer_to_the_one_before() {
        let mut out = Vec::new();
        let mut flow = opened(Stamps::Batch, &mut out);
        assert!(flow.is_even());
        flow.request(at(10), 7, &mut out);
        assert!(!flow.is_even());
        flow.receive(at(11), &answer(flags::ACK, 100, 7, 3), &mut out);
        assert!(!flow.is_even());
        flow.receive(at(12), &answer(flags::ACK, 103, 7, 4), &mut out);
        assert!(flow.is_even());
        // The next request carries the ACK.
        flow.request(at(12), 7, &mut out);
        assert!(!flow.settle(at(100), &mut out));
        // A request that was lost is sent again.
        flow.retry(at(30_000));
        assert!(flow.is_even());
    }
}
