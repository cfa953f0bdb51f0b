# SPDX-License-Identifier: GPL-2.0
"""Forwarding: merged packets leave as the frames that came in."""

import json
import random
import struct

from cases.geometry import base, prepare, row
from guest.counters import change, per_queue, read
from guest.frames import ACK, FIN, PSH, mac_bytes
from guest.harness import case, check, equal
from guest.net import DUT, PEER, Inside
from guest.segments import CWR, ECE, TIMESTAMP, Ip, take_apart

FAR = "far"
OUT, END = "out0", "far0"          # a veth pair: our end, the far one
GATE = {4: ("203.0.113.1", 24), 6: ("2001:db8:2::1", 64)}
TARGET = {4: "203.0.113.2", 6: "2001:db8:2::2"}
SIZES = (1300, 1301, 536, 100, 7, 1)


def _far_end(rig):
    """Make a namespace behind the device, without offloads."""
    rig.run(DUT, "ip", "netns", "add", FAR)
    rig.defer(rig.run, DUT, "ip", "netns", "del", FAR)
    rig.inside[FAR] = Inside(FAR)
    rig.defer(rig.inside.pop, FAR)
    rig.ip(DUT, f"link add {OUT} type veth peer name {END} netns {FAR}")
    rig.defer(rig.run, DUT, "ip", "link", "del", OUT)
    for name in ("autoconf", "accept_ra", "accept_dad"):
        with open(f"/proc/sys/net/ipv6/conf/{OUT}/{name}", "w", encoding="ascii") as knob:
            knob.write("0")
    rig.ip(FAR, f"link set {END} up")
    rig.ip(DUT, f"link set {OUT} up")
    # Aggregates must be segmented before they leave.
    rig.run(DUT, "ethtool", "-K", OUT, "tso", "off", "gso", "off", "tx", "off")


def _mac(rig, side, device):
    return json.loads(rig.run(side, "ip", "-j", "link", "show", "dev", device))[0]["address"]


