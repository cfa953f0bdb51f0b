// SPDX-License-Identifier: GPL-2.0

//! Which queue, and so which processor, packets go to.
//!
//! A packet goes where the first rule that matches says ([`rules`]), else where its hash says
//! ([`hash`]). What the user set is kept here and not in the device: the device is told of every
//! change, and of everything when the interface comes up.
//!
//! Lock order: the lock here, then that of the command ring.

mod hash;
mod place;
mod rules;

use crate::{
    hw::cmd::{
        RSS_CONTEXTS,
        RULE_MAX, //
    },
    net::{
        log::netdev_warn_ratelimited,
        Device, //
    },
    nic::Nic, //
};
use hash::Hash;
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};
use rules::Entry;

/// What the user set.
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

/// The part of a device's state that is about steering.
pub(crate) struct Steering {
    state: Pin<KBox<Mutex<State>>>,
}

impl Steering {
    /// Steering by hash alone, evenly over `queues` queues. May sleep.
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

    /// The device was reset and knows nothing of this. May sleep.
    pub(crate) fn forgotten(&self) {
        self.state.lock().told = None;
    }
}

impl Nic<'_> {
    /// Tells the device all of the steering, for `queues` queues, unless it was told. May sleep.
    ///
    /// What the device does not take is reported, and stays with it as it was.
    pub(crate) fn steer(&self, dev: &Device, queues: u32) {
        let mut state = self.steering.state.lock();
        if state.told == Some(queues) {
            return;
        }
        state.told = None;
        if !dev.rxfh_configured() {
            state.main.spread_evenly(queues);
        }
        self.write_main(&state.main);
        for (context, hash) in (1..).zip(&state.contexts) {
            let Some(hash) = hash else { continue };
            let done = self.cmd.rss_set(context, &hash.command());
            if !is_in_force(dev, done, "context", context) {
                return;
            }
        }
        for (location, entry) in (0..).zip(&state.rules) {
            let Some(entry) = entry else { continue };
            let done = self.cmd.rule_set(location, &entry.command());
            if !is_in_force(dev, done, "rule", location) {
                return;
            }
        }
        state.told = Some(queues);
    }
}

/// Logs what the device did not take. False if it does not answer: there is no use in asking more
/// of it.
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
