# SPDX-License-Identifier: GPL-2.0
"""The guest's side of a run: set the link up, run cases, or show the demo."""

import importlib
import json
import os
import pkgutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from guest.harness import (  # noqa: E402
    CASES, Failed, KernelLog, Waiting, be_patient, emit, end_case, run_cases)
from guest.net import Rig  # noqa: E402
from guest.ram import live_in_memory  # noqa: E402


def load_cases():
    """Import every file of cases; return the cases in the order of their files' names."""
    import cases
    for subject in sorted(each.name for each in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module(f"cases.{subject}")
    return CASES


def run_tests(config, rig, after=None):
    """Set up, then run the cases that the host asks for, or those behind the one that has begun a
    new kernel and ends well with its first traffic."""
    if "selftests" in config:
        from guest.selftests import register
        register(config)
    else:
        load_cases()
    if config["kernel"] != "stock":
        be_patient()
    log = KernelLog()
    try:
        rig.start()
    except Failed as why:
        rig.describe("vm.boot", str(why))
        emit(event="lost", reason=f"the link could not be set up: {why}")
        return 1
    if config["sleeps"]:
        live_in_memory(config["kernel_image"], config["initrd"])
    names = config["cases"]
    if after:
        names = names[names.index(after) + 1:]
        end_case(after, rig, log)
    else:
        emit(event="ready", trouble=log.complaint())
    run_cases(names, rig, log)
    return 0


def main():
    """Entry point: main.py CONFIG tests [CASE]|setup|demo|control COMMAND."""
    with open(sys.argv[1], encoding="utf-8") as text:
        config = json.load(text)
    Waiting.scale = config["scale"]
    rig = Rig(config)
    if sys.argv[2] == "tests":
        return run_tests(config, rig, *sys.argv[3:])
    if sys.argv[2] == "demo":
        from guest.demo import Demo
        return Demo(config, rig).run()
    if sys.argv[2] == "control":
        from guest.device import control
        control(rig, " ".join(sys.argv[3:]))
        return 0
    try:
        rig.start()
    except Failed as why:
        print(f"The link could not be set up: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
