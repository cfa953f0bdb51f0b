// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The vfio-user side: the function as the virtual machine sees it.
//!
//! The protocol library checks no bounds and answers an error with a message that clients do not
//! expect in reply to an access, so every access is checked here and always succeeds: one that is
//! refused reads zero and writes nothing, as on a bus.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::Arc;

use reflow_hwdef::regs;
use reflow_mem::Permissions;
use vfio_bindings::bindings::vfio;
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, ServerBackend, ServerRegion};

use crate::config;
use crate::nic::Shared;

/// Serves one client after the other.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    /// Refusals that were logged, to limit their number.
    warned: BTreeSet<Refusal>,
}

/// Why an access was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Refusal {
    /// It reaches beyond its region.
    Range,
    /// Registers are read and written as aligned words of 32 bits only.
    Width,
    /// Memory space is not enabled in the command register, or the function sleeps.
    Disabled,
}

/// A region of the function that exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Region {
    Registers,
    Msix,
    Config,
}

impl Region {
    fn from_index(index: u32) -> Option<Self> {
        match index {
            vfio::VFIO_PCI_BAR0_REGION_INDEX => Some(Self::Registers),
            vfio::VFIO_PCI_BAR2_REGION_INDEX => Some(Self::Msix),
            vfio::VFIO_PCI_CONFIG_REGION_INDEX => Some(Self::Config),
            _ => None,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Registers => regs::BAR_SIZE,
            Self::Msix => config::MSIX_BAR_SIZE,
            Self::Config => config::SIZE,
        }
    }
}

/// The regions that clients are told of.
pub(crate) fn regions() -> Vec<ServerRegion> {
    (0..vfio::VFIO_PCI_NUM_REGIONS)
        .map(|index| {
            let region = Region::from_index(index);
            let access = vfio::VFIO_REGION_INFO_FLAG_READ | vfio::VFIO_REGION_INFO_FLAG_WRITE;
            ServerRegion {
                region_info: vfio::vfio_region_info {
                    argsz: size_of::<vfio::vfio_region_info>() as u32,
                    flags: if region.is_some() { access } else { 0 },
                    index,
                    size: region.map_or(0, |r| r.size() as u64),
                    ..Default::default()
                },
                sparse_areas: Vec::new(),
                mmap_fd: None,
            }
        })
        .collect()
}

/// The interrupts that clients are told of: MSI-X. QEMU warns unless there is also one by which the
/// device reports errors that it cannot recover from; this one never has any.
pub(crate) fn irqs(vectors: usize) -> Vec<IrqInfo> {
    (0..vfio::VFIO_PCI_NUM_IRQS)
        .map(|index| {
            let count = match index {
                vfio::VFIO_PCI_MSIX_IRQ_INDEX => vectors as u32,
                vfio::VFIO_PCI_ERR_IRQ_INDEX => 1,
                _ => 0,
            };
            let flags = if count > 0 {
                vfio::VFIO_IRQ_INFO_EVENTFD
            } else {
                0
            };
            IrqInfo {
                index,
                flags,
                count,
            }
        })
        .collect()
}

