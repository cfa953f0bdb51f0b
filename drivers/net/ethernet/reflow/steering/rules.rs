// SPDX-License-Identifier: GPL-2.0

//! A steering rule of the user.

use crate::{
    cmd,
    hw::cmd::R0,
    net::ethtool::rxnfc::{
        Action,
        Proto,
        Rule,
        Spec, //
    }, //
};

/// A rule, as the user gave it and as the core parsed it.
pub(super) struct Entry {
    pub(super) rule: Rule,
    pub(super) spec: Spec,
}

impl Entry {
    /// The rule as a command block.
    pub(super) fn command(&self) -> cmd::RuleBlock {
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
        cmd::RuleBlock {
            head,
            key: padded(&key),
            mask: padded(&mask),
        }
    }
}

/// Pads a key with zeros.
fn padded(bytes: &[u8]) -> cmd::Key {
    let mut key = [0; cmd::KEY_LEN];
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = *from;
    }
    key
}
