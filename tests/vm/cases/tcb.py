# SPDX-License-Identifier: GPL-2.0
"""Control blocks: per-connection steering."""

import os
import socket

from guest import bpf
from guest.counters import change, need_reflow, per_queue, read
from guest.device import table, with_parameter
from guest.harness import Waiting, case, check, equal, settle, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.split import OFF, ON, split_of
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
        """Read on one CPU from now on."""
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
        """Send so many bytes, read and compare them."""
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
    """Move data over connections; return the changes of the counters."""
    before = read(rig)
    for connection in connections:
        connection.move(size)
    return change(before, read(rig))


def _in_order(rig, connection):
    """Move data until none of it was sent twice or out of order; return the changes of counters.

    On a loaded machine the partner may take an answer for lost.
    """
    def attempt():
        stats = _moved(rig, connection)
        spoilt = stats["hw_rx_out_of_order"] + stats["hw_tcb_not_applied"]
        return None if spoilt else stats
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
    """A connection with a rule gets a block: its packets report it and go to the rule's queue.

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
        (row,) = table(rig, "tcbs")
        theirs, ours = connection.ports()
        check(row["source"].endswith(f":{theirs}") and row["destination"].endswith(f":{ours}"),
              f"the block that the device has is {row}")
        equal("what the device reads back",
              (row["queue"], row["state"], row["mode"], row["owner"]),
              (str(queue), "valid", "steer", f"rule:{number}"))
        check(int(row["applied"]) >= applied[queue], f"the device counts {row}")
        stats = _moved(rig, other)
        equal("packets of the other connection that a block had to do with",
              [sum(side) for side in _summaries(rig, stats)], [0, 0])
        before = read(rig)
        rig.run(DUT, "ethtool", "-N", rig.device, "delete", number)
        stats = _moved(rig, connection)
        equal("packets that a block applied to without the rule",
              [sum(side) for side in _summaries(rig, stats)], [0, 0])
        equal("blocks set meanwhile", change(before, read(rig))["tcb_set"], 0)


def _applies_again(rig, connection, queue):
    """Wait until the connection's block applies to all packets, in its queue."""
    def left():
        stats = _moved(rig, connection, size=1 << 16)
        applied, missed = _summaries(rig, stats)
        done = {name: count for name, count in stats.items() if name.startswith("tcb_")}
        return None if applied[queue] and not sum(missed) else (applied, missed, done)
    settle("the block applies again", left, limit=12)


@case(claims=(24, 26), limit=60)
def out_of_order(rig):
    """Packets out of order make the block stale; it is set again, and data stay right."""
    need_reflow(rig)
    connection, queue, _ = _pinned(rig, 4)
    device, before = rig.name(PEER), read(rig)
    rig.run(PEER, "tc", "qdisc", "replace", "dev", device, "root", "netem", "delay", "40ms",
            "reorder", "80%", "limit", "5000")
    try:
        # If the partner sends a window at once there may be nothing to reorder.
        for _ in range(8):
            connection.move(1 << 18)
            stats = change(before, read(rig))
            applied, missed = _summaries(rig, stats)
            if missed[queue]:
                break
    finally:
        rig.run(PEER, "tc", "qdisc", "del", "dev", device, "root")
    check(missed[queue] > 0, f"reordered on purpose, but the block applied to {applied}")
    equal("the device's own count", stats["hw_tcb_not_applied"], sum(missed))

    def mended():
        seen = change(before, read(rig))
        return seen["tcb_set_again"] + seen["tcb_handed_back"] > 0
    # The driver lets some time pass before it tries again.
    until("a block that did not apply to be set again or handed back", mended, limit=8)
    _applies_again(rig, connection, queue)


