// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Nothing is lost uncounted, and nothing breaks the device: registers, faults, a hostile guest.

mod accounting;
mod chaos;
mod hostile;
mod registers;
mod spec;
