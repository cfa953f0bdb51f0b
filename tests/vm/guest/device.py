# SPDX-License-Identifier: GPL-2.0
"""The device as the driver shows it, and as the model itself sees it.

The model's own view comes from outside the guest: the host puts it in the run's
folder when it is asked for.
"""

import itertools
import json
import os
import pathlib

from guest.harness import check, emit, until
from guest.net import DUT, SYS_NET

# Several processes of a guest may ask.
_NUMBERS = (f"{os.getpid()}-{number}" for number in itertools.count())
# The parser program that the driver loads by default.
FIRST_PROGRAM = "tunnels"


def status(rig):
    """Return the model's status document; status.rs of the server describes it."""
    number = next(_NUMBERS)
    path = os.path.join(rig.config["run_dir"], f"status-{number}.json")
    emit(event="status", number=number)
    until("the host to tell the device's state", lambda: os.path.exists(path), 10)
    with open(path, encoding="utf-8") as text:
        found = json.load(text)
    os.unlink(path)
    return found


def control(rig, line):
    """Send the running model a command; fail unless it succeeds. See `reflow-hw serve --help`.

    Commands are "chaos SPEC", "chaos off", "link up" and "link down".
    """
    number = next(_NUMBERS)
    path = os.path.join(rig.config["run_dir"], f"control-{number}.txt")
    emit(event="control", number=number, line=line)
    until(f"the host to tell the device '{line}'", lambda: os.path.exists(path), 30)
    with open(path, encoding="utf-8") as text:
        answer = text.read()
    os.unlink(path)
    check(answer == "ok", f"the device was told '{line}' and answered '{answer}'")
    return answer


def with_chaos(rig, spec):
    """Inject these faults until the case is over."""
    rig.defer(control, rig, "chaos off")
    control(rig, f"chaos {spec}")


def value(rig, name):
    """Return the text of one file of the interface's folder `reflow` in sysfs."""
    with open(f"{SYS_NET}/{rig.device}/reflow/{name}", encoding="ascii") as text:
        return text.read().rstrip("\n")


def number(rig, name):
    """Return the number in such a file."""
    return int(value(rig, name))


def bus_address(rig):
    """Return the PCI address of the device."""
    return os.path.basename(os.path.realpath(f"{SYS_NET}/{rig.device}/device"))


def table(rig, name):
    """Return a table of debugfs as a list of dictionaries by the column's names."""
    path = f"/sys/kernel/debug/reflow/{bus_address(rig)}/{name}"
    with open(path, encoding="ascii") as text:
        names, *rows = [line.split() for line in text]
    for row in rows:
        check(len(row) == len(names), f"{path}: a row of other columns than the head's: {row}")
    return [dict(zip(names, row)) for row in rows]


def devlink(rig, *words, **options):
    """Run devlink for the device; the word DEVICE stands for it."""
    handle = f"pci/{bus_address(rig)}"
    words = [handle if word == "DEVICE" else word for word in words]
    return rig.run(DUT, "devlink", *words, **options)


def parameter(rig, name):
    """Return the value of a devlink parameter, as devlink writes it."""
    said = json.loads(devlink(rig, "-j", "dev", "param", "show", "DEVICE", "name", name))
    (found,) = said["param"].values()
    return found[0]["values"][0]["value"]


def set_parameter(rig, name, to, **options):
    """Set a devlink parameter."""
    return devlink(rig, "dev", "param", "set", "DEVICE", "name", name, "value", str(to),
                   "cmode", "runtime", **options)


def with_parameter(rig, name, to):
    """Set a devlink parameter until the case is over."""
    before = parameter(rig, name)
    rig.defer(set_parameter, rig, name, str(before).lower())
    set_parameter(rig, name, to)


def versions(rig):
    """Return the versions that devlink tells: {"fixed": {...}, "running": {...}}."""
    said = json.loads(devlink(rig, "-j", "dev", "info", "DEVICE"))
    (found,) = said["info"].values()
    return found["versions"]


def offer_firmware(rig, files):
    """Provide these files, {name: bytes}, as firmware until the case is over."""
    folder = os.path.join("/tmp", "firmware")
    os.makedirs(folder, exist_ok=True)
    for name, content in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "wb") as out:
            out.write(content)

    rig.defer(rig.find_firmware, rig.find_firmware(folder))
    for name in files:
        rig.defer(pathlib.Path(folder, name).unlink, True)
