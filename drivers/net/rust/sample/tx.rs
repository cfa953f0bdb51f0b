// SPDX-License-Identifier: GPL-2.0

//! Transmit: frames go out under the queue's lock, and are freed in NAPI.

use crate::{
    driver::Bar,
    net::{
        device::XmitContext,
        dma::{
            DmaDevice,
            Words, //
        },
        napi::TxContext,
        skbuff::{
            DropReason,
            TxSkb, //
        },
        tx_slots::{
            self,
            Finisher,
            Packet,
            Sender, //
        }, //
    },
    nic::Counts,
    regs::{
        self,
        RING_LEN,
        TX_HEAD, //
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

/// The side of `ndo_start_xmit`.
pub(crate) struct Ring<'bound> {
    desc: Arc<Words>,
    slots: Sender<'bound, u32>,
    bar: Arc<Bar<'bound>>,
    /// Frames put on the ring so far.
    tail: u32,
}

/// The side of NAPI.
pub(crate) struct Cleaner<'bound> {
    desc: Arc<Words>,
    heads: Arc<Words>,
    slots: Finisher<'bound, u32>,
    /// Frames freed so far.
    done: u32,
    counts: Arc<Counts>,
}

/// Makes both sides; the device does not hear of them. May sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn new<'bound>(
    dev: &'bound device::Device<Bound>,
    dma: DmaDevice<'bound>,
    bar: &Arc<Bar<'bound>>,
    heads: &Arc<Words>,
    counts: &Arc<Counts>,
) -> Result<(Ring<'bound>, Cleaner<'bound>)> {
    let desc = Arc::new(Words::new(dev, (2 * RING_LEN).ilog2())?, GFP_KERNEL)?;
    let (sender, finisher) = tx_slots::channel(dma, RING_LEN.ilog2())?;
    let ring = Ring {
        desc: desc.clone(),
        slots: sender,
        bar: bar.clone(),
        tail: 0,
    };
    let cleaner = Cleaner {
        desc,
        heads: heads.clone(),
        slots: finisher,
        done: 0,
        counts: counts.clone(),
    };
    Ok((ring, cleaner))
}

impl Ring<'_> {
    /// Sends a packet, or drops it.
    pub(crate) fn xmit(&mut self, cx: &XmitContext<'_>, skb: TxSkb) {
        if let Err(skb) = self.put(cx, skb) {
            skb.drop_with(DropReason::NoMem);
        }
        if self.slots.free() == 0 {
            cx.stop();
            // Pairs with the barrier in `Cleaner::clean`: either it sees the queue stopped, or the
            // room that it made is seen here.
            barrier::smp_mb(barrier::Full);
            if self.slots.free() != 0 {
                cx.start();
            }
        }
        // Asked last, whatever became of this packet: those before it may wait for the doorbell.
        if cx.doorbell_due() {
            self.bar.write32(self.tail, regs::TX_TAIL);
        }
    }

    /// Puts a packet on the ring.
    ///
    /// # Errors
    ///
    /// Gives it back if it cannot be mapped. The device has no scatter-gather, so the stack gives
    /// each packet in one part.
    fn put(&mut self, cx: &XmitContext<'_>, skb: TxSkb) -> Result<(), TxSkb> {
        let mapped = self.slots.map(skb)?;
        let [part] = mapped.parts() else {
            return Err(mapped.unmap());
        };
        let (addr, len) = (part.addr, part.len);
        let i = self.tail as usize % RING_LEN;
        self.desc.write(2 * i, addr);
        self.desc.write(2 * i + 1, len.into());
        mapped.packet().time_stamp();
        mapped.commit(len)?;
        self.tail = self.tail.wrapping_add(1);
        cx.sent(len);
        Ok(())
    }
}

impl Cleaner<'_> {
    /// Tells the device where the ring is.
    pub(crate) fn configure(&self, bar: &Bar<'_>) {
        let [lo, hi] = regs::TX_RING;
        bar.write32(self.desc.dma_address() as u32, lo);
        bar.write32((self.desc.dma_address() >> 32) as u32, hi);
    }

    /// Frames freed so far.
    pub(crate) fn head(&self) -> u32 {
        self.done
    }

    /// Frees what was sent; `None` if the head is impossible.
    pub(crate) fn clean(&mut self, cx: &TxContext<'_>) -> Option<()> {
        let sent = (self.heads.read(TX_HEAD) as u32).wrapping_sub(self.done);
        if sent > RING_LEN as u32 - self.slots.free() {
            return None;
        }
        let (mut packets, mut bytes) = (0, 0);
        self.slots.finish(sent, |packet, len| {
            if let Packet::Skb(skb) = packet {
                skb.consume(cx);
            }
            packets += 1;
            bytes += len;
        });
        self.done = self.done.wrapping_add(sent);
        self.counts.tx_packets.add(packets.into());
        self.counts.tx_bytes.add(bytes.into());
        let queue = cx.tx_queue();
        queue.completed(packets, bytes);
        // Pairs with the barrier in `Ring::xmit`.
        barrier::smp_mb(barrier::Full);
        if queue.is_stopped() && self.slots.free() != 0 {
            queue.wake();
        }
        Some(())
    }
}
