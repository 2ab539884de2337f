"""Deals, leads and projects: made, changed and listed, with the history of their status.

Records are known to the whole company; the mail on them is shown through the visibility rule only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peewee import fn

from core.errors import BadInput
from core.reasons import N_
from core.store import dialect, drops, links, plain, rows
from core.store.company import beat
from core.store.database import write
from core.store.dialect import sifting
from core.store.fields import UTC, from_micros, to_micros
from core.store.models import Contact, Event, Link, Organisation, Record, RecordContact, RecordHistory, Rep, T, Thread
from core.store.paging import Page, cursor_of, read_cursor, sensible
from core.store.rows import ThreadRow
from core.store.seal import Seal
from core.store.visibility import COMPANY_PULSE, Viewer, found_by, is_id, visible

STATUSES: dict[str, tuple[str, ...]] = {
    "deal": ("open", "won", "lost", "deleted"),
    "lead": ("open", "converted", "archived", "deleted"),
    "project": ("open", "completed", "canceled", "deleted"),
}
MOST_CONTACTS = 500
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record as pages and the API show it; `bcc_address` is its own drop address (F5)."""

    id: int
    kind: str
    external_id: str | None
    title: str
    status: str
    contacts: list[int]
    organisation: int | None
    owner: int | None
    bcc_address: str
    created_at: dt.datetime
    updated_at: dt.datetime
    closed_at: dt.datetime | None
    last_activity_at: dt.datetime | None


# --- reading ------------------------------------------------------------------------------------------------------


def views(found: Sequence[Any], seal: Seal) -> list[RecordView]:
    """The records with their contacts and addresses, in two queries for all of them."""
    ids = [record.id for record in found]
    contacts: dict[int, list[int]] = {ident: [] for ident in ids}
    addresses: dict[int, str] = {}
    if ids:
        standing = RecordContact.select(RecordContact.record, RecordContact.contact).where(RecordContact.record.in_(ids), RecordContact.removed_at.is_null())
        for record_id, contact_id in standing.order_by(RecordContact.id).tuples():
            contacts[record_id].append(contact_id)
        addresses = drops.record_addresses(ids, seal)
    return [
        RecordView(
            record.id, record.kind, record.external_id, record.title, record.status, contacts[record.id], record.organisation_id, record.owner_id,
            addresses.get(record.id) or drops.record_address(record.id, seal, dt.datetime.now(UTC)), record.created_at, record.updated_at,
            record.closed_at, record.last_activity_at,
        )
        for record in found
    ]  # fmt: skip


def get(kind: str, record_id: int, seal: Seal, *, deleted: bool = False) -> RecordView | None:
    """One record of this kind; a deleted one only when it is asked for."""
    if not is_id(record_id):
        return None
    found = Record.select().where(Record.id == record_id, Record.kind == kind).first()
    if found is None or (found.status == "deleted" and not deleted):
        return None
    return views([found], seal)[0]


def page(
    kind: str, seal: Seal, cursor: str | None = None, limit: int = 50, q: str | None = None, external_id: str | None = None, status: str | None = None,
    contact: int | None = None, organisation: int | None = None,
) -> Page[RecordView]:  # fmt: skip
    """Records of one kind, newest first. Deleted ones come only when their status or external id is asked for."""
    after = read_cursor(cursor, 1)
    query = Record.select().where(Record.kind == kind)
    if external_id is not None:
        query = query.where(Record.external_id == external_id)
    elif status is None:
        query = query.where(Record.status != "deleted")
    if status is not None:
        query = query.where(Record.status == status)
    if (q or "").strip():
        query = query.where(dialect.like(Record.title, dialect.contains((q or "").strip()[:200])))
    if contact is not None:
        standing = RecordContact.select(RecordContact.record).where(RecordContact.contact == contact, RecordContact.removed_at.is_null())
        query = query.where(Record.id.in_(standing))
    if organisation is not None:
        query = query.where(Record.organisation == organisation)
    if after is not None:
        query = query.where(Record.id < after[0])
    limit = sensible(limit)
    found = list(query.order_by(Record.id.desc()).limit(limit + 1))
    return Page(views(found[:limit], seal), cursor_of(found[limit - 1].id) if len(found) > limit else None)


