// SPDX-License-Identifier: GPL-2.0

//! When a control block that does not apply is set again, and when it is not worth it.
//!
//! Pure: compiled in the module and in the host's tests.

/// Most strikes in a row before a block is handed back.
const MOST: u8 = 8;
/// Packets that a block applies to, after which what was before is forgotten.
const GOOD: u64 = 32;
/// Shortest wait before a block is set again, in milliseconds; it doubles with each strike.
const FIRST_WAIT: i64 = 5;

/// Times in a row that a block applied to few packets only.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Strikes(u8);

impl Strikes {
    /// One more: a block became stale after it applied to so many packets.
    ///
    /// Returns the milliseconds until it is to be set again; `None` if it is to be handed back.
    pub(crate) fn add(&mut self, applied: u64) -> Option<i64> {
        if applied >= GOOD {
            *self = Self::default();
        }
        if self.0 == MOST {
            return None;
        }
        let wait = FIRST_WAIT << self.0;
        self.0 += 1;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_until_the_block_is_handed_back() {
        let mut strikes = Strikes::default();
        for i in 0..MOST {
            assert_eq!(strikes.add(GOOD - 1), Some(FIRST_WAIT << i));
        }
        assert_eq!(strikes.add(0), None);
        assert_eq!(strikes.add(GOOD - 1), None);
    }

    #[test]
    fn packets_in_order_reset_the_wait() {
        let mut strikes = Strikes::default();
        for _ in 0..MOST {
            strikes.add(0);
        }
        assert_eq!(strikes.add(GOOD), Some(FIRST_WAIT));
        assert_eq!(strikes.add(0), Some(2 * FIRST_WAIT));
    }
}
