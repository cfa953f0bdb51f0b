// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A queue pair: its rings, and how it is switched on and off and stops on an error.

use crate::irq::Irq;
use crate::rings::rx::{RxQueue, Wait};
use crate::rings::QueueRegs;
use crate::tx::TxQueue;
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::{BufKind, QueueCtrl, QueueDoorbell, QueueError, QueueStatus};

/// A queue pair.
#[derive(Debug, Default)]
pub(crate) struct QueuePair {
    ctrl: QueueCtrl,
    error: u32,
    /// Interrupt.
    pub(crate) irq: Irq,
    /// Receive half, if it runs.
    pub(crate) rx: Option<RxQueue>,
    /// Transmit half, if it runs.
    pub(crate) tx: Option<TxQueue>,
}

impl QueuePair {
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
            self.rx = Some(RxQueue::configure(regs)?);
        }
        if tx_on {
            self.tx = Some(TxQueue::configure(regs)?);
        }
        if ctrl.rx() | ctrl.tx() == 0 {
            self.irq.arm(false);
        }
        self.irq.seen(self.unseen(), self.unseen_sent());
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

    /// Records why a half could not be switched on.
    pub(crate) fn refuse(&mut self, error: QueueError) {
        self.error = error as u32;
    }

    /// Completions of packets that the driver has not seen.
    pub(crate) fn unseen(&self) -> u32 {
        self.rx.as_ref().map_or(0, |rx| rx.cq.unseen().into())
    }

    /// Descriptors that were sent, which the driver has not seen.
    pub(crate) fn unseen_sent(&self) -> u32 {
        let sent = |tx: &TxQueue| tx.written.since(tx.seen).into();
        self.tx.as_ref().map_or(0, sent)
    }

    /// A write to Q_DB.
    pub(crate) fn doorbell(&mut self, db: QueueDoorbell) -> Result<(), QueueError> {
        if let Some(tx) = &mut self.tx {
            let seen = Index::from_raw(db.tx_seen());
            // An older value: a later write of another processor came first.
            if seen.since(tx.seen) <= tx.written.since(tx.seen) {
                tx.seen = seen;
            }
        }
        if let Some(rx) = &mut self.rx {
            rx.cq.set_consumed(db.cq_cons())?;
        }
        self.irq.seen(self.unseen(), self.unseen_sent());
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
