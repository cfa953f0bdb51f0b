// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The other end of the wire for benchmarks.
//!
//! Listens on a Unix stream socket with the framing of QEMU's `-netdev stream`, so that any NIC of
//! QEMU and the modelled one can be plugged in, and sends what the guest orders: TCP over several
//! connections, a burst of each or one segment of each in turn, or short UDP datagrams.
//!
//! Orders are UDP datagrams to port 7000 of 192.0.2.2: `bulk N` and `mix N` open N connections,
//! `go` lets them send, `udp N` sends N datagrams and a marker at a time, `more` answers a marker,
//! `stop` ends what is being sent.

mod flow;
mod frame;
mod source;

use anyhow::{bail, Context, Result};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use source::Source;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

/// How long to sleep without traffic: what a retransmission is late at most.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

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
        poll(&mut fds, Some(&TICK))?;
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
