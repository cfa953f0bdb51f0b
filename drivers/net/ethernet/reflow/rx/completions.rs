// SPDX-License-Identifier: GPL-2.0

//! The completion ring.

use super::parts::Parts;
use crate::{
    counters,
    hw::{
        desc::{
            page_ids,
            Completion,
            CompletionKind,
            C0,
            C1,
            C2,
            C3,
            C4,
            C5,
            C7,
            COMPLETION_WORDS, //
        },
        index::Index,
        regs::queue_reg, //
    },
    mmio::Mmio,
    net::dma::Words, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        barrier,
        Arc, //
    }, //
};

/// CQ_WINDOW: completions outstanding before the device holds packets back, which it may merge
/// meanwhile.
const WINDOW: u16 = 64;
/// Word of a completion that holds the receive time.
const TIME: usize = 6;

/// The result of a poll.
pub(crate) struct Polled {
    /// Completions taken: a packet has one at least, several that were merged may have one.
    pub(crate) work: usize,
    /// There is more to do.
    pub(crate) again: bool,
    /// The device may be waiting for memory that could not be had.
    pub(crate) starving: bool,
    /// Index behind the last completion taken.
    pub(crate) consumed: Index,
    /// Half of CQ_WINDOW; the smallest ring holds as many.
    pub(crate) half: u16,
}

/// Tells from outside of polls whether completions wait.
pub(crate) struct Probe {
    ring: Arc<Words>,
    log2: u32,
    /// Raw index of the next completion, as of the end of the last poll.
    next: Atomic<u32>,
}

impl Probe {
    /// Whether a completion waits that the last poll did not take. From any context.
    pub(crate) fn has_news(&self) -> bool {
        self.is_written(Index::from_raw(self.next.load(Relaxed)))
    }

    /// Whether a completion is missing of which a later one is there. For a moment this is so in a
    /// packet with several, of which the device writes the first one last: look twice. From any
    /// context.
    pub(crate) fn has_gap(&self) -> bool {
        let next = Index::from_raw(self.next.load(Relaxed));
        let window = u32::from(WINDOW).min(1 << self.log2) as u16;
        let mut written = (0..window).map(|ahead| self.is_written(next.add(ahead)));
        // The search for what is missing leaves what comes after it.
        written.any(|is| !is) && written.any(|is| is)
    }

    fn is_written(&self, at: Index) -> bool {
        let c0 = C0(self.ring.read(at.slot(self.log2) * COMPLETION_WORDS));
        (c0.generation() != 0) == at.generation(self.log2)
    }

    /// Shows `f` the `count` completions before the next one, the last one first. The device may be
    /// writing to them. From any context.
    pub(crate) fn recent(&self, count: usize, mut f: impl FnMut(&Completion)) {
        let next = Index::from_raw(self.next.load(Relaxed)).slot(self.log2);
        for back in 1..=count {
            let at = next.wrapping_sub(back).wrapping_mul(COMPLETION_WORDS);
            // Words are counted modulo the length of the ring.
            let words = core::array::from_fn(|i| self.ring.read(at.wrapping_add(i)));
            f(&Completion::from_words(words));
        }
    }
}

/// The completion ring.
pub(super) struct Completions<'bound> {
    ring: Arc<Words>,
    probe: Arc<Probe>,
    log2: u32,
    /// Word that the next completion begins at, modulo the length of the ring: counts on.
    at: usize,
    /// The bit of `at` that is set in rounds of the ring with generation 0.
    round: usize,
    queue: u16,
    mmio: Arc<Mmio<'bound>>,
    counters: Arc<counters::Queue>,
}

