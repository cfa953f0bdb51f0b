// SPDX-License-Identifier: GPL-2.0

//! Values in sysfs.
//!
//! Registers are read at each look. That is slow and no part of the data path. A device that has
//! gone is an error, not a value.

use crate::{
    hw::{
        layout::Reg,
        opcode::Opcode,
        regs::{
            self,
            reg, //
        },
        stats::Global, //
    },
    net::sysfs::{
        Attribute,
        Operations,
        Page, //
    },
    nic::Nic, //
};
use core::fmt::Write;
use kernel::prelude::*;

/// The value that a file shows.
#[derive(Clone, Copy)]
enum Value {
    /// A register.
    Register(Reg<regs::Global, u32>),
    /// Highest level of the packet memory.
    PmHigh,
    /// Entries of the flow database.
    FlowEntries,
    /// Those that are in use.
    FlowsUsed,
    /// Packets of an operation code.
    Opcode(Opcode),
    /// Name of the parser program at work.
    ParserProgram,
    /// Its checksum.
    ParserCrc,
    /// Its length in instructions.
    ParserLength,
    /// Lowest level of a band of random early discard, in bytes.
    RedLow(usize),
    /// Level at which it ends.
    RedHigh(usize),
    /// Its probability in 1/65536.
    RedProbability(usize),
    /// Packets discarded in it.
    RedDrops(Global),
}

/// Makes the table of files, once for the core and once for ourselves.
macro_rules! files {
    ( $( $name:literal $(($writable:ident))?: $value:expr; )* ) => {
        const FILES: &[Attribute] = &[ $(
            Attribute { name: $name, writable: files!(@ $($writable)?) },
        )* ];
        const VALUES: &[Value] = &[ $( $value, )* ];
    };
    (@ writable) => { true };
    (@) => { false };
}

files! {
    c"pm_size": Value::Register(reg::PM_SIZE);
    c"pm_level": Value::Register(reg::PM_LEVEL);
    c"pm_high"(writable): Value::PmHigh;
    c"flow_entries": Value::FlowEntries;
    c"flows_used": Value::FlowsUsed;
    c"parser_program": Value::ParserProgram;
    c"parser_crc": Value::ParserCrc;
    c"parser_length": Value::ParserLength;
    c"op_no_assist": Value::Opcode(Opcode::NoAssist);
    c"op_no_data": Value::Opcode(Opcode::NoData);
    c"op_control": Value::Opcode(Opcode::Control);
    c"op_small": Value::Opcode(Opcode::Small);
    c"op_out_of_order": Value::Opcode(Opcode::OutOfOrder);
    c"op_start": Value::Opcode(Opcode::Start);
    c"op_append": Value::Opcode(Opcode::Append);
    c"op_append_close": Value::Opcode(Opcode::AppendClose);
    c"op_close_start": Value::Opcode(Opcode::CloseStart);
    c"op_placed": Value::Opcode(Opcode::Placed);
    c"red_band0_low": Value::RedLow(0);
    c"red_band0_high": Value::RedHigh(0);
    c"red_band0_probability": Value::RedProbability(0);
    c"red_band0_drops": Value::RedDrops(Global::RxRed0);
    c"red_band1_low": Value::RedLow(1);
    c"red_band1_high": Value::RedHigh(1);
    c"red_band1_probability": Value::RedProbability(1);
    c"red_band1_drops": Value::RedDrops(Global::RxRed1);
    c"red_band2_low": Value::RedLow(2);
    c"red_band2_high": Value::RedHigh(2);
    c"red_band2_probability": Value::RedProbability(2);
    c"red_band2_drops": Value::RedDrops(Global::RxRed2);
    c"red_band3_low": Value::RedLow(3);
    c"red_band3_high": Value::RedHigh(3);
    c"red_band3_probability": Value::RedProbability(3);
    c"red_band3_drops": Value::RedDrops(Global::RxRed3);
}

/// Index of an operation code's counter in the statistics block.
const fn opcode_counter(code: Opcode) -> usize {
    Global::OpNoAssist as usize + code as usize
}

impl Operations for Nic<'_> {
    const FOLDER: &'static CStr = c"reflow";
    const ATTRIBUTES: &'static [Attribute] = FILES;

    fn show(&self, index: usize, out: &mut Page<'_>) -> Result {
        self.mmio.present()?;
        match VALUES.get(index).copied().ok_or(EINVAL)? {
            Value::Register(reg) => write!(out, "{}", self.mmio.read(reg))?,
            Value::PmHigh => write!(out, "{}", self.mmio.read(reg::PM_HIGH))?,
            Value::FlowEntries => write!(out, "{}", self.flows())?,
            Value::FlowsUsed => {
                let mut used = 0_usize;
                self.cmd.each_flow(|_| {
                    used += 1;
                    Ok(())
                })?;
                write!(out, "{used}")?;
            }
            Value::Opcode(code) => write!(out, "{}", self.hw.global_at(opcode_counter(code)))?,
            Value::ParserProgram => out.write_str(self.parser.name().as_str())?,
            Value::ParserCrc => write!(out, "{:08x}", self.parser.crc())?,
            Value::ParserLength => write!(out, "{}", self.parser.len())?,
            Value::RedLow(band) => write!(out, "{}", self.tuning.red(band).low())?,
            Value::RedHigh(band) => write!(out, "{}", self.tuning.red(band).high())?,
            Value::RedProbability(band) => {
                write!(out, "{}", self.tuning.red(band).probability())?;
            }
            Value::RedDrops(counter) => write!(out, "{}", self.hw.global(counter))?,
        }
        Ok(())
    }

    fn store(&self, index: usize, _text: &str) -> Result {
        match VALUES.get(index) {
            // Any write resets the highest level to the current one.
            Some(Value::PmHigh) => {
                self.mmio.write(reg::PM_HIGH, 0);
                Ok(())
            }
            _ => Err(EPERM),
        }
    }
}
