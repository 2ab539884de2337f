"""The databases: opened once a process, every write begun immediately, every write durable.

SQLite: `intake.db` (inbound messages, raw bytes) and `main.db` (all else), because big blobs in the same file raise the
p99 of small commits fivefold. PostgreSQL: one database serves both names.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from peewee import DatabaseProxy, OperationalError, PostgresqlDatabase, SqliteDatabase, __exception_wrapper__
from playhouse.pool import PooledPostgresqlDatabase

from core.settings import Settings
from core.store import disk

main_db: Any = DatabaseProxy()
intake_db: Any = DatabaseProxy()

# `synchronous` is per connection and FULL is what makes an acknowledgement true; 5 s of patience for the other writers.
# 16 MB between two checkpoints in place of 4: a page that many mails touch is then copied back once for four times as many.
PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "busy_timeout": 5000, "foreign_keys": 1, "cache_size": -16000, "wal_autocheckpoint": 4000}

_PREPARED = 256  # statements that a connection keeps ready: what names so many mails or people is another statement for each number
_asked = logging.getLogger("peewee")  # says every statement when it is told to


class _Sqlite(SqliteDatabase):
    """peewee's, with a shorter way from a statement to the driver: a filed mail asks some thirty, and each cost more on its way than in SQLite."""

    def _execute_cursor(self, sql: str, params: Any, **options: Any) -> Any:
        if self.query_hooks or _asked.isEnabledFor(logging.DEBUG):
            return super()._execute_cursor(sql, params, **options)
        try:
            cursor = self.connection().cursor()
            cursor.execute(sql, params or ())
        except sqlite3.Error:
            with __exception_wrapper__:  # the same error in peewee's words
                raise
        return cursor


def _sqlite(path: Path) -> SqliteDatabase:
    # peewee's atomic() would begin deferred, and a read-modify-write then fails with "database is locked".
    return _Sqlite(str(path), pragmas=PRAGMAS, timeout=5, lock_type="IMMEDIATE", cached_statements=_PREPARED)


def _postgresql(url: str) -> PostgresqlDatabase:
    parts = urlsplit(url)
    given = {
        "host": parts.hostname,
        "port": parts.port,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        **dict(parse_qsl(parts.query)),  # libpq's own words: ?sslmode=require, ?host=/run/postgresql
    }
    return PooledPostgresqlDatabase(
        unquote(parts.path.lstrip("/")), max_connections=64, stale_timeout=300, timeout=10, prefer_psycopg3=True, **given
    )


def open_databases(settings: Settings) -> None:
    """Point the two names at the databases of these settings. Opens no connection yet (none may exist before a fork)."""
    close_databases()
    disk.watch.begin(settings.data_dir / "disk.lock")
    if settings.on_sqlite:
        main_db.initialize(_sqlite(settings.data_dir / "main.db"))
        intake_db.initialize(_sqlite(settings.data_dir / "intake.db"))
    else:
        database = _postgresql(settings.database_url)
        main_db.initialize(database)
        intake_db.initialize(database)


def close_databases() -> None:
    """Close this thread's connections."""
    for database in (main_db, intake_db):
        if database.obj is not None and not database.obj.is_closed():
            database.obj.close()


def is_sqlite() -> bool:
    return isinstance(main_db.obj, SqliteDatabase)


@contextmanager
def connected() -> Iterator[None]:
    """Connections of this thread for the time of the block; nested blocks share them."""
    opened = [d.obj for d in _distinct() if d.obj.connect(reuse_if_open=True)]
    try:
        yield
    finally:
        for database in opened:
            if not database.is_closed():
                database.close()


@contextmanager
def kept_connections() -> Iterator[None]:
    """As `connected`, for a thread that comes back soon: on SQLite the connections stay open after the block.

    Opening one means reading the whole schema and preparing every statement anew, which costs more than the questions of a
    page. PostgreSQL's pool keeps its connections itself. One with an unfinished transaction is closed.
    """
    if not is_sqlite():
        with connected():
            yield
        return
    try:
        yield  # each database connects when it is first asked
    finally:
        for database in _distinct():
            if not database.is_closed() and database.obj.connection().in_transaction:
                database.obj.close()


def _distinct() -> list[Any]:
    return [main_db] if main_db.obj is intake_db.obj else [main_db, intake_db]


# One writer at a time inside a process: SQLite's busy handler sleeps and is unfair, a lock is neither.
_writers = {"main": threading.RLock(), "intake": threading.RLock()}


@contextmanager
def write(database: Any = main_db, *, durable: bool = True) -> Iterator[None]:
    """A write transaction: begun immediately, committed durably at the end of the block, rolled back on an exception.

    durable=False is for what can be found out again: everybody sees it at once and a killed process loses nothing, but a
    power failure within the next moments may take it back, in the order in which it was written. It waits for no disk.
    """
    durable = durable or database.in_transaction()  # the outer block has decided
    name = "intake" if database is intake_db else "main"
    disk.watch.refuse_unproved(name)
    try:
        with _transaction(database, name, durable), _finished(database):
            yield
    except Exception as error:
        if (kind := disk.kind_of(error)) is not None:
            _in_trouble(database, name, kind, error)
        raise


