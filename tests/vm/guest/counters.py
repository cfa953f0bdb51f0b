# SPDX-License-Identifier: GPL-2.0
"""The driver's own counters, and the one place that knows what they are called."""

import re

from guest.harness import Skip, check
from guest.net import DUT

# `ethtool -S` of the reflow driver.
QUEUE = "{direction}{queue}_{what}"          # rx0_packets, rx0_bytes, rx0_skbs, tx0_packets
OPCODE = "op_{name}"
OPCODES = ("no_assist", "no_data", "control", "small", "out_of_order",
           "start", "append", "append_close", "close_start")
AGGREGATED = ("start", "append", "append_close", "close_start")
DEVICE_DROPS = re.compile(r"^hw_.*(drop|discard|overflow|missed|no_buffer|runt|giant|filtered|bad)")


def read(rig):
    """Return what `ethtool -S` prints as a dictionary."""
    found = {}
    for line in rig.run(DUT, "ethtool", "-S", rig.device).split("\n")[1:]:
        name, colon, value = line.strip().rpartition(":")
        if colon:
            found[name] = int(value)
    return found


def change(before, after):
    """Return what was added between two readings."""
    return {name: value - before.get(name, 0) for name, value in after.items()}


def need_reflow(rig):
    """Skip a case about what only our driver has."""
    if not rig.is_reflow:
        raise Skip(f"{rig.driver} has no such counters")


def per_queue(rig, stats, direction, what):
    """Return one counter of every queue, in order."""
    names = [QUEUE.format(direction=direction, queue=n, what=what) for n in range(rig.queues)]
    missing = [name for name in names if name not in stats]
    check(not missing, f"ethtool -S does not show {', '.join(missing)}")
    return [stats[name] for name in names]


def opcodes(stats):
    """Return the packets seen with each operation code."""
    names = {name: OPCODE.format(name=name) for name in OPCODES}
    missing = [full for full in names.values() if full not in stats]
    check(not missing, f"ethtool -S does not show {', '.join(missing)}")
    return {name: stats[full] for name, full in names.items()}


def device_drops(stats):
    """Return the frames that the device itself says it has thrown away."""
    return sum(value for name, value in stats.items() if DEVICE_DROPS.match(name))
