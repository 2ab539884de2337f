"""Where every accepted mail ended: listed, explained, and let in by a person.

A rep sees what is attributed to them, or stands in a thread they may read (colleagues' repeated copies of such mail by their
id alone, not in the lists of what did not get in); an admin sees every delivery. What still waits
has no outcome yet and is seen by admins only, since nobody knows whose it is.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import heapq
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from peewee import JOIN, fn

from core.errors import BadInput
from core.reasons import N_
from core.store import dialect, inbound, plain, undo
from core.store.company import beat
from core.store.database import write
from core.store.fields import UTC, from_micros, to_micros
from core.store.models import NOT_LOGGED, Audit, Inbound, Outcome, Rep, SenderAddress, T, Thread, Trace
from core.store.paging import Page, cursor_of, read_cursor, sensible
from core.store.visibility import Viewer, beat_thread, demand, is_id, note, visible
from core.types import Envelope

STATES = ("received", "processing", "logged", "held", "ignored")
ENDS = ("logged", "held", "ignored")
DID_NOT_GET_IN = ("held", "ignored")
# What no person's word lets in: nothing was held against the mail itself. Judging it again does once the list is another one.
STAYS_OUT = ("loop", "never-log", "forward-of-own-notice", "deleted-before", "duplicate")
STRANGERS = ("unattributed", "unknown-sender")  # valid senders nobody knows: a tab of their own (F22)
_LOOKED_THROUGH = 100_000  # newest mails in which a subject or an envelope's sender is looked for


@dataclass(frozen=True, slots=True)
class InboundView:
    """One accepted mail and where it ended; `params` fill the sentence of `reason`. `redacted`: who, when and state alone, of another's private mail."""

    id: int
    state: str
    reason: str
    params: dict[str, Any]
    source: str
    received_at: dt.datetime
    message_id: str | None
    mail_from: str | None
    rcpt_to: list[str]
    sender: str
    subject: str
    decision: str
    rep: str | None
    rep_id: int | None
    rule: str
    thread_id: int | None
    duplicate_of: int | None
    size: int
    redacted: bool = False


# --- who may see what ---------------------------------------------------------------------------------------------


def _own(viewer: Viewer) -> Any:
    """The outcomes that are the viewer's own: for an admin every one."""
    return Outcome.inbound_id > 0 if viewer.is_admin else Outcome.rep == viewer.rep_id


def _others(viewer: Viewer, query: Any) -> Any:
    """Those of a query over outcomes that are not the viewer's own and stand in a thread they may read."""
    # A cross join: SQLite would else begin with every thread that the viewer may read.
    readable = query.switch(Outcome).join(T, JOIN.CROSS).where((T.id == Outcome.thread) & visible(viewer))
    return readable.where(Outcome.rep.is_null() | (Outcome.rep != viewer.rep_id))


_COLUMNS = (
    Outcome.inbound_id, Outcome.state, Outcome.reason, Outcome.params, Outcome.source, Outcome.received_at, Outcome.message_id, Outcome.mail_from,
    Outcome.rcpt_to, Outcome.sender, Outcome.subject, Outcome.decision, Rep.email, Outcome.rep, Outcome.rule, Outcome.thread, Outcome.duplicate_of, Outcome.size,
)  # fmt: skip


def _ended(viewer: Viewer, condition: Any, limit: int, *, own_alone: bool = False, whole: bool = False) -> list[InboundView]:
    """The newest that this viewer may see. Their own and others' are walked one after the other: an OR of both would sort all of them."""
    query = Outcome.select(*_COLUMNS).join(Rep, JOIN.LEFT_OUTER).where(condition).order_by(Outcome.inbound_id.desc()).limit(limit)
    parts = [query.where(_own(viewer))] + ([] if viewer.is_admin or own_alone else [_others(viewer, query)])
    found = heapq.merge(*(part.tuples() for part in parts), key=lambda values: -values[0])
    views = [InboundView(*values) for values in islice(found, limit)]
    return views if whole else _redacted(viewer, views)


def _redacted(viewer: Viewer, views: list[InboundView]) -> list[InboundView]:
    """Who, when and state only, where an admin may know no more: logged in another's private thread."""
    foreign = [view.thread_id for view in views if view.thread_id is not None and view.rep_id != viewer.rep_id]
    if not foreign:
        return views
    readable = {ident for (ident,) in T.select(T.id).where(visible(viewer) & T.id.in_(foreign)).tuples()}
    return [view if view.thread_id is None or view.rep_id == viewer.rep_id or view.thread_id in readable else _who_when_and_state(view) for view in views]


