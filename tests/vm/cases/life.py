# SPDX-License-Identifier: GPL-2.0
"""The interface goes up and down, the module is loaded and unloaded, under traffic."""

import os
import re
import time

from guest import counters
from guest.counters import need_reflow
from guest.device import bus_address
from guest.harness import KernelLog, Skip, case, check, equal, until
from guest.net import DUT, PEER, SYS_NET
from guest.traffic import Flood, bulk, streaming


def _down(rig):
    rig.ip(DUT, f"link set {rig.device} down")


def _answers(rig):
    rig.echo(PEER, 4)
    rig.echo(PEER, 6)


@case(limit=20)
def up_and_down(rig):
    """After ten times down and up everything works."""
    rig.defer(rig.bring_up)
    for _ in range(10):
        rig.ip(DUT, f"link set {rig.device} down", f"link set {rig.device} up")
    rig.bring_up()
    _answers(rig)
    bulk(rig, PEER, 4, size=1 << 19)


@case(limit=15)
def carrier(rig):
    """The carrier follows the wire, and is off while the interface is down."""
    equal("the state of the link", rig.link(DUT)["operstate"], "UP")
    check("Link detected: yes" in rig.run(DUT, "ethtool", rig.device),
          "ethtool does not detect the link")
    rig.defer(rig.bring_up)
    _down(rig)
    rig.wait_carrier(DUT, up=False, limit=5)
    check("Link detected: no" in rig.run(DUT, "ethtool", rig.device),
          "ethtool detects a link on an interface that is down")
    rig.bring_up()
    _answers(rig)


TRACING = "/sys/kernel/tracing"


def _trace(name, text):
    with open(f"{TRACING}/{name}", "w", encoding="ascii") as knob:
        knob.write(text)


def _calls(function, act):
    """Return how often the kernel calls a function during `act`."""
    _trace("current_tracer", "nop")
    _trace("set_ftrace_filter", function)
    _trace("current_tracer", "function")
    try:
        act()
        with open(f"{TRACING}/trace", encoding="ascii") as text:
            return sum(f": {function} <-" in line for line in text)
    finally:
        _trace("current_tracer", "nop")
        _trace("set_ftrace_filter", "")


@case(limit=60)
def one_grace_period_for_all_queues(rig):
    """Taking the interface down waits as often for RCU with four queues as with one."""
    if not os.path.exists(f"{TRACING}/set_ftrace_filter") or rig.queues < 4:
        raise Skip("needs the kernel's function tracer and four queues")
    rig.defer(rig.bring_up)
    rig.defer(rig.run, DUT, "ethtool", "-L", rig.device, "combined", str(rig.queues))
    waits = []
    for queues in (1, 4):
        rig.run(DUT, "ethtool", "-L", rig.device, "combined", str(queues))
        rig.bring_up()
        waits.append(_calls("synchronize_net", lambda: _down(rig)))
    check(waits[0], "the tracer has seen nothing")
    equal("calls of synchronize_net with four queues", waits[1], waits[0])


def _missed(rig):
    with open(f"{SYS_NET}/{rig.device}/statistics/rx_missed_errors", encoding="ascii") as text:
        return int(text.read())


@case(limit=30)
def nothing_is_missed_while_down(rig):
    """Frames that come while the interface is down never count as missed."""
    need_reflow(rig)
    rig.defer(rig.bring_up)
    _down(rig)
    refused = counters.read(rig)["hw_rx_disabled"]
    missed = _missed(rig)
    flood = Flood(rig, PEER)
    try:
        until("frames to be refused",
              lambda: counters.read(rig)["hw_rx_disabled"] > refused + 1000, 10)
    finally:
        flood.stop()
    equal("rx_missed_errors while down", _missed(rig), missed)
    rig.bring_up()
    _answers(rig)
    # The device's counters are seen a little later, so the last of them may come after the end.
    more = _missed(rig) - missed
    check(more < 100, f"{more} frames that came while down count as missed afterwards")


