# SPDX-License-Identifier: GPL-2.0
"""The transmit ring: when it is full, packets longer than the ring, counters."""

import errno
import hashlib
import select
import socket
import struct
import time

from guest.child import Child
from guest.counters import change, need_reflow, per_queue, read
from guest.frames import ACK, IPV4, LOCAL_EXPERIMENT, TCP, ethernet, ipv4, tcp
from guest.harness import Waiting, at_rest, case, check, equal, settle
from guest.net import ADDRESS, DUT, FAMILY, PEER, SOL_PACKET
from guest.traffic import bulk, datagrams

PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 15, 20
NEEDS_CSUM, GSO_TCPV4 = 1, 1
UDP_SEGMENT = 103
SO_RCVBUFFORCE, SO_TIMESTAMPING = 33, 37
TX_SOFTWARE, SOFTWARE = 2, 16
# No address of the partner, so that its stack does not answer.
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


def _stops(rig, before):
    return sum(per_queue(rig, change(before, read(rig)), "tx", "stops"))


def _stopped(rig, before):
    check(_stops(rig, before), "no queue was stopped: the case does not test what it is to test")


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
    # Whether the device keeps up depends on the scheduling of the host.
    for _ in range(6):
        for version in (4, 6):
            bulk(rig, DUT, version, flows=16, size=1 << 18, limit=15)
        if _stops(rig, before):
            break
    _stopped(rig, before)
    _all_queues_send(rig)


def _gso_frame(rig, size, segments):
    """A TCP packet with a header for segmentation, for a packet socket."""
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
    """A packet that the stack segments into more frames than the ring has is sent completely."""
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


# Numbers that the sender below shares: frames handed to the driver, and whether to end.
HANDED_OVER, END = 0, 1


def _blast(words, device, frame):
    """Send a frame to the driver at full rate, past the queueing disciplines."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        out.bind((device, 0))
        while not words[END]:
            try:
                out.send(frame)
                words[HANDED_OVER] += 1
            except OSError as why:
                # The queue is stopped: the driver has not seen the frame.
                if why.errno not in (errno.ENOBUFS, errno.ENETDOWN, errno.ENXIO):
                    raise


@case(claims=(8,), limit=60)
def accounted_over_changes(rig):
    """Frames given to the driver while queues are replaced are sent or counted as dropped."""
    need_reflow(rig)
    said = rig.run(DUT, "ethtool", "-l", rig.device).split("Current hardware settings:")[1]
    queues = next(line.split()[1] for line in said.split("\n") if line.startswith("Combined:"))
    rig.defer(rig.run, DUT, "ethtool", "-L", rig.device, "combined", queues)
    _ring(rig, 512)
    # A neighbour that was learned would be probed again.
    rig.forget_neighbours()
    before, totals, came = at_rest(
        lambda: (read(rig), rig.totals(DUT), rig.totals(PEER)["rx_packets"]))
    frame = ethernet(rig.peer_mac, rig.mac, LOCAL_EXPERIMENT, bytes(900))
    sender = Child(_blast, rig.device, frame)
    rig.defer(sender.end)
    try:
        sender.wait_for("the first frame to be handed over", HANDED_OVER)
        for number in range(12):
            rig.run(DUT, "ethtool", "-L", rig.device, "combined", str(1 + number % int(queues)))
            rig.run(DUT, "ethtool", "-G", rig.device, "tx", str((256, 1024)[number % 2]))
            sender.alive()
    finally:
        sender.words[END] = 1
    sender.finish()

    def off():
        now, sums = change(before, read(rig)), rig.totals(DUT)
        dropped = sum(sum(per_queue(rig, now, "tx", what))
                      for what in ("drop_map", "drop_full", "drop_down"))
        seen = {"handed over": sender.words[HANDED_OVER], "dropped": dropped,
                "sent": sums["tx_packets"] - totals["tx_packets"],
                "arrived": rig.totals(PEER)["rx_packets"] - came}
        total_dropped = sums["tx_dropped"] - totals["tx_dropped"]
        good = (seen["handed over"] == seen["sent"] + dropped and seen["sent"] == seen["arrived"]
                and total_dropped >= dropped)
        return None if good else {**seen, "tx_dropped": total_dropped}
    settle("handed over = sent + dropped, and sent = arrived", off)


def _stamps(sock, count, limit=5):
    """Return so many transmit time stamps of a socket, in seconds."""
    found = []
    while len(found) < count:
        ready = select.poll()
        ready.register(sock, select.POLLERR)
        check(ready.poll(limit * 1000 * Waiting.scale),
              f"{len(found)} of {count} time stamps came")
        _, control, _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                found.append(seconds + nanoseconds / 1e9)
    return found


@case(limit=30)
def time_stamps(rig):
    """Software transmit time stamps work, and ethtool reports them."""
    said = rig.run(DUT, "ethtool", "-T", rig.device)
    check("software-transmit" in said, f"ethtool -T: {said}")
    for version in (4, 6):
        family = FAMILY[version]
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with rig.socket(PEER, family, kind) as sink, rig.socket(DUT, family, kind) as source:
                sink.bind((ADDRESS[PEER, version], 0))
                if kind == socket.SOCK_STREAM:
                    sink.listen()
                source.connect(sink.getsockname()[:2])
                source.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE)
                start = time.time()
                for size in (1, 1000, 1400):
                    source.send(bytes(size))
                    stamp, = _stamps(source, 1)
                    check(start <= stamp <= time.time(),
                          f"a time stamp of {stamp} s is not between sending and now")
