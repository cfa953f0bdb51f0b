// SPDX-License-Identifier: GPL-2.0

//! The duties of a network device: up and down, addresses, filters, features, totals.

use crate::{
    cmd::Commands,
    counters,
    filter::Filter,
    health,
    hw::regs::{
        self,
        queue_reg,
        reg,
        Caps,
        Ctrl,
        Event,
        Features, //
    },
    hw::stats::Global,
    hw_stats,
    mmio::{
        Mmio,
        GONE, //
    },
    net::{
        device::{
            self as netdev,
            features,
            Device,
            MacAddr,
            Parts,
            QueuePair,
            Stats64,
            Unlocked,
            XmitContext, //
        },
        dma::DmaDevice,
        ethtool::Coalesce,
        extack::Extack,
        napi::NapiRef,
        queue_mgmt,
        skbuff::{
            TxInfo,
            TxSkb, //
        },
        xdp::{
            self,
            Holder, //
        }, //
    },
    parser::Parser,
    queue::{
        self,
        Doorbell,
        ProbeSlot,
        Queue, //
    },
    rx,
    setup::Setup,
    steering::Steering,
    tcb::Tcbs,
    totals::Missed,
    tuning::{
        Switch,
        Tuning, //
    },
    tx, //
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
const FRAME_OVERHEAD: u32 = netdev::ETH_HLEN + 2 * netdev::VLAN_HLEN;
/// Fewest entries of the flow database that can be set.
const FLOWS_MIN: u32 = 16;
/// Most entries of the flow database that the driver works with, as a power of two.
const LOG2_FLOWS_MAX: u32 = 12;
/// Largest payload of a frame.
pub(crate) const MAX_MTU: u32 = 9600;
/// Longest frame.
pub(crate) const MAX_FRAME: u32 = MAX_MTU + FRAME_OVERHEAD;
/// Features that VLAN interfaces on top inherit.
pub(crate) const VLAN_FEATURES: u64 =
    features::SG | features::HW_CSUM | features::TSO | features::USO;
/// Moderation at start: interrupts wait a little for company.
const COALESCE: Coalesce = Coalesce {
    rx_usecs: 8,
    rx_frames: 32,
    tx_usecs: 0,
    tx_frames: 0,
    adaptive: false,
};

/// A device and its driver's state, from probe to unbind.
pub(crate) struct Nic<'bound> {
    dev: &'bound device::Device<Bound>,
    mmio: Arc<Mmio<'bound>>,
    dma: DmaDevice<'bound>,
    /// The device's counters.
    pub(crate) hw: hw_stats::Block<'bound>,
    /// Frames that it missed.
    pub(crate) missed: Missed,
    /// The driver's counters, one entry a queue.
    pub(crate) counters: KVec<Arc<counters::Queue>>,
    /// Commands to the device, from probe to unbind.
    pub(crate) cmd: Commands<'bound>,
    /// Which queue packets go to.
    pub(crate) steering: Steering,
    /// Control blocks.
    pub(crate) tcbs: Arc<Tcbs>,
    settings: Arc<rx::Settings>,
    /// The XDP program.
    program: Arc<Holder>,
    /// What the flow machinery does.
    pub(crate) tuning: Tuning<'bound>,
    /// The header parser.
    pub(crate) parser: Parser<'bound>,
    caps: Caps,
    /// What the optional parts of the device are.
    features: Features,
    /// Entries of the flow database; written under the instance lock, while down.
    flows: Atomic<usize>,
    /// The MAC filter.
    pub(crate) filter: Filter<'bound>,
    /// What the watch saw last.
    pub(crate) seen: health::Seen,
    /// Where the receive memory of each queue can be looked at.
    pub(crate) probes: KVec<Arc<ProbeSlot>>,
    /// Interrupt moderation: microseconds, packets, adaptive; written under the instance lock.
    coalesce: [Atomic<u32>; 3],
}

