"""Column types of our own: moments, JSON and sentences, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from peewee import BigIntegerField, TextField

from core.errors import Sentence
from core.reasons import N_

UTC = dt.UTC
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = dt.datetime.min.replace(tzinfo=UTC), dt.datetime.max.replace(tzinfo=UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> dt.datetime:
    """The moment; one before the year 1 or after 9999 is the first or last there is, so that no row can break who reads it."""
    try:
        return _EPOCH + value * _MICROSECOND
    except OverflowError:
        return _LAST if value > 0 else _FIRST


def in_utc(moment: dt.datetime) -> dt.datetime:
    """A moment that somebody gave, in UTC. Raises ValueError when its zone takes it out of the years 1 to 9999."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(Sentence(N_("%(moment)s is not within the years 1 to 9999"), moment=moment.isoformat())) from None


class MomentField(BigIntegerField):
    """An aware UTC datetime kept as microseconds since 1970: sorts, compares and pages alike on every database."""

    def db_value(self, value: Any) -> int | None:
        return to_micros(value) if isinstance(value, dt.datetime) else value

    def python_value(self, value: Any) -> dt.datetime | None:
        return None if value is None else from_micros(value)


_MARK = "\x1e"  # ends the English words; no sentence holds this control character
_LONGEST = 1000  # characters of a sentence, and of what fills each of its gaps


def packed(sentence: str) -> str:
    """A sentence as one text: the English words and, when it is a Sentence, how to say it in other languages."""
    english = str(sentence)[:_LONGEST].replace(_MARK, " ")
    return english + _MARK + msgspec.json.encode(_parts(sentence)).decode() if isinstance(sentence, Sentence) else english


def _parts(sentence: Sentence) -> list[Any]:
    return [sentence.text, {name: _parts(value) if isinstance(value, Sentence) else str(value)[:_LONGEST] for name, value in sentence.params.items()}]


def unpacked(text: str) -> str:
    """What `packed` has made, read back."""
    english, mark, rest = text.partition(_MARK)
    return _joined(english, msgspec.json.decode(rest)) if mark else english


def _joined(english: str, parts: list[Any]) -> Sentence:
    text, params = parts
    return Sentence.for_programs(english, text, **{name: _filled(value) if isinstance(value, list) else value for name, value in params.items()})


def _filled(parts: list[Any]) -> Sentence:
    text, params = parts
    made = {name: _filled(value) if isinstance(value, list) else value for name, value in params.items()}
    return Sentence(text, **made)


class SentenceField(TextField):
    """A sentence for people that is kept: programs read it in English, pages say it in the reader's language."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else packed(value)

    def python_value(self, value: Any) -> str | None:
        return None if value is None else unpacked(value)


class JsonField(TextField):
    """A small JSON value in a text column."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def python_value(self, value: Any) -> Any:
        return None if value is None else msgspec.json.decode(value)
