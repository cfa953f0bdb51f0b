# SPDX-License-Identifier: GPL-2.0
"""Control blocks: connections whose packets go where their application is."""

import os
import socket

from guest.counters import change, need_reflow, per_queue, read
from guest.harness import Waiting, case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import InBackground, Source

RPS_ENTRIES = "/proc/sys/net/core/rps_sock_flow_entries"


class Connection:
    """A TCP connection over which the partner sends, a piece at a time."""

    def __init__(self, rig, number, version=4):
        self.rig, self.number, self.version, self.cpu = rig, number, version, None
        with rig.socket(DUT, FAMILY[version], socket.SOCK_STREAM) as listener:
            listener.bind((ADDRESS[DUT, version], 0))
            listener.listen(1)
            self.out = rig.socket(PEER, FAMILY[version], socket.SOCK_STREAM)
            self.out.connect(listener.getsockname()[:2])
            self.sink = listener.accept()[0]
        for end in (self.out, self.sink):
            end.settimeout(10 * Waiting.scale)
            rig.defer(end.close)

    def ports(self):
        """Return the partner's port and ours."""
        return self.out.getsockname()[1], self.sink.getsockname()[1]

    def read_on(self, cpu):
        """Have all that follows read on one CPU."""
        self.cpu = cpu

    def _feed(self, source):
        while data := source.pending():
            source.sent(self.out.send(data))

    def _drain(self, size):
        if self.cpu is not None:
            os.sched_setaffinity(0, {self.cpu})
        got = bytearray()
        while len(got) < size:
            got += self.sink.recv(min(size - len(got), 1 << 17))
        return bytes(got)

    def move(self, size=1 << 18):
        """Send so many bytes and read them; they must arrive as they were sent."""
        source, want = Source(self.number, size), Source(self.number, size)
        reader = InBackground(self._drain, size)
        self._feed(source)
        got = reader.finish(20)
        expected = bytearray()
        while data := want.pending():
            expected += data
            want.sent(len(data))
        check(got == expected, f"connection {self.number}: {size} bytes arrived changed")

    def rule(self, queue):
        """Add a rule for exactly this connection; return its number."""
        theirs, ours = self.ports()
        said = self.rig.run(DUT, "ethtool", "-N", self.rig.device, "flow-type",
                            f"tcp{self.version}",
                            "src-ip", ADDRESS[PEER, self.version],
                            "dst-ip", ADDRESS[DUT, self.version],
                            "src-port", str(theirs), "dst-port", str(ours),
                            "action", str(queue))
        number = said.strip().rpartition(" ")[2]
        self.rig.defer(lambda: self.rig.run(DUT, "ethtool", "-N", self.rig.device, "delete",
                                            number, may_fail=True))
        return number


def _moved(rig, *connections, size=1 << 18):
    """Move data over connections; return what the counters say of it."""
    before = read(rig)
    for connection in connections:
        connection.move(size)
    return change(before, read(rig))


def _in_order(rig, connection):
    """Move data until none of it came twice or out of order; return what the counters say.

    On a loaded machine the partner may take an answer for lost.
    """
    def attempt():
        stats = _moved(rig, connection)
        return stats if not stats["hw_op_out_of_order"] + stats["hw_tcb_not_applied"] else None
    return until("data to come in order", attempt, limit=10)


def _summaries(rig, stats):
    """Return packets that blocks applied to and did not apply to, by queue."""
    return (per_queue(rig, stats, "rx", "tcb_applied"),
            per_queue(rig, stats, "rx", "tcb_not_applied"))


def _wait_for(rig, counter, before, more=1):
    until(f"{counter} to grow", lambda: read(rig)[counter] >= before[counter] + more, limit=8)


def _pinned(rig, version, number=1):
    """Return a connection that has a block by a rule, and the queue that the rule names."""
    connection = Connection(rig, number, version)
    used = per_queue(rig, _moved(rig, connection), "rx", "packets")
    queue = (used.index(max(used)) + 1) % rig.queues
    before = read(rig)
    number = connection.rule(queue)
    _wait_for(rig, "tcb_set", before)
    return connection, queue, number


