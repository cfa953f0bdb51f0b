// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::Parser;
use reflow_device::chaos;
use reflow_hwdef::regs;

/// The modelled Reflow NIC.
#[derive(Parser, Debug)]
#[command(name = "reflow-hw", version, about, arg_required_else_help = true)]
pub(crate) enum Command {
    /// Serve one NIC to a virtual machine until SIGTERM or SIGINT.
    Serve(Options),
}

/// Options of `serve`.
// Brackets in a help text are not links.
#[allow(rustdoc::broken_intra_doc_links)]
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// vfio-user socket to listen on
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// The wire of the NIC: stream:unix:PATH, listen:unix:PATH, tap:NAME, pcap:IN[,OUT]
    /// or loop
    #[arg(long, value_name = "SPEC")]
    pub(crate) wire: WireSpec,
    /// Permanent station address
    #[arg(long, value_name = "MAC", default_value = "02:00:00:72:66:6c")]
    pub(crate) mac: Mac,
    /// Queue pairs
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u8).range(1..=regs::MAX_QUEUES as i64))]
    pub(crate) queues: u8,
    /// Entries of the flow database, a power of two
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = flows)]
    pub(crate) flows: usize,
    /// Seed of all random choices of the NIC
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) seed: u64,
    /// Size of the packet memory, in KiB. The more packets wait, the more are merged
    #[arg(long, value_name = "N", default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(MIN_PM_KIB..=MAX_PM_KIB))]
    pub(crate) pm_kib: u32,
    /// Keep reading the wire when the packet memory is nearly full, and lose frames
    #[arg(long)]
    pub(crate) no_pause: bool,
    /// Inject faults, as in lengths=0.01,irq-lost; 'help' lists them
    #[arg(long, value_name = "SPEC")]
    pub(crate) chaos: Option<chaos::Spec>,
    /// Record all frames in this pcapng file, with operation codes and reasons
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Answer each connection to this socket with the state of the NIC, as JSON
    #[arg(long, value_name = "PATH")]
    pub(crate) status: Option<PathBuf>,
    /// Take commands at this socket, one a line, each answered by a line: 'ok' or 'error: WHY'.
    /// 'chaos SPEC' replaces the faults, 'chaos off' ends them, 'link up' and 'link down' plug the
    /// wire in and out
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

/// Below this, a frame of the largest size would not fit above the pause threshold.
const MIN_PM_KIB: i64 = 64;
const MAX_PM_KIB: i64 = 1024 * 1024;
const MIN_FLOWS: usize = 16;
/// The number of entries is told to the driver as a power of two in four bits.
const MAX_FLOWS: usize = 1 << 15;

/// The wire that the NIC is connected to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WireSpec {
    /// Connect to a Unix socket that speaks QEMU's `-netdev stream` framing.
    Connect(PathBuf),
    /// The same, but wait for the other side.
    Listen(PathBuf),
    /// A TAP device of the host.
    Tap(String),
    /// Receive from a capture file, send to another.
    Pcap(PathBuf, Option<PathBuf>),
    /// Each sent frame is received.
    Loop,
}

impl FromStr for WireSpec {
    type Err = String;

    fn from_str(spec: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = spec.split_once(':').unwrap_or((spec, ""));
        let path = || {
            rest.strip_prefix("unix:")
                .filter(|p| !p.is_empty())
                .map(PathBuf::from)
        };
        match kind {
            "stream" => path()
                .map(Self::Connect)
                .ok_or("want stream:unix:PATH".into()),
            "listen" => path()
                .map(Self::Listen)
                .ok_or("want listen:unix:PATH".into()),
            "tap" if !rest.is_empty() => Ok(Self::Tap(rest.into())),
            "tap" => Err("want tap:NAME".into()),
            "pcap" => match rest.split_once(',') {
                None if !rest.is_empty() => Ok(Self::Pcap(rest.into(), None)),
                Some((i, o)) if !i.is_empty() && !o.is_empty() => {
                    Ok(Self::Pcap(i.into(), Some(o.into())))
                }
                _ => Err("want pcap:IN or pcap:IN,OUT".into()),
            },
            "loop" if spec == "loop" => Ok(Self::Loop),
            _ => Err(
                "want stream:unix:PATH, listen:unix:PATH, tap:NAME, pcap:IN[,OUT] or loop".into(),
            ),
        }
    }
}