/// The station address from the factory.
fn permanent_mac(mmio: &Mmio<'_>) -> MacAddr {
    let lo = mmio.read(reg::PERM_MAC_LO).to_le_bytes();
    let hi = mmio.read(reg::PERM_MAC_HI).to_le_bytes();
    [lo[0], lo[1], lo[2], lo[3], hi[0], hi[1]]
}

impl<'bound> Nic<'bound> {
    /// Takes charge of a device that has been reset. May sleep.
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
        let this = Self {
            dev,
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
            program: Arc::new(Holder::default(), GFP_KERNEL)?,
            settings: Arc::new(
                rx::Settings {
                    csum: Atomic::new(false),
                    hash: Atomic::new(false),
                    fail_pages: Atomic::new(false),
                },
                GFP_KERNEL,
            )?,
            tuning: Tuning::new(&mmio)?,
            parser,
            caps,
            features,
            flows: Atomic::new(flows as usize),
            filter: Filter::new(&mmio, permanent_mac(&mmio))?,
            seen: health::Seen::new()?,
            probes,
            coalesce: [
                Atomic::new(COALESCE.rx_usecs),
                Atomic::new(COALESCE.rx_frames),
                Atomic::new(COALESCE.adaptive.into()),
            ],
            mmio,
        };
        this.bring_back()?;
        this.apply_features(this.switchable());
        this.self_test();
        Ok(this)
    }

    /// Has the device test itself, and reports what is wrong.
    fn self_test(&self) {
        match self.cmd.self_test() {
            Ok(failures) if failures.0 != 0 => {
                dev_warn!(self.dev, "self-test failed: {:#x}\n", failures.0);
            }
            Ok(_) | Err(EOPNOTSUPP) => {}
            Err(e) => dev_warn!(self.dev, "no answer to a self-test ({})\n", e.to_errno()),
        }
    }

    /// The switch that has page allocations fail.
    pub(crate) fn fail_pages(&self) -> &Atomic<bool> {
        &self.settings.fail_pages
    }

    /// The registers.
    pub(crate) fn mmio(&self) -> &Mmio<'bound> {
        &self.mmio
    }

    /// The bus device.
    pub(crate) fn dev(&self) -> &device::Device<Bound> {
        self.dev
    }

    /// Entries of the flow database.
    pub(crate) fn flows(&self) -> usize {
        self.flows.load(Relaxed)
    }

    /// Changes the number of entries of the flow database, which the device forgets. May sleep.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] for a size that the device does not have, [`EBUSY`] while the interface is up,
    /// with the reason said.
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

    /// Tells the device how many entries its flow database is to use. No queue runs.
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

    /// Interrupt moderation in force.
    pub(crate) fn moderation(&self) -> Coalesce {
        let [usecs, frames, adaptive] = &self.coalesce;
        Coalesce {
            rx_usecs: usecs.load(Relaxed),
            rx_frames: frames.load(Relaxed),
            adaptive: adaptive.load(Relaxed) != 0,
            ..Coalesce::default()
        }
    }

    /// Sets interrupt moderation, now and for when the interface comes up.
    pub(crate) fn set_moderation(&self, to: Coalesce) {
        let [usecs, frames, adaptive] = &self.coalesce;
        adaptive.store(to.adaptive.into(), Relaxed);
        usecs.store(to.rx_usecs, Relaxed);
        frames.store(to.rx_frames, Relaxed);
        self.write_moderation();
    }

    /// The station address from the factory.
    pub(crate) fn permanent_mac(&self) -> MacAddr {
        permanent_mac(&self.mmio)
    }

    /// Features that this device lets the user switch.
    pub(crate) fn switchable(&self) -> u64 {
        let f = self.features;
        let mut on = features::SG;
        for (has, feature) in [
            (f.tx_csum(), features::HW_CSUM),
            (f.tso(), features::TSO),
            (f.uso(), features::USO),
            (f.rx_csum(), features::RXCSUM),
            (f.rss(), features::RXHASH),
            (f.reassembly(), features::GRO_HW),
            (f.vlan_strip(), features::VLAN_RX),
            (f.vlan_insert(), features::VLAN_TX),
            (f.cmd(), features::NTUPLE),
        ] {
            if has != 0 {
                on |= feature;
            }
        }
        on
    }

    fn apply_features(&self, on: u64) {
        let merge = on & features::GRO_HW != 0;
        self.tuning.set(Switch::Merge, merge);
        self.settings
            .csum
            .store(on & features::RXCSUM != 0, Relaxed);
        self.settings
            .hash
            .store(on & features::RXHASH != 0, Relaxed);
        self.filter.strip_vlan(on & features::VLAN_RX != 0);
    }

    fn receiver(&self, dev: &Device, setup: &Setup, i: usize) -> Result<rx::side::Side<'bound>> {
        let parts = rx::Parts {
            dev: self.dev,
            dma: &self.dma,
            netdev: dev,
            mmio: &self.mmio,
            queue: i.try_into()?,
            rings: setup.rings,
            flows: self.flows(),
            settings: &self.settings,
            counters: self.counters.get(i).ok_or(EINVAL)?,
            tcbs: &self.tcbs,
            program: &self.program,
        };
        rx::side::Side::new(&parts, setup.xdp)
    }

    /// Tells the device the longest frame that it is to take.
    pub(crate) fn write_max_frame(&self, mtu: u32) {
        self.mmio.write(reg::MAX_FRAME, mtu + FRAME_OVERHEAD);
    }
}

