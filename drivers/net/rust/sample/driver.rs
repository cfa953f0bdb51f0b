// SPDX-License-Identifier: GPL-2.0

//! Binding to the PCI function.

use crate::{
    net::{
        device::Config,
        dma::DmaDevice,
        pci::{
            save_state,
            Driver as Bind,
            Probed, //
        }, //
    },
    nic::{
        self,
        Nic,
        Setup, //
    },
    regs, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    io::Io,
    pci::{
        self,
        IrqType,
        IrqTypes, //
    },
    prelude::*,
    sync::Arc, //
};

/// The registers.
pub(crate) type Bar<'bound> = pci::Bar<'bound, { regs::BAR_SIZE }>;

/// The driver.
pub(crate) struct Driver;

kernel::pci_device_table!(
    PCI_TABLE,
    (),
    [(
        pci::DeviceId::from_id(pci::Vendor::REDHAT_QUMRANET, regs::DEVICE),
        ()
    )]
);

impl Bind for Driver {
    const ID_TABLE: pci::IdTable<()> = &PCI_TABLE;
    type Nic<'bound> = Nic<'bound>;

    fn probe<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Probed<'bound, Nic<'bound>>> {
        let dma = DmaDevice::new(pdev)?;
        let bound: &'bound pci::Device<Bound> = pdev;
        let bar = bound.iomap_region_sized::<{ regs::BAR_SIZE }>(0, c"sample_nic")?;
        if bar.read32(regs::ID) != regs::MAGIC {
            return Err(ENODEV);
        }
        let bar = Arc::new(bar, GFP_KERNEL)?;
        // Whoever had the device before may have left it at work.
        nic::stop(&bar)?;
        save_state(pdev);
        let irqs = bound.alloc_irq_vectors(1, 1, IrqTypes::default().with(IrqType::MsiX))?;
        let config = Config {
            queues: 1,
            max_mtu: nic::MAX_MTU,
            mac: nic::mac(&bar),
            ..Config::default()
        };
        Ok(Probed {
            irqs: Arc::new(irqs, GFP_KERNEL)?,
            config,
            setup: Setup,
            ops: Nic::new(bound, dma, bar)?,
        })
    }
}
