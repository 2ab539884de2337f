"""Links of threads to contacts, organisations, deals, leads and projects: shown, made and removed by hand.

A link acts on the whole thread (F36). There is one row a thread and target, also after it was removed, so that no policy
brings back what a person removed; linking it by hand again clears that.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, fn

from core.errors import BadInput
from core.reasons import N_
from core.store import dialect, plain, undo
from core.store.database import hold, write
from core.store.dialect import sifting
from core.store.fields import UTC, from_micros, to_micros
from core.store.models import (
    Candidate,
    Contact,
    ContactAddress,
    Event,
    Link,
    Organisation,
    Participant,
    Record,
    RecordContact,
    Thread,
)
from core.store.visibility import Viewer, beat_thread, demand, is_id, may_link, may_read, note, reader_of, thread_for
from core.types import LINK_KINDS, RECORD_KINDS

_ORDER = {kind: number for number, kind in enumerate(("deal", "lead", "project", "organisation", "contact"))}


@dataclass(frozen=True, slots=True)
class LinkView:
    """A living link. `reason` with `params` is why; `made_by` is policy:NAME, address, rep:EMAIL or import."""

    id: int
    kind: str
    target_id: int
    external_id: str | None
    title: str
    reason: str
    params: dict[str, Any]
    made_by: str
    policy_version: str
    created_at: dt.datetime
    undo: str = ""  # the token that takes it back, for whoever has just made it


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A record that was considered and not linked, with its reason; `offer`: a person may well choose it."""

    kind: str
    target_id: int
    external_id: str | None
    title: str
    status: str
    reason: str
    params: dict[str, Any]
    offer: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """The thread holds a record already and may hold only one."""

    present: LinkView


@dataclass(frozen=True, slots=True)
class Target:
    """Something a thread can be linked to, for a person who types its name. `whom`: with whom a record is, which tells it from its namesakes."""

    kind: str
    id: int
    title: str
    detail: str
    whom: str = ""


# --- showing ------------------------------------------------------------------------------------------------------

_COLUMNS = (
    Link.id, Link.kind, Link.contact, Link.organisation, Link.record, Contact.external_id, Organisation.external_id, Record.external_id,
    Contact.name, Organisation.name, Record.title, Link.reason, Link.params, Link.made_by, Link.policy_version, Link.created_at,
)  # fmt: skip


def _living(condition: Any) -> list[LinkView]:
    query = (
        Link.select(*_COLUMNS)
        .join(Contact, JOIN.LEFT_OUTER, on=(Link.contact == Contact.id))
        .switch(Link)
        .join(Organisation, JOIN.LEFT_OUTER, on=(Link.organisation == Organisation.id))
        .switch(Link)
        .join(Record, JOIN.LEFT_OUTER, on=(Link.record == Record.id))
        .where(condition & Link.removed_at.is_null())
        .order_by(Link.id)
    )
    return sorted((_view(values) for values in query.tuples()), key=lambda view: _ORDER.get(view.kind, 9))


def _view(values: Sequence[Any]) -> LinkView:
    ident, kind, contact, organisation, record, *rest = values
    external, titles, (reason, params, made_by, version, created_at) = rest[:3], rest[3:6], rest[6:]
    at = 0 if contact is not None else 1 if organisation is not None else 2
    target = (contact, organisation, record)[at]
    return LinkView(ident, kind, target, external[at], titles[at] or "", reason, params or {}, made_by, version, created_at)


def of_thread(thread_id: int) -> list[LinkView]:
    """The living links of a thread, records first. Whoever asks has checked that the thread may be read."""
    return _living(Link.thread == thread_id)


def of_threads(thread_ids: Sequence[int]) -> dict[int, list[LinkView]]:
    """The living links of several threads, in one query."""
    if not thread_ids:
        return {}
    living = Link.thread.in_(list(thread_ids))
    holder = dict(Link.select(Link.id, Link.thread).where(living & Link.removed_at.is_null()).tuples())
    found: dict[int, list[LinkView]] = {}
    for view in _living(living):
        found.setdefault(holder[view.id], []).append(view)
    return found


