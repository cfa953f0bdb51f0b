// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `sample-nic VFIO-SOCKET WIRE-SOCKET MAC`: the sample NIC behind vfio-user, for QEMU.
//!
//! The wire is a stream socket as QEMU's `-netdev stream` speaks it: each frame behind its length in
//! four big-endian bytes. One client is served, and one connection of the wire.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{env, process, thread};

use reflow_mem::{GuestMemory, Permissions};
use reflow_sample::{regs, Host, Nic};
use vfio_bindings::bindings::vfio;
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

const CONFIG_SIZE: usize = 256;
const COMMAND: usize = 0x04;
const COMMAND_MASTER: u8 = 4;
/// BAR 2 holds the MSI-X table and, behind it, the pending bits. QEMU emulates both.
const MSIX_BAR_SIZE: usize = 0x2000;
const MSIX_PENDING: u32 = 0x1000;
const MSIX: usize = 0x40;

/// All that the NIC touches.
struct Outside {
    memory: GuestMemory,
    irq: Option<File>,
    wire: Option<UnixStream>,
    bus_master: bool,
}

impl Host for Outside {
    fn read(&self, at: u64, to: &mut [u8]) {
        if !self.bus_master || self.memory.read(at, to).is_err() {
            to.fill(0);
        }
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        if self.bus_master {
            // Memory that is not there takes nothing.
            let _ = self.memory.write(at, from);
        }
    }

    fn interrupt(&mut self) {
        if let Some(irq) = self.irq.as_mut().filter(|_| self.bus_master) {
            // An eventfd that is full is readable already.
            let _ = irq.write_all(&1_u64.to_ne_bytes());
        }
    }

    fn send(&mut self, frame: &[u8]) {
        if let Some(wire) = &mut self.wire {
            let len = (frame.len() as u32).to_be_bytes();
            // A wire that ended loses frames.
            let _ = wire.write_all(&len).and_then(|()| wire.write_all(frame));
        }
    }
}

/// The function: NIC, surroundings and configuration space.
struct Function {
    nic: Nic,
    outside: Outside,
    config: [u8; CONFIG_SIZE],
    writable: [u8; CONFIG_SIZE],
}

impl Function {
    fn new(mac: [u8; 6]) -> Self {
        let mut config = [0; CONFIG_SIZE];
        let mut writable = [0; CONFIG_SIZE];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x00, &0x1af4_u16.to_le_bytes());
        put(0x02, &(regs::DEVICE as u16).to_le_bytes());
        put(0x06, &[0x10, 0]); // there are capabilities
        put(0x0b, &[0x02]); // a network controller
        put(0x10, &[0x04]); // BAR 0 and BAR 2 have 64 bits
        put(0x18, &[0x04]);
        put(0x34, &[MSIX as u8]);
        put(MSIX, &[0x11, 0, 0, 0]); // MSI-X, the last capability, one vector
        put(MSIX + 4, &2_u32.to_le_bytes());
        put(MSIX + 8, &(MSIX_PENDING | 2).to_le_bytes());
        let mut allow =
            |at: usize, mask: &[u8]| writable[at..at + mask.len()].copy_from_slice(mask);
        allow(COMMAND, &[0x06, 0x04]);
        allow(0x10, &(!(regs::BAR_SIZE as u64 - 1)).to_le_bytes());
        allow(0x18, &(!(MSIX_BAR_SIZE as u64 - 1)).to_le_bytes());
        allow(MSIX + 3, &[0xc0]);
        Self {
            nic: Nic::new(mac),
            outside: Outside {
                memory: GuestMemory::new(),
                irq: None,
                wire: None,
                bus_master: false,
            },
            config,
            writable,
        }
    }

    fn config_write(&mut self, at: usize, data: &[u8]) {
        for (at, byte) in (at..CONFIG_SIZE).zip(data) {
            let mask = self.writable[at];
            self.config[at] = (self.config[at] & !mask) | (byte & mask);
        }
        self.outside.bus_master = self.config[COMMAND] & COMMAND_MASTER != 0;
    }
}

/// The vfio-user side.
#[derive(Clone)]
struct Backend(Arc<Mutex<Function>>);

