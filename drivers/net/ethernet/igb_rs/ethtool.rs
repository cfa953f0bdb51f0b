// SPDX-License-Identifier: GPL-2.0

//! Answers to `ethtool`.

use crate::{
    hw::{
        KEY_LEN,
        TABLE_LEN,
        USECS_MAX, //
    },
    net::prelude::*,
    nic::Nic,
    regs::STATUS,
    stats::{
        Count,
        LONGEST, //
    }, //
};
use ethtool::{
    rxfh,
    rxfh::Fields,
    standard,
    Coalesce, //
};
use plain::counters;

impl counters::Counts for Nic<'_> {
    fn counters(&self) -> &counters::Counters {
        &self.counters
    }
}

impl ethtool::Stats for Nic<'_> {
    fn visit_stats(&self, v: &mut dyn ethtool::StatVisitor) {
        self.update_totals();
        self.counters.visit(v);
        self.totals
            .visit(|name, value| v.stat(fmt!("{name}"), value));
    }
}

impl ethtool::SetCoalesce for Nic<'_> {
    const PARAMS: u32 = ethtool::coalesce::RX_USECS;

    fn coalesce(&self) -> Coalesce {
        Coalesce {
            rx_usecs: self.config(|config| config.usecs),
            ..Coalesce::default()
        }
    }

    fn set_coalesce(&self, new: Coalesce) -> Result<(), Refused> {
        const { assert!(USECS_MAX == 8000) };
        if new.rx_usecs > USECS_MAX {
            return Err(Refused::new(ERANGE, c"rx-usecs must be at most 8000"));
        }
        let done = self.change(|config| config.usecs = new.rx_usecs);
        done.map_err(|e| Refused::new(e, c"the device does not take it"))
    }
}

impl ethtool::Link for Nic<'_> {
    fn link_settings(&self) -> ethtool::LinkSettings {
        let status = self.bar.read(STATUS);
        let speed = match status.speed().get() {
            0 => 10,
            1 => 100,
            _ => 1000,
        };
        ethtool::LinkSettings {
            speed: status.lu().then_some(speed),
            full_duplex: status.fd(),
            autoneg: true,
        }
    }
}

#[vtable]
impl rxfh::Operations for Nic<'_> {
    const TABLE_LEN: usize = TABLE_LEN;
    const KEY_LEN: usize = KEY_LEN;

    fn show_context(&self, _dev: &Device, _context: u32, view: rxfh::View<'_>) -> Result<bool> {
        self.config(|config| config.spread.show(view));
        Ok(false)
    }

    fn change_context(
        &self,
        _dev: &Device,
        _context: u32,
        to: &rxfh::Change<'_>,
        _ack: &mut Extack<'_>,
    ) -> Result {
        self.change(|config| config.spread.change(to))
    }

    fn hash_fields(&self, _context: u32, kind: rxfh::Kind) -> Result<Fields> {
        let addresses = Fields::SRC.or(Fields::DST);
        Ok(match kind {
            rxfh::Kind::Tcp4 | rxfh::Kind::Tcp6 => {
                addresses.or(Fields::SRC_PORT).or(Fields::DST_PORT)
            }
            _ => addresses,
        })
    }
}

impl standard::Operations for Nic<'_> {
    const CLASSES: &'static [u16] = &LONGEST;

    fn mac(&self) -> standard::Mac {
        self.update_totals();
        let way = |frames, bytes, multicast, broadcast| standard::Way {
            frames: self.totals.get(frames),
            bytes: self.totals.get(bytes),
            multicast: self.totals.get(multicast),
            broadcast: self.totals.get(broadcast),
            control: 0,
        };
        use Count::*;
        standard::Mac {
            rx: way(RxFrames, RxBytes, RxMulticast, RxBroadcast),
            tx: way(TxFrames, TxBytes, TxMulticast, TxBroadcast),
            too_long: self.totals.get(RxLong),
        }
    }

    fn lengths(&self, to: standard::Lengths<'_>) {
        use Count::*;
        let rx = [RxTo64, RxTo127, RxTo255, RxTo511, RxTo1023, RxLonger];
        let tx = [TxTo64, TxTo127, TxTo255, TxTo511, TxTo1023, TxLonger];
        for (to, which) in [(to.rx, rx), (to.tx, tx)] {
            for (to, which) in to.iter_mut().zip(which) {
                *to = self.totals.get(which);
            }
        }
    }
}