def chips(thread_id: int) -> list[dict[str, Any]]:
    """What the inbox row shows of the links, records first."""
    found = plain.rows(
        "SELECT l.kind, COALESCE(l.record_id, l.contact_id, l.organisation_id), COALESCE(r.title, c.name, o.name, '') FROM link l"
        " LEFT JOIN record r ON r.id = l.record_id LEFT JOIN contact c ON c.id = l.contact_id LEFT JOIN organisation o ON o.id = l.organisation_id"
        " WHERE l.thread_id = ? AND l.removed_at IS NULL ORDER BY l.id",
        thread_id,
    )
    return [{"kind": kind, "title": title, "id": target} for kind, target, title in sorted(found, key=lambda one: _ORDER.get(one[0], 9))]


def candidates(thread_id: int) -> list[CandidateView]:
    """The records that were considered and not linked, the offered ones first, without those that are linked by now."""
    return candidates_of([thread_id])[thread_id]


def candidates_of(thread_ids: Sequence[int]) -> dict[int, list[CandidateView]]:
    """As `candidates`, of several threads in one query."""
    found: dict[int, list[CandidateView]] = {ident: [] for ident in thread_ids}
    if not found:
        return found
    linked = Link.select(Link.id).where(Link.thread == Candidate.thread, sifting(Link.record) == Candidate.record, Link.removed_at.is_null())
    query = (
        Candidate.select(
            Candidate.thread, Record.kind, Record.id, Record.external_id, Record.title, Record.status, Candidate.reason, Candidate.params, Candidate.offer
        )
        .join(Record)
        .where(Candidate.thread.in_(list(found)), Record.status != "deleted", ~fn.EXISTS(linked))
        .order_by(Candidate.offer.desc(), Candidate.rank, Candidate.id)
    )
    for thread_id, *values in query.tuples():
        found[thread_id].append(CandidateView(*values))
    return found


# --- by hand ------------------------------------------------------------------------------------------------------

_NOT_YOURS = N_("Only the owner of a thread and admins can link it.")


def target_exists(kind: str, target_id: int) -> bool:
    """True when there is such a contact, organisation, deal, lead or project (closed ones too: by hand always)."""
    if not is_id(target_id):
        return False
    if kind in RECORD_KINDS:
        return bool(Record.select().where(Record.id == target_id, Record.kind == kind).exists())
    table = Contact if kind == "contact" else Organisation
    return bool(table.select().where(table.id == target_id, table.deleted_at.is_null()).exists())


def link(viewer: Viewer, thread_id: int, kind: str, target_id: int, replace: bool = False, exclusive: bool = True) -> LinkView | Conflict | None:
    """Link a thread by hand. None: no such thread or target. Conflict: it holds another record, the policy allows one
    (`exclusive`), and `replace` was not asked for; nothing was changed then (F42).

    An admin's linking of another's private thread is audited (F49).
    """
    if kind not in LINK_KINDS:
        raise BadInput("kind", N_("use one of %(choices)s"), choices=", ".join(LINK_KINDS))
    with write():
        thread = thread_for(viewer, thread_id)
        if thread is None or not target_exists(kind, target_id):
            return None
        demand(may_link(viewer, thread), _NOT_YOURS)
        present = _records_of(thread_id) if kind in RECORD_KINDS and exclusive else []
        others = [view for view in present if view.target_id != target_id]
        if others and not replace:
            return Conflict(others[0])
        before = {"thread": thread_id, "waiting": thread.waiting, "waiting_reason": thread.waiting_reason, "replaced": [other.id for other in others]}
        for other in others:
            _remove(viewer, thread, other)
        was = _enter(viewer, thread, kind, target_id)
        _settled(viewer, thread, "thread-linked", kind=kind, target=target_id)
        made = next(view for view in of_thread(thread_id) if view.kind == kind and view.target_id == target_id)
        if was is None and not others:
            return made
        return dataclasses.replace(made, undo=undo.offer(viewer, "link", {**before, "link": made.id, "was": was}))


