// SPDX-License-Identifier: GPL-2.0

//! The state of a device, from probe to unbind, which all operations share.

use crate::{
    clock::{
        Clock,
        Stamps, //
    },
    cmd::Commands,
    counters,
    filter::Filter,
    health::seen::Seen,
    hw::regs::{
        reg,
        Caps,
        Features, //
    },
    hw_stats::{
        self,
        Missed, //
    },
    mmio::Mmio,
    moderation::Moderation,
    net::{
        device::{
            self as netdev,
            MacAddr,
            Unlocked, //
        },
        dma::DmaDevice,
        extack::Extack,
        ptp,
        xdp::Holder, //
    },
    parser::Parser,
    queue::ProbeSlot,
    rx,
    steering::Steering,
    tcb::Tcbs,
    tuning::Tuning, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Bytes of an Ethernet header and two VLAN tags of any kind, beside a first tag 0x8100, which does
/// not count.
pub(crate) const FRAME_OVERHEAD: u32 = netdev::ETH_HLEN + 2 * netdev::VLAN_HLEN;
/// Fewest entries of the flow database that can be set.
const FLOWS_MIN: u32 = 16;
/// Most entries of the flow database that the driver works with, as a power of two.
const LOG2_FLOWS_MAX: u32 = 12;
/// Largest payload of a frame.
pub(crate) const MAX_MTU: u32 = 9600;
/// Longest frame.
pub(crate) const MAX_FRAME: u32 = MAX_MTU + FRAME_OVERHEAD;

/// A device and its driver's state, from probe to unbind.
pub(crate) struct Nic<'bound> {
    /// The bus device.
    pub(crate) dev: &'bound device::Device<Bound>,
    /// The registers.
    pub(crate) mmio: Arc<Mmio<'bound>>,
    /// The same, for mappings.
    pub(crate) dma: DmaDevice<'bound>,
    /// The device's counters.
    pub(crate) hw: hw_stats::Block<'bound>,
    /// Frames missed while the interface was up.
    pub(crate) missed: Missed,
    /// The driver's counters, one entry a queue.
    pub(crate) counters: KVec<Arc<counters::Queue>>,
    /// Commands to the device, from probe to unbind.
    pub(crate) cmd: Commands<'bound>,
    /// The clock, if the device has one.
    pub(crate) clock: Option<ptp::Clock<Clock<'bound>>>,
    /// Packets that get a stamp of it.
    pub(crate) stamps: Arc<Stamps>,
    /// RSS contexts and steering rules.
    pub(crate) steering: Steering,
    /// Control blocks.
    pub(crate) tcbs: Arc<Tcbs>,
    /// Receive settings that change at run time.
    pub(crate) settings: Arc<rx::Settings>,
    /// The XDP program.
    pub(crate) xdp: Arc<Holder>,
    /// Settings of the flow machinery.
    pub(crate) tuning: Tuning<'bound>,
    /// The header parser.
    pub(crate) parser: Parser<'bound>,
    caps: Caps,
    /// The optional parts of the device.
    pub(crate) features: Features,
    /// Entries of the flow database; written under the instance lock, while down.
    flows: Atomic<usize>,
    /// The MAC filter.
    pub(crate) filter: Filter<'bound>,
    /// The last observations of the watch.
    pub(crate) seen: Seen,
    /// The completion ring of each queue, for the watch and dumps.
    pub(crate) probes: KVec<Arc<ProbeSlot>>,
    /// Interrupt moderation.
    pub(crate) moderation: Moderation<'bound>,
}

/// The station address from the factory.
fn permanent_mac(mmio: &Mmio<'_>) -> MacAddr {
    let lo = mmio.read(reg::PERM_MAC_LO).to_le_bytes();
    let hi = mmio.read(reg::PERM_MAC_HI).to_le_bytes();
    [lo[0], lo[1], lo[2], lo[3], hi[0], hi[1]]
}

