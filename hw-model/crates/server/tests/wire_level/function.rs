// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The PCI function as a virtual machine finds it.

use std::os::fd::AsRawFd;

use reflow_hwdef::regs;
use vfio_user::Client;

use crate::driver::{Driver, BAR0, BAR2, CONFIG, MSIX};
use crate::rig::Nic;

fn config<const N: usize>(client: &mut Client, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    client.region_read(CONFIG, at, &mut bytes).unwrap();
    bytes
}

fn config16(client: &mut Client, at: u64) -> u16 {
    u16::from_le_bytes(config(client, at))
}

fn config32(client: &mut Client, at: u64) -> u32 {
    u32::from_le_bytes(config(client, at))
}

/// A client that looks for regions and interrupts finds two BARs, configuration space, MSI-X and
/// the interrupt for errors that QEMU asks for.
#[test]
fn regions_and_interrupts() {
    let nic = Nic::start("loop", &["--queues", "7"]);
    let mut client = nic.client();
    let size = |client: &Client, i| client.region(i).unwrap().size;
    assert_eq!(size(&client, BAR0), regs::BAR_SIZE as u64);
    assert_eq!(size(&client, BAR2), 0x2000);
    assert_eq!(size(&client, CONFIG), 4096);
    for absent in [1, 3, 4, 5, 6, 8] {
        assert_eq!(size(&client, absent), 0, "region {absent}");
    }
    for (kind, vectors) in [(0, 0), (1, 0), (MSIX, 8), (3, 1), (4, 0)] {
        assert_eq!(
            client.get_irq_info(kind).unwrap().count,
            vectors,
            "interrupts {kind}"
        );
    }
}

/// Identity: vendor, device, class, revision, subsystem.
///
/// Claims: 31, 48
#[test]
fn identity() {
    let nic = Nic::start("loop", &[]);
    let mut client = nic.client();
    assert_eq!(config32(&mut client, 0x00), 0x10f5_1af4);
    assert_eq!(config32(&mut client, 0x2c), 0x10f5_1af4);
    // Network controller, Ethernet, revision 1.
    assert_eq!(config32(&mut client, 0x08), 0x0200_0001);
    // An ordinary function without interrupt pin or ROM.
    assert_eq!(config::<1>(&mut client, 0x0e), [0]);
    assert_eq!(config32(&mut client, 0x30), 0);
    assert_eq!(config::<1>(&mut client, 0x3d), [0]);
}

/// The capability list ends, and holds what a PCI Express endpoint with MSI-X must have.
#[test]
fn capabilities() {
    let nic = Nic::start("loop", &["--queues", "3"]);
    let mut client = nic.client();
    assert_ne!(config16(&mut client, 0x06) & 0x10, 0);
    let mut found = Vec::new();
    let mut at = config::<1>(&mut client, 0x34)[0];
    while at != 0 {
        assert!(at >= 0x40 && at % 4 == 0 && found.len() < 48);
        let [id, next] = config(&mut client, at.into());
        found.push((id, u64::from(at)));
        at = next;
    }
    let place = |id| found.iter().find(|(i, _)| *i == id).expect("capability").1;
    assert_eq!(found.len(), 3);

    let pm = place(0x01);
    assert_eq!(config16(&mut client, pm + 2) & 7, 3);

    let msix = place(0x11);
    assert_eq!(config16(&mut client, msix + 2) & 0x7ff, 3);
    let (table, pending) = (
        config32(&mut client, msix + 4),
        config32(&mut client, msix + 8),
    );
    assert_eq!((table & 7, pending & 7), (2, 2));
    assert!((pending & !7) >= (table & !7) + 4 * 16);

    let express = place(0x10);
    // Version 2, endpoint.
    assert_eq!(config16(&mut client, express + 2), 0x0002);
    let (cap, status) = (
        config32(&mut client, express + 12),
        config16(&mut client, express + 18),
    );
    assert_eq!(
        cap & 0x3ff,
        u32::from(status) & 0x3ff,
        "link runs at what it can"
    );

    // Serial number: the station address as an EUI-64; behind it error reporting, the last one.
    assert_eq!(config32(&mut client, 0x100), 0x1101_0003);
    assert_eq!(config32(&mut client, 0x110), 0x0002_0001);
    assert_eq!(
        config::<8>(&mut client, 0x104),
        [0x6c, 0x66, 0x72, 0xfe, 0xff, 0, 0, 2]
    );
}

/// Identity cannot be written, BARs can be sized, the command register keeps what it has.
#[test]
fn writable_bits() {
    let nic = Nic::start("loop", &[]);
    let mut client = nic.client();
    client.region_write(CONFIG, 0, &[0xff; 64]).unwrap();
    assert_eq!(config32(&mut client, 0x00), 0x10f5_1af4);
    assert_eq!(config16(&mut client, 0x04), 0x0546);
    let bars: Vec<u32> = (0..6)
        .map(|i| config32(&mut client, 0x10 + 4 * i))
        .collect();
    assert_eq!(
        bars,
        [0xffff_0004, 0xffff_ffff, 0xffff_e004, 0xffff_ffff, 0, 0]
    );
}

