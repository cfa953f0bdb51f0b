// SPDX-License-Identifier: GPL-2.0

//! Binding to the PCI function, and following it through sleep, resets and errors.
//!
//! The device is reset before it may access memory, each time: whoever had it before, another
//! kernel perhaps, may have left it at work.

use crate::{
    hw::regs::{
        self,
        Caps, //
    },
    mmio::Mmio,
    net::{
        device::{
            self as netdev,
            Config,
            Registration, //
        },
        dma::DmaDevice,
        pci::{
            disable,
            save_state,
            BusMaster,
            Channel,
            LifeCycle,
            Verdict, //
        }, //
    },
    nic::{
        self,
        Nic, //
    },
    parser::Parser,
    setup::Setup, //
};
use kernel::{
    device::{
        self,
        Bound,
        Core, //
    },
    pci::{
        self,
        IrqType,
        IrqTypes, //
    },
    prelude::*,
    sync::Arc, //
};

/// The driver.
pub(crate) struct Driver;

/// What a bound device has. Dropped in the order of declaration.
pub(crate) struct Data<'bound> {
    /// Declared first: the network device goes before what it works on.
    netdev: Registration<'bound, Nic<'bound>>,
    reset: Reset<'bound>,
}

impl Data<'_> {
    /// Has the device do nothing, least of all access memory. May sleep.
    fn rest(&self) {
        self.netdev.quiesce();
        // If it does not answer, there is nothing left but to take bus mastering away.
        let _ = self.reset.now();
        self.reset.0.deny_memory();
    }

    /// Puts the device back to work, whatever state it is in. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] or [`ETIMEDOUT`] if it does not answer, or what making queues says. The watch
    /// tries again, each second, if the interface is up; else bringing it up does.
    fn work(&self, dev: &pci::Device<Core<'_>>) -> Result {
        self.netdev.quiesce();
        let back = self.netdev.restore();
        back.inspect_err(|e| dev_err!(dev, "not back at work yet ({})\n", e.to_errno()))
    }
}

/// Puts the device back to its reset state when the driver lets go of it.
struct Reset<'bound>(Arc<Mmio<'bound>>);

impl Reset<'_> {
    /// # Errors
    ///
    /// As [`Mmio::reset`].
    fn now(&self) -> Result {
        self.0.reset()
    }
}

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        let _ = self.now();
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <Driver as pci::Driver>::IdInfo,
    [(
        pci::DeviceId::from_id(pci::Vendor::REDHAT_QUMRANET, regs::PCI_DEVICE as u32),
        ()
    )]
);

/// Checks that this is a device that the driver knows.
fn identify(dev: &device::Device<Bound>, mmio: &Mmio<'_>) -> Result<Caps> {
    let magic = mmio.read(regs::MAGIC);
    let version = mmio.read(regs::VERSION);
    if magic != regs::MAGIC_VALUE || version >> 16 != regs::VERSION_VALUE >> 16 {
        dev_err!(
            dev,
            "not a device that this driver knows: magic {:#010x}, version {:#010x}\n",
            magic,
            version
        );
        return Err(ENODEV);
    }
    let caps = Caps(mmio.read(regs::CAPS));
    let queues = caps.queues();
    if queues == 0 || queues as usize > regs::MAX_QUEUES || caps.vectors() <= queues {
        dev_err!(
            dev,
            "device reports {} queues and {} vectors\n",
            queues,
            caps.vectors()
        );
        return Err(ENODEV);
    }
    Ok(caps)
}

fn probe<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Data<'bound>> {
    pdev.enable_device_mem()?;
    start(pdev).inspect_err(|_| disable(pdev))
}

/// Takes charge of a function that can be reached.
fn start<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Data<'bound>> {
    let dma = DmaDevice::new(pdev)?;
    let bound: &'bound pci::Device<Bound> = pdev;
    let bar = bound.iomap_region_sized::<{ regs::BAR_SIZE }>(0, c"reflow")?;
    let mmio = Arc::new(Mmio::new(bar, BusMaster::new(bound)), GFP_KERNEL)?;
    let caps = identify(bound.as_ref(), &mmio)?;
    let reset = Reset(mmio.clone());
    reset.now()?;
    save_state(pdev);
    set_up(bound, mmio, dma, caps, reset)
}

/// Registers the network device of a function that has been reset.
fn set_up<'bound>(
    pdev: &'bound pci::Device<Bound>,
    mmio: Arc<Mmio<'bound>>,
    dma: DmaDevice<'bound>,
    caps: Caps,
    reset: Reset<'bound>,
) -> Result<Data<'bound>> {
    let dev: &'bound device::Device<Bound> = pdev.as_ref();

    // A queue for each CPU; more if the user wants them, and there are interrupts for them.
    let used = caps.queues().min(netdev::online_cpus());
    let msix = IrqTypes::default().with(IrqType::MsiX);
    let vectors = |queues| pdev.alloc_irq_vectors(queues + 1, queues + 1, msix);
    let (queues, irqs) = match vectors(caps.queues()) {
        Ok(irqs) => (caps.queues(), irqs),
        Err(_) => (used, vectors(used)?),
    };
    let irqs = Arc::new(irqs, GFP_KERNEL)?;
    let parser = Parser::new(&mmio)?;
    parser.load_first(dev)?;

    let nic = Nic::new(dev, mmio, dma, parser, queues as usize)?;
    let offered = nic.switchable();
    let config = Config {
        hw_features: offered,
        features: offered,
        vlan_features: offered & nic::VLAN_FEATURES,
        queues,
        max_mtu: nic::MAX_MTU,
        mac: nic.permanent_mac(),
    };
    // SAFETY: The registration goes into the driver's data, which the PCI core drops when the
    // device is unbound, that is before `'bound` ends; nobody can take it out of there.
    let netdev = unsafe { Registration::new(pdev, irqs, &config, Setup::new(used, queues), nic)? };
    Ok(Data { netdev, reset })
}

impl pci::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Data<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        probe(pdev)
    }
    fn unbind<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) {
        this.rest();
        disable(dev);
    }
}

impl LifeCycle for Driver {
    fn shutdown<'bound>(_dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) {
        this.rest();
    }

    fn suspend<'bound>(_dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) -> Result {
        this.rest();
        Ok(())
    }

    fn resume<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) -> Result {
        this.work(dev)
    }

    fn reset_prepare<'bound>(_dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) {
        this.rest();
    }

    fn reset_done<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) {
        // What went wrong is in the log, and there is nobody to tell.
        let _ = this.work(dev);
    }

    fn error_detected<'bound>(
        _dev: &'bound pci::Device<Core<'_>>,
        this: Pin<&Data<'bound>>,
        channel: Channel,
    ) -> Verdict {
        match channel {
            // Whatever was lost, a fresh start mends it; and if another function on this bus wants
            // a reset, this one is ready for it.
            Channel::Normal => {
                this.rest();
                Verdict::CanRecover
            }
            // What is written to it on the way is lost, and reads say that it has gone.
            Channel::Frozen => {
                this.netdev.gone();
                this.netdev.quiesce();
                Verdict::NeedReset
            }
            Channel::Dead => {
                this.netdev.gone();
                this.netdev.quiesce();
                Verdict::Disconnect
            }
        }
    }

    fn slot_reset<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) -> Result {
        // The PCI core gives a device up whose reset failed. The watch does not.
        this.reset.now().or_else(|_| this.work(dev))
    }

    fn error_over<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound>>) {
        // What went wrong is in the log, and there is nobody to tell.
        let _ = this.work(dev);
    }
}
