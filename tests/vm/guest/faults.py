# SPDX-License-Identifier: GPL-2.0
"""Allocations that fail, one after the other, by the fault injection of a debug kernel.

Only allocations below a module's code count: the kernel looks at the stack. Faults
are set for one thread, so an operation is started by plain system calls of that
thread, not by a program.
"""

import ctypes
import errno
import fcntl
import functools
import glob
import os
import re
import socket
import struct

from guest.genl import Refusal
from guest.harness import Failed, Skip, check

DEBUGFS = "/sys/kernel/debug"
NTH = "/proc/thread-self/fail-nth"
DEPTH = 32             # stack frames that the kernel looks at, at most
KMEMLEAK = "kmemleak_"  # how the names of its kinds of memory begin
SLACK = 0x400          # beyond the first address of the last function of a range
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFMTU, SIOCETHTOOL = 0x8913, 0x8914, 0x8922, 0x8946
IFF_UP = 1
GET_RINGS, SET_RINGS, ADD_RULE, DELETE_RULE = 0x10, 0x11, 0x32, 0x31
GET_CHANNELS, SET_CHANNELS = 0x3C, 0x3D
RESET, RESET_DEDICATED = 0x34, 0xFFFF
TCP_V4, ANYWHERE = 1, 0xFFFFFFFF


class Direct:
    """Settings of an interface by ioctl, each one system call."""

    def __init__(self, device):
        self.device = device.encode()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self):
        """Let go of the socket."""
        self.socket.close()

    def _ethtool(self, request):
        memory = ctypes.create_string_buffer(request, len(request))
        fcntl.ioctl(self.socket, SIOCETHTOOL,
                    struct.pack("16sP16x", self.device, ctypes.addressof(memory)))
        return memory.raw

    def is_up(self):
        """Return whether the interface is up."""
        said = fcntl.ioctl(self.socket, SIOCGIFFLAGS, struct.pack("16s24x", self.device))
        return bool(struct.unpack_from("h", said, 16)[0] & IFF_UP)

    def set_up(self, up):
        """Set the interface up or down."""
        said = fcntl.ioctl(self.socket, SIOCGIFFLAGS, struct.pack("16s24x", self.device))
        flags = struct.unpack_from("h", said, 16)[0] & ~IFF_UP | (IFF_UP if up else 0)
        fcntl.ioctl(self.socket, SIOCSIFFLAGS, struct.pack("16sh22x", self.device, flags))

    def set_mtu(self, mtu):
        """Set the MTU."""
        fcntl.ioctl(self.socket, SIOCSIFMTU, struct.pack("16si20x", self.device, mtu))

    def mtu(self):
        """Return the MTU."""
        with open(f"/sys/class/net/{self.device.decode()}/mtu", encoding="ascii") as text:
            return int(text.read())

    def rings(self):
        """Return the sizes of the rings: rx, rx-mini, rx-jumbo, tx."""
        return struct.unpack("9I", self._ethtool(struct.pack("I32x", GET_RINGS)))[5:]

    def set_rings(self, sizes):
        """Set the sizes of the rings."""
        self._ethtool(struct.pack("I16x4I", SET_RINGS, *sizes))

    def channels(self):
        """Return the number of combined channels."""
        return struct.unpack("9I", self._ethtool(struct.pack("I32x", GET_CHANNELS)))[8]

    def set_channels(self, combined):
        """Set the number of combined channels."""
        self._ethtool(struct.pack("I16x4I", SET_CHANNELS, 0, 0, 0, combined))

    def add_rule(self, port, queue):
        """Direct TCP to a port to a queue; return the rule's location."""
        request = bytearray(192)
        struct.pack_into("I", request, 0, ADD_RULE)
        struct.pack_into("I", request, 16, TCP_V4)
        struct.pack_into(">H", request, 16 + 4 + 10, port)        # value: the port sent to
        struct.pack_into(">H", request, 16 + 76 + 10, 0xFFFF)     # its mask
        struct.pack_into("QI", request, 16 + 152, queue, ANYWHERE)
        return struct.unpack_from("I", self._ethtool(bytes(request)), 16 + 160)[0]

    def reset(self):
        """Have the device reset and brought back, as `ethtool --reset` with "dedicated"."""
        self._ethtool(struct.pack("II", RESET, RESET_DEDICATED))

    def delete_rule(self, location):
        """Take a rule away."""
        request = bytearray(192)
        struct.pack_into("I", request, 0, DELETE_RULE)
        struct.pack_into("I", request, 16 + 160, location)
        self._ethtool(bytes(request))


