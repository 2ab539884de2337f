"""Who may do a thing of which only one may be done at a time, on any number of machines."""

from __future__ import annotations

import datetime as dt

from core.store.database import main_db, run_sql, write
from core.store.fields import to_micros


def take(name: str, holder: str, now: dt.datetime, seconds: float) -> bool:
    """Take or keep the lease `name` for this holder; False while somebody else has it."""
    stamp, until = to_micros(now), to_micros(now + dt.timedelta(seconds=seconds))
    with write():
        row = run_sql(
            main_db,
            "INSERT INTO lease (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
            " WHERE lease.holder = excluded.holder OR lease.until < ? RETURNING name",
            (name, holder, until, stamp),
        ).fetchone()
    return row is not None


def drop(name: str, holder: str) -> None:
    """Give the lease back at an orderly stop."""
    with write():
        run_sql(main_db, "DELETE FROM lease WHERE name = ? AND holder = ?", (name, holder))
