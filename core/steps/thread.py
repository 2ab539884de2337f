"""Which thread does a mail belong to?

The evidence is asked in this order, and the first that finds a thread wins: the ids that the mail names, the Exchange
conversation, the claimed original of a forward, subject and participants together. Only the owner's own threads are
candidates, so nobody can write himself into another rep's thread by quoting an id.

The store keeps a table (owner, name, thread): every id that a logged mail has or names stands there, also those never
seen ("ghosts"), so that a late mail finds its thread at once. The way of a mail through this step:

    names(email, unwrapped)            what to look up in that table
    subject_key(email, unwrapped)      what to look up among the owner's messages of the last month; "" = nothing
    choose(email, unwrapped, facts)    the decision: join, merge, relate, and which names to write
"""

from __future__ import annotations

import datetime as dt
import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from core.mail.labels import subject_prefix, visible
from core.steps.facts import Unwrapped, address_key
from core.types import Email, Mailbox, TraceEntry

STEP = "thread"
Id = TypeVar("Id", int, str)
FIRST_IDS = 20  # of the ids that a mail names the first ones lead to the root
LAST_IDS = 180  # and the last ones to its nearest ancestors; a mail that names more is cut in the middle
SUBJECT_WINDOW = dt.timedelta(days=30)
CLAIM_WINDOW = dt.timedelta(days=1)
SUBJECT_CHARS = 998  # RFC 5322 2.1.1: the longest line
MOST_PREFIXES = 20
TAG_CHARS = 40


@dataclass(frozen=True)
class MessageFact:
    """A logged message as far as threading minds it. For a forward: the claimed author, recipients, subject and date."""

    ids: tuple[str, ...]  # the ids it holds (`Choice.holds` when it was logged)
    author: str
    recipients: tuple[str, ...]  # To and Cc; of a forward the rep as well
    subject: str
    date: dt.datetime | None  # the Date field or what the block says; naive when the zone is unknown
    listed: bool = False  # came through a mailing list


@dataclass(frozen=True)
class ThreadFact:
    """One of the owner's threads that the look-ups gave. Give no more than the 50 newest messages of each."""

    thread_id: int
    names: tuple[str, ...] = ()  # which of the looked-up names lead to it
    messages: tuple[MessageFact, ...] = ()
    sharing: str = "private"
    has_records: bool = False  # a deal, lead or project is linked
    split: bool = False  # it was split, or came out of a split


@dataclass(frozen=True)
class Choice:
    """What becomes of the threads.

    thread_id  the thread that takes the mail; None: a new one
    merge      threads whose messages, names and links move into `thread_id` (the oldest of them, so its start stands)
    related    threads that are named too but must stay apart
    bind       names to write for the thread where the owner has none yet
    holds      the ids by which this very message is known from now on
    """

    thread_id: int | None
    reason: str
    merge: tuple[int, ...] = ()
    related: tuple[int, ...] = ()
    bind: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    trace: tuple[TraceEntry, ...] = ()


# --- what to look up ----------------------------------------------------------------------------------------------


def names(email: Email, unwrapped: Unwrapped = Unwrapped()) -> tuple[str, ...]:
    """Every name by which the mail may find its thread: its own ids, then those it answers, nearest ancestor last.

    The Exchange conversation stands among them under a name that no id can have (ids hold no angle brackets).
    """
    own = _own_ids(email, unwrapped)
    named = [name for name in _named_ids(email, unwrapped) if name not in own]
    exchange = _exchange_name(email)
    return (*own, *named, *((exchange,) if exchange else ()))


def subject_key(email: Email, unwrapped: Unwrapped = Unwrapped()) -> str:
    """The base subject under which to look for messages when no id helps; "" when the subject must not decide."""
    if unwrapped.is_forward:
        claim = unwrapped.forward
        subject = (claim.subject or "") if claim is not None and claim.sender is not None else ""
    elif email.machine in ("list", "bulk") or _named_ids(email, unwrapped) or not has_reply_prefix(email.subject):
        return ""
    else:
        subject = email.subject
    base = base_subject(subject)
    return "" if is_generic(base) else base


def _own_ids(email: Email, unwrapped: Unwrapped) -> tuple[str, ...]:
    own = dict.fromkeys(email.ids)
    if email.message_id:
        own.setdefault(email.message_id)
    return tuple(own)[:FIRST_IDS]


