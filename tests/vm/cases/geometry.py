# SPDX-License-Identifier: GPL-2.0
"""Hardware GRO of crafted segments: which are merged and which are not, byte by byte.

The table is that of the kernel's own selftest (tools/testing/selftests/net/lib/gro.c).
"""

import struct
import time

from guest.counters import change, need_reflow, per_queue, read
from guest.device import with_parameter
from guest.frames import ACK, FIN, PSH, RST, SYN, URG
from guest.harness import Waiting, case, check, equal
from guest.net import ADDRESS, DUT, PEER
from guest.segments import (CWR, DSTOPTS, FRAGMENT, MF, TIMESTAMP, Ip, Segment, check_offload,
                            listen, read_one, take_apart)
from guest.traffic import hold_interrupts

TCP_NEXT = 6
# Interrupt moderation: segments of a test are sent within this time and merged.
WINDOW_US = 30000
ATTEMPTS = 5


def prepare(rig, mtu=None):
    """Let only the device merge, with a moderation that is longer than a slow sender needs."""
    need_reflow(rig)
    device = rig.device
    rig.defer(rig.run, DUT, "ethtool", "-K", device, "gro", "on")
    rig.run(DUT, "ethtool", "-K", device, "gro", "off", "rx-gro-hw", "on")
    hold_interrupts(rig, WINDOW_US)
    if mtu:
        rig.set_mtu(mtu)


def base(version, tunnel=False, **more):
    """Return a segment without data from the partner to the device."""
    ends = (ADDRESS[PEER, version], ADDRESS[DUT, version])
    return Segment(ends, Ip(version), outer=Ip(version) if tunnel else None, **more)


def row(segment, *lengths):
    """Return segments of so many bytes, each behind the last."""
    made, offset = [], 0
    for length in lengths:
        made.append(segment.data(offset, length))
        offset += length
    return made


class Watch:
    """Sends segments and looks at what arrives, until the case is over."""

    # The flow database keeps a flow for some time: no two cases use the same ports.
    free_port = 20000

    def __init__(self, rig):
        self.rig = rig
        self.wire = rig.raw(PEER)
        self.ears = listen(rig, DUT)
        rig.defer(self._close)

    def _close(self):
        self.wire.close()
        self.ears.close()

    @classmethod
    def take_ports(cls, count):
        """Return the first of so many unused ports."""
        cls.free_port += count
        return cls.free_port - count

    def send(self, segments):
        """Send segments back to back; a number is a pause in seconds."""
        frames = [part if isinstance(part, float) else part.frame(self.rig) for part in segments]
        for frame in frames:
            if isinstance(frame, float):
                time.sleep(frame)
            else:
                self.wire.send(frame)

    def pass_on(self, segments, lonely):
        """Send segments from an unused port; return the packets that arrive."""
        ports = (self.take_ports(1), 8000)
        segments = [part if isinstance(part, float) else part.but(ports=ports)
                    for part in segments]
        last = [part for part in segments if not isinstance(part, float)][0]
        end = last.but(seq=last.seq + 100000 & 0xFFFFFFFF, flags=FIN | ACK, payload=b"",
                       options=b"", extension=b"")
        # Packets whose ports are not parsed may take another queue; none may be overtaken.
        self.send([*segments, 2 * WINDOW_US / 1e6, end] if lonely else [*segments, end])
        return self.arrivals(ports)

    def arrivals(self, ports):
        """Return the packets from a port up to the one with FIN and without data."""
        found = []
        while True:
            seen = self.next_from(ports)
            if seen.flags() & FIN and not seen.payload:
                return found
            found.append(seen)

    def next_from(self, ports):
        """Return the next packet from a port."""
        while True:
            vnet, frame = read_one(self.ears)
            seen = take_apart(frame, vnet)
            if seen and struct.unpack_from("!HH", seen.head, seen.tcp) == ports:
                return seen


def expect(watch, what, segments, sizes):
    """Check the sizes in which segments arrive, and the metadata of merged ones.

    A slow sender's segments may not all come within the window: that too little is
    merged may be, a few times; that too much is, never.
    """
    for left in reversed(range(ATTEMPTS)):
        seen = watch.pass_on(segments, what.startswith(("ip_frag", "ip_opt", "ip_csum")))
        found = [len(one.payload) for one in seen]
        check_merged(what, segments, seen)
        # At the first difference less was merged than expected, not more.
        less = next((one < other for one, other in zip(found, sizes) if one != other),
                    len(found) > len(sizes))
        late = sum(found) == sum(sizes) and less
        if found == sizes or not left or not late:
            break
    equal(f"{what}: payload sizes", found, sizes)


