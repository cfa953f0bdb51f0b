# SPDX-License-Identifier: GPL-2.0
"""Failing allocations: each allocation of an operation fails in turn.

The operation either succeeds or ends with an error and changes nothing. debug.leaks checks
at the end of the run that nothing leaked.
"""

import contextlib
import errno
import os

from guest import bpf, steering
from guest.counters import change, need_reflow, per_queue, read
from guest.devmem import bind, buffer_of
from guest.faults import Direct, Faults
from guest.genl import Family, attribute
from guest.harness import case, check, equal, until
from guest.net import DUT, PEER, SYS_NET
from guest.pools import provider
from guest.split import ON, split_of
from guest.traffic import bulk, datagrams

REFUSES = True

# Of devlink's netlink interface.
RELOAD, FW_ACTIVATE = 37, b"\x02"
BUS_NAME, DEV_NAME, RELOAD_ACTION = 1, 2, 153
MOST = 100      # allocations that fail one by one; behind that only some do


# Few and small queues: larger ones make the same kinds of allocations.
SMALLEST, SMALL = (64, 128, 16, 64), (128, 256, 32, 128)
QUEUES = 2


def _resize(rig, queues, rings):
    direct = Direct(rig.device)
    direct.set_rings(rings)
    direct.set_channels(queues)
    direct.close()


@contextlib.contextmanager
def _faults(rig):
    need_reflow(rig)
    steering.need_queues(rig, QUEUES)
    faults, direct = Faults(rig.driver), Direct(rig.device)
    rig.defer(_resize, rig, direct.channels(), direct.rings())
    _resize(rig, QUEUES, SMALLEST)
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
    """Change a setting and back; after an error the old value is in force."""
    def call():
        put(values[get() == values[0]])

    state = {"value": get()}

    def afterwards(why):
        if why is None:
            state["value"] = values[state["value"] == values[0]]
        equal("the setting in force", get(), state["value"])
        rig.echo(PEER, 4)
    _note(rig, what, faults.each(what, call, afterwards, MOST))


@case(limit=60, debug=True)
def fragmented(rig):
    """While no page of more than 4 KiB can be had, packets of all sizes come, none is dropped."""
    need_reflow(rig)
    before, faults = read(rig), Faults(rig.driver)
    rig.defer(faults.close)
    rig.defer(faults.fail_large_pages, False)
    faults.fail_large_pages(True)
    datagrams(rig, PEER, 4, [1, 100, 1400] * 100)
    bulk(rig, PEER, 4, flows=4, size=1 << 20, limit=40)
    faults.fail_large_pages(False)
    told = change(before, read(rig))
    equal("packets dropped for want of memory", sum(per_queue(rig, told, "rx", "drop_nomem")), 0)
    check(sum(per_queue(rig, told, "rx", "alloc_small")), "no small page was taken instead")


@case(limit=120, debug=True)
def rings(rig):
    """ethtool -G."""
    with _faults(rig) as (faults, direct):
        _setting(rig, faults, "ethtool -G", direct.rings, direct.set_rings, (SMALLEST, SMALL))


@case(limit=120, debug=True)
def channels(rig):
    """ethtool -L."""
    with _faults(rig) as (faults, direct):
        _setting(rig, faults, "ethtool -L", direct.channels, direct.set_channels, (QUEUES, 1))


@case(limit=120, debug=True)
def mtu(rig):
    """ip link set mtu."""
    with _faults(rig) as (faults, direct):
        rig.defer(rig.bring_up)
        rig.defer(lambda: Direct(rig.device).set_mtu(1500))
        _setting(rig, faults, "mtu", direct.mtu, direct.set_mtu, (1500, 1400))


@case(limit=60, debug=True)
def programs(rig):
    """An XDP program is attached and detached."""
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
    """A rule is added and deleted."""
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


@case(limit=120, debug=True)
def lending(rig):
    """A queue is lent to an application."""
    queue = QUEUES - 1
    with _faults(rig) as (faults, _):
        split_of(rig).set(ON, 0)
        steering.reset(rig)
        steering.ethtool(rig, "-X", f"equal {queue}")
        file, buffer = buffer_of(4 * SMALLEST[2])
        family = Family("netdev")

        def afterwards(why):
            nonlocal family
            equal("the queue is lent", provider(rig, queue), None if why else "dmabuf")
            family.close()
            equal("the queue is lent", provider(rig, queue), None)
            family = Family("netdev")
            bulk(rig, PEER, 4, size=1 << 14)
        try:
            _note(rig, "lending", faults.each(
                "lending a queue", lambda: bind(family, rig.device, queue, buffer),
                afterwards, MOST))
        finally:
            family.close()
            os.close(buffer)
            os.close(file)


def _answers(rig):
    # An echo that was lost is not waited for until it is over.
    until("the device to answer", lambda: rig.answers(limit=0.1), limit=10)


@case(limit=180, debug=True)
def reset(rig):
    """ethtool --reset: at worst the watch makes the queues a little later."""
    with _faults(rig) as (faults, direct):
        def afterwards(_why):
            _answers(rig)
        _note(rig, "reset", faults.each("a reset", direct.reset, afterwards, MOST))


@case(limit=180, debug=True)
def reload(rig):
    """devlink dev reload: at worst the watch makes the queues a little later."""
    address = os.path.basename(os.path.realpath(f"{SYS_NET}/{rig.device}/device"))
    family = Family("devlink")

    def call():
        family.ask(RELOAD, attribute(BUS_NAME, "pci"), attribute(DEV_NAME, address),
                   attribute(RELOAD_ACTION, FW_ACTIVATE))

    def afterwards(_why):
        _answers(rig)
    try:
        with _faults(rig) as (faults, _):
            _note(rig, "reload", faults.each("a reload", call, afterwards, MOST))
    finally:
        family.close()


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
    """The device is bound to its driver."""
    device = os.path.realpath(f"{SYS_NET}/{rig.device}/device")
    driver, name = os.path.realpath(f"{device}/driver"), os.path.basename(device)

    def tell(which):
        # A Python file object would write again when it is closed.
        knob = os.open(f"{driver}/{which}", os.O_WRONLY)
        try:
            os.write(knob, name.encode())
        finally:
            os.close(knob)

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
    with _faults(rig) as (faults, _):
        rig.defer(restore)
        tell("unbind")
        # Without memory for a region the kernel reports it as busy.
        _note(rig, "probe", faults.each("probing", lambda: tell("bind"), afterwards, MOST,
                                        (errno.ENOMEM, errno.EBUSY)))
