"""API tokens: shown once, kept as a keyed hash; a token acts as its rep and sees what that rep may see."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

from core.store.database import write
from core.store.fields import UTC
from core.store.models import ApiToken, Rep
from core.store.seal import Seal
from core.store.visibility import Viewer, is_id, note

PREFIX = "dc_"
_NOTED_EVERY = dt.timedelta(minutes=5)  # how exactly the last use is kept


@dataclass(frozen=True, slots=True)
class TokenView:
    id: int
    name: str
    created_at: dt.datetime
    last_used_at: dt.datetime | None


def create(viewer: Viewer, rep_id: int, name: str, seal: Seal) -> tuple[int, str] | None:
    """A new token for a rep: (id, token). Reps make their own, admins anybody's; else, or for nobody, None."""
    if not is_id(rep_id) or (rep_id != viewer.rep_id and not viewer.is_admin):
        return None
    token = PREFIX + secrets.token_urlsafe(32)
    now = dt.datetime.now(UTC)
    with write():
        if not Rep.select().where(Rep.id == rep_id).exists():
            return None
        row = ApiToken.create(rep=rep_id, name=" ".join(name.split())[:100], hashed=seal.lookup(token), created_at=now)
        note(viewer, "token-created", f"rep:{rep_id}", now, token=row.id)
    return int(row.id), token


def of_rep(viewer: Viewer, rep_id: int) -> list[TokenView]:
    """The tokens of a rep, for that rep and for admins."""
    if rep_id != viewer.rep_id and not viewer.is_admin:
        return []
    query = ApiToken.select(ApiToken.id, ApiToken.name, ApiToken.created_at, ApiToken.last_used_at).where(ApiToken.rep == rep_id)
    return [TokenView(*values) for values in query.order_by(ApiToken.id).tuples()]


def revoke(viewer: Viewer, token_id: int) -> bool:
    """End a token: its rep's or, for admins, anybody's. False when there is none."""
    if not is_id(token_id):
        return False
    with write():
        row = ApiToken.select().where(ApiToken.id == token_id).first()
        if row is None or (row.rep_id != viewer.rep_id and not viewer.is_admin):
            return False
        ApiToken.delete().where(ApiToken.id == token_id).execute()
        note(viewer, "token-revoked", f"rep:{row.rep_id}", dt.datetime.now(UTC), token=token_id)
    return True


def viewer_for(token: str, seal: Seal) -> Viewer | None:
    """Who acts with this token; None for an unknown token and for a rep who is not active."""
    if not token or len(token) > 200:
        return None
    row = (
        ApiToken.select(ApiToken.id, ApiToken.last_used_at, Rep.id, Rep.email, Rep.role)
        .join(Rep)
        .where(ApiToken.hashed == seal.lookup(token), Rep.status == "active")
        .tuples()
        .first()
    )
    if row is None:
        return None
    token_id, last_used_at, *who = row
    now = dt.datetime.now(UTC)
    if last_used_at is None or now - last_used_at > _NOTED_EVERY:
        with write():
            ApiToken.update(last_used_at=now).where(ApiToken.id == token_id).execute()
    return Viewer(*who)