def check_merged(what, segments, seen):
    """Check contents of the packets that arrive, and the metadata of merged ones."""
    sent = [part for part in segments if not isinstance(part, float)]
    for one in seen:
        first = next((part for part in sent if part.seq == one.seq()), None)
        check(first is not None, f"{what}: a packet with a sequence number that nobody sent")
        sent.remove(first)
        data = first.payload
        while len(data) < len(one.payload):
            follower = next(part for part in sent if part.seq == first.seq + len(data))
            sent.remove(follower)
            data += follower.payload
        equal(f"{what}: what arrived", one.payload, data)
        if len(data) > len(first.payload):
            check_offload(one, first, len(first.payload))
        elif one.vnet[1]:
            check(False, f"{what}: a packet that is none is said to be merged")


def _flagged(segment, flag, length):
    """Five segments, the third one with a flag, without data unless told so."""
    made = row(segment, 100, 100, 100, 100, 100)
    made[2] = made[2].but(flags=ACK | flag, payload=made[2].payload[:length],
                          urgent=1 if flag == URG else 0)
    return made


def _cwr(segment):
    made = row(segment, *[100] * 5)
    return [part.but(flags=ACK | CWR) if i in (1, 2) else part for i, part in enumerate(made)]


def _timestamps(segment):
    late = b"\x01\x01\x08\x0a" + struct.pack("!II", 100, 7)
    moved = b"\x01" + late[2:] + b"\x01"
    other = late[2:] + b"\x01\x01"
    options = (TIMESTAMP, TIMESTAMP, late, moved, other)
    return [part.but(options=words) for part, words in zip(row(segment, *[100] * 5), options)]


def _options(segment):
    window = b"\x01\x03\x03\0"
    made = [part.but(options=TIMESTAMP) for part in row(segment, 100, 100, 100)]
    made[2] = made[2].but(options=window)
    return made


def _second(segment, **changes):
    first, second = row(segment, 100, 100)
    return [first, second.but(**changes)]


def _outer(segment, **changes):
    """The second segment's outermost IP header differs."""
    return _second(segment, **{"outer" if segment.outer else "inner": changes})


def common(segment):
    """Return the rules of every protocol: name, segments, sizes."""
    pure = segment.but()
    return [
        ("data_same", row(segment, 100, 100), [200]),
        ("data_lrg_sml", row(segment, 100, 50), [150]),
        ("data_lrg_1byte", row(segment, 100, 1), [101]),
        ("data_sml_lrg", row(segment, 50, 100), [50, 100]),
        ("data_burst", [*row(segment, 100, 100), 0.1,
                        segment.data(200, 100), segment.data(300, 100)], [200, 200]),
        ("ack", [pure, pure, pure.but(ack=101)], [0, 0, 0]),
        ("flags_psh", _flagged(segment, PSH, 100), [300, 200]),
        ("flags_syn", _flagged(segment, SYN, 0), [200, 0, 200]),
        ("flags_rst", _flagged(segment, RST, 0), [200, 0, 200]),
        ("flags_urg", _flagged(segment, URG, 0), [200, 0, 200]),
        ("flags_fin", [segment.data(0, 100), segment.data(100, 100, flags=ACK | FIN)], [200]),
        ("flags_cwr", _cwr(segment), [100, 200, 200]),
        ("tcp_csum", _second(segment, broken=True), [100, 100]),
        ("tcp_seq", _second(segment, seq=segment.seq + 101), [100, 100]),
        ("tcp_ack", _second(segment, ack=101), [100, 100]),
        ("tcp_window", _second(segment, window=513), [100, 100]),
        ("tcp_ts", _timestamps(segment), [200, 100, 100, 100]),
        ("tcp_opt", _options(segment), [200, 100]),
        ("ip_ecn", _outer(segment, tos=2), [100, 100]),
        ("ip_tos", _outer(segment, tos=4), [100, 100]),
        ("ip_ttl", _outer(segment, ttl=63), [100, 100]),
        ("vlan", [part.but(vlan=5) for part in row(segment, 100, 100)], [200]),
        ("vlan_other", [row(segment, 100, 100)[0].but(vlan=5),
                        row(segment, 100, 100)[1].but(vlan=6)], [100, 100]),
    ]


def _idents(segment, inner, outer=None, fragment=0x4000):
    """Segments of 100 bytes with these ids."""
    made = []
    for part, ident, around in zip(row(segment, *[100] * len(inner)), inner, outer or inner):
        part = part.but(inner={"ident": ident, "fragment": fragment})
        made.append(part.but(outer={"ident": around, "fragment": fragment})
                    if segment.outer else part)
    return made


