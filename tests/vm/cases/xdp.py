# SPDX-License-Identifier: GPL-2.0
"""XDP programs in driver mode."""

from guest import bpf
from guest.counters import OPCODES, change, need_reflow, per_queue, read
from guest.frames import (ACK, IPV4, LOCAL_EXPERIMENT, RST, TCP, UDP, VLAN, ethernet, ipv4,
                          mac_bytes, tcp, udp)
from guest.harness import Failed, Skip, case, check, equal, settle, until
from guest.net import ADDRESS, DUT, PEER
from guest.split import ON, split_of
from guest.traffic import bulk, datagrams, streaming
from guest.xsk import COPY, ZERO_COPY, XdpSocket

import ctypes
import errno
import json
import os
import random
import socket
import struct
import time

# A frame of an EtherType that only the XDP programs handle.
KIND = LOCAL_EXPERIMENT
SIZES = (46, 47, 100, 256, 700, 1000, 1500)
LONG = (1900, 2034, 2035, 4000, 6000, 8986)


def _load(rig, code, **how):
    """Load an XDP program until the case is over."""
    program = bpf.Program(code, **how)
    rig.defer(program.close)
    return program


def _attach(rig, code, **how):
    need_reflow(rig)
    program = _load(rig, code, **how)
    rig.defer(bpf.detach, rig.device)
    bpf.attach(rig.device, program)
    rig.wait_link()
    return program


def _counted(rig, before, what):
    now = read(rig)
    return sum(per_queue(rig, now, "rx", what)) - sum(per_queue(rig, before, "rx", what))


def _expect(rig, before, **counts):
    for what, count in counts.items():
        until(f"{count} packets counted as {what}",
              lambda what=what, count=count: _counted(rig, before, what) == count, limit=3)


def _payloads(sizes):
    return [random.Random(n).randbytes(n) for n in sizes]


def _send(rig, wire, payloads):
    for payload in payloads:
        wire.send(ethernet(rig.mac, rig.peer_mac, KIND, payload, pad=False))


def _gro_hw(rig):
    lines = rig.run(DUT, "ethtool", "-k", rig.device).split("\n")
    return next(line.split()[1] for line in lines if line.startswith("rx-gro-hw:"))


@case(limit=60)
def passes(rig):
    """An XDP program that passes everything changes nothing for echoes, datagrams and TCP."""
    before = _gro_hw(rig)
    _attach(rig, bpf.Code().leave(bpf.PASS))
    equal("rx-gro-hw with a program", _gro_hw(rig), "off")
    counters = read(rig)
    for side, version in ((DUT, 4), (PEER, 6)):
        rig.echo(side, version, count=3, size=1400, whole=True)
        bulk(rig, side, version, flows=2, size=1 << 19)
    datagrams(rig, PEER, 4, (1, 100, 1000, 1472, 4000), window=1)
    check(_counted(rig, counters, "xdp_pass") > 500, "few packets were counted as passed")
    equal("packets that were merged by the device", _counted(rig, counters, "op_append"), 0)
    bpf.detach(rig.device)
    equal("rx-gro-hw without a program", _gro_hw(rig), before)
    bulk(rig, PEER, 4, size=1 << 19)


@case(limit=30)
def drops(rig):
    """An XDP program drops one kind of frame, each is counted, and other traffic goes on."""
    _attach(rig, bpf.finish(bpf.only(KIND).leave(bpf.DROP)))
    with rig.raw(PEER) as wire, rig.raw(DUT, kind=KIND) as seen:
        before = read(rig)
        _send(rig, wire, _payloads(SIZES))
        _expect(rig, before, xdp_drop=len(SIZES))
        rig.echo(PEER, 4, count=2)
        seen.settimeout(0.2)
        try:
            raise Failed(f"a dropped frame of {len(seen.recv(65536))} bytes reached the stack")
        except TimeoutError:
            pass


def _returned(rig, payloads, prepare=lambda data: data):
    """Send frames of the test's EtherType; each must come back with its addresses swapped."""
    with rig.raw(PEER, kind=KIND) as wire:
        for payload in payloads:
            _send(rig, wire, [payload])
            got = wire.recv(65536)
            equal("addresses of a frame that came back", got[:12],
                  mac_bytes(rig.peer_mac) + mac_bytes(rig.mac))
            # A short frame may come back padded.
            check(got[14:14 + len(payload)] == prepare(payload),
                  f"a frame of {len(payload)} bytes came back changed ({len(got) - 14} bytes)")