def _records_of(thread_id: int) -> list[LinkView]:
    return _living((Link.thread == thread_id) & Link.record.is_null(False))


_STATE = ("made_by", "reason", "params", "policy_version", "created_at", "removed_at", "removed_by")


def _enter(viewer: Viewer, thread: Any, kind: str, target_id: int) -> dict[str, Any] | None:
    """Make the link, or bring a removed one back to life as made by this person.

    What it was before, for the undo: {} when there was none, None when it lives and nothing was done.
    """
    column = kind if kind in ("contact", "organisation") else "record"
    target = f"{kind}:{target_id}"
    now = dt.datetime.now(UTC)
    made: dict[str, Any] = {
        "made_by": f"rep:{viewer.email}", "reason": "linked-by-hand", "params": {"who": viewer.email}, "policy_version": "", "created_at": now,
        "removed_at": None, "removed_by": None,
    }  # fmt: skip
    hold("thread", thread.id)
    known = Link.select().where(Link.thread == thread.id, Link.target == target).first()
    if known is None:
        was: dict[str, Any] = {}
        reader = reader_of(*plain.row("SELECT owner_id, sharing FROM thread WHERE id = ?", thread.id))
        Link.insert(thread=thread.id, target=target, kind=kind, reader=reader, **{column: target_id}, **made).execute()
    elif known.removed_at is not None:
        was = {name: getattr(known, name) for name in _STATE}
        was |= {name: to_micros(was[name]) for name in ("created_at", "removed_at")}
        Link.update(**made).where(Link.id == known.id).execute()
    else:
        return None
    _tell("link.added", thread, kind, target_id, viewer)
    return was


@undo.reverses("link")
def _as_before(viewer: Viewer, facts: dict[str, Any]) -> bool:
    """The link goes as if it had never been made, and what it replaced is back."""
    thread = thread_for(viewer, facts["thread"])
    if thread is None or not may_link(viewer, thread):
        return False
    made = next((view for view in of_thread(thread.id) if view.id == facts["link"]), None)
    was = facts["was"]
    if made is not None and was == {}:
        Link.delete().where(Link.id == made.id).execute()
    elif made is not None and was is not None:
        Link.update(**{**was, **{name: from_micros(was[name]) for name in ("created_at", "removed_at")}}).where(Link.id == made.id).execute()
    if made is not None and was is not None:
        _tell("link.removed", thread, made.kind, made.target_id, viewer)
    back = list(Link.select().where(Link.id.in_(facts["replaced"]), Link.thread == thread.id, Link.removed_at.is_null(False)))
    for known in back:
        Link.update(removed_at=None, removed_by=None).where(Link.id == known.id).execute()
        _tell("link.added", thread, known.kind, _target_of(known), viewer)
    if made is None and not back:
        return False
    shown = (made.kind, made.target_id) if made is not None else (back[0].kind, _target_of(back[0]))
    _settled(viewer, thread, "thread-unlinked", kind=shown[0], target=shown[1])
    if facts["waiting"] and not _records_of(thread.id):
        Thread.update(waiting=facts["waiting"], waiting_reason=facts["waiting_reason"]).where(Thread.id == thread.id).execute()
    return True


def _target_of(link: Any) -> int:
    return int(next(ident for ident in (link.contact_id, link.organisation_id, link.record_id) if ident is not None))


def _remove(viewer: Viewer, thread: Any, view: LinkView) -> None:
    Link.update(removed_at=dt.datetime.now(UTC), removed_by=f"rep:{viewer.email}").where(Link.id == view.id).execute()
    _tell("link.removed", thread, view.kind, view.target_id, viewer)


