// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Receives a frame into the packet memory.

use crate::arrive::headers::{Checked, Layers, Tcp};
use crate::arrive::key::FlowKey;
use crate::arrive::mac::{self, Cast};
use crate::arrive::parser::Parsed;
use crate::arrive::spread::Steering;
use crate::device::Device;
use crate::flow::manager::{Decision, Manager};
use crate::pm::Control;
use crate::proto::{be32, FIN, PROTO_TCP, PROTO_UDP, RST, SYN, VLAN_LEN};
use reflow_hwdef::isa::{Kind, HEADER_MEMORY};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{self, Ctrl, RED_BANDS};
use reflow_hwdef::stats::{Global, Queue as QueueStat};

/// Counters of random early discard, band by band.
const BAND_COUNTERS: [Global; RED_BANDS] = [
    Global::RxRed0,
    Global::RxRed1,
    Global::RxRed2,
    Global::RxRed3,
];

/// The outcome of a frame from the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RxOutcome {
    /// It waits in the packet memory.
    Queued {
        /// Queue pair that it will go to.
        queue: u16,
        /// Operation code, as given on arrival.
        opcode: Opcode,
        /// Flow number, `desc::FLOW_NONE` for none.
        flow: u16,
    },
    /// It is lost, and this counter says why.
    Dropped(Global),
}

/// A frame before it enters the packet memory.
struct Arrival<'a> {
    frame: &'a [u8],
    /// Control information of a VLAN tag, and whether that is removed.
    tag: Option<u16>,
    strip: bool,
    key: Option<FlowKey>,
    steering: Steering,
    checked: Checked,
    parsed: Parsed,
}

impl Arrival<'_> {
    /// Length as stored.
    fn stored_len(&self) -> usize {
        self.frame.len() - self.removed()
    }

    /// Bytes that are removed behind the addresses.
    fn removed(&self) -> usize {
        if self.strip {
            VLAN_LEN
        } else {
            0
        }
    }

    /// An offset in the frame, as an offset in what is stored.
    fn stored(&self, off: usize) -> usize {
        off.saturating_sub(self.removed())
    }
}

/// The flow label of an IPv6 packet; 0 of others.
fn flow_label(frame: &[u8], parsed: &Parsed) -> u32 {
    let word = parsed.l3_off.and_then(|off| be32(frame, off.into()));
    match parsed.kind.ipv6() {
        0 => 0,
        _ => word.unwrap_or(0) & 0xf_ffff,
    }
}

impl Device {
    /// Takes one frame from the wire, without FCS; never blocks. Claims: 1, 8, 32, 33.
    pub fn rx_frame(&mut self, now_ns: u64, frame: &[u8]) -> RxOutcome {
        self.now = self.now.max(now_ns);
        self.counters.inc(Global::RxFrames);
        self.counters.add(Global::RxBytes, frame.len() as u64);
        self.counters.inc(mac::length_of(frame).rx);
        if mac::is_mac_control(frame) {
            self.counters.inc(Global::RxMacControl);
        }
        match self.arrive(frame) {
            Ok(outcome) => outcome,
            Err(why) => {
                self.counters.inc(why);
                RxOutcome::Dropped(why)
            }
        }
    }

    fn arrive(&mut self, frame: &[u8]) -> Result<RxOutcome, Global> {
        if Ctrl(self.file.get(regs::CTRL)).rx() == 0 {
            return Err(Global::RxDisabled);
        }
        match self.mac.filter(frame)? {
            Cast::Unicast => {}
            Cast::Multicast => self.counters.inc(Global::RxMulticast),
            Cast::Broadcast => self.counters.inc(Global::RxBroadcast),
        }
        let arrival = self.parse(frame);
        let Some(queue) = self.choose_queue(&arrival) else {
            return Err(Global::RxRuleDrop);
        };
        let Some(rx) = self.queues.get(queue).and_then(|q| q.rx.as_ref()) else {
            return Err(Global::RxDisabled);
        };
        let header_limit = rx.header_limit().unwrap_or(0).min(HEADER_MEMORY);
        let waits = rx.wait.is_some();
        if !self.pm.has_room(arrival.stored_len()) {
            if waits {
                self.counters.inc_queue(queue, QueueStat::Missed);
            }
            return Err(Global::RxPmOverflow);
        }
        if self.is_unlucky(&arrival) {
            return Err(Global::RxRed);
        }
        let decision = self.classify(&arrival, queue, header_limit);
        let control = self.control(&arrival, &decision);
        self.store(&arrival, queue, control);
        Ok(RxOutcome::Queued {
            queue: queue as u16,
            opcode: control.opcode,
            flow: control.flow,
        })
    }

    /// Whether a packet is discarded at random. Those that set up, end or pace a connection never
    /// are.
    ///
    /// Claims: 28.
    fn is_unlucky(&mut self, arrival: &Arrival<'_>) -> bool {
        let control = |tcp: Tcp| tcp.len == 0 || tcp.flags & (SYN | FIN | RST) != 0;
        if arrival.checked.tcp.is_some_and(control) {
            return false;
        }
        let levels = self.file.run(regs::RED_LEVELS, RED_BANDS);
        let probs = self.file.run(regs::RED_PROB, RED_BANDS);
        let band = self.red.discard(self.pm.level(), levels, probs);
        let counter = band.and_then(|band| BAND_COUNTERS.get(band));
        if let Some(&counter) = counter {
            self.counters.inc(counter);
        }
        band.is_some()
    }

