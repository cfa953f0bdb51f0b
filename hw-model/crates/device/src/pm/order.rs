// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The order of the packet memory: what waits for each queue, first to last, and which of it
//! belongs to a flow.
//!
//! Packet batching asks whether another packet of a flow waits. Hardware answers by comparing the
//! flow numbers of all entries at once; here a list for each flow stands for the match lines.

use reflow_hwdef::desc::FLOW_NONE;
use std::collections::VecDeque;

/// An entry of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// Slot of the item in the memory.
    pub(super) slot: u32,
    /// Flow number of the packet, FLOW_NONE for none.
    pub(super) flow: u16,
    /// It is a packet, and no release.
    pub(super) packet: bool,
    /// It is a packet that ends an aggregate or belongs to none.
    pub(super) ends: bool,
}

/// The entries of one queue. A place is a number that never changes; an entry that leaves before
/// older ones leaves its place empty.
#[derive(Clone, Debug, Default)]
struct Fifo {
    entries: VecDeque<Option<Entry>>,
    /// Place of the first entry.
    begin: u64,
    /// Packets that wait.
    packets: u32,
    /// Places of entries that end an aggregate; some may have left.
    ends: VecDeque<u64>,
}

impl Fifo {
    fn get(&self, at: u64) -> Option<&Entry> {
        let index = at.checked_sub(self.begin)?;
        self.entries.get(usize::try_from(index).ok()?)?.as_ref()
    }

    fn remove(&mut self, at: u64) -> Option<Entry> {
        let index = usize::try_from(at.checked_sub(self.begin)?).ok()?;
        let entry = self.entries.get_mut(index)?.take()?;
        self.packets -= u32::from(entry.packet);
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.begin += 1;
        }
        while self.ends.front().is_some_and(|&at| self.get(at).is_none()) {
            self.ends.pop_front();
        }
        Some(entry)
    }
}

/// The order of all queues.
#[derive(Debug)]
pub(super) struct Order {
    queues: Vec<Fifo>,
    /// Places of each flow's packets, in order. All packets of a flow wait in one queue.
    flows: Vec<VecDeque<u64>>,
}

impl Order {
    /// Empty queues, for so many flows.
    pub(super) fn new(queues: usize, flows: usize) -> Self {
        Self {
            queues: vec![Fifo::default(); queues],
            flows: vec![VecDeque::new(); flows],
        }
    }

    /// Puts an entry at the end of a queue.
    pub(super) fn push(&mut self, queue: usize, entry: Entry) {
        let Some(fifo) = self.queues.get_mut(queue) else {
            return;
        };
        let at = fifo.begin + fifo.entries.len() as u64;
        fifo.packets += u32::from(entry.packet);
        if entry.ends {
            fifo.ends.push_back(at);
        }
        fifo.entries.push_back(Some(entry));
        if let Some(places) = self.flows.get_mut(usize::from(entry.flow)) {
            places.push_back(at);
        }
    }

    /// Removes the entry at a place.
    pub(super) fn remove(&mut self, queue: usize, at: u64) -> Option<Entry> {
        let entry = self.queues.get_mut(queue)?.remove(at)?;
        if let Some(places) = self.flows.get_mut(usize::from(entry.flow)) {
            // Packets of a flow leave in order.
            if places.front() == Some(&at) {
                places.pop_front();
            } else {
                places.retain(|&place| place != at);
            }
        }
        Some(entry)
    }

    /// Place of the first entry of a queue.
    pub(super) fn begin(&self, queue: usize) -> u64 {
        self.queues.get(queue).map_or(0, |fifo| fifo.begin)
    }

    /// The entry at a place.
    pub(super) fn get(&self, queue: usize, at: u64) -> Option<&Entry> {
        self.queues.get(queue)?.get(at)
    }

    /// Place of the first packet of a flow.
    pub(super) fn first_of(&self, flow: u16) -> Option<u64> {
        self.flows.get(usize::from(flow))?.front().copied()
    }

    /// Whether more than `own` packets of a flow wait.
    pub(super) fn holds_more_than(&self, own: usize, flow: u16) -> bool {
        let places = self.flows.get(usize::from(flow));
        flow != FLOW_NONE && places.is_some_and(|places| places.len() > own)
    }

    /// Packets that wait in a queue.
    pub(super) fn waiting(&self, queue: usize) -> u32 {
        self.queues.get(queue).map_or(0, |fifo| fifo.packets)
    }

