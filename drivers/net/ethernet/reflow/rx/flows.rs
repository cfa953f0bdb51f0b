// SPDX-License-Identifier: GPL-2.0

//! Open aggregates, one slot for each flow number.
//!
//! The flow number that the device gives is the index: no key is compared or hashed on the host. A
//! slot holds the socket buffer that grows while packets of the flow follow each other. It goes up
//! when the device closes the aggregate, when the batching hint says that nothing follows, and at
//! the end of a poll. In the last case the header is *parked*, as the device does not send it again
//! for what it still appends.
//!
//! With header suppression off each packet comes with its header. It has to be the one that goes on
//! with the aggregate; a packet with any other begins an aggregate of its own, and so does one that
//! finds none open. Then nothing is parked.

use super::{
    decode::Span,
    headers::{
        self,
        Before,
        FixedIds,
        Layout,
        Tunnel, //
    }, //
};
use crate::{
    counters,
    hw::desc::Completion,
    net::{
        napi::RxContext,
        skbuff::{
            gso_type,
            RxMeta,
            RxSkb, //
        }, //
    },
    sizes::CELL_SIZE, //
};
use kernel::prelude::*;

/// TCP flags that a later packet adds to the header of its aggregate: FIN and PSH.
const LATER_FLAGS: u8 = 0x09;

/// The aggregate in one socket buffer.
#[derive(Default)]
struct Aggregate {
    meta: RxMeta,
    at: Layout,
    /// Segments and bytes of data in this socket buffer.
    segs: u16,
    bytes: u32,
    /// TCP flags of all segments but the first, or-ed.
    flags: u8,
    /// Which IDs stay fixed, according to the packets after the first.
    fixed: FixedIds,
    /// The header was advanced: its checksum is not that of the packet.
    advanced: bool,
    /// The headers of later packets come with them.
    headers: bool,
    /// Buffer and offset where the data so far end.
    tail: Option<(u16, u16)>,
}

/// A header kept for data that the device still appends to an aggregate that has gone up.
///
/// It is advanced when the next packet comes: until the second, nobody knows how IPv4 ids go on.
struct Parked {
    header: [u8; CELL_SIZE as usize],
    len: usize,
    /// Bytes and segments that have gone up since the header came.
    bytes: u32,
    segs: u16,
}

enum State {
    /// No aggregate.
    Idle,
    /// An aggregate grows here.
    Open(RxSkb),
    /// The aggregate so far has gone up; its header, advanced, waits for more data.
    Parked(KBox<Parked>),
    /// The beginning was lost for want of memory: what is appended is lost, too.
    Lost,
}

/// A flow's slot.
struct FlowSlot {
    state: State,
    agg: Aggregate,
    /// The slot is in the list of open ones.
    listed: bool,
}

/// The table of slots of one queue.
pub(super) struct Flows {
    slots: KVVec<FlowSlot>,
    /// Flows opened in this poll, some of them closed again.
    open: KVec<u16>,
}

/// The room that the next packet needs in its flow's socket buffer.
#[derive(Default)]
pub(super) struct Need {
    /// Fragments at most; 0 for a packet that was begun.
    pub(super) frags: u32,
    /// Buffer and offset where its data begin.
    pub(super) at: Option<(u16, u16)>,
}

/// Why data could not be appended.
pub(super) enum Refused {
    /// No memory for a socket buffer.
    NoMem,
    /// No beginning to append to.
    Orphan,
    /// The beginning's header is not what the device said of it.
    Malformed,
}

/// Which IPv4 ids of its aggregate are constant, by a completion's word.
fn fixed_ids(c: &Completion) -> FixedIds {
    FixedIds {
        inner: c.c0.fixed_id() != 0,
        outer: c.c5.outer_fixed_id() != 0,
    }
}

