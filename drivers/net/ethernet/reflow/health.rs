// SPDX-License-Identifier: GPL-2.0

//! What is wrong with a device that is up: causes told apart, and what helps against each.
//!
//! The watch of the core asks once a second. All that is looked at here is either the driver's own
//! bookkeeping or a register that never waits.

mod pauses;

use crate::{
    counters,
    hw::{
        opcode::Opcode,
        regs::{
            queue_reg,
            reg, //
        },
        stats::Global, //
    },
    mmio::GONE,
    net::{
        device::watch::{
            self,
            Finding,
            Remedy,
            Watched, //
        },
        devlink::{
            health::{
                Message,
                Operations,
                Reporter, //
            },
            Sentence, //
        },
        log::netdev_warn_ratelimited,
        Device, //
    },
    nic::Nic,
    queue::Doorbell, //
};
use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};
use pauses::Pauses;

/// Places of the reporters.
const RX: usize = 0;
const TX: usize = 1;
const COMMAND: usize = 2;
const DEVICE: usize = 3;

/// Looks in a row with packets received and counters that stand still, after which the device does
/// not keep them any more.
const STATS_LOOKS: u32 = 3;

/// Looks in a row at which something waits for a poll, after which its interrupt was lost.
const LOST_LOOKS: u64 = 2;
/// Looks in a row with packets to send of which none leaves, after which they never will. Sooner
/// than the core, whose patience is ten seconds, and for one packet as for a full ring.
const STUCK_LOOKS: u64 = 5;
/// Looks in a row at which a completion is missing and later ones are there, after which it will
/// not come.
const GAP_LOOKS: u64 = 2;
/// Looks in a row at which a queue is dry, after which its memory is lost.
const DRY_LOOKS: u64 = 2;
/// Interrupts for nothing between two looks that are too many, if not many more polls went with
/// them: who polls busily finds the packets before their interrupts come.
const USELESS_MANY: u64 = 50;
/// So many polls for each are many more.
const USELESS_POLLS: u64 = 4;
/// Looks in a row with too many, after which device and driver do not agree on their indices.
const USELESS_LOOKS: u64 = 3;

/// Completions of each queue that a dump shows.
const LAST_COMPLETIONS: usize = 8;

/// Resets of a device that goes on without them.
#[derive(Default)]
struct Resets {
    pauses: Pauses,
    last: Option<Instant<Monotonic>>,
}

impl Resets {
    /// Milliseconds since the last one.
    fn since(&self) -> i64 {
        self.last
            .map_or(i64::MAX, |last| last.elapsed().as_millis())
    }

    /// Whether it is time for one; then it counts.
    fn is_due(&mut self) -> bool {
        let due = self.pauses.is_due(self.since());
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// What the watch saw of the device last.
pub(crate) struct Seen {
    /// Locked for a moment only.
    resets: Pin<KBox<Mutex<Resets>>>,
    /// Packets that the driver was handed.
    packets: Looked,
    /// Frames that the device says it handed over.
    transferred: Looked,
    /// Looks in a row at which the one had grown and the other not.
    stats_still: Looked,
}

impl Seen {
    /// Nothing yet. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new() -> Result<Self> {
        let resets = new_mutex!(Resets::default(), "reflow::health::resets");
        Ok(Self {
            resets: KBox::pin_init(resets, GFP_KERNEL)?,
            packets: Looked::default(),
            transferred: Looked::default(),
            stats_still: Looked::default(),
        })
    }

    /// Whether it is time to reset a device whose traffic goes on without; then it counts, and this
    /// is the number of seconds in which there will be no other.
    fn reset_is_due(&self) -> Option<i64> {
        let mut resets = self.resets.lock();
        resets.is_due().then(|| resets.pauses.wait() / 1000)
    }
}

/// What the watch saw of a queue pair last.
#[derive(Default)]
pub(crate) struct SeenQueue {
    /// Polls.
    polls: Looked,
    /// Looks in a row at which something waited to be polled, and no poll came.
    waiting: Looked,
    /// How far the device has said that it sent.
    written: Looked,
    /// Looks in a row at which the device had packets to send and none left.
    stuck: Looked,
    /// Packets received, and pages that could not be allocated.
    packets: Looked,
    alloc_fail: Looked,
    /// Looks in a row at which a completion was missing.
    gap: Looked,
    /// Looks in a row at which packets waited in the device and none came.
    dry: Looked,
    /// Interrupts that came for nothing.
    useless: Looked,
    /// Looks in a row with many of them.
    disagreeing: Looked,
}

/// A number remembered from one look to the next. One look at a time.
struct Looked(Atomic<u64>);

impl Default for Looked {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Looked {
    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn set(&self, to: u64) {
        self.0.store(to, Relaxed);
    }

