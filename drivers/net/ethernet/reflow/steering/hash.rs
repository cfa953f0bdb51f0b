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
            self,
            RssCtrl,
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
        Device, //
    },
    nic::Nic, //
};
use kernel::prelude::*;

/// How a context spreads flows.
#[derive(Clone)]
pub(super) struct Hash {
    secret: [u8; SECRET_LEN],
    table: [u8; RSS_ENTRIES],
    symmetric: bool,
    tcp_ports: bool,
    udp_ports: bool,
}

impl Hash {
    /// Spreads evenly over `queues` queues, with the system's secret.
    pub(super) fn new(queues: u32) -> Self {
        let mut this = Self {
            secret: [0; SECRET_LEN],
            table: [0; RSS_ENTRIES],
            symmetric: false,
            tcp_ports: true,
            udp_ports: true,
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
        let ports = match kind {
            Kind::Tcp4 | Kind::Tcp6 => self.tcp_ports,
            Kind::Udp4 | Kind::Udp6 => self.udp_ports,
            Kind::Ip4 | Kind::Ip6 => false,
        };
        if ports {
            Fields::ALL
        } else {
            Fields::ADDRS
        }
    }

    fn set_fields(&mut self, kind: Kind, to: Fields) -> Result {
        let ports = match to {
            Fields::ADDRS => false,
            Fields::ALL => true,
            _ => return Err(EOPNOTSUPP),
        };
        match kind {
            Kind::Tcp4 | Kind::Tcp6 => self.tcp_ports = ports,
            Kind::Udp4 | Kind::Udp6 => self.udp_ports = ports,
            Kind::Ip4 | Kind::Ip6 if ports => return Err(EOPNOTSUPP),
            Kind::Ip4 | Kind::Ip6 => {}
        }
        Ok(())
    }

    /// The context as the device's command wants it.
    pub(super) fn command(&self) -> cmd::Context {
        cmd::Context {
            head: X0(0)
                .with_tcp_ports(self.tcp_ports.into())
                .with_udp_ports(self.udp_ports.into())
                .with_symmetric(self.symmetric.into()),
            secret: self.secret,
            table: self.table,
        }
    }
}

impl State {
    fn hash(&self, context: u32) -> Result<&Hash> {
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
                mmio.write_at(regs::RSS_KEY, i, u32::from_le_bytes([a, b, c, d]));
            }
        }
        for (i, &queue) in hash.table.iter().enumerate() {
            mmio.write_at(regs::RSS_TABLE, i, queue.into());
        }
        let on = RssCtrl(0)
            .with_enable(1)
            .with_tcp_ports(hash.tcp_ports.into())
            .with_udp_ports(hash.udp_ports.into())
            .with_symmetric(hash.symmetric.into());
        mmio.write(regs::RSS_CTRL, on.0);
    }

    /// Changes a context, in the device and here.
    fn update(
        &self,
        dev: &Device,
        context: u32,
        change: impl FnOnce(&mut Hash) -> Result,
    ) -> Result {
        let mut state = self.steering.state.lock();
        let mut new = state.hash(context)?.clone();
        if context == 0 && !dev.rxfh_configured() {
            new.spread_evenly(dev.rx_queues());
        }
        change(&mut new)?;
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

impl Operations for Nic<'_> {
    const TABLE_LEN: usize = RSS_ENTRIES;
    const KEY_LEN: usize = SECRET_LEN;
    const CONTEXTS: u32 = RSS_CONTEXTS as u32;

    fn show_context(&self, dev: &Device, context: u32, view: View<'_>) -> Result<bool> {
        let mut state = self.steering.state.lock();
        if context == 0 && !dev.rxfh_configured() {
            state.main.spread_evenly(dev.rx_queues());
        }
        let hash = state.hash(context)?;
        hash.show(view);
        Ok(hash.symmetric)
    }

    fn change_context(&self, dev: &Device, context: u32, to: &Change<'_>) -> Result {
        self.update(dev, context, |hash| {
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

    fn set_hash_fields(&self, dev: &Device, context: u32, kind: Kind, to: Fields) -> Result {
        self.update(dev, context, |hash| hash.set_fields(kind, to))
    }
}