def _who_when_and_state(view: InboundView) -> InboundView:
    """Without the subject and the recipients: they name the record on which it was filed, and people who were in Bcc."""
    return dataclasses.replace(view, subject="", rcpt_to=[], redacted=True)


def _waiting(condition: Any, limit: int) -> list[InboundView]:
    """Mails on their way, from the intake alone."""
    i = Inbound
    query = i.select(i.id, i.state, i.reason, i.source, i.received_at, i.envelope, i.size).where(i.state.in_(("received", "processing")) & condition)
    views = []
    for ident, state, reason, source, received_at, text, size in query.order_by(i.id.desc()).limit(limit).tuples():
        envelope = _envelope(text)
        views.append(
            InboundView(ident, state, reason, {}, source, received_at, None, envelope.mail_from, list(envelope.rcpt_to), "", "", "", None, None, "", None, None, size)
        )
    return views


_envelopes = msgspec.json.Decoder(Envelope)  # made by one thread, see core/reader.py


def _envelope(text: str) -> Envelope:
    try:
        return _envelopes.decode(text)
    except msgspec.MsgspecError:
        return Envelope("unknown")


# --- lists --------------------------------------------------------------------------------------------------------


def page(
    viewer: Viewer, state: str | None = None, reason: str | None = None, message_id: str | None = None, strangers: bool | None = None, cursor: str | None = None,
    limit: int = 50,
) -> Page[InboundView]:  # fmt: skip
    """Accepted mails, newest first. Raises BadInput for a state that does not exist."""
    if state is not None and state not in STATES:
        raise BadInput("state", N_("use one of %(choices)s"), choices=", ".join(STATES))
    after = read_cursor(cursor, 1)
    limit = sensible(limit)
    edge = after[0] if after else 2**62
    condition = Outcome.inbound_id < edge
    if state == "logged":
        condition &= LOGGED
    elif state is not None:
        condition &= Outcome.state == state
    if state in DID_NOT_GET_IN:
        condition &= NOT_LOGGED
    if reason is not None:
        condition &= Outcome.reason == reason
    if message_id is not None:
        condition &= Outcome.message_id == bare_id(message_id)
    if strangers is not None:
        condition &= Outcome.reason.in_(STRANGERS) if strangers else Outcome.reason.not_in(STRANGERS)
    found = _ended(viewer, condition, limit + 1, own_alone=state in DID_NOT_GET_IN) if state is None or state in ENDS else []
    if viewer.is_admin and message_id is None and strangers is None and state not in ENDS:
        on_the_way = Inbound.id < edge
        if state is not None:
            on_the_way &= Inbound.state == state
        if reason is not None:
            on_the_way &= Inbound.reason == reason
        ended = {view.id for view in found}
        waiting = _without_ended([view for view in _waiting(on_the_way, limit + 1) if view.id not in ended])
        found = sorted([*found, *waiting], key=lambda view: -view.id)
    return Page(found[:limit], cursor_of(found[limit - 1].id) if len(found) > limit else None)


def _without_ended(views: list[InboundView]) -> list[InboundView]:
    """A mail has one state: where the outcome is written and the intake not yet marked, the outcome counts."""
    ids = [view.id for view in views]
    ended = {ident for (ident,) in Outcome.select(Outcome.inbound_id).where(Outcome.inbound_id.in_(ids)).tuples()} if ids else set()
    return [view for view in views if view.id not in ended]


def bare_id(message_id: str) -> str:
    """A Message-ID without brackets and surrounding space."""
    return message_id.strip().removeprefix("<").removesuffix(">").strip()[:998]


def get(viewer: Viewer, inbound_id: int) -> InboundView | None:
    """One accepted mail that this viewer may see."""
    if not is_id(inbound_id):
        return None
    found = _ended(viewer, Outcome.inbound_id == inbound_id, 1)
    if not found and viewer.is_admin:
        found = _without_ended(_waiting(Inbound.id == inbound_id, 1))
    return found[0] if found else None


def opened(viewer: Viewer, inbound_id: int) -> InboundView | None:
    """The same with all that is known of it, for the page that shows its trace. An admin's look at another's private mail is audited."""
    view = get(viewer, inbound_id)
    if view is None:
        return None
    _audit_look(viewer, view, "trace-read")
    return next(iter(_ended(viewer, Outcome.inbound_id == inbound_id, 1, whole=True)), view)


