// SPDX-License-Identifier: GPL-2.0

//! Free locations in a table of 64 rules; bit n of a word says whether location n is taken.

/// The lowest free location.
pub(crate) fn lowest(taken: u64) -> Option<u32> {
    Some(taken.trailing_ones()).filter(|&at| at < u64::BITS)
}

/// The location right before all that are taken; the last one if none is.
pub(crate) fn before_all(taken: u64) -> Option<u32> {
    taken.trailing_zeros().checked_sub(1)
}

/// The location right behind all that are taken; the first one if none is.
pub(crate) fn behind_all(taken: u64) -> Option<u32> {
    Some(u64::BITS - taken.leading_zeros()).filter(|&at| at < u64::BITS)
}

/// Does `step` for each location that is taken. If one fails, does `back` for those before it, the
/// last one first, and ends.
///
/// # Errors
///
/// Those of `step`.
pub(crate) fn all_or_none<E>(
    taken: u64,
    mut step: impl FnMut(u32) -> Result<(), E>,
    back: impl FnMut(u32),
) -> Result<(), E> {
    let locations = || (0..u64::BITS).filter(|at| (taken >> at) & 1 != 0);
    for at in locations() {
        if let Err(e) = step(at) {
            locations()
                .rev()
                .skip_while(|&done| done >= at)
                .for_each(back);
            return Err(e);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn an_empty_table_has_room_everywhere() {
        assert_eq!(lowest(0), Some(0));
        assert_eq!(before_all(0), Some(63));
        assert_eq!(behind_all(0), Some(0));
    }

    #[test]
    fn a_full_table_has_room_nowhere() {
        assert_eq!(lowest(u64::MAX), None);
        assert_eq!(before_all(u64::MAX), None);
        assert_eq!(behind_all(u64::MAX), None);
    }

    #[test]
    fn a_failed_step_reverts_the_others() {
        let taken = (1 << 63) | (1 << 9) | 0b101;
        let (mut done, mut back) = (Vec::new(), Vec::new());
        let all = all_or_none(
            taken,
            |at| {
                done.push(at);
                if at == 9 {
                    Err(at)
                } else {
                    Ok(())
                }
            },
            |at| back.push(at),
        );
        assert_eq!(all, Err(9));
        assert_eq!(done, [0, 2, 9]);
        assert_eq!(back, [2, 0]);
    }

    #[test]
    fn steps_that_succeed_stay() {
        let mut done = Vec::new();
        let step = |at| {
            done.push(at);
            Ok::<_, ()>(())
        };
        assert_eq!(all_or_none((1 << 63) | 1, step, |_| panic!()), Ok(()));
        assert_eq!(done, [0, 63]);
        assert_eq!(all_or_none(0, |_| Err(()), |_| panic!()), Ok(()));
    }

    #[test]
    fn free_locations_before_between_and_behind_used_ones() {
        let taken = (1 << 5) | (1 << 7) | 0b11;
        assert_eq!(lowest(taken), Some(2));
        assert_eq!(before_all(taken), None);
        assert_eq!(before_all(taken & !0b11), Some(4));
        assert_eq!(behind_all(taken), Some(8));
        assert_eq!(behind_all(1 << 63), None);
        assert_eq!(before_all(1 << 63), Some(62));
    }
}