    /// Runs the parser program over the header memory and checks what it says. Claims: 2, 4, 5, 6.
    fn parse<'a>(&self, frame: &'a [u8]) -> Arrival<'a> {
        let header = &frame[..frame.len().min(HEADER_MEMORY)];
        let parsed = self.program.run(header, frame.len());
        let checked = Checked::new(frame, &parsed);
        let tag = mac::vlan_tci(frame);
        let key = FlowKey::new(&parsed, tag);
        Arrival {
            frame,
            tag,
            strip: tag.is_some() && self.mac.mode.vlan_strip() != 0,
            key,
            steering: self
                .spread
                .steer(key.as_ref(), &parsed, flow_label(frame, &parsed)),
            checked,
            parsed,
        }
    }

    /// The queue of a frame: while packets of a flow wait, its next ones follow them. `None` if a
    /// rule says to drop it.
    ///
    /// Claims: 38, 45, 54, 61.
    fn choose_queue(&mut self, arrival: &Arrival<'_>) -> Option<usize> {
        let Some(flow) = arrival.key.and_then(|key| self.fdb.lookup(&key)) else {
            return arrival.steering.queue;
        };
        let wanted = self.tcbs.queue(flow).or(arrival.steering.queue)?;
        let waits = self.pm.holds_more_than(0, flow);
        let now = self.fdb.entry(flow).map_or(wanted, |entry| entry.queue);
        if waits || now == wanted {
            return Some(now);
        }
        self.give_page_back(flow, false);
        if let Some(entry) = self.fdb.entry(flow) {
            entry.queue = wanted;
        }
        Some(wanted)
    }

    /// Gets the decision of the flow database manager.
    fn classify(&mut self, arrival: &Arrival<'_>, queue: usize, header_limit: usize) -> Decision {
        let layers = arrival.checked.layers;
        if arrival.parsed.refused {
            self.counters.inc(Global::RxParserRefused);
        }
        if layers.is_some_and(|layers| !layers.l3_ok) {
            self.counters.inc(Global::RxL3CsumBad);
        }
        if arrival.checked.l4_ok == Some(false) {
            self.counters.inc(Global::RxL4CsumBad);
        }
        let limits = self.limits();
        let decision = Manager {
            fdb: &mut self.fdb,
            tcbs: &mut self.tcbs,
            counters: &mut self.counters,
            limits,
            session: limits.cfg.session() != 0 && arrival.parsed.session.is_some(),
            refused: arrival.parsed.refused,
            stored_len: arrival.stored_len(),
            now: self.now,
            queue,
        }
        .decide(
            arrival.frame,
            arrival.key,
            &arrival.checked,
            header_limit + arrival.removed(),
        );
        if let Some(old_queue) = decision.evicted_from {
            self.succeed(decision.flow, old_queue);
        }
        decision
    }

    /// A flow number was given to another flow: releases the page of the old one.
    pub(crate) fn succeed(&mut self, flow: u16, old_queue: usize) {
        if let Some(place) = self.reasm.forget(flow) {
            self.pm.push_release(old_queue, flow, place.buffer.id, true);
        }
    }

    /// The packet's entry in the control memory. Claims: 17, 35, 52.
    fn control(&self, arrival: &Arrival<'_>, decision: &Decision) -> Control {
        let Checked {
            layers,
            l4,
            tcp,
            l4_ok,
        } = arrival.checked;
        let parsed = arrival.parsed.kind;
        let kind = layers.map_or(Kind(0), |layers| {
            Kind(0)
                .with_ipv4(parsed.ipv4())
                .with_ipv6(parsed.ipv6())
                .with_tunnel((layers.levels().len() > 1).into())
                .with_tcp(l4.is_some_and(|l4| l4.0 == PROTO_TCP).into())
                .with_udp(l4.is_some_and(|l4| l4.0 == PROTO_UDP).into())
        });
        let (outer_off, l3_off) = match layers.as_ref().map_or(&[][..], Layers::levels) {
            [] => (0, 0),
            [only] => (0, only.off),
            [outer, .., inner] => (outer.off, inner.off),
        };
        let l3_ok = layers.is_some_and(|layers| layers.l3_ok);
        Control {
            opcode: decision.opcode,
            why: decision.why,
            flow: decision.flow,
            ends_flow: decision.ends_flow,
            kind,
            hash: arrival.steering.hash,
            l3_ok,
            l4_ok,
            csum_bad: l4_ok == Some(false) || (layers.is_some() && !l3_ok),
            vlan: arrival.tag.filter(|_| arrival.strip),
            l3_off: arrival.stored(l3_off),
            outer_off: arrival.stored(outer_off),
            l4_off: arrival.stored(l4.map_or(0, |l4| l4.1)),
            hdr_len: arrival.stored(tcp.map_or(0, |tcp| tcp.data)),
            data_len: tcp.map_or(0, |tcp| tcp.len),
            seg_size: decision.seg_size,
            fixed_ids: decision.fixed_ids,
            trailer: layers.is_some_and(|layers| layers.slack != 0),
            complete: decision.complete,
            tcp_flags: tcp.map_or(0, |tcp| tcp.flags),
            seq: tcp.map_or(0, |tcp| tcp.seq),
            session: arrival.parsed.session.filter(|_| tcp.is_some()),
            tcb: decision.tcb,
            time: self.clock.at(self.now),
        }
    }

    /// Stores a packet, its control memory entry and its flow number.
    fn store(&mut self, arrival: &Arrival<'_>, queue: usize, control: Control) {
        let (addrs, rest) = arrival.frame.split_at(12);
        let rest = &rest[arrival.removed()..];
        self.pm.push(queue, [addrs, rest], control);
        self.fdb.set_busy(control.flow);
        if let Some(entry) = self.fdb.entry(control.flow) {
            entry.seen = self.now;
        }
    }
}
