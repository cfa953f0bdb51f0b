# SPDX-License-Identifier: GPL-2.0
"""The tests of the Rust workspace, counted one by one.

libtest prints a line for each test. Any other failure (no build, a crash, a
hang) counts as a failed test of its own.
"""

import os
import re
import signal
import subprocess
import threading
import time
import tomllib

from host import qemu
from host.choice import Choice
from host.report import FAIL, PASS, SKIP

WORKSPACE = os.path.join(qemu.PROJECT, "hw-model")
SERVER = os.path.join(WORKSPACE, "crates/server/Cargo.toml")
LIMIT = 1200

RUNNING = re.compile(r"^\s+Running (?:unittests )?(\S+) \(.*/([^/]+)-[0-9a-f]+\)")
DOC_TESTS = re.compile(r"^\s+Doc-tests (\S+)")
LISTED = re.compile(r"^(.+): test$")
RESULT = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
CLAIMS = re.compile(r"claims?((?:_\d+)+)")


def claims_of(name):
    """Return the claims that a test's name says it proves: ..._claims_9_10."""
    found = CLAIMS.search(name)
    return sorted(int(word) for word in found[1].split("_")[1:]) if found else []


def _server_package():
    with open(SERVER, "rb") as text:
        return tomllib.load(text)["package"]["name"]


class ListError(Exception):
    """The tests could not be listed, and why."""


class Binaries:
    """Follows in cargo's output whose tests the lines are about."""

    def __init__(self):
        self.now = ""

    def follow(self, line):
        """Return whether the line names the next binary."""
        if (found := RUNNING.match(line)) is not None:
            self.now = found[2]
        elif (found := DOC_TESTS.match(line)) is not None:
            self.now = f"{found[1]}.doc"
        return found is not None


class CargoRun:
    """One run of cargo test, its output read as it comes."""

    def __init__(self, report, suite, words, choice=Choice()):
        self.report, self.suite, self.words, self.choice = report, suite, words, choice
        self.binaries = Binaries()
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
            if self.binaries.follow(line):
                pass
            elif (found := RESULT.match(line)) is not None:
                self._result(found[1], found[2])
            elif "process didn't exit successfully" in line and "signal" in line:
                self.failed += 1
                self._fail(f"{self.binaries.now} crashed: {line.strip()}")
        return error or last

    def _result(self, name, said):
        self.seen += 1
        self.failed += said == "FAILED"
        full = f"{self.suite}.{self.binaries.now}.{name}"
        if not self.choice(full):
            return      # of another binary, with the same path in it
        result = {"ok": PASS, "FAILED": FAIL, "ignored": SKIP}[said]
        reason = {PASS: "", FAIL: "the test's own output is in the log", SKIP: "ignored"}[result]
        self.report.add(full, result, reason=reason, claims=claims_of(name), log=self.path)


def _words(suite, *of_tests):
    server = _server_package()
    selection = {"host": ["--workspace", "--exclude", server], "wire": ["--package", server]}[suite]
    return ["cargo", "test", "--no-fail-fast", "--locked", *selection, "--", *of_tests]


def parse_list(suite, lines):
    """Return {full name: path in its binary} of what `cargo test -- --list` prints."""
    binaries, found = Binaries(), {}
    for line in lines:
        if not binaries.follow(line) and (test := LISTED.match(line)) is not None:
            found[f"{suite}.{binaries.now}.{test[1]}"] = test[1]
    return found


def names(suite):
    """Return {full name: path in its binary} of a suite's tests; builds them if need be."""
    done = subprocess.run(_words(suite, "--list"), cwd=WORKSPACE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    if done.returncode:
        raise ListError(f"cargo test -- --list: {' / '.join(done.stdout.split(chr(10))[-8:])}")
    return parse_list(suite, done.stdout.split("\n"))


def run(report, suite, choice):
    """Run the chosen tests of a suite: "host" is all but the server, "wire" the server's, which
    hold it against a vfio-user client, without QEMU."""
    chosen = []
    if not choice.everything():
        if not choice.may_be_in(suite):
            return
        try:
            chosen = [path for full, path in names(suite).items() if choice(full)]
        except ListError as why:
            report.add(f"{suite}.cargo", FAIL, reason=str(why))
            return
        if not chosen:
            return
    words = _words(suite, *(["--exact", *chosen] if chosen else []))
    CargoRun(report, suite, words, choice).run()
