// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The operation code of a packet: the one place where it is decided and revised.
//!
//! [`decide`] gives the code on arrival, from [`Facts`] that the manager has collected. [`revise`]
//! looks again when the packet is transferred, for until then the host may have lost a packet of the
//! aggregate or replaced the list of a control block. [`join`] is the code of a completion that
//! stands for one more packet. Each says why; [`Exit`](crate::Exit) logs it for every packet.

use crate::flow::merge::Verdict;
use crate::proto::{FIN, PSH, RST, SYN, URG};
use reflow_hwdef::opcode::Opcode;
use std::fmt;

macro_rules! reasons {
    ($( $reason:ident = $text:literal; )*) => {
        /// Why a packet has its operation code.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Why { $( #[doc = $text] $reason, )* }

        /// As a trace shows it.
        impl fmt::Display for Why {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $( Self::$reason => $text, )* })
            }
        }
    };
}

reasons! {
    NotTcp = "no TCP with a flow key that parser and header check agree on";
    Refused = "the parser program refused it";
    BadChecksum = "a checksum is wrong or was not verified";
    NotMergeable = "re-assembly is off, or its headers are too long or not plain";
    ListHasRoom = "the list of its control block has room";
    ControlFlags = "it sets a connection up, ends it, or has urgent data";
    NoPayload = "it has no payload";
    NewFlow = "first data of a flow";
    NoEntry = "no entry of the flow database is free";
    FlowEnded = "its flow has ended";
    ReleasedAtOnce = "PSH or FIN, or too little data, and no aggregate goes on with it";
    Gap = "its sequence number is not the expected one";
    NothingOpen = "no aggregate is open";
    NextInOrder = "it is next in order and its headers are equal";
    LastOfAggregate = "it is next in order and completes the aggregate";
    HeadersDiffer = "its headers differ, or the aggregate would be too long";
    ListReplaced = "the list of its control block was replaced, or its headers fit no cell";
    HostHasNothing = "the host has no aggregate of its flow open";
    HostHasOther = "the host has an aggregate open that it does not continue";
}

/// The state of a packet's flow in the flow database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FlowState {
    /// It has no entry, and can get one.
    New,
    /// It has no entry, and can get none: every entry is busy.
    NoRoom,
    /// Its entry ends with a packet that waits.
    Ending,
    /// The packet is not the expected one.
    Gap,
    /// The packet is the expected one.
    InOrder,
}

/// Facts about a packet that decide its operation code on arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Why the packet gets no assist, if so.
    pub(crate) unassisted: Option<Why>,
    /// A control block placed its data.
    pub(crate) placed: bool,
    /// TCP flags.
    pub(crate) flags: u8,
    /// Bytes of TCP data.
    pub(crate) len: usize,
    /// It has too little data to begin an aggregate, or must stay whole.
    pub(crate) tiny: bool,
    /// The messages of its connection are followed: data belongs on pages.
    pub(crate) session: bool,
    /// Its flow.
    pub(crate) flow: FlowState,
    /// The flow has an aggregate open.
    pub(crate) open: bool,
    /// Packets may be appended to aggregates.
    pub(crate) batching: bool,
}

impl Facts {
    /// A control packet: SYN, RST, URG, or FIN without data.
    pub(crate) fn is_control(&self) -> bool {
        self.flags & (SYN | RST | URG) != 0 || (self.len == 0 && self.flags & FIN != 0)
    }

    /// The host is to get its data without waiting for more.
    pub(crate) fn at_once(&self) -> bool {
        self.tiny || self.flags & (PSH | FIN) != 0
    }
}

