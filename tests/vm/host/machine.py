# SPDX-License-Identifier: GPL-2.0
"""One run of the virtual machine: device, guest and logs.

The scripts start this in a process namespace of its own, so that nothing it
starts outlives it, however it ends.
"""

import collections
import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from guest.harness import TROUBLE
from host import accel, qemu
from host.kernels import KERNELS

TAIL = 12


class VmError(Exception):
    """The reason why there is no guest, or no longer one."""


class Options:
    """Options of a run of the machine; see scripts/vm --help."""

    def __init__(self, name, **given):
        self.name = name
        self.kernel = "stock"
        self.dut = "reflow"
        self.cpus = self.queues = 4
        self.memory = 1024
        self.chaos = self.trace = self.seed = None
        self.append, self.qemu, self.model_arguments = [], [], []
        self.accel = None
        self.cpu_model = "Nehalem,+rdrand,+rdseed,+sha-ni"
        self.wire = None  # a socket at which a link partner outside of QEMU listens
        self.sleeps = False  # what the guest reports outlives its sleeps, see guest/ram.py
        self.scale = float(os.environ.get("REFLOW_TEST_SCALE", "1"))
        self.__dict__.update(given)
        self.kernel = KERNELS[self.kernel]
        self.memory = max(self.memory, self.kernel.memory)
        self.scale *= self.kernel.scale
        self.module = qemu.DUTS[self.dut].module(self.kernel)
        self.accel = self.accel or accel.probe()
        self.run_dir = os.path.join(qemu.PROJECT, "build/run", name)
        shutil.rmtree(self.run_dir, ignore_errors=True)
        os.makedirs(self.run_dir)

    def initrd(self):
        """Return where a machine that sleeps has its first file system, for a kernel to come."""
        return os.path.join(self.run_dir, "initrd")


class _Pump(threading.Thread):
    """Copies a stream to a log, line by line; keeps the last ones."""

    def __init__(self, stream, path, lines=None, stamp=False):
        super().__init__(daemon=True)
        self.stream, self.lines, self.stamp = stream, lines, stamp
        self.log = open(path, "a", encoding="utf-8", errors="replace")
        self.tail = collections.deque(maxlen=TAIL)
        self.alarm = []
        self.begun = time.monotonic()
        self.start()

    def run(self):
        for raw in self.stream:
            line = raw.decode(errors="replace").rstrip("\r\n")
            if "BIOS-e820" not in line:
                self.tail.append(line)
            if (self.alarm or TROUBLE.search(line)) and len(self.alarm) < TAIL:
                self.alarm.append(line)
            when = f"{time.monotonic() - self.begun:8.3f} " if self.stamp else ""
            self.log.write(f"{when}{line}\n")
            self.log.flush()
            if self.lines is not None:
                self.lines.put(line)
        if self.lines is not None:
            self.lines.put(None)


