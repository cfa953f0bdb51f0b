// SPDX-License-Identifier: GPL-2.0

//! Health reporters of `devlink`: diagnosis and dumps.

use crate::{
    health::{
        COMMAND,
        DEVICE,
        RX,
        TX, //
    },
    hw::{
        opcode::Opcode,
        regs::{
            queue_reg,
            reg, //
        }, //
    },
    net::{
        device::watch::Remedy,
        devlink::health::{
            Message,
            Operations,
            Reporter, //
        }, //
    },
    nic::Nic, //
};
use kernel::prelude::*;

/// Completions of each queue that a dump shows.
const LAST_COMPLETIONS: usize = 8;

impl Operations for Nic<'_> {
    const REPORTERS: &'static [Reporter] = &[
        Reporter {
            name: c"rx",
            grace_ms: 500,
            burst_ms: 500,
            remedy: Remedy::RestartQueues,
        },
        Reporter {
            name: c"tx",
            grace_ms: 500,
            burst_ms: 500,
            remedy: Remedy::RestartQueues,
        },
        Reporter {
            name: c"command",
            grace_ms: 500,
            burst_ms: 0,
            remedy: Remedy::RestartDevice,
        },
        Reporter {
            name: c"device",
            grace_ms: 500,
            burst_ms: 0,
            remedy: Remedy::RestartDevice,
        },
    ];
    const DEVICE_REPORTER: usize = DEVICE;

    fn diagnose(&self, reporter: usize, out: &mut Message<'_>) -> Result {
        match reporter {
            RX | TX => self.diagnose_queues(reporter, None, out),
            COMMAND => {
                out.flag(c"silent", self.cmd.is_silent());
                self.diagnose_resets(out);
                Ok(())
            }
            _ => {
                self.diagnose_device(out);
                self.diagnose_resets(out);
                Ok(())
            }
        }
    }

    fn dump(&self, reporter: usize, queue: Option<usize>, out: &mut Message<'_>) -> Result {
        self.diagnose_device(out);
        self.dump_completions(queue, out)?;
        match reporter {
            RX | TX => self.diagnose_queues(reporter, queue, out),
            _ => {
                self.diagnose_queues(RX, queue, out)?;
                self.diagnose_queues(TX, queue, out)
            }
        }
    }
}

impl Nic<'_> {
    /// How often the device was reset though its traffic went on, and when it may be again.
    fn diagnose_resets(&self, out: &mut Message<'_>) {
        let (in_a_row, pause, left) = self.seen.resets();
        out.number(c"resets_in_a_row", in_a_row.into());
        out.number(c"reset_pause_ms", pause.unsigned_abs());
        out.number(c"next_reset_in_ms", left.unsigned_abs());
    }

    fn diagnose_device(&self, out: &mut Message<'_>) {
        out.flag(c"present", self.mmio.present().is_ok());
        out.flag(c"ready", self.mmio.is_ready());
        for (name, offset) in [
            (c"ctrl", reg::CTRL.offset()),
            (c"status", reg::STATUS.offset()),
            (c"event", reg::EVENT.offset()),
            (c"rx_mode", reg::RX_MODE.offset()),
            (c"max_frame", reg::MAX_FRAME.offset()),
            (c"flow_cfg", reg::FLOW_CFG.offset()),
            (c"flow_size", reg::FLOW_SIZE.offset()),
            (c"pm_level", reg::PM_LEVEL.offset()),
            (c"parser_crc", reg::PARSER_CRC.offset()),
            (c"cmd_size", reg::CMD_SIZE.offset()),
        ] {
            out.number(name, self.mmio.peek(offset).into());
        }
    }

    fn diagnose_queues(&self, side: usize, only: Option<usize>, out: &mut Message<'_>) -> Result {
        let name = if side == RX {
            c"rx_queues"
        } else {
            c"tx_queues"
        };
        out.list(name, |out| {
            for (queue, c) in self.counters.iter().enumerate() {
                if only.is_some_and(|only| only != queue) {
                    continue;
                }
                let status = self.mmio.queue(queue).read(queue_reg::Q_STATUS);
                out.object(|out| {
                    out.number(c"queue", queue as u64);
                    let runs = if side == RX { status.rx() } else { status.tx() };
                    out.flag(c"runs", runs != 0);
                    out.number(c"error", status.error().into());
                    if side == RX {
                        c.rx.visit(|name, value| out.named(name, value));
                    } else {
                        c.tx_done.visit(|name, value| out.named(name, value));
                        c.tx_queued.visit(|name, value| out.named(name, value));
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// The last completions of a queue, or of each.
    fn dump_completions(&self, only: Option<usize>, out: &mut Message<'_>) -> Result {
        out.list(c"last_completions", |out| {
            for (queue, probe) in self.probes.iter().enumerate() {
                if only.is_some_and(|only| only != queue) {
                    continue;
                }
                probe.recent(LAST_COMPLETIONS, |c| {
                    let name = Opcode::from_raw(c.c0.opcode() as u8)
                        .and_then(|code| Opcode::NAMES.get(code as usize).copied())
                        .unwrap_or("unknown");
                    // Numbers cannot fail here; the core reports what does not fit.
                    let _ = out.object(|out| {
                        out.number(c"queue", queue as u64);
                        out.number(c"kind", c.c0.kind());
                        out.text(c"opcode", fmt!("{name}"));
                        out.number(c"flow", c.c0.flow());
                        out.number(c"packets", c.c0.segs());
                        out.number(c"data_len", c.c5.data_len());
                        out.number(c"generation", c.c0.generation());
                        Ok(())
                    });
                });
            }
            Ok(())
        })
    }
}
