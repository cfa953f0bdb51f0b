// SPDX-License-Identifier: GPL-2.0

//! Tests of the order of cells and pages, on the host.

use super::*;
use std::vec::Vec;

const LOG2: u32 = 2;
const CELLS: u32 = 16 << LOG2;

/// A device that uses cells as it should.
#[derive(Default)]
struct Device {
    cell: u32,
}

impl Device {
    fn next(&mut self) -> (u16, u16, bool) {
        let (id, n) = (self.cell / 16, self.cell % 16);
        self.cell = (self.cell + 1) % CELLS;
        (id as u16, (n * CELL_SIZE) as u16, n == 15)
    }
}

#[test]
fn cells_are_used_in_order_and_buffers_posted_once() {
    let (mut order, mut device) = (CellOrder::new(LOG2), Device::default());
    for n in 0..5 * CELLS {
        let (id, off, last) = device.next();
        let expected = (id, u32::from(n % 16 == 15));
        if n % 3 == 0 {
            assert!(!order.claim_due((id, off), !last, 0), "cell {n}");
            assert!(!order.claim_due((id ^ 1, off), last, 0), "cell {n}");
            assert!(!order.claim_due((id, off), last, 1 << LOG2), "cell {n}");
            assert!(order.claim_due((id, off), last, 0), "cell {n}");
        } else {
            assert_eq!(order.claim((id, off), last, 0), Some(expected), "cell {n}");
        }
    }
}

/// A completion with a wrong cell costs its packet and no other, wherever it points.
#[test]
fn a_wrong_cell_is_refused_and_the_next_right_one_is_not() {
    for wrong in 0..CELLS {
        let (mut order, mut device) = (CellOrder::new(LOG2), Device::default());
        let mut posted = 0;
        for n in 0..3 * CELLS {
            let (id, off, last) = device.next();
            let truth = u32::from(id) * 16 + u32::from(off) / CELL_SIZE;
            let lies = n % 20 == 7 && wrong != truth;
            let done = match lies {
                true => {
                    let at = ((wrong / 16) as u16, (wrong % 16 * CELL_SIZE) as u16);
                    order.claim(at, wrong % 16 == 15, 0)
                }
                false => order.claim((id, off), last, 0),
            };
            assert_eq!(done.is_some(), !lies, "cell {n} of {wrong}");
            posted += done.map_or(0, |(_, count)| count);
        }
        // A buffer whose last cell was lied about is posted with the one behind.
        assert!((3 * CELLS / 16 - posted) <= 1);
    }
}

#[test]
fn what_is_no_cell_is_refused() {
    let mut order = CellOrder::new(LOG2);
    for (id, off, last) in [(0, 1, false), (0, 0, true), (4, 0, false), (0, 3840, false)] {
        assert_eq!(order.claim((id, off), last, 0), None);
    }
    assert_eq!(order.claim((0, 0), false, 0), Some((0, 0)));
}

/// A completion that comes twice is refused the second time, and so is one that comes much later.
#[test]
fn a_cell_is_used_once() {
    let (mut order, mut device) = (CellOrder::new(LOG2), Device::default());
    for n in 0..3 * CELLS {
        let (id, off, last) = device.next();
        assert!(order.claim((id, off), last, 0).is_some(), "cell {n}");
        assert!(order.claim((id, off), last, 0).is_none(), "cell {n} again");
    }
}

/// After completions that never came one packet is refused, and then all goes on; the buffers in
/// between are posted.
#[test]
fn lost_completions_cost_one_more_packet() {
    for lost in [1, 2, 15, 16, 17, 30] {
        let (mut order, mut device) = (CellOrder::new(LOG2), Device::default());
        let mut posted = 0;
        for n in 0..4 * CELLS {
            let (id, off, last) = device.next();
            if (40..40 + lost).contains(&n) {
                continue;
            }
            let done = order.claim((id, off), last, 0);
            assert_eq!(done.is_some(), n != 40 + lost, "cell {n} after {lost}");
            posted += done.map_or(0, |(_, count)| count);
        }
        assert_eq!(posted, 4 * CELLS / 16, "{lost} lost");
    }
}

