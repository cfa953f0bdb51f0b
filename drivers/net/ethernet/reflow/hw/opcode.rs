// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Operation codes: the kind of a packet, and how it was transferred.

/// The operation code of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// Not a selected protocol, a fragment, a bad checksum, options that the parser program
    /// refuses, bytes behind the IP packet: the whole packet is in packet buffers. An open
    /// aggregate ends before it if it has a flow.
    NoAssist = 0,
    /// TCP without payload: the whole packet; an open aggregate of its flow ends before it.
    NoData = 1,
    /// SYN, FIN without data, RST or URG: the whole packet; an open aggregate ends before it.
    Control = 2,
    /// TCP data outside any aggregate: below the threshold, released at once, or no entry free.
    Small = 3,
    /// Data whose sequence number is not the expected one, and that no aggregate begins with; an
    /// open aggregate ends before it.
    OutOfOrder = 4,
    /// First data of an aggregate: header in a cell, data in the flow's re-assembly buffer.
    Start = 5,
    /// In order, with the same headers otherwise: data only, appended to the last.
    Append = 6,
    /// As append, and the aggregate is complete (PSH, FIN, shorter than the first, or full).
    AppendClose = 7,
    /// A header field differs, or the data was not expected: ends the open aggregate and starts
    /// one.
    CloseStart = 8,
    /// Data placed in a list of host pages (control block or session).
    Placed = 9,
}

impl Opcode {
    /// How many codes there are.
    pub const COUNT: usize = 10;

    /// All codes in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NoAssist,
        Self::NoData,
        Self::Control,
        Self::Small,
        Self::OutOfOrder,
        Self::Start,
        Self::Append,
        Self::AppendClose,
        Self::CloseStart,
        Self::Placed,
    ];

    /// Names, as counters have them.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "no_assist",
        "no_data",
        "control",
        "small",
        "out_of_order",
        "start",
        "append",
        "append_close",
        "close_start",
        "placed",
    ];

    /// The code of a number that the device wrote.
    #[inline]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::NoAssist,
            1 => Self::NoData,
            2 => Self::Control,
            3 => Self::Small,
            4 => Self::OutOfOrder,
            5 => Self::Start,
            6 => Self::Append,
            7 => Self::AppendClose,
            8 => Self::CloseStart,
            9 => Self::Placed,
            _ => return None,
        })
    }

    /// The name, as counters have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAssist => Self::NAMES[0],
            Self::NoData => Self::NAMES[1],
            Self::Control => Self::NAMES[2],
            Self::Small => Self::NAMES[3],
            Self::OutOfOrder => Self::NAMES[4],
            Self::Start => Self::NAMES[5],
            Self::Append => Self::NAMES[6],
            Self::AppendClose => Self::NAMES[7],
            Self::CloseStart => Self::NAMES[8],
            Self::Placed => Self::NAMES[9],
        }
    }
}