    /// Counts looks in a row at which something `holds`; whether there were `most` of them. From
    /// then on there are at each look: what could not be mended is found again.
    fn in_a_row(&self, holds: bool, most: u64) -> bool {
        let looks = if holds { self.get() + 1 } else { 0 };
        self.set(looks.min(most));
        looks >= most
    }

    /// Whether the next look may be the last of `most` in a row.
    fn is_last(&self, most: u64) -> bool {
        self.get() + 1 == most
    }

    /// Remembers `now`; whether it is another number than before.
    fn changed(&self, now: u64) -> bool {
        let before = self.get();
        self.set(now);
        before != now
    }
}

fn finding(reporter: usize, remedy: Remedy, text: fmt::Arguments<'_>) -> Option<Finding> {
    Some(Finding {
        reporter,
        remedy,
        text: Sentence::new(text),
    })
}

impl<'bound> watch::Operations for Nic<'bound> {
    fn watch(&self, dev: &Device) -> Option<Finding> {
        if self.mmio().present().is_err() {
            return finding(
                DEVICE,
                Remedy::Detach,
                fmt!("the device does not answer any more; the interface is detached"),
            );
        }
        if !self.mmio().is_ready() {
            return finding(
                DEVICE,
                Remedy::RestartDevice,
                fmt!("the device says that it is not ready; resetting it"),
            );
        }
        if !self.mmio().may_access_memory() {
            return finding(
                DEVICE,
                Remedy::RestartDevice,
                fmt!("the device may not access memory any more; resetting it"),
            );
        }
        if !self.hw.is_kept() {
            if self.mmio().read(reg::CTRL).0 == 0 {
                return finding(
                    DEVICE,
                    Remedy::RestartDevice,
                    fmt!("the device has lost its configuration; resetting it"),
                );
            }
            if let Some(pause) = self.seen.reset_is_due() {
                return finding(
                    DEVICE,
                    Remedy::RestartDevice,
                    fmt!("the device keeps no counters; resetting it, not again within {pause} s"),
                );
            }
            self.hw.ask_again();
        }
        if self.cmd.is_silent() {
            if self.cmd.answers_again() {
                return finding(
                    COMMAND,
                    Remedy::RestartDevice,
                    fmt!("the device answers commands again; resetting it, as it missed some"),
                );
            }
            if let Some(pause) = self.seen.reset_is_due() {
                return finding(
                    COMMAND,
                    Remedy::RestartDevice,
                    fmt!(
                        "the device answers no commands; resetting it, not again within {pause} s"
                    ),
                );
            }
        }
        self.watch_statistics(dev);
        None
    }

