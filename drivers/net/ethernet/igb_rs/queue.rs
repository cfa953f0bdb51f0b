// SPDX-License-Identifier: GPL-2.0

//! A queue pair: its descriptors, what NAPI polls, and the pair's switches.
//!
//! The device writes how far it came with a transmit ring to a word of memory, which is cheaper to
//! look at than marks in descriptors.

use crate::{
    desc::{
        self,
        Context,
        Offload,
        Received, //
    },
    hw,
    net::{
        prelude::*,
        rx_buffers::Size,
        tx_slots::Part, //
    },
    regs::{
        self,
        Bar,
        Queue, //
    }, //
};
use plain::{
    counters,
    pair,
    rx,
    sizes::Sizes,
    tx, //
};

/// Where the checksum is in a TCP header.
const TCP_SUM_AT: u16 = 16;

/// The descriptors of a receive ring.
pub(crate) struct RxDescriptors<'bound> {
    bar: Arc<Bar<'bound>>,
    queue: Queue,
}

impl rx::Descriptors for RxDescriptors<'_> {
    const WORDS: usize = desc::WORDS;

    #[inline(always)]
    fn post(&self, ring: &Words, at: usize, buffer: u64) {
        ring.write(at, buffer);
        // Not done, whatever was there.
        ring.write(at + 1, 0);
    }

    #[inline(always)]
    fn done(&self, ring: &Words, at: usize) -> Option<rx::Done> {
        let received = Received(ring.read(at + 1));
        if !received.is_done() {
            return None;
        }
        // Neither the other word nor the packet is to be read before.
        barrier::dma_mb(barrier::Read);
        let meta = RxMeta::default()
            .with_hash(desc::Hashed(ring.read(at)).hash())
            .with_vlan(received.vlan())
            .with_csum_ok(received.sums_right());
        Some(rx::Done {
            len: received.len(),
            last: received.is_last(),
            damaged: received.is_damaged(),
            csum_bad: received.sums_wrong(),
            meta,
        })
    }

    #[inline]
    fn ring_doorbell(&self, i: usize) {
        // The write is ordered behind those to the descriptors.
        let tail = regs::TAIL::from(i as u32);
        self.bar.write(regs::TAIL::at(self.queue.index()), tail);
    }
}

/// The descriptors of a transmit ring.
pub(crate) struct TxDescriptors<'bound> {
    /// The context that the device has.
    context: Option<Context>,
    bar: Arc<Bar<'bound>>,
    queue: Queue,
}

/// Offloads of a packet: a new context to set before it, if any, and the flags of each part.
pub(crate) struct Plan {
    news: Option<Context>,
    data: desc::Data,
}

/// Offloads requested for a packet whose IP header is at `l3`.
#[inline]
fn offload(info: &TxInfo, l3: u16) -> Offload {
    Offload {
        vlan: (info.vlan != 0).then_some(info.vlan_tci),
        sum: (info.csum != 0).then_some(desc::Headers {
            l3,
            l4: info.csum_start,
            tcp: info.csum_off.wrapping_sub(info.csum_start) == TCP_SUM_AT,
        }),
        segments: (info.gso != 0).then_some(desc::Segments {
            mss: info.gso_size,
            headers: info.hdr_len,
            v6: info.v6 != 0,
        }),
    }
}

/// Whether the device can be told of the headers of a packet that is to be cut into segments.
pub(crate) fn can_segment(info: &TxInfo) -> bool {
    offload(info, info.l3_off).context().is_ok()
}

impl tx::Descriptors for TxDescriptors<'_> {
    type Plan = Plan;
    const WORDS: usize = desc::WORDS;
    const IN_FRONT: u32 = 1;
    const MAX_LEN: u32 = desc::Data::MAX_LEN;

    #[inline(always)]
    fn plan(&self, skb: &mut TxSkb, info: &TxInfo) -> Result<(Plan, u32), DropReason> {
        let mut wants = offload(info, skb.network_offset());
        let mut context = wants.context();
        if wants.segments.is_some() {
            skb.prepare_tso().map_err(|_| DropReason::NoMem)?;
        } else if context.is_err() {
            // The device cannot be told where the checksum is.
            skb.fill_checksum().map_err(|_| DropReason::NoMem)?;
            wants.sum = None;
            context = wants.context();
        }
        let context = context.map_err(|()| DropReason::NotOffloadable)?;
        let news = context.filter(|context| self.context != Some(*context));
        let data = wants.data(info.len);
        Ok((Plan { news, data }, news.is_some().into()))
    }

    #[inline(always)]
    fn write(&mut self, plan: Plan, parts: &[Part], ring: &mut tx::Writer<'_>) {
        if let Some(Context(words)) = plan.news {
            ring.put(words);
            self.context = plan.news;
        }
        let mut left = parts.len();
        for part in parts {
            left -= 1;
            ring.put([part.addr, plan.data.part(part.len, left == 0)]);
        }
    }

    #[inline]
    fn ring_doorbell(&self, tail: u32) {
        // The write is ordered behind those to the descriptors.
        let at = regs::TAIL::at(self.queue.tx());
        self.bar.write(at, regs::TAIL::from(tail));
    }
}

/// Transmit state used by `start_xmit`.
pub(crate) type Sender<'bound> = tx::Ring<'bound, TxDescriptors<'bound>>;
/// Descriptors of the smallest ring, as a power of two.
pub(crate) const LOG2_MIN: u32 = tx::Limits::<TxDescriptors<'_>>::LOG2_MIN;

/// State of a queue pair that NAPI polls.
pub(crate) type Pair<'bound> = pair::Pair<'bound, Hardware<'bound>>;

