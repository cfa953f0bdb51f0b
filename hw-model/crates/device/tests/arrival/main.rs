// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A frame on its way into the packet memory: parser, flow database, choice of a queue, random
//! early discard.

mod early_discard;
mod flows;
mod parser;
mod set_up;
mod steering;
