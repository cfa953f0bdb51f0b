# SPDX-License-Identifier: GPL-2.0
"""The transmit ring: full, longer packets than it has room for, and what is counted."""

import hashlib
import socket
import struct

from guest.counters import change, need_reflow, per_queue, read
from guest.frames import ACK, IPV4, TCP, ethernet, ipv4, tcp
from guest.harness import case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER, SOL_PACKET
from guest.traffic import bulk, datagrams

PACKET_VNET_HDR = 15
NEEDS_CSUM, GSO_TCPV4 = 1, 1
UDP_SEGMENT = 103
SO_RCVBUFFORCE = 33
# Nobody's, so that the partner's stack does not answer.
NOBODY = "192.0.2.77"


def _feature(rig, name):
    """Switch a feature off for the length of the case."""
    rig.run(DUT, "ethtool", "-K", rig.device, name, "off")
    rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, name, "on")


def _ring(rig, size):
    """Set the size of the transmit rings for the length of the case."""
    said = rig.run(DUT, "ethtool", "-g", rig.device).split("Current hardware settings:")[1]
    before = next(line.split()[1] for line in said.split("\n") if line.startswith("TX:"))
    rig.defer(rig.run, DUT, "ethtool", "-G", rig.device, "tx", before)
    rig.run(DUT, "ethtool", "-G", rig.device, "tx", str(size))


def _all_queues_send(rig):
    """Datagrams from so many ports that every queue has to send some; all arrive."""
    before = read(rig)
    for _ in range(32):
        datagrams(rig, DUT, 4, (100, 1000))
    if rig.is_reflow:
        sent = per_queue(rig, change(before, read(rig)), "tx", "packets")
        check(all(sent), f"packets sent by queue: {sent}")


def _stopped(rig, before):
    stops = sum(per_queue(rig, change(before, read(rig)), "tx", "stops"))
    check(stops > 0, "no queue was stopped: the case does not test what it is to test")


@case(limit=30)
def full_by_datagrams(rig):
    """One send of sixty datagrams fills the smallest ring; all arrive, and the queue goes on."""
    need_reflow(rig)
    _ring(rig, 64)
    _feature(rig, "tx-udp-segmentation")
    payload = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
    payload = payload[:60 * 1000]
    before = read(rig)
    for version in (4, 6):
        family = FAMILY[version]
        with rig.socket(PEER, family, socket.SOCK_DGRAM) as sink, \
                rig.socket(DUT, family, socket.SOCK_DGRAM) as source:
            sink.bind((ADDRESS[PEER, version], 0))
            sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
            sink.settimeout(5)
            source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            source.connect(sink.getsockname()[:2])
            for _ in range(4):
                source.send(payload)
                got = [sink.recv(2000) for _ in range(60)]
                check(b"".join(got) == payload, f"60 datagrams over IPv{version} arrived changed")
    _stopped(rig, before)
    _all_queues_send(rig)


@case(limit=40)
def full_by_tcp(rig):
    """TCP that the stack segments fills the smallest ring; the streams go on."""
    need_reflow(rig)
    _ring(rig, 64)
    _feature(rig, "tso")
    before = read(rig)
    for version in (4, 6):
        bulk(rig, DUT, version, flows=4, size=1 << 20, limit=15)
    _stopped(rig, before)
    _all_queues_send(rig)


def _gso_frame(rig, size, segments):
    """A TCP packet with what tells the stack to cut it, for a packet socket."""
    payload = bytes(n % 251 for n in range(size * segments))
    packet = ipv4(ADDRESS[DUT, 4], NOBODY, TCP,
                  tcp(ADDRESS[DUT, 4], NOBODY, 7, 7, 0, 0, ACK, payload))
    frame = bytearray(ethernet(rig.peer_mac, rig.mac, IPV4, packet))
    # The checksum field has to hold the sum of the pseudo header.
    total = sum(struct.unpack("!6H", frame[26:34] + struct.pack("!HH", TCP, len(payload) + 20)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", frame, 50, total)
    return struct.pack("=BBHHHH", NEEDS_CSUM, GSO_TCPV4, 54, size, 34, 16) + frame


@case(limit=30)
def longer_than_the_ring(rig):
    """A packet that the stack cuts into more frames than the ring has room for goes out whole."""
    need_reflow(rig)
    _feature(rig, "tso")
    before = read(rig)
    with rig.raw(PEER, kind=IPV4) as seen, rig.raw(DUT) as out:
        out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        # All of them may come before the first is taken.
        seen.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        out.send(_gso_frame(rig, 100, 600))
        # The partner's stack may have merged some.
        expected = 0
        while expected < 100 * 600:
            frame = seen.recv(65536)
            if socket.inet_ntoa(frame[30:34]) == NOBODY:
                equal("sequence number", struct.unpack("!I", frame[38:42])[0], expected)
                expected += len(frame) - 54
    _stopped(rig, before)
    _all_queues_send(rig)
