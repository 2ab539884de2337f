"""The quick ways give the answers of the slow one: lists, searches and counts against plain reckoning over random mail."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from core.store import dialect, rows, search, threads
from core.store.fields import UTC
from core.store.models import Link, Message, Thread, ThreadState
from core.store.visibility import Viewer
from tests.store.small_world import START, World

WORDS = ["oak", "steel", "lamp", "desk", "harbour", "paper", "papyrus", "hare"]


@dataclass(frozen=True)
class Mail:
    id: int
    date: dt.datetime
    words: frozenset[str]
    subject: frozenset[str]
    files: bool


@dataclass(frozen=True)
class Held:
    """A thread with all that is known of it, for one reader."""

    row: Any
    seen_at: dt.datetime | None
    archived_at: dt.datetime | None
    deals: frozenset[int]
    mails: tuple[Mail, ...]

    @property
    def unread(self) -> bool:
        return self.seen_at is None or self.seen_at < self.row.last_at


@dataclass(frozen=True)
class Asked:
    """One part of a search as it is typed, and what it means of a mail and its thread."""

    typed: str
    holds: Callable[[Mail, Held], bool]
    of_mail: bool = True
    text: bool = False
    no: bool = False


def build(world: World, dice: random.Random, reps: list[Viewer]) -> list[int]:
    """Sixty threads of three reps in every state, and the deals."""
    deals = [world.record(f"Deal {number} {WORDS[number]}") for number in range(3)]
    made: list[Any] = []
    for _each in range(60):
        words = " ".join(dice.choices(WORDS, k=3))
        files = ("plan.pdf",) if dice.random() < 0.3 else ()
        subject = dice.choice(WORDS)
        if made and dice.random() < 0.35:
            known = dice.choice(made)
            owner = next(rep for rep in reps if rep.rep_id == known.owner_id)
            date = START + dt.timedelta(days=dice.randrange(40), minutes=dice.randrange(1000)) if dice.random() < 0.4 else None
            world.mail(owner, words, subject=subject, thread=known.thread_id, files=files, date=date)
            continue
        world.later(hours=dice.randrange(1, 20))
        mail = world.mail(dice.choice(reps), words, subject=subject, files=files, sharing=dice.choice(["private", "company"]))
        made.append(mail)
        if dice.random() < 0.3:
            world.policy_link(mail.thread_id, dice.choice(deals))
        elif dice.random() < 0.3:
            Thread.update(waiting="needs-choice", waiting_reason="several-open").where(Thread.id == mail.thread_id).execute()
    return deals


def stir(world: World, dice: random.Random, reps: list[Viewer]) -> None:
    """What people do all day, with everything that may change whether a thread is unread."""
    owners = {rep.rep_id: rep for rep in reps}
    for _each in range(250):
        thread = Thread.get_by_id(dice.choice([ident for (ident,) in Thread.select(Thread.id).tuples()]))
        owner, reader = owners[thread.owner_id], dice.choice(reps)
        act = dice.randrange(9)
        if act <= 2:
            threads.mark_seen(reader, thread.id, dice.random() < 0.8)
        elif act <= 4:
            threads.archive(reader, [thread.id], dice.random() < 0.7)
        elif act == 5:
            threads.set_sharing(owner, thread.id, dice.choice(["private", "company"]))
        elif act == 6 and thread.deleted_at is None and dice.random() < 0.5:
            world.now = max(world.now, dt.datetime.now(UTC))  # so that some of it is newer than what was seen
            world.mail(owner, dice.choice(WORDS), subject=dice.choice(WORDS), thread=thread.id)
        elif act == 7 and dice.random() < 0.4:
            threads.delete_thread(owner, thread.id)
        elif act == 7:
            threads.restore_thread(owner, thread.id)
        elif thread.deleted_at is None:
            mails = [ident for (ident,) in Message.select(Message.id).where(Message.thread == thread.id, Message.deleted_at.is_null()).tuples()]
            if len(mails) > 2:
                threads.split(owner, [mails[-1]])
            elif len(mails) == 2 and dice.random() < 0.5:
                threads.delete_message(owner, mails[0])


def known_to(viewer: Viewer) -> list[Held]:
    """Everything that is not deleted, newest first as a list shows it."""
    states = {state.thread_id: state for state in ThreadState.select().where(ThreadState.rep == viewer.rep_id)}
    deals: dict[int, set[int]] = {}
    for thread, deal in Link.select(Link.thread, Link.record).where(Link.removed_at.is_null()).tuples():
        deals.setdefault(thread, set()).add(deal)
    mails: dict[int, list[Mail]] = {}
    for mail in Message.select().where(Message.deleted_at.is_null()):
        words, subject = frozenset(mail.text.split()), frozenset(mail.subject.split())
        files = mail.attachments.exists() if hasattr(mail, "attachments") else False
        mails.setdefault(mail.thread_id, []).append(Mail(mail.id, mail.date, words | subject, subject, files))
    found = []
    for row in Thread.select().where(Thread.deleted_at.is_null()).order_by(Thread.last_at.desc(), Thread.id.desc()):
        state = states.get(row.id)
        found.append(
            Held(row, state and state.seen_at, state and state.archived_at, frozenset(deals.get(row.id, ())), tuple(mails.get(row.id, ())))
        )
    return found


def under(viewer: Viewer, tab: str, held: Held) -> bool:
    row, mine = held.row, held.row.owner_id == viewer.rep_id
    if not (mine or row.sharing == "company" or viewer.is_admin):
        return False
    if tab in ("all", "mine", "shared") and held.archived_at is not None:
        return False
    if tab == "archived":
        return held.archived_at is not None
    if tab == "needs-choice":
        return row.waiting == "needs-choice" and (mine or viewer.is_admin)
    if tab == "shared":
        return row.sharing == "company" and not mine
    return mine if tab == "mine" else True


def readable(viewer: Viewer, held: Held) -> bool:
    return bool(held.row.owner_id == viewer.rep_id or held.row.sharing == "company")


def everything(ask: Callable[[str | None], Any], most: int = 200) -> list[int]:
    """All pages of a list, one after the other."""
    found, cursor = [], None
    for _page in range(most):
        page = ask(cursor)
        found += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


def text(dice: random.Random) -> Asked:
    one, two = dice.sample(WORDS, 2)
    return dice.choice(
        [
            Asked(one, lambda m, t: one in m.words, text=True),
            Asked(f"subject:{one}", lambda m, t: one in m.subject, text=True),
            Asked(f"{one[:3]}*", lambda m, t: any(word.startswith(one[:3]) for word in m.words), text=True),
            Asked(f"subject:{one[:3]}*", lambda m, t: any(word.startswith(one[:3]) for word in m.subject), text=True),
            Asked(f"({one} OR {two})", lambda m, t: one in m.words or two in m.words, text=True),
        ]
    )


def fact(dice: random.Random, deals: list[int]) -> Asked:
    one, deal = dice.choice(WORDS), dice.randrange(3)
    ident, day = deals[deal], (START + dt.timedelta(days=dice.randrange(30))).date()
    edge = dt.datetime(day.year, day.month, day.day, tzinfo=UTC)
    return dice.choice(
        [
            Asked("has:attachment", lambda m, t: m.files),
            Asked(f"before:{day}", lambda m, t: m.date < edge),
            Asked(f"after:{day}", lambda m, t: m.date >= edge),
            Asked(f"({one} OR is:unread)", lambda m, t: one in m.words or t.unread),
            Asked(f"({one} OR has:attachment)", lambda m, t: one in m.words or m.files),
            Asked("is:unread", lambda m, t: t.unread, of_mail=False),
            Asked("is:unlinked", lambda m, t: not t.row.linked, of_mail=False),
            Asked("is:private", lambda m, t: t.row.sharing == "private", of_mail=False),
            Asked("is:waiting", lambda m, t: t.row.waiting is not None, of_mail=False),
            Asked(f"deal:{ident}", lambda m, t: ident in t.deals, of_mail=False),
            Asked(f'deal:"deal {deal}"', lambda m, t: ident in t.deals, of_mail=False),
        ]
    )


def refused(part: Asked) -> Asked:
    return Asked(f"-{part.typed}", lambda m, t: not part.holds(m, t), part.of_mail, part.text, True)


def a_search(dice: random.Random, deals: list[int]) -> list[Asked]:
    parts = [dice.choice([text(dice), fact(dice, deals), fact(dice, deals)]) for _each in range(dice.randint(1, 3))]
    return [refused(part) if dice.random() < 0.3 else part for part in parts]


def expected(viewer: Viewer, tab: str, parts: list[Asked], world: list[Held]) -> list[int]:
    """With words that must be found: one mail meets everything, the newest such mail gives the order. Without: one mail meets
    all that is asked of a mail, none meets what is excluded, and the order is that of the list."""
    candidates = [held for held in world if readable(viewer, held) and under(viewer, tab, held)]
    if any(part.text and not part.no for part in parts):
        if tab == "needs-choice":
            candidates = [held for held in candidates if held.row.owner_id == viewer.rep_id]
        newest = {held.row.id: max((m.id for m in held.mails if all(p.holds(m, held) for p in parts)), default=0) for held in candidates}
        return sorted((ident for ident, mail in newest.items() if mail), key=lambda ident: -newest[ident])
    asked = [part for part in parts if part.of_mail and not part.no]
    excluded = [part for part in parts if part.of_mail and part.no]
    of_thread = [part for part in parts if not part.of_mail]
    return [
        held.row.id
        for held in candidates
        if all(part.holds(held.mails[0], held) for part in of_thread)
        and (not asked or any(all(part.holds(mail, held) for part in asked) for mail in held.mails))
        and all(part.holds(mail, held) for part in excluded for mail in held.mails)
    ]


@pytest.mark.parametrize("seed, stretch, sparse, few", [(1, 1000, 6, 500), (2, 3, 1000, 2), (3, 7, 0, 500), (4, 1000, 1000, 2)])
def test_lists_searches_and_counts_are_those_of_plain_reckoning(
    any_store: World, monkeypatch: pytest.MonkeyPatch, seed: int, stretch: int, sparse: int, few: int
) -> None:
    monkeypatch.setattr(dialect, "_STRETCH", stretch)
    monkeypatch.setattr(search, "_SPARSE", sparse)
    monkeypatch.setattr(search, "_CHUNK", 7)
    monkeypatch.setattr(search, "MOST_SORTED", few)
    monkeypatch.setattr(rows, "MOST_SORTED", few)
    dice = random.Random(seed)
    reps = [any_store.rep("ana"), any_store.rep("bo"), any_store.rep("eve", role="admin")]
    deals = build(any_store, dice, reps)
    stir(any_store, dice, reps)
    for viewer in reps:
        world = known_to(viewer)
        assert any(not held.unread for held in world)
        for tab in threads.TABS:
            wanted = [held.row.id for held in world if under(viewer, tab, held)]
            assert everything(lambda cursor, t=tab, v=viewer: threads.page(v, t, cursor, 7)) == wanted, (viewer, tab)
        own = [held for held in world if held.row.owner_id == viewer.rep_id]
        waiting = [held for held in (world if viewer.is_admin else own) if held.row.waiting]
        counts = threads.counts(viewer)
        assert counts.unread == sum(held.unread and held.archived_at is None for held in own)
        assert counts.needs_choice == len(waiting)
        answered = 0
        for _each in range(60):
            parts, tab = a_search(dice, deals), dice.choice(threads.TABS)
            typed = " ".join(part.typed for part in parts)
            found = everything(lambda cursor, v=viewer, q=typed, t=tab: threads.page(v, t, cursor, dice.choice([2, 5]), q=q))
            assert found == expected(viewer, tab, parts, world), (viewer.email, tab, typed)
            answered += bool(found)
        assert answered > 10
