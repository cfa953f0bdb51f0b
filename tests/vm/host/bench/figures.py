# SPDX-License-Identifier: GPL-2.0
"""What was counted, and the figures made of it."""

import statistics

from host.machine import VmError


class Window:
    """Counts between two marks."""

    def __init__(self, line):
        self.counted, self.idle, self.tick, self.user = (int(n) for n in line.split()[2:])
        self.symbols = []
        self.packets = self.bytes = 0

    def cost(self):
        """Return the instructions for a packet."""
        return self.counted / self.packets


def read_windows(lines):
    """Return the windows in the counter's output."""
    windows = []
    for line in lines:
        if line.startswith("window"):
            windows.append(Window(line))
        elif line.startswith("symbol"):
            _, count, name = line.rstrip().split(" ", 2)
            windows[-1].symbols.append((int(count), name))
        else:
            raise VmError(f"counter: {line.rstrip()}")
    return windows


def median(windows):
    """Return the window in the middle, by cost."""
    return sorted(windows, key=Window.cost)[len(windows) // 2]


def spread(windows):
    """Return the distance between the cheapest and the dearest, as a part of the median."""
    costs = sorted(window.cost() for window in windows)
    return (costs[-1] - costs[0]) / statistics.median(costs)
