# SPDX-License-Identifier: GPL-2.0
"""The kernel's own driver tests, each program as a case of its own.

They run unmodified. The host judges their output; here a program must end in
time, leave no message in the kernel log, and leave a device that can be removed
and found again.
"""

import os
import re
import signal
import subprocess
import time

from guest.harness import CASES, Case, Failed, Waiting, check, until
from guest.net import ADDRESS, DUT, PEER, PEER_DEVICE, SYS_NET

MAPPED = re.compile(r"received (\S+) MB \((\S+) % mmap'ed\)")
MAPPED_SHARE = 90   # per cent of the bytes of a stream of full-sized segments
MAPPED_SECONDS = 8
# Where tests put a container that they lend a queue to.
CONTAINERS = "2001:db8:2::/64"


class Program(Case):
    """One program of the kernel's tests."""

    def __init__(self, name, place, about):  # pylint: disable=super-init-not-called
        self.subject, self.name, self.claims, self.flags = "selftests", name, [], set()
        self.bears = ()
        self.func, self.limit = self.run, about["limit"]
        self.place, self.file, self.about = place, about["file"], about["file"]
        self.only, self.passes, self.before = about["only"], about["passes"], about["before"]
        self.lenient = about["lenient"]

    def run(self, rig):
        """Run it in a clean environment; its output goes to the run's folder."""
        rig.defer(rig.rebuild)
        rig.defer(tidy, rig)
        for side in (DUT, PEER):
            # Tests take the link down and expect to find the addresses again.
            rig.run(side, "sysctl", "-qw",
                    f"net.ipv6.conf.{rig.name(side)}.keep_addr_on_down=1")
        rig.ip(PEER, f"route replace {CONTAINERS} via {ADDRESS[DUT, 6]}")
        # The default qdisc reorders flows when the wire is slow.
        rig.run(PEER, "tc", "qdisc", "replace", "dev", PEER_DEVICE, "root", "pfifo",
                "limit", "10000")
        for words in self.before:
            where = os.path.basename(os.path.realpath(f"{SYS_NET}/{rig.device}/device"))
            # Some of them are for our device only.
            rig.run(DUT, *words.replace("DEV", rig.device).replace("PCI", where).split(),
                    may_fail=self.lenient)
        path = os.path.join(rig.config["run_dir"], f"{self.name}.tap")
        with open(path, "w", encoding="utf-8") as output:
            if self.file == "net/tcp_mmap":
                mapped(rig, os.path.join(self.place, "tests", self.file),
                       environment(rig, self.place), output)
            else:
                self._run_program(rig, output, self.only)
                for again in self._late(path):
                    self._run_program(rig, output, [again])

    def _late(self, path):
        """Return the cases that failed unexpectedly; each is run once more.

        Some wait for a few seconds only, which a busy host may take to start
        the program at the other end. The report says which passed only then.
        """
        with open(path, encoding="utf-8", errors="replace") as output:
            failed = re.findall(r"^not ok \d+ \w+\.(\S+)", output.read(), re.M)
        return [name for name in failed if name in self.passes]

    def _run_program(self, rig, output, only):
        path = os.path.join(self.place, "tests", self.file)
        # Not all of them are marked as programs.
        start = ["python3", path] if path.endswith(".py") else [path]
        words = start + [word for pattern in only for word in ("-t", pattern)]
        with Waiting(self.file), subprocess.Popen(
                words, cwd=os.path.dirname(path), env=environment(rig, self.place),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True) as process:
            try:
                process.wait()
            finally:
                end(process)


def environment(rig, place):
    """Return the environment variables that the tests' README asks for."""
    tools = os.path.join(place, "tools")
    return {
        **os.environ, "PATH": f"{tools}/usr/sbin:{tools}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{tools}/usr/lib/x86_64-linux-gnu",
        "PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1",
        "NETIF": rig.device, "REMOTE_TYPE": "netns", "REMOTE_ARGS": "peer",
        "LOCAL_V4": ADDRESS[DUT, 4], "LOCAL_V6": ADDRESS[DUT, 6],
        "REMOTE_V4": ADDRESS[PEER, 4], "REMOTE_V6": ADDRESS[PEER, 6],
        "LOCAL_PREFIX_V6": CONTAINERS, "KSFT_MACHINE_SLOW": "yes",
    }


def end(process):
    """End a program and all that it started: SIGTERM first, so that it can clean up."""
    for which, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            break
        process.send_signal(which)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def tidy(rig):
    """Take back what a program may leave behind that a fresh driver does not."""
    for side, keep in ((DUT, rig.device), (PEER, PEER_DEVICE)):
        links = rig.run(side, "ip", "-br", "link", "show").split("\n")
        for name in (line.split()[0].partition("@")[0] for line in links if line):
            if name not in ("lo", keep):
                # The tunnels that come with a module refuse, and do no harm.
                rig.run(side, "ip", "link", "del", name, may_fail=True)
    rig.run(PEER, "ip", "link", "set", PEER_DEVICE, "xdp", "off", may_fail=True)
    for kind in ("root", "clsact"):
        rig.run(PEER, "tc", "qdisc", "del", "dev", PEER_DEVICE, kind, may_fail=True)
    rig.run(PEER, "ip", "-6", "neigh", "flush", "all", may_fail=True)
    for name in rig.run(DUT, "ip", "netns", "list").split("\n"):
        if name and name.split()[0] != "peer":
            rig.run(DUT, "ip", "netns", "del", name.split()[0], may_fail=True)


def mapped(rig, program, env, output):
    """Run tcp_mmap, which has neither an end nor a verdict, for some seconds each way."""
    output.write("TAP version 13\n1..2\n")
    for number, version in enumerate((4, 6), 1):
        # It does not end, so its output would stay in the buffer.
        with subprocess.Popen(["stdbuf", "-oL", program, f"-{version}", "-s", "-z"],
                              env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                line = _one_stream(rig, program, env, version, server)
            finally:
                end(server)
        output.write(f"# {line.strip()}\n")
        found = MAPPED.search(line)
        good = bool(found) and float(found[2]) >= MAPPED_SHARE
        output.write(f"{'' if good else 'not '}ok {number} tcp_mmap.ipv{version}\n")


def _one_stream(rig, program, env, version, server):
    until("tcp_mmap to listen", lambda: ":8787 " in rig.run(DUT, "ss", "-Hltn"), limit=20)
    with rig.inside[PEER]:
        client = subprocess.Popen([program, f"-{version}", "-H", ADDRESS[DUT, version]],
                                  env=env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
    with client:
        time.sleep(MAPPED_SECONDS * Waiting.scale)
        still = client.poll() is None
        end(client)
    check(still, f"tcp_mmap ended with status {client.returncode} in the middle of sending")
    with Waiting("what tcp_mmap says of a stream"):
        for line in server.stdout:
            if "received" in line:
                return line
    raise Failed("tcp_mmap said nothing of the stream it received")


def register(config):
    """Make cases of the programs that the host asks for."""
    for name, about in config["selftests"].items():
        CASES[name] = Program(name, config["place"], about)
