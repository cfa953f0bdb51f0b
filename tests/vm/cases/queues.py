# SPDX-License-Identifier: GPL-2.0
"""Every queue is used, and every packet is accounted for."""

import time

from guest.counters import change, device_drops, need_reflow, per_queue, read
from guest.frames import IPV4, UDP, ethernet, ipv4, udp
from guest.harness import case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
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
    # 64 KiB are 46 segments; whatever else is on the wire is far below that.
    check(sorted(seen)[-2] < 10 <= max(seen), f"one flow's packets by queue: {seen}")


@case(claims=(27, 38, 40, 45, 61), limit=25)
def every_vector_and_cpu(rig):
    """Each queue alerts through a vector of its own, and the vectors share the CPUs out."""
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


@case(claims=(8,), limit=20)
def gentle_accounting(rig):
    """At a gentle pace: frames sent by the partner = packets received, to the frame."""
    sent, got = rig.totals(PEER)["tx_packets"], rig.totals(DUT)["rx_packets"]
    back = rig.totals(DUT)["tx_packets"], rig.totals(PEER)["rx_packets"]
    datagrams(rig, PEER, 4, [100 + n for n in range(200)])
    datagrams(rig, DUT, 4, [100 + n for n in range(200)])
    rig.ping(PEER, 4, "-q", "-c", "20", "-i", "0.01", "-W", "3")

    def difference():
        return (rig.totals(PEER)["tx_packets"] - sent - (rig.totals(DUT)["rx_packets"] - got),
                rig.totals(DUT)["tx_packets"] - back[0]
                - (rig.totals(PEER)["rx_packets"] - back[1]))
    until(f"as many frames received as sent, both ways (missing: {difference()})",
          lambda: difference() == (0, 0), limit=3)
    check(rig.totals(PEER)["tx_packets"] - sent >= 220, "too few frames were sent to say anything")


def _drops(rig):
    totals = rig.totals(DUT)
    return max(totals["rx_dropped"] + totals["rx_errors"], device_drops(read(rig)))


@case(claims=(8,), limit=40)
def burst_accounting(rig):
    """Faster than the host can take: sent = received + counted drops, to the frame."""
    with rig.socket(DUT, FAMILY[4], socket.SOCK_DGRAM) as sink, rig.raw(PEER) as wire:
        sink.bind(("", 0))
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        payload = bytes(900)
        frames = [ethernet(rig.mac, rig.peer_mac, IPV4,
                           ipv4(ADDRESS[PEER, 4], ADDRESS[DUT, 4], UDP,
                                udp(ADDRESS[PEER, 4], ADDRESS[DUT, 4], 1000 + n,
                                    sink.getsockname()[1], payload))) for n in range(32)]
        time.sleep(0.2)
        sent, got, lost = rig.totals(PEER)["tx_packets"], rig.totals(DUT)["rx_packets"], _drops(rig)
        for number in range(4000):
            wire.send(frames[number % len(frames)])

        def missing():
            return (rig.totals(PEER)["tx_packets"] - sent - (rig.totals(DUT)["rx_packets"] - got)
                    - (_drops(rig) - lost))
        until("sent = received + counted drops", lambda: missing() == 0, limit=6, interval=0.2)
        check(rig.totals(PEER)["tx_packets"] - sent >= 4000, "the partner did not send all frames")


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
    until("the sum over the queues to be the interface's counter", lambda: not off(), limit=2)
