# SPDX-License-Identifier: GPL-2.0
"""All configuration is in force again after a reset, whatever caused it."""

import json
import random
import time

from guest import counters
from guest.device import (control, devlink, set_parameter, status, with_parameter)
from guest.harness import Waiting, case, check, emit, equal, until
from guest.net import DUT, PEER
from guest.traffic import InBackground, bulk, streaming

ALARMS = True

REPORTERS = ("rx", "tx", "command", "device")


def _state(rig):
    """Return the configuration that the device has."""
    found = status(rig)
    registers = found["registers"]
    # The core chooses the order of the groups in the table.
    table = [registers.pop(f"MC_TABLE {n}") for n in range(128)]
    pairs = zip(table[::2], table[1::2])
    for n, pair in enumerate(sorted(list(pairs)[:registers["MC_COUNT 0"]])):
        registers[f"group {n}"] = pair[0] << 16 | pair[1]
    return {"registers": registers, "rules": found["rules"],
            "steering": found["steering"], "parser": found["parser"]}


def _differences(before, after):
    """Return the differences of two configurations."""
    left = [f"{name}: {before['registers'][name]:#x} -> {value:#x}"
            for name, value in after["registers"].items() if before["registers"].get(name) != value]
    left += [f"{what}: {before[what]} -> {after[what]}"
             for what in ("rules", "steering", "parser") if before[what] != after[what]]
    return left


def _same(rig, before, what):
    """Fail unless the device has the same configuration as before."""
    check(not (left := _differences(before, _state(rig))), f"after {what}: {'; '.join(left)}")


def _ethtool(rig, *words, **options):
    return rig.run(DUT, "ethtool", *words, **options)


def configure(rig):
    """Change one setting of each kind from its default, until the case is over."""
    device = rig.device
    rig.defer(_ethtool, rig, "-X", device, "default")
    _ethtool(rig, "-X", device, "weight", "3", "1", "2", "1", "hkey",
             ":".join(f"{n:02x}" for n in range(7, 47)))
    rig.defer(_ethtool, rig, "-K", device, "ntuple", "on")
    rig.defer(_ethtool, rig, "-K", device, "ntuple", "off")
    for n in range(8):
        _ethtool(rig, "-U", device, "flow-type", "tcp4", "dst-ip", "192.0.2.1",
                 "dst-port", str(9000 + n), "action", str(n % rig.queues))
    rig.defer(_ethtool, rig, "-C", device, "rx-usecs", "8", "rx-frames", "32")
    _ethtool(rig, "-C", device, "rx-usecs", "21", "rx-frames", "11")
    rig.defer(_ethtool, rig, "-K", device, "rx-vlan-offload", "on")
    _ethtool(rig, "-K", device, "rx-vlan-offload", "off")
    with_parameter(rig, "data_threshold", 3)
    with_parameter(rig, "flow_age_us", 3_000_000)
    with_parameter(rig, "red_band1", "65536-131072:1%")
    with_parameter(rig, "parser_program", "default")
    rig.defer(rig.ip, DUT, f"maddr del 01:00:5e:00:01:17 dev {device}")
    rig.ip(DUT, f"maddr add 01:00:5e:00:01:17 dev {device}")


def recover(rig):
    """Have the device reset and brought back, as a user would.

    Not by `devlink health recover`: the core does nothing about a reporter that is healthy.
    """
    _ethtool(rig, "--reset", rig.device, "dedicated")


def _resets(rig):
    """Return how often the device was reset since the model started."""
    return status(rig)["resets"]


@case(limit=40)
def all_of_it_comes_back(rig):
    """After a reset, a reload, or down and up, the device has its configuration."""
    counters.need_reflow(rig)
    configure(rig)
    before = _state(rig)
    for what, act in (
            ("devlink dev reload", lambda: devlink(rig, "dev", "reload", "DEVICE", "action", "fw_activate")),
            ("ethtool --reset", lambda: recover(rig))):
        resets = _resets(rig)
        act()
        check(_resets(rig) > resets, f"{what} did not reset the device")
        _same(rig, before, what)
    # The interface lost its IPv6 addresses, and their groups.
    rig.bring_up()
    bulk(rig, PEER, 4, flows=4, size=1 << 18)