@case(limit=30)
def sends_back(rig):
    """An XDP program sends frames back with other addresses; the stack goes on sending meanwhile."""
    _attach(rig, bpf.finish(bpf.swap_addresses(bpf.only(KIND)).leave(bpf.TX)))
    before = read(rig)
    stream = streaming(rig, DUT, 4, flows=2, size=1 << 20)
    _returned(rig, _payloads(SIZES * 8))
    stream.finish(20)
    _expect(rig, before, xdp_tx=8 * len(SIZES), xdp_tx_full=0)


def _moves_tail(at):
    """An XDP program that copies four bytes at an offset to the start, and sends the frame back."""
    code = bpf.swap_addresses(bpf.only(KIND))
    for function, offset in ((bpf.LOAD_BYTES, at), (bpf.STORE_BYTES, 14)):
        code.copy(1, 6).mov(2, offset).copy(3, 10).add(3, -8).mov(4, 4).mov(5, 0)
        if function == bpf.LOAD_BYTES:
            code.store(8, 10, -8, 5)
        code.call(function).if_not(0, 0, "abort")
    return bpf.finish(code.leave(bpf.TX).label("abort").leave(bpf.ABORTED))


@case(limit=60)
def long_packets(rig):
    """MTU 9000: an XDP program with fragments reads, passes and sends back packets of several pages."""
    rig.set_mtu(9000)
    _attach(rig, bpf.Code().leave(bpf.PASS), frags=True)
    rig.echo(PEER, 4, count=2, size=8972, whole=True)
    bulk(rig, PEER, 4, flows=2, size=1 << 21)
    with rig.raw(PEER) as wire, rig.raw(DUT, kind=KIND) as seen:
        for payload in _payloads(LONG):
            _send(rig, wire, [payload])
            check(seen.recv(65536)[14:] == payload, f"{len(payload)} bytes arrived changed")
    before = read(rig)
    for size in LONG:
        at = 14 + size - 4
        _attach(rig, _moves_tail(at), frags=True)
        _returned(rig, _payloads([size]), lambda data: data[-4:] + data[4:])
    _expect(rig, before, xdp_tx=len(LONG), xdp_aborted=0)


def _only_tcp_to(port, code):
    """An XDP program that does this with TCP segments to a port, and passes the rest."""
    begin = bpf.only(IPV4).copy(4, 2).add(4, 54).if_above(4, 3, "pass")
    begin.load(1, 5, 2, 23).if_not(5, TCP, "pass")
    begin.load(2, 5, 2, 36).if_not(5, socket.htons(port), "pass")
    return bpf.finish(code(begin))


@case(limit=60)
def headers_apart(rig):
    """With header split on an XDP program has TCP data as fragments, and can pass and send them."""
    need_reflow(rig)
    split = split_of(rig)
    split.set(ON, 0)
    _attach(rig, bpf.Code().leave(bpf.PASS), frags=True)
    for version in (4, 6):
        bulk(rig, PEER, version, flows=2, size=1 << 20)
    linear = bpf.Map(bpf.ARRAY, 8)
    rig.defer(linear.close)

    def notes_and_sends(code):
        # How much of the packet lies before data_end.
        code.load(4, 7, 6, 4).load(4, 8, 6, 0).subtract(7, 8).store(8, 10, -16, 7)
        code.mov(7, 0).store(8, 10, -8, 7)
        code.map(1, linear).copy(2, 10).add(2, -8).copy(3, 10).add(3, -16).mov(4, 0)
        code.call(bpf.MAP_UPDATE_ELEM).load(4, 2, 6, 0).load(4, 3, 6, 4).copy(4, 2).add(4, 14)
        return bpf.swap_addresses(code.if_above(4, 3, "pass")).leave(bpf.TX)

    _attach(rig, _only_tcp_to(9, notes_and_sends), frags=True)
    before = read(rig)
    segments = [tcp(ADDRESS[PEER, 4], ADDRESS[DUT, 4], 40000, 9, 1000 * n, 1, ACK, payload)
                for n, payload in enumerate(_payloads((60, 500, 1448) * 10))]
    frames = [ethernet(rig.mac, rig.peer_mac, IPV4,
                       ipv4(ADDRESS[PEER, 4], ADDRESS[DUT, 4], TCP, segment))
              for segment in segments]
    with rig.raw(PEER) as wire:
        for frame in frames:
            wire.send(frame)
            got = wire.recv(65536)
            while got[:6] != mac_bytes(rig.peer_mac) or got[36:38] != frame[36:38]:
                got = wire.recv(65536)
            check(got[12:] == frame[12:], f"a segment of {len(frame)} bytes came back changed")
            equal("bytes that are no fragment", struct.unpack("<Q", linear[0])[0], 54)
    _expect(rig, before, xdp_tx=len(frames), xdp_aborted=0)
    # The core refuses an XDP program without support for fragments.
    simple = _load(rig, bpf.Code().leave(bpf.PASS))
    code, why = bpf.refusal(rig.device, simple)
    check("tcp-data-split" in why, f"a program without fragments: {code}, {why!r}")


