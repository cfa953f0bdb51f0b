# SPDX-License-Identifier: GPL-2.0
"""Malformed frames and wrong checksums."""

import socket

from guest.counters import device_drops, read
from guest.frames import (ARP, IPV4, IPV6, LOCAL_EXPERIMENT, TCP, UDP, ethernet, ipv4, parse_udp,
                          tcp, udp)
from guest.harness import Failed, case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER

US, THEM = ADDRESS[DUT, 4], ADDRESS[PEER, 4]


def _sink(rig, kind=socket.SOCK_DGRAM):
    sink = rig.socket(DUT, FAMILY[4], kind)
    sink.bind(("", 0))
    sink.settimeout(1)
    return sink, sink.getsockname()[1]


def _still_works(rig):
    rig.echo(PEER, 4, count=2)


@case(limit=15)
def runts(rig):
    """Frames too short for Ethernet are delivered padded or counted."""
    lengths = list(range(14, 60, 3))
    with rig.raw(PEER) as wire:
        before, own = rig.totals(DUT), read(rig)
        for length in lengths:
            wire.send(ethernet(rig.mac, rig.peer_mac, LOCAL_EXPERIMENT, bytes(length - 14),
                               pad=False))

    def settled():
        now = rig.totals(DUT)
        counted = max(sum(now[key] - before[key] for key in ("rx_errors", "rx_dropped")),
                      device_drops(read(rig)) - device_drops(own))
        return now["rx_packets"] - before["rx_packets"] + counted >= len(lengths)
    try:
        until(f"{len(lengths)} runts to be delivered or counted", settled, limit=3)
    except Failed:
        if rig.is_reflow:
            raise
    _still_works(rig)


@case(limit=15)
def padding_is_not_data(rig):
    """Small packets in padded frames keep their length, for any padding."""
    sink, port = _sink(rig)
    with sink, rig.raw(PEER) as wire:
        for size in range(0, 19):
            payload = bytes(range(1, size + 1))
            packet = ipv4(THEM, US, UDP, udp(THEM, US, 9, port, payload))
            frame = ethernet(rig.mac, rig.peer_mac, IPV4, packet, pad=False)
            wire.send(frame.ljust(60, b"\xee"))
            equal(f"a datagram of {size} bytes in a padded frame", sink.recv(100), payload)


@case(limit=15)
def trailing_bytes_are_not_data(rig):
    """Bytes behind the end of the IP packet are not part of a TCP stream."""
    with rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM) as listener:
        listener.bind((US, 0))
        listener.listen(1)
        listener.settimeout(3)
        with rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM) as client:
            client.connect(listener.getsockname())
            served, _ = listener.accept()
            served.settimeout(3)
            with served:
                for size in range(1, 6):  # 41 to 45 bytes of IP in frames of 60
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.sendall(bytes(range(size)))
                    equal("what a padded segment brought", served.recv(100), bytes(range(size)))


@case(limit=15)
def garbage(rig):
    """Frames with inconsistent headers are dropped without harm to others."""
    good = ipv4(THEM, US, TCP, tcp(THEM, US, 5, 6, 1000, 0, 16, b"data" * 20))
    lies = [
        (IPV4, b""), (IPV4, b"\x45"), (IPV4, good[:19]), (IPV4, good[:33]), (IPV4, good[:52]),
        (IPV4, b"\x4f" + good[1:]), (IPV4, b"\x40" + good[1:]), (IPV4, b"\x95" + good[1:]),
        (IPV4, good[:2] + b"\xff\xff" + good[4:]), (IPV4, good[:2] + b"\x00\x00" + good[4:]),
        (IPV4, good[:2] + b"\x00\x15" + good[4:]), (IPV4, good[:32] + b"\xf0" + good[33:]),
        (IPV4, good[:32] + b"\x00" + good[33:]), (IPV6, b""), (IPV6, b"\x60" + bytes(20)),
        (IPV6, b"\x60\0\0\0\xff\xff\x06\x40" + bytes(60)),
        (IPV6, b"\x60\0\0\0\0\x08\0\x40" + bytes(32) + b"\0\xff" + bytes(6)),
        (0x8100, b""), (0x8100, b"\0\x01"), (0x8100, b"\0\x01\x81\0" * 10), (0x88A8, b"\0\x01"),
        (ARP, b""), (0, bytes(100)), (1500, bytes(100)), (0xFFFF, bytes(1500)),
    ]
    with rig.raw(PEER) as wire:
        for kind, payload in lies:
            wire.send(ethernet(rig.mac, rig.peer_mac, kind, payload))
    _still_works(rig)


