# SPDX-License-Identifier: GPL-2.0
"""io_uring zero-copy receive: a queue of the device fills memory of this process."""

import ctypes
import errno
import mmap
import os
import socket
import struct
import time

PAGE = mmap.PAGESIZE
SETUP, ENTER, REGISTER = 425, 426, 427      # system calls
SUBMIT_ALL, COOP_TASKRUN, CQE32, SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY = (
    1 << bit for bit in (7, 8, 11, 12, 13, 16))
FLAGS = SUBMIT_ALL | COOP_TASKRUN | CQE32 | SINGLE_ISSUER | DEFER_TASKRUN | NO_SQARRAY
GETEVENTS = 1
OFF_RINGS, OFF_SQES = 0, 0x10000000
SQE, CQE = 64, 32
F_MORE = 2
RECV_ZC, MULTISHOT = 58, 1 << 1
REGISTER_ZCRX_IFQ = 32
REGION_IN_USER_MEMORY, EVENT_STATS = 1, 1
AREA_MASK = ~((1 << 48) - 1)
# As the kernel's structures: io_uring_params, io_uring_zcrx_ifq_reg and what that points to.
PARAMS = struct.Struct("=10I 8IQ 8IQ")
IFQ = struct.Struct("=4I 2Q 4I2Q 2I Q 2Q")
AREA = struct.Struct("=3Q 2I 2Q")
REGION = struct.Struct("=2Q 2I Q 4Q")
EVENTS = struct.Struct("=Q 2I Q 9Q")
REFILL = struct.Struct("=QII")
# Buffers on their way back, and the page of counters behind them.
REFILL_ENTRIES = 4096
STATS_AT = PAGE + REFILL_ENTRIES * REFILL.size

LIBC = ctypes.CDLL(None, use_errno=True)


def _call(*args):
    result = LIBC.syscall(*(ctypes.c_long(arg) for arg in args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _structure(layout, *values):
    """Return a structure that the kernel may write to."""
    return ctypes.create_string_buffer(layout.pack(*values), layout.size)


def _address(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Ring:
    """An io_uring with long completions, one request at a time."""

    def __init__(self, entries=256):
        params = ctypes.create_string_buffer(PARAMS.size)
        params[8:12] = struct.pack("=I", FLAGS)
        self.fd = _call(SETUP, entries, ctypes.addressof(params))
        said = PARAMS.unpack(params.raw)
        sq_entries, cq_entries, sq_off, cq_off = said[0], said[1], said[10:18], said[19:27]
        self.cqes = cq_off[5]
        self.rings = mmap.mmap(self.fd, self.cqes + cq_entries * CQE, offset=OFF_RINGS)
        self.sqes = mmap.mmap(self.fd, sq_entries * SQE, offset=OFF_SQES)
        # Each a word of its own, which is read and written as a whole.
        self.words = memoryview(self.rings)[:self.cqes & ~3].cast("I")
        self.sq_tail, self.cq_head, self.cq_tail = sq_off[1] // 4, cq_off[0] // 4, cq_off[1] // 4
        self.sq_mask, self.cq_mask = sq_entries - 1, cq_entries - 1

    def submit(self, request):
        """Hand a request of 64 bytes to the kernel."""
        tail = self.words[self.sq_tail]
        at = (tail & self.sq_mask) * SQE
        self.sqes[at:at + SQE] = request
        self.words[self.sq_tail] = tail + 1 & 0xFFFFFFFF
        _call(ENTER, self.fd, 1, 0, GETEVENTS, 0, 0)

    def completions(self, idle):
        """Yield (result, flags, offset) of what is complete, after waiting, at most `idle` s."""
        end = time.monotonic() + (idle or 0)
        _call(ENTER, self.fd, 0, 0 if idle else 1, GETEVENTS, 0, 0)
        while idle and self.words[self.cq_head] == self.words[self.cq_tail]:
            if time.monotonic() > end:
                return
            time.sleep(0.002)
            _call(ENTER, self.fd, 0, 0, GETEVENTS, 0, 0)
        head, tail = self.words[self.cq_head], self.words[self.cq_tail]
        while head != tail:
            at = self.cqes + (head & self.cq_mask) * CQE
            _, result, flags, offset = struct.unpack_from("=QiIQ", self.rings, at)
            head = head + 1 & 0xFFFFFFFF
            self.words[self.cq_head] = head
            yield result, flags, offset


class ZeroCopy:
    """A receive queue whose payload the device writes to pages of this process."""

    def __init__(self, device, queue, pages):
        self.ring = Ring()
        self.area = mmap.mmap(-1, pages * PAGE)
        self.back = mmap.mmap(-1, STATS_AT + PAGE)
        area = _structure(AREA, _address(self.area), pages * PAGE, *[0] * 5)
        region = _structure(REGION, _address(self.back), len(self.back), REGION_IN_USER_MEMORY,
                            *[0] * 6)
        events = _structure(EVENTS, 0, 0, EVENT_STATS, STATS_AT, *[0] * 9)
        said = _structure(
            IFQ, socket.if_nametoindex(device), queue, REFILL_ENTRIES, 0, ctypes.addressof(area),
            ctypes.addressof(region), *[0] * 8, ctypes.addressof(events), 0, 0)
        _call(REGISTER, self.ring.fd, REGISTER_ZCRX_IFQ, ctypes.addressof(said), 1)
        _, _, entries, _, _, _, _, tail, self.entries_at, *_ = found = IFQ.unpack(said.raw)
        self.mask, self.number = entries - 1, found[12]
        self.token = AREA.unpack(area.raw)[2]
        self.tail = memoryview(self.back)[tail:tail + 4].cast("I")
        self.stats = memoryview(self.back)[STATS_AT:STATS_AT + 16].cast("Q")

    def copied(self):
        """Return how many bytes the kernel says that it had to copy."""
        return self.stats[1]

    def stream(self, sock, idle=None):
        """Yield (place, length) of what comes on a connection, until its end.

        Yields None when nothing has come for `idle` s.
        """
        request = struct.pack("=BBHiQQIIQHHIQQ", RECV_ZC, 0, MULTISHOT, sock.fileno(), 0, 0, 0, 0,
                              0, 0, 0, self.number, 0, 0)
        self.ring.submit(request)
        while True:
            again, silent = False, True
            for result, flags, place in self.ring.completions(idle):
                silent = False
                if flags & F_MORE:
                    yield place, result
                elif result == 0:
                    return
                elif result == -errno.ENOSPC:
                    again = True
                else:
                    raise OSError(-result, os.strerror(-result))
            if silent:
                yield None
            if again:
                self.ring.submit(request)

    def read(self, place, length):
        """Return the bytes at a place."""
        at = place & ~AREA_MASK
        return self.area[at:at + length]

    def give_back(self, place, length):
        """Let the device have the buffer at a place again, as far as it is ours."""
        tail = self.tail[0]
        at = self.entries_at + (tail & self.mask) * REFILL.size
        REFILL.pack_into(self.back, at, place & ~AREA_MASK | self.token, length, 0)
        self.tail[0] = tail + 1 & 0xFFFFFFFF
