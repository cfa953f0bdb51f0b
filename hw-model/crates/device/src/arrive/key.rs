// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow key: what makes two packets one flow.

use crate::arrive::parser::{Parsed, KEY_MAX};
use reflow_hwdef::isa::Kind;

/// The key of a flow: what the parser program collected, the protocols, and the VLAN tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FlowKey {
    bytes: [u8; KEY_MAX],
    len: u8,
    kind: u8,
    vlan: Option<u16>,
}

impl FlowKey {
    /// The key of a packet, `None` if the parser program gave none.
    pub(crate) fn new(parsed: &Parsed, vlan: Option<u16>) -> Option<Self> {
        (parsed.key_len != 0).then_some(Self {
            bytes: parsed.key,
            len: parsed.key_len as u8,
            kind: parsed.kind.0 as u8,
            vlan,
        })
    }

    /// The key of a connection that the host names; `bytes` are at most [`KEY_MAX`].
    pub(crate) fn of(bytes: &[u8], kind: Kind, vlan: Option<u16>) -> Self {
        let mut key = [0; KEY_MAX];
        let len = bytes.len().min(KEY_MAX);
        key[..len].copy_from_slice(&bytes[..len]);
        Self {
            bytes: key,
            len: len as u8,
            kind: kind.0 as u8,
            vlan,
        }
    }

    /// No key.
    pub(crate) const NONE: Self = Self {
        bytes: [0; KEY_MAX],
        len: 0,
        kind: 0,
        vlan: None,
    };

    /// The protocols of the flow.
    pub(crate) fn kind(&self) -> Kind {
        Kind(self.kind.into())
    }

    /// The VLAN tag of the flow's packets.
    pub(crate) fn vlan(&self) -> Option<u16> {
        self.vlan
    }

    /// The bytes that the parser program put together.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The bytes of a key that the host wrote in words.
pub(crate) fn key_bytes(words: &[u64]) -> [u8; 40] {
    let mut bytes = [0; 40];
    for (b, word) in bytes.chunks_exact_mut(8).zip(words) {
        b.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
