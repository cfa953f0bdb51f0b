# SPDX-License-Identifier: GPL-2.0
"""Traffic whose content is checked at both ends."""

import errno
import hashlib
import random
import selectors
import socket
import struct
import threading
import time

from guest.harness import Failed, Waiting, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER

BLOCK = 16384
_PATTERN = random.Random(2026).randbytes(2 * BLOCK)


class Source:
    """An endless stream: each block holds its flow and its offset."""

    def __init__(self, flow, size):
        self.flow = flow
        self.left = size
        self.number = 0
        self.rest = b""
        self.hash = hashlib.sha256()
        # Blocks that are sent with one write, and so as one push.
        self.blocks = 1

    def _block(self):
        start = (self.number * 97 + self.flow * 31) % BLOCK
        block = struct.pack("!II", self.flow, self.number) + _PATTERN[start:start + BLOCK - 8]
        block = block[:self.left]
        self.hash.update(block)
        self.left -= len(block)
        self.number += 1
        return block

    def pending(self):
        """Return bytes that are to be sent next; empty at the end."""
        if not self.rest and self.left:
            self.rest = memoryview(b"".join(self._block() for _ in range(self.blocks)))
        return self.rest

    def sent(self, count):
        """Note that `count` of the pending bytes are gone."""
        self.rest = self.rest[count:]


class Flow:
    """One TCP connection: what was sent, what has arrived."""

    def __init__(self, number, size):
        self.size = size
        self.source = Source(number, size)
        self.received = 0
        self.hash = hashlib.sha256()

    def whole(self):
        """Return whether all of it has arrived."""
        return self.received == self.size


class Transfer:
    """The result of a bulk transfer."""

    def __init__(self, flows, seconds):
        self.size = sum(flow.size for flow in flows)
        self.seconds = max(seconds, 1e-6)
        self.sent = [flow.source.hash.hexdigest() for flow in flows]
        self.received = [flow.hash.hexdigest() for flow in flows]

    def rate(self):
        """Return megabytes (10^6) a second."""
        return self.size / self.seconds / 1e6


class Bulk:
    """The event loop behind `bulk`: both ends of all flows in one thread."""

    def __init__(self, rig, sender, version, flows, size, first, address, accepted):
        receiver = DUT if sender == PEER else PEER
        family = FAMILY[version]
        self.flows = [Flow(first + n, size) for n in range(flows)]
        self.by_port = {}
        self.accepted = accepted
        self.sent = []      # sockets of senders that have sent all
        self.selector = selectors.DefaultSelector()
        self.listener = rig.socket(receiver, family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address[receiver, version], 0))
        self.tune_listener(self.listener)
        self.listener.listen(flows)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        target = self.listener.getsockname()[:2]
        for flow in self.flows:
            self._connect(rig.socket(sender, family, socket.SOCK_STREAM), target, flow)

    def tune(self, sock):
        """Set options of a sender's socket before it connects."""

    def tune_listener(self, sock):
        """Set options of the listener, which its connections inherit."""

    def _connect(self, sock, target, flow):
        sock.setblocking(False)
        self.tune(sock)
        status = sock.connect_ex(target)
        if status not in (0, errno.EINPROGRESS):
            raise Failed(f"connecting to {target} failed: {errno.errorcode[status]}")
        self.by_port[sock.getsockname()[1]] = flow
        self.selector.register(sock, selectors.EVENT_WRITE,
                               lambda sock=sock, flow=flow: self._send(sock, flow))

    def _accept(self):
        sock, address = self.listener.accept()
        sock.setblocking(False)
        flow = self.by_port.pop(address[1])
        if not self.by_port and self.accepted:
            self.accepted.set()
        self.selector.register(sock, selectors.EVENT_READ,
                               lambda: self.receive(sock, flow))

    def _send(self, sock, flow):
        data = flow.source.pending()
        if not data:
            # Not closed yet: the kernel gives up a socket without an owner, and resets its
            # connection, as soon as there is no route while data waits.
            self.selector.unregister(sock)
            sock.shutdown(socket.SHUT_WR)
            self.sent.append(sock)
            return
        try:
            flow.source.sent(sock.send(data))
        except BlockingIOError:
            pass

    def receive(self, sock, flow):
        """Take what has arrived on a connection."""
        data = sock.recv(1 << 18)
        flow.hash.update(data)
        flow.received += len(data)
        if not data:
            self.end(sock)

    def end(self, sock):
        """Close a connection that is complete."""
        self.selector.unregister(sock)
        sock.close()

    def run(self, limit):
        """Move everything; return the seconds it took."""
        start = time.monotonic()
        while self._open():
            if time.monotonic() - start > limit:
                raise Failed(f"bulk transfer not through after {limit:g} s: {self._progress()}")
            for key, _ in self.selector.select(0.2):
                key.data()
        return time.monotonic() - start

    def _open(self):
        return len(self.selector.get_map()) > 1 or not all(f.whole() for f in self.flows)

    def _progress(self):
        late = [f for f in self.flows if not f.whole()]
        return (f"{len(late)} of {len(self.flows)} flows unfinished, the first with "
                f"{late[0].received} of {late[0].size} bytes" if late else "no end of stream")

    def close(self):
        """Close all that is left open."""
        for sock in [key.fileobj for key in self.selector.get_map().values()] + self.sent:
            sock.close()
        self.selector.close()


