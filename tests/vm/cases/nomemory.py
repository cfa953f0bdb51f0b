# SPDX-License-Identifier: GPL-2.0
"""Memory that is refused: each allocation of an operation fails in turn.

The operation either succeeds all the same or ends with an error and leaves things
as they were. That nothing leaks is found out at the end of the run (debug.leaks).
"""

import contextlib
import os

from guest import bpf
from guest.counters import need_reflow
from guest.faults import Direct, Faults
from guest.harness import case, check, equal, until
from guest.net import DUT, PEER, SYS_NET

MOST = 100      # allocations that fail one by one; behind that only some do


@contextlib.contextmanager
def _faults(rig):
    need_reflow(rig)
    faults, direct = Faults(rig.driver), Direct(rig.device)
    try:
        yield faults, direct
    finally:
        faults.close()
        direct.close()


def _note(rig, what, counts):
    path = os.path.join(rig.config["run_dir"], "nomemory.txt")
    with open(path, "a", encoding="utf-8") as text:
        text.write(f"{what}: {counts[0]} attempts, {counts[1]} errors\n")


def _setting(rig, faults, what, get, put, values):
    """Change a setting to and fro; after an error the old value is in force."""
    def call():
        put(values[get() == values[0]])

    state = {"value": get()}

    def afterwards(why):
        if why is None:
            state["value"] = values[state["value"] == values[0]]
        equal("the setting in force", get(), state["value"])
        rig.echo(PEER, 4)
    _note(rig, what, faults.each(what, call, afterwards, MOST))


@case(limit=120, debug=True)
def rings(rig):
    """ethtool -G."""
    with _faults(rig) as (faults, direct):
        before = direct.rings()
        rig.defer(lambda: Direct(rig.device).set_rings(before))
        small = tuple(max(size // 4, least) for size, least in zip(before, (64, 128, 16, 64)))
        _setting(rig, faults, "ethtool -G", direct.rings, direct.set_rings, (before, small))


@case(limit=120, debug=True)
def channels(rig):
    """ethtool -L."""
    with _faults(rig) as (faults, direct):
        before = direct.channels()
        rig.defer(lambda: Direct(rig.device).set_channels(before))
        _setting(rig, faults, "ethtool -L", direct.channels, direct.set_channels,
                 (before, max(1, before // 2)))


@case(limit=120, debug=True)
def mtu(rig):
    """ip link set mtu."""
    with _faults(rig) as (faults, direct):
        rig.defer(rig.bring_up)
        rig.defer(lambda: Direct(rig.device).set_mtu(1500))
        _setting(rig, faults, "mtu", direct.mtu, direct.set_mtu, (1500, 1400))


@case(limit=60, debug=True)
def programs(rig):
    """An XDP program comes and goes."""
    program = bpf.Program(bpf.Code().leave(bpf.PASS))
    rig.defer(bpf.detach, rig.device)

    def attach():
        number, said = bpf.set_program(rig.device, program.fd)
        if number:
            raise OSError(number, said)

    def afterwards(why):
        rig.echo(PEER, 4)
        if why is None:
            bpf.detach(rig.device)
            rig.echo(PEER, 4)
    with _faults(rig) as (faults, _):
        _note(rig, "XDP attach", faults.each("attaching a program", attach, afterwards, MOST))
        bpf.attach(rig.device, program)

        def detach():
            number, said = bpf.set_program(rig.device, -1)
            if number:
                raise OSError(number, said)

        def attached_again(why):
            rig.echo(PEER, 4)
            if why is None:
                bpf.attach(rig.device, program)
        _note(rig, "XDP detach", faults.each("taking it away", detach, attached_again, MOST))


@case(limit=60, debug=True)
def rules(rig):
    """A rule comes and goes."""
    with _faults(rig) as (faults, direct):
        made = []

        def afterwards(why):
            equal("rules made", len(made), int(why is None))
            while made:
                direct.delete_rule(made.pop())
        _note(rig, "rule", faults.each("adding a rule",
                                       lambda: made.append(direct.add_rule(7777, 0)),
                                       afterwards, MOST))
    left = rig.run(DUT, "ethtool", "-n", rig.device)
    check("Total 0 rules" in left, f"rules are left: {left}")


@case(limit=180, debug=True)
def up(rig):
    """ip link set up."""
    rig.defer(rig.bring_up)
    with _faults(rig) as (faults, direct):
        direct.set_up(False)

        def afterwards(why):
            equal("the interface is up", direct.is_up(), why is None)
            if why is None:
                direct.set_up(False)
        _note(rig, "up", faults.each("setting the interface up", lambda: direct.set_up(True),
                                     afterwards, MOST))


@case(limit=300, debug=True)
def probe(rig):
    """The device is given to its driver."""
    device = os.path.realpath(f"{SYS_NET}/{rig.device}/device")
    driver, name = os.path.realpath(f"{device}/driver"), os.path.basename(device)

    def tell(which):
        with open(f"{driver}/{which}", "w", encoding="ascii") as knob:
            knob.write(name)

    def bound():
        return os.path.exists(f"{device}/driver")

    def restore():
        if not bound():
            tell("bind")
        rig.adopt()
        rig.bring_up()

    def afterwards(why):
        equal("the device has a driver", bound(), why is None)
        equal("the device has an interface", os.path.exists(f"{device}/net"), why is None)
        if why is None:
            tell("unbind")
            until("the interface to be gone", lambda: not os.path.exists(f"{device}/net"))
    rig.defer(restore)
    with _faults(rig) as (faults, _):
        tell("unbind")
        _note(rig, "probe", faults.each("probing", lambda: tell("bind"), afterwards, MOST))
