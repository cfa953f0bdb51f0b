// SPDX-License-Identifier: GPL-2.0

//! Spreading by hash: secret key, indirection table and what is hashed, for each context.

use super::State;
use crate::{
    cmd,
    hw::{
        cmd::{
            RSS_CONTEXTS,
            X0, //
        },
        regs::{
            reg,
            HashFields,
            RssCtrl,
            HASH_ADDRS,
            HASH_PORTS,
            RSS_ENTRIES, //
        },
        toeplitz::SECRET_LEN, //
    },
    net::{
        device::rss_key_fill,
        ethtool::rxfh::{
            Change,
            Fields,
            Kind,
            Operations,
            View, //
        },
        extack::Extack,
        Device, //
    },
    nic::Nic, //
};
use kernel::prelude::*;

/// A field that can be hashed: what the core calls it, and its bit in the device's word.
struct Choice {
    field: Fields,
    chosen: fn(HashFields) -> u32,
    choose: fn(HashFields, u32) -> HashFields,
}

/// All of them.
const CHOICES: &[Choice] = &[
    Choice {
        field: Fields::SRC,
        chosen: |f| f.src(),
        choose: |f, on| f.with_src(on),
    },
    Choice {
        field: Fields::DST,
        chosen: |f| f.dst(),
        choose: |f, on| f.with_dst(on),
    },
    Choice {
        field: Fields::SRC_PORT,
        chosen: |f| f.src_port(),
        choose: |f, on| f.with_src_port(on),
    },
    Choice {
        field: Fields::DST_PORT,
        chosen: |f| f.dst_port(),
        choose: |f, on| f.with_dst_port(on),
    },
    Choice {
        field: Fields::LABEL,
        chosen: |f| f.label(),
        choose: |f, on| f.with_label(on),
    },
];

/// How a context spreads flows.
#[derive(Clone)]
pub(super) struct Hash {
    secret: [u8; SECRET_LEN],
    table: [u8; RSS_ENTRIES],
    symmetric: bool,
    /// What is hashed of each kind of packets.
    fields: [HashFields; Kind::COUNT],
}

impl Hash {
    /// Spreads evenly over `queues` queues, with the system's secret.
    pub(super) fn new(queues: u32) -> Self {
        let mut this = Self {
            secret: [0; SECRET_LEN],
            table: [0; RSS_ENTRIES],
            symmetric: false,
            fields: Kind::ALL.map(|kind| {
                HashFields(match kind {
                    Kind::Ip4 | Kind::Ip6 => HASH_ADDRS,
                    _ => HASH_PORTS,
                })
            }),
        };
        rss_key_fill(&mut this.secret);
        this.spread_evenly(queues);
        this
    }

    /// Makes the table the one that the user did not set.
    pub(super) fn spread_evenly(&mut self, queues: u32) {
        // There are at most 32 queues, and at least one.
        for (entry, queue) in self.table.iter_mut().zip((0..queues.max(1) as u8).cycle()) {
            *entry = queue;
        }
    }

    fn change(&mut self, to: &Change<'_>) {
        if let Some(table) = to.table {
            for (entry, &queue) in self.table.iter_mut().zip(table) {
                *entry = queue as u8;
            }
        }
        if let Some(key) = to.key {
            for (byte, &new) in self.secret.iter_mut().zip(key) {
                *byte = new;
            }
        }
        if let Some(symmetric) = to.symmetric {
            self.symmetric = symmetric;
        }
    }

    fn show(&self, view: View<'_>) {
        if let Some(table) = view.table {
            for (out, &queue) in table.iter_mut().zip(&self.table) {
                *out = queue.into();
            }
        }
        if let Some(key) = view.key {
            for (out, &byte) in key.iter_mut().zip(&self.secret) {
                *out = byte;
            }
        }
    }

    fn fields(&self, kind: Kind) -> Fields {
        let fields = self.fields[kind as usize];
        let chosen = CHOICES.iter().filter(|c| (c.chosen)(fields) != 0);
        chosen.fold(Fields::NONE, |all, c| all.or(c.field))
    }

    fn set_fields(&mut self, kind: Kind, to: Fields, ack: &mut Extack<'_>) -> Result {
        let mut left = to;
        let mut fields = HashFields(0);
        for c in CHOICES {
            if left.has(c.field) {
                left = left.without(c.field);
                fields = (c.choose)(fields, 1);
            }
        }
        let ports = HashFields(0).with_src_port(1).with_dst_port(1).0;
        if left != Fields::NONE || to == Fields::NONE {
            ack.say(c"what can be hashed are addresses, ports and the flow label");
            return Err(EOPNOTSUPP);
        }
        if matches!(kind, Kind::Ip4 | Kind::Ip6) && fields.0 & ports != 0 {
            ack.say(c"only TCP and UDP have ports");
            return Err(EOPNOTSUPP);
        }
        self.fields[kind as usize] = fields;
        Ok(())
    }

