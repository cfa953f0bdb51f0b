// SPDX-License-Identifier: GPL-2.0

//! The self-test of the device. It does not disturb traffic.

use crate::{
    hw::cmd::TestFailures,
    net::ethtool::selftest::Operations,
    nic::Nic, //
};
use kernel::prelude::*;

/// The result of a test that the device did not answer.
const NO_ANSWER: u64 = u64::MAX;

impl Operations for Nic<'_> {
    const TESTS: &'static [&'static str] = &[
        "command ring",
        "parser",
        "hash",
        "packet memory",
        "flow database",
        "clock",
    ];

    fn self_test(&self, results: &mut [u64]) {
        let found = |failed: fn(TestFailures) -> u32| match self.cmd.self_test() {
            Ok(failures) => failed(failures).into(),
            Err(_) => NO_ANSWER,
        };
        let clock = || -> Result<bool> { Ok(self.cmd.clock_get()? < self.cmd.clock_get()?) };
        let tests = [
            if self.cmd.nop().is_ok() { 0 } else { NO_ANSWER },
            found(|f| f.parser()),
            found(|f| f.hash()),
            found(|f| f.packet_memory()),
            found(|f| f.flow_database()),
            clock().map_or(NO_ANSWER, |runs| u64::from(!runs)),
        ];
        for (result, test) in results.iter_mut().zip(tests) {
            *result = test;
        }
    }
}
