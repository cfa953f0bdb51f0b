# SPDX-License-Identifier: GPL-2.0
"""Device memory TCP: a queue of the device fills the memory behind a dma-buf."""

import fcntl
import mmap
import os
import socket
import struct

from guest.genl import Family, attribute
from guest.harness import check
from guest.pools import QUEUE_ID, QUEUE_TYPE, RX

PAGE = mmap.PAGESIZE
UDMABUF_CREATE = 0x40187542
F_SEAL_SHRINK = 2
BIND_RX = 13
IFINDEX, QUEUES, FD, BINDING = 1, 2, 3, 4
MSG_SOCK_DEVMEM = 0x2000000
LINEAR, DMABUF, DONTNEED = 78, 79, 80
FRAGMENT = struct.Struct("=QIIII")
TOGETHER = 1 << 17       # bytes that one call takes


def buffer_of(pages):
    """Return a file with so many pages, and what stands for it at devices."""
    file = os.memfd_create("devmem", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(file, pages * PAGE)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, F_SEAL_SHRINK)
    with open("/dev/udmabuf", "rb", buffering=0) as maker:
        # With an immutable argument, ioctl() returns the changed bytes.
        request = bytearray(struct.pack("=IIQQ", file, 1, 0, pages * PAGE))
        return file, fcntl.ioctl(maker, UDMABUF_CREATE, request)


def bind(family, device, queue, buffer):
    """Lend a queue to a buffer for as long as a connection lives; return the binding's number."""
    said = family.ask(
        BIND_RX, attribute(IFINDEX, socket.if_nametoindex(device)), attribute(FD, buffer),
        attribute(QUEUES, [attribute(QUEUE_ID, queue), attribute(QUEUE_TYPE, RX)]))
    return int.from_bytes(said[BINDING], "little")


class DeviceMemory:
    """A receive queue whose payload the device writes to a file's memory."""

    def __init__(self, device, queue, pages):
        self.file, self.buffer = buffer_of(pages)
        self.memory = mmap.mmap(self.file, pages * PAGE)
        self.family = Family("netdev")
        self.number = bind(self.family, device, queue, self.buffer)
        self.linear = 0
        self.sock = None

    def copied(self):
        """Return how many bytes came by way of the kernel's memory."""
        return self.linear

    def stream(self, sock, idle=None):
        """Yield ((place, token), length) of what comes on a connection, until its end.

        Yields None when nothing has come for `idle` s.
        """
        self.sock = sock
        sock.settimeout(idle)
        room = TOGETHER // 64 * socket.CMSG_SPACE(FRAGMENT.size)
        while True:
            try:
                data, said, _, _ = sock.recvmsg(TOGETHER, room, MSG_SOCK_DEVMEM)
            except TimeoutError:
                yield None
                continue
            if not data:
                return
            for level, kind, content in said:
                check(level == socket.SOL_SOCKET and kind in (LINEAR, DMABUF),
                      f"a control message of level {level}, kind {kind}")
                place, length, token, number, _ = FRAGMENT.unpack(content)
                if kind == LINEAR:
                    self.linear += length
                    continue
                check(number == self.number, f"memory of binding {number}, not {self.number}")
                yield (place, token), length

    def read(self, place, length):
        """Return the bytes at a place."""
        return self.memory[place[0]:place[0] + length]

    def give_back(self, place, _length):
        """Let the device have the buffer at a place again, as far as it is ours."""
        self.sock.setsockopt(socket.SOL_SOCKET, DONTNEED, struct.pack("=II", place[1], 1))
