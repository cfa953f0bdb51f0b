# SPDX-License-Identifier: GPL-2.0
"""The second driver on drivers/net/rust, igb_rs, on QEMU's own model of the 82576.

Nothing here knows of that driver: the cases hold with the kernel's igb as well.
"""

import collections
import fcntl
import itertools
import mmap
import random
import re
import socket
import struct
import termios
import threading
import time

from cases import vlan
from guest.device import bus_address
from guest.harness import case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import Flood, InBackground, bulk, streaming

# In configuration space: the command register, and its bit that allows access to memory.
COMMAND, BUS_MASTER = 4, 4
# Registers of the first transmit ring in BAR 0: its address and its switch.
BAR_SIZE = 0x20000
TX_BASE, TX_SWITCH, ON = 0xe000, 0xe028, 1 << 25

SO_RCVBUFFORCE = 33

DEVICE = "igb-rs"


def _ethtool(rig, *words):
    return rig.run(DUT, "ethtool", words[0], rig.device, *words[1:])


def _both_ways(rig, size=1 << 18):
    bulk(rig, PEER, 4, flows=4, size=size)
    bulk(rig, DUT, 6, flows=2, size=size)


def _counts(rig):
    return {name: int(value) for name, value
            in re.findall(r"^\s*(\S+): (\d+)$", _ethtool(rig, "-S"), re.M)}


@case(limit=25)
def tcp(rig):
    """Echoes of both families and TCP both ways, with contents that are equal."""
    for version in (4, 6):
        rig.echo(DUT, version, count=2, size=1400, whole=True)
        rig.echo(PEER, version, count=2)
    _both_ways(rig, size=1 << 19)


@case(limit=20)
def offloads_off(rig):
    """Without checksums, segmentation and tags of the device, TCP runs all the same."""
    rig.defer(_ethtool, rig, "-K", "tx", "on", "rx", "on", "tso", "on", "rxvlan", "on")
    _ethtool(rig, "-K", "tx", "off", "rx", "off", "tso", "off", "rxvlan", "off")
    _both_ways(rig)


@case(limit=30)
def jumbo(rig):
    """Frames of 9000 bytes, and the way there and back while a stream runs."""
    stream = streaming(rig, PEER, 4, flows=2, size=1 << 18, limit=25)
    rig.set_mtu(9000)
    stream.finish(25)
    rig.echo(PEER, 4, count=2, size=8972, whole=True)
    rig.echo(DUT, 4, count=2, size=8972, whole=True)
    _both_ways(rig)
    rig.set_mtu(1500)
    _both_ways(rig)


@case(limit=20)
def tags(rig):
    """Full frames and a stream through a VLAN, both ways."""
    vlan.tag_both_ends(rig)
    rig.echo(DUT, 4, count=2, size=1472, whole=True)
    rig.echo(PEER, 6, count=2, size=1452, whole=True)
    _both_ways(rig)


@case(limit=30)
def sizes_and_channels(rig):
    """Rings, channels and moderation change while a stream runs."""
    rig.defer(_ethtool, rig, "-G", "rx", "512", "tx", "512")
    rig.defer(_ethtool, rig, "-L", "combined", "4")
    stream = streaming(rig, PEER, 4, flows=4, size=1 << 18, limit=25)
    _ethtool(rig, "-G", "rx", "4096", "tx", "128")
    _ethtool(rig, "-L", "combined", "2")
    _ethtool(rig, "-C", "rx-usecs", "20")
    stream.finish(25)
    check(re.search(r"rx-usecs:\s+20\b", _ethtool(rig, "-c")), "the moderation is not as set")
    _both_ways(rig)


@case(limit=20)
def spread(rig):
    """Packets go where the indirection table says, and back to all queues."""
    def used():
        return [queue for queue in range(4) if _counts(rig).get(f"rx{queue}_packets", 0)
                > before.get(f"rx{queue}_packets", 0)]
    rig.defer(_ethtool, rig, "-X", "default")
    _ethtool(rig, "-X", "weight", "0", "0", "1")
    before = _counts(rig)
    bulk(rig, PEER, 4, flows=8, size=1 << 16)
    check(set(used()) <= {0, 2} and 2 in used(), f"packets came to the queues {used()}")
    _ethtool(rig, "-X", "default")
    before = _counts(rig)

    def several():
        # With one key in a hundred, ports close to each other hash to one queue.
        bulk(rig, PEER, 4, flows=16, size=1 << 15)
        return len(used()) > 1
    until("several queues to be used", several, 10)


