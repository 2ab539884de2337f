"""How much is kept: for the page that shows it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from peewee import fn

from core.settings import Settings
from core.store.database import intake_db, is_sqlite, main_db, run_sql
from core.store.fields import from_micros
from core.store.models import Outcome, Raw


@dataclass(frozen=True, slots=True)
class Kept:
    """Mails of one state that still have their content."""

    state: str
    number: int
    size: int  # bytes as received


def by_state() -> list[Kept]:
    """Mails that are kept, by where they ended."""
    query = Outcome.select(Outcome.state, fn.COUNT(1), fn.SUM(Outcome.size)).where(Outcome.size > 0).group_by(Outcome.state).order_by(Outcome.state)
    return [Kept(state, int(number), int(size or 0)) for state, number, size in query.tuples()]


def storage(settings: Settings) -> list[tuple[str, int]]:
    """The databases with their size on disk in bytes."""
    if is_sqlite():
        return [(name, sum(path.stat().st_size for path in settings.data_dir.glob(name + "*"))) for name in ("intake.db", "main.db")]
    row = run_sql(main_db, "SELECT current_database(), pg_database_size(current_database())").fetchone()
    return [(str(row[0]), int(row[1]))]


def oldest() -> dt.datetime | None:
    """When the oldest bytes that are still there were stored."""
    row = run_sql(intake_db, f"SELECT MIN(stored_at) FROM {Raw._meta.table_name}").fetchone()
    return None if row is None or row[0] is None else from_micros(int(row[0]))