@case(limit=15)
def bad_udp_checksum(rig):
    """A datagram with a wrong checksum reaches no socket, and the kernel counts it."""
    sink, port = _sink(rig)
    with sink, rig.raw(PEER) as wire:
        def send(payload, broken):
            packet = ipv4(THEM, US, UDP, udp(THEM, US, 9, port, payload, broken=broken))
            wire.send(ethernet(rig.mac, rig.peer_mac, IPV4, packet))
        before = rig.snmp(DUT)["Udp"]["InCsumErrors"]
        for payload in (b"bad" * 10, b"bad" * 400):
            send(payload, True)
        send(b"good", False)
        equal("the first datagram received", sink.recv(2000), b"good")
        until("two wrong UDP checksums to be counted",
              lambda: rig.snmp(DUT)["Udp"]["InCsumErrors"] - before == 2, limit=2)


@case(claims=(14, 47), limit=20)
def bad_tcp_checksum(rig):
    """A segment with a wrong checksum is dropped, even in the middle of a stream."""
    with rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM) as listener:
        listener.bind((US, 0))
        listener.listen(1)
        listener.settimeout(3)
        with rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM) as client, rig.raw(PEER) as wire:
            sniffer = rig.raw(DUT, IPV4)
            client.connect(listener.getsockname())
            served, _ = listener.accept()
            served.settimeout(3)
            client.sendall(b"first")
            equal("what was received", served.recv(100), b"first")
            frame = _last_segment(sniffer, client.getsockname()[1])
            sniffer.close()
            seq = int.from_bytes(frame[38:42], "big") + 5
            ack = int.from_bytes(frame[42:46], "big")
            before = rig.snmp(DUT)["Tcp"]["InCsumErrors"]
            segment = tcp(THEM, US, client.getsockname()[1], listener.getsockname()[1],
                          seq, ack, 24, b"false" * 100, broken=True)
            wire.send(ethernet(rig.mac, rig.peer_mac, IPV4, ipv4(THEM, US, TCP, segment)))
            until("a wrong TCP checksum to be counted",
                  lambda: rig.snmp(DUT)["Tcp"]["InCsumErrors"] - before == 1, limit=2)
            client.sendall(b"second")
            equal("what was received after it", served.recv(1000), b"second")
            served.close()


def _last_segment(sniffer, port):
    """Return the last frame with TCP data from a port that the sniffer has seen."""
    found = None
    sniffer.settimeout(0.3)
    try:
        while True:
            frame = sniffer.recv(2000)
            if frame[23] == TCP and int.from_bytes(frame[34:36], "big") == port \
                    and frame.endswith(b"first"):
                found = frame
    except TimeoutError:
        pass
    check(found is not None, "the segment with data was not seen at the device")
    return found


@case(limit=15)
def bad_ip_checksum(rig):
    """A packet with a wrong IP header checksum is dropped, its neighbours are not."""
    sink, port = _sink(rig)
    with sink, rig.raw(PEER) as wire:
        for payload, broken in ((b"bad", True), (b"good", False)):
            packet = ipv4(THEM, US, UDP, udp(THEM, US, 9, port, payload), broken=broken)
            wire.send(ethernet(rig.mac, rig.peer_mac, IPV4, packet))
        equal("the first datagram received", sink.recv(100), b"good")


@case(limit=15)
def sent_checksums_are_right(rig):
    """Sent packets have the right checksum on the wire, at all lengths."""
    with rig.raw(PEER, IPV4) as wire, rig.socket(DUT, FAMILY[4], socket.SOCK_DGRAM) as out:
        for size in (1, 2, 3, 17, 18, 19, 100, 101, 1000, 1471, 1472):
            out.sendto(bytes(n & 255 for n in range(size)), (THEM, 9999))
            until(f"a datagram of {size} bytes on the wire with the right checksum",
                  lambda size=size: _good_datagram(wire, size), limit=3)


def _good_datagram(wire, size):
    found = parse_udp(wire.recv(2000))
    if found is None or len(found[0]) != size:
        return False
    check(found[1], f"a datagram of {size} bytes went out with a wrong checksum")
    return True
