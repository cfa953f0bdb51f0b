# SPDX-License-Identifier: GPL-2.0
"""Packets go where `ethtool -X` and `ethtool -N` say."""

from guest.counters import need_reflow
from guest.frames import TCP, UDP
from guest.harness import case, check, equal
from guest.net import DUT, PEER
from guest.steering import (TABLE, TOGETHER, UDP_V6_FLOW, Flow, add_rule, context, ethtool,
                            expect, flows, need_queues, refused, reset, set_hash_fields,
                            toeplitz)
from guest.traffic import bulk, streaming

KINDS = ((4, TCP), (4, UDP), (6, TCP), (6, UDP))
KEY = bytes(range(0x11, 0x11 + 40))


def _prepare(rig, queues=4):
    need_reflow(rig)
    need_queues(rig, queues)
    reset(rig)


def _by_hash(rig, number=0, **hashed):
    """Return a function that computes a flow's queue from the context's key and table."""
    table, key = context(rig, number)
    return lambda flow: table[toeplitz(key, flow.hashed(**hashed)) % TABLE]


@case(claims=(5, 6, 32, 38, 39, 45, 54, 61), limit=40)
def hash_chooses_the_queue(rig):
    """Source and destination, hashed with the user's key, choose the queue of every flow."""
    _prepare(rig)
    for key in (KEY, KEY[::-1]):
        ethtool(rig, "-X", "hkey", key.hex(":"))
        equal("key as read back", context(rig)[1], key)
        for kind in KINDS:
            expect(rig, flows(*kind), _by_hash(rig))


@case(claims=(38, 39, 45, 54, 61), limit=30)
def weights_move_traffic(rig):
    """Queues without weight get nothing; `equal` and `default` bring them back."""
    _prepare(rig)
    for words, used in (("weight 0 1 0 3", {1, 3}), ("equal 2", {0, 1}),
                        ("start 2 equal 2", {2, 3}), ("default", set(range(rig.queues)))):
        ethtool(rig, "-X", words)
        equal(f"queues in the table after {words}", set(context(rig)[0]), used)
        expect(rig, flows(4, UDP), _by_hash(rig))
    table = context(rig)[0]
    ethtool(rig, "-X", "weight 1 7")
    equal("entries of 1 to 7", [context(rig)[0].count(q) for q in (0, 1)], [16, 112])
    ethtool(rig, "-X", "default")
    equal("the table again", context(rig)[0], table)


@case(claims=(5, 6, 61), limit=60)
def hashed_fields(rig):
    """Any choice of addresses and ports, for each kind of packets separately."""
    _prepare(rig)
    for version, proto, kind in ((4, TCP, "tcp4"), (4, UDP, "udp4"), (6, TCP, "tcp6"),
                                 (6, UDP, "udp6")):
        for fields in ("sd", "f", "sn", "dfn"):
            ethtool(rig, "-N", f"rx-flow-hash {kind} {fields}")
            expect(rig, flows(version, proto, 24), _by_hash(rig, fields=fields))
        expect(rig, flows(10 - version, proto, 24), _by_hash(rig))
        ethtool(rig, "-N", f"rx-flow-hash {kind} sdfn")
    refused(rig, "not supported", "-N", "rx-flow-hash udp4 m")
    refused(rig, "not supported", "-N", "rx-flow-hash ether d")


@case(limit=30)
def flow_label_is_hashed(rig):
    """With the flow label, flows of the same addresses and ports get different hashes."""
    _prepare(rig)
    chosen = [Flow(6, UDP, 9, 9, label=n * 0x1357) for n in range(1, 40)]
    expect(rig, chosen, _by_hash(rig))
    set_hash_fields(rig, UDP_V6_FLOW, "sdl")
    expect(rig, chosen, _by_hash(rig, fields="sdl"))
    set_hash_fields(rig, UDP_V6_FLOW, "sdfnl")
    expect(rig, chosen, _by_hash(rig, fields="sdfnl"))
    table, key = context(rig)
    queues = {table[toeplitz(key, flow.hashed("sdfnl")) % TABLE] for flow in chosen}
    equal("queues that differ by label alone", queues, set(range(rig.queues)))


