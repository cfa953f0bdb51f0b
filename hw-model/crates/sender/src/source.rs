// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The frames to send, and their times.

use crate::flow::{Answer, Flow, BURST, MSS};
use crate::frame::{parse, put_udp, Received};
use crate::order::{Order, Stamps, Stream, Turns};
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
/// Bytes put on the wire before we look whether something came.
const CHUNK: usize = 128 * 1024;

/// Purpose of the connections.
#[derive(Debug)]
enum Use {
    Send(Stream),
    Take,
    Exchange { size: u32 },
}

#[derive(Debug, Default)]
enum Work {
    #[default]
    Nothing,
    Tcp {
        flows: Vec<Flow>,
        purpose: Use,
        /// Bytes that may be sent on all connections, from the beginning; `None` until all are
        /// accepted.
        quota: Option<u64>,
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
    /// Data came that is not yet acknowledged.
    owes: bool,
}

impl Source {
    /// Handles a frame of the guest.
    pub(crate) fn receive(&mut self, frame: &[u8]) {
        match parse(frame) {
            Some(Received::Udp { to: ORDERS, data }) => {
                let text = String::from_utf8_lossy(data);
                match Order::parse(&text) {
                    Some(order) => self.obey(order),
                    None => eprintln!("reflow-sender: \"{text}\" is no order"),
                }
            }
            Some(Received::Tcp {
                to,
                flags,
                seq,
                ack,
                window,
                options,
                len,
            }) => {
                let answer = Answer {
                    flags,
                    seq,
                    ack,
                    window,
                    options,
                    len,
                };
                let first = self.first_port();
                if let Work::Tcp { flows, .. } = &mut self.work {
                    let flow = flows.get_mut(usize::from(to.wrapping_sub(first)));
                    if let Some(flow) = flow {
                        flow.receive(self.now, &answer, &mut self.answers);
                        self.owes |= len != 0;
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether data came that is to be acknowledged soon.
    pub(crate) fn owes(&self) -> bool {
        self.owes
    }

    fn first_port(&self) -> u16 {
        PORT + 2000 * (self.round % 20)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Send(stream) => self.connect(stream.flows, Use::Send(stream)),
            Order::Take { flows } => self.connect(flows, Use::Take),
            Order::Exchange { size } => self.connect(1, Use::Exchange { size }),
            Order::Datagrams { batch } => {
                self.work = Work::Udp {
                    batch,
                    unanswered: 0,
                }
            }
            Order::Go { segments } => {
                if let Work::Tcp { quota, .. } = &mut self.work {
                    let more = u64::from(segments) * u64::from(MSS);
                    *quota = Some(quota.unwrap_or(0) + more);
                }
            }
            Order::More => {
                if let Work::Udp { unanswered, .. } = &mut self.work {
                    *unanswered = unanswered.saturating_sub(1);
                }
            }
            Order::Stop => {
                let retries: u32 = match &self.work {
                    Work::Tcp { flows, .. } => flows.iter().map(|flow| flow.retries).sum(),
                    _ => 0,
                };
                println!("retries {retries}");
                self.work = Work::Nothing;
            }
        }
    }

    fn connect(&mut self, count: u16, purpose: Use) {
        let (stamps, burst) = match &purpose {
            Use::Send(stream) => (stream.stamps, stream.burst),
            Use::Take | Use::Exchange { .. } => (Stamps::Batch, BURST),
        };
        self.round = self.round.wrapping_add(1);
        let first = self.first_port();
        let flow = |i| Flow::new(first + i, 0x1000_0000 + u32::from(i), stamps, burst);
        self.work = Work::Tcp {
            flows: (0..count).map(flow).collect(),
            purpose,
            quota: None,
            turn: 0,
        };
    }

    /// Appends the frames to send now.
    pub(crate) fn fill(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.now = now;
        self.owes = false;
        out.append(&mut self.answers);
        match &mut self.work {
            Work::Nothing => {}
            Work::Tcp {
                flows,
                purpose,
                quota,
                turn,
            } => {
                for flow in flows.iter_mut() {
                    flow.open(now, out);
                    flow.retry(now);
                }
                match (purpose, *quota) {
                    (_, None) | (Use::Take, _) => {}
                    (Use::Send(stream), Some(quota)) => {
                        send(flows, stream, quota, turn, now, out);
                    }
                    (Use::Exchange { size }, _) => exchange(flows, *size, now, out),
                }
                for flow in flows.iter_mut() {
                    self.owes |= flow.settle(now, out);
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

/// Lets connections send until there is a chunk, or none may: `quota` bytes in all.
fn send(
    flows: &mut [Flow],
    stream: &Stream,
    quota: u64,
    turn: &mut usize,
    now: Duration,
    out: &mut Vec<u8>,
) {
    let sent: u64 = flows.iter().map(|flow| u64::from(flow.sent())).sum();
    let under_way: u32 = flows.iter().map(Flow::under_way).sum();
    let mut left = quota.saturating_sub(sent);
    // The first is sent by the connection whose turn it is, or by nobody.
    let (most, limit, patience) = match stream.turns {
        Turns::Bursts { limit } => (stream.burst * MSS, limit, flows.len()),
        Turns::Strict { window } => {
            left = left.min(window.saturating_sub(under_way).into());
            (stream.segment, window, 1)
        }
    };
    let mut idle = 0;
    while idle < patience && left >= stream.segment.into() && out.len() < CHUNK {
        let flow = &mut flows[*turn];
        let mut at_once = left.min(most.into()) as u32;
        if flow.under_way() == 0 {
            // At first the guest takes less than a long burst.
            let room = flow.window() / stream.segment * stream.segment;
            at_once = at_once.min(room.max(stream.segment));
        }
        if flow.may_send(at_once, limit) {
            idle = 0;
            for _ in 0..at_once / stream.segment {
                left -= u64::from(stream.segment);
                flow.segment(now, stream.segment, stream.push, out);
            }
        } else {
            idle += 1;
            if idle == patience {
                break;
            }
        }
        *turn = (*turn + 1) % flows.len();
    }
}

/// Sends the next request on each connection whose answer came.
fn exchange(flows: &mut [Flow], size: u32, now: Duration, out: &mut Vec<u8>) {
    for flow in flows.iter_mut().filter(|flow| flow.is_even()) {
        flow.request(now, size, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{each, flags};

    const LOTS: u64 = 1 << 40;

    /// Connections that are open, with a window of 8 MiB each.
    fn opened(count: u16) -> Vec<Flow> {
        let answer = |flags, ack| Answer {
            flags,
            seq: 0,
            ack,
            window: 0xffff,
            options: &[3, 3, 7, 0],
            len: 0,
        };
        let mut out = Vec::new();
        let open = |i| {
            let mut flow = Flow::new(PORT + i, 0, Stamps::Step, BURST);
            let now = Duration::from_millis(1);
            flow.open(now, &mut out);
            flow.receive(now, &answer(flags::SYN | flags::ACK, 1), &mut out);
            flow.receive(now, &answer(flags::ACK, 1), &mut out);
            flow
        };
        (0..count).map(open).collect()
    }

    fn ports(out: &[u8]) -> Vec<u16> {
        let mut seen = Vec::new();
        each(out, |frame| {
            seen.push(u16::from_be_bytes([frame[34], frame[35]]) - PORT);
        });
        seen
    }

    fn stream(text: &str) -> Stream {
        match Order::parse(text) {
            Some(Order::Send(stream)) => stream,
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn strict_turns_stop_at_the_window_and_at_a_connection_that_may_not_send() {
        let mut flows = opened(3);
        let (mut turn, mut out, now) = (0, Vec::new(), Duration::from_millis(5));
        let order = stream("mix 3 7 step");
        send(&mut flows, &order, LOTS, &mut turn, now, &mut out);
        assert_eq!(ports(&out), [0, 1, 2, 0, 1, 2, 0]);
        // The second connection's segments are acknowledged: it still is its turn.
        let answer = Answer {
            flags: flags::ACK,
            seq: 1,
            ack: 1 + 2 * MSS,
            window: 0,
            options: &[],
            len: 0,
        };
        flows[1].receive(now, &answer, &mut out);
        out.clear();
        send(&mut flows, &order, LOTS, &mut turn, now, &mut out);
        assert_eq!(
            ports(&out),
            [0; 0],
            "its window is closed, nobody overtakes it"
        );
    }

    #[test]
    fn no_more_is_sent_than_was_ordered_unless_it_was_lost() {
        let (mut turn, mut out, now) = (0, Vec::new(), Duration::from_millis(5));
        let quota = 5 * u64::from(MSS);
        let (mut flows, order) = (opened(2), stream("mix 2 100 step"));
        send(&mut flows, &order, quota, &mut turn, now, &mut out);
        send(&mut flows, &order, quota, &mut turn, now, &mut out);
        assert_eq!(ports(&out), [0, 1, 0, 1, 0]);
        out.clear();
        let later = Duration::from_secs(60);
        flows.iter_mut().for_each(|flow| flow.retry(later));
        send(&mut flows, &order, quota, &mut turn, later, &mut out);
        assert_eq!(ports(&out).len(), 5);
    }

    #[test]
    fn a_burst_is_cut_to_a_window_that_never_holds_it() {
        let (mut turn, mut out, now) = (0, Vec::new(), Duration::from_millis(5));
        let mut flows = opened(1);
        let answer = Answer {
            flags: flags::ACK,
            seq: 1,
            ack: 1,
            window: (64_000 >> 7) as u16,
            options: &[],
            len: 0,
        };
        flows[0].receive(now, &answer, &mut out);
        send(
            &mut flows,
            &stream("long 1"),
            LOTS,
            &mut turn,
            now,
            &mut out,
        );
        assert_eq!(ports(&out).len(), 44);
    }

    #[test]
    fn giants_are_one_frame_for_a_burst() {
        let (mut turn, mut out, now) = (0, Vec::new(), Duration::from_millis(5));
        send(
            &mut opened(1),
            &stream("giant 1"),
            LOTS,
            &mut turn,
            now,
            &mut out,
        );
        let giants = ports(&out).len();
        out.clear();
        send(
            &mut opened(1),
            &stream("bulk 1"),
            LOTS,
            &mut turn,
            now,
            &mut out,
        );
        assert_eq!(ports(&out).len(), giants * BURST as usize);
    }
}
