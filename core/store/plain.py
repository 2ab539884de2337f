"""Plain SQL for the hot path: building a query by models costs ten times what SQLite needs to run it.

`?` stands for a parameter on every database. Moments travel as microseconds (core.store.fields), JSON as text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from peewee import SQL

from core.store.database import main_db, run_sql
from core.store.fields import to_micros

_PORTION = 100  # rows of one INSERT: SQLite takes 32,766 parameters, PostgreSQL 65,535


def rows(text: str, *params: Any) -> list[Any]:
    """All rows of a question."""
    return run_sql(main_db, text, params).fetchall()


def row(text: str, *params: Any) -> Any:
    """The first row of a question, or None."""
    return run_sql(main_db, text, params).fetchone()


def do(text: str, *params: Any) -> int:
    """Run a statement; how many rows it touched."""
    return int(run_sql(main_db, text, params).rowcount)


def marks(values: Collection[Any]) -> str:
    """The parameter marks of an IN list: `?, ?, ?`."""
    return ", ".join("?" * len(values))


def condition(text: str, params: Sequence[Any] = ()) -> Any:
    """A condition as a part of a query of models; it names the tables by their aliases."""
    return SQL(f"({text})".replace("?", main_db.obj.param), list(params))


_PLAIN = frozenset({int, str, bool, type(None), bytes, float})  # both databases take these as they are
_json = msgspec.json.Encoder().encode


def plain_value(value: Any) -> Any:
    """A value as both databases keep it: moments as microseconds, anything that is no plain value as JSON."""
    if isinstance(value, dt.datetime):
        return to_micros(value)
    return value if value is None or isinstance(value, (str, int, float, bytes)) else _json(value).decode()


@lru_cache(maxsize=200)
def _insert_text(table: str, columns: tuple[str, ...], number: int, ending: str) -> str:
    one = f"({', '.join('?' * len(columns))})"
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([one] * number)}{ending}"


def insert(table: str, values: Mapping[str, Any], *, ending: str = " RETURNING id") -> Any:
    """Enter one row; its id, or with another ending what that gives (None for nothing)."""
    text = _insert_text(table, tuple(values), 1, ending)
    found = run_sql(main_db, text, [value if type(value) in _PLAIN else plain_value(value) for value in values.values()])
    if "RETURNING" not in ending:
        return None
    got = found.fetchone()
    return None if got is None else got[0]


def insert_many(table: str, columns: Sequence[str], values: Sequence[Sequence[Any]], *, ending: str = "") -> None:
    """Enter many rows of the same columns."""
    for start in range(0, len(values), _PORTION):
        part = values[start : start + _PORTION]
        text = _insert_text(table, tuple(columns), len(part), ending)
        run_sql(main_db, text, [value if type(value) in _PLAIN else plain_value(value) for one in part for value in one])