impl Backend {
    /// A backend for the next client.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            warned: BTreeSet::new(),
        }
    }

    /// Drops all that the client gave.
    pub(crate) fn disconnect(&mut self) {
        self.shared.lock().disconnect();
        self.shared.wake();
    }

    fn refuse(&mut self, why: Refusal, region: u32, offset: u64, len: usize) {
        if self.warned.insert(why) {
            log::warn!(
                "access of {len} bytes at {offset:#x} in region {region} refused ({why:?}); \
                 further ones are not reported"
            );
        }
    }

    /// The region and the offset in it, if the access is inside.
    fn locate(&mut self, index: u32, offset: u64, len: usize) -> Option<(Region, usize)> {
        let found = Region::from_index(index).and_then(|region| {
            let at = usize::try_from(offset).ok()?;
            (at.checked_add(len)? <= region.size()).then_some((region, at))
        });
        if found.is_none() {
            self.refuse(Refusal::Range, index, offset, len);
        }
        found
    }

    fn read(&mut self, index: u32, offset: u64, data: &mut [u8]) {
        let Some((region, at)) = self.locate(index, offset, data.len()) else {
            return;
        };
        let mut nic = self.shared.lock();
        let refusal = match region {
            Region::Config => {
                nic.config_read(at, data);
                return;
            }
            _ if !nic.memory_enabled() => {
                // A bus reads as all ones when no device answers.
                data.fill(0xff);
                Refusal::Disabled
            }
            // The client emulates table and pending bits; accesses that it passes on read zero.
            Region::Msix => return,
            Region::Registers => match <&mut [u8; 4]>::try_from(&mut *data) {
                Ok(word) if at % 4 == 0 => {
                    nic.device.advance(self.shared.now_ns());
                    *word = nic.device.mmio_read(at).to_le_bytes();
                    return;
                }
                _ => Refusal::Width,
            },
        };
        drop(nic);
        self.refuse(refusal, index, offset, data.len());
    }

    fn write(&mut self, index: u32, offset: u64, data: &[u8]) {
        let Some((region, at)) = self.locate(index, offset, data.len()) else {
            return;
        };
        let mut nic = self.shared.lock();
        let refusal = match region {
            Region::Config => {
                nic.config_write(at, data);
                None
            }
            _ if !nic.memory_enabled() => Some(Refusal::Disabled),
            Region::Msix => None,
            Region::Registers => match <[u8; 4]>::try_from(data) {
                Ok(word) if at % 4 == 0 => {
                    nic.device.advance(self.shared.now_ns());
                    nic.mmio_write(at, u32::from_le_bytes(word));
                    None
                }
                _ => Some(Refusal::Width),
            },
        };
        drop(nic);
        match refusal {
            Some(why) => self.refuse(why, index, offset, data.len()),
            // It may have been a doorbell, or the bit that lets the device work.
            None => self.shared.wake(),
        }
    }
}

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.read(region, offset, data);
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write(region, offset, data);
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        log::debug!(
            "map {address:#x}+{size:#x} {flags:?}, file: {}",
            fd.is_some()
        );
        let permissions = Permissions {
            read: flags.contains(DmaMapFlags::READ),
            write: flags.contains(DmaMapFlags::WRITE),
        };
        let file = fd.map(|fd| (fd, offset));
        let result = self
            .shared
            .lock()
            .memory
            .map(address, size, permissions, file);
        self.shared.wake();
        result.map_err(io::Error::other)
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        log::debug!("unmap {address:#x}+{size:#x} {flags:?}");
        let memory = &mut self.shared.lock().memory;
        if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            memory.clear();
            return Ok(());
        }
        memory.unmap(address, size).map_err(io::Error::other)
    }

    fn reset(&mut self) -> io::Result<()> {
        log::debug!("device reset");
        self.shared.lock().reset();
        self.shared.wake();
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        log::debug!(
            "irqs {index} {flags:#x} {start}+{count}, {} eventfds",
            fds.len()
        );
        let trigger = flags & vfio::VFIO_IRQ_SET_ACTION_TRIGGER != 0;
        if index != vfio::VFIO_PCI_MSIX_IRQ_INDEX || !trigger {
            // Of the other kinds only the errors can be set, which never come.
            return if count == 0 || index == vfio::VFIO_PCI_ERR_IRQ_INDEX {
                Ok(())
            } else {
                Err(io::ErrorKind::InvalidInput.into())
            };
        }
        let interrupts = &mut self.shared.lock().interrupts;
        if count == 0 {
            interrupts.disconnect();
            return Ok(());
        }
        let vectors = (start as usize)..(start as usize).saturating_add(count as usize);
        if vectors.end > interrupts.count() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if flags & vfio::VFIO_IRQ_SET_DATA_EVENTFD == 0 {
            // A client may raise vectors to test its own path.
            vectors.for_each(|v| interrupts.raise(v));
            return Ok(());
        }
        let mut fds = fds.into_iter();
        vectors.for_each(|v| interrupts.connect(v, fds.next()));
        Ok(())
    }
}
