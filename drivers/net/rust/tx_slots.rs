// SPDX-License-Identifier: GPL-2.0

//! Packets on a transmit ring, with their memory mapped for the device.
//!
//! Wraps `dma_map_page()` and `skb_frag_dma_map()` for packets of the stack and of XDP. The
//! sending end is used under the transmit queue's lock, the other in polls.
//!
//! [`Sender::map`] maps all parts of a packet, or none; the [`Mapped`] packet shows where its parts
//! are, and [`Mapped::commit`] leaves it to the [`Finisher`], one slot a part. Whatever way a
//! packet goes, its memory is unmapped before it is freed, by the device that it was mapped for:
//! both ends of the queue have that one device, and nobody else has the mappings.
//!
//! ```
//! /// Puts a packet on a ring of addresses and lengths, from place `at` on.
//! fn send(
//!     slots: &mut Sender<'_, u32>,
//!     ring: &Words,
//!     at: usize,
//!     skb: TxSkb,
//! ) -> Result<(), TxSkb> {
//!     let mapped = slots.map(skb)?;
//!     for (i, part) in mapped.parts().iter().enumerate() {
//!         ring.write(2 * (at + i), part.addr);
//!         ring.write(2 * (at + i) + 1, part.len.into());
//!     }
//!     mapped.commit(0)
//! }
//! # use dma::Words;
//! # use skbuff::TxSkb;
//! ```

use super::{
    bindings,
    dma::DmaDevice,
    skbuff::{
        TxInfo,
        TxSkb, //
    },
    spsc,
    xdp::{
        OwnFrame, //
        XdpFrame,
    }, //
};
use kernel::prelude::*;

/// Where a part of a packet is for the device, and how long. It is mapped as long as the object
/// that it is borrowed from says.
pub(crate) type Part = bindings::rnet_tx_part;

/// A packet that was sent or is to be.
pub(crate) enum Packet {
    /// Of the stack.
    Skb(TxSkb),
    /// Of an XDP program.
    Frame(XdpFrame),
}

impl From<TxSkb> for Packet {
    #[inline]
    fn from(skb: TxSkb) -> Self {
        Self::Skb(skb)
    }
}

impl From<XdpFrame> for Packet {
    #[inline]
    fn from(frame: XdpFrame) -> Self {
        Self::Frame(frame)
    }
}

impl From<OwnFrame> for Packet {
    #[inline]
    fn from(frame: OwnFrame) -> Self {
        Self::Frame(frame.into_frame())
    }
}

/// Room for all parts of a packet.
pub(crate) type Parts = bindings::rnet_tx_parts;

/// A packet that can be sent.
///
/// # Safety
///
/// When `map` gives `n`, the first `n` entries are live mappings for the device of memory that the
/// packet owns, or `foreign`; on an error none is.
pub(crate) unsafe trait Outgoing: Into<Packet> {
    /// Maps all parts of the packet, for the device to read.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] when a mapping fails, [`ENOSPC`] if the packet has more parts than there are
    /// entries.
    fn map(&self, dev: &DmaDevice<'_>, parts: &mut Parts) -> Result<usize>;
}

// SAFETY: The helper maps all parts or none.
unsafe impl Outgoing for TxSkb {
    #[inline]
    fn map(&self, dev: &DmaDevice<'_>, parts: &mut Parts) -> Result<usize> {
        mapped(bindings::skb_map(dev.device(), self.live(), parts))
    }
}

// SAFETY: The helper maps all parts or none.
unsafe impl Outgoing for XdpFrame {
    #[inline]
    fn map(&self, dev: &DmaDevice<'_>, parts: &mut Parts) -> Result<usize> {
        mapped(bindings::xdp_frame_map(dev.device(), self.live(), parts))
    }
}

// SAFETY: The pages of a frame that was received stay mapped as long as it has them; the helper
// refuses those that are mapped for another device, and marks all parts as foreign.
unsafe impl Outgoing for OwnFrame {
    #[inline]
    fn map(&self, dev: &DmaDevice<'_>, parts: &mut Parts) -> Result<usize> {
        mapped(bindings::xdp_frame_lend(dev.device(), self.live(), parts))
    }
}

#[inline]
fn mapped(parts: i32) -> Result<usize> {
    kernel::error::to_result(parts.min(0))?;
    Ok(parts as usize)
}

/// A part that is mapped for the device of the queue.
///
/// # Invariants
///
/// It is a live mapping for that device, or foreign, and this is the only object for it.
struct Live(Part);

/// The memory of one descriptor, and the packet that ends there.
///
/// # Invariants
///
/// The packet that owns the memory of `part` is in this slot or behind it.
struct Slot<M> {
    part: Live,
    end: Option<(Packet, M)>,
}

// There are as many as descriptors, and each is written and read once a round: for a driver's two
// numbers a packet it is to be less than a cache line.
const _: () = assert!(core::mem::size_of::<Slot<[u32; 2]>>() <= 40);

/// Unmaps what is left in the slots.
struct Unmapper<'bound>(DmaDevice<'bound>);

