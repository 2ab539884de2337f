"""Who may see and change what: the one rule that every query which shows mail goes through.

A thread is read by its owner and, once it is shared, by the company (F51). Of another's private thread an admin knows who,
when and its state; opening or linking it is an audited act (F49). What may not be seen and what does not exist look alike:
functions of the store answer both with None.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from core.errors import NotAllowed
from core.store.company import beat
from core.store.models import Audit, T, Thread
from core.store.plain import condition, rows

COMPANY_PULSE = "company"  # raised when something changed that everybody may see


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever asks: an active rep."""

    rep_id: int
    email: str
    role: str  # admin member

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


def viewer_of(rep: Any) -> Viewer:
    """The viewer that a row of Rep stands for."""
    return Viewer(rep.id, rep.email, rep.role)


def visible(viewer: Viewer) -> Any:
    """The threads whose mail this viewer may read, as a condition on T. It sifts (see `dialect.sifting`): where to look must be said beside it."""
    return condition("t.deleted_at IS NULL AND (+t.owner_id = ? OR t.sharing = 'company')", (viewer.rep_id,))


def listed(viewer: Viewer) -> Any:
    """The threads that stand in this viewer's lists, as a condition on T: for an admin also others' private ones, as who, when and state only."""
    return condition("t.deleted_at IS NULL") if viewer.is_admin else visible(viewer)


def reader_of(owner_id: int, sharing: str) -> int:
    """What links carry of the rule: the owner of a private thread, 0 where the whole company may read it."""
    return 0 if sharing == "company" else owner_id


def found_by(viewer: Viewer, link: Any) -> Any:
    """The links whose thread this viewer may read, as a condition on Link: for finding few among many, beside the rule itself."""
    return link.reader.in_((viewer.rep_id, 0))


def may_read(viewer: Viewer, thread: Any) -> bool:
    """True when the viewer may read the mail of this thread without further ado."""
    return thread.deleted_at is None and (thread.owner_id == viewer.rep_id or thread.sharing == "company")


def may_link(viewer: Viewer, thread: Any) -> bool:
    """The owner and admins link and unlink, nobody else (F49)."""
    return thread.deleted_at is None and (thread.owner_id == viewer.rep_id or viewer.is_admin)


def may_change(viewer: Viewer, thread: Any) -> bool:
    """Delete and split: the owner, and an admin where the thread may be read."""
    return thread.owner_id == viewer.rep_id or (viewer.is_admin and thread.sharing == "company")


def may_share(viewer: Viewer, thread: Any) -> bool:
    """The owner alone switches the sharing (F51)."""
    return bool(thread.owner_id == viewer.rep_id)


def thread_for(viewer: Viewer, thread_id: int, *, deleted: bool = False) -> Thread | None:
    """The thread when it stands in this viewer's lists, else None. `deleted` finds the deleted ones instead."""
    if not is_id(thread_id):
        return None
    rule = T.deleted_at.is_null(False) if deleted else listed(viewer)
    found = T.select().where((T.id == thread_id) & rule).first()
    if found is None or not deleted:
        return found
    return found if viewer.is_admin or found.owner_id == viewer.rep_id or found.sharing == "company" else None


def is_id(value: int) -> bool:
    """Ids are positive and fit the column; anything else cannot exist."""
    return 0 < value < 2**63


def demand(allowed: bool, sentence: str) -> None:
    """Raise NotAllowed with the sentence unless it is allowed."""
    if not allowed:
        raise NotAllowed(sentence)


# --- what was done, and who must look again -----------------------------------------------------------------------


def note(viewer: Viewer, act: str, about: str, at: dt.datetime, **facts: Any) -> None:
    """One row of the audit, inside the caller's transaction. `about` is "thread:7", "record:3" and so on."""
    Audit.insert(at=at, who=viewer.email, act=act, about=about, facts=facts).execute()


def beat_thread(owner_id: int, *sharing: str, also: tuple[str, ...] = ()) -> None:
    """Raise the counters of everybody whose pages show this thread, inside the caller's transaction.

    `sharing` names how it is shared, now and (when that has changed) before; `also` further counters.
    """
    beat_threads({owner_id}, sharing, also)


def beat_threads(owner_ids: Iterable[int], sharing: Collection[str], also: Iterable[str] = ()) -> None:
    """As `beat_thread`, for threads of several owners."""
    admins = [ident for (ident,) in rows("SELECT id FROM rep WHERE role = 'admin'")]
    beat(*(f"rep:{ident}" for ident in {*owner_ids, *admins}), *([COMPANY_PULSE] if "company" in sharing else []), *also)


def live_version(viewer: Viewer) -> str:
    """What pages poll: it changes only when something changed that this viewer may see."""
    names = (f"rep:{viewer.rep_id}", COMPANY_PULSE)
    numbers = dict(rows("SELECT name, number FROM pulse WHERE name IN (?, ?)", *names))
    return "-".join(str(numbers.get(name, 0)) for name in names)
