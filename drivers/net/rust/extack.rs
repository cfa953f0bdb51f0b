// SPDX-License-Identifier: GPL-2.0

//! Messages to the user for a netlink request.
//!
//! Wraps `struct netlink_ext_ack`. Used in the context of its request, by one thread.
//!
//! ```
//! fn check_mtu(mtu: u32, max: u32, ack: &mut Extack<'_>) -> Result {
//!     if mtu > max {
//!         ack.say_fmt(fmt!("the MTU must be {max} at most"));
//!         return Err(EINVAL);
//!     }
//!     Ok(())
//! }
//! ```

use super::bindings;
use kernel::{
    fmt,
    fmt::Write,
    prelude::*,
    str::Formatter, //
};

/// The extended acknowledgment of a netlink request. Messages of requests that came another way are
/// discarded.
pub(crate) struct Extack<'a>(Option<&'a mut bindings::netlink_ext_ack>);

impl Extack<'_> {
    /// # Safety
    ///
    /// `ack` is null, or valid and not used by others for as long as the object lives.
    pub(super) unsafe fn from_raw(ack: *mut bindings::netlink_ext_ack) -> Self {
        // SAFETY: By the safety requirement.
        Self(unsafe { ack.as_mut() })
    }

    /// Discards all messages.
    pub(super) fn nowhere() -> Self {
        Self(None)
    }

    /// Sets the message of the request: one sentence, which the user's tool prints.
    pub(crate) fn say(&mut self, text: &'static CStr) {
        if let Some(ack) = &mut self.0 {
            ack._msg = text.as_char_ptr();
        }
    }

    /// As [`Self::say`], formatted and truncated to less than 80 bytes.
    pub(crate) fn say_fmt(&mut self, text: fmt::Arguments<'_>) {
        let Some(ack) = &mut self.0 else {
            return;
        };
        ack._msg_buf.fill(0);
        let room = ack._msg_buf.len() - 1;
        if let Some(out) = ack._msg_buf.get_mut(..room) {
            // Truncate a text that exceeds the buffer.
            let _ = Formatter::new(out).write_fmt(text);
        }
        ack._msg = ack._msg_buf.as_ptr();
    }
}

/// A refusal: the error number, and a message for the user.
pub(crate) struct Refused {
    code: Error,
    why: &'static CStr,
}

impl Refused {
    /// A refusal with an error number and a message: the cause and the remedy.
    pub(crate) const fn new(code: Error, why: &'static CStr) -> Self {
        Self { code, why }
    }

    /// Sets the message, and returns the error number.
    pub(super) fn tell(self, extack: &mut Extack<'_>) -> Error {
        extack.say(self.why);
        self.code
    }
}