impl Drop for Nic<'_> {
    fn drop(&mut self) {
        // Before the memory goes that the device was told of.
        self.mmio.silence();
    }
}

impl xdp::Operations for Nic<'_> {
    const MAX_MTU: u32 = MAX_MTU;
    // With the first tag, too, which stays in the packet unless the user has it removed.
    const SINGLE_MTU: u32 = rx::xdp::BUF_SIZE - FRAME_OVERHEAD - netdev::VLAN_HLEN;

    fn xdp_program(&self) -> &Holder {
        &self.program
    }
}

impl<'bound> queue_mgmt::Operations for Nic<'bound> {
    type Rx = rx::side::Side<'bound>;
    const RX_PAGE_MAX: u32 = 1 << regs::LOG2_BUF_MAX;

    fn rx_alloc(&self, dev: &Device, setup: &Setup, queue: usize) -> Result<Self::Rx> {
        self.receiver(dev, setup, queue)
    }

    fn rx_install(
        &self,
        _queue: usize,
        poll: &mut Queue<'bound>,
        rx: Self::Rx,
        napi: NapiRef<'_>,
    ) -> Result {
        poll.rx_install(rx, napi)
    }

    fn rx_remove(
        &self,
        _queue: usize,
        poll: &mut Queue<'bound>,
        napi: NapiRef<'_>,
    ) -> Option<Self::Rx> {
        poll.rx_remove(napi)
    }
}

#[vtable]
impl<'bound> netdev::Operations for Nic<'bound> {
    const PARTS: Parts<Self> = Parts::new()
        .arfs()
        .channels()
        .coalesce()
        .copybreak()
        .debugfs()
        .devlink()
        .fw_version()
        .health()
        .queue_mgmt()
        .queue_stats()
        .rings()
        .rxfh()
        .rxnfc()
        .selftest()
        .service()
        .split()
        .standard_stats()
        .stats()
        .sysfs()
        .watch()
        .xdp();

    type Setup = Setup;
    type Tx = tx::Ring<'bound>;
    type Poll = Queue<'bound>;

    fn event_vector(&self) -> Option<usize> {
        Some(self.counters.len())
    }

