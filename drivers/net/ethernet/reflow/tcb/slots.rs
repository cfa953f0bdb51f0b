// SPDX-License-Identifier: GPL-2.0

//! Connections that are to have a control block, and what has become of it.

use crate::net::arfs::{
    Flow,
    Wanted, //
};
use kernel::{
    prelude::*,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Most strikes before a block is handed back.
const STRIKES: u8 = 8;
/// Packets that a block applies to in a row after which what was before is forgotten.
const GOOD: u64 = 32;
/// Shortest wait before a stale block is set again; it doubles with each strike.
const FIRST_WAIT: Delta = Delta::from_millis(5);

/// Who wants a connection to have a control block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody.
    Nobody,
    /// The core, to have it follow the application.
    Application(Wanted),
    /// The user, by a rule at this location.
    Rule(u32),
}

/// A connection that is to have a control block.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) owner: Owner,
    pub(super) flow: Flow,
    pub(super) queue: u16,
    /// The flow number, if the device has its block.
    pub(super) block: Option<u16>,
    /// The block is to be set, or set again, after `wait` from `since` on.
    pub(super) due: bool,
    pub(super) since: Instant<Monotonic>,
    pub(super) wait: Delta,
    /// Times in a row that the block became stale soon.
    strikes: u8,
}

/// What is to be done about a stale block.
#[derive(PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is set again after a while.
    Again,
    /// The connection's packets are too disorderly: it is handed back.
    HandBack,
}

impl Slot {
    pub(super) fn free() -> Self {
        Self {
            owner: Owner::Nobody,
            flow: Flow::default(),
            queue: 0,
            block: None,
            due: false,
            since: Instant::now(),
            wait: Delta::ZERO,
            strikes: 0,
        }
    }

    /// Whether another connection may have it.
    pub(super) fn is_free(&self) -> bool {
        self.owner == Owner::Nobody && self.block.is_none()
    }

    /// Puts it to use.
    pub(super) fn take(&mut self, owner: Owner, flow: &Flow, queue: u16) {
        *self = Self {
            owner,
            flow: *flow,
            queue,
            due: true,
            ..Self::free()
        };
    }

    /// Whether the block is to be set now.
    pub(super) fn is_due(&self) -> bool {
        self.due && self.since.elapsed() >= self.wait
    }

    /// Lets some time go by before the block is set.
    pub(super) fn put_off(&mut self, wait: Delta) {
        self.due = true;
        self.since = Instant::now();
        self.wait = wait;
    }

    /// The same for a slot that is still wanted.
    pub(super) fn put_off_if_wanted(&mut self, wait: Delta) {
        if self.owner != Owner::Nobody {
            self.put_off(wait);
        }
    }

    /// The device says that the block is stale, after it applied to so many packets.
    pub(super) fn missed(&mut self, applied: u64) -> Verdict {
        if applied >= GOOD {
            self.strikes = 0;
        }
        self.strikes += 1;
        if self.strikes > STRIKES {
            return Verdict::HandBack;
        }
        let factor = 1_i64 << (self.strikes - 1);
        self.put_off(Delta::from_nanos(FIRST_WAIT.as_nanos() * factor));
        Verdict::Again
    }

    /// The block is gone; the slot, too, but for a rule's, which waits for the next connection.
    pub(super) fn gone(&mut self) {
        self.block = None;
        self.strikes = 0;
        match self.owner {
            Owner::Rule(_) => self.put_off(Delta::ZERO),
            _ => *self = Self::free(),
        }
    }

    /// The block was handed back: a rule's slot waits until the connection has ended.
    pub(super) fn handed_back(&mut self) {
        self.gone();
        self.due = false;
    }
}

/// All slots.
pub(super) struct Slots(KVec<Slot>);

impl Slots {
    /// Room for so many connections. May sleep.
    pub(super) fn new(count: usize) -> Result<Self> {
        let mut slots = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            slots.push(Slot::free(), GFP_KERNEL)?;
        }
        Ok(Self(slots))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&mut self, i: usize) -> Option<&mut Slot> {
        self.0.get_mut(i)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.0.iter_mut()
    }

    /// The slot of a connection.
    pub(super) fn find(&mut self, flow: &Flow) -> Option<(usize, &mut Slot)> {
        let mut slots = self.0.iter_mut().enumerate();
        slots.find(|(_, slot)| !slot.is_free() && slot.flow.same(flow))
    }

    /// A slot that is free.
    pub(super) fn vacant(&mut self) -> Option<(usize, &mut Slot)> {
        let mut slots = self.0.iter_mut().enumerate();
        slots.find(|(_, slot)| slot.is_free())
    }
}
