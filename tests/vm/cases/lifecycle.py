# SPDX-License-Identifier: GPL-2.0
"""Resets, errors and removal of the PCI function, under traffic."""

import errno
import os
import time

from guest.counters import need_reflow
from guest.device import control, devlink, status
from guest.harness import Failed, Waiting, case, check, equal, until
from guest.net import DUT, PEER, SYS_NET
from guest.traffic import BothWays, Flood, bulk, streaming

ALARMS = True

PCI = "/sys/bus/pci"


def _write(path, text):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(text)


def _function(rig):
    """Return the folder of the device in sysfs."""
    return os.path.realpath(f"{SYS_NET}/{rig.device}/device")


def _is_there(rig):
    return os.path.exists(f"{SYS_NET}/{rig.device}")


def _again(rig):
    """Wait for the interface to come back, and set it up."""
    rig.adopt()
    rig.bring_up()


def _make_whole(rig):
    if not _is_there(rig):
        _write(f"{PCI}/rescan", "1")
        _again(rig)


def _command_register(rig):
    with open(f"{_function(rig)}/config", "rb") as config:
        return int.from_bytes(config.read(6)[4:], "little")


@case(limit=60)
def function_reset(rig):
    """Function resets through sysfs under floods both ways; streams keep their content."""
    need_reflow(rig)
    where = _function(rig)
    with BothWays(rig):
        for _ in range(5):
            _write(f"{where}/reset", "1")
            time.sleep(0.2)
    check(_command_register(rig) & 4, "the device is no bus master after a reset")


@case(limit=60)
def reset_while_down(rig):
    """A function reset while the interface is down; it comes up with its configuration."""
    need_reflow(rig)
    rig.defer(rig.bring_up)
    rig.ip(DUT, f"link set {rig.device} down")
    _write(f"{_function(rig)}/reset", "1")
    check(not rig.carrier(DUT), "an interface that is down has a carrier after a reset")
    before = status(rig)["parser"]
    rig.bring_up()
    equal("the parser program", status(rig)["parser"], before)
    bulk(rig, PEER, 4, size=1 << 19)


def _reset_in_vain(rig):
    """Make a function reset fail: the device does not come back from it."""
    rig.defer(control, rig, "chaos off")
    control(rig, "chaos not-ready=1,ms=0")
    until("the device to be not ready",
          lambda: status(rig)["chaos"]["not-ready"]["strikes"], 10)
    _write(f"{_function(rig)}/reset", "1")
    check(not rig.carrier(DUT), "there is a carrier after a reset that failed")


@case(limit=60)
def reset_that_fails(rig):
    """A device comes back late from a reset; its interface comes back without a command."""
    need_reflow(rig)
    _reset_in_vain(rig)
    control(rig, "chaos off")
    until("the carrier to come back", lambda: rig.carrier(DUT), 10)
    check(_command_register(rig) & 4, "the device is no bus master")
    rig.bring_up()
    bulk(rig, PEER, 4, flows=4, size=1 << 19)
    bulk(rig, DUT, 4, size=1 << 19)


@case(limit=60)
def reset_that_fails_while_down(rig):
    """An interface that was down during a failed reset comes up once the device is back."""
    need_reflow(rig)
    rig.defer(rig.bring_up)
    rig.ip(DUT, f"link set {rig.device} down")
    _reset_in_vain(rig)
    control(rig, "chaos off")
    rig.bring_up()
    check(_command_register(rig) & 4, "the device is no bus master")
    bulk(rig, PEER, 4, size=1 << 19)


@case(limit=60)
def reload_after_a_reset_that_failed(rig):
    """After a failed reset `devlink dev reload` fails or restores everything."""
    need_reflow(rig)
    _reset_in_vain(rig)
    reload = ("dev", "reload", "DEVICE", "action", "fw_activate")
    done = devlink(rig, *reload, may_fail=True)
    check(done.returncode, "a device that is not ready was reloaded")
    control(rig, "chaos off")
    devlink(rig, *reload)
    check(_command_register(rig) & 4, "the device is no bus master")
    rig.bring_up()
    bulk(rig, PEER, 4, size=1 << 19)


