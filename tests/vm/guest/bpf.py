# SPDX-License-Identifier: GPL-2.0
"""Small XDP programs, assembled here and loaded by the system call.

No compiler and no library: an XDP program is a list of instructions with labels, a
map a file descriptor. Attaching goes by netlink, so that the kernel's sentence
of explanation can be read.
"""

import ctypes
import errno
import os
import socket
import struct

from guest.harness import Failed, check

SYS_BPF = 321
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD = 0, 1, 2, 5
ARRAY, CPUMAP, XSKMAP = 2, 16, 17
PROG_TYPE_XDP, ATTACH_XDP = 6, 37
HAS_FRAGS, DEV_BOUND = 1 << 5, 1 << 6
ABORTED, DROP, PASS, TX, REDIRECT = range(5)
DRIVER_MODE = 1 << 2
LOG_SIZE = 1 << 16

# Functions that XDP programs call.
MAP_UPDATE_ELEM, REDIRECT_TO, ADJUST_HEAD, REDIRECT_MAP, ADJUST_TAIL = 2, 23, 44, 51, 65
LOAD_BYTES, STORE_BYTES = 189, 190

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attr):
    """Do the system call; return what it returns, raise OSError if it fails."""
    attr = ctypes.create_string_buffer(attr, max(len(attr), 160))
    done = _libc.syscall(SYS_BPF, command, attr, len(attr))
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return done


class Map:
    """A map of the kernel; keys are 32-bit numbers."""

    def __init__(self, kind, value_size, entries=1):
        self.size = value_size
        self.fd = _bpf(MAP_CREATE, struct.pack("<IIII", kind, 4, value_size, entries))

    def __getitem__(self, key):
        value = ctypes.create_string_buffer(self.size)
        self._element(MAP_LOOKUP, key, value)
        return value.raw

    def __setitem__(self, key, value):
        self._element(MAP_UPDATE, key, ctypes.create_string_buffer(value, self.size))

    def _element(self, command, key, value):
        key = ctypes.create_string_buffer(struct.pack("<I", key), 4)
        _bpf(command, struct.pack("<IxxxxQQQ", self.fd, ctypes.addressof(key),
                                  ctypes.addressof(value), 0))

    def close(self):
        """Close it."""
        os.close(self.fd)


class Code:
    """Instructions, one method each; registers are numbers, r10 is the stack."""

    def __init__(self):
        self.insns = []
        self.labels = {}

    def _add(self, code, dst=0, src=0, off=0, imm=0):
        self.insns.append((code, dst, src, off, imm))
        return self

    def mov(self, dst, imm):
        """dst = imm"""
        return self._add(0xB7, dst, imm=imm)

    def copy(self, dst, src):
        """dst = src"""
        return self._add(0xBF, dst, src)

    def add(self, dst, imm):
        """dst += imm"""
        return self._add(0x07, dst, imm=imm)

    def subtract(self, dst, src):
        """dst -= src"""
        return self._add(0x1F, dst, src)

    def load(self, size, dst, src, off):
        """dst = size bytes at src + off"""
        return self._add({1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}[size], dst, src, off)

    def store(self, size, dst, off, src):
        """size bytes at dst + off = src"""
        return self._add({1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}[size], dst, src, off)

    def if_above(self, dst, src, label):
        """if dst > src goto label"""
        return self._add(0x2D, dst, src, label)

    def if_not(self, dst, imm, label):
        """if dst != imm goto label"""
        return self._add(0x55, dst, 0, label, imm)

    def label(self, name):
        """Name the next instruction."""
        self.labels[name] = len(self.insns)
        return self

    def call(self, function):
        """r0 = function(r1 .. r5)"""
        return self._add(0x85, imm=function)

    def call_kernel(self, btf_id):
        """r0 = kernel function(r1 .. r5)"""
        return self._add(0x85, src=2, imm=btf_id)

    def map(self, dst, kernel_map):
        """dst = the map"""
        return self._add(0x18, dst, 1, imm=kernel_map.fd)._add(0)

    def leave(self, action=None):
        """return action, or r0"""
        if action is not None:
            self.mov(0, action)
        return self._add(0x95)

    def bytes(self):
        """Return the XDP program with all jumps resolved."""
        out = b""
        for n, (code, dst, src, off, imm) in enumerate(self.insns):
            if isinstance(off, str):
                off = self.labels[off] - n - 1
            out += struct.pack("<BBhi", code, src << 4 | dst, off, imm)
        return out


