// SPDX-License-Identifier: GPL-2.0

//! The queue pair: what NAPI polls.

use crate::{
    driver::Bar,
    net::{
        dma::Words,
        napi::{
            NapiRef,
            Outcome,
            Poll,
            RxContext,
            TxContext, //
        },
        pci::BusMaster, //
    },
    nic,
    regs,
    rx,
    tx, //
};
use kernel::{
    io::Io,
    prelude::*,
    sync::Arc, //
};

/// Asks for the next interrupt.
pub(crate) struct Doorbell<'bound>(Arc<Bar<'bound>>);

impl<'bound> Doorbell<'bound> {
    /// That of a device.
    pub(crate) fn new(bar: &Arc<Bar<'bound>>) -> Self {
        Self(bar.clone())
    }
}

/// Both rings. Dropped while it runs, it stops the device before their memory is freed.
pub(crate) struct Pair<'bound> {
    master: BusMaster<'bound>,
    bar: Arc<Bar<'bound>>,
    on: bool,
    heads: Arc<Words>,
    rx: rx::Ring,
    tx: tx::Cleaner<'bound>,
}

impl<'bound> Pair<'bound> {
    /// A pair that does not run.
    pub(crate) fn new(
        master: BusMaster<'bound>,
        bar: &Arc<Bar<'bound>>,
        heads: Arc<Words>,
        rx: rx::Ring,
        tx: tx::Cleaner<'bound>,
    ) -> Self {
        Self {
            master,
            bar: bar.clone(),
            on: false,
            heads,
            rx,
            tx,
        }
    }

    /// Tells the device where the rings are, and starts it.
    ///
    /// # Errors
    ///
    /// [`EIO`] if it does not start.
    pub(crate) fn start(&mut self) -> Result {
        let bar = &self.bar;
        let [lo, hi] = regs::HEADS;
        bar.write32(self.heads.dma_address() as u32, lo);
        bar.write32((self.heads.dma_address() >> 32) as u32, hi);
        self.tx.configure(bar);
        self.rx.configure(bar);
        self.on = true;
        bar.write32(regs::RUN, regs::CTRL);
        match bar.read32(regs::CTRL) {
            regs::RUN => Ok(()),
            _ => Err(EIO),
        }
    }

    /// Stops the device, if this pair runs: with other memory another one may. When this returns
    /// the device does not access the memory of the pair, whether it answers or not.
    pub(crate) fn stop(&mut self) {
        if core::mem::replace(&mut self.on, false) {
            self.master.silence(|| nic::stop(&self.bar));
        }
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<'bound> Poll for Pair<'bound> {
    type Shared = Doorbell<'bound>;

    // Page pools would be tied to the NAPI instance here; there are none.
    fn attached(&mut self, _napi: NapiRef<'_>) {}
    fn detached(&mut self, _napi: NapiRef<'_>) {}

    fn clean(&mut self, cx: &TxContext<'_>) {
        self.tx.clean(cx);
    }

    fn poll(&mut self, _shared: &Self::Shared, cx: &RxContext<'_>) -> Outcome {
        let sent = self.tx.clean(cx);
        let received = self.rx.poll(cx, &self.bar);
        Outcome {
            work: received.unwrap_or(0),
            again: false,
            retry: false,
            // The heads of a broken device would raise one interrupt after the other.
            rest: sent.is_none() || received.is_none(),
            token: (self.rx.head() & 0xffff) | (self.tx.head() << 16),
        }
    }

    fn arm(shared: &Self::Shared, token: u32) {
        shared.0.write32(token, regs::ARM);
    }
}
