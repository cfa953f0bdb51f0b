// SPDX-License-Identifier: GPL-2.0

//! Counters that a device keeps in registers that a read clears.
//!
//! Wraps nothing of C. The registers are read with the instance lock held and summed up; the sums
//! are read in any context.
//!
//! ```
//! totals! {
//!     CrcErrors = 0x4000, "rx_crc_errors";
//!     RxBytes = 0x4088 wide, "rx_bytes";
//! }
//!
//! /// Bytes received since the device was probed.
//! fn rx_bytes(totals: &Totals, registers: impl Fn(usize) -> u32) -> u64 {
//!     totals.update(registers);
//!     totals.get(Count::RxBytes)
//! }
//! ```

/// Defines the counters of a device, `Count`, and their sums, `Totals`, from the offset of each
/// register and its name in `ethtool -S`. The high half of a `wide` one is in the next register,
/// and reading that clears both.
macro_rules! totals {
    ($( $variant:ident = $offset:literal $($wide:ident)?, $name:literal; )*) => {
        /// A counter of the device.
        #[derive(Clone, Copy)]
        #[allow(dead_code)]
        pub(crate) enum Count { $( $variant, )* }

        impl Count {
            /// Offset of each, whether it is wide, and its name.
            const ALL: &'static [(usize, bool, &'static str)] = &[
                $( ($offset, false $( || stringify!($wide).len() == 4 )?, $name), )*
            ];
        }

        /// Sums of the counters of the device.
        #[derive(Default)]
        pub(crate) struct Totals([$crate::net::stats::Counter; Count::ALL.len()]);

        impl Totals {
            /// Adds the counts since the last update. `read` reads the register at an offset. The
            /// instance lock is held.
            pub(crate) fn update(&self, read: impl Fn(usize) -> u32) {
                for (total, &(at, wide, _)) in self.0.iter().zip(Count::ALL) {
                    let low = u64::from(read(at));
                    let high = if wide { u64::from(read(at + 4)) << 32 } else { 0 };
                    total.add(low | high);
                }
            }

            /// A counter as of the last update. Any context.
            pub(crate) fn get(&self, which: Count) -> u64 {
                self.0.get(which as usize).map_or(0, |total| total.read())
            }

            /// Shows each counter's name and value.
            pub(crate) fn visit(&self, mut f: impl FnMut(&'static str, u64)) {
                for (total, (_, _, name)) in self.0.iter().zip(Count::ALL) {
                    f(name, total.read());
                }
            }
        }
    };
}
pub(crate) use totals;
