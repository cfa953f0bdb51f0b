// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames into a running device, whose driver's double checks every completion. Aggregates that the
//! double's network stack segments again must give the original frames of each flow, in order,
//! without a loss.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_device::RxOutcome;
use reflow_fuzz::common::driver::{QueueSetup, Shape};
use reflow_fuzz::common::stack::Stack;
use reflow_fuzz::common::{Rig, Setup};
use reflow_fuzz::input::Input;
use reflow_fuzz::packets::Packets;
use reflow_hwdef::regs::{FlowCfg, RxMode, AGG_MAX, DATA_THRESH, FLOW_AGE_US, FLOW_CFG, SMALL_MAX};
use std::collections::VecDeque;

/// Turns after which everything must have come.
const TURNS: usize = 200;
/// Longest frame that may be padded.
const SHORT_FRAME: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new(Input::new(data));
    while !world.input.is_empty() {
        world.step();
    }
    world.end();
});

/// A frame that waits, as the driver will see it.
struct Sent {
    /// Without the VLAN tag that the device removes.
    frame: Vec<u8>,
    /// Flow number on arrival.
    flow: u16,
}

struct World<'a> {
    input: Input<'a>,
    rig: Rig,
    packets: Packets,
    stacks: Vec<Stack>,
    sent: Vec<VecDeque<Sent>>,
    strip: bool,
}

fn setup(input: &Input<'_>, strip: bool) -> Setup {
    let shape = |log2_size, log2_cell| Shape {
        log2_entries: 4,
        log2_size,
        log2_cell,
        posted: 16,
    };
    let queues = 1 + input.below(2);
    Setup {
        queues,
        flows: 4 << input.below(2),
        pm_bytes: 1 << (14 + input.below(4)),
        queue: QueueSetup {
            log2_cq: 4 + input.below(3) as u32,
            window: input.pick(&[0, 0, 1, 2, 8]),
            log2_tx: 3,
            shapes: [shape(11, 8), shape(12, 0), shape(11, 0), shape(11, 8)],
            recycle: true,
            small_every: None,
        },
        flow_cfg: FlowCfg(u32::from(input.u8()) & 0x7f),
        rx_mode: RxMode(0).with_broadcast(1).with_vlan_strip(strip.into()),
        max_frame: 9014,
        ram: queues << 18,
        program: input.pick(&["default", "tunnels", "noport", "session", "empty"]),
        ..Setup::default()
    }
}

impl<'a> World<'a> {
    fn new(input: Input<'a>) -> Self {
        let strip = input.one_in(2);
        let rig = Rig::new(setup(&input, strip));
        let queues = rig.queues.len();
        Self {
            input,
            rig,
            packets: Packets::default(),
            stacks: (0..queues).map(|_| Stack::default()).collect(),
            sent: (0..queues).map(|_| VecDeque::new()).collect(),
            strip,
        }
    }

    fn step(&mut self) {
        match self.input.below(16) {
            0..=9 => self.arrive(),
            10 => self.pump(),
            11 | 12 => self.deliver(),
            13 => self.rig.now += u64::from(self.input.u16()) << (self.input.u8() % 24),
            14 => {
                let register = self
                    .input
                    .pick(&[AGG_MAX, DATA_THRESH, SMALL_MAX, FLOW_AGE_US]);
                self.rig.write(register, self.input.u16().into());
            }
            _ if self.input.one_in(4) => self.restart(),
            _ => self.rig.write(FLOW_CFG, (self.input.u8() & 0x7f).into()),
        }
        reflow_fuzz::check(&self.rig.dev);
    }

    fn arrive(&mut self) {
        let mut frame = self.packets.frame(&self.input);
        let RxOutcome::Queued { queue, flow, .. } = self.rig.arrive(&frame) else {
            return;
        };
        if self.strip && frame.get(12..14) == Some(&[0x81, 0]) && frame.len() >= 18 {
            frame.drain(12..16);
        }
        self.sent[usize::from(queue)].push_back(Sent { frame, flow });
    }

    fn pump(&mut self) {
        self.rig.now += 1000;
        reflow_fuzz::pump(&mut self.rig.dev, &mut self.rig.host, self.rig.now);
    }

    fn deliver(&mut self) {
        self.pump();
        for queue in 0..self.stacks.len() {
            let deliveries = self.rig.poll(queue);
            self.stacks[queue].take(deliveries);
            let up = std::mem::take(&mut self.stacks[queue].up);
            for frame in up.iter().flat_map(|super_| super_.cut()) {
                self.came(queue, &frame);
            }
        }
    }

    /// A frame came out: it is the oldest one of its flow that waits.
    fn came(&mut self, queue: usize, frame: &[u8]) {
        let sent = &mut self.sent[queue];
        // Only the padding of a short frame may be left out.
        let least = |sent: &Sent| match sent.frame.len() {
            0..=SHORT_FRAME => trimmed(&sent.frame).len(),
            len => len,
        };
        let same = |sent: &Sent| sent.frame.starts_with(frame) && least(sent) <= frame.len();
        let Some(at) = sent.iter().position(same) else {
            panic!("never sent: {frame:02x?}");
        };
        let flow = sent[at].flow;
        if flow != reflow_hwdef::desc::FLOW_NONE {
            let first = sent.iter().position(|other| other.flow == flow);
            assert_eq!(first, Some(at), "out of order: {frame:02x?}");
        }
        sent.remove(at);
    }

    /// The queues go off and on again; what waits is lost.
    fn restart(&mut self) {
        self.deliver();
        for queue in 0..self.stacks.len() {
            let driver = &mut self.rig.queues[queue];
            driver.switch_off(&mut self.rig.dev, &mut self.rig.host);
            driver.switch_on(&mut self.rig.dev, &mut self.rig.host);
            self.stacks[queue] = Stack::default();
            self.sent[queue].clear();
        }
    }

    /// Whatever waits comes in the end.
    fn end(&mut self) {
        for _ in 0..TURNS {
            self.deliver();
            if self.sent.iter().all(VecDeque::is_empty) {
                self.rig.assert_accounted(0);
                return;
            }
            let deadline = self.rig.dev.next_deadline();
            self.rig.now = deadline
                .map_or(0, |at| at.min(self.rig.now + 1_000_000_000))
                .max(self.rig.now);
        }
        let left: usize = self.sent.iter().map(VecDeque::len).sum();
        panic!("{left} frames never come out");
    }
}

/// A frame without what follows its IP packet.
fn trimmed(frame: &[u8]) -> &[u8] {
    let word = |at: usize| match frame.get(at..at + 2) {
        Some(bytes) => (usize::from(bytes[0]) << 8) | usize::from(bytes[1]),
        None => 0,
    };
    let l3 = if word(12) == 0x8100 { 18 } else { 14 };
    let end = match word(l3 - 2) {
        0x0800 => l3 + word(l3 + 2),
        0x86dd => l3 + 40 + word(l3 + 4),
        _ => frame.len(),
    };
    &frame[..end.min(frame.len())]
}
