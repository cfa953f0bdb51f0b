# SPDX-License-Identifier: GPL-2.0
"""The two ends of the wire inside the guest.

The device under test stays where it is, its link partner lives in the network
namespace `peer`. One process serves both ends: it steps into the namespace to
make a socket or to start a command, and back.
"""

import fcntl
import functools
import json
import os
import socket
import struct
import subprocess
import time

from guest.echo import echoes
from guest.harness import Failed, Waiting, check, emit, until

DUT, PEER = "dut", "peer"
ADDRESS = {
    (DUT, 4): "192.0.2.1", (PEER, 4): "192.0.2.2",
    (DUT, 6): "2001:db8::1", (PEER, 6): "2001:db8::2",
}
PREFIX = {4: 24, 6: 64}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PEER_DEVICE = "peer0"
SYS_NET = "/sys/class/net"
FIRMWARE_PATH = "/sys/module/firmware_class/parameters/path"
FIRMWARE = os.path.abspath(f"{os.path.dirname(__file__)}/../../../build/firmware")
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_IGNORE_OUTGOING = 263, 1, 23
PACKET_MR_MULTICAST = 0
SIOCGIFFLAGS, IFF_RUNNING = 0x8913, 0x40


def command(*words, limit=20, may_fail=False, quiet_input=None):
    """Run a command; return its output. Says which and why when it fails."""
    limit *= Waiting.scale
    with Waiting(" ".join(words)):
        try:
            done = subprocess.run(words, input=quiet_input, capture_output=True, text=True,
                                  timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"`{' '.join(words)}` did not end within {limit:g} s") from None
    if done.returncode and not may_fail:
        why = " / ".join((done.stderr or done.stdout).strip().split("\n")[-2:])
        raise Failed(f"`{' '.join(words)}` failed ({done.returncode}): {why}")
    return done.stdout if not may_fail else done


def modprobe(*names):
    """Load modules of the kernel's; a debug kernel has all of them built in."""
    if names and os.path.isdir(f"/lib/modules/{os.uname().release}"):
        command("modprobe", "-a", *names, limit=60)


class Inside:
    """Steps into a network namespace and back; a no-op for the first one."""

    def __init__(self, name):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.target = name and os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self):
        if self.target:
            os.setns(self.target, os.CLONE_NEWNET)

    def __exit__(self, *_):
        if self.target:
            os.setns(self.home, os.CLONE_NEWNET)