_LATEST = 2000  # links of one record among which the newest mail is looked for


def as_known_to(viewer: Viewer, found: Sequence[RecordView]) -> list[RecordView]:
    """The records without the moment of mail that this viewer may not read."""
    newest = _newest_known(viewer, [record.id for record in found if record.last_activity_at is not None])
    return [replace(record, last_activity_at=newest[record.id]) if record.id in newest else record for record in found]


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """What helps a person to tell one record from another: who stands on it, since when it is there, when mail was last filed on it."""

    people: list[str]
    created_at: dt.datetime
    last_activity_at: dt.datetime | None


def facts(viewer: Viewer, record_ids: Iterable[int]) -> dict[int, RecordFacts]:
    """The facts of several records, as this viewer may know them."""
    ids = list(record_ids)
    if not ids:
        return {}
    newest = _newest_known(viewer, ids)
    times = Record.select(Record.id, Record.created_at, Record.last_activity_at).where(Record.id.in_(ids)).tuples()
    found = {ident: RecordFacts([], created, newest.get(ident, last)) for ident, created, last in times}
    standing = RecordContact.select(RecordContact.record, Contact.name).join(Contact).where(RecordContact.record.in_(ids), RecordContact.removed_at.is_null())
    for ident, name in standing.order_by(RecordContact.id).tuples():
        found[ident].people.append(name)
    return found


def _newest_known(viewer: Viewer, ids: Sequence[int]) -> dict[int, dt.datetime | None]:
    """For records with mail that this viewer may not read, the moment of the newest that they may: not even that the other came is theirs to know (F53).

    Admins know of a private thread who and when.
    """
    if viewer.is_admin or not ids:
        return {}
    # Two ranges of the index over record and reader, beside the viewer's own and the shared ones.
    others = "EXISTS (SELECT 1 FROM link l WHERE l.record_id = r.id AND l.reader {} AND l.removed_at IS NULL)"
    hidden = plain.rows(
        f"SELECT r.id FROM record r WHERE r.id IN ({plain.marks(ids)}) AND ({others.format('BETWEEN 1 AND ?')} OR {others.format('> ?')})",
        *ids, viewer.rep_id - 1, viewer.rep_id,
    )  # fmt: skip
    lately = Link.select(Link.thread).where(Link.record == Record.id, Link.removed_at.is_null(), found_by(viewer, Link)).order_by(Link.id.desc()).limit(_LATEST)
    newest = T.select(fn.MAX(T.last_at)).where(visible(viewer), T.id.in_(lately))
    asked = Record.select(Record.id, newest).where(Record.id.in_([ident for (ident,) in hidden])).tuples() if hidden else ()
    return {ident: at if at is None or isinstance(at, dt.datetime) else from_micros(at) for ident, at in asked}


def threads(viewer: Viewer, record_id: int, cursor: str | None = None, limit: int = 50) -> Page[ThreadRow]:
    """The threads on a record that this viewer may read, newest first."""
    return threads_of(viewer, Link.record, record_id, cursor, limit)


def threads_of(viewer: Viewer, column: Any, target_id: int, cursor: str | None, limit: int) -> Page[ThreadRow]:
    """The readable threads with a living link to this contact, organisation or record (`column` of Link), newest first.

    Few are fetched by their links and sorted; where there are many, a page of them is found sooner by walking the inbox.
    """
    branches = [rows.own(viewer), rows.others_shared(viewer)]
    return _page_of(viewer, column == target_id, _stands_on(column, target_id), branches, visible(viewer), cursor, limit)


def _stands_on(column: Any, target_id: int) -> Any:
    """The thread has a living link to it, as a condition on a thread that was found already."""
    return fn.EXISTS(Link.select(Link.id).where(Link.thread == T.id, sifting(column) == target_id, Link.removed_at.is_null()))


