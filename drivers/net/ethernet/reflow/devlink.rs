// SPDX-License-Identifier: GPL-2.0

//! `devlink`: versions, flash and parameters; [`reporters`] has its health reporters.

mod reporters;

use crate::{
    hw::regs::reg,
    net::{
        device::Unlocked,
        devlink::{
            Info,
            Kind,
            Operations,
            Param,
            Text,
            Value, //
        },
        extack::Extack, //
    },
    nic::Nic,
    red::Band,
    tuning::{
        Number,
        Switch, //
    }, //
};
use kernel::prelude::*;

/// The setting behind a parameter.
#[derive(Clone, Copy)]
enum What {
    /// A switch of the flow machinery.
    Switch(Switch),
    /// A number of the flow machinery.
    Number(Number),
    /// A band of random early discard.
    Red(usize),
    /// The parser program, one that comes with the driver.
    Parser,
    /// Entries of the flow database.
    Flows,
}

impl What {
    const fn kind(self) -> Kind {
        match self {
            Self::Switch(_) => Kind::Bool,
            Self::Number(_) | Self::Flows => Kind::Number,
            Self::Red(_) | Self::Parser => Kind::Text,
        }
    }
}

/// Makes two tables of parameters: for the core, and for the driver.
macro_rules! params {
    ( $( $name:literal: $what:expr; )* ) => {
        const NAMES: &[Param] = &[ $( Param { name: $name, kind: $what.kind() }, )* ];
        const PARAMS: &[What] = &[ $( $what, )* ];
    };
}

params! {
    c"header_suppression": What::Switch(Switch::Suppress);
    c"fresh_pages": What::Switch(Switch::FreshPages);
    c"pdu_align": What::Switch(Switch::AlignPdus);
    c"data_threshold": What::Number(Number::DataThreshold);
    c"aggregate_max": What::Number(Number::AggregateMax);
    c"flow_age_us": What::Number(Number::FlowAge);
    c"flow_entries": What::Flows;
    c"red_band0": What::Red(0);
    c"red_band1": What::Red(1);
    c"red_band2": What::Red(2);
    c"red_band3": What::Red(3);
    c"parser_program": What::Parser;
}

impl Nic<'_> {
    fn set_band(&self, band: usize, text: &str, ack: &mut Extack<'_>) -> Result {
        let to = Band::parse(text).map_err(|why| {
            ack.say_fmt(fmt!("{}", why.text()));
            EINVAL
        })?;
        self.tuning.set_red(band, to);
        Ok(())
    }
}

#[vtable]
impl Operations for Nic<'_> {
    const PARAMS: &'static [Param] = NAMES;

    fn info(&self, info: &mut Info<'_>) -> Result {
        self.mmio.present()?;
        let version = self.mmio.read(reg::VERSION);
        let (major, minor) = (version >> 16, version & 0xffff);
        info.fixed(c"interface", fmt!("{major}.{minor}"))?;
        info.running(c"fw.app", fmt!("{}", self.parser.name().as_str()))?;
        info.running(c"fw.app.crc", fmt!("{:08x}", self.parser.crc()))
    }

    fn flash(&self, file: &[u8], ack: &mut Extack<'_>) -> Result {
        self.parser.load_image(file).map_err(|why| {
            ack.say_fmt(fmt!("{why}"));
            why.into()
        })
    }

    fn param(&self, index: usize) -> Result<Value> {
        Ok(match PARAMS.get(index).copied().ok_or(EINVAL)? {
            What::Switch(switch) => Value::Bool(self.tuning.is(switch)),
            What::Number(number) => Value::Number(self.tuning.number(number)),
            What::Red(band) => {
                let mut text = Text::default();
                self.tuning.red(band).write(&mut text).map_err(|_| EINVAL)?;
                Value::Text(text)
            }
            What::Parser => Value::Text(self.parser.name()),
            What::Flows => Value::Number(u32::try_from(self.flows())?),
        })
    }

    fn set_param(
        &self,
        dev: &mut Unlocked<'_, Self>,
        index: usize,
        value: Value,
        ack: &mut Extack<'_>,
    ) -> Result {
        match (PARAMS.get(index).copied().ok_or(EINVAL)?, value) {
            (What::Switch(switch), Value::Bool(on)) => self.tuning.set(switch, on),
            (What::Number(number), Value::Number(n)) => {
                let range = number.range();
                if !range.contains(&n) {
                    ack.say_fmt(fmt!("must be {} to {}", range.start(), range.end()));
                    return Err(EINVAL);
                }
                self.tuning.set_number(number, n);
            }
            (What::Red(band), Value::Text(text)) => self.set_band(band, text.as_str(), ack)?,
            (What::Parser, Value::Text(text)) => {
                self.parser.load_named(text.as_str()).map_err(|why| {
                    ack.say_fmt(fmt!("{why}"));
                    Error::from(why)
                })?;
            }
            (What::Flows, Value::Number(n)) => self.set_flows(dev, n, ack)?,
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}
