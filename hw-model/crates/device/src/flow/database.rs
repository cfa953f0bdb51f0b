// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flow database: the known flows, and the expected sequence number of each.
//!
//! The index of an entry is the flow number. An entry is *busy* while packets of it wait in the
//! packet memory; only idle entries may be evicted or aged, and they are kept in the order in which
//! they became idle.

use crate::arrive::key::FlowKey;
use crate::flow::merge::Aggregate;
use reflow_hwdef::cmd::{F0, F6, FLOW_KEY, FLOW_WORDS};
use reflow_hwdef::desc::FLOW_NONE;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
    /// A host control block keeps it: it is in no order of idle entries.
    pinned: bool,
    /// Made by a SYN, and no later packet of the connection has arrived.
    half_open: bool,
    /// Arrival of its last packet.
    pub(crate) seen: u64,
    /// It ended, and its last packet waits in the packet memory.
    pub(crate) ending: bool,
    /// Sequence number of the next packet with data.
    pub(crate) expected: u32,
    /// After a control packet: the next data may have any sequence number.
    pub(crate) resync: bool,
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
    /// The queue of the flow that was evicted for it.
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
    half_open: usize,
}

impl FlowDb {
    /// An empty database with so many entries.
    pub(crate) fn new(size: usize) -> Self {
        let entries = (0..size)
            .map(|_| Entry {
                key: FlowKey::NONE,
                live: false,
                busy: false,
                pinned: false,
                half_open: false,
                seen: 0,
                ending: false,
                expected: 0,
                resync: false,
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
            half_open: 0,
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

    /// A flow's number, its expected sequence number, and whether packets of it wait.
    pub(crate) fn position(&self, key: &FlowKey) -> Option<(u16, u32, bool)> {
        let flow = self.lookup(key)?;
        let entry = self.entries.get(usize::from(flow))?;
        Some((flow, entry.expected, entry.busy))
    }

    /// The entry of a flow number.
    pub(crate) fn entry(&mut self, flow: u16) -> Option<&mut Entry> {
        self.entries
            .get_mut(usize::from(flow))
            .filter(|entry| entry.live)
    }

    /// Whether an entry can be made: one is free or idle.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.first != NIL
    }

    /// Makes an idle entry; evicts the longest idle one if none is free.
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
        entry.pinned = false;
        entry.half_open = false;
        entry.seen = now;
        entry.ending = false;
        entry.expected = 0;
        entry.resync = false;
        entry.queue = queue;
        entry.aggregate.close();
        self.index.insert(key, flow);
        self.link_last(flow, now);
        Some(Inserted { flow, evicted_from })
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, flow: u16) {
        let Some(entry) = self.entry(flow) else {
            return;
        };
        entry.live = false;
        let (key, listed) = (entry.key, !entry.busy && !entry.pinned);
        self.established(flow);
        self.index.remove(&key);
        if listed {
            self.unlink(flow);
        }
        self.free.push(flow);
    }

    /// Removes the entries of a queue, except pinned ones, and calls
    /// `gone` with each, pinned or not.
    pub(crate) fn remove_queue(&mut self, queue: usize, now: u64, mut gone: impl FnMut(u16)) {
        for flow in 0..self.entries.len() as u16 {
            if self.entry(flow).is_some_and(|entry| entry.queue == queue) {
                if self.is_pinned(flow) {
                    self.set_idle(flow, now);
                } else {
                    self.remove(flow);
                }
                gone(flow);
            }
        }
    }

    /// Packets of this flow wait from now on.
    pub(crate) fn set_busy(&mut self, flow: u16) {
        if let Some(entry) = self.entry(flow).filter(|entry| !entry.busy) {
            entry.busy = true;
            if !entry.pinned {
                self.unlink(flow);
            }
        }
    }

    /// No packet of this flow waits.
    pub(crate) fn set_idle(&mut self, flow: u16, now: u64) {
        if let Some(entry) = self.entry(flow).filter(|entry| entry.busy) {
            entry.busy = false;
            // The last completion had no hint, so the host has closed the aggregate.
            entry.aggregate.close();
            if !entry.pinned {
                self.link_last(flow, now);
            }
        }
    }

    /// Whether a host control block pins an entry.
    pub(crate) fn is_pinned(&self, flow: u16) -> bool {
        let entry = self.entries.get(usize::from(flow));
        entry.is_some_and(|entry| entry.live && entry.pinned)
    }

    /// A host control block pins an entry, even one that has ended.
    pub(crate) fn pin(&mut self, flow: u16) {
        self.established(flow);
        if let Some(entry) = self.entry(flow).filter(|entry| !entry.pinned) {
            entry.pinned = true;
            entry.ending = false;
            if !entry.busy {
                self.unlink(flow);
            }
        }
    }

    /// The host control block of an entry was removed.
    pub(crate) fn unpin(&mut self, flow: u16, now: u64) {
        if let Some(entry) = self.entry(flow).filter(|entry| entry.pinned) {
            entry.pinned = false;
            if !entry.busy {
                self.link_last(flow, now);
            }
        }
    }

    /// Whether one more SYN may make an entry.
    ///
    /// Half-open connections have at most a quarter of the entries.
    pub(crate) fn takes_set_up(&self) -> bool {
        self.half_open < (self.entries.len() / 4).max(1)
    }

    /// An entry was made by a SYN.
    pub(crate) fn set_up(&mut self, flow: u16) {
        if let Some(entry) = self.entry(flow).filter(|entry| !entry.half_open) {
            entry.half_open = true;
            self.half_open += 1;
        }
    }

    /// Whether an entry is in use and not half-open.
    pub(crate) fn is_established(&self, flow: u16) -> bool {
        let entry = self.entries.get(usize::from(flow));
        entry.is_some_and(|entry| entry.live && !entry.half_open)
    }

    /// An entry is no longer half-open.
    pub(crate) fn established(&mut self, flow: u16) {
        let entry = self.entries.get_mut(usize::from(flow));
        if let Some(entry) = entry.filter(|entry| entry.half_open) {
            entry.half_open = false;
            self.half_open -= 1;
        }
    }

    /// An entry as a dump has it; `None` if there is none of this number.
    pub(crate) fn describe(&self, flow: u16, now: u64) -> Option<[u64; FLOW_WORDS]> {
        let entry = self.entries.get(usize::from(flow)).filter(|e| e.live)?;
        let kind = entry.key.kind();
        let mut words = [0; FLOW_WORDS];
        words[0] = F0(0)
            .with_flow(flow.into())
            .with_key_len(entry.key.bytes().len() as u64)
            .with_v6(kind.ipv6().into())
            .with_open(entry.aggregate.is_open().into())
            .with_busy(entry.busy.into())
            .with_tcb(entry.pinned.into())
            .with_vlan(entry.key.vlan().is_some().into())
            .with_queue(entry.queue as u64)
            .with_vlan_tci(entry.key.vlan().unwrap_or(0).into())
            .0;
        for (word, bytes) in words[FLOW_KEY..]
            .iter_mut()
            .zip(entry.key.bytes().chunks(8))
        {
            let mut b = [0; 8];
            b[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(b);
        }
        words[FLOW_WORDS - 2] = F6(0).with_expected(entry.expected.into()).0;
        words[FLOW_WORDS - 1] = now.saturating_sub(entry.seen) / 1000;
        Some(words)
    }

    /// Whether index, entries and the order of idle entries agree.
    pub(crate) fn is_consistent(&self) -> bool {
        let live = self.entries.iter().filter(|entry| entry.live);
        let indexed = |(flow, entry): (usize, &Entry)| {
            !entry.live || self.index.get(&entry.key).copied() == Some(flow as u16)
        };
        let half_open = live.clone().filter(|entry| entry.half_open).count();
        let waiting = live.clone().filter(|entry| !entry.busy && !entry.pinned);
        let (mut at, mut before, mut listed) = (self.first, NIL, 0);
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if !entry.live || entry.busy || entry.pinned || entry.prev != before {
                return false;
            }
            listed += 1;
            if listed > self.entries.len() {
                return false;
            }
            (before, at) = (at, entry.next);
        }
        self.entries.iter().enumerate().all(indexed)
            && self.index.len() == live.count()
            && self.index.len() + self.free.len() == self.entries.len()
            && self.half_open == half_open
            && listed == waiting.count()
            && self.last == before
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
    use reflow_hwdef::isa::Kind;

    fn key(n: u8) -> FlowKey {
        FlowKey::of(&[n; 12], Kind(5), None)
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
        let others = [
            FlowKey::of(&[1; 12], Kind(5), Some(0)),
            FlowKey::of(&[1; 12], Kind(6), None),
            FlowKey::of(&[1; 11], Kind(5), None),
        ];
        assert_eq!(others.map(|key| db.lookup(&key)), [None; 3]);
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
        db.remove_queue(0, 8, |flow| gone.push(flow));
        assert_eq!(gone, [2, 4, 6]);
        assert_eq!(db.oldest_idle(), Some((1, 1)));
        db.remove(1);
        assert_eq!(db.oldest_idle(), Some((5, 5)));
        db.remove(5);
        assert_eq!((db.oldest_idle(), db.len(), db.free.len()), (None, 0, 8));
    }

    #[test]
    fn pinned_entries_stay() {
        let mut db = FlowDb::new(2);
        db.insert(key(0), 3, 0).unwrap();
        db.pin(0);
        db.insert(key(1), 3, 1).unwrap();
        assert_eq!(db.insert(key(2), 3, 2).unwrap().flow, 1);
        db.set_busy(0);
        db.set_idle(0, 3);
        assert_eq!(db.oldest_idle(), Some((1, 2)));
        let mut gone = Vec::new();
        db.remove_queue(3, 4, |flow| gone.push(flow));
        assert_eq!((gone, db.len(), db.oldest_idle()), (vec![0, 1], 1, None));
        assert!(db.is_consistent());
        db.unpin(0, 5);
        assert_eq!(db.oldest_idle(), Some((0, 5)));
        assert!(db.is_consistent());
    }

    #[test]
    fn an_entry_is_established_once_it_is_beyond_its_set_up() {
        let mut db = FlowDb::new(4);
        assert!(!db.is_established(0));
        db.insert(key(0), 0, 0).unwrap();
        assert!(db.is_established(0));
        db.set_up(0);
        assert!(!db.is_established(0));
        db.established(0);
        assert!(db.is_established(0));
        db.remove(0);
        assert!(!db.is_established(0));
        assert!(!db.is_established(FLOW_NONE));
    }

    /// Every inconsistency is found.
    #[test]
    fn the_consistency_check_finds_faults() {
        let breakages: [fn(&mut FlowDb); 6] = [
            |db| db.entries[0].live = false,
            |db| db.entries[1].busy = true,
            |db| db.entries[2].next = 0,
            |db| db.half_open += 1,
            |db| db.index.clear(),
            |db| db.free.clear(),
        ];
        for breakage in breakages {
            let mut db = FlowDb::new(4);
            for n in 0..3 {
                db.insert(key(n), 0, 0).unwrap();
            }
            assert!(db.is_consistent());
            breakage(&mut db);
            assert!(!db.is_consistent());
        }
    }
}
