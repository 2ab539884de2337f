"""Two column types of our own: moments and JSON, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from peewee import BigIntegerField, TextField

UTC = dt.UTC
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> dt.datetime:
    return _EPOCH + value * _MICROSECOND


class MomentField(BigIntegerField):
    """An aware UTC datetime kept as microseconds since 1970: sorts, compares and pages alike on every database."""

    def db_value(self, value: Any) -> int | None:
        return to_micros(value) if isinstance(value, dt.datetime) else value

    def python_value(self, value: Any) -> dt.datetime | None:
        return None if value is None else from_micros(value)


class JsonField(TextField):
    """A small JSON value in a text column."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def python_value(self, value: Any) -> Any:
        return None if value is None else msgspec.json.decode(value)