/// A pair as the device knows it.
pub(crate) struct Hardware<'bound> {
    master: BusMaster<'bound>,
    bar: Arc<Bar<'bound>>,
    queue: Queue,
    /// Where the device says how far it came with the transmit ring.
    tx_head: Words,
}

impl<'bound> pair::Hardware for Hardware<'bound> {
    type Rx = RxDescriptors<'bound>;
    type Tx = TxDescriptors<'bound>;
    type Vector = Vector<'bound>;

    #[inline(always)]
    fn tx_head(&self) -> u32 {
        self.tx_head.read(0) as u32
    }

    #[inline(always)]
    fn arm(vector: &Vector<'bound>) {
        vector.unmask();
    }
}

/// Re-arms the interrupt of a pair.
pub(crate) struct Vector<'bound> {
    bar: Arc<Bar<'bound>>,
    bit: regs::EIMS,
}

impl<'bound> Vector<'bound> {
    /// The vector of a queue pair.
    pub(crate) fn new(bar: &Arc<Bar<'bound>>, queue: Queue) -> Self {
        Self {
            bar: bar.clone(),
            bit: regs::EIMS::from(queue.vector_bit()),
        }
    }

    /// Asks for an interrupt: at once, if something happened since the last one.
    #[inline]
    pub(crate) fn unmask(&self) {
        self.bar.write_reg(self.bit);
    }
}

/// Makes a pair, which is switched off. May sleep; the instance lock is held.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn new<'bound>(
    (master, dma, bar): (BusMaster<'bound>, DmaDevice<'bound>, &Arc<Bar<'bound>>),
    netdev: &Device,
    queue: Queue,
    setup: &Sizes,
    counters: &Arc<counters::Queue>,
) -> Result<(Sender<'bound>, Pair<'bound>)> {
    let bar = || bar.clone();
    let desc = RxDescriptors { bar: bar(), queue };
    let place = (&dma, netdev, queue.index());
    let size = Size::for_frames(setup.max_frame());
    let rx = rx::Ring::new(desc, setup.log2_rx(), place, size, counters)?;
    let desc = TxDescriptors {
        context: None,
        bar: bar(),
        queue,
    };
    let (sender, tx) = tx::new(desc, setup.log2_tx(), dma, counters)?;
    let hw = Hardware {
        master,
        bar: bar(),
        queue,
        tx_head: Words::new(dma.device(), 0)?,
    };
    Ok((sender, Pair { hw, rx, tx }))
}

impl Hardware<'_> {
    /// Tells the device where a ring is.
    #[inline(always)]
    fn place(&self, n: usize, (ring, len): (u64, u32)) {
        let bar = &self.bar;
        bar.write(regs::BASE_LO::at(n), regs::BASE_LO::from(ring as u32));
        let high = regs::BASE_HI::from((ring >> 32) as u32);
        bar.write(regs::BASE_HI::at(n), high);
        bar.write(regs::LEN::at(n), regs::LEN::from(len));
        bar.write(regs::HEAD::at(n), regs::HEAD::from(0));
        bar.write(regs::TAIL::at(n), regs::TAIL::from(0));
    }

    /// Whether the device has both switches there.
    fn is(&self, on: bool) -> bool {
        let is = |n| self.bar.read(regs::DCTL::at(n)).enable() == on;
        is(self.queue.index()) && is(self.queue.tx())
    }

    /// Switches the pair off: when this returns, the device does not access its memory any more,
    /// whatever that takes. May sleep; the instance lock is held.
    pub(crate) fn stop(&self) {
        let mask = regs::EIMC::from(self.queue.vector_bit());
        self.bar.write_reg(mask);
        let off = |n| self.bar.write(regs::DCTL::at(n), regs::DCTL::zeroed());
        off(self.queue.tx());
        off(self.queue.index());
        let _ = hw::settle(|| self.is(false));
        // DMA in flight when the queue was disabled has completed by then.
        fsleep(Delta::from_micros(100));
        // One that does not go along, or does not answer, may be at work all the same.
        if !self.is(false) {
            self.master.silence(|| hw::reset(&self.bar));
        }
    }
}

impl Pair<'_> {
    /// Switches the pair on. May sleep.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if the device does not go along; the pair is off then. [`EIO`] if it may not
    /// access memory before it is reset.
    pub(crate) fn start(&self) -> Result {
        let Hardware { bar, queue, .. } = &self.hw;
        if !self.hw.master.is_allowed() {
            return Err(EIO);
        }
        let (n, tx) = (queue.index(), queue.tx());
        self.hw.place(tx, self.tx.place());
        let head = self.hw.tx_head.dma_address();
        let high = regs::TDWBAH::from((head >> 32) as u32);
        bar.write(regs::TDWBAH::at(n), high);
        let low = regs::TDWBAL::from(head as u32).with_head_wb(true);
        bar.write(regs::TDWBAL::at(n), low);
        // Nothing is held back to be written together: how far it came is one word.
        let on = regs::DCTL::zeroed().with_const_pthresh::<8>();
        let on = on.with_const_hthresh::<1>().with_enable(true);
        bar.write(regs::DCTL::at(tx), on);

        self.hw.place(n, self.rx.place());
        // In KiB: there is less room in half a page, but no longer frame, and more in a page.
        let kib = match self.rx.size() {
            Size::Half => 2,
            Size::Page => 3,
        };
        let srrctl = regs::SRRCTL::zeroed().try_with_bsizepacket(kib)?;
        let srrctl = srrctl.with_const_desctype::<1>().with_drop_en(true);
        bar.write(regs::SRRCTL::at(n), srrctl);
        let on = on.with_const_hthresh::<8>().with_const_wthresh::<4>();
        bar.write(regs::DCTL::at(n), on);
        hw::settle(|| self.hw.is(true)).inspect_err(|_| self.hw.stop())?;
        self.rx.ring_doorbell();
        Ok(())
    }
}
