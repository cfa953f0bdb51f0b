// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The load distributor (RSS): chooses the queue of a flow, and so a processor of the host.
//!
//! The queue of a control block has precedence: see [`crate::flow::tcb`].

use crate::arrive::key::FlowKey;
use crate::arrive::parser::{Parsed, KEY_MAX};
use crate::arrive::rules::{Action, RuleTable};
use reflow_hwdef::cmd::{
    CmdStatus, RSS_CONTEXTS, RSS_SECRET, RSS_TABLE_WORD, RSS_WORDS, RULE_WORDS, X0,
};
use reflow_hwdef::regs::{HashFields, RssCtrl, RSS_ENTRIES, RSS_QUEUE_MASK};
use reflow_hwdef::toeplitz::{self, SECRET_LEN};

/// Hash of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hash {
    /// The value.
    pub(crate) value: u32,
    /// It covers ports.
    pub(crate) ports: bool,
}

/// The result of rules and hash for a packet.
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

    /// The queue of a packet by rules and hash; packets without a key go to queue 0.
    /// `label` is the flow label of an IPv6 packet.
    ///
    /// Claims: 38, 45, 54, 61.
    pub(crate) fn steer(&self, key: Option<&FlowKey>, parsed: &Parsed, label: u32) -> Steering {
        let action = key.and_then(|key| self.rules.find(key.bytes(), parsed.kind));
        let (context, offset) = match action {
            Some(Action::Context(index, offset)) => (self.context(index), offset),
            _ => (None, 0),
        };
        let (ctrl, secret) = context.map_or((self.ctrl, &self.secret), |c| (c.ctrl, &c.secret));
        let hash = key.map(|key| hash(ctrl, secret, key, parsed, label));
        let queue = match (action, hash) {
            (Some(Action::Drop), _) => None,
            (Some(Action::Queue(queue)), _) => Some(queue),
            (_, Some(hash)) => Some(self.spread(context, hash) + offset),
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
        let ctrl = RssCtrl(x0.hashed() as u32);
        let slot = index
            .checked_sub(1)
            .and_then(|at| self.contexts.get_mut(at));
        let slot = slot.ok_or(CmdStatus::BadArgument)?;
        let mut context = Context {
            ctrl,
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
        if x0.0 != u64::from(ctrl.with_enable(0).0) || !in_range {
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

/// The fields of a packet that are hashed; `ports` says whether its key has ports.
fn fields(ctrl: RssCtrl, parsed: &Parsed, ports: bool) -> HashFields {
    let kind = parsed.kind;
    let (tcp, udp, other) = match kind.ipv6() {
        0 => (ctrl.tcp4(), ctrl.udp4(), ctrl.ip4()),
        _ => (ctrl.tcp6(), ctrl.udp6(), ctrl.ip6()),
    };
    let chosen = HashFields(match (kind.tcp(), kind.udp()) {
        (1, _) if ports => tcp,
        (_, 1) if ports => udp,
        _ => other & HashFields(u32::MAX).with_src_port(0).with_dst_port(0).0,
    });
    match kind.ipv6() {
        0 => chosen.with_label(0),
        _ => chosen,
    }
}

/// Puts the input of the hash together.
struct Input {
    bytes: [u8; KEY_MAX],
    len: usize,
}

impl Input {
    fn put(&mut self, wanted: u32, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.len..self.len + bytes.len());
        if let (1, Some(room)) = (wanted, room) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// The hash of a packet that has a flow key.
fn hash(
    ctrl: RssCtrl,
    secret: &[u8; SECRET_LEN],
    key: &FlowKey,
    parsed: &Parsed,
    label: u32,
) -> Hash {
    let kind = parsed.kind;
    let bytes = key.bytes();
    let addr = match (kind.ipv4(), kind.ipv6()) {
        (1, 0) => 4,
        (0, 1) => 16,
        _ => usize::MAX,
    };
    let mut both = [0; KEY_MAX];
    if addr == usize::MAX || bytes.len() < 2 * addr {
        let value = toeplitz::hash(secret, bytes);
        return Hash {
            value,
            ports: false,
        };
    }
    let ports = kind.fragment() == 0 && bytes.len() == 2 * addr + 4;
    let fields = fields(ctrl, parsed, ports);
    both[..bytes.len()].copy_from_slice(bytes);
    let (addrs, rest) = both.split_at_mut(2 * addr);
    let rest = &mut rest[..4];
    if !ports {
        rest.fill(0);
    }
    if ctrl.symmetric() != 0 {
        xor_halves(addrs);
        xor_halves(rest);
    }
    let mut input = Input {
        bytes: [0; KEY_MAX],
        len: 0,
    };
    input.put(fields.src(), &addrs[..addr]);
    input.put(fields.dst(), &addrs[addr..]);
    if fields.label() != 0 {
        for (part, wanted) in rest
            .chunks_mut(2)
            .zip([fields.src_port(), fields.dst_port()])
        {
            if wanted == 0 {
                part.fill(0);
            }
        }
        for (byte, of_label) in rest.iter_mut().zip(label.to_be_bytes()) {
            *byte ^= of_label;
        }
        input.put(1, rest);
    } else {
        input.put(fields.src_port(), &rest[..2]);
        input.put(fields.dst_port(), &rest[2..]);
    }
    Hash {
        value: toeplitz::hash(secret, &input.bytes[..input.len]),
        ports: fields.src_port() | fields.dst_port() != 0,
    }
}

/// Source and destination, xor-ed, in the place of both.
fn xor_halves(bytes: &mut [u8]) {
    let (source, destination) = bytes.split_at_mut(bytes.len() / 2);
    for (s, d) in source.iter_mut().zip(destination) {
        *s ^= *d;
        *d = *s;
    }
}