@case(limit=15)
def down_means_silent(rig):
    """While down, the interface receives and sends nothing."""
    rig.defer(rig.bring_up)
    _down(rig)
    before = rig.totals(DUT)
    check(not rig.answers(limit=1), "an interface that is down answers echoes")
    after = rig.totals(DUT)
    equal("frames received while down", after["rx_packets"] - before["rx_packets"], 0)
    equal("frames sent while down", after["tx_packets"] - before["tx_packets"], 0)


@case(limit=40)
def up_and_down_under_traffic(rig):
    """Down and up under floods both ways; TCP streams keep their content."""
    rig.defer(rig.bring_up)
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        streams = [streaming(rig, side, 4, flows=4, size=1 << 19, limit=30)
                   for side in (PEER, DUT)]
        for _ in range(5):
            time.sleep(0.25)
            _down(rig)
            rig.bring_up()
    finally:
        for flood in floods:
            flood.stop()
    for stream in streams:
        stream.finish(30)
    _answers(rig)


@case(limit=30)
def a_load_is_quiet(rig):
    """Loading the driver for a healthy device with firmware logs no warning."""
    need_reflow(rig)
    rig.unload()
    log = KernelLog()
    rig.load()
    rig.bring_up()
    lines = log.new_lines()
    harm = [line for line in lines if re.search("fail|error|warn|refus|cannot", line, re.I)]
    check(not harm, f"a load that went well says: {harm}")
    address = bus_address(rig)
    said = [line for line in lines if line.startswith(f"reflow {address} ")]
    check(any(re.match(rf"reflow {address} \w+: link up", line) for line in said),
          f"the link is not reported with the interface's name: {said}")


@case(claims=(53,), limit=60)
def reload_under_traffic(rig):
    """The module is unloaded and loaded under floods both ways; TCP streams keep their content."""
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        stream = streaming(rig, PEER, 4, flows=4, size=1 << 19, limit=45)
        for _ in range(2):
            time.sleep(0.3)
            rig.unload()
            rig.load()
            rig.bring_up()
    finally:
        for flood in floods:
            flood.stop()
    stream.finish(45)
    _answers(rig)


@case(limit=40)
def reload_leaves_nothing(rig):
    """rmmod removes the interface, its interrupts and its memory."""
    rig.defer(_restore, rig)
    vectors = set(rig.interrupts())
    check(vectors, "the device has no interrupts in /proc/interrupts")
    rig.unload()
    check(not os.path.exists(f"{SYS_NET}/{rig.device}"), "the interface is still there")
    with open("/proc/interrupts", encoding="ascii") as table:
        left = [line.split()[-1] for line in table if line.split()[-1] in vectors]
    equal("interrupts left behind", left, [])
    rig.load()
    rig.bring_up()
    _answers(rig)


def _restore(rig):
    if not os.path.exists(f"{SYS_NET}/{rig.device}"):
        rig.load()
        rig.bring_up()


@case(limit=30)
def down_then_reload(rig):
    """rmmod works while the interface is down, and a new load works."""
    rig.defer(_restore, rig)
    _down(rig)
    rig.unload()
    rig.load()
    rig.bring_up()
    _answers(rig)


@case(limit=30)
def unbind_and_bind(rig):
    """The device is unbound and bound through sysfs."""
    device = os.path.realpath(f"{SYS_NET}/{rig.device}/device")
    driver = os.path.realpath(f"{device}/driver")
    with open(f"{driver}/unbind", "w", encoding="ascii") as knob:
        knob.write(os.path.basename(device))
    until("the interface to be gone", lambda: not os.path.exists(f"{SYS_NET}/{rig.device}"))
    with open(f"{driver}/bind", "w", encoding="ascii") as knob:
        knob.write(os.path.basename(device))
    rig.adopt()
    rig.bring_up()
    _answers(rig)
