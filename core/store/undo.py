"""Acts that can be taken back for a short time: what was done is kept as facts, and each act knows how to reverse them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from core.store.database import write
from core.store.fields import UTC
from core.store.models import Undo
from core.store.seal import fresh_token
from core.store.visibility import Viewer

WINDOW = dt.timedelta(minutes=30)

Reverse = Callable[[Viewer, dict[str, Any]], bool]
_REVERSES: dict[str, Reverse] = {}


def reverses(act: str) -> Callable[[Reverse], Reverse]:
    """Mark the function that takes an act of this name back; it runs inside a transaction and says whether it could."""

    def enter(function: Reverse) -> Reverse:
        _REVERSES[act] = function
        return function

    return enter


def offer(viewer: Viewer, act: str, facts: dict[str, Any], now: dt.datetime | None = None) -> str:
    """Keep what is needed to take an act back, inside the caller's transaction; gives the token to do so."""
    token = fresh_token(24)
    Undo.insert(token=token, rep=viewer.rep_id, act=act, facts=facts, at=now or dt.datetime.now(UTC)).execute()
    return token


def together(viewer: Viewer, tokens: Sequence[str], now: dt.datetime | None = None) -> str:
    """One token that takes several acts back; "" when there is none to take back."""
    if len(tokens) < 2:
        return next(iter(tokens), "")
    with write():
        return offer(viewer, "together", {"tokens": list(tokens)}, now)


def take_back(viewer: Viewer, token: str, now: dt.datetime | None = None) -> str | None:
    """Take back an act of the viewer's own, once; the act's name, or None when it is too late or was not theirs."""
    now = now or dt.datetime.now(UTC)
    with write():
        row = Undo.select().where(Undo.token == token, Undo.rep == viewer.rep_id, Undo.at > now - WINDOW).first()
        if row is None:
            return None
        if not Undo.delete().where(Undo.token == token).execute():  # another click of the same moment was first
            return None
        if row.act == "together":  # the last act first, as they lie on one another
            done = [take_back(viewer, one, now) for one in reversed(row.facts["tokens"])]
            return row.act if any(done) else None
        reverse = _REVERSES.get(row.act)
        return row.act if reverse is not None and reverse(viewer, row.facts) else None


def forget_old(now: dt.datetime) -> int:
    """Remove what can no longer be taken back; how many there were."""
    with write():
        return int(Undo.delete().where(Undo.at <= now - WINDOW).execute())