    /// Packets of a queue before a place.
    pub(super) fn packets_before(&self, queue: usize, at: u64) -> usize {
        let entries = self.queues.get(queue).into_iter();
        let places = entries.flat_map(|fifo| (fifo.begin..).zip(&fifo.entries));
        let before = places.take_while(|(place, _)| *place < at);
        before
            .filter(|(_, entry)| entry.is_some_and(|entry| entry.packet))
            .count()
    }

    /// Whether a packet that ends an aggregate, or belongs to none, waits before a place.
    pub(super) fn ends_before(&self, queue: usize, at: u64) -> bool {
        let first = self.queues.get(queue).and_then(|fifo| fifo.ends.front());
        first.is_some_and(|&end| end < at)
    }

    /// The entries of all queues.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.queues
            .iter()
            .flat_map(|fifo| fifo.entries.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A step: an entry is added, the first one of a queue leaves, or the first one of a flow.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push { flow: u16, packet: bool, ends: bool },
        Pop { queue: usize },
        Take { flow: u16 },
    }

    const FLOWS: u16 = 4;

    fn any_step() -> impl Strategy<Value = Step> {
        let push = (0..FLOWS + 2, any::<bool>(), any::<bool>());
        prop_oneof![
            3 => push.prop_map(|(flow, packet, ends)| Step::Push { flow, packet, ends }),
            1 => (0..2_usize).prop_map(|queue| Step::Pop { queue }),
            1 => (0..FLOWS).prop_map(|flow| Step::Take { flow }),
        ]
    }

    /// Queue of a flow's packets: all of a flow wait in one.
    fn queue_of(flow: u16) -> usize {
        usize::from(flow & 1)
    }

    proptest! {
        /// The order equals that of plain lists which are searched.
        ///
        /// Claims: 11, 21, 23, 36, 51.
        #[test]
        fn order_equals_a_search(steps in proptest::collection::vec(any_step(), 0..200)) {
            let mut order = Order::new(2, FLOWS.into());
            let mut lists: [Vec<Entry>; 2] = Default::default();
            for (slot, step) in (0..).zip(steps) {
                match step {
                    Step::Push { flow, packet, ends } => {
                        let known = packet && flow < FLOWS;
                        let entry = Entry {
                            slot,
                            flow: if known { flow } else { FLOW_NONE },
                            packet,
                            ends: packet && ends,
                        };
                        order.push(queue_of(flow), entry);
                        lists[queue_of(flow)].push(entry);
                    }
                    Step::Pop { queue } => {
                        let want = (!lists[queue].is_empty()).then(|| lists[queue].remove(0));
                        let at = order.begin(queue);
                        prop_assert_eq!(order.remove(queue, at), want);
                    }
                    Step::Take { flow } => {
                        let list = &mut lists[queue_of(flow)];
                        let found = list.iter().position(|entry| entry.flow == flow);
                        prop_assert_eq!(order.first_of(flow).is_some(), found.is_some());
                        if let (Some(at), Some(index)) = (order.first_of(flow), found) {
                            let ahead = &list[..index];
                            let packets = ahead.iter().filter(|entry| entry.packet).count();
                            prop_assert_eq!(order.packets_before(queue_of(flow), at), packets);
                            let ends = ahead.iter().any(|entry| entry.ends);
                            prop_assert_eq!(order.ends_before(queue_of(flow), at), ends);
                            let want = list.remove(index);
                            prop_assert_eq!(order.remove(queue_of(flow), at), Some(want));
                        }
                    }
                }
                for (queue, list) in lists.iter().enumerate() {
                    let packets = list.iter().filter(|entry| entry.packet).count();
                    prop_assert_eq!(order.waiting(queue) as usize, packets);
                    let first = order.get(queue, order.begin(queue));
                    prop_assert_eq!(first, list.first());
                }
                for flow in 0..FLOWS {
                    let all = lists.iter().flatten();
                    let count = all.filter(|entry| entry.flow == flow).count();
                    for own in 0..3 {
                        prop_assert_eq!(order.holds_more_than(own, flow), count > own);
                    }
                }
                prop_assert!(!order.holds_more_than(0, FLOW_NONE));
                prop_assert!(order.entries().eq(lists.iter().flatten()));
            }
        }
    }
}
