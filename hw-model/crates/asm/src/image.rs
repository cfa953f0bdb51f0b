// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Firmware images.

use crate::assemble::Assembly;
use reflow_hwdef::image;

/// The program as a firmware image; `None` if its name is not allowed in one.
#[must_use]
pub fn image(program: &Assembly) -> Option<Vec<u8>> {
    let words = program.words();
    let mut out = image::header(&program.name, &words)?.to_vec();
    out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    Some(out)
}
