// SPDX-License-Identifier: GPL-2.0

//! A queue pair: its rings, its NAPI instance, and its part of the registers.

use crate::{
    counters,
    hw::regs::{
        self,
        QueueCtrl,
        QueueDoorbell,
        QueueItr, //
    },
    mmio::{
        queue_reg,
        Mmio, //
    },
    net::{
        ethtool::Coalesce,
        napi::{
            NapiRef,
            Outcome,
            Poll,
            PollContext, //
        }, //
    },
    rx,
    tx, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The doorbell that ends a poll.
pub(crate) struct Doorbell<'bound> {
    mmio: Arc<Mmio<'bound>>,
    reg: usize,
}

impl<'bound> Doorbell<'bound> {
    /// The doorbell of queue `queue`.
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>, queue: usize) -> Self {
        Self {
            mmio: mmio.clone(),
            reg: queue_reg(queue, regs::Q_DB),
        }
    }
}

/// What NAPI cleans up for a queue pair.
pub(crate) struct Queue<'bound> {
    /// Declared first: dropped first, before the memory that the device may access.
    switch: Switch<'bound>,
    rx: rx::Receiver<'bound>,
    tx: tx::Cleaner,
    counters: Arc<counters::Queue>,
}

/// The queue's switch; going away, it turns the queue off and waits until it is.
struct Switch<'bound> {
    mmio: Arc<Mmio<'bound>>,
    queue: usize,
}

impl Drop for Switch<'_> {
    fn drop(&mut self) {
        self.mmio.write(queue_reg(self.queue, regs::Q_CTRL), 0);
        // The read returns when the device has done its last access to memory.
        self.mmio.read(queue_reg(self.queue, regs::Q_STATUS));
    }
}

/// Sets the interrupt moderation of queue `queue`.
pub(crate) fn set_coalesce(mmio: &Mmio<'_>, queue: usize, to: Coalesce) {
    let itr = QueueItr(0)
        .with_usecs(to.rx_usecs)
        .with_packets(to.rx_frames)
        .with_adaptive(to.adaptive.into());
    mmio.write(queue_reg(queue, regs::Q_ITR), itr.0);
}

impl<'bound> Queue<'bound> {
    /// Switches queue pair `queue` on, whose rings the device knows, and gives it buffers.
    ///
    /// Nothing moves yet: the device's master switches are off.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] without memory for buffers, [`EIO`] if the device refuses the configuration.
    pub(crate) fn new(
        mmio: &Arc<Mmio<'bound>>,
        queue: usize,
        mut rx: rx::Receiver<'bound>,
        tx: tx::Cleaner,
        counters: Arc<counters::Queue>,
    ) -> Result<Self> {
        mmio.write(queue_reg(queue, regs::Q_VECTOR), u32::try_from(queue)?);
        let on = QueueCtrl(0).with_rx(1).with_tx(1);
        mmio.write(queue_reg(queue, regs::Q_CTRL), on.0);
        let switch = Switch {
            mmio: mmio.clone(),
            queue,
        };
        let status = regs::QueueStatus(mmio.read(queue_reg(queue, regs::Q_STATUS)));
        if status.error() != 0 || status.rx() == 0 || status.tx() == 0 {
            return Err(EIO);
        }
        rx.fill()?;
        Ok(Self {
            switch,
            rx,
            tx,
            counters,
        })
    }
}

impl<'bound> Poll for Queue<'bound> {
    type Shared = Doorbell<'bound>;

    fn attached(&mut self, napi: NapiRef<'_>) {
        self.rx.attached(napi);
    }

    fn poll(&mut self, shared: &Self::Shared, cx: &mut PollContext<'_>) -> Outcome {
        let _ = &self.switch;
        let seen = self.tx.poll(cx);
        let (work, empty) = self.rx.poll(cx, cx.budget());
        self.counters.rx.polls.add(1);
        let done = QueueDoorbell(0)
            .with_cq_cons(self.rx.consumed().raw())
            .with_tx_seen(seen.raw());
        let again = cx.budget() != 0 && (!empty || self.rx.is_starving());
        if again || cx.budget() == 0 {
            // Free the completions; the interrupt is not wanted yet.
            shared.mmio.write(shared.reg, done.0);
        }
        Outcome {
            work,
            again,
            token: done.with_arm(1).0,
        }
    }

    fn arm(shared: &Self::Shared, token: u32) {
        shared.mmio.write(shared.reg, token);
    }
}
