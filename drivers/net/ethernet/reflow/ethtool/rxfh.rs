// SPDX-License-Identifier: GPL-2.0

//! `ethtool -x`, `-X` and `--show-rxfh`: RSS, see [`steering`](crate::steering).

use crate::{
    hw::{
        cmd::RSS_CONTEXTS,
        regs::RSS_ENTRIES,
        toeplitz::SECRET_LEN, //
    },
    net::{
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

#[vtable]
impl Operations for Nic<'_> {
    const TABLE_LEN: usize = RSS_ENTRIES;
    const KEY_LEN: usize = SECRET_LEN;
    const CONTEXTS: u32 = RSS_CONTEXTS as u32;
    const SYMMETRIC: bool = true;

    fn show_context(&self, dev: &Device, context: u32, view: View<'_>) -> Result<bool> {
        self.steering.show_context(dev, context, view)
    }

    fn change_context(
        &self,
        dev: &Device,
        context: u32,
        to: &Change<'_>,
        ack: &mut Extack<'_>,
    ) -> Result {
        let with = (dev, &*self.mmio, &self.cmd);
        self.steering.change_context(with, context, to, ack)
    }

    fn add_context(&self, dev: &Device, context: u32, to: &Change<'_>) -> Result {
        self.steering.add_context(dev, &self.cmd, context, to)
    }

    fn remove_context(&self, context: u32) -> Result {
        self.steering.remove_context(&self.cmd, context)
    }

    fn hash_fields(&self, context: u32, kind: Kind) -> Result<Fields> {
        self.steering.hash_fields(context, kind)
    }

    fn set_hash_fields(
        &self,
        dev: &Device,
        context: u32,
        kind: Kind,
        to: Fields,
        ack: &mut Extack<'_>,
    ) -> Result {
        let with = (dev, &*self.mmio, &self.cmd);
        self.steering
            .set_hash_fields(with, context, (kind, to), ack)
    }
}
