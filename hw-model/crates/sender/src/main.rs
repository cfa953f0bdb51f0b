// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The other end of the wire for benchmarks.
//!
//! Listens on a Unix stream socket with the framing of QEMU's `-netdev stream`, so that any NIC of
//! QEMU and the modelled one can be plugged in, and sends what the guest orders: TCP over several
//! connections, requests that the guest answers, or short UDP datagrams. It also acknowledges what
//! the guest sends.
//!
//! Orders are UDP datagrams to port 7000 of 192.0.2.2; [`order::Order`] has them. Each `stop` is
//! answered with a line `retries N` on standard output: how often a connection was stuck.

mod flow;
mod frame;
mod order;
mod source;

use anyhow::{bail, Context, Result};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use source::Source;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// How long to sleep without traffic: what a retransmission is late at most.
const TICK: Duration = Duration::from_millis(100);
/// The same while there is something to acknowledge.
const SHORT_TICK: Duration = Duration::from_millis(1);

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Serves one NIC until it is unplugged.
fn serve(mut wire: UnixStream) -> Result<()> {
    wire.set_nonblocking(true)?;
    let begun = Instant::now();
    let mut source = Source::default();
    let (mut input, mut output, mut sent) = (Vec::new(), Vec::new(), 0);
    let mut chunk = vec![0; 1 << 16];
    loop {
        if sent == output.len() {
            output.clear();
            sent = 0;
            source.fill(begun.elapsed(), &mut output);
        }
        let mut want = PollFlags::IN;
        want.set(PollFlags::OUT, sent < output.len());
        let mut fds = [PollFd::new(&wire, want)];
        let tick = if source.owes() { SHORT_TICK } else { TICK };
        poll(&mut fds, Some(&timespec(tick)))?;
        let events = fds[0].revents();
        if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            match wire.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
            let taken = frame::each(&input, |frame| source.receive(frame));
            input.drain(..taken);
        }
        if events.contains(PollFlags::OUT) {
            match wire.write(&output[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        bail!("usage: reflow-sender SOCKET");
    };
    let listener = UnixListener::bind(&path).with_context(|| path.clone())?;
    println!("ready");
    loop {
        if let Err(why) = serve(listener.accept()?.0) {
            eprintln!("reflow-sender: {why}");
        }
    }
}
