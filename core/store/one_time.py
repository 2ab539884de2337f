"""One-time links: random, kept as a keyed hash, single use, 24 hours."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

from core.errors import BadInput
from core.reasons import N_
from core.store.database import write
from core.store.models import OneTimeLink, Rep
from core.store.seal import Seal

LIVES = dt.timedelta(hours=24)


def make(purpose: str, rep_id: int | None, seal: Seal, now: dt.datetime, **facts: Any) -> str:
    """A fresh token for `purpose`; it is shown nowhere again."""
    token = secrets.token_urlsafe(24)
    with write():
        OneTimeLink.create(hashed=seal.lookup(token), purpose=purpose, rep=rep_id, facts=facts, created_at=now)
    return token


def look(token: str, purpose: str, seal: Seal, now: dt.datetime) -> OneTimeLink | None:
    """The living link of this token, not used up by looking."""
    row = OneTimeLink.get_or_none((OneTimeLink.hashed == seal.lookup(token)) & (OneTimeLink.purpose == purpose))
    if row is None or row.used_at is not None or row.created_at + LIVES < now:
        return None
    return row


def use(token: str, purpose: str, seal: Seal, now: dt.datetime) -> OneTimeLink | None:
    """Use a link up: its row the first time within its life, None ever after."""
    row = look(token, purpose, seal, now)
    if row is None:
        return None
    with write():
        used = OneTimeLink.update(used_at=now).where(OneTimeLink.hashed == row.hashed, OneTimeLink.used_at.is_null()).execute()
    return row if used else None


def password_link(email: str, house: Any) -> str:
    """The address where a rep sets a new password, once. Raises BadInput when there is no such rep."""
    rep = Rep.get_or_none(Rep.email == email.strip().lower())
    if rep is None:
        raise BadInput("email", N_("there is no rep with the account address %(email)s"), email=email)
    return f"{house.settings.web_url}/reset/{make('password', rep.id, house.seal, house.now())}"
