# SPDX-License-Identifier: GPL-2.0
"""All queues are used, and all packets are counted."""

import random
import time

from guest.counters import (HANDED_OVER, ON_WIRE, change, device_drops, need_reflow, per_queue,
                            read)
from guest.frames import IPV4, UDP, ethernet, ipv4, udp
from guest.harness import Failed, at_rest, case, check, equal, settle
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.pools import device_stats, queue_stats
from guest.traffic import bulk, datagrams

import socket


def _bulk_change(rig, sender, flows):
    before = read(rig)
    bulk(rig, sender, 4, flows=flows, size=1 << 16)
    return change(before, read(rig))


@case(claims=(32, 38, 39, 45, 54, 61), limit=25)
def every_queue_receives(rig):
    """Sixty-four flows reach every receive queue."""
    need_reflow(rig)
    seen = per_queue(rig, _bulk_change(rig, PEER, 64), "rx", "packets")
    check(all(seen), f"packets received by queue: {seen}")


@case(limit=25)
def every_queue_sends(rig):
    """Sixty-four flows leave through every transmit queue."""
    need_reflow(rig)
    seen = per_queue(rig, _bulk_change(rig, DUT, 64), "tx", "packets")
    check(all(seen), f"packets sent by queue: {seen}")


@case(claims=(32, 38, 39, 45, 54, 61), limit=25)
def one_flow_one_queue(rig):
    """All data of one flow is received by one queue."""
    need_reflow(rig)
    seen = per_queue(rig, _bulk_change(rig, PEER, 1), "rx", "packets")
    # 64 KiB are 46 segments; other packets on the wire are far fewer.
    check(sorted(seen)[-2] < 10 <= max(seen), f"one flow's packets by queue: {seen}")


@case(claims=(27, 38, 40, 45, 61), limit=25)
def every_vector_and_cpu(rig):
    """Each queue has its own vector, and the vectors are spread over the CPUs."""
    before = rig.interrupts()
    check(before, "the device has no interrupts in /proc/interrupts")
    bulk(rig, PEER, 4, flows=64, size=1 << 16)
    after = rig.interrupts()
    raised = {name: [now - then for now, then in zip(after[name], before[name])]
              for name in after}
    active = [counts for counts in raised.values() if sum(counts)]
    if rig.is_reflow:
        check(len(active) >= rig.queues, f"interrupts by vector and CPU: {raised}")
        busiest = {counts.index(max(counts)) for counts in active}
        equal("CPUs that a vector favours", len(busiest), min(rig.queues, rig.config["cpus"]))
    else:
        check(active, "no interrupt was raised")


def _exchange(rig, out, sink, count, dice):
    """Send `count` datagrams with short gaps; return the latency of the last one."""
    for number in range(count):
        out.send(number.to_bytes(4, "big") + bytes(dice.randrange(0, 200)))
        time.sleep(dice.choice((0, 0, 0.001, 0.004, 0.01)))
    sent = time.monotonic()
    for number in range(count):
        try:
            got = sink.recv(2000)
        except TimeoutError:
            stats = {name: value for name, value in read(rig).items() if value}
            raise Failed(f"datagram {number + 1} of {count} did not come within a second; "
                         f"then: {stats}") from None
        equal("the datagram received", int.from_bytes(got[:4], "big"), number)
    return time.monotonic() - sent


@case(claims=(27, 40), limit=40)
def no_packet_is_forgotten(rig):
    """300 short bursts: no packet waits for the interrupt of the next burst."""
    dice = random.Random(7)
    slow = []
    for version in (4, 6):
        with rig.socket(PEER, FAMILY[version], socket.SOCK_DGRAM) as out, \
                rig.socket(DUT, FAMILY[version], socket.SOCK_DGRAM) as sink:
            sink.bind((ADDRESS[DUT, version], 0))
            sink.settimeout(1)
            out.connect(sink.getsockname()[:2])
            for _ in range(150):
                took = _exchange(rig, out, sink, dice.randrange(1, 6), dice)
                if took > 0.5:
                    slow.append(round(took, 3))
                time.sleep(dice.choice((0, 0.002, 0.01, 0.03)))
    check(not slow, f"rounds that took longer than half a second: {slow}")


