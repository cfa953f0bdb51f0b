// SPDX-License-Identifier: GPL-2.0

//! Registers of the 82576, BAR 0.
//!
//! Names, offsets and bits are those of the data sheet, chapter 8. Each register is a type of its
//! own: the value of another one cannot be written to it, and where it lies is checked by the
//! compiler. Only what the driver uses is here; counters are in [`super::stats`].

use kernel::{
    io::register,
    pci, //
};

/// Bytes of BAR 0.
pub(crate) const BAR_SIZE: usize = 0x2_0000;
/// Most queue pairs: the device has more, but interrupts for so many.
pub(crate) const MAX_QUEUES: usize = 8;

/// The registers of a device.
pub(crate) type Bar<'bound> = pci::Bar<'bound, BAR_SIZE>;

/// The number of a queue pair, and of its interrupt vector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queue(u8);

impl Queue {
    /// All that there can be.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..MAX_QUEUES as u8).map(Self)
    }

    /// Its place among registers that there is one of for each queue pair, and of its receive ring
    /// among those of rings. The compiler sees that it is below [`MAX_QUEUES`].
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0) & (MAX_QUEUES - 1)
    }

    /// The place of its transmit ring among the registers of rings.
    #[inline(always)]
    pub(crate) fn tx(self) -> usize {
        0x80 | self.index()
    }

    /// The bit that stands for its vector.
    #[inline(always)]
    pub(crate) fn vector_bit(self) -> u32 {
        1 << self.index()
    }
}

// The device as a whole.
register! {
    /// Device control.
    pub(crate) CTRL(u32) @ 0x0000 {
        /// Full duplex.
        0:0 fd => bool;
        /// Set link up: the MAC talks to the PHY.
        6:6 slu => bool;
        /// Reset all but the PCI configuration; clears itself.
        26:26 rst => bool;
        /// Remove VLAN tags of received packets.
        30:30 vme => bool;
    }
    /// Device status: the duplex mode, whether the link is up, and whether at 10, 100 or 1000 Mb/s.
    pub(crate) STATUS(u32) @ 0x0008 {
        0:0 fd => bool;
        1:1 lu => bool;
        7:6 speed;
    }
    /// Access to the registers of the PHY: 1 writes, 2 reads. It is over when the device is ready.
    pub(crate) MDIC(u32) @ 0x0020 {
        15:0 data;
        20:16 reg;
        25:21 phy;
        27:26 op;
        28:28 ready => bool;
    }
    /// Causes other than traffic; reading clears. It is at 0x1500, too, but not in the model,
    /// nor are the next two at 0x1508 and 0x150c.
    pub(crate) ICR(u32) @ 0x00c0 {}
    /// Events that raise the vector of [`IVAR_MISC`]; writing ones adds to them.
    pub(crate) IMS(u32) @ 0x00d0 {
        /// The link changed.
        2:2 lsc => bool;
    }
    /// Takes events out of [`IMS`].
    pub(crate) IMC(u32) @ 0x00d8 {}
    /// Receive control.
    pub(crate) RCTL(u32) @ 0x0100 {
        1:1 rxen => bool;
        /// Take all unicast.
        3:3 upe => bool;
        /// Take all multicast.
        4:4 mpe => bool;
        /// Take frames of up to [`RLPML`] bytes.
        5:5 lpe => bool;
        /// Take broadcast.
        15:15 bam => bool;
        /// Leave the frame's checksum away.
        26:26 secrc => bool;
    }
    /// Transmit control.
    pub(crate) TCTL(u32) @ 0x0400 {
        1:1 en => bool;
        /// Pad short packets.
        3:3 psp => bool;
        /// Collision threshold, for half duplex.
        11:4 ct;
    }
    /// How interrupts work.
    pub(crate) GPIE(u32) @ 0x1514 {
        /// Reading [`ICR`] clears all of it.
        0:0 nsicr => bool;
        /// A vector for each cause.
        4:4 multiple_msix => bool;
        /// An interrupt masks its vector as [`EIAM`] says.
        30:30 eiame => bool;
        /// Keep pending bits in step with the mask.
        31:31 pba => bool;
    }
    /// Vectors that may interrupt; writing ones adds to them.
    pub(crate) EIMS(u32) @ 0x1524 {}
    /// Takes vectors out of [`EIMS`].
    pub(crate) EIMC(u32) @ 0x1528 {}
    /// Vectors whose cause is cleared when they interrupt.
    pub(crate) EIAC(u32) @ 0x152c {}
    /// Vectors that are masked when they interrupt.
    pub(crate) EIAM(u32) @ 0x1530 {}
    /// Moderation of a vector.
    pub(crate) EITR(u32)[25] @ 0x1680 {
        /// Least time between two interrupts, in units of 1.024 microseconds.
        14:2 interval;
        /// Leave the time that is running alone.
        31:31 cnt_ingr => bool;
    }
    /// Vectors of queue n (and n + 8, of which the driver knows nothing).
    pub(crate) IVAR(u32)[8] @ 0x1700 {
        2:0 rx;
        7:7 rx_valid => bool;
        10:8 tx;
        15:15 tx_valid => bool;
    }
    /// Vector of events.
    pub(crate) IVAR_MISC(u32) @ 0x1740 {
        12:8 other;
        15:15 other_valid => bool;
    }
    /// Receive checksums.
    pub(crate) RXCSUM(u32) @ 0x5000 {
        /// Check those of IPv4 headers.
        8:8 ipofld => bool;
        /// Check those of TCP and UDP.
        9:9 tuofld => bool;
        /// Descriptors have the flow hash, not a sum over the packet.
        13:13 pcsd => bool;
    }
    /// Longest frame, with its checksum.
    pub(crate) RLPML(u32) @ 0x5004 {
        13:0 size;
    }
    /// Multicast table, by [`super::desc::multicast_bit`].
    pub(crate) MTA(u32)[128] @ 0x5200 {}
    /// Station address, bytes 0 to 3; 4 and 5, and whether it is valid.
    pub(crate) RAL(u32) @ 0x5400 {}
    pub(crate) RAH(u32) @ 0x5404 {
        15:0 addr;
        31:31 av => bool;
    }
    /// How packets are spread over queues: 2 for by the hash, and what is hashed, a bit a kind.
    pub(crate) MRQC(u32) @ 0x5818 {
        2:0 mode;
        24:16 fields;
    }
    /// Indirection table, four entries a register.
    pub(crate) RETA(u32)[32] @ 0x5c00 {}
    /// Key of the flow hash.
    pub(crate) RSSRK(u32)[10] @ 0x5c80 {}
}

