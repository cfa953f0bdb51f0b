// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Hostile mode: the device breaks its promises on purpose, to test the driver.
//!
//! A [`Spec`] has the faults with probability and duration; [`GRAMMAR`] is its syntax.
//! Each fault has a random generator of its own, so that the same seed, spec and events give the same
//! injections whatever other faults there are. A device without faults pays for a null pointer
//! only.

pub(crate) mod bus;
mod completions;
mod dice;
mod state;

pub(crate) use state::Chaos;

use std::fmt::{self, Write};
use std::str::FromStr;

/// How long a fault lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lasts {
    /// It is over at once.
    Not,
    /// By default so many milliseconds, 0 for ever; then it pauses as
    /// long.
    Ms(u32),
}

/// Description of a fault.
#[derive(Clone, Copy, Debug)]
struct Info {
    name: &'static str,
    doc: &'static str,
    /// Default probability.
    chance: f64,
    lasts: Lasts,
}

macro_rules! faults {
    ($( #[doc = $doc:literal] $fault:ident = $name:literal, $chance:literal, $lasts:expr; )*) => {
        /// A way in which the device breaks its promises.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault { $( #[doc = $doc] $fault, )* }

        impl Fault {
            /// All faults, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$( Self::$fault, )*];

            fn info(self) -> Info {
                match self {
                    $( Self::$fault => Info {
                        name: $name,
                        doc: $doc.trim_ascii(),
                        chance: $chance,
                        lasts: $lasts,
                    }, )*
                }
            }
        }
    };
}

faults! {
    /// packet: a completion names a wrong buffer
    Buffers = "buffers", 0.01, Lasts::Not;
    /// packet: a completion has a wrong offset or length
    Lengths = "lengths", 0.01, Lasts::Not;
    /// packet: a completion has an operation code that does not exist
    OpcodeUnknown = "opcode-unknown", 0.01, Lasts::Not;
    /// packet: a completion has the operation code of another case
    OpcodeWrong = "opcode-wrong", 0.01, Lasts::Not;
    /// packet: a completion has a flow number outside the flow database
    FlowRange = "flow-range", 0.01, Lasts::Not;
    /// packet: a completion has the flow number of another flow
    FlowOther = "flow-other", 0.01, Lasts::Not;
    /// packet: a completion has the wrong generation bit; its queue's driver waits for ever
    Generation = "generation", 0.01, Lasts::Not;
    /// packet: a completion is random but for its generation bit
    Random = "random", 0.01, Lasts::Not;
    /// packet: its completions come twice
    Duplicate = "duplicate", 0.01, Lasts::Not;
    /// packet: its completions never come
    Lost = "lost", 0.01, Lasts::Not;
    /// interrupt: it never comes
    IrqLost = "irq-lost", 0.01, Lasts::Not;
    /// turn of work: some vector is raised for no reason
    IrqSpurious = "irq-spurious", 0.01, Lasts::Not;
    /// turn of work: from now on all vectors in turn are raised, one every 10 microseconds
    IrqStorm = "irq-storm", 0.001, Lasts::Ms(10);
    /// interrupt: another vector is raised in its place
    IrqVector = "irq-vector", 0.01, Lasts::Not;
    /// write to host memory: it is silently dropped, and so are all from now on
    DmaDead = "dma-dead", 1.0, Lasts::Ms(0);
    /// write to host memory: only its first part arrives
    DmaPartial = "dma-partial", 0.01, Lasts::Not;
    /// transmit write-back: it is not written, and so are none from now on
    TxStuck = "tx-stuck", 1.0, Lasts::Ms(0);
    /// transmit write-back: it lies beyond what the driver gave
    TxBeyond = "tx-beyond", 0.01, Lasts::Not;
    /// turn of work: the device is gone from now on, every register reads all ones
    Removed = "removed", 1.0, Lasts::Ms(0);
    /// turn of work: the link is down from now on
    LinkFlap = "link-flap", 0.001, Lasts::Ms(100);
    /// write of the statistics block: it is random bytes
    Stats = "stats", 0.01, Lasts::Not;
    /// write of the statistics block: the device stops it, and STATS_CTRL reads 0
    StatsStopped = "stats-stopped", 0.01, Lasts::Not;
    /// write of the statistics block: it is left out, and so are all from now on
    StatsFrozen = "stats-frozen", 1.0, Lasts::Ms(0);
    /// command: it is read but neither carried out nor answered, and so are all from now on
    CmdSilent = "cmd-silent", 1.0, Lasts::Ms(0);
    /// turn of work: STATUS says from now on that the device is not ready
    NotReady = "not-ready", 1.0, Lasts::Ms(0);
    /// write that clears a bit of CTRL or Q_CTRL: it is ignored, and so are all from now on
    Deaf = "deaf", 1.0, Lasts::Ms(0);
    /// write to RESET: it is ignored, and so are all from now on, and RESET reads 1
    ResetStuck = "reset-stuck", 1.0, Lasts::Ms(0);
    /// turn of a queue: it transfers nothing from now on, the others go on
    CqStuck = "cq-stuck", 1.0, Lasts::Ms(0);
    /// packet: a completion gives back a buffer that was given back before
    BufferTwice = "buffer-twice", 0.01, Lasts::Not;
    /// packet that is appended: its completion has the flow number of the flow before it
    AppendOther = "append-other", 0.01, Lasts::Not;
}

impl Fault {
    /// Its name in a spec.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

/// How a spec is written.
pub const GRAMMAR: &str = "\
SPEC is a comma-separated list of FAULT[=PROBABILITY], each optionally followed by
limits of its own: after=N (spare the first N packets, both directions counted),
count=N (strike at most N times), and for faults that last ms=N (for so long, then
rest as long; 0: for ever).  Example: lengths=0.01,after=100,irq-storm=0.001,ms=20";

/// One fault of a spec.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Wish {
    fault: Fault,
    chance: f64,
    after: u64,
    count: u64,
    ms: Option<u32>,
}

/// Which faults a device has.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Spec {
    wishes: Vec<Wish>,
}

