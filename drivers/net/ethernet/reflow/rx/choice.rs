// SPDX-License-Identifier: GPL-2.0

//! How large the next page for payload is: as large as the buffers of its ring, or a page of the
//! kernel.
//!
//! Large pages are cheaper to receive into and to copy from. Pages of the kernel can be mapped by
//! the reader (`TCP_ZEROCOPY_RECEIVE`) and can be had when memory is short. Nobody tells the driver
//! that a reader maps, but a page that is mapped does not come back to its pool. So one page in
//! [`PROBE`] is one of the kernel's; once such pages are kept, many are. Pure: compiled in the
//! module and in the host's tests.

/// One page in so many is a page of the kernel, and as often it is looked whether such are kept.
const PROBE: u32 = 64;
/// Pages of the kernel that follow when there was no memory for a large one.
const AFTER_SHORTAGE: u32 = PROBE;
/// Pages of the kernel that follow when one was kept: 16 MiB.
const AFTER_KEPT: u32 = 4096;

/// Chooses the sizes of a ring's pages.
#[derive(Default, Debug)]
pub(crate) struct Choice {
    /// Pages that were chosen.
    chosen: u32,
    /// Pages that are still to be the kernel's.
    small: u32,
    /// Pages that were kept until now.
    kept: u64,
}

impl Choice {
    /// Chooses a page: true for a large one. `kept` tells how many pages of the kernel's size were
    /// kept by readers so far.
    #[inline]
    pub(crate) fn is_large(&mut self, kept: impl FnOnce() -> u64) -> bool {
        self.chosen = self.chosen.wrapping_add(1);
        if self.chosen % PROBE == 0 {
            self.probe(kept());
        }
        if self.small == 0 {
            return true;
        }
        self.small -= 1;
        false
    }

    #[cold]
    fn probe(&mut self, kept: u64) {
        if kept != self.kept {
            self.kept = kept;
            self.small = AFTER_KEPT;
        }
        self.small = self.small.max(1);
    }

    /// There was no memory for the large page that was chosen.
    #[cold]
    pub(crate) fn no_memory(&mut self) {
        self.small = self.small.max(AFTER_SHORTAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(choice: &mut Choice, pages: u32, kept: u64) -> u32 {
        (0..pages)
            .map(|_| u32::from(choice.is_large(|| kept)))
            .sum()
    }

    #[test]
    fn a_few_pages_are_probes() {
        assert_eq!(large(&mut Choice::default(), 640, 0), 630);
    }

    #[test]
    fn pages_that_are_kept_are_followed_by_more_until_none_are() {
        let mut choice = Choice::default();
        large(&mut choice, PROBE, 0);
        assert_eq!(large(&mut choice, PROBE, 1), PROBE - 1);
        assert_eq!(large(&mut choice, AFTER_KEPT - 1, 1), 0);
        let after = large(&mut choice, PROBE, 1);
        assert!(after >= PROBE - 2, "{after}");
    }

    #[test]
    fn a_shortage_is_over_some_pages_later() {
        let mut choice = Choice::default();
        choice.no_memory();
        assert_eq!(large(&mut choice, AFTER_SHORTAGE, 0), 0);
        assert_eq!(large(&mut choice, 10, 0), 10);
    }
}
