// SPDX-License-Identifier: GPL-2.0

//! A receive ring: buffers in, packets out, in NAPI.
//!
//! Wraps nothing of C. Rings are made in process context and used in polls. Each descriptor has a
//! buffer of [`rx_buffers`](crate::net::rx_buffers), around which the socket buffer is built in
//! place. A buffer that can be used again stays with its descriptor. A packet that is longer than a
//! buffer continues in those of the next descriptors.
//!
//! ```
//! /// Descriptors of two words: the buffer's address, and what the device says of it.
//! struct Format {
//!     doorbell: Words,
//! }
//!
//! impl Descriptors for Format {
//!     const WORDS: usize = 2;
//!
//!     fn post(&self, ring: &Words, at: usize, buffer: u64) {
//!         ring.write(at + 1, 0);
//!         ring.write(at, buffer);
//!     }
//!
//!     fn done(&self, ring: &Words, at: usize) -> Option<Done> {
//!         let word = ring.read(at + 1);
//!         if word == 0 {
//!             return None;
//!         }
//!         // Neither the other word nor the packet is to be read before.
//!         barrier::dma_mb(barrier::Read);
//!         Some(Done {
//!             len: word as u16,
//!             last: word & 1 << 16 != 0,
//!             damaged: word & 1 << 17 != 0,
//!             csum_bad: word & 1 << 18 != 0,
//!             meta: RxMeta::default(),
//!         })
//!     }
//!
//!     fn ring_doorbell(&self, i: usize) {
//!         self.doorbell.write(0, i as u64);
//!     }
//! }
//! # use dma::Words;
//! # use kernel::sync::barrier;
//! # use skbuff::RxMeta;
//! ```

