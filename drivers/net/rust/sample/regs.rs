// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Registers and rings of the sample NIC, which its driver and its model both compile.

/// PCI device number, of vendor 1af4.
pub const DEVICE: u32 = 0x10f6;
/// Bytes of BAR 0.
pub const BAR_SIZE: usize = 0x1000;

/// Reads [`MAGIC`].
pub const ID: usize = 0x00;
/// Value of [`ID`].
pub const MAGIC: u32 = 0x5341_4d50;
/// Station address, bytes 0 to 3.
pub const MAC_LO: usize = 0x04;
/// Station address, bytes 4 and 5.
pub const MAC_HI: usize = 0x08;
/// [`RUN`] or 0. Once 0 is read back, the device accesses no memory.
pub const CTRL: usize = 0x0c;
/// Bit of [`CTRL`]: send and receive, both rings from entry 0. Writing 0 forgets all else.
pub const RUN: u32 = 1;
/// Bus address of the transmit ring, low and high word.
pub const TX_RING: [usize; 2] = [0x10, 0x14];
/// Number of frames put on the transmit ring so far.
pub const TX_TAIL: usize = 0x18;
/// Bus address of the receive ring.
pub const RX_RING: [usize; 2] = [0x20, 0x24];
/// Number of buffers put on the receive ring so far.
pub const RX_TAIL: usize = 0x28;
/// Bus address of the two heads, see [`TX_HEAD`].
pub const HEADS: [usize; 2] = [0x30, 0x34];
/// Asks for one interrupt as soon as a head differs from the low 16 bits given here: those of the
/// receive head below, those of the transmit head above.
pub const ARM: usize = 0x38;

/// Entries of either ring: two 64-bit words each, bus address and length of the memory. The device
/// replaces the length of a receive buffer by that of the frame.
pub const RING_LEN: usize = 64;
/// Bytes of a receive buffer; the longest frame.
pub const BUF_SIZE: usize = 2048;

/// Word of the heads: frames sent so far, which the device does not access any more.
pub const TX_HEAD: usize = 0;
/// Word of the heads: frames received so far.
pub const RX_HEAD: usize = 1;