impl Backend {
    fn lock(&self) -> MutexGuard<'_, Function> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Passes frames from the wire to the NIC until the wire ends.
    fn receive(&self, mut wire: UnixStream) -> io::Result<()> {
        loop {
            let mut len = [0; 4];
            wire.read_exact(&mut len)?;
            let mut frame = vec![0; u32::from_be_bytes(len) as usize];
            wire.read_exact(&mut frame)?;
            let Function { nic, outside, .. } = &mut *self.lock();
            nic.receive(&frame, outside);
        }
    }
}

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let function = self.lock();
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        data.fill(0);
        match (region, data.len()) {
            (vfio::VFIO_PCI_CONFIG_REGION_INDEX, _) => {
                for (to, from) in data.iter_mut().zip(function.config.iter().skip(at)) {
                    *to = *from;
                }
            }
            (vfio::VFIO_PCI_BAR0_REGION_INDEX, 4) => {
                data.copy_from_slice(&function.nic.read(at).to_le_bytes());
            }
            _ => {}
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut function = self.lock();
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if region == vfio::VFIO_PCI_CONFIG_REGION_INDEX {
            function.config_write(at, data);
        } else if let (vfio::VFIO_PCI_BAR0_REGION_INDEX, Ok(word)) = (region, data.try_into()) {
            let Function { nic, outside, .. } = &mut *function;
            nic.write(at, u32::from_le_bytes(word), outside);
        }
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
        let permissions = Permissions {
            read: flags.contains(DmaMapFlags::READ),
            write: flags.contains(DmaMapFlags::WRITE),
        };
        let file = fd.map(|fd| (fd, offset));
        let memory = &mut self.lock().outside.memory;
        let mapped = memory.map(address, size, permissions, file);
        mapped.map_err(io::Error::other)
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        let memory = &mut self.lock().outside.memory;
        if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            memory.clear();
            return Ok(());
        }
        memory.unmap(address, size).map_err(io::Error::other)
    }

    fn reset(&mut self) -> io::Result<()> {
        let Function { nic, outside, .. } = &mut *self.lock();
        nic.write(regs::CTRL, 0, outside);
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        _flags: u32,
        _start: u32,
        _count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        if index == vfio::VFIO_PCI_MSIX_IRQ_INDEX {
            self.lock().outside.irq = fds.into_iter().next();
        }
        Ok(())
    }
}

fn regions() -> Vec<ServerRegion> {
    let size = |index| match index {
        vfio::VFIO_PCI_BAR0_REGION_INDEX => regs::BAR_SIZE,
        vfio::VFIO_PCI_BAR2_REGION_INDEX => MSIX_BAR_SIZE,
        vfio::VFIO_PCI_CONFIG_REGION_INDEX => CONFIG_SIZE,
        _ => 0,
    };
    let access = vfio::VFIO_REGION_INFO_FLAG_READ | vfio::VFIO_REGION_INFO_FLAG_WRITE;
    (0..vfio::VFIO_PCI_NUM_REGIONS)
        .map(|index| ServerRegion {
            region_info: vfio::vfio_region_info {
                argsz: size_of::<vfio::vfio_region_info>() as u32,
                flags: if size(index) != 0 { access } else { 0 },
                index,
                size: size(index) as u64,
                ..Default::default()
            },
            sparse_areas: Vec::new(),
            mmap_fd: None,
        })
        .collect()
}

/// One MSI-X vector. QEMU warns about a function without an interrupt for errors.
fn irqs() -> Vec<IrqInfo> {
    (0..vfio::VFIO_PCI_NUM_IRQS)
        .map(|index| {
            let count = match index {
                vfio::VFIO_PCI_MSIX_IRQ_INDEX | vfio::VFIO_PCI_ERR_IRQ_INDEX => 1,
                _ => 0,
            };
            IrqInfo {
                index,
                flags: count * vfio::VFIO_IRQ_INFO_EVENTFD,
                count,
            }
        })
        .collect()
}

/// A station address such as 02:00:00:00:00:01.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [socket, wire, address] = arguments.as_slice() else {
        eprintln!("usage: sample-nic VFIO-SOCKET WIRE-SOCKET MAC");
        process::exit(2);
    };
    let mac = mac(address).ok_or_else(|| io::Error::other("that is no station address"))?;
    let mut backend = Backend(Arc::new(Mutex::new(Function::new(mac))));
    let wires = UnixListener::bind(wire)?;
    let listener = OwnedFd::from(UnixListener::bind(socket)?);
    println!("ready");
    io::stdout().flush()?;
    let wired = backend.clone();
    thread::spawn(move || -> io::Result<()> {
        let (wire, _) = wires.accept()?;
        wired.lock().outside.wire = Some(wire.try_clone()?);
        wired.receive(wire)
    });
    let server = Server::from_owned_fd(listener, true, irqs(), regions());
    server.run(&mut backend).map_err(io::Error::other)
}