    /// What is hashed, and how, as the device wants it.
    fn hashed(&self) -> RssCtrl {
        let [tcp4, udp4, ip4, tcp6, udp6, ip6] = self.fields;
        RssCtrl(0)
            .with_symmetric(self.symmetric.into())
            .with_tcp4(tcp4.0)
            .with_udp4(udp4.0)
            .with_ip4(ip4.0)
            .with_tcp6(tcp6.0)
            .with_udp6(udp6.0)
            .with_ip6(ip6.0)
    }

    /// The largest queue in the table.
    pub(super) fn last_queue(&self) -> u32 {
        self.table.iter().copied().max().unwrap_or(0).into()
    }

    /// The context as the device's command wants it.
    pub(super) fn command(&self) -> cmd::Context {
        cmd::Context {
            head: X0(0).with_hashed(self.hashed().0.into()),
            secret: self.secret,
            table: self.table,
        }
    }
}

impl State {
    /// How a context spreads flows.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    pub(super) fn hash(&self, context: u32) -> Result<&Hash> {
        let Some(at) = context.checked_sub(1) else {
            return Ok(&self.main);
        };
        let slot = self.contexts.get(at as usize);
        slot.and_then(|hash| hash.as_deref()).ok_or(ENOENT)
    }

    /// The place of a context's state, of those from 1 on.
    fn slot(&mut self, context: u32) -> Result<&mut Option<KBox<Hash>>> {
        let at = context.checked_sub(1).ok_or(EINVAL)?;
        self.contexts.get_mut(at as usize).ok_or(EINVAL)
    }
}

impl Nic<'_> {
    /// Tells the device how context 0 spreads flows.
    pub(super) fn write_main(&self, hash: &Hash) {
        let mmio = self.mmio();
        for (i, word) in hash.secret.chunks_exact(4).enumerate() {
            if let &[a, b, c, d] = word {
                mmio.write_at(reg::RSS_KEY, i, u32::from_le_bytes([a, b, c, d]));
            }
        }
        for (i, &queue) in hash.table.iter().enumerate() {
            mmio.write_at(reg::RSS_TABLE, i, queue.into());
        }
        mmio.write(reg::RSS_CTRL, hash.hashed().with_enable(1));
    }

    /// Changes a context, in the device and here.
    fn update(
        &self,
        dev: &Device,
        context: u32,
        ack: &mut Extack<'_>,
        change: impl FnOnce(&mut Hash, &mut Extack<'_>) -> Result,
    ) -> Result {
        let mut state = self.steering.state.lock();
        let mut new = state.hash(context)?.clone();
        if context == 0 && !dev.rxfh_configured() {
            new.spread_evenly(dev.rx_queues());
        }
        change(&mut new, ack)?;
        if new.last_queue() + state.largest_offset(context) >= dev.rx_queues() {
            ack.say(c"a rule adds to the queues of this context, and there are not so many");
            return Err(EINVAL);
        }
        if context == 0 {
            self.write_main(&new);
            state.main = new;
            return Ok(());
        }
        self.cmd.rss_set(context, &new.command())?;
        if let Some(hash) = state.slot(context)? {
            **hash = new;
        }
        Ok(())
    }
}

#[vtable]
impl Operations for Nic<'_> {
    const TABLE_LEN: usize = RSS_ENTRIES;
    const KEY_LEN: usize = SECRET_LEN;
    const CONTEXTS: u32 = RSS_CONTEXTS as u32;
    const SYMMETRIC: bool = true;

    fn show_context(&self, dev: &Device, context: u32, view: View<'_>) -> Result<bool> {
        let mut state = self.steering.state.lock();
        if context == 0 && !dev.rxfh_configured() {
            state.main.spread_evenly(dev.rx_queues());
        }
        let hash = state.hash(context)?;
        hash.show(view);
        Ok(hash.symmetric)
    }

    fn change_context(
        &self,
        dev: &Device,
        context: u32,
        to: &Change<'_>,
        ack: &mut Extack<'_>,
    ) -> Result {
        self.update(dev, context, ack, |hash, _| {
            hash.change(to);
            Ok(())
        })
    }

    fn add_context(&self, dev: &Device, context: u32, to: &Change<'_>) -> Result {
        let mut hash = KBox::new(Hash::new(dev.rx_queues()), GFP_KERNEL)?;
        hash.change(to);
        let mut state = self.steering.state.lock();
        let slot = state.slot(context)?;
        self.cmd.rss_set(context, &hash.command())?;
        *slot = Some(hash);
        Ok(())
    }

    fn remove_context(&self, context: u32) -> Result {
        let mut state = self.steering.state.lock();
        let slot = state.slot(context)?;
        match self.cmd.rss_del(context) {
            // The device may have been reset meanwhile.
            Ok(()) | Err(ENOENT) => {}
            Err(e) => return Err(e),
        }
        slot.take().map(drop).ok_or(ENOENT)
    }

    fn hash_fields(&self, context: u32, kind: Kind) -> Result<Fields> {
        let state = self.steering.state.lock();
        Ok(state.hash(context)?.fields(kind))
    }

    fn set_hash_fields(
        &self,
        dev: &Device,
        context: u32,
        kind: Kind,
        to: Fields,
        ack: &mut Extack<'_>,
    ) -> Result {
        self.update(dev, context, ack, |hash, ack| {
            hash.set_fields(kind, to, ack)
        })
    }
}
