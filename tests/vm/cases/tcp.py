# SPDX-License-Identifier: GPL-2.0
"""TCP streams, contents checked at both ends."""

import socket

from guest.harness import case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import bulk, streaming

RECEIVE = (1, 7, 13, 18, 31, 33, 42, 44, 48, 53, 55, 58, 59)


@case(claims=RECEIVE, limit=30)
def bulk_v4_receive(rig):
    """8 MB are received over IPv4."""
    bulk(rig, PEER, 4, size=8 << 20, limit=25)


@case(limit=30)
def bulk_v4_send(rig):
    """8 MB are sent over IPv4."""
    bulk(rig, DUT, 4, size=8 << 20, limit=25)


@case(claims=(1, 13, 33, 58), limit=30)
def bulk_v6_receive(rig):
    """8 MB are received over IPv6."""
    bulk(rig, PEER, 6, size=8 << 20, limit=25)


@case(limit=30)
def bulk_v6_send(rig):
    """8 MB are sent over IPv6."""
    bulk(rig, DUT, 6, size=8 << 20, limit=25)


@case(claims=(9, 20), limit=25)
def four_flows_receive(rig):
    """Four flows at once, each with a content of its own."""
    bulk(rig, PEER, 4, flows=4, size=1 << 20, limit=20)


@case(claims=(9, 20, 26, 43, 49), limit=25)
def sixteen_flows_receive(rig):
    """Sixteen flows at once, each with a content of its own."""
    bulk(rig, PEER, 6, flows=16, size=1 << 18, limit=20)


@case(claims=(9, 12, 18, 20, 43, 49, 50), limit=30)
def sixty_four_flows_receive(rig):
    """Sixty-four flows at once, each with a content of its own."""
    bulk(rig, PEER, 4, flows=64, size=1 << 17, limit=25)


@case(limit=30)
def sixty_four_flows_send(rig):
    """Sixty-four flows out at once, each with a content of its own."""
    bulk(rig, DUT, 4, flows=64, size=1 << 17, limit=25)


@case(limit=30)
def both_ways_at_once(rig):
    """Sixteen flows in and sixteen out at the same time."""
    inward = streaming(rig, PEER, 4, flows=16, size=1 << 18, limit=25)
    bulk(rig, DUT, 6, flows=16, size=1 << 18, limit=25)
    inward.finish(25)


def _exchange(listener, client, target, payload):
    client.settimeout(5)
    client.connect(target)
    client.sendall(payload)
    client.shutdown(socket.SHUT_WR)
    served, _ = listener.accept()
    served.settimeout(5)
    got = b""
    while data := served.recv(1 << 16):
        got += data
    served.sendall(got[::-1])
    served.close()
    back = b""
    while data := client.recv(1 << 16):
        back += data
    client.close()
    return got, back


@case(claims=(12, 30, 50), limit=25)
def many_short_connections(rig):
    """Sixty short connections one after the other."""
    listener = rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM)
    listener.bind((ADDRESS[DUT, 4], 0))
    listener.listen(8)
    listener.settimeout(5)
    for number in range(60):
        payload = bytes((number + n) & 255 for n in range(1 + number * 53))
        client = rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM)
        got, back = _exchange(listener, client, listener.getsockname(), payload)
        equal(f"what connection {number} brought", got == payload, True)
        equal(f"what connection {number} took back", back == payload[::-1], True)
    listener.close()


@case(claims=(15,), limit=20)
def small_writes(rig):
    """Three hundred writes of 1 to 300 bytes, each sent at once, arrive in order."""
    listener = rig.socket(DUT, FAMILY[6], socket.SOCK_STREAM)
    listener.bind((ADDRESS[DUT, 6], 0))
    listener.listen(1)
    client = rig.socket(PEER, FAMILY[6], socket.SOCK_STREAM)
    client.settimeout(5)
    client.connect(listener.getsockname()[:2])
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    served, _ = listener.accept()
    served.settimeout(5)
    sent = b""
    for size in range(1, 301):
        piece = bytes((size * 7 + n) & 255 for n in range(size))
        client.sendall(piece)
        sent += piece
    client.close()
    got = b""
    while data := served.recv(1 << 16):
        got += data
    served.close()
    listener.close()
    check(got == sent, f"{len(sent)} bytes were written, {len(got)} arrived or they differ")


def _spoil(rig, *netem):
    rig.run(PEER, "tc", "qdisc", "replace", "dev", rig.name(PEER), "root", "netem", *netem)
    rig.defer(lambda: rig.run(PEER, "tc", "qdisc", "del", "dev", rig.name(PEER), "root"))


@case(claims=(16,), limit=35)
def out_of_order(rig):
    """Reordered segments make the same stream."""
    _spoil(rig, "delay", "2ms", "reorder", "90%", "limit", "5000")
    bulk(rig, PEER, 4, flows=4, size=1 << 19, limit=30)


@case(limit=35)
def lost_and_doubled(rig):
    """Lost and duplicate segments make the same stream."""
    _spoil(rig, "loss", "1%", "duplicate", "2%", "limit", "5000")
    bulk(rig, PEER, 4, flows=4, size=1 << 19, limit=30)
