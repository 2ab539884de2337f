"""How often a stranger may try: token buckets in the database, so that every process counts alike."""

from __future__ import annotations

from core.store import throttle
from core.web.frame import now


def too_many(key: str, most: int, window: float) -> bool:
    """Take one from the bucket of this key, which holds `most` and fills up again within `window` seconds. True when it is empty."""
    return not throttle.take(key, now(), size=most, per_second=most / window)