@case(limit=60)
def a_mac_address_outlives_a_reset(rig):
    """A MAC address that the user set is in force after a reset."""
    counters.need_reflow(rig)
    other = "02:00:5e:10:00:77"
    rig.defer(rig.bring_up)
    rig.defer(rig.ip, DUT, f"link set {rig.device} address {rig.mac}")
    rig.ip(DUT, f"link set {rig.device} address {other}")
    rig.bring_up()
    recover(rig)
    rig.wait_link()
    rig.echo(PEER, 4)


@case(limit=240)
def reset_under_streams(rig):
    """Resets at random times under 64 streams: contents stay right, nothing else changes."""
    counters.need_reflow(rig)
    configure(rig)
    before = _state(rig)
    dice = random.Random(8)
    resets = _resets(rig)
    rounds = rig.config.get("rounds") or 10
    for _ in range(max(1, rounds // 10)):
        stream = streaming(rig, PEER, 4, flows=64, size=1 << 18, limit=120)
        for n in range(10):
            time.sleep(dice.uniform(0.05, 0.4))
            recover(rig)
            if n % 5 == 4:
                _same(rig, before, "a reset under streams")
        stream.finish(120)
    _same(rig, before, "the last reset")
    done = _resets(rig) - resets
    emit(event="note", text=f"the device was reset {done} times under 64 streams")
    check(done >= 10 * max(1, rounds // 10), f"the device was reset {done} times only")


@case(limit=30)
def counters_go_on(rig):
    """The device's counters continue over resets."""
    counters.need_reflow(rig)
    bulk(rig, PEER, 4, size=1 << 18)
    until("the device's counters to settle", lambda: counters.read(rig)["hw_rx_frames"] > 100)
    before = counters.read(rig)
    recover(rig)
    after = counters.read(rig)
    back = [name for name, value in after.items() if value < before.get(name, 0)]
    equal("counters that went back over a reset", back, [])


@case(limit=30)
def reporters(rig):
    """The health reporters answer: show, diagnose, dump."""
    counters.need_reflow(rig)
    for reporter in REPORTERS:
        words = ("DEVICE", "reporter", reporter)
        said = devlink(rig, "health", "show", *words)
        check("healthy" in said, f"reporter {reporter} says: {said}")
        found = json.loads(devlink(rig, "-j", "health", "diagnose", *words))
        check(found, f"reporter {reporter} diagnoses nothing")
        rig.defer(devlink, rig, "health", "dump", "clear", *words)
        found = json.loads(devlink(rig, "-j", "health", "dump", "show", *words))
        check("present" in json.dumps(found), f"reporter {reporter} dumps: {found}")


@case(limit=60)
def silent_commands_hold_nobody_up(rig):
    """A device that answers no command delays its user by at most a second."""
    counters.need_reflow(rig)
    rig.defer(rig.bring_up)
    rig.defer(control, rig, "chaos off")
    rig.defer(_ethtool, rig, "-K", rig.device, "ntuple", "on")
    rig.defer(_ethtool, rig, "-K", rig.device, "ntuple", "off")
    for n in range(64):
        _ethtool(rig, "-U", rig.device, "flow-type", "udp4", "dst-port", str(7000 + n),
                 "action", str(n % rig.queues))
    control(rig, "chaos dma-dead=1,ms=0")
    longest = 0
    for words in (("link", "set", rig.device, "down"), ("link", "set", "lo", "up"),
                  ("link", "set", rig.device, "up"), ("link", "set", rig.device, "down")):
        begin = time.monotonic()
        rig.run(DUT, "ip", *words, may_fail=True, limit=60)
        longest = max(longest, time.monotonic() - begin)
    emit(event="note", text=f"a silent device held a command of the user up for {longest:.1f} s")
    check(longest < 10 * Waiting.scale,
          f"a command of the user was held up for {longest:.1f} s")
    control(rig, "chaos off")
    rig.bring_up()


@case(limit=30)
def told_once(rig):
    """After a reset each rule is written to the device once."""
    counters.need_reflow(rig)
    configure(rig)
    rules = len(status(rig)["rules"])
    rig.defer(control, rig, "chaos off")
    # A fault with probability 0 counts the commands.
    control(rig, "chaos cmd-silent=0")
    recover(rig)
    asked = status(rig)["chaos"]["cmd-silent"]["chances"]
    check(rules <= asked < 2 * rules, f"{asked} commands for {rules} rules after a reset")


@case(limit=60)
def counters_never_go_back(rig):
    """The device's counters never decrease for readers during resets."""
    counters.need_reflow(rig)
    bulk(rig, PEER, 4, size=1 << 18)
    stream = streaming(rig, PEER, 4, flows=8, size=1 << 20, limit=50)
    resets = InBackground(lambda: [recover(rig) for _ in range(20)])
    back, reads, before = set(), 0, counters.read(rig)
    while resets.thread.is_alive():
        now, reads = counters.read(rig), reads + 1
        back |= {name for name, value in now.items() if value < before.get(name, 0)}
        before = now
    resets.finish(30)
    stream.finish(50)
    emit(event="note", text=f"counters were read {reads} times during 20 resets")
    equal("counters that went back", sorted(back), [])


def _diagnosis(rig, reporter):
    """Return the diagnosis of a reporter."""
    return json.loads(devlink(rig, "-j", "health", "diagnose", "DEVICE", "reporter", reporter))


def _recoveries(rig, reporter):
    """Return the number of recoveries of a reporter."""
    said = json.loads(devlink(rig, "-j", "health", "show", "DEVICE", "reporter", reporter))
    (found,), = (list(said["health"].values()),)
    return found[0]["recover"]


@case(limit=120)
def resets_in_vain_grow_rare(rig):
    """Resets that do not mend the command ring come at growing intervals; traffic goes on."""
    counters.need_reflow(rig)
    rig.defer(control, rig, "chaos off")
    rig.defer(_ethtool, rig, "-K", rig.device, "ntuple", "on")
    rig.defer(_ethtool, rig, "-K", rig.device, "ntuple", "off")
    rule = ("flow-type", "tcp4", "dst-ip", "192.0.2.1", "dst-port")
    _ethtool(rig, "-U", rig.device, *rule, "9000", "action", "1")
    rules = status(rig)["rules"]
    before = _recoveries(rig, "command")
    begin = time.monotonic()
    control(rig, "chaos cmd-silent=1,ms=0")
    _ethtool(rig, "-U", rig.device, *rule, "9001", "action", "1", may_fail=True)
    until("some resets", lambda: _recoveries(rig, "command") - before >= 3, 20)
    # Of the pauses behind the resets, the first are 2 and 4 seconds long.
    took = time.monotonic() - begin
    check(took >= 6, f"three resets within {took:.1f} s did not help")
    found = _diagnosis(rig, "command")
    check(found["silent"] and found["resets_in_a_row"] >= 3 and found["reset_pause_ms"] >= 8000,
          f"the reporter diagnoses {found}")
    bulk(rig, PEER, 4, flows=4, size=1 << 18)
    control(rig, "chaos off")
    # At the latest with the reset behind the pause of 8 seconds.
    until("the rule to be in force again", lambda: status(rig)["rules"] == rules, 14)
    check(not _diagnosis(rig, "command")["silent"], "commands are answered, and it is not known")


@case(limit=20)
def parameters_while_away(rig):
    """Settings made while the device is being restored are kept."""
    counters.need_reflow(rig)
    rig.defer(set_parameter, rig, "flow_age_us", 2_000_000)
    job = InBackground(recover, rig)
    set_parameter(rig, "flow_age_us", 2_500_000)
    job.finish(10)
    equal("FLOW_AGE_US of the device", status(rig)["registers"]["FLOW_AGE_US 0"], 2_500_000)
