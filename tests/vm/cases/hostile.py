# SPDX-License-Identifier: GPL-2.0
"""A faulty device: wrong completions, losses, stops, removal; each for seconds under traffic.

The kernel log stays clean, and traffic is back within five seconds after the fault, without a
command from the user.
"""

import time

from guest import counters
from guest.device import control, status, with_parameter
from guest.harness import Failed, Waiting, case, check, emit, until
from guest.net import DUT, PEER
from guest.traffic import Flood, InBackground, bulk

ALARMS = True

# Seconds that a fault lasts, and within which traffic must be back after it.
LASTS, BACK = 1.5, 5
# The spec of each fault. Faults of single packets strike one packet in fifty.
FAULTS = {
    "buffers": "buffers=0.02",
    "lengths": "lengths=0.02",
    "opcode_unknown": "opcode-unknown=0.02",
    "opcode_wrong": "opcode-wrong=0.02",
    "flow_range": "flow-range=0.02",
    "flow_other": "flow-other=0.02",
    "generation": "generation=0.01",
    "random": "random=0.02",
    "duplicate": "duplicate=0.02",
    "lost": "lost=0.02",
    "irq_lost": "irq-lost=0.1",
    "irq_spurious": "irq-spurious=0.05",
    "irq_storm": "irq-storm=0.01,ms=10",
    "irq_vector": "irq-vector=0.1",
    "dma_dead": "dma-dead=1,ms=0",
    "dma_partial": "dma-partial=0.01",
    "tx_stuck": "tx-stuck=1,ms=0",
    "tx_beyond": "tx-beyond=0.02",
    "link_flap": "link-flap=0.001,ms=100",
    "stats": "stats=0.5",
    "stats_stopped": "stats-stopped=0.05",
    "stats_frozen": "stats-frozen=1,ms=0",
    "not_ready": "not-ready=1,ms=0",
    "cq_stuck": "cq-stuck=0.01,ms=0",
    "buffer_twice": "buffer-twice=0.02",
    "append_other": "append-other=0.02",
}


# Faults of packets after the first of their aggregate, with a completion of their own.
UNGATHERED = ("append_other",)
LIES = ("buffers", "lengths", "opcode_unknown", "opcode_wrong", "flow_range", "flow_other",
        "random", "duplicate", "buffer_twice", "append_other", "tx_beyond", "stats")
LOSSES = ("generation", "lost", "irq_lost", "irq_vector", "irq_spurious")


class Stream:
    """TCP both ways in rounds until stopped; a fault may end a round early."""

    def __init__(self, rig):
        self.rig, self.over, self.rounds = rig, False, 0
        self.jobs = [InBackground(self._run, side) for side in (PEER, DUT)]

    def _run(self, side):
        while not self.over:
            try:
                bulk(self.rig, side, 4, flows=4, size=1 << 18, limit=1)
                self.rounds += 1
            except (Failed, OSError):
                time.sleep(0.05)

    def stop(self):
        """End it."""
        self.over = True
        for job in self.jobs:
            job.finish(20)


def _works(rig):
    """Return whether frames go both ways on flows that fall on several queues."""
    try:
        for side in (PEER, DUT):
            rig.echo(side, 4, count=1, limit=0.5)
            bulk(rig, side, 4, flows=8, size=1 << 14, limit=1)
    except (Failed, OSError):
        return False
    return True


def _lasts(rig):
    """Return the seconds that a fault lasts, more for `make test-hostile`."""
    return LASTS * max(1, (rig.config.get("rounds") or 10) / 100)


def _strikes(seen):
    return sum(fault["strikes"] for fault in seen["chaos"].values())


def strike(rig, name, spec):
    """Inject a fault for a while; check the guarantees of the driver."""
    counters.need_reflow(rig)
    rig.defer(control, rig, "chaos off")
    if name in UNGATHERED:
        with_parameter(rig, "header_suppression", "false")
    before = counters.read(rig)
    traffic = [Stream(rig), Flood(rig, PEER), Flood(rig, DUT)]
    try:
        time.sleep(0.3)
        control(rig, f"chaos {spec}")
        time.sleep(_lasts(rig))
        # Where few packets come, that is not long enough for a rare fault.
        until(f"the fault {name} to strike", lambda: _strikes(status(rig)), 10)
        seen = status(rig)
        control(rig, "chaos off")
        over = time.monotonic()
    finally:
        for job in traffic:
            job.stop()
    strikes = _strikes(seen)
    with Waiting(f"traffic to come back after the fault {name}"):
        until("traffic both ways", lambda: _works(rig), BACK)
    seconds = time.monotonic() - over
    after = counters.change(before, counters.read(rig))
    packets, bad = (sum(counters.per_queue(rig, after, "rx", what))
                    for what in ("packets", "drop_bad_completion"))
    emit(event="note", text=f"hostile {name} (seed {seen['seed']}): {strikes} strikes, {packets} "
                            f"packets, {bad} not believed, back in {seconds:.1f} s")


def _add(name, spec):
    def run(rig):
        strike(rig, name, spec)

    run.__name__ = name
    run.__module__ = __name__
    run.__doc__ = f"Fault {name.replace('_', '-')}: a clean log, and traffic is back in time."
    case(limit=120)(run)


for _name, _spec in FAULTS.items():
    _add(_name, _spec)
# All wrong completions and all losses at once.
_add("mixed_lies", ",".join(f"{name.replace('_', '-')}=0.004" for name in LIES))
_add("mixed_losses", ",".join(f"{name.replace('_', '-')}=0.01" for name in LOSSES))
