// SPDX-License-Identifier: GPL-2.0

//! The operations of the network device: up and down, queues, addresses, filters, features.

use crate::{
    hw::regs::{
        self,
        queue_reg,
        reg,
        Ctrl,
        Event, //
    },
    hw::stats::Global,
    mmio::GONE,
    net::{
        arfs::{
            self,
            Wanted, //
        },
        device::{
            features,
            Device,
            MacAddr,
            Operations,
            Parts,
            QueuePair,
            RxMode,
            Stats64,
            XmitContext,
            VLAN_HLEN, //
        },
        napi::NapiRef,
        queue_mgmt,
        service::{
            self,
            Service, //
        },
        skbuff::{
            TxInfo,
            TxSkb, //
        },
        tcp::Flow,
        xdp::{
            self,
            Holder, //
        }, //
    },
    nic::{
        Nic,
        FRAME_OVERHEAD,
        MAX_MTU, //
    },
    queue::{
        Doorbell,
        Queue, //
    },
    rx::{
        self,
        queue::RxQueue, //
    },
    setup::Setup,
    tuning::Switch,
    tx, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// Features that VLAN interfaces on top inherit.
pub(crate) const VLAN_FEATURES: u64 =
    features::SG | features::HW_CSUM | features::TSO | features::USO;

impl<'bound> Nic<'bound> {
    /// Features of this device that the user may change.
    pub(crate) fn switchable(&self) -> u64 {
        let f = self.features;
        let mut on = features::SG;
        for (has, feature) in [
            (f.tx_csum(), features::HW_CSUM),
            (f.tso(), features::TSO),
            (f.uso(), features::USO),
            (f.rx_csum(), features::RXCSUM),
            (f.rss(), features::RXHASH),
            (f.reassembly(), features::GRO_HW),
            (f.vlan_strip(), features::VLAN_RX),
            (f.vlan_insert(), features::VLAN_TX),
            (f.cmd(), features::NTUPLE),
        ] {
            if has != 0 {
                on |= feature;
            }
        }
        on
    }

    /// Applies these features. May sleep.
    pub(crate) fn apply_features(&self, on: u64) {
        let merge = on & features::GRO_HW != 0;
        self.tuning.set(Switch::Merge, merge);
        self.settings
            .csum
            .store(on & features::RXCSUM != 0, Relaxed);
        self.settings
            .hash
            .store(on & features::RXHASH != 0, Relaxed);
        self.filter.strip_vlan(on & features::VLAN_RX != 0);
    }

    /// The receive side of a queue. May sleep.
    fn receiver(&self, dev: &Device, setup: &Setup, i: usize) -> Result<RxQueue<'bound>> {
        let parts = rx::Parts {
            dev: self.dev,
            dma: &self.dma,
            netdev: dev,
            mmio: &self.mmio,
            queue: i.try_into()?,
            rings: setup.rings,
            flows: self.flows(),
            settings: &self.settings,
            counters: self.counters.get(i).ok_or(EINVAL)?,
            tcbs: &self.tcbs,
            xdp: &self.xdp,
        };
        RxQueue::new(&parts, setup.xdp)
    }
}

#[vtable]
impl<'bound> Operations for Nic<'bound> {
    const PARTS: Parts<Self> = Parts::new()
        .arfs()
        .channels()
        .coalesce()
        .queue_coalesce()
        .copybreak()
        .debugfs()
        .devlink()
        .fw_version()
        .health()
        .hwtstamp()
        .queue_mgmt()
        .queue_stats()
        .rings()
        .rxfh()
        .rxnfc()
        .selftest()
        .rx_buf_len()
        .service()
        .split()
        .standard_stats()
        .stats()
        .sysfs()
        .watch()
        .xdp();

    type Setup = Setup;
    type Tx = tx::Ring<'bound>;
    type Poll = Queue<'bound>;

    fn event_vector(&self) -> Option<usize> {
        Some(self.counters.len())
    }

    fn open_queue(&self, dev: &Device, setup: &Setup, i: usize) -> Result<QueuePair<Self>> {
        let counters = self.counters.get(i).ok_or(EINVAL)?;
        let log2 = setup.rings.tx;
        let (ring, cleaner) = tx::new(
            self.dev,
            self.dma,
            &self.mmio,
            (i, log2),
            counters,
            &self.stamps,
        )?;
        let receiver = self.receiver(dev, setup, i)?;
        let probe = self.probes.get(i).ok_or(EINVAL)?;
        let poll = Queue::new(&self.mmio, i, receiver, cleaner, counters.clone(), probe);
        Ok(QueuePair {
            tx: ring,
            shared: Doorbell::new(&self.mmio, i, &poll),
            poll,
        })
    }

    fn restore(&self, dev: &Device, setup: &Setup, reset: bool) -> Result {
        if !reset && self.is_as_left() {
            return Ok(());
        }
        self.bring_back_for(dev, setup)
    }