impl<'bound> Completions<'bound> {
    /// Makes the ring; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(s: &Parts<'_, 'bound>) -> Result<Self> {
        let log2 = s.rings.completions;
        let ring = Words::new(s.dev, log2 + COMPLETION_WORDS.ilog2())?;
        let ring = Arc::new(ring, GFP_KERNEL)?;
        let probe = Probe {
            ring: ring.clone(),
            log2,
            next: Atomic::new(Index::ZERO.raw()),
        };
        Ok(Self {
            ring,
            probe: Arc::new(probe, GFP_KERNEL)?,
            log2,
            at: 0,
            round: COMPLETION_WORDS << log2,
            queue: s.queue,
            mmio: s.mmio.clone(),
            counters: s.counters.clone(),
        })
    }

    /// Tells from outside of polls whether completions wait.
    pub(super) fn probe(&self) -> &Arc<Probe> {
        &self.probe
    }

    /// Writes the address of the ring. The device reads it when the queue is enabled.
    pub(super) fn configure(&self) {
        let regs = self.mmio.queue(self.queue.into());
        let addr = self.ring.dma_address();
        regs.write_addr(queue_reg::CQ_LO, queue_reg::CQ_HI, addr);
        regs.write(queue_reg::CQ_SIZE, self.log2);
        regs.write(queue_reg::CQ_WINDOW, WINDOW.into());
    }

    /// Word `i` of the completion at the ring's head.
    #[inline(always)]
    fn word(&self, i: usize) -> u64 {
        self.ring.read_of::<COMPLETION_WORDS>(self.at, i)
    }

    /// The first word of the completion at the ring's head, if the device has written it.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<C0> {
        let c0 = C0(self.word(0));
        if (c0.generation() != 0) != (self.at & self.round == 0) {
            return None;
        }
        // The device wrote the other words before the one that has the generation.
        barrier::dma_mb(barrier::Read);
        Some(c0)
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.at = self.at.wrapping_add(COMPLETION_WORDS);
    }

    /// Index of the completion at the ring's head.
    #[inline]
    fn next(&self) -> Index {
        Index::from_raw((self.at / COMPLETION_WORDS) as u32)
    }

    /// Takes the completion at the ring's head, whose first word is `c0` as [`Self::peek`] said.
    #[inline(always)]
    pub(super) fn take(&mut self, c0: C0) -> Completion {
        let c = Completion {
            c3: C3(self.word(3)),
            c7: C7(self.word(7)),
            ..self.words_of_small(c0)
        };
        self.advance();
        c
    }

    /// As [`Self::take`], without the words about data in pages.
    #[inline(always)]
    pub(super) fn take_small(&mut self, c0: C0) -> Completion {
        let c = self.words_of_small(c0);
        self.advance();
        c
    }

    /// Takes the completion at the ring's head, if the device has written it.
    #[inline]
    pub(super) fn take_next(&mut self) -> Option<Completion> {
        let c0 = self.peek()?;
        Some(self.take(c0))
    }

    /// The words that say something of a packet in a cell. The time is read by [`Self::time`] only.
    #[inline(always)]
    fn words_of_small(&self, c0: C0) -> Completion {
        Completion {
            c0,
            c1: C1(self.word(1)),
            c2: C2(self.word(2)),
            c4: C4(self.word(4)),
            c5: C5(self.word(5)),
            ..Completion::default()
        }
    }

    /// Takes the completion at the ring's head if it has ids of pages, which it hands to `f`.
    ///
    /// Returns whether it had. One of another kind is left where it is.
    pub(super) fn take_pages(&mut self, mut f: impl FnMut(u16)) -> bool {
        match self.peek() {
            Some(c0) if c0.kind() == CompletionKind::Pages as u64 => {}
            _ => return false,
        }
        for i in 1..COMPLETION_WORDS {
            page_ids(self.word(i)).into_iter().for_each(&mut f);
        }
        self.advance();
        true
    }

    /// When the packet was received whose completion was taken last, in nanoseconds of the device's
    /// clock.
    #[inline]
    pub(super) fn time(&self) -> u64 {
        let before = self.at.wrapping_sub(COMPLETION_WORDS);
        self.ring.read_of::<COMPLETION_WORDS>(before, TIME)
    }

    /// The result of a poll that took `work` completions and left the ring `empty`, or not.
    #[inline]
    pub(super) fn polled(&self, work: usize, empty: bool, starving: bool) -> Polled {
        let next = self.next();
        self.probe.next.store(next.raw(), Relaxed);
        Polled {
            work,
            again: !empty,
            starving,
            consumed: next,
            half: WINDOW / 2,
        }
    }
}

impl Drop for Completions<'_> {
    /// Counts the packets that were delivered and not taken. The queue is off.
    fn drop(&mut self) {
        let mut lost = 0;
        // The generations are right for one round at most.
        for _ in 0..1_u32 << self.log2 {
            let Some(c) = self.take_next() else {
                break;
            };
            lost += c.c0.segs();
        }
        self.counters.rx.drop_down.add(lost);
    }
}
