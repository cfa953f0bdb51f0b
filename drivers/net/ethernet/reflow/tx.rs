// SPDX-License-Identifier: GPL-2.0

//! Transmit: descriptors out under the queue's lock, clean-up behind the device in NAPI.
//!
//! Each descriptor has a slot: [`Ring::xmit`] fills it, [`Cleaner::poll`] empties it when the
//! write-back index of the device has passed it.

mod frames;
mod probe;
mod progress;
mod wire;

use crate::{
    clock::Stamps,
    counters,
    hw::{
        desc::{
            T1,
            T2,
            TX_MAX_DESCS, //
        },
        index::Index,
        regs::queue_reg, //
    },
    mmio::Mmio,
    net::{
        device::XmitContext,
        dma::{
            DmaDevice,
            Words, //
        },
        napi::{
            RxContext,
            TxContext, //
        },
        skbuff::{
            tx_gso,
            DropReason,
            TxInfo,
            TxSkb,
            MAX_FRAGS, //
        },
        tx_slots::{
            self,
            Finisher,
            Mapped,
            Outgoing,
            Packet,
            Part,
            Sender, //
        },
        xdp::XdpFrameBulk, //
    },
    sizes::LOG2_TX_MIN, //
};
pub(crate) use probe::Probe;
use wire::{
    OnWire,
    Sums, //
};

use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::{
        barrier,
        Arc, //
    }, //
};

/// Most descriptors of one packet: its linear part and fragments, as many as the kernel has and the
/// device takes.
const MAX_DESCS: u32 = if MAX_FRAGS < TX_MAX_DESCS as u32 {
    MAX_FRAGS + 1
} else {
    TX_MAX_DESCS as u32
};
/// The kernel may give a packet more parts than that.
const MAY_HAVE_MORE: bool = MAX_FRAGS + 1 > MAX_DESCS;
/// Most bytes of a descriptor.
const MAX_DESC_LEN: u32 = T1(u64::MAX).len() as u32;
/// The queue stops when fewer places are free.
const STOP_BELOW: u32 = MAX_DESCS;
/// The queue goes on when so many places are free.
const START_AT: u32 = 2 * MAX_DESCS;
/// 64-bit words of a descriptor.
const WORDS_PER_DESC: usize = 4;
/// Word of a packet's last descriptor that takes the time at which it left.
const STAMP_WORD: usize = 3;

// A queue that was stopped is started before the smallest ring is empty.
const _: () = assert!(START_AT < 1 << LOG2_TX_MIN);

/// The frames that a packet becomes.
fn on_wire(info: &TxInfo) -> OnWire {
    if info.gso == 0 {
        OnWire::whole(info.len)
    } else {
        OnWire::cut(info.len, info.gso_segs, info.hdr_len)
    }
    .stamped(info.time != 0)
}

/// The side of `ndo_start_xmit`.
pub(crate) struct Ring<'bound> {
    desc: Descriptors,
    queue: usize,
    slots: Sender<'bound, OnWire>,
    /// Of the packet at hand.
    info: TxInfo,
    /// Tail that the device was last told.
    rung: Index,
    probe: Arc<Probe<'bound>>,
    mmio: Arc<Mmio<'bound>>,
    counters: Arc<counters::Queue>,
    stamps: Arc<Stamps>,
}

/// The side of NAPI.
pub(crate) struct Cleaner<'bound> {
    /// Kept as long as the device may read them.
    desc: Arc<Words>,
    probe: Arc<Probe<'bound>>,
    slots: Finisher<'bound, OnWire>,
    head: Index,
    /// The last write-back index was out of range.
    bad: bool,
    counters: Arc<counters::Queue>,
}

/// How far a clean-up came.
pub(crate) struct Cleaned {
    /// Index up to which the device is done, as far as that can be true.
    pub(crate) seen: Index,
    /// The write-back index is out of range. Do not arm: the device would interrupt until it
    /// writes another one.
    pub(crate) bad: bool,
}

/// Makes both sides of a queue, of which `queue` and `log2` are the number and the ring's size as a
/// power of two; writes nothing to the device. May sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn new<'bound>(
    dev: &'bound device::Device<Bound>,
    dma: DmaDevice<'bound>,
    mmio: &Arc<Mmio<'bound>>,
    (queue, log2): (usize, u32),
    counters: &Arc<counters::Queue>,
    stamps: &Arc<Stamps>,
) -> Result<(Ring<'bound>, Cleaner<'bound>)> {
    let desc = Arc::new(Words::new(dev, log2 + 2)?, GFP_KERNEL)?;
    let probe = Arc::new(Probe::new(dev)?, GFP_KERNEL)?;
    let (sender, finisher) = tx_slots::channel(dma, log2)?;
    let ring = Ring {
        desc: Descriptors {
            mem: desc.clone(),
            log2,
            tail: Index::ZERO,
        },
        queue,
        slots: sender,
        info: TxInfo::default(),
        rung: Index::ZERO,
        probe: probe.clone(),
        mmio: mmio.clone(),
        counters: counters.clone(),
        stamps: stamps.clone(),
    };
    let cleaner = Cleaner {
        desc,
        probe,
        slots: finisher,
        head: Index::ZERO,
        bad: false,
        counters: counters.clone(),
    };
    Ok((ring, cleaner))
}

