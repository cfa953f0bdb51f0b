// SPDX-License-Identifier: GPL-2.0

//! Receive: frames are copied out of fixed buffers.

use crate::{
    driver::Bar,
    net::{
        dma::{
            Bytes,
            Words, //
        },
        napi::RxContext,
        skbuff::{
            RxMeta,
            RxSkb, //
        }, //
    },
    nic::Counts,
    regs::{
        self,
        BUF_SIZE,
        RING_LEN,
        RX_HEAD, //
    }, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    io::Io,
    prelude::*,
    sync::{
        barrier,
        Arc, //
    }, //
};

/// The receive ring.
pub(crate) struct Ring {
    desc: Words,
    buffers: Bytes,
    /// A frame on its way from a buffer to its socket buffer.
    frame: KVec<u8>,
    heads: Arc<Words>,
    /// Frames taken so far.
    next: u32,
    counts: Arc<Counts>,
}

impl Ring {
    /// Makes the ring with all its buffers; the device does not hear of it. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(
        dev: &device::Device<Bound>,
        heads: &Arc<Words>,
        counts: &Arc<Counts>,
    ) -> Result<Self> {
        let this = Self {
            desc: Words::new(dev, (2 * RING_LEN).ilog2())?,
            buffers: Bytes::new(dev, RING_LEN * BUF_SIZE)?,
            frame: KVec::from_elem(0, BUF_SIZE, GFP_KERNEL)?,
            heads: heads.clone(),
            next: 0,
            counts: counts.clone(),
        };
        for i in 0..RING_LEN {
            this.post(i);
        }
        Ok(this)
    }

    /// Fills in the entry of buffer `i`.
    fn post(&self, i: usize) {
        let at = self.buffers.dma_address() + (i * BUF_SIZE) as u64;
        self.desc.write(2 * i, at);
        self.desc.write(2 * i + 1, BUF_SIZE as u64);
    }

    /// Tells the device where the ring is.
    pub(crate) fn configure(&self, bar: &Bar<'_>) {
        let [lo, hi] = regs::RX_RING;
        bar.write32(self.desc.dma_address() as u32, lo);
        bar.write32((self.desc.dma_address() >> 32) as u32, hi);
        bar.write32(RING_LEN as u32, regs::RX_TAIL);
    }

    /// Frames taken so far.
    pub(crate) fn head(&self) -> u32 {
        self.next
    }

    /// Receives frames up to the budget; says how many, or `None` if the head is impossible.
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>, bar: &Bar<'_>) -> Option<usize> {
        let waiting = (self.heads.read(RX_HEAD) as u32).wrapping_sub(self.next) as usize;
        if waiting > RING_LEN {
            return None;
        }
        // Lengths and frames are read after the head that says that they are there.
        barrier::dma_mb(barrier::Read);
        let work = waiting.min(cx.budget());
        for _ in 0..work {
            let i = self.next as usize % RING_LEN;
            if self.receive(cx, i).is_err() {
                self.counts.rx_dropped.add(1);
            }
            self.post(i);
            self.next = self.next.wrapping_add(1);
        }
        if work != 0 {
            // The write is ordered behind those to the entries.
            bar.write32(self.next.wrapping_add(RING_LEN as u32), regs::RX_TAIL);
        }
        Some(work)
    }

    /// Hands the frame in buffer `i` to the stack.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] for a length that cannot be, [`ENOMEM`].
    fn receive(&mut self, cx: &RxContext<'_>, i: usize) -> Result {
        let len = usize::try_from(self.desc.read(2 * i + 1))?;
        let frame = self.frame.get_mut(..len).ok_or(EINVAL)?;
        self.buffers.copy_to(i * BUF_SIZE, frame)?;
        let mut skb = RxSkb::alloc(cx, len as u32).ok_or(ENOMEM)?;
        skb.put_slice(frame)?;
        skb.submit(cx, &RxMeta::default())?;
        self.counts.rx_packets.add(1);
        self.counts.rx_bytes.add(len as u64);
        Ok(())
    }
}
