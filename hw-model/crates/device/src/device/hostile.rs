// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hostile mode: the device with faults.

use crate::chaos::bus::Hostile;
use crate::chaos::{Chaos, Spec, Tally};
use crate::device::{Config, Device};
use crate::host::Host;
use crate::regs::queue_of;
use reflow_hwdef::regs;

impl Device {
    /// A device with faults. Its seed is that of the faults, too.
    #[must_use]
    pub fn hostile(config: Config, spec: &Spec) -> Self {
        let mut device = Self::new(config);
        device.set_chaos(spec);
        device
    }

    /// Replaces the faults. The old ones end at once, lasting ones too; the
    /// new ones start from the seed, with all counts at 0.
    ///
    /// The device keeps its registers; one that was removed comes back as after a power
    /// cycle, in its reset state. Call [`Device::pump`] afterwards.
    pub fn set_chaos(&mut self, spec: &Spec) {
        let old = self.chaos.take();
        self.chaos = Chaos::new(spec, self.config.seed, self.now);
        if old.as_ref().is_some_and(Chaos::is_removed) {
            self.reset();
        }
        if old.as_ref().is_some_and(Chaos::hides_link) {
            self.event = self.event.with_link(1);
        }
    }

    /// The faults that it has.
    #[must_use]
    pub fn chaos_spec(&self) -> Spec {
        self.chaos.as_ref().map(Chaos::spec).unwrap_or_default()
    }

    /// Whether the device is removed, as if unplugged: configuration space, too, then reads all
    /// ones.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.chaos.as_ref().is_some_and(Chaos::is_removed)
    }

    /// The tally of each fault, by name.
    #[must_use]
    pub fn injections(&self) -> Vec<(&'static str, Tally)> {
        let tallies = self.chaos.as_ref().map(Chaos::tallies).unwrap_or_default();
        tallies.into_iter().map(|(f, t)| (f.name(), t)).collect()
    }

    fn around<'a, H: Host>(&self, chaos: Chaos, host: &'a mut H) -> Hostile<'a, H> {
        let stats = self.block.range(&self.counters);
        Hostile::new(host, chaos, self.vectors() as u64, stats)
    }

    /// The same as [`Device::pump`], with faults.
    pub(crate) fn pump_hostile(&mut self, chaos: Chaos, host: &mut impl Host) -> bool {
        let change = chaos.turn(self.now, self.vectors() as u64);
        if change.back {
            self.reset();
        }
        if change.link {
            self.event = self.event.with_link(1);
        }
        for vector in [change.spurious, change.storm].into_iter().flatten() {
            host.interrupt(vector as u16);
        }
        if chaos.is_removed() {
            return false;
        }
        let mut host = self.around(chaos, host);
        self.work(&mut host)
    }

    /// The same as [`Device::mmio_write`], with faults.
    pub(crate) fn write_hostile(
        &mut self,
        chaos: Chaos,
        host: &mut impl Host,
        offset: usize,
        value: u32,
    ) {
        if !chaos.is_removed() && !self.ignores(&chaos, offset, value) {
            let mut host = self.around(chaos, host);
            self.write_register(&mut host, offset, value);
        }
    }

    /// Whether a write has no effect.
    fn ignores(&mut self, chaos: &Chaos, offset: usize, value: u32) -> bool {
        let is_switch =
            offset == regs::CTRL || queue_of(offset).is_some_and(|(_, reg)| reg == regs::Q_CTRL);
        if is_switch {
            let ignored = self.read_register(offset) & !value != 0 && chaos.is_deaf();
            self.defies |= ignored;
            ignored
        } else {
            offset == regs::RESET && value & 1 != 0 && chaos.ignores_reset()
        }
    }
}
