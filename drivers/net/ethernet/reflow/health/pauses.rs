// SPDX-License-Identifier: GPL-2.0

//! Pauses between resets that do not help.
//!
//! Pure: compiled in the module and in the host's tests.

/// Milliseconds of the first pause; it doubles with each reset.
const FIRST: i64 = 2_000;
/// Milliseconds of the longest pause.
const MOST: i64 = 64_000;
/// Milliseconds without a reset after the end of a pause, after which the first one is free again.
const QUIET: i64 = 60_000;

/// How long to wait for the next reset.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Pauses {
    /// Milliseconds from the last reset on.
    wait: i64,
    in_a_row: u32,
}

impl Pauses {
    /// Whether a reset may follow, `since` milliseconds after the last one. If so, it is counted.
    pub(crate) fn is_due(&mut self, since: i64) -> bool {
        if since < self.wait {
            return false;
        }
        if since >= self.wait.saturating_add(QUIET) {
            *self = Self::default();
        }
        self.wait = (2 * self.wait).clamp(FIRST, MOST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        true
    }

    /// Milliseconds from the last reset on, before which there is none.
    pub(crate) fn wait(&self) -> i64 {
        self.wait
    }

    /// Resets since it was quiet for long.
    pub(crate) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::default();
        assert!(pauses.is_due(i64::MAX));
        let mut wait = FIRST;
        for n in 2..20 {
            assert_eq!(pauses.wait(), wait);
            assert!(!pauses.is_due(wait - 1));
            assert!(pauses.is_due(wait));
            assert_eq!(pauses.in_a_row(), n);
            wait = (2 * wait).min(MOST);
        }
        assert_eq!(pauses.wait(), MOST);
    }

    #[test]
    fn time_without_faults_ends_the_pauses() {
        let mut pauses = Pauses::default();
        for _ in 0..5 {
            assert!(pauses.is_due(pauses.wait()));
        }
        let mut late = pauses;
        assert!(late.is_due(pauses.wait() + QUIET - 1));
        assert_eq!(late.in_a_row(), 6);
        assert!(pauses.is_due(pauses.wait() + QUIET));
        assert_eq!((pauses.wait(), pauses.in_a_row()), (FIRST, 1));
    }
}
