// SPDX-License-Identifier: GPL-2.0

//! `ethtool -n` and `-N`: steering rules, see [`steering`](crate::steering).

use crate::{
    hw::cmd::RULE_MAX,
    net::{
        ethtool::rxnfc::{
            Operations,
            Place,
            Rule,
            Spec, //
        },
        Device, //
    },
    nic::Nic, //
};
use kernel::prelude::*;

impl Operations for Nic<'_> {
    const RULES: u32 = RULE_MAX as u32;

    fn rule_locations(&self, each: &mut dyn FnMut(u32)) {
        self.steering.rule_locations(each);
    }

    fn rule(&self, location: u32) -> Option<Spec> {
        self.steering.rule(location)
    }

    fn set_rule(&self, dev: &Device, place: Place, rule: &Rule, spec: &Spec) -> Result<u32> {
        self.steering
            .set_rule(dev, &self.cmd, &self.tcbs, place, (rule, spec))
    }

    fn remove_rule(&self, location: u32) -> Result {
        self.steering.remove_rule(&self.cmd, &self.tcbs, location)
    }
}