@case(claims=(24, 25, 26), limit=40)
def applies_to_its_own_connection(rig):
    """A rule's connection gets a block: its packets say so and go to the rule's queue.

    Another connection's packets say nothing of a block; without the rule, nor do its own.
    """
    need_reflow(rig)
    for version in (4, 6):
        connection, queue, number = _pinned(rig, version)
        other = Connection(rig, 2, version)
        stats = _in_order(rig, connection)
        applied, missed = _summaries(rig, stats)
        check(applied[queue] >= (1 << 18) // 1448, f"a block applied to {applied}, by queue")
        equal("packets it applied to elsewhere", sum(applied) - applied[queue], 0)
        equal("the device's own count", stats["hw_tcb_applied"], sum(applied))
        equal("packets it did not apply to", sum(missed), 0)
        stats = _moved(rig, other)
        equal("packets of the other connection that a block had to do with",
              [sum(side) for side in _summaries(rig, stats)], [0, 0])
        before = read(rig)
        rig.run(DUT, "ethtool", "-N", rig.device, "delete", number)
        stats = _moved(rig, connection)
        equal("packets that a block applied to without the rule",
              [sum(side) for side in _summaries(rig, stats)], [0, 0])
        equal("blocks set meanwhile", change(before, read(rig))["tcb_set"], 0)


@case(claims=(24, 26), limit=60)
def out_of_order(rig):
    """Packets out of order: the block does not apply, is set again, and data stay right."""
    need_reflow(rig)
    connection, queue, _ = _pinned(rig, 4)
    device, before = rig.name(PEER), read(rig)
    rig.run(PEER, "tc", "qdisc", "replace", "dev", device, "root", "netem", "delay", "40ms",
            "reorder", "80%", "limit", "5000")
    try:
        connection.move(1 << 18)
    finally:
        rig.run(PEER, "tc", "qdisc", "del", "dev", device, "root")
    stats = change(before, read(rig))
    applied, missed = _summaries(rig, stats)
    check(missed[queue] > 0, f"reordered on purpose, but the block applied to {applied}")
    equal("the device's own count", stats["hw_tcb_not_applied"], sum(missed))
    check(stats["tcb_set_again"] + stats["tcb_handed_back"] > 0,
          "the block did not apply, and was neither set again nor handed back")

    def applies():
        applied, missed = _summaries(rig, _moved(rig, connection, size=1 << 16))
        return applied[queue] and not sum(missed)
    if not stats["tcb_handed_back"]:
        until("the block to apply again", applies, limit=10)


@case(claims=(24,), limit=60)
def down_and_up(rig):
    """The interface goes down and up under a connection with a block: both live on."""
    need_reflow(rig)
    connection, queue, _ = _pinned(rig, 4)
    for _ in range(3):
        before = read(rig)
        rig.ip(DUT, f"link set {rig.device} down", f"link set {rig.device} up")
        rig.bring_up()
        _wait_for(rig, "tcb_set", before)
        applied, _ = _summaries(rig, _in_order(rig, connection))
        check(applied[queue] > 0, f"afterwards the block applied to {applied}")


@case(claims=(24, 25), limit=30)
def ends_with_its_connection(rig):
    """The block of a connection is taken away when the connection ends, from either end."""
    need_reflow(rig)
    for end in ("out", "sink"):
        connection, _, number = _pinned(rig, 4)
        before = read(rig)
        getattr(connection, end).close()
        _wait_for(rig, "tcb_ended", before)
        rig.run(DUT, "ethtool", "-N", rig.device, "delete", number)


def _write(path, value):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(str(value))


def _follow_applications(rig):
    """Switch on steering after the application's CPU."""
    queues = [f"/sys/class/net/{rig.device}/queues/rx-{n}/rps_flow_cnt" for n in range(rig.queues)]
    _write(RPS_ENTRIES, 32768)
    rig.defer(_write, RPS_ENTRIES, 0)
    for path in queues:
        _write(path, 2048)
        rig.defer(_write, path, 0)


@case(claims=(24, 25, 26, 38, 39, 45, 54, 61), limit=60)
def follows_its_application(rig):
    """A connection's packets go to the queue that alerts the CPU on which it is read."""
    need_reflow(rig)
    _follow_applications(rig)
    connection = Connection(rig, 5)
    for cpu in list(range(min(rig.queues, rig.config["cpus"])))[::-1]:
        connection.read_on(cpu)

        def arrived(cpu=cpu):
            alerts = rig.interrupts()
            stats = _moved(rig, connection)
            packets = per_queue(rig, stats, "rx", "packets")
            queue = packets.index(max(packets))
            now, then = rig.interrupts(), alerts
            name = f"{rig.device}-{queue}"
            raised = [a - b for a, b in zip(now[name], then[name])]
            applied, _ = _summaries(rig, stats)
            return (packets[queue] > 0.9 * sum(packets) and raised[cpu] == max(raised)
                    and applied[queue] > 0.9 * max(packets))
        until(f"its packets to come to CPU {cpu}, where it is read", arrived, limit=15)
    before = read(rig)
    connection.out.close()
    connection.sink.close()
    _wait_for(rig, "tcb_ended", before)
    equal("blocks that the device refused", before["tcb_refused"], 0)


@case(claims=(30,), limit=40)
def known_from_its_set_up(rig):
    """A connection is in the flow database before its first data, and out of it at its end."""
    need_reflow(rig)
    for version in (4, 6):
        def first_data(version=version):
            before = read(rig)
            connection = Connection(rig, 7, version)
            _wait_for(rig, "hw_fdb_insert", before)
            before = read(rig)
            connection.move(1 << 16)
            stats = change(before, read(rig))
            equal("entries that the data made", stats["hw_fdb_insert"], 0)
            check(stats["hw_op_start"] > 0, "no data started an aggregate")
            before = read(rig)
            connection.out.close()
            _wait_for(rig, "hw_fdb_teardown", before)
            return not stats["hw_op_out_of_order"]
        until("data to have the expected number from the first packet on", first_data, limit=15)