def _down(rig, faults):
    """Take the interface down under floods both ways, with a device that has these faults."""
    rig.defer(rig.bring_up)
    rig.defer(control, rig, "chaos off")
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        time.sleep(0.3)
        control(rig, f"chaos {faults}")
        rig.ip(DUT, f"link set {rig.device} down")
    finally:
        for flood in floods:
            flood.stop()


@case(limit=60)
def queues_that_go_on(rig):
    """A device that does not stop its queues is reset before their memory is given back."""
    need_reflow(rig)
    _down(rig, "deaf=1,ms=0")
    check(status(rig)["quiet"], "the device is at work on memory that it was to let go of")
    control(rig, "chaos off")
    rig.bring_up()
    bulk(rig, PEER, 4, flows=4, size=1 << 19)


@case(limit=60)
def a_queue_that_goes_on(rig):
    """The same while other queues run: a pair that is stuck is to be made anew."""
    need_reflow(rig)
    rig.defer(rig.bring_up)
    rig.defer(control, rig, "chaos off")
    resets = status(rig)["resets"]
    stream = streaming(rig, PEER, 4, flows=8, size=1 << 20, limit=50)
    control(rig, "chaos deaf=1,ms=0,cq-stuck=1,ms=0")
    until("the device to be reset", lambda: status(rig)["resets"] > resets, 15)
    control(rig, "chaos off")
    stream.finish(50)
    bulk(rig, PEER, 4, flows=8, size=1 << 19)


@case(limit=60)
def a_device_that_goes_on(rig):
    """A device that ignores a reset loses bus mastering until a reset works."""
    need_reflow(rig)
    _down(rig, "deaf=1,ms=0,reset-stuck=1,ms=0")
    check(not status(rig)["quiet"], "the device was to ignore that it is switched off")
    check(not _command_register(rig) & 4, "the device can reach memory that was given back")
    done = rig.run(DUT, "ip", "link", "set", rig.device, "up", may_fail=True)
    check(done.returncode, "an interface came up whose device cannot be reset")
    check(not _command_register(rig) & 4, "the device is bus master without a reset")
    control(rig, "chaos off")
    rig.bring_up()
    check(_command_register(rig) & 4, "the device is no bus master")
    bulk(rig, PEER, 4, flows=4, size=1 << 19)


@case(limit=60)
def reset_first(rig):
    """Unbind leaves the device idle without bus mastering; bind resets it before allowing that."""
    need_reflow(rig)
    rig.defer(_make_whole, rig)
    where = _function(rig)
    driver = os.path.realpath(f"{where}/driver")
    flood = Flood(rig, PEER)
    rig.defer(flood.stop)
    _write(f"{driver}/unbind", os.path.basename(where))
    with open(f"{where}/config", "rb") as config:
        left = int.from_bytes(config.read(6)[4:], "little")
    check(not left & 4, f"unbound, the device is bus master (command register {left:#x})")
    with open(f"{where}/enable", encoding="ascii") as text:
        equal("how often the device is in use, unbound", text.read().strip(), "0")
    check(status(rig)["quiet"], "unbound, the device is not idle")
    _write(f"{driver}/bind", os.path.basename(where))
    _again(rig)


@case(limit=90)
def unbind_and_bind(rig):
    """Unbind and bind under floods both ways; a stream keeps its content."""
    need_reflow(rig)
    rig.defer(_make_whole, rig)
    where = _function(rig)
    driver = os.path.realpath(f"{where}/driver")
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        stream = streaming(rig, PEER, 4, flows=4, size=1 << 19, limit=60)
        for _ in range(3):
            time.sleep(0.3)
            _write(f"{driver}/unbind", os.path.basename(where))
            check(not _is_there(rig), "the interface is there after unbind")
            _write(f"{driver}/bind", os.path.basename(where))
            _again(rig)
    finally:
        for flood in floods:
            flood.stop()
    stream.finish(60)
    rig.echo(DUT, 6)


