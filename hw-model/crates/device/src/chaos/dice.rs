// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Random numbers, and when a fault strikes.

use super::{Lasts, Tally, Wish};

/// Random numbers from a seed: a counter whose bits are mixed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit.max(1)
    }

    /// A number below `limit` that is not `this`, if there is one.
    pub(super) fn other(&mut self, this: u64, limit: u64) -> Option<u64> {
        let n = self.below(limit.checked_sub(1).filter(|&n| n > 0)?);
        Some(if this < limit && n >= this { n + 1 } else { n })
    }

    /// Whether something of this probability happens.
    fn happens(&mut self, chance: f64) -> bool {
        // 53 bits are what a float can tell apart.
        let float = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        float < chance
    }
}

/// A fault of a spec, and its random numbers.
#[derive(Debug)]
pub(super) struct Injector {
    wish: Wish,
    pub(super) dice: Dice,
    pub(super) tally: Tally,
    /// How long it lasts; 0 is for ever.
    length_ns: u64,
    /// End of the strike that lasts.
    until: Option<u64>,
    /// No further strike before.
    rest: u64,
}

impl Injector {
    pub(super) fn new(wish: Wish, seed: u64) -> Self {
        let ms = match wish.fault.info().lasts {
            Lasts::Not => 0,
            Lasts::Ms(ms) => wish.ms.unwrap_or(ms),
        };
        let mut mixed = Dice::new(seed);
        let mixed = mixed.bits() ^ (wish.fault as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self {
            wish,
            dice: Dice::new(mixed),
            tally: Tally::default(),
            length_ns: u64::from(ms) * 1_000_000,
            until: None,
            rest: 0,
        }
    }

    pub(super) fn wish(&self) -> Wish {
        self.wish
    }

    pub(super) fn fault(&self) -> super::Fault {
        self.wish.fault
    }

    /// Whether the fault strikes now, `packets` after the beginning.
    pub(super) fn strikes(&mut self, packets: u64) -> bool {
        if packets < self.wish.after || self.tally.strikes >= self.wish.count {
            return false;
        }
        self.tally.chances += 1;
        let hit = self.dice.happens(self.wish.chance);
        self.tally.strikes += u64::from(hit);
        hit
    }

    /// The same for a fault that lasts: whether it is at work now.
    pub(super) fn lasts(&mut self, packets: u64, now: u64) -> bool {
        if self.is_on(now) {
            return true;
        }
        if let Some(until) = self.until.take() {
            self.rest = until.saturating_add(self.length_ns);
        }
        if now < self.rest || !self.strikes(packets) {
            return false;
        }
        self.until = Some(match self.length_ns {
            0 => u64::MAX,
            length => now.saturating_add(length),
        });
        true
    }

    /// Whether a strike that lasts goes on.
    pub(super) fn is_on(&self, now: u64) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When a strike, or the rest after it, is over.
    pub(super) fn deadline(&self, now: u64) -> Option<u64> {
        let next = self.until.unwrap_or(self.rest);
        (next != u64::MAX && next > now).then_some(next)
    }
}
