// SPDX-License-Identifier: GPL-2.0

//! Self-test of the device, `ethtool -t`.
//!
//! Wraps `ethtool_ops.self_test`. Process context with the instance lock held.
//!
//! ```
//! struct Nic;
//!
//! impl Operations for Nic {
//!     const TESTS: &'static [&'static str] = &["registers"];
//!
//!     fn self_test(&self, results: &mut [u64]) {
//!         if let [registers] = results {
//!             *registers = self.broken_registers();
//!         }
//!     }
//! }
//! # driver!(Nic, Parts::new().selftest());
//! # impl Nic {
//! #     fn broken_registers(&self) -> u64 { 0 }
//! # }
//! ```

use crate::net::{
    bindings,
    callback::{
        callbacks,
        Handle, //
    },
    device, //
};
use core::marker::PhantomData;

/// The part of a driver that tests its device.
pub(crate) trait Operations {
    /// Names of the tests, each shorter than 32 bytes; results have the same order.
    const TESTS: &'static [&'static str];

    /// Tests the device, which stays at work; may sleep. A result of 0 means success, any other
    /// value describes the error.
    fn self_test(&self, results: &mut [u64]);
}

/// The callback for a driver.
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `ethtool_ops.self_test`.
        pub(in crate::net) fn self_test(
            handle: Handle<'_, T>,
            test: &mut bindings::ethtool_test,
            data: *mut u64,
        ) {
            // SAFETY: The core made room for as many results as it was told of tests, which is a
            // constant.
            let results = unsafe { core::slice::from_raw_parts_mut(data, T::TESTS.len()) };
            results.fill(0);
            handle.ops().self_test(results);
            if results.iter().any(|&result| result != 0) {
                test.flags |= bindings::ethtool_test_flags_ETH_TEST_FL_FAILED;
            }
        }
    }
}