    fn open_queue(&self, dev: &Device, setup: &Setup, i: usize) -> Result<QueuePair<Self>> {
        let counters = self.counters.get(i).ok_or(EINVAL)?;
        let log2 = setup.rings.tx;
        let (ring, cleaner) = tx::new(self.dev, self.dma, &self.mmio, i, log2, counters)?;
        let receiver = self.receiver(dev, setup, i)?;
        let probe = self.probes.get(i).ok_or(EINVAL)?;
        let poll = Queue::new(&self.mmio, i, receiver, cleaner, counters.clone(), probe);
        Ok(QueuePair {
            tx: ring,
            shared: Doorbell::new(&self.mmio, i, &poll),
            poll,
        })
    }

    fn restore(&self, dev: &Device, setup: &Setup, reset: bool) -> Result {
        if !reset && self.is_as_left() {
            return Ok(());
        }
        self.bring_back_for(dev, setup)
    }

    fn quiesce(&self) {
        self.mmio.write(reg::CTRL, Ctrl(0));
        self.mmio.write(reg::EVENT_ARM, Event(0));
        self.cmd.quiesce();
        self.hw.quiesce();
    }

    fn reset(&self) -> Result {
        self.mmio.reset()
    }

    fn is_present(&self) -> bool {
        self.mmio.present().is_ok()
    }

    fn link(&self) -> bool {
        let arm = Event(0).with_link(1).with_queue_fault(1);
        self.mmio.write(reg::EVENT_ARM, arm);
        let status = self.mmio.read(reg::STATUS);
        status.0 != GONE && status.link() != 0
    }

    fn start_queue(&self, queue: usize, tx: &mut Self::Tx, poll: &mut Self::Poll) -> Result {
        queue::set_coalesce(&self.mmio, queue, self.moderation());
        poll.start(tx)
    }

    fn stop_queue(&self, _queue: usize, poll: &mut Self::Poll) {
        poll.stop();
    }

    fn start(&self, dev: &Device, setup: &Setup) {
        self.write_max_frame(dev.mtu());
        self.steer(dev, setup.queues);
        self.tcbs.up(setup.queues);
        self.tuning.set(Switch::Program, setup.xdp);
        let on = Ctrl(0).with_rx(1).with_tx(1);
        self.mmio.write(reg::CTRL, on);
        let arm = regs::QueueDoorbell(0).with_arm(1);
        for queue in 0..setup.queues as usize {
            self.mmio.queue(queue).write(queue_reg::Q_DB, arm);
        }
    }

    fn stop(&self, _dev: &Device) {
        self.mmio.write(reg::CTRL, Ctrl(0));
        self.tcbs.down(&self.cmd);
    }

    fn running(&self, up: bool) {
        self.missed.running(up, self.hw.global(Global::RxDisabled));
    }

    fn start_xmit(tx: &mut Self::Tx, cx: &XmitContext<'_>, skb: TxSkb) {
        tx.xmit(cx, skb);
    }

    fn can_segment(packet: &TxInfo) -> bool {
        tx::can_segment(packet)
    }

    fn stats64(&self, stats: &mut Stats64) {
        self.fill_totals(stats);
    }

    fn set_rx_mode(&self, _dev: &Device, mode: &netdev::RxMode<'_>) -> Result {
        self.filter.set(mode);
        Ok(())
    }

    fn set_mac(&self, addr: &MacAddr) {
        self.filter.set_station(addr);
    }

    fn set_mtu(&self, mtu: u32) {
        self.write_max_frame(mtu);
    }

    fn event(&self) {
        let what = self.mmio.read(reg::EVENT);
        if what.0 != GONE {
            self.mmio.write(reg::EVENT, what);
        }
    }

    fn fix_features(&self, features: u64) -> u64 {
        // A program is to see every packet as it was on the wire.
        if self.tuning.is(Switch::KeepWhole) || self.program.is_set() {
            features & !features::GRO_HW
        } else {
            features
        }
    }

    fn set_features(&self, dev: &Device, on: u64) -> Result {
        self.enable_rules(dev, on & features::NTUPLE != 0)?;
        if on & features::NTUPLE == 0 {
            self.tcbs.stop_following(&self.cmd);
        }
        self.apply_features(on);
        Ok(())
    }
}
