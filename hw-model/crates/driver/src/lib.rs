// SPDX-License-Identifier: GPL-2.0

//! The pure logic of the drivers, tested on the host.
//!
//! This crate has no source of its own: it compiles those files of the drivers that need no kernel.

#![no_std]
#![forbid(unsafe_code)]
// The module uses what only tests use here, so there is nothing to expect under test.
#![allow(dead_code)]

#[cfg(test)]
extern crate std;

mod hw {
    pub(crate) use reflow_hwdef::*;
}

#[path = "../../../../drivers/net/ethernet/reflow/rx/choice.rs"]
mod choice;
#[path = "../../../../drivers/net/ethernet/reflow/rx/decode.rs"]
mod decode;
#[path = "../../../../drivers/net/ethernet/reflow/rx/headers.rs"]
mod headers;
#[path = "../../../../drivers/net/ethernet/igb_rs/desc.rs"]
mod igb_desc;
#[path = "../../../../drivers/net/ethernet/reflow/debugfs/key.rs"]
mod key;
#[path = "../../../../drivers/net/ethernet/reflow/steering/location.rs"]
mod location;
#[path = "../../../../drivers/net/ethernet/reflow/rx/order.rs"]
mod order;
#[path = "../../../../drivers/net/ethernet/reflow/health/pauses.rs"]
mod pauses;
#[path = "../../../../drivers/net/ethernet/reflow/tx/progress.rs"]
mod progress;
#[path = "../../../../drivers/net/ethernet/reflow/red.rs"]
mod red;
#[path = "../../../../drivers/net/ethernet/reflow/sizes.rs"]
mod sizes;
#[path = "../../../../drivers/net/ethernet/reflow/tcb/strikes.rs"]
mod strikes;
#[path = "../../../../drivers/net/ethernet/reflow/tx/wire.rs"]
mod wire;

#[cfg(test)]
mod igb_desc_test;
#[cfg(test)]
mod resegment;