def of_ipv4(segment):
    """Return further rules of IPv4."""
    level = "outer" if segment.outer else "inner"
    first, second, third = row(segment, 100, 100, 100)
    stamp = b"\x44\x08\x05\x00" + bytes(4)
    found = [
        ("ip_csum", [first, second.but(**{level: {"broken": True}}), third], [100, 100, 100]),
        ("ip_frag4", _outer(segment, fragment=MF), [100, 100]),
    ]
    if not segment.outer:
        found.append(("ip_opt", [first, second.but(inner={"options": stamp}), third],
                      [100, 100, 100]))
    for df in (0, 0x4000):
        found += [
            (f"ip_id df {df:#x} inc", _idents(segment, (8, 9), fragment=df), [200]),
            (f"ip_id df {df:#x} fixed", _idents(segment, (8, 8), fragment=df), [200]),
        ]
    found += [
        ("ip_id inc fixed", _idents(segment, (8, 9, 9)), [200, 100]),
        ("ip_id fixed inc", _idents(segment, (8, 8, 9)), [200, 100]),
        ("ip_id wraps", _idents(segment, (0xFFFF, 0, 1)), [300]),
        ("ip_id gap", _idents(segment, (8, 10)), [100, 100]),
    ]
    if segment.outer:
        found += [
            ("ip_id only inside", _idents(segment, (8, 9, 10), (8, 8, 8)), [300]),
            ("ip_id only outside", _idents(segment, (8, 8, 8), (8, 9, 10)), [300]),
            ("ip_id inside changes", _idents(segment, (8, 9, 9), (8, 9, 10)), [200, 100]),
        ]
    return found


def of_ipv6(segment):
    """Return further rules of IPv6."""
    def behind(kind, fill):
        return bytes((kind, TCP_NEXT, 0)) + fill
    same, other = behind(DSTOPTS, b"\x01\x04\0\0\0\0"), behind(DSTOPTS, b"\x01\x04\x11\x11\x11\x11")
    made = row(segment, *[100] * 4)
    made[2] = made[2].but(extension=behind(FRAGMENT, bytes(6)))
    # The fragment may take another queue, and must not overtake earlier packets.
    made.insert(2, 0.1)
    return [
        ("ip_frag6", made, [200, 100, 100]),
        ("ip_v6ext_same", [part.but(extension=same) for part in row(segment, 100, 100)], [200]),
        ("ip_v6ext_diff", [part.but(extension=words) for part, words
                           in zip(row(segment, 100, 100), (same, other))], [100, 100]),
        ("flow label", _second(segment, inner={"label": 1}), [100, 100]),
    ]


def _run(rig, table):
    watch = Watch(rig)
    before = read(rig)
    for what, segments, sizes in table:
        expect(watch, what, segments, sizes)
    stats = change(before, read(rig))
    for name in ("drop_bad_completion", "bad_completion", "drop_orphan", "header_mismatch"):
        equal(name, sum(per_queue(rig, stats, "rx", name)), 0)


@case(claims=(14, 33, 42, 46, 47, 57, 59), limit=60)
def ipv4(rig):
    """TCP over IPv4 is merged by the rules of the kernel's own GRO."""
    prepare(rig)
    _run(rig, common(base(4)) + of_ipv4(base(4)))


@case(claims=(14, 33, 42, 46, 47, 57, 59), limit=60)
def ipv6(rig):
    """TCP over IPv6 likewise, with extension headers and fragments."""
    prepare(rig)
    _run(rig, common(base(6)) + of_ipv6(base(6)))


@case(claims=(2, 4, 34, 42, 57, 59), limit=60)
def ipip(rig):
    """TCP in a tunnel of IPv4 in IPv4."""
    prepare(rig)
    _run(rig, common(base(4, True)) + of_ipv4(base(4, True)))


@case(claims=(2, 4, 34, 42, 57, 59), limit=60)
def ip6ip6(rig):
    """TCP in a tunnel of IPv6 in IPv6."""
    prepare(rig)
    _run(rig, common(base(6, True)))


@case(claims=(2, 4, 34, 42, 57, 59), limit=60)
def mixed_tunnels(rig):
    """IPv6 in IPv4 and IPv4 in IPv6."""
    prepare(rig)
    for version, other in ((4, 6), (6, 4)):
        segment = base(version).but(outer=Ip(other), outer_ends=base(other).ends)
        _run(rig, [("data_same", row(segment, 100, 100, 100), [300]),
                   ("flags_psh", _flagged(segment, PSH, 100), [300, 200]),
                   ("ip_ttl", _outer(segment, ttl=63), [100, 100])])


