"""Whether what is written stays: trouble of the disk is noticed at the first write, said aloud, and over only when it was proved.

A full disk says itself when there is room again. An input/output error is worse: after a sync that failed the kernel counts
the pages as written, so the next sync succeeds without them. Nobody then knows what is on the disk, and from such a
connection nothing may be acknowledged. So a process that met one writes no more to that database until it has opened it
anew, copied its whole log back into the file and synced that, and read the file through (`core.store.database`).

While a process is in trouble it holds a lock on a file of the data folder. That needs no room on the disk, others can see
it, and the kernel lets go of it when the process ends, so it never lies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from peewee import OperationalError

log = logging.getLogger("dropcopy.disk")

Kind = Literal["full", "failed"]
PROVE_SECONDS = 1.0
ROOM = 4 << 20  # bytes that must be free before a full disk is said to be full no more

_FAILED = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_POSTGRESQL_FULL = "53100"


class NotProved(OperationalError):
    """The disk gave an error, and the database has not been proved since: nothing is written to it."""


def demand_room(folder: Path) -> None:
    """Raises OSError unless a mail of middling size has room here. A small write proves little: the log has room inside."""
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, ROOM)


def cause_of(error: BaseException) -> BaseException:
    """What went wrong first: the rollback after a full disk fails, too, and is what is heard."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def kind_of(error: BaseException) -> Kind | None:
    """How the disk failed, anywhere in the chain of this error; None when it was something else."""
    found: Kind | None = None
    at: BaseException | None = error
    while at is not None:
        code = getattr(at, "sqlite_errorcode", 0)
        primary = code & 0xFF  # the rest tells which call it was
        if (primary in _FAILED and code != sqlite3.SQLITE_CORRUPT_VTAB) or isinstance(at, NotProved):  # a search index is made of rows; the file is sound
            return "failed"
        if primary == sqlite3.SQLITE_FULL or getattr(at, "sqlstate", "") == _POSTGRESQL_FULL:
            found = "full"
        at = at.__cause__ or at.__context__
    return found


class Watch:
    """The trouble of this process, by the name of the database."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._troubles: dict[str, tuple[Kind, Callable[[Kind], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._held: int | None = None

    def begin(self, path: Path) -> None:
        """Watch over the databases beside this file, whose lock says that a process is in trouble."""
        with self._lock:
            self._troubles.clear()
            self._release()
            self._path = path
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            except OSError:
                self._path = None  # then nobody else is told

    def refuse_unproved(self, name: str) -> None:
        """Raises NotProved while this database is in doubt."""
        if self._troubles and self._troubles.get(name, ("", None))[0] == "failed":
            raise NotProved("the disk gave an error and has not been proved sound since")

    def note(self, name: str, kind: Kind, error: BaseException, prove: Callable[[Kind], None]) -> None:
        """The disk has failed a write. `prove` raises until it is over; it is asked every second by a thread."""
        with self._lock:
            known = self._troubles.get(name)
            if known is not None and (known[0] == "failed" or kind == "full"):
                return
            self._troubles[name] = kind, prove
            if kind == "failed":
                log.critical("writing to the %s database failed (%s): nothing is written there until it has been proved sound", name, cause_of(error))
            else:
                log.critical("the disk of the %s database is full (%s): nothing can be written until there is room", name, cause_of(error))
            self._hold()
            if self._thread is None:
                self._thread = threading.Thread(target=self._prove, name="disk", daemon=True)
                self._thread.start()

    @property
    def trouble(self) -> Kind | None:
        """What is wrong in this process."""
        kinds = {kind for kind, _ in list(self._troubles.values())}
        return "failed" if "failed" in kinds else "full" if kinds else None

    def anywhere(self) -> bool:
        """True when this process or another one on this machine cannot write."""
        if self._troubles:
            return True
        if self._path is None:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # those who ask do not stand in each other's way
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    # --- until it is over ---

    def _prove(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(PROVE_SECONDS)
            with self._lock:
                waiting = dict(self._troubles)
                if not waiting:
                    self._thread = None
                    return
                self._hold()
            for name, (kind, prove) in waiting.items():
                try:
                    prove(kind)
                except Exception as error:
                    log.debug("the %s database is not well yet: %s", name, error)
                else:
                    self._over(name, kind)

    def _over(self, name: str, kind: Kind) -> None:
        """One database is well again. The lock goes first: who sees no trouble here sees none anywhere."""
        with self._lock:
            if self._troubles.get(name, ("", None))[0] != kind:
                return
            if len(self._troubles) == 1:
                self._release()
            del self._troubles[name]
            log.warning("the %s database can be written again", name)

    def _hold(self) -> None:
        """Say that this process is in trouble, unless another one says so already."""
        if self._held is not None or self._path is None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._held = descriptor
        except OSError:
            os.close(descriptor)

    def _release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


watch = Watch()
