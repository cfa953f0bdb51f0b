// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A pcapng file of what passes over the wire, each received frame with what the NIC made of it.

use std::borrow::Cow;
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
use reflow_device::RxOutcome;
use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::stats;

/// Time stamps count nanoseconds.
const NANOSECONDS: u8 = 9;
/// Direction in the flags of a packet.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// The file.
pub(crate) struct Trace {
    writer: PcapNgWriter<BufWriter<File>>,
    /// Whether something was recorded that may not be in the file yet.
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
            // A file that is looked at before anything happened is a capture file all the same.
            writer.get_mut().flush()?;
            Ok(writer)
        };
        let writer =
            start().with_context(|| format!("cannot write the capture file {}", path.display()))?;
        Ok(Self {
            writer,
            dirty: false,
            broken: false,
        })
    }

    /// Records a frame from the wire, with what became of it as a comment.
    pub(crate) fn received(&mut self, frame: &[u8], outcome: RxOutcome) {
        self.record(frame, INBOUND, Some(describe(outcome)));
    }

    /// Records a frame to the wire.
    pub(crate) fn sent(&mut self, frame: &[u8]) {
        self.record(frame, OUTBOUND, None);
    }

    /// Brings everything recorded into the file.
    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.dirty) && !self.broken {
            let result = self.writer.get_mut().flush();
            self.check(result);
        }
    }

    fn record(&mut self, frame: &[u8], direction: u32, comment: Option<String>) {
        if self.broken {
            return;
        }
        let mut options = vec![EnhancedPacketOption::Flags(direction)];
        options.extend(comment.map(|text| EnhancedPacketOption::Comment(Cow::Owned(text))));
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: since_epoch(),
            original_len: frame.len() as u32,
            data: Cow::Borrowed(frame),
            options,
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

fn describe(outcome: RxOutcome) -> String {
    match outcome {
        RxOutcome::Queued {
            queue,
            opcode,
            flow: FLOW_NONE,
        } => {
            format!("{}, no flow, queue {queue}", opcode.name())
        }
        RxOutcome::Queued {
            queue,
            opcode,
            flow,
        } => {
            format!("{}, flow {flow}, queue {queue}", opcode.name())
        }
        RxOutcome::Dropped(why) => {
            let name = stats::GLOBAL
                .get(why as usize)
                .map_or("dropped", |c| c.name);
            format!("dropped: {name}")
        }
    }
}

/// The time of day, as capture files have it.
fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