// Rings: those of receive from 0 on, those of transmit from 0x80 on.
register! {
    /// Address of the ring, low half and high half.
    pub(crate) BASE_LO(u32)[0x90, stride = 0x40] @ 0xc000 {}
    pub(crate) BASE_HI(u32)[0x90, stride = 0x40] @ 0xc004 {}
    /// Its bytes.
    pub(crate) LEN(u32)[0x90, stride = 0x40] @ 0xc008 {}
    /// How packets are put into the buffers of a receive ring.
    pub(crate) SRRCTL(u32)[16, stride = 0x40] @ 0xc00c {
        /// Size of a buffer in KiB.
        6:0 bsizepacket;
        /// 1: advanced descriptors, one buffer each.
        27:25 desctype;
        /// Drop what there is no buffer for; other queues go on.
        31:31 drop_en => bool;
    }
    /// The descriptor that the device uses next.
    pub(crate) HEAD(u32)[0x90, stride = 0x40] @ 0xc010 {}
    /// Doorbell: the descriptor behind the last that it may use.
    pub(crate) TAIL(u32)[0x90, stride = 0x40] @ 0xc018 {}
    /// The ring's switch.
    pub(crate) DCTL(u32)[0x90, stride = 0x40] @ 0xc028 {
        /// Prefetch when fewer descriptors are at hand,
        4:0 pthresh;
        /// and the host has so many;
        12:8 hthresh;
        /// write back so many together.
        20:16 wthresh;
        25:25 enable => bool;
    }
    /// Packets dropped for want of a buffer in a receive ring; reading clears.
    pub(crate) RQDPC(u32)[16, stride = 0x40] @ 0xc030 {}
    /// Where the device writes the head of a transmit ring to when it reports, low and high half.
    pub(crate) TDWBAL(u32)[16, stride = 0x40] @ 0xe038 {
        /// It does, instead of marking descriptors.
        0:0 head_wb => bool;
        31:2 addr;
    }
    pub(crate) TDWBAH(u32)[16, stride = 0x40] @ 0xe03c {}
}