def _page_of(
    viewer: Viewer, linked: Any, stands: Any, branches: Sequence[rows.Branch], condition: Any, cursor: str | None, limit: int
) -> Page[ThreadRow]:
    """The threads of the links that meet `linked`, if they meet the condition, too.

    branches  what is walked where there are too many to sort
    stands    what a thread met on that walk must meet to be one of them
    """
    living = Link.select(Link.thread).where(linked, Link.removed_at.is_null(), found_by(viewer, Link))
    few = [ident for (ident,) in living.limit(rows.MOST_SORTED + 1).tuples()]
    if len(few) <= rows.MOST_SORTED:
        return rows.page(viewer, [rows.these(few)], condition, cursor, sensible(limit))
    return rows.page(viewer, branches, condition & stands, cursor, sensible(limit))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A thread, and those that colleagues have logged of the same conversation."""

    row: ThreadRow
    copies: list[ThreadRow]


def exchanges(viewer: Viewer, kind: str, target_id: int, cursor: str | None = None, limit: int = 20) -> Page[Exchange]:
    """The readable threads on a contact, an organisation or a record, newest first, with the copies of one exchange as one.

    What stands as a copy below a newer thread stands there alone, on whichever page that is.
    """
    column = getattr(Link, kind if kind in ("contact", "organisation") else "record")
    shown: list[Exchange] = []
    while len(shown) <= limit:
        found = threads_of(viewer, column, target_id, cursor, limit + 1)
        copies = _copies(viewer, _stands_on(column, target_id), found.items)
        shown += [Exchange(row, copies[row.id]) for row in found.items if row.id in copies]
        cursor = found.next
        if cursor is None:
            break
    return Page(shown[:limit], rows.cursor_after(shown[limit - 1].row) if len(shown) > limit else None)


_MOST_COPIES = 50  # threads of one conversation, the newest ones: the same whichever page is looked at


def _copies(viewer: Viewer, stands: Any, shown: Sequence[ThreadRow]) -> dict[int, list[ThreadRow]]:
    """The threads under which copies are folded, with these: of each conversation the newest, then the newest that is left …

    Two threads of one owner are no copies of each other.
    """
    rest = rows.of_conversations(viewer, {row.conversation_id for row in shown}, visible(viewer) & stands, _MOST_COPIES)
    looked_at = {row.id for row in rest}
    found: dict[int, list[ThreadRow]] = {row.id: [] for row in shown if row.id not in looked_at}  # beyond the bound each stands for itself
    while rest:
        head = rest[0]
        found[head.id] = [row for row in rest if row.conversation_id == head.conversation_id and row.owner_id != head.owner_id]
        gone = {head.id, *(row.id for row in found[head.id])}
        rest = [row for row in rest if row.id not in gone]
    return found


def eligible_earlier_threads(viewer: Viewer, record_id: int, limit: int = 50) -> list[ThreadRow]:
    """The viewer's own threads that began before the record was made, have its contacts in them and no record yet:
    what "link these earlier threads?" offers (F41)."""
    record = Record.select().where(Record.id == record_id).first() if is_id(record_id) else None
    if record is None:
        return []
    standing = RecordContact.select(RecordContact.contact).where(RecordContact.record == record_id, RecordContact.removed_at.is_null())
    stands = fn.EXISTS(Link.select(Link.id).where(Link.thread == T.id, sifting(Link.contact).in_(standing), Link.removed_at.is_null()))
    removed = fn.EXISTS(Link.select(Link.id).where(Link.thread == T.id, sifting(Link.record) == record_id, Link.removed_at.is_null(False)))
    own = sifting(T.owner) == viewer.rep_id
    condition = own & visible(viewer) & (T.linked == False) & (T.started_at < record.created_at) & ~removed  # noqa: E712
    return _page_of(viewer, Link.contact.in_(standing), stands, [rows.own(viewer)], condition, None, limit).items


# --- writing ------------------------------------------------------------------------------------------------------

_KNOWN = ("title", "status", "external_id", "contacts", "organisation", "owner", "created_at", "updated_at", "closed_at")


def create(viewer: Viewer, kind: str, values: Mapping[str, Any], seal: Seal) -> RecordView:
    """A new record with its history and its own drop address. Raises BadInput that names the place; nothing is half-done."""
    now = dt.datetime.now(UTC)
    with write():
        checked = _checked(kind, values)
        created_at = checked.get("created_at") or now
        status = checked.get("status") or "open"
        record = Record.create(
            kind=kind, title=_title(checked.get("title")), status=status, external_id=checked.get("external_id"), organisation=checked.get("organisation"),
            owner=checked.get("owner", viewer.rep_id), created_at=created_at, updated_at=checked.get("updated_at") or created_at,
            closed_at=None if status == "open" else checked.get("closed_at") or now, last_activity_at=None,
        )  # fmt: skip
        _put_contacts(record.id, checked.get("contacts") or (), created_at)
        _first_history(record, checked.get("closed_at"), now)
        drops.record_address(record.id, seal, now)
        Event.insert(name=f"{kind}.created", at=now, facts={"id": record.id, "by": f"rep:{viewer.email}"}).execute()
        beat(COMPANY_PULSE)
        return views([Record.get_by_id(record.id)], seal)[0]


def _first_history(record: Any, closed_at: dt.datetime | None, now: dt.datetime) -> None:
    """A record was open from its beginning until its closing time; one that is closed, nobody knows since when, never was as far as we know."""
    RecordHistory.insert(record=record.id, status="open", valid_from=record.created_at, learned_at=now).execute()
    if record.status != "open":
        RecordHistory.insert(record=record.id, status=record.status, valid_from=max(closed_at or record.created_at, record.created_at), learned_at=now).execute()


def update(viewer: Viewer, kind: str, record_id: int, changes: Mapping[str, Any], seal: Seal) -> RecordView | None:
    """Change what is given; None when there is no such record. Raises BadInput; nothing is half-done."""
    if not is_id(record_id):
        return None
    now = dt.datetime.now(UTC)
    with write():
        record = Record.select().where(Record.id == record_id, Record.kind == kind).first()
        if record is None:
            return None
        checked = _checked(kind, changes, record_id)
        if "title" in checked:
            checked["title"] = _title(checked["title"])
        contacts = checked.pop("contacts", None)
        if contacts is not None:
            _put_contacts(record_id, contacts, now)
        _change_status(record, checked, now)
        Record.update(**{"updated_at": now, **{name: value for name, value in checked.items() if name != "created_at" or value is not None}}).where(
            Record.id == record_id
        ).execute()
        if record.title != checked.get("title", record.title):
            refresh_chips(Link.record == record_id)
        Event.insert(name=f"{kind}.changed", at=now, facts={"id": record_id, "by": f"rep:{viewer.email}"}).execute()
        beat(COMPANY_PULSE)
        return views([Record.get_by_id(record_id)], seal)[0]


def _change_status(record: Any, checked: dict[str, Any], now: dt.datetime) -> None:
    """Write the history of a changed status and keep the closing time true to it."""
    status = checked.get("status") or record.status
    if "updated_at" in checked and checked["updated_at"] is None:
        del checked["updated_at"]
    if status == record.status:
        if status == "open":
            checked.pop("closed_at", None)
        return
    since = now if status == "open" else checked.get("closed_at") or now
    checked["closed_at"] = None if status == "open" else since
    RecordHistory.insert(record=record.id, status=status, valid_from=since, learned_at=now).execute()


def delete(viewer: Viewer, kind: str, record_id: int) -> bool:
    """Give a record the status "deleted": its mail and its address stay. False when there is no such record."""
    if not is_id(record_id):
        return False
    now = dt.datetime.now(UTC)
    with write():
        record = Record.select().where(Record.id == record_id, Record.kind == kind, Record.status != "deleted").first()
        if record is None:
            return False
        Record.update(status="deleted", closed_at=record.closed_at or now, updated_at=now).where(Record.id == record_id).execute()
        RecordHistory.insert(record=record_id, status="deleted", valid_from=now, learned_at=now).execute()
        Event.insert(name=f"{kind}.deleted", at=now, facts={"id": record_id, "by": f"rep:{viewer.email}"}).execute()
        beat(COMPANY_PULSE)
    return True


def refresh_chips(linked: Any) -> None:
    """Show a changed title in the inbox rows of the threads linked to it, inside the caller's transaction."""
    for (thread_id,) in list(Link.select(Link.thread).where(linked & Link.removed_at.is_null()).tuples()):
        Thread.update(chips=links.chips(thread_id)).where(Thread.id == thread_id).execute()


