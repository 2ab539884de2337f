"""Who may do a thing of which only one may be done at a time, on any number of machines."""

from __future__ import annotations

import datetime as dt

from core.store.database import main_db, run_sql, write
from core.store.fields import to_micros

SKEW = dt.timedelta(hours=1)  # how far the clocks of the machines may differ; a lease beyond that was written by a clock since put right


def take(name: str, holder: str, now: dt.datetime, seconds: float) -> bool:
    """Take or keep the lease `name` for this holder; False while somebody else has it."""
    length = dt.timedelta(seconds=seconds)
    stamp, until, beyond = to_micros(now), to_micros(now + length), to_micros(now + length + SKEW)
    with write():
        row = run_sql(
            main_db,
            "INSERT INTO lease (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
            " WHERE lease.holder = excluded.holder OR lease.until < ? OR lease.until > ? RETURNING name",
            (name, holder, until, stamp, beyond),
        ).fetchone()
    return row is not None


def drop(name: str, holder: str) -> None:
    """Give the lease back at an orderly stop."""
    with write():
        run_sql(main_db, "DELETE FROM lease WHERE name = ? AND holder = ?", (name, holder))


# --- signs of life ------------------------------------------------------------------------------------------------

_WORKER = "worker:"
_FORGOTTEN = dt.timedelta(days=1)


def worker_lives(worker: str, now: dt.datetime, seconds: float) -> None:
    """A worker says that it is there, for so many seconds; rows of workers that died long ago go."""
    with write():
        run_sql(main_db, "DELETE FROM lease WHERE name LIKE ? AND until < ?", (f"{_WORKER}%", to_micros(now - _FORGOTTEN)))
        run_sql(
            main_db,
            "INSERT INTO lease (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET until = excluded.until",
            (_WORKER + worker, worker, to_micros(now + dt.timedelta(seconds=seconds))),
        )


def worker_left(worker: str) -> None:
    """An orderly stop."""
    drop(_WORKER + worker, worker)


def living_workers(now: dt.datetime) -> int:
    """How many workers have said lately that they are there, on all machines."""
    found = run_sql(main_db, "SELECT COUNT(*) FROM lease WHERE name LIKE ? AND until > ?", (f"{_WORKER}%", to_micros(now))).fetchone()
    return int(found[0])


_LISTENS = "listens:"


def receiver_listens(kind: str, address: str, holder: str, now: dt.datetime, seconds: float) -> None:
    """A receiver says at which address it takes mail, for so many seconds; rows of receivers that died long ago go."""
    with write(durable=False):
        run_sql(main_db, "DELETE FROM lease WHERE name LIKE ? AND until < ?", (f"{_LISTENS}%", to_micros(now - _FORGOTTEN)))
        run_sql(
            main_db,
            "INSERT INTO lease (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET until = excluded.until",
            (f"{_LISTENS}{kind} {address} {holder}", holder, to_micros(now + dt.timedelta(seconds=seconds))),
        )


def receiver_left(holder: str) -> None:
    """An orderly stop."""
    with write(durable=False):
        run_sql(main_db, "DELETE FROM lease WHERE name LIKE ? AND holder = ?", (f"{_LISTENS}%", holder))


def listening(now: dt.datetime) -> list[tuple[str, str]]:
    """(kind, address) where receivers have said lately that they take mail, on all machines."""
    found = run_sql(main_db, "SELECT name FROM lease WHERE name LIKE ? AND until > ?", (f"{_LISTENS}%", to_micros(now))).fetchall()
    told = (name.removeprefix(_LISTENS).split(" ") for (name,) in found)
    return sorted({(kind, address) for kind, address, _holder in told})