@case(claims=(24, 26), limit=60)
def applies_with_a_program(rig):
    """With an XDP program and header split packets say whether their block applied, too, and a
    block that became stale is set again. Without the split it steers, and no more."""
    need_reflow(rig)
    split = split_of(rig)
    split.set(ON, 0)
    program = bpf.Program(bpf.Code().leave(bpf.PASS), frags=True)
    rig.defer(program.close)
    rig.defer(bpf.detach, rig.device)
    bpf.attach(rig.device, program)
    rig.wait_link()
    connection, queue, _ = _pinned(rig, 4)
    _applies_again(rig, connection, queue)
    before = read(rig)
    split.set(OFF)
    stats = _moved(rig, connection)
    applied, missed = _summaries(rig, stats)
    equal("packets that the block applied to without the split", sum(applied), 0)
    equal("the device's own count", stats["hw_tcb_not_applied"], sum(missed))
    check(missed[queue] > 0, f"the block steered {missed}, by queue")
    # The missed packets made it stale: it is set again, or handed back for a while and set anew.
    split.set(ON, 0)
    _applies_again(rig, connection, queue)
    check(change(before, read(rig))["tcb_set"] > 0, "the block was not set again")


@case(claims=(24,), limit=60)
def down_and_up(rig):
    """Down and up under a connection with a block: both continue."""
    need_reflow(rig)
    connection, queue, _ = _pinned(rig, 4)
    for _ in range(3):
        before = read(rig)
        rig.ip(DUT, f"link set {rig.device} down", f"link set {rig.device} up")
        rig.bring_up()
        _wait_for(rig, "tcb_set", before)
        _applies_again(rig, connection, queue)


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
    connection, begun = Connection(rig, 5), read(rig)
    for cpu in list(range(min(rig.queues, rig.config["cpus"])))[::-1]:
        connection.read_on(cpu)

        def elsewhere(cpu=cpu):
            alerts = rig.interrupts()
            stats = _moved(rig, connection)
            packets = per_queue(rig, stats, "rx", "packets")
            queue = packets.index(max(packets))
            now, name = rig.interrupts(), f"{rig.device}-{queue}"
            raised = [a - b for a, b in zip(now[name], alerts[name])]
            good = packets[queue] > 0.9 * sum(packets) and raised[cpu] == max(raised)
            done = {name: count for name, count in stats.items() if name.startswith("tcb_")}
            return None if good else {"packets": packets, "alerts of their queue": raised, **done}
        settle(f"its packets come to CPU {cpu}, where it is read", elsewhere, limit=15)
    before = read(rig)
    # The hash may have chosen the right queue for one of the CPUs.
    check(before["tcb_set"] >= begun["tcb_set"] + 1, "no block was set to follow the reader")
    connection.out.close()
    connection.sink.close()
    _wait_for(rig, "tcb_ended", before)
    equal("blocks that the device refused", before["tcb_refused"], 0)


def _followed(rig, number):
    """Return a connection that has a block because it follows its application."""
    connection, cpu = Connection(rig, number), 0

    def has_block():
        nonlocal cpu
        connection.read_on(cpu := (cpu + 1) % rig.config["cpus"])
        return sum(_summaries(rig, _moved(rig, connection, size=1 << 16))[0])
    until("a connection to have a block", has_block, limit=15)
    return connection


@case(claims=(24,), limit=60)
def followed_no_longer(rig):
    """Switching steering off, in the core or in the device, removes the blocks."""
    need_reflow(rig)

    def in_core():
        for n in range(rig.queues):
            _write(f"/sys/class/net/{rig.device}/queues/rx-{n}/rps_flow_cnt", 0)

    def in_device():
        rig.run(DUT, "ethtool", "-K", rig.device, "ntuple", "off")
        rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, "ntuple", "on")
    for number, switch_off in enumerate((in_core, in_device)):
        _follow_applications(rig)
        connection = _followed(rig, number)
        before = read(rig)
        switch_off()
        _wait_for(rig, "tcb_expired", before)
        applied, missed = _summaries(rig, _moved(rig, connection))
        equal("packets that a block still has to do with", sum(applied) + sum(missed), 0)


@case(claims=(30,), limit=40)
def known_from_its_set_up(rig):
    """A connection is in the flow database before its first data, and out of it at its end."""
    need_reflow(rig)
    # On a loaded machine a connection may be idle for longer than usual.
    with_parameter(rig, "flow_age_us", 60_000_000)
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
            return not stats["hw_rx_out_of_order"]
        until("data to have the expected number from the first packet on", first_data, limit=15)