    fn quiesce(&self) {
        self.mmio.write(reg::CTRL, Ctrl(0));
        self.mmio.write(reg::EVENT_ARM, Event(0));
        self.cmd.quiesce();
        self.hw.quiesce();
    }

    fn reset(&self) -> Result {
        self.mmio.reset()
    }

    fn is_present(&self) -> bool {
        self.mmio.present().is_ok()
    }

    fn link(&self) -> bool {
        let arm = Event(0).with_link(1).with_queue_fault(1);
        self.mmio.write(reg::EVENT_ARM, arm);
        let status = self.mmio.read(reg::STATUS);
        status.0 != GONE && status.link() != 0
    }

    fn start_queue(&self, queue: usize, tx: &mut Self::Tx, poll: &mut Self::Poll) -> Result {
        self.moderation.write(queue);
        poll.start(tx)
    }

    fn stop_queue(&self, _queue: usize, poll: &mut Self::Poll) {
        poll.stop();
    }

    fn start(&self, dev: &Device, setup: &Setup) {
        self.write_max_frame(dev.mtu());
        self.steering.tell(dev, &self.mmio, &self.cmd, setup.queues);
        self.tcbs.up(setup.queues);
        self.tuning.set(Switch::Xdp, setup.xdp);
        let on = Ctrl(0).with_rx(1).with_tx(1);
        self.mmio.write(reg::CTRL, on);
        let arm = regs::QueueDoorbell(0).with_arm(1);
        for queue in 0..setup.queues as usize {
            self.mmio.queue(queue).write(queue_reg::Q_DB, arm);
        }
    }

    fn stop(&self, _dev: &Device) {
        self.mmio.write(reg::CTRL, Ctrl(0));
        self.tcbs.down(&self.cmd);
    }

    fn running(&self, up: bool) {
        self.missed.running(up, self.hw.global(Global::RxDisabled));
    }

    fn start_xmit(tx: &mut Self::Tx, cx: &XmitContext<'_>, skb: TxSkb) {
        tx.xmit(cx, skb);
    }

    fn can_segment(packet: &TxInfo) -> bool {
        tx::can_segment(packet)
    }

    fn stats64(&self, stats: &mut Stats64) {
        self.fill_totals(stats);
    }

    fn set_rx_mode(&self, _dev: &Device, mode: &RxMode<'_>) -> Result {
        self.filter.set(mode);
        Ok(())
    }

    fn set_mac(&self, addr: &MacAddr) {
        self.filter.set_station(addr);
    }

    fn set_mtu(&self, mtu: u32) {
        self.write_max_frame(mtu);
    }

    fn event(&self) {
        let what = self.mmio.read(reg::EVENT);
        if what.0 != GONE {
            self.mmio.write(reg::EVENT, what);
        }
    }

    fn fix_features(&self, features: u64) -> u64 {
        // An XDP program must see every packet as it was on the wire.
        if self.tuning.is(Switch::KeepWhole) || self.xdp.is_set() {
            features & !features::GRO_HW
        } else {
            features
        }
    }

    fn set_features(&self, dev: &Device, on: u64) -> Result {
        self.steering
            .enable_rules(dev, &self.cmd, &self.tcbs, on & features::NTUPLE != 0)?;
        if on & features::NTUPLE == 0 {
            self.tcbs.stop_following(&self.cmd);
        }
        self.apply_features(on);
        Ok(())
    }
}

impl xdp::Operations for Nic<'_> {
    const MAX_MTU: u32 = MAX_MTU;
    // With the first tag, too, which stays in the packet unless the user has it removed.
    const SINGLE_MTU: u32 = rx::xdp::XDP_BUF_SIZE - FRAME_OVERHEAD - VLAN_HLEN;

    fn xdp_program(&self) -> &Holder {
        &self.xdp
    }
}

impl<'bound> queue_mgmt::Operations for Nic<'bound> {
    type Rx = RxQueue<'bound>;
    const RX_PAGE_MAX: u32 = 1 << regs::LOG2_BUF_MAX;

    fn rx_alloc(&self, dev: &Device, setup: &Setup, queue: usize) -> Result<Self::Rx> {
        self.receiver(dev, setup, queue)
    }

    fn rx_install(
        &self,
        _queue: usize,
        poll: &mut Queue<'bound>,
        rx: Self::Rx,
        napi: NapiRef<'_>,
    ) -> Result {
        poll.rx_install(rx, napi)
    }

    fn rx_remove(
        &self,
        _queue: usize,
        poll: &mut Queue<'bound>,
        napi: NapiRef<'_>,
    ) -> Option<Self::Rx> {
        poll.rx_remove(napi)
    }
}

impl arfs::Operations for Nic<'_> {
    fn steer(&self, flow: &Flow, to: Wanted) -> Result<u16> {
        self.tcbs.steer(flow, to)
    }
}

impl service::Operations for Nic<'_> {
    fn service(&self) -> &Arc<Service> {
        self.tcbs.service()
    }

    fn serve(&self, dev: &Device) {
        self.tcbs.serve(dev, &self.cmd);
    }
}
