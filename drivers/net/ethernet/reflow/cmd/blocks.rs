// SPDX-License-Identifier: GPL-2.0

//! The data blocks of commands.

use crate::hw::{
    cmd::{
        self,
        F0,
        KEY_WORDS,
        R0,
        RSS_WORDS,
        RULE_WORDS,
        T0,
        T6,
        T8,
        TCB_WORDS,
        X0, //
    },
    regs::RSS_ENTRIES,
    toeplitz::SECRET_LEN, //
};

/// Bytes of a flow key, of which the last ones may be unused.
pub(crate) const KEY_LEN: usize = 8 * KEY_WORDS;
/// A flow key: source address, destination address, source port, destination port, all in network
/// byte order; 12 bytes with IPv4, 36 with IPv6, then zeros.
pub(crate) type Key = [u8; KEY_LEN];

/// A host control block.
#[derive(Clone, Copy)]
pub(crate) struct Tcb {
    /// Key length, flags and queue.
    pub(crate) head: T0,
    /// Key of the connection, of `head.key_len()` bytes.
    pub(crate) key: Key,
    /// Sequence number, and what the device reports.
    pub(crate) seq: T6,
    /// Bus address of the page list.
    pub(crate) list: u64,
    /// Length of the page list and the sequence number that it begins with.
    pub(crate) list_len: T8,
    /// Packets that it applied to. Read only.
    pub(crate) applied: u64,
    /// Packets that it did not apply to. Read only.
    pub(crate) not_applied: u64,
    /// Bytes placed in the list. Read only.
    pub(crate) placed: u64,
}

impl Tcb {
    pub(super) fn words(&self) -> [u64; TCB_WORDS] {
        let mut words = [0; TCB_WORDS];
        words[0] = self.head.0;
        put_bytes(&mut words[cmd::TCB_KEY..], &self.key);
        words[cmd::TCB_SEQ] = self.seq.0;
        words[cmd::TCB_LIST] = self.list;
        words[cmd::TCB_LIST_LEN] = self.list_len.0;
        words
    }

    pub(super) fn from_words(words: &[u64; TCB_WORDS]) -> Self {
        Self {
            head: T0(words[0]),
            key: key_of(&words[cmd::TCB_KEY..]),
            seq: T6(words[cmd::TCB_SEQ]),
            list: words[cmd::TCB_LIST],
            list_len: T8(words[cmd::TCB_LIST_LEN]),
            applied: words[cmd::TCB_APPLIED],
            not_applied: words[cmd::TCB_NOT_APPLIED],
            placed: words[cmd::TCB_PLACED],
        }
    }
}

/// A steering rule: what is done with packets whose key is `key` wherever `mask` has ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuleBlock {
    /// Which protocols it matches, and what happens.
    pub(crate) head: R0,
    /// Key to match.
    pub(crate) key: Key,
    /// Bits of the key that count.
    pub(crate) mask: Key,
}

impl RuleBlock {
    pub(super) fn words(&self) -> [u64; RULE_WORDS] {
        let mut words = [0; RULE_WORDS];
        words[0] = self.head.0;
        put_bytes(&mut words[cmd::RULE_KEY..], &self.key);
        put_bytes(&mut words[cmd::RULE_MASK..], &self.mask);
        words
    }
}

/// A hash context.
pub(crate) struct ContextBlock {
    /// Which headers are hashed.
    pub(crate) head: X0,
    /// Secret key.
    pub(crate) secret: [u8; SECRET_LEN],
    /// Queue for each value of the hash's low bits.
    pub(crate) table: [u8; RSS_ENTRIES],
}

impl ContextBlock {
    pub(super) fn words(&self) -> [u64; RSS_WORDS] {
        let mut words = [0; RSS_WORDS];
        words[0] = self.head.0;
        put_bytes(&mut words[cmd::RSS_SECRET..], &self.secret);
        put_bytes(&mut words[cmd::RSS_TABLE_WORD..], &self.table);
        words
    }
}

/// An entry of the flow database.
pub(crate) struct Flow {
    /// Flow number, state and queue.
    pub(crate) head: F0,
    /// Key of the flow, of `head.key_len()` bytes.
    pub(crate) key: Key,
    /// Sequence number of the next data.
    pub(crate) expected: u32,
    /// Microseconds since its last packet.
    pub(crate) idle: u64,
}

/// Puts bytes into words, the first byte in the low bits.
fn put_bytes(words: &mut [u64], bytes: &[u8]) {
    for (word, from) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut le = [0; 8];
        for (to, byte) in le.iter_mut().zip(from) {
            *to = *byte;
        }
        *word = u64::from_le_bytes(le);
    }
}

/// The key at the beginning of `words`.
pub(super) fn key_of(words: &[u64]) -> Key {
    let mut key = [0; KEY_LEN];
    for (to, word) in key.chunks_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    key
}