/// The operation code of a packet on arrival.
///
/// `append` appends the packet to the open aggregate of its flow if it may be, and is called only
/// where that decides.
pub(crate) fn decide(facts: &Facts, append: impl FnOnce() -> Verdict) -> (Opcode, Why) {
    if let Some(why) = facts.unassisted {
        return (Opcode::NoAssist, why);
    }
    if facts.placed {
        return (Opcode::Placed, Why::ListHasRoom);
    }
    if facts.is_control() {
        return (Opcode::Control, Why::ControlFlags);
    }
    if facts.len == 0 {
        return (Opcode::NoData, Why::NoPayload);
    }
    let at_once = facts.at_once();
    match facts.flow {
        // An entry would serve no one.
        FlowState::New | FlowState::NoRoom if at_once => (Opcode::Small, Why::ReleasedAtOnce),
        FlowState::NoRoom => (Opcode::Small, Why::NoEntry),
        FlowState::New => (Opcode::Start, Why::NewFlow),
        FlowState::Ending if at_once => (Opcode::Small, Why::FlowEnded),
        FlowState::Ending => (Opcode::Start, Why::NewFlow),
        FlowState::Gap if at_once || facts.session => (Opcode::OutOfOrder, Why::Gap),
        FlowState::Gap => (Opcode::Start, Why::Gap),
        FlowState::InOrder if facts.tiny => (Opcode::Small, Why::ReleasedAtOnce),
        FlowState::InOrder => {
            let verdict = if facts.open && facts.batching {
                append()
            } else {
                Verdict::Differs
            };
            match verdict {
                Verdict::Appended => (Opcode::Append, Why::NextInOrder),
                Verdict::Complete => (Opcode::AppendClose, Why::LastOfAggregate),
                // It ends what is open, and nothing may follow it. But data of a message belongs on
                // its pages.
                Verdict::Differs if at_once && !facts.session => {
                    (Opcode::Small, Why::ReleasedAtOnce)
                }
                Verdict::Differs if facts.open => (Opcode::CloseStart, Why::HeadersDiffer),
                Verdict::Differs => (Opcode::Start, Why::NothingOpen),
            }
        }
    }
}

/// The aggregate of a flow as the host has it, after all that was transferred.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum HostOpen {
    /// None.
    #[default]
    No,
    /// One that may be appended to.
    Yes,
    /// One that may not: a packet of it was lost on the way.
    Broken,
}

/// The operation code of a packet when it is transferred, and why it is another one now.
///
/// `list_gone` says that the list which the packet was to be placed in is no longer the device's.
pub(crate) fn revise(arrived: Opcode, open: HostOpen, list_gone: bool) -> (Opcode, Option<Why>) {
    match (arrived, open) {
        (Opcode::Placed, _) if list_gone => (Opcode::Small, Some(Why::ListReplaced)),
        (Opcode::Append | Opcode::AppendClose | Opcode::CloseStart, HostOpen::No) => {
            (Opcode::Start, Some(Why::HostHasNothing))
        }
        (Opcode::Append | Opcode::AppendClose, HostOpen::Broken)
        | (Opcode::Start, HostOpen::Yes | HostOpen::Broken) => {
            (Opcode::CloseStart, Some(Why::HostHasOther))
        }
        _ => (arrived, None),
    }
}

