# SPDX-License-Identifier: GPL-2.0
"""Receive pages: recycled, bounded, not kept by idle flows."""

import fcntl
import socket
import struct
import termios
import time

from guest import counters, hog
from guest.counters import need_reflow
from guest.harness import Waiting, case, check, emit, settle, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.pools import STATS, TAKEN, pages_out, pools
from guest.traffic import bulk

FLOWS = 160
# The rings of a queue are refilled when so many pages are missing; far fewer than flows.
BATCH = 8
# Pages of each kind that a queue has with the device besides those that flows keep: the ring
# sizes at start, of payload and of packets.
KINDS = 2
SEGMENTS = 150
SO_RCVBUFFORCE, SO_MEMINFO = 33, 55


@case(claims=(), limit=90)
def are_recycled(rig):
    """In steady state at least 95 % of the pages are recycled."""
    need_reflow(rig)
    bulk(rig, PEER, 4, flows=2, size=4 << 20, limit=30)
    before = pools(rig)
    bulk(rig, PEER, 4, flows=2, size=4 << 20, limit=30)
    after = pools(rig)
    # Pools of removed queues go when their last page is back.
    stayed = before.keys() & after.keys()
    change = {name: sum(after[pool][name] - before[pool][name] for pool in stayed)
              for name in STATS}
    back = change["cached"] + change["ring"]
    lost = change["ring_full"] + change["refcnt"]
    check(back > 500, f"hardly a page came back: {change}")
    check(lost * 20 <= back, f"pages are lost to their pools: {change}")
    check(change["slow"] * 20 <= change["fast"] + change["refill"], f"pages are made anew: {change}")


@case(claims=(), limit=90)
def add_up(rig):
    """After streams as many pages are out as before, except those of flows and rings."""
    need_reflow(rig)
    slack = BATCH * KINDS * rig.config["queues"]
    time.sleep(2.5 * Waiting.scale)  # what flows before us kept
    before = pools(rig), pages_out(rig)
    bulk(rig, PEER, 4, flows=2, size=16 << 20, limit=60)

    def off():
        now = pages_out(rig)
        return None if abs(now - before[1]) <= slack else {"before": before[1], "after": now}
    settle("as many pages out as before", off, limit=20)
    after = pools(rig)
    taken = sum(after[pool][name] - before[0][pool][name]
                for pool in before[0].keys() & after.keys() for name in TAKEN)
    check(taken > 20 * slack, f"only {taken} pages were taken: a leak would not be seen")


def _connect(rig):
    """Return pairs of sockets, the partner's first."""
    listener = rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM)
    listener.bind((ADDRESS[DUT, 4], 0))
    listener.listen(FLOWS)
    pairs = []
    for _ in range(FLOWS):
        client = rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM)
        client.settimeout(5)
        client.connect(listener.getsockname())
        served, _ = listener.accept()
        served.settimeout(5)
        pairs.append((client, served))
    listener.close()
    return pairs


@case(claims=(), limit=90)
def are_given_back_by_quiet_flows(rig):
    """A flow that has gone quiet keeps its partly filled page for a while, not for ever, although
    the connection stays; the pages that are out are then those in the rings."""
    need_reflow(rig)
    slack = BATCH * KINDS * rig.config["queues"]
    time.sleep(2.5 * Waiting.scale)  # what flows before us kept
    rest = pages_out(rig)
    pairs = _connect(rig)
    try:
        message = struct.pack("!I", 7) * 1500
        for client, served in pairs:
            client.sendall(message)
            got = b""
            while len(got) < len(message):
                got += served.recv(len(message))
            check(got == message, "changed on the way")
        until("the pages of quiet flows to come back",
              lambda: pages_out(rig) <= rest + slack, limit=20, interval=0.5)
    finally:
        for client, served in pairs:
            client.close()
            served.close()


def _memory(sock):
    """Return the charge (truesize) and the data of a socket's receive queue, in bytes."""
    charged, = struct.unpack_from("=I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64))
    queued = fcntl.ioctl(sock, termios.FIONREAD, bytes(4))
    return charged, struct.unpack("=i", queued)[0]


@case(claims=(), limit=40)
def are_charged_once(rig):
    """A socket that nobody reads is charged for the pages of its segments once, not for each
    segment, and not for less than their bytes."""
    need_reflow(rig)
    for what, off, on in (("-K", ("gro", "off"), ("gro", "on")),
                          ("-C", ("rx-usecs", "0", "rx-frames", "1"),
                           ("rx-usecs", "8", "rx-frames", "32"))):
        rig.defer(rig.run, DUT, "ethtool", what, rig.device, *on)
        rig.run(DUT, "ethtool", what, rig.device, *off)
    for size in (1448, 700):
        listener = rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        listener.bind((ADDRESS[DUT, 4], 0))
        listener.listen(1)
        client = rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(listener.getsockname())
        served, _ = listener.accept()
        for end in (client, served, listener):
            rig.defer(end.close)
        for _ in range(SEGMENTS):
            client.send(bytes(size))
            time.sleep(0.001)  # so that it is not merged with the next
        until("all segments to be queued",
              lambda s=served, n=size: _memory(s)[1] == n * SEGMENTS, limit=10)
        charged, queued = _memory(served)
        # The linear part and the socket buffer of each come on top.
        most = 1.6 * queued + 1400 * SEGMENTS
        check(queued <= charged <= most, f"{charged} bytes charged for {queued}, {size} a segment")


@case(claims=(), limit=120)
def short_memory(rig):
    """64 flows go on while another process has nearly all memory, and are fast afterwards."""
    need_reflow(rig)
    # Buffers allocated earlier would suffice for all data.
    before, least = counters.read(rig), hog.available()
    with hog.hogged():
        for side in (PEER, DUT):
            bulk(rig, side, 4, flows=64, size=1 << 17, limit=50)
            least = min(least, hog.available())
    bulk(rig, PEER, 4, flows=64, size=1 << 17, limit=20)
    change = counters.change(before, counters.read(rig))
    refused = sum(counters.per_queue(rig, change, "rx", "alloc_fail"))
    emit(event="note", text=f"short memory: {least >> 10} MiB left, {refused} pages refused")
    check(least < 2 * hog.MOST, f"{least} KiB were available all the time")
