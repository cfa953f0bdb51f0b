// SPDX-License-Identifier: GPL-2.0

//! A transmit ring: descriptors out under the queue's lock, clean-up behind the device in NAPI.
//!
//! Wraps nothing of C. A packet takes a descriptor for each of its parts, and those that the device
//! needs in front of them. The queue stops before a packet could find too little room, and is woken
//! when there is room for two of the largest.
//!
//! ```
//! /// Descriptors of two words: the address of a part, and its length with a mark at the last one.
//! struct Format {
//!     doorbell: Words,
//! }
//!
//! impl Descriptors for Format {
//!     type Plan = ();
//!     const WORDS: usize = 2;
//!     const IN_FRONT: u32 = 0;
//!     const MAX_LEN: u32 = u16::MAX as u32;
//!
//!     fn plan(&self, skb: &mut TxSkb, _info: &TxInfo) -> Result<((), u32), DropReason> {
//!         // The device inserts no checksums.
//!         skb.fill_checksum().map_err(|_| DropReason::NoMem)?;
//!         Ok(((), 0))
//!     }
//!
//!     fn write(&mut self, _plan: (), parts: &[Part], ring: &mut Writer<'_>) {
//!         let mut left = parts.len();
//!         for part in parts {
//!             left -= 1;
//!             ring.put([part.addr, u64::from(part.len) | u64::from(left == 0) << 16]);
//!         }
//!     }
//!
//!     fn ring_doorbell(&self, tail: u32) {
//!         self.doorbell.write(0, tail.into());
//!     }
//! }
//! # use dma::Words;
//! # use skbuff::{DropReason, TxInfo, TxSkb};
//! # use tx_slots::Part;
//! ```

use super::counters;
use crate::net::{
    device::XmitContext,
    dma::{
        DmaDevice,
        Words, //
    },
    napi::TxContext,
    skbuff::{
        DropReason,
        TxInfo,
        TxSkb,
        MAX_FRAGS, //
    },
    tx_slots::{
        self,
        Finisher,
        Packet,
        Part,
        Sender, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::{
        barrier,
        Arc, //
    }, //
};

/// The descriptors of a ring, in the format of the device.
pub(crate) trait Descriptors: Send {
    /// Offloads of a packet, as the driver describes them.
    type Plan;
    /// 64-bit words of a descriptor, a power of two.
    const WORDS: usize;
    /// Most descriptors in front of those of a packet's parts.
    const IN_FRONT: u32;
    /// Most bytes of a part.
    const MAX_LEN: u32;

    /// Determines the offloads of a packet, prepares the packet for them, and returns the number of
    /// descriptors in front of those of its parts. Softirqs off, transmit queue locked.
    ///
    /// # Errors
    ///
    /// The reason why the packet cannot be sent.
    fn plan(&self, skb: &mut TxSkb, info: &TxInfo) -> Result<(Self::Plan, u32), DropReason>;

    /// Writes the descriptors of a packet: the number in front that [`Self::plan`] returned, and
    /// one for each part. Softirqs off, transmit queue locked.
    fn write(&mut self, plan: Self::Plan, parts: &[Part], ring: &mut Writer<'_>);

    /// Writes the doorbell: descriptors up to `tail`, exclusive, are ready.
    fn ring_doorbell(&self, tail: u32);
}

/// A ring that descriptors are written to.
pub(crate) struct Writer<'a> {
    mem: &'a Words,
    at: u32,
    mask: u32,
}

impl Writer<'_> {
    /// Writes the next descriptor.
    #[inline(always)]
    pub(crate) fn put<const WORDS: usize>(&mut self, words: [u64; WORDS]) {
        for (i, word) in words.into_iter().enumerate() {
            self.mem.write(self.at as usize * WORDS + i, word);
        }
        self.at = (self.at + 1) & self.mask;
    }
}

/// Packets and bytes on the wire of one packet of the stack.
struct OnWire {
    packets: u32,
    bytes: u32,
}

impl OnWire {
    #[inline]
    fn of(info: &TxInfo) -> Self {
        let packets = u32::from(info.gso_segs).max(1);
        Self {
            packets,
            bytes: info.len + (packets - 1) * u32::from(info.hdr_len),
        }
    }
}

/// Limits at which the queue of a ring stops and is woken.
pub(crate) struct Limits<D>(PhantomData<D>);

impl<D: Descriptors> Limits<D> {
    /// Most descriptors of a packet.
    const MAX: u32 = MAX_FRAGS + 1 + D::IN_FRONT;
    /// The queue stops when fewer places are free. One stays free always: to most devices a ring
    /// whose tail is at its head is empty.
    const STOP_BELOW: u32 = Self::MAX + 1;
    /// The queue goes on when so many places are free.
    const START_AT: u32 = 2 * Self::MAX;
    /// Descriptors of the smallest ring, as a power of two: a queue that was stopped is started
    /// before the ring is empty.
    pub(crate) const LOG2_MIN: u32 = (Self::START_AT + 1).next_power_of_two().ilog2();
}

/// The sending side, of `ndo_start_xmit`.
pub(crate) struct Ring<'bound, D> {
    desc: D,
    mem: Arc<Words>,
    mask: u32,
    tail: u32,
    /// Tail that the device was last told.
    rung: u32,
    slots: Sender<'bound, OnWire>,
    counters: Arc<counters::Queue>,
}

/// The completing side, of NAPI.
pub(crate) struct Cleaner<'bound, D> {
    /// The device may know the ring when its sending side is gone already.
    mem: Arc<Words>,
    slots: Finisher<'bound, OnWire>,
    head: u32,
    mask: u32,
    counters: Arc<counters::Queue>,
    _desc: PhantomData<fn() -> D>,
}

