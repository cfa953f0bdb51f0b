// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Rings in host memory: descriptor rings, which the device reads, and completion rings.

pub(crate) mod buffers;
pub(crate) mod rx;

use crate::host::{Host, MemError};
use reflow_hwdef::desc::{Completion, COMPLETION_SIZE};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::{QueueError, LOG2_RING_MAX, LOG2_RING_MIN};
use std::collections::VecDeque;

/// Descriptors read at once.
const FETCH: usize = 32;

/// Checks a ring's address and size.
pub(crate) fn check_ring(base: u64, log2: u32, align: u64, entry: usize) -> Result<(), QueueError> {
    let bytes = (entry as u64) << log2.min(LOG2_RING_MAX);
    if !(LOG2_RING_MIN..=LOG2_RING_MAX).contains(&log2)
        || base % align != 0
        || base.checked_add(bytes).is_none()
    {
        return Err(QueueError::BadConfig);
    }
    Ok(())
}

/// A ring of descriptors of `N` words that the driver fills.
#[derive(Debug)]
pub(crate) struct DescRing<const N: usize> {
    base: u64,
    log2: u32,
    tail: Index,
    fetched: Index,
    cache: VecDeque<[u64; N]>,
}

impl<const N: usize> DescRing<N> {
    /// Bytes of a descriptor.
    const ENTRY: usize = N * 8;

    /// An empty ring at an address that [`check_ring`] accepted.
    pub(crate) fn new(base: u64, log2: u32) -> Self {
        Self {
            base,
            log2,
            tail: Index::ZERO,
            fetched: Index::ZERO,
            cache: VecDeque::with_capacity(FETCH),
        }
    }

    /// Descriptors in all.
    pub(crate) fn entries(&self) -> usize {
        1 << self.log2
    }

    /// The index behind the last descriptor that the device has used up.
    pub(crate) fn head(&self) -> Index {
        // The distance is below 2^15, so that the subtraction is one modulo 2^15.
        Index::from_raw(self.fetched.raw().wrapping_sub(self.cache.len() as u32))
    }

    /// The driver's doorbell.
    pub(crate) fn set_tail(&mut self, raw: u32) -> Result<(), QueueError> {
        let tail = Index::from_raw(raw);
        let head = self.head();
        if u32::from(tail.since(head)) > 1 << self.log2 || tail.since(head) < self.tail.since(head)
        {
            return Err(QueueError::BadTail);
        }
        self.tail = tail;
        Ok(())
    }

    /// Descriptors that are ready, read or not.
    pub(crate) fn available(&self) -> usize {
        self.cache.len() + usize::from(self.tail.since(self.fetched))
    }

    /// Reads descriptors until `count` of them are in the device, or all that are ready.
    pub(crate) fn fetch(&mut self, host: &impl Host, count: usize) -> Result<(), MemError> {
        while self.cache.len() < count {
            let ready = usize::from(self.tail.since(self.fetched));
            let slot = self.fetched.slot(self.log2);
            let n = ready.min(FETCH).min((1 << self.log2) - slot);
            if n == 0 {
                break;
            }
            let mut bytes = [0; FETCH * 32];
            let bytes = &mut bytes[..n * Self::ENTRY];
            host.read(self.base + (slot * Self::ENTRY) as u64, bytes)?;
            for desc in bytes.chunks_exact(Self::ENTRY) {
                let mut words = [0; N];
                for (word, b) in words.iter_mut().zip(desc.chunks_exact(8)) {
                    *word = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
                }
                self.cache.push_back(words);
            }
            self.fetched = self.fetched.add(n as u16);
        }
        Ok(())
    }

    /// A descriptor that was read, counted from the head.
    pub(crate) fn peek(&self, at: usize) -> Option<[u64; N]> {
        self.cache.get(at).copied()
    }

    /// Where a word of a descriptor is, counted from the head.
    pub(crate) fn address(&self, at: usize, word: usize) -> u64 {
        let slot = self.head().add(at as u16).slot(self.log2);
        self.base + (slot * Self::ENTRY + word * 8) as u64
    }

    /// Uses up the descriptor at the head.
    pub(crate) fn pop(&mut self) -> Option<[u64; N]> {
        self.cache.pop_front()
    }
}

/// The completion ring of a queue.
#[derive(Debug)]
pub(crate) struct CompletionRing {
    base: u64,
    log2: u32,
    produced: Index,
    consumed: Index,
}

impl CompletionRing {
    /// An empty ring at an address that [`check_ring`] accepted.
    pub(crate) fn new(base: u64, log2: u32) -> Self {
        Self {
            base,
            log2,
            produced: Index::ZERO,
            consumed: Index::ZERO,
        }
    }

    /// Completions in all.
    pub(crate) fn entries(&self) -> usize {
        1 << self.log2
    }

    /// Entries that the driver has free.
    pub(crate) fn free(&self) -> usize {
        self.entries().saturating_sub(usize::from(self.unseen()))
    }

    /// Completions that the driver has not consumed.
    pub(crate) fn unseen(&self) -> u16 {
        self.produced.since(self.consumed)
    }