def _tell(name: str, thread: Any, kind: str, target_id: int, viewer: Viewer) -> None:
    facts = {"thread": thread.id, "kind": kind, "target_id": target_id, "by": f"rep:{viewer.email}"}
    Event.insert(name=name, at=dt.datetime.now(UTC), facts=facts).execute()


def _settled(viewer: Viewer, thread: Any, act: str, **facts: Any) -> None:
    """What follows a change by hand: the row, the waiting mark, the audit, and the pages."""
    held = _records_of(thread.id)
    changes: dict[str, Any] = {"chips": chips(thread.id), "linked": bool(held)}
    if held:
        changes |= {"waiting": None, "waiting_reason": ""}
    Thread.update(**changes).where(Thread.id == thread.id).execute()
    if thread.owner_id != viewer.rep_id:
        # What another's private thread is filed on is content: not even other admins read it here.
        known = facts if may_read(viewer, thread) else {"kind": facts["kind"]}
        note(viewer, act, f"thread:{thread.id}", dt.datetime.now(UTC), sharing=thread.sharing, **known)
    beat_thread(thread.owner_id, thread.sharing)


def unlink(viewer: Viewer, thread_id: int, link_id: int) -> str | None:
    """Remove a link by hand; the undo token, or None when there is no such link. No policy brings it back."""
    if not is_id(link_id):
        return None
    with write():
        thread = thread_for(viewer, thread_id)
        found = _living((Link.thread == thread_id) & (Link.id == link_id)) if thread is not None else []
        if not found:
            return None
        demand(may_link(viewer, thread), _NOT_YOURS)
        _remove(viewer, thread, found[0])
        _settled(viewer, thread, "thread-unlinked", kind=found[0].kind, target=found[0].target_id)
        return undo.offer(viewer, "unlink", {"thread": thread_id, "link": link_id})


@undo.reverses("unlink")
def _link_back(viewer: Viewer, facts: dict[str, Any]) -> bool:
    thread = thread_for(viewer, facts["thread"])
    known = Link.select().where(Link.id == facts["link"], Link.removed_at.is_null(False)).first()
    if thread is None or known is None or not may_link(viewer, thread):
        return False
    Link.update(removed_at=None, removed_by=None).where(Link.id == known.id).execute()
    _tell("link.added", thread, known.kind, _target_of(known), viewer)
    _settled(viewer, thread, "thread-linked", kind=known.kind, target=_target_of(known))
    return True


def none_of(viewer: Viewer, thread_id: int) -> str | None:
    """None of the candidates is right: the thread stays unlinked and asks no more. The undo token, or None: no such thread.

    "" when it did not ask any more, so that nothing was done.
    """
    with write():
        thread = thread_for(viewer, thread_id)
        if thread is None:
            return None
        demand(may_link(viewer, thread), N_("Only the owner of a conversation and admins can decide that."))
        if thread.waiting is None:
            return ""
        Thread.update(waiting=None, waiting_reason="").where(Thread.id == thread_id).execute()
        if thread.owner_id != viewer.rep_id:
            note(viewer, "choice-refused", f"thread:{thread_id}", dt.datetime.now(UTC))
        beat_thread(thread.owner_id, thread.sharing)
        return undo.offer(viewer, "none-of", {"thread": thread_id, "waiting": thread.waiting, "waiting_reason": thread.waiting_reason})


@undo.reverses("none-of")
def _asks_again(viewer: Viewer, facts: dict[str, Any]) -> bool:
    """The thread waits again, unless it was filed or asks something else by now."""
    thread = thread_for(viewer, facts["thread"])
    if thread is None or thread.waiting is not None or not may_link(viewer, thread) or _records_of(thread.id):
        return False
    Thread.update(waiting=facts["waiting"], waiting_reason=facts["waiting_reason"]).where(Thread.id == thread.id).execute()
    beat_thread(thread.owner_id, thread.sharing)
    return True


