// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames in one buffer, each behind its length in four big-endian bytes.
//!
//! This is the framing of QEMU's stream sockets. Frames are collected for sending, and received bytes
//! are split into frames, without a copy or a system call for each frame.

use std::io::{self, Read};
use std::ops::Range;

/// Bytes of the length before each frame.
const PREFIX: usize = 4;
/// Longest frame that a peer may send: QEMU's own limit for a network packet.
pub(crate) const MAX_FRAME: usize = 4096 + 65536;
/// Bytes read from a wire at once: what a Unix socket holds, and a quarter of the default packet
/// memory, which is the room that it has when reading pauses.
const READ_AHEAD: usize = 256 * 1024;
/// Bytes that may wait for the wire before the device is told to hold.
const WRITE_BEHIND: usize = 256 * 1024;

/// Frames on their way out, or between two places in the server.
#[derive(Default)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Position of the first byte that was not taken; at a frame's start unless
    /// [`FrameBuffer::consume`] is used.
    start: usize,
}

impl FrameBuffer {
    /// Appends a frame.
    pub(crate) fn push(&mut self, frame: &[u8]) {
        if self.start >= WRITE_BEHIND {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        // No frame is longer than the packet memory, so its length fits.
        self.bytes
            .extend_from_slice(&(frame.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(frame);
    }

    /// Whether the buffer is full.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() - self.start >= WRITE_BEHIND
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Drops all frames.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Frames that wait, with their framing.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Takes `n` bytes that were written.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.bytes.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// The frames that wait, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || {
            let (prefix, tail) = rest.split_first_chunk::<PREFIX>()?;
            let (frame, tail) = tail.split_at_checked(u32::from_be_bytes(*prefix) as usize)?;
            rest = tail;
            Some(frame)
        })
    }

    /// The oldest frame.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        self.iter().next()
    }

    /// Takes the oldest frame.
    pub(crate) fn pop(&mut self) -> Option<&[u8]> {
        if self.is_empty() {
            self.clear();
            return None;
        }
        let body = self.start + PREFIX;
        let len = self.peek()?.len();
        self.start = body + len;
        Some(&self.bytes[body..body + len])
    }
}

/// Bytes from a peer, taken apart into frames.
pub(crate) struct FrameReader {
    buffer: Box<[u8]>,
    /// Bytes that were read and not taken.
    held: Range<usize>,
}

impl FrameReader {
    /// An empty reader.
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; READ_AHEAD].into_boxed_slice(),
            held: 0..0,
        }
    }

    /// Drops all frames.
    pub(crate) fn clear(&mut self) {
        self.held = 0..0;
    }

    /// Reads once; returns how many bytes came, 0 at the end of the stream.
    ///
    /// To be called only when no whole frame is held: there is room then.
    pub(crate) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        let Range { start, end } = self.held;
        self.buffer.copy_within(start..end, 0);
        self.held = 0..end - start;
        let n = from.read(&mut self.buffer[end - start..])?;
        self.held.end += n;
        Ok(n)
    }

    /// Length of the next frame if its prefix is there.
    fn next_len(&self) -> Option<usize> {
        let prefix = self.buffer[self.held.clone()].first_chunk::<PREFIX>()?;
        Some(u32::from_be_bytes(*prefix) as usize)
    }

    /// Whether the peer announced a frame that is longer than any may be.
    pub(crate) fn is_broken(&self) -> bool {
        self.next_len().is_some_and(|len| len > MAX_FRAME)
    }

    /// Whether a whole frame is held.
    pub(crate) fn has_frame(&self) -> bool {
        self.next_len()
            .is_some_and(|len| len <= MAX_FRAME && PREFIX + len <= self.held.len())
    }

    /// Takes the next frame.
    pub(crate) fn pop(&mut self) -> Option<&[u8]> {
        if !self.has_frame() {
            return None;
        }
        let body = self.held.start + PREFIX;
        let end = body + self.next_len()?;
        self.held.start = end;
        Some(&self.buffer[body..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames come out as they went in, wherever the stream is cut.
    #[test]
    fn framing_survives_any_cut() {
        let frames: Vec<Vec<u8>> = [0, 1, 60, 1514, 65536]
            .iter()
            .map(|&n| (0..n).map(|i| i as u8).collect())
            .collect();
        let mut out = FrameBuffer::default();
        frames.iter().for_each(|f| out.push(f));
        for cut in [1, 3, 4, 5, 64, 1000, 1 << 20] {
            let mut reader = FrameReader::new();
            let mut seen = Vec::new();
            for mut chunk in out.as_bytes().chunks(cut) {
                while !chunk.is_empty() {
                    reader.fill(&mut chunk).unwrap();
                    while let Some(frame) = reader.pop() {
                        seen.push(frame.to_vec());
                    }
                }
            }
            assert_eq!(seen, frames, "cut every {cut} bytes");
        }
        let mut popped = Vec::new();
        while let Some(frame) = out.pop() {
            popped.push(frame.to_vec());
        }
        assert_eq!(popped, frames);
        assert!(out.is_empty());
    }

    /// An invalid length is detected before the frame is read.
    #[test]
    fn impossible_lengths_are_noticed() {
        let mut reader = FrameReader::new();
        reader.fill(&mut &[0x7f, 0, 0, 0, 1, 2, 3][..]).unwrap();
        assert!(reader.is_broken());
        assert!(reader.pop().is_none());
    }

    /// The buffer reports that it is full, and that it is not after bytes were written.
    #[test]
    fn output_is_bounded() {
        let mut out = FrameBuffer::default();
        while !out.is_full() {
            out.push(&[0; 1514]);
        }
        assert!(out.as_bytes().len() < WRITE_BEHIND + 1600);
        out.consume(4000);
        assert!(!out.is_full());
        out.consume(usize::MAX);
        assert!(out.is_empty());
    }
}
