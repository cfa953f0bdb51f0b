# SPDX-License-Identifier: GPL-2.0
"""When packets are handed up, and all ways of polling."""

import os
import socket

from cases.geometry import Watch, base, expect, prepare, row
from guest import bpf
from guest.counters import change, need_reflow, per_queue, read
from guest.frames import LOCAL_EXPERIMENT, ethernet
from guest.harness import Waiting, case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import InBackground, bulk, datagrams, streaming

LOG_PORT = 6666
CONFIGFS = "/sys/kernel/config"
TARGET = f"{CONFIGFS}/netconsole/case"
LOG_LINES = 400


def _knob(rig, path, value):
    """Set a file of the kernel until the case is over."""
    with open(path, encoding="ascii") as knob:
        before = knob.read().strip()
    rig.defer(_write, path, before)
    _write(path, value)


def _write(path, value):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(value)


def _device_knob(rig, name, value):
    _knob(rig, f"/sys/class/net/{rig.device}/{name}", value)


def _traffic(rig):
    """More packets than the ring has completions, all contents checked."""
    datagrams(rig, PEER, 4, [200, 1400] * 1250, window=16)
    bulk(rig, PEER, 4, flows=2, size=1 << 19)
    rig.echo(PEER, 6, count=3)


@case(claims=(20, 22, 27, 40, 56, 62), limit=40)
def a_burst_is_handed_up_once(rig):
    """Segments that come while the interrupt is delayed are one packet with one interrupt."""
    prepare(rig)
    watch = Watch(rig)
    before, fired = read(rig), sum(map(sum, rig.interrupts().values()))
    expect(watch, "a burst", row(base(4), *[1000] * 12), [12000])
    stats = change(before, read(rig))
    fired = sum(map(sum, rig.interrupts().values())) - fired
    sent = sum(per_queue(rig, stats, "rx", "packets"))
    # For the burst, its end and the answers; repeated if the window was too short.
    check(fired <= 5 * -(-sent // 13), f"{fired} interrupts for {sent} packets")


@case(claims=(22, 27, 40, 56), limit=40)
def a_lone_packet_waits_for_nothing(rig):
    """Without moderation each segment is handed up as it comes."""
    prepare(rig)
    rig.run(DUT, "ethtool", "-C", rig.device, "rx-usecs", "0", "rx-frames", "1")
    watch = Watch(rig)
    for number in range(5):
        watch.send([base(4, ports=(40000, 8000)).data(100 * number, 100)])
        seen = watch.next_from((40000, 8000))
        equal("bytes that came before the next was sent", len(seen.payload), 100)


@case(limit=60)
def threaded(rig):
    """Polling in a kernel thread."""
    need_reflow(rig)
    _device_knob(rig, "threaded", "1")
    _traffic(rig)


@case(claims=(27, 40), limit=60)
def deferred_interrupts(rig):
    """Interrupts put off by napi_defer_hard_irqs, polls by the timer of gro_flush_timeout."""
    need_reflow(rig)
    _device_knob(rig, "gro_flush_timeout", "200000")
    _device_knob(rig, "napi_defer_hard_irqs", "100")
    _traffic(rig)


@case(limit=60)
def busy_polling(rig):
    """Busy polling by sockets."""
    need_reflow(rig)
    for name in ("busy_read", "busy_poll"):
        _knob(rig, f"/proc/sys/net/core/{name}", "50")
    _traffic(rig)


@case(limit=60)
def busy_polling_preferred(rig):
    """Busy polling with interrupts suspended (prefer-busy-poll)."""
    need_reflow(rig)
    for name in ("busy_read", "busy_poll"):
        _knob(rig, f"/proc/sys/net/core/{name}", "50")
    _device_knob(rig, "gro_flush_timeout", "2000000")
    _device_knob(rig, "napi_defer_hard_irqs", "100")
    _traffic(rig)


class Console:
    """The kernel's messages, sent over the device by netconsole.

    netpoll calls the poll function with budget 0, with interrupts off, when it finds the transmit
    queue locked or full.
    """

    def __init__(self, rig):
        self.sink = rig.socket(PEER, FAMILY[4], socket.SOCK_DGRAM)
        rig.defer(self.sink.close)
        self.sink.bind((ADDRESS[PEER, 4], LOG_PORT))
        self.sink.settimeout(5 * Waiting.scale)
        if not os.path.isdir("/sys/module/netconsole"):
            rig.defer(rig.run, DUT, "modprobe", "-r", "netconsole")
            rig.run(DUT, "modprobe", "netconsole")
        if not os.path.ismount(CONFIGFS):
            rig.run(DUT, "mount", "-t", "configfs", "none", CONFIGFS)
        os.mkdir(TARGET)
        rig.defer(os.rmdir, TARGET)
        for name, text in (("dev_name", rig.device), ("local_ip", ADDRESS[DUT, 4]),
                           ("local_port", LOG_PORT), ("remote_ip", ADDRESS[PEER, 4]),
                           ("remote_port", LOG_PORT), ("remote_mac", rig.peer_mac)):
            self._set(name, text)
        rig.defer(self._set, "enabled", 0)
        self._set("enabled", 1)

    @staticmethod
    def _set(name, text):
        with open(f"{TARGET}/{name}", "w", encoding="ascii") as knob:
            knob.write(str(text))

    def say(self, lines=LOG_LINES):
        """Make the kernel log so many lines."""
        with open("/dev/kmsg", "w", encoding="ascii", buffering=1) as log:
            for number in range(lines):
                log.write(f"<1>netconsole case, line {number} of {lines}\n")

    def hear(self, text):
        """Wait until the partner has received a message with this text."""
        with Waiting(f"a message with {text!r} at the partner"):
            while text.encode() not in self.sink.recv(2048):
                pass


def _all_queues_hear(rig):
    """Check that each queue receives, without down and up."""
    bulk(rig, PEER, 4, flows=4 * rig.queues, size=1 << 14, limit=10)
    datagrams(rig, PEER, 4, [200, 1400] * 20)


@case(claims=(), limit=90)
def netconsole(rig):
    """The kernel's messages go out over the device while TCP runs both ways; then every queue
    still receives."""
    need_reflow(rig)
    rig.run(DUT, "ethtool", "-G", rig.device, "tx", "64")
    rig.defer(rig.run, DUT, "ethtool", "-G", rig.device, "tx", "512")
    console = Console(rig)
    streams = [streaming(rig, side, 4, flows=4, size=1 << 20, limit=40, first=4 * n)
               for n, side in enumerate((PEER, DUT))]
    console.say()
    for stream in streams:
        stream.finish(40)
    console.say(1)
    console.hear("line 0 of 1")
    _all_queues_hear(rig)


@case(claims=(), limit=90)
def netconsole_beside_xdp(rig):
    """The same with an XDP program that sends frames back and redirects others: those on the
    ring wait for a poll that may free them."""
    need_reflow(rig)
    console = Console(rig)
    code = bpf.swap_addresses(bpf.only(LOCAL_EXPERIMENT)).load(4, 2, 6, 0).load(4, 3, 6, 4)
    code.copy(4, 2).add(4, 15).if_above(4, 3, "pass").load(1, 5, 2, 14).if_not(5, 1, "tx")
    code.mov(1, socket.if_nametoindex(rig.device)).mov(2, 0).call(bpf.REDIRECT_TO).leave()
    program = bpf.Program(bpf.finish(code.label("tx").leave(bpf.TX)))
    rig.defer(program.close)
    rig.defer(bpf.detach, rig.device)
    bpf.attach(rig.device, program)
    rig.wait_link()
    before = read(rig)
    stop = []

    def frames():
        with rig.raw(PEER) as wire:
            while not stop:
                for kind in (0, 1):
                    wire.send(ethernet(rig.mac, rig.peer_mac, LOCAL_EXPERIMENT,
                                       bytes([kind]) + os.urandom(99), pad=False))

    flood = InBackground(frames)
    stream = streaming(rig, DUT, 4, flows=4, size=1 << 20, limit=40)
    console.say()
    stream.finish(40)
    stop.append(True)
    flood.finish(10)
    for what in ("xdp_tx", "xdp_redirect"):
        check(sum(per_queue(rig, change(before, read(rig)), "rx", what)) > 100,
              f"hardly a packet was counted as {what}")
    bpf.detach(rig.device)
    rig.wait_link()
    console.say(1)
    console.hear("line 0 of 1")
    _all_queues_hear(rig)
