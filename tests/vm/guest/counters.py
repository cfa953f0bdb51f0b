# SPDX-License-Identifier: GPL-2.0
"""The driver's own counters; their names are known here only."""

from guest.harness import Skip, check
from guest.net import DUT

# `ethtool -S` of the reflow driver.
QUEUE = "{direction}{queue}_{what}"   # rx0_packets, rx0_skbs, rx0_op_start, tx0_packets
OPCODES = ("no_assist", "no_data", "control", "small", "out_of_order",
           "start", "append", "append_close", "close_start", "placed")
AGGREGATED = ("start", "append", "append_close", "close_start")
# The device's counters, over all queues.
ON_WIRE, HANDED_OVER = "hw_rx_frames", "hw_rx_transferred"
DEVICE_DROPS = ("hw_rx_runts", "hw_rx_giants", "hw_rx_filtered", "hw_rx_disabled",
                "hw_rx_pm_overflow", "hw_rx_red", "hw_rx_rule_drop", "hw_rx_dma_errors")
FLOWS = {"learned": "hw_fdb_insert", "found": "hw_fdb_hit", "ended": "hw_fdb_teardown",
         "no room": "hw_fdb_full"}


def read(rig):
    """Return what `ethtool -S` prints as a dictionary."""
    found = {}
    for line in rig.run(DUT, "ethtool", "-S", rig.device).split("\n")[1:]:
        name, colon, value = line.strip().rpartition(":")
        if colon:
            found[name] = int(value)
    return found


def change(before, after):
    """Return the differences between two readings."""
    return {name: value - before.get(name, 0) for name, value in after.items()}


def need_reflow(rig):
    """Skip a case that only our driver can run."""
    if not rig.is_reflow:
        raise Skip(f"{rig.driver} has no such counters")


def per_queue(rig, stats, direction, what):
    """Return one counter of every queue, in order."""
    names = [QUEUE.format(direction=direction, queue=n, what=what) for n in range(rig.queues)]
    missing = [name for name in names if name not in stats]
    check(not missing, f"ethtool -S does not show {', '.join(missing)}")
    return [stats[name] for name in names]


def opcodes(rig, stats):
    """Return the packets seen with each operation code, all queues together."""
    return {name: sum(per_queue(rig, stats, "rx", f"op_{name}")) for name in OPCODES}


def device_drops(stats):
    """Return the frames that the device counts as dropped."""
    return sum(stats.get(name, 0) for name in DEVICE_DROPS)