@case(limit=30)
def room_on_both_sides(rig):
    """An XDP program adds 256 bytes in front and 200 behind, and the frame goes back with them."""
    code = bpf.only(KIND)
    for function, delta in ((bpf.ADJUST_HEAD, -256), (bpf.ADJUST_TAIL, 200)):
        code.copy(1, 6).mov(2, delta).call(function).if_not(0, 0, "abort")
    # The old header goes where the new one is to be.
    code.load(4, 2, 6, 0).load(4, 3, 6, 4).copy(4, 2).add(4, 270).if_above(4, 3, "abort")
    for offset in (0, 4, 8):
        code.load(4, 7, 2, 256 + offset).store(4, 2, offset, 7)
    code.load(2, 7, 2, 268).store(2, 2, 12, 7)
    bpf.swap_addresses(code).leave(bpf.TX).label("abort").leave(bpf.ABORTED)
    _attach(rig, bpf.finish(code))
    with rig.raw(PEER, kind=KIND) as wire:
        for payload in _payloads((100, 1000)):
            _send(rig, wire, [payload])
            got = wire.recv(65536)
            equal("bytes of the frame that came back", len(got), 256 + 14 + len(payload) + 200)
            check(got[270:-200] == payload and got[-200:] == bytes(200),
                  "the frame came back changed")


@case(limit=30)
def redirects_to_itself(rig):
    """Frames redirected to the same device are sent by ndo_xdp_xmit."""
    index = socket.if_nametoindex(rig.device)
    code = bpf.swap_addresses(bpf.only(KIND)).mov(1, index).mov(2, 0).call(bpf.REDIRECT_TO)
    _attach(rig, bpf.finish(code.leave()))
    before = read(rig)
    _returned(rig, _payloads(SIZES * 4))
    _expect(rig, before, xdp_redirect=4 * len(SIZES))
    after = read(rig)
    sent = sum(per_queue(rig, after, "tx", "xdp_xmit"))
    equal("frames sent", sent - sum(per_queue(rig, before, "tx", "xdp_xmit")), 4 * len(SIZES))


@case(limit=30)
def redirects_to_a_cpu(rig):
    """Frames redirected to another CPU reach the stack there, unchanged."""
    need_reflow(rig)
    if os.cpu_count() < 2:
        raise Skip("one CPU")
    cpus = bpf.Map(bpf.CPUMAP, 4, 2)
    rig.defer(cpus.close)
    cpus[1] = struct.pack("<I", 192)
    code = bpf.only(KIND).map(1, cpus).mov(2, 1).mov(3, 0).call(bpf.REDIRECT_MAP)
    _attach(rig, bpf.finish(code.leave()))
    before = read(rig)
    with rig.raw(PEER) as wire, rig.raw(DUT, kind=KIND) as seen:
        for payload in _payloads(SIZES):
            _send(rig, wire, [payload])
            check(seen.recv(65536)[14:14 + len(payload)] == payload, "a frame arrived changed")
    _expect(rig, before, xdp_redirect=len(SIZES))


@case(limit=30)
def socket_by_copy(rig):
    """An AF_XDP socket receives what an XDP program redirects to it, and sends; by copy only."""
    need_reflow(rig)
    sockets = bpf.Map(bpf.XSKMAP, 4, rig.queues)
    rig.defer(sockets.close)
    code = bpf.only(KIND).map(1, sockets).load(4, 2, 6, 16).mov(3, bpf.PASS)
    _attach(rig, bpf.finish(code.call(bpf.REDIRECT_MAP).leave()))
    try:
        XdpSocket(rig.device, 0, ZERO_COPY).close()
        raise Failed("a socket without copies was accepted")
    except OSError as why:
        equal("why a socket without copies was refused", why.errno, errno.EOPNOTSUPP)
    own = XdpSocket(rig.device, 0, COPY)
    rig.defer(own.close)
    sockets[0] = struct.pack("<I", own.socket.fileno())
    with rig.raw(PEER, kind=KIND) as wire:
        # Frames that are not IP have no hash, so that they go to queue 0.
        for payload in _payloads(SIZES):
            _send(rig, wire, [payload])
            got = own.receive()
            equal("a frame that the socket received", got[14:14 + len(payload)], payload)
            own.send(got[6:12] + got[:6] + got[12:])
            check(wire.recv(65536)[14:14 + len(payload)] == payload,
                  f"a frame of {len(payload)} bytes was sent changed")


