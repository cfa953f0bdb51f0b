// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Start and end of the server and of clients, and resets.

use std::os::fd::AsRawFd;

use reflow_hwdef::regs;

use crate::driver::{Driver, BASE, CONFIG, MSIX, RAM, SET_EVENTFD, SET_NONE};
use crate::peer::{plain, Peer};
use crate::rig::Nic;

/// One frame each way.
fn talk(driver: &mut Driver, peer: &mut Peer, fill: u8) {
    let frame = plain(200, fill);
    peer.send(&[&frame]);
    let completion = driver.next(0);
    assert_eq!(driver.whole_packet(0, completion), frame);
    driver.transmit(0, &frame);
    assert_eq!(peer.receive(), frame);
}

/// SIGTERM ends the server with success, and its sockets are gone.
#[test]
fn ends_on_a_signal() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let _driver = Driver::attach(&nic);
    let (status, dir) = nic.terminate();
    assert!(status.success());
    for socket in ["nic", "status", "wire"] {
        assert!(!dir.path().join(socket).exists(), "{socket} is left");
    }
    let nic = Nic::start_in(dir, "loop", &[]);
    Driver::attach(&nic);
}

/// A socket that a killed server left behind does not keep the next one from its place.
#[test]
fn replaces_a_stale_socket() {
    let dir = tempfile::TempDir::new().unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("nic")).unwrap());
    assert!(dir.path().join("nic").exists());
    let nic = Nic::start_in(dir, "loop", &[]);
    Driver::attach(&nic);
}

/// A client that vanishes leaves nothing: memory, eventfds and state are let go, and the next one
/// starts as the first did.
#[test]
fn clients_come_and_go() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    for round in 0..5 {
        let mut driver = Driver::attach(&nic);
        assert_eq!(driver.read(regs::CTRL), 0, "round {round}");
        driver.start();
        talk(&mut driver, &mut peer, round);
        // In the middle of it: frames on their way in, none of them taken.
        peer.send(&vec![plain(1000, 9); 50]);
        drop(driver);
        crate::rig::until("the client's memory is let go", || {
            (nic.status()["memory_ranges"] == 0).then_some(())
        });
        assert_eq!(nic.status()["vectors_connected"], 0);
        // They are counted when they have passed a device that is off.
        crate::rig::until("the frames are dropped", || {
            (nic.counter("hw_rx_disabled") > 0 || nic.counter("hw_rx_frames") == 0).then_some(())
        });
    }
}

/// A reset by the protocol, by the PCI Express capability and by the register: each leaves a device
/// that starts again.
#[test]
fn resets() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    for round in 0..6 {
        driver.start();
        talk(&mut driver, &mut peer, round);
        match round % 3 {
            0 => driver.client.reset().unwrap(),
            1 => driver
                .client
                .region_write(CONFIG, 0x68, &[0x10, 0xa8])
                .unwrap(),
            _ => driver.write(regs::RESET, 1),
        }
        if round % 3 != 2 {
            assert_eq!(
                driver.read(regs::MAGIC),
                u32::MAX,
                "memory space is off after a reset"
            );
            driver.enable_function();
        }
        assert_eq!(driver.queue_status(0).0, 0);
        assert_eq!(driver.read(regs::RESET), 0);
        assert_eq!(regs::Status(driver.read(regs::STATUS)).link(), 1);
    }
}

/// Without bus mastering the device keeps its packets and accesses no memory.
#[test]
fn bus_mastering() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    driver.start();
    driver.client.region_write(CONFIG, 4, &[0x02, 0]).unwrap();
    let frame = plain(100, 1);
    peer.send(&[&frame]);
    crate::rig::until("the frame is in packet memory", || {
        (driver.read(regs::PM_LEVEL) > 0).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(driver.poll(0), None);
    assert_eq!(driver.interrupts_now(0), None);
    assert!(nic.status()["dma_without_bus_master"].as_u64() > Some(0));
    driver.enable_function();
    assert_eq!(driver.interrupt(0), Some(1));
    let completion = driver.next(0);
    assert_eq!(driver.whole_packet(0, completion), frame);
    // Frames to be sent count as well.
    driver.client.region_write(CONFIG, 4, &[0x02, 0]).unwrap();
    let before = nic.status()["dma_without_bus_master"].as_u64();
    driver.transmit(0, &frame);
    crate::rig::until("the frame is looked for", || {
        (nic.status()["dma_without_bus_master"].as_u64() > before).then_some(())
    });
    assert_eq!(nic.status()["dma_while_quiet"], 0);
}

/// A driver that has switched everything off finds its memory left alone, with and without bus
/// mastering, whatever comes over the wire.
#[test]
fn a_quiet_device_accesses_no_memory() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    for round in 0..2_u8 {
        driver.start();
        let block = BASE + RAM - 0x4000;
        driver.write(regs::STATS_LO, block as u32);
        driver.write(regs::STATS_HI, (block >> 32) as u32);
        driver.write(regs::STATS_CTRL, 1);
        assert_eq!(nic.status()["quiet"], false);
        talk(&mut driver, &mut peer, round);
        let frames = nic.counter("hw_rx_frames");
        peer.send(&vec![plain(1000, 9); 50]);
        driver.quiesce();
        assert_eq!(nic.status()["quiet"], true);
        if round == 1 {
            driver.client.region_write(CONFIG, 4, &[0x02, 0]).unwrap();
        }
        let seen = driver.peek(BASE, RAM as usize);
        peer.send(&vec![plain(1000, 9); 50]);
        driver.transmit(0, &plain(100, 1));
        crate::rig::until("the frames have come", || {
            (nic.counter("hw_rx_frames") == frames + 100).then_some(())
        });
        // The driver's own write holds the frame that is not sent.
        let now = driver.peek(BASE, RAM as usize);
        let changed = seen.iter().zip(&now).filter(|(a, b)| a != b).count();
        assert!(changed <= 132, "{changed} bytes changed");
        let status = nic.status();
        for count in ["dma_while_quiet", "dma_without_bus_master"] {
            assert_eq!(status[count], 0, "{count}");
        }
    }
}

