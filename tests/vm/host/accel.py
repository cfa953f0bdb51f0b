# SPDX-License-Identifier: GPL-2.0
"""Choice of the accelerator: KVM where it works, else emulation.

/dev/kvm can be there and yet kill every guest, so a kernel is really booted
with it, to its "no root file system" panic. The answer is kept until the host
reboots.
"""

import os
import subprocess

from host import kernels

KVM, TCG = "kvm", "tcg"


def _kvm_boots():
    words = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "256", "-smp", "2",
             "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
             "-kernel", kernels.STOCK.image(), "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=10, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return False
    return b"Unable to mount root" in done.stdout


def probe():
    """Return KVM or TCG, from the cache when this boot was asked before."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as text:
        boot = text.read().strip()
    path = os.path.join(kernels.cache_folder(), "kvm-probe")
    try:
        with open(path, encoding="ascii") as text:
            seen, answer = text.read().split()
        if seen == boot and answer in (KVM, TCG):
            return answer
    except (OSError, ValueError):
        pass
    answer = KVM if _kvm_boots() else TCG
    try:
        with open(path, "w", encoding="ascii") as text:
            text.write(f"{boot} {answer}\n")
    except OSError:
        pass  # without a cache the next run asks again
    return answer


def describe(accel):
    """Describe the accelerator in words."""
    if accel == KVM:
        return "KVM"
    if os.path.exists("/dev/kvm"):
        return "TCG (emulation: /dev/kvm is there, but guests do not run with it)"
    return "TCG (emulation: no /dev/kvm)"
