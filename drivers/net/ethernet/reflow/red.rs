// SPDX-License-Identifier: GPL-2.0

//! Bands of random early discard as users write them: `LOW-HIGH:PERCENT%`, or `off`.
//!
//! Levels are bytes of the packet memory, of which the device takes multiples of 64. The percentage
//! may have up to three digits behind the point and is rounded to what the device draws lots by,
//! 65536ths; what is shown of it is read as the same again.

use crate::hw::regs::RedLevels;
use core::fmt::{
    self,
    Write, //
};

/// Bytes of the device's unit of levels.
const UNIT: u32 = 64;
/// Probability 1.
const CERTAIN: u32 = 1 << 16;
/// A percentage of 100, in thousandths.
const HUNDRED: u32 = 100_000;

/// A band: packets are discarded by chance while the packet memory's level is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Band {
    levels: RedLevels,
    probability: u32,
}

/// Why a text is no band.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadBand {
    /// Not of the form.
    Form,
    /// A level that the device cannot be told.
    Level,
    /// The band holds no level.
    Empty,
    /// More than certain, or finer than thousandths.
    Percent,
}

impl BadBand {
    /// One sentence for people.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Form => "a band is off, or LOW-HIGH:PERCENT% as in 131072-262144:12.5%",
            Self::Level => "levels are multiples of 64 bytes, up to 4194240",
            Self::Empty => "a band's upper level must be above its lower one",
            Self::Percent => "a percentage is 0 to 100, with up to three digits after the point",
        }
    }
}

/// A decimal number without sign.
fn number(text: &str) -> Option<u32> {
    (text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A level, in the device's units.
fn level(text: &str) -> Result<u32, BadBand> {
    let bytes = number(text).ok_or(BadBand::Form)?;
    if bytes % UNIT != 0 || bytes / UNIT > 0xffff {
        return Err(BadBand::Level);
    }
    Ok(bytes / UNIT)
}

/// A percentage, in thousandths.
fn percent(text: &str) -> Result<u32, BadBand> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let value = match (number(whole), number(fraction), fraction.len()) {
        (Some(whole), Some(fraction), digits @ 1..=3) => whole
            .checked_mul(1000)
            .and_then(|w| w.checked_add(fraction * [100, 10, 1].get(digits - 1)?)),
        (Some(_), Some(_), _) => None,
        _ => return Err(BadBand::Form),
    };
    value.filter(|v| *v <= HUNDRED).ok_or(BadBand::Percent)
}

impl Band {
    /// Reads what a user wrote.
    ///
    /// # Errors
    ///
    /// The reason in words.
    pub(crate) fn parse(text: &str) -> Result<Self, BadBand> {
        if text == "off" {
            return Ok(Self::default());
        }
        let (levels, chance) = text.split_once(':').ok_or(BadBand::Form)?;
        let (low, high) = levels.split_once('-').ok_or(BadBand::Form)?;
        let chance = chance.strip_suffix('%').ok_or(BadBand::Form)?;
        let (low, high, chance) = (level(low)?, level(high)?, percent(chance)?);
        if low >= high {
            return Err(BadBand::Empty);
        }
        Ok(Self {
            levels: RedLevels(0).with_low(low).with_high(high),
            probability: (u64::from(chance) * u64::from(CERTAIN) + u64::from(HUNDRED) / 2)
                .div_euclid(HUNDRED.into()) as u32,
        })
    }

    /// Writes the band as [`Self::parse`] reads it.
    pub(crate) fn write(&self, out: &mut impl Write) -> fmt::Result {
        if *self == Self::default() {
            return out.write_str("off");
        }
        let thousandths = (u64::from(self.probability) * u64::from(HUNDRED)
            + u64::from(CERTAIN) / 2)
            >> CERTAIN.ilog2();
        let (whole, rest) = (thousandths / 1000, thousandths % 1000);
        write!(out, "{}-{}:{whole}", self.low(), self.high())?;
        match (rest, rest % 100, rest % 10) {
            (0, _, _) => {}
            (_, 0, _) => write!(out, ".{}", rest / 100)?,
            (_, _, 0) => write!(out, ".{:02}", rest / 10)?,
            _ => write!(out, ".{rest:03}")?,
        }
        out.write_str("%")
    }

    /// The values of the device's two registers of a band: levels, probability.
    pub(crate) const fn registers(&self) -> (u32, u32) {
        (self.levels.0, self.probability)
    }

    /// Level from which on the band holds, in bytes.
    pub(crate) const fn low(&self) -> u32 {
        self.levels.low() * UNIT
    }

    /// Level at which it ends, in bytes.
    pub(crate) const fn high(&self) -> u32 {
        self.levels.high() * UNIT
    }

    /// Probability in 1/65536.
    pub(crate) const fn probability(&self) -> u32 {
        self.probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn shown(band: &Band) -> String {
        let mut text = String::new();
        band.write(&mut text).unwrap();
        text
    }

    #[test]
    fn a_band_is_printed_as_it_was_parsed() {
        for text in [
            "off",
            "0-64:100%",
            "131072-262144:12.5%",
            "0-4194240:0.002%",
            "64-128:99.998%",
            "64-128:0.05%",
            "64-128:33.333%",
            "64-128:0%",
        ] {
            let band = Band::parse(text).unwrap();
            assert_eq!(shown(&band), text);
            assert!(text.len() < 32);
        }
    }

    #[test]
    fn every_probability_round_trips() {
        for probability in 0..=CERTAIN {
            let levels = RedLevels(0).with_high(1);
            let band = Band {
                levels,
                probability,
            };
            assert_eq!(Band::parse(&shown(&band)), Ok(band));
        }
    }

    #[test]
    fn the_registers_are_in_the_devices_units() {
        let band = Band::parse("128-4194240:25%").unwrap();
        let (levels, probability) = band.registers();
        assert_eq!(
            (RedLevels(levels).low(), RedLevels(levels).high()),
            (2, 0xffff)
        );
        assert_eq!(probability, 1 << 14);
        assert_eq!((band.low(), band.high()), (128, 4_194_240));
    }

    #[test]
    fn each_bad_band_is_refused_with_its_reason() {
        for (text, why) in [
            ("", BadBand::Form),
            ("on", BadBand::Form),
            ("0-64", BadBand::Form),
            ("0-64:5", BadBand::Form),
            ("64:5%", BadBand::Form),
            ("-64:5%", BadBand::Form),
            ("+0-64:5%", BadBand::Form),
            ("0-64:-5%", BadBand::Form),
            ("0-64:5.%", BadBand::Form),
            ("0-64:.5%", BadBand::Form),
            ("0-63:5%", BadBand::Level),
            ("0-4194304:5%", BadBand::Level),
            ("64-64:5%", BadBand::Empty),
            ("128-64:5%", BadBand::Empty),
            ("0-64:100.001%", BadBand::Percent),
            ("0-64:4294967295%", BadBand::Percent),
            ("0-64:1.0001%", BadBand::Percent),
        ] {
            assert_eq!(Band::parse(text), Err(why), "{text}");
        }
    }
}