def hold_interrupts(rig, usecs):
    """Hold receive interrupts back so long, for the rest of the case."""
    rig.defer(rig.run, DUT, "ethtool", "-C", rig.device, "rx-usecs", "8", "rx-frames", "32")
    rig.run(DUT, "ethtool", "-C", rig.device, "rx-usecs", str(usecs), "rx-frames", "0")


def gather(rig, usecs=5000):
    """Have segments wait for one another in the device, however slowly they are sent."""
    hold_interrupts(rig, min(int(usecs * Waiting.scale), 65535))


def bulk(rig, sender, version, flows=1, size=1 << 20, limit=15, first=0, address=None,
         accepted=None):
    """Send `size` bytes over each flow from `sender`; contents must be equal.

    The content depends on the flow's number, counted from `first`. `address`
    takes the place of the usual addresses. `accepted` is an event that is set when all
    connections are accepted.
    """
    limit *= Waiting.scale
    other = DUT if sender == PEER else PEER
    with Waiting(f"{flows} TCP flows of {size} bytes over IPv{version} from {sender} to {other}"):
        loop = Bulk(rig, sender, version, flows, size, first, address or ADDRESS,
                    accepted)
        try:
            result = Transfer(loop.flows, loop.run(limit))
        finally:
            loop.close()
    for number, (sent, received) in enumerate(zip(result.sent, result.received)):
        equal(f"sha256 of flow {number}", received, sent)
    return result


def datagrams(rig, sender, version, sizes, window=8):
    """Send UDP datagrams of the given sizes, few at a time; all must arrive intact."""
    receiver = DUT if sender == PEER else PEER
    sink = rig.socket(receiver, FAMILY[version], socket.SOCK_DGRAM)
    out = rig.socket(sender, FAMILY[version], socket.SOCK_DGRAM)
    try:
        sink.bind((ADDRESS[receiver, version], 0))
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sink.settimeout(3 * Waiting.scale)
        out.connect(sink.getsockname()[:2])
        for start in range(0, len(sizes), window):
            batch = [_PATTERN[n:n + n] if n < BLOCK else (_PATTERN * 4)[:n]
                     for n in sizes[start:start + window]]
            for data in batch:
                out.send(data)
            for data in batch:
                with Waiting(f"a UDP datagram of {len(data)} bytes over IPv{version} "
                             f"from {sender}"):
                    try:
                        got = sink.recv(1 << 17)
                    except TimeoutError:
                        raise Failed(f"a UDP datagram of {len(data)} bytes over IPv{version} "
                                     f"from {sender} did not arrive") from None
                check(got == data, f"a UDP datagram of {len(data)} bytes from {sender} arrived "
                                   f"changed ({len(got)} bytes)")
    finally:
        sink.close()
        out.close()


