# SPDX-License-Identifier: GPL-2.0
"""Run without the host's files: copy to memory before a sleep what is needed after it.

The guest's root is a 9p file system over virtio. That driver of the kernel has
no callbacks for sleep, so after the first one every access to a file hangs; the
virtio ports lose what is written to them. Memory, PCI devices, network interfaces,
disks and serial ports survive. So this process keeps all its pages,
moves to a root in memory that has the few programs that cases call, and reports
over a serial port.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tty

ROOT = "/run/ram"
PORT = "/dev/ttyS1"
PROGRAMS = ("ip", "ethtool", "devlink", "dmesg", "ss", "cat", "ping")
MCL_CURRENT = 1
_libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    """Call a function of the C library; raise what it complains of."""
    if getattr(_libc, name)(*args):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _copy(path):
    target = ROOT + path
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(path, target)


def _copy_program(path):
    """Copy a program with the libraries that it needs."""
    _copy(path)
    needs = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for word in needs.split():
        if word.startswith("/"):
            _copy(word)


def kept(path):
    """Return where a file of the host's is that was kept."""
    return f"/kept/{os.path.basename(path)}"


def live_in_memory(*files):
    """Keep copies of some of the host's files, and report over the serial port from here on."""
    os.mkdir(ROOT)
    subprocess.run(["mount", "-t", "tmpfs", "ram", ROOT], check=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(f"{ROOT}/usr/{name}")
        os.symlink(f"usr/{name}", f"{ROOT}/{name}")
    for name in PROGRAMS:
        _copy_program(os.path.realpath(shutil.which(name)))
    os.mkdir(f"{ROOT}/kept")
    for path in files:
        shutil.copy(path, ROOT + kept(path))
    for name in ("proc", "sys", "dev", "run"):
        os.mkdir(f"{ROOT}/{name}")
        subprocess.run(["mount", "--rbind", f"/{name}", f"{ROOT}/{name}"], check=True)
    subprocess.run(["modprobe", "-a", "virtio_blk", "aer_inject"], check=False)
    call("mlockall", MCL_CURRENT)
    os.chroot(ROOT)
    os.chdir("/")
    port = os.open(PORT, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    sys.stdout = os.fdopen(port, "w")