def _named_ids(email: Email, unwrapped: Unwrapped) -> tuple[str, ...]:
    named = dict.fromkeys(email.references)
    if unwrapped.forward is not None:
        named.update(dict.fromkeys(unwrapped.forward.references))
        original = unwrapped.forward.message_id
        if original:
            named.pop(original, None)
            named[original] = None
    ids = tuple(named)
    return ids if len(ids) <= FIRST_IDS + LAST_IDS else ids[:FIRST_IDS] + ids[-LAST_IDS:]


def _exchange_name(email: Email) -> str:
    """Thread-Index and base subject together: Exchange keeps the index also when somebody begins something new."""
    if not email.thread_index:
        return ""
    subject = hashlib.sha256(base_subject(email.subject).encode()).hexdigest()[:16]
    return f"<exchange>{email.thread_index[:44]}:{subject}"


def fact(email: Email, unwrapped: Unwrapped, choice: Choice) -> MessageFact:
    """What to keep of a logged mail, so that later ones can be compared with it."""
    claim = _claim(email, unwrapped)
    listed = email.machine in ("list", "bulk") and not claim.forwarded
    return MessageFact(choice.holds, claim.author, tuple(sorted(claim.recipients)), claim.subject, claim.date, listed)


# --- the decision -------------------------------------------------------------------------------------------------


def choose(
    email: Email,
    unwrapped: Unwrapped,
    candidates: Sequence[ThreadFact],
    *,
    ours: Callable[[str], bool] = lambda address: False,
) -> Choice:
    """Decide from what the look-ups gave. `ours` says whether an address belongs to the company."""
    claim = _claim(email, unwrapped)
    own = _own_ids(email, unwrapped)
    everything = names(email, unwrapped)
    if unwrapped.is_forward:
        holds = _with_original(email, unwrapped, own)
        logged = _already_logged(email, unwrapped, claim, candidates)
        if logged is not None:
            # F35: the names stay with the first thread, only the forward's own ids belong to the new one.
            return _new(email, "forward-duplicates-thread", related=(logged,), bind=own, holds=own)
    else:
        holds = own
    exchange = _exchange_name(email)
    found = _by_names([name for name in everything if name != exchange], candidates)
    if not found and exchange:
        found = _by_names([exchange], candidates)
    if found:
        return _join(found, everything, holds)
    reason = "joined-by-claim" if unwrapped.is_forward else "joined-by-subject"
    if unwrapped.is_forward or subject_key(email, unwrapped):
        matching = [thread for thread in candidates if any(_answers(claim, message, ours) for message in thread.messages)]
        if len(matching) == 1:
            return _one(matching[0].thread_id, reason, everything, holds)
    return _new(email, "new-thread", bind=everything, holds=holds)


def _new(email: Email, reason: str, *, related: tuple[int, ...] = (), bind: tuple[str, ...], holds: tuple[str, ...]) -> Choice:
    return Choice(None, reason, related=related, bind=bind, holds=holds, trace=(TraceEntry(STEP, "new", reason),))


def _one(thread_id: int, reason: str, bind: tuple[str, ...], holds: tuple[str, ...]) -> Choice:
    return Choice(thread_id, reason, bind=bind, holds=holds, trace=(TraceEntry(STEP, "join", reason, {"thread": thread_id}),))


def _by_names(looked_up: Sequence[str], candidates: Sequence[ThreadFact]) -> list[ThreadFact]:
    """The threads that the names lead to, the one of the nearest ancestor first."""
    order = {name: place for place, name in enumerate(looked_up)}
    placed = [(max((order.get(name, -1) for name in thread.names), default=-1), thread) for thread in candidates]
    return [thread for place, thread in sorted(placed, key=lambda pair: (-pair[0], pair[1].thread_id)) if place >= 0]


def _join(found: list[ThreadFact], bind: tuple[str, ...], holds: tuple[str, ...]) -> Choice:
    """Join the nearest ancestor's thread; a late parent merges the others into it where F36 allows that."""
    nearest, *others = found
    together: list[ThreadFact] = [nearest]
    apart: list[ThreadFact] = []
    for other in sorted(others, key=lambda thread: thread.thread_id):
        (together if _may_merge(together, other) else apart).append(other)
    kept = min(thread.thread_id for thread in together)
    merge = tuple(sorted(thread.thread_id for thread in together if thread.thread_id != kept))
    related = tuple(thread.thread_id for thread in apart)
    params: dict[str, object] = {"thread": kept}
    trace = [TraceEntry(STEP, "join", "joined-by-id", params)]
    if merge:
        trace.append(TraceEntry(STEP, "merge", "threads-merged", {"threads": list(merge)}))
    if related:
        trace.append(TraceEntry(STEP, "relate", "threads-related", {"threads": list(related)}))
    return Choice(kept, "joined-by-id", merge, related, bind, holds, tuple(trace))


def _may_merge(together: Sequence[ThreadFact], other: ThreadFact) -> bool:
    """F36: sharing agrees, at most one has record links, neither was split. The owner is the same by the look-up."""
    if other.split or any(thread.split for thread in together):
        return False
    if other.sharing != together[0].sharing:
        return False
    return sum(thread.has_records for thread in (*together, other)) <= 1


# --- claims and subjects ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Claim:
    """The mail to be placed: itself, or the original of a forward as claimed."""

    author: str
    recipients: frozenset[str]
    subject: str
    date: dt.datetime | None
    forwarded: bool


def _claim(email: Email, unwrapped: Unwrapped) -> _Claim:
    writer = email.identity.mailbox
    forward = unwrapped.forward
    if forward is None or forward.sender is None:
        return _Claim(address_key(writer.address) if writer else "", _keys(email.to, email.cc), email.subject, email.date, False)
    # Whoever forwards a mail has received it, whether the block names him or not.
    recipients = _keys(forward.to, forward.cc) | _keys((writer,) if writer else ())
    return _Claim(address_key(forward.sender.address), recipients, forward.subject or "", forward.date, True)


def _keys(*lists: Iterable[Mailbox]) -> frozenset[str]:
    return frozenset(address_key(box.address) for boxes in lists for box in boxes)


def _with_original(email: Email, unwrapped: Unwrapped, own: tuple[str, ...]) -> tuple[str, ...]:
    """A forward stands for its original, so it holds the original's id too: the attached one's, else the last it names."""
    original = _original_id(email, unwrapped)
    return (*own, original) if original and original not in own else own


def _original_id(email: Email, unwrapped: Unwrapped) -> str:
    if unwrapped.forward is not None and unwrapped.forward.message_id:
        return unwrapped.forward.message_id
    return email.references[-1] if email.references else ""


def _already_logged(email: Email, unwrapped: Unwrapped, claim: _Claim, candidates: Sequence[ThreadFact]) -> int | None:
    """The thread in which the forwarded mail itself stands, or None."""
    original = _original_id(email, unwrapped)
    for thread in sorted(candidates, key=lambda thread: thread.thread_id):
        for message in thread.messages:
            if _is_same(claim, message, bool(original) and original in message.ids):
                return thread.thread_id
    return None


def _is_same(claim: _Claim, message: MessageFact, by_id: bool) -> bool:
    """Is the logged message the claimed original? The id says so unless sender or date contradict it."""
    if not claim.forwarded:
        return by_id
    if claim.author != address_key(message.author):
        return False
    if claim.date is not None and message.date is not None:
        if not _same_moment(claim.date, message.date):
            return False
        return by_id or _plain(claim.subject) == _plain(message.subject)
    return by_id


def _same_moment(claimed: dt.datetime, known: dt.datetime) -> bool:
    """Blocks drop the seconds and often the zone: equal to the minute, in some zone when it is not told."""
    if claimed.tzinfo is None and known.tzinfo is None:
        return abs((claimed - known).total_seconds()) < 60
    if claimed.tzinfo is not None and known.tzinfo is not None:
        return abs((claimed - known).total_seconds()) < 60
    apart = (_naive(claimed) - _naive(known)).total_seconds()
    if abs(apart) > 14 * 3600 + 60:
        return False
    # Zones differ by quarters of an hour; what is missing to a whole one is the seconds that the block dropped.
    return -apart % 900 < 60


def _naive(moment: dt.datetime) -> dt.datetime:
    return moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)


def _answers(claim: _Claim, message: MessageFact, ours: Callable[[str], bool]) -> bool:
    """Subject and participants together: both writers take part in the other's mail, and one of them is no colleague."""
    if message.listed or base_subject(claim.subject) != base_subject(message.subject):
        return False
    if is_generic(base_subject(claim.subject)) or claim.date is None or message.date is None:
        return False
    author = address_key(message.author)
    recipients = {address_key(address) for address in message.recipients}
    apart = _naive(claim.date) - _naive(message.date)
    if claim.forwarded and abs(apart) <= CLAIM_WINDOW and claim.author in {author, *recipients} and not ours(claim.author):
        return True
    if not has_reply_prefix(claim.subject) or not -CLAIM_WINDOW / 24 <= apart <= SUBJECT_WINDOW:
        return False
    if author == claim.author and ours(author):  # a rep writes once more to the same people
        people = {address for address in claim.recipients if not ours(address)}
        return bool(people) and people == {address for address in recipients if not ours(address)}
    mutual = author in claim.recipients and claim.author in recipients
    return mutual and not (ours(author) and ours(claim.author))


