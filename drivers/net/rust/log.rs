// SPDX-License-Identifier: GPL-2.0

//! Messages in the kernel log about a network device.
//!
//! Wraps `netdev_printk()` and `net_ratelimit()`.
//!
//! They name the driver, the bus device and the interface, as `netdev_err()` does in C: `driver
//! 0000:00:03.0 eth0: link up`. A device that is not registered yet is called `(unnamed net_device)
//! (uninitialized)`.
//!
//! The macros take a [`Device`], then the arguments of `fmt!`, with a newline at the end. They can
//! be used in any context. Use those that end in `_ratelimited` for messages that a user, the wire
//! or a broken device can cause any number of times: they share the rate limit of the networking
//! core.
//!
//! ```
//! fn stuck(dev: &Device, queue: u32) {
//!     netdev_warn_ratelimited!(dev, "queue {queue} is stuck\n");
//! }
//! ```

use super::{
    bindings,
    device::Device, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// Level of a message.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    /// Something does not work.
    Err,
    /// Something is wrong, and the device keeps working.
    Warn,
    /// A change of state.
    Info,
}

impl Level {
    fn prefix(self) -> &'static CStr {
        let level: &[u8] = match self {
            Self::Err => kernel::bindings::KERN_ERR,
            Self::Warn => kernel::bindings::KERN_WARNING,
            Self::Info => kernel::bindings::KERN_INFO,
        };
        CStr::from_bytes_with_nul(level).unwrap_or(c"")
    }
}

impl Device {
    /// Prints a message about this device. For the macros of [`log`](self).
    pub(crate) fn print(&self, level: Level, text: fmt::Arguments<'_>) {
        bindings::netdev_print(self.as_opaque(), level.prefix().into(), &text);
    }
}

/// Whether one more message may be printed now. Any context.
pub(crate) fn may_print() -> bool {
    bindings::may_print()
}

/// Prints a message of level error about a [`Device`].
macro_rules! netdev_err {
    ($dev:expr, $($f:tt)*) => {
        $dev.print($crate::net::log::Level::Err, ::kernel::prelude::fmt!($($f)*))
    };
}

/// Prints a message of level warning about a [`Device`].
macro_rules! netdev_warn {
    ($dev:expr, $($f:tt)*) => {
        $dev.print($crate::net::log::Level::Warn, ::kernel::prelude::fmt!($($f)*))
    };
}

/// Prints a message of level info about a [`Device`].
macro_rules! netdev_info {
    ($dev:expr, $($f:tt)*) => {
        $dev.print($crate::net::log::Level::Info, ::kernel::prelude::fmt!($($f)*))
    };
}

/// As [`netdev_err!`], but not too often.
macro_rules! netdev_err_ratelimited {
    ($dev:expr, $($f:tt)*) => {
        if $crate::net::log::may_print() {
            $crate::net::log::netdev_err!($dev, $($f)*);
        }
    };
}

/// As [`netdev_warn!`], but not too often.
macro_rules! netdev_warn_ratelimited {
    ($dev:expr, $($f:tt)*) => {
        if $crate::net::log::may_print() {
            $crate::net::log::netdev_warn!($dev, $($f)*);
        }
    };
}

pub(crate) use netdev_err;
pub(crate) use netdev_err_ratelimited;
pub(crate) use netdev_info;
pub(crate) use netdev_warn;
pub(crate) use netdev_warn_ratelimited;