def views(viewer: Viewer, inbound_ids: Sequence[int]) -> dict[int, InboundView]:
    """Those of these mails that the viewer may see, by id, wherever they are by now."""
    ids = [ident for ident in dict.fromkeys(inbound_ids) if is_id(ident)][:500]
    if not ids:
        return {}
    found = _ended(viewer, Outcome.inbound_id.in_(ids), len(ids))
    waiting = _without_ended(_waiting(Inbound.id.in_(ids), len(ids))) if viewer.is_admin else []
    return {view.id: view for view in (*waiting, *found)}


def last_through(instance: str) -> dt.datetime | None:
    """When the last mail came through this way in, among the newest ones."""
    newest = Inbound.select(fn.MAX(Inbound.id)).scalar() or 0
    row = Inbound.select(Inbound.received_at).where(Inbound.instance == instance, Inbound.id > newest - _LOOKED_THROUGH).order_by(Inbound.id.desc()).tuples().first()
    return row[0] if row else None


def trace(viewer: Viewer, inbound_id: int) -> list[dict[str, Any]] | None:
    """What each step found: step, outcome, reason, params. An admin's look at another's private mail is audited."""
    view = get(viewer, inbound_id)
    if view is None:
        return None
    _audit_look(viewer, view, "trace-read")
    row = Trace.select(Trace.entries).where(Trace.inbound_id == inbound_id).tuples().first()
    return [] if row is None else list(row[0] or [])


def raw(viewer: Viewer, inbound_id: int) -> bytes | None:
    """The bytes as received, None when they are gone or not for this viewer. An admin's look at others' mail is audited."""
    view = get(viewer, inbound_id)
    if view is None:
        return None
    _audit_look(viewer, view, "raw-read")
    if view.thread_id is None and view.rep_id not in (None, viewer.rep_id):  # a rep's, though no thread holds it
        _note_look(viewer, "mail-read", f"inbound:{view.id}")
    return inbound.raw_of(inbound_id)


_LOOK_KEPT = dt.timedelta(hours=1)  # the same look within this time adds no second row


def _audit_look(viewer: Viewer, view: InboundView, act: str) -> None:
    """F49: a private thread's mail is opened in front of its owner, not behind the back."""
    if view.thread_id is None or view.rep_id == viewer.rep_id:
        return
    thread = Thread.select(Thread.id, Thread.owner, Thread.sharing).where(Thread.id == view.thread_id).first()
    if thread is None or thread.sharing == "company" or thread.owner_id == viewer.rep_id:
        return
    if _note_look(viewer, "thread-opened", f"thread:{thread.id}", part=act, inbound=view.id):
        beat_thread(thread.owner_id, thread.sharing)


def _note_look(viewer: Viewer, act: str, about: str, **facts: Any) -> bool:
    """Write the look down, unless the same one was a short while ago; whether it was written."""
    now = dt.datetime.now(UTC)
    if Audit.select().where(Audit.about == about, Audit.who == viewer.email, Audit.act == act, Audit.at > now - _LOOK_KEPT).exists():
        return False
    with write():
        note(viewer, act, about, now, **facts)
    return True


def _beat_reps(viewer: Viewer, view: InboundView) -> None:
    """The pages of who decides and of whose mail it is."""
    names = {f"rep:{viewer.rep_id}", *(() if view.rep_id is None else (f"rep:{view.rep_id}",))}
    beat(*sorted(names))


# --- a person decides ---------------------------------------------------------------------------------------------


def release(viewer: Viewer, inbound_id: int, rep_id: int | None = None) -> InboundView | None:
    """Let a held or not accepted mail in by a person's word; None when there is none that this viewer may release.

    An admin may release anything, also as the mail of a rep; a rep only what a machine wrote to their name and was held,
    never what failed authentication: that would be a way around it (F16).
    """
    view = get(viewer, inbound_id)
    if view is None or view.state not in ("held", "ignored"):
        return None
    demand(viewer.is_admin or view.decision == "pass", N_("Only an admin can release a mail that did not prove its sender."))
    if rep_id is not None and not (is_id(rep_id) and Rep.select().where(Rep.id == rep_id, Rep.status == "active").exists()):
        raise BadInput("rep", N_("there is no such active rep"))
    if rep_id is None and view.rep_id is None and viewer.is_admin:
        raise BadInput("rep", N_("no rule names the rep whose mail this is; name one"))
    return _again(viewer, view, "released", inbound.release(inbound_id, viewer.email, rep_id if viewer.is_admin else viewer.rep_id))


