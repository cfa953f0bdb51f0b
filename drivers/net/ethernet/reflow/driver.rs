// SPDX-License-Identifier: GPL-2.0

//! Binding to the PCI function.

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
        dma::DmaDevice, //
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
    _netdev: Registration<'bound, Nic<'bound>>,
    _reset: Reset<'bound>,
}

/// Puts the device back to its reset state when the driver lets go of it.
struct Reset<'bound>(Arc<Mmio<'bound>>);

impl Reset<'_> {
    fn now(&self) {
        self.0.write(regs::RESET, 1);
    }
}

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.now();
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
    let dma = DmaDevice::new(pdev)?;
    pdev.set_master();
    let pdev: &'bound pci::Device<Bound> = pdev;
    let dev: &'bound device::Device<Bound> = pdev.as_ref();
    let bar = pdev.iomap_region_sized::<{ regs::BAR_SIZE }>(0, c"reflow")?;
    let mmio = Arc::new(Mmio::new(bar), GFP_KERNEL)?;
    let caps = identify(dev, &mmio)?;
    let reset = Reset(mmio.clone());
    reset.now();

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
    Ok(Data {
        _netdev: netdev,
        _reset: reset,
    })
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
}
