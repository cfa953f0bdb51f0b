# SPDX-License-Identifier: GPL-2.0
"""The command line of the virtual machine.

virtme-run (the engine of virtme-ng) makes the initramfs, shares the toolbox's
root with the guest and starts QEMU; what it is given is made here.
"""

import json
import os
import shlex

from host import accel
from host.kernels import PROJECT

GUEST = os.path.join(PROJECT, "tests/vm/guest")
VIRTME_INIT = "/usr/lib/python3/dist-packages/virtme/guest/virtme-init"

MAC, PEER_MAC = "02:00:5e:10:00:01", "02:00:5e:10:00:02"

# A link partner without offloads: its packets are on the wire as sent.
PLAIN = ("csum", "gso", "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo",
         "host_tso4", "host_tso6", "host_ecn", "host_ufo", "guest_uso4", "guest_uso6",
         "host_uso")


class Dut:
    """A device under test: how QEMU and the guest are told about it."""

    def __init__(self, driver, model=None, folder=None):
        self.driver = driver
        self.model = model      # of QEMU's own, None for one of the project
        self.folder = folder    # of the driver, if it is ours

    def module(self, kernel):
        """Return the path of the driver's module if it is ours, for a kernel."""
        return self.folder and kernel.built(f"{self.folder}/{self.driver}.ko")

    def device(self, sockets, wire=None, port=False):
        """Return the QEMU arguments of the device.

        It is on a `wire` that leads out of QEMU or not, behind a root `port` or not.
        """
        if self.model is None:
            device = {"driver": "vfio-user-pci",
                      "socket": {"type": "unix", "path": f"{sockets}/dev.sock"}}
            before = []
            if port:
                device["bus"] = "rootport"
                before = ["-device", "pcie-root-port,id=rootport,chassis=1,slot=1"]
            return before + ["-device", json.dumps(device)]
        backend = "hubport,id=dut,hubid=1"
        if wire:
            backend = f"stream,id=dut,server=off,addr.type=unix,addr.path={wire}"
        return ["-netdev", backend, "-device", f"{self.model},netdev=dut,mac={MAC}"]

    def partner(self, sockets):
        """Return the backend of the link partner: the other end of the wire."""
        if self.model is None:
            return f"stream,id=peer,server=off,addr.type=unix,addr.path={sockets}/wire.sock"
        return "hubport,id=peer,hubid=1"


# Beside our own, some that QEMU brings: to compare with, and to tell a fault
# of the tests from a fault of the driver. One of them has a driver of ours.
DUTS = {
    "reflow": Dut("reflow", folder="drivers/net/ethernet/reflow"),
    "e1000e": Dut("e1000e", "e1000e"),
    "igb": Dut("igb", "igb"),
    "igb-rs": Dut("igb_rs", "igb", folder="drivers/net/ethernet/igb_rs"),
    "vmxnet3": Dut("vmxnet3", "vmxnet3"),
    "virtio": Dut("virtio_net", "virtio-net-pci,romfile=,rx_queue_size=1024"),
    "sample": Dut("sample_nic", folder="drivers/net/rust/sample"),
}


def model_command(options, sockets):
    """Return how the model of the device is started, or None where QEMU has it."""
    if DUTS[options.dut].model is not None:
        return None
    if options.dut == "sample":
        return [os.path.join(PROJECT, "build/bin/sample-nic"), f"{sockets}/dev.sock",
                f"{sockets}/wire.sock", MAC]
    wire = f"stream:unix:{options.wire}" if options.wire else f"listen:unix:{sockets}/wire.sock"
    words = [os.path.join(PROJECT, "build/bin/reflow-hw"), "serve",
             "--socket", f"{sockets}/dev.sock", "--wire", wire,
             "--status", f"{sockets}/status.sock", "--control", f"{sockets}/control.sock",
             "--mac", MAC,
             "--queues", str(options.queues)]
    for flag in ("chaos", "trace", "seed"):
        value = getattr(options, flag)
        if value:
            words += [f"--{flag}", str(value)]
    return words + options.model_arguments


def guest_python(run_dir, *words):
    """Return the shell command for our guest program."""
    # -S and the compiled files of the host's run: start-up is what emulation
    # makes slow.
    return shlex.join(["env", f"PYTHONPYCACHEPREFIX={PROJECT}/build/pycache", "python3", "-S",
                       f"{GUEST}/main.py", f"{run_dir}/config.json", *words])


def _qemu_options(options, sockets):
    memory = f"memory-backend-memfd,id=ram,size={options.memory}M,share=on"
    words = ["-object", memory, "-machine", "q35,sata=off,smbus=off,memory-backend=ram"]
    if options.accel == accel.TCG:
        # No more CPU features than the guest needs, which saves their setup.
        words += ["-accel", "tcg,thread=multi", "-cpu", options.cpu_model]
    words += ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
              "-device", "virtio-9p-pci,fsdev=root,mount_tag=reflow.root"]
    words += DUTS[options.dut].device(sockets, options.wire, port=options.sleeps)
    if options.sleeps:
        # Errors on the bus are reported through a root port.
        # A serial port goes on after a sleep, virtio ports of 7.3 do not. A byte on it wakes the
        # guest up. The disk takes the image of a hibernation.
        words += ["-chardev", f"socket,id=report,path={sockets}/report.sock",
                  "-device", "isa-serial,chardev=report",
                  "-drive", f"if=none,id=swap,format=raw,file={options.run_dir}/swap.img",
                  "-device", "virtio-blk-pci,drive=swap"]
    if options.wire:
        return words + options.qemu
    plain = "".join(f",{name}=off" for name in PLAIN)
    words += ["-netdev", DUTS[options.dut].partner(sockets), "-device",
              f"virtio-net-pci,netdev=peer,mac={PEER_MAC},romfile={plain}"]
    return words + options.qemu


def command(options, sockets, job=None):
    """Return the whole virtme-run command; `job` is a shell command for the guest."""
    words = ["virtme-run", "--kimg", options.kernel.image(), "--mods", options.kernel.modules,
             "--force-9p", "--disable-microvm", "--cpus", str(options.cpus), "--memory", f"{options.memory}M",
             "--overlay-rwdir", "/tmp", f"--rwdir={options.run_dir}={options.run_dir}",
             "--cwd", PROJECT]
    if options.accel == accel.TCG:
        words.append("--disable-kvm")
    arguments = ["loglevel=5", "net.ifnames=0", "mitigations=off", "random.trust_cpu=on"]
    if options.accel == accel.TCG:
        arguments += ["tsc=reliable", "no_timer_check"]
    if job is None:
        rc = os.path.join(GUEST, "shell.rc")
        arguments.append(f"PROMPT_COMMAND=. {shlex.quote(rc)}")
        words.append("--disable-monitor")
    else:
        words += ["--show-boot-console", "--script-sh", job]
    if options.sleeps:
        words += ["--save-initramfs", options.initrd()]
    for argument in arguments + options.kernel.arguments + options.append:
        words += ["-a", argument]
    return words + ["--qemu-opts"] + _qemu_options(options, sockets)