impl Spec {
    /// Whether there are no faults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    /// The help text: grammar and faults.
    #[must_use]
    pub fn help() -> String {
        let mut text = format!("{GRAMMAR}\n\nFaults, each with what its probability is one of:\n");
        for fault in Fault::ALL {
            let info = fault.info();
            let lasts = match info.lasts {
                Lasts::Not => String::new(),
                Lasts::Ms(ms) => format!(",ms={ms}"),
            };
            let default = format!("{}{lasts}", info.chance);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  {:<15} {} (default: {default})",
                info.name, info.doc
            );
        }
        text
    }
}

/// In the syntax that it is parsed from.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, wish) in self.wishes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", wish.fault.name(), wish.chance)?;
            if wish.after != 0 {
                write!(f, ",after={}", wish.after)?;
            }
            if wish.count != u64::MAX {
                write!(f, ",count={}", wish.count)?;
            }
            if let Some(ms) = wish.ms {
                write!(f, ",ms={ms}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wishes: Vec<Wish> = Vec::new();
        for item in text.split(',') {
            let (name, value) = match item.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (item, None),
            };
            match (name, value) {
                ("after" | "count" | "ms", _) => {
                    let wish = wishes.last_mut();
                    let wish = wish.ok_or_else(|| format!("{name}= stands before any fault"))?;
                    limit(wish, name, value)?;
                }
                _ => wishes.push(wish(name, value)?),
            }
            let (last, before) = match wishes.split_last() {
                Some(split) => split,
                None => continue,
            };
            if before.iter().any(|wish| wish.fault == last.fault) {
                return Err(format!("fault {} is given twice", last.fault.name()));
            }
        }
        Ok(Self { wishes })
    }
}