impl Flows {
    /// Makes a table of `count` slots. May sleep.
    pub(super) fn new(count: usize) -> Result<Self> {
        let mut slots = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let slot = FlowSlot {
                state: State::Idle,
                agg: Aggregate::default(),
                listed: false,
            };
            slots.push(slot, GFP_KERNEL)?;
        }
        Ok(Self {
            slots,
            open: KVec::with_capacity(count, GFP_KERNEL)?,
        })
    }

    /// Opens an aggregate with the socket buffer that holds its header.
    ///
    /// `None` notes that there is no such buffer.
    pub(super) fn start(&mut self, flow: u16, skb: Option<RxSkb>, c: &Completion, meta: RxMeta) {
        let Some(slot) = self.slots.get_mut(usize::from(flow)) else {
            return;
        };
        slot.agg = Aggregate::new(c, meta);
        slot.state = match skb {
            Some(skb) => State::Open(skb),
            None => State::Lost,
        };
        self.list(flow);
    }

    /// Remembers that the flow's aggregate is to go up at the end of the poll.
    fn list(&mut self, flow: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(flow)) {
            if !slot.listed {
                // There is room for every slot once.
                slot.listed = self.open.push_within_capacity(flow).is_ok();
            }
        }
    }

    /// Whether a packet whose header was delivered goes on with its flow's open aggregate. If not,
    /// that has gone up, and the packet begins one of its own.
    pub(super) fn joins(
        &mut self,
        cx: &RxContext<'_>,
        flow: u16,
        c: &Completion,
        header: &[u8],
        need: &Need,
        count: &counters::Rx,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(usize::from(flow)) else {
            return false;
        };
        let has_room = slot.has_room(need);
        let State::Open(skb) = &mut slot.state else {
            return false;
        };
        let follows = slot.agg.is_followed_by(skb.head_mut(), header, c);
        if follows && has_room {
            return true;
        }
        if !follows {
            count.header_mismatch.add(1);
        }
        self.close(cx, flow, count);
        false
    }

    /// The socket buffer that data of this flow go to.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    #[inline]
    pub(super) fn skb(
        &mut self,
        cx: &RxContext<'_>,
        flow: u16,
        c: &Completion,
        need: &Need,
        count: &counters::Rx,
    ) -> Result<&mut RxSkb, Refused> {
        if let Some(slot) = self.slots.get_mut(usize::from(flow)) {
            slot.make_room(cx, need, count);
        }
        if let Some(FlowSlot {
            state: State::Parked(_),
            ..
        }) = self.slots.get(usize::from(flow))
        {
            self.unpark(cx, flow, c)?;
        }
        match self.slots.get_mut(usize::from(flow)) {
            Some(FlowSlot {
                state: State::Open(skb),
                ..
            }) => Ok(skb),
            _ => Err(Refused::Orphan),
        }
    }

    /// Makes a socket buffer from a parked header, which becomes that of the packet in `c`.
    fn unpark(&mut self, cx: &RxContext<'_>, flow: u16, c: &Completion) -> Result<(), Refused> {
        let Some(slot) = self.slots.get_mut(usize::from(flow)) else {
            return Err(Refused::Orphan);
        };
        let State::Parked(mut parked) = core::mem::replace(&mut slot.state, State::Lost) else {
            return Err(Refused::Orphan);
        };
        let (bytes, segs, len) = (parked.bytes, parked.segs, parked.len);
        let header = parked.header.get_mut(..len).ok_or(Refused::Orphan)?;
        headers::advance(header, slot.agg.at, bytes, segs, fixed_ids(c))
            .map_err(|_| Refused::Malformed)?;
        let mut skb = RxSkb::alloc(cx, CELL_SIZE).ok_or(Refused::NoMem)?;
        skb.put_slice(header).map_err(|_| Refused::NoMem)?;
        slot.state = State::Open(skb);
        self.list(flow);
        Ok(())
    }

    /// Adds packets of which so many bytes were put into the flow's socket buffer.
    #[inline]
    pub(super) fn appended(
        &mut self,
        flow: u16,
        c: &Completion,
        segs: u16,
        bytes: u32,
        last: Option<&Span>,
    ) {
        if let Some(slot) = self.slots.get_mut(usize::from(flow)) {
            slot.agg.add(c, segs, bytes);
            slot.agg.tail = last.map(|span| (span.id, span.off + span.len));
        }
    }

    /// Notes that the flow's aggregate cannot be completed: what it holds is dropped.
    ///
    /// Returns the segments that were dropped.
    pub(super) fn spoil(&mut self, flow: u16) -> u16 {
        match self.slots.get_mut(usize::from(flow)) {
            Some(slot) => {
                let segs = match core::mem::replace(&mut slot.state, State::Lost) {
                    State::Open(_) => slot.agg.segs,
                    _ => 0,
                };
                slot.agg.segs = 0;
                segs
            }
            None => 0,
        }
    }

    /// Hands the flow's aggregate up; nothing will be appended to it any more.
    #[inline(always)]
    pub(super) fn close(&mut self, cx: &RxContext<'_>, flow: u16, count: &counters::Rx) {
        if let Some(slot) = self.slots.get_mut(usize::from(flow)) {
            if !matches!(slot.state, State::Idle) {
                slot.close(cx, count);
            }
        }
    }

    /// Packets in aggregates that have not gone up.
    pub(super) fn left_over(&self) -> u64 {
        let open = self
            .slots
            .iter()
            .filter(|slot| matches!(slot.state, State::Open(_)));
        open.map(|slot| u64::from(slot.agg.segs)).sum()
    }

    /// Hands all open aggregates up, keeping the headers of those that may still grow.
    pub(super) fn flush(&mut self, cx: &RxContext<'_>, count: &counters::Rx) {
        // In the order in which they were opened.
        for flow in &self.open {
            let Some(slot) = self.slots.get_mut(usize::from(*flow)) else {
                continue;
            };
            slot.listed = false;
            match core::mem::replace(&mut slot.state, State::Idle) {
                State::Open(skb) if slot.agg.headers => {
                    count.parked.add(1);
                    slot.agg.submit(cx, skb, count);
                }
                State::Open(skb) => slot.park(cx, skb, count),
                other => slot.state = other,
            }
        }
        self.open.clear();
    }
}