# --- subjects -----------------------------------------------------------------------------------------------------

# Subjects that name nothing: the same ones are written to many people about many things.
_GENERIC = """
hello|hallo|hey there|hi there|good morning|good afternoon|good day|guten tag|guten morgen|bonjour|hola|buenos dias|ciao
invoice|your invoice|rechnung|facture|factura|fattura|question|quick question|questions|frage|pregunta|domanda|meeting
test|thanks|thank you|many thanks|danke|vielen dank|merci|gracias|grazie|update|info|information|request|anfrage|urgent|important
follow up|follow-up|following up|reminder|introduction|contact|no subject|(no subject)|kein betreff|sans objet|newsletter
"""
GENERIC = frozenset(phrase.strip() for line in _GENERIC.splitlines() for phrase in line.split("|"))


def base_subject(subject: str) -> str:
    """The subject without prefixes ("Re:", "AW[2]:") and without one list tag in front, case-folded; linear time.

    Wider than the base subject of RFC 5256 2.1, which knows English prefixes only.
    """
    return _base_of(subject[:SUBJECT_CHARS])


@lru_cache(maxsize=500)  # a mail's own and those of the threads it may belong to are compared one by one
def _base_of(subject: str) -> str:
    rest = _plain(subject)
    for _ in range(MOST_PREFIXES):
        kind, after, _ = subject_prefix(rest)
        if not kind:
            break
        rest = after.lstrip(": ")
    tag, bracket, after = rest.partition("]")
    if bracket and tag.startswith("[") and len(tag) <= TAG_CHARS and after.strip():
        rest = after.strip()
        kind, after, _ = subject_prefix(rest)  # "[list] Re: …" is taken above, "[list] [other] …" keeps the other
        rest = after if kind else rest
    return rest.removesuffix("(fwd)").strip()  # RFC 5256 2.1 step 2


def has_reply_prefix(subject: str) -> bool:
    """True when the outermost prefix marks an answer; "VS:", an answer in Finnish, may be one."""
    return _is_reply(subject[:SUBJECT_CHARS])


@lru_cache(maxsize=500)
def _is_reply(subject: str) -> bool:
    return subject_prefix(_plain(subject))[0] in ("reply", "either")


def is_generic(base: str) -> bool:
    """True for a base subject that must never join two mails: too short, only digits, or what everybody writes."""
    return sum(character.isalpha() for character in base) < 4 or base.strip(" .!?,") in GENERIC


def _plain(subject: str) -> str:
    """White space collapsed, width and case folded; what mail programs do to a subject on its way."""
    return " ".join(visible(unicodedata.normalize("NFKC", subject[:SUBJECT_CHARS])).split()).casefold()


# --- conversations and a map in memory ----------------------------------------------------------------------------


def conversation(found: Iterable[Id], fresh: Id) -> tuple[Id, tuple[Id, ...]]:
    """The conversation that the threads of several owners share, and those that are absorbed into it.

    `found` are the conversations of all threads, of any owner, that hold one of the mail's names; `fresh` is used when
    there are none. Sharing a conversation shows nothing to anybody: it only folds copies that a viewer may see anyway.
    """
    known = sorted(set(found)) or [fresh]
    return known[0], tuple(known[1:])


@dataclass
class NameMap:
    """The table (name, thread) of one owner, in memory: for a dry run over many mails, and the model of the real table."""

    threads: dict[str, int] = field(default_factory=dict)
    members: dict[int, list[str]] = field(default_factory=dict)
    last: int = 0

    def look_up(self, looked_up: Iterable[str]) -> Mapping[int, tuple[str, ...]]:
        """The threads that hold any of the names, each with those names."""
        found: dict[int, list[str]] = {}
        for name in looked_up:
            if name in self.threads:
                found.setdefault(self.threads[name], []).append(name)
        return {thread: tuple(held) for thread, held in found.items()}

    def apply(self, choice: Choice) -> int:
        """Write a choice; gives the thread that took the mail."""
        if choice.thread_id is None:
            self.last += 1
        thread = choice.thread_id if choice.thread_id is not None else self.last
        members = self.members.setdefault(thread, [])
        for merged in choice.merge:
            for name in self.members.pop(merged, ()):
                self.threads[name] = thread
                members.append(name)
        for name in choice.bind:
            if name not in self.threads:
                self.threads[name] = thread
                members.append(name)
        return thread
