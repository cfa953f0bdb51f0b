// SPDX-License-Identifier: GPL-2.0

//! Restores the configuration of a device that was reset.
//!
//! No configuration is in the device alone. It is kept by [`crate::filter`], [`crate::parser`],
//! [`crate::tuning`], [`crate::moderation`], [`crate::steering`], [`crate::tcb`], and what [`Nic`]
//! keeps itself. [`Nic::bring_back`] resets the device and writes all of it, at probe as after any
//! fault; nothing else does.
//!
//! Rings and their memory, XDP, and memory lent by applications are not among it: queues are made
//! anew, from the same setup, when the device is back.

use crate::{
    hw::regs::reg,
    net::Device,
    nic::Nic,
    setup::Setup, //
};
use kernel::prelude::*;

impl Nic<'_> {
    /// Whether the device still has its configuration. Samples suffice: a reset or power cycle
    /// clears all of it. May sleep.
    pub(crate) fn is_as_left(&self) -> bool {
        self.mmio.present().is_ok()
            && self.mmio.is_ready()
            && self.mmio.may_access_memory()
            && self.hw.is_kept()
            && self.mmio.read(reg::EVENT_VECTOR) == self.event_vector()
            && !self.cmd.is_silent()
    }

    /// Resets the device and writes its configuration, except for queues. No queue runs; the
    /// instance lock is held, or nobody else knows of the device yet. May sleep, about a second at
    /// most.
    ///
    /// # Errors
    ///
    /// [`ENODEV`], [`ETIMEDOUT`], [`EIO`] if the device does not take what it took before.
    pub(crate) fn bring_back(&self) -> Result {
        self.mmio.reset_and_allow()?;
        self.cmd.revive();
        self.hw.restore();
        self.mmio.write(reg::EVENT_VECTOR, self.event_vector());
        self.parser.restore().map_err(|why| {
            dev_err!(self.dev, "parser program: {}\n", why);
            Error::from(why)
        })?;
        self.filter.restore();
        self.write_flow_size()?;
        self.tuning.restore();
        self.moderation.write_all();
        self.steering.forgotten();
        self.tcbs.forgotten();
        Ok(())
    }

    /// The same, and the settings that depend on the queues about to be made.
    ///
    /// # Errors
    ///
    /// As for [`Self::bring_back`].
    pub(crate) fn bring_back_for(&self, dev: &Device, setup: &Setup) -> Result {
        self.bring_back()?;
        self.write_max_frame(dev.mtu());
        self.steering.tell(dev, &self.mmio, &self.cmd, setup.queues);
        Ok(())
    }
}