/// The descriptors of a ring.
struct Descriptors {
    mem: Arc<Words>,
    log2: u32,
    tail: Index,
}

impl Descriptors {
    /// Writes those of a packet of several parts, with `offloads` in the first.
    fn write(&mut self, parts: &[Part], (mut w1, mut w2): (T1, T2)) {
        let last = parts.len().wrapping_sub(1);
        w1 = w1.with_sop(1);
        for (i, part) in parts.iter().enumerate() {
            self.put(part, w1.with_eop((i == last).into()), w2);
            (w1, w2) = (T1(0), T2(0));
        }
    }

    /// Writes the next.
    #[inline(always)]
    fn put(&mut self, part: &Part, w1: T1, w2: T2) {
        // Modulo the ring: that is done for words.
        let at = self.tail.raw() as usize * WORDS_PER_DESC;
        self.mem.write(at, part.addr);
        self.mem.write(at + 1, w1.with_len(part.len.into()).0);
        self.mem.write(at + 2, w2.0);
        self.mem.write(at + 3, 0);
        self.tail = self.tail.add(1);
    }

    /// Puts a packet on the ring.
    ///
    /// # Errors
    ///
    /// Gives it back if it has parts that the device does not take.
    #[inline(always)]
    fn send<P: Outgoing>(
        &mut self,
        mapped: Mapped<'_, '_, P, OnWire>,
        offloads: (T1, T2),
        wire: OnWire,
    ) -> Result<(), P> {
        let before = self.tail;
        match mapped.parts() {
            [one] if has_length(one) => {
                let (w1, w2) = offloads;
                self.put(one, w1.with_sop(1).with_eop(1), w2);
            }
            parts if device_takes(parts) => self.write(parts, offloads),
            _ => return Err(mapped.unmap()),
        }
        mapped.commit(wire).inspect_err(|_| self.tail = before)
    }
}

/// Whether a descriptor can say the length of a part.
#[inline(always)]
fn has_length(part: &Part) -> bool {
    (1..=MAX_DESC_LEN).contains(&part.len)
}

/// Whether the device takes a packet with these parts: some, not too many, and each of a length
/// that a descriptor can say.
fn device_takes(parts: &[Part]) -> bool {
    (1..=MAX_DESCS as usize).contains(&parts.len()) && parts.iter().all(has_length)
}

/// Whether a packet has no more parts than the device takes.
#[inline]
fn has_few_parts(info: &TxInfo) -> bool {
    u32::from(info.nr_frags) + u32::from(info.head_len != 0) <= MAX_DESCS
}

/// Whether the device can segment a packet: TCP or UDP right behind an IP header without options
/// or extensions, headers whose length fits the descriptor, and no more parts than it takes. What
/// the stack cuts has few parts, and nothing is copied for that.
pub(crate) fn can_segment(info: &TxInfo) -> bool {
    let ip = info.l4_off.wrapping_sub(info.l3_off);
    (ip == 20 || ip == 40) && info.hdr_len <= 0xff && has_few_parts(info)
}

/// Has a packet that asks for the time at which it leaves get it, if it is to.
#[cold]
fn ask_for_time(stamps: &Stamps, skb: &TxSkb, info: &mut TxInfo) {
    if stamps.tx() {
        skb.hw_time_comes();
    } else {
        info.time = 0;
    }
    skb.time_stamp();
}

/// The offloads in a packet's first descriptor.
#[inline(always)]
fn describe(info: &TxInfo) -> (T1, T2) {
    let (mut w1, mut w2) = (T1(0), T2(0));
    if info.vlan != 0 {
        w1 = w1.with_vlan(1).with_vlan_tci(info.vlan_tci.into());
    }
    if info.time != 0 {
        w1 = w1.with_stamp(1);
    }
    if info.csum != 0 {
        w1 = w1.with_csum(1);
        w2 = w2
            .with_csum_start(info.csum_start.into())
            .with_csum_off(info.csum_off.into());
    }
    if info.gso != 0 {
        w1 = w1
            .with_mss(info.gso_size.into())
            .with_tso((info.gso == tx_gso::TCP || info.gso == tx_gso::TCP_FIXED_ID).into())
            .with_fixed_id((info.gso == tx_gso::TCP_FIXED_ID).into())
            .with_uso((info.gso == tx_gso::UDP).into());
        w2 = w2
            .with_hdr_len(info.hdr_len.into())
            .with_l3_off(info.l3_off.into())
            .with_l4_off(info.l4_off.into());
    }
    (w1, w2)
}