impl FlowSlot {
    /// Hands the aggregate up, if there is one.
    #[inline(never)]
    fn close(&mut self, cx: &RxContext<'_>, count: &counters::Rx) {
        if let State::Open(skb) = core::mem::replace(&mut self.state, State::Idle) {
            self.agg.submit(cx, skb, count);
        }
    }

    /// Whether the next packet's fragments fit behind what there is.
    #[inline]
    fn has_room(&self, need: &Need) -> bool {
        let State::Open(skb) = &self.state else {
            return true;
        };
        let goes_on = self.agg.tail.is_some() && self.agg.tail == need.at;
        need.frags <= skb.frag_room() + u32::from(goes_on) || self.agg.segs == 0
    }

    /// Hands up what there is if the next packet's fragments would not fit behind it.
    ///
    /// That happens when the device, short of pages, took back one that was not full.
    #[inline]
    fn make_room(&mut self, cx: &RxContext<'_>, need: &Need, count: &counters::Rx) {
        if self.has_room(need) {
            return;
        }
        if let State::Open(skb) = core::mem::replace(&mut self.state, State::Idle) {
            self.park(cx, skb, count);
        }
    }

    /// Hands the socket buffer up and keeps its header, made to fit what comes next.
    fn park(&mut self, cx: &RxContext<'_>, mut skb: RxSkb, count: &counters::Rx) {
        count.parked.add(1);
        self.state = match Parked::new(skb.head_mut(), &self.agg) {
            Some(parked) => State::Parked(parked),
            None => State::Lost,
        };
        let next = Aggregate {
            meta: self.agg.meta,
            fixed: self.agg.fixed,
            at: self.agg.at,
            advanced: true,
            ..Aggregate::default()
        };
        core::mem::replace(&mut self.agg, next).submit(cx, skb, count);
    }
}

impl Parked {
    fn new(head: &[u8], agg: &Aggregate) -> Option<KBox<Self>> {
        let mut this = KBox::new(
            Self {
                header: [0; CELL_SIZE as usize],
                len: head.len(),
                bytes: agg.bytes,
                segs: agg.segs,
            },
            GFP_ATOMIC,
        )
        .ok()?;
        this.header.get_mut(..head.len())?.copy_from_slice(head);
        Some(this)
    }
}

