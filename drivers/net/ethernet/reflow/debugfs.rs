// SPDX-License-Identifier: GPL-2.0

//! Tables and switches in debugfs.
//!
//! Each read queries the device. A device that is gone is an error, not an empty table.

mod key;

use crate::{
    cmd,
    net::debugfs::{
        Operations,
        Table, //
    },
    nic::Nic,
    tcb::Owner, //
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

impl Nic<'_> {
    fn flow_table(&self, out: &mut Table<'_>) -> Result {
        out.write_str("flow queue state expected idle_us vlan source destination\n")?;
        self.cmd.each_flow(|flow| {
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
        self.cmd.each_flow(|flow| {
            if flow.head.tcb() == 0 {
                return Ok(());
            }
            let number = flow.head.flow() as u16;
            let tcb = match self.cmd.tcb_get(number) {
                // It may be deleted meanwhile.
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

/// Writes the words whose number is not 0, separated by commas, or `-`.
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

impl Operations for Nic<'_> {
    const TABLES: &'static [&'static CStr] = &[c"flows", c"tcbs"];

    fn table(&self, index: usize, out: &mut Table<'_>) -> Result {
        self.mmio.present()?;
        match index {
            0 => self.flow_table(out),
            _ => self.tcb_table(out),
        }
    }

    const SWITCHES: &'static [&'static CStr] = &[c"fail_pages", c"fail_large_pages"];

    fn switch(&self, index: usize) -> Option<&Atomic<bool>> {
        match index {
            0 => Some(&self.settings.fail_pages),
            _ => Some(&self.settings.fail_large_pages),
        }
    }
}
