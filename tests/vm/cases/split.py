# SPDX-License-Identifier: GPL-2.0
"""Header split: set by the user, or automatic with merging."""

import errno
import socket
import struct

from guest.counters import change, need_reflow, opcodes, read
from guest.genl import Refusal
from guest.harness import case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.split import AUTO, OFF, ON, split_of
from guest.traffic import bulk, streaming

APART, TOGETHER = "hw_dma_data_bytes", "hw_dma_packet_bytes"
# Ethernet, IPv4 and TCP with a timestamp.
HEADERS = 14 + 20 + 32


def _pair(rig):
    """Return the two ends of a connection, the partner's first."""
    listener = rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM)
    listener.bind((ADDRESS[DUT, 4], 0))
    listener.listen(1)
    client = rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM)
    client.settimeout(5)
    client.connect(listener.getsockname())
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    served, _ = listener.accept()
    served.settimeout(5)
    listener.close()
    return client, served


def _retransmitted(sender):
    """Return how many segments a connection has sent again: tcpi_total_retrans."""
    return struct.unpack_from("=I", sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104),
                              100)[0]


def _one_by_one(rig, sizes):
    """Send writes of these sizes, each one packet; return what the device counted.

    On a busy machine the sender may not wait for the ACK: try once more then.
    """
    def attempt():
        client, served = _pair(rig)
        with client, served:
            before = read(rig)
            for size in sizes:
                data = bytes((size + n) & 255 for n in range(size))
                client.sendall(data)
                got = served.recv(size, socket.MSG_WAITALL)
                check(got == data, f"a write of {size} bytes came through changed")
            stats = change(before, read(rig))
            return None if _retransmitted(client) else stats
    return until("data to be sent once", attempt, limit=8)


def _features(rig):
    return rig.run(DUT, "ethtool", "-k", rig.device)


def _merge(rig, to):
    rig.run(DUT, "ethtool", "-K", rig.device, "rx-gro-hw", to)


@case(claims=(13,), limit=30)
def on_means_every_byte(rig):
    """With the split on, all data is apart from headers, merged or not, of any length."""
    need_reflow(rig)
    split = split_of(rig)
    rig.defer(_merge, rig, "on")
    split.set(ON, 0)
    sizes = (1, 2, 8, 64, 190, 191, 500, 1448)
    for merge in ("on", "off"):
        _merge(rig, merge)
        equal("the mode", split.get()[0], ON)
        stats = _one_by_one(rig, sizes)
        equal("bytes of data apart", stats[APART], sum(sizes))
        stats = read(rig)
        bulk(rig, PEER, 4, flows=3, size=1 << 19)
        stats = change(stats, read(rig))
        check(stats[APART] >= 3 << 19, f"{3 << 19} bytes were sent, {stats[APART]} came apart")
        appended = opcodes(rig, stats)["append"]
        equal("whether packets were merged", appended > 0, merge == "on")


@case(claims=(13, 19), limit=30)
def off_means_none(rig):
    """With the split off packets are whole, and merging, which needs it, is off meanwhile."""
    need_reflow(rig)
    split = split_of(rig)
    rig.defer(_merge, rig, "on")
    check("rx-gro-hw: on" in _features(rig), "rx-gro-hw is not on from the start")
    split.set(OFF)
    equal("the mode", split.get()[0], OFF)
    check("rx-gro-hw: off" in _features(rig), "rx-gro-hw stays on without header split")
    before = read(rig)
    bulk(rig, PEER, 4, flows=3, size=1 << 19)
    bulk(rig, PEER, 6, size=1 << 18)
    equal("bytes apart", change(before, read(rig))[APART], 0)
    rig.run(DUT, "ethtool", "-K", rig.device, "rx-gro-hw", "on", may_fail=True)
    check("rx-gro-hw: off" in _features(rig), "rx-gro-hw can be had without header split")
    split.set(AUTO)
    check("rx-gro-hw: on" in _features(rig), "rx-gro-hw does not come back")


@case(claims=(13,), limit=25)
def auto_follows_merging(rig):
    """In automatic mode the split is on where packets are merged and off otherwise."""
    need_reflow(rig)
    split = split_of(rig)
    rig.defer(_merge, rig, "on")
    equal("the mode with merging", split.get()[0], ON)
    _merge(rig, "off")
    equal("the mode without", split.get()[0], OFF)
    before = read(rig)
    bulk(rig, PEER, 4, size=1 << 18)
    equal("bytes apart without merging", change(before, read(rig))[APART], 0)


@case(claims=(15, 19), limit=30)
def the_threshold_is_exact(rig):
    """Packets of up to hds-thresh bytes stay whole, longer ones are split."""
    need_reflow(rig)
    split = split_of(rig)
    for threshold in (HEADERS + 1, 200, 256, 257, 1000):
        split.set(ON, threshold)
        equal("the mode and the threshold", split.get()[:2], (ON, threshold))
        at = threshold - HEADERS
        equal(f"bytes apart of packets of {threshold} bytes",
              _one_by_one(rig, (at, at))[APART], 0)
        equal(f"bytes apart of packets of {threshold + 1} bytes",
              _one_by_one(rig, (at + 1, at + 1))[APART], 2 * (at + 1))
    most = split.get()[2]
    split.set(threshold=most)
    bulk(rig, PEER, 4, size=1 << 18)
    try:
        split.set(threshold=most + 1)
        check(False, "a threshold beyond the largest was taken")
    except Refusal as why:
        equal("the error of a threshold beyond the largest", why.code, errno.EINVAL)


@case(claims=(19,), limit=25)
def copybreak(rig):
    """rx-copybreak limits the packets that go to small cells, from 0 to the size of a cell."""
    need_reflow(rig)

    def tunable(*words):
        return rig.run(DUT, "ethtool", "--set-tunable" if words else "--get-tunable", rig.device,
                       "rx-copybreak", *words)

    check("256" in tunable(), f"from the start: {tunable()}")
    rig.defer(tunable, "256")
    for size in (0, 100, 256):
        tunable(str(size))
        check(tunable().strip().endswith(str(size)), f"{size} was set: {tunable()}")
        rig.echo(PEER, 4, count=5)
        bulk(rig, PEER, 4, size=1 << 18)
    refused = rig.run(DUT, "ethtool", "--set-tunable", rig.device, "rx-copybreak", "257",
                      may_fail=True)
    check(refused.returncode, "rx-copybreak beyond a cell was taken")


@case(limit=40)
def switched_while_traffic_runs(rig):
    """Mode and threshold change under a stream; its content stays right."""
    need_reflow(rig)
    split = split_of(rig)
    stream = streaming(rig, PEER, 4, flows=4, size=2 << 20, limit=30)
    for _ in range(4):
        for mode, threshold in ((ON, 0), (OFF, 0), (ON, 300), (AUTO, 0), (AUTO, 1500)):
            split.set(mode, threshold)
    stream.finish(30)