/// Registers answer when memory space is enabled and the function is awake, else reads are all
/// ones.
#[test]
fn memory_space() {
    let nic = Nic::start("loop", &[]);
    let mut client = nic.client();
    let magic = |client: &mut Client| {
        let mut word = [0; 4];
        client
            .region_read(BAR0, regs::MAGIC as u64, &mut word)
            .unwrap();
        u32::from_le_bytes(word)
    };
    assert_eq!(magic(&mut client), u32::MAX);
    client.region_write(CONFIG, 4, &[0x02, 0]).unwrap();
    assert_eq!(magic(&mut client), regs::MAGIC_VALUE);
    // D3hot and back.
    client.region_write(CONFIG, 0x44, &[0x03]).unwrap();
    assert_eq!(magic(&mut client), u32::MAX);
    client.region_write(CONFIG, 0x44, &[0x00]).unwrap();
    assert_eq!(magic(&mut client), regs::MAGIC_VALUE);
}

/// The device has what the command line asked for.
#[test]
fn options_reach_the_device() {
    let options = [
        "--mac",
        "02:11:22:33:44:55",
        "--queues",
        "5",
        "--flows",
        "64",
        "--pm-kib",
        "256",
    ];
    let nic = Nic::start("loop", &options);
    let mut driver = Driver::attach(&nic);
    let caps = regs::Caps(driver.read(regs::CAPS));
    assert_eq!(
        (caps.queues(), caps.vectors(), caps.log2_flows()),
        (5, 6, 6)
    );
    assert_eq!(driver.read(regs::PERM_MAC_LO), 0x3322_1102);
    assert_eq!(driver.read(regs::PERM_MAC_HI), 0x5544);
    assert_eq!(driver.read(regs::PM_SIZE), 256 * 1024);
}

/// Accesses that a driver must not make read zero, write nothing and break nothing.
#[test]
fn refused_accesses() {
    let nic = Nic::start("loop", &[]);
    let mut driver = Driver::attach(&nic);
    driver.write(regs::MAX_FRAME, 0x600);
    let end = regs::BAR_SIZE as u64;
    for (region, at, len) in [
        (BAR0, regs::MAX_FRAME as u64, 1),
        (BAR0, regs::MAX_FRAME as u64, 2),
        (BAR0, regs::MAX_FRAME as u64 + 1, 4),
        (BAR0, regs::MAX_FRAME as u64, 8),
        (BAR0, regs::MAX_FRAME as u64, 0),
        (BAR0, end - 2, 4),
        (BAR0, end, 4),
        (BAR0, u64::MAX - 1, 4),
        (BAR2, 0x2000, 4),
        (BAR2, 0, 16),
        (CONFIG, 4094, 4),
        (CONFIG, u64::MAX, 1),
        (1, 0, 4),
        (8, 0, 4),
    ] {
        let mut data = vec![0xee; len];
        driver.client.region_read(region, at, &mut data).unwrap();
        assert_eq!(data, vec![0; len], "region {region} at {at:#x}");
        driver
            .client
            .region_write(region, at, &vec![0xee; len])
            .unwrap();
    }
    assert_eq!(driver.read(regs::MAX_FRAME), 0x600);
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
    let log = nic.stderr();
    assert_eq!(log.matches("refused (Width)").count(), 1, "{log}");
    assert_eq!(log.matches("refused (Range)").count(), 1, "{log}");
}

/// Every word of the register space can be read, and written with anything.
#[test]
fn every_register() {
    let nic = Nic::start("loop", &[]);
    let mut driver = Driver::attach(&nic);
    for value in [0x0101_0101, u32::MAX] {
        for at in (0..regs::BAR_SIZE).step_by(4) {
            driver.write(at, value);
            driver.read(at);
        }
    }
    driver.write(regs::RESET, 1);
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
}

/// Ranges of memory come and go; those that make no sense do not end the connection.
#[test]
fn memory_ranges() {
    let nic = Nic::start("loop", &[]);
    let mut driver = Driver::attach(&nic);
    let ranges = |nic: &Nic| nic.status()["memory_ranges"].as_u64().unwrap();
    let fd = driver.ram.as_raw_fd();
    assert_eq!(ranges(&nic), 1);
    driver.client.dma_map(0, 0, 0x1000, fd).unwrap();
    driver.client.dma_map(0x1000, 0x1000, 0x1000, fd).unwrap();
    assert_eq!(ranges(&nic), 3);
    // Overlapping, too long for the file, wrapping around: refused.
    driver.client.dma_map(0, 0x1000, 0x1000, fd).unwrap();
    driver.client.dma_map(0, 0x10_0000, 1 << 40, fd).unwrap();
    driver.client.dma_map(0, u64::MAX, 0x1000, fd).unwrap();
    assert_eq!(ranges(&nic), 3);
    driver.client.dma_unmap(0, 0x2000).unwrap();
    assert_eq!(ranges(&nic), 1);
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
}