def _write(path, value):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(str(value))


@functools.cache
def _spare_accounts():
    """Have those who watch over memory have theirs: without it they would turn themselves off.

    kmemleak's is of a kind of its own. For the checks of the DMA API the range of addresses of the
    functions that note something is returned.
    """
    for path in glob.glob("/sys/kernel/slab/*/failslab"):
        if f"/{KMEMLEAK}" not in path:
            _write(path, 1)
    pattern = re.compile(r"^([0-9a-f]+) t (?:dma_entry_alloc|add_dma_entry)$", re.M)
    with open("/proc/kallsyms", encoding="ascii") as text:
        found = [int(address, 16) for address in pattern.findall(text.read())]
    check(len(found) == 2 and min(found), f"/proc/kallsyms tells these of DMA's checks: {found}")
    return min(found), max(found) + SLACK


def _code(module):
    """Return the range of addresses of a module's code, or a little more."""
    words = []
    for name in ("sections/.text", "coresize"):
        with open(f"/sys/module/{module}/{name}", encoding="ascii") as text:
            words.append(int(text.read(), 0))
    check(words[0], f"the address of {module} is not told")
    return words[0], sum(words)


class Faults:
    """Orders the failure of allocations in this thread."""

    def __init__(self, module):
        if not os.path.exists(NTH):
            raise Skip("the kernel orders no faults")
        own, accounts = _code(module), _spare_accounts()
        for what in ("failslab", "fail_page_alloc"):
            folder = f"{DEBUGFS}/{what}"
            for name, value in (("verbose", 0), ("probability", 0), ("times", -1),
                                ("ignore-gfp-wait", "N"), ("stacktrace-depth", DEPTH),
                                ("require-start", own[0]), ("require-end", own[1]),
                                ("reject-start", accounts[0]), ("reject-end", accounts[1])):
                _write(f"{folder}/{name}", value)
        _write(f"{DEBUGFS}/failslab/cache-filter", "Y")
        _write(f"{DEBUGFS}/fail_page_alloc/min-order", 0)
        _write(f"{DEBUGFS}/fail_page_alloc/ignore-gfp-highmem", "N")
        self.fd = os.open(NTH, os.O_RDWR)

    def close(self):
        """Order nothing any more."""
        os.pwrite(self.fd, b"0", 0)
        os.close(self.fd)

    def fail_large_pages(self, fail):
        """Have the driver get no pages of more than 4 KiB, in any context."""
        folder = f"{DEBUGFS}/fail_page_alloc"
        _write(f"{folder}/min-order", int(fail))
        _write(f"{folder}/probability", 100 if fail else 0)

    def attempt(self, nth, call):
        """Call with the n-th allocation failing.

        Returns whether there were as many, and the error that came of it, or None.
        """
        why = None
        os.pwrite(self.fd, b"%d" % nth, 0)
        try:
            call()
        except OSError as error:
            why = error
        except Refusal as said:
            why = OSError(said.code, said.text)
        finally:
            left = int(os.pread(self.fd, 16, 0))
            os.pwrite(self.fd, b"0", 0)
        return left == 0, why

    def each(self, what, call, afterwards, most, errors=(errno.ENOMEM,)):
        """Fail one allocation of an operation after the other, until there are no more.

        `afterwards(error)` is called behind each attempt, and has to bring back what was
        before. Where there are more than `most` allocations, as where rings are filled,
        only some of them fail: the gaps grow. The errors that are called for are `errors`.
        Returns (attempts, those with an error).
        """
        nth, attempts, failed = 1, 0, 0
        while True:
            struck, why = self.attempt(nth, call)
            if not struck and why is not None:
                raise Failed(f"{what}: without any fault: {why}")
            if why is not None and why.errno not in errors:
                raise Failed(f"{what}: allocation {nth} failed, and the error was {why}")
            attempts, failed = attempts + 1, failed + (why is not None)
            try:
                afterwards(why)
            except Failed as wrong:
                raise Failed(f"{what}: allocation {nth} failed ({why}); then: {wrong}") from None
            if not struck:
                return attempts, failed
            nth += 1 + max(0, nth - most) // 8
