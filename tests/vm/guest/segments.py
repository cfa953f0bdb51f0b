# SPDX-License-Identifier: GPL-2.0
"""TCP segments made by hand, with or without a tunnel around them, and what
becomes of them on the way to a packet socket."""

import ipaddress
import struct
from dataclasses import dataclass, field, replace

from guest.frames import ACK, IPV4, IPV6, TCP, VLAN, mac_bytes, ones_sum
from guest.harness import check

CWR, ECE = 128, 64
IPIP, IP6, FRAGMENT, DSTOPTS = 4, 41, 44, 60
DF, MF = 0x4000, 0x2000
TIMESTAMP = b"\x01\x01\x08\x0a" + struct.pack("!II", 9, 7)
SOL_PACKET, PACKET_VNET_HDR, VNET_HDR = 263, 15, struct.Struct("<BBHHHH")
NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6, GSO_ECN = 1, 1, 4, 0x80


@dataclass(frozen=True)
class Ip:
    """Fields of an IP header, without addresses and lengths."""

    version: int
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    fragment: int = DF
    options: bytes = b""
    label: int = 0x12345
    broken: bool = False

    def around(self, proto, src, dst, payload):
        """Return the packet."""
        if self.version == 6:
            word = 6 << 28 | self.tos << 20 | self.label
            return struct.pack("!IHBB16s16s", word, len(payload), proto, self.ttl,
                               ipaddress.ip_address(src).packed,
                               ipaddress.ip_address(dst).packed) + payload
        words = 5 + len(self.options) // 4
        head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, self.tos,
                           4 * words + len(payload), self.ident, self.fragment, self.ttl, proto,
                           0, ipaddress.ip_address(src).packed,
                           ipaddress.ip_address(dst).packed) + self.options
        total = ones_sum(head) ^ (0x5555 if self.broken else 0)
        return head[:10] + struct.pack("!H", total) + head[12:] + payload


@dataclass(frozen=True)
class Segment:
    """A TCP segment in its IP header, or in two of them."""

    ends: tuple              # source and destination address
    inner: Ip
    outer: Ip = None
    outer_ends: tuple = None
    ports: tuple = (1500, 8000)
    seq: int = 100
    ack: int = 100
    flags: int = ACK
    window: int = 512
    options: bytes = b""
    payload: bytes = b""
    urgent: int = 0
    extension: bytes = b""   # behind an IPv6 header, its type first
    broken: bool = False
    vlan: int = None

    def but(self, **changes):
        """Return a segment with some fields changed; `inner` and `outer` take dictionaries."""
        for level in ("inner", "outer"):
            if isinstance(changes.get(level), dict):
                changes[level] = replace(getattr(self, level), **changes[level])
        return replace(self, **changes)

    def data(self, offset, length, **changes):
        """Return the segment of this stream that begins at `offset`."""
        seq = self.seq + offset & 0xFFFFFFFF
        return self.but(seq=seq, payload=stream(seq, length), **changes)

    def _tcp(self):
        def header(total):
            return struct.pack("!HHIIBBHHH", *self.ports, self.seq, self.ack,
                               (20 + len(self.options)) << 2, self.flags, self.window, total,
                               self.urgent) + self.options
        src, dst = (ipaddress.ip_address(end).packed for end in self.ends)
        length = 20 + len(self.options) + len(self.payload)
        pseudo = src + dst + struct.pack("!II", length, TCP)
        total = ones_sum(pseudo + header(0) + self.payload)
        return header(total ^ (0x5555 if self.broken else 0)) + self.payload

    def packet(self):
        """Return the IP packet."""
        proto, body = TCP, self._tcp()
        if self.extension:
            proto, body = self.extension[0], self.extension[1:] + body
        packet = self.inner.around(proto, *self.ends, body)
        if self.outer:
            carried = IPIP if self.inner.version == 4 else IP6
            packet = self.outer.around(carried, *(self.outer_ends or self.ends), packet)
        return packet

    def frame(self, rig):
        """Return the frame from the partner to the device."""
        kind = IPV4 if (self.outer or self.inner).version == 4 else IPV6
        tag = struct.pack("!HH", VLAN, self.vlan) if self.vlan is not None else b""
        head = mac_bytes(rig.mac) + mac_bytes(rig.peer_mac) + tag + struct.pack("!H", kind)
        return (head + self.packet()).ljust(60, b"\0")

    def offset(self):
        """Return where the TCP header is in the frame, without a tag."""
        size = {4: 20, 6: 40}
        return (14 + size[self.inner.version] + (size[self.outer.version] if self.outer else 0)
                + max(len(self.extension) - 1, 0) + len(self.inner.options))


