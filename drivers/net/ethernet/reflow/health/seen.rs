// SPDX-License-Identifier: GPL-2.0

//! The last observations of the watch, of the device and of each queue pair.

use super::pauses::Pauses;
use crate::counters;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Looks in a row with packets received and counters that stand still, after which the device does
/// not keep them any more.
pub(super) const STATS_LOOKS: u32 = 3;

/// Looks in a row at which something waits for a poll, after which its interrupt was lost.
pub(super) const LOST_LOOKS: u64 = 2;
/// Looks in a row with packets to send of which none leaves, after which they never will. Sooner
/// than the core, whose patience is ten seconds, and for one packet as for a full ring.
const STUCK_LOOKS: u64 = 5;
/// Looks in a row at which a completion is missing and later ones are there, after which it will
/// not come.
pub(super) const GAP_LOOKS: u64 = 2;
/// Looks in a row at which a queue is dry, after which its memory is lost.
const DRY_LOOKS: u64 = 2;
/// Interrupts for nothing between two looks that are too many, if not many more polls went with
/// them: who polls busily finds the packets before their interrupts come.
const USELESS_MANY: u64 = 50;
/// So many polls for each are many more.
const USELESS_POLLS: u64 = 4;
/// Looks in a row with too many, after which device and driver do not agree on their indices.
const USELESS_LOOKS: u64 = 3;

/// Resets of a device that goes on without them.
#[derive(Default)]
struct Resets {
    pauses: Pauses,
    last: Option<Instant<Monotonic>>,
}

impl Resets {
    /// Milliseconds since the last one.
    fn since(&self) -> i64 {
        self.last
            .map_or(i64::MAX, |last| last.elapsed().as_millis())
    }

    /// Whether it is time for one; then it counts.
    fn is_due(&mut self) -> bool {
        let due = self.pauses.is_due(self.since());
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// The last observations of the device.
pub(crate) struct Seen {
    /// Locked for a moment only.
    resets: Pin<KBox<Mutex<Resets>>>,
    /// Packets that the driver was handed.
    pub(super) packets: Looked,
    /// Frames that the device says it handed over.
    pub(super) transferred: Looked,
    /// Looks in a row at which the one had grown and the other not.
    pub(super) stats_still: Looked,
}

impl Seen {
    /// Nothing yet. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new() -> Result<Self> {
        let resets = new_mutex!(Resets::default(), "reflow::health::resets");
        Ok(Self {
            resets: KBox::pin_init(resets, GFP_KERNEL)?,
            packets: Looked::default(),
            transferred: Looked::default(),
            stats_still: Looked::default(),
        })
    }

    /// How often the device was reset though its traffic went on, the pause after the last of those
    /// and what is left of it, in milliseconds. May sleep.
    pub(crate) fn resets(&self) -> (u32, i64, i64) {
        let resets = self.resets.lock();
        let pause = resets.pauses.wait();
        let left = pause.saturating_sub(resets.since()).max(0);
        (resets.pauses.in_a_row(), pause, left)
    }

    /// Whether it is time to reset a device whose traffic goes on without; then it counts, and this
    /// is the number of seconds in which there will be no other.
    pub(super) fn reset_is_due(&self) -> Option<i64> {
        let mut resets = self.resets.lock();
        resets.is_due().then(|| resets.pauses.wait() / 1000)
    }
}

/// The last observations of a queue pair.
#[derive(Default)]
pub(crate) struct SeenQueue {
    /// Polls.
    pub(super) polls: Looked,
    /// Looks in a row at which something waited to be polled, and no poll came.
    pub(super) waiting: Looked,
    /// How far the device has said that it sent.
    written: Looked,
    /// Looks in a row at which the device had packets to send and none left.
    stuck: Looked,
    /// Packets received, and pages that could not be allocated.
    packets: Looked,
    alloc_fail: Looked,
    /// Looks in a row at which a completion was missing.
    pub(super) gap: Looked,
    /// Looks in a row at which packets waited in the device and none came.
    dry: Looked,
    /// Interrupts that came for nothing.
    useless: Looked,
    /// Looks in a row with many of them.
    disagreeing: Looked,
}

/// A number remembered from one look to the next. One look at a time.
pub(super) struct Looked(Atomic<u64>);

impl Default for Looked {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Looked {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn set(&self, to: u64) {
        self.0.store(to, Relaxed);
    }

    /// Counts looks in a row at which something `holds`; whether there were `most` of them. From
    /// then on there are at each look: what could not be mended is found again.
    pub(super) fn in_a_row(&self, holds: bool, most: u64) -> bool {
        let looks = if holds { self.get() + 1 } else { 0 };
        self.set(looks.min(most));
        looks >= most
    }

    /// Whether the next look may be the last of `most` in a row.
    pub(super) fn is_last(&self, most: u64) -> bool {
        self.get() + 1 == most
    }

    /// Remembers `now`; whether it is another number than before.
    pub(super) fn changed(&self, now: u64) -> bool {
        let before = self.get();
        self.set(now);
        before != now
    }
}

impl SeenQueue {
    /// Whether the device has been told of packets for long and none left.
    pub(super) fn is_stuck(&self, outstanding: bool, written: u64) -> bool {
        let moved = self.written.changed(written);
        self.stuck.in_a_row(outstanding && !moved, STUCK_LOOKS)
    }

    /// Whether packets have been waiting since the last look though nothing keeps us from giving
    /// the device what it needs: completions that would give memory back were lost or bad.
    pub(super) fn is_dry(&self, waits: bool, count: &counters::Rx) -> bool {
        let moved = self.packets.changed(count.packets.read());
        let lacking = self.alloc_fail.changed(count.alloc_fail.read());
        self.dry.in_a_row(waits && !moved && !lacking, DRY_LOOKS)
    }

    /// Whether interrupts have come for nothing all the time. To be asked before `polls` is noted.
    pub(super) fn disagrees(&self, useless: u64, polls: u64) -> bool {
        let new = useless.wrapping_sub(self.useless.get());
        self.useless.set(useless);
        let polls = polls.wrapping_sub(self.polls.get());
        let many = new >= USELESS_MANY && new.saturating_mul(USELESS_POLLS) >= polls;
        self.disagreeing.in_a_row(many, USELESS_LOOKS)
    }
}