impl Ring<'_> {
    /// Writes the address of the ring. The device reads it when the queue is enabled, which can be
    /// done once with this ring.
    pub(crate) fn configure(&self) {
        let regs = self.mmio.queue(self.queue);
        regs.write_addr(
            queue_reg::TX_LO,
            queue_reg::TX_HI,
            self.desc.mem.dma_address(),
        );
        regs.write(queue_reg::TX_SIZE, self.desc.log2);
        regs.write_addr(
            queue_reg::TX_WB_LO,
            queue_reg::TX_WB_HI,
            self.probe.write_back(),
        );
    }

    /// Sends a packet, or drops it.
    #[inline]
    pub(crate) fn xmit(&mut self, cx: &XmitContext<'_>, skb: TxSkb) {
        let mut due = self.queue(cx, skb);
        if !self.slots.has_room(STOP_BELOW) {
            self.stop(cx);
            // A stopped queue gets no further packet.
            due = true;
        }
        if due {
            self.ring_doorbell();
        }
    }

    /// Puts a packet on the ring, or drops it. Says whether the doorbell is due: also for a packet
    /// that was dropped, as earlier ones may wait for its doorbell.
    #[inline(always)]
    fn queue(&mut self, cx: &XmitContext<'_>, mut skb: TxSkb) -> bool {
        if MAY_HAVE_MORE && !has_few_parts(&skb.info()) && skb.linearize().is_err() {
            return self.unmapped(cx, skb);
        }
        if !self.slots.has_room(MAX_DESCS) {
            // The queue was to be stopped before this could happen.
            self.counters.tx_queued.drop_full.add(1);
            skb.drop_with(DropReason::FullRing);
            return cx.doorbell_due();
        }
        let sent = self.slots.map_skb(skb, &mut self.info).and_then(|mapped| {
            if self.info.time != 0 {
                ask_for_time(&self.stamps, mapped.packet(), &mut self.info);
            }
            let wire = on_wire(&self.info);
            self.desc.send(mapped, describe(&self.info), wire)?;
            Ok(wire)
        });
        match sent {
            Ok(wire) => cx.sent(wire.bytes),
            Err(skb) => self.unmapped(cx, skb),
        }
    }

    /// Drops a packet that cannot be mapped, as [`Self::queue`].
    #[cold]
    fn unmapped(&self, cx: &XmitContext<'_>, skb: TxSkb) -> bool {
        self.counters.tx_queued.drop_map.add(1);
        skb.drop_with(DropReason::NoMem);
        cx.doorbell_due()
    }

    /// Keeps the stack from sending until there is room.
    #[cold]
    fn stop(&mut self, cx: &XmitContext<'_>) {
        cx.stop();
        self.counters.tx_queued.stops.add(1);
        // Pairs with the barrier in `Cleaner::poll`: either it sees the queue stopped, or we see
        // the room that it made.
        barrier::smp_mb(barrier::Full);
        if self.slots.free() >= START_AT {
            cx.start();
        }
    }

    fn ring_doorbell(&mut self) {
        if self.rung != self.desc.tail {
            self.probe.set_rung(self.desc.tail);
            // The register write is ordered after the descriptors.
            self.mmio
                .queue(self.queue)
                .write(queue_reg::TX_TAIL, self.desc.tail.raw());
            self.rung = self.desc.tail;
            self.counters.tx_queued.doorbells.add(1);
        }
    }
}

/// The packets that one poll ended.
#[derive(Default)]
struct Ended {
    slots: u32,
    sums: Sums,
    /// Packets of the stack, which is told of its own, not of frames.
    packets: u32,
    bytes: u64,
}

impl Ended {
    /// Ends a packet of the stack, whose last descriptor is that of index `at` in `desc`.
    #[inline(always)]
    fn skb(
        &mut self,
        cx: &TxContext<'_>,
        (skb, was): (TxSkb, OnWire),
        (desc, at): (&Words, Index),
    ) {
        if was.is_stamped() {
            pass_time(cx, &skb, desc, at);
        }
        self.packets += 1;
        self.bytes += u64::from(was.bytes);
        skb.consume(cx);
    }
}

