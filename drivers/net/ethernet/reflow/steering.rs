// SPDX-License-Identifier: GPL-2.0

//! Which queue, and so which processor, packets go to.
//!
//! A packet goes where the first rule that matches says, else where its hash says ([`hash`]). A
//! rule's location is its number in the device, where of several that match the lowest wins. What
//! the user set is kept here and not in the device: the device is told of every change, and of
//! all of it when the interface comes up.
//!
//! Lock order: the lock here, then those of control blocks and of the command ring.

mod hash;
mod location;
mod rules;

use crate::{
    cmd::Commands,
    hw::cmd::{
        RSS_CONTEXTS,
        RULE_MAX, //
    },
    mmio::Mmio,
    net::{
        ethtool::{
            rxfh::{
                Change,
                Fields,
                Kind,
                View, //
            },
            rxnfc::{
                Action,
                Place,
                Rule,
                Spec, //
            }, //
        },
        extack::Extack,
        log::netdev_warn_ratelimited,
        Device, //
    },
    tcb::Tcbs, //
};
use hash::Hash;
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};
use rules::Entry;

/// The settings of the user.
struct State {
    /// Context 0.
    main: Hash,
    /// Contexts from 1 on.
    contexts: KVec<Option<KBox<Hash>>>,
    /// Rules by location, if they are not switched off.
    rules: KVec<Option<KBox<Entry>>>,
    rules_on: bool,
    /// Queues that the device was told all of this for, if it was since its last reset.
    told: Option<u32>,
}

impl State {
    /// The RSS configuration of a context.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    fn hash(&self, context: u32) -> Result<&Hash> {
        let Some(at) = context.checked_sub(1) else {
            return Ok(&self.main);
        };
        let slot = self.contexts.get(at as usize);
        slot.and_then(|hash| hash.as_deref()).ok_or(ENOENT)
    }

    /// The place of a context's state, of those from 1 on.
    fn slot(&mut self, context: u32) -> Result<&mut Option<KBox<Hash>>> {
        let at = context.checked_sub(1).ok_or(EINVAL)?;
        self.contexts.get_mut(at as usize).ok_or(EINVAL)
    }

    /// One bit for each location that has a rule.
    fn taken(&self) -> u64 {
        let rules = self.rules.iter().enumerate();
        rules.fold(0, |bits, (i, rule)| bits | u64::from(rule.is_some()) << i)
    }

    /// The largest offset that rules add to the queues of a context.
    fn largest_offset(&self, wanted: u32) -> u32 {
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
            Place::Any => location::lowest(taken),
            Place::First => location::before_all(taken),
            Place::Last => location::behind_all(taken),
        }
        .ok_or(ENOSPC)
    }
}

/// The part of a device's state that is about steering.
pub(crate) struct Steering {
    state: Pin<KBox<Mutex<State>>>,
}

