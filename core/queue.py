"""huey as a doorbell: it carries no mail, only "there is something to do".

huey deletes a task before running it, so a task may be lost at any time, and that must not matter: the stored rows are
the truth and the sweeper looks at them again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey

from core.errors import SettingsError
from core.settings import Settings

log = logging.getLogger("dropcopy.queue")

# A short poll: with huey's default back-off an idle queue notices a task only after up to ten seconds.
INITIAL_DELAY = 0.02
MAX_DELAY = 0.2


def make_huey(settings: Settings) -> Huey:
    """The queue of these settings: SQLite beside the data, PostgreSQL with the database, or Redis when wanted."""
    url = settings.queue_url or ("" if settings.on_sqlite else settings.database_url)
    if url.startswith("redis"):
        return RedisHuey("dropcopy", url=url, results=False)
    if url:
        return PostgresHuey("dropcopy", dsn=url, results=False)
    # Losing a wake-up is harmless, so its file needs no sync.
    path = settings.data_dir / "queue.db"
    _set_aside_when_broken(path)
    return SqliteHuey("dropcopy", filename=str(path), fsync=False, results=False)


def _set_aside_when_broken(path: Path) -> None:
    """A file without syncs may be broken after a power failure. It holds wake-ups only, so a new one takes its place."""
    try:
        with closing(sqlite3.connect(path)) as base:
            found = base.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return  # busy, or no right to it: huey says what is wrong
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found == "ok":
        return
    log.warning("%s is broken (%s) and a new one is made; it held wake-ups only, no mail", path, found)
    for part in ("", "-wal", "-shm"):
        if (beside := path.with_name(path.name + part)).exists():
            beside.replace(path.with_name(f"{path.name}.broken{part}"))
    path.touch(mode=0o600)


def unreachable(settings: Settings, error: Exception) -> SettingsError:
    """What to say when the queue does not answer: where it was looked for, without its password."""
    parts = urlsplit(settings.queue_url or settings.database_url)
    place = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}" if parts.scheme else "queue.db in the data folder"
    name = "DROPCOPY_QUEUE_URL" if settings.queue_url else "DROPCOPY_DATABASE_URL" if parts.scheme else "DROPCOPY_DATA_DIR"
    why = " ".join(str(error).split()).rstrip(".?")
    return SettingsError(f"The queue at {place} cannot be reached: {why}. Start it, or correct {name}.")


class Bell:
    """Rings for the workers. A failing queue never fails the caller: the sweeper rings again."""

    def __init__(self, huey: Huey, *, waiting: int = 4) -> None:
        self.huey = huey
        self._waiting = waiting
        self._work: Callable[[], Any] = lambda: None
        self._task = huey.task(name="work")(self._run)

    def _run(self) -> None:
        self._work()

    def on_ring(self, work: Callable[[], Any]) -> None:
        """What a worker does when the bell rings."""
        self._work = work

    def trouble(self, settings: Settings) -> str:
        """The sentence to say at a start when the queue does not answer, else "". It stops nothing: the sweeper finds the mail."""
        try:
            self.huey.pending_count()
        except Exception as error:
            return f"{unreachable(settings, error)} Mail is filed meanwhile, up to half a minute later."
        return ""

    def ring(self) -> bool:
        """Wake the workers, unless enough wake-ups are waiting already; False when the queue cannot be reached."""
        try:
            if self.huey.pending_count() < self._waiting:
                self._task()
        except Exception as error:
            log.warning("the wake-up could not be sent (%s); the sweeper will find the mail", error)
            return False
        return True
