"""How often something may be tried: token buckets in the database, so that every process counts alike."""

from __future__ import annotations

import datetime as dt

from peewee import Case

from core.store.database import write
from core.store.fields import UTC, to_micros
from core.store.models import Throttle


def take(key: str, now: dt.datetime | None = None, *, size: float, per_second: float, cost: float = 1.0) -> bool:
    """Take `cost` tokens from the bucket of this key, which holds `size` and gains `per_second`. False when it holds too few.

    One statement decides, so that two who come at the same moment never share a token.
    """
    moment = now or dt.datetime.now(UTC)
    stamp = to_micros(moment)
    gained = Throttle.tokens + (stamp - Throttle.at) * (per_second / 1_000_000)
    filled = Case(None, ((gained > size, size), (stamp < Throttle.at, Throttle.tokens)), gained)
    with write():
        if Throttle.update(tokens=filled - cost, at=moment).where(Throttle.key == key, filled >= cost).execute():
            return True
        if cost > size or Throttle.select().where(Throttle.key == key).exists():
            return False
        fresh = Throttle.insert(key=key, tokens=size - cost, at=moment).on_conflict_ignore()
        return bool(fresh.as_rowcount().execute())


def forget(before: dt.datetime) -> int:
    """Remove buckets that nobody has touched since; they are full again. How many there were."""
    with write():
        return int(Throttle.delete().where(Throttle.at < before).execute())
