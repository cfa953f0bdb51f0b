// SPDX-License-Identifier: GPL-2.0

//! Connections that are to have a control block, and what has become of it.

use super::strikes::Strikes;
use crate::net::{
    arfs::Wanted,
    tcp::Flow, //
};
use kernel::{
    prelude::*,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

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
    strikes: Strikes,
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
            strikes: Strikes::default(),
        }
    }

    /// Whether another connection may have it.
    pub(super) fn is_free(&self) -> bool {
        self.owner == Owner::Nobody && self.block.is_none()
    }

    /// Whether it is the core that wants the connection to have a block.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self.owner, Owner::Application(_))
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

    /// The device says that the block is stale, after it applied to so many packets. False if the
    /// connection's packets are too disorderly to set it again.
    pub(super) fn missed(&mut self, applied: u64) -> bool {
        let wait = self.strikes.add(applied);
        if let Some(ms) = wait {
            self.put_off(Delta::from_millis(ms));
        }
        wait.is_some()
    }

    /// The block is gone; so is the slot, if nobody wants another one.
    pub(super) fn gone(&mut self) {
        self.block = None;
        self.strikes = Strikes::default();
        match self.owner {
            Owner::Nobody => *self = Self::free(),
            _ => self.put_off(Delta::ZERO),
        }
    }

    /// The block is gone for a while.
    pub(super) fn suspend(&mut self, wait: Delta) {
        self.gone();
        if self.owner != Owner::Nobody {
            self.put_off(wait);
        }
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
