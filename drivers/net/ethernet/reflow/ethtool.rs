// SPDX-License-Identifier: GPL-2.0

//! Answers to `ethtool`.

use crate::{
    hw::{
        opcode::Opcode,
        regs::{
            self,
            ParserStatus, //
        },
        stats, //
    },
    net::ethtool::{
        Coalesce,
        Operations,
        StatVisitor, //
    },
    nic::Nic, //
};
use kernel::{
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::Formatter, //
};

/// Longest wait of an interrupt, in microseconds.
const MAX_USECS: u32 = 0xffff;
/// Most packets that an interrupt waits for.
const MAX_FRAMES: u32 = 0xff;

impl Operations for Nic<'_> {
    fn fw_version(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let version = self.mmio().read(regs::VERSION);
        let parser = ParserStatus(self.mmio().read(regs::PARSER_STATUS));
        let crc = self.mmio().read(regs::PARSER_CRC);
        write!(
            out,
            "{}.{} parser {:08x}/{}",
            version >> 16,
            version & 0xffff,
            crc,
            parser.len()
        )
    }

    fn visit_stats(&self, v: &mut dyn StatVisitor) {
        for (q, c) in self.counters.iter().enumerate() {
            c.rx.visit(|name, value| v.stat(fmt!("rx{q}_{name}"), value));
            for (name, counter) in Opcode::NAMES.iter().zip(&c.opcodes) {
                v.stat(fmt!("rx{q}_op_{name}"), counter.read());
            }
            c.tx_done
                .visit(|name, value| v.stat(fmt!("tx{q}_{name}"), value));
            c.tx_queued
                .visit(|name, value| v.stat(fmt!("tx{q}_{name}"), value));
            for (i, info) in stats::QUEUE.iter().enumerate() {
                v.stat(fmt!("rx{q}_{}", info.name), self.hw.queue_at(q, i));
            }
        }
        let tcbs = self.tcbs.counts();
        tcbs.visit(|name, value| v.stat(fmt!("tcb_{name}"), value));
        for (i, info) in stats::GLOBAL.iter().enumerate() {
            v.stat(fmt!("{}", info.name), self.hw.global_at(i));
        }
    }

    fn coalesce(&self) -> Coalesce {
        self.moderation()
    }

    fn set_coalesce(&self, new: Coalesce) -> Result {
        if new.rx_usecs > MAX_USECS || new.rx_frames > MAX_FRAMES {
            return Err(EINVAL);
        }
        self.set_moderation(new);
        Ok(())
    }
}
