// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Starts the parts of the server, and stops them at the end.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc};
use std::thread;

use anyhow::{anyhow, bail, Context, Result};
use reflow_device::{Config, Device};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vfio_user::Server;

use crate::backend::{irqs, regions, Backend};
use crate::cli::Options;
use crate::data::DataPath;
use crate::nic::{Nic, Shared};
use crate::trace::Trace;
use crate::{control, status, wire};

/// A socket file that is removed when the server ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Why the server ends.
type End = Result<()>;

/// Serves until a signal comes or a thread fails.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let config = Config {
        mac: options.mac.0,
        queues: usize::from(options.queues),
        flows: options.flows,
        pm_bytes: options.pm_kib as usize * 1024,
        seed: options.seed,
    };
    let chaos = options.chaos.clone().unwrap_or_default();
    let mut device = Device::hostile(config, &chaos);
    if options.trace.is_some() {
        device.log_exits();
    }
    let vectors = device.vectors();
    let shared = Arc::new(Shared::new(Nic::new(device, options.mac.0))?);
    let wire = wire::open(&options.wire)?;
    let trace = options.trace.as_deref().map(Trace::create).transpose()?;
    let data = DataPath::new(Arc::clone(&shared), wire, trace, !options.no_pause);

    let listener = bind(&options.socket)?;
    let _socket = SocketFile(options.socket.clone());
    let status = options.status.as_deref().map(bind).transpose()?;
    let _status = options.status.clone().map(SocketFile);
    let control = options.control.as_deref().map(bind).transpose()?;
    let _control = options.control.clone().map(SocketFile);
    let server = Server::from_owned_fd(OwnedFd::from(listener), true, irqs(vectors), regions());

    tame_protocol_panics();
    let (end, ended) = mpsc::channel();
    wait_for_signals(end.clone())?;
    if let Some(listener) = status {
        let shared = Arc::clone(&shared);
        spawn("status", end.clone(), move || {
            status::serve(&listener, &shared);
            bail!("the status socket failed")
        })?;
    }
    if let Some(listener) = control {
        let shared = Arc::clone(&shared);
        spawn("control", end.clone(), move || {
            control::serve(&listener, &shared);
            bail!("the control socket failed")
        })?;
    }
    let backend = Backend::new(Arc::clone(&shared));
    spawn("vfio-user", end.clone(), move || clients(&server, backend))?;
    let data = spawn("data", end, move || {
        data.run().context("cannot wait for the wire")
    })?;

    println!("ready");
    io::stdout().flush()?;
    let result = ended.recv().unwrap_or(Ok(()));
    // The data thread brings the trace to its end and removes the wire's socket.
    shared.stop();
    let _ = data.join();
    for (name, tally) in shared.lock().device.injections() {
        log::warn!(
            "chaos: {name} struck {} times of {}, {} spoiled",
            tally.strikes,
            tally.chances,
            tally.spoiled
        );
    }
    result
}

/// Serves one client after the other. The library serves one and returns, and a client that breaks
/// the protocol may make it fail: that ends the connection, not the NIC.
fn clients(server: &Server, mut backend: Backend) -> End {
    loop {
        let result = catch_unwind(AssertUnwindSafe(|| server.run(&mut backend)));
        backend.disconnect();
        match result {
            Ok(Ok(())) => log::info!("the client disconnected"),
            Ok(Err(vfio_user::Error::SocketAccept(error))) => {
                return Err(error).context("cannot accept clients");
            }
            Ok(Err(error)) => log::warn!("the client was disconnected: {error}"),
            Err(_) => log::error!("the client was disconnected: its connection failed"),
        }
    }
}

/// Hides panics of the protocol library on broken messages; panics of the model
/// itself are reported.
fn tame_protocol_panics() {
    let report = take_hook();
    set_hook(Box::new(move |info| {
        match info.location().filter(|at| at.file().contains("vfio_user")) {
            Some(at) => log::debug!("the protocol library gave up at {at}"),
            None => report(info),
        }
    }));
}

fn wait_for_signals(end: mpsc::Sender<End>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot handle signals")?;
    spawn("signals", end, move || {
        let signal = signals.forever().next();
        log::info!("ending on signal {signal:?}");
        Ok(())
    })?;
    Ok(())
}

/// Starts a thread whose end or panic ends the server.
fn spawn(
    name: &'static str,
    end: mpsc::Sender<End>,
    body: impl FnOnce() -> End + Send + 'static,
) -> Result<thread::JoinHandle<()>> {
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(body));
        // Nobody receives when the server is at its end already.
        let _ = end.send(result.unwrap_or_else(|_| Err(anyhow!("the {name} thread panicked"))));
    };
    thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .context("cannot start a thread")
}

/// Listens on a socket, whose file may be left from a process that has ended.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    let listen = || -> Result<UnixListener> {
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => bail!("a file of that name is there"),
            Ok(_) if UnixStream::connect(path).is_ok() => bail!("another process listens there"),
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {}
        }
        Ok(UnixListener::bind(path)?)
    };
    listen().with_context(|| format!("cannot listen on {}", path.display()))
}