/// Makes both sides of a queue with a ring of `2^log2` descriptors; the device is not
/// accessed. May sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn new<'bound, D: Descriptors>(
    desc: D,
    log2: u32,
    dma: DmaDevice<'bound>,
    counters: &Arc<counters::Queue>,
) -> Result<(Ring<'bound, D>, Cleaner<'bound, D>)> {
    let mask = 1_u32.checked_shl(log2).ok_or(EINVAL)? - 1;
    let mem = Words::new(dma.device(), log2 + D::WORDS.ilog2())?;
    let mem = Arc::new(mem, GFP_KERNEL)?;
    let (sender, finisher) = tx_slots::channel(dma, log2)?;
    let ring = Ring {
        desc,
        mem: mem.clone(),
        mask,
        tail: 0,
        rung: 0,
        slots: sender,
        counters: counters.clone(),
    };
    let cleaner = Cleaner {
        mem,
        slots: finisher,
        head: 0,
        mask,
        counters: counters.clone(),
        _desc: PhantomData,
    };
    Ok((ring, cleaner))
}

impl<D: Descriptors> Ring<'_, D> {
    /// Sends a packet, or drops it. In `start_xmit`.
    #[inline(always)]
    pub(crate) fn xmit(&mut self, cx: &XmitContext<'_>, skb: TxSkb) {
        if let Err((skb, reason)) = self.queue(cx, skb) {
            self.counters.tx.dropped.add(1);
            skb.drop_with(reason);
        }
        self.stop_if_full(cx);
        // Asked last, whatever became of this packet: those before it may wait for its doorbell.
        if cx.doorbell_due() && self.rung != self.tail {
            self.rung = self.tail;
            self.desc.ring_doorbell(self.rung);
        }
    }

    /// Puts a packet on the ring.
    ///
    /// # Errors
    ///
    /// Gives the packet back, and says why.
    #[inline(always)]
    fn queue(&mut self, cx: &XmitContext<'_>, mut skb: TxSkb) -> Result<(), (TxSkb, DropReason)> {
        if self.slots.free() < Limits::<D>::STOP_BELOW {
            // The queue was to be stopped before this could happen.
            return Err((skb, DropReason::FullRing));
        }
        let info = skb.info();
        let (plan, in_front) = match self.desc.plan(&mut skb, &info) {
            Ok(plan) => plan,
            Err(reason) => return Err((skb, reason)),
        };
        let mapped = self.slots.map(skb);
        let mapped = mapped.map_err(|skb| (skb, DropReason::NoMem))?;
        let parts = mapped.parts();
        if parts.iter().any(|part| part.len > D::MAX_LEN) {
            return Err((mapped.unmap(), DropReason::NotOffloadable));
        }
        let mut ring = Writer {
            mem: &self.mem,
            at: self.tail,
            mask: self.mask,
        };
        self.desc.write(plan, parts, &mut ring);
        let tail = ring.at;
        mapped.packet().time_stamp();
        let wire = OnWire::of(&info);
        let bytes = wire.bytes;
        // There is room for all descriptors that a packet can take.
        let done = mapped.commit_behind(in_front as usize, wire);
        done.map_err(|skb| (skb, DropReason::FullRing))?;
        self.tail = tail;
        cx.sent(bytes);
        Ok(())
    }

    #[inline]
    fn stop_if_full(&mut self, cx: &XmitContext<'_>) {
        if self.slots.free() >= Limits::<D>::STOP_BELOW {
            return;
        }
        cx.stop();
        self.counters.tx.stops.add(1);
        // Pairs with the barrier in `Cleaner::clean`: either it sees the queue stopped, or we see
        // the room that it made.
        barrier::smp_mb(barrier::Full);
        if self.slots.free() >= Limits::<D>::START_AT {
            cx.start();
        }
    }
}

impl<D: Descriptors> Cleaner<'_, D> {
    /// Bus address and bytes of the ring.
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.mem.dma_address(), self.mem.len() as u32 * 8)
    }

    /// Completes all packets up to the descriptor that the device reads next, `said`. Returns false
    /// if that is impossible. In a poll, also at budget 0.
    #[inline]
    pub(crate) fn clean(&mut self, cx: &TxContext<'_>, said: u32) -> bool {
        let done = said.wrapping_sub(self.head) & self.mask;
        let on_ring = (self.mask + 1).saturating_sub(self.slots.free());
        if said > self.mask || done > on_ring {
            self.counters.tx.bad_completion.add(1);
            return false;
        }
        if done == 0 {
            return true;
        }
        let (mut skbs, mut packets, mut bytes) = (0, 0, 0_u32);
        self.slots.finish(done, |packet, wire| {
            if let Packet::Skb(skb) = packet {
                skb.consume(cx);
            }
            skbs += 1;
            packets += u64::from(wire.packets);
            // Byte queue limits count modulo 2^32.
            bytes = bytes.wrapping_add(wire.bytes);
        });
        self.head = said;
        self.counters.tx.packets.add(packets);
        self.counters.tx.bytes.add(bytes.into());
        let queue = cx.tx_queue();
        queue.completed(skbs, bytes);
        // Pairs with the barrier in `Ring::stop_if_full`.
        barrier::smp_mb(barrier::Full);
        if queue.is_stopped() && self.slots.free() >= Limits::<D>::START_AT {
            queue.wake();
            self.counters.tx.wakes.add(1);
        }
        true
    }
}
