// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The transmit unit: gathers frames from host memory, segments long ones, inserts checksums and tags,
//! and sends.

mod segment;

use crate::arrive::mac::{self, Cast, Mac, FRAME_LIMIT};
use crate::csum;
use crate::host::Host;
use crate::proto::{ETH_LEN, ETH_VLAN, VLAN_LEN};
use crate::rings::{check_ring, DescRing, QueueRegs};
use crate::stats::Counters;
use reflow_hwdef::desc::{T1, T2, TX_DESC_SIZE, TX_MAX_DESCS};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::{QueueError, TX_HI, TX_LO, TX_SIZE, TX_WB_HI, TX_WB_LO};
use reflow_hwdef::stats::Global;
use segment::{Cut, Shape};

/// Shortest frame on the wire, without FCS.
const WIRE_MIN: usize = 60;
/// Bits of word 1 that no field names.
const T1_RESERVED: u64 = 0xff00_0000;
/// Word of a descriptor that takes the time at which its packet left.
const STAMP_WORD: usize = 3;
/// Bits of word 2 that no field names.
const T2_RESERVED: u64 = 0xff << 56;

/// The transmit half of a queue that runs.
#[derive(Debug)]
pub(crate) struct TxQueue {
    /// Descriptor ring.
    pub(crate) ring: DescRing<4>,
    /// Where the head index is written back.
    pub(crate) write_back: u64,
    /// The index that was written back last.
    pub(crate) written: Index,
    /// The index that the driver saw last.
    pub(crate) seen: Index,
    /// The packet that is being cut into frames.
    pub(crate) cut: Cut,
}

impl TxQueue {
    pub(crate) fn configure(regs: &impl QueueRegs) -> Result<Self, QueueError> {
        let base = regs.pair(TX_LO, TX_HI);
        let log2 = regs.get(TX_SIZE);
        check_ring(base, log2, 32, TX_DESC_SIZE)?;
        let write_back = regs.pair(TX_WB_LO, TX_WB_HI);
        if write_back % 4 != 0 {
            return Err(QueueError::BadConfig);
        }
        Ok(Self {
            ring: DescRing::new(base, log2),
            write_back,
            written: Index::ZERO,
            seen: Index::ZERO,
            cut: Cut::default(),
        })
    }
}

/// The descriptors of a packet that is ready to be sent.
#[derive(Clone, Copy, Debug)]
struct Ready {
    descs: usize,
    len: usize,
    t1: T1,
    t2: T2,
    shape: Option<Shape>,
}

/// The transmit unit at work on one queue.
pub(crate) struct Transmit<'a> {
    /// Counters.
    pub(crate) counters: &'a mut Counters,
    /// For the longest frame.
    pub(crate) mac: &'a Mac,
    /// The wire is connected.
    pub(crate) link: bool,
    /// The time for transmit timestamps.
    pub(crate) time: u64,
    /// The frame being put together.
    pub(crate) frame: &'a mut Vec<u8>,
}

