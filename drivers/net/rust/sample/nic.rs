// SPDX-License-Identifier: GPL-2.0

//! The operations of the network device.

use crate::{
    driver::Bar,
    net::{
        device::{
            self,
            MacAddr,
            Operations,
            Parts,
            QueuePair,
            Stats64,
            XmitContext, //
        },
        dma::{
            DmaDevice,
            Words, //
        },
        ethtool::{
            self,
            StatVisitor, //
        },
        pci::BusMaster,
        skbuff::TxSkb,
        stats::counters,
        Device, //
    },
    pair::{
        Doorbell,
        Pair, //
    },
    regs,
    rx,
    tx, //
};
use kernel::{
    device::Bound,
    io::Io,
    pci,
    prelude::*,
    sync::Arc, //
};

/// Largest payload of a frame.
pub(crate) const MAX_MTU: u32 = regs::BUF_SIZE as u32 - device::ETH_HLEN;

counters! {
    /// Counters of the queue pair that NAPI writes.
    Counts:
    /// Packets handed to the stack.
    rx_packets,
    /// Bytes of those packets.
    rx_bytes,
    /// Packets dropped for lack of memory, or with an impossible length.
    rx_dropped,
    /// Packets sent.
    tx_packets,
    /// Bytes of those packets.
    tx_bytes,
}

/// The device's station address.
pub(crate) fn mac(bar: &Bar<'_>) -> MacAddr {
    let lo = bar.read32(regs::MAC_LO).to_le_bytes();
    let hi = bar.read32(regs::MAC_HI).to_le_bytes();
    [lo[0], lo[1], lo[2], lo[3], hi[0], hi[1]]
}

/// Stops the device: when this returns, it accesses no memory.
///
/// # Errors
///
/// [`ENODEV`] if it does not answer.
pub(crate) fn stop(bar: &Bar<'_>) -> Result {
    bar.write32(0, regs::CTRL);
    match bar.read32(regs::CTRL) {
        0 => Ok(()),
        _ => Err(ENODEV),
    }
}

/// How queues are made: there is nothing to choose.
#[derive(Clone)]
pub(crate) struct Setup;

impl device::Setup for Setup {
    fn queues(&self) -> u32 {
        1
    }
}

/// A device and its driver's state, from probe to unbind.
pub(crate) struct Nic<'bound> {
    master: BusMaster<'bound>,
    dma: DmaDevice<'bound>,
    bar: Arc<Bar<'bound>>,
    counts: Arc<Counts>,
}

impl<'bound> Nic<'bound> {
    /// Takes charge of a device that was stopped. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(
        pdev: &'bound pci::Device<Bound>,
        dma: DmaDevice<'bound>,
        bar: Arc<Bar<'bound>>,
    ) -> Result<Self> {
        Ok(Self {
            master: BusMaster::new(pdev),
            dma,
            bar,
            counts: Arc::new(Counts::default(), GFP_KERNEL)?,
        })
    }
}

impl ethtool::Stats for Nic<'_> {
    fn visit_stats(&self, v: &mut dyn StatVisitor) {
        self.counts
            .visit(|name, value| v.stat(fmt!("{name}"), value));
    }
}

#[vtable]
impl<'bound> Operations for Nic<'bound> {
    const PARTS: Parts<Self> = Parts::new().stats();

    type Setup = Setup;
    type Tx = tx::Ring<'bound>;
    type Poll = Pair<'bound>;

    fn open_queue(&self, _dev: &Device, _setup: &Setup, _queue: usize) -> Result<QueuePair<Self>> {
        let dev = self.master.dev().as_ref();
        let heads = Arc::new(Words::new(dev, 1)?, GFP_KERNEL)?;
        let rx = rx::Ring::new(dev, &heads, &self.counts)?;
        let (ring, cleaner) = tx::new(dev, self.dma, &self.bar, &heads, &self.counts)?;
        Ok(QueuePair {
            tx: ring,
            poll: Pair::new(self.master, &self.bar, heads, rx, cleaner),
            shared: Doorbell::new(&self.bar),
        })
    }

    fn restore(&self, _dev: &Device, _setup: &Setup, _reset: bool) -> Result {
        self.master.allow_after(|| stop(&self.bar))
    }

    fn reset(&self) -> Result {
        stop(&self.bar)
    }

    fn start_queue(&self, _queue: usize, _tx: &mut Self::Tx, poll: &mut Self::Poll) -> Result {
        poll.start()
    }

    fn stop_queue(&self, _queue: usize, poll: &mut Self::Poll) {
        poll.stop();
    }

    fn start_xmit(tx: &mut Self::Tx, cx: &XmitContext<'_>, skb: TxSkb) {
        tx.xmit(cx, skb);
    }

    fn stats64(&self, stats: &mut Stats64) {
        stats.rx_packets = self.counts.rx_packets.read();
        stats.rx_bytes = self.counts.rx_bytes.read();
        stats.rx_dropped = self.counts.rx_dropped.read();
        stats.tx_packets = self.counts.tx_packets.read();
        stats.tx_bytes = self.counts.tx_bytes.read();
    }
}