class Machine:
    """A guest that runs one job; `lines()` gives what the job prints."""

    def __init__(self, options):
        self.options = options
        self.dut = qemu.DUTS[options.dut]
        self.model = self.guest = None
        self.pumps = {}
        self.output = queue.Queue()
        self.report = None
        self.sockets = tempfile.mkdtemp(prefix="reflow-", dir="/run")

    def path(self, name):
        """Return the path of a file in the run's folder."""
        return os.path.join(self.options.run_dir, name)

    def configure(self, **more):
        """Write the guest's configuration."""
        options = self.options
        config = {
            "driver": self.dut.driver, "module": options.module, "queues": options.queues,
            "kernel": options.kernel.name, "cpus": options.cpus, "mac": qemu.MAC, "peer_mac": qemu.PEER_MAC,
            "run_dir": options.run_dir, "scale": options.scale,
            "accelerator": accel.describe(options.accel), "sleeps": options.sleeps,
            "kernel_image": options.kernel.image(), "initrd": options.initrd(),
        }
        with open(self.path("config.json"), "w", encoding="utf-8") as text:
            json.dump({**config, **more}, text, indent=1)

    def start(self, job):
        """Start the device and the guest."""
        self._start_model()
        self._use_own_init()
        if self.options.sleeps:
            self._prepare_sleeps()
        self.guest = subprocess.Popen(
            qemu.command(self.options, self.sockets, job), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pumps["guest"] = _Pump(self.guest.stdout, self.path("guest.log"), self.output)
        self.pumps["console"] = _Pump(self.guest.stderr, self.path("console.log"), stamp=True)

    def interact(self):
        """Start the device and a guest with a shell on this terminal; return its status."""
        self._start_model()
        self._use_own_init()
        with open(self.path("console.log"), "wb") as console:
            self.guest = subprocess.Popen(qemu.command(self.options, self.sockets),
                                          stderr=console)
            while True:
                try:
                    return self.guest.wait()
                except KeyboardInterrupt:
                    continue  # belongs to the guest's shell

    def line(self, deadline, what):
        """Return the next line of the job, None at its end; say `what` was late."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise VmError(f"waited in vain for {what}.\n{self.last_words()}")
            try:
                return self.output.get(timeout=min(left, 0.5))
            except queue.Empty:
                self._check_model(what)

    def tell_status(self, number):
        """Write the model's status to a file for the guest."""
        self._hand_over(f"status-{number}.json", self._status_text())

    def ask_status(self):
        """Return the model's status; nothing if it has none, or has ended."""
        if self.model is None or self.options.dut == "sample" or self.model.poll() is not None:
            return {}
        return json.loads(self._status_text())

    def _status_text(self):
        text = b""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(20 * self.options.scale)
            asked.connect(f"{self.sockets}/status.sock")
            while part := asked.recv(1 << 16):
                text += part
        return text

    def control(self, line):
        """Give the model a command; return its answer, "ok" or "error: ..."."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as told:
            told.settimeout(20 * self.options.scale)
            told.connect(f"{self.sockets}/control.sock")
            told.sendall(line.encode() + b"\n")
            while not answer.endswith(b"\n") and (part := told.recv(4096)):
                answer += part
        return answer.decode().rstrip("\n")

    def obey(self, event):
        """Handle an event of the guest; return whether it was handled."""
        if event["event"] == "status":
            self.tell_status(event["number"])
        elif event["event"] == "wake":
            # A byte that comes before the sleep would keep it awake.
            threading.Timer(event["after"], self._wake).start()
        elif event["event"] == "describe":
            with open(self.path(f"{event['name']}.txt"), "a", encoding="utf-8") as text:
                text.write(event["text"])
        elif event["event"] == "control":
            self._hand_over(f"control-{event['number']}.txt",
                            self.control(event["line"]).encode())
        else:
            return False
        return True

    def status(self, limit=20):
        """Return the job's exit status, once its output has ended."""
        try:
            status = self.guest.wait(limit)
        except subprocess.TimeoutExpired:
            raise VmError(f"the guest did not power off within {limit} s.\n"
                          f"{self.last_words()}") from None
        if status == 255:
            raise VmError(f"the guest ended before its job did.\n{self.last_words()}")
        return status

    def last_words(self):
        """Return the ends of the logs, for a message."""
        text = []
        for name, title in (("console", "guest console"), ("model", "device")):
            pump = self.pumps.get(name)
            if pump is None:
                continue
            where = os.path.relpath(pump.log.name, qemu.PROJECT)
            if pump.alarm:
                text.append(f"trouble on the {title} ({where}):")
                text += [f"  {line}" for line in pump.alarm]
            else:
                text.append(f"last lines of the {title} ({where}):")
                text += [f"  {line}" for line in pump.tail] or ["  (none)"]
        return "\n".join(text)

    def stop(self):
        """End everything, whatever state it is in."""
        for process in (self.guest, self.model):
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._kill_rest()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # Helpers -------------------------------------------------------------

    def _hand_over(self, name, content):
        """Write a file for the guest atomically."""
        path = self.path(name)
        with open(f"{path}.new", "wb") as out:
            out.write(content)
        os.rename(f"{path}.new", path)

    def _prepare_sleeps(self):
        """Make a disk to hibernate to, and listen to the port that outlives sleeps."""
        # virtme-run does not overwrite the one of a boot before.
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.options.initrd())
        swap = self.path("swap.img")
        with open(swap, "wb") as disk:
            disk.truncate(self.options.memory << 20)
        subprocess.run(["mkswap", "-q", swap], check=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.sockets}/report.sock")
        listener.listen(1)
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def _listen(self, listener):
        self.report, _ = listener.accept()
        for line in self.report.makefile("r", encoding="utf-8", errors="replace"):
            self.output.put(line.rstrip("\r\n"))

    def _wake(self):
        try:
            self.report.sendall(b"\n")
        except OSError:
            pass  # QEMU has ended

    def _start_model(self):
        words = qemu.model_command(self.options, self.sockets)
        if words is None:
            return
        kernel = self.options.kernel
        module = f"make debug SAN={kernel.name}" if kernel.debug else "make module"
        for path, how in ((words[0], "make model"), (self.options.module, module)):
            if not os.path.exists(path):
                raise VmError(f"{path} is not there; build it with `{how}`.")
        self.model = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT)
        ready = queue.Queue()
        pump = self.pumps["model"] = _Pump(self.model.stdout, self.path("device.log"), ready)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                line = ready.get(timeout=0.5)
            except queue.Empty:
                continue
            if line is None:
                self.model.wait(5)
                raise VmError(f"the device model ended with status {self.model.returncode} "
                              f"before it was ready.\n{self.last_words()}")
            if line == "ready":
                pump.lines = None
                return
        raise VmError(f"the device model was not ready within 10 s.\n{self.last_words()}")

    def _check_model(self, what):
        if self.model is not None and self.model.poll() is not None:
            time.sleep(0.3)  # its last lines are on their way
            raise VmError(f"the device model ended with status {self.model.returncode} while "
                          f"waiting for {what}.\n{self.last_words()}")

    @staticmethod
    def _use_own_init():
        """Put our quick init over virtme-ng's, in this mount namespace only."""
        if os.path.samefile(f"{qemu.GUEST}/init", qemu.VIRTME_INIT):
            return
        subprocess.run(["mount", "--bind", f"{qemu.GUEST}/init", qemu.VIRTME_INIT], check=True)

    @staticmethod
    def _kill_rest():
        """QEMU is a grandchild; in our own process namespace all others are ours."""
        if os.getpid() != 1:
            return
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                try:
                    os.kill(int(name), signal.SIGKILL)
                except OSError:
                    pass
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass
