// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow database: which flows the device knows, and what it expects of them.
//!
//! The index of an entry is the flow number. An entry is *busy* while packets of it wait in the
//! packet memory; only idle entries may be evicted or aged, and they are kept in the order in which
//! they became idle.

use crate::merge::Aggregate;
use crate::parser::{Parsed, KEY_MAX};
use reflow_hwdef::desc::FLOW_NONE;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What tells one flow from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FlowKey {
    bytes: [u8; KEY_MAX],
    len: u8,
    kind: u8,
    vlan: Option<u16>,
}

impl FlowKey {
    /// The key of a packet, `None` if the program gave none.
    pub(crate) fn new(parsed: &Parsed, vlan: Option<u16>) -> Option<Self> {
        (parsed.key_len != 0).then_some(Self {
            bytes: parsed.key,
            len: parsed.key_len as u8,
            kind: parsed.kind.0 as u8,
            vlan,
        })
    }

    /// The bytes that the program put together.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// FNV-1a: deterministic, and good enough for the model's own look-up.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One flow.
#[derive(Debug)]
pub(crate) struct Entry {
    key: FlowKey,
    live: bool,
    busy: bool,
    /// It ended; the packet that says so waits in the packet memory.
    pub(crate) ending: bool,
    /// Sequence number of the next packet with data.
    pub(crate) expected: u32,
    /// The queue of its packets.
    pub(crate) queue: usize,
    /// The aggregate that packets may be appended to.
    pub(crate) aggregate: Aggregate,
    idle_since: u64,
    prev: u16,
    next: u16,
}

const NIL: u16 = FLOW_NONE;

/// How an entry was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inserted {
    /// The flow number.
    pub(crate) flow: u16,
    /// The queue of the idle flow that had this number until now.
    pub(crate) evicted_from: Option<usize>,
}

/// The flow database.
#[derive(Debug)]
pub(crate) struct FlowDb {
    entries: Vec<Entry>,
    free: Vec<u16>,
    index: HashMap<FlowKey, u16, BuildHasherDefault<Fnv>>,
    /// Ends of the list of idle entries, the longest idle one first.
    first: u16,
    last: u16,
}

impl FlowDb {
    /// An empty database with so many entries.
    pub(crate) fn new(size: usize) -> Self {
        let blank = FlowKey {
            bytes: [0; KEY_MAX],
            len: 0,
            kind: 0,
            vlan: None,
        };
        let entries = (0..size)
            .map(|_| Entry {
                key: blank,
                live: false,
                busy: false,
                ending: false,
                expected: 0,
                queue: 0,
                aggregate: Aggregate::none(),
                idle_since: 0,
                prev: NIL,
                next: NIL,
            })
            .collect();
        Self {
            entries,
            free: (0..size as u16).rev().collect(),
            index: HashMap::default(),
            first: NIL,
            last: NIL,
        }
    }

    /// Entries in all.
    pub(crate) fn size(&self) -> usize {
        self.entries.len()
    }

    /// Entries in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The flow number of a key.
    pub(crate) fn lookup(&self, key: &FlowKey) -> Option<u16> {
        self.index.get(key).copied()
    }

    /// The entry of a flow number.
    pub(crate) fn entry(&mut self, flow: u16) -> Option<&mut Entry> {
        self.entries
            .get_mut(usize::from(flow))
            .filter(|entry| entry.live)
    }

    /// Makes an idle entry; evicts the one that was idle longest if need be.
    ///
    /// `None` if every entry is busy.
    pub(crate) fn insert(&mut self, key: FlowKey, queue: usize, now: u64) -> Option<Inserted> {
        let (flow, evicted_from) = match self.free.pop() {
            Some(flow) => (flow, None),
            None => {
                let flow = self.first;
                let old_queue = self.entry(flow)?.queue;
                self.remove(flow);
                self.free.pop();
                (flow, Some(old_queue))
            }
        };
        let entry = self.entries.get_mut(usize::from(flow))?;
        entry.key = key;
        entry.live = true;
        entry.busy = false;
        entry.ending = false;
        entry.expected = 0;
        entry.queue = queue;
        entry.aggregate.close();
        self.index.insert(key, flow);
        self.link_last(flow, now);
        Some(Inserted { flow, evicted_from })
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, flow: u16) {
        let Some(entry) = self.entry(flow) else {
            return;
        };
        entry.live = false;
        let (key, busy) = (entry.key, entry.busy);
        self.index.remove(&key);
        if !busy {
            self.unlink(flow);
        }
        self.free.push(flow);
    }

    /// Takes out all entries whose packets go to a queue, and calls `gone` with each.
    pub(crate) fn remove_queue(&mut self, queue: usize, mut gone: impl FnMut(u16)) {
        for flow in 0..self.entries.len() as u16 {
            if self.entry(flow).is_some_and(|entry| entry.queue == queue) {
                self.remove(flow);
                gone(flow);
            }
        }
    }

