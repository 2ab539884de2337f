"""huey as a doorbell: it carries no mail, only "there is something to do".

huey deletes a task before running it, so a task may be lost at any time, and that must not matter: the stored rows are
the truth and the sweeper looks at them again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
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
    return SqliteHuey("dropcopy", filename=str(settings.data_dir / "queue.db"), fsync=False, results=False)


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
