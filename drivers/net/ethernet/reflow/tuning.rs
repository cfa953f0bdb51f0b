// SPDX-License-Identifier: GPL-2.0

//! Settings of the flow machinery. Only this file writes FLOW_CFG.
//!
//! Each switch is the wish of one user, feature or part; [`compose`] combines all of them into the
//! register.

use crate::{
    hw::{
        layout::Reg,
        regs::{
            self,
            reg,
            FlowCfg,
            Global,
            RedLevels, //
        }, //
    },
    mmio::Mmio,
    red::Band, //
};
use core::ops::RangeInclusive;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// A setting that is on or off.
#[derive(Clone, Copy)]
pub(crate) enum Switch {
    /// Learn flows and merge their packets.
    Merge,
    /// Leave the headers of appended packets out; else each is in a header cell.
    Suppress,
    /// Start each aggregate on a fresh page.
    FreshPages,
    /// Split headers from data in all TCP packets, merged or not, so that the data can be mapped.
    SplitAll,
    /// Leave packets whole. Excludes [`Switch::Merge`].
    KeepWhole,
    /// Start the data of each session PDU on a fresh page.
    AlignPdus,
    /// An XDP program sees packets, which are to be as on the wire: none are merged.
    Xdp,
}

impl Switch {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A setting that is a number.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    /// Fewest bytes of TCP data that are merged.
    DataThreshold,
    /// Longest aggregate, as the length of its IP packet in bytes.
    AggregateMax,
    /// A flow that saw no packet for so many microseconds is forgotten; 0 means never.
    FlowAge,
    /// Packets up to so many bytes are neither split nor merged.
    SplitThreshold,
    /// Whole packets up to so many bytes are put into cells, to be copied.
    SmallMax,
}

impl Number {
    /// How many there are.
    const COUNT: usize = 5;
    /// All of them, each at the place of its number.
    const ALL: [Self; Self::COUNT] = [
        Self::DataThreshold,
        Self::AggregateMax,
        Self::FlowAge,
        Self::SplitThreshold,
        Self::SmallMax,
    ];

    const fn register(self) -> Reg<Global, u32> {
        match self {
            Self::DataThreshold => reg::DATA_THRESH,
            Self::AggregateMax => reg::AGG_MAX,
            Self::FlowAge => reg::FLOW_AGE_US,
            Self::SplitThreshold => reg::SPLIT_THRESH,
            Self::SmallMax => reg::SMALL_MAX,
        }
    }

    /// The range of values.
    pub(crate) const fn range(self) -> RangeInclusive<u32> {
        match self {
            Self::DataThreshold | Self::SplitThreshold | Self::SmallMax => 0..=0xffff,
            // The length field of the IP header has 16 bits.
            Self::AggregateMax => 576..=0xffff,
            Self::FlowAge => 0..=u32::MAX,
        }
    }
}

/// Switches that are on from the start.
const DEFAULT: u32 = Switch::Suppress.bit();

/// The value of FLOW_CFG.
fn compose(on: u32) -> FlowCfg {
    let is = |s: Switch| u32::from(on & s.bit() != 0);
    let merge = is(Switch::Merge) & (1 - is(Switch::Xdp));
    let split = is(Switch::SplitAll);
    FlowCfg(0)
        .with_reassembly(merge | split)
        .with_batching(merge)
        .with_suppress(merge & is(Switch::Suppress))
        .with_gather(merge & is(Switch::Suppress))
        // The split serves to map the data, which takes whole pages.
        .with_fresh_page(is(Switch::FreshPages) | split)
        .with_split_all(split)
        .with_session(is(Switch::AlignPdus))
}

/// The settings of the flow machinery.
pub(crate) struct Tuning<'bound> {
    mmio: Arc<Mmio<'bound>>,
    config: Pin<KBox<Mutex<Config>>>,
}

/// The settings of users and features.
struct Config {
    /// The switches that are on, as bits.
    on: u32,
    numbers: [u32; Number::COUNT],
    red: [Band; regs::RED_BANDS],
}

impl<'bound> Tuning<'bound> {
    /// Settings for a device that has been reset. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>) -> Result<Self> {
        let config = Config {
            on: DEFAULT,
            numbers: Number::ALL.map(|number| mmio.read(number.register())),
            red: [Band::default(); regs::RED_BANDS],
        };
        Ok(Self {
            mmio: mmio.clone(),
            config: KBox::pin_init(new_mutex!(config), GFP_KERNEL)?,
        })
    }

    /// Writes all settings to the device after a reset. May sleep.
    pub(crate) fn restore(&self) {
        let config = self.config.lock();
        for (number, &value) in Number::ALL.iter().zip(&config.numbers) {
            self.mmio.write(number.register(), value);
        }
        for (band, to) in config.red.iter().enumerate() {
            self.write_red(band, to);
        }
        self.mmio.write(reg::FLOW_CFG, compose(config.on));
    }

    /// Whether `switch` is on. May sleep.
    pub(crate) fn is(&self, switch: Switch) -> bool {
        self.config.lock().on & switch.bit() != 0
    }

    /// Turns `switch` on or off. May sleep.
    ///
    /// It may take effect in the middle of an aggregate: trust completions, not this switch.
    pub(crate) fn set(&self, switch: Switch, to: bool) {
        let mut config = self.config.lock();
        if to {
            config.on |= switch.bit();
        } else {
            config.on &= !switch.bit();
        }
        self.mmio.write(reg::FLOW_CFG, compose(config.on));
    }

    /// The value of `number`. May sleep.
    pub(crate) fn number(&self, number: Number) -> u32 {
        let numbers = self.config.lock().numbers;
        numbers.get(number as usize).copied().unwrap_or_default()
    }

    /// Sets `number`, from the next packet on. May sleep.
    pub(crate) fn set_number(&self, number: Number, to: u32) {
        let mut config = self.config.lock();
        if let Some(n) = config.numbers.get_mut(number as usize) {
            *n = to;
        }
        self.mmio.write(number.register(), to);
    }

    /// A band of random early discard. May sleep.
    pub(crate) fn red(&self, band: usize) -> Band {
        let config = self.config.lock();
        config.red.get(band).copied().unwrap_or_default()
    }

    /// Sets a band of random early discard, from the next packet on. May sleep.
    pub(crate) fn set_red(&self, band: usize, to: Band) {
        let mut config = self.config.lock();
        if let Some(b) = config.red.get_mut(band) {
            *b = to;
            self.write_red(band, &to);
        }
    }

    fn write_red(&self, band: usize, to: &Band) {
        let (levels, probability) = to.registers();
        // Never combine the levels of one band with the probability of another.
        self.mmio.write_at(reg::RED_PROB, band, 0);
        self.mmio.write_at(reg::RED_LEVELS, band, RedLevels(levels));
        self.mmio.write_at(reg::RED_PROB, band, probability);
    }
}
