# SPDX-License-Identifier: GPL-2.0
"""The device's page pools and receive queues, as the networking core counts them."""

import socket
import struct

from guest.genl import Family, attribute, attributes
from guest.net import PEER
from guest.traffic import bulk

# Of netdev's netlink interface, as the kernel of the guest numbers them.
POOL_GET, POOL_STATS_GET, QUEUE_GET, QSTATS_GET = 5, 9, 10, 12
ID, IFINDEX, DETACH_TIME = 1, 2, 6
INFO = 1
STATS = {"fast": 8, "slow": 9, "slow_high_order": 10, "refill": 12, "cached": 14, "ring": 16, "ring_full": 17, "refcnt": 18}
# Each page that was taken is counted as one of the first, each that came back as one of the others.
TAKEN = ("fast", "slow", "slow_high_order", "refill")
GIVEN_BACK = ("cached", "ring", "ring_full", "refcnt")
QUEUE_ID, QUEUE_IFINDEX, QUEUE_TYPE = 1, 2, 3
RX = 0
QSTATS_IFINDEX, QSTATS_QUEUE_TYPE, QSTATS_QUEUE_ID, QSTATS_SCOPE = 1, 2, 3, 4
QSTATS_SCOPE_QUEUE = 1
QSTATS = {"rx-packets": 8, "rx-bytes": 9, "tx-packets": 10, "tx-bytes": 11}
PROVIDERS = {5: "dmabuf", 6: "io-uring"}


def _number(data):
    return int.from_bytes(data, "little")


def _dump(rig, command):
    """Return the entries of one of the two lists of pools that are the device's."""
    index, family = socket.if_nametoindex(rig.device), Family("netdev")
    try:
        for entry in family.dump(command):
            info = attributes(entry[INFO]) if command == POOL_STATS_GET else entry
            if _number(info.get(IFINDEX, b"")) == index:
                yield _number(info[ID]), entry
    finally:
        family.close()


def pools(rig):
    """Return what each of the device's pools counted, by the pool's number."""
    return {which: {name: _number(entry.get(number, b"")) for name, number in STATS.items()}
            for which, entry in _dump(rig, POOL_STATS_GET)}


def abandoned(rig):
    """Return the numbers of pools that the driver gave up and that wait for their last page."""
    return [which for which, entry in _dump(rig, POOL_GET) if DETACH_TIME in entry]


def none_abandoned(rig):
    """Return whether all pools that the driver gave up are gone.

    A packet that was freed on another CPU than it came on waits, with its pages, until that CPU
    polls the next time: a few packets for each have it do so.
    """
    if not abandoned(rig):
        return True
    bulk(rig, PEER, 4, flows=8, size=1 << 12)
    return not abandoned(rig)


def pages_out(rig):
    """Return how many pages were taken from the pools and have not come back.

    The kernel's number of pages in flight is larger: it includes pages in the pool.
    """
    return sum(sum(pool[name] for name in TAKEN) - sum(pool[name] for name in GIVEN_BACK)
               for pool in pools(rig).values())


def provider(rig, queue):
    """Return whose memory a receive queue has: "dmabuf", "io-uring", or None for the kernel's."""
    family = Family("netdev")
    try:
        said = family.ask(QUEUE_GET,
                          attribute(QUEUE_IFINDEX, socket.if_nametoindex(rig.device)),
                          attribute(QUEUE_ID, queue), attribute(QUEUE_TYPE, RX))
    finally:
        family.close()
    return next((name for number, name in PROVIDERS.items() if number in said), None)


def _qstats(rig, *what):
    index, family = socket.if_nametoindex(rig.device), Family("netdev")
    try:
        return family.dump(QSTATS_GET, attribute(QSTATS_IFINDEX, index), *what)
    finally:
        family.close()


def _named(entry):
    return {name: _number(entry[number]) for name, number in QSTATS.items() if number in entry}


def device_stats(rig):
    """Return the queue statistics of the whole device."""
    (entry,) = _qstats(rig)
    return _named(entry)


def queue_stats(rig):
    """Return the statistics of each queue: {("rx", 0): {"rx-packets": ...}}."""
    scope = attribute(QSTATS_SCOPE, struct.pack("=Q", QSTATS_SCOPE_QUEUE))
    return {(("rx", "tx")[_number(entry[QSTATS_QUEUE_TYPE])], _number(entry[QSTATS_QUEUE_ID])):
            _named(entry) for entry in _qstats(rig, scope)}
