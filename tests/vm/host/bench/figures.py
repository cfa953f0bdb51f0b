# SPDX-License-Identifier: GPL-2.0
"""What was counted, and the figures made of it."""

import statistics

from host.bench.workloads import SEGMENT

# Functions of the kernel whose calls are counted, and the figure that they make.
INTERRUPTS = ("common_interrupt",)
POLLS = ("__napi_poll",)
UP = ("tcp_v4_rcv", "udp_rcv")
DOWN = ("__dev_queue_xmit",)
# Of these modules have no copies of their own.
ACCESSORS = tuple(f"{prefix}{width}" for prefix, widths in
                  (("rust_helper_read", "bwlq"), ("rust_helper_write", "bwlq"),
                   ("ioread", ("8", "16", "32")), ("iowrite", ("8", "16", "32")))
                  for width in widths)
CALLS = INTERRUPTS + POLLS + UP + DOWN + ACCESSORS

# Counters of the guest's TCP, UDP and interfaces that say that something was lost, or that
# memory ran short.
LOSSES = ("TCPRcvQDrop", "TCPBacklogDrop", "TCPZeroWindowDrop", "TCPOFODrop", "PruneCalled",
          "RcvPruned", "OfoPruned", "TCPRcvCollapsed", "TCPMemoryPressures", "TCPTimeouts",
          "RetransSegs", "RcvbufErrors", "ListenDrops", "softnet_dropped", "rx_dropped",
          "rx_missed", "tx_dropped")


class CounterError(Exception):
    """The reason why the counter's output is of no use."""


class Window:
    """Counts between two marks."""

    def __init__(self, line):
        self.counted, self.idle, self.tick, self.user = (int(n) for n in line.split()[2:])
        self.registers = 0
        self.calls = {}
        self.symbols = []
        # Told by the sink: what lay between the marks.
        self.packets = self.bytes = 0
        # {counter: increase} over the whole workload, and connections that were stuck.
        self.losses = {}

    def cost(self):
        """Return the instructions for a packet."""
        return self.counted / self.packets

    def called(self, names):
        """Return the calls of functions; None if the kernel has none of them."""
        found = [self.calls[name] for name in names if name in self.calls]
        return sum(found) if found else None

    def take(self, line):
        """Take a line that follows the window's."""
        word, rest = line.split(" ", 1)
        if word == "registers":
            self.registers = sum(int(n) for n in rest.split())
        elif word == "call":
            count, name = rest.split()
            self.calls[name] = int(count)
        elif word == "symbol":
            count, name = rest.split(" ", 1)
            self.symbols.append((int(count), name))
        else:
            raise CounterError(f"counter: {line}")


def read_windows(lines):
    """Return the windows in the counter's output."""
    windows = []
    for line in (line.rstrip("\n") for line in lines):
        if line.startswith("window "):
            windows.append(Window(line))
        elif windows:
            windows[-1].take(line)
        else:
            raise CounterError(f"counter: {line}")
    return windows


def read_counters(text):
    """Return the counters that guest.sh wrote: those of the kernel's tables and the NIC's own."""
    found, names = {}, {}
    for line in text.splitlines():
        head, _, rest = line.strip().partition(": ")
        words = rest.split()
        if head in ("Tcp", "TcpExt", "Udp", "IpExt", "Ip"):
            if head in names:
                found.update(zip(names.pop(head), (int(n) for n in words)))
            else:
                names[head] = words
        elif len(words) == 1 and words[0].lstrip("-").isdigit():
            found[head] = int(words[0])
    return found


def losses(before, after):
    """Return {name: increase} of what was lost between two sets of counters."""
    more = {name: after.get(name, 0) - before.get(name, 0) for name in LOSSES}
    return {name: count for name, count in more.items() if count > 0}


class Figures:
    """Figures of a workload: medians over its runs."""

    # Columns of the table in files, in order.
    COLUMNS = ("per_packet", "k_per_mib", "spread", "segments_per_skb", "interrupts", "polls",
               "registers", "losses")

    def __init__(self, workload, windows):
        self.workload = workload
        # The run in the middle, by cost.
        self.window = sorted(windows, key=Window.cost)[len(windows) // 2]
        costs = [window.cost() for window in windows]
        self.per_packet = statistics.median(costs)
        self.spread = (max(costs) - min(costs)) / self.per_packet
        self.k_per_mib = (self.per_packet * (1 << 20) / SEGMENT / 1000 if workload.stream
                          else None)
        self.segments_per_skb = self._median(windows, self._merged)
        self.interrupts = self._median(windows, self._per_thousand(INTERRUPTS))
        self.polls = self._median(windows, self._per_thousand(POLLS))
        self.registers = self._median(windows, self._register_accesses)
        self.losses = self._all_losses(windows)

    @staticmethod
    def _median(windows, figure):
        values = [value for value in map(figure, windows) if value is not None]
        return statistics.median(values) if values else None

    @staticmethod
    def _per_thousand(names):
        def figure(window):
            calls = window.called(names)
            return None if calls is None else 1000 * calls / window.packets
        return figure

    @staticmethod
    def _register_accesses(window):
        through_functions = window.called(ACCESSORS) or 0
        return 1000 * (window.registers + through_functions) / window.packets

    def _merged(self, window):
        """Return the packets of a socket buffer."""
        if self.workload.unit == "round" or self.workload.dropped:
            return None
        buffers = window.called(DOWN if self.workload.sends else UP)
        return window.packets / buffers if buffers else None

    def _all_losses(self, windows):
        total = {}
        for window in windows:
            for name, count in window.losses.items():
                # Some drivers count what a program drops.
                if name != "rx_dropped" or not self.workload.dropped:
                    total[name] = total.get(name, 0) + count
        return total
