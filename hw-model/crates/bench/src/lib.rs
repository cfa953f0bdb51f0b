// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A device under load: frames of many TCP connections, and a driver that only gives buffers back.

#![forbid(unsafe_code)]

mod driver;
mod traffic;

pub use driver::Driver;
pub use traffic::Traffic;

use reflow_device::{Config, Device, RxOutcome};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::{Ctrl, FlowCfg, RxMode, CTRL, FLOW_CFG, MAX_FRAME, RX_MODE};
use reflow_testkit::host::FakeHost;
use rustix::time::{clock_gettime, ClockId};
use std::time::Duration;

/// Station address of the device.
pub const DEV_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Frames that come in before the device moves them on.
pub const BATCH: usize = 256;

/// Processor time of this thread, which does not count what else the machine does.
#[must_use]
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Processor time that the device took for a batch.
#[derive(Clone, Copy, Default, Debug)]
pub struct Times {
    /// From the wire into the packet memory.
    pub arrival: Duration,
    /// From there to host memory.
    pub transfer: Duration,
}

/// A device, its driver, and the traffic that comes in.
#[derive(Debug)]
pub struct Rig {
    device: Device,
    host: FakeHost,
    driver: Driver,
    traffic: Traffic,
    now: u64,
}

impl Rig {
    /// So many connections, each packet with so many bytes of data.
    #[must_use]
    pub fn new(flows: u16, payload: usize) -> Self {
        let mut device = Device::new(Config {
            mac: DEV_MAC,
            queues: 1,
            flows: 1024,
            pm_bytes: 1 << 20,
            seed: 1,
        });
        let mut host = FakeHost::new(16 << 20);
        device.set_link(true);
        let flow_cfg = FlowCfg(0)
            .with_reassembly(1)
            .with_batching(1)
            .with_suppress(1);
        for (register, value) in [
            (FLOW_CFG, flow_cfg.0),
            (RX_MODE, RxMode(0).with_broadcast(1).0),
            (MAX_FRAME, 1514),
        ] {
            device.mmio_write(&mut host, register, value);
        }
        let driver = Driver::new(&mut device, &mut host);
        device.mmio_write(&mut host, CTRL, Ctrl(0).with_rx(1).0);
        Self {
            device,
            host,
            driver,
            traffic: Traffic::new(flows, payload),
            now: 0,
        }
    }

    /// Receives and transfers a batch; the driver's work is not counted.
    ///
    /// # Panics
    ///
    /// The device loses a frame: the measurement would be wrong.
    pub fn batch(&mut self) -> Times {
        let frames = self.traffic.next_batch();
        self.now += 1_000_000;
        let start = cpu_time();
        let mut queued = 0;
        for frame in frames {
            let outcome = self.device.rx_frame(self.now, frame);
            queued += usize::from(matches!(outcome, RxOutcome::Queued { .. }));
        }
        let arrived = cpu_time();
        while self.device.pump(&mut self.host, self.now) {}
        let end = cpu_time();
        self.driver.poll(&mut self.device, &mut self.host);
        assert_eq!(queued, BATCH, "frames were dropped");
        assert_eq!(self.device.pm_level(), 0, "frames wait for buffers");
        Times {
            arrival: arrived - start,
            transfer: end - arrived,
        }
    }

    /// Packets that were merged, on average, into one.
    #[must_use]
    pub fn packets_per_aggregate(&self) -> f64 {
        let count = |opcode| self.device.counters().opcode(opcode);
        let starts = count(Opcode::Start) + count(Opcode::CloseStart);
        let appends = count(Opcode::Append) + count(Opcode::AppendClose);
        let others = count(Opcode::Small) + count(Opcode::OutOfOrder);
        (starts + appends + others) as f64 / (starts + others).max(1) as f64
    }

    /// Bytes of a frame.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.traffic.frame_len()
    }
}
