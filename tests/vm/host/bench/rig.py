# SPDX-License-Identifier: GPL-2.0
"""The guest that is measured, and the program at the other end of its wire."""

import os
import subprocess
import time

from host import accel, qemu
from host.bench.figures import CALLS, CounterError, losses, read_counters, read_windows
from host.bench.peers import PEERS
from host.machine import Machine, Options, VmError

SOURCES = os.path.join(qemu.PROJECT, "tests/bench")
BUILT = os.path.join(qemu.PROJECT, "build/bench")
COUNTER = ("counter", "symbols")
SINK = ("sink", "sink_tcp", "sink_zc", "sink_udp", "sink_bpf")

def build():
    """Compile the counter and the sink."""
    os.makedirs(BUILT, exist_ok=True)
    flags = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11"]
    sink = [f"{SOURCES}/{name}.c" for name in SINK]
    counter = [f"{SOURCES}/{name}.c" for name in COUNTER]
    for words in (["-shared", "-fPIC", "-fvisibility=hidden", "-o", f"{BUILT}/counter.so",
                   *counter], ["-o", f"{BUILT}/sink", *sink]):
        subprocess.run(flags + words, check=True)


class Bench(Machine):
    """A guest with one NIC and the counter, and the sender on its wire."""

    def __init__(self, name, size, workloads, arguments):
        self.peer = PEERS[name]
        options = Options(f"bench-{size.name(name)}", dut=self.peer.dut, cpus=size.cpus,
                          queues=size.queues, memory=1536, accel=accel.TCG,
                          cpu_model="max,-erms,-fsrm",
                          append=["nokaslr", "nohz=off"])
        super().__init__(options)
        options.wire = f"{self.sockets}/sender.sock"
        options.model_arguments = arguments.model.split()
        self.workloads, self.runs = workloads, arguments.runs
        self.settings = "; ".join(filter(None, [*self.peer.commands(size.queues),
                                                arguments.set]))
        self.sender = None
        options.qemu = ["-plugin", f"{BUILT}/counter.so,symbols={self.path('kallsyms')},"
                                   f"out={self.path('windows')},calls={':'.join(CALLS)}"]

    def measure(self):
        """Run the workloads; return lists of windows by name."""
        with open(self.path("workloads"), "w", encoding="ascii") as text:
            for i in range(self.runs):
                for workload in self.workloads:
                    text.write(f"{workload.name}.{i} "
                               f"{workload.order(self.peer.giants)}\n")
        self._start_sender()
        words = [f"{SOURCES}/guest.sh", self.options.run_dir, self.dut.driver,
                 self.options.module or "''", qemu.MAC, qemu.PEER_MAC,
                 f"'{self.settings}'"]
        self.start(" ".join(words) + " 2>&1")
        return self._gather(self._listen())

    def stop(self):
        if self.sender is not None:
            self.sender.kill()
            self.sender.wait()
        super().stop()

    def _start_sender(self):
        program = f"{BUILT}/reflow-sender"
        if not os.path.exists(program):
            raise VmError(f"{program} is not there; build it with `make sender`.")
        with open(self.path("sender.log"), "wb") as log:
            self.sender = subprocess.Popen([program, self.options.wire],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not os.path.exists(self.options.wire):
            time.sleep(0.05)

    def _listen(self):
        """Follow the guest; return what its sink measured, in order."""
        measured, label = [], None
        deadline = time.monotonic() + 600
        while (line := self.line(deadline, label or "the guest to boot")) is not None:
            words = line.split()
            if words[:1] == ["begin"]:
                label, deadline = words[1], time.monotonic() + 600
            elif words[:1] == ["measured"]:
                measured.append((label, *(int(n) for n in words[1:])))
            elif words[:1] == ["end"] and words[2] != "0":
                raise VmError(f"{label} failed.\n{self.last_words()}")
        self.status()
        return measured

    def _gather(self, measured):
        try:
            with open(self.path("windows"), encoding="ascii") as text:
                windows = read_windows(text)
        except CounterError as why:
            raise VmError(str(why)) from None
        if len(windows) != len(measured):
            raise VmError(f"{len(measured)} workloads, but {len(windows)} windows were counted")
        found, before = {}, self._counters("start")
        for (label, packets, size, copied), window, stuck in zip(measured, windows, self._stuck()):
            after = self._counters(label)
            window.packets, window.bytes = packets, size
            window.losses = losses(before, after)
            more = {"stuck": stuck, "copied": copied}
            window.losses.update((name, count) for name, count in more.items() if count)
            before = after
            found.setdefault(label.split(".")[0], []).append(window)
        return found

    def _counters(self, label):
        with open(self.path(f"{label}.counters"), encoding="utf-8") as text:
            return read_counters(text.read())

    def _stuck(self):
        """Return how often connections were stuck, by workload."""
        with open(self.path("sender.log"), encoding="utf-8") as text:
            return [int(line.split()[1]) for line in text if line.startswith("retries ")]
