// SPDX-License-Identifier: GPL-2.0

//! Loading the header parser's program.

use crate::{
    hw::{
        programs::Program,
        regs::{
            self,
            ParserStatus, //
        },
        verify, //
    },
    mmio::Mmio, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*, //
};

/// Verifies a program and puts it to work. The device changes over between two packets.
///
/// # Errors
///
/// [`EINVAL`] if the program is refused, by the verifier here or by the device; the old one
/// goes on.
pub(crate) fn load(dev: &device::Device<Bound>, mmio: &Mmio<'_>, program: &Program) -> Result {
    if let Err(r) = verify::verify(program.words) {
        dev_err!(
            dev,
            "parser program \"{}\" refused at instruction {}: {}\n",
            program.name,
            r.at,
            r.reason.text()
        );
        return Err(EINVAL);
    }
    for (i, &word) in program.words.iter().enumerate() {
        mmio.write_at(regs::PARSER_RAM, i, word);
    }
    let len = program.words.len() / crate::hw::isa::INSTR_WORDS;
    mmio.write(regs::PARSER_COMMIT, u32::try_from(len)?);
    let status = ParserStatus(mmio.read(regs::PARSER_STATUS));
    if status.error() != 0 || status.len() != u32::try_from(len)? {
        dev_err!(
            dev,
            "device refused parser program \"{}\" at instruction {}, code {}\n",
            program.name,
            status.at(),
            status.error()
        );
        return Err(EINVAL);
    }
    Ok(())
}
