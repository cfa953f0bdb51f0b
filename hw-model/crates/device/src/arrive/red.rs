// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Random early discard: packets are lost by chance before the packet memory is full, so that the
//! senders slow down one by one instead of all at once.
//!
//! The random numbers start from the device's seed: the same frames have the
//! same outcome in every run.

use reflow_hwdef::regs::{RedLevels, RED_BANDS};

/// Bytes of a unit of RED_LEVELS.
const UNIT: usize = 64;
/// The probability that is certain.
const CERTAIN: u32 = 1 << 16;

/// Random early discard.
#[derive(Debug)]
pub(crate) struct Red {
    state: u64,
}

impl Red {
    /// In the state after a reset.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Decides about a packet that arrives at a level of the memory: the band that discards it.
    ///
    /// `levels` and `probs` are the registers of the bands.
    pub(crate) fn discard(&mut self, level: usize, levels: &[u32], probs: &[u32]) -> Option<usize> {
        let band = levels.iter().take(RED_BANDS).position(|&word| {
            let band = RedLevels(word);
            (band.low() as usize * UNIT..band.high() as usize * UNIT).contains(&level)
        })?;
        let prob = probs.get(band).copied().unwrap_or(0);
        (prob >= CERTAIN || (prob != 0 && self.draw() < prob)).then_some(band)
    }

    /// The next number below [`CERTAIN`].
    fn draw(&mut self) -> u32 {
        // SplitMix64: passes all the usual tests, and any seed will do.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 48) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims: 28.
    #[test]
    fn the_lowest_band_that_holds_the_level_decides() {
        let band = |low, high| RedLevels(0).with_low(low).with_high(high).0;
        let levels = [band(2, 4), band(3, 6), band(9, 9), band(0, 0xffff)];
        let mut red = Red::new(1);
        let mut at = |level| red.discard(level, &levels, &[CERTAIN, u32::MAX, CERTAIN, 0]);
        assert_eq!([at(127), at(128), at(255)], [None, Some(0), Some(0)]);
        assert_eq!([at(256), at(383), at(384)], [Some(1), Some(1), None]);
        assert_eq!([at(9 * 64), at(usize::MAX)], [None, None]);
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut red = Red::new(0);
        let mut seen = [0_u32; 16];
        for _ in 0..160_000 {
            seen[(red.draw() >> 12) as usize] += 1;
        }
        // Five standard deviations.
        assert!(seen.iter().all(|n| n.abs_diff(10_000) < 490), "{seen:?}");
    }
}