impl Steering {
    /// RSS alone, evenly over `queues` queues. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(queues: u32) -> Result<Self> {
        let mut contexts = KVec::with_capacity(RSS_CONTEXTS, GFP_KERNEL)?;
        for _ in 0..RSS_CONTEXTS {
            contexts.push(None, GFP_KERNEL)?;
        }
        let mut rules = KVec::with_capacity(RULE_MAX, GFP_KERNEL)?;
        for _ in 0..RULE_MAX {
            rules.push(None, GFP_KERNEL)?;
        }
        let state = State {
            main: Hash::new(queues),
            contexts,
            rules,
            rules_on: true,
            told: None,
        };
        Ok(Self {
            state: KBox::pin_init(new_mutex!(state, "reflow::steering"), GFP_KERNEL)?,
        })
    }

    /// The device was reset and has none of this. May sleep.
    pub(crate) fn forgotten(&self) {
        self.state.lock().told = None;
    }

    /// Writes all of it to the device, for `queues` queues, unless it has it. May sleep.
    ///
    /// Settings that the device refuses are logged; it keeps the old ones.
    pub(crate) fn tell(&self, dev: &Device, mmio: &Mmio<'_>, cmd: &Commands<'_>, queues: u32) {
        let mut state = self.state.lock();
        if state.told == Some(queues) {
            return;
        }
        state.told = None;
        if !dev.rxfh_configured() {
            state.main.spread_evenly(queues);
        }
        state.main.write(mmio);
        for (context, hash) in (1..).zip(&state.contexts) {
            let Some(hash) = hash else { continue };
            let done = cmd.rss_set(context, &hash.command());
            if !is_in_force(dev, done, "context", context) {
                return;
            }
        }
        for (location, entry) in (0..).zip(&state.rules) {
            let Some(entry) = entry else { continue };
            let done = cmd.rule_set(location, &entry.command());
            if !is_in_force(dev, done, "rule", location) {
                return;
            }
        }
        state.told = Some(queues);
    }

    /// Changes a context, in the device and here. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, [`EINVAL`] for queues that there are not, with the
    /// reason said; those of `change` and of the device.
    fn update_context(
        &self,
        (dev, mmio, cmd): (&Device, &Mmio<'_>, &Commands<'_>),
        context: u32,
        ack: &mut Extack<'_>,
        change: impl FnOnce(&mut Hash, &mut Extack<'_>) -> Result,
    ) -> Result {
        let mut state = self.state.lock();
        let mut new = state.hash(context)?.clone();
        if context == 0 && !dev.rxfh_configured() {
            new.spread_evenly(dev.rx_queues());
        }
        change(&mut new, ack)?;
        if new.last_queue() + state.largest_offset(context) >= dev.rx_queues() {
            ack.say(c"a rule adds to the queues of this context, and there are not so many");
            return Err(EINVAL);
        }
        if context == 0 {
            new.write(mmio);
            state.main = new;
            return Ok(());
        }
        cmd.rss_set(context, &new.command())?;
        if let Some(hash) = state.slot(context)? {
            **hash = new;
        }
        Ok(())
    }

    /// Fills in the parts of a context that the user asks for. Returns whether it is symmetric. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    pub(crate) fn show_context(&self, dev: &Device, context: u32, view: View<'_>) -> Result<bool> {
        let mut state = self.state.lock();
        if context == 0 && !dev.rxfh_configured() {
            state.main.spread_evenly(dev.rx_queues());
        }
        let hash = state.hash(context)?;
        hash.show(view);
        Ok(hash.symmetric)
    }

    /// Changes key, table or symmetry of a context. May sleep.
    ///
    /// # Errors
    ///
    /// As for the other changes of a context.
    pub(crate) fn change_context(
        &self,
        with: (&Device, &Mmio<'_>, &Commands<'_>),
        context: u32,
        to: &Change<'_>,
        ack: &mut Extack<'_>,
    ) -> Result {
        self.update_context(with, context, ack, |hash, _| {
            hash.change(to);
            Ok(())
        })
    }

    /// Adds a context, in the device and here. May sleep.
    ///
    /// # Errors
    ///
    /// [`EINVAL`], [`ENOMEM`], and those of the device.
    pub(crate) fn add_context(
        &self,
        dev: &Device,
        cmd: &Commands<'_>,
        context: u32,
        to: &Change<'_>,
    ) -> Result {
        let mut hash = KBox::new(Hash::new(dev.rx_queues()), GFP_KERNEL)?;
        hash.change(to);
        let mut state = self.state.lock();
        let slot = state.slot(context)?;
        cmd.rss_set(context, &hash.command())?;
        *slot = Some(hash);
        Ok(())
    }

    /// Removes a context, in the device and here. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is none, and those of the device.
    pub(crate) fn remove_context(&self, cmd: &Commands<'_>, context: u32) -> Result {
        let mut state = self.state.lock();
        let slot = state.slot(context)?;
        match cmd.rss_del(context) {
            // The device may have been reset meanwhile.
            Ok(()) | Err(ENOENT) => {}
            Err(e) => return Err(e),
        }
        slot.take().map(drop).ok_or(ENOENT)
    }

    /// The fields that are hashed of a kind of packets in a context. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    pub(crate) fn hash_fields(&self, context: u32, kind: Kind) -> Result<Fields> {
        let state = self.state.lock();
        Ok(state.hash(context)?.fields(kind))
    }

    /// Sets the fields that are hashed of a kind of packets in a context. May sleep.
    ///
    /// # Errors
    ///
    /// As for the other changes of a context; [`EOPNOTSUPP`] for what the device cannot hash.
    pub(crate) fn set_hash_fields(
        &self,
        with: (&Device, &Mmio<'_>, &Commands<'_>),
        context: u32,
        (kind, to): (Kind, Fields),
        ack: &mut Extack<'_>,
    ) -> Result {
        self.update_context(with, context, ack, |hash, ack| {
            hash.set_fields(kind, to, ack)
        })
    }

    /// Switches rules on, or off with the loss of all of them.
    ///
    /// # Errors
    ///
    /// Those of the device; rules are as they were, then. Should the device not take one back that
    /// it had forgotten already, the log says so, and it is told again when the interface comes up.
    pub(crate) fn enable_rules(
        &self,
        dev: &Device,
        cmd: &Commands<'_>,
        tcbs: &Tcbs,
        on: bool,
    ) -> Result {
        let mut state = self.state.lock();
        if !on {
            let done = location::all_or_none(
                state.taken(),
                |location| forget_rule(cmd, location),
                |location| {
                    if let Some(Some(entry)) = state.rules.get(location as usize) {
                        let set = cmd.rule_set(location, &entry.command());
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
                    tcbs.rule_del(location, cmd);
                }
            }
        }
        state.rules_on = on;
        Ok(())
    }

    /// Calls `each` with the location of every rule. May sleep.
    pub(crate) fn rule_locations(&self, each: &mut dyn FnMut(u32)) {
        let state = self.state.lock();
        for (location, entry) in (0..).zip(&state.rules) {
            if entry.is_some() {
                each(location);
            }
        }
    }

    /// The rule at a location, as the user gave it. May sleep.
    pub(crate) fn rule(&self, location: u32) -> Option<Spec> {
        let state = self.state.lock();
        let entry = state.rules.get(location as usize)?.as_ref()?;
        Some(entry.spec)
    }

    /// Adds a rule, in the device and here; returns its location. A rule for one connection to a
    /// queue gets a control block, too. May sleep.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] while rules are off, [`EINVAL`], [`ENOSPC`], [`EEXIST`], [`ENOMEM`], and
    /// those of the device.
    pub(crate) fn set_rule(
        &self,
        dev: &Device,
        cmd: &Commands<'_>,
        tcbs: &Tcbs,
        place: Place,
        (rule, spec): (&Rule, &Spec),
    ) -> Result<u32> {
        let entry = KBox::new(
            Entry {
                rule: *rule,
                spec: *spec,
            },
            GFP_KERNEL,
        )?;
        let mut state = self.state.lock();
        if !state.rules_on {
            return Err(EOPNOTSUPP);
        }
        state.check(rule.action, dev.rx_queues())?;
        let location = state.locate(place, rule)?;
        cmd.rule_set(location, &entry.command())?;
        let slot = state.rules.get_mut(location as usize).ok_or(EINVAL)?;
        *slot = Some(entry);
        tcbs.rule_del(location, cmd);
        if let (Some(flow), Action::Queue(queue)) = (rule.connection(), rule.action) {
            tcbs.rule_set(location, &flow, queue.try_into()?);
        }
        Ok(location)
    }

    /// Removes a rule, in the device and here. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is none, and those of the device.
    pub(crate) fn remove_rule(&self, cmd: &Commands<'_>, tcbs: &Tcbs, location: u32) -> Result {
        let mut state = self.state.lock();
        let slot = state.rules.get_mut(location as usize).ok_or(ENOENT)?;
        if slot.is_none() {
            return Err(ENOENT);
        }
        forget_rule(cmd, location)?;
        *slot = None;
        tcbs.rule_del(location, cmd);
        Ok(())
    }
}

/// Deletes a rule in the device, which may have lost it by a reset.
fn forget_rule(cmd: &Commands<'_>, location: u32) -> Result {
    match cmd.rule_del(location) {
        Ok(()) | Err(ENOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Logs a refusal of the device. False if the device does not answer: the caller stops then.
fn is_in_force(dev: &Device, done: Result, what: &str, number: u32) -> bool {
    match done {
        Ok(()) => true,
        Err(ETIMEDOUT | EIO | ENODEV) => false,
        Err(e) => {
            netdev_warn_ratelimited!(
                dev,
                "steering {} {} is not in force ({})\n",
                what,
                number,
                e.to_errno()
            );
            true
        }
    }
}