    fn watch_queue(
        &self,
        _dev: &Device,
        queue: usize,
        shared: &Doorbell<'bound>,
        watched: Watched,
    ) -> Option<Finding> {
        let status = self.mmio().queue(queue).read(queue_reg::Q_STATUS);
        if status.0 == GONE {
            return None;
        }
        let restart = Remedy::RestartQueue(queue);
        if status.rx() == 0 || status.tx() == 0 || status.error() != 0 {
            let side = if status.tx() == 0 { TX } else { RX };
            return finding(
                side,
                restart,
                fmt!(
                    "queue {queue} stopped with error {}; restarting it",
                    status.error()
                ),
            );
        }
        let counters = self.counters.get(queue)?;
        let outstanding = shared.tx.outstanding() != 0;
        let written = shared.tx.written().into();
        // What the device has sent and nobody has cleaned up is the host's fault.
        let timed_out = watched.timed_out && !shared.tx.pending();
        if timed_out || watched.counts && shared.seen.is_stuck(outstanding, written) {
            return finding(
                TX,
                restart,
                fmt!("packets do not leave queue {queue}; restarting it"),
            );
        }
        // All below goes by what has changed since the last look.
        if !watched.counts {
            return None;
        }
        let count = &counters.rx;
        let polls = count.polls.read();
        if shared.seen.disagrees(count.irq_useless.read(), polls) {
            return finding(
                RX,
                restart,
                fmt!("queue {queue} raises interrupts for nothing; restarting it"),
            );
        }
        if shared.seen.gap.in_a_row(shared.rx.has_gap(), GAP_LOOKS) {
            return finding(
                RX,
                restart,
                fmt!("a completion of queue {queue} never came; restarting it"),
            );
        }
        let news = shared.rx.has_news();
        let waits = status.waiting() != 0 && !news && watched.waits;
        if shared.seen.is_dry(waits, count) {
            let why = match (status.no_buffer(), status.no_completion()) {
                (0, 0) => "for nothing",
                (0, _) => "for completions that were freed",
                _ => "for memory that it was given",
            };
            return finding(
                RX,
                restart,
                fmt!("packets of queue {queue} wait {why}; restarting it"),
            );
        }
        let polled = shared.seen.polls.changed(polls);
        let waits = !polled && watched.waits && (news || shared.tx.pending());
        if shared.seen.waiting.in_a_row(waits, LOST_LOOKS) {
            // A counter with one writer: polls write the others of its kind.
            count.irq_lost.add(1);
            return finding(
                RX,
                Remedy::Poll,
                fmt!("an interrupt of queue {queue} was lost; polling in its place"),
            );
        }
        let seen = &shared.seen;
        if seen.waiting.is_last(LOST_LOOKS) || seen.gap.is_last(GAP_LOOKS) {
            return finding(RX, Remedy::LookAgain, fmt!(""));
        }
        None
    }
}

impl Nic<'_> {
    /// Has the device keep its counters again if it has stopped to.
    fn watch_statistics(&self, dev: &Device) {
        let seen = &self.seen;
        let packets = self.counters.iter().map(|c| c.rx.packets.read());
        let grew = seen.packets.changed(packets.fold(0, u64::wrapping_add));
        let counted = seen
            .transferred
            .changed(self.hw.global(Global::RxTransferred));
        let still = match (grew, counted) {
            (_, true) => 0,
            (true, false) => seen.stats_still.get() + 1,
            (false, false) => return,
        };
        seen.stats_still.set(still);
        if still == u64::from(STATS_LOOKS) {
            seen.stats_still.set(0);
            netdev_warn_ratelimited!(dev, "the device has stopped counting; asking it to go on\n");
            self.hw.ask_again();
        }
    }
}

impl SeenQueue {
    /// Whether the device has been told of packets for long and none left.
    fn is_stuck(&self, outstanding: bool, written: u64) -> bool {
        let moved = self.written.changed(written);
        self.stuck.in_a_row(outstanding && !moved, STUCK_LOOKS)
    }

    /// Whether packets have been waiting since the last look though nothing keeps us from giving
    /// the device what it needs: completions that would give memory back were lost, or lied.
    fn is_dry(&self, waits: bool, count: &counters::Rx) -> bool {
        let moved = self.packets.changed(count.packets.read());
        let lacking = self.alloc_fail.changed(count.alloc_fail.read());
        self.dry.in_a_row(waits && !moved && !lacking, DRY_LOOKS)
    }

    /// Whether interrupts have come for nothing all the time. To be asked before `polls` is noted.
    fn disagrees(&self, useless: u64, polls: u64) -> bool {
        let new = useless.wrapping_sub(self.useless.get());
        self.useless.set(useless);
        let polls = polls.wrapping_sub(self.polls.get());
        let many = new >= USELESS_MANY && new.saturating_mul(USELESS_POLLS) >= polls;
        self.disagreeing.in_a_row(many, USELESS_LOOKS)
    }
}

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
        let resets = self.seen.resets.lock();
        let left = resets.pauses.wait().saturating_sub(resets.since()).max(0);
        let (in_a_row, pause) = (resets.pauses.in_a_row(), resets.pauses.wait());
        drop(resets);
        out.number(c"resets_in_a_row", in_a_row.into());
        out.number(c"reset_pause_ms", pause.unsigned_abs());
        out.number(c"next_reset_in_ms", left.unsigned_abs());
    }

    fn diagnose_device(&self, out: &mut Message<'_>) {
        out.flag(c"present", self.mmio().present().is_ok());
        out.flag(c"ready", self.mmio().is_ready());
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
            out.number(name, self.mmio().peek(offset).into());
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
                let status = self.mmio().queue(queue).read(queue_reg::Q_STATUS);
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

    /// What the device said last of a queue, or of each.
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
