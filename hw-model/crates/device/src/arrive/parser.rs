// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The header parser: runs a verified parser program over the first bytes of a frame.
//!
//! [`reflow_hwdef::isa`] has the instruction set, and says when the parser gives up.

mod run;
#[cfg(test)]
mod tests;

pub use run::{GaveUp, Outcome, Step};

use reflow_hwdef::{isa, toeplitz, verify};

/// Most bytes of a flow key.
pub const KEY_MAX: usize = toeplitz::KEY_MAX;

/// A session header that the parser program recognised by its connection.
///
/// It is at the start of each message, anywhere in the byte stream: the parser says
/// how to read it, session framing where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// Bytes of the session header.
    pub header_len: u8,
    /// Offset of the length field in it.
    pub len_at: u8,
    /// Bytes of the length field, 1 to 4, most significant first.
    pub len_bytes: u8,
}

impl Session {
    /// Length of a message, its session header included; `None` if `header` is too short.
    #[must_use]
    pub fn message_len(self, header: &[u8]) -> Option<u64> {
        if header.len() < usize::from(self.header_len) {
            return None;
        }
        let at = usize::from(self.len_at);
        let field = header.get(at..at + usize::from(self.len_bytes))?;
        let body = field.iter().fold(0, |n: u64, b| (n << 8) | u64::from(*b));
        Some(body + u64::from(self.header_len))
    }
}

/// The parser's result for a frame. Offsets count from the frame's first byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The flow key, zero behind [`Parsed::key_len`].
    pub key: [u8; KEY_MAX],
    /// Bytes of the flow key.
    pub key_len: usize,
    /// Protocols found.
    pub kind: isa::Kind,
    /// Start of the innermost IP header.
    pub l3_off: Option<u16>,
    /// Start of the TCP or UDP header.
    pub l4_off: Option<u16>,
    /// End of the innermost IP packet; never behind the end of the frame.
    pub pkt_end: Option<u16>,
    /// End of the headers, where the data begins.
    pub hdr_end: Option<u16>,
    /// TCP sequence number.
    pub seq: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// A VLAN tag: offset of its TPID, and its control information.
    pub vlan: Option<(u16, u16)>,
    /// Session framing of the connection's data; set only together with [`Parsed::hdr_end`].
    pub session: Option<Session>,
    /// No assist: the parser program refused the packet, or the parser gave up.
    pub refused: bool,
    /// Instructions executed.
    pub steps: u16,
}

impl Parsed {
    const NOTHING: Self = Self {
        key: [0; KEY_MAX],
        key_len: 0,
        kind: isa::Kind(0),
        l3_off: None,
        l4_off: None,
        pkt_end: None,
        hdr_end: None,
        seq: 0,
        tcp_flags: 0,
        vlan: None,
        session: None,
        refused: false,
        steps: 0,
    };

    /// The flow key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.get(..self.key_len).unwrap_or(&[])
    }
}

/// A verified parser program, decoded and ready to run.
#[derive(Clone, Default, Debug)]
pub struct Program {
    instrs: Box<[isa::Instr]>,
    crc: u32,
}

impl Program {
    /// The parser program without instructions: it refuses every packet.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Verifies and decodes a parser program, four words an instruction.
    ///
    /// # Errors
    ///
    /// The error that the verifier found.
    pub fn load(words: &[u32]) -> Result<Self, verify::Refusal> {
        verify::verify(words)?;
        let instrs = words
            .chunks_exact(isa::INSTR_WORDS)
            .enumerate()
            .map(|(at, w)| {
                <[u32; isa::INSTR_WORDS]>::try_from(w)
                    .ok()
                    .and_then(isa::Instr::decode)
                    .ok_or(verify::Refusal {
                        reason: verify::Reason::BadEncoding,
                        at: at as u8,
                    })
            })
            .collect::<Result<_, _>>()?;
        let mut crc = crc32fast::Hasher::new();
        for word in words {
            crc.update(&word.to_le_bytes());
        }
        Ok(Self {
            instrs,
            crc: crc.finalize(),
        })
    }

    /// Number of instructions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instrs.len()
    }

    /// Whether this is the empty parser program.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instrs.is_empty()
    }

    /// CRC-32 (IEEE) over the words in little endian.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The instructions in order.
    #[must_use]
    pub fn instrs(&self) -> &[isa::Instr] {
        &self.instrs
    }

    /// Runs the parser program over a frame.
    ///
    /// `header` is the header memory, the first `min(HEADER_MEMORY, frame_len)` bytes of the frame;
    /// bytes beyond that are ignored.
    #[must_use]
    pub fn run(&self, header: &[u8], frame_len: usize) -> Parsed {
        self.run_traced(header, frame_len, &mut |_| ())
    }

    /// Runs the parser program and reports each step when it is done.
    #[must_use]
    pub fn run_traced(
        &self,
        header: &[u8],
        frame_len: usize,
        trace: &mut impl FnMut(&Step<'_>),
    ) -> Parsed {
        run::run(&self.instrs, header, frame_len, trace)
    }
}