/// The device cannot have used buffers that it was not told of.
#[test]
fn nothing_is_used_before_the_doorbell() {
    let mut order = CellOrder::new(LOG2);
    for n in 0..16 {
        let off = (n * CELL_SIZE) as u16;
        let done = order.claim((0, off), n == 15, 0);
        assert_eq!(done, Some((0, u32::from(n == 15))));
    }
    // Buffer 0 is posted again; the others are the device's.
    for n in 0..40 {
        let off = (n % 16 * CELL_SIZE) as u16;
        assert_eq!(order.claim((0, off), n % 16 == 15, 1), None);
    }
    assert_eq!(order.claim((1, 0), false, 1), Some((1, 0)));
    let mut ids = [0_u16; 4];
    let mut order = PageOrder::default();
    for id in 0..4 {
        order.push(&mut ids, id);
    }
    for _ in 0..4 {
        assert_eq!(order.claim(&ids, 2, 2), None);
        assert_eq!(order.claim(&ids, 3, 2), None);
    }
    assert_eq!(order.claim(&ids, 1, 2), Some(1));
}

#[test]
fn pages_are_begun_in_order() {
    let mut ids = [0_u16; 8];
    let mut order = PageOrder::default();
    for id in 0..8 {
        order.push(&mut ids, id);
    }
    assert!(!order.claim_due(&ids, 1, 0));
    assert!(!order.claim_due(&ids, 0, 8));
    assert!(order.claim_due(&ids, 0, 7));
    // Not due, and not posted.
    assert_eq!(order.claim(&ids, 5, 0), None);
    assert_eq!(order.claim(&ids, 0, 0), None);
    // Page 1 may be the one that was refused.
    assert_eq!(order.claim(&ids, 2, 0), Some(1));
    assert_eq!((order.pop(&ids), order.pop(&ids)), (Some(1), Some(2)));
    // Two that follow each other are right.
    assert_eq!(order.claim(&ids, 6, 0), None);
    assert_eq!(order.claim(&ids, 7, 0), Some(4));
    let skipped: Vec<_> = (0..5).map(|_| order.pop(&ids)).collect();
    assert_eq!(skipped, [3, 4, 5, 6, 7].map(Some));
    assert_eq!((order.pop(&ids), order.len()), (None, 0));
    order.push(&mut ids, 3);
    assert_eq!(order.claim(&ids, 3, 0), Some(0));
}

#[test]
fn a_page_is_filled_without_gaps() {
    let mut fill = Fill::EMPTY;
    let mut claim = |off, len| fill.claim(3, off, len);
    assert_eq!(claim(0, 1448), Ok(()));
    // The same again, what another page has, and what was before.
    assert_eq!(claim(0, 1448), Err(Refused::Gap));
    assert_eq!(claim(2000, 96), Err(Refused::Gap));
    assert_eq!(claim(1448, 1448), Ok(()));
    assert_eq!(claim(0, 1448), Err(Refused::Gap));
    assert_eq!(claim(1448, 1448), Err(Refused::Gap));
    // After a completion that never came, two that follow each other are right.
    assert_eq!(claim(3000, 96), Err(Refused::Gap));
    assert_eq!(claim(3096, 1000), Ok(()));
    let mut fill = Fill::UNKNOWN;
    assert_eq!(fill.claim(3, 1448, 100), Err(Refused::Gap));
    assert_eq!(fill.claim(3, 1548, 100), Ok(()));
}

/// Data that are said to be another flow's are refused, and their owner has lost them.
#[test]
fn a_page_has_one_owner() {
    let mut fill = Fill::EMPTY;
    assert_eq!(fill.claim(3, 0, 1448), Ok(()));
    assert_eq!(fill.claim(4, 1448, 1448), Err(Refused::Owner(3)));
    assert_eq!(fill.claim(FLOW_NONE, 1448, 1448), Err(Refused::Owner(3)));
    assert_eq!(fill.claim(3, 2896, 1000), Err(Refused::Gap));
    assert_eq!(fill.claim(3, 3896, 200), Ok(()));
    let mut fill = Fill::UNKNOWN;
    assert_eq!(fill.claim(FLOW_NONE, 1448, 100), Err(Refused::Gap));
    assert_eq!(fill.claim(3, 1548, 100), Err(Refused::Owner(FLOW_NONE)));
}

/// Whatever fails, the device is not left with less than a packet takes while more is posted.
#[test]
fn the_device_hears_of_pages_that_it_may_need() {
    assert!(is_doorbell_due(8, 100, 8, 8, false));
    assert!(!is_doorbell_due(7, 100, 8, 8, false));
    // Five were posted before memory ran out; the device has two.
    assert!(is_doorbell_due(5, 7, 8, 8, true));
    assert!(is_doorbell_due(5, 7, 8, 8, false));
    assert!(is_doorbell_due(1, 100, 8, 8, true));
    assert!(!is_doorbell_due(0, 2, 8, 8, true));
}
