// SPDX-License-Identifier: GPL-2.0

//! Rules of the user: where packets of some addresses and ports go.
//!
//! A rule's location is its number in the device, where of several that match the lowest wins.

use super::{
    is_in_force,
    place,
    State, //
};
use crate::{
    cmd,
    hw::cmd::{
        R0,
        RULE_MAX, //
    },
    net::{
        ethtool::rxnfc::{
            Action,
            Operations,
            Place,
            Proto,
            Rule,
            Spec, //
        },
        Device, //
    },
    nic::Nic, //
};
use kernel::prelude::*;

/// A rule, as the user gave it and as the device wants it.
pub(super) struct Entry {
    rule: Rule,
    spec: Spec,
}

impl Entry {
    /// The rule as the device's command wants it.
    pub(super) fn command(&self) -> cmd::Rule {
        let Rule {
            v6,
            proto,
            key,
            mask,
            action,
        } = self.rule;
        let head = R0(0)
            .with_v6(v6.into())
            .with_tcp((proto == Proto::Tcp).into())
            .with_udp((proto == Proto::Udp).into());
        let head = match action {
            Action::Drop => head.with_drop(1),
            Action::Queue(queue) => head.with_target(queue.into()),
            Action::Context { context, offset } => head
                .with_context(1)
                .with_target(context.into())
                .with_offset(offset.into()),
        };
        cmd::Rule {
            head,
            key: padded(&key),
            mask: padded(&mask),
        }
    }
}

/// Fills a key up with zeros.
fn padded(bytes: &[u8]) -> cmd::Key {
    let mut key = [0; cmd::KEY_LEN];
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = *from;
    }
    key
}

impl State {
    /// One bit for each location that has a rule.
    fn taken(&self) -> u64 {
        let rules = self.rules.iter().enumerate();
        rules.fold(0, |bits, (i, rule)| bits | u64::from(rule.is_some()) << i)
    }

    /// What rules add to the queues of a context, at most.
    pub(super) fn largest_offset(&self, wanted: u32) -> u32 {
        let offset = |entry: &KBox<Entry>| match entry.rule.action {
            Action::Context { context, offset } if context == wanted => offset,
            _ => 0,
        };
        self.rules.iter().flatten().map(offset).max().unwrap_or(0)
    }

    /// Whether an action names a context that there is, and only queues that there are.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if it does not, [`EOPNOTSUPP`] for an addition to context 0, whose table may
    /// change with the number of queues.
    fn check(&self, action: Action, queues: u32) -> Result {
        let last = match action {
            Action::Drop => 0,
            Action::Queue(queue) => queue,
            Action::Context { offset: 0, .. } => 0,
            Action::Context { context: 0, .. } => return Err(EOPNOTSUPP),
            Action::Context { context, offset } => {
                let hash = self.hash(context).map_err(|_| EINVAL)?;
                hash.last_queue().saturating_add(offset)
            }
        };
        if last < queues {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// The location for a new rule.
    ///
    /// # Errors
    ///
    /// [`ENOSPC`] if there is none, [`EEXIST`] if there is a rule for the same packets and the user
    /// does not say which of them is to come first.
    fn locate(&self, place: Place, rule: &Rule) -> Result<u32> {
        let taken = self.taken();
        let same =
            |entry: &Option<KBox<Entry>>| entry.as_ref().is_some_and(|e| e.rule.same_match(rule));
        match place {
            Place::At(location) => Some(location),
            // One of the two would never be asked.
            Place::Any if self.rules.iter().any(same) => return Err(EEXIST),
            Place::Any => place::lowest(taken),
            Place::First => place::before_all(taken),
            Place::Last => place::behind_all(taken),
        }
        .ok_or(ENOSPC)
    }
}

impl Nic<'_> {
    /// Switches rules on, or off with the loss of all of them.
    ///
    /// # Errors
    ///
    /// What the device says; rules are as they were, then. Should the device not take one back that
    /// it had forgotten already, the log says so, and it is told again when the interface comes up.
    pub(crate) fn enable_rules(&self, dev: &Device, on: bool) -> Result {
        let mut state = self.steering.state.lock();
        if !on {
            let done = place::all_or_none(
                state.taken(),
                |location| self.forget_rule(location),
                |location| {
                    if let Some(Some(entry)) = state.rules.get(location as usize) {
                        let set = self.cmd.rule_set(location, &entry.command());
                        is_in_force(dev, set, "rule", location);
                    }
                },
            );
            if done.is_err() {
                state.told = None;
            }
            done?;
            for (location, entry) in (0..).zip(state.rules.iter_mut()) {
                if entry.take().is_some() {
                    self.tcbs.rule_del(location, &self.cmd);
                }
            }
        }
        state.rules_on = on;
        Ok(())
    }

    /// Has the device forget a rule, which it may have done by a reset.
    fn forget_rule(&self, location: u32) -> Result {
        match self.cmd.rule_del(location) {
            Ok(()) | Err(ENOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

impl Operations for Nic<'_> {
    const RULES: u32 = RULE_MAX as u32;

    fn rule_locations(&self, each: &mut dyn FnMut(u32)) {
        let state = self.steering.state.lock();
        for (location, entry) in (0..).zip(&state.rules) {
            if entry.is_some() {
                each(location);
            }
        }
    }

    fn rule(&self, location: u32) -> Option<Spec> {
        let state = self.steering.state.lock();
        let entry = state.rules.get(location as usize)?.as_ref()?;
        Some(entry.spec)
    }

    fn set_rule(&self, dev: &Device, place: Place, rule: &Rule, spec: &Spec) -> Result<u32> {
        let entry = KBox::new(
            Entry {
                rule: *rule,
                spec: *spec,
            },
            GFP_KERNEL,
        )?;
        let mut state = self.steering.state.lock();
        if !state.rules_on {
            return Err(EOPNOTSUPP);
        }
        state.check(rule.action, dev.rx_queues())?;
        let location = state.locate(place, rule)?;
        self.cmd.rule_set(location, &entry.command())?;
        let slot = state.rules.get_mut(location as usize).ok_or(EINVAL)?;
        *slot = Some(entry);
        self.tcbs.rule_del(location, &self.cmd);
        if let (Some(flow), Action::Queue(queue)) = (rule.connection(), rule.action) {
            self.tcbs.rule_set(location, &flow, queue.try_into()?);
        }
        Ok(location)
    }

    fn remove_rule(&self, location: u32) -> Result {
        let mut state = self.steering.state.lock();
        let slot = state.rules.get_mut(location as usize).ok_or(ENOENT)?;
        if slot.is_none() {
            return Err(ENOENT);
        }
        self.forget_rule(location)?;
        *slot = None;
        self.tcbs.rule_del(location, &self.cmd);
        Ok(())
    }
}