impl Unmapper<'_> {
    /// Unmaps a part of a packet of the queue.
    #[inline]
    fn unmap(&self, part: Live) {
        // SAFETY: A live mapping of the queue's device, or foreign, by its type invariant, and
        // given up. The device of the queue is this one, which is bound by its type.
        unsafe { bindings::tx_unmap(self.0.as_raw(), &part.0) };
    }
}

impl<M> spsc::Keeper<Slot<M>> for Unmapper<'_> {
    fn discard(&self, slot: Slot<M>) {
        // The packet is freed after this.
        self.unmap(slot.part);
    }
}

/// The side that sends.
pub(crate) struct Sender<'bound, M> {
    slots: spsc::Producer<Slot<M>, Unmapper<'bound>>,
    /// The parts of the packet at hand.
    parts: Parts,
}

/// The side that ends what was sent.
pub(crate) struct Finisher<'bound, M> {
    slots: spsc::Consumer<Slot<M>, Unmapper<'bound>>,
}

/// Makes a queue of `2^log2` slots for the ring of a device, with an `M` for each packet. May
/// sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn channel<'bound, M>(
    dev: DmaDevice<'bound>,
    log2: u32,
) -> Result<(Sender<'bound, M>, Finisher<'bound, M>)> {
    let (producer, consumer) = spsc::channel(log2, Unmapper(dev))?;
    let sender = Sender {
        slots: producer,
        parts: Parts::default(),
    };
    Ok((sender, Finisher { slots: consumer }))
}

impl<'bound, M> Sender<'bound, M> {
    /// Free slots; the other side may add to them at any time.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.slots.free()
    }

    /// Whether so many slots are free: as [`Self::free`], but cheap as long as there are plenty.
    #[inline(always)]
    pub(crate) fn has_room(&mut self, count: u32) -> bool {
        self.slots.has_room(count)
    }

    /// Maps a packet of the stack, and tells what it wants: [`TxSkb::info`], [`Self::map`] and
    /// [`TxSkb::time_stamp`] in one pass, for a packet that goes to the device right after.
    ///
    /// # Errors
    ///
    /// Gives the packet back if it cannot be mapped; `info` tells of it in any case.
    #[inline(always)]
    pub(crate) fn map_skb(
        &mut self,
        skb: TxSkb,
        info: &mut TxInfo,
    ) -> Result<Mapped<'_, 'bound, TxSkb, M>, TxSkb> {
        let dev = self.slots.keeper().0.device();
        let count = bindings::skb_send(dev, skb.live(), info, &mut self.parts);
        if count < 0 {
            return Err(skb);
        }
        // INVARIANT: The helper maps all parts or none, and says how many there are.
        Ok(Mapped {
            mapping: Mapping {
                sender: self,
                count: count as usize,
            },
            packet: skb,
        })
    }

    /// Maps a packet for the device.
    ///
    /// # Errors
    ///
    /// Gives the packet back if it cannot be mapped.
    #[inline]
    pub(crate) fn map<P: Outgoing>(&mut self, packet: P) -> Result<Mapped<'_, 'bound, P, M>, P> {
        match packet.map(&self.slots.keeper().0, &mut self.parts) {
            // INVARIANT: By the contract of `Outgoing`.
            Ok(count) => Ok(Mapped {
                mapping: Mapping {
                    sender: self,
                    count,
                },
                packet,
            }),
            Err(_) => Err(packet),
        }
    }
}

/// # Invariants
///
/// The first `count` parts of the sender are live mappings of its device, or foreign.
struct Mapping<'a, 'bound, M> {
    sender: &'a mut Sender<'bound, M>,
    count: usize,
}

impl<M> Drop for Mapping<'_, '_, M> {
    #[inline]
    fn drop(&mut self) {
        for &part in self.sender.parts.part.iter().take(self.count) {
            // INVARIANT: Live by the type invariant, and not looked at again.
            self.sender.slots.keeper().unmap(Live(part));
        }
    }
}

