"""What the steps need to know about one mail: every question that the pipeline asks the store before it decides."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.steps.dedupe import without_day
from core.steps.facts import House as Ours
from core.steps.facts import address_key
from core.steps.link import PresentLink
from core.steps.thread import MessageFact, ThreadFact
from core.store import reps
from core.store.company import company, pulse
from core.store.database import main_db
from core.store.fields import from_micros, to_micros
from core.store.models import Contact, NeverLog
from core.store.plain import marks, row, rows
from core.types import Contact as ContactFact
from core.types import Organisation as OrganisationFact
from core.types import Record as RecordFact

MOST_MESSAGES = 50
MOST_THREADS = 20
MOST_RECORDS = 1000
MOST_CONTACTS = 200  # of a thread
OPEN = "open"


@dataclass(frozen=True)
class Logged:
    """A mail that was logged before."""

    id: int
    inbound_id: int
    thread_id: int
    record_ids: tuple[int, ...]
    deleted: bool


@dataclass(frozen=True)
class Standing:
    """How a thread is shared, when it began (frozen at its first logging), and when the mail that began it arrived, as far as that is still there."""

    sharing: str
    started_at: dt.datetime
    arrived: dt.datetime | None


@dataclass(frozen=True)
class Habits:
    name: str
    default_sharing: str
    auto_link: bool


# --- addresses ----------------------------------------------------------------------------------------------------


_ours: tuple[tuple[Any, int, int], float, Ours] | None = None  # the database itself: its id may be another one's later
_ours_lock = threading.Lock()


def ours() -> Ours:
    """The company's own addresses and rules, at most a second old; without the drop addresses, which each mail looks up."""
    global _ours
    with _ours_lock:
        now = time.monotonic()
        if _ours is not None and _ours[0][0] is main_db.obj and now - _ours[1] < 1.0:
            return _ours[2]
        stamp = (main_db.obj, pulse("settings"), 0)
        if _ours is not None and _ours[0] == stamp:
            _ours = (stamp, now, _ours[2])
            return _ours[2]
        settings = company()
        fresh = Ours(
            rep_addresses=frozenset(address_key(a) for a in reps.rep_addresses()),
            team_addresses=frozenset(address_key(a) for a in reps.team_addresses()),
            internal_domains=reps.internal_domains(),
            drop_domain=reps.drop_domain(),
            never_log=tuple(row[0] for row in NeverLog.select(NeverLog.pattern).tuples()),
            role_addresses=not settings.role_addresses_are_contacts,
            fold_plus_tags=settings.fold_plus_tags,
        )
        _ours = (stamp, now, fresh)
        return fresh


def forget_ours() -> None:
    global _ours
    _ours = None


# --- people -------------------------------------------------------------------------------------------------------


def contacts_by_address(addresses: Collection[str]) -> dict[str, ContactFact]:
    """Known contacts by address; a merged contact is the one it was merged into."""
    if not addresses:
        return {}
    found: dict[str, ContactFact] = {}
    for address, ident, name, organisation, merged_into in rows(
        "SELECT a.address, c.id, c.name, c.organisation_id, c.merged_into_id FROM contact_address a JOIN contact c ON c.id = a.contact_id"
        f" WHERE a.address IN ({marks(addresses)}) AND c.deleted_at IS NULL",
        *addresses,
    ):
        found[address] = _merged(merged_into, address) if merged_into else ContactFact(ident, name or address, organisation, (address,))
    return found


def _merged(ident: int, address: str) -> ContactFact:
    for _ in range(10):
        row = Contact.get_by_id(ident)
        if row.merged_into_id is None:
            break
        ident = row.merged_into_id
    return ContactFact(row.id, row.name or address, row.organisation_id, (address,))


def organisations(ids: Collection[int]) -> dict[int, OrganisationFact]:
    if not ids:
        return {}
    found = rows(f"SELECT id, name FROM organisation WHERE id IN ({marks(ids)}) AND deleted_at IS NULL", *ids)
    return {ident: OrganisationFact(ident, name) for ident, name in found}


# --- records as they were -----------------------------------------------------------------------------------------


