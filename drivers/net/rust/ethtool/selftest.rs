// SPDX-License-Identifier: GPL-2.0

//! The device's test of itself, `ethtool -t`.

use super::super::{
    bindings,
    device::ops_of, //
};
use core::marker::PhantomData;

/// The part of a driver that tests its device.
pub(crate) trait Operations {
    /// Names of the tests, each shorter than 32 bytes.
    const TESTS: &'static [&'static str];

    /// Tests the device, which goes on working; may sleep. A result is 0 for what is in order, and
    /// tells what is wrong otherwise.
    fn self_test(&self, results: &mut [u64]);
}

/// The callback for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: super::super::device::Operations> Adapter<T> {
    /// # Safety
    ///
    /// `ethtool_ops.self_test`: `data` has room for as many results as there are tests.
    pub(super) unsafe extern "C" fn self_test(
        dev: *mut bindings::net_device,
        test: *mut bindings::ethtool_test,
        data: *mut u64,
    ) {
        // SAFETY: The core passes a device of ours, a structure to complete, and as much room as
        // it was told of tests.
        let (ops, test, results) = unsafe {
            (
                ops_of::<T>(dev),
                &mut *test,
                core::slice::from_raw_parts_mut(data, T::TESTS.len()),
            )
        };
        results.fill(0);
        ops.self_test(results);
        if results.iter().any(|&result| result != 0) {
            test.flags |= bindings::ethtool_test_flags_ETH_TEST_FL_FAILED;
        }
    }
}
