# SPDX-License-Identifier: GPL-2.0
"""The kernels that a guest can boot: Debian's and the debug kernels."""

import glob
import os

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__)))))


def cache_folder():
    """Return the project's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "reflow")


class Kernel:
    """A kernel, and how a machine that boots it differs from others."""

    def __init__(self, name):
        self.name = name
        self.debug = False
        self.modules = "auto"   # of virtme-run: where the guest finds the kernel's own modules
        self.arguments = []
        self.memory = 0         # MiB that it needs at least
        self.scale = 1          # how much longer everything takes with it

    def image(self):
        """Return the path of the image."""
        found = sorted(glob.glob("/boot/vmlinuz-*"), key=os.path.getmtime)
        if not found:
            raise SystemExit("vm: no kernel in the toolbox; run `scripts/toolbox setup`.")
        return found[-1]

    def release(self):
        """Return the release of the kernel."""
        return os.path.basename(self.image()).removeprefix("vmlinuz-")

    def built(self, path):
        """Return where a file of ours is that was built for this kernel."""
        return os.path.join(PROJECT, path)


class DebugKernel(Kernel):
    """A kernel of scripts/debug-kernel; all that the guest needs is built in."""

    def __init__(self, name, scale, arguments=()):
        super().__init__(name)
        self.debug = True
        self.modules = "none"
        self.memory = 2048
        self.scale = scale
        # All reports of KASAN, not only the first; no dummy interfaces.
        self.arguments = ["kasan_multi_shot", "kmemleak=on", "dummy.numdummies=0", *arguments]

    def _built(self, path):
        return os.path.join(cache_folder(), "debug-kernel", self.name, path)

    def image(self):
        path = self._built("arch/x86/boot/bzImage")
        if not os.path.exists(path):
            raise SystemExit(f"vm: {path} is not there; build it with `make debug "
                             f"SAN={self.name}`.")
        return path

    def release(self):
        with open(self._built("include/config/kernel.release"), encoding="ascii") as text:
            return text.read().strip()

    def built(self, path):
        return os.path.join(PROJECT, "build/debug", self.name, path)


KERNELS = {
    "stock": Kernel("stock"),
    "kasan": DebugKernel("kasan", scale=5),
    # One access in 500 is watched, not in 4000: an emulated machine makes few in a second.
    "kcsan": DebugKernel("kcsan", scale=8, arguments=["kcsan.skip_watch=500"]),
}
STOCK = KERNELS["stock"]


def add_choice(parser):
    """Let a command line choose the kernel."""
    parser.add_argument("--kernel", default="stock", choices=list(KERNELS),
                        help="stock: Debian's; kasan, kcsan: debug kernels, everything takes "
                             "some times as long (`make debug SAN=...` builds them)")
