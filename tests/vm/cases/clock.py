# SPDX-License-Identifier: GPL-2.0
"""The device's clock: read, set, stepped and steered; stamps of it on packets."""

import contextlib
import ctypes
import fcntl
import os
import re
import select
import socket
import struct
import time

from guest.counters import need_reflow
from guest.device import status
from guest.harness import Waiting, case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import bulk, streaming

# <time.h>, <sys/timex.h>
ADJ_SETOFFSET, ADJ_NANO, ADJ_FREQUENCY = 0x100, 0x2000, 2
SECOND = 10**9
# <linux/net_tstamp.h>, <linux/sockios.h>
SIOCSHWTSTAMP, SIOCGHWTSTAMP = 0x89b0, 0x89b1
TX_OFF, TX_ON, TX_ONESTEP = 0, 1, 2
RX_NONE, RX_ALL, RX_PTP_V2_EVENT = 0, 1, 12
SO_TIMESTAMPING = 37
TX_HARDWARE, TX_SOFTWARE, RX_HARDWARE, SOFTWARE, RAW_HARDWARE = 1, 2, 4, 16, 64
# Without it the copy of a TCP segment has its departure time where a software stamp would be,
# and that hides the one of the hardware.
OPT_TSONLY = 1 << 11

ALARMS = True   # the device is reset


class Timex(ctypes.Structure):
    """struct timex, as far as it is used here."""

    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long),
                ("status", ctypes.c_int), ("constant", ctypes.c_long),
                ("precision", ctypes.c_long), ("tolerance", ctypes.c_long),
                ("seconds", ctypes.c_long), ("fraction", ctypes.c_long),
                ("rest", ctypes.c_char * 128)]


class Clock:
    """The clock of the interface, and the time of the device that it runs along with."""

    def __init__(self, rig):
        self.rig = rig
        said = rig.run(DUT, "ethtool", "-T", rig.device)
        found = re.search(r"(?:PTP Hardware Clock|Hardware timestamp provider index): (\d+)", said)
        check(found, f"ethtool -T tells of no clock: {said}")
        self.said, self.path = said, f"/dev/ptp{found[1]}"
        self.fd = os.open(self.path, os.O_RDWR)
        rig.defer(os.close, self.fd)
        self.id = ~self.fd << 3 | 3

    def read(self):
        """Return its time, in nanoseconds."""
        return time.clock_gettime_ns(self.id)

    def ahead(self):
        """Return between which bounds it is ahead of the time since the device was started."""
        before = status(self.rig)["uptime_ns"]
        now = self.read()
        return now - status(self.rig)["uptime_ns"], now - before

    def expect(self, least, most=None):
        """Fail unless it is ahead by so much."""
        low, high = self.ahead()
        check(low <= (least if most is None else most) and least <= high,
              f"ahead of the device by {low} to {high} ns, not by {least} to {most or least} ns")

    def adjust(self, modes, **values):
        """Call clock_adjtime()."""
        timex = Timex(modes=modes, **values)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.clock_adjtime(ctypes.c_int(self.id), ctypes.byref(timex)) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def steer(self, ppm):
        """Have it run faster by so many millionths."""
        self.adjust(ADJ_FREQUENCY, freq=ppm << 16)


def _clock(rig):
    """Return the clock, which is as it was again after the case."""
    need_reflow(rig)
    clock = Clock(rig)
    rig.defer(lambda: time.clock_settime_ns(clock.id, status(rig)["uptime_ns"]))
    rig.defer(clock.steer, 0)
    return clock


def _stamp(rig, tx, rx, request=SIOCSHWTSTAMP):
    """Set which packets are stamped; return what is set."""
    config = ctypes.create_string_buffer(struct.pack("iii", 0, tx, rx), 12)
    with rig.socket(DUT, socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request,
                    struct.pack("16sP16x", rig.device.encode(), ctypes.addressof(config)))
    return struct.unpack("iii", config.raw)[1:]


