// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The surroundings of the device: host memory, interrupts, and the wire.

use std::fmt;

/// An access to host memory that did not take place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemError {
    /// Bus address of the access.
    pub addr: u64,
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Display for MemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no accessible memory for {} bytes at bus address {:#x}",
            self.len, self.addr
        )
    }
}

impl std::error::Error for MemError {}

/// The surroundings of the device.
///
/// Accesses to memory happen as a whole or not at all, and are never out of order with respect to a
/// later `store_release_*`.
pub trait Host {
    /// Reads host memory.
    ///
    /// # Errors
    ///
    /// Some byte of the range is not readable.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError>;

    /// Writes host memory.
    ///
    /// # Errors
    ///
    /// Some byte of the range is not writable.
    fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError>;

    /// Stores a little-endian word with release ordering.
    ///
    /// # Errors
    ///
    /// The eight bytes are not writable, or not aligned.
    fn store_release_u64(&self, addr: u64, value: u64) -> Result<(), MemError>;

    /// Stores a little-endian word with release ordering.
    ///
    /// # Errors
    ///
    /// The four bytes are not writable, or not aligned.
    fn store_release_u32(&self, addr: u64, value: u32) -> Result<(), MemError>;

    /// Raises an MSI-X vector.
    fn interrupt(&mut self, vector: u16);

    /// Whether the wire takes one more frame now.
    fn wire_ready(&self) -> bool;

    /// Puts a frame on the wire, without FCS. Only called while [`Host::wire_ready`] holds.
    fn send(&mut self, frame: &[u8]);
}