def records_of(contact_ids: Collection[int], at: dt.datetime) -> list[RecordFact]:
    """The records on which one of these contacts stood at that time, as they were then: at most MOST_RECORDS, open ones before others."""
    if not contact_ids:
        return []
    stamp = to_micros(at)
    people: dict[int, list[int]] = {}
    known: dict[int, Sequence[Any]] = {}
    for contact_id, *values in rows(
        f"SELECT p.contact_id, {_RECORD} FROM record_contact p JOIN record r ON r.id = p.record_id"
        f" WHERE p.contact_id IN ({marks(contact_ids)}) AND (p.removed_at IS NULL OR p.removed_at > ?) ORDER BY (r.status = 'open') DESC, p.id DESC LIMIT ?",
        stamp, *contact_ids, stamp, MOST_RECORDS,
    ):  # fmt: skip
        people.setdefault(values[0], []).append(contact_id)
        known[values[0]] = values
    return [_record(values, tuple(people[ident])) for ident, values in sorted(known.items())]


def records(ids: Collection[int], at: dt.datetime) -> list[RecordFact]:
    """These records as they were at that time."""
    if not ids:
        return []
    return [_record(values) for values in rows(f"SELECT {_RECORD} FROM record r WHERE r.id IN ({marks(ids)}) ORDER BY r.id", to_micros(at), *ids)]


# A record r with its status at a moment (the one parameter), null where nothing is told of that time.
_RECORD = (
    "r.id, r.kind, r.title, r.status, r.created_at, r.updated_at, r.last_activity_at, r.organisation_id, r.external_id,"
    " (SELECT h.status FROM record_history h WHERE h.record_id = r.id AND h.valid_from <= ? ORDER BY h.valid_from DESC, h.id DESC LIMIT 1)"
)


def _record(values: Sequence[Any], contacts: tuple[int, ...] = ()) -> RecordFact:
    ident, kind, title, now_status, created, updated, active, organisation, external_id, past_status = values
    then = now_status if past_status is None else past_status
    # A record that was deleted since is not brought back by a late mail.
    is_open = then == OPEN and now_status != "deleted"
    return RecordFact(
        ident, kind, title, then, is_open, from_micros(created), from_micros(updated), None if active is None else from_micros(active),
        contacts, organisation, external_id,
    )  # fmt: skip


# --- threads ------------------------------------------------------------------------------------------------------


# What the thread step needs of a thread t, beside its names and its mails: ThreadFact.
_FACTS = (
    "t.id, t.sharing, EXISTS (SELECT 1 FROM link l WHERE l.thread_id = t.id AND l.record_id IS NOT NULL AND l.removed_at IS NULL),"
    " t.split_from_id IS NOT NULL OR EXISTS (SELECT 1 FROM thread s WHERE s.split_from_id = t.id)"
)


def threads_by_name(owner_id: int, names: Collection[str], *, with_messages: bool) -> dict[int, ThreadFact]:
    """The owner's threads that hold any of these names, each with those names."""
    held: dict[tuple[Any, ...], list[str]] = {}
    if names:
        for name, *facts in rows(
            f"SELECT i.message_id, {_FACTS} FROM thread_id i JOIN thread t ON t.id = i.thread_id"
            f" WHERE i.owner_id = ? AND i.message_id IN ({marks(names)}) AND t.deleted_at IS NULL",
            owner_id,
            *names,
        ):
            held.setdefault(tuple(facts), []).append(name)
    return {facts[0]: _fact(facts, known, with_messages) for facts, known in held.items()}


def threads_by_subject(owner_id: int, base: str, since: dt.datetime, until: dt.datetime, known: Mapping[int, ThreadFact]) -> dict[int, ThreadFact]:
    """The owner's threads of this base subject that were active in the window, with their mails; those that are known already come as they are."""
    found = rows(
        f"SELECT {_FACTS} FROM thread t WHERE t.owner_id = ? AND t.base_subject = ? AND t.deleted_at IS NULL AND t.last_at >= ? AND t.started_at <= ?"
        " ORDER BY t.last_at DESC LIMIT ?",
        owner_id, base, to_micros(since), to_micros(until), MOST_THREADS,
    )  # fmt: skip
    return {facts[0]: known.get(facts[0]) or _fact(facts, (), True) for facts in found}


def _fact(facts: Sequence[Any], names: Sequence[str], with_messages: bool) -> ThreadFact:
    ident, sharing, recorded, split = facts
    return ThreadFact(ident, tuple(names), _messages(ident) if with_messages else (), sharing, bool(recorded), bool(split))


