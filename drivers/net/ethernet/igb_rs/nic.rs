// SPDX-License-Identifier: GPL-2.0

//! Binding to the PCI function, and the duties of a network device.

use crate::{
    desc::multicast_bit,
    hw,
    net::{
        pci as net_pci,
        prelude::*, //
    },
    queue,
    regs::{
        self,
        Bar,
        Queue,
        MAX_QUEUES, //
    },
    stats::{
        Count,
        Totals, //
    }, //
};
use kernel::{
    new_mutex,
    pci,
    sync::Mutex, //
};
use plain::{
    counters::Counters,
    sizes::Sizes,
    spread::Spread, //
};

/// Features that the user can switch.
const SWITCHABLE: u64 = features::SG
    | features::IP_CSUM
    | features::TSO
    | features::RXCSUM
    | features::VLAN_TX
    | features::VLAN_RX;
/// Features that VLAN interfaces on top inherit.
const VLAN_FEATURES: u64 = features::SG | features::IP_CSUM | features::TSO;
/// Largest payload of a frame.
const MAX_MTU: u32 = 9216;
/// Descriptors of a ring at start, and most of them, as powers of two.
const LOG2_RING: u32 = 9;
const LOG2_MAX: u32 = 12;
/// Least microseconds between two interrupts of a queue, at start.
const USECS: u32 = 100;

/// The driver.
pub(crate) struct Driver;

kernel::pci_device_table!(
    PCI_TABLE,
    (),
    [(pci::DeviceId::from_id(pci::Vendor::INTEL, 0x10c9), ())]
);

impl net_pci::Driver for Driver {
    const ID_TABLE: pci::IdTable<()> = &PCI_TABLE;
    type Nic<'bound> = Nic<'bound>;

    fn probe<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Probed<'bound, Nic<'bound>>> {
        let dma = DmaDevice::new(pdev)?;
        let bound: &'bound pci::Device<Bound> = pdev;
        let bar = bound.iomap_region_sized::<{ regs::BAR_SIZE }>(0, c"igb_rs")?;
        let bar = Arc::new(bar, GFP_KERNEL)?;
        // Whoever had the device before may have left it at work.
        hw::reset(&bar)?;
        net_pci::save_state(pdev);

        // A vector for each queue pair, and the last one for events.
        let used = netdev::online_cpus().min(MAX_QUEUES as u32);
        let (queues, irqs) = net_pci::alloc_vectors(bound, MAX_QUEUES as u32, used)?;
        let config = netdev::Config {
            hw_features: SWITCHABLE,
            features: SWITCHABLE | features::RXHASH,
            vlan_features: VLAN_FEATURES,
            queues,
            max_mtu: MAX_MTU,
            mac: hw::station(&bar),
        };
        let setup = Sizes::new(used, queues, LOG2_RING, queue::LOG2_MIN, LOG2_MAX);
        Ok(Probed {
            irqs,
            config,
            ops: Nic::new(bound, dma, bar, queues, &setup)?,
            setup,
        })
    }
}

/// A device and its driver's state, from probe to unbind.
pub(crate) struct Nic<'bound> {
    master: BusMaster<'bound>,
    dma: DmaDevice<'bound>,
    pub(crate) bar: Arc<Bar<'bound>>,
    config: Pin<KBox<Mutex<hw::Config>>>,
    /// The driver's counters.
    pub(crate) counters: Counters,
    /// The device's.
    pub(crate) totals: Totals,
}

impl<'bound> Nic<'bound> {
    /// Takes charge of a device that has been reset, with so many queues. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    fn new(
        dev: &'bound pci::Device<Bound>,
        dma: DmaDevice<'bound>,
        bar: Arc<Bar<'bound>>,
        queues: u32,
        setup: &Sizes,
    ) -> Result<Self> {
        let config = hw::Config {
            mac: hw::station(&bar),
            promisc: false,
            allmulti: false,
            multicast: [0; 128],
            features: SWITCHABLE,
            usecs: USECS,
            spread: Spread::new(),
            max_frame: setup.max_frame_on_wire(),
            running: false,
            event: queues,
        };
        let this = Self {
            master: BusMaster::new(dev),
            dma,
            bar,
            config: KBox::pin_init(new_mutex!(config, "igb_rs::config"), GFP_KERNEL)?,
            counters: Counters::new(queues as usize)?,
            totals: Totals::default(),
        };
        this.master.allow_after(|| hw::reset(&this.bar))?;
        this.change(|_| {})?;
        Ok(this)
    }

    /// Looks at what is configured.
    pub(crate) fn config<R>(&self, look: impl FnOnce(&hw::Config) -> R) -> R {
        look(&self.config.lock())
    }

    /// Changes what is configured, and tells the device. May sleep.
    ///
    /// # Errors
    ///
    /// Errors of [`hw::Config::write`].
    pub(crate) fn change(&self, change: impl FnOnce(&mut hw::Config)) -> Result {
        let mut config = self.config.lock();
        change(&mut config);
        config.write(&self.bar)
    }

    /// Reads the device's counters, which go back to 0. The instance lock is held.
    pub(crate) fn update_totals(&self) {
        self.totals
            .update(|at| self.bar.try_read32(at).unwrap_or(0));
        for (queue, counters) in Queue::all().zip(self.counters.iter()) {
            let missed = self.bar.read(regs::RQDPC::at(queue.index()));
            counters.missed.add(missed.into_raw().into());
        }
    }
}

