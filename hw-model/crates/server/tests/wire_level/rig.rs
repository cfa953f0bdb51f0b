// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A server in a separate directory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use vfio_user::Client;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running `reflow-hw serve`. Its stderr must show no panic.
pub(crate) struct Nic {
    dir: TempDir,
    child: Child,
}

impl Nic {
    /// Starts a server; `@` in an argument stands for its directory.
    pub(crate) fn start(wire: &str, options: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), wire, options)
    }

    /// The same in a directory that is there.
    pub(crate) fn start_in(dir: TempDir, wire: &str, options: &[&str]) -> Self {
        let at = |text: &str| text.replace('@', dir.path().to_str().unwrap());
        let mut child = Command::new(env!("CARGO_BIN_EXE_reflow-hw"))
            .args(["serve", "--socket", &at("@/nic"), "--wire", &at(wire)])
            .args(["--status", &at("@/status"), "--control", &at("@/control")])
            .args(options.iter().map(|o| at(o)))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let nic = Self { dir, child };
        assert_eq!(line, "ready\n", "{}", nic.stderr());
        nic
    }

    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Attaches as a virtual machine would.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.path("nic")).unwrap()
    }

    /// Connects without saying anything.
    pub(crate) fn raw(&self) -> UnixStream {
        UnixStream::connect(self.path("nic")).unwrap()
    }

    /// Answer of the status socket.
    pub(crate) fn status(&self) -> Value {
        let mut text = String::new();
        UnixStream::connect(self.path("status"))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Answer of the control socket to a line.
    pub(crate) fn control(&self, line: &str) -> String {
        let mut socket = UnixStream::connect(self.path("control")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).unwrap();
        answer.trim_end_matches('\n').to_owned()
    }

    /// One of the device's counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status()["counters"][name].as_u64().unwrap()
    }

    /// Its stderr so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// Ends it as a user would; its directory stays.
    pub(crate) fn terminate(mut self) -> (ExitStatus, TempDir) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = until("the server ends", || self.child.try_wait().unwrap());
        self.check();
        (
            status,
            std::mem::replace(&mut self.dir, TempDir::new().unwrap()),
        )
    }

    fn check(&self) {
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

impl Drop for Nic {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() && self.path("stderr").exists() {
            self.check();
        }
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a file is there.
pub(crate) fn until_exists(path: &Path) {
    until("a file is there", || path.exists().then_some(()));
}