@case(limit=90)
def changes_under_traffic(rig):
    """XDP programs are attached, replaced and detached while TCP runs both ways."""
    need_reflow(rig)
    programs = [_load(rig, bpf.Code().leave(bpf.PASS)),
                _load(rig, bpf.finish(bpf.only(KIND).leave(bpf.DROP)), frags=True)]
    rig.defer(bpf.detach, rig.device)
    streams = [streaming(rig, side, 4, flows=2, size=1 << 20, limit=60, first=n)
               for n, side in enumerate((PEER, DUT))]
    for _ in range(3):
        for program in programs + programs[:1]:
            bpf.attach(rig.device, program)
            time.sleep(0.1)
        bpf.detach(rig.device)
        time.sleep(0.1)
    for stream in streams:
        stream.finish(60)


@case(limit=30)
def goes_down_and_up(rig):
    """An XDP program attached while the interface is down works when it is up, and stays."""
    need_reflow(rig)
    program = _load(rig, bpf.finish(bpf.only(KIND).leave(bpf.DROP)))
    rig.defer(bpf.detach, rig.device)
    rig.defer(rig.bring_up)
    rig.ip(DUT, f"link set {rig.device} down")
    bpf.attach(rig.device, program)
    for _ in range(2):
        rig.bring_up()
        before = read(rig)
        with rig.raw(PEER) as wire:
            _send(rig, wire, _payloads(SIZES))
            _expect(rig, before, xdp_drop=len(SIZES))
        rig.ip(DUT, f"link set {rig.device} down")


@case(limit=30)
def conflicts_are_explained(rig):
    """Conflicts are refused with a message: a large MTU and an XDP program without fragments."""
    need_reflow(rig)
    simple = _load(rig, bpf.Code().leave(bpf.PASS))
    able = _load(rig, bpf.Code().leave(bpf.PASS), frags=True)
    rig.defer(bpf.detach, rig.device)
    rig.set_mtu(9000)
    code, why = bpf.refusal(rig.device, simple)
    check(code == "EINVAL" and "MTU" in why and "frags" in why, f"refused with {code}: {why!r}")
    bpf.attach(rig.device, able)
    code, why = bpf.refusal(rig.device, simple)
    check("MTU" in why, f"replacing was refused with {code}: {why!r}")
    rig.set_mtu(1500)
    bpf.attach(rig.device, simple)
    done = rig.run(DUT, "ip", "link", "set", rig.device, "mtu", "4000", may_fail=True)
    check(done.returncode and "mtu" in done.stderr, f"a larger MTU was taken: {done.stderr!r}")
    bpf.attach(rig.device, able)
    rig.set_mtu(4000)


@case(limit=30)
def longest_packet_is_in_one_piece(rig):
    """At the largest MTU for a simple XDP program, a frame with three tags fits its buffer."""
    linear = bpf.Map(bpf.ARRAY, 8)
    rig.defer(linear.close)
    # How much of the packet lies before data_end.
    code = bpf.only(VLAN)
    code.load(4, 7, 6, 4).load(4, 8, 6, 0).subtract(7, 8).store(8, 10, -16, 7)
    code.mov(7, 0).store(8, 10, -8, 7)
    (code.map(1, linear).copy(2, 10).add(2, -8).copy(3, 10).add(3, -16).mov(4, 0)
     .call(bpf.MAP_UPDATE_ELEM))
    _attach(rig, bpf.finish(code.leave(bpf.DROP)))
    said = json.loads(rig.run(DUT, "ip", "-d", "-j", "link", "show", rig.device))
    rig.set_mtu(1500)
    rig.ip(DUT, f"link set {rig.device} mtu {said[0]['max_mtu']}")
    rig.ip(PEER, f"link set {rig.name(PEER)} mtu 9000")
    rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, "rx-vlan-offload", "on")
    tags = struct.pack("!HHHHH", 1, VLAN, 2, VLAN, 3) + struct.pack("!H", KIND)
    whole = ethernet(rig.mac, rig.peer_mac, VLAN, tags + bytes(said[0]["max_mtu"]), pad=False)
    for removed, word in ((4, "on"), (0, "off")):
        rig.run(DUT, "ethtool", "-K", rig.device, "rx-vlan-offload", word)
        linear[0] = bytes(8)
        with rig.raw(PEER) as wire:
            wire.send(whole)
        until("the program to see the frame", lambda: any(linear[0]), limit=3)
        equal(f"bytes in front of its fragments, rx-vlan-offload {word}",
              struct.unpack("<Q", linear[0])[0], len(whole) - removed)


