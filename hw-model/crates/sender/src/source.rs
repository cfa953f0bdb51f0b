// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The frames to send, and their times.

use crate::flow::{Answer, Flow, BURST, MSS};
use crate::frame::{parse, put_udp, Received};
use std::time::Duration;

/// Port that orders come to.
const ORDERS: u16 = 7000;
/// Port that datagrams go to.
const DATAGRAMS: u16 = 5002;
/// First of our ports.
const PORT: u16 = 10_000;
/// Data of a datagram, and of a marker.
const DATAGRAM: usize = 18;
const MARKER: usize = 20;
/// Batches of datagrams whose marker is not yet answered.
const BATCHES: u32 = 2;
/// Segments under way on all connections together that take turns: what the largest receive ring
/// of common NICs holds, since QEMU's lose what does not fit.
const TOGETHER: u32 = 4000;
/// Bytes put on the wire before we look whether something came.
const CHUNK: usize = 128 * 1024;

#[derive(Debug, Default)]
enum Work {
    #[default]
    Nothing,
    Tcp {
        flows: Vec<Flow>,
        /// Whole bursts, not one segment of each flow in turn.
        bursts: bool,
        go: bool,
        /// The connection whose turn it is.
        turn: usize,
    },
    Udp {
        batch: u32,
        unanswered: u32,
    },
}

/// The sending machine.
#[derive(Debug, Default)]
pub(crate) struct Source {
    work: Work,
    now: Duration,
    /// Frames to send first.
    answers: Vec<u8>,
    /// Rounds of connections, so that each has ports of its own.
    round: u16,
    id: u16,
}

impl Source {
    /// Handles a frame of the guest.
    pub(crate) fn receive(&mut self, frame: &[u8]) {
        match parse(frame) {
            Some(Received::Udp { to: ORDERS, data }) => self.order(data),
            Some(Received::Tcp {
                to,
                flags,
                seq,
                ack,
                window,
                options,
            }) => {
                let answer = Answer {
                    flags,
                    seq,
                    ack,
                    window,
                    options,
                };
                let first = self.first_port();
                if let Work::Tcp { flows, .. } = &mut self.work {
                    let flow = flows.get_mut(usize::from(to.wrapping_sub(first)));
                    if let Some(flow) = flow {
                        flow.receive(self.now, &answer, &mut self.answers);
                    }
                }
            }
            _ => {}
        }
    }

    fn first_port(&self) -> u16 {
        PORT + 2000 * (self.round % 20)
    }

    fn order(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let mut words = text.split_whitespace();
        let order = words.next().unwrap_or_default();
        let number = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        match order {
            "bulk" => self.connect(number, true, 2 * BURST * MSS),
            "mix" => {
                let each = TOGETHER / u32::from(number.max(1));
                self.connect(number, false, each.clamp(1, BURST) * MSS);
            }
            "udp" => {
                self.work = Work::Udp {
                    batch: number.into(),
                    unanswered: 0,
                }
            }
            "go" => {
                if let Work::Tcp { go, .. } = &mut self.work {
                    *go = true;
                }
            }
            "more" => {
                if let Work::Udp { unanswered, .. } = &mut self.work {
                    *unanswered = unanswered.saturating_sub(1);
                }
            }
            "stop" => {
                if let Work::Tcp { flows, .. } = &self.work {
                    let retries: u32 = flows.iter().map(|flow| flow.retries).sum();
                    if retries != 0 {
                        println!("retries {retries}");
                    }
                }
                self.work = Work::Nothing;
            }
            _ => {}
        }
    }

    fn connect(&mut self, count: u16, bursts: bool, limit: u32) {
        self.round = self.round.wrapping_add(1);
        let first = self.first_port();
        let flow = |i| Flow::new(first + i, 0x1000_0000 + u32::from(i), limit);
        self.work = Work::Tcp {
            flows: (0..count.min(1024)).map(flow).collect(),
            bursts,
            go: false,
            turn: 0,
        };
    }

    /// Appends the frames to send now.
    pub(crate) fn fill(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.now = now;
        out.append(&mut self.answers);
        match &mut self.work {
            Work::Nothing => {}
            Work::Tcp {
                flows,
                bursts,
                go,
                turn,
            } => {
                for flow in flows.iter_mut() {
                    flow.open(now, out);
                    flow.retry(now);
                }
                if *go {
                    send(flows, *bursts, turn, now, out);
                }
            }
            Work::Udp { batch, unanswered } => {
                if *unanswered < BATCHES {
                    for _ in 0..*batch {
                        self.id = self.id.wrapping_add(1);
                        put_udp(out, DATAGRAMS, self.id, 0, DATAGRAM);
                    }
                    self.id = self.id.wrapping_add(1);
                    put_udp(out, DATAGRAMS, self.id, *batch, MARKER);
                    *unanswered += 1;
                }
            }
        }
    }
}

/// Lets connections send in turn until there is a chunk, or none can.
fn send(flows: &mut [Flow], bursts: bool, turn: &mut usize, now: Duration, out: &mut Vec<u8>) {
    let segments = if bursts { BURST } else { 1 };
    let mut idle = 0;
    while idle < flows.len() && out.len() < CHUNK {
        let count = flows.len();
        let flow = &mut flows[*turn];
        *turn = (*turn + 1) % count;
        if flow.may_send(segments) {
            idle = 0;
            for _ in 0..segments {
                flow.segment(now, out);
            }
        } else {
            idle += 1;
        }
    }
}
