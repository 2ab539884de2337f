"""A process with everything imported that forks Dropcopy's commands when told: a start then costs a twentieth of what a fresh one costs.

    nursery = Nursery()
    child = nursery.start(["receive"], environ, log)      # as subprocess.Popen([python, "app.py", "receive"], …) would
    done = nursery.run(["status", "--json"], environ)     # as subprocess.run

What is forked is the real command in a process of its own, and ends as every Python program ends. `synchronous` takes
SQLite's promise away, for the harnesses that must be able to see a loss.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.quick import keep_templates

ROOT = Path(__file__).resolve().parent.parent
_LENGTH = struct.Struct("!I")
_NUMBER = struct.Struct("!i")


class Child:
    """A command that was forked: what the tests use of subprocess.Popen, by the same names."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        (self.pid,) = _NUMBER.unpack(_exactly(channel, _NUMBER.size))
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._channel.settimeout(timeout)
            try:
                (self.returncode,) = _NUMBER.unpack(_exactly(self._channel, _NUMBER.size))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("app.py", timeout or 0) from None
            self._channel.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The side of the test. It ends with the process that made it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DROPCOPY_")}
        with theirs:
            command = [sys.executable, "-m", "tests.nursery", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, env=environ, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def start(
        self, arguments: Sequence[str], environ: Mapping[str, str], output: IO[bytes], errors: IO[bytes] | None = None, *, synchronous: str = "full"
    ) -> Child:
        """Begin a command; what it says goes to `output`, and its errors too unless they have a file of their own."""
        ours, theirs = socket.socketpair()
        words = json.dumps({"arguments": [*arguments], "environ": dict(environ), "synchronous": synchronous}).encode()
        with theirs, self._lock:
            socket.send_fds(self._control, [_LENGTH.pack(len(words))], [theirs.fileno(), output.fileno(), (errors or output).fileno()])
            self._control.sendall(words)
        return Child(ours)

    def run(self, arguments: Sequence[str], environ: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            child = self.start(arguments, environ, output, errors)
            try:
                code = child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([*arguments], code, output.read().decode(), errors.read().decode())


@functools.cache
def nursery() -> Nursery:
    """The one of this process, made when it is first wanted."""
    return Nursery()


def _exactly(channel: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = channel.recv(length - len(found))
        if not part:
            raise EOFError("the nursery has ended")
        found += part
    return found


# --- the nursery itself -------------------------------------------------------------------------------------------


def _nurse(control: socket.socket) -> dict[str, Any]:
    """Fork children until the test has gone. Returns in every child, with what was asked for; the nursery itself ends here."""
    heard, told = socket.socketpair()
    heard.setblocking(False)
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # with a handler of Python's a byte is written for every child that ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for the test to act on
    channels: dict[int, socket.socket] = {}
    while True:
        ready = select.select([control, heard], [], [])[0]
        if heard in ready:
            heard.recv(4096)
            _bury(channels)
        if control not in ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(control, _LENGTH.size, 3)
        if not head:
            os._exit(0)
        words = json.loads(_exactly(control, *_LENGTH.unpack(head)))
        channel = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for other in (control, heard, told, channel, *channels.values()):
                other.close()
            for number, descriptor in enumerate(descriptors[1:], 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return dict(words)
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        channels[pid] = channel
        channel.sendall(_NUMBER.pack(pid))


def _bury(channels: dict[int, socket.socket]) -> None:
    """Tell of each child that has ended how it did."""
    while channels:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with channels.pop(pid) as channel:
            try:
                channel.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
            except OSError:
                continue  # nobody wants to know any more


def _warm() -> None:
    """An app of a house of its own has imported and compiled whatever the children need."""
    import app
    import core.chores
    import core.explain
    import core.receiver
    import core.web.stopping
    import core.worker
    from core.settings import load_settings
    from core.store.database import close_databases

    keep_templates()
    with tempfile.TemporaryDirectory() as folder:
        core.web.settle(app.create_app(load_settings({"DROPCOPY_DATA_DIR": folder})))
        close_databases()
    gc.freeze()  # nothing for the collectors of the children to look through


def main() -> None:
    import app
    from core.store.database import PRAGMAS

    _warm()
    wanted = _nurse(socket.socket(fileno=int(sys.argv[1])))
    os.environ.clear()
    os.environ.update(wanted["environ"])
    time.tzset()
    PRAGMAS["synchronous"] = wanted["synchronous"]
    sys.argv = ["app.py", *wanted["arguments"]]
    app.main(wanted["arguments"])


if __name__ == "__main__":
    main()
