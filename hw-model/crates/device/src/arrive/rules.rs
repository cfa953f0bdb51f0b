// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Steering rules: the queue of packets whose key equals that of a rule under its mask.

use crate::arrive::key::key_bytes;
use reflow_hwdef::cmd::{CmdStatus, R0, RULE_KEY, RULE_MASK, RULE_MAX, RULE_WORDS};
use reflow_hwdef::isa::Kind;

/// Bits of word 0 that no field names.
const R0_RESERVED: u64 = !0xffff_ffff_001f;
/// Bytes of a key in a block.
const KEY_BYTES: usize = 40;

/// The action of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Drops it.
    Drop,
    /// Sends it to a queue.
    Queue(usize),
    /// Lets a hash context choose the queue, and adds a number to it.
    Context(usize, usize),
}

/// A rule.
#[derive(Clone, Copy, Debug)]
struct Rule {
    head: R0,
    key: [u8; KEY_BYTES],
    mask: [u8; KEY_BYTES],
    action: Action,
}

impl Rule {
    fn matches(&self, key: &[u8], kind: Kind) -> bool {
        let version = if self.head.v6() != 0 {
            kind.ipv6()
        } else {
            kind.ipv4()
        };
        let any = self.head.tcp() | self.head.udp() == 0;
        let tcp = self.head.tcp() != 0 && kind.tcp() != 0;
        let udp = self.head.udp() != 0 && kind.udp() != 0;
        let masked = self.key.iter().zip(&self.mask).enumerate();
        version != 0
            && (any || tcp || udp)
            && masked.into_iter().all(|(at, (want, mask))| {
                key.get(at)
                    .map_or(*mask == 0, |byte| (byte ^ want) & mask == 0)
            })
    }
}

/// The steering rules.
#[derive(Debug)]
pub(crate) struct RuleTable {
    rules: [Option<Rule>; RULE_MAX],
    /// Rules behind this one are not set.
    end: usize,
}

impl RuleTable {
    /// No rules.
    pub(crate) const fn new() -> Self {
        Self {
            rules: [None; RULE_MAX],
            end: 0,
        }
    }

    /// Sets a rule; `has_context` tells which hash contexts are set.
    pub(crate) fn set(
        &mut self,
        index: usize,
        words: &[u64; RULE_WORDS],
        queues: usize,
        has_context: impl FnOnce(usize) -> bool,
    ) -> Result<(), CmdStatus> {
        let head = R0(words[0]);
        let (target, offset) = (head.target() as usize, head.offset() as usize);
        let slot = self.rules.get_mut(index).ok_or(CmdStatus::BadArgument)?;
        let action = match (head.drop() != 0, head.context() != 0) {
            _ if head.0 & R0_RESERVED != 0 || offset >= queues => {
                return Err(CmdStatus::BadArgument)
            }
            (_, false) if offset != 0 => return Err(CmdStatus::BadArgument),
            (true, false) => Action::Drop,
            (false, true) if has_context(target) => Action::Context(target, offset),
            (false, true) => return Err(CmdStatus::NotFound),
            (false, false) if target < queues => Action::Queue(target),
            _ => return Err(CmdStatus::BadArgument),
        };
        *slot = Some(Rule {
            head,
            key: key_bytes(&words[RULE_KEY..RULE_MASK]),
            mask: key_bytes(&words[RULE_MASK..]),
            action,
        });
        self.end = self.end.max(index + 1);
        Ok(())
    }

    /// Removes a rule.
    pub(crate) fn remove(&mut self, index: usize) -> Result<(), CmdStatus> {
        let slot = self.rules.get_mut(index).ok_or(CmdStatus::BadArgument)?;
        slot.take().ok_or(CmdStatus::NotFound)?;
        let set = self.rules.iter().rposition(Option::is_some);
        self.end = set.map_or(0, |last| last + 1);
        Ok(())
    }

    /// Whether a rule is set.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.rules.get(index).is_some_and(Option::is_some)
    }

    /// The action of the first rule that matches.
    pub(crate) fn find(&self, key: &[u8], kind: Kind) -> Option<Action> {
        self.rules[..self.end]
            .iter()
            .flatten()
            .find(|rule| rule.matches(key, kind))
            .map(|rule| rule.action)
    }
}
