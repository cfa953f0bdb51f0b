# SPDX-License-Identifier: GPL-2.0
"""A minimal AF_XDP socket to receive and send frames."""

import ctypes
import errno
import mmap
import os
import socket
import struct

from guest.harness import until

AF_XDP, SOL_XDP = 44, 283
MMAP_OFFSETS, RX_RING, TX_RING, UMEM_REG, FILL_RING, DONE_RING = 1, 2, 3, 4, 5, 6
COPY, ZERO_COPY = 1 << 1, 1 << 2
CHUNK, ENTRIES = 4096, 64
# Where in the file each ring is, and the size of an entry.
RINGS = {RX_RING: (0, 16), TX_RING: (0x80000000, 16),
         FILL_RING: (0x100000000, 8), DONE_RING: (0x180000000, 8)}

_libc = ctypes.CDLL(None, use_errno=True)


class _Ring:
    """One of the four rings; every entry is used once."""

    def __init__(self, sock, kind, offsets):
        where, self.size = RINGS[kind]
        self.producer, self.consumer, self.entries, _ = offsets
        self.memory = mmap.mmap(sock.fileno(), self.entries + ENTRIES * self.size, offset=where)

    def put(self, entry):
        """Add an entry."""
        at = struct.unpack_from("<I", self.memory, self.producer)[0]
        place = self.entries + at % ENTRIES * self.size
        self.memory[place:place + self.size] = entry
        struct.pack_into("<I", self.memory, self.producer, at + 1)

    def take(self):
        """Return the next entry, or None."""
        at, end = (struct.unpack_from("<I", self.memory, place)[0]
                   for place in (self.consumer, self.producer))
        if at == end:
            return None
        place = self.entries + at % ENTRIES * self.size
        entry = self.memory[place:place + self.size]
        struct.pack_into("<I", self.memory, self.consumer, at + 1)
        return entry


class XdpSocket:
    """A socket bound to a queue: the lower half of its chunks receives, the upper half sends."""

    def __init__(self, device, queue, mode):
        self.socket = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
        self.chunks = mmap.mmap(-1, 2 * ENTRIES * CHUNK)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.chunks))
        self.socket.setsockopt(SOL_XDP, UMEM_REG,
                               struct.pack("<QQIIII", start, len(self.chunks), CHUNK, 0, 0, 0))
        for kind in RINGS:
            self.socket.setsockopt(SOL_XDP, kind, ENTRIES)
        offsets = struct.unpack("<16Q", self.socket.getsockopt(SOL_XDP, MMAP_OFFSETS, 128))
        self.rings = {kind: _Ring(self.socket, kind, offsets[4 * n:4 * n + 4])
                      for n, kind in enumerate((RX_RING, TX_RING, FILL_RING, DONE_RING))}
        for n in range(ENTRIES // 2):
            self.rings[FILL_RING].put(struct.pack("<Q", n * CHUNK))
        self.sent = ENTRIES
        address = struct.pack("<HHIII", AF_XDP, mode, socket.if_nametoindex(device), queue, 0)
        if _libc.bind(self.socket.fileno(), address, len(address)):
            number = ctypes.get_errno()
            self.socket.close()
            raise OSError(number, os.strerror(number))

    def receive(self):
        """Return the next frame."""
        entry = until("a frame in the socket's ring", self.rings[RX_RING].take, limit=3)
        at, size, _ = struct.unpack("<QII", entry)
        return self.chunks[at:at + size]

    def send(self, frame):
        """Send a frame; return when the kernel is done with it."""
        at = self.sent * CHUNK
        self.sent += 1
        self.chunks[at:at + len(frame)] = frame
        self.rings[TX_RING].put(struct.pack("<QII", at, len(frame), 0))

        def kicked():
            done = _libc.sendto(self.socket.fileno(), None, 0, socket.MSG_DONTWAIT, None, 0)
            if done < 0 and ctypes.get_errno() not in (errno.EAGAIN, errno.EBUSY):
                raise OSError(ctypes.get_errno(), "sending through the socket")
            return self.rings[DONE_RING].take()
        until("the socket's frame to be sent", kicked, limit=3)

    def close(self):
        """Let go of it."""
        self.socket.close()
