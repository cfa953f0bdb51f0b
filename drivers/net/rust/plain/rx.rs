// SPDX-License-Identifier: GPL-2.0

//! A receive ring: buffers in, packets out, in NAPI.
//!
//! Wraps nothing of C. Rings are made in process context and used in polls. Each descriptor has a
//! buffer of [`rx_buffers`](crate::net::rx_buffers), around which the socket buffer is built in
//! place. A packet that is longer than a buffer continues in those of the next descriptors.
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
//!         })
//!     }
//!
//!     fn meta(&self, _ring: &Words, _at: usize) -> RxMeta {
//!         RxMeta::default()
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

    /// Length and flags from the descriptor at word `at`, if the device has used it. Reads of the
    /// packet and of the other words must be ordered after that check.
    fn done(&self, ring: &Words, at: usize) -> Option<Done>;

    /// Metadata of the whole packet from the descriptor at word `at`, its last one.
    fn meta(&self, ring: &Words, at: usize) -> RxMeta;

    /// Writes the doorbell: descriptors up to `i`, exclusive, have buffers.
    fn ring_doorbell(&self, i: usize);
}

/// Completion of a buffer that the device has filled.
#[derive(Clone, Copy)]
pub(crate) struct Done {
    /// Bytes in it.
    pub(crate) len: u16,
    /// The packet ends here.
    pub(crate) last: bool,
    /// The frame itself is damaged, if it ends here.
    pub(crate) damaged: bool,
    /// A checksum of the packet is wrong, if it ends here.
    pub(crate) csum_bad: bool,
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
    /// The buffer of each descriptor that the device has.
    slots: KVVec<Option<Buffer>>,
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
            buffers: Buffers::new(dma, netdev, queue.try_into()?, size, len as u32)?,
            next: 0,
            fill: 0,
            open: Open::None,
            counters: counters.clone(),
        };
        while this.room() != 0 {
            let buffer = this.buffers.alloc_sleeping().ok_or(ENOMEM)?;
            this.post(buffer);
        }
        Ok(this)
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

    #[inline(always)]
    fn behind(&self, i: usize) -> usize {
        (i + 1) & (self.slots.len() - 1)
    }

    /// Descriptors without a buffer. One stays without: to most devices a ring whose tail is at its
    /// head is empty.
    #[inline(always)]
    fn room(&self) -> usize {
        self.next.wrapping_sub(self.fill).wrapping_sub(1) & (self.slots.len() - 1)
    }

    #[inline]
    fn post(&mut self, buffer: Buffer) {
        let at = self.fill * D::WORDS;
        self.desc.post(&self.mem, at, buffer.dma_address());
        if let Some(slot) = self.slots.get_mut(self.fill) {
            // There is none: this is where there is room.
            core::mem::forget(slot.replace(buffer));
        }
        self.fill = self.behind(self.fill);
    }

    /// Receives packets up to the budget, and gives the device new buffers.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        let (mut packets, mut bytes) = (0, 0);
        while packets < cx.budget() {
            let at = self.next * D::WORDS;
            let Some(done) = self.desc.done(&self.mem, at) else {
                break;
            };
            // There is none if it was used and there was no memory for another one.
            let Some(buffer) = self.slots.get_mut(self.next).and_then(Option::take) else {
                break;
            };
            self.next = self.behind(self.next);
            bytes += u64::from(done.len);
            packets += usize::from(done.last);
            self.receive(cx, buffer, done, at);
            if self.room() >= REFILL {
                self.refill(cx);
            }
        }
        self.counters.rx.packets.add(packets as u64);
        self.counters.rx.bytes.add(bytes);
        let starving = self.room() >= REFILL && !self.refill(cx);
        Polled { packets, starving }
    }

    /// Gives the device buffers, as many as there is room and memory for. Returns whether there was
    /// enough.
    fn refill(&mut self, cx: &RxContext<'_>) -> bool {
        let mut enough = true;
        while self.room() != 0 {
            let Some(buffer) = self.buffers.alloc(cx) else {
                self.counters.rx.alloc_fail.add(1);
                enough = false;
                break;
            };
            self.post(buffer);
        }
        self.ring_doorbell();
        enough
    }

    /// Adds a buffer to its packet, or drops it. Its descriptor is at word `at`.
    #[inline(always)]
    fn receive(&mut self, cx: &RxContext<'_>, buffer: Buffer, done: Done, at: usize) {
        if done.last && done.csum_bad {
            self.counters.rx.csum_bad.add(1);
        }
        let whole = done.last && !done.damaged && matches!(self.open, Open::None);
        let taken = if whole {
            buffer.receive(cx, done.len, &self.desc.meta(&self.mem, at))
        } else {
            self.go_on(cx, buffer, done, at)
        };
        if taken.is_err() {
            self.give_up(done);
        }
    }

    /// Counts a packet as dropped, and skips its remaining buffers.
    #[cold]
    fn give_up(&mut self, done: Done) {
        self.counters.rx.dropped.add(1);
        self.open = if done.last { Open::None } else { Open::Skip };
    }

    /// Puts a buffer behind those of the packet that it belongs to.
    ///
    /// # Errors
    ///
    /// There is no memory, or the descriptor is invalid: the packet is dropped.
    #[inline(never)]
    fn go_on(&mut self, cx: &RxContext<'_>, buffer: Buffer, done: Done, at: usize) -> Result {
        let skb = match core::mem::replace(&mut self.open, Open::None) {
            Open::None => buffer.into_skb(cx, done.len)?,
            Open::Packet(mut skb) => {
                skb.add_buffer(buffer, done.len)?;
                skb
            }
            // It was counted when it was given up.
            Open::Skip => {
                if !done.last {
                    self.open = Open::Skip;
                }
                return Ok(());
            }
        };
        if !done.last {
            self.open = Open::Packet(skb);
            return Ok(());
        }
        if done.damaged {
            return Err(EIO);
        }
        skb.submit(cx, &self.desc.meta(&self.mem, at))
    }
}
