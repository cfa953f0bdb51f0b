// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rings of a receive queue.

use crate::rings::buffers::{BufferRing, CellRing, Place};
use crate::rings::{check_ring, CompletionRing, QueueRegs};
use reflow_hwdef::desc::COMPLETION_SIZE;
use reflow_hwdef::regs::{
    BufCfg, BufKind, QueueError, BUF_CFG, BUF_HI, BUF_LO, BUF_STRIDE, CQ_HI, CQ_LO, CQ_SIZE,
    CQ_WINDOW,
};

/// The resource that the transfer of a queue waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// A buffer.
    Buffer,
    /// A free completion.
    Completion,
}

/// The receive half of a queue that runs.
#[derive(Debug)]
pub(crate) struct RxQueue {
    /// Completion ring.
    pub(crate) cq: CompletionRing,
    /// Packets wait while so many completions are unconsumed.
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
    /// The resource that the first packet waits for.
    pub(crate) wait: Option<Wait>,
    /// When to take pages of other flows back if the queue still waits for one.
    pub(crate) reclaim_at: Option<u64>,
}

impl RxQueue {
    pub(crate) fn configure(regs: &impl QueueRegs) -> Result<Self, QueueError> {
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
            // Every packet fits into this kind, so it is mandatory.
            packet: buffers(BufKind::Packet)?.ok_or(QueueError::BadConfig)?,
            small: cells(BufKind::Small)?,
            own: None,
            wait: None,
            reclaim_at: None,
        })
    }

    /// Whether CQ_WINDOW completions are unconsumed.
    pub(crate) fn is_window_full(&self) -> bool {
        u32::from(self.cq.unseen()) >= self.window
    }

    /// Whether waiting packets wait for the driver.
    pub(crate) fn waits_for_driver(&self) -> bool {
        self.is_window_full() || self.wait.is_some()
    }

    /// Longest header that re-assembly takes on this queue; `None` if it has no buffers for it.
    pub(crate) fn header_limit(&self) -> Option<usize> {
        self.reasm.as_ref()?;
        self.header.as_ref().map(CellRing::cell)
    }

    pub(crate) fn set_tail(&mut self, kind: BufKind, raw: u32) -> Result<(), QueueError> {
        let ring = match kind {
            BufKind::Header => self.header.as_mut().map(|cells| &mut cells.ring),
            BufKind::Reasm => self.reasm.as_mut(),
            BufKind::Packet => Some(&mut self.packet),
            BufKind::Small => self.small.as_mut().map(|cells| &mut cells.ring),
        };
        ring.map_or(Ok(()), |ring| ring.set_tail(raw))
    }
}
