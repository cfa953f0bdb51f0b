# SPDX-License-Identifier: GPL-2.0
"""The cases in the guest, seen from the host: one boot, as many cases as it lasts."""

import json
import os
import subprocess
import sys
import time

from host import accel, qemu
from host.machine import Machine, Options, VmError
from host.report import FAIL, PASS

BOOT_LIMIT = 120
GRACE = 75        # what a case may need beyond its limit: undoing, rebuilding
MOST_BOOTS = 4


def all_cases():
    """Return the cases by name; they are only run in the guest."""
    from guest.main import load_cases
    return load_cases()


class GuestRun:
    """Runs the named cases; a lost guest costs one case, not the rest."""

    def __init__(self, report, options, names, claims, rounds=0):
        self.report, self.options, self.rounds = report, options, rounds
        self.left = list(names)
        self.claims = claims
        self.boots = 0

    def configuration(self):
        """Return what the guest has to know, besides what every guest has to."""
        return {"cases": self.left, "rounds": self.rounds}

    def run(self):
        """Boot as often as it takes."""
        while self.left and self.boots < MOST_BOOTS:
            self.boots += 1
            before = len(self.left)
            with Machine(self.options) as machine:
                machine.configure(**self.configuration())
                self._one_boot(machine)
            if len(self.left) == before:
                break
        for name in self.left:
            self.add(name, FAIL, None, "not run: the guest was lost")

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
                    self._ended(event)
                    current, what = None, "the next case"
                    deadline = time.monotonic() + GRACE * self.options.scale
                elif kind == "note":
                    self.report.note(event["text"])
                elif kind == "lost":
                    raise VmError(f"{event['reason']}\n{machine.last_words()}")
                elif kind == "done":
                    machine.status()
                    return
            raise VmError(f"the guest ended while waiting for {what}.\n{machine.last_words()}")
        except VmError as why:
            self._lost(machine, current, str(why), time.monotonic() - begun)

    def _boot_name(self):
        return "vm.boot" if self.boots == 1 else f"vm.boot_{self.boots}"

    def _booted(self, seconds, trouble):
        self.add(self._boot_name(), FAIL if trouble else PASS, seconds, trouble)

    def _ended(self, event):
        self.left.remove(event["test"])
        self.add(event["test"], event["result"], event["seconds"], event["reason"])

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
    """Have Python compile our files here, where it is not emulated."""
    subprocess.run([sys.executable, "-m", "compileall", "-q",
                    os.path.join(qemu.PROJECT, "tests/vm")], check=False)


def run(report, arguments):
    """Run the cases whose names hold the pattern, and what ends each run on a debug kernel."""
    debug = arguments.kernel != "stock"
    fit = {name: case for name, case in all_cases().items() if debug or not case.debug}
    chosen = {name for name in fit if arguments.pattern in f"vm.{name}"}
    if not chosen:
        return
    claims = {name: case.claims for name, case in fit.items() if name in chosen or case.last}
    # Some cases fill the packet memory: a small one is enough for that.
    options = Options(f"test-{arguments.dut}", kernel=arguments.kernel, dut=arguments.dut,
                      queues=arguments.queues, model_arguments=["--pm-kib", "1024"])
    report.note(f"guest: Linux {options.kernel.release()}, {accel.describe(options.accel)}, "
                f"device {arguments.dut}, {options.cpus} CPUs")
    GuestRun(report, options, list(claims), claims, arguments.rounds).run()