_facts = msgspec.json.Decoder(MessageFact)  # made by one thread, see core/reader.py


def _messages(thread_id: int) -> tuple[MessageFact, ...]:
    found = rows("SELECT fact FROM message WHERE thread_id = ? ORDER BY date DESC LIMIT ?", thread_id, MOST_MESSAGES)
    return tuple(_facts.decode(fact) for (fact,) in found if fact and fact != "{}")


def conversations(names: Collection[str], thread_id: int | None = None) -> list[str]:
    """The conversations of every owner's threads that hold any of these names, and that of the thread that takes the mail."""
    of_names = f"SELECT DISTINCT t.conversation_id FROM thread t JOIN thread_id i ON i.thread_id = t.id WHERE i.message_id IN ({marks(names)}) LIMIT 50"
    if thread_id is None:
        found = rows(of_names, *names) if names else []
    elif names:
        found = rows(f"SELECT conversation_id FROM thread WHERE id = ? UNION ALL SELECT conversation_id FROM ({of_names}) n", thread_id, *names)
    else:
        found = rows("SELECT conversation_id FROM thread WHERE id = ?", thread_id)
    return [conversation for (conversation,) in found]


# --- links --------------------------------------------------------------------------------------------------------


@dataclass
class ThreadLinks:
    """What threads are linked to now, the contacts among it, and what a person removed from them."""

    present: list[PresentLink] = field(default_factory=list)
    removed: set[tuple[str, int]] = field(default_factory=set)
    contacts: list[ContactFact] = field(default_factory=list)


def links_of(thread_ids: Collection[int], message_id: int | None = None) -> ThreadLinks:
    """The links of these threads. `message_id`: the mail whose own links are marked."""
    found = ThreadLinks()
    for thread_id in thread_ids:
        contacts: list[ContactFact] = []
        for kind, target, made_by, made_for, removed_at, removed_by, contact, name, organisation in rows(
            "SELECT l.kind, COALESCE(l.record_id, l.contact_id, l.organisation_id), l.made_by, l.message_id, l.removed_at, l.removed_by,"
            " c.id, c.name, c.organisation_id FROM link l LEFT JOIN contact c ON c.id = l.contact_id AND c.deleted_at IS NULL"
            " WHERE l.thread_id = ? ORDER BY l.id",
            thread_id,
        ):
            if removed_at is None:
                mine = message_id is not None and made_for == message_id and not made_by.startswith("rep:")
                found.present.append(PresentLink(kind, target, made_by, mine))
                if contact is not None:
                    contacts.append(ContactFact(contact, name, organisation))
            elif (removed_by or "").startswith("rep:"):
                found.removed.add((kind, target))
        found.contacts += contacts[:MOST_CONTACTS]
    return found


# --- single facts of the pipeline ---------------------------------------------------------------------------------


def logged_before(owner_id: int, key: str) -> Logged | None:
    """The mail that this rep has logged before under this key, deleted or not."""
    keys = key, without_day(key)
    found = row("SELECT id, inbound_id, thread_id, record_ids, deleted_at FROM message WHERE owner_id = ? AND dedupe_key IN (?, ?)", owner_id, *keys)
    if found is None:
        return None
    return Logged(found[0], found[1], found[2], tuple(msgspec.json.decode(found[3] or "[]")), found[4] is not None)


def standing_of(thread_id: int) -> Standing | None:
    """A thread as it stands before the mail joins it."""
    found = row(
        "SELECT t.sharing, t.started_at, (SELECT o.received_at FROM message m JOIN outcome o ON o.inbound_id = m.inbound_id"
        " WHERE m.thread_id = t.id AND m.date = t.started_at ORDER BY m.id LIMIT 1) FROM thread t WHERE t.id = ?",
        thread_id,
    )  # fmt: skip
    return None if found is None else Standing(found[0], from_micros(found[1]), None if found[2] is None else from_micros(found[2]))


def habits_of(rep_id: int) -> Habits:
    """What a rep has chosen: default sharing and automatic linking."""
    found = row("SELECT name, email, default_sharing, auto_link FROM rep WHERE id = ?", rep_id)
    if found is None:
        raise LookupError(f"there is no rep {rep_id}")
    return Habits(found[0] or found[1], found[2], bool(found[3]))
