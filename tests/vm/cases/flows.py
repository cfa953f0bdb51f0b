# SPDX-License-Identifier: GPL-2.0
"""Operation codes, header split and merging of flows."""

import socket

from guest.counters import AGGREGATED, change, need_reflow, opcodes, per_queue, read
from guest.frames import LOCAL_EXPERIMENT, ethernet
from guest.harness import Waiting, case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import bulk, datagrams, gather


def _opcodes_of(rig, action):
    before = read(rig)
    action()
    after = change(before, read(rig))
    return opcodes(rig, after), after


def _merged_well(codes):
    """Fail unless most segments of a stream were appended.

    While a poll runs, segments are transferred as they come, and a debug kernel is hardly ever
    done with one: there, some are appended.
    """
    least = codes["start"] if Waiting.scale == 1 else codes["start"] / 4
    check(codes["append"] > least > 0, f"little was appended: {codes}")


@case(claims=(1, 13, 18, 33, 37, 42, 44, 47, 55, 56, 57, 58, 59, 62), limit=25)
def stream_is_put_together(rig):
    """A bulk stream is merged: starts and appends, fewer skbs than packets."""
    need_reflow(rig)
    gather(rig, 20000)
    codes, stats = _opcodes_of(rig, lambda: bulk(rig, PEER, 4, size=4 << 20))
    _merged_well(codes)
    packets = sum(per_queue(rig, stats, "rx", "packets"))
    skbs = sum(per_queue(rig, stats, "rx", "skbs"))
    check(packets > skbs * (2 if Waiting.scale == 1 else 1), f"{packets} packets became {skbs} skbs")
    data = sum(codes[name] for name in AGGREGATED)
    check(data >= (4 << 20) // 1448 * 0.9, f"only {data} data segments took part: {codes}")


@case(claims=(1, 13, 33, 58), limit=25)
def stream_v6_is_put_together(rig):
    """The same for IPv6."""
    need_reflow(rig)
    gather(rig, 20000)
    codes, stats = _opcodes_of(rig, lambda: bulk(rig, PEER, 6, size=2 << 20))
    _merged_well(codes)


@case(claims=(9, 10, 20, 21, 23, 36, 51, 60), limit=25)
def flows_are_kept_apart(rig):
    """Sixteen flows at once are merged separately, contents checked."""
    need_reflow(rig)
    codes, stats = _opcodes_of(rig, lambda: bulk(rig, PEER, 4, flows=16, size=1 << 18))
    packets = sum(per_queue(rig, stats, "rx", "packets"))
    skbs = sum(per_queue(rig, stats, "rx", "skbs"))
    check(codes["append"] > 0 and packets > skbs, f"{packets} packets became {skbs} skbs: {codes}")


@case(claims=(15, 46, 47), limit=15)
def no_data(rig):
    """ACKs of a stream that the guest sends are counted as TCP without data."""
    need_reflow(rig)
    codes, _ = _opcodes_of(rig, lambda: bulk(rig, DUT, 4, size=1 << 20))
    check(codes["no_data"] >= 20, f"1 MB sent, but few packets without data came back: {codes}")
    equal("aggregates started by acknowledgements", codes["start"], 0)


@case(claims=(14, 30, 47), limit=15)
def control(rig):
    """The SYN and the end of each connection are control packets."""
    need_reflow(rig)

    def connect():
        with rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM) as listener:
            listener.bind((ADDRESS[DUT, 4], 0))
            listener.listen(16)
            for _ in range(10):
                with rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM) as client:
                    client.connect(listener.getsockname())
                    listener.accept()[0].close()
    codes, _ = _opcodes_of(rig, connect)
    check(codes["control"] >= 10, f"ten connections, but few control packets: {codes}")


@case(claims=(1, 13, 33, 46, 58), limit=15)
def no_assist(rig):
    """Packets other than TCP get no assistance: UDP, ARP-like frames, fragments."""
    need_reflow(rig)

    def others():
        datagrams(rig, PEER, 4, [200] * 20)
        datagrams(rig, PEER, 4, [5000] * 3, window=1)
        with rig.raw(PEER) as wire:
            for _ in range(10):
                wire.send(ethernet(rig.mac, rig.peer_mac, LOCAL_EXPERIMENT, bytes(100)))
        rig.echo(PEER, 4)
    codes, _ = _opcodes_of(rig, others)
    check(codes["no_assist"] >= 20 + 12 + 10, f"packets without assistance: {codes}")
    equal("of them taken for TCP", sum(codes.values()) - codes["no_assist"], 0)


@case(claims=(16,), limit=35)
def out_of_order(rig):
    """Segments out of order are counted as such, and the stream is right."""
    need_reflow(rig)
    device = rig.name(PEER)
    rig.run(PEER, "tc", "qdisc", "replace", "dev", device, "root", "netem", "delay", "2ms",
            "reorder", "90%", "limit", "5000")
    rig.defer(lambda: rig.run(PEER, "tc", "qdisc", "del", "dev", device, "root"))
    codes, stats = _opcodes_of(rig, lambda: bulk(rig, PEER, 4, size=1 << 19, limit=30))
    check(stats["hw_rx_out_of_order"] > 0, f"reordered on purpose, but: {codes}")


@case(claims=(14, 35, 47, 52), limit=15)
def every_packet_has_an_opcode(rig):
    """Each packet received is counted under exactly one operation code."""
    need_reflow(rig)

    def mixed():
        bulk(rig, PEER, 4, flows=4, size=1 << 17)
        datagrams(rig, PEER, 6, [100] * 20)
        rig.echo(PEER, 4, count=5)
    codes, stats = _opcodes_of(rig, mixed)
    equal("packets over all operation codes", sum(codes.values()),
          sum(per_queue(rig, stats, "rx", "packets")))
