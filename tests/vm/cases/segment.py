# SPDX-License-Identifier: GPL-2.0
"""Segmentation by the device, switched on and off."""

import hashlib
import socket
import time

from guest import counters
from guest.harness import case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import bulk

SEGMENTED = "hw_tx_segmented"
UDP_SEGMENT = 103


def _segmented(rig, work):
    """Return how many packets the device cut while `work` was done."""
    counters.need_reflow(rig)
    before = counters.read(rig)
    work()
    time.sleep(0.1)  # the device updates its counters every millisecond
    return counters.change(before, counters.read(rig))[SEGMENTED]


@case(limit=30)
def tcp_v4(rig):
    """The device segments a TCP stream over IPv4; its content is right."""
    cut = _segmented(rig, lambda: bulk(rig, DUT, 4, size=4 << 20, limit=20))
    check(cut > 0, "the device cut nothing of 4 MB of TCP over IPv4")


@case(limit=30)
def tcp_v6(rig):
    """The device segments a TCP stream over IPv6; its content is right."""
    cut = _segmented(rig, lambda: bulk(rig, DUT, 6, size=4 << 20, limit=20))
    check(cut > 0, "the device cut nothing of 4 MB of TCP over IPv6")


@case(limit=30)
def switched_off(rig):
    """With the offload off the stack segments; the content is right."""
    counters.need_reflow(rig)
    rig.run(DUT, "ethtool", "-K", rig.device, "tso", "off", "gso", "on")
    rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, "tso", "on")
    cut = _segmented(rig, lambda: bulk(rig, DUT, 4, size=2 << 20, limit=20))
    equal("packets that the device cut", cut, 0)


def _datagrams(rig, version, size, payload):
    """Send `payload` as datagrams of `size` bytes in one call; return what arrives."""
    family = FAMILY[version]
    got = []
    with rig.socket(PEER, family, socket.SOCK_DGRAM) as sink, \
            rig.socket(DUT, family, socket.SOCK_DGRAM) as source:
        sink.bind((ADDRESS[PEER, version], 0))
        sink.settimeout(5)
        source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        source.sendto(payload, sink.getsockname()[:2])
        while sum(map(len, got)) < len(payload):
            got.append(sink.recv(65535))
    return got


@case(limit=20)
def udp(rig):
    """The device segments one UDP packet into datagrams, both families."""
    payload = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256))[:8111]
    for version in (4, 6):
        for size in (1200, 999):
            got = []
            cut = _segmented(rig, lambda: got.extend(_datagrams(rig, version, size, payload)))
            check(cut > 0, f"the device cut nothing of a UDP packet over IPv{version}")
            whole = [payload[at:at + size] for at in range(0, len(payload), size)]
            equal(f"datagrams of {size} bytes over IPv{version}", got, whole)
