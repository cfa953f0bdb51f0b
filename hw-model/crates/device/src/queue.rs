// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A queue pair: its rings, and how it is switched on and off and stops on an error.

use crate::buffers::{BufferRing, CellRing, Place};
use crate::irq::Irq;
use crate::rings::{check_ring, CompletionRing, DescRing};
use crate::segment::Cut;
use reflow_hwdef::desc::{COMPLETION_SIZE, TX_DESC_SIZE};
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::{
    BufCfg, BufKind, QueueCtrl, QueueDoorbell, QueueError, QueueStatus, BUF_CFG, BUF_HI, BUF_LO,
    BUF_STRIDE, CQ_HI, CQ_LO, CQ_SIZE, CQ_WINDOW, TX_HI, TX_LO, TX_SIZE, TX_WB_HI, TX_WB_LO,
};

/// What the transfer of a queue waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// A buffer.
    Buffer,
    /// A free completion.
    Completion,
}

/// The receive half of a queue that runs.
#[derive(Debug)]
pub(crate) struct RxSide {
    /// Completion ring.
    pub(crate) cq: CompletionRing,
    /// With so many completions that the driver has not taken, packets wait.
    window: u32,
    /// Header buffers.
    pub(crate) header: Option<CellRing>,
    /// Re-assembly buffers.
    pub(crate) reasm: Option<BufferRing>,
    /// Packet buffers of full size.
    pub(crate) packet: BufferRing,
    /// Packet buffers of the small class.
    pub(crate) small: Option<CellRing>,
    /// Re-assembly buffer for data that belongs to no flow's aggregate.
    pub(crate) own: Option<Place>,
    /// What the first packet waits for.
    pub(crate) wait: Option<Wait>,
    /// When pages of other flows are taken back, if it still waits for one then.
    pub(crate) reclaim_at: Option<u64>,
}

/// The transmit half of a queue that runs.
#[derive(Debug)]
pub(crate) struct TxSide {
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

/// A queue pair.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ctrl: QueueCtrl,
    error: u32,
    /// Interrupt.
    pub(crate) irq: Irq,
    /// Receive half, if it runs.
    pub(crate) rx: Option<RxSide>,
    /// Transmit half, if it runs.
    pub(crate) tx: Option<TxSide>,
}

/// The registers of one queue block.
pub(crate) trait QueueRegs {
    /// The value at an offset in the block.
    fn get(&self, offset: usize) -> u32;

    /// The 64-bit value of two registers.
    fn pair(&self, lo: usize, hi: usize) -> u64 {
        u64::from(self.get(lo)) | (u64::from(self.get(hi)) << 32)
    }
}

impl<F: Fn(usize) -> u32> QueueRegs for F {
    fn get(&self, offset: usize) -> u32 {
        self(offset)
    }
}

impl RxSide {
    fn configure(regs: &impl QueueRegs) -> Result<Self, QueueError> {
        let base = regs.pair(CQ_LO, CQ_HI);
        let log2 = regs.get(CQ_SIZE);
        check_ring(base, log2, 64, COMPLETION_SIZE)?;
        let window = match regs.get(CQ_WINDOW) {
            0 => u32::MAX,
            window => window,
        };
        let at = |kind: BufKind| {
            let block = kind as usize * BUF_STRIDE;
            (
                regs.pair(BUF_LO + block, BUF_HI + block),
                BufCfg(regs.get(BUF_CFG + block)),
            )
        };
        let cells = |kind| {
            let (base, cfg) = at(kind);
            CellRing::configure(base, cfg)
        };
        let buffers = |kind| {
            let (base, cfg) = at(kind);
            BufferRing::configure(base, cfg)
        };
        Ok(Self {
            cq: CompletionRing::new(base, log2),
            window,
            header: cells(BufKind::Header)?,
            reasm: buffers(BufKind::Reasm)?,
            // The one kind that every packet fits into.
            packet: buffers(BufKind::Packet)?.ok_or(QueueError::BadConfig)?,
            small: cells(BufKind::Small)?,
            own: None,
            wait: None,
            reclaim_at: None,
        })
    }

    /// Whether the driver has enough to do for now.
    pub(crate) fn is_window_full(&self) -> bool {
        u32::from(self.cq.unseen()) >= self.window
    }

    /// Whether what waits in the packet memory does so for the driver.
    pub(crate) fn waits_for_driver(&self) -> bool {
        self.is_window_full() || self.wait.is_some()
    }

