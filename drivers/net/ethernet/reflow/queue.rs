// SPDX-License-Identifier: GPL-2.0

//! A queue pair: its rings, its NAPI instance, and its part of the registers.

use crate::{
    counters,
    health::seen::SeenQueue,
    hw::{
        desc::Completion,
        index::Index,
        regs::{
            queue_reg,
            QueueCtrl,
            QueueDoorbell,
            QueueStatus, //
        }, //
    },
    mmio::Mmio,
    net::{
        napi::{
            NapiRef,
            Outcome,
            Poll,
            RxContext,
            TxContext, //
        },
        tx_cell::{
            SharesTx,
            TxCell, //
        }, //
    },
    rx,
    tx, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Useless interrupts in a row after which polls are delayed. A few come with polls that are late
/// or early.
const USELESS_MAX: u32 = 8;

/// The doorbell that ends a poll, and the last observations of the watch.
pub(crate) struct Doorbell<'bound> {
    mmio: Arc<Mmio<'bound>>,
    queue: usize,
    pub(crate) seen: SeenQueue,
    pub(crate) rx: Arc<ProbeSlot>,
    pub(crate) tx: Arc<tx::Probe<'bound>>,
}

impl<'bound> Doorbell<'bound> {
    /// The doorbell of queue `queue`, which is `of`.
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>, queue: usize, of: &Queue<'bound>) -> Self {
        Self {
            mmio: mmio.clone(),
            queue,
            seen: SeenQueue::default(),
            rx: of.probe.clone(),
            tx: of.tx.probe().clone(),
        }
    }

    #[inline(always)]
    fn ring(&self, end: QueueDoorbell) {
        self.mmio.queue(self.queue).write(queue_reg::Q_DB, end);
    }
}

/// The state of a queue pair that its polls own.
pub(crate) struct Queue<'bound> {
    /// Declared first: dropped first, before the memory that the device may access.
    enabled: EnableBits<'bound>,
    /// `None` while the receive memory is being exchanged.
    rx: Option<rx::queue::RxQueue<'bound>>,
    tx: tx::Cleaner<'bound>,
    /// The other side of the transmit ring.
    ring: Option<Arc<TxCell<tx::Ring<'bound>>>>,
    counters: Arc<counters::Queue>,
    /// Shows the completion ring to the watch.
    probe: Arc<ProbeSlot>,
    /// Transmit write-back at the last poll.
    tx_seen: Index,
    /// Interrupts in a row that came for nothing.
    useless: u32,
    /// Last `cq_cons` written without arming.
    freed: Index,
}

/// The current completion ring, for readers outside of polls.
pub(crate) struct ProbeSlot(Pin<KBox<Mutex<Option<Arc<rx::Probe>>>>>);

impl ProbeSlot {
    /// No receive memory yet. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new() -> Result<Arc<Self>> {
        let slot = KBox::pin_init(new_mutex!(None, "reflow::probe"), GFP_KERNEL)?;
        Ok(Arc::new(Self(slot), GFP_KERNEL)?)
    }

    fn set(&self, to: Option<Arc<rx::Probe>>) {
        *self.0.lock() = to;
    }

    /// Shows `f` the last `count` completions, the last one first. May sleep.
    pub(crate) fn recent(&self, count: usize, f: impl FnMut(&Completion)) {
        if let Some(probe) = self.0.lock().as_ref() {
            probe.recent(count, f);
        }
    }

    /// Whether completions wait that the last poll did not take. May sleep.
    pub(crate) fn has_news(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|probe| probe.has_news())
    }

    /// Whether a completion is missing, see [`rx::Probe::has_gap`]. May sleep.
    pub(crate) fn has_gap(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|probe| probe.has_gap())
    }
}

/// The queue's enable bits. Dropping them turns the queue off and waits until it is.
struct EnableBits<'bound> {
    mmio: Arc<Mmio<'bound>>,
    queue: usize,
    on: QueueCtrl,
}

impl EnableBits<'_> {
    /// Sets the bits, and returns when the device has stopped what is off now.
    fn set(&mut self, on: QueueCtrl) -> QueueStatus {
        let regs = self.mmio.queue(self.queue);
        regs.write(queue_reg::Q_CTRL, on);
        self.on = on;
        // The read returns when the device has done its last access to memory.
        regs.read(queue_reg::Q_STATUS)
    }

    /// Switches off; the device does not access what was switched off when this returns.
    fn off(&mut self, what: QueueCtrl) {
        let on = QueueCtrl(self.on.0 & !what.0);
        if on.0 == self.on.0 {
            return;
        }
        let status = self.set(on);
        if status.rx() > on.rx() || status.tx() > on.tx() {
            // The device ignores the bits. The watch mends the other queues.
            self.mmio.silence();
        }
    }

    fn all_off(&mut self) {
        self.off(self.on);
    }
}

impl Drop for EnableBits<'_> {
    fn drop(&mut self) {
        self.all_off();
    }
}

impl<'bound> Queue<'bound> {
    /// Queue pair `queue`, switched off; while it is on, its receive memory is found at `probe`.
    pub(crate) fn new(
        mmio: &Arc<Mmio<'bound>>,
        queue: usize,
        rx: rx::queue::RxQueue<'bound>,
        tx: tx::Cleaner<'bound>,
        counters: Arc<counters::Queue>,
        probe: &Arc<ProbeSlot>,
    ) -> Self {
        Self {
            enabled: EnableBits {
                mmio: mmio.clone(),
                queue,
                on: QueueCtrl(0),
            },
            rx: Some(rx),
            tx,
            ring: None,
            counters,
            probe: probe.clone(),
            tx_seen: Index::ZERO,
            useless: 0,
            freed: Index::ZERO,
        }
    }

