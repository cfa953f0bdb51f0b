# SPDX-License-Identifier: GPL-2.0
"""The tests of the Rust workspace, counted one by one.

libtest prints a line for each test; whatever else goes wrong (no build, a
crash, a hang) is a failed test of its own, never silence.
"""

import os
import re
import signal
import subprocess
import threading
import time
import tomllib

from host import qemu
from host.report import FAIL, PASS, SKIP

WORKSPACE = os.path.join(qemu.PROJECT, "hw-model")
SERVER = os.path.join(WORKSPACE, "crates/server/Cargo.toml")
LIMIT = 1200

RUNNING = re.compile(r"^\s+Running (?:unittests )?(\S+) \(.*/([^/]+)-[0-9a-f]+\)")
DOC_TESTS = re.compile(r"^\s+Doc-tests (\S+)")
RESULT = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
CLAIMS = re.compile(r"claims?((?:_\d+)+)")


def claims_of(name):
    """Return the claims that a test's name says it proves: ..._claims_9_10."""
    found = CLAIMS.search(name)
    return sorted(int(word) for word in found[1].split("_")[1:]) if found else []


def _server_package():
    with open(SERVER, "rb") as text:
        return tomllib.load(text)["package"]["name"]


class CargoRun:
    """One run of cargo test, its output read as it comes."""

    def __init__(self, report, suite, words):
        self.report, self.suite, self.words = report, suite, words
        self.binary = ""
        self.seen = self.failed = 0
        self.path = os.path.join(qemu.PROJECT, "build/run", f"{suite}.log")
        self.begun = self.expired = None

    def run(self):
        """Run it; every test ends in the report."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.begun = time.monotonic()
        process = subprocess.Popen(self.words, cwd=WORKSPACE, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", start_new_session=True)
        timer = threading.Timer(LIMIT, self._expire, (process,))
        timer.start()
        try:
            with open(self.path, "w", encoding="utf-8") as log:
                last = self._read(process.stdout, log)
            status = process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        if self.expired:
            self._fail(f"not through after {LIMIT} s; the last line was: {last}")
        elif status and not self.failed:
            self._fail(f"cargo test ended with status {status}: {last}")
        elif not self.seen:
            self._fail("cargo test ran no test")

    def _expire(self, process):
        self.expired = True
        os.killpg(process.pid, signal.SIGKILL)

    def _fail(self, reason):
        self.report.add(f"{self.suite}.cargo", FAIL, time.monotonic() - self.begun, reason,
                        log=self.path)

    def _read(self, stream, log):
        last = error = ""
        for line in stream:
            log.write(line)
            log.flush()
            line = line.rstrip("\n")
            last = line.strip() or last
            if line.startswith("error") and not error:
                error = line
            if (found := RUNNING.match(line)) is not None:
                self.binary = found[2]
            elif (found := DOC_TESTS.match(line)) is not None:
                self.binary = f"{found[1]}.doc"
            elif (found := RESULT.match(line)) is not None:
                self._result(found[1], found[2])
            elif "process didn't exit successfully" in line and "signal" in line:
                self.failed += 1
                self._fail(f"{self.binary} crashed: {line.strip()}")
        return error or last

    def _result(self, name, said):
        self.seen += 1
        self.failed += said == "FAILED"
        result = {"ok": PASS, "FAILED": FAIL, "ignored": SKIP}[said]
        reason = {PASS: "", FAIL: "the test's own output is in the log", SKIP: "ignored"}[result]
        self.report.add(f"{self.suite}.{self.binary}.{name}", result, reason=reason,
                        claims=claims_of(name), log=self.path)


def _words(selection, pattern):
    words = ["cargo", "test", "--no-fail-fast", "--locked", *selection]
    return words + (["--", pattern] if pattern else [])


def host(report, pattern):
    """Unit and property tests of all but the server."""
    selection = ["--workspace"]
    if os.path.exists(SERVER):
        selection += ["--exclude", _server_package()]
    CargoRun(report, "host", _words(selection, pattern)).run()


def wire(report, pattern):
    """The server's tests: it against a vfio-user client, no QEMU."""
    if not os.path.exists(SERVER):
        report.add("wire.cargo", FAIL, reason=f"{os.path.relpath(SERVER, qemu.PROJECT)} is missing")
        return
    CargoRun(report, "wire", _words(["--package", _server_package()], pattern)).run()
