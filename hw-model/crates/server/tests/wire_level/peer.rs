// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The other end of a stream wire, and the frames it sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::rig::{until, PATIENCE};

/// Station address of the NIC unless told otherwise.
pub(crate) const NIC_MAC: [u8; 6] = [0x02, 0, 0, 0x72, 0x66, 0x6c];
/// Station address of the peer.
const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// Headers of the TCP frames made here.
pub(crate) const TCP_HEADERS: usize = 14 + 20 + 20;
/// Data with more to come.
pub(crate) const ACK: u8 = 0x10;
/// The last data of a burst.
pub(crate) const PSH: u8 = 0x18;

/// The connection.
pub(crate) struct Peer(UnixStream);

impl Peer {
    /// Connects to a wire that listens.
    pub(crate) fn connect(path: &Path) -> Self {
        Self::new(until("the wire listens", || UnixStream::connect(path).ok()))
    }

    /// Takes a connection that the wire made.
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Sends frames with a single write, so that the NIC has them at once.
    pub(crate) fn send(&mut self, frames: &[impl AsRef<[u8]>]) {
        let mut bytes = Vec::new();
        for frame in frames {
            let frame = frame.as_ref();
            bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            bytes.extend_from_slice(frame);
        }
        self.0.write_all(&bytes).unwrap();
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Waits for a frame.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        self.0.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        self.0.read_exact(&mut frame).unwrap();
        frame
    }

    /// Whether the NIC hung up.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

/// A frame of no protocol that the NIC knows, of `len` bytes.
pub(crate) fn plain(len: usize, fill: u8) -> Vec<u8> {
    let mut frame = ethernet(0x88b5);
    frame.resize(len.max(frame.len()), fill);
    frame
}

/// A frame of TCP over IPv4 with right checksums.
pub(crate) fn tcp(source_port: u16, seq: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(0x0800);
    let len = (TCP_HEADERS - 14 + data.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend_from_slice(&len.to_be_bytes());
    ip.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut tcp = Vec::new();
    tcp.extend_from_slice(&source_port.to_be_bytes());
    tcp.extend_from_slice(&80_u16.to_be_bytes());
    tcp.extend_from_slice(&seq.to_be_bytes());
    tcp.extend_from_slice(&[0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    tcp.extend_from_slice(data);
    let mut pseudo = ip[12..20].to_vec();
    pseudo.extend_from_slice(&[0, 6]);
    pseudo.extend_from_slice(&(tcp.len() as u16).to_be_bytes());
    pseudo.extend_from_slice(&tcp);
    let sum = checksum(&pseudo);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&ip);
    frame.extend_from_slice(&tcp);
    frame
}

fn ethernet(ethertype: u16) -> Vec<u8> {
    [&NIC_MAC[..], &PEER_MAC[..], &ethertype.to_be_bytes()[..]].concat()
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|c| u32::from(u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
