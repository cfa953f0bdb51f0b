// SPDX-License-Identifier: GPL-2.0

//! What the flow machinery of the device is set to do. The one place that writes FLOW_CFG.
//!
//! A switch says what somebody wants, not what the device is told: [`compose`] makes the register
//! of all of them.

use crate::{
    hw::regs::{
        self,
        FlowCfg, //
    },
    mmio::Mmio, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Something that the flow machinery does or does not.
#[derive(Clone, Copy)]
pub(crate) enum Switch {
    /// Learn flows and merge their packets.
    Merge,
    /// Leave the headers of appended packets out; else each is in a header cell.
    Suppress,
    /// Start each aggregate on a fresh page.
    FreshPages,
    /// Split headers from data where there is no flow, too.
    SplitAll,
    /// Start the data of each session PDU on a fresh page.
    AlignPdus,
}

impl Switch {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// What is on from the start.
const DEFAULT: u32 = Switch::Suppress.bit();

/// What the device is to be told.
fn compose(on: u32) -> FlowCfg {
    let is = |s: Switch| u32::from(on & s.bit() != 0);
    let merge = is(Switch::Merge);
    FlowCfg(0)
        .with_reassembly(merge)
        .with_batching(merge)
        .with_suppress(merge & is(Switch::Suppress))
        .with_fresh_page(is(Switch::FreshPages))
        .with_split_all(is(Switch::SplitAll))
        .with_session(is(Switch::AlignPdus))
}

/// The settings of the flow machinery.
pub(crate) struct Tuning<'bound> {
    mmio: Arc<Mmio<'bound>>,
    /// The switches that are on, as bits.
    on: Pin<KBox<Mutex<u32>>>,
}

impl<'bound> Tuning<'bound> {
    /// Settings for a device that has been reset. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>) -> Result<Self> {
        Ok(Self {
            mmio: mmio.clone(),
            on: KBox::pin_init(new_mutex!(DEFAULT), GFP_KERNEL)?,
        })
    }

    /// Whether `switch` is on. May sleep.
    pub(crate) fn is(&self, switch: Switch) -> bool {
        *self.on.lock() & switch.bit() != 0
    }

    /// Turns `switch` on or off. May sleep.
    ///
    /// It takes effect between two packets, and while an aggregate is open: who reads completions
    /// goes by what they say, not by the switch.
    pub(crate) fn set(&self, switch: Switch, to: bool) {
        let mut on = self.on.lock();
        if to {
            *on |= switch.bit();
        } else {
            *on &= !switch.bit();
        }
        self.mmio.write(regs::FLOW_CFG, compose(*on).0);
    }
}
