// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Bulk data of many TCP connections, one packet of each in turn: nothing that belongs together
//! comes together.

use crate::{BATCH, DEV_MAC};

const IP: usize = 14;
const TCP: usize = IP + 20;
const SEQ: usize = TCP + 4;
const CSUM: usize = TCP + 16;
const DATA: usize = TCP + 32;

/// The connections, and the frames that come next.
#[derive(Debug)]
pub struct Traffic {
    flows: Vec<Vec<u8>>,
    next: usize,
    payload: usize,
    batch: Vec<Vec<u8>>,
}

impl Traffic {
    /// So many connections, each packet with so many bytes of data.
    #[must_use]
    pub fn new(flows: u16, payload: usize) -> Self {
        let flows: Vec<_> = (0..flows).map(|flow| first_frame(flow, payload)).collect();
        Self {
            batch: vec![vec![0; DATA + payload]; BATCH],
            flows,
            next: 0,
            payload,
        }
    }

    /// Bytes of a frame.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        DATA + self.payload
    }

    /// The frames that come next.
    pub fn next_batch(&mut self) -> &[Vec<u8>] {
        for frame in &mut self.batch {
            let count = self.flows.len();
            let flow = &mut self.flows[self.next];
            self.next = (self.next + 1) % count;
            frame.copy_from_slice(flow);
            advance(flow, self.payload);
        }
        &self.batch
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

fn get16(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// Internet checksum of bytes, on top of `sum`.
fn checksum(bytes: &[u8], mut sum: u32) -> [u8; 2] {
    for pair in bytes.chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// First data packet of a connection, with a timestamp option as Linux sends it.
fn first_frame(flow: u16, payload: usize) -> Vec<u8> {
    let mut f = vec![0; DATA + payload];
    let [hi, lo] = flow.to_be_bytes();
    put(&mut f, 0, &DEV_MAC);
    put(&mut f, 6, &[2, 0, 0, 0, 0, 2, 8, 0]);
    put(&mut f, IP, &[0x45, 0]);
    put(
        &mut f,
        IP + 2,
        &((DATA - IP + payload) as u16).to_be_bytes(),
    );
    // May not be fragmented, so that the constant id means nothing.
    put(&mut f, IP + 6, &[0x40, 0, 64, 6]);
    put(&mut f, IP + 12, &[10, 0, hi, lo, 10, 1, 0, 1]);
    let sum = checksum(&f[IP..TCP], 0);
    put(&mut f, IP + 10, &sum);
    put(&mut f, TCP, &(10_000 + flow).to_be_bytes());
    put(&mut f, TCP + 2, &[0, 80]);
    put(&mut f, SEQ, &[0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 2, 0]);
    put(&mut f, TCP + 20, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1]);
    for (i, byte) in f[DATA..].iter_mut().enumerate() {
        *byte = (i * 7) as u8;
    }
    let pseudo = checksum(&f[IP + 12..TCP], 6 + (f.len() - TCP) as u32);
    let sum = checksum(&f[TCP..], u32::from(!u16::from_be_bytes(pseudo)));
    put(&mut f, CSUM, &sum);
    f
}

/// The same with the next sequence number, and the checksum that goes with it.
fn advance(frame: &mut [u8], payload: usize) {
    let words = [get16(frame, SEQ), get16(frame, SEQ + 2)];
    let old = (u32::from(words[0]) << 16) | u32::from(words[1]);
    let new = old.wrapping_add(payload as u32);
    put(frame, SEQ, &new.to_be_bytes());
    let mut sum = u32::from(!get16(frame, CSUM));
    for word in [!words[0], !words[1], (new >> 16) as u16, new as u16] {
        sum += u32::from(word);
    }
    let sum = checksum(&[], sum);
    put(frame, CSUM, &sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_frames_have_correct_checksums() {
        let mut frame = first_frame(3, 101);
        for _ in 0..100_000 {
            advance(&mut frame, 60_001);
        }
        let pseudo = checksum(&frame[IP + 12..TCP], 6 + (frame.len() - TCP) as u32);
        let sum = checksum(&frame[TCP..], u32::from(!u16::from_be_bytes(pseudo)));
        assert_eq!(sum, [0, 0]);
    }
}
