// SPDX-License-Identifier: GPL-2.0

//! Header split (`tcp-data-split`, `hds-thresh`) and `rx-copybreak`.
//!
//! Merging needs the split: unless the user sets it, it is on for packets that may be merged.

use crate::{
    net::ethtool::split::{
        Copybreak,
        Operations,
        Split, //
    },
    nic::{
        Nic,
        MAX_FRAME, //
    },
    sizes::CELL_SIZE,
    tuning::{
        Number,
        Switch, //
    }, //
};
use kernel::prelude::*;

impl Operations for Nic<'_> {
    const THRESHOLD_MAX: u32 = MAX_FRAME;

    fn splits_unasked(&self) -> bool {
        self.tuning.is(Switch::Merge)
    }

    fn set_split(&self, split: Split, threshold: u32) -> Option<&'static CStr> {
        let merging = self.tuning.is(Switch::Merge);
        self.tuning.set_number(Number::SplitThreshold, threshold);
        self.tuning.set(Switch::KeepWhole, split == Split::Off);
        self.tuning.set(Switch::SplitAll, split == Split::On);
        (merging && split == Split::Off).then_some(
            c"rx-gro-hw is off while tcp-data-split is: it needs headers apart from data",
        )
    }
}

impl Copybreak for Nic<'_> {
    const COPYBREAK_MAX: u32 = CELL_SIZE;

    fn copybreak(&self) -> u32 {
        self.tuning.number(Number::SmallMax)
    }

    fn set_copybreak(&self, to: u32) {
        self.tuning.set_number(Number::SmallMax, to);
    }
}
