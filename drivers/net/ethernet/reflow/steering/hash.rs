// SPDX-License-Identifier: GPL-2.0

//! RSS: secret key, indirection table and hashed fields of a context.

use crate::{
    cmd,
    hw::{
        cmd::X0,
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
    mmio::Mmio,
    net::{
        device::rss_key_fill,
        ethtool::rxfh::{
            Change,
            Fields,
            Kind,
            View, //
        },
        extack::Extack, //
    }, //
};
use kernel::prelude::*;

/// A field that can be hashed: its name in the core, and its bit in the register.
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

/// The RSS configuration of a context.
#[derive(Clone)]
pub(super) struct Hash {
    secret: [u8; SECRET_LEN],
    table: [u8; RSS_ENTRIES],
    pub(super) symmetric: bool,
    /// The fields that are hashed of each kind of packets.
    fields: [HashFields; Kind::COUNT],
}

impl Hash {
    /// The default: evenly over `queues` queues, with the secret of the system.
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

    /// Restores the default table.
    pub(super) fn spread_evenly(&mut self, queues: u32) {
        // There are at most 32 queues, and at least one.
        for (entry, queue) in self.table.iter_mut().zip((0..queues.max(1) as u8).cycle()) {
            *entry = queue;
        }
    }

    /// Applies the changes of the user.
    pub(super) fn change(&mut self, to: &Change<'_>) {
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

    /// Fills in the parts that the user asks for.
    pub(super) fn show(&self, view: View<'_>) {
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

    /// The fields that are hashed of a kind of packets.
    pub(super) fn fields(&self, kind: Kind) -> Fields {
        let fields = self.fields[kind as usize];
        let chosen = CHOICES.iter().filter(|c| (c.chosen)(fields) != 0);
        chosen.fold(Fields::NONE, |all, c| all.or(c.field))
    }

    /// Sets the fields that are hashed of a kind of packets.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] for what the device cannot hash.
    pub(super) fn set_fields(&mut self, kind: Kind, to: Fields, ack: &mut Extack<'_>) -> Result {
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

    /// The register value: fields and symmetry.
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

    /// The context as a command block.
    pub(super) fn command(&self) -> cmd::ContextBlock {
        cmd::ContextBlock {
            head: X0(0).with_hashed(self.hashed().0.into()),
            secret: self.secret,
            table: self.table,
        }
    }

    /// Writes this as context 0 to the device.
    pub(super) fn write(&self, mmio: &Mmio<'_>) {
        for (i, word) in self.secret.chunks_exact(4).enumerate() {
            if let &[a, b, c, d] = word {
                mmio.write_at(reg::RSS_KEY, i, u32::from_le_bytes([a, b, c, d]));
            }
        }
        for (i, &queue) in self.table.iter().enumerate() {
            mmio.write_at(reg::RSS_TABLE, i, queue.into());
        }
        mmio.write(reg::RSS_CTRL, self.hashed().with_enable(1));
    }
}
