# SPDX-License-Identifier: GPL-2.0
"""Flows of known addresses and ports, and which queue each must come through."""

import ctypes
import fcntl
import ipaddress
import re
import socket
import struct

from guest.counters import change, per_queue, read
from guest.frames import ACK, IPV4, IPV6, TCP, UDP, ethernet, ipv4, ipv6, tcp, udp
from guest.harness import Skip, check, settle
from guest.net import ADDRESS, DUT, PEER

SIOCETHTOOL, ETHTOOL_SRXFH, UDP_V6_FLOW = 0x8946, 0x2A, 6
HASHED = {"s": 1 << 4, "d": 1 << 5, "f": 1 << 6, "n": 1 << 7, "l": 1 << 9}
TABLE = 128
TOGETHER = 10      # frames of a flow


class Flow:
    """Some equal frames from the partner: version, protocol, ports."""

    def __init__(self, version, proto, sport, dport, label=0):
        self.version, self.proto, self.label = version, proto, label
        self.src, self.dst = ADDRESS[PEER, version], ADDRESS[DUT, version]
        self.sport, self.dport = sport, dport

    def __repr__(self):
        name = {TCP: "tcp", UDP: "udp"}[self.proto]
        return f"{name}{self.version} {self.sport}-{self.dport}"

    def frame(self, rig):
        """Return one frame of the flow; TCP's have no data, so that nothing waits."""
        ends = self.src, self.dst
        if self.proto == TCP:
            inner = tcp(*ends, self.sport, self.dport, 1, 1, ACK)
        else:
            inner = udp(*ends, self.sport, self.dport, b"steering")
        if self.version == 4:
            return ethernet(rig.mac, rig.peer_mac, IPV4, ipv4(*ends, self.proto, inner))
        return ethernet(rig.mac, rig.peer_mac, IPV6, ipv6(*ends, self.proto, inner, self.label))

    def hashed(self, fields="sdfn", symmetric=False):
        """Return what is hashed of the flow, fields as ethtool's letters."""
        src, dst = (ipaddress.ip_address(a).packed for a in (self.src, self.dst))
        sport, dport = (port.to_bytes(2, "big") for port in (self.sport, self.dport))
        if symmetric:
            src = dst = bytes(a ^ b for a, b in zip(src, dst))
            sport = dport = bytes(a ^ b for a, b in zip(sport, dport))
        parts = {"s": src, "d": dst, "f": sport, "n": dport}
        if "l" in fields:
            ports = b"".join(parts[f] if f in fields else bytes(2) for f in "fn")
            mixed = int.from_bytes(ports, "big") ^ self.label
            parts |= {"f": mixed.to_bytes(4, "big"), "n": b""}
            fields += "fn"
        return b"".join(part for letter, part in parts.items() if letter in fields)

    def match(self):
        """Return the whole flow as ethtool writes a rule about it."""
        name = {TCP: "tcp", UDP: "udp"}[self.proto]
        return (f"flow-type {name}{self.version} src-ip {self.src} dst-ip {self.dst} "
                f"src-port {self.sport} dst-port {self.dport}")


def toeplitz(key, data):
    """Return the hash that receive-side scaling specifies."""
    secret, bits = int.from_bytes(key, "big"), len(key) * 8
    value = int.from_bytes(data, "big")
    result = 0
    for place in range(len(data) * 8):
        if value >> (len(data) * 8 - 1 - place) & 1:
            result ^= secret >> (bits - 32 - place) & 0xFFFFFFFF
    return result


def flows(version, proto, count=48, dport=7777):
    """Return flows that differ in their source port."""
    return [Flow(version, proto, 20000 + 37 * n, dport) for n in range(count)]


def need_queues(rig, count):
    """Skip a case that needs more queues."""
    if rig.queues < count:
        raise Skip(f"needs {count} queues, there are {rig.queues}")


def ethtool(rig, *words):
    """Run ethtool on the device; the interface's name goes behind the first word."""
    return rig.run(DUT, "ethtool", words[0], rig.device, *" ".join(words[1:]).split())


def refused(rig, why, *words):
    """Check that ethtool refuses a command with a reason."""
    done = rig.run(DUT, "ethtool", words[0], rig.device, *" ".join(words[1:]).split(),
                   may_fail=True)
    check(done.returncode, f"ethtool took {' '.join(words)}")
    said = done.stderr + done.stdout
    check(why in said, f"ethtool refused {' '.join(words)} for another reason: {said.strip()}")


def set_hash_fields(rig, flow_type, fields):
    """Set the hashed fields past ethtool, whose older versions know no flow label."""
    wanted = sum(HASHED[letter] for letter in fields)
    request = ctypes.create_string_buffer(struct.pack("IIQ", ETHTOOL_SRXFH, flow_type, wanted),
                                          256)
    with rig.socket(DUT, socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL,
                    struct.pack("16sP16x", rig.device.encode(), ctypes.addressof(request)))


def add_rule(rig, words):
    """Add a rule; return its location."""
    return int(ethtool(rig, "-N", words).split()[-1])


def context(rig, number=0):
    """Return (table, key) of a hash context as ethtool shows them."""
    text = ethtool(rig, "-x", f"context {number}" if number else "")
    rows = re.findall(r"^ *\d+: ([ \d]+)$", text, re.M)
    key = re.search(r"^([0-9a-f]{2}(?::[0-9a-f]{2})+)$", text, re.M).group(1)
    return [int(word) for row in rows for word in row.split()], bytes.fromhex(key.replace(":", ""))


def reset(rig):
    """Restore rules, contexts, table, key and hashed fields at the end of the case."""
    _, key = context(rig)

    def back():
        ethtool(rig, "-K", "ntuple off")
        ethtool(rig, "-K", "ntuple on")
        for number in range(1, 16):
            rig.run(DUT, "ethtool", "-X", rig.device, "context", str(number), "delete",
                    may_fail=True)
        ethtool(rig, "-X", "default xfrm none hkey", key.hex(":"))
        for kind in ("tcp4", "udp4", "tcp6", "udp6"):
            ethtool(rig, "-N", f"rx-flow-hash {kind} sdfn")
    rig.defer(back)


def send(rig, chosen):
    """Send each flow's frames from the partner."""
    with rig.raw(PEER) as wire:
        for flow in chosen:
            frame = flow.frame(rig)
            for _ in range(TOGETHER):
                wire.send(frame)


def expect(rig, chosen, queue_of, dropped=0):
    """Send flows; each must come through the queue that `queue_of` says, none elsewhere.

    Now and then the ends have something else to say to each other: a few packets
    more on a queue do no harm, a whole flow more does.
    """
    wanted = [0] * rig.queues
    for flow in chosen:
        queue = queue_of(flow)
        if queue is not None:
            wanted[queue] += TOGETHER
    before = read(rig)
    send(rig, chosen)

    def off():
        stats = change(before, read(rig))
        seen = per_queue(rig, stats, "rx", "packets")
        good = all(0 <= s - w < TOGETHER for s, w in zip(seen, wanted))
        lost = stats["hw_rx_rule_drop"]
        if good and lost == dropped:
            return None
        return f"expected by queue {wanted}, saw {seen}; expected drops {dropped}, saw {lost}"
    settle(f"{len(chosen)} flows ({chosen[0]} ...) through their queues", off)