@case(claims=(8,), limit=20)
def gentle_accounting(rig):
    """At a low rate: frames sent by the partner = packets received, exactly."""
    ends = {"in": (PEER, DUT), "out": (DUT, PEER)}

    def counts():
        return {way: (rig.totals(source)["tx_packets"], rig.totals(sink)["rx_packets"])
                for way, (source, sink) in ends.items()}
    before = at_rest(counts)
    datagrams(rig, PEER, 4, [100 + n for n in range(200)])
    datagrams(rig, DUT, 4, [100 + n for n in range(200)])
    rig.echo(PEER, 4, count=20)

    def off():
        now = counts()
        seen = {way: (now[way][0] - before[way][0], now[way][1] - before[way][1]) for way in ends}
        return {way: f"{sent} sent, {received} received"
                for way, (sent, received) in seen.items() if sent != received or sent < 220}
    settle("as many frames received as sent, both ways", off)


def _drops(rig):
    totals = rig.totals(DUT)
    return totals["rx_dropped"] + totals["rx_errors"]


def _burst(rig, count):
    """Have the partner send small datagrams from 32 ports as fast as it can."""
    with rig.socket(DUT, FAMILY[4], socket.SOCK_DGRAM) as sink, rig.raw(PEER) as wire:
        sink.bind(("", 0))
        frames = [ethernet(rig.mac, rig.peer_mac, IPV4,
                           ipv4(ADDRESS[PEER, 4], ADDRESS[DUT, 4], UDP,
                                udp(ADDRESS[PEER, 4], ADDRESS[DUT, 4], 1000 + n,
                                    sink.getsockname()[1], bytes(900)))) for n in range(32)]
        for number in range(count):
            wire.send(frames[number % len(frames)])


@case(claims=(8,), limit=40)
def burst_accounting(rig):
    """Above the rate of the host: sent = received + counted drops, exactly."""
    def counts():
        return {"sent": rig.totals(PEER)["tx_packets"], "received": rig.totals(DUT)["rx_packets"],
                "dropped": _drops(rig)}
    before = at_rest(counts)
    _burst(rig, 4000)

    def off():
        seen = change(before, counts())
        return None if seen["sent"] == seen["received"] + seen["dropped"] else seen
    settle("sent = received + counted drops", off, limit=6)
    sent = counts()["sent"] - before["sent"]
    check(sent >= 4000, f"the partner sent {sent} of 4000 frames")


@case(claims=(8,), limit=40)
def device_accounting(rig):
    """The device's counters: frames on the wire = handed over + dropped, exactly."""
    need_reflow(rig)

    def counts():
        stats = read(rig)
        return {"on the wire": stats[ON_WIRE], "handed over": stats[HANDED_OVER],
                "received": sum(per_queue(rig, stats, "rx", "packets")),
                "dropped by the device": device_drops(stats),
                "sent": rig.totals(PEER)["tx_packets"]}
    before = at_rest(counts)
    _burst(rig, 1000)
    bulk(rig, PEER, 4, flows=8, size=1 << 16)

    def off():
        seen = change(before, counts())
        good = (seen["sent"] == seen["on the wire"]
                == seen["handed over"] + seen["dropped by the device"]
                and seen["received"] == seen["handed over"])
        return None if good else seen
    settle("sent = on the wire = handed over + dropped, and received = handed over", off)


@case(limit=15)
def queues_add_up(rig):
    """The queues' packets and bytes add up to the interface's."""
    need_reflow(rig)
    bulk(rig, PEER, 4, flows=16, size=1 << 16)

    def off():
        stats, totals = read(rig), rig.totals(DUT)
        return {(side, what): (total, shares) for side in ("rx", "tx")
                for what in ("packets", "bytes")
                if (total := totals[f"{side}_{what}"]) !=
                sum(shares := per_queue(rig, stats, side, what))}
    settle("the sum over the queues = the interface's counter", off)


@case(limit=30)
def totals_outlive_their_queues(rig):
    """Counters of removed queues stay in the totals of the interface."""
    need_reflow(rig)
    count = rig.queues
    rig.defer(rig.run, DUT, "ethtool", "-L", rig.device, "combined", str(count))
    bulk(rig, PEER, 4, flows=16, size=1 << 16)
    for now in (1, count):
        before = device_stats(rig)
        rig.run(DUT, "ethtool", "-L", rig.device, "combined", str(now))
        equal("queues that have statistics", len(queue_stats(rig)), 2 * now)
        after = device_stats(rig)
        less = {name: (before[name], after[name]) for name in before if after[name] < before[name]}
        check(not less, f"totals that fell with {now} queues, before and after: {less}")