def _title(value: Any) -> str:
    title = " ".join(str(value or "").split())
    if not title:
        raise BadInput("title", N_("give the record a title"))
    if len(title) > _LONGEST:
        raise BadInput("title", N_("use at most %(number)s characters"), number=_LONGEST)
    return title


def _checked(kind: str, values: Mapping[str, Any], record_id: int | None = None) -> dict[str, Any]:
    """The values as they may be written. Raises BadInput with the place."""
    checked = {name: values[name] for name in _KNOWN if name in values}
    status = checked.get("status")
    if status is not None and status not in STATUSES[kind]:
        raise BadInput("status", N_("use one of %(choices)s"), choices=", ".join(STATUSES[kind]))
    if "status" in checked and status is None:
        del checked["status"]
    if checked.get("external_id"):
        taken = Record.select().where(Record.kind == kind, Record.external_id == checked["external_id"])
        if (taken if record_id is None else taken.where(Record.id != record_id)).exists():
            raise BadInput("external_id", N_("another %(kind)s has this one already"), kind=kind)
    demand_id(Organisation, checked.get("organisation"), "organisation", N_("there is no such organisation"))
    demand_id(Rep, checked.get("owner"), "owner", N_("there is no such rep"))
    if checked.get("contacts") is not None:
        checked["contacts"] = _known_contacts(checked["contacts"])
    return checked