/// A packet with its memory mapped for the device. Dropping it unmaps and frees.
pub(crate) struct Mapped<'a, 'bound, P, M> {
    /// Declared first: unmapped before the packet is freed.
    mapping: Mapping<'a, 'bound, M>,
    packet: P,
}

impl<P: Outgoing, M> Mapped<'_, '_, P, M> {
    /// Where its parts are.
    #[inline]
    pub(crate) fn parts(&self) -> &[Part] {
        let parts = &self.mapping.sender.parts.part;
        parts.get(..self.mapping.count).unwrap_or(parts)
    }

    /// The packet.
    #[inline]
    pub(crate) fn packet(&self) -> &P {
        &self.packet
    }

    /// Unmaps it, and gives it back.
    pub(crate) fn unmap(self) -> P {
        let Self { mapping, packet } = self;
        drop(mapping);
        packet
    }

    /// Leaves the packet, with `meta`, to the other side: to be called before the device hears of
    /// it.
    ///
    /// # Errors
    ///
    /// Unmaps it and gives it back if there are not as many free slots as it has parts.
    #[inline]
    pub(crate) fn commit(self, meta: M) -> Result<(), P> {
        if self.mapping.count == 1 {
            self.commit_one(meta)
        } else {
            self.commit_behind(0, meta)
        }
    }

    /// As [`Self::commit`], for a packet of one part.
    #[inline(always)]
    fn commit_one(self, meta: M) -> Result<(), P> {
        let Self {
            mut mapping,
            packet,
        } = self;
        let Sender { slots, parts } = &mut *mapping.sender;
        let ([part, ..], Some(place)) = (&parts.part, slots.place()) else {
            drop(mapping);
            return Err(packet);
        };
        // INVARIANT: The mapping moves to the slot.
        place.fill(Slot {
            part: Live(*part),
            end: Some((packet.into(), meta)),
        });
        slots.publish();
        mapping.count = 0;
        Ok(())
    }

    /// As [`Self::commit`], with `empty` slots in front for descriptors that have no memory.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn commit_behind(self, empty: usize, meta: M) -> Result<(), P> {
        let count = self.mapping.count;
        let need = u32::try_from(empty.saturating_add(count)).unwrap_or(u32::MAX);
        if !self.mapping.sender.has_room(need) {
            return Err(self.unmap());
        }
        let Self {
            mut mapping,
            packet,
        } = self;
        // INVARIANT: The mappings move to the slots, for which there is room.
        mapping.count = 0;
        let Sender { slots, parts } = &mut *mapping.sender;
        let mut end = Some((packet.into(), meta));
        let mut left = count;
        let filled = parts.part.iter().take(count).map(|&part| {
            left -= 1;
            Slot {
                part: Live(part),
                end: if left == 0 { end.take() } else { None },
            }
        });
        let nothing = Part {
            addr: 0,
            len: 0,
            foreign: 1,
        };
        // INVARIANT: Nothing is mapped here, so it is foreign.
        let empty = (0..empty).map(|_| Slot {
            part: Live(nothing),
            end: None,
        });
        slots.push_all(Iterator::chain(empty, filled));
        Ok(())
    }
}

impl<M> Finisher<'_, M> {
    /// Free slots, as the other side would find them at least.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.slots.free()
    }

    /// Unmaps the oldest slots, `most` at most, and gives each packet that ends there to `f`. The
    /// device must be done with them: else it reads what somebody else writes. Says how many slots
    /// are finished.
    #[inline(always)]
    pub(crate) fn finish(&mut self, most: u32, f: impl FnMut(Packet, M)) -> u32 {
        let mut f = f;
        self.finish_while(most, |_| true, |packet, meta, _| f(packet, meta))
    }

    /// As [`Self::finish`], but leaves the slot where a packet ends that `may` refuses, and all
    /// behind it; `f` is told, too, how many slots are in front of that one.
    #[inline(always)]
    pub(crate) fn finish_while(
        &mut self,
        most: u32,
        mut may: impl FnMut(&Packet) -> bool,
        mut f: impl FnMut(Packet, M, u32),
    ) -> u32 {
        let mut next = 0;
        self.slots.pop_while(
            most,
            |slot| slot.end.as_ref().is_none_or(|(packet, _)| may(packet)),
            |dev, slot| {
                let at = next;
                next += 1;
                dev.unmap(slot.part);
                if let Some((packet, meta)) = slot.end {
                    f(packet, meta, at);
                }
            },
        )
    }
}