# Counters of a queue that count whoever gets its packets, besides those of operation codes.
COMMON = ("packets", "bytes", "up_packets", "up_bytes", "skbs", "csum_bad", "tcb_applied",
          "tcb_not_applied", "released", "drop_nomem", "drop_bad_completion", "bad_completion",
          "drop_orphan")
PACKET_AUXDATA, SOL_PACKET, CSUM_VALID, VLAN_VALID = 8, 263, 1 << 7, 1 << 4
# The socket module does not name it.
SO_ATTACH_FILTER = 26


def _kinds_of_frames(rig):
    """Return frames of each kind that the device tells apart, UDP first."""
    ends = ADDRESS[PEER, 4], ADDRESS[DUT, 4]
    packets = [(UDP, udp(*ends, 40000, 9, bytes(100))),
               (UDP, udp(*ends, 40000, 9, bytes(1400))),
               (UDP, udp(*ends, 40000, 9, bytes(4000))),
               (UDP, udp(*ends, 40000, 9, bytes(300), broken=True)),
               (TCP, tcp(*ends, 40000, 9, 1000, 1, ACK, bytes(1000))),
               (TCP, tcp(*ends, 40000, 9, 2000, 1, ACK)),
               (TCP, tcp(*ends, 40000, 9, 2000, 1, RST | ACK))]
    frames = [ethernet(rig.mac, rig.peer_mac, IPV4, ipv4(*ends, protocol, packet))
              for protocol, packet in packets]
    frames.append(ethernet(rig.mac, rig.peer_mac, VLAN,
                           struct.pack("!HH", 0x6123, KIND) + bytes(46)))
    return frames


def _count(rig, frames):
    """Return what the queues count of these frames, without what may come in between."""
    last = []

    def sample():
        nonlocal last
        before = read(rig)
        with rig.raw(PEER) as wire:
            for frame in frames:
                wire.send(frame)
        until("all frames to be counted", lambda: _counted(rig, before, "packets") >= len(frames),
              limit=3)
        time.sleep(0.05)
        now = change(before, read(rig))
        names = COMMON + tuple(f"op_{name}" for name in OPCODES)
        seen = {name: per_queue(rig, now, "rx", name) for name in names}
        differs, last = seen != last, seen
        return differs and seen

    settle("the same frames are counted as the time before", sample, limit=10)
    return last


@case(limit=90)
def counts_as_without(rig):
    """An XDP program that passes everything changes no counter of its queue but its own."""
    need_reflow(rig)
    rig.set_mtu(9000)
    rig.run(DUT, "ethtool", "-K", rig.device, "rx-gro-hw", "off")
    rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, "rx-gro-hw", "on")
    frames = _kinds_of_frames(rig)
    without = _count(rig, frames)
    equal("packets counted", sum(without["packets"]), len(frames))
    equal("packets handed to the stack", sum(without["skbs"]), len(frames))
    equal("wrong checksums", sum(without["csum_bad"]), 1)
    _attach(rig, bpf.Code().leave(bpf.PASS), frags=True)
    with_program = _count(rig, frames)
    for name, counts in without.items():
        equal(f"{name} with a program, by queue", with_program[name], counts)


