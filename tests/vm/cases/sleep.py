# SPDX-License-Identifier: GPL-2.0
"""Suspend to idle, to memory and to disk; kexec and halt."""

import ctypes
import glob
import os
import struct
import time

from guest import kexec as new_kernel
from guest.counters import need_reflow
from guest.harness import case, check, emit, equal, until
from guest.net import DUT, PEER, SYS_NET
from guest.ram import call
from guest.traffic import BothWays, Flood, bulk, streaming

ALARMS = True
SLEEPS = True

POWER = "/sys/power"
RTC = "/sys/class/rtc/rtc0/wakealarm"
PORT_WAKES = "/sys/class/tty/ttyS1/power/wakeup"
RB_HALT_SYSTEM = 0xcdef0123


def _write(path, text):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(text)


def _read(path):
    with open(path, encoding="ascii") as text:
        return text.read()


def _sleeps():
    """Return the kernel's count of sleeps."""
    return int(_read(f"{POWER}/suspend_stats/success"))


def _slept(rig, how, test="none", wake=None):
    """Sleep and wake up."""
    _write(f"{POWER}/pm_test", test)
    rig.defer(_write, f"{POWER}/pm_test", "none")
    before = _sleeps()
    if wake == "clock":
        _write(RTC, "0")
        _write(RTC, "+3")
    elif wake == "port":
        _write(PORT_WAKES, "enabled")
        emit(event="wake", after=4)
    _write(f"{POWER}/state", how)
    if how != "disk":
        equal("sleeps that the kernel counts", _sleeps() - before, 1)


def _all_of_it(rig, how, **options):
    need_reflow(rig)
    # The length of the core's own test of a phase, in seconds.
    for path in glob.glob("/sys/module/suspend/parameters/pm_test_delay") + glob.glob(
            "/sys/module/hibernate/parameters/pm_test_delay"):
        _write(path, "1")
    with BothWays(rig):
        _slept(rig, how, **options)
    # Again, to see traffic with the restored configuration.
    with BothWays(rig, size=1 << 18):
        _slept(rig, how, **options)


@case(limit=90)
def to_idle(rig):
    """Suspend to idle under floods both ways, woken by a serial port; streams go on."""
    _all_of_it(rig, "freeze", wake="port")


@case(limit=90)
def to_memory(rig):
    """Suspend to memory, where the device loses its state, woken by the clock; streams go on."""
    equal("the deepest sleep", _read(f"{POWER}/mem_sleep").strip(), "s2idle [deep]")
    _all_of_it(rig, "mem", wake="clock")


@case(limit=90)
def devices_only(rig):
    """Devices are put to sleep and woken up without the machine sleeping."""
    _all_of_it(rig, "mem", test="devices")


@case(limit=90)
def image_of_memory(rig):
    """Hibernation up to the image and back: freeze and thaw."""
    _all_of_it(rig, "disk", test="core")


def _written(disk):
    """Return the bytes that were written to a disk as far as the kernel remembers."""
    return 512 * int(_read(f"/sys/block/{os.path.basename(disk.decode())}/stat").split()[6])


@case(limit=240)
def to_disk(rig):
    """Hibernation with the image written, read and resumed."""
    need_reflow(rig)
    disk = b"/dev/vda"
    call("swapon", ctypes.c_char_p(disk), 0)
    rig.defer(call, "swapoff", ctypes.c_char_p(disk))
    _write(f"{POWER}/disk", "test_resume")
    before = _written(disk)
    with BothWays(rig, limit=200):
        _slept(rig, "disk")
    # The image holds no state from after it was made, its own writing included.
    check(_written(disk) - before < 1 << 20, "it was not the image that woke up")


@case(limit=60)
def down_while_asleep(rig):
    """An interface that is down during a suspend comes up afterwards."""
    rig.defer(rig.bring_up)
    rig.ip(DUT, f"link set {rig.device} down")
    _slept(rig, "mem", test="devices")
    check(not rig.carrier(DUT), "an interface that is down reports a carrier after a sleep")
    rig.bring_up()
    bulk(rig, PEER, 4, size=1 << 19)


class _Error:
    """An error as the kernel's aer_inject takes it."""

    TIMEOUT = 1 << 14

    def __init__(self, rig, uncorrectable):
        self.where = os.path.realpath(f"{SYS_NET}/{rig.device}/device")
        domain, bus, rest = os.path.basename(self.where).split(":")
        slot, function = rest.split(".")
        self.bytes = struct.pack("=4B7I", int(bus, 16), int(slot, 16), int(function), 0,
                                 uncorrectable, 0, 0, 0, 0, 0, int(domain, 16))

    def inject(self):
        """Inject it; return once the kernel has handled it."""
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(log, 0, os.SEEK_END)
        try:
            with open("/dev/aer_inject", "wb", buffering=0) as device:
                device.write(self.bytes)
            said = until("the kernel to be through with an error", lambda: self._verdict(log), 20)
        finally:
            os.close(log)
        check("successful" in said, f"no recovery from an error on the bus: {said}")

    @staticmethod
    def _verdict(log):
        """Return the kernel's message about a recovery since the last call, if any."""
        while True:
            try:
                line = os.read(log, 8192).decode(errors="replace")
            except BlockingIOError:
                return None
            if "device recovery" in line:
                return line.partition(";")[2].split("\n")[0]


@case(limit=120)
def error_not_fatal(rig):
    """An error on the bus that is not fatal, under floods both ways; streams go on."""
    need_reflow(rig)
    with BothWays(rig):
        for _ in range(3):
            _Error(rig, _Error.TIMEOUT).inject()
            time.sleep(0.2)


def _both_ways(rig):
    """Start floods and streams both ways that run until this kernel ends."""
    for side in (PEER, DUT):
        Flood(rig, side)
        streaming(rig, side, 4, flows=4, size=1 << 28, limit=50)
    time.sleep(0.5)


def _at_work_again(rig):
    for side in (PEER, DUT):
        for version in (4, 6):
            bulk(rig, side, version, flows=8, size=1 << 18, limit=20)


@case(limit=90, last=True, after=_at_work_again)
def kexec(rig):
    """Another kernel is started under floods both ways: no access to memory that is the new
    kernel's, whose driver finds the device and puts it to work."""
    need_reflow(rig)
    new_kernel.load(rig.config, "sleep.kexec")
    _both_ways(rig)
    new_kernel.start()


@case(limit=60, last=True)
def halt(rig):
    """Halt under floods both ways leaves the device idle. Ends the machine."""
    need_reflow(rig)
    _both_ways(rig)
    emit(event="halt", test="sleep.halt", limit=20)
    os.sync()
    call("reboot", ctypes.c_int(RB_HALT_SYSTEM - (1 << 32)))
    time.sleep(60)