@case(claims=(42, 57), limit=60)
def largest(rig):
    """An aggregate is at most as long as an IP packet may be."""
    prepare(rig, mtu=4096)
    table = []
    for segment in (base(4), base(6), base(4, True), base(6, True)):
        headers = segment.offset() + 20 - 14
        mss, most = 4096 - headers, 65535 - headers
        count, rest = divmod(most, mss)
        full = row(segment, *[mss] * count)
        at = count * mss
        name = f"IPv{segment.inner.version}, {headers} bytes of headers"
        table.append((f"large_max {name}",
                      [*full, segment.data(at, rest), segment.data(at + mss, rest)],
                      [most, rest]))
        table.append((f"large_rem {name}",
                      [*full, segment.data(at, rest + 1), segment.data(at + mss, rest + 1)],
                      [most - rest, rest + 1, rest + 1]))
    _run(rig, table)


@case(claims=(42, 44, 57), limit=120)
def headers_delivered(rig):
    """With the header of every packet delivered, the driver builds the same skbs."""
    prepare(rig)
    with_parameter(rig, "header_suppression", "false")
    _run(rig, common(base(4)) + of_ipv4(base(4)) + common(base(6)) + of_ipv6(base(6)))
    _run(rig, common(base(4, True)) + of_ipv4(base(4, True)) + common(base(6, True)))


@case(claims=(22, 56, 62), limit=40)
def single(rig):
    """A single segment counts as one packet and as no aggregate."""
    prepare(rig)
    watch = Watch(rig)
    before = read(rig)
    expect(watch, "single", [base(4).data(0, 100)], [100])
    stats = change(before, read(rig))
    for name, wanted in (("packets", 2), ("hw_gro_packets", 0), ("hw_gro_wire_packets", 0)):
        equal(name, sum(per_queue(rig, stats, "rx", name)), wanted)


def _interleaved(watch, flows):
    """Send two segments of each flow, all the first ones first; return sizes in order of arrival."""
    from_port = watch.take_ports(flows)
    first = [base(4, ports=(from_port + n, 8000)).data(0, 200) for n in range(flows)]
    second = [part.data(200, 200, flags=ACK | PSH) for part in first]
    watch.send([*first, *second])
    found = []
    while sum(size for _, size in found) < 400 * flows:
        seen = take_apart(read_one(watch.ears)[1])
        if seen is not None:
            ports = struct.unpack_from("!HH", seen.head, seen.tcp)
            if ports[1] == 8000:
                found.append((ports[0] - from_port, len(seen.payload)))
    return found


@case(claims=(9, 10, 36, 42, 49, 60), limit=40)
def capacity(rig):
    """Segments of many interleaved flows are merged per flow, and counted."""
    prepare(rig)
    hold_interrupts(rig, 65535)
    watch = Watch(rig)
    # A debug kernel sends no more frames in the 65 ms that the device waits for others.
    for flows in (8, 64) if Waiting.scale == 1 else (8,):
        for _ in range(ATTEMPTS):
            before = read(rig)
            found = _interleaved(watch, flows)
            stats = change(before, read(rig))
            merged = sum(1 for _, size in found if size == 400)
            for name, wanted in (("hw_gro_packets", merged), ("hw_gro_wire_packets", 2 * merged)):
                equal(name, sum(per_queue(rig, stats, "rx", name)), wanted)
            if merged == flows:
                break
        equal(f"{flows} flows", sorted(found), [(n, 400) for n in range(flows)])


@case(claims=(10, 16, 36), limit=60)
def order(rig):
    """Many flows at once: first, second and merged segments each arrive in order.

    A second segment may come with its first, past the first ones of other flows that
    wait; nothing else overtakes.
    """
    prepare(rig)
    rig.run(DUT, "ethtool", "-X", rig.device, "equal", "1", may_fail=True)
    rig.defer(rig.run, DUT, "ethtool", "-X", rig.device, "default")
    watch = Watch(rig)
    for flows in (4, 32, 512):
        found = _interleaved(watch, flows)
        whole = [flow for flow, size in found if size == 400]
        first, second = [], []
        for flow in (flow for flow, size in found if size != 400):
            (second if flow in first else first).append(flow)
        for what, seen in (("merged", whole), ("first", first), ("second", second)):
            equal(f"{flows} flows, order of {what} segments", seen, sorted(seen))
        equal(f"{flows} flows, second segments", second, first)