@case(limit=90)
def remove_and_rescan(rig):
    """Removal and rescan under floods both ways; a stream keeps its content."""
    need_reflow(rig)
    rig.defer(_make_whole, rig)
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        stream = streaming(rig, PEER, 4, flows=4, size=1 << 19, limit=60)
        for _ in range(3):
            time.sleep(0.3)
            _write(f"{_function(rig)}/remove", "1")
            check(not _is_there(rig), "the interface is there after its device was removed")
            _write(f"{PCI}/rescan", "1")
            _again(rig)
    finally:
        for flood in floods:
            flood.stop()
    stream.finish(60)
    rig.echo(DUT, 6)


def _clock_refuses(rig):
    """Fail unless the clock of a device that is gone says so."""
    node, = os.listdir(f"{_function(rig)}/ptp")
    fd = os.open(f"/dev/{node}", os.O_RDWR)
    rig.defer(os.close, fd)
    clock = ~fd << 3 | 3
    for act in (lambda: time.clock_gettime(clock), lambda: time.clock_settime(clock, 1)):
        try:
            act()
        except OSError as why:
            equal("the clock's error", why.errno, errno.ENODEV)
        else:
            raise Failed("the clock of a device that is gone answers")


def _plug_in(rig):
    """Bring the device back as hot plug does: remove it from the bus, and rescan."""
    control(rig, "chaos off")
    if _is_there(rig):
        _write(f"{_function(rig)}/remove", "1")
    _write(f"{PCI}/rescan", "1")
    if not os.path.exists(f"/sys/module/{rig.driver}"):
        rig.load()
    _again(rig)


@case(limit=90)
def surprise_removal(rig):
    """Surprise removal under floods both ways: carrier off, ENODEV, no delay; it comes back."""
    need_reflow(rig)
    rig.defer(_plug_in, rig)
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        time.sleep(0.3)
        control(rig, "chaos removed")
        until("the carrier to go", lambda: not rig.carrier(DUT), 10)
        with Waiting("answers about a device that is gone"):
            begun = time.monotonic()
            for words in (("ethtool", "-S"), ("ethtool", "-g"), ("ethtool", "-x")):
                done = rig.run(DUT, *words, rig.device, may_fail=True)
                check("No such device" in done.stderr,
                      f"`{' '.join(words)}` answers: {done.stderr or done.stdout}")
            done = rig.run(DUT, "ip", "link", "set", rig.device, "mtu", "1400", may_fail=True)
            check("No such device" in done.stderr, f"setting the MTU answers: {done.stderr}")
            _clock_refuses(rig)
            took = time.monotonic() - begun
        check(took < 5 * Waiting.scale, f"the answers took {took:.1f} s")
        begun = time.monotonic()
        rig.unload()
        took = time.monotonic() - begun
        check(took < 2 * Waiting.scale, f"rmmod took {took:.1f} s")
    finally:
        for flood in floods:
            flood.stop()
    _plug_in(rig)
    bulk(rig, PEER, 4, size=1 << 19)


@case(limit=60)
def removed_and_bound(rig):
    """A device that does not answer is removed from the bus, driver bound, and comes back."""
    need_reflow(rig)
    rig.defer(_plug_in, rig)
    control(rig, "chaos removed")
    until("the carrier to go", lambda: not rig.carrier(DUT), 10)
    begun = time.monotonic()
    _write(f"{_function(rig)}/remove", "1")
    took = time.monotonic() - begun
    check(took < 2 * Waiting.scale, f"taking it off the bus took {took:.1f} s")
    _plug_in(rig)
    bulk(rig, PEER, 6, size=1 << 19)
