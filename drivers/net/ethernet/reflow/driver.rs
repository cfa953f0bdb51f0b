// SPDX-License-Identifier: GPL-2.0

//! Binding to the PCI function. The layer follows it through sleep, resets and errors.
//!
//! The device is always reset before it may access memory: a previous kernel may have left it
//! running.

use crate::{
    hw::regs::{
        self,
        reg,
        Caps, //
    },
    mmio::Mmio,
    net::{
        device::{
            online_cpus,
            Config, //
        },
        dma::DmaDevice,
        pci::{
            save_state,
            BusMaster,
            Driver as Bind,
            Probed, //
        }, //
    },
    netdev::VLAN_FEATURES,
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

kernel::pci_device_table!(
    PCI_TABLE,
    (),
    [(
        pci::DeviceId::from_id(pci::Vendor::REDHAT_QUMRANET, regs::PCI_DEVICE as u32),
        ()
    )]
);

/// Checks that this is a device that the driver knows.
fn identify(dev: &device::Device<Bound>, mmio: &Mmio<'_>) -> Result<Caps> {
    let magic = mmio.read(reg::MAGIC);
    let version = mmio.read(reg::VERSION);
    if magic != regs::MAGIC_VALUE || version >> 16 != regs::VERSION_VALUE >> 16 {
        dev_err!(
            dev,
            "not a device that this driver knows: magic {:#010x}, version {:#010x}\n",
            magic,
            version
        );
        return Err(ENODEV);
    }
    let caps = mmio.read(reg::CAPS);
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

/// Makes the parts of the network device of a function that has been reset.
fn set_up<'bound>(
    pdev: &'bound pci::Device<Bound>,
    mmio: Arc<Mmio<'bound>>,
    dma: DmaDevice<'bound>,
    caps: Caps,
) -> Result<Probed<'bound, Nic<'bound>>> {
    let dev: &'bound device::Device<Bound> = pdev.as_ref();

    // A queue for each CPU; more if the user wants them, and there are interrupts for them.
    let used = caps.queues().min(online_cpus());
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
    nic.bring_back()?;
    nic.apply_features(offered);
    nic.self_test();
    let config = Config {
        hw_features: offered,
        features: offered,
        vlan_features: offered & VLAN_FEATURES,
        queues,
        max_mtu: nic::MAX_MTU,
        mac: nic.permanent_mac(),
    };
    Ok(Probed {
        irqs,
        config,
        setup: Setup::new(used, queues),
        ops: nic,
    })
}

impl Bind for Driver {
    const ID_TABLE: pci::IdTable<()> = &PCI_TABLE;
    type Nic<'bound> = Nic<'bound>;

    fn probe<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Probed<'bound, Nic<'bound>>> {
        let dma = DmaDevice::new(pdev)?;
        let bound: &'bound pci::Device<Bound> = pdev;
        let bar = bound.iomap_region_sized::<{ regs::BAR_SIZE }>(0, c"reflow")?;
        let mmio = Arc::new(Mmio::new(bar, BusMaster::new(bound)), GFP_KERNEL)?;
        let caps = identify(bound.as_ref(), &mmio)?;
        mmio.reset()?;
        save_state(pdev);
        set_up(bound, mmio, dma, caps)
    }
}