@case(claims=(39, 45), limit=30)
def symmetric_hash(rig):
    """With symmetric-xor both directions of a connection come through one queue."""
    _prepare(rig)
    ethtool(rig, "-X", "xfrm symmetric-xor")
    for version in (4, 6):
        there = [Flow(version, UDP, 30000 + n, 40000 + 13 * n) for n in range(32)]
        back = [Flow(version, UDP, flow.dport, flow.sport) for flow in there]
        queue_of = _by_hash(rig, symmetric=True)
        equal("queues of both directions", [queue_of(flow) for flow in there],
              [queue_of(flow) for flow in back])
        expect(rig, there, queue_of)
        expect(rig, back, queue_of)


@case(claims=(5, 7, 32, 38, 39, 45, 54, 61), limit=40)
def rules_choose_the_queue(rig):
    """A rule for one connection moves that one only."""
    _prepare(rig)
    ethtool(rig, "-X", "equal 1")
    chosen = [flow for kind in KINDS for flow in flows(*kind, count=4)]
    target = {flow: 1 + n % 3 for n, flow in enumerate(chosen)}
    for flow in chosen:
        add_rule(rig, f"{flow.match()} action {target[flow]}")
    others = [flow for kind in KINDS for flow in flows(*kind, count=4, dport=7778)]
    expect(rig, chosen + others, lambda flow: target.get(flow, 0))


@case(claims=(5, 7, 54, 61), limit=30)
def rules_with_masks(rig):
    """Rules with masks of addresses and ports match exactly the masked bits."""
    _prepare(rig)
    ethtool(rig, "-X", "equal 1")
    add_rule(rig, "flow-type udp4 dst-port 0x1e00 m 0x00ff action 1")
    add_rule(rig, "flow-type ip4 src-ip 192.0.0.0 m 0.0.255.255 dst-ip 192.0.2.1 action 2")
    add_rule(rig, "flow-type tcp6 src-ip 2001:db8::2 action 3")
    probes = {Flow(4, UDP, 9, 0x1e00): 1, Flow(4, UDP, 9, 0x1eff): 1, Flow(4, UDP, 9, 0x1f00): 2,
              Flow(4, TCP, 9, 0x1e00): 2, Flow(6, TCP, 9, 9): 3, Flow(6, UDP, 9, 0x1e00): 0}
    for flow, queue in probes.items():
        expect(rig, [flow], lambda _, queue=queue: queue)


@case(limit=30)
def rules_in_their_order(rig):
    """Of several rules the lowest wins; without it the next one; a repeated match is refused."""
    _prepare(rig)
    ethtool(rig, "-X", "equal 1")
    flow = Flow(4, UDP, 5, 6)
    ethtool(rig, "-N", "flow-type udp4 action 1 loc 40")
    ethtool(rig, "-N", "flow-type udp4 dst-port 6 action 2 loc 20")
    ethtool(rig, "-N", "flow-type udp4 src-port 5 action 3 loc 30")
    for location, queue in ((20, 2), (30, 3), (40, 1)):
        expect(rig, [flow], lambda _, queue=queue: queue)
        ethtool(rig, "-N", f"delete {location}")
    expect(rig, [flow], lambda _: 0)
    first = add_rule(rig, "flow-type udp4 dst-port 6 action 1")
    refused(rig, "File exists", "-N", "flow-type udp4 dst-port 6 action 3")
    expect(rig, [flow], lambda _: 1)
    ethtool(rig, "-N", f"flow-type udp4 dst-port 6 action 3 loc {first}")
    expect(rig, [flow], lambda _: 3)
    ethtool(rig, "-N", f"flow-type udp4 dst-port 6 action 2 loc {first + 2}")
    expect(rig, [flow], lambda _: 3)
    refused(rig, "No such file", "-N", f"delete {first + 1}")


