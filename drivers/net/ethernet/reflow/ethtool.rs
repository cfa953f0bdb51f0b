// SPDX-License-Identifier: GPL-2.0

//! `ethtool`: statistics, coalescing, versions. Its other parts have files of their own.

mod rxfh;
mod rxnfc;
mod selftest;
mod split;

use crate::{
    hw::{
        opcode::Opcode,
        regs::reg,
        stats::{
            self,
            Global,
            FCS_LEN,
            LENGTHS, //
        },
    },
    net::{
        ethtool::{
            coalesce,
            standard::{
                self,
                Lengths,
                Mac,
                Way, //
            },
            Coalesce,
            FwVersion,
            SetCoalesce,
            SetQueueCoalesce,
            StatVisitor,
            Stats, //
        },
        extack::Refused, //
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

impl FwVersion for Nic<'_> {
    fn fw_version(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let version = self.mmio.read(reg::VERSION);
        let parser = self.mmio.read(reg::PARSER_STATUS);
        let crc = self.mmio.read(reg::PARSER_CRC);
        write!(
            out,
            "{}.{} parser {:08x}/{}",
            version >> 16,
            version & 0xffff,
            crc,
            parser.len()
        )
    }
}

impl Stats for Nic<'_> {
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
}

impl SetCoalesce for Nic<'_> {
    const PARAMS: u32 = coalesce::RX_USECS
        | coalesce::RX_FRAMES
        | coalesce::TX_USECS
        | coalesce::TX_FRAMES
        | coalesce::ADAPTIVE_RX;

    fn coalesce(&self) -> Coalesce {
        // Those of one queue stand for all: the core asks for no more.
        self.moderation.get(0).unwrap_or_default()
    }

    fn set_coalesce(&self, new: Coalesce) -> Result<(), Refused> {
        self.moderation.set_all(new)
    }
}

impl SetQueueCoalesce for Nic<'_> {
    fn queue_coalesce(&self, queue: usize) -> Option<Coalesce> {
        self.moderation.get(queue)
    }

    fn set_queue_coalesce(&self, queue: usize, new: Coalesce) -> Result<(), Refused> {
        self.moderation.set(queue, new)
    }
}

/// Bytes as on the wire; the device counts frames without their checksum.
fn wire_bytes(frames: u64, bytes: u64) -> u64 {
    bytes.wrapping_add(frames.wrapping_mul(FCS_LEN as u64))
}

impl standard::Operations for Nic<'_> {
    const CLASSES: &'static [u16] = &{
        let mut longest = [0; LENGTHS.len()];
        let mut i = 0;
        while i < longest.len() {
            longest[i] = LENGTHS[i].longest;
            i += 1;
        }
        longest
    };

    fn mac(&self) -> Mac {
        let count = |which| self.hw.global(which);
        let (came, sent) = (count(Global::RxFrames), count(Global::TxFrames));
        let (short, too_long) = (count(Global::RxRunts), count(Global::RxGiants));
        Mac {
            rx: Way {
                frames: came.saturating_sub(short).saturating_sub(too_long),
                bytes: wire_bytes(came, count(Global::RxBytes)),
                multicast: count(Global::RxMulticast),
                broadcast: count(Global::RxBroadcast),
                control: count(Global::RxMacControl),
            },
            tx: Way {
                frames: sent,
                bytes: wire_bytes(sent, count(Global::TxBytes)),
                multicast: count(Global::TxMulticast),
                broadcast: count(Global::TxBroadcast),
                control: count(Global::TxMacControl),
            },
            too_long,
        }
    }

    fn lengths(&self, to: Lengths<'_>) {
        for ((class, rx), tx) in LENGTHS.iter().zip(to.rx).zip(to.tx) {
            *rx = self.hw.global(class.rx);
            *tx = self.hw.global(class.tx);
        }
    }
}