def _stamping(rig, tx=TX_ON, rx=RX_ALL):
    """Stamp packets for the rest of the case."""
    rig.defer(_stamp, rig, TX_OFF, RX_NONE)
    return _stamp(rig, tx, rx)


def _times(control_data):
    """Return the software and hardware stamp of a packet in nanoseconds; 0 is none."""
    for level, kind, data in control_data:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
            words = struct.unpack("6q", data[:48])
            return words[0] * SECOND + words[1], words[4] * SECOND + words[5]
    return 0, 0


def _ask(sock):
    """Have a socket ask for all stamps."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_HARDWARE | TX_SOFTWARE
                    | RX_HARDWARE | SOFTWARE | RAW_HARDWARE | OPT_TSONLY)


@contextlib.contextmanager
def _pair(rig, sender, version, kind=socket.SOCK_DGRAM):
    """Give both ends of a connection whose end at our side asks for all stamps."""
    other, family = DUT if sender == PEER else PEER, FAMILY[version]
    with rig.socket(sender, family, kind) as out, rig.socket(other, family, kind) as sink:
        sink.bind((ADDRESS[other, version], 0))
        if kind == socket.SOCK_STREAM:
            sink.listen()
        out.connect(sink.getsockname()[:2])
        _ask(out if sender == DUT else sink)
        sink.settimeout(5 * Waiting.scale)
        yield out, sink


def _sent_at(sock):
    """Return the stamps of the packet that was sent last."""
    ready = select.poll()
    ready.register(sock, select.POLLERR)
    check(ready.poll(5000 * Waiting.scale), "no stamp of a packet that was sent")
    return _times(sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)[1])


@case(limit=30)
def set_and_stepped(rig):
    """The clock runs along with the device, can be set, and moved either way."""
    clock = _clock(rig)
    check("hardware-transmit" in clock.said and "hardware-receive" in clock.said,
          f"ethtool -T: {clock.said}")
    clock.expect(0)
    for seconds in (1_700_000_000, 5_000_000_000):
        before, now = status(rig)["uptime_ns"], None
        time.clock_settime_ns(clock.id, seconds * SECOND)
        now = status(rig)["uptime_ns"]
        clock.expect(seconds * SECOND - now, seconds * SECOND - before)
    low, high = clock.ahead()
    for step in (3 * SECOND + 7, -5 * SECOND):
        clock.adjust(ADJ_SETOFFSET | ADJ_NANO, seconds=step // SECOND, fraction=step % SECOND)
        low, high = low + step, high + step
        clock.expect(low, high)


@case(limit=30)
def steered(rig):
    """The clock runs faster and slower, as far as it says it can; not further."""
    clock = _clock(rig)
    for ppm in (20000, -20000):
        low, high = clock.ahead()
        begun = status(rig)["uptime_ns"]
        clock.steer(ppm)
        after = status(rig)["uptime_ns"]
        time.sleep(0.5)
        before = status(rig)["uptime_ns"]
        now = clock.ahead()
        done = status(rig)["uptime_ns"]
        # The least and the most that it can have gained since it was steered.
        gains = sorted((span * ppm // 10**6 for span in (before - after, done - begun)))
        check(now[0] <= high + gains[1] and low + gains[0] <= now[1],
              f"{ppm} ppm: ahead by {now}, before by {(low, high)}, gains {gains}")
    for ppm in (32001, -32001):
        try:
            clock.steer(ppm)
        except OSError:
            continue
        check(False, f"the clock took a rate of {ppm} ppm")


@case(limit=30)
def outlives_a_reset(rig):
    """A reset of the device neither moves the clock nor ends its rate and its stamps."""
    clock = _clock(rig)
    _stamping(rig)
    time.clock_settime_ns(clock.id, 2_000_000_000 * SECOND)
    low, high = clock.ahead()
    rig.run(DUT, "ethtool", "--reset", rig.device, "dedicated")
    clock.expect(low, high)
    rig.wait_link()
    equal("what is stamped", _stamp(rig, 0, 0, SIOCGHWTSTAMP), (TX_ON, RX_ALL))
    _one_each_way(rig, clock, 4)


def _one_each_way(rig, clock, version):
    """Check the stamps of a datagram that is received and of one that is sent."""
    with _pair(rig, PEER, version) as (out, sink):
        before = clock.read()
        out.send(b"x")
        _, hard = _times(sink.recvmsg(100, 512)[1])
        check(before <= hard <= clock.read(), f"received at {hard}, sent after {before}")
    with _pair(rig, DUT, version) as (out, sink):
        before = clock.read()
        out.send(b"x")
        sink.recv(100)
        soft, hard = _sent_at(out)
        check(before <= hard <= clock.read(), f"sent at {hard}, not after {before}")
        equal("software stamps beside it", soft, 0)


@case(limit=30)
def datagrams_are_stamped(rig):
    """Datagrams get the time of the clock, each way, where that is on; else none."""
    clock = _clock(rig)
    time.clock_settime_ns(clock.id, 1_800_000_000 * SECOND)
    equal("what is stamped at first", _stamp(rig, 0, 0, SIOCGHWTSTAMP), (TX_OFF, RX_NONE))
    # Who asks for some packets gets all.
    equal("what is stamped", _stamping(rig, TX_ON, RX_PTP_V2_EVENT), (TX_ON, RX_ALL))
    for version in (4, 6):
        _one_each_way(rig, clock, version)
    _stamp(rig, TX_OFF, RX_NONE)
    with _pair(rig, PEER, 4) as (out, sink):
        out.send(b"x")
        equal("stamps when off", _times(sink.recvmsg(100, 512)[1])[1], 0)
    with _pair(rig, DUT, 4) as (out, sink):
        out.send(b"x")
        soft, hard = _sent_at(out)
        check(soft and not hard, f"stamps when off: {soft} by software, {hard} by hardware")
    try:
        _stamp(rig, TX_ONESTEP, RX_NONE)
    except OSError:
        return
    check(False, "one-step stamps were accepted")


@case(limit=30)
def segments_are_stamped(rig):
    """Data of TCP is stamped: what is cut when it is sent, what is merged when it comes."""
    clock = _clock(rig)
    _stamping(rig)
    for total in (100, 1 << 16):
        with _pair(rig, DUT, 4, socket.SOCK_STREAM) as (out, listener):
            with listener.accept()[0] as sink:
                before = clock.read()
                out.sendall(bytes(total))
                left = total
                while left:
                    left -= len(sink.recv(left))
                stamps = _sent_at(out)
                check(before <= stamps[1] <= clock.read(),
                      f"{total} bytes sent at {stamps}, after {before}")
    with _pair(rig, PEER, 4, socket.SOCK_STREAM) as (out, listener):
        with listener.accept()[0] as sink:
            _ask(sink)
            before = clock.read()
            out.sendall(bytes(1 << 16))
            left = 1 << 16
            while left:
                data, said, _, _ = sink.recvmsg(left, 512)
                left -= len(data)
                _, hard = _times(said)
                check(before <= hard <= clock.read(), f"received at {hard}, sent after {before}")


@case(limit=40)
def stamped_under_load(rig):
    """Among streams, each datagram that is sent gets a stamp of its own, in order."""
    clock = _clock(rig)
    _stamping(rig)
    stream = streaming(rig, DUT, 4, flows=4, size=1 << 19, limit=30)
    last = clock.read()
    with _pair(rig, DUT, 4) as (out, _):
        for _ in range(100):
            out.send(b"x")
            _, hard = _sent_at(out)
            check(hard >= last, f"sent at {hard}, the one before at {last}")
            last = hard
    stream.finish(30)
    bulk(rig, PEER, 4, flows=4, size=1 << 16)
