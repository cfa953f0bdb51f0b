# SPDX-License-Identifier: GPL-2.0
"""Ethernet frames made by hand, for what no socket would send."""

import ipaddress
import struct

IPV4, ARP, IPV6, VLAN, LOCAL_EXPERIMENT = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88B5
TCP, UDP, ICMP = 6, 17, 1
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SMALLEST = 60  # without the frame check sequence


def mac_bytes(text):
    """Turn 02:00:00:00:00:01 into six bytes."""
    return bytes.fromhex(text.replace(":", ""))


def ones_sum(data):
    """Return the Internet checksum of some bytes."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(dst, src, kind, payload, pad=True):
    """Return a frame; short ones are padded as a NIC would, unless told not to."""
    frame = mac_bytes(dst) + mac_bytes(src) + struct.pack("!H", kind) + payload
    return frame.ljust(SMALLEST, b"\0") if pad else frame


def ipv4(src, dst, proto, payload, ttl=64, ident=0, fragment=0, broken=False):
    """Return an IPv4 packet; `broken` spoils the header checksum."""
    def header(check):
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, fragment,
                           ttl, proto, check, ipaddress.ip_address(src).packed,
                           ipaddress.ip_address(dst).packed)
    check = ones_sum(header(0)) ^ (0x5555 if broken else 0)
    return header(check) + payload


def ipv6(src, dst, proto, payload, label=0):
    """Return an IPv6 packet."""
    return struct.pack("!IHBB16s16s", 6 << 28 | label, len(payload), proto, 64,
                       ipaddress.ip_address(src).packed,
                       ipaddress.ip_address(dst).packed) + payload


def _pseudo(src, dst, proto, length):
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if src.version == 4:
        return src.packed + dst.packed + struct.pack("!BBH", 0, proto, length)
    return src.packed + dst.packed + struct.pack("!IHBB", length, 0, 0, proto)


def udp(src, dst, sport, dport, payload, broken=False):
    """Return a UDP datagram; `broken` spoils its checksum."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", sport, dport, length, 0)
    check = ones_sum(_pseudo(src, dst, UDP, length) + head + payload) or 0xFFFF
    if broken:
        check = (check ^ 0x5555) or 0x1111
    return struct.pack("!HHHH", sport, dport, length, check) + payload


def tcp(src, dst, sport, dport, seq, ack, flags, payload=b"", window=65535, broken=False):
    """Return a TCP segment without options; `broken` spoils its checksum."""
    def header(check):
        return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
                           5 << 4, flags, window, check, 0)
    check = ones_sum(_pseudo(src, dst, TCP, 20 + len(payload)) + header(0) + payload)
    return header(check ^ (0x5555 if broken else 0)) + payload


def parse_udp(frame):
    """Return (payload, checksum right?) of a UDP over IPv4 frame, else None."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != UDP:
        return None
    head = (frame[14] & 15) * 4
    datagram = frame[14 + head:14 + struct.unpack("!H", frame[16:18])[0]]
    src, dst = ipaddress.ip_address(frame[26:30]), ipaddress.ip_address(frame[30:34])
    good = ones_sum(_pseudo(str(src), str(dst), UDP, len(datagram)) + datagram) == 0
    return datagram[8:], good and datagram[6:8] != b"\0\0"
