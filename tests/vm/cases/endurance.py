# SPDX-License-Identifier: GPL-2.0
"""Life cycle operations repeated under streams whose content is checked; nothing leaks.

A few rounds each in the ordinary run; `make endurance` does hundreds.
"""

import os
import time

from guest import counters, pools
from guest.device import bus_address, status
from guest.harness import case, check, equal, until
from guest.net import DUT, PEER, SYS_NET
from guest.traffic import bulk, streaming

STREAMS = 16
SIZE = 1 << 17
# Enough for hundreds of rounds under emulation.
LIMIT = 1500


def _rounds(rig, many):
    """Return the number of rounds: `many` of a full run, a few in an ordinary one."""
    return max(2, many * (rig.config.get("rounds") or 10) // 1000)


def _slab():
    """Return the kernel's unreclaimable slab memory in KiB, 0 if freed memory stays in it.

    KASAN keeps what is freed for a while; such kernels have kmemleak, see debug.leaks.
    """
    if os.path.exists("/sys/kernel/debug/kmemleak"):
        return 0
    with open("/proc/meminfo", encoding="ascii") as text:
        for line in text:
            if line.startswith("SUnreclaim:"):
                return int(line.split()[1])
    return 0


def _endure(rig, what, many, act):
    """Call `act(n)` under streams, round after round, then check that nothing leaked."""
    rounds = _rounds(rig, many)
    before = _slab()
    for n in range(rounds):
        stream = streaming(rig, PEER if n % 2 else DUT, 4, flows=STREAMS, size=SIZE,
                           limit=40)
        act(n)
        stream.finish(45)
    rig.wait_link()
    bulk(rig, PEER, 4, flows=4, size=1 << 16)
    until("pools that were given up to be gone", lambda: pools.none_abandoned(rig), 15)
    until("all pages to be back", lambda: pools.pages_out(rig) < 4096, 15)
    grown = _slab() - before
    # The kernel keeps some slabs, but fewer than a leak of a page each round.
    check(grown < 4096 + 4 * rounds, f"{rounds} times {what}: {grown} KiB of slab more than before")


@case(limit=LIMIT)
def up_and_down(rig):
    """The interface goes down and up."""
    rig.defer(rig.bring_up)

    def act(_):
        rig.ip(DUT, f"link set {rig.device} down")
        rig.bring_up()

    _endure(rig, "down and up", 200, act)


@case(limit=LIMIT)
def unbind_and_bind(rig):
    """The device is unbound and bound through sysfs."""

    def act(_):
        device = os.path.realpath(f"{SYS_NET}/{rig.device}/device")
        driver = os.path.realpath(f"{device}/driver")
        for knob in ("unbind", "bind"):
            with open(f"{driver}/{knob}", "w", encoding="ascii") as out:
                out.write(os.path.basename(device))
        rig.adopt()
        rig.bring_up()

    _endure(rig, "unbound and bound", 100, act)


@case(claims=(53,), limit=LIMIT)
def unload_and_load(rig):
    """The module is unloaded and loaded."""

    def act(_):
        rig.unload()
        rig.load()
        rig.bring_up()

    _endure(rig, "unloaded and loaded", 100, act)


@case(limit=LIMIT)
def reset(rig):
    """ethtool --reset resets the device."""
    counters.need_reflow(rig)
    resets = status(rig)["resets"]
    # Not by `devlink health recover`: the core ignores it for a healthy reporter.
    _endure(rig, "reset", 100,
            lambda _: rig.run(DUT, "ethtool", "--reset", rig.device, "dedicated"))
    check(status(rig)["resets"] > resets, "the device was not reset")


@case(limit=LIMIT)
def function_reset(rig):
    """The PCI core resets the function."""
    counters.need_reflow(rig)
    knob = f"/sys/bus/pci/devices/{bus_address(rig)}/reset"

    def act(_):
        with open(knob, "w", encoding="ascii") as out:
            out.write("1")
        rig.wait_link()

    _endure(rig, "reset by the PCI core", 100, act)


@case(limit=LIMIT)
def ring_sizes(rig):
    """ethtool -G changes ring sizes."""
    rig.defer(rig.run, DUT, "ethtool", "-G", rig.device, "rx", "2048", "tx", "512")
    _endure(rig, "ethtool -G", 100,
            lambda n: rig.run(DUT, "ethtool", "-G", rig.device, "rx", ("1024", "2048")[n % 2],
                              "tx", ("256", "512")[n % 2]))


@case(limit=LIMIT)
def channels(rig):
    """ethtool -L changes the number of queues."""
    rig.defer(rig.run, DUT, "ethtool", "-L", rig.device, "combined", str(rig.queues))
    _endure(rig, "ethtool -L", 100,
            lambda n: rig.run(DUT, "ethtool", "-L", rig.device, "combined",
                              str(1 + (n + 1) % rig.queues)))


@case(limit=LIMIT)
def removed_and_found(rig):
    """The device is removed from the bus and found by a rescan."""
    counters.need_reflow(rig)

    def act(_):
        with open(f"/sys/bus/pci/devices/{bus_address(rig)}/remove", "w", encoding="ascii") as out:
            out.write("1")
        equal("the interface", os.path.exists(f"{SYS_NET}/{rig.device}"), False)
        with open("/sys/bus/pci/rescan", "w", encoding="ascii") as out:
            out.write("1")
        rig.adopt()
        rig.bring_up()

    _endure(rig, "removed and found", 20, act)
