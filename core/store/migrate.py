"""Bring the databases to the present tables: numbered scripts, applied at the start, a backup before, one process at a time."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase
from playhouse.migrations import Runner

from core.errors import SettingsError
from core.settings import Settings
from core.store import search
from core.store.database import connected, intake_db, is_sqlite, main_db

log = logging.getLogger("dropcopy.migrate")

_SCRIPTS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x44524F50  # "DROP"


def run_text_beside(script: str, database: Any) -> None:
    """Run the plain SQL that lies beside a migration, for both kinds of database or for this one, statement by statement."""
    text = Path(script).with_suffix(".sql")
    if not text.exists():
        text = text.with_suffix(".sqlite.sql" if isinstance(database, SqliteDatabase) else ".postgresql.sql")
    for statement in text.read_text("utf-8").split(";\n"):
        if statement.strip():
            database.execute_sql(statement)


def _runners() -> list[tuple[str, Runner]]:
    # On PostgreSQL both live in one database, so each keeps its own history table.
    return [
        (part, Runner(database.obj, str(_SCRIPTS / part), table_name=f"migrations_{part}"))
        for part, database in (("main", main_db), ("intake", intake_db))
    ]


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """While this process makes tables, no other one does."""
    if is_sqlite():
        with (settings.data_dir / "migrate.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with connected():
        main_db.execute_sql("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
        try:
            yield
        finally:
            main_db.execute_sql("SELECT pg_advisory_unlock(%s)", (_ADVISORY_LOCK,))


def _backup(settings: Settings, part: str, database: Any) -> None:
    """A copy of a SQLite file before it is changed. PostgreSQL is backed up by its own tools (docs/operate.md)."""
    folder = settings.data_dir / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{part}-{time.strftime('%Y%m%d-%H%M%S')}.db"
    database.execute_sql("VACUUM INTO ?", (str(target),))
    log.info("kept a copy of %s.db as %s before changing its tables", part, target)


def migrate(settings: Settings) -> None:
    """Apply what is missing. Raises SettingsError when the database is newer than this program or cannot be reached."""
    try:
        with connected(), alone(settings):
            for part, runner in _runners():
                _apply(settings, part, runner)
            search.create_tables()
    except (SettingsError, KeyboardInterrupt):
        raise
    except Exception as error:
        cause: BaseException = error
        while (earlier := cause.__cause__ or cause.__context__) is not None:
            cause = earlier  # after a full disk the first to be heard is "cannot rollback"
        why = " ".join(str(cause).split()).rstrip(".?") or type(cause).__name__
        raise SettingsError(f"The database could not be brought up to date: {why}. Check {_place(settings)} and the free space.") from error


def is_current() -> bool:
    """True when the tables are those of this program: no script is missing, and none of a newer program was run."""
    return all({migration.name for migration in runner.migrations()} == set(runner.applied()) for _, runner in _runners())


def _place(settings: Settings) -> str:
    return f"the files in {settings.data_dir}" if settings.on_sqlite else "DROPCOPY_DATABASE_URL"


def _apply(settings: Settings, part: str, runner: Runner) -> None:
    known = {migration.name for migration in runner.migrations()}
    done = set(runner.applied())
    newer = sorted(done - known)
    if newer:
        raise SettingsError(f"The database was written by a newer Dropcopy ({newer[-1]}). Install that version again, or restore the backup from before.")
    if known == done:
        return
    if done and is_sqlite():
        _backup(settings, part, main_db if part == "main" else intake_db)
    runner.up()
