// SPDX-License-Identifier: GPL-2.0

//! The progress of a transmit ring, and whether the write-back index is in range.
//!
//! Pure: compiled in the module and in the host's tests.

use crate::hw::index::Index;

/// Indices of a transmit ring at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Descriptors before this one are cleaned up.
    pub(crate) head: Index,
    /// The device reports that it is done with those before this one.
    pub(crate) written: Index,
    /// The device was told of those before this one.
    pub(crate) rung: Index,
}

impl Progress {
    /// Descriptors that the device is done with and that are not cleaned up. `None` if the
    /// write-back index is beyond the tail: it cannot be used then.
    #[inline]
    pub(crate) fn done(&self) -> Option<u16> {
        let done = self.written.since(self.head);
        (done <= self.rung.since(self.head)).then_some(done)
    }

    /// Descriptors that the device was told of and is not done with.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) fn outstanding(&self) -> u16 {
        self.rung.since(self.head) - self.done().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(head: u32, written: u32, rung: u32) -> Progress {
        let [head, written, rung] = [head, written, rung].map(Index::from_raw);
        Progress {
            head,
            written,
            rung,
        }
    }

    #[test]
    fn what_was_rung_may_be_done() {
        assert_eq!(progress(5, 5, 5).done(), Some(0));
        assert_eq!(progress(5, 5, 9).done(), Some(0));
        assert_eq!(progress(5, 9, 9).done(), Some(4));
        // Across the end of the indices.
        assert_eq!(progress(0x7ffe, 1, 4).done(), Some(3));
        assert_eq!(progress(0x7ffe, 1, 4).outstanding(), 3);
    }

    #[test]
    fn what_was_not_rung_cannot_be_done() {
        assert_eq!(progress(5, 6, 5).done(), None);
        assert_eq!(progress(5, 10, 9).done(), None);
        // Back behind what was cleaned up.
        assert_eq!(progress(5, 4, 9).done(), None);
        assert_eq!(progress(5, 4, 9).outstanding(), 4);
    }

    #[test]
    fn every_value_is_either_within_or_refused() {
        for written in 0..0x8000 {
            let now = progress(0x7f00, written, 0x0100);
            let within = written >= 0x7f00 || written <= 0x0100;
            assert_eq!(now.done().is_some(), within);
            assert!(now.outstanding() <= 0x200);
        }
    }
}