    /// The driver's doorbell.
    pub(crate) fn set_consumed(&mut self, raw: u32) -> Result<(), QueueError> {
        let index = Index::from_raw(raw);
        if index.since(self.consumed) <= self.unseen() {
            self.consumed = index;
            Ok(())
        } else if usize::from(self.consumed.since(index)) <= self.entries() {
            // An older value: a later write of another processor came first.
            Ok(())
        } else {
            Err(QueueError::BadTail)
        }
    }

    /// Writes completions that belong together; there must be room for them.
    ///
    /// The last one is written first, so that the driver sees all when it sees the first. Their
    /// generation bits are set here; a bit that chaos has set is inverted.
    pub(crate) fn publish(
        &mut self,
        host: &impl Host,
        completions: &[Completion],
    ) -> Result<(), MemError> {
        for (i, completion) in completions.iter().enumerate().rev() {
            let index = self.produced.add(i as u16);
            let addr = self.base + (index.slot(self.log2) * COMPLETION_SIZE) as u64;
            let mut words = completion.to_words();
            words[0] = completion
                .c0
                .with_generation(
                    completion.c0.generation() ^ u64::from(index.generation(self.log2)),
                )
                .0;
            let mut bytes = [0; COMPLETION_SIZE];
            for (b, word) in bytes.chunks_exact_mut(8).zip(words) {
                b.copy_from_slice(&word.to_le_bytes());
            }
            host.write(addr + 8, &bytes[8..])?;
            host.store_release_u64(addr, words[0])?;
        }
        self.produced = self.produced.add(completions.len() as u16);
        Ok(())
    }
}

/// The registers of one queue block.
pub(crate) trait QueueRegs {
    /// The value at an offset in the block.
    fn get(&self, offset: usize) -> u32;

    /// The 64-bit value of two registers.
    fn pair(&self, lo: usize, hi: usize) -> u64 {
        u64::from(self.get(lo)) | (u64::from(self.get(hi)) << 32)
    }
}

impl<F: Fn(usize) -> u32> QueueRegs for F {
    fn get(&self, offset: usize) -> u32 {
        self(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_may_lead_by_the_size_and_never_goes_back() {
        let mut ring = DescRing::<2>::new(0, 3);
        assert_eq!(ring.set_tail(8), Ok(()));
        assert_eq!(ring.set_tail(7), Err(QueueError::BadTail));
        assert_eq!(ring.set_tail(9), Err(QueueError::BadTail));
        assert_eq!(ring.available(), 8);
    }

    #[test]
    fn consumed_may_not_pass_produced() {
        let mut ring = CompletionRing::new(0, 3);
        assert_eq!(ring.set_consumed(0), Ok(()));
        assert_eq!(ring.set_consumed(1), Err(QueueError::BadTail));
        assert_eq!(ring.free(), 8);
    }

    #[test]
    fn a_late_consumed_changes_nothing() {
        let mut ring = CompletionRing::new(0, 3);
        ring.produced = Index::from_raw(5);
        assert_eq!(ring.set_consumed(4), Ok(()));
        assert_eq!(ring.set_consumed(2), Ok(()));
        assert_eq!(ring.unseen(), 1);
        assert_eq!(ring.set_consumed(6), Err(QueueError::BadTail));
    }

    /// Notes the address of each store.
    #[derive(Default)]
    struct Log(std::cell::RefCell<Vec<(u64, usize)>>);

    impl Host for Log {
        fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
            let len = buf.len();
            Err(MemError { addr, len })
        }
        fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
            self.0.borrow_mut().push((addr, data.len()));
            Ok(())
        }
        fn store_release_u64(&self, addr: u64, _: u64) -> Result<(), MemError> {
            self.0.borrow_mut().push((addr, 8));
            Ok(())
        }
        fn store_release_u32(&self, addr: u64, _: u32) -> Result<(), MemError> {
            Err(MemError { addr, len: 4 })
        }
        fn interrupt(&mut self, _: u16) {}
        fn wire_ready(&self) -> bool {
            false
        }
        fn send(&mut self, _: &[u8]) {}
    }

    #[test]
    fn the_first_word_of_the_first_completion_is_written_last() {
        let log = Log::default();
        let mut ring = CompletionRing::new(0x1000, 3);
        ring.publish(&log, &[Completion::default(); 2]).unwrap();
        let stores = [(0x1048, 56), (0x1040, 8), (0x1008, 56), (0x1000, 8)];
        assert_eq!(*log.0.borrow(), stores);
        assert_eq!(ring.unseen(), 2);
    }

    #[test]
    fn rings_out_of_range_are_refused() {
        assert!(check_ring(64, 3, 64, 64).is_ok());
        assert!(check_ring(32, 3, 64, 64).is_err());
        assert!(check_ring(0, 2, 64, 64).is_err());
        assert!(check_ring(0, 14, 64, 64).is_err());
        assert!(check_ring(u64::MAX - 63, 3, 64, 64).is_err());
    }
}
