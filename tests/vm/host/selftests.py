# SPDX-License-Identifier: GPL-2.0
"""The kernel's own driver tests in the guest, compared with the expectations."""

import os
import shutil

from host import accel, expected, qemu
from host.guests import GuestRun
from host.machine import Options
from host.report import FAIL, PASS, SKIP

# Output on devices other than ours, by device: it outlives the next run.
RESULTS = os.path.join(qemu.PROJECT, "build/selftests")
QUEUES = 16
MEMORY = 2048   # MiB; zero-copy tests take huge pages


class SelftestRun(GuestRun):
    """Runs the programs as cases, and judges each by its output."""

    def __init__(self, report, options, chosen, place, only):
        super().__init__(report, options, list(chosen), {})
        self.chosen, self.programs, self.only = chosen, place, only
        self.totals = {PASS: 0, FAIL: 0, SKIP: 0}

    def configuration(self):
        """Return the guest's configuration of the programs."""
        lenient = self.options.dut != "reflow"
        about = {name: {"file": entry.file, "limit": entry.limit, "only": self.only,
                        "passes": sorted(entry.passes), "before": entry.before,
                        "lenient": lenient}
                 for name, entry in self.chosen.items()}
        return {**super().configuration(), "selftests": about, "place": self.programs}

    def add(self, name, result, seconds, reason="", log=None):
        """Judge the output of a program."""
        entry = self.chosen.get(name)
        if entry is None:  # a boot
            name = name.replace("vm.", "selftests.")
            self.report.add(name, result, seconds, reason, log=log)
            return
        path = os.path.join(self.options.run_dir, f"{name}.tap")
        if self.options.dut != "reflow" and not self.only and os.path.exists(path):
            kept = os.path.join(RESULTS, self.options.dut)
            os.makedirs(kept, exist_ok=True)
            shutil.copy(path, kept)
        verdict = expected.Verdict(entry, path, partial=bool(self.only))
        for which in self.totals:
            self.totals[which] += verdict.count(which)
        complaints = ([reason] if result == FAIL else []) + verdict.complaints
        self.report.add(name, FAIL if complaints else PASS, seconds, "\n".join(complaints),
                        log=path if os.path.exists(path) else log)
        for line in verdict.lines():
            print(f"     {line}", flush=True)


def _expectations(dut):
    """Return what to expect of a device: what is listed of ours, of another what its own driver
    did when it was run last."""
    if dut == "reflow":
        return expected.load()
    model = qemu.DUTS[dut].model
    results = os.path.join(RESULTS, model) if model not in (None, dut) else None
    return expected.load(lambda table: expected.Comparison(table, results))


def run(report, arguments, choice, quick=False):
    """Run the chosen programs, `quick` only those that are."""
    chosen = {name: entry for name, entry in _expectations(arguments.dut).items()
              if choice(name) and (entry.quick or not quick)}
    if not chosen:
        return
    if not arguments.selftests_place:
        report.add("selftests.build", FAIL, reason="the kernel's tests could not be prepared")
        return
    name = "selftests" if arguments.dut == "reflow" else f"selftests-{arguments.dut}"
    options = Options(name, kernel=arguments.kernel, dut=arguments.dut, queues=QUEUES,
                      memory=MEMORY)
    report.note(f"the kernel's driver tests: Linux {options.kernel.release()}, "
                f"{accel.describe(options.accel)}, device {arguments.dut}, "
                f"{options.queues} queues")
    made = SelftestRun(report, options, chosen, arguments.selftests_place,
                       choice.only)
    made.run()
    report.note("their cases: " + ", ".join(f"{count} {what}"
                                            for what, count in made.totals.items()))