def _variants(segment):
    """Return streams of a kind, each of several segments in a row."""
    streams = [row(segment, *[size] * 5, max(size - 1, 1)) for size in SIZES]
    long = row(segment, *[1000] * 12)
    pushed = [part.but(flags=ACK | PSH) if n == 5 else part for n, part in enumerate(long)]
    ended = [*long[:-1], long[-1].but(flags=ACK | PSH | FIN)]
    stamped = [part.but(options=TIMESTAMP[:7] + bytes((n // 5,)) + TIMESTAMP[8:])
               for n, part in enumerate(long)]
    marked = [part.but(**{"outer" if part.outer else "inner": {"tos": 3 if n > 6 else 2}})
              for n, part in enumerate(long)]
    slowed = [part.but(flags=ACK | (CWR if 3 <= n < 6 else ECE if n > 8 else 0))
              for n, part in enumerate(long)]
    gap = [*long[:4], *long[5:]]
    return [*streams, long, pushed, ended, stamped, marked, slowed, gap]


def _numbered(stream, inner, outer):
    """Return the stream with IPv4 ids that count or not."""
    made = []
    for n, part in enumerate(stream):
        part = part.but(inner={"ident": 0xFFFA + n * inner & 0xFFFF})
        if part.outer:
            part = part.but(outer={"ident": 0x1234 + n * outer})
        made.append(part)
    return made


def _streams(ends, version, outer=None):
    """Return streams from the partner to the far end, each from its own port."""
    segment = base(version).but(ends=ends[version])
    if outer:
        segment = segment.but(outer=Ip(outer), outer_ends=ends[outer])
    made = []
    for stream in _variants(segment):
        made += [_numbered(stream, 1, 1), _numbered(stream, 0, 1), _numbered(stream, 1, 0)]
    return [[part.but(ports=(30000 + n, 8000)) for part in stream]
            for n, stream in enumerate(made)]


class Path:
    """From the partner through the guest to the far end."""

    def __init__(self, rig, hop, dst, src):
        self.rig = rig
        self.hop = hop       # the MAC address that the partner sends to
        self.after = (dst, src)
        self.wire = rig.raw(PEER)
        self.ears = rig.raw(FAR, device=END)

    def close(self):
        self.wire.close()
        self.ears.close()

    def pass_on(self, stream, turn):
        """Send a stream; check that its frames leave as they came, changed by `turn` only."""
        kind = stream[0].frame(self.rig)[12:14]
        ahead = mac_bytes(self.hop) + mac_bytes(self.rig.peer_mac) + kind
        behind = mac_bytes(self.after[0]) + mac_bytes(self.after[1]) + kind
        frames = [ahead + part.packet() for part in stream]
        expected = [behind + turn(part).packet() for part in stream]
        for frame in frames:
            self.wire.send(frame)
        found = []
        while len(found) < len(expected):
            frame = self.ears.recv(1 << 17)
            seen = take_apart(frame)
            if seen and struct.unpack_from("!HH", seen.head, seen.tcp) == stream[0].ports:
                found.append(frame)
        for number, (saw, wanted) in enumerate(zip(found, expected)):
            check(saw == wanted, f"frame {number} of {len(stream)} from port "
                  f"{stream[0].ports[0]}: {wanted.hex()} became {saw.hex()}")


def _all(rig, path, streams, turn, least=2):
    rig.defer(path.close)
    before = read(rig)
    for stream in streams:
        path.pass_on(stream, turn)
    stats = change(before, read(rig))
    merged = sum(per_queue(rig, stats, "rx", "hw_gro_wire_packets"))
    sent = sum(len(stream) for stream in streams)
    check(merged > sent // least, f"of {sent} frames only {merged} were merged in between")
    equal("packets dropped", sum(per_queue(rig, stats, "rx", "drop_bad_completion")), 0)


def _one_hop(part):
    level = "outer" if part.outer else "inner"
    return part.but(**{level: {"ttl": 63}})


def _route(rig):
    _far_end(rig)
    mac = _mac(rig, FAR, END)
    for version, (address, prefix) in GATE.items():
        nodad = " nodad" if version == 6 else ""
        rig.ip(DUT, f"addr add {address}/{prefix} dev {OUT}{nodad}",
               f"neigh replace {TARGET[version]} lladdr {mac} dev {OUT} nud permanent")
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        path = f"/proc/sys/net/{name}"
        with open(path, encoding="ascii") as knob:
            rig.defer(_set, path, knob.read())
        _set(path, "1")
    return Path(rig, rig.mac, mac, _mac(rig, DUT, OUT))


def _set(path, value):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(value)


def _to_far():
    return {version: (base(version).ends[0], TARGET[version]) for version in (4, 6)}


@case(claims=(42, 57, 59), limit=120)
def routed(rig):
    """Routed frames equal the received ones but for MAC addresses, TTL and IPv4 checksum."""
    prepare(rig)
    path = _route(rig)
    _all(rig, path, [*_streams(_to_far(), 4), *_streams(_to_far(), 6)], _one_hop)


@case(claims=(42, 57, 59), limit=120)
def routed_tunnels(rig):
    """The same for frames in a tunnel that ends elsewhere."""
    prepare(rig)
    path = _route(rig)
    kinds = ((4, 4), (6, 6), (6, 4), (4, 6))
    streams = [part for version, outer in kinds for part in _streams(_to_far(), version, outer)]
    _all(rig, path, streams[::2], _one_hop)


@case(claims=(42, 57, 59), limit=120)
def routed_through_software_gro(rig):
    """The same when software GRO merges aggregates of the device."""
    prepare(rig)
    rig.run(DUT, "ethtool", "-K", rig.device, "gro", "on")
    path = _route(rig)
    streams = [*_streams(_to_far(), 4), *_streams(_to_far(), 6), *_streams(_to_far(), 4, 4)]
    _all(rig, path, streams[::2], _one_hop)


def _id_streams(ends, outer=None):
    """Return streams with different sequences of constant, counting and jumping IPv4 ids."""
    dice = random.Random(42)
    segment = base(4).but(ends=ends[4])
    if outer:
        segment = segment.but(outer=Ip(outer), outer_ends=ends[outer])
    turns = [(1, 0), (0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 0), (0, 0, 2), (2, 0, 2), (1, 0, 0, 2)]
    turns += [tuple(dice.choices((0, 1, 2, 3), (8, 8, 2, 1), k=11)) for _ in range(40)]
    made = []
    for number, steps in enumerate(turns):
        ids = [dice.randrange(1 << 16)]
        others = list(ids)
        for step in steps:
            ids.append(ids[-1] + step & 0xFFFF)
            others.append(others[-1] + dice.choice((0, 1)) & 0xFFFF)
        stream = row(segment.but(ports=(31000 + number, 8000)), *[1000] * len(ids))
        stream = [part.but(inner={"ident": ident}) for part, ident in zip(stream, ids)]
        if outer == 4:
            stream = [part.but(outer={"ident": ident}) for part, ident in zip(stream, others)]
        made.append(stream)
    return made


@case(claims=(42, 57, 59), limit=120)
def ids_through_software_gro(rig):
    """IPv4 ids are kept, however the device and software GRO share the merging."""
    prepare(rig)
    rig.run(DUT, "ethtool", "-K", rig.device, "gro", "on")
    path = _route(rig)
    _all(rig, path, [*_id_streams(_to_far()), *_id_streams(_to_far(), 4)], _one_hop, least=4)


@case(claims=(42, 57, 59), limit=120)
def bridged(rig):
    """Bridged frames equal the received ones, every byte."""
    prepare(rig)
    _far_end(rig)
    rig.ip(DUT, "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up")
    rig.defer(rig.run, DUT, "ip", "link", "del", "br0")
    rig.ip(DUT, f"link set {rig.device} master br0", f"link set {OUT} master br0")
    mac = _mac(rig, FAR, END)
    path = Path(rig, mac, mac, rig.peer_mac)
    streams = [*_streams(_to_far(), 4), *_streams(_to_far(), 6), *_streams(_to_far(), 4, 4)]
    _all(rig, path, streams[::2], lambda part: part)