/// A reset of the function takes bus mastering and MSI-X back, too.
#[test]
fn a_function_reset_clears_configuration_space() {
    let nic = Nic::start("loop", &[]);
    let mut driver = Driver::attach(&nic);
    for round in 0..2 {
        driver.enable_function();
        driver
            .client
            .region_write(CONFIG, 0x52, &[0, 0x80])
            .unwrap();
        driver.write(regs::MAX_FRAME, 900);
        match round {
            0 => driver.client.reset().unwrap(),
            _ => {
                let flr = [0x10, 0xa8];
                driver.client.region_write(CONFIG, 0x68, &flr).unwrap();
            }
        }
        assert_eq!(nic.status()["bus_master"], false);
        let mut msix = [0xff; 4];
        driver.client.region_read(CONFIG, 0x50, &mut msix).unwrap();
        assert_eq!(msix[3] & 0xc0, 0);
        driver.enable_function();
        assert_ne!(driver.read(regs::MAX_FRAME), 900);
    }
}

/// An interrupt for which there is no eventfd yet is delivered when it comes.
///
/// Claims: 27, 40
#[test]
fn interrupts_wait_for_their_eventfd() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    driver.start();
    // Vector present, not in use yet; then none at all.
    driver
        .client
        .set_irqs(MSIX, SET_EVENTFD, 0, 1, &[])
        .unwrap();
    peer.send(&[plain(100, 1)]);
    driver.next(0);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(driver.interrupts_now(0), None);
    driver.client.set_irqs(MSIX, SET_NONE, 0, 0, &[]).unwrap();
    assert_eq!(nic.status()["vectors_connected"], 0);
    let fd = driver.eventfd(0).as_raw_fd();
    driver
        .client
        .set_irqs(MSIX, SET_EVENTFD, 0, 1, &[fd])
        .unwrap();
    assert_eq!(driver.interrupt(0), Some(1));
}

/// A client that shortens its memory file stops its queue, not the device: such an access is one to
/// memory that is not there.
#[test]
fn memory_is_cut_under_a_queue() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    for round in 0..3 {
        driver.start();
        talk(&mut driver, &mut peer, round);
        driver.ram.set_len(0).unwrap();
        peer.send(&[plain(100, 2)]);
        let error = crate::rig::until("the queue stops", || {
            Some(driver.queue_status(0).error()).filter(|&e| e != 0)
        });
        let known = [regs::QueueError::BadAddress, regs::QueueError::BadBuffer];
        assert!(known.iter().any(|&e| e as u32 == error), "error {error}");
        driver.ram.set_len(RAM).unwrap();
        driver.write(regs::RESET, 1);
    }
    driver.start();
    talk(&mut driver, &mut peer, 3);
}

/// Memory that goes away under a running queue stops the queue, not the device.
#[test]
fn memory_is_unmapped_under_a_queue() {
    let nic = Nic::start("listen:unix:@/wire", &[]);
    let mut peer = Peer::connect(&nic.path("wire"));
    let mut driver = Driver::attach(&nic);
    driver.start();
    talk(&mut driver, &mut peer, 1);
    driver.client.dma_unmap(BASE, RAM).unwrap();
    peer.send(&[plain(100, 2)]);
    let error = crate::rig::until("the queue stops", || {
        Some(driver.queue_status(0).error()).filter(|&e| e != 0)
    });
    let known = [regs::QueueError::BadAddress, regs::QueueError::BadBuffer];
    assert!(known.iter().any(|&e| e as u32 == error), "error {error}");
    let fd = driver.ram.as_raw_fd();
    driver.client.dma_map(0, BASE, RAM, fd).unwrap();
    driver.write(regs::RESET, 1);
    driver.start();
    talk(&mut driver, &mut peer, 3);
}