/// Hands up an aggregate that is all in one completion: `segs` packets with so many bytes of data.
#[inline]
pub(super) fn submit(
    cx: &RxContext<'_>,
    skb: RxSkb,
    c: &Completion,
    meta: RxMeta,
    (segs, bytes): (u16, u32),
    count: &counters::Rx,
) {
    let mut agg = Aggregate::new(c, meta);
    agg.add(c, segs, bytes);
    agg.submit(cx, skb, count);
}

impl Aggregate {
    /// One that begins with the packet in `c`, which is not in it yet.
    #[inline]
    fn new(c: &Completion, meta: RxMeta) -> Self {
        Self {
            meta,
            at: Layout {
                outer: c.c5.outer_off() as u8,
                l3: c.c4.l3_off() as u8,
                l4: c.c4.l4_off() as u8,
                v6: c.c0.ipv6() != 0,
            },
            headers: c.c5.headers() != 0,
            ..Self::default()
        }
    }

    /// Adds `segs` packets with so many bytes of data.
    #[inline]
    fn add(&mut self, c: &Completion, segs: u16, bytes: u32) {
        if self.segs != 0 || self.advanced || segs > 1 {
            self.flags |= c.c0.tcp_flags() as u8 & LATER_FLAGS;
        }
        // A device could go on for ever; a packet that long has no header that fits it.
        self.segs = self.segs.saturating_add(segs);
        self.bytes = self.bytes.saturating_add(bytes);
        self.meta.gso_size = c.c5.seg_size() as u16;
        // As the stack has it where it merges: the time of the last byte.
        self.meta.time = c.time;
        let fixed = fixed_ids(c);
        self.fixed.inner |= fixed.inner;
        self.fixed.outer |= fixed.outer;
    }

    /// Compares the header of the packet in `c` with `head`, that of the aggregate.
    fn is_followed_by(&self, head: &[u8], header: &[u8], c: &Completion) -> bool {
        let (seg_size, len) = (c.c5.seg_size() as u32, c.c5.data_len() as u32);
        let before = Before {
            at: self.at,
            bytes: self.bytes,
            segs: self.segs,
            fixed: fixed_ids(c),
        };
        // The second packet says how ids go on, the others have to agree.
        let agrees = self.segs < 2 || before.fixed == self.fixed;
        agrees
            && len <= seg_size
            && self.bytes == u32::from(self.segs) * seg_size
            && headers::follows(head, header, &before, len)
    }

    /// GSO type of the packets, which came through this tunnel.
    #[inline]
    fn gso_type(&self, tunnel: Tunnel) -> u32 {
        let tcp = match self.at.v6 {
            true => gso_type::TCPV6,
            false => gso_type::TCPV4,
        };
        let fixed = |is: bool, bit: u32| u32::from(is) * bit;
        let tunnel = match tunnel {
            Tunnel::None => return tcp | fixed(self.fixed.inner, gso_type::TCP_FIXEDID),
            Tunnel::Ip4 => gso_type::IPXIP4,
            Tunnel::Ip6 => gso_type::IPXIP6,
        };
        tcp | tunnel
            | fixed(self.fixed.outer, gso_type::TCP_FIXEDID)
            | fixed(self.fixed.inner, gso_type::TCP_FIXEDID_INNER)
    }

    /// Completes the header and hands the socket buffer to the stack.
    #[inline]
    fn submit(&mut self, cx: &RxContext<'_>, mut skb: RxSkb, count: &counters::Rx) {
        let head = skb.head_mut();
        let headers = head.len() as u64 * u64::from(self.segs);
        if self.segs > 1 || self.advanced {
            let Ok(tunnel) = headers::finish(head, self.at, self.bytes, self.flags) else {
                count.drop_bad_completion.add(self.segs.into());
                return;
            };
            self.meta.gso_type = self.gso_type(tunnel);
            self.meta.l3_off = self.at.l3.into();
            self.meta.l4_off = self.at.l4.into();
            self.meta.gso_segs = self.segs;
        }
        if skb.submit(cx, &self.meta).is_err() {
            count.drop_bad_completion.add(self.segs.into());
            return;
        }
        if self.segs > 1 {
            count.hw_gro_packets.add(1);
            count.hw_gro_wire_packets.add(self.segs.into());
        }
        count.up(self.segs, headers + u64::from(self.bytes));
        count.skbs.add(1);
    }
}
