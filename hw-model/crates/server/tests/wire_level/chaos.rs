// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hostile mode through the whole server: the option, its faults, its status.

use reflow_hwdef::desc::FLOW_NONE;
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs;

use crate::driver::{Driver, CONFIG};
use crate::peer::plain;
use crate::rig::{until, Nic};

fn tally(nic: &Nic, fault: &str) -> [u64; 3] {
    let status = nic.status();
    let of = |key: &str| status["chaos"][fault][key].as_u64().unwrap();
    [of("chances"), of("strikes"), of("spoiled")]
}

/// Without the option there are no faults, and the status has no entry for them.
#[test]
fn off_by_default() {
    let (nic, _peer, _driver) = Driver::running(&[]);
    assert_eq!(nic.status()["chaos"], serde_json::json!({}));
    assert_eq!(nic.status()["removed"], false);
}

/// Packets are lost on the way to the host; the next one is as good as ever.
#[test]
fn a_completion_is_lost() {
    let (nic, mut peer, mut driver) = Driver::running(&["--chaos", "lost=1,after=1,count=1"]);
    for n in 0..3 {
        peer.send(&[plain(100, n)]);
        until("it is transferred", || {
            (nic.counter("hw_rx_transferred") == u64::from(n) + 1).then_some(())
        });
    }
    for n in [0, 2] {
        let completion = driver.next(0);
        // The completion of the lost one would have told of its cell.
        assert_eq!(completion.c4.nb_off(), 256 * u64::from(n));
        assert_eq!(driver.whole_packet(0, completion), plain(100, n));
    }
    assert!(driver.poll(0).is_none());
    assert_eq!(tally(&nic, "lost"), [1, 1, 1]);
    let (status, dir) = nic.terminate();
    assert!(status.success());
    let log = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
    assert!(log.contains("chaos: lost struck 1 times of 1"), "{log}");
}

/// The operation codes and flow numbers that a server invents.
fn inventions(seed: &str) -> Vec<(u64, u64)> {
    let spec = "opcode-wrong=0.5,flow-other=0.5";
    let (_nic, mut peer, mut driver) = Driver::running(&["--seed", seed, "--chaos", spec]);
    let frames: Vec<Vec<u8>> = (0..16).map(|n| plain(100, n)).collect();
    peer.send(&frames);
    frames
        .iter()
        .map(|_| driver.next(0).c0)
        .map(|c0| (c0.opcode(), c0.flow()))
        .collect()
}

/// The same seed has the same faults.
#[test]
fn faults_follow_the_seed() {
    let once = inventions("5");
    assert_eq!(inventions("5"), once);
    assert_ne!(inventions("6"), once);
    let right = (Opcode::NoAssist as u64, u64::from(FLOW_NONE));
    assert!(once.contains(&right));
    assert!(once.iter().any(|&seen| seen != right));
}

/// A device that is gone reads all ones in registers and configuration space; the next client finds
/// it gone, too.
#[test]
fn surprise_removal() {
    let (nic, mut peer, mut driver) = Driver::running(&["--chaos", "removed,after=1"]);
    assert_eq!(driver.read(regs::MAGIC), regs::MAGIC_VALUE);
    peer.send(&[plain(100, 1)]);
    driver.next(0);
    until("it is gone", || {
        driver.write(regs::EVENT, 0);
        (driver.read(regs::MAGIC) == u32::MAX).then_some(())
    });
    let mut id = [0; 4];
    driver.client.region_read(CONFIG, 0, &mut id).unwrap();
    assert_eq!(id, [0xff; 4]);
    peer.send(&[plain(100, 2)]);
    driver.transmit(0, &plain(100, 3));
    until("the frame has come", || {
        (nic.counter("hw_rx_frames") == 2).then_some(())
    });
    assert!(driver.poll(0).is_none());
    assert_eq!((driver.tx_head(0), nic.counter("hw_tx_frames")), (0, 0));
    assert_eq!(nic.status()["removed"], true);
    drop(driver);
    let mut client = nic.client();
    client.region_read(CONFIG, 0, &mut id).unwrap();
    assert_eq!(id, [0xff; 4]);
}

/// The link goes and comes by the clock, while the wire is connected.
#[test]
fn the_link_flaps() {
    let (nic, _peer, mut driver) = Driver::running(&["--chaos", "link-flap=1,ms=20"]);
    for round in 0..4 {
        until("the link changes", || {
            let link = regs::Status(driver.read(regs::STATUS)).link();
            (link == round % 2).then_some(())
        });
    }
    assert_eq!(nic.status()["link"], true);
    assert!(tally(&nic, "link-flap")[1] >= 2);
}

/// A storm raises every vector, again and again, without anything having happened.
#[test]
fn interrupts_storm() {
    let (nic, _peer, driver) =
        Driver::running(&["--queues", "2", "--chaos", "irq-storm=1,ms=50,count=1"]);
    for vector in 0..3 {
        assert!(driver.interrupt(vector).is_some_and(|n| n > 0));
    }
    until("the storm is over", || {
        let before = tally(&nic, "irq-storm")[2];
        std::thread::sleep(std::time::Duration::from_millis(20));
        (tally(&nic, "irq-storm")[2] == before && before > 10).then_some(())
    });
}

/// Memory that does not answer: frames go by, nothing reaches the guest, the server lives on.
#[test]
fn dead_memory() {
    let (nic, mut peer, mut driver) = Driver::running(&["--chaos", "dma-dead"]);
    peer.send(&[plain(100, 1), plain(1000, 2)]);
    driver.transmit(0, &plain(100, 3));
    assert_eq!(peer.receive(), plain(100, 3));
    until("all is transferred", || {
        (nic.counter("hw_rx_transferred") == 2).then_some(())
    });
    assert!(driver.poll(0).is_none());
    assert_eq!(driver.tx_head(0), 0);
    let [_, strikes, spoiled] = tally(&nic, "dma-dead");
    assert_eq!(strikes, 1);
    assert!(spoiled >= 7, "{spoiled}");
}