def retry(viewer: Viewer, inbound_id: int) -> InboundView | None:
    """Judge a held or not accepted mail once more with today's rules."""
    view = get(viewer, inbound_id)
    if view is None or view.state not in ("held", "ignored"):
        return None
    return _again(viewer, view, "retried", inbound.retry(inbound_id))


def claim(viewer: Viewer, inbound_id: int) -> InboundView | None:
    """Take an unattributed mail as one's own: an admin any; a rep one whose sender is a confirmed address of theirs (F22)."""
    if not is_id(inbound_id):
        return None
    row = Outcome.select(Outcome.sender, Outcome.reason, Outcome.decision).where(Outcome.inbound_id == inbound_id, Outcome.state == "held").tuples().first()
    if row is None or not (viewer.is_admin or _confirmed(viewer, row[0])):
        return None
    demand(viewer.is_admin or row[2] == "pass", N_("Only an admin can release a mail that did not prove its sender."))
    view = get(viewer, inbound_id) or _claimable(inbound_id)
    return _again(viewer, view, "claimed", inbound.again(inbound_id, claimed_for=viewer.rep_id, **_by_admin(viewer)))


def _by_admin(viewer: Viewer) -> dict[str, str]:
    return {"released_by": viewer.email} if viewer.is_admin else {}


def _confirmed(viewer: Viewer, address: str) -> bool:
    mine = SenderAddress.select().where(SenderAddress.rep == viewer.rep_id, SenderAddress.address == address.lower(), SenderAddress.verified_at.is_null(False))
    return bool(address) and bool(mine.exists())


def _claimable(inbound_id: int) -> InboundView:
    query = Outcome.select(*_COLUMNS).join(Rep, JOIN.LEFT_OUTER).where(Outcome.inbound_id == inbound_id)
    return InboundView(*query.tuples().first())


def _again(viewer: Viewer, view: InboundView, act: str, done: bool) -> InboundView | None:
    if not done:
        return None
    with write():
        note(viewer, f"mail-{act}", f"inbound:{view.id}", dt.datetime.now(UTC), reason=view.reason)
        _beat_reps(viewer, view)
    waiting = _waiting(Inbound.id == view.id, 1)
    return dataclasses.replace(waiting[0], rcpt_to=view.rcpt_to) if waiting else view


def put_aside(viewer: Viewer, inbound_id: int, who: str) -> str | None:
    """A held mail is not wanted: it moves to what was not accepted, by the word of `who`. The undo token, or None when it is not held."""
    view = get(viewer, inbound_id)
    if view is None or view.state != "held":
        return None
    with write():
        held = (Outcome.inbound_id == view.id) & (Outcome.state == "held")
        if not Outcome.update(state="ignored", reason="dismissed", params={"who": who}).where(held).execute():
            return None
        note(viewer, "mail-dismissed", f"inbound:{view.id}", dt.datetime.now(UTC), reason=view.reason)
        _beat_reps(viewer, view)
        token = undo.offer(viewer, "put-aside", {"inbound": view.id, "reason": view.reason, "params": view.params})
    inbound.settle(view.id)
    return token


@undo.reverses("put-aside")
def _held_again(viewer: Viewer, facts: dict[str, Any]) -> bool:
    """It waits for a person again, unless it was released, tried again or removed meanwhile."""
    view = get(viewer, facts["inbound"])
    aside = (Outcome.inbound_id == facts["inbound"]) & (Outcome.state == "ignored") & (Outcome.reason == "dismissed")
    if view is None or not Outcome.update(state="held", reason=facts["reason"], params=facts["params"]).where(aside).execute():
        return False
    inbound.settle(view.id)
    _beat_reps(viewer, view)
    return True


# --- "Why is my mail not here?" -----------------------------------------------------------------------------------


def find(viewer: Viewer, message_id: str | None = None, sender: str | None = None, subject: str | None = None, limit: int = 20) -> list[InboundView]:
    """What became of a mail, by its Message-ID, its sender or a part of its subject, within what the asker may see (F53a).

    A sender that nothing came from as it is written counts as a part of an address, such as its domain.
    """
    message_id, sender, subject = ((text or "").strip() for text in (message_id, sender, subject))
    wanted: list[Any] = []
    if message_id:
        wanted.append(Outcome.message_id == bare_id(message_id))
    if subject:
        wanted.append(_subject_holds(subject))
    if not wanted and not sender:
        raise BadInput("message_id", N_("give a message_id, a sender or a subject"))
    if subject and viewer.is_admin:
        # A subject is content: of others' private threads an admin learns none of it by guessing.
        private = Thread.select(Thread.id).where(Thread.sharing == "private", Thread.owner != viewer.rep_id)
        wanted.append(Outcome.thread.is_null() | Outcome.thread.not_in(private))
    if not sender:
        return _found(viewer, wanted, [Outcome.inbound_id > 0], limit)
    whole = [Outcome.sender == sender.lower(), _lately() & (Outcome.mail_from == sender)]
    return _found(viewer, wanted, whole, limit) or _found(viewer, wanted, [sender_holds(sender)], limit)