    /// Longest header that re-assembly takes on this queue; `None` if it has no buffers for it.
    pub(crate) fn header_limit(&self) -> Option<usize> {
        self.reasm.as_ref()?;
        self.header.as_ref().map(CellRing::cell)
    }

    fn set_tail(&mut self, kind: BufKind, raw: u32) -> Result<(), QueueError> {
        let ring = match kind {
            BufKind::Header => self.header.as_mut().map(|cells| &mut cells.ring),
            BufKind::Reasm => self.reasm.as_mut(),
            BufKind::Packet => Some(&mut self.packet),
            BufKind::Small => self.small.as_mut().map(|cells| &mut cells.ring),
        };
        ring.map_or(Ok(()), |ring| ring.set_tail(raw))
    }
}

impl TxSide {
    fn configure(regs: &impl QueueRegs) -> Result<Self, QueueError> {
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

impl Queue {
    /// Value of Q_STATUS; `waiting` says that a packet waits to be transferred.
    pub(crate) fn status(&self, waiting: bool) -> QueueStatus {
        let wait = self.rx.as_ref().and_then(|rx| rx.wait);
        let wait = wait.filter(|_| waiting);
        QueueStatus(0)
            .with_no_buffer((wait == Some(Wait::Buffer)).into())
            .with_no_completion((wait == Some(Wait::Completion)).into())
            .with_waiting(waiting.into())
            .with_rx(self.rx.is_some().into())
            .with_tx(self.tx.is_some().into())
            .with_error(self.error)
    }

    /// A write to Q_CTRL: a half that goes on latches its registers, one that goes off stops.
    pub(crate) fn set_ctrl(
        &mut self,
        ctrl: QueueCtrl,
        regs: &impl QueueRegs,
    ) -> Result<(), QueueError> {
        let old = self.ctrl;
        self.ctrl = ctrl;
        if old.rx() > ctrl.rx() {
            self.rx = None;
        }
        if old.tx() > ctrl.tx() {
            self.tx = None;
        }
        let rx_on = ctrl.rx() > old.rx();
        let tx_on = ctrl.tx() > old.tx();
        if rx_on || tx_on {
            self.error = 0;
        }
        if rx_on {
            self.rx = Some(RxSide::configure(regs)?);
        }
        if tx_on {
            self.tx = Some(TxSide::configure(regs)?);
        }
        if ctrl.rx() | ctrl.tx() == 0 {
            self.irq.arm(false);
        }
        self.irq.seen(self.unseen());
        Ok(())
    }

    /// The receive half stops on an error.
    pub(crate) fn fail_rx(&mut self, error: QueueError) {
        self.rx = None;
        self.error = error as u32;
    }

    /// The transmit half stops on an error.
    pub(crate) fn fail_tx(&mut self, error: QueueError) {
        self.tx = None;
        self.error = error as u32;
    }

    /// The reason that a half that was to go on did not.
    pub(crate) fn refuse(&mut self, error: QueueError) {
        self.error = error as u32;
    }

    /// News that the driver has not seen: completions, and transmit write-backs.
    pub(crate) fn unseen(&self) -> u32 {
        let rx = self.rx.as_ref().map_or(0, |rx| rx.cq.unseen());
        let tx = self.tx.as_ref().map_or(0, |tx| tx.written.since(tx.seen));
        u32::from(rx) + u32::from(tx)
    }

    /// A write to Q_DB.
    pub(crate) fn doorbell(&mut self, db: QueueDoorbell) -> Result<(), QueueError> {
        if let Some(tx) = &mut self.tx {
            let seen = Index::from_raw(db.tx_seen());
            // Behind: another processor's write, which told of more, came first.
            if seen.since(tx.seen) <= tx.written.since(tx.seen) {
                tx.seen = seen;
            }
        }
        if let Some(rx) = &mut self.rx {
            rx.cq.set_consumed(db.cq_cons())?;
        }
        self.irq.seen(self.unseen());
        self.irq.arm(db.arm() != 0);
        Ok(())
    }

    /// A write to BUF_TAIL.
    pub(crate) fn set_buf_tail(&mut self, kind: BufKind, raw: u32) -> Result<(), QueueError> {
        self.rx.as_mut().map_or(Ok(()), |rx| rx.set_tail(kind, raw))
    }

    /// A write to TX_TAIL.
    pub(crate) fn set_tx_tail(&mut self, raw: u32) -> Result<(), QueueError> {
        self.tx.as_mut().map_or(Ok(()), |tx| tx.ring.set_tail(raw))
    }
}