/// The operation code of a completion once it stands for one more packet, which is appended.
pub(crate) fn join(first: Opcode, next: Opcode) -> Opcode {
    match (first, next) {
        (Opcode::Append, Opcode::AppendClose) => Opcode::AppendClose,
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Facts = Facts {
        unassisted: None,
        placed: false,
        flags: 0,
        len: 100,
        tiny: false,
        session: false,
        flow: FlowState::InOrder,
        open: true,
        batching: true,
    };

    fn code(facts: Facts, verdict: Verdict) -> Opcode {
        decide(&facts, || verdict).0
    }

    #[test]
    fn data_of_a_known_flow() {
        for (flags, open, verdict, want) in [
            (0, true, Verdict::Appended, Opcode::Append),
            (PSH, true, Verdict::Complete, Opcode::AppendClose),
            (0, true, Verdict::Differs, Opcode::CloseStart),
            (PSH, true, Verdict::Differs, Opcode::Small),
            (FIN, false, Verdict::Appended, Opcode::Small),
            (0, false, Verdict::Appended, Opcode::Start),
        ] {
            let facts = Facts {
                flags,
                open,
                ..DATA
            };
            assert_eq!(code(facts, verdict), want, "{flags:#x} {open} {verdict:?}");
            if open {
                let alone = Facts {
                    batching: false,
                    ..facts
                };
                assert_eq!(code(alone, verdict), code(facts, Verdict::Differs));
            }
            let session = Facts {
                session: true,
                ..facts
            };
            let on_pages = match (want, open) {
                (Opcode::Small, true) => Opcode::CloseStart,
                (Opcode::Small, false) => Opcode::Start,
                _ => want,
            };
            assert_eq!(code(session, verdict), on_pages);
        }
    }

    #[test]
    fn data_that_cannot_be_appended() {
        let at_once = [0, PSH, FIN];
        for (flow, want) in [
            (FlowState::New, [Opcode::Start, Opcode::Small]),
            (FlowState::NoRoom, [Opcode::Small, Opcode::Small]),
            (FlowState::Ending, [Opcode::Start, Opcode::Small]),
            (FlowState::Gap, [Opcode::Start, Opcode::OutOfOrder]),
        ] {
            for flags in at_once {
                let facts = Facts {
                    flags,
                    flow,
                    ..DATA
                };
                let want = want[usize::from(flags != 0)];
                let got = decide(&facts, || panic!("nothing is appended")).0;
                assert_eq!(got, want, "{flow:?} {flags:#x}");
                let tiny = Facts {
                    flags: 0,
                    tiny: true,
                    ..facts
                };
                let want = match flow {
                    FlowState::Gap => Opcode::OutOfOrder,
                    _ => Opcode::Small,
                };
                assert_eq!(code(tiny, Verdict::Appended), want, "{flow:?}");
            }
        }
        let session = Facts {
            session: true,
            flow: FlowState::Gap,
            ..DATA
        };
        assert_eq!(code(session, Verdict::Appended), Opcode::OutOfOrder);
    }

    #[test]
    fn packets_that_are_not_merged() {
        let all = Facts {
            unassisted: Some(Why::NotTcp),
            placed: true,
            flags: SYN,
            len: 0,
            ..DATA
        };
        assert_eq!(
            decide(&all, || Verdict::Appended),
            (Opcode::NoAssist, Why::NotTcp)
        );
        let placed = Facts {
            unassisted: None,
            ..all
        };
        assert_eq!(code(placed, Verdict::Appended), Opcode::Placed);
        for (flags, len, want) in [
            (SYN, 0, Opcode::Control),
            (SYN, 10, Opcode::Control),
            (RST, 0, Opcode::Control),
            (URG, 10, Opcode::Control),
            (FIN, 0, Opcode::Control),
            (FIN, 10, Opcode::AppendClose),
            (PSH, 0, Opcode::NoData),
        ] {
            let facts = Facts { flags, len, ..DATA };
            assert_eq!(code(facts, Verdict::Complete), want, "{flags:#x} {len}");
        }
    }

    /// The host is never told to append to what it does not have, nor to start what is open.
    #[test]
    fn revision() {
        use Opcode::{Append, AppendClose, CloseStart, Start};
        for (arrived, no, yes, broken) in [
            (Start, Start, CloseStart, CloseStart),
            (CloseStart, Start, CloseStart, CloseStart),
            (Append, Start, Append, CloseStart),
            (AppendClose, Start, AppendClose, CloseStart),
        ] {
            let open = [HostOpen::No, HostOpen::Yes, HostOpen::Broken];
            for (open, want) in open.into_iter().zip([no, yes, broken]) {
                let (now, why) = revise(arrived, open, true);
                assert_eq!(now, want, "{arrived:?} {open:?}");
                assert_eq!(why.is_some(), now != arrived);
            }
        }
        for opcode in [Opcode::NoAssist, Opcode::Small, Opcode::Control] {
            assert_eq!(revise(opcode, HostOpen::Yes, true), (opcode, None));
        }
        let gone = (Opcode::Small, Some(Why::ListReplaced));
        assert_eq!(revise(Opcode::Placed, HostOpen::No, true), gone);
        let there = (Opcode::Placed, None);
        assert_eq!(revise(Opcode::Placed, HostOpen::Broken, false), there);
    }

    #[test]
    fn joined() {
        use Opcode::{Append, AppendClose, Start};
        assert_eq!(join(Append, AppendClose), AppendClose);
        assert_eq!(join(Append, Append), Append);
        assert_eq!(join(Start, AppendClose), Start);
    }
}