def demand_id(table: Any, ident: int | None, place: str, sentence: str) -> None:
    if ident is None:
        return
    query = table.select().where(table.id == ident) if is_id(ident) else None
    if query is not None and hasattr(table, "deleted_at"):
        query = query.where(table.deleted_at.is_null())
    if query is None or not query.exists():
        raise BadInput(place, sentence)


def _known_contacts(ids: Iterable[int]) -> list[int]:
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST_CONTACTS:
        raise BadInput("contacts", N_("name at most %(number)s contacts"), number=MOST_CONTACTS)
    asked = [ident for ident in wanted if is_id(ident)]
    known = {ident for (ident,) in Contact.select(Contact.id).where(Contact.id.in_(asked), Contact.deleted_at.is_null()).tuples()} if asked else set()
    for at, ident in enumerate(wanted):
        if ident not in known:
            raise BadInput(f"contacts.{at}", N_("there is no contact %(ident)s"), ident=ident)
    return wanted


def _put_contacts(record_id: int, contacts: Sequence[int], now: dt.datetime) -> None:
    """Let exactly these contacts stand on the record; who goes keeps a row with the time."""
    standing = RecordContact.select(RecordContact.contact).where(RecordContact.record == record_id, RecordContact.removed_at.is_null())
    present = {ident for (ident,) in standing.tuples()}
    gone = present - set(contacts)
    if gone:
        RecordContact.update(removed_at=now).where(RecordContact.record == record_id, RecordContact.contact.in_(gone)).execute()
    for ident in contacts:
        if ident not in present:
            RecordContact.insert(record=record_id, contact=ident, added_at=now).on_conflict(
                conflict_target=[RecordContact.record, RecordContact.contact], update={RecordContact.added_at: now, RecordContact.removed_at: None}
            ).execute()


def touch(record_ids: Iterable[int], at: dt.datetime) -> None:
    """Note the newest activity of records, inside the caller's transaction."""
    for record_id in record_ids:
        newer = Record.last_activity_at.is_null() | (Record.last_activity_at < to_micros(at))
        Record.update(last_activity_at=at).where((Record.id == record_id) & newer).execute()


def history(record_id: int) -> list[tuple[str, dt.datetime, dt.datetime]]:
    """The statuses of a record in order: (status, from when on, when we learned of it)."""
    query = RecordHistory.select(RecordHistory.status, RecordHistory.valid_from, RecordHistory.learned_at).where(RecordHistory.record == record_id)
    return list(query.order_by(RecordHistory.valid_from, RecordHistory.id).tuples())
