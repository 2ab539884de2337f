"""The word to stop, which a process waits for in its main thread."""

from __future__ import annotations

import os
import select
import signal
import socket

_WORDS = (signal.SIGTERM, signal.SIGINT)


def _for_itself() -> None:
    """In a child that was forked: what it is told is not told to its parent, and ends it as it ends any program."""
    signal.set_wakeup_fd(-1)
    for number in _WORDS:
        signal.signal(number, signal.SIG_DFL)


class StopSignal:
    """Told by SIGTERM, SIGINT or `tell`; once told, told for ever. Made and waited for in the main thread.

    A threading.Event does not do: Python looks for signals before it goes to sleep on a lock, and one that comes in between, or
    finds the event's own lock taken, is not noticed until something else wakes the thread. The interpreter writes a byte for
    every signal at the moment it comes, and a socket with a byte in it can be read whenever one looks.
    """

    def __init__(self) -> None:
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        for number in _WORDS:
            signal.signal(number, lambda *_: None)  # with a handler of Python's the byte is written
        os.register_at_fork(after_in_child=_for_itself)

    def tell(self) -> None:
        """Stop by ourselves."""
        self._told.send(b"!")

    def wait(self, seconds: float | None = None) -> bool:
        """Whether the process was told to stop, waiting for it at most so long; without a number, until it is told."""
        return bool(select.select([self._heard], [], [], seconds)[0])
