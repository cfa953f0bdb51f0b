// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The clock of timestamps: it can be set, stepped and made faster or slower.

/// Units of the rate in one part: 2^16 of them in a millionth.
const RATE_UNITS: i128 = 1_000_000 << 16;

/// A clock that runs along with the time that the device is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// Its time, in nanoseconds, when the device's was `since`.
    base: u64,
    since: u64,
    /// How much faster it runs, see CLOCK_RATE.
    rate: i32,
    /// The time that was read last.
    pub(crate) latched: u64,
}

impl Clock {
    /// Its time when the device's is `now`.
    pub(crate) fn at(&self, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.since);
        // Both factors have less than 65 and 33 bits.
        let ahead = i128::from(elapsed) * i128::from(self.rate) / RATE_UNITS;
        self.base.wrapping_add(elapsed).wrapping_add(ahead as u64)
    }

    /// Keeps the time for the two registers that it is read from.
    pub(crate) fn latch(&mut self, now: u64) {
        self.latched = self.at(now);
    }

    /// Sets it.
    pub(crate) fn set(&mut self, now: u64, time: u64) {
        (self.base, self.since) = (time, now);
    }

    /// Moves it forward or back.
    pub(crate) fn step(&mut self, now: u64, by: u64) {
        self.set(now, self.at(now).wrapping_add(by));
    }

    /// Has it run faster or slower from now on.
    pub(crate) fn set_rate(&mut self, now: u64, rate: u32) {
        self.set(now, self.at(now));
        self.rate = rate as i32;
    }

    /// Its rate, as in the register.
    pub(crate) fn rate(&self) -> u32 {
        self.rate as u32
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn runs_with_the_device() {
        assert_eq!(Clock::default().at(7), 7);
    }

    #[test]
    fn goes_on_from_where_it_was_set() {
        let mut clock = Clock::default();
        clock.set(100, 5 * SECOND);
        assert_eq!(clock.at(103), 5 * SECOND + 3);
        clock.step(103, (-4_i64) as u64);
        assert_eq!(clock.at(103), 5 * SECOND - 1);
    }

    #[test]
    fn rate_is_in_units_of_a_millionth_by_2_to_the_16() {
        let mut clock = Clock::default();
        clock.set_rate(SECOND, 10 << 16);
        assert_eq!(clock.at(2 * SECOND), 2 * SECOND + 10_000);
        clock.set_rate(2 * SECOND, (-10 << 16) as u32);
        assert_eq!(clock.at(3 * SECOND), 3 * SECOND);
    }

    #[test]
    fn no_value_makes_it_panic() {
        for rate in [i32::MIN, -1, 0, 1, i32::MAX] {
            for now in [0, 1, u64::MAX] {
                let mut clock = Clock::default();
                clock.set_rate(now, rate as u32);
                clock.step(u64::MAX, u64::MAX);
                clock.set(now / 2, u64::MAX);
                clock.latch(u64::MAX);
                assert_eq!(clock.rate(), rate as u32);
            }
        }
    }
}
