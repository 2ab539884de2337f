"""Real list mail in threads: the partition by ids is exact in any order of arrival, and subjects join nothing wrong."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import pytest

from core.mail.parse import header_block, parse
from core.steps.facts import Unwrapped
from core.steps.thread import Choice, MessageFact, NameMap, ThreadFact, base_subject, choose, conversation, fact, names, subject_key
from core.types import Email

pytestmark = pytest.mark.corpora
PLAIN = Unwrapped()


# --- the corpus ---------------------------------------------------------------------------------------------------


def split_mboxrd(data: bytes) -> list[bytes]:
    """The mails of an mbox in which `>From ` lines carry one `>` too many."""
    mails: list[list[bytes]] = []
    for line in data.splitlines(keepends=True):
        if line.startswith(b"From "):
            mails.append([])
        elif mails:
            mails[-1].append(line[1:] if line.lstrip(b">").startswith(b"From ") else line)
    return [b"".join(lines) for lines in mails]


@pytest.fixture(scope="module")
def emails(corpora: Path) -> list[Email]:
    """The mails in file order. Only the header blocks are read: threads need nothing else."""
    raws = split_mboxrd((corpora / "threads" / "lists.mbox").read_bytes())
    return [parse(header_block(raw) + b"\r\n") for raw in raws]


@pytest.fixture(scope="module")
def expected(corpora: Path) -> set[frozenset[str]]:
    lines = (corpora / "threads" / "expected.jsonl").read_text("utf-8").splitlines()
    return {frozenset(json.loads(line)) for line in lines if line}


# --- a rep's box in memory ----------------------------------------------------------------------------------------


class Box:
    """One rep's threads: what the pipeline does with the store, done with `choose` and a map in memory."""

    def __init__(self, by_subject: bool = False) -> None:
        self.map = NameMap()
        self.by_base: dict[str, list[tuple[str, MessageFact]]] = defaultdict(list)
        self.by_subject = by_subject
        self.reasons: dict[str, str] = {}

    def file(self, email: Email) -> int:
        found = {thread: ThreadFact(thread, held) for thread, held in self.map.look_up(names(email)).items()}
        base = subject_key(email) if self.by_subject else ""
        for message_id, message in self.by_base.get(base, ()) if base else ():
            thread = self.map.threads[message_id]
            known = found.get(thread, ThreadFact(thread))
            found[thread] = dataclasses.replace(known, messages=(*known.messages, message))
        choice = choose(email, PLAIN, list(found.values()))
        thread = self.map.apply(choice)
        assert email.message_id is not None
        self.reasons[email.message_id] = choice.reason
        self.by_base[base_subject(email.subject)].append((email.message_id, fact(email, PLAIN, choice)))
        return thread

    def partition(self, emails: Iterable[Email]) -> set[frozenset[str]]:
        groups: dict[int, set[str]] = defaultdict(set)
        for email in emails:
            assert email.message_id is not None
            groups[self.map.threads[email.message_id]].add(email.message_id)
        return {frozenset(group) for group in groups.values()}


def filed(emails: Sequence[Email], by_subject: bool = False) -> Box:
    box = Box(by_subject)
    for email in emails:
        box.file(email)
    return box


def pairs(partition: Iterable[frozenset[str]]) -> set[tuple[str, str]]:
    return {pair for group in partition for pair in combinations(sorted(group), 2)}


def in_order(emails: Sequence[Email], order: str) -> list[Email]:
    if order == "reverse":
        return list(reversed(emails))
    shuffled = list(emails)
    if order.startswith("random"):
        random.Random(order).shuffle(shuffled)
    return shuffled


# --- the tests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["file", "reverse", "random one", "random two"])
def test_ids_alone_give_the_expected_threads_in_any_order_of_arrival(emails, expected, order):
    found = filed(in_order(emails, order)).partition(emails)
    right, ours = pairs(expected), pairs(found)
    assert len(ours - right) == 0, "precision"
    assert len(right - ours) / len(right) <= 0.001, "recall"
    assert found == expected


@pytest.mark.parametrize("order", ["file", "random one"])
def test_the_subject_rule_joins_no_list_mail(emails, expected, order):
    """A list stands between the writers, so that its members share it with everybody: subjects decide nothing there."""
    box = filed(in_order(emails, order), by_subject=True)
    assert box.partition(emails) == expected
    assert "joined-by-subject" not in box.reasons.values()


def test_participants_make_the_subject_rule_safe_even_where_lists_hide(emails, expected):
    """The rule itself, with every mark of a list taken away: a pair precision of at least 0.999."""
    unmarked = [dataclasses.replace(email, machine="") for email in emails]
    found = pairs(filed(unmarked, by_subject=True).partition(emails))
    assert len(found & pairs(expected)) / len(found) >= 0.999


def test_two_reps_never_share_a_thread_but_their_threads_share_a_conversation(emails, expected):
    boxes = [Box(), Box()]
    conversations = NameMap()
    for number, email in enumerate(emails):
        boxes[number % 2].file(email)
        looked_up = names(email)
        kept, absorbed = conversation(conversations.look_up(looked_up), conversations.last + 1)
        new = kept > conversations.last
        conversations.apply(Choice(None if new else kept, "", merge=absorbed, bind=looked_up))
    for number, one in enumerate(boxes):
        own = emails[number::2]
        assert all(any(thread <= whole for whole in expected) for thread in one.partition(own))
    together: dict[int, set[str]] = defaultdict(set)
    for email in emails:
        assert email.message_id is not None
        together[conversations.threads[email.message_id]].add(email.message_id)
    assert {frozenset(group) for group in together.values()} == expected
