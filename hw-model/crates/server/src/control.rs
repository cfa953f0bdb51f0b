// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control socket: commands for the running NIC, one a line.
//!
//! Each line is answered with one: `ok`, or `error: ` and why.
//!
//! | Command | Effect |
//! |---------|--------|
//! | `chaos SPEC` | replace the faults; their counts, dice and packets start anew |
//! | `chaos off` | end all faults at once |
//! | `link up`, `link down` | plug the wire in or out |

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use reflow_device::chaos::Spec;

use crate::nic::Shared;

/// Longest line.
const MAX_LINE: u64 = 4096;

/// A request.
#[derive(PartialEq, Debug)]
enum Command {
    Chaos(Spec),
    Link(bool),
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (verb, rest.trim()) {
            ("chaos", "") => Err("want chaos SPEC or chaos off".into()),
            ("chaos", "off") => Ok(Self::Chaos(Spec::default())),
            ("chaos", spec) => spec.parse().map(Self::Chaos),
            ("link", "up") => Ok(Self::Link(true)),
            ("link", "down") => Ok(Self::Link(false)),
            ("link", _) => Err("want link up or link down".into()),
            _ => Err(format!(
                "there is no command '{}'; want chaos SPEC, chaos off, link up or link down",
                verb.escape_debug()
            )),
        }
    }
}

/// Serves each connection in a separate thread, so that an idle one does not block others.
pub(crate) fn serve(listener: &UnixListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let shared = Arc::clone(shared);
        let started = connection.and_then(|connection| {
            thread::Builder::new()
                .name("controller".into())
                .spawn(move || match converse(&connection, &shared) {
                    Ok(()) => {}
                    Err(error) => log::debug!("control: {error}"),
                })
        });
        if let Err(error) = started {
            log::warn!("control: {error}");
        }
    }
}

fn converse(mut connection: &UnixStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection);
    loop {
        let mut line = String::new();
        let outcome = match (&mut lines).take(MAX_LINE).read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) if !line.ends_with('\n') && line.len() as u64 == MAX_LINE => {
                // The start of the next command is not known.
                connection.write_all(b"error: the line is too long\n")?;
                return Ok(());
            }
            Ok(_) => line.parse().map(|command| obey(command, shared)),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err("the line is not UTF-8".into())
            }
            Err(error) => return Err(error),
        };
        let answer = match outcome {
            Ok(()) => "ok\n".to_owned(),
            Err(why) => format!("error: {why}\n"),
        };
        connection.write_all(answer.as_bytes())?;
    }
}

/// Executes a request; it is in effect when this returns.
fn obey(command: Command, shared: &Shared) {
    let mut nic = shared.lock();
    match command {
        Command::Chaos(spec) => {
            log::info!("chaos: '{spec}' from now on");
            nic.set_chaos(&spec);
        }
        Command::Link(up) => nic.plug(up),
    }
    // Both may raise an event, and new faults have deadlines.
    nic.pump(shared.now_ns());
    drop(nic);
    shared.wake();
}

#[cfg(test)]
mod tests {
    use super::Command;
    use reflow_device::chaos::Spec;

    #[test]
    fn commands() {
        let read = |line: &str| line.parse::<Command>();
        assert_eq!(read("link up\n"), Ok(Command::Link(true)));
        assert_eq!(read("link down"), Ok(Command::Link(false)));
        assert_eq!(read("chaos off\n"), Ok(Command::Chaos(Spec::default())));
        let spec: Spec = "lost=0.5,count=3".parse().unwrap();
        assert_eq!(read("chaos lost=0.5,count=3\r\n"), Ok(Command::Chaos(spec)));
        for (bad, mentioned) in [
            ("", "no command ''"),
            ("links up", "no command 'links'"),
            ("link", "link up or link down"),
            ("link up down", "link up or link down"),
            ("chaos", "want chaos SPEC"),
            ("chaos lots", "no fault 'lots'"),
            ("\u{1b}[m", "no command '\\u{1b}[m'"),
        ] {
            let why = read(bad).unwrap_err();
            assert!(why.contains(mentioned), "{bad}: {why}");
            assert_eq!(why.lines().count(), 1, "{bad}: {why}");
        }
    }
}