class Rig:
    """The device under test, its partner, and how to change and restore them."""

    def __init__(self, config):
        self.config = config
        self.driver = config["driver"]
        self.module = config.get("module")
        self.queues = config["queues"]
        self.is_reflow = self.driver == "reflow"
        self.device = f"{self.driver}0"
        self.peer_mac = config["peer_mac"]
        self.mac = config["mac"]
        self.inside = {DUT: Inside(None)}
        self.undos = []

    # Setting up ----------------------------------------------------------

    def start(self):
        """Load the driver and the partner's, build the namespace, link up."""
        modprobe("virtio_net", "8021q", "af_packet")
        command("ip", "netns", "add", "peer")
        self.inside[PEER] = Inside("peer")
        found = until("the link partner's interface",
                      lambda: self._interface(lambda path: self._mac_of(path) == self.peer_mac))
        self._ip_lines(f"link set {found} netns peer name {PEER_DEVICE}")
        for side in (DUT, PEER):
            self._sysctl(side, "ipv4/ping_group_range", "0 2147483647")
        self._quiet_ipv6(PEER, "default", PEER_DEVICE)
        self._quiet_ipv6(DUT, "default")
        self.run(PEER, "ethtool", "-K", PEER_DEVICE, "rx", "off", "tx", "off",
                 "tso", "off", may_fail=True)
        self._ip_lines("link set lo up", side=PEER)
        self._address(PEER)
        if self.is_reflow:
            # As an installed driver has it: the kernel logs when a file is not there.
            self.find_firmware(FIRMWARE)
        self.load()
        self.bring_up()

    @staticmethod
    def find_firmware(folder):
        """Have the kernel look for firmware here first; return where it did."""
        with open(FIRMWARE_PATH, "r+", encoding="ascii") as knob:
            before = knob.read().strip()
            knob.seek(0)
            # An empty path cannot be written; this one holds nothing.
            knob.write(folder or "/nowhere")
        return before

    def load(self):
        """Load the driver of the device under test and find its interface."""
        start = time.monotonic()
        if self.module:
            needs = command("modinfo", "-F", "depends", self.module).strip()
            modprobe(*filter(None, needs.split(",")))
            command("insmod", self.module, limit=60)
        else:
            modprobe(self.driver)
        self.adopt()
        return time.monotonic() - start

    def adopt(self):
        """Find the interface that the driver has made, and give it its name."""
        found = until(f"an interface of driver {self.driver} to appear",
                      lambda: self._interface(lambda path: self._driver_of(path) == self.driver),
                      limit=20)
        if found != self.device:
            self._ip_lines(f"link set {found} name {self.device}")
        self._quiet_ipv6(DUT, self.device)

    def unload(self):
        """Remove the driver of the device under test."""
        command("rmmod", self.driver, limit=60)
        check(not os.path.exists(f"{SYS_NET}/{self.device}"),
              f"{self.device} is still there after rmmod")

    def bring_up(self):
        """Give the device its addresses and wait until the link carries frames."""
        self._address(DUT)
        self.forget_neighbours()
        self.wait_link()

    def rebuild(self):
        """Reload the driver and restore all settings after a failed case."""
        self.undos.clear()
        if os.path.exists(f"/sys/module/{self.driver}"):
            self.unload()
        self._ip_lines(f"link set {PEER_DEVICE} down", f"addr flush dev {PEER_DEVICE}",
                       f"link set {PEER_DEVICE} address {self.peer_mac} mtu 1500", side=PEER)
        self._address(PEER)
        self.load()
        self.bring_up()

    # Undoing -------------------------------------------------------------

    def defer(self, undo, *args):
        """Have `undo(*args)` called when the case is over, last one first."""
        self.undos.append((undo, args))

    def undo(self):
        """Call what was deferred, all of it, and fail with the first complaint."""
        complaint = None
        while self.undos:
            call, args = self.undos.pop()
            try:
                call(*args)
            except Failed as why:
                complaint = complaint or why
        if complaint:
            raise complaint

    # Asking --------------------------------------------------------------

    def name(self, side):
        """Return the interface's name at a side."""
        return self.device if side == DUT else PEER_DEVICE

    def mac_of(self, side):
        """Return the MAC address as set up at a side."""
        return self.mac if side == DUT else self.peer_mac

    def run(self, side, *words, **options):
        """Run a command at a side."""
        with self.inside[side]:
            return command(*words, **options)

    def link(self, side):
        """Return what ip says about the link at a side."""
        return json.loads(self.run(side, "ip", "-j", "-s", "-d", "link", "show",
                                   "dev", self.name(side)))[0]

    def totals(self, side):
        """Return the interface's standard counters, by the names of /proc/net/dev."""
        with self.inside[side], open("/proc/thread-self/net/dev", encoding="ascii") as table:
            for line in table:
                name, _, numbers = line.partition(":")
                if name.strip() == self.name(side):
                    values = [int(word) for word in numbers.split()]
                    names = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "rx_fifo",
                             "rx_frame", "rx_compressed", "multicast", "tx_bytes",
                             "tx_packets", "tx_errors", "tx_dropped")
                    return dict(zip(names, values))
        raise Failed(f"{self.name(side)} is not in /proc/net/dev")

    def snmp(self, side, table="snmp"):
        """Return the protocol counters of a side: {"Udp": {"InErrors": 0, ...}}."""
        result = {}
        with self.inside[side], open(f"/proc/thread-self/net/{table}", encoding="ascii") as text:
            lines = [line.split() for line in text]
        for names, values in zip(lines[::2], lines[1::2]):
            result[names[0].rstrip(":")] = dict(zip(names[1:], map(int, values[1:])))
        return result

    def carrier(self, side):
        """Return whether the side's link is up."""
        with self.inside[side], socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sH22x", self.name(side).encode(), 0)
            flags = struct.unpack_from("H", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)[0]
        return bool(flags & IFF_RUNNING)

    def wait_carrier(self, side, up=True, limit=10):
        """Wait until the link of a side is up, or down."""
        until(f"{self.name(side)} to report the link {'up' if up else 'down'}",
              lambda: self.carrier(side) == up, limit)

    def wait_link(self, limit=10):
        """Wait until frames pass; some links come up twice."""
        self.wait_carrier(DUT)
        self.wait_carrier(PEER)
        until("the link to carry frames", lambda: self.answers(limit=0.2), limit)

    def answers(self, limit):
        """Return whether the device answers the partner's echo in time."""
        try:
            return bool(self.echo(PEER, 4, limit=limit))
        except Failed:
            return False

    def interrupts(self):
        """Return {interrupt name: [count per CPU]} of the device's vectors."""
        where = os.path.realpath(f"{SYS_NET}/{self.device}/device")
        try:
            ours = set(os.listdir(f"{where}/msi_irqs"))
        except FileNotFoundError:
            return {}
        found = {}
        with open("/proc/interrupts", encoding="ascii") as table:
            cpus = len(table.readline().split())
            for line in table:
                words = line.split()
                if words[0].rstrip(":") in ours:
                    found[words[-1]] = [int(word) for word in words[1:1 + cpus]]
        return found

    # Doing ---------------------------------------------------------------

    def join(self, member, group):
        """Join an Ethernet multicast group for as long as the packet socket is open."""
        index = socket.if_nametoindex(self.device)
        address = bytes.fromhex(group.replace(":", ""))
        request = struct.pack("iHH8s", index, PACKET_MR_MULTICAST, 6, address)
        member.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)

    def socket(self, side, family, kind, proto=0):
        """Return a socket that belongs to a side."""
        with self.inside[side]:
            return socket.socket(family, kind, proto)

    def raw(self, side, kind=3, device=None):
        """Return a packet socket on a side's interface; kind 3 is every protocol."""
        made = self.socket(side, socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind((device or self.name(side), kind))
        made.settimeout(2 * Waiting.scale)
        return made

    def echo(self, side, version, **how):
        """Have the other end answer echoes; return the round trips. See guest.echo."""
        other = PEER if side == DUT else DUT
        make = functools.partial(self.socket, side)
        return echoes(make, ADDRESS[other, version], version, **how)

    def set_mtu(self, mtu):
        """Set the MTU of both ends; the case's end sets it back."""
        self.defer(self._change_mtu, 1500)
        self._change_mtu(mtu)

    def forget_neighbours(self):
        """Empty both ends' neighbour tables."""
        for side in (DUT, PEER):
            # Under a flood entries come back as they go, and ip gives up.
            self.run(side, "ip", "neigh", "flush", "dev", self.name(side), may_fail=True)

    def ip(self, side, *lines):
        """Run several `ip` commands at once."""
        self._ip_lines(*lines, side=side)

    def come_home(self):
        """Return to the first namespace, in case an expiry left the partner's entered."""
        os.setns(self.inside[DUT].home, os.CLONE_NEWNET)

    def describe(self, name, reason):
        """Write the state of the rig to the run's folder, for a failed case."""
        if self.config["sleeps"]:
            log = self.run(DUT, "dmesg", may_fail=True).stdout[-8000:]
            emit(event="describe", name=name, text=f"{name}: {reason}\n{log}\n")
            return
        path = os.path.join(self.config["run_dir"], f"{name}.txt")
        with open(path, "w", encoding="utf-8") as text:
            text.write(f"{name}: {reason}\n")
            for side, words in ((DUT, ("dmesg",)), (DUT, ("ip", "-s", "-d", "addr")),
                                (PEER, ("ip", "-s", "-d", "addr")),
                                (DUT, ("ethtool", "-S", self.device)),
                                (DUT, ("cat", "/proc/interrupts")),
                                (DUT, ("ss", "-tani")), (PEER, ("ss", "-tani")),
                                (DUT, ("nstat", "-as")), (PEER, ("nstat", "-as"))):
                try:
                    out = self.run(side, *words, may_fail=True)
                    text.write(f"\n== {side}: {' '.join(words)}\n{out.stdout}{out.stderr}")
                except Failed as why:
                    text.write(f"\n== {side}: {why}\n")

    # Helpers -------------------------------------------------------------

    def _ip_lines(self, *lines, side=DUT):
        self.run(side, "ip", "-batch", "-", quiet_input="\n".join(lines) + "\n")

    def _change_mtu(self, mtu):
        # Below 1280 the kernel removes IPv6 and its addresses, but keeps cached path MTUs.
        for side in (DUT, PEER):
            self._ip_lines(f"link set {self.name(side)} mtu {mtu}", "route flush cache", side=side)
            self._address(side, versions=(4, 6) if mtu >= 1280 else (4,))
        self.wait_link()

    def _address(self, side, versions=(4, 6)):
        device = self.name(side)
        self._ip_lines(f"link set {device} up",
                       *(f"addr replace {ADDRESS[side, v]}/{PREFIX[v]} dev {device}"
                         + (" nodad" if v == 6 else "") for v in versions), side=side)

    def _quiet_ipv6(self, side, *devices):
        """Disable router solicitations and DAD, so that the wire is silent between tests."""
        for device in devices:
            for key in ("accept_ra", "accept_dad", "router_solicitations"):
                self._sysctl(side, f"ipv6/conf/{device}/{key}", "0")

    def _sysctl(self, side, name, value):
        with self.inside[side], open(f"/proc/sys/net/{name}", "w", encoding="ascii") as knob:
            knob.write(value)

    @staticmethod
    def _interface(wanted):
        for name in sorted(os.listdir(SYS_NET)):
            path = f"{SYS_NET}/{name}"
            if os.path.exists(f"{path}/device") and wanted(path):
                return name
        return None

    @staticmethod
    def _mac_of(path):
        with open(f"{path}/address", encoding="ascii") as text:
            return text.read().strip()

    @staticmethod
    def _driver_of(path):
        return os.path.basename(os.path.realpath(f"{path}/device/driver"))