use super::counters;
use crate::net::{
    dma::{
        DmaDevice,
        Words, //
    },
    napi::{
        NapiRef,
        RxContext, //
    },
    rx_buffers::{
        Buffer,
        Buffers,
        Size, //
    },
    skbuff::{
        RxMeta,
        RxSkb, //
    },
    Device, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// New buffers per doorbell write, as those are expensive.
const REFILL: usize = 16;

/// The descriptors of a ring, in the format of the device.
pub(crate) trait Descriptors: Send {
    /// 64-bit words of a descriptor, a power of two.
    const WORDS: usize;

    /// Writes the descriptor of a buffer that lies at bus address `buffer`; `at` is its first word.
    fn post(&self, ring: &Words, at: usize, buffer: u64);

    /// The completion in the descriptor at word `at`, if the device has used it. Reads of the
    /// packet must be ordered after that check.
    fn done(&self, ring: &Words, at: usize) -> Option<Done>;

    /// Writes the doorbell: descriptors up to `i`, exclusive, have buffers.
    fn ring_doorbell(&self, i: usize);
}

/// Completion of a buffer that the device has filled.
pub(crate) struct Done {
    /// Bytes in it.
    pub(crate) len: u16,
    /// The packet ends here. What follows is valid only then.
    pub(crate) last: bool,
    /// The frame itself is damaged.
    pub(crate) damaged: bool,
    /// A checksum of the packet is wrong.
    pub(crate) csum_bad: bool,
    /// Metadata of the packet.
    pub(crate) meta: RxMeta,
}

/// Outcome of a poll.
pub(crate) struct Polled {
    /// Packets.
    pub(crate) packets: usize,
    /// There was no memory for buffers, and the device may have none left: poll again soon.
    pub(crate) starving: bool,
}

/// The packet whose next buffer is awaited.
enum Open {
    /// None: the next buffer begins one.
    None,
    /// This one.
    Packet(RxSkb),
    /// One that is being dropped.
    Skip,
}

/// A receive ring.
pub(crate) struct Ring<D> {
    desc: D,
    mem: Words,
    /// The buffer of each descriptor: the device has it from `next` on up to `fill`. Behind that
    /// it is to be used again, or there is none.
    slots: KVVec<Option<Buffer>>,
    /// Their number less one, which is a power of two.
    mask: usize,
    buffers: Buffers,
    /// The descriptor that the device uses next.
    next: usize,
    /// The next one to get a buffer.
    fill: usize,
    open: Open,
    counters: Arc<counters::Queue>,
}

impl<D: Descriptors> Ring<D> {
    /// Makes the ring of queue `queue` and fills its `2^log2` descriptors; the device is not
    /// accessed. May sleep; the instance lock is held.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(
        desc: D,
        log2: u32,
        (dma, netdev, queue): (&DmaDevice<'_>, &Device, usize),
        size: Size,
        counters: &Arc<counters::Queue>,
    ) -> Result<Self> {
        let len = 1_usize.checked_shl(log2).ok_or(EINVAL)?;
        let mut slots = KVVec::with_capacity(len, GFP_KERNEL)?;
        for _ in 0..len {
            slots.push(None, GFP_KERNEL)?;
        }
        let mut this = Self {
            desc,
            mem: Words::new(dma.device(), log2 + D::WORDS.ilog2())?,
            slots,
            mask: len - 1,
            buffers: Buffers::new(dma, netdev, queue.try_into()?, size, len as u32)?,
            next: 0,
            fill: 0,
            open: Open::None,
            counters: counters.clone(),
        };
        let enough = this.post_all(Buffers::alloc_sleeping);
        enough.then_some(this).ok_or(ENOMEM)
    }

    /// Bus address and bytes of the ring.
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.mem.dma_address(), self.mem.len() as u32 * 8)
    }

    /// How large buffers are.
    pub(crate) fn size(&self) -> Size {
        self.buffers.size()
    }

    /// Lets the pool recycle without locks in the context of `napi`. May sleep.
    pub(crate) fn attach(&mut self, napi: NapiRef<'_>) {
        self.buffers.attach(napi);
    }

    /// Ends what [`Self::attach`] began. May sleep.
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        self.buffers.detach(napi);
    }

    /// Writes the doorbell for the buffers posted.
    #[inline]
    pub(crate) fn ring_doorbell(&self) {
        self.desc.ring_doorbell(self.fill);
    }

    /// Descriptors without a buffer, when the device uses `next` next. One stays without: to most
    /// devices a ring whose tail is at its head is empty.
    #[inline(always)]
    fn room(&self, next: usize) -> usize {
        next.wrapping_sub(self.fill).wrapping_sub(1) & self.mask
    }

    /// Gives each descriptor without a buffer one, of those that are used again or a new one from
    /// `alloc`. Returns whether there were enough.
    #[inline(always)]
    fn post_all(&mut self, mut alloc: impl FnMut(&mut Buffers) -> Option<Buffer>) -> bool {
        let last = self.next.wrapping_sub(1) & self.mask;
        let mut fill = self.fill;
        while fill != last {
            let Some(slot) = self.slots.get_mut(fill) else {
                break;
            };
            if slot.is_none() {
                *slot = alloc(&mut self.buffers);
            }
            let Some(buffer) = slot else {
                break;
            };
            let at = fill.wrapping_mul(D::WORDS);
            self.desc.post(&self.mem, at, buffer.dma_address());
            fill = fill.wrapping_add(1) & self.mask;
        }
        self.fill = fill;
        fill == last
    }

    /// Receives packets up to the budget, and gives the device new buffers.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        let (budget, mut packets, mut bytes) = (cx.budget(), 0_usize, 0_u64);
        let mut next = self.next;
        while packets < budget && next != self.fill {
            let at = next.wrapping_mul(D::WORDS);
            let Some(done) = self.desc.done(&self.mem, at) else {
                break;
            };
            bytes = bytes.wrapping_add(done.len.into());
            packets = packets.wrapping_add(done.last.into());
            self.receive(cx, next, &done);
            next = next.wrapping_add(1) & self.mask;
            if self.room(next) >= REFILL {
                self.refill(cx, next);
            }
        }
        self.counters.rx.packets.add(packets as u64);
        self.counters.rx.bytes.add(bytes);
        let starving = self.room(next) >= REFILL && !self.refill(cx, next);
        self.next = next;
        Polled { packets, starving }
    }

    /// Gives the device, which uses `next` next, buffers, as many as there is room and memory for.
    /// Returns whether there was enough.
    #[inline(never)]
    fn refill(&mut self, cx: &RxContext<'_>, next: usize) -> bool {
        self.next = next;
        let enough = self.post_all(|buffers| buffers.alloc(cx));
        if !enough {
            self.counters.rx.alloc_fail.add(1);
        }
        self.ring_doorbell();
        enough
    }

    /// Adds the buffer of descriptor `i` to its packet, or drops it.
    #[inline(always)]
    fn receive(&mut self, cx: &RxContext<'_>, i: usize, done: &Done) {
        if done.last && done.csum_bad {
            self.counters.rx.csum_bad.add(1);
        }
        let Some(slot) = self.slots.get_mut(i) else {
            return;
        };
        let whole = done.last && !done.damaged && matches!(self.open, Open::None);
        let taken = match slot {
            Some(buffer) if whole => match buffer.receive(cx, done.len, &done.meta) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    *slot = None;
                    Ok(())
                }
                Err(e) => Err(e),
            },
            _ => self.go_on(cx, i, done),
        };
        if taken.is_err() {
            self.give_up(done);
        }
    }

    /// Counts a packet as dropped, and skips its remaining buffers.
    #[cold]
    fn give_up(&mut self, done: &Done) {
        self.counters.rx.dropped.add(1);
        self.open = if done.last { Open::None } else { Open::Skip };
    }

    /// Puts a buffer behind those of the packet that it belongs to.
    ///
    /// # Errors
    ///
    /// There is no memory, or the descriptor is invalid: the packet is dropped.
    #[inline(never)]
    fn go_on(&mut self, cx: &RxContext<'_>, i: usize, done: &Done) -> Result {
        let open = core::mem::replace(&mut self.open, Open::None);
        if let Open::Skip = open {
            // It was counted when it was given up, and its buffer is used again.
            if !done.last {
                self.open = Open::Skip;
            }
            return Ok(());
        }
        let buffer = self.slots.get_mut(i).and_then(Option::take).ok_or(EINVAL)?;
        let skb = match open {
            Open::Packet(mut skb) => {
                skb.add_buffer(buffer, done.len)?;
                skb
            }
            _ => buffer.into_skb(cx, done.len)?,
        };
        if !done.last {
            self.open = Open::Packet(skb);
            return Ok(());
        }
        if done.damaged {
            return Err(EIO);
        }
        skb.submit(cx, &done.meta)
    }
}
