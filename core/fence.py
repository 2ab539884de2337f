"""Bounds in time and memory around what a stranger's mail can make us do.

SIGALRM cannot stop a regular expression or a big `pow`; a process can be killed. So reading, checking and deciding run in
a child process. One zygote a worker process has everything imported; it forks a child in some ten milliseconds whenever
one is wanted, so a killed or worn-out child costs next to nothing. Jobs and answers travel as JSON over a socket pair;
nothing that a child sends is ever executed. The web keeps a fence of its own, see core/web/reading.py.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger("dropcopy.fence")

WALL_SECONDS = 30.0
CPU_SECONDS = 20
MEMORY_BYTES = 512 * 1024 * 1024
SLOW_SECONDS = 0.25
JOBS_A_CHILD = 500  # then a fresh one: whatever leaked is gone
_WORN_BYTES = 200 * 1024 * 1024
_HEAD = struct.Struct("!BQQ")
_OK, _MEMORY, _BROKE = 0, 1, 2


class Broken(Exception):
    """A job that did not come to an answer. `code` is read-timeout, read-memory or unprocessable; `detail` is for the log."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code
        self.detail = detail


class Worker(Protocol):
    """What runs inside the fence: made once in the zygote, then asked in its forked children."""

    def work(self, job: bytes, raw: bytes) -> bytes: ...


# --- the parent's side --------------------------------------------------------------------------------------------


class Fence:
    """Runs jobs of `target` ("module:Class", made with `config`) in limited children. One `Pen` a thread."""

    def __init__(self, target: str, config: dict[str, Any]) -> None:
        self._target = target
        self._config = config
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock = threading.Lock()

    def pen(self) -> Pen:
        return Pen(self)

    def warm(self) -> None:
        """Start the zygote now, so that the first mail need not wait for its imports."""
        with self._lock:
            self._running()

    def fork(self) -> tuple[socket.socket, int]:
        """A fresh child: the socket to talk to it and its process id."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            try:
                socket.send_fds(self._running(), [b"f"], [theirs.fileno()])
            except OSError:
                self._stop()
                socket.send_fds(self._running(), [b"f"], [theirs.fileno()])
        ours.settimeout(WALL_SECONDS)
        try:
            (pid,) = struct.unpack("!I", _exactly(ours, 4))
        except (OSError, EOFError) as error:
            ours.close()
            raise Broken("unprocessable", "the reader process could not be started; see the log") from error
        return ours, pid

    def _running(self) -> socket.socket:
        if self._control is None or self._zygote is None or self._zygote.poll() is not None:
            self._stop()
            ours, theirs = socket.socketpair()
            with theirs:
                self._zygote = subprocess.Popen(
                    [sys.executable, "-m", "core.fence", str(theirs.fileno()), self._target, json.dumps(self._config)],
                    pass_fds=[theirs.fileno()],
                    cwd=Path(__file__).resolve().parent.parent,
                    start_new_session=True,  # a Ctrl-C in the terminal is for the parent to act on
                )
            self._control = ours
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = None

    def close(self) -> None:
        with self._lock:
            self._stop()


class Pen:
    """One child at a time, for the use of one thread; replaced when it dies, hangs or is worn out."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._socket: socket.socket | None = None
        self._pid = 0
        self._jobs = 0
        self.busy = False  # a job is under way: `on_slow` runs then, and must ask another pen

    def run(self, job: bytes, raw: bytes = b"", *, seconds: float = WALL_SECONDS, on_slow: Callable[[], None] | None = None) -> bytes:
        """The answer to a job. Raises Broken when there is none within the bounds.

        `on_slow` is called once when the answer does not come soon: the caller may then finish what does not depend on it.
        """
        if self.busy:
            raise RuntimeError("a pen does one job at a time")
        self.busy = True
        try:
            return self._run(job, raw, seconds, on_slow)
        finally:
            self.busy = False

    def _run(self, job: bytes, raw: bytes, seconds: float, on_slow: Callable[[], None] | None) -> bytes:
        if self._socket is None or self._jobs >= JOBS_A_CHILD:
            self.close()
            self._socket, self._pid = self._fence.fork()
            self._jobs = 0
        self._jobs += 1
        try:
            return self._talk(self._socket, job, raw, time.monotonic() + seconds, on_slow)
        except TimeoutError:
            self.close()
            raise Broken("read-timeout", f"no answer within {seconds:.0f} s") from None
        except (OSError, EOFError):
            self.close()
            raise Broken("unprocessable", "the reader process died") from None

    def _talk(self, channel: socket.socket, job: bytes, raw: bytes, deadline: float, on_slow: Callable[[], None] | None) -> bytes:
        channel.settimeout(max(deadline - time.monotonic(), 0.001))
        channel.sendall(_HEAD.pack(_OK, len(job), len(raw)) + job)
        if raw:
            channel.sendall(raw)
        if on_slow is not None and not select.select([channel], [], [], SLOW_SECONDS)[0]:
            on_slow()
        status, worn, length = _HEAD.unpack(_exactly(channel, _HEAD.size, deadline))
        answer = _exactly(channel, length, deadline)
        if worn or status != _OK:
            self.close()
        if status == _MEMORY:
            raise Broken("read-memory", "out of memory")
        if status == _BROKE:
            raise Broken("unprocessable", answer.decode("utf-8", "replace"))
        return answer

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            try:
                os.kill(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def _exactly(channel: socket.socket, length: int, deadline: float | None = None) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        if deadline is not None:
            channel.settimeout(max(deadline - time.monotonic(), 0.001))
        part = channel.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


# --- the zygote and its children ----------------------------------------------------------------------------------


def _zygote(control: socket.socket, worker: Worker) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message or not descriptors:
            return
        if os.fork() == 0:
            control.close()
            try:
                _child(socket.socket(fileno=descriptors[0]), worker)
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _child(channel: socket.socket, worker: Worker) -> None:
    channel.sendall(struct.pack("!I", os.getpid()))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory()
    while True:
        try:
            _, job_length, raw_length = _HEAD.unpack(_exactly(channel, _HEAD.size))
            job, raw = _exactly(channel, job_length), _exactly(channel, raw_length)
        except (EOFError, OSError):
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, resource.RLIM_INFINITY))
        status, answer = _answer(worker, job, raw)
        del job, raw
        worn = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _WORN_BYTES
        channel.sendall(_HEAD.pack(status, worn, len(answer)) + answer)


def _limit_memory() -> None:
    """The limit counts address space; what the libraries have mapped before the first mail is not the mail's."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = mapped + MEMORY_BYTES - 128 * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _answer(worker: Worker, job: bytes, raw: bytes) -> tuple[int, bytes]:
    try:
        return _OK, worker.work(job, raw)
    except MemoryError:
        return _MEMORY, b""
    except BaseException as error:
        return _BROKE, f"{type(error).__name__}: {error}"[:2000].encode()


def main(arguments: list[str]) -> None:
    """Entry of the zygote: `python -m core.fence FD MODULE:CLASS CONFIG`."""
    descriptor, target, config = arguments
    module, _, name = target.partition(":")
    worker = getattr(importlib.import_module(module), name)(json.loads(config))
    _zygote(socket.socket(fileno=int(descriptor)), worker)


if __name__ == "__main__":
    main(sys.argv[1:])