def only(ethertype):
    """Begin an XDP program that passes all packets but those of an EtherType.

    Behind this r6 is the context and r2 the packet, with its Ethernet header
    known to be there; `finish` ends it.
    """
    return (Code().copy(6, 1).load(4, 2, 1, 0).load(4, 3, 1, 4).copy(4, 2).add(4, 14)
            .if_above(4, 3, "pass").load(2, 5, 2, 12)
            .if_not(5, socket.htons(ethertype), "pass"))


def finish(code):
    """End an XDP program that `only` began."""
    return code.label("pass").leave(PASS)


def swap_addresses(code):
    """Swap the station addresses of the packet at r2."""
    for size, dst, src in ((4, 0, 6), (2, 4, 10)):
        (code.load(size, 7, 2, dst).load(size, 8, 2, src)
         .store(size, 2, dst, 8).store(size, 2, src, 7))
    return code


class Program:
    """An XDP program in the kernel, for as long as it is open."""

    def __init__(self, code, frags=False, bound_to=0):
        insns = ctypes.create_string_buffer(code.bytes(), len(code.insns) * 8)
        licence, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(LOG_SIZE)
        flags = (HAS_FRAGS if frags else 0) | (DEV_BOUND if bound_to else 0)
        attr = struct.pack("<IIQQIIQII16sII", PROG_TYPE_XDP, len(code.insns),
                           ctypes.addressof(insns), ctypes.addressof(licence), 1, LOG_SIZE,
                           ctypes.addressof(log), 0, flags, b"case", bound_to, ATTACH_XDP)
        try:
            self.fd = _bpf(PROG_LOAD, attr)
        except OSError as why:
            said = " / ".join(log.value.decode().strip().split("\n")[-4:])
            raise Failed(f"the verifier refused the program: {why}: {said}") from None

    def close(self):
        """Close it; a device that runs it keeps it."""
        os.close(self.fd)


def _attribute(kind, payload):
    return struct.pack("<HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def set_program(device, fd):
    """Set an XDP program by netlink, -1 for none; return (errno, the kernel's message)."""
    nested = _attribute(1, struct.pack("<i", fd)) + _attribute(3, struct.pack("<I", DRIVER_MODE))
    body = (struct.pack("<BxHiII", 0, 0, socket.if_nametoindex(device), 0, 0)
            + _attribute(43 | 0x8000, nested))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        for option in (10, 11):  # short acknowledgements, with explanations
            link.setsockopt(270, option, 1)
        link.send(struct.pack("<IHHII", 16 + len(body), 19, 1 | 4, 1, 0) + body)
        reply = link.recv(8192)
    number, said, at = -struct.unpack_from("<i", reply, 16)[0], "", 36
    while at + 4 <= len(reply):
        length, kind = struct.unpack_from("<HH", reply, at)
        if kind & 0x3FFF == 1:
            said = reply[at + 4:at + length].rstrip(b"\0").decode()
        at += max(4, length + 3 & ~3)
    return number, said


def attach(device, program):
    """Attach an XDP program in driver mode, in place of the one there."""
    number, said = set_program(device, program.fd)
    check(not number, f"the program was refused: {errno.errorcode.get(number)}: {said}")


def refusal(device, program):
    """Return (name of the error, why) of an XDP program that must be refused."""
    number, said = set_program(device, program.fd)
    check(number, "the program was accepted")
    return errno.errorcode.get(number), said


def detach(device):
    """Detach the XDP program, if there is one."""
    number, said = set_program(device, -1)
    check(not number, f"the program could not be taken away: {errno.errorcode.get(number)}: {said}")


def kernel_functions(names):
    """Return {name: id} of functions that XDP programs may call, from the kernel's own type table."""
    with open("/sys/kernel/btf/vmlinux", "rb") as table:
        data = table.read()
    _, _, _, head, types, size, strings, _ = struct.unpack_from("<HBBIIIII", data)
    wanted = {data.index(b"\0" + name.encode() + b"\0", head + strings) + 1 - head - strings: name
              for name in names}
    # Bytes behind the head of a type: fixed, and for each member.
    fixed = {1: 4, 3: 12, 14: 4, 17: 4}
    each = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
    found, at, number, unpack = {}, head + types, 1, struct.Struct("<II").unpack_from
    end = at + size
    while at < end:
        name, info = unpack(data, at)
        kind = info >> 24 & 31
        if kind == 12 and name in wanted:
            found[wanted[name]] = number
        at += 12 + fixed.get(kind, 0) + each.get(kind, 0) * (info & 0xFFFF)
        number += 1
    missing = [name for name in names if name not in found]
    check(not missing, f"the kernel's type table does not have {', '.join(missing)}")
    return found
