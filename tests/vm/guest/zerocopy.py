# SPDX-License-Identifier: GPL-2.0
"""Reading a TCP socket by mapping the pages that its data was received into."""

import ctypes
import mmap
import os
import select
import socket
import struct

PAGE = 4096
TCP_ZEROCOPY_RECEIVE = 35
# struct tcp_zerocopy_receive, up to its copybuf_len.
REQUEST = struct.Struct("=QIIIiQi")
MAP_FAILED = ctypes.c_void_p(-1).value

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                      ctypes.c_int, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def _complaint():
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


class Window:
    """A window into which a socket's pages are mapped."""

    def __init__(self, sock, size):
        self.sock, self.size = sock, size
        self.at = LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, sock.fileno(), 0)
        if self.at == MAP_FAILED:
            raise _complaint()

    def take(self, enough):
        """Return what comes next, and whether it lies on whole pages.

        Waits until `enough` bytes can be read, so that they are seen as they
        were received and not one by one.
        """
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, enough)
        select.select([self.sock], [], [], 10)
        length, rest = self._map()
        if length:
            return ctypes.string_at(self.at, length), True
        return self.sock.recv(rest or 1), False

    def _map(self):
        """Have what comes next mapped; return how much, and what must be copied instead."""
        request = REQUEST.pack(self.at, self.size, 0, 0, 0, 0, 0)
        buffer = ctypes.create_string_buffer(request, len(request))
        size = ctypes.c_uint32(len(request))
        if LIBC.getsockopt(self.sock.fileno(), socket.IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE,
                           buffer, ctypes.byref(size)):
            raise _complaint()
        _, length, rest, *_ = REQUEST.unpack(buffer.raw)
        return length, rest

    def close(self):
        """Give the window back."""
        LIBC.munmap(self.at, self.size)