    /// Writes the addresses of all rings, enables the pair and posts its buffers.
    ///
    /// No packet moves before CTRL enables receive and transmit.
    ///
    /// # Errors
    ///
    /// [`EIO`] if the device refuses the configuration.
    pub(crate) fn start(&mut self, ring: &tx::Ring<'_>) -> Result {
        let mmio = &self.enabled.mmio;
        let queue = self.enabled.queue;
        ring.configure();
        mmio.queue(queue)
            .write(queue_reg::Q_VECTOR, u32::try_from(queue)?);
        if let Some(rx) = &self.rx {
            rx.configure();
        }
        let on = QueueCtrl(0).with_rx(self.rx.is_some().into()).with_tx(1);
        let status = self.enabled.set(on);
        if status.error() != 0 || status.rx() != on.rx() || status.tx() != on.tx() {
            self.enabled.all_off();
            return Err(EIO);
        }
        if let Some(rx) = &mut self.rx {
            rx.post_first();
            self.probe.set(Some(rx.probe().clone()));
        }
        Ok(())
    }

    /// Switches the pair off; the device does not access its memory after this.
    pub(crate) fn stop(&mut self) {
        self.probe.set(None);
        self.enabled.all_off();
    }

    /// Switches the receive side off and takes its memory; transmit goes on.
    pub(crate) fn rx_remove(&mut self, napi: NapiRef<'_>) -> Option<rx::queue::RxQueue<'bound>> {
        self.enabled.off(QueueCtrl(0).with_rx(1));
        let mut rx = self.rx.take()?;
        self.probe.set(None);
        rx.detach(napi);
        Some(rx)
    }

    /// Receives into other memory, once the old was removed.
    ///
    /// # Errors
    ///
    /// [`EIO`] if the device refuses the configuration, [`EBUSY`] if there is memory already.
    pub(crate) fn rx_install(
        &mut self,
        mut rx: rx::queue::RxQueue<'bound>,
        napi: NapiRef<'_>,
    ) -> Result {
        if self.rx.is_some() {
            return Err(EBUSY);
        }
        rx.attached(napi);
        if let Some(ring) = &self.ring {
            rx.set_tx(ring);
        }
        rx.configure();
        let status = self.enabled.set(self.enabled.on.with_rx(1));
        if status.rx() == 0 {
            self.enabled.off(QueueCtrl(0).with_rx(1));
            rx.detach(napi);
            return Err(EIO);
        }
        rx.post_first();
        self.probe.set(Some(rx.probe().clone()));
        self.rx = Some(rx);
        // Its completions are counted from the beginning.
        self.freed = Index::ZERO;
        Ok(())
    }
}

impl Queue<'_> {
    /// Counts useless interrupts. True after many in a row: device and driver disagree on the
    /// indices.
    fn is_useless(&mut self, idle: bool, interrupted: bool) -> bool {
        if !idle {
            self.useless = 0;
        } else if interrupted {
            self.useless = self.useless.saturating_add(1);
            self.counters.rx.irq_useless.add(1);
            return self.useless > USELESS_MAX;
        }
        false
    }
}

impl<'bound> SharesTx<tx::Ring<'bound>> for Queue<'bound> {
    fn share_tx(&mut self, ring: &Arc<TxCell<tx::Ring<'bound>>>) {
        if let Some(rx) = &mut self.rx {
            rx.set_tx(ring);
        }
        self.ring = Some(ring.clone());
    }
}

impl<'bound> Poll for Queue<'bound> {
    type Shared = Doorbell<'bound>;

    fn attached(&mut self, napi: NapiRef<'_>) {
        if let Some(rx) = &mut self.rx {
            rx.attached(napi);
        }
    }

    fn detached(&mut self, napi: NapiRef<'_>) {
        if let Some(rx) = &mut self.rx {
            rx.detach(napi);
        }
    }

    fn clean(&mut self, cx: &TxContext<'_>) {
        // No doorbell: without the arm bit it would disarm the queue.
        self.tx.poll(cx);
    }

    fn poll(&mut self, shared: &Self::Shared, cx: &RxContext<'_>) -> Outcome {
        let sent = self.tx.poll(cx);
        self.counters.rx.polls.add(1);
        let mut done = QueueDoorbell(0).with_tx_seen(sent.seen.raw());
        let (mut work, mut again, mut retry) = (0, false, false);
        let (mut consumed, mut half) = (self.freed, u16::MAX);
        if let Some(rx) = &mut self.rx {
            let polled = rx.poll(cx);
            work = polled.work;
            again = polled.again;
            retry = polled.starving;
            (consumed, half) = (polled.consumed, polled.half);
            done = done.with_cq_cons(consumed.raw());
        }
        // Busy polling and deferred interrupts never arm: release completions at half a window.
        if again || consumed.since(self.freed) >= half {
            // Release the completions without arming.
            shared.ring(done);
            self.freed = consumed;
        }
        let idle = work == 0 && !again && sent.seen == self.tx_seen;
        self.tx_seen = sent.seen;
        Outcome {
            work,
            again,
            retry,
            // A device with inconsistent indices would interrupt at once, for ever: poll it by
            // timer.
            rest: self.is_useless(idle, cx.interrupted()) || sent.bad,
            token: done.with_arm(1).0,
        }
    }

    fn arm(shared: &Self::Shared, token: u32) {
        shared.ring(QueueDoorbell(token));
    }
}
