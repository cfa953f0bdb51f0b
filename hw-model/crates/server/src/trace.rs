// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A pcapng file of the wire, each received frame with its operation code and the reason for it.
//!
//! The operation code may change until a packet is transferred to the host, and only then is it
//! known whether another packet of its flow waits. So a received frame is held back until it has left
//! the packet memory, and with it all later ones: the file is in the order of the wire. A frame that
//! waits longer than [`HOLD`], or has [`MAX_HELD`] behind it, is written without hint and reason.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock,
    InterfaceDescriptionOption, //
};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::DataLink;
use reflow_device::{Exit, RxOutcome};
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::stats;

/// Time stamps count nanoseconds.
const NANOSECONDS: u8 = 9;
/// Direction in the flags of a packet.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// How long a frame is held back at most.
const HOLD: Duration = Duration::from_secs(1);
/// Most frames that are held back.
const MAX_HELD: usize = 8192;

/// A frame that is not in the file yet.
struct Record {
    time: Duration,
    frame: Vec<u8>,
    direction: u32,
    fate: Fate,
}

/// The state of a frame.
enum Fate {
    /// Final: the comment.
    Known(String),
    /// It waits in the packet memory, with its operation code on arrival.
    Waits {
        opcode: Opcode,
        flow: u16,
        queue: u16,
    },
}

/// The file.
pub(crate) struct Trace {
    writer: PcapNgWriter<BufWriter<File>>,
    /// Frames held back, in the order of the wire.
    held: VecDeque<Record>,
    /// Number of the first of them.
    first: u64,
    /// For each queue the numbers of the frames that wait in it.
    waiting: Vec<VecDeque<u64>>,
    /// Whether written blocks may not be in the file yet.
    dirty: bool,
    /// Whether writing failed: the trace ends there.
    broken: bool,
}

impl Trace {
    /// Starts a file with one interface.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let start = || -> Result<_> {
            let mut writer = PcapNgWriter::new(BufWriter::new(File::create(path)?))?;
            writer.write_block(
                &InterfaceDescriptionBlock {
                    linktype: DataLink::ETHERNET,
                    snaplen: 0,
                    options: vec![
                        InterfaceDescriptionOption::IfName(Cow::Borrowed("reflow")),
                        InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                    ],
                }
                .into_block(),
            )?;
            // An empty trace is a valid capture file, too.
            writer.get_mut().flush()?;
            Ok(writer)
        };
        let writer =
            start().with_context(|| format!("cannot write the capture file {}", path.display()))?;
        Ok(Self {
            writer,
            held: VecDeque::new(),
            first: 0,
            waiting: Vec::new(),
            dirty: false,
            broken: false,
        })
    }

    /// Records a frame from the wire.
    pub(crate) fn received(&mut self, frame: &[u8], outcome: RxOutcome) {
        let fate = match outcome {
            RxOutcome::Queued {
                queue,
                opcode,
                flow,
            } => {
                let at = usize::from(queue);
                if self.waiting.len() <= at {
                    self.waiting.resize_with(at + 1, VecDeque::new);
                }
                self.waiting[at].push_back(self.first + self.held.len() as u64);
                Fate::Waits {
                    opcode,
                    flow,
                    queue,
                }
            }
            RxOutcome::Dropped(why) => {
                let name = stats::GLOBAL
                    .get(why as usize)
                    .map_or("unknown", |c| c.name);
                Fate::Known(format!("dropped: {name}"))
            }
        };
        self.record(frame, INBOUND, fate);
    }

    /// A frame that was received has left the packet memory.
    pub(crate) fn left(&mut self, exit: Exit) {
        let waiting = self.waiting.get_mut(usize::from(exit.queue));
        let Some(number) = waiting.and_then(|queue| queue.remove(exit.before)) else {
            return;
        };
        let held = number
            .checked_sub(self.first)
            .and_then(|at| self.held.get_mut(at as usize));
        // If it is not held any more, it was written without the hint.
        if let Some(record) = held {
            if let Fate::Waits {
                opcode,
                flow,
                queue,
            } = record.fate
            {
                let (now, why, end) = match exit.transferred {
                    Some(how) => {
                        let why = how.revised.unwrap_or(exit.why);
                        (how.opcode, why, format!("hint {}", u8::from(how.more)))
                    }
                    None => (opcode, exit.why, "lost".to_owned()),
                };
                let fate = describe(opcode, now, flow, queue, &end);
                record.fate = Fate::Known(format!("{fate}: {why}"));
            }
        }
    }

    /// Records a frame to the wire.
    pub(crate) fn sent(&mut self, frame: &[u8]) {
        self.record(frame, OUTBOUND, Fate::Known("sent".to_owned()));
    }

    /// Writes all frames that are complete to the file.
    pub(crate) fn flush(&mut self) {
        self.settle(since_epoch());
        if std::mem::take(&mut self.dirty) && !self.broken {
            let result = self.writer.get_mut().flush();
            self.check(result);
        }
    }

    /// How long [`Trace::flush`] can wait.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let oldest = self.held.front()?.time;
        Some((oldest + HOLD).saturating_sub(since_epoch()))
    }

    fn record(&mut self, frame: &[u8], direction: u32, fate: Fate) {
        let time = since_epoch();
        self.held.push_back(Record {
            time,
            frame: frame.to_vec(),
            direction,
            fate,
        });
        self.settle(time);
    }

    /// Writes frames that are complete, and those held back for too long.
    fn settle(&mut self, now: Duration) {
        while let Some(record) = self.held.front() {
            let waits = matches!(record.fate, Fate::Waits { .. });
            let patience = now < record.time + HOLD && self.held.len() <= MAX_HELD;
            if waits && patience {
                break;
            }
            self.write_first();
        }
    }

    fn write_first(&mut self) {
        let Some(record) = self.held.pop_front() else {
            return;
        };
        self.first += 1;
        if self.broken {
            return;
        }
        let comment = match record.fate {
            Fate::Known(text) => text,
            Fate::Waits {
                opcode,
                flow,
                queue,
            } => describe(opcode, opcode, flow, queue, "waits"),
        };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: record.time,
            original_len: record.frame.len() as u32,
            data: Cow::Owned(record.frame),
            options: vec![
                EnhancedPacketOption::Flags(record.direction),
                EnhancedPacketOption::Comment(Cow::Owned(comment)),
            ],
        };
        let result = self.writer.write_block(&block.into_block());
        self.dirty = true;
        self.check(result);
    }

    fn check<T, E: std::fmt::Display>(&mut self, result: Result<T, E>) {
        if let Err(error) = result {
            log::warn!("the capture file ends here: {error}");
            self.broken = true;
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        while !self.held.is_empty() {
            self.write_first();
        }
        self.flush();
    }
}

/// The comment of a frame that was stored.
fn describe(arrived: Opcode, now: Opcode, flow: u16, queue: u16, end: &str) -> String {
    let flow = match flow {
        FLOW_NONE => "no flow".to_owned(),
        flow => format!("flow {flow}"),
    };
    let name = now.name();
    if arrived == now {
        format!("{name}, {flow}, queue {queue}, {end}")
    } else {
        let arrived = arrived.name();
        format!("{name} (arrived as {arrived}), {flow}, queue {queue}, {end}")
    }
}

/// The time of day, as capture files have it.
fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
