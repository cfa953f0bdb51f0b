// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Assembler of the parser programs.
//!
//! [`reflow_hwdef::isa`] describes the instructions; this is how one is
//! written. A line is an instruction or one of a few others; a comment begins with `#`.
//!
//! ```text
//! [LABEL:] [at N [& MASK] [if COMPARISON]] [do OUTPUT] [-> LABEL] [adv N] [else -> LABEL [adv N]]
//! ```
//!
//! * `at N` loads the word N bytes behind the cursor; without it nothing is loaded, and the word is
//!   0.
//! * `& MASK` and `if == V`, `if != V`, `if < V`, `if > V` compare; without `if` the instruction
//!   succeeds.
//! * `do OUTPUT` is done on success. `word` stands for the whole word, whatever the mask.
//! * `-> LABEL` is where to go on success, `else -> LABEL` on failure. Besides labels there are
//!   `next`, which is also what is meant where nothing is said on success, `done` (the packet
//!   conforms) and `refuse` (no assist), which is meant where nothing is said on failure.
//! * `adv N` moves the cursor on that way; on success also by the register, `adv r` or `adv N + r`.
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
//! | `key_clear` | key and kind belong to an outer header: start both anew |
//!
//! Other lines:
//!
//! * `program NAME` names the parser program; else the file does. An included file's does not
//!   count.
//! * `const NAME = VALUE` names a number, for use in the lines below it. Numbers are written `42`,
//!   `0x2a` or `0b10_1010`.
//! * `include "FILE"` stands for the lines of another file, in the folder of this one.
//! * `replace LABEL` takes the instruction of that label out; the lines from there to `end` take
//!   its place, and one of them should have its label.
//! * `raw W W W W` is an instruction by its words, for what text cannot say.
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
