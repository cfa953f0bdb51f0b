// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Assembler of the parser programs.
//!
//! [`reflow_hwdef::isa`] describes the instructions; this is their text form. A line is an
//! instruction or one of the lines listed last; a comment begins with `#`.
//!
//! ```text
//! [LABEL:] [at N [& MASK] [if COMPARISON]] [do OUTPUT] [-> LABEL] [adv N] [else -> LABEL [adv N]]
//! ```
//!
//! * `at N` loads the word N bytes behind the cursor; without it nothing is loaded, and the word is
//!   0.
//! * `& MASK` and `if == V`, `if != V`, `if < V`, `if > V` compare; without `if` the instruction
//!   succeeds.
//! * `do OUTPUT` is done on success. `word` is the whole word, regardless of the mask.
//! * `-> LABEL` is the next instruction on success, `else -> LABEL` on failure. Besides labels
//!   there are `next` (the default on success), `done` (the packet conforms) and `refuse` (no
//!   assist; the default on failure).
//! * `adv N` moves the cursor on that branch; on success also by the register, `adv r` or
//!   `adv N + r`.
//!
//! | output | |
//! | --- | --- |
//! | `key N at O` | append N bytes (1 to 16), O bytes behind the cursor, to the flow key |
//! | `kind K \| K…` | the packet is `ipv4`, `ipv6`, `tcp`, `udp`, `fragment`, `tunnel` |
//! | `l3`, `l4` | the IP header, the transport header starts at the cursor |
//! | `end word + N` | the IP packet ends so many bytes behind the start of its header |
//! | `seq at O`, `tcp_flags at O` | the TCP sequence number, the flags |
//! | `hdr_end (word & MASK) >> S` | the headers end so many bytes behind the cursor |
//! | `hdr_end` | the headers end at the cursor |
//! | `set_r (word & MASK) >> S` | set the register; also `<< S`, or no shift |
//! | `vlan` | the word is the control information of a VLAN tag |
//! | `session N length B at O` | session headers of N bytes, with a length in B bytes at O |
//! | `key_clear` | clear key and kind, which belong to an outer header |
//!
//! Other lines:
//!
//! * `program NAME` names the parser program; the default is the name of the file. In an included
//!   file it is ignored.
//! * `const NAME = VALUE` names a number, for use in the lines below it. Numbers are written `42`,
//!   `0x2a` or `0b10_1010`.
//! * `include "FILE"` inserts the lines of another file in the same folder.
//! * `replace LABEL` replaces the instruction with that label by the lines up to `end`, one of
//!   which should have the label.
//! * `raw W W W W` is an instruction by its words, for encodings without a text form.
//!
//! A parser program is verified once it is assembled, as driver and device do before they run it.

#![forbid(unsafe_code)]

mod assemble;
mod diag;
pub mod explain;
mod image;
pub mod input;
mod parse;
pub mod rust;
pub mod text;
mod token;

pub use assemble::{assemble, Assembled, Assembly, Reader};
pub use diag::{Error, Errors, Origin};
pub use image::image;