impl Transmit<'_> {
    /// Sends up to `budget` frames and writes back the index behind the last one.
    ///
    /// Returns the number of frames: fewer than the budget if no more are ready or the wire is busy.
    pub(crate) fn run(
        &mut self,
        tx: &mut TxQueue,
        host: &mut impl Host,
        budget: usize,
    ) -> Result<usize, QueueError> {
        let mut done = 0;
        let mut outcome = Ok(());
        while done < budget {
            match self.step(tx, host) {
                Ok(true) => done += 1,
                Ok(false) => break,
                Err(error) => {
                    self.counters.inc(Global::TxErrors);
                    outcome = Err(error);
                    break;
                }
            }
        }
        let head = tx.ring.head();
        if head != tx.written {
            host.store_release_u32(tx.write_back, head.raw())
                .map_err(|_| QueueError::BadAddress)?;
            tx.written = head;
        }
        outcome.map(|()| done)
    }

    /// Sends one frame; false if none is ready or the wire is busy.
    fn step(&mut self, tx: &mut TxQueue, host: &mut impl Host) -> Result<bool, QueueError> {
        if tx.cut.is_open() {
            return self.segment(tx, host);
        }
        let Some(ready) = look(tx, host)? else {
            return Ok(false);
        };
        if self.link && !host.wire_ready() {
            return Ok(false);
        }
        let fits = ready.shape.is_some() || (ETH_LEN..=FRAME_LIMIT).contains(&ready.len);
        let mut sendable = self.link && fits;
        if sendable {
            self.gather(tx, ready, host)?;
            if let Some(shape) = ready.shape {
                if tx.cut.open(shape, ready.descs, self.frame) {
                    self.counters.inc(Global::TxSegmented);
                    return self.segment(tx, host);
                }
                sendable = false;
            } else {
                self.fill_in(ready)?;
            }
        }
        if !sendable {
            self.counters.inc(Global::TxErrors);
        } else if self.send(ready.t1, ready.t1.csum() != 0, host) {
            self.stamp(tx, ready.t1, ready.descs, host)?;
        }
        pop(tx, ready.descs);
        Ok(true)
    }

    /// Sends the next frame of the packet that is being cut; false if the wire is busy.
    ///
    /// The packet's descriptors are used up when its last frame is out.
    fn segment(&mut self, tx: &mut TxQueue, host: &mut impl Host) -> Result<bool, QueueError> {
        if self.link && !host.wire_ready() {
            return Ok(false);
        }
        let t1 = tx.ring.peek(0).map_or(T1(0), |desc| T1(desc[1]));
        let (mut last, mut sent) = (true, false);
        if self.link {
            last = tx.cut.next(self.frame);
            sent = self.send(t1, true, host);
        } else {
            self.counters.inc(Global::TxErrors);
        }
        if last || !sent {
            let descs = tx.cut.close();
            if sent {
                self.stamp(tx, t1, descs, host)?;
            }
            pop(tx, descs);
        }
        Ok(true)
    }

    /// Writes the time to the last of a packet's descriptors, if its first one asks for that.
    fn stamp(
        &self,
        tx: &TxQueue,
        t1: T1,
        descs: usize,
        host: &impl Host,
    ) -> Result<(), QueueError> {
        if t1.stamp() == 0 {
            return Ok(());
        }
        let at = tx.ring.address(descs.saturating_sub(1), STAMP_WORD);
        host.write(at, &self.time.to_le_bytes())
            .map_err(|_| QueueError::BadAddress)
    }

    /// Inserts the tag, pads and sends the frame; false if it is too long.
    fn send(&mut self, t1: T1, csum: bool, host: &mut impl Host) -> bool {
        if t1.vlan() != 0 {
            let mut tag = [0; VLAN_LEN];
            tag[..2].copy_from_slice(&ETH_VLAN.to_be_bytes());
            tag[2..].copy_from_slice(&(t1.vlan_tci() as u16).to_be_bytes());
            self.frame.splice(12..12, tag);
        }
        if self.mac.is_giant(self.frame) {
            self.counters.inc(Global::TxErrors);
            return false;
        }
        if self.frame.len() < WIRE_MIN {
            self.frame.resize(WIRE_MIN, 0);
        }
        self.counters.inc(Global::TxFrames);
        self.counters.add(Global::TxBytes, self.frame.len() as u64);
        self.counters.inc(mac::length_of(self.frame).tx);
        match Cast::of(self.frame) {
            Cast::Unicast => {}
            Cast::Multicast => self.counters.inc(Global::TxMulticast),
            Cast::Broadcast => self.counters.inc(Global::TxBroadcast),
        }
        if mac::is_mac_control(self.frame) {
            self.counters.inc(Global::TxMacControl);
        }
        if csum {
            self.counters.inc(Global::TxCsum);
        }
        host.send(self.frame);
        true
    }

    /// Reads a packet's bytes.
    fn gather(&mut self, tx: &TxQueue, ready: Ready, host: &impl Host) -> Result<(), QueueError> {
        self.frame.clear();
        for desc in (0..ready.descs).filter_map(|at| tx.ring.peek(at)) {
            let start = self.frame.len();
            self.frame.resize(start + T1(desc[1]).len() as usize, 0);
            host.read(desc[0], &mut self.frame[start..])
                .map_err(|_| QueueError::BadBuffer)?;
        }
        Ok(())
    }

    /// Fills in the checksum.
    fn fill_in(&mut self, ready: Ready) -> Result<(), QueueError> {
        if ready.t1.csum() == 0 {
            return Ok(());
        }
        let at = ready.t2.csum_off() as usize;
        let start = ready.t2.csum_start() as usize;
        // The field holds the sum of the pseudo header, so it is summed, too.
        let covered = self
            .frame
            .get(start..)
            .filter(|bytes| !bytes.is_empty() && at >= start);
        let sum = covered.map(|bytes| csum::finish(csum::sum(bytes)));
        match (sum, self.frame.get_mut(at..at + 2)) {
            (Some(sum), Some(field)) => {
                field.copy_from_slice(&sum.to_be_bytes());
                Ok(())
            }
            _ => Err(QueueError::BadTxDesc),
        }
    }
}

/// Uses up the descriptors of a packet.
fn pop(tx: &mut TxQueue, descs: usize) {
    for _ in 0..descs {
        tx.ring.pop();
    }
}

/// Looks whether a whole packet is ready, and checks its descriptors.
fn look(tx: &mut TxQueue, host: &impl Host) -> Result<Option<Ready>, QueueError> {
    let mut len = 0;
    let mut first = (T1(0), T2(0));
    for at in 0..TX_MAX_DESCS {
        tx.ring
            .fetch(host, at + 1)
            .map_err(|_| QueueError::BadAddress)?;
        let Some(desc) = tx.ring.peek(at) else {
            return Ok(None);
        };
        let t1 = T1(desc[1]);
        if t1.len() == 0 || (t1.sop() != 0) != (at == 0) {
            return Err(QueueError::BadTxDesc);
        }
        if at == 0 {
            first = (t1, T2(desc[2]));
            let unknown = t1.0 & T1_RESERVED | desc[2] & T2_RESERVED | desc[3];
            if unknown != 0 {
                return Err(QueueError::BadTxDesc);
            }
        }
        len += t1.len() as usize;
        if t1.eop() != 0 {
            return Ok(Some(Ready {
                descs: at + 1,
                len,
                t1: first.0,
                t2: first.1,
                shape: Shape::new(first.0, first.1, len)?,
            }));
        }
    }
    Err(QueueError::BadTxDesc)
}
