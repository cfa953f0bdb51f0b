// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A wire made of capture files: frames come from one (pcap or pcapng) as fast as they are taken,
//! what is sent goes to another (pcapng).

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::{DataLink, PcapError};
use rustix::event::PollFlags;

use super::Wire;
use crate::frames::FrameBuffer;
use crate::trace::Trace;

/// First bytes of a pcapng file.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The frames of a capture file of either format.
enum Source {
    Pcap(PcapReader<BufReader<File>>),
    PcapNg(PcapNgReader<BufReader<File>>),
    End,
}

/// The two files.
pub(crate) struct Capture {
    source: Source,
    input: PathBuf,
    output: Option<Trace>,
    /// The frame that is received next, read ahead.
    next: Option<Vec<u8>>,
    /// The frame that was received last.
    last: Vec<u8>,
    /// Whether the NIC receives. The file waits until it does.
    listening: bool,
}

impl Capture {
    /// Opens the file to receive from, and the one to send to.
    pub(crate) fn open(input: &Path, output: Option<&Path>) -> Result<Self> {
        let source = Source::open(input)
            .with_context(|| format!("cannot read frames from {}", input.display()))?;
        let output = output.map(Trace::create).transpose()?;
        let mut capture = Self {
            source,
            input: input.to_owned(),
            output,
            next: None,
            last: Vec::new(),
            listening: false,
        };
        capture.advance();
        Ok(capture)
    }

    fn advance(&mut self) {
        self.next = match self.source.next() {
            Ok(frame) => frame,
            Err(error) => {
                log::warn!(
                    "{}: {error}; the rest is not received",
                    self.input.display()
                );
                None
            }
        };
        if self.next.is_none() {
            self.source = Source::End;
        }
    }
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic).context("not a capture file")?;
        file.seek(SeekFrom::Start(0))?;
        let file = BufReader::new(file);
        if magic == PCAPNG_MAGIC {
            return Ok(Self::PcapNg(PcapNgReader::new(file)?));
        }
        let reader = PcapReader::new(file)?;
        if reader.header().datalink != DataLink::ETHERNET {
            bail!("not a capture of Ethernet frames");
        }
        Ok(Self::Pcap(reader))
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, PcapError> {
        match self {
            Self::Pcap(reader) => reader
                .next_packet()
                .transpose()
                .map(|p| p.map(|p| p.data.into_owned())),
            Self::PcapNg(reader) => {
                while let Some(block) = reader.next_block() {
                    let data = match block?.into_owned() {
                        pcap_file::pcapng::Block::EnhancedPacket(packet) => packet.data,
                        pcap_file::pcapng::Block::SimplePacket(packet) => packet.data,
                        _ => continue,
                    };
                    return Ok(Some(data.into_owned()));
                }
                Ok(None)
            }
            Self::End => Ok(None),
        }
    }
}

impl Wire for Capture {
    fn interest(&self, _want_frames: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        None
    }

    fn service(&mut self, _events: PollFlags) {}

    fn has_frame(&self) -> bool {
        self.listening && self.next.is_some()
    }

    fn receive(&mut self) -> Option<&[u8]> {
        if !self.has_frame() {
            return None;
        }
        self.last = self.next.take()?;
        self.advance();
        Some(&self.last)
    }

    fn send(&mut self, frames: &mut FrameBuffer) {
        if let Some(output) = &mut self.output {
            frames.iter().for_each(|frame| output.sent(frame));
            output.flush();
        }
        frames.clear();
    }

    fn listening(&mut self, on: bool) {
        self.listening = on;
    }
}