@case(limit=30)
def rules_drop(rig):
    """Frames that a rule drops are counted exactly, and reach no queue."""
    _prepare(rig)
    bad, good = flows(4, UDP, 8, dport=666), flows(4, UDP, 8, dport=667)
    location = add_rule(rig, "flow-type udp4 dst-port 666 action -1")
    queue_of = _by_hash(rig)
    expect(rig, bad + good, lambda flow: None if flow in bad else queue_of(flow),
           dropped=len(bad) * TOGETHER)
    ethtool(rig, "-N", f"delete {location}")
    expect(rig, bad + good, queue_of)


@case(claims=(39, 45, 54, 61), limit=40)
def contexts(rig):
    """Rules send packets to hash contexts, each with a table, a key and fields of its own."""
    _prepare(rig)
    ethtool(rig, "-X", "equal 1")
    ethtool(rig, "-X", "context new start 2 equal 2")
    ethtool(rig, "-X", f"context new weight 0 1 0 1 hkey {KEY.hex(':')}")
    equal("key of context 2", context(rig, 2)[1], KEY)
    one, two, rest = (flows(4, UDP, dport=port) for port in (81, 82, 83))
    add_rule(rig, "flow-type udp4 dst-port 81 context 1")
    add_rule(rig, "flow-type udp4 dst-port 82 context 2")
    by = [_by_hash(rig, number) for number in range(3)]
    expect(rig, rest, by[0])
    expect(rig, one, by[1])
    expect(rig, two, by[2])
    ethtool(rig, "-N", "rx-flow-hash udp4 sd context 2")
    expect(rig, two, _by_hash(rig, 2, fields="sd"))
    expect(rig, one, by[1])
    ethtool(rig, "-X", "context 1 weight 1 1 1 1")
    expect(rig, one, _by_hash(rig, 1))
    # Context 0 by name: before a rule that matches all.
    ethtool(rig, "-N", "flow-type udp4 dst-port 83 context 0 loc 10")
    ethtool(rig, "-N", "flow-type udp4 context 1 loc 11")
    expect(rig, rest, by[0])
    expect(rig, flows(4, UDP, dport=84), _by_hash(rig, 1))


@case(claims=(38, 39, 45), limit=30)
def rules_add_to_contexts(rig):
    """A rule's queue is added to that of its context; sums beyond the last are refused."""
    _prepare(rig)
    ethtool(rig, "-X", "equal 1")
    ethtool(rig, "-X", "context new equal 2")
    location = add_rule(rig, "flow-type udp4 dst-port 81 context 1 action 2")
    queue_of = _by_hash(rig, 1)
    expect(rig, flows(4, UDP, dport=81), lambda flow: queue_of(flow) + 2)
    expect(rig, flows(4, UDP, dport=82), lambda _: 0)
    refused(rig, "Invalid argument", "-N",
            f"flow-type udp4 dst-port 82 context 1 action {rig.queues - 1}")
    refused(rig, "not supported", "-N", "flow-type udp4 dst-port 82 context 0 action 1")
    refused(rig, "Invalid argument", "-X", f"context 1 equal {rig.queues}")
    refused(rig, "ntuple", "-L", f"combined {rig.queues - 1}")
    ethtool(rig, "-N", f"delete {location}")
    ethtool(rig, "-X", f"context 1 equal {rig.queues}")


@case(limit=40)
def survives_down_and_up(rig):
    """Table, key, contexts and rules are in force after the interface was down."""
    _prepare(rig)
    ethtool(rig, "-X", f"weight 1 1 hkey {KEY.hex(':')}")
    ethtool(rig, "-X", "context new start 2 equal 2")
    first = add_rule(rig, "flow-type udp4 dst-port 81 context 1")
    rig.ip(DUT, f"link set {rig.device} down")
    second = add_rule(rig, "flow-type udp4 dst-port 82 action 3")
    ethtool(rig, "-X", "context new start 1 equal 1")
    third = add_rule(rig, "flow-type udp4 dst-port 83 context 2")
    rig.bring_up()
    equal("locations", len({first, second, third}), 3)
    expect(rig, flows(4, UDP, dport=80), _by_hash(rig))
    expect(rig, flows(4, UDP, dport=81), _by_hash(rig, 1))
    expect(rig, flows(4, UDP, 8, dport=82), lambda _: 3)
    expect(rig, flows(4, UDP, 8, dport=83), lambda _: 1)
    equal("key", context(rig)[1], KEY)


