# SPDX-License-Identifier: GPL-2.0
"""Zero-copy receive: whole streams, and readers killed in the middle of one."""

import os
import random
import socket
import time

from guest import steering
from guest.child import Child
from guest.counters import (
    HANDED_OVER, ON_WIRE, change, device_drops, need_reflow, per_queue, read)
from guest.device import bus_address
from guest.devmem import DeviceMemory
from guest.harness import Waiting, case, check, equal, settle, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.pools import abandoned, none_abandoned, pages_out, pools, provider
from guest.split import ON, split_of
from guest.traffic import bulk, gather
from guest.uring import ZeroCopy
from guest.zerocopy import PAGE, Window

PORT = 4791
PERIOD = 1 << 16
PATTERN = random.Random(7).randbytes(PERIOD) * 2
PIECE = 1 << 15          # bytes of one write, and most that is compared at once
# Pages in the ring of a lent queue, and pages of its reader, which is more.
RING, PAGES = 64, 192
WHOLE = 3 << 20
ENOUGH = 200_000         # bytes of a stream that is to be in its middle
# Memory that a reader shares with the case.
READY, RECEIVED, COPIED, SPELLS, LET_GO = range(5)
IDLE = 0.25              # seconds without data of a reader that has no buffers left
# A reader gives buffers back: at once, never, all when nothing comes any more and it is
# told to let go.
BACK, KEEP, HOARD = range(3)
# Pages that are in the rings of a device or not, at any time.
SLACK = 256


def _expected(at, length):
    return PATTERN[at % PERIOD:at % PERIOD + length]


def _accept(words, version, room=None):
    """Wait for the partner, in the reader's process; return the connection.

    `room` limits its receive buffer, in bytes.
    """
    listener = socket.socket(FAMILY[version], socket.SOCK_STREAM)
    if room:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ADDRESS[DUT, version], PORT))
    listener.listen(1)
    words[READY] = 1
    return listener.accept()[0]