@contextmanager
def _transaction(database: Any, name: str, durable: bool) -> Iterator[None]:
    if not isinstance(database.obj, SqliteDatabase):
        with database.atomic():
            if not durable:
                database.execute_sql("SET LOCAL synchronous_commit TO off")
            yield
        return
    with _writers[name]:
        disk.watch.refuse_unproved(name)  # one that waited here while the disk failed must not be the next to write
        try:
            if not durable:
                database.execute_sql("PRAGMA synchronous=NORMAL")
            with database.atomic():
                yield
        finally:
            if not durable:
                database.execute_sql("PRAGMA synchronous=FULL")


class _PutOff(threading.local):
    """What this thread's open transaction on main still has to do."""

    blocks = 0  # of `write`, one inside the other

    def __init__(self) -> None:
        self.works: list[tuple[Callable[[list[Any]], None], Any]] = []


_put_off = _PutOff()


def at_end(work: Callable[[list[Any]], None], item: Any) -> None:
    """Let `work` have this item and all others that the transaction brings it, in one go: the last thing that happens in it before it commits.

    What several mails of a transaction write one after the other costs less together. Without a transaction it is done at once.
    """
    if _put_off.blocks:
        _put_off.works.append((work, item))
    else:
        work([item])


@contextmanager
def _finished(database: Any) -> Iterator[None]:
    """Do at the end of the outermost `write` what was put off; forget with one that fails what it has put off."""
    if database.obj is not main_db.obj:
        yield
        return
    works, before = _put_off.works, len(_put_off.works)
    _put_off.blocks += 1
    try:
        yield
        if _put_off.blocks == 1:
            while works:  # a work may put off another one
                together: dict[Callable[[list[Any]], None], list[Any]] = {}
                for work, item in works:
                    together.setdefault(work, []).append(item)
                works.clear()
                for work, items in together.items():
                    work(items)
    except BaseException:
        del works[before:]
        raise
    finally:
        _put_off.blocks -= 1


def _in_trouble(database: Any, name: str, kind: disk.Kind, error: Exception) -> None:
    """Say so. PostgreSQL stops by itself at a failed sync and comes up from its log, so only its full disk is trouble of ours."""
    if isinstance(error, disk.NotProved) or (kind == "failed" and not isinstance(database.obj, SqliteDatabase)):
        return
    disk.watch.note(name, kind, error, lambda kind: _prove(database.obj, kind))
    if kind == "failed" and not database.in_transaction():
        database.obj.close()  # this connection is never asked again


def _prove(database: Any, kind: disk.Kind) -> None:
    """Raises until what is written to this database stays. Runs in a thread of its own, with a connection of its own.

    After an input/output error the whole log goes into the file, which is synced, and all of it is read. What the log or the
    file had lost would be written again or found; what cannot be found is a page that the kernel holds and the disk does not.
    """
    database.connect(reuse_if_open=True)
    try:
        if not isinstance(database, SqliteDatabase):
            database.execute_sql("INSERT INTO pulse (name, number) VALUES ('disk', 1) ON CONFLICT (name) DO UPDATE SET number = pulse.number + 1")
            return
        version = database.execute_sql("PRAGMA user_version").fetchone()[0]
        database.execute_sql(f"PRAGMA user_version={int(version)}")  # a real write, and it changes nothing
        if kind == "full":
            disk.demand_room(Path(database.database).parent)
            return
        busy = database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise OperationalError("others still read the log")
        if (found := database.execute_sql("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise OperationalError(f"it is damaged: {found}")
    finally:
        database.close()


def hold(table: str, ident: int) -> None:
    """PostgreSQL: nobody else changes this row until the transaction ends, and what is read of it from here on is as it stays. SQLite has one writer anyway."""
    if not is_sqlite():
        run_sql(main_db, f"SELECT id FROM {table} WHERE id = ? FOR NO KEY UPDATE", (ident,))


def is_busy(error: Exception) -> bool:
    """True for trouble of the database that passes by itself: locked, gone, full."""
    if not isinstance(error, OperationalError):
        return False
    # SQLite calls a wrong statement an operational error, too; that one is ours and does not pass.
    return not any(mark in str(error) for mark in ("syntax error", "no such", "has no column"))


def run_sql(database: Any, text: str, params: tuple[Any, ...] | list[Any] = ()) -> Any:
    """Plain SQL with `?` for parameters on every database; gives the cursor."""
    opened = database.obj
    if not isinstance(opened, SqliteDatabase):
        text = text.replace("?", "%s")
        # PostgreSQL keeps no NUL in a text; mail may bring one.
        params = [value.replace("\0", "") if isinstance(value, str) else value for value in params]
    return opened.execute_sql(text, params)