def stream(seq, length):
    """Return the bytes of a stream from a sequence number on."""
    start = seq % 251
    return (bytes(range(251)) * (length // 251 + 2))[start:start + length]


@dataclass
class Seen:
    """A TCP packet as a packet socket gets it."""

    head: bytes
    payload: bytes
    tcp: int                                  # offset of the TCP header
    vnet: tuple = field(default=(0,) * 6)     # flags, type, hdr_len, size, start, offset

    def flags(self):
        """Return the TCP flags."""
        return self.head[self.tcp + 13]

    def seq(self):
        """Return the sequence number."""
        return struct.unpack_from("!I", self.head, self.tcp + 4)[0]


def listen(rig, side, device=None):
    """Return a packet socket that tells what packets are merged of."""
    made = rig.raw(side, device=device)
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    return made


def read_one(sock):
    """Return the next frame with what is said of it."""
    data = sock.recv(1 << 18)
    return VNET_HDR.unpack_from(data), data[VNET_HDR.size:]


def take_apart(frame, vnet=(0,) * 6):
    """Return what a frame with TCP holds, None for any other."""
    at, kind = 14, struct.unpack_from("!H", frame, 12)[0]
    end, proto = len(frame), {IPV4: IPIP, IPV6: IP6}.get(kind)
    while proto in (IPIP, IP6, FRAGMENT, DSTOPTS) and at + 40 <= len(frame):
        if proto == IPIP:
            end = at + struct.unpack_from("!H", frame, at + 2)[0]
            at, proto = at + (frame[at] & 15) * 4, frame[at + 9]
        elif proto == IP6:
            end = at + 40 + struct.unpack_from("!H", frame, at + 4)[0]
            at, proto = at + 40, frame[at + 6]
        else:
            size = 8 if proto == FRAGMENT else 8 + 8 * frame[at + 1]
            at, proto = at + size, frame[at]
    if proto != TCP or at + 20 > len(frame):
        return None
    body = at + (frame[at + 12] >> 4) * 4
    return Seen(frame[:body], frame[body:end], at, vnet)


def check_offload(seen, segment, size):
    """Check what the kernel has been told of a packet merged from segments of `size` bytes."""
    flags, kind, _, gso_size, start, offset = seen.vnet
    at = segment.offset()
    wanted = GSO_TCPV4 if segment.inner.version == 4 else GSO_TCPV6
    check(kind & ~GSO_ECN == wanted and gso_size == size,
          f"merged from {size} bytes each, but told as type {kind}, {gso_size} bytes each")
    check(flags & NEEDS_CSUM and (start, offset) == (at, 16),
          f"its checksum is said to start at {start}+{offset}, not {at}+16 (flags {flags})")
    for level in range(2 if segment.outer else 1):
        _check_length(seen, segment, level)
    src, dst = (ipaddress.ip_address(end).packed for end in segment.ends)
    length = len(seen.head) - at + len(seen.payload)
    pseudo = ones_sum(src + dst + struct.pack("!II", length, TCP)) ^ 0xFFFF
    found = struct.unpack_from("!H", seen.head, at + 16)[0]
    check(found == pseudo, f"the sum of the pseudo header is {found:#x}, not {pseudo:#x}")


def _check_length(seen, segment, level):
    ip = (segment.outer, segment.inner)[level - 1 if not segment.outer else level]
    at = 14 if not segment.outer or level == 0 else 14 + (20 if segment.outer.version == 4 else 40)
    length = len(seen.head) + len(seen.payload) - at
    if ip.version == 6:
        found = struct.unpack_from("!H", seen.head, at + 4)[0] + 40
    else:
        found = struct.unpack_from("!H", seen.head, at + 2)[0]
        check(ones_sum(seen.head[at:at + 20]) == 0, f"IPv4 header {level} has a wrong checksum")
    check(found == length, f"IP header {level} says {found} bytes, there are {length}")
