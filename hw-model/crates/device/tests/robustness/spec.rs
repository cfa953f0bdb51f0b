// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hostile mode: faults that are replaced, and that outlive a reset.

use crate::chaos::{completions_of, rig, tally, SEED};
use reflow_device::chaos::Tally;
use reflow_device::Host;
use reflow_hwdef::regs::{CTRL, MAGIC, MAGIC_VALUE, RESET};
use reflow_testkit::Rig;

/// Faults can be replaced and ended while the device runs.
#[test]
fn faults_are_replaced() {
    let mut rig = rig("lost=1", SEED);
    completions_of(&mut rig, 3);
    rig.dev.set_chaos(&"lost=1,after=1".parse().unwrap());
    assert_eq!(tally(&rig, "lost"), Tally::default());
    completions_of(&mut rig, 2);
    assert_eq!(tally(&rig, "lost").strikes, 1);
    assert_eq!(rig.dev.chaos_spec().to_string(), "lost=1,after=1");
    rig.dev.set_chaos(&"removed".parse().unwrap());
    rig.pump();
    assert_eq!(rig.read(MAGIC), u32::MAX);
    rig.dev.set_chaos(&Default::default());
    assert_eq!((rig.read(MAGIC), rig.read(CTRL)), (MAGIC_VALUE, 0));
    assert!(rig.dev.injections().is_empty());
}

/// Faults outlive a reset of the device, and so do their counts.
#[test]
fn faults_survive_a_reset() {
    let mut rig = rig("lost=1", SEED);
    completions_of(&mut rig, 3);
    rig.write(RESET, 1);
    assert_eq!(tally(&rig, "lost").strikes, 3);
    let addr = rig.host.alloc(8);
    rig.host.write(addr, &[0; 8]).unwrap();
    assert!(Rig::usual().dev.injections().is_empty());
}