/// Reads a fault and its probability.
fn wish(name: &str, value: Option<&str>) -> Result<Wish, String> {
    let fault = Fault::ALL.iter().find(|fault| fault.name() == name);
    let fault = *fault.ok_or_else(|| format!("there is no fault '{name}'; 'help' lists them"))?;
    let chance = match value {
        None => fault.info().chance,
        Some(value) => value
            .parse()
            .ok()
            .filter(|chance| (0.0..=1.0).contains(chance))
            .ok_or_else(|| format!("{name}={value}: want a probability from 0 to 1"))?,
    };
    Ok(Wish {
        fault,
        chance,
        after: 0,
        count: u64::MAX,
        ms: None,
    })
}

/// Reads a limit of a fault.
fn limit(wish: &mut Wish, name: &str, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    let number = value.parse::<u32>().map_err(|_| {
        let fault = wish.fault.name();
        format!("{name}={value} of {fault}: want a number below 2^32")
    })?;
    match name {
        "after" => wish.after = number.into(),
        "count" => wish.count = number.into(),
        _ if wish.fault.info().lasts == Lasts::Not => {
            return Err(format!(
                "{} does not last, so it has no ms=",
                wish.fault.name()
            ));
        }
        _ => wish.ms = Some(number),
    }
    Ok(())
}

/// The tally of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Times that it could have struck.
    pub chances: u64,
    /// Times that it struck.
    pub strikes: u64,
    /// Completions, interrupts, writes and register reads that it changed; more than the strikes if
    /// the fault lasts.
    pub spoiled: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<Spec, String> {
        text.parse()
    }

    #[test]
    fn limits_belong_to_the_fault_before_them() {
        let spec = spec("lengths=0.5,after=7,dma-dead,count=1,ms=20").unwrap();
        let base = Wish {
            fault: Fault::Lengths,
            chance: 0.5,
            after: 7,
            count: u64::MAX,
            ms: None,
        };
        let dead = Wish {
            fault: Fault::DmaDead,
            chance: 1.0,
            after: 0,
            count: 1,
            ms: Some(20),
        };
        assert_eq!(spec.wishes, [base, dead]);
    }

    #[test]
    fn a_spec_is_printed_as_it_was_parsed() {
        let text = "lengths=0.5,after=7,lost=0.01,dma-dead=1,count=1,ms=20";
        assert_eq!(spec(text).unwrap().to_string(), text);
        assert_eq!(spec("lost").unwrap().to_string(), "lost=0.01");
        assert_eq!(Spec::default().to_string(), "");
    }

    #[test]
    fn errors_are_one_line_each() {
        for (text, mentioned) in [
            ("", "no fault ''"),
            ("lenghts", "no fault 'lenghts'"),
            ("lengths=1.5", "lengths=1.5"),
            ("lengths=-0.1", "lengths=-0.1"),
            ("lengths=NaN", "lengths=NaN"),
            ("lengths=", "lengths="),
            ("after=3", "after= stands before"),
            ("lost,after", "after="),
            ("lost,count=-1", "count=-1"),
            ("lost,ms=3", "lost does not last"),
            ("lost,buffers,lost", "lost is given twice"),
            ("lost,,buffers", "no fault ''"),
        ] {
            let said = spec(text).unwrap_err();
            assert!(said.contains(mentioned), "{text}: {said}");
            assert_eq!(said.lines().count(), 1, "{text}: {said}");
        }
    }

    #[test]
    fn help_has_a_line_for_each_fault() {
        let help = Spec::help();
        for fault in Fault::ALL {
            let start = format!("  {} ", fault.name());
            let lines = help.lines().filter(|line| line.starts_with(&start));
            assert_eq!(lines.count(), 1, "{}", fault.name());
            assert_eq!(spec(fault.name()).unwrap().wishes[0].fault, *fault);
        }
    }
}
