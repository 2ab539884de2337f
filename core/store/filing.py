"""Writing what was decided about a mail: all effects and the outcome, inside the pipeline's one transaction.

The outcome's row is unique an inbound message, and every effect has a unique key of its own, so that nothing happens twice.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from core.steps.contacts import Planned
from core.steps.link import PlannedLink
from core.steps.thread import base_subject
from core.steps.verdict import Verdict
from core.store import plain, reps, search
from core.store.company import beat
from core.store.database import at_end, hold, is_sqlite, main_db, run_sql
from core.store.database import write as transaction
from core.store.fields import to_micros
from core.store.inbound import Claim
from core.store.models import Audit, Candidate, Link, Message, Outcome, Thread, ThreadId
from core.store.threads import refresh_row
from core.store.visibility import beat_threads, reader_of
from core.types import RECORD_KINDS, Mailbox

_MOST_SHOWN = 2_000_000  # characters of text kept for the page
_MOST_PEOPLE = 500


def lock_owner(address: str, claimed_for: int | None = None) -> None:
    """PostgreSQL: one mail of a rep at a time, so that two workers never double a thread. SQLite has one writer anyway."""
    if is_sqlite():
        return
    ids = sorted({fact.rep_id for fact in reps.sender_facts(address)} | ({claimed_for} if claimed_for else set()))
    if ids:
        run_sql(main_db, f"SELECT id FROM rep WHERE id IN ({', '.join('?' * len(ids))}) ORDER BY id FOR UPDATE", ids)


def end_of(inbound_id: int) -> tuple[str, str] | None:
    """How a mail ended, when it has."""
    found = plain.row("SELECT state, reason FROM outcome WHERE inbound_id = ?", inbound_id)
    return (found[0], found[1]) if found else None


def write(claim: Claim, verdict: Verdict, now: dt.datetime) -> None:
    """Write the effects of a verdict, its trace and its outcome."""
    if verdict.state == "logged":
        _log(claim, verdict, now)
    elif verdict.reason == "duplicate":
        _join_first(verdict, now)
    _write_outcome(claim, verdict, now)


def write_bare_outcome(claim: Claim, state: str, reason: str, params: Mapping[str, Any], now: dt.datetime) -> tuple[str, str]:
    """The outcome of a mail that could not be read: its envelope is all that is known. How it ended, perhaps before."""
    with transaction():
        ended = end_of(claim.id)
        if ended is not None:
            return ended
        _enter_outcome(claim, state, reason, params, now)
        entry = {"step": "parse", "outcome": "hold", "reason": reason, "params": dict(params), "seconds": 0}
        plain.insert("trace", {"inbound_id": claim.id, "entries": [entry]}, ending="")
        _tell("mail.held", {"inbound": claim.id, "reason": reason}, now)
        beat("mail")
    return state, reason


# --- the outcome --------------------------------------------------------------------------------------------------


def _write_outcome(claim: Claim, verdict: Verdict, now: dt.datetime) -> None:
    email, sender, thread_id = verdict.reading.email, verdict.sender.lower(), _thread_of(verdict)
    _enter_outcome(
        claim, verdict.state, verdict.reason, dict(verdict.params), now,
        sender=sender, sender_domain=sender.rpartition("@")[2], message_id=email.message_id, subject=email.subject[:1000],
        decision=verdict.reading.judgement.decision, rep_id=verdict.attribution.rep_id, rule=verdict.attribution.rule, thread_id=thread_id,
        duplicate_of=verdict.duplicate_inbound,
    )  # fmt: skip
    plain.insert("trace", {"inbound_id": claim.id, "entries": verdict.trace, "case": verdict.case}, ending="")
    name = {"logged": "mail.logged", "held": "mail.held", "ignored": "mail.ignored"}[verdict.state]
    _tell(name, {"inbound": claim.id, "reason": verdict.reason, "thread": thread_id}, now)
    at_end(_tell_pages, (verdict.attribution.rep_id, _seen_by(verdict, thread_id)))


def _tell_pages(ended: Sequence[tuple[int | None, Iterable[str]]]) -> None:
    """Raise the counters of everybody whose pages show what these mails changed: whose they are, and how that is shared."""
    owners = {owner for owner, _ in ended if owner}
    if owners:
        beat_threads(owners, {sharing for owner, shared in ended if owner for sharing in shared}, also=("mail",))
    else:
        beat("mail")


def _seen_by(verdict: Verdict, thread_id: int | None) -> set[str]:
    """How what has changed is shared: the thread's own sharing; new contacts are everybody's to see."""
    if verdict.state == "logged":
        return {verdict.sharing, "company"} if verdict.contacts.new else {verdict.sharing}
    shared = plain.row("SELECT sharing FROM thread WHERE id = ?", thread_id) if thread_id is not None else None
    return set(shared or ())


def _enter_outcome(claim: Claim, state: str, reason: str, params: Mapping[str, Any], now: dt.datetime, **more: Any) -> None:
    envelope = claim.envelope
    values = {
        "inbound_id": claim.id, "state": state, "reason": reason, "params": dict(params), "source": envelope.source, "received_at": claim.received_at,
        "decided_at": now, "mail_from": envelope.mail_from, "rcpt_to": list(envelope.rcpt_to), "size": claim.size, "sender": "", "sender_domain": "",
        "subject": "", "decision": "", "rule": "", **more,
    }  # fmt: skip
    plain.insert("outcome", values, ending="")


def _thread_of(verdict: Verdict) -> int | None:
    if verdict.state == "logged":
        return verdict.thread_id
    if verdict.reason == "duplicate" and verdict.duplicate_of is not None:
        return verdict.first.thread_id if verdict.first else None
    return None


def _tell(name: str, facts: Mapping[str, Any], now: dt.datetime) -> None:
    at_end(_enter_events, (name, now, dict(facts)))


def _enter_events(events: Sequence[tuple[str, dt.datetime, dict[str, Any]]]) -> None:
    plain.insert_many("event", ("name", "at", "facts"), events)


# --- a logged mail ------------------------------------------------------------------------------------------------


def _log(claim: Claim, verdict: Verdict, now: dt.datetime) -> None:
    owner, choice = verdict.attribution.rep_id, verdict.choice
    if owner is None or choice is None:
        raise ValueError("a mail without an owner cannot be logged")
    made = _make_contacts(verdict.contacts.new, now)
    thread_id = _join_thread(verdict, choice.thread_id) if choice.thread_id is not None else _start_thread(verdict, owner, now)
    verdict.thread_id = thread_id
    for other in choice.merge:
        merge_threads(thread_id, other)
    _unite_conversations(verdict)
    _bind(owner, thread_id, choice.bind)
    message_id = _write_message(claim, verdict, owner, thread_id, made)
    _write_links(verdict, thread_id, message_id, made, reader_of(owner, verdict.sharing), now)
    _write_candidates(verdict, thread_id, fresh=choice.thread_id is None)
    _index(message_id, owner, verdict)
    refresh_row(thread_id, _waiting(verdict))


def _join_thread(verdict: Verdict, thread_id: int) -> int:
    """The mail is shared as its thread is. Whoever shares that now waits, so that the new mail is shared with it."""
    if not is_sqlite():  # there it is as the links' step saw it: this transaction is the only one that writes
        hold("thread", thread_id)
        (verdict.sharing,) = plain.row("SELECT sharing FROM thread WHERE id = ?", thread_id)
    return thread_id


def _make_contacts(new: Sequence[Planned], now: dt.datetime) -> dict[str, tuple[int, int | None]]:
    """Enter new contacts (F24): key → (contact id, organisation id). Whoever enters an address first wins, also in a race."""
    made: dict[str, tuple[int, int | None]] = {}
    # In one order everywhere: two mails that name the same new people would otherwise wait for each other on PostgreSQL.
    for person in sorted(new, key=lambda p: (p.domains[-1] if p.domains else "", p.key)):
        organisation = _organisation_for(person.domains, now)
        values = {"name": person.title, "organisation_id": organisation, "created_at": now, "updated_at": now}
        contact = plain.insert("contact", values)
        if plain.insert("contact_address", {"address": person.key, "contact_id": contact}, ending=" ON CONFLICT (address) DO NOTHING RETURNING id") is not None:
            made[person.key] = (contact, organisation)
            _tell("contact.created", {"contact": contact}, now)
            continue
        plain.do("DELETE FROM contact WHERE id = ?", contact)
        held = plain.row("SELECT c.id, c.organisation_id FROM contact_address a JOIN contact c ON c.id = a.contact_id WHERE a.address = ?", person.key)
        if held is not None:
            made[person.key] = (held[0], held[1])
    return made


def _organisation_for(domains: Sequence[str], now: dt.datetime) -> int | None:
    """The organisation of the nearest known domain; one is made for the last domain when none is known."""
    if not domains:
        return None
    known = dict(plain.rows(f"SELECT domain, organisation_id FROM organisation_domain WHERE domain IN ({plain.marks(domains)})", *domains))
    for domain in domains:
        if domain in known:
            return int(known[domain])
    last = domains[-1]
    organisation = plain.insert("organisation", {"name": last, "created_at": now, "updated_at": now})
    taken = {"domain": last, "organisation_id": organisation}
    if plain.insert("organisation_domain", taken, ending=" ON CONFLICT (domain) DO NOTHING RETURNING domain") is not None:
        return int(organisation)
    plain.do("DELETE FROM organisation WHERE id = ?", organisation)
    held = plain.row("SELECT organisation_id FROM organisation_domain WHERE domain = ?", last)
    return int(held[0]) if held else None


def _start_thread(verdict: Verdict, owner: int, now: dt.datetime) -> int:
    email = verdict.reading.email
    forward = verdict.unwrapped.forward
    subject = (forward.subject if forward is not None and forward.subject else email.subject)[:1000]
    values = {
        "owner_id": owner, "conversation_id": verdict.conversation or _new_conversation(now), "sharing": verdict.sharing, "subject": subject,
        "base_subject": base_subject(subject), "started_at": verdict.at, "last_at": verdict.at, "waiting_reason": "", "message_count": 0, "who": "",
        "snippet": "", "chips": [], "linked": False, "has_attachment": False, "badge": "", "unread": True,
    }  # fmt: skip
    return int(plain.insert("thread", values))


def _new_conversation(now: dt.datetime) -> str:
    """A name that nobody else gives. The time comes first, so that new ones stand together in the index."""
    return f"{to_micros(now):014x}{secrets.token_hex(6)}"


def _unite_conversations(verdict: Verdict) -> None:
    """A mail that names mails of several conversations makes them one; their threads stay what they are."""
    if verdict.absorbed:
        old = list(verdict.absorbed)
        plain.do(f"UPDATE thread SET conversation_id = ? WHERE conversation_id IN ({plain.marks(old)})", verdict.conversation, *old)


def merge_threads(into: int, other: int) -> None:
    """Move everything of one thread into another of the same owner (a late parent, F36)."""
    Message.update(thread=into).where(Message.thread == other).execute()
    ThreadId.update(thread=into).where(ThreadId.thread == other).execute()
    Outcome.update(thread=into).where(Outcome.thread == other).execute()
    held = [row[0] for row in Link.select(Link.target).where(Link.thread == into).tuples()]
    reader = reader_of(*Thread.select(Thread.owner, Thread.sharing).where(Thread.id == into).tuples().first())
    Link.update(thread=into, reader=reader).where(Link.thread == other, Link.target.not_in(held or [""])).execute()
    Candidate.delete().where(Candidate.thread == other).execute()
    Audit.update(about=f"thread:{into}").where(Audit.about == f"thread:{other}").execute()  # who has looked in stays to be seen (F49)
    Thread.delete().where(Thread.id == other).execute()


def _bind(owner: int, thread_id: int, names: Iterable[str]) -> None:
    """Enter the names of a thread. Those of a deleted one are free, or what still answers it would begin a new thread each time."""
    stamp = [(owner, name, thread_id) for name in names]
    if stamp:
        marks = ", ".join(["(?, ?, ?)"] * len(stamp))
        run_sql(
            main_db,
            f"INSERT INTO thread_id (owner_id, message_id, thread_id) VALUES {marks} ON CONFLICT (owner_id, message_id) DO UPDATE"
            " SET thread_id = excluded.thread_id WHERE EXISTS (SELECT 1 FROM thread t WHERE t.id = thread_id.thread_id AND t.deleted_at IS NOT NULL)",
            [v for row in stamp for v in row],
        )


def _write_message(claim: Claim, verdict: Verdict, owner: int, thread_id: int, made: Mapping[str, tuple[int, int | None]]) -> int:
    reading, email = verdict.reading, verdict.reading.email
    sender = email.identity.mailbox
    values = {
        "inbound_id": claim.id, "thread_id": thread_id, "owner_id": owner, "dedupe_key": verdict.key, "message_id": email.message_id,
        "from_name": sender.name if sender else None, "from_address": sender.address if sender else "", "date": verdict.at,
        "subject": email.subject[:1000], "text": email.text[:_MOST_SHOWN], "safe_html": reading.safe_html,
        "forward": reading.forward, "checks": reading.judgement.checks,
        "defects": list(email.defects), "decision": reading.judgement.decision, "joined_by": verdict.choice.reason if verdict.choice else "",
        "fact": verdict.fact or {}, "record_ids": list(verdict.admission.record_ids), "sha256": claim.sha256,
        "size": claim.size,
    }  # fmt: skip
    message_id = int(plain.insert("message", values))
    _write_people(message_id, verdict, made)
    plain.insert_many(
        "attachment",
        ("message_id", "part", "filename", "content_type", "size", "inline", "content_id", "sha256", "note"),
        [(message_id, a.part, a.filename, a.content_type, a.size, a.inline, a.content_id, a.sha256, a.note) for a in email.attachments],
    )
    return message_id


def _index(message_id: int, owner: int, verdict: Verdict) -> None:
    """Enter the mail into the search, in its own transaction: it is found as soon as it is there."""
    email = verdict.reading.email
    people = [(role, box.name, box.address) for role, boxes in _people_of(verdict) for box in boxes]
    search.index(
        message_id,
        at=verdict.at,
        owner_id=owner,
        shared=verdict.sharing == "company",
        subject=email.subject,
        people=people,
        body=verdict.reading.index_text,
        files=[attachment.filename for attachment in email.attachments],
        fresh=True,
    )


def _people_of(verdict: Verdict) -> list[tuple[str, Sequence[Mailbox]]]:
    """Everybody the mail names by its own header fields, then the claimed author of a forward."""
    email = verdict.reading.email
    sender = email.identity.mailbox
    original = verdict.unwrapped.sender if verdict.unwrapped.is_forward else None
    return [
        ("from", [sender] if sender else []),
        ("to", email.to[:_MOST_PEOPLE]),
        ("cc", email.cc[:_MOST_PEOPLE]),
        ("original", [original] if original else []),
    ]


def _write_people(message_id: int, verdict: Verdict, made: Mapping[str, tuple[int, int | None]]) -> None:
    contact_of = {p.key: p.contact.id for p in verdict.contacts.participants if p.contact} | {key: ids[0] for key, ids in made.items()}
    key_of = {p.address.lower(): p.key for p in verdict.contacts.participants}
    rows = [
        (message_id, role, box.address, box.name, contact_of.get(key_of.get(box.address.lower(), box.address.lower())))
        for role, boxes in _people_of(verdict)
        for box in boxes
    ]
    plain.insert_many("participant", ("message_id", "role", "address", "name", "contact_id"), rows)


# --- links --------------------------------------------------------------------------------------------------------


def _write_links(verdict: Verdict, thread_id: int, message_id: int, made: Mapping[str, tuple[int, int | None]], reader: int, now: dt.datetime) -> None:
    """Make and take back what was decided. reader: see `reader_of`."""
    plan = verdict.links
    for link in plan.withdraw:
        Link.delete().where(Link.thread == thread_id, Link.target == f"{link.kind}:{link.target_id}").execute()
    _link(verdict, thread_id, message_id, [*plan.links, *_links_of_new(verdict, made)], reader, now)


def _waiting(verdict: Verdict) -> tuple[str | None, str]:
    """Whether the thread waits for a choice, and why."""
    if not verdict.links.waiting:
        return None, ""
    return "needs-choice", verdict.unwrapped.waits or next((c.reason for c in verdict.links.considered if c.offer), "needs-choice")


def _links_of_new(verdict: Verdict, made: Mapping[str, tuple[int, int | None]]) -> list[PlannedLink]:
    """F37 for contacts that this very mail made: they and their organisations."""
    links: dict[tuple[str, int], PlannedLink] = {}
    for person in verdict.contacts.new:
        if person.key not in made:
            continue
        contact_id, organisation_id = made[person.key]
        links.setdefault(("contact", contact_id), PlannedLink("contact", contact_id, person.title, "core", "thread-contact", {"title": person.title}))
        if organisation_id is not None:
            name = (plain.row("SELECT name FROM organisation WHERE id = ?", organisation_id) or ("",))[0]
            params = {"title": name, "contact": person.title}
            links.setdefault(("organisation", organisation_id), PlannedLink("organisation", organisation_id, name, "core", "contact-organisation", params))
    return list(links.values())


def _link(verdict: Verdict, thread_id: int, message_id: int | None, links: Sequence[PlannedLink], reader: int, now: dt.datetime) -> None:
    stamp = to_micros(now)
    for link in sorted(links, key=lambda one: (one.kind, one.target_id)):  # in one order everywhere, for the same reason as new contacts
        made_by = f"policy:{verdict.policy}" if link.made_by == "core" else link.made_by
        column = "record_id" if link.kind in RECORD_KINDS else f"{link.kind}_id"
        # A link that a policy or an address took back lives again; one that a person removed does not come this far.
        run_sql(
            main_db,
            f"INSERT INTO link (thread_id, target, kind, {column}, made_by, policy_version, reason, params, message_id, created_at, reader)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (thread_id, target) DO UPDATE SET removed_at = NULL, removed_by = NULL,"
            " made_by = excluded.made_by, reason = excluded.reason, params = excluded.params, created_at = excluded.created_at"
            " WHERE link.removed_at IS NOT NULL",
            (
                thread_id, f"{link.kind}:{link.target_id}", link.kind, link.target_id, made_by, verdict.policy_version, link.reason,
                msgspec.json.encode(dict(link.params)).decode(), message_id, stamp, reader,
            ),
        )  # fmt: skip
        if link.kind in RECORD_KINDS:
            at = to_micros(verdict.at)
            plain.do("UPDATE record SET last_activity_at = ? WHERE id = ? AND (last_activity_at IS NULL OR last_activity_at < ?)", at, link.target_id, at)
            _tell("link.added", {"thread": thread_id, "kind": link.kind, "target": link.target_id, "made_by": made_by}, now)


def _write_candidates(verdict: Verdict, thread_id: int, *, fresh: bool = False) -> None:
    """What was considered and not linked, in place of what stood there (`fresh`: nothing did)."""
    if not fresh:
        plain.do("DELETE FROM candidate WHERE thread_id = ?", thread_id)
    rows = [
        (thread_id, item.record.id, item.reason, dict(item.params), item.offer, rank)
        for rank, item in enumerate(verdict.links.considered)
        if not item.linked
    ]
    plain.insert_many("candidate", ("thread_id", "record_id", "reason", "params", "offer", "rank"), rows)


def _join_first(verdict: Verdict, now: dt.datetime) -> None:
    """A duplicate's drop addresses join the first copy's, and linking has run over the union: order does not matter."""
    first = verdict.first
    union = sorted({*first.record_ids, *verdict.admission.record_ids})
    if union == sorted(first.record_ids):
        return
    plain.do("UPDATE message SET record_ids = ? WHERE id = ?", plain.plain_value(union), first.id)
    reader = reader_of(*plain.row("SELECT owner_id, sharing FROM thread WHERE id = ?", first.thread_id))
    _write_links(verdict, first.thread_id, first.id, {}, reader, now)
    _write_candidates(verdict, first.thread_id)
    refresh_row(first.thread_id, _waiting(verdict))
