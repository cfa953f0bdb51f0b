// SPDX-License-Identifier: GPL-2.0

//! What can be seen of the device from outside: values in sysfs, tables in debugfs.
//!
//! Registers are read as they are asked for. That is slow and no part of the data path. A device
//! that has gone is an error, not a value.

mod key;

use crate::{
    cmd,
    hw::{
        layout::Reg,
        opcode::Opcode,
        regs::{
            self,
            reg, //
        },
        stats::Global, //
    },
    net::{
        debugfs::{
            self,
            Table, //
        },
        sysfs::{
            self,
            Attribute,
            Page, //
        }, //
    },
    nic::Nic,
    tcb::Owner, //
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// What a file of sysfs tells.
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

/// Place of an operation code's counter in the statistics block.
const fn opcode_counter(code: Opcode) -> usize {
    Global::OpNoAssist as usize + code as usize
}

impl Nic<'_> {
    /// Calls `f` for each flow that the device knows, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the device or `f` says.
    fn each_flow(&self, mut f: impl FnMut(&cmd::Flow) -> Result) -> Result {
        let mut from = Some(0);
        let mut some = KVec::new();
        while let Some(start) = from {
            from = self.cmd.flow_dump(start, &mut some)?;
            some.drain_all().try_for_each(|flow| f(&flow))?;
        }
        Ok(())
    }

    fn flow_table(&self, out: &mut Table<'_>) -> Result {
        out.write_str("flow queue state expected idle_us vlan source destination\n")?;
        self.each_flow(|flow| {
            let head = flow.head;
            write!(out, "{} {} ", head.flow(), head.queue())?;
            let states = [
                (head.open(), "open"),
                (head.busy(), "waiting"),
                (head.tcb(), "pinned"),
            ];
            write_words(out, &states)?;
            write!(out, " {} {} ", flow.expected, flow.idle)?;
            match head.vlan() {
                0 => out.write_str("-")?,
                _ => write!(out, "{}", head.vlan_tci())?,
            }
            out.write_str(" ")?;
            write_key(out, &flow.key, head.key_len(), head.v6())?;
            Ok(out.write_str("\n")?)
        })
    }

    fn tcb_table(&self, out: &mut Table<'_>) -> Result {
        out.write_str(
            "flow queue state mode expected applied not_applied placed source destination owner\n",
        )?;
        self.each_flow(|flow| {
            if flow.head.tcb() == 0 {
                return Ok(());
            }
            let number = flow.head.flow() as u16;
            let tcb = match self.cmd.tcb_get(number) {
                // It may go while we look.
                Err(ENOENT) => return Ok(()),
                tcb => tcb?,
            };
            let head = tcb.head;
            let stale = tcb.seq.stale() != 0;
            write!(out, "{number} {} ", head.queue())?;
            out.write_str(if stale { "stale " } else { "valid " })?;
            let modes = [
                (head.steer(), "steer"),
                (head.place(), "place"),
                (head.pdu(), "pdu"),
            ];
            write_words(out, &modes)?;
            write!(
                out,
                " {} {} {} {} ",
                tcb.seq.expected(),
                tcb.applied,
                tcb.not_applied,
                tcb.placed
            )?;
            write_key(out, &tcb.key, head.key_len(), head.v6())?;
            match self.tcbs.owner(number) {
                Owner::Nobody => out.write_str(" -\n")?,
                Owner::Application(_) => out.write_str(" application\n")?,
                Owner::Rule(location) => writeln!(out, " rule:{location}")?,
            }
            Ok(())
        })
    }
}

/// Writes the words that are true with commas between them, or `-`.
fn write_words(out: &mut Table<'_>, words: &[(u64, &str)]) -> Result {
    let mut between = "";
    for (_, word) in words.iter().filter(|(is, _)| *is != 0) {
        write!(out, "{between}{word}")?;
        between = ",";
    }
    if between.is_empty() {
        out.write_str("-")?;
    }
    Ok(())
}

fn write_key(out: &mut Table<'_>, key: &cmd::Key, len: u64, v6: u64) -> Result {
    let key = key.get(..usize::try_from(len)?).unwrap_or(key);
    Ok(key::write(out, key, v6 != 0)?)
}

impl sysfs::Operations for Nic<'_> {
    const FOLDER: &'static CStr = c"reflow";
    const ATTRIBUTES: &'static [Attribute] = FILES;

    fn show(&self, index: usize, out: &mut Page<'_>) -> Result {
        self.mmio().present()?;
        match VALUES.get(index).copied().ok_or(EINVAL)? {
            Value::Register(reg) => write!(out, "{}", self.mmio().read(reg))?,
            Value::PmHigh => write!(out, "{}", self.mmio().read(reg::PM_HIGH))?,
            Value::FlowEntries => write!(out, "{}", self.flows())?,
            Value::FlowsUsed => {
                let mut used = 0_usize;
                self.each_flow(|_| {
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
            // Whatever is written, the level of now is the highest one.
            Some(Value::PmHigh) => {
                self.mmio().write(reg::PM_HIGH, 0);
                Ok(())
            }
            _ => Err(EPERM),
        }
    }
}

impl debugfs::Operations for Nic<'_> {
    const TABLES: &'static [&'static CStr] = &[c"flows", c"tcbs"];

    fn table(&self, index: usize, out: &mut Table<'_>) -> Result {
        self.mmio().present()?;
        match index {
            0 => self.flow_table(out),
            _ => self.tcb_table(out),
        }
    }

    const SWITCHES: &'static [&'static CStr] = &[c"fail_pages"];

    fn switch(&self, _index: usize) -> Option<&Atomic<bool>> {
        Some(self.fail_pages())
    }
}