impl Drop for Nic<'_> {
    fn drop(&mut self) {
        // One that does not answer does nothing either.
        let _ = hw::reset(&self.bar);
    }
}

impl watch::Operations for Nic<'_> {
    fn watch(&self, _dev: &Device) -> Option<watch::Finding> {
        if hw::is_present(&self.bar) {
            self.update_totals();
            return None;
        }
        Some(watch::Finding {
            reporter: 0,
            remedy: watch::Remedy::Detach,
            text: Sentence::new(fmt!("the device does not answer")),
        })
    }
}

#[vtable]
impl<'bound> netdev::Operations for Nic<'bound> {
    const PARTS: Parts<Self> = Parts::new()
        .channels()
        .coalesce()
        .link()
        .queue_stats()
        .rings()
        .rxfh()
        .standard_stats()
        .stats()
        .watch();

    type Setup = Sizes;
    type Tx = queue::Sender<'bound>;
    type Poll = queue::Pair<'bound>;

    fn open_queue(&self, dev: &Device, setup: &Sizes, queue: usize) -> Result<QueuePair<Self>> {
        let counters = self.counters.get(queue)?;
        let queue = Queue::all().nth(queue).ok_or(EINVAL)?;
        let of = (self.master, self.dma, &self.bar);
        let (tx, poll) = queue::new(of, dev, queue, setup, counters)?;
        let shared = queue::Vector::new(&self.bar, queue);
        Ok(QueuePair { tx, poll, shared })
    }

    fn event_vector(&self) -> Option<usize> {
        Some(self.config(|config| config.event) as usize)
    }

    fn restore(&self, _dev: &Device, setup: &Sizes, reset: bool) -> Result {
        if reset || !self.master.is_allowed() || !hw::is_configured(&self.bar) {
            self.master.allow_after(|| hw::reset(&self.bar))?;
        }
        self.change(|config| config.max_frame = setup.max_frame_on_wire())
    }

    fn quiesce(&self) {
        hw::quiesce(&self.bar);
    }

    fn reset(&self) -> Result {
        hw::reset(&self.bar)
    }

    fn is_present(&self) -> bool {
        hw::is_present(&self.bar)
    }

    fn link(&self) -> bool {
        // An event that is not acknowledged keeps the next one from being told.
        self.bar.read(regs::ICR);
        self.bar.write_reg(regs::IMS::zeroed().with_lsc(true));
        let event = self.config(|config| 1 << config.event);
        self.bar.write_reg(regs::EIMS::from(event));
        self.bar.read(regs::STATUS).lu() && self.is_present()
    }

    fn start_queue(&self, _queue: usize, _tx: &mut Self::Tx, poll: &mut Self::Poll) -> Result {
        poll.start()
    }

    fn stop_queue(&self, _queue: usize, poll: &mut Self::Poll) {
        poll.hw.stop();
    }

    fn start(&self, dev: &Device, setup: &Sizes) {
        let queues = netdev::Setup::queues(setup);
        // It fitted the registers when it was written before.
        let _ = self.change(|config| {
            config.max_frame = setup.max_frame_on_wire();
            config.running = true;
            if !dev.rxfh_configured() {
                config.spread.evenly(queues);
            }
        });
        for queue in Queue::all().take(queues as usize) {
            queue::Vector::new(&self.bar, queue).unmask();
        }
    }

    fn stop(&self, _dev: &Device) {
        let _ = self.change(|config| config.running = false);
    }

    fn start_xmit(tx: &mut Self::Tx, cx: &XmitContext<'_>, skb: TxSkb) {
        tx.xmit(cx, skb);
    }

    fn can_segment(packet: &TxInfo) -> bool {
        queue::can_segment(packet)
    }

    fn stats64(&self, to: &mut Stats64) {
        self.counters.add_to(to);
        let count = |which| self.totals.get(which);
        to.rx_missed_errors += count(Count::Missed);
        to.multicast = count(Count::RxMulticast);
        to.rx_crc_errors = count(Count::CrcErrors);
        to.rx_length_errors =
            count(Count::LengthErrors) + count(Count::RxShort) + count(Count::RxLong);
        to.rx_errors = to.rx_crc_errors + to.rx_length_errors;
    }

    fn set_rx_mode(&self, _dev: &Device, mode: &RxMode<'_>) -> Result {
        self.change(|config| {
            config.promisc = mode.promisc;
            config.allmulti = mode.allmulti;
            config.multicast = mode.multicast_table(multicast_bit);
        })
    }

    fn set_mac(&self, addr: &MacAddr) {
        let _ = self.change(|config| config.mac = *addr);
    }

    fn set_features(&self, _dev: &Device, features: u64) -> Result {
        self.change(|config| config.features = features)
    }
}
