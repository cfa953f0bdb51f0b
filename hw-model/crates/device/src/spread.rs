// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The load distributor: which queue, and so which processor of the host, a flow goes to.

use crate::fdb::FlowKey;
use crate::parser::Parsed;
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

/// The load distributor.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Which headers are hashed.
    pub(crate) ctrl: RssCtrl,
    /// Hash key.
    pub(crate) secret: [u8; SECRET_LEN],
    /// Indirection table.
    pub(crate) table: [u32; RSS_ENTRIES],
}

impl Spread {
    /// The distributor after a reset: all to queue 0.
    pub(crate) fn new() -> Self {
        Self {
            ctrl: RssCtrl(0),
            secret: toeplitz::DEFAULT_SECRET,
            table: [0; RSS_ENTRIES],
        }
    }

    /// The hash of a packet that has a flow key.
    pub(crate) fn hash(&self, key: &FlowKey, parsed: &Parsed) -> Hash {
        let kind = parsed.kind;
        let bytes = key.bytes();
        let addrs = match (kind.ipv4(), kind.ipv6()) {
            (1, 0) => 8,
            (0, 1) => 32,
            _ => bytes.len(),
        };
        let wanted = (kind.tcp() != 0 && self.ctrl.tcp_ports() != 0)
            || (kind.udp() != 0 && self.ctrl.udp_ports() != 0);
        let ports = wanted && kind.fragment() == 0 && bytes.len() == addrs + 4;
        let input = if ports {
            bytes
        } else {
            bytes.get(..addrs).unwrap_or(bytes)
        };
        Hash {
            value: toeplitz::hash(&self.secret, input),
            ports,
        }
    }

    /// The queue for a hash; packets without one go to the first.
    pub(crate) fn queue(&self, hash: Option<Hash>) -> usize {
        match hash {
            Some(hash) if self.ctrl.enable() != 0 => {
                (self.table[hash.value as usize % RSS_ENTRIES] & RSS_QUEUE_MASK) as usize
            }
            _ => 0,
        }
    }
}