/// A station address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut mac {
            let part = parts.next().filter(|p| p.len() == 2 && !p.starts_with('+'));
            *byte = part
                .and_then(|p| u8::from_str_radix(p, 16).ok())
                .ok_or("want six bytes in hexadecimal, as in 02:00:00:72:66:6c")?;
        }
        match mac {
            _ if parts.next().is_some() => Err("want six bytes, not more"),
            [0, 0, 0, 0, 0, 0] => Err("a station address cannot be all zero"),
            _ if mac[0] & 1 != 0 => Err("a station address cannot be a multicast address"),
            _ => Ok(Self(mac)),
        }
    }
}

fn flows(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n: &usize| n.is_power_of_two() && (MIN_FLOWS..=MAX_FLOWS).contains(n))
        .ok_or(format!(
            "want a power of two from {MIN_FLOWS} to {MAX_FLOWS}"
        ))
}

/// Reads the command line. Help goes to stdout; anything wrong is one line on stderr.
pub(crate) fn parse() -> Result<Command, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if asks_for_chaos(&arguments) {
        print!("{}", chaos::Spec::help());
        return Err(ExitCode::SUCCESS);
    }
    Command::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            println!("{error}");
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprintln!("reflow-hw: no command given; see reflow-hw --help");
            ExitCode::from(2)
        }
        _ => {
            eprintln!(
                "reflow-hw: {}; see reflow-hw serve --help",
                one_line(&error.to_string())
            );
            ExitCode::from(2)
        }
    })
}

/// Whether the list of faults is all that is asked for.
fn asks_for_chaos(arguments: &[OsString]) -> bool {
    let pair = |pair: &[OsString]| pair[0] == "--chaos" && pair[1] == "help";
    arguments.windows(2).any(pair) || arguments.iter().any(|a| a == "--chaos=help")
}

/// The first paragraph of a message, on one line and without its "error:".
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let line = words.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_specs() {
        let spec = |s: &str| s.parse::<WireSpec>();
        assert_eq!(
            spec("stream:unix:/a,b"),
            Ok(WireSpec::Connect("/a,b".into()))
        );
        assert_eq!(spec("listen:unix:c"), Ok(WireSpec::Listen("c".into())));
        assert_eq!(spec("tap:tap0"), Ok(WireSpec::Tap("tap0".into())));
        assert_eq!(spec("pcap:in"), Ok(WireSpec::Pcap("in".into(), None)));
        assert_eq!(
            spec("pcap:in,out"),
            Ok(WireSpec::Pcap("in".into(), Some("out".into())))
        );
        assert_eq!(spec("loop"), Ok(WireSpec::Loop));
        for bad in [
            "",
            "loop:",
            "stream",
            "stream:/a",
            "stream:unix:",
            "tap:",
            "pcap:",
            "pcap:,x",
            "x:y",
        ] {
            assert!(spec(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn station_addresses() {
        assert_eq!("02:ab:0:1:2:3".parse::<Mac>().ok(), None);
        assert_eq!("02:AB:00:01:02:03".parse(), Ok(Mac([2, 0xab, 0, 1, 2, 3])));
        for bad in [
            "",
            "00:00:00:00:00:00",
            "01:00:00:00:00:00",
            "02:00:00:00:00",
            "zz:0",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert!("02:00:00:00:00:00:00".parse::<Mac>().is_err());
        assert!("02:00:00:00:00:+1".parse::<Mac>().is_err());
    }

    #[test]
    fn errors_take_one_line() {
        assert_eq!(
            one_line("error: bad\n  --a\n  --b\n\nUsage: x"),
            "bad --a --b"
        );
    }
}
