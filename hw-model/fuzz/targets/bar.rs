// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Registers read and written in any order, among frames and pumps, by a guest that also scribbles
//! in its memory. The device neither panics nor gets stuck, and a reset makes it as good as new.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reflow_device::{Config, Device, Host};
use reflow_fuzz::common::frames::DEV_MAC;
use reflow_fuzz::common::host::BASE;
use reflow_fuzz::common::FakeHost;
use reflow_fuzz::input::Input;
use reflow_fuzz::packets::Packets;
use reflow_hwdef::layout::RegInfo;
use reflow_hwdef::regs::{
    BAR_SIZE, EVENT, GLOBAL_REGS, QUEUE_BASE, QUEUE_REGS, QUEUE_STRIDE, RESET,
};

const RAM: usize = 1 << 16;
const QUEUES: usize = 2;

fuzz_target!(|data: &[u8]| {
    let input = Input::new(data);
    let mut guest = Guest {
        dev: new_device(),
        host: FakeHost::new(RAM),
        packets: Packets::default(),
        now: 0,
    };
    guest.dev.set_link(true);
    while !input.is_empty() {
        guest.step(&input);
        reflow_fuzz::check(&guest.dev);
    }
    guest.end();
    if data.len() % 64 == 0 {
        guest.read_all();
    }
});

fn new_device() -> Device {
    Device::new(Config {
        mac: DEV_MAC,
        queues: QUEUES,
        flows: 8,
        pm_bytes: 1 << 15,
        seed: 1,
    })
}

struct Guest {
    dev: Device,
    host: FakeHost,
    packets: Packets,
    now: u64,
}

impl Guest {
    fn step(&mut self, input: &Input<'_>) {
        match input.below(16) {
            0..=7 => {
                let (at, value) = (offset(input), value(input));
                self.dev.mmio_write(&mut self.host, at, value);
            }
            8 => {
                self.dev.mmio_read(offset(input));
            }
            9 | 10 => {
                let frame = self.packets.frame(input);
                self.dev.rx_frame(self.now, &frame);
            }
            11 | 12 => {
                self.now += u64::from(input.u8()) << (input.u8() % 24);
                reflow_fuzz::pump(&mut self.dev, &mut self.host, self.now);
            }
            13 | 14 => {
                let (at, len) = (BASE + u64::from(input.u16()), 8 + input.below(56));
                // Behind the end of memory it is refused, and nothing depends on it.
                let _ = self.host.write(at, input.bytes(len));
            }
            _ => match input.below(3) {
                0 => self.dev.set_link(input.one_in(2)),
                1 => self.host.room = input.below(8),
                _ => self.dev.reset(),
            },
        }
    }

    /// Everything can be read.
    fn read_all(&mut self) {
        for offset in (0..BAR_SIZE).step_by(4) {
            self.dev.mmio_read(offset);
        }
    }

    /// After a reset all registers read as those of a new device.
    fn end(&mut self) {
        reflow_fuzz::pump(&mut self.dev, &mut self.host, self.now);
        self.dev.mmio_write(&mut self.host, RESET, 1);
        self.dev.set_link(false);
        let mut new = new_device();
        for (base, reg) in registers() {
            let at = base + reg.offset;
            // The link went down, which is an event.
            if at != EVENT {
                assert_eq!(self.dev.mmio_read(at), new.mmio_read(at), "{}", reg.name);
            }
        }
    }
}

/// Every register, the first of each array, with the base of its block.
fn registers() -> impl Iterator<Item = (usize, &'static RegInfo)> {
    let queues = (0..QUEUES).map(|queue| QUEUE_BASE + queue * QUEUE_STRIDE);
    let of_queues = queues.flat_map(|base| QUEUE_REGS.iter().map(move |reg| (base, reg)));
    GLOBAL_REGS.iter().map(|reg| (0, reg)).chain(of_queues)
}

/// Most often the offset of a register.
fn offset(input: &Input<'_>) -> usize {
    let element = |reg: &RegInfo| reg.offset + input.below(256) % reg.count * reg.stride;
    match input.below(16) {
        0 => input.u32() as usize,
        1..=5 => element(&GLOBAL_REGS[input.below(GLOBAL_REGS.len())]),
        _ => {
            let queue = QUEUE_BASE + input.below(QUEUES) * QUEUE_STRIDE;
            queue + element(&QUEUE_REGS[input.below(QUEUE_REGS.len())])
        }
    }
}

/// Most often something that makes sense somewhere.
fn value(input: &Input<'_>) -> u32 {
    match input.below(8) {
        0 => input.u32(),
        1..=3 => input.below(16) as u32,
        // The halves of an address in memory.
        4 => u32::from(input.u16()) & !0x3f,
        5 => (BASE >> 32) as u32,
        // The shape of a buffer ring.
        6 => 0x8_0b04 + input.below(4) as u32,
        _ => u32::from(input.u16()),
    }
}
