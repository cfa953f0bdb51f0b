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
    next: Index,
    /// Word that the next completion begins at, and the generation that it has if it is there.
    at: usize,
    generation: bool,
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
            next: Index::ZERO,
            at: 0,
            generation: Index::ZERO.generation(log2),
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

    /// The first word of the completion at the ring's head, if the device has written it.
    #[inline(always)]
    fn peek(&self) -> Option<C0> {
        let c0 = C0(self.ring.read(self.at));
        if (c0.generation() != 0) != self.generation {
            return None;
        }
        // The device wrote the other words before the one that has the generation.
        barrier::dma_mb(barrier::Read);
        Some(c0)
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.next = self.next.add(1);
        self.at += COMPLETION_WORDS;
        if self.at >= self.ring.len() {
            self.at = 0;
            self.generation = !self.generation;
        }
    }

    /// Takes the completion at the ring's head, if the device has written it.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<Completion> {
        let c0 = self.peek()?;
        let word = |i| self.ring.read(self.at + i);
        // Word 6, the time, is read by [`Completions::time`] only.
        let words = [
            c0.0,
            word(1),
            word(2),
            word(3),
            word(4),
            word(5),
            0,
            word(7),
        ];
        self.advance();
        Some(Completion::from_words(words))
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
            page_ids(self.ring.read(self.at + i))
                .into_iter()
                .for_each(&mut f);
        }
        self.advance();
        true
    }

    /// When the packet was received whose completion was taken last, in nanoseconds of the device's
    /// clock.
    #[inline]
    pub(super) fn time(&self) -> u64 {
        // The completion before, round the ring: words are counted modulo its length.
        self.ring
            .read(self.at.wrapping_sub(COMPLETION_WORDS) + TIME)
    }

    /// The result of a poll that took `work` completions and left the ring `empty`, or not.
    #[inline]
    pub(super) fn polled(&self, work: usize, empty: bool, starving: bool) -> Polled {
        self.probe.next.store(self.next.raw(), Relaxed);
        Polled {
            work,
            again: !empty,
            starving,
            consumed: self.next,
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
            let Some(c) = self.take() else {
                break;
            };
            lost += c.c0.segs();
        }
        self.counters.rx.drop_down.add(lost);
    }
}
