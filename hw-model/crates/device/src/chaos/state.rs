// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The state of a device's faults, shared by all places that inject them.

use super::completions::Told;
use super::dice::Injector;
use super::{Fault, Spec, Tally};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Time between two interrupts of a storm.
const STORM_NS: u64 = 10_000;

/// All faults.
#[derive(Debug)]
pub(super) struct State {
    injectors: Vec<Injector>,
    /// Packets transferred and sent so far.
    pub(super) packets: u64,
    pub(super) now: u64,
    /// Registers read all ones.
    removed: bool,
    link_down: bool,
    storm: bool,
    not_ready: bool,
    /// The queue that transfers nothing.
    stuck: Option<usize>,
    /// Buffers and flows of earlier completions.
    pub(super) told: Told,
}

/// Changes since the last turn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Change {
    /// The link seems to go down or up.
    pub(crate) link: bool,
    /// The device is back after it was gone.
    pub(crate) back: bool,
    /// Vectors to raise for no reason.
    pub(crate) spurious: Option<u64>,
    /// The same of a storm.
    pub(crate) storm: Option<u64>,
}

impl State {
    /// The injector of a fault of the spec.
    pub(super) fn get(&mut self, fault: Fault) -> Option<&mut Injector> {
        self.injectors.iter_mut().find(|i| i.fault() == fault)
    }

    /// The injector of a fault that strikes now; counts what it spoils.
    pub(super) fn strike(&mut self, fault: Fault) -> Option<&mut Injector> {
        let packets = self.packets;
        let injector = self.get(fault)?;
        if !injector.strikes(packets) {
            return None;
        }
        injector.tally.spoiled += 1;
        Some(injector)
    }

    /// Whether a fault that lasts is at work; counts what it spoils.
    pub(super) fn lasting(&mut self, fault: Fault) -> bool {
        let on = self.begun(fault);
        self.spoil(fault, on);
        on
    }

    /// Whether a fault that lasts is at work.
    fn begun(&mut self, fault: Fault) -> bool {
        let (packets, now) = (self.packets, self.now);
        self.get(fault).is_some_and(|i| i.lasts(packets, now))
    }

    fn spoil(&mut self, fault: Fault, on: bool) {
        if let Some(injector) = self.get(fault).filter(|_| on) {
            injector.tally.spoiled += 1;
        }
    }

    /// A turn of work begins. A removed device does nothing else.
    pub(super) fn turn(&mut self, now: u64, vectors: u64) -> Change {
        self.now = self.now.max(now);
        let mut change = Change::default();
        let removed = self.begun(Fault::Removed);
        change.back = self.removed && !removed;
        self.removed = removed;
        if removed {
            return change;
        }
        let down = self.begun(Fault::LinkFlap);
        change.link = down != self.link_down;
        self.spoil(Fault::LinkFlap, change.link);
        self.link_down = down;
        self.not_ready = self.begun(Fault::NotReady);
        let spurious = self.strike(Fault::IrqSpurious);
        change.spurious = spurious.map(|injector| injector.dice.below(vectors));
        self.storm = self.lasting(Fault::IrqStorm);
        if let Some(injector) = self.get(Fault::IrqStorm) {
            let turn = injector.tally.spoiled % vectors.max(1);
            change.storm = self.storm.then_some(turn);
        }
        change
    }
}

/// The faults of a device that has any.
#[derive(Clone, Debug)]
pub(crate) struct Chaos(Arc<Mutex<State>>);

impl Chaos {
    /// The faults of a spec; `None` if it has none.
    pub(crate) fn new(spec: &Spec, seed: u64, now: u64) -> Option<Self> {
        let injectors: Vec<_> = spec
            .wishes
            .iter()
            .map(|&wish| Injector::new(wish, seed))
            .collect();
        (!injectors.is_empty()).then(|| {
            Self(Arc::new(Mutex::new(State {
                injectors,
                packets: 0,
                now,
                removed: false,
                link_down: false,
                storm: false,
                not_ready: false,
                stuck: None,
                told: Told::default(),
            })))
        })
    }

    /// The state. Nothing panics while it is held.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn of work begins at a time; `vectors` are those of the device.
    pub(crate) fn turn(&self, now: u64, vectors: u64) -> Change {
        self.state().turn(now, vectors)
    }

    /// The spec.
    pub(crate) fn spec(&self) -> Spec {
        let wishes = self.state().injectors.iter().map(Injector::wish).collect();
        Spec { wishes }
    }

    /// Whether the device is gone.
    pub(crate) fn is_removed(&self) -> bool {
        self.state().removed
    }

    /// A register is read: whether it reads all ones.
    pub(crate) fn hides_registers(&self) -> bool {
        let mut state = self.state();
        let removed = state.removed;
        state.spoil(Fault::Removed, removed);
        removed
    }

    /// Whether the link seems to be down.
    pub(crate) fn hides_link(&self) -> bool {
        self.state().link_down
    }

    /// Whether STATUS says that the device is not ready; counts what it spoils.
    pub(crate) fn hides_ready(&self) -> bool {
        let mut state = self.state();
        let hidden = state.not_ready;
        state.spoil(Fault::NotReady, hidden);
        hidden
    }

    /// RESET is written: whether the device ignores it.
    pub(crate) fn ignores_reset(&self) -> bool {
        self.state().lasting(Fault::ResetStuck)
    }

    /// Whether RESET reads 1.
    pub(crate) fn is_resetting(&self) -> bool {
        let mut state = self.state();
        let now = state.now;
        state.get(Fault::ResetStuck).is_some_and(|i| i.is_on(now))
    }

    /// A bit of CTRL or Q_CTRL is cleared: whether the device ignores it.
    pub(crate) fn is_deaf(&self) -> bool {
        self.state().lasting(Fault::Deaf)
    }

    /// Whether a command stays without an answer.
    pub(crate) fn is_silent(&self) -> bool {
        self.state().lasting(Fault::CmdSilent)
    }

    /// A queue has its turn to transfer what waits: whether it does not take it.
    pub(crate) fn holds(&self, queue: usize) -> bool {
        let mut state = self.state();
        if !state.begun(Fault::CqStuck) {
            state.stuck = None;
            return false;
        }
        let held = *state.stuck.get_or_insert(queue) == queue;
        state.spoil(Fault::CqStuck, held);
        held
    }

    /// Whether a queue transfers nothing.
    pub(crate) fn is_stuck(&self, queue: usize) -> bool {
        let mut state = self.state();
        let now = state.now;
        let on = state.get(Fault::CqStuck).is_some_and(|i| i.is_on(now));
        on && state.stuck == Some(queue)
    }

    /// When the device must be pumped for its faults.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let state = self.state();
        let storm = (state.storm && !state.removed).then(|| state.now.saturating_add(STORM_NS));
        let ends = state.injectors.iter().map(|i| i.deadline(state.now));
        ends.chain([storm]).flatten().min()
    }

    /// The tally of each fault.
    pub(crate) fn tallies(&self) -> Vec<(Fault, Tally)> {
        let state = self.state();
        let injectors = state.injectors.iter();
        injectors.map(|i| (i.fault(), i.tally)).collect()
    }
}