def _found(viewer: Viewer, wanted: Sequence[Any], senders: Sequence[Any], limit: int) -> list[InboundView]:
    """What fits all of `wanted` and one of `senders`. One after the other, each by its own index: an OR of them would walk all mail."""
    found = {view.id: view for one in senders for view in _ended(viewer, functools.reduce(operator.and_, [*wanted, one]), sensible(limit))}
    return sorted(found.values(), key=lambda view: -view.id)[: sensible(limit)]


def sender_holds(text: str) -> Any:
    """Mails of late whose sender, or that of whose envelope, has this part in its address."""
    pattern = dialect.contains(text.strip()[:320])
    return _lately() & (dialect.like(Outcome.sender, pattern) | dialect.like(Outcome.mail_from, pattern))


def _subject_holds(text: str) -> Any:
    return _lately() & dialect.like(Outcome.subject, dialect.contains(text.strip()[:200]))


def _lately() -> Any:
    """The mails among which may be looked one by one."""
    newest = Outcome.select(fn.MAX(Outcome.inbound_id)).scalar() or 0
    return Outcome.inbound_id > newest - _LOOKED_THROUGH


def stranger_domains(limit: int = 200) -> list[tuple[str, int, dt.datetime]]:
    """Valid senders nobody knows, by domain: (domain, how many mails, the newest), for admins."""
    newest = fn.MAX(Outcome.received_at)
    query = (
        Outcome.select(Outcome.sender_domain, fn.COUNT(1), newest)
        .where(Outcome.state == "held", Outcome.reason.in_(STRANGERS))
        .group_by(Outcome.sender_domain)
        .order_by(newest.desc())
        .limit(limit)
    )
    return [(domain, int(number), _moment(at)) for domain, number, at in query.tuples()]


def _moment(value: Any) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else from_micros(int(value))


def waiting_number(viewer: Viewer) -> int:
    """How many accepted mails are still on their way, for admins; 0 for others."""
    if not viewer.is_admin:
        return 0
    return int(Inbound.select(fn.COUNT(1)).where(Inbound.state.in_(("received", "processing"))).scalar() or 0)


# Nearly all are, so it only sifts: the index of the states would find all of them, to be sorted.
LOGGED = Outcome.state.concat("") == "logged"
_SHORTLY = 5000  # mails


def first_since(moment: dt.datetime) -> int:
    """An id before which no mail arrived at this moment or later.

    Ids come in the order of arrival, so it is found by halving; a day is left for clocks that were set back, and where a stretch
    of mail came under a clock that was further behind, the halving may end in it: there must be none of that time shortly before.
    """
    edge = to_micros(moment - dt.timedelta(days=1))
    low, high = 0, (plain.row("SELECT MAX(inbound_id) FROM outcome") or (0,))[0] or 0
    while low < high:
        middle = (low + high) // 2
        ident, arrived = plain.row("SELECT inbound_id, received_at FROM outcome WHERE inbound_id >= ? ORDER BY inbound_id LIMIT 1", middle) or (high, edge)
        low, high = (low, middle) if arrived >= edge else (ident + 1, high)
    shortly_before = "SELECT inbound_id FROM outcome WHERE inbound_id >= ? AND inbound_id < ? AND received_at >= ? ORDER BY inbound_id LIMIT 1"
    while (earlier := plain.row(shortly_before, low - _SHORTLY, low, edge)) is not None:
        low = earlier[0]
    return low


def reasons_of(viewer: Viewer, state: str) -> Sequence[tuple[str, int]]:
    """The reasons of a state that did not get in, with their numbers, for the filter above the list."""
    query = Outcome.select(Outcome.reason, fn.COUNT(1)).where(_own(viewer) & (Outcome.state == state) & NOT_LOGGED).group_by(Outcome.reason)
    return [(reason, int(number)) for reason, number in query.tuples()]
