// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Interrupts and deadlines.

mod deadlines;
mod moderation;
mod napi;
mod wake_ups;
