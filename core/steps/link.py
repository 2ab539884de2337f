"""Which contacts, organisations and records does a thread belong to?

Contacts and their organisations are linked by the core (F37). Records are chosen by a policy, which is a plugin and
pure: it is asked with a `LinkCase` and answers with links and skips. What a policy may never overrule is decided here:
closed and too-new records, what a person unlinked, what an address of a record demands, and how many records fit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.types import (
    RECORD_KINDS,
    Link,
    LinkCase,
    LinkKind,
    Organisation,
    Participant,
    Record,
    Skip,
    TraceEntry,
    why_not_eligible,
)

STEP = "link"
MOST_RECORDS = 200
MOST_CONSIDERED = 50
LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class PresentLink:
    """A link that the thread has now. by_this_mail: an earlier copy of this very mail made it, and no person has."""

    kind: LinkKind
    target_id: int
    made_by: str
    by_this_mail: bool = False


@dataclass(frozen=True)
class PlannedLink:
    """A link to be made. made_by: "policy:NAME", "address", or "core" for contacts and organisations."""

    kind: LinkKind
    target_id: int
    title: str
    made_by: str
    reason: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Considered:
    """One record and what became of it. offer: it stands among the candidates from which a person chooses."""

    record: Record
    linked: bool
    reason: str
    params: Mapping[str, Any] = field(default_factory=dict)
    offer: bool = False


@dataclass(frozen=True)
class LinkPlan:
    """What is to be done.

    links       to be added
    withdraw    to be taken back: made from an earlier copy of this mail that knew fewer drop addresses
    considered  every record looked at, linked ones first, at most 50; `more` counts the rest
    waiting     nobody could decide: the thread waits for a choice among `candidates` (best first)
    """

    links: tuple[PlannedLink, ...] = ()
    withdraw: tuple[PresentLink, ...] = ()
    considered: tuple[Considered, ...] = ()
    more: int = 0
    waiting: bool = False
    candidates: tuple[Record, ...] = ()
    trace: tuple[TraceEntry, ...] = ()


def case(
    started_at: dt.datetime,
    participants: Sequence[Participant],
    records: Sequence[Record],
    *,
    options: Mapping[str, Any] | None = None,
    subject: str = "",
) -> LinkCase:
    """The case that a policy is asked with: each record once, newest activity first, at most 200; those that may be chosen go before the others."""
    once = {(record.kind, record.id): record for record in records}
    newest = sorted(once.values(), key=lambda record: (last_activity(record), record.id), reverse=True)
    if len(newest) > MOST_RECORDS:
        kept = {_key(record) for record in sorted(newest, key=lambda record: why_not_eligible(record, started_at) is not None)[:MOST_RECORDS]}
        newest = [record for record in newest if _key(record) in kept]
    return LinkCase(started_at, tuple(participants), tuple(newest), dict(options or {}), subject, len(once) - len(newest))


def last_activity(record: Record) -> dt.datetime:
    """When something last happened to a record, as far as is known."""
    return record.last_activity_at or record.updated_at or record.created_at or LONG_AGO


def fold(
    case: LinkCase,
    answers: Iterable[Link | Skip] | None,
    *,
    policy: str,
    exclusive: bool,
    organisations: Mapping[int, Organisation] | None = None,
    by_address: Sequence[Record] = (),
    present: Sequence[PresentLink] = (),
    removed: Collection[tuple[str, int]] = (),
    auto: bool = True,
    rep: str = "",
    waits: str = "",
) -> LinkPlan:
    """Turn a policy's answers into a plan.

    answers        what the policy said; None when it failed (`policy-unavailable`)
    exclusive      the policy allows a thread one record at most
    organisations  those of the participants' contacts, by id
    by_address     the records whose own address this mail was sent to, over all of its copies (F6)
    present        the thread's links now
    removed        (kind, target id) of what a person unlinked from this thread
    auto           the rep has automatic linking on; contacts, organisations and addresses are linked anyway
    waits          a reason code why the thread waits whatever the policy says (`forward-unreadable`)
    """
    people = _people_links(case, organisations or {}, present, removed)
    desk = _Desk(case, policy, exclusive, present, frozenset(removed))
    desk.take_addresses(by_address)
    desk.take_answers(answers, auto, rep)
    return desk.plan(people, waits)


def _people_links(
    case: LinkCase, organisations: Mapping[int, Organisation], present: Sequence[PresentLink], removed: Collection[tuple[str, int]]
) -> list[PlannedLink]:
    """F37: the contacts of the thread, and their organisations."""
    taken = {(link.kind, link.target_id) for link in present} | set(removed)
    planned: dict[tuple[str, int], PlannedLink] = {}
    for participant in case.participants:
        contact = participant.contact
        if contact is None:
            continue
        planned.setdefault(
            ("contact", contact.id),
            PlannedLink("contact", contact.id, contact.name, "core", "thread-contact", {"title": contact.name}),
        )
        organisation = organisations.get(contact.organisation_id) if contact.organisation_id is not None else None
        if organisation is not None:
            params = {"title": organisation.name, "contact": contact.name}
            link = PlannedLink("organisation", organisation.id, organisation.name, "core", "contact-organisation", params)
            planned.setdefault(("organisation", organisation.id), link)
    return [link for key, link in planned.items() if key not in taken]


class _Desk:
    """Gathers what is decided about each record; the first decision about a record stands."""

    def __init__(
        self, case: LinkCase, policy: str, exclusive: bool, present: Sequence[PresentLink], removed: frozenset[tuple[str, int]]
    ) -> None:
        self.case = case
        self.policy = policy
        self.exclusive = exclusive
        self.removed = removed
        self.present = {(link.kind, link.target_id): link for link in present if link.kind in RECORD_KINDS}
        self.considered: dict[tuple[str, int], Considered] = {}
        self.links: list[PlannedLink] = []
        self.withdraw: list[PresentLink] = []
        self.conflict = False  # the mail names several records, and a thread holds only one
        self.asks = False  # the mail names a record, and the thread holds another

    # --- addresses of records

    def take_addresses(self, records: Sequence[Record]) -> None:
        wanted = {_key(record): record for record in records if _key(record) not in self.removed}
        for record in records:
            if _key(record) in self.removed:
                self.say(record, False, "unlinked-by-hand")
        if not self.exclusive:
            for record in wanted.values():
                self.link(record, "address", "by-address", {"kind": record.kind})
            return
        # Order must not matter: what an earlier copy of this mail linked by itself gives way to all addresses together.
        for held, link in list(self.present.items()):
            if wanted and link.by_this_mail and (len(wanted) > 1 or held not in wanted):
                self.withdraw.append(self.present.pop(held))
        self.conflict = len(wanted) > 1
        for key, record in wanted.items():
            if self.conflict:
                self.say(record, key in self.present, "several-addresses", offer=key not in self.present)
            elif self.present and key not in self.present:
                # Somebody asked for this record by its address, so the thread asks back before anything is replaced.
                self.say(record, False, "thread-has-record", offer=True)
                self.asks = True
            else:
                self.link(record, "address", "by-address", {"kind": record.kind})

    # --- the policy

    def take_answers(self, answers: Iterable[Link | Skip] | None, auto: bool, rep: str) -> None:
        eligible = {_key(record): record for record in self.case.eligible_records}
        said: dict[tuple[str, int], Link | Skip] = {}
        for answer in answers or ():
            key = _key(answer.record)
            if key in eligible:  # a policy chooses among what it was given, and nothing else
                said.setdefault(key, answer)
        for record in self.case.records:
            why = why_not_eligible(record, self.case.started_at)
            if _key(record) in self.removed:
                self.say(record, False, "unlinked-by-hand")
            elif why is not None:
                self.say(record, False, why)
            elif not auto:
                self.say(record, False, "automatic-linking-off", {"rep": rep}, offer=True)
            elif answers is None:
                self.say(record, False, "policy-unavailable", {"policy": self.policy}, offer=True)
        if not auto:
            return
        self._take_links([answer for key, answer in said.items() if answer.linked and key not in self.considered])
        for key, record in eligible.items():
            told = said.get(key)
            if isinstance(told, Skip):
                self.say(record, False, told.reason, told.params, offer=told.offer)
            elif told is None:
                self.say(record, False, "not-chosen", {"policy": self.policy}, offer=True)

    def _take_links(self, answers: list[Link | Skip]) -> None:
        holding = set(self.present) | {(link.kind, link.target_id) for link in self.links}
        if self.exclusive and not holding and not self.conflict and len({_key(answer.record) for answer in answers}) > 1:
            for answer in answers:
                self.say(answer.record, False, "policy-several", {"policy": self.policy}, offer=True)
            return
        for answer in answers:
            if self.conflict:
                self.say(answer.record, False, "several-addresses")
            elif self.exclusive and holding and _key(answer.record) not in holding:
                self.say(answer.record, False, "thread-has-record", offer=True)
            else:
                self.link(answer.record, f"policy:{self.policy}", answer.reason, answer.params)

    # --- gathering

    def link(self, record: Record, made_by: str, reason: str, params: Mapping[str, Any]) -> None:
        key = _key(record)
        if key in self.considered:
            return
        self.say(record, True, reason, params)
        if key not in self.present:
            self.links.append(PlannedLink(record.kind, record.id, record.title, made_by, reason, params))

    def say(self, record: Record, linked: bool, reason: str, params: Mapping[str, Any] | None = None, offer: bool = False) -> None:
        self.considered.setdefault(_key(record), Considered(record, linked, reason, dict(params or {}), offer))

    def plan(self, people: list[PlannedLink], waits: str) -> LinkPlan:
        settled = bool(self.present or self.links)
        ranked = sorted(self.considered.values(), key=lambda item: (not item.linked, not item.offer))
        candidates = tuple(item.record for item in ranked if item.offer)
        # Whoever switched automatic linking off is not asked, and what is settled is not asked again.
        undecided = any(item.offer and item.reason != "automatic-linking-off" for item in ranked)
        waiting = bool(waits) or self.asks or (undecided and not settled)  # an unreadable forward asks anew: what it is about is not known
        links = (*people, *self.links)
        shown, more = ranked[:MOST_CONSIDERED], max(0, len(ranked) - MOST_CONSIDERED) + self.case.more
        return LinkPlan(
            tuple(links),
            tuple(self.withdraw),
            tuple(shown),
            more,
            waiting,
            candidates[:MOST_CONSIDERED],
            _trace(links, shown, more),
        )


def _key(record: Record) -> tuple[str, int]:
    return (record.kind, record.id)


def _trace(links: Sequence[PlannedLink], considered: Sequence[Considered], more: int) -> tuple[TraceEntry, ...]:
    entries = [
        TraceEntry(STEP, "link", link.reason, {"kind": link.kind, "id": link.target_id, **link.params})
        for link in links
        if link.kind not in RECORD_KINDS
    ]
    for item in considered:
        outcome = "link" if item.linked else "skip"
        where = {"kind": item.record.kind, "id": item.record.id, "title": item.record.title}
        entries.append(TraceEntry(STEP, outcome, item.reason, {**where, **item.params}))
    if not considered:
        entries.append(TraceEntry(STEP, "pass", "no-candidates"))
    if more:
        entries.append(TraceEntry(STEP, "skip", "more-candidates", {"count": more}))
    return tuple(entries)