impl<'bound> Nic<'bound> {
    /// Makes the state for a device that has been reset; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if its capabilities make no sense, [`ENOMEM`].
    pub(crate) fn new(
        dev: &'bound device::Device<Bound>,
        mmio: Arc<Mmio<'bound>>,
        dma: DmaDevice<'bound>,
        parser: Parser<'bound>,
        queues: usize,
    ) -> Result<Self> {
        let caps = mmio.read(reg::CAPS);
        let flows = mmio.read(reg::FLOW_SIZE);
        if !flows.is_power_of_two() || flows > 1 << LOG2_FLOWS_MAX {
            dev_err!(dev, "device reports a flow database of {} entries\n", flows);
            return Err(ENODEV);
        }
        let mut counters = KVec::with_capacity(queues, GFP_KERNEL)?;
        for _ in 0..queues {
            counters.push(
                Arc::new(counters::Queue::default(), GFP_KERNEL)?,
                GFP_KERNEL,
            )?;
        }
        let mut probes = KVec::with_capacity(queues, GFP_KERNEL)?;
        for _ in 0..queues {
            probes.push(ProbeSlot::new()?, GFP_KERNEL)?;
        }
        let features = mmio.read(reg::FEATURES);
        let stamps = Arc::new(Stamps::default(), GFP_KERNEL)?;
        let clock = (features.clock() != 0).then(|| ptp::Clock::new(dev, Clock::new(&mmio)?));
        Ok(Self {
            dev,
            clock: clock.and_then(|made| {
                made.inspect_err(|e| dev_warn!(dev, "no clock ({})\n", e.to_errno()))
                    .ok()
            }),
            cmd: Commands::new(dev, &mmio, features.cmd() != 0)?,
            steering: Steering::new(queues as u32)?,
            tcbs: Arc::new(
                Tcbs::new(
                    1 << caps.log2_flows().min(LOG2_FLOWS_MAX),
                    features.cmd() & features.tcb() != 0,
                )?,
                GFP_KERNEL,
            )?,
            missed: Missed::new(),
            hw: hw_stats::Block::new(dev, &mmio, caps.queues() as usize)?,
            dma,
            counters,
            xdp: Arc::new(Holder::default(), GFP_KERNEL)?,
            settings: Arc::new(
                rx::Settings {
                    csum: Atomic::new(false),
                    hash: Atomic::new(false),
                    fail_pages: Atomic::new(false),
                    stamps: stamps.clone(),
                    fail_large_pages: Atomic::new(false),
                },
                GFP_KERNEL,
            )?,
            stamps,
            tuning: Tuning::new(&mmio)?,
            parser,
            caps,
            features,
            flows: Atomic::new(flows as usize),
            filter: Filter::new(&mmio, permanent_mac(&mmio))?,
            seen: Seen::new()?,
            probes,
            moderation: Moderation::new(&mmio, queues)?,
            mmio,
        })
    }

    /// Runs the self-test of the device and logs failures.
    pub(crate) fn self_test(&self) {
        match self.cmd.self_test() {
            Ok(failures) if failures.0 != 0 => {
                dev_warn!(self.dev, "self-test failed: {:#x}\n", failures.0);
            }
            Ok(_) | Err(EOPNOTSUPP) => {}
            Err(e) => dev_warn!(self.dev, "no answer to a self-test ({})\n", e.to_errno()),
        }
    }

    /// Entries of the flow database.
    pub(crate) fn flows(&self) -> usize {
        self.flows.load(Relaxed)
    }

    /// Changes the size of the flow database, which clears it. May sleep.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] for a size that the device does not support, [`EBUSY`] while the interface is
    /// up; the extack says why.
    pub(crate) fn set_flows(
        &self,
        dev: &mut Unlocked<'_, Self>,
        to: u32,
        ack: &mut Extack<'_>,
    ) -> Result {
        let most = 1 << self.caps.log2_flows().min(LOG2_FLOWS_MAX);
        if !to.is_power_of_two() || !(FLOWS_MIN..=most).contains(&to) {
            ack.say_fmt(fmt!("must be a power of two, {FLOWS_MIN} to {most}"));
            return Err(EINVAL);
        }
        let done = dev.while_down(|| {
            let before = self.flows.load(Relaxed);
            self.flows.store(to as usize, Relaxed);
            self.write_flow_size()
                .inspect_err(|_| self.flows.store(before, Relaxed))
        });
        if done == Err(EBUSY) {
            ack.say(c"take the interface down first");
        }
        done
    }

    /// Writes the size of the flow database. No queue runs.
    ///
    /// # Errors
    ///
    /// [`EIO`] if it does not take that many.
    pub(crate) fn write_flow_size(&self) -> Result {
        let to = u32::try_from(self.flows())?;
        self.mmio.write(reg::FLOW_SIZE, to);
        if self.mmio.read(reg::FLOW_SIZE) != to {
            return Err(EIO);
        }
        Ok(())
    }

    /// The interrupt vector of events: behind those of the queues.
    pub(crate) fn event_vector(&self) -> u32 {
        self.counters.len() as u32
    }

    /// The station address from the factory.
    pub(crate) fn permanent_mac(&self) -> MacAddr {
        permanent_mac(&self.mmio)
    }

    /// Writes the length of the longest frame that the device accepts.
    pub(crate) fn write_max_frame(&self, mtu: u32) {
        self.mmio.write(reg::MAX_FRAME, mtu + FRAME_OVERHEAD);
    }
}

impl Drop for Nic<'_> {
    fn drop(&mut self) {
        // Before the memory is freed that the device has addresses of.
        self.mmio.silence();
    }
}