@case(limit=40)
def comes_and_goes(rig):
    """Up and down, out and in, under floods both ways."""
    rig.defer(rig.rebuild)
    floods = [Flood(rig, PEER), Flood(rig, DUT)]
    try:
        for _ in range(3):
            time.sleep(0.2)
            rig.ip(DUT, f"link set {rig.device} down")
            rig.bring_up()
    finally:
        floods.pop().stop()
        try:
            rig.unload()
        finally:
            floods.pop().stop()
    rig.load()
    rig.bring_up()
    _both_ways(rig)


@case(limit=50, bears=["NETDEV WATCHDOG"])
def transmit_timeout(rig):
    """A device that may not access memory any more is reset, and goes on."""
    before = rig.totals(DUT)["rx_packets"]
    flood = Flood(rig, DUT)
    try:
        with open(f"/sys/bus/pci/devices/{bus_address(rig)}/config", "r+b", buffering=0) as config:
            config.seek(COMMAND)
            command, = config.read(1)
            config.seek(COMMAND)
            config.write(bytes([command & ~BUS_MASTER]))
        until("the device to be reset and answer", lambda: rig.answers(limit=1), limit=30)
    finally:
        flood.stop()
    check(rig.totals(DUT)["rx_packets"] > before, "nothing was received")
    _both_ways(rig)


def _connection(rig):
    """Return both ends of a connection on which much can be left unread, the partner's first."""
    ends = [rig.socket(side, FAMILY[4], socket.SOCK_STREAM) for side in (PEER, DUT)]
    for end in ends:
        rig.defer(end.close)
    client, listener = ends
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    listener.bind((ADDRESS[DUT, 4], 0))
    listener.listen(1)
    client.connect(listener.getsockname())
    served, _ = listener.accept()
    rig.defer(served.close)
    return client, served


def _unread(sock):
    return struct.unpack("=i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]


@case(limit=40)
def unread(rig):
    """Data that waits for its reader while its ring goes round many times stays as it was."""
    rig.defer(_ethtool, rig, "-G", "rx", "512", "tx", "512")
    _ethtool(rig, "-G", "rx", "64", "tx", "64")
    client, served = _connection(rig)
    data = random.Random(1).randbytes(1 << 20)
    sender = InBackground(client.sendall, data)
    until("the data to arrive", lambda: _unread(served) == len(data), 20)
    sender.finish(20)
    bulk(rig, PEER, 4, flows=8, size=1 << 17)
    got = b""
    while len(got) < len(data):
        got += served.recv(len(data))
    check(got == data, "the data changed")


def _registers(rig):
    with open(f"/sys/bus/pci/devices/{bus_address(rig)}/resource0", "r+b", buffering=0) as bar:
        return memoryview(mmap.mmap(bar.fileno(), BAR_SIZE)).cast("I")


def _down_in_vain(rig):
    """Take the interface down while something switches a transmit ring on all the time."""
    write, over = _registers(rig).__setitem__, threading.Event()

    def hold():
        while not over.is_set():
            # As fast as Python can.
            values = map(write, itertools.repeat(TX_SWITCH // 4, 500), itertools.repeat(ON))
            collections.deque(values, maxlen=0)
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        rig.ip(DUT, f"link set {rig.device} down")
    finally:
        over.set()
        thread.join()


@case(limit=90)
def does_not_stop(rig):
    """A device that does not switch a ring off is reset before the ring's memory is freed."""
    rig.defer(rig.bring_up)
    # The driver may find a switch off in the moment before it is on again.
    for _ in range(8):
        _down_in_vain(rig)
        known = _registers(rig)[TX_BASE // 4]
        if not known:
            break
        rig.bring_up()
    check(not known, f"the device has a ring at {known:#x} after its memory was freed")
    rig.bring_up()
    _both_ways(rig)


@case(limit=15)
def counted(rig):
    """The counters of the device and of the driver agree with the packets sent."""
    before = _counts(rig)
    rig.echo(PEER, 4, count=20)
    now = _counts(rig)
    check(now["rx_frames"] - before["rx_frames"] >= 20, "the device missed echoes")
    equal("dropped packets", now["rx0_dropped"] + now["tx0_dropped"], 0)
    check("Speed: 1000Mb/s" in rig.run(DUT, "ethtool", rig.device), "the speed is not 1000 Mb/s")