def _only_hashed(sock):
    """Have a packet socket receive packets with a hash only."""
    load, unless_zero, accept, refuse = ((0x20, 0, 0, 0xFFFFF000 + 32), (0x15, 1, 0, 0),
                                         (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
    code = b"".join(struct.pack("=HBBI", *line) for line in (load, unless_zero, accept, refuse))
    held = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    struct.pack("@HP", len(code) // 8, ctypes.addressof(held)))


def _told(rig, frame, hashed):
    """Return (checksum verified, VLAN tag) of a frame as the stack has it, None if no packet."""
    with rig.raw(PEER) as wire, rig.raw(DUT) as seen:
        seen.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        if hashed:
            _only_hashed(seen)
        wire.send(frame)
        try:
            while True:
                data, more, *_ = seen.recvmsg(65536, 256)
                # Without its tag, perhaps.
                if data[:12] == frame[:12] and data[-46:] == frame[-46:]:
                    break
        except TimeoutError:
            return None
    ((_, _, aux),) = more
    status, _, _, _, _, tci, _ = struct.unpack_from("=IIIHHHH", aux)
    return bool(status & CSUM_VALID), tci if status & VLAN_VALID else None


@case(limit=90)
def stack_is_told_as_without(rig):
    """Checksum, hash and VLAN tag reach the stack with an XDP program as they do without one."""
    need_reflow(rig)
    for feature in ("rx", "rxhash", "gro"):
        rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, feature, "on")
    # GRO would verify checksums itself.
    rig.run(DUT, "ethtool", "-K", rig.device, "gro", "off")
    *_, tagged = frames = _kinds_of_frames(rig)
    for attached in (False, True):
        for word in ("on", "off"):
            rig.run(DUT, "ethtool", "-K", rig.device, "rx", word, "rxhash", word)
            is_on = word == "on"
            state = f"features {word}, {'a' if attached else 'no'} program"
            equal(f"checksum and tag of a datagram, {state}", _told(rig, frames[0], False),
                  (is_on, None))
            equal(f"a datagram has a hash, {state}", _told(rig, frames[0], True) is not None,
                  is_on)
            equal(f"tag of a tagged frame, {state}", _told(rig, tagged, False)[1], 0x6123)
        rig.run(DUT, "ethtool", "-K", rig.device, "rx", "on", "rxhash", "on")
        if not attached:
            _attach(rig, bpf.Code().leave(bpf.PASS))


HINTS = ("bpf_xdp_metadata_rx_timestamp", "bpf_xdp_metadata_rx_hash",
         "bpf_xdp_metadata_rx_vlan_tag")


def _asks(results):
    """An XDP program that stores the metadata of a test frame, or of UDP, in a map."""
    ids = bpf.kernel_functions(HINTS)
    code = bpf.Code().copy(6, 1).mov(7, 0)
    for offset in range(-56, 0, 8):
        code.store(8, 10, offset, 7)
    # Where the answers go: each function's result, then its values.
    for name, result, values in ((HINTS[0], -56, (-48,)), (HINTS[1], -40, (-32, -28)),
                                 (HINTS[2], -24, (-16, -14))):
        code.copy(1, 6)
        for n, value in enumerate(values):
            code.copy(2 + n, 10).add(2 + n, value)
        code.call_kernel(ids[name]).store(8, 10, result, 0)
    (code.map(1, results).copy(2, 10).add(2, -8).copy(3, 10).add(3, -56).mov(4, 0)
     .call(bpf.MAP_UPDATE_ELEM))
    return code.leave(bpf.PASS)


@case(limit=90)
def hints(rig):
    """An XDP program gets the right hash, VLAN tag and time of reception."""
    need_reflow(rig)
    results = bpf.Map(bpf.ARRAY, 48)
    rig.defer(results.close)
    _attach(rig, _asks(results), bound_to=socket.if_nametoindex(rig.device))

    def told(send):
        results[0] = bytes(48)
        send()
        until("the program to be asked", lambda: any(results[0]), limit=3)
        return struct.unpack("<iIQiIIIiIHHI", results[0])

    def datagram():
        datagrams(rig, PEER, 4, (100,))

    def tagged():
        with rig.raw(PEER) as wire:
            wire.send(ethernet(rig.mac, rig.peer_mac, VLAN, struct.pack("!HH", 0x6123, KIND)
                               + bytes(46)))

    first, second, tag = told(datagram), told(datagram), told(tagged)
    for answers in (first, second):
        equal("result of asking for the hash", answers[3], 0)
        check(answers[5], "the hash is 0")
        # IPv4, ports, UDP.
        equal("what the hash covers", answers[6], 0x29)
    equal("result of asking for the tag of an untagged frame", first[7], -61)
    equal("results for a tagged frame", (tag[7], socket.ntohs(tag[9]), tag[10]), (0, VLAN, 0x6123))
    times = [answers[2] for answers in (first, second, tag)]
    equal("results of asking for the time", [a[0] for a in (first, second, tag)], [0, 0, 0])
    check(0 < times[0] < times[1] < times[2], f"the times do not ascend: {times}")