def copy_people(source: int, target: int, message_ids: Iterable[int]) -> None:
    """Give a thread the contact links, and their organisations', of those who take part in these mails."""
    taking_part = Participant.select(Participant.contact).where(Participant.message.in_(list(message_ids)), Participant.contact.is_null(False))
    contacts = [ident for (ident,) in taking_part.distinct().tuples()]
    organisations = Contact.select(Contact.organisation).where(Contact.id.in_(contacts), Contact.organisation.is_null(False))
    wanted = Link.contact.in_(contacts) | Link.organisation.in_(organisations)
    for known in list(Link.select().where((Link.thread == source) & wanted & Link.removed_at.is_null())):
        copy(known, target)


def copy(known: Link, thread_id: int, **changes: Any) -> None:
    """Let a thread have this link of people, too, but for what is named otherwise; one that stands there or was removed there stays as it is."""
    values = {
        "thread": thread_id, "target": known.target, "kind": known.kind, "contact": known.contact_id, "organisation": known.organisation_id, "made_by": known.made_by,
        "policy_version": known.policy_version, "reason": known.reason, "params": known.params, "created_at": dt.datetime.now(UTC), "reader": known.reader,
    }  # fmt: skip
    Link.insert({**values, **changes}).on_conflict_ignore().execute()


# --- typing a name ------------------------------------------------------------------------------------------------


def targets(text: str, kinds: Iterable[str] | None = None, limit: int = 10) -> list[Target]:
    """What "Link item" offers while a name is typed: people, organisations and records whose name holds the text,
    open records first. Contacts and records are known to the whole company."""
    typed = text.strip()[:100]
    if not typed:
        return []
    wanted = set(kinds or LINK_KINDS)
    found: list[Target] = []
    pattern = dialect.contains(typed)

    def holds(field: Any) -> Any:
        return dialect.like(field, pattern)

    for kind in (kind for kind in RECORD_KINDS if kind in wanted):
        records = Record.select(Record.id, Record.title, Record.status).where(Record.kind == kind, Record.status != "deleted", holds(Record.title))
        ordered = records.order_by((Record.status == "open").desc(), Record.updated_at.desc()).limit(limit)
        rows = list(ordered.tuples())
        whom = with_whom([ident for ident, _title, _status in rows])
        found += [Target(kind, ident, title, status, whom.get(ident, "")) for ident, title, status in rows]
    if "organisation" in wanted:
        named = Organisation.select(Organisation.id, Organisation.name).where(Organisation.deleted_at.is_null(), holds(Organisation.name))
        found += [Target("organisation", ident, name, "") for ident, name in named.order_by(Organisation.name).limit(limit).tuples()]
    if "contact" in wanted:
        found += _people(holds, limit)
    return found[: limit * 2]


_NAMED = 3  # people of a record


def with_whom(record_ids: Sequence[int]) -> dict[int, str]:
    """With whom these records are: their organisation, else the first people on them."""
    if not record_ids:
        return {}
    named = Record.select(Record.id, Organisation.name).join(Organisation).where(Record.id.in_(record_ids), Organisation.deleted_at.is_null())
    found = dict(named.tuples())
    standing = RecordContact.select(RecordContact.record, Contact.name).join(Contact).where(RecordContact.record.in_(record_ids), RecordContact.removed_at.is_null())
    people: dict[int, list[str]] = {}
    for ident, name in standing.order_by(RecordContact.id).tuples():
        if ident not in found and name:
            people.setdefault(ident, []).append(name)
    return found | {ident: ", ".join(names[:_NAMED]) for ident, names in people.items()}


def _people(holds: Any, limit: int) -> list[Target]:
    query = (
        Contact.select(Contact.id, Contact.name, fn.MIN(ContactAddress.address))
        .join(ContactAddress, JOIN.LEFT_OUTER)
        .where(Contact.deleted_at.is_null(), Contact.merged_into.is_null(), holds(Contact.name) | holds(ContactAddress.address))
        .group_by(Contact.id, Contact.name)
        .order_by(Contact.name)
        .limit(limit)
    )
    return [Target("contact", ident, name or address or "", address or "") for ident, name, address in query.tuples()]
