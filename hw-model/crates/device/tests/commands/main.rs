// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command ring, and the control blocks that are set by it.

mod blocks;
mod joining;
mod placing;
mod ring;
