// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow memory: the flow number of each packet that waits, in the order of arrival; and the
//! search for another packet of a flow, which is what packet batching asks.
//!
//! Hardware searches it by comparing all entries at once. Here a count for each flow number stands
//! for the lines that would match.

use reflow_hwdef::desc::FLOW_NONE;
use std::collections::VecDeque;

/// The flow memory.
#[derive(Debug)]
pub(crate) struct FlowMemory {
    fifos: Vec<Fifo>,
    matches: Vec<u32>,
}

/// Flow numbers of a queue. Those of packets that left past others are there until their turn comes.
#[derive(Clone, Debug, Default)]
struct Fifo {
    flows: VecDeque<u16>,
    /// How many packets of each flow, the first ones, have left already; and of all flows.
    gone: Vec<u32>,
    all_gone: u32,
}

impl FlowMemory {
    /// An empty flow memory.
    pub(crate) fn new(queues: usize, flows: usize) -> Self {
        Self {
            fifos: vec![
                Fifo {
                    gone: vec![0; flows],
                    ..Fifo::default()
                };
                queues
            ],
            matches: vec![0; flows],
        }
    }

    /// A packet of this flow (or of none) waits in a queue.
    pub(crate) fn push(&mut self, queue: usize, flow: u16) {
        if let Some(fifo) = self.fifos.get_mut(queue) {
            fifo.flows.push_back(flow);
            if let Some(count) = self.matches.get_mut(usize::from(flow)) {
                *count += 1;
            }
        }
    }

    /// The first packet of a queue leaves.
    pub(crate) fn pop(&mut self, queue: usize) {
        let Some(fifo) = self.fifos.get_mut(queue) else {
            return;
        };
        if let Some(flow) = fifo.pop() {
            if let Some(count) = self.matches.get_mut(usize::from(flow)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// How many packets of a queue wait.
    pub(crate) fn waiting(&self, queue: usize) -> u32 {
        self.fifos
            .get(queue)
            .map_or(0, |fifo| fifo.flows.len() as u32 - fifo.all_gone)
    }

    /// The first packet of a flow in a queue leaves, past others that stay.
    pub(crate) fn take(&mut self, queue: usize, flow: u16) {
        let Some(fifo) = self.fifos.get_mut(queue) else {
            return;
        };
        let count = self.matches.get_mut(usize::from(flow));
        let gone = fifo.gone.get_mut(usize::from(flow));
        if let (Some(count @ 1..), Some(gone)) = (count, gone) {
            *count -= 1;
            *gone += 1;
            fifo.all_gone += 1;
        }
    }

    /// Whether more than `own` packets of a flow wait.
    pub(crate) fn holds_more_than(&self, own: u32, flow: u16) -> bool {
        flow != FLOW_NONE
            && self
                .matches
                .get(usize::from(flow))
                .is_some_and(|&count| count > own)
    }

    /// The same by search, for tests.
    #[cfg(test)]
    fn search(&self, flow: u16) -> usize {
        let waits = |fifo: &Fifo| {
            let all = fifo.flows.iter().filter(|&&f| f == flow).count();
            all - fifo.gone.get(usize::from(flow)).map_or(0, |&n| n as usize)
        };
        self.fifos.iter().map(waits).sum()
    }
}

impl Fifo {
    /// The flow number of the first packet that has not left.
    fn pop(&mut self) -> Option<u16> {
        loop {
            let flow = self.flows.pop_front()?;
            match self.gone.get_mut(usize::from(flow)) {
                Some(gone @ 1..) => {
                    *gone -= 1;
                    self.all_gone -= 1;
                }
                _ => return Some(flow),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Claims: 11, 21, 23, 36, 51.
        #[test]
        fn match_lines_equal_a_search(ops in proptest::collection::vec((0..4_usize, 0..6_u16), 0..200)) {
            let mut fm = FlowMemory::new(2, 4);
            for (op, flow) in ops {
                let flow = if flow > 3 { FLOW_NONE } else { flow };
                match op {
                    0 | 1 => fm.push(usize::from(flow & 1), flow),
                    // All packets of a flow wait in one queue.
                    3 if flow != FLOW_NONE => fm.take(usize::from(flow & 1), flow),
                    _ => fm.pop(usize::from(flow & 1)),
                }
                for flow in 0..4 {
                    for own in 0..3 {
                        prop_assert_eq!(fm.holds_more_than(own, flow), fm.search(flow) > own as usize);
                    }
                }
            }
        }
    }
}
