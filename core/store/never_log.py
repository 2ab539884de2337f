"""The never-log list: addresses, domains and simple globs whose mail is never filed (F26)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput
from core.mail.addresses import normalise, normalise_domain
from core.reasons import N_
from core.steps.contacts import is_never_log
from core.store import undo
from core.store.company import beat
from core.store.database import write
from core.store.fields import UTC
from core.store.models import NeverLog
from core.store.paging import Page, cursor_of, read_cursor, sensible
from core.store.visibility import Viewer, is_id, note

_GLOB = set("abcdefghijklmnopqrstuvwxyz0123456789.-_+*@")


@dataclass(frozen=True, slots=True)
class NeverLogView:
    id: int
    pattern: str
    added_by: str
    created_at: dt.datetime


def pattern_of(typed: str) -> str:
    """A typed pattern as it is kept: an address, a domain (its subdomains too), or either with `*`. Raises BadInput."""
    written = typed.strip().lower()
    if "*" in written:
        written = _in_a_labels(written)
        if len(written) > 320 or not set(written) <= _GLOB or not set(written) - set("*@.") or written.count("@") > 1:
            raise BadInput("pattern", N_("write an address or a domain, with * for any letters, such as *@news.example"))
        return written.removeprefix("@")
    found = normalise_domain(written.removeprefix("@")) if "@" not in written.removeprefix("@") else normalise(written)
    if found is None or ("@" not in found and "." not in found):
        raise BadInput("pattern", N_("write an address such as x@spam.example or a domain such as spam.example"))
    return found.lower()


def _in_a_labels(glob: str) -> str:
    """The glob with its domain as domains are kept. A label with both a `*` and letters beyond ASCII has no such form and stays."""
    local, at, domain = glob.rpartition("@")
    labels = (label if label.isascii() or "*" in label else normalise_domain(label) or label for label in domain.split("."))
    return f"{local}{at}{'.'.join(labels)}"


def add(viewer: Viewer, pattern: str) -> NeverLogView:
    """Enter a pattern; one that stands there already is given again."""
    written = pattern_of(pattern)
    now = dt.datetime.now(UTC)
    with write():
        made = NeverLog.insert(pattern=written, added_by=viewer.email, created_at=now).on_conflict_ignore().as_rowcount().execute()
        if made:
            note(viewer, "never-log-added", f"never-log:{written}", now)
            beat("settings")
        row = NeverLog.get(NeverLog.pattern == written)
    return NeverLogView(row.id, row.pattern, row.added_by, row.created_at)


def add_undoably(viewer: Viewer, pattern: str) -> tuple[NeverLogView, str]:
    """Enter a pattern, with the token that takes it off again; "" when it stood there already."""
    with write():
        stood = NeverLog.select().where(NeverLog.pattern == pattern_of(pattern)).exists()
        entry = add(viewer, pattern)
        return entry, "" if stood else undo.offer(viewer, "never-log", {"id": entry.id})


@undo.reverses("never-log")
def _off_again(viewer: Viewer, facts: dict[str, Any]) -> bool:
    return viewer.is_admin and remove(viewer, facts["id"])


def remove(viewer: Viewer, never_log_id: int) -> bool:
    """Take a pattern off the list; False when there is no such entry."""
    if not is_id(never_log_id):
        return False
    with write():
        row = NeverLog.select().where(NeverLog.id == never_log_id).first()
        if row is None:
            return False
        NeverLog.delete().where(NeverLog.id == never_log_id).execute()
        note(viewer, "never-log-removed", f"never-log:{row.pattern}", dt.datetime.now(UTC))
        beat("settings")
    return True


def page(cursor: str | None = None, limit: int = 50) -> Page[NeverLogView]:
    """The list, newest first."""
    after = read_cursor(cursor, 1)
    limit = sensible(limit)
    query = NeverLog.select(NeverLog.id, NeverLog.pattern, NeverLog.added_by, NeverLog.created_at)
    if after is not None:
        query = query.where(NeverLog.id < after[0])
    found = [NeverLogView(*values) for values in query.order_by(NeverLog.id.desc()).limit(limit + 1).tuples()]
    return Page(found[:limit], cursor_of(found[limit - 1].id) if len(found) > limit else None)


def would_log(address: str) -> bool:
    """False when the list keeps mail with this address out."""
    return not is_never_log(address, _patterns())


def entry_against(address: str) -> str | None:
    """The entry that keeps mail with this address out, the oldest of several; None when none does."""
    return next((pattern for pattern in _patterns() if is_never_log(address, [pattern])), None)


def _patterns() -> list[str]:
    return [pattern for (pattern,) in NeverLog.select(NeverLog.pattern).order_by(NeverLog.id).tuples()]