def _lent(words, memory_of, device, queue, version, manner):
    """Run the reader of a queue with the reader's memory."""
    memory, at, held = memory_of(device, queue, PAGES), 0, []
    # Data behind a lost segment must not fill all the memory: the segment could not be received.
    sock = _accept(words, version, PAGES * PAGE // 4)
    for found in memory.stream(sock, None if manner == BACK else IDLE):
        if found is None:
            words[SPELLS] += 1
        else:
            place, length = found
            check(memory.read(place, length) == _expected(at, length),
                  f"{length} bytes behind {at} came changed")
            at += length
            held.append(found)
            words[RECEIVED] = at
        if manner == BACK or manner == HOARD and found is None and words[LET_GO]:
            while held:
                memory.give_back(*held.pop())
    words[COPIED] = memory.copied()


def _mapping(words, version):
    """Run a reader that maps the pages of a socket, and copies data that does not fill them."""
    sock, at = _accept(words, version), 0
    window = Window(sock, 1 << 18)
    while True:
        data, whole = window.take(PAGE)
        if not data:
            return
        check(data == (PATTERN * 3)[at % PERIOD:at % PERIOD + len(data)],
              f"{len(data)} bytes behind {at} came changed")
        at += len(data)
        if not whole:
            words[COPIED] += len(data)
        words[RECEIVED] = at


class Stream:
    """The partner's end of a connection to a reader, once that listens."""

    def __init__(self, rig, child, version):
        self.child, self.at = child, 0
        child.wait_for("the reader to listen", READY)
        self.out = rig.socket(PEER, FAMILY[version], socket.SOCK_STREAM)
        self.out.settimeout(20 * Waiting.scale)
        self.out.connect((ADDRESS[DUT, version], PORT))

    def feed(self, enough, limit=20):
        """Send until `enough()`; the reader has to stay alive."""
        end = time.monotonic() + limit * Waiting.scale
        self.out.setblocking(False)
        while not enough():
            self.child.alive()
            check(time.monotonic() < end,
                  f"{self.at} bytes were sent, {self.child.words[RECEIVED]} received in time")
            try:
                self.at += self.out.send(_expected(self.at, PIECE))
            except BlockingIOError:
                time.sleep(0.001)
        self.out.settimeout(20 * Waiting.scale)

    def feed_more(self):
        """Send until the reader is in the middle of a stream, counted from now."""
        goal = self.child.words[RECEIVED] + ENOUGH
        self.feed(lambda: self.child.words[RECEIVED] > goal)

    def send(self, size):
        """Send so many bytes."""
        end = self.at + size
        while self.at < end:
            self.at += self.out.send(_expected(self.at, min(PIECE, end - self.at)))

    def finish(self):
        """End the stream; the reader must have received all of it when it is through."""
        self.out.close()
        self.child.finish()
        equal("bytes received", self.child.words[RECEIVED], self.at)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.out.close()


def _send_whole(rig, child, version, size):
    """Send so many bytes and the end of the stream; return when the reader is through."""
    with Stream(rig, child, version) as stream:
        stream.send(size)
        stream.finish()


class Account:
    """State that must be as before when all readers have gone."""

    def __init__(self, rig):
        self.rig = rig
        until("pools of earlier queues to go", lambda: none_abandoned(rig), limit=20, interval=0.2)
        self.before, self.count, self.out = self._memory(), len(pools(rig)), pages_out(rig)

    @staticmethod
    def _memory():
        with open("/proc/vmstat", encoding="ascii") as text:
            words = dict(line.split() for line in text)
        pinned = int(words["nr_foll_pin_acquired"]) - int(words["nr_foll_pin_released"])
        return {"pinned": pinned, "shared": int(words["nr_shmem"])}

    def _left(self):
        now = self._memory()
        more = {name: now[name] - self.before[name] for name in now}
        found = {"pools": len(pools(self.rig)) - self.count,
                 "abandoned pools": len(abandoned(self.rig)),
                 # A reader of an earlier case may have ended since.
                 "pinned pages": max(0, more["pinned"]),
                 # The harness opens files, too.
                 "pages of files": max(0, more["shared"] - PAGES // 2),
                 "pages out of pools": max(0, pages_out(self.rig) - self.out - SLACK)}
        return {name: count for name, count in found.items() if count}

    def settle(self):
        """Fail the case if something leaked."""
        settle("nothing of readers to be left", self._left, limit=15)


def _lend(rig):
    """Set the device up to lend its last queue; return the queue's number."""
    need_reflow(rig)
    steering.need_queues(rig, 2)
    queue = rig.queues - 1
    split = split_of(rig)
    rings = rig.run(DUT, "ethtool", "-g", rig.device).split("RX Jumbo:")
    rig.defer(rig.run, DUT, "ethtool", "-G", rig.device, "rx-jumbo", rings[-1].split()[0])
    split.set(ON, 0)
    rig.run(DUT, "ethtool", "-G", rig.device, "rx-jumbo", str(RING))
    steering.reset(rig)
    steering.ethtool(rig, "-X", f"equal {queue}")
    for version in (4, 6):
        steering.add_rule(rig, f"flow-type tcp{version} dst-port {PORT} action {queue}")
    return queue


def _reader(rig, *about):
    child = Child(*about)
    rig.defer(child.end)
    return child


def _without(rig, queue):
    until(f"queue {queue} to have the kernel's memory again",
          lambda: provider(rig, queue) is None, interval=0.005)


def _plain(rig, queue):
    """Check that the queue works for a reader that copies."""
    before = read(rig)
    child = _reader(rig, _copying, 4)
    _send_whole(rig, child, 4, ENOUGH)
    packets = per_queue(rig, change(before, read(rig)), "rx", "packets")[queue]
    check(packets >= ENOUGH // 1500, f"only {packets} packets came through queue {queue}")


def _copying(words, version):
    """Run a reader that copies."""
    sock, at = _accept(words, version), 0
    while data := sock.recv(PIECE):
        check(data == _expected(at, len(data)), f"{len(data)} bytes behind {at} came changed")
        at += len(data)
        words[RECEIVED] = at


def _killed_and_reopened(rig, memory_of, name):
    """Kill readers of a lent queue in the middle of a stream; open the queue again at once."""
    queue, account, before = _lend(rig), Account(rig), read(rig)
    for number in range(rig.config["rounds"]):
        version, manner = (4, 6)[number % 2], KEEP if number % 5 == 4 else BACK
        child = _reader(rig, _lent, memory_of, rig.device, queue, version, manner)
        if number % 10 == 6:
            # Nothing was ever received.
            child.wait_for("the reader to listen", READY)
            equal("the memory of the queue", provider(rig, queue), name)
            child.kill()
        else:
            with Stream(rig, child, version) as stream:
                if manner == KEEP:
                    stream.feed(lambda: child.words[SPELLS])
                else:
                    stream.feed_more()
                child.kill()
        _without(rig, queue)
        if number % 10 == 9:
            _plain(rig, queue)
    _plain(rig, queue)
    bulk(rig, PEER, 6, flows=4, size=1 << 18)
    account.settle()
    stats = change(before, read(rig))
    equal("completions that made no sense",
          sum(per_queue(rig, stats, "rx", "drop_bad_completion")), 0)
    equal("packets handed over or dropped by the device, of those on the wire",
          stats[HANDED_OVER] + device_drops(stats), stats[ON_WIRE])


@case(limit=400)
def io_uring_killed_and_reopened(rig):
    """io_uring readers killed in the middle of a stream: the queue opens again, nothing leaks."""
    _killed_and_reopened(rig, ZeroCopy, "io-uring")


@case(limit=400)
def devmem_killed_and_reopened(rig):
    """devmem readers killed in the middle of a stream: the queue opens again, nothing leaks."""
    _killed_and_reopened(rig, DeviceMemory, "dmabuf")


@case(limit=400)
def mapping_killed_and_reopened(rig):
    """Readers that map pages of a socket, killed with pages mapped: nothing leaks."""
    need_reflow(rig)
    gather(rig)
    account = Account(rig)
    for number in range(rig.config["rounds"]):
        version = (4, 6)[number % 2]
        child = _reader(rig, _mapping, version)
        with Stream(rig, child, version) as stream:
            stream.feed_more()
            with Waiting("a page to be mapped"):
                stream.feed(lambda: child.words[COPIED] < child.words[RECEIVED])
            child.kill()
    bulk(rig, PEER, 6, flows=4, size=1 << 18)
    account.settle()


@case(limit=60)
def split_data_are_mapped(rig):
    """With header split on the queues have pages that can be mapped, of a stream from its first
    byte on: most of it is mapped, not copied."""
    need_reflow(rig)
    split_of(rig).set(ON, 0)
    gather(rig)
    child = _reader(rig, _mapping, 4)
    with Stream(rig, child, 4) as stream:
        stream.send(WHOLE)
        until("the stream to be read", lambda: child.words[RECEIVED] > WHOLE - 2 * PAGE, limit=20)
        copied = child.words[COPIED]
        child.kill()
    check(copied < WHOLE // 2, f"{copied} bytes of {WHOLE} were copied")


@case(limit=60)
def not_one_byte_is_copied(rig):
    """The kernel copies no byte of a stream: all is in the memory that the reader gave."""
    queue = _lend(rig)
    for memory_of in (ZeroCopy, DeviceMemory):
        for version in (4, 6):
            child = _reader(rig, _lent, memory_of, rig.device, queue, version, BACK)
            _send_whole(rig, child, version, WHOLE)
            equal(f"bytes copied of {WHOLE}", child.words[COPIED], 0)
            _without(rig, queue)


@case(limit=60)
def goes_on_after_starving(rig):
    """A reader that holds all buffers stops the stream; it goes on when they are returned."""
    queue = _lend(rig)
    for memory_of in (ZeroCopy, DeviceMemory):
        before = read(rig)
        child = _reader(rig, _lent, memory_of, rig.device, queue, 4, HOARD)
        child.words[LET_GO] = 1
        _send_whole(rig, child, 4, WHOLE)
        check(child.words[SPELLS] > 0, "the reader never ran out of buffers")
        failed = per_queue(rig, change(before, read(rig)), "rx", "alloc_fail")[queue]
        check(failed > 0, "the queue never ran out of buffers")
        _without(rig, queue)


@case(limit=60)
def down_and_up_while_lent(rig):
    """The interface goes down and up and rings change: the reader keeps its queue and its stream."""
    queue = _lend(rig)
    rig.defer(rig.bring_up)
    for memory_of, name in ((ZeroCopy, "io-uring"), (DeviceMemory, "dmabuf")):
        child = _reader(rig, _lent, memory_of, rig.device, queue, 4, BACK)
        with Stream(rig, child, 4) as stream:
            stream.feed_more()
            rig.ip(DUT, f"link set {rig.device} down")
            rig.bring_up()
            equal("the memory of the queue", provider(rig, queue), name)
            stream.feed_more()
            rig.run(DUT, "ethtool", "-G", rig.device, "rx-jumbo", str(RING // 2))
            equal("the memory of the queue", provider(rig, queue), name)
            stream.feed_more()
            rig.run(DUT, "ethtool", "-G", rig.device, "rx-jumbo", str(RING))
            stream.finish()
        equal("bytes copied", child.words[COPIED], 0)
        _without(rig, queue)


@case(limit=60)
def opened_while_down(rig):
    """A queue is lent and taken back while the interface is down, and lent when it comes up."""
    queue = _lend(rig)
    rig.defer(rig.bring_up)
    for memory_of, name in ((ZeroCopy, "io-uring"), (DeviceMemory, "dmabuf")):
        for stays in (False, True):
            rig.ip(DUT, f"link set {rig.device} down")
            child = _reader(rig, _lent, memory_of, rig.device, queue, 4, BACK)
            child.wait_for("the reader to listen", READY)
            if stays:
                rig.bring_up()
                equal("the memory of the queue", provider(rig, queue), name)
                _send_whole(rig, child, 4, ENOUGH)
                equal("bytes copied", child.words[COPIED], 0)
                _without(rig, queue)
            else:
                child.kill()
                rig.bring_up()
                _without(rig, queue)
                _plain(rig, queue)


def _failed(rig, queue):
    return per_queue(rig, read(rig), "rx", "alloc_fail")[queue]


@case(limit=60)
def comes_up_without_buffers(rig):
    """Rings change and the interface comes up while a reader has all buffers; then it goes on."""
    queue = _lend(rig)
    rig.defer(rig.bring_up)
    for memory_of in (ZeroCopy, DeviceMemory):
        child = _reader(rig, _lent, memory_of, rig.device, queue, 4, HOARD)
        with Stream(rig, child, 4) as stream:
            stream.feed(lambda: child.words[SPELLS])
            rig.run(DUT, "ethtool", "-G", rig.device, "rx-jumbo", str(RING // 2))
            rig.ip(DUT, f"link set {rig.device} down")
            rig.bring_up()
            bulk(rig, PEER, 6, flows=2, size=1 << 18)
            rig.run(DUT, "ethtool", "-G", rig.device, "rx-jumbo", str(RING))
            failed = _failed(rig, queue)
            until("the driver to ask for buffers by itself",
                  lambda failed=failed: _failed(rig, queue) > failed)
            child.words[LET_GO] = 1
            stream.feed_more()
            stream.finish()
        _without(rig, queue)


# The core keeps the mapping of a dma-buf until its reader ends, whether the driver is there or not,
# and the checks of the DMA API report it when the driver lets go of the device.
BINDING = (r"DMA-API: .*\[mapped as scatter-gather\]", "WARNING: kernel/dma/debug.c:", "Call Trace")
MAPPINGS = "/sys/kernel/debug/dma-api/dump"


def _mappings(address):
    """Return the kinds of mappings that a PCI device has left; none without a debug kernel."""
    if not os.path.exists(MAPPINGS):
        return set()
    with open(MAPPINGS, encoding="ascii") as dump:
        return {words[2] for words in map(str.split, dump) if words[1] == address}


@case(limit=60, bears=BINDING)
def driver_removed_while_lent(rig):
    """The driver is unloaded while a reader has a queue; a new load lends it again."""
    account = None
    for memory_of in (ZeroCopy, DeviceMemory):
        queue = _lend(rig)
        address = bus_address(rig)
        account = account or Account(rig)
        child = _reader(rig, _lent, memory_of, rig.device, queue, 4, BACK)
        with Stream(rig, child, 4) as stream:
            stream.feed_more()
            rig.unload()
            left = _mappings(address) - ({"scatter-gather"} if memory_of is DeviceMemory else set())
            check(not left, f"without a driver the device has mappings left: {left}")
        # A fresh driver has fresh settings.
        rig.undos.clear()
        rig.defer(child.end)
        rig.load()
        rig.bring_up()
        child.end()
        equal("the memory of a fresh queue", provider(rig, queue), None)
    queue = _lend(rig)
    child = _reader(rig, _lent, ZeroCopy, rig.device, queue, 4, BACK)
    _send_whole(rig, child, 4, ENOUGH)
    _without(rig, queue)
    account.settle()