    /// Packets of this flow wait from now on.
    pub(crate) fn set_busy(&mut self, flow: u16) {
        if let Some(entry) = self.entry(flow).filter(|entry| !entry.busy) {
            entry.busy = true;
            self.unlink(flow);
        }
    }

    /// No packet of this flow waits any more.
    pub(crate) fn set_idle(&mut self, flow: u16, now: u64) {
        if let Some(entry) = self.entry(flow).filter(|entry| entry.busy) {
            entry.busy = false;
            // Nothing waits behind: the host was told to hand the aggregate up.
            entry.aggregate.close();
            self.link_last(flow, now);
        }
    }

    /// Whether packets of a flow wait, and in which queue; `None` if there is no such flow.
    pub(crate) fn whereabouts(&self, flow: u16) -> Option<(bool, usize)> {
        let entry = self.entries.get(usize::from(flow))?;
        entry.live.then_some((entry.busy, entry.queue))
    }

    /// The flow that has been idle longest, and since when.
    pub(crate) fn oldest_idle(&self) -> Option<(u16, u64)> {
        let entry = self.entries.get(usize::from(self.first))?;
        Some((self.first, entry.idle_since))
    }

    fn link_last(&mut self, flow: u16, now: u64) {
        let last = self.last;
        let Some(entry) = self.entries.get_mut(usize::from(flow)) else {
            return;
        };
        entry.idle_since = now;
        entry.prev = last;
        entry.next = NIL;
        match self.entries.get_mut(usize::from(last)) {
            Some(entry) => entry.next = flow,
            None => self.first = flow,
        }
        self.last = flow;
    }

    fn unlink(&mut self, flow: u16) {
        let Some(entry) = self.entries.get(usize::from(flow)) else {
            return;
        };
        let (prev, next) = (entry.prev, entry.next);
        match self.entries.get_mut(usize::from(prev)) {
            Some(entry) => entry.next = next,
            None => self.first = next,
        }
        match self.entries.get_mut(usize::from(next)) {
            Some(entry) => entry.prev = prev,
            None => self.last = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> FlowKey {
        FlowKey {
            bytes: [n; KEY_MAX],
            len: 12,
            kind: 5,
            vlan: None,
        }
    }

    /// Claims: 9, 10, 49.
    #[test]
    fn the_flow_number_is_the_index_of_the_key() {
        let mut db = FlowDb::new(4);
        for n in 0..4 {
            let made = db.insert(key(n), 0, 0).unwrap();
            assert_eq!((made.flow, made.evicted_from), (u16::from(n), None));
        }
        for n in 0..4 {
            assert_eq!(db.lookup(&key(n)), Some(u16::from(n)));
            assert_eq!(db.entry(u16::from(n)).unwrap().key, key(n));
        }
        assert_eq!(db.lookup(&key(9)), None);
    }

    #[test]
    fn vlan_and_kind_are_part_of_the_key() {
        let mut db = FlowDb::new(4);
        db.insert(key(1), 0, 0).unwrap();
        assert_eq!(
            db.lookup(&FlowKey {
                vlan: Some(0),
                ..key(1)
            }),
            None
        );
        assert_eq!(db.lookup(&FlowKey { kind: 6, ..key(1) }), None);
        assert_eq!(db.lookup(&FlowKey { len: 11, ..key(1) }), None);
    }

    #[test]
    fn evicts_the_longest_idle_and_never_a_busy_one() {
        let mut db = FlowDb::new(2);
        db.insert(key(0), 0, 0).unwrap();
        db.insert(key(1), 0, 1).unwrap();
        db.set_busy(0);
        let made = db.insert(key(2), 0, 2).unwrap();
        assert_eq!((made.flow, made.evicted_from), (1, Some(0)));
        assert_eq!(db.lookup(&key(1)), None);
        db.set_busy(1);
        assert_eq!(db.insert(key(3), 0, 3), None);
        db.set_idle(0, 4);
        db.set_idle(1, 5);
        assert_eq!(db.oldest_idle(), Some((0, 4)));
        assert_eq!(db.insert(key(4), 0, 6).unwrap().flow, 0);
        assert_eq!(db.oldest_idle(), Some((1, 5)));
    }

    #[test]
    fn idle_list_survives_any_order_of_removal() {
        let mut db = FlowDb::new(8);
        for n in 0..8 {
            db.insert(key(n), usize::from(n % 2), u64::from(n)).unwrap();
        }
        db.remove(3);
        db.remove(0);
        db.remove(7);
        let mut gone = Vec::new();
        db.remove_queue(0, |flow| gone.push(flow));
        assert_eq!(gone, [2, 4, 6]);
        assert_eq!(db.oldest_idle(), Some((1, 1)));
        db.remove(1);
        assert_eq!(db.oldest_idle(), Some((5, 5)));
        db.remove(5);
        assert_eq!((db.oldest_idle(), db.len(), db.free.len()), (None, 0, 8));
    }
}
