# SPDX-License-Identifier: GPL-2.0
"""Run cases in a guest; boot again if one is lost."""

import json
import os
import random
import subprocess
import sys
import time

from host import accel, qemu
from host.machine import Machine, Options, VmError
from host.report import AGAIN, FAIL, PASS

BOOT_LIMIT = 240
GRACE = 75        # beyond the limit of a case: undoing, rebuilding
MOST_BOOTS = 4
MOST_AGAIN = 3    # more failures than that are no accident
# Counters of the model's status that must stay 0.
FORBIDDEN = ("dma_without_bus_master", "dma_while_quiet")


def all_cases():
    """Return the cases by name; they are only run in the guest."""
    from guest.main import load_cases
    return load_cases()


class GuestRun:
    """Runs the named cases; a lost guest costs one case, not the rest."""

    def __init__(self, report, options, names, claims, rounds=0, again=False):
        self.report, self.options, self.rounds = report, options, rounds
        self.left, self.place = list(names), "vm.boot"
        self.again = [] if again else None
        self.claims = claims
        self.boots = 0
        self.forbidden = {}

    def configuration(self):
        """Return this run's part of the guest's configuration."""
        return {"cases": self.left, "rounds": self.rounds}

    def run(self):
        """Boot as often as it takes."""
        while self.left and self.boots < MOST_BOOTS:
            self.boots += 1
            self.forbidden = {}
            before = len(self.left)
            with Machine(self.options) as machine:
                machine.configure(**self.configuration())
                self._one_boot(machine)
            if len(self.left) == before:
                break
        for name in self.left:
            self.add(name, FAIL, None, "not run: the guest was lost")
        if self.again:
            self.report.note("once more, in a fresh guest: " + ", ".join(self.again))
            self.left, self.again, self.boots = self.again, None, 0
            self.place = "vm.boot_again"
            self.run()

    def _one_boot(self, machine):
        current = None
        begun = time.monotonic()
        main = qemu.guest_python(self.options.run_dir, "tests")
        deadline, what = begun + BOOT_LIMIT * self.options.scale, "the guest to boot and link up"
        try:
            machine.start(main)
            while (line := machine.line(deadline, what)) is not None:
                if not line.startswith("@"):
                    continue
                event = json.loads(line[1:])
                kind = event["event"]
                if machine.obey(event):
                    pass
                elif kind == "ready":
                    self._booted(time.monotonic() - begun, event["trouble"])
                    deadline, what = time.monotonic() + GRACE, "the first case"
                elif kind == "start":
                    current = event["test"]
                    deadline = time.monotonic() + event["limit"] + GRACE * self.options.scale
                    what = f"{current} to end"
                elif kind == "end":
                    self._ended(event, machine)
                    current, what = None, "the next case"
                    deadline = time.monotonic() + GRACE * self.options.scale
                elif kind == "note":
                    self.report.note(event["text"])
                elif kind == "lost":
                    raise VmError(f"{event['reason']}\n{machine.last_words()}")
                elif kind == "halt":
                    self._ended(self._halted(machine, event), machine)
                    return
                elif kind == "done":
                    if not self.options.sleeps:
                        machine.status()
                    return
            raise VmError(f"the guest ended while waiting for {what}.\n{machine.last_words()}")
        except VmError as why:
            self._lost(machine, current, str(why), time.monotonic() - begun)

    def _boot_name(self):
        return self.place if self.boots == 1 else f"{self.place}_{self.boots}"

    def _booted(self, seconds, trouble):
        self.add(self._boot_name(), FAIL if trouble else PASS, seconds, trouble)

    def _halted(self, machine, event):
        """Check that a guest that halts leaves the device idle."""
        begun = time.monotonic()
        while not (idle := machine.ask_status()["quiet"]):
            if time.monotonic() - begun > event["limit"]:
                break
            time.sleep(0.2)
        reason = "" if idle else f"{event['limit']:g} s after the halt the device is still at work"
        return {"test": event["test"], "result": PASS if idle else FAIL, "reason": reason,
                "seconds": round(time.monotonic() - begun, 2)}

    def _ended(self, event, machine):
        self.left.remove(event["test"])
        self._hold_against(event, machine.ask_status())
        if event["result"] == FAIL and not event.get("final", True):
            event["result"] = self.failed(event["test"])
        self.add(event["test"], event["result"], event["seconds"], event["reason"])

    def failed(self, name):
        """Return the result of a case that failed: it counts, or it is run once more."""
        if self.again is None or len(self.again) == MOST_AGAIN:
            return FAIL
        self.again.append(name)
        return AGAIN

    def _hold_against(self, event, status):
        """Fail the case if the device made a forbidden access to memory."""
        for name in FORBIDDEN:
            before = self.forbidden.get(name, 0)
            now = self.forbidden[name] = status.get(name, before)
            if now != before:
                event["result"], event["final"] = FAIL, True
                event["reason"] = "; ".join(filter(None, [
                    event["reason"], f"the device counts {now - before} under {name}"]))

    def _lost(self, machine, current, why, seconds):
        name = current or self._boot_name()
        if current:
            self.left.remove(current)
        self.add(name, FAIL, seconds, why, machine.path("console.log"))

    def add(self, name, result, seconds, reason="", log=None):
        """Report how a case ended."""
        full = name if name.startswith("vm.") else f"vm.{name}"
        text = os.path.join(self.options.run_dir, f"{name}.txt")
        self.report.add(full, result, seconds, reason, self.claims.get(name, ()), "end-to-end",
                        log or (text if os.path.exists(text) else None))


