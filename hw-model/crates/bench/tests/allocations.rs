// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Once it runs, the device allocates nothing per packet.

use reflow_bench::Rig;
use stats_alloc::{Region, StatsAlloc, INSTRUMENTED_SYSTEM};
use std::alloc::System;
use std::hint::black_box;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Batches until all of the device's memory has the size that it keeps, and batches that count.
const WARM_UP: usize = 40;
const BATCHES: usize = 40;

fn allocations(mut what: impl FnMut()) -> usize {
    let region = Region::new(GLOBAL);
    what();
    let stats = region.change();
    stats.allocations + stats.reallocations
}

// One test, so that no other one allocates at the same time.
#[test]
fn packets_need_no_allocation() {
    assert_eq!(
        allocations(|| drop(black_box(Box::new(7)))),
        1,
        "it would be seen"
    );
    for payload in [64, 1448] {
        for flows in [1, 64, 1000] {
            let mut rig = Rig::new(flows, payload);
            for _ in 0..WARM_UP {
                rig.batch();
            }
            let count = allocations(|| {
                for _ in 0..BATCHES {
                    rig.batch();
                }
            });
            assert_eq!(count, 0, "{flows} flows of {payload} bytes a packet");
        }
    }
}