@case(limit=30)
def nonsense_is_refused(rig):
    """Unsupported rules are refused with the reason, and change nothing."""
    _prepare(rig)
    ethtool(rig, "-X", "context new")
    add_rule(rig, "flow-type tcp4 dst-port 81 context 1")
    before = ethtool(rig, "-n"), context(rig), context(rig, 1)
    queues = rig.queues
    for why, words in (
            ("Invalid argument", f"flow-type tcp4 dst-port 1 action {queues}"),
            ("Invalid argument", "flow-type tcp4 dst-port 1 vf 3 queue 1"),
            ("Invalid argument", "flow-type tcp4 dst-port 1 context 9"),
            ("Invalid argument", "flow-type tcp4 dst-port 1 action 1 loc 64"),
            ("not supported", "flow-type tcp4 dst-port 1 action -2"),
            ("not supported", "flow-type tcp4 tos 4 action 1"),
            ("not supported", "flow-type tcp4 dst-port 1 vlan 5 action 1"),
            ("not supported", "flow-type ip4 l4proto 47 action 1"),
            ("not supported", "flow-type ip4 l4data 0x12345678 action 1"),
            ("not supported", "flow-type sctp4 dst-port 1 action 1"),
            ("not supported", "flow-type ether dst 02:00:00:00:00:01 action 1")):
        refused(rig, why, "-N", words)
    refused(rig, "Invalid argument", "-X", f"weight {'0 ' * queues}1")
    refused(rig, "not supported", "-X", "hfunc crc32")
    refused(rig, "resource busy", "-X", "context 1 delete")
    refused(rig, "No such file", "-X", "context 9 equal 1")
    equal("rules, tables and keys", (ethtool(rig, "-n"), context(rig), context(rig, 1)), before)


@case(limit=60)
def all_rules_and_contexts(rig):
    """64 rules and 15 contexts fit, one more does not, and all of them work."""
    _prepare(rig)
    for number in range(1, 16):
        equal("context", ethtool(rig, "-X", f"context new start {number % 4} equal 1").split()[-1],
              str(number))
    refused(rig, "", "-X", "context new")
    for port in range(64):
        add_rule(rig, f"flow-type udp4 dst-port {1000 + port} context {1 + port % 15}")
    refused(rig, "No space", "-N", "flow-type udp4 dst-port 2000 action 1")
    expect(rig, [Flow(4, UDP, 9, 1000 + port) for port in range(64)],
           lambda flow: (1 + (flow.dport - 1000) % 15) % 4)
    ethtool(rig, "-K", "ntuple off")
    check("Total 0 rules" in ethtool(rig, "-n"), "rules are left without the feature")
    refused(rig, "not supported", "-N", "flow-type udp4 dst-port 2000 action 1")
    ethtool(rig, "-K", "ntuple on")


@case(claims=(38, 39, 45), limit=40)
def streams_move_between_queues(rig):
    """A rule, a context and a new key move open connections; contents stay right."""
    _prepare(rig)
    ethtool(rig, "-X", "context new start 2 equal 2")
    for words in (("-X", f"hkey {KEY.hex(':')}"), ("-N", "flow-type tcp4 action 1 loc 5"),
                  ("-N", "flow-type tcp4 context 1 loc 4"), ("-X", "weight 1 0 0 1"),
                  ("-N", "delete 4"), ("-N", "delete 5"), ("-X", "default")):
        bulk(rig, PEER, 4, flows=8, size=1 << 17)
        ethtool(rig, *words)
    bulk(rig, PEER, 4, flows=8, size=1 << 17)


@case(limit=20)
def self_test(rig):
    """`ethtool -t` passes under traffic."""
    need_reflow(rig)
    stream = streaming(rig, PEER, 4, flows=2, size=1 << 19)
    said = ethtool(rig, "-t")
    stream.finish(15)
    check("The test result is PASS" in said, f"the device's test of itself: {said}")
    for what in ("command ring", "parser", "hash", "packet memory", "flow database", "clock"):
        check(f"{what}" in said, f"no test of {what}: {said}")
