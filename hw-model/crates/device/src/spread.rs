// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The load distributor: which queue, and so which processor of the host, a flow goes to.
//!
//! A control block's word comes before all of this: see [`crate::tcb`].

use crate::fdb::FlowKey;
use crate::parser::{Parsed, KEY_MAX};
use crate::rules::{Action, RuleTable};
use reflow_hwdef::cmd::{
    CmdStatus, RSS_CONTEXTS, RSS_SECRET, RSS_TABLE_WORD, RSS_WORDS, RULE_WORDS, X0,
};
use reflow_hwdef::regs::{RssCtrl, RSS_ENTRIES, RSS_QUEUE_MASK};
use reflow_hwdef::toeplitz::{self, SECRET_LEN};

/// Hash of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hash {
    /// The value.
    pub(crate) value: u32,
    /// It covers ports.
    pub(crate) ports: bool,
}

/// What rules and hash say of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Steering {
    /// Its hash, if it has a key.
    pub(crate) hash: Option<Hash>,
    /// Its queue; `None` to drop it.
    pub(crate) queue: Option<usize>,
}

/// A hash context that the host set by command.
#[derive(Clone, Debug)]
struct Context {
    ctrl: RssCtrl,
    secret: [u8; SECRET_LEN],
    table: [u8; RSS_ENTRIES],
}

/// The load distributor.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Which headers are hashed.
    pub(crate) ctrl: RssCtrl,
    /// Hash key.
    pub(crate) secret: [u8; SECRET_LEN],
    /// Indirection table.
    pub(crate) table: [u32; RSS_ENTRIES],
    rules: RuleTable,
    contexts: [Option<Box<Context>>; RSS_CONTEXTS],
}

impl Spread {
    /// The distributor after a reset: all to queue 0.
    pub(crate) fn new() -> Self {
        Self {
            ctrl: RssCtrl(0),
            secret: toeplitz::DEFAULT_SECRET,
            table: [0; RSS_ENTRIES],
            rules: RuleTable::new(),
            contexts: Default::default(),
        }
    }

    /// The queue of a packet, as far as rules and hash say; one without a key goes to the first.
    ///
    /// Claims: 38, 45, 54, 61.
    pub(crate) fn steer(&self, key: Option<&FlowKey>, parsed: &Parsed) -> Steering {
        let action = key.and_then(|key| self.rules.find(key.bytes(), parsed.kind));
        let context = match action {
            Some(Action::Context(index)) => self.context(index),
            _ => None,
        };
        let (ctrl, secret) = context.map_or((self.ctrl, &self.secret), |c| (c.ctrl, &c.secret));
        let hash = key.map(|key| hash(ctrl, secret, key, parsed));
        let queue = match (action, hash) {
            (Some(Action::Drop), _) => None,
            (Some(Action::Queue(queue)), _) => Some(queue),
            (_, Some(hash)) => Some(self.spread(context, hash)),
            (_, None) => Some(0),
        };
        Steering { hash, queue }
    }

    /// The queue for a hash.
    fn spread(&self, context: Option<&Context>, hash: Hash) -> usize {
        let at = hash.value as usize % RSS_ENTRIES;
        match context {
            Some(context) => usize::from(context.table[at]),
            None if self.ctrl.enable() != 0 => (self.table[at] & RSS_QUEUE_MASK) as usize,
            None => 0,
        }
    }

    /// A hash context that was set by command.
    fn context(&self, index: usize) -> Option<&Context> {
        self.contexts.get(index.checked_sub(1)?)?.as_deref()
    }

    /// Sets a steering rule.
    pub(crate) fn set_rule(
        &mut self,
        index: usize,
        words: &[u64; RULE_WORDS],
        queues: usize,
    ) -> Result<(), CmdStatus> {
        let contexts = &self.contexts;
        let is_set = |context: usize| {
            let at = context.checked_sub(1);
            at.is_none_or(|at| contexts.get(at).is_some_and(Option::is_some))
        };
        self.rules.set(index, words, queues, is_set)
    }