class InBackground:
    """A function that runs in a thread beside the case."""

    def __init__(self, call, *args, **options):
        self.result = self.trouble = None
        self.thread = threading.Thread(target=self._run, args=(call, args, options), daemon=True)
        self.thread.start()

    def _run(self, call, args, options):
        try:
            self.result = call(*args, **options)
        except Exception as why:  # handed to whoever asks for the result
            self.trouble = why

    def finish(self, limit):
        """Return the result, or raise what went wrong."""
        self.thread.join(limit * Waiting.scale)
        check(not self.thread.is_alive(),
              f"the traffic in the background did not end within {limit} s")
        if self.trouble:
            raise self.trouble
        return self.result


def streaming(rig, sender, version, **options):
    """Run `bulk` in the background; return the job once all connections are accepted.

    The kernel drops a connection that is not, with a reset to its sender, when the SYN-ACK that it
    repeats finds no route: as while the interface is down.
    """
    accepted = threading.Event()
    job = InBackground(bulk, rig, sender, version, accepted=accepted, **options)
    until("all connections to be accepted",
          lambda: accepted.is_set() or not job.thread.is_alive(), 20)
    return job


class Flood:
    """UDP at full rate, in a thread, whatever happens to the link.

    On a slow machine it pauses between bursts: it is not to take the CPUs from what it disturbs.
    """

    PAUSE = 0.002

    GONE = (errno.EAGAIN, errno.ENOBUFS, errno.ENETUNREACH, errno.EHOSTUNREACH,
            errno.ENETDOWN, errno.EINVAL, errno.EPERM)

    def __init__(self, rig, sender, size=1400):
        receiver = DUT if sender == PEER else PEER
        self.sink = rig.socket(receiver, FAMILY[4], socket.SOCK_DGRAM)
        self.out = rig.socket(sender, FAMILY[4], socket.SOCK_DGRAM)
        self.sink.bind(("", 0))
        self.sink.setblocking(False)
        self.out.setblocking(False)
        self.target = (ADDRESS[receiver, 4], self.sink.getsockname()[1])
        self.data = _PATTERN[:size]
        self.arrived = 0
        self.over = False
        self.job = InBackground(self._pump)

    def _pump(self):
        while not self.over:
            for _ in range(16):
                try:
                    self.out.sendto(self.data, self.target)
                except OSError as why:
                    if why.errno not in self.GONE:
                        raise
                    time.sleep(0.002)
                    break
            try:
                while self.sink.recv(2048):
                    self.arrived += 1
            except BlockingIOError:
                pass
            if Waiting.scale > 1:
                time.sleep(self.PAUSE * Waiting.scale)

    def stop(self):
        """End it; return how many datagrams came through."""
        self.over = True
        self.job.finish(10)
        self.sink.close()
        self.out.close()
        return self.arrived


class BothWays:
    """Floods and checked streams both ways; the streams must survive the body."""

    def __init__(self, rig, size=1 << 20, limit=90):
        self.rig, self.limit = rig, limit
        self.floods = [Flood(rig, PEER), Flood(rig, DUT)]
        self.streams = [InBackground(bulk, rig, side, version, flows=4, size=size, limit=limit)
                        for side in (PEER, DUT) for version in (4, 6)]

    def __enter__(self):
        time.sleep(0.3)
        return self

    def __exit__(self, kind, *_):
        for flood in self.floods:
            flood.stop()
        if kind is None:
            for stream in self.streams:
                stream.finish(self.limit)
            self.rig.echo(PEER, 4)
            self.rig.echo(PEER, 6)
