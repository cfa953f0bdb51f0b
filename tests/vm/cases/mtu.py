# SPDX-License-Identifier: GPL-2.0
"""MTU, from the smallest to jumbo frames."""

from guest.counters import device_drops, read
from guest.frames import LOCAL_EXPERIMENT, ethernet
from guest.harness import Failed, case, check, until
from guest.net import DUT, PEER
from guest.traffic import bulk, datagrams


def _works(rig, mtu, size):
    rig.set_mtu(mtu)
    for side in (DUT, PEER):
        # The largest echo that fits must pass without fragmentation, in both directions.
        rig.echo(side, 4, count=2, size=mtu - 28, whole=True)
        bulk(rig, side, 4, size=size, limit=12)
    if mtu >= 1280:
        bulk(rig, PEER, 6, size=size, limit=12)


@case(limit=25)
def smallest(rig):
    """MTU 68: echoes, TCP and fragments of 44 bytes, over IPv4."""
    _works(rig, 68, 1 << 15)
    datagrams(rig, PEER, 4, (100, 700), window=1)


@case(limit=25)
def smallest_for_v6(rig):
    """MTU 1280."""
    _works(rig, 1280, 1 << 19)


@case(limit=25)
def usual(rig):
    """MTU 1500."""
    _works(rig, 1500, 1 << 19)


@case(limit=25)
def between(rig):
    """MTU 4000."""
    _works(rig, 4000, 1 << 20)


@case(limit=25)
def jumbo(rig):
    """MTU 9000."""
    _works(rig, 9000, 2 << 20)


@case(limit=30)
def changes_under_traffic(rig):
    """The MTU changes while a stream runs; the stream survives."""
    for mtu in (9000, 1400, 4000, 1500):
        rig.set_mtu(mtu)
        bulk(rig, PEER, 4, flows=4, size=1 << 18, limit=10)


@case(limit=10)
def impossible_is_refused(rig):
    """An MTU below the smallest or beyond any frame is refused, and nothing changes."""
    for mtu in (60, 70000):
        done = rig.run(DUT, "ip", "link", "set", rig.device, "mtu", str(mtu), may_fail=True)
        check(done.returncode != 0, f"MTU {mtu} was accepted")
    until("the MTU to be 1500", lambda: rig.link(DUT)["mtu"] == 1500, limit=0)
    rig.echo(PEER, 4)


@case(limit=15)
def giants_are_counted(rig):
    """Frames longer than the MTU are delivered or counted."""
    rig.defer(rig.ip, PEER, f"link set {rig.name(PEER)} mtu 1500")
    rig.ip(PEER, f"link set {rig.name(PEER)} mtu 9000")
    with rig.raw(PEER) as wire:
        before, own = rig.totals(DUT), read(rig)
        for size in (1600, 3000, 9014):
            wire.send(ethernet(rig.mac, rig.peer_mac, LOCAL_EXPERIMENT, bytes(size - 14)))

    def seen():
        now = rig.totals(DUT)
        counted = max(sum(now[key] - before[key] for key in ("rx_errors", "rx_dropped")),
                      device_drops(read(rig)) - device_drops(own))
        return now["rx_packets"] - before["rx_packets"] + counted >= 3
    try:
        until("three giants to be delivered or counted", seen, limit=3)
    except Failed:
        if rig.is_reflow:
            raise
    rig.echo(PEER, 4, count=2)