    /// Removes a steering rule.
    pub(crate) fn remove_rule(&mut self, index: usize) -> Result<(), CmdStatus> {
        self.rules.remove(index)
    }

    /// Whether a steering rule is set.
    pub(crate) fn has_rule(&self, index: usize) -> bool {
        self.rules.has(index)
    }

    /// Sets a hash context.
    pub(crate) fn set_context(
        &mut self,
        index: usize,
        words: &[u64; RSS_WORDS],
        queues: usize,
    ) -> Result<(), CmdStatus> {
        let x0 = X0(words[0]);
        let known = X0(0).with_tcp_ports(1).with_udp_ports(1).with_symmetric(1);
        let slot = index
            .checked_sub(1)
            .and_then(|at| self.contexts.get_mut(at));
        let slot = slot.ok_or(CmdStatus::BadArgument)?;
        let mut context = Context {
            ctrl: RssCtrl(0)
                .with_tcp_ports(x0.tcp_ports() as u32)
                .with_udp_ports(x0.udp_ports() as u32)
                .with_symmetric(x0.symmetric() as u32),
            secret: [0; SECRET_LEN],
            table: [0; RSS_ENTRIES],
        };
        let (secret, table) = words[RSS_SECRET..].split_at(RSS_TABLE_WORD - RSS_SECRET);
        for (b, word) in context.secret.chunks_exact_mut(8).zip(secret) {
            b.copy_from_slice(&word.to_le_bytes());
        }
        for (b, word) in context.table.chunks_exact_mut(8).zip(table) {
            b.copy_from_slice(&word.to_le_bytes());
        }
        let in_range = context.table.iter().all(|&q| usize::from(q) < queues);
        if x0.0 & !known.0 != 0 || !in_range {
            return Err(CmdStatus::BadArgument);
        }
        *slot = Some(Box::new(context));
        Ok(())
    }

    /// Removes a hash context.
    pub(crate) fn remove_context(&mut self, index: usize) -> Result<(), CmdStatus> {
        let slot = index
            .checked_sub(1)
            .and_then(|at| self.contexts.get_mut(at));
        let slot = slot.ok_or(CmdStatus::BadArgument)?;
        slot.take().map(drop).ok_or(CmdStatus::NotFound)
    }
}

/// The hash of a packet that has a flow key.
fn hash(ctrl: RssCtrl, secret: &[u8; SECRET_LEN], key: &FlowKey, parsed: &Parsed) -> Hash {
    let kind = parsed.kind;
    let bytes = key.bytes();
    let addrs = match (kind.ipv4(), kind.ipv6()) {
        (1, 0) => 8,
        (0, 1) => 32,
        _ => bytes.len(),
    };
    let wanted =
        (kind.tcp() != 0 && ctrl.tcp_ports() != 0) || (kind.udp() != 0 && ctrl.udp_ports() != 0);
    let ports = wanted && kind.fragment() == 0 && bytes.len() == addrs + 4;
    let input = if ports {
        bytes
    } else {
        bytes.get(..addrs).unwrap_or(bytes)
    };
    let mut both = [0; KEY_MAX];
    let value = match both.get_mut(..input.len()) {
        Some(both) if ctrl.symmetric() != 0 => {
            both.copy_from_slice(input);
            let (addrs, ports) = both.split_at_mut(addrs.min(input.len()));
            xor_halves(addrs);
            xor_halves(ports);
            toeplitz::hash(secret, both)
        }
        _ => toeplitz::hash(secret, input),
    };
    Hash { value, ports }
}

/// Source and destination, xor-ed, in the place of both.
fn xor_halves(bytes: &mut [u8]) {
    let (source, destination) = bytes.split_at_mut(bytes.len() / 2);
    for (s, d) in source.iter_mut().zip(destination) {
        *s ^= *d;
        *d = *s;
    }
}
