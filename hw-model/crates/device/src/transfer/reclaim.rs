// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reclaims partly filled pages from flows.
//!
//! Each flow may keep a page that its next data goes to. A driver has only so many pages, so a
//! queue could wait for ever for one while other flows keep theirs. After it has waited for a while,
//! pages go back to the driver: of idle flows first, and if there are none, of busy ones, whose
//! next data then goes to a fresh page.

use super::describe::release;
use super::{Step, Transfer};
use crate::host::Host;
use crate::rings::rx::RxQueue;
use reflow_hwdef::regs::QueueError;

/// How long a queue waits for a page before it reclaims others, and between two attempts.
const PATIENCE_NS: u64 = 100_000;
/// Pages reclaimed at a time.
const PAGES: usize = 8;

impl Transfer<'_> {
    /// The first packet of the queue waits for a page: reclaims some if it has waited long
    /// enough.
    pub(crate) fn reclaim(&mut self, rx: &mut RxQueue, host: &impl Host) -> Step {
        match rx.reclaim_at {
            Some(at) if self.now >= at => {}
            Some(_) => return Step::Idle,
            None => {
                rx.reclaim_at = Some(self.now.saturating_add(PATIENCE_NS));
                return Step::Idle;
            }
        }
        // If nothing can be reclaimed, the next attempt is at the next event.
        rx.reclaim_at = None;
        let count = PAGES.min(rx.cq.free());
        for busy in [false, true] {
            let mut flows = [0; PAGES];
            let mut found = 0;
            for flow in self.reasm.holders() {
                if found < count && self.fdb.whereabouts(flow) == Some((busy, self.queue)) {
                    flows[found] = flow;
                    found += 1;
                }
            }
            for &flow in &flows[..found] {
                if let Some(place) = self.reasm.take_place(flow) {
                    let done = [release(flow, place.buffer.id, false)];
                    if rx.cq.publish(host, &done).is_err() {
                        return Step::Fault(QueueError::BadAddress);
                    }
                }
            }
            if found > 0 {
                rx.reclaim_at = Some(self.now.saturating_add(PATIENCE_NS));
                break;
            }
        }
        Step::Idle
    }
}