def precompile():
    """Compile our Python files on the host, which is not emulated."""
    subprocess.run([sys.executable, "-m", "compileall", "-q",
                    os.path.join(qemu.PROJECT, "tests/vm")], check=False)


def in_order(chosen, seed=None):
    """Return the names of the cases as they are to run: shuffled by the seed, if there is one.

    Those that end the machine or the run come last in any case.
    """
    first = [name for name, case in chosen.items() if not case.last]
    if seed is not None:
        random.Random(seed).shuffle(first)
    return first + [name for name, case in chosen.items() if case.last]


def _machines(wanted, dut):
    """Return {(device, sleeps): cases} of the machines that cases take.

    If the device under test is another than ours, it is that of all cases.
    """
    machines = {}
    for name, case in wanted.items():
        which = (case.device or dut if dut == "reflow" else dut, "SLEEPS" in case.flags)
        machines.setdefault(which, {})[name] = case
    return dict(sorted(machines.items(), key=lambda item: (item[0][0] != dut, item[0][1])))


def run(report, arguments, choice):
    """Run the chosen cases, and on a debug kernel those that are part of each run."""
    debug = arguments.kernel != "stock"
    fit = {name: case for name, case in all_cases().items() if debug or not case.debug}
    chosen = {name for name in fit if choice(f"vm.{name}")}
    if not chosen:
        return
    wanted = {name: case for name, case in fit.items()
              if name in chosen or case.each_run and debug}
    claims = {name: case.claims for name, case in wanted.items()}
    for (dut, sleeps), group in _machines(wanted, arguments.dut).items():
        # Debug kernels are built without support for sleep and for other devices.
        if not chosen & set(group) or debug and (sleeps or dut != arguments.dut):
            continue
        # Cases reach for the registers of devices that cannot be told to misbehave.
        append = ["iomem=relaxed"] if qemu.DUTS[dut].model else []
        # Some cases fill the packet memory: a small one is enough for that.
        options = Options(f"test-{dut}{'-asleep' * sleeps}", kernel=arguments.kernel,
                          dut=dut, queues=arguments.queues, sleeps=sleeps, append=append,
                          model_arguments=["--pm-kib", "1024"])
        report.note(f"guest: Linux {options.kernel.release()}, {accel.describe(options.accel)}, "
                    f"device {dut}, {options.cpus} CPUs{', sleeps' * sleeps}")
        GuestRun(report, options, in_order(group, arguments.shuffle), claims,
                 arguments.rounds, arguments.again).run()