impl<'bound> Cleaner<'bound> {
    /// The ring as an onlooker sees it.
    pub(crate) fn probe(&self) -> &Arc<Probe<'bound>> {
        &self.probe
    }

    /// Ends all packets that the device is done with. Frames, and all behind them, wait for a
    /// context that allows for freeing them.
    pub(crate) fn poll(&mut self, cx: &TxContext<'_>) -> Cleaned {
        if !self.probe.has_news(self.head) {
            self.bad = false;
            return Cleaned {
                seen: self.head,
                bad: false,
            };
        }
        let now = self.probe.progress(self.head);
        let Some(done) = now.done() else {
            // Counted once, not with each look at it.
            if !core::mem::replace(&mut self.bad, true) {
                self.counters.tx_done.bad_completion.add(1);
            }
            return Cleaned {
                seen: self.head,
                bad: true,
            };
        };
        self.bad = false;
        if done != 0 {
            self.clean(cx, done);
        }
        Cleaned {
            seen: self.head,
            bad: false,
        }
    }

    fn clean(&mut self, cx: &TxContext<'_>, done: u16) {
        let ended = match cx.rx() {
            Some(rx) => self.end_all(rx, done),
            None => self.end_skbs(cx, done),
        };
        // No more than `done`.
        self.gone_to(self.head.add(ended.slots as u16), &ended.sums);
        self.wake(cx, ended.packets, ended.bytes);
    }

    #[inline(always)]
    fn end_all(&mut self, cx: &RxContext<'_>, done: u16) -> Ended {
        let mut ended = Ended::default();
        let mut frames = None;
        let (head, desc) = (self.head, &self.desc);
        let all = |_: &Packet| true;
        ended.slots = self
            .slots
            .finish_while(done.into(), all, |packet, was, at| {
                ended.sums.add(was);
                match packet {
                    Packet::Skb(skb) => {
                        ended.skb(cx, (skb, was), (desc, head.add(at as u16)));
                    }
                    Packet::Frame(frame) => {
                        frame.consume(frames.get_or_insert_with(|| XdpFrameBulk::new(cx)));
                    }
                }
            });
        ended
    }

    /// Ends packets of the stack up to the first frame.
    #[cold]
    fn end_skbs(&mut self, cx: &TxContext<'_>, done: u16) -> Ended {
        let mut ended = Ended::default();
        let (head, desc) = (self.head, &self.desc);
        let may = |packet: &Packet| matches!(packet, Packet::Skb(_));
        ended.slots = self
            .slots
            .finish_while(done.into(), may, |packet, was, at| {
                ended.sums.add(was);
                if let Packet::Skb(skb) = packet {
                    ended.skb(cx, (skb, was), (desc, head.add(at as u16)));
                }
            });
        ended
    }

    /// Takes note that packets were sent up to `head`.
    fn gone_to(&mut self, head: Index, sums: &Sums) {
        self.head = head;
        self.probe.set_head(head);
        let count = &self.counters.tx_done;
        count.packets.add(sums.frames);
        count.bytes.add(sums.bytes);
        count.hw_gso_packets.add(sums.large);
        count.hw_gso_wire_packets.add(sums.segments);
    }

    fn wake(&self, cx: &TxContext<'_>, packets: u32, bytes: u64) {
        let queue = cx.tx_queue();
        // Byte queue limits count modulo 2^32.
        queue.completed(packets, bytes as u32);
        // Pairs with the barrier in `Ring::stop_if_full`.
        barrier::smp_mb(barrier::Full);
        if queue.is_stopped() && self.slots.free() >= START_AT {
            queue.wake();
            self.counters.tx_done.wakes.add(1);
        }
    }
}

/// Passes on the time in the descriptor of index `at`, if the device wrote one there.
#[cold]
fn pass_time(cx: &TxContext<'_>, skb: &TxSkb, desc: &Words, at: Index) {
    // Modulo the ring: that is done for words.
    match desc.read(at.raw() as usize * WORDS_PER_DESC + STAMP_WORD) {
        // It was not sent.
        0 => {}
        ns => skb.hw_time_stamp(cx, ns),
    }
}

impl Drop for Cleaner<'_> {
    fn drop(&mut self) {
        // The device has been stopped, and has written how far it came.
        let done = self.probe.progress(self.head).done().unwrap_or(0);
        let (mut sums, mut dropped) = (Sums::default(), 0);
        self.slots.finish(done.into(), |packet, was| {
            sums.add(was);
            if let Packet::Skb(skb) = packet {
                skb.consume_stopped();
            }
        });
        self.gone_to(self.head.add(done), &sums);
        self.slots.finish(u32::MAX, |packet, _| {
            dropped += 1;
            // A frame goes back to where it came from when it is dropped.
            if let Packet::Skb(skb) = packet {
                skb.drop_with(DropReason::DevReady);
            }
        });
        self.counters.tx_done.drop_down.add(dropped);
    }
}
