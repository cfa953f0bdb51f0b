# SPDX-License-Identifier: GPL-2.0
"""make bench: instructions of the guest's kernel per packet received.

The sender is a program on the host, at the other end of the wire, and the
counter a plugin of the emulator (tests/bench): what is counted is receiving and
nothing else, and the same frames reach whatever NIC the guest has.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from host import accel, qemu
from host.machine import Machine, Options, VmError

SOURCES = os.path.join(qemu.PROJECT, "tests/bench")
BUILT = os.path.join(qemu.PROJECT, "build/bench")
SEGMENT = 1448
WORKLOADS = {
    # Name: what tests/bench/sink.c is told, and whether it is TCP.
    "bulk1": ("bulk 1 8 24", True),
    "bulk8": ("bulk 8 8 24", True),
    "mix16": ("mix 16 8 24", True),
    "mix64": ("mix 64 8 24", True),
    "mix1000": ("mix 1000 32 64", True),
    "udp-drop": ("drop IFINDEX 4096 16384", False),
    "udp-sink": ("udp 4096 8192", False),
}


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Count the instructions that the guest's kernel needs to receive: per packet "
                    "on the wire,\nand in thousands per MiB of data. bulkN: N TCP connections, "
                    "bursts of 44 segments of\n1448 bytes; mixN: N connections, one segment of "
                    "each in turn; udp-drop: frames of 60\nbytes, dropped by a program at the "
                    "device's ingress; udp-sink: the same, read by a\nprocess.")
    made.add_argument("--dut", action="append", choices=sorted(qemu.DUTS),
                      help="NIC to measure, can be repeated (default: reflow)")
    made.add_argument("--workload", action="append", choices=list(WORKLOADS),
                      help="only this one, can be repeated")
    made.add_argument("--runs", type=int, default=3, help="take the median of so many (default: 3)")
    made.add_argument("--profile", type=int, metavar="N", default=0,
                      help="show the N functions that need most")
    made.add_argument("--set", metavar="COMMANDS", default="",
                      help="shell commands in the guest before it begins; $dev is the interface")
    made.add_argument("--model", metavar="ARGS", default="",
                      help="more arguments for the device model")
    return made


def build():
    """Compile the counter and the sink."""
    os.makedirs(BUILT, exist_ok=True)
    flags = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11"]
    for words in (["-shared", "-fPIC", "-fvisibility=hidden", "-o", f"{BUILT}/counter.so",
                   f"{SOURCES}/counter.c"], ["-o", f"{BUILT}/sink", f"{SOURCES}/sink.c"]):
        subprocess.run(flags + words, check=True)


# Settings with which a NIC loses no packet.
LARGE_RING = "ethtool -G $dev rx 4096"
SETTINGS = {"igb": LARGE_RING, "igb-rs": LARGE_RING, "e1000e": LARGE_RING}


class Window:
    """Counts between two marks."""

    def __init__(self, line):
        self.counted, self.idle, self.tick, self.user = (int(n) for n in line.split()[2:])
        self.symbols = []
        self.packets = self.bytes = 0


class Bench(Machine):
    """A guest with one NIC and the counter, and the sender on its wire."""

    def __init__(self, dut, arguments):
        options = Options(f"bench-{dut}", dut=dut, cpus=1, queues=1, memory=1536, accel=accel.TCG,
                          cpu_model="max,-erms,-fsrm",
                          append=["nokaslr", "nohz=off"])
        super().__init__(options)
        options.wire = f"{self.sockets}/sender.sock"
        options.model_arguments = arguments.model.split()
        self.names = [name for name in WORKLOADS
                      if not arguments.workload or name in arguments.workload]
        self.runs = arguments.runs
        self.settings = "; ".join(filter(None, [SETTINGS.get(dut), arguments.set]))
        self.sender = None
        profile = ",profile=on" if arguments.profile else ""
        options.qemu = ["-plugin", f"{BUILT}/counter.so,symbols={self.path('kallsyms')},"
                                   f"out={self.path('windows')}{profile}"]

    def measure(self):
        """Run the workloads; return lists of windows by name."""
        with open(self.path("workloads"), "w", encoding="ascii") as text:
            for i in range(self.runs):
                for name in self.names:
                    text.write(f"{name}.{i} {WORKLOADS[name][0]}\n")
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
        with open(self.path("sender.log"), "wb") as log:
            self.sender = subprocess.Popen([f"{BUILT}/reflow-sender", self.options.wire],
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
                measured.append((label.split(".")[0], int(words[1]), int(words[2])))
            elif words[:1] == ["end"] and words[2] != "0":
                raise VmError(f"{label} failed.\n{self.last_words()}")
        self.status()
        return measured

    def _gather(self, measured):
        windows = []
        with open(self.path("windows"), encoding="ascii") as text:
            for line in text:
                if line.startswith("window"):
                    windows.append(Window(line))
                elif line.startswith("symbol"):
                    _, count, name = line.rstrip().split(" ", 2)
                    windows[-1].symbols.append((int(count), name))
                else:
                    raise VmError(f"counter: {line.rstrip()}")
        if len(windows) != len(measured):
            raise VmError(f"{len(measured)} workloads, but {len(windows)} windows were counted")
        found = {}
        for (name, packets, size), window in zip(measured, windows):
            window.packets, window.bytes = packets, size
            found.setdefault(name, []).append(window)
        return found


def show_profile(name, windows, count):
    """Print where the instructions of a workload go."""
    window = windows[len(windows) // 2]
    print(f"\n{name}: instructions per packet by function")
    for n, symbol in window.symbols[:count]:
        print(f"{n / window.packets:10.1f}  {symbol}")


def show(dut, found, arguments):
    """Print a NIC's table."""
    print(f"\n{dut:<10} {'per packet':>10} {'k per MiB':>10} {'spread':>7}")
    for name, windows in found.items():
        costs = sorted(w.counted / w.packets for w in windows)
        cost = statistics.median(costs)
        mib = f"{cost * (1 << 20) / SEGMENT / 1000:10.0f}" if WORKLOADS[name][1] else " " * 10
        spread = (costs[-1] - costs[0]) / cost
        print(f"{name:<10} {cost:10.0f} {mib} {spread:6.1%}")
    for name, windows in found.items():
        if arguments.profile:
            show_profile(name, windows, arguments.profile)
    sys.stdout.flush()


def main():
    """Entry point."""
    arguments = parser().parse_args()
    build()
    try:
        for dut in arguments.dut or ["reflow"]:
            with Bench(dut, arguments) as machine:
                show(dut, machine.measure(), arguments)
    except VmError as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
