// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Merging: which packets form an aggregate, with which operation code each is transferred, where
//! its bytes go, and in which order they reach the host.

mod gather;
mod header_split;
mod hints;
mod opcodes;
mod order;
mod pages;
mod rules;
mod session;
mod storage;
