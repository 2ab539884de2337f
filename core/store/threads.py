"""Threads: the inbox's pages, a conversation with all that stands in it, and what people do with them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from core.errors import BadInput
from core.reasons import N_
from core.store import dialect, links, plain, rows, search, undo
from core.store.company import beat
from core.store.database import hold, write
from core.store.fields import UTC, to_micros
from core.store.links import CandidateView, LinkView
from core.store.models import (
    NOT_LOGGED_SQL,
    Attachment,
    Audit,
    Link,
    Message,
    Outcome,
    Participant,
    T,
    Thread,
    ThreadId,
    ThreadState,
)
from core.store.outcomes import STRANGERS
from core.store.paging import Page, sensible
from core.store.rows import S, ThreadRow
from core.store.visibility import (
    Viewer,
    beat_thread,
    demand,
    is_id,
    listed,
    may_change,
    may_link,
    may_read,
    may_share,
    note,
    reader_of,
    thread_for,
    visible,
)
from core.types import RECORD_KINDS, Mailbox

TABS = ("all", "needs-choice", "mine", "shared", "archived", "everything")
COUNTED = 200  # badges count no further
OPENING_KEPT = dt.timedelta(hours=1)  # an admin who opens a thread again within this time adds no second row


# --- the inbox ----------------------------------------------------------------------------------------------------


def page(
    viewer: Viewer,
    tab: str = "all",
    cursor: str | None = None,
    limit: int = 50,
    q: str | None = None,
    owner: int | None = None,
    linked: bool | None = None,
) -> Page[ThreadRow]:
    """One page of the inbox, newest first. Raises BadInput for a tab or a cursor that does not exist.

    An admin's lists hold others' private threads as who, when and state; a search looks at readable mail only.
    """
    if tab not in TABS:
        raise BadInput("tab", N_("use one of %(choices)s"), choices=", ".join(TABS))
    limit = sensible(limit)
    condition = _condition(tab, owner, linked)
    if not (q or "").strip():
        return rows.page(viewer, _branches(viewer, tab, owner), condition, cursor, limit)
    query = search.understand(viewer, q or "")
    if query.text is None:
        try:
            with dialect.patience():
                found = _walk(viewer, tab, owner, query, condition, cursor, limit)
        except dialect.TooSlow:
            return Page([], None, query.understood, (*query.notes, search.TOO_SLOW))
        return Page(found.items, found.next, query.understood, query.notes)
    condition = _and(condition, _of_tab(viewer, tab))
    hits = search.find_query(viewer, query, cursor, limit, condition)
    return Page(rows.many(viewer, [hit.thread_id for hit in hits.hits]), hits.next, hits.understood, hits.notes)


def _of_tab(viewer: Viewer, tab: str) -> Any:
    """Which threads of those that may be read stand under a tab; None for all."""
    if tab in ("mine", "needs-choice"):
        return rows.own(viewer)
    return rows.others_shared(viewer) if tab == "shared" else None


def _walk(viewer: Viewer, tab: str, owner: int | None, query: search.Query, condition: Any, cursor: str | None, limit: int) -> Page[ThreadRow]:
    """The answer to a search without words that must be found: by walking the inbox, or the few threads that it names."""
    condition = _and(_and(condition, search.condition_of_threads(query)), visible(viewer))
    branches = _branches(viewer, tab, owner, readable=True)
    if query.begin is not None:
        condition = condition if tab == "needs-choice" and viewer.is_admin else _and(condition, _of_tab(viewer, tab))
        branches = [rows.these(query.begin)]
    if search.asks_for_text(query):
        return rows.page_in_portions(viewer, branches, condition, lambda ids: search.condition_of_mails(viewer, query, ids), cursor, limit)
    return rows.page(viewer, branches, _and(condition, search.condition_of_mails(viewer, query)), cursor, limit)


def _and(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one & other


def _condition(tab: str, owner: int | None, linked: bool | None) -> Any:
    condition = None
    if tab == "archived":
        condition = S.archived_at.is_null(False)
    elif tab not in ("needs-choice", "everything"):
        condition = S.archived_at.is_null()
    if tab == "needs-choice":
        condition = T.waiting == "needs-choice"
    if owner is not None:
        condition = _and(condition, T.owner == owner)
    if linked is not None:
        condition = _and(condition, T.linked == linked)
    return condition


def _branches(viewer: Viewer, tab: str, owner: int | None, *, readable: bool = False) -> list[rows.Branch]:
    """Which walks a tab needs. Choosing is for the owner and admins, so nobody else's stand under "needs a choice".

    readable  others' private threads, of which an admin knows that they are there, are left out
    """
    if tab == "mine" or owner == viewer.rep_id:
        return [rows.own(viewer)]
    if tab == "needs-choice":  # few of many: by the indexes of those that wait
        return [T.waiting.is_null(False) if viewer.is_admin else rows.own(viewer)]
    if tab == "archived" and (few := _few_archived(viewer)) is not None:
        return [rows.these(few)]
    shared, private = rows.others_shared(viewer), rows.others_private(viewer)
    if tab == "shared":
        return [shared]
    if owner is not None:
        return [T.owner == owner]
    if viewer.is_admin and not readable:
        return [rows.own(viewer), shared, private]
    return [rows.own(viewer), shared]


def _few_archived(viewer: Viewer) -> list[int] | None:
    """What the reader has archived, or None when it is so much that walking the inbox finds a page of it sooner."""
    found = plain.rows(f"SELECT thread_id FROM thread_state WHERE rep_id = ? AND archived_at IS NOT NULL LIMIT {rows.MOST_SORTED + 1}", viewer.rep_id)
    return [int(ident) for (ident,) in found] if len(found) <= rows.MOST_SORTED else None


def row(viewer: Viewer, thread_id: int) -> ThreadRow | None:
    """One row of the inbox; redacted for an admin on another's private thread."""
    return rows.one(viewer, thread_id) if is_id(thread_id) else None


def rows_of(viewer: Viewer, thread_ids: Sequence[int]) -> list[ThreadRow]:
    """The rows of those threads that the viewer may read, in the given order."""
    return rows.many(viewer, [ident for ident in thread_ids if is_id(ident)])


@dataclass(frozen=True, slots=True)
class Counts:
    """The badges, each at most COUNTED."""

    unread: int
    needs_choice: int
    held: int
    not_accepted: int
    strangers: int


def counts(viewer: Viewer) -> Counts:
    """What waits for this viewer: their own unread and undecided threads, and mail that did not get in.

    Every page asks this, so each number is answered by walking nothing but what is counted.
    """
    mine = viewer.rep_id
    own_mail: tuple[str, tuple[Any, ...]] = ("TRUE", ()) if viewer.is_admin else (f"rep_id = ? AND {NOT_LOGGED_SQL}", (mine,))
    choosing: tuple[str, tuple[Any, ...]] = ("TRUE", ()) if viewer.is_admin else ("owner_id = ?", (mine,))
    unknown = f"reason IN ({plain.marks(STRANGERS)})"
    unread, waiting, held, ignored, strangers = _bounded(
        ("thread WHERE owner_id = ? AND unread = TRUE AND deleted_at IS NULL", (mine,)),
        (f"thread WHERE {choosing[0]} AND waiting IS NOT NULL AND deleted_at IS NULL", choosing[1]),
        (f"outcome WHERE {own_mail[0]} AND state = 'held' AND NOT {unknown}", (*own_mail[1], *STRANGERS)),
        (f"outcome WHERE {own_mail[0]} AND state = 'ignored' AND reason = 'auth-rejected'", own_mail[1]),
        (f"outcome WHERE {'TRUE' if viewer.is_admin else 'FALSE'} AND state = 'held' AND {unknown}", STRANGERS),
    )
    return Counts(unread, waiting, held, ignored, strangers)


def _bounded(*parts: tuple[str, Sequence[Any]]) -> tuple[int, ...]:
    """How many rows each part gives, at most COUNTED, in one question: (the table with its condition, its parameters)."""
    each = ", ".join(f"(SELECT COUNT(*) FROM (SELECT 1 FROM {part} LIMIT {COUNTED}) c{at})" for at, (part, _params) in enumerate(parts))
    return tuple(map(int, plain.row(f"SELECT {each}", *(value for _part, params in parts for value in params))))


# --- a conversation -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttachmentView:
    id: int
    message_id: int
    part: int
    filename: str
    content_type: str
    size: int
    inline: bool
    content_id: str | None
    sha256: str
    note: str


@dataclass(frozen=True, slots=True)
class MessageView:
    """A logged mail as pages and the API show it. `html` is safe; `original` is the claimed author of a forward."""

    id: int
    inbound_id: int
    thread_id: int
    message_id: str | None
    sender: Mailbox
    to: list[Mailbox]
    cc: list[Mailbox]
    original: Mailbox | None
    date: dt.datetime
    subject: str
    text: str
    html: str
    forward: dict[str, Any] | None
    checks: list[dict[str, Any]]
    defects: list[str]
    decision: str
    joined_by: str
    attachments: list[AttachmentView]
    size: int
    deleted_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class AuditView:
    """An admin's opening or linking of a private thread, for its owner to see (F49)."""

    at: dt.datetime
    who: str
    act: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread with its mails (oldest first) and all beside them. `more`: give it as `before` for the mails before these."""

    row: ThreadRow
    messages: list[MessageView]
    more: int | None
    links: list[LinkView]
    candidates: list[CandidateView]
    related: list[ThreadRow]
    openings: list[AuditView]
    may_link: bool
    may_change: bool
    may_share: bool


def conversation(viewer: Viewer, thread_id: int, opening: bool = False, before: int | None = None, limit: int = 100) -> Conversation | None:
    """A thread for this viewer, or None.

    Of another's private thread an admin gets the redacted row alone; with `opening` the whole of it, and the act is audited.
    """
    thread = thread_for(viewer, thread_id)
    shown = row(viewer, thread_id)
    if thread is None or shown is None:
        return None
    openings = _openings(thread_id)
    if not may_read(viewer, thread):
        if not opening:
            return Conversation(shown, [], None, [], [], [], openings, True, False, False)
        _record_opening(viewer, thread)
        openings = _openings(thread_id)
        shown = _opened(thread, shown)
    found = _mails(thread_id, before, sensible(limit) + 1)
    more = found[-1].id if len(found) > sensible(limit) else None
    found = found[: sensible(limit)]
    return Conversation(
        shown,
        _views(list(reversed(found))),
        more and found[-1].id,
        links.of_thread(thread_id),
        links.candidates(thread_id),
        _related(viewer, thread),
        openings,
        may_link(viewer, thread),
        may_change(viewer, thread),
        may_share(viewer, thread),
    )


def _mails(thread_id: int, before: int | None, limit: int) -> list[Any]:
    query = Message.select().where(Message.thread == thread_id, Message.deleted_at.is_null())
    if before is not None:
        edge = Message.select(Message.date).where(Message.id == before, Message.thread == thread_id).tuples().first()
        if edge is not None:
            query = query.where((Message.date < edge[0]) | ((Message.date == edge[0]) & (Message.id < before)))
    return list(query.order_by(Message.date.desc(), Message.id.desc()).limit(limit))


def _opened(thread: Any, shown: ThreadRow) -> ThreadRow:
    return ThreadRow(
        shown.id, shown.owner_id, shown.owner, shown.owner_name, shown.sharing, thread.subject, thread.who, thread.snippet, shown.started_at, shown.last_at,
        shown.message_count, thread.chips, shown.waiting, thread.waiting_reason, shown.linked, thread.has_attachment, shown.badge, shown.conversation_id,
        shown.unread, shown.archived,
    )  # fmt: skip


def _record_opening(viewer: Viewer, thread: Any) -> None:
    now = dt.datetime.now(UTC)
    about = f"thread:{thread.id}"
    known = Audit.select().where(Audit.about == about, Audit.who == viewer.email, Audit.act == "thread-opened", Audit.at > now - OPENING_KEPT).exists()
    if known:
        return
    with write():
        note(viewer, "thread-opened", about, now)
        beat_thread(thread.owner_id, thread.sharing)


def _openings(thread_id: int) -> list[AuditView]:
    found = Audit.select(Audit.at, Audit.who, Audit.act).where(
        Audit.about == f"thread:{thread_id}", Audit.act.in_(("thread-opened", "thread-linked", "thread-unlinked", "choice-refused"))
    )
    return [AuditView(*values) for values in found.order_by(Audit.id.desc()).limit(50).tuples()]


def _related(viewer: Viewer, thread: Any) -> list[ThreadRow]:
    """Threads of the same conversation, and those that this one was split from or into, as far as they may be read."""
    # What was split off keeps the name of its conversation, so that finds it too.
    same = [T.conversation_id == thread.conversation_id, T.id == (thread.split_from_id or 0)]
    found: set[int] = set()
    for condition in same:  # one by one: an OR of them is answered by walking all threads
        query = T.select(T.id).where(visible(viewer) & condition & (T.id != thread.id)).order_by(T.id.desc()).limit(20)
        found |= {ident for (ident,) in query.tuples()}
    return rows_of(viewer, sorted(found, reverse=True)[:20])


def _views(messages: Sequence[Any]) -> list[MessageView]:
    """The mails with their people and attachments, in two queries for all of them."""
    ids = [message.id for message in messages]
    people: dict[int, list[tuple[str, Mailbox]]] = {ident: [] for ident in ids}
    files: dict[int, list[AttachmentView]] = {ident: [] for ident in ids}
    if ids:
        found = Participant.select(Participant.message, Participant.role, Participant.name, Participant.address).where(Participant.message.in_(ids))
        for message_id, role, name, address in found.order_by(Participant.id).tuples():
            people[message_id].append((role, Mailbox(name, address)))
        for view in _attachments(Attachment.message.in_(ids)):
            files[view.message_id].append(view)
    return [_view(message, people[message.id], files[message.id]) for message in messages]


def _attachments(condition: Any) -> list[AttachmentView]:
    a = Attachment
    found = a.select(a.id, a.message, a.part, a.filename, a.content_type, a.size, a.inline, a.content_id, a.sha256, a.note)
    return [AttachmentView(*values) for values in found.where(condition).order_by(a.id).tuples()]


def _view(message: Any, people: Sequence[tuple[str, Mailbox]], files: list[AttachmentView]) -> MessageView:
    def of(role: str) -> list[Mailbox]:
        return [mailbox for known, mailbox in people if known == role]

    return MessageView(
        message.id, message.inbound_id, message.thread_id, message.message_id, Mailbox(message.from_name, message.from_address), of("to"), of("cc"),
        next(iter(of("original")), None), message.date, message.subject, message.text, message.safe_html, message.forward, message.checks or [],
        message.defects or [], message.decision, message.joined_by, files, message.size, message.deleted_at,
    )  # fmt: skip


def _message_for(viewer: Viewer, message_id: int, opening: bool) -> Any:
    """The mail when this viewer may read it (an admin's opening is audited), else None."""
    if not is_id(message_id):
        return None
    found = Message.select().where(Message.id == message_id, Message.deleted_at.is_null()).first()
    thread = thread_for(viewer, found.thread_id) if found is not None else None
    if thread is None:
        return None
    if not may_read(viewer, thread):
        if not opening:
            return None
        _record_opening(viewer, thread)
    return found


def message(viewer: Viewer, message_id: int, opening: bool = False) -> MessageView | None:
    """One mail that the viewer may read."""
    found = _message_for(viewer, message_id, opening)
    return _views([found])[0] if found is not None else None


def attachment(viewer: Viewer, attachment_id: int, opening: bool = False) -> tuple[AttachmentView, bytes | None, str] | None:
    """An attachment of a mail that the viewer may read: what it is, its bytes when they were copied out of the raw mail
    (else None), and the sha256 of that raw mail."""
    found = _attachments(Attachment.id == attachment_id) if is_id(attachment_id) else []
    mail = _message_for(viewer, found[0].message_id, opening) if found and found[0].note != "dropped" else None
    if mail is None:
        return None
    content = Attachment.select(Attachment.content).where(Attachment.id == attachment_id).tuples().first()[0]
    return found[0], None if content is None else bytes(content), mail.sha256


# --- the row beside the thread ------------------------------------------------------------------------------------

_SNIPPET = 200
_NAMED = 4  # people named in a row
# Whether the owner has seen or archived a thread, kept beside it: counting it from the states would walk all threads of the owner.
_UNREAD = (
    "NOT EXISTS (SELECT 1 FROM thread_state s WHERE s.rep_id = thread.owner_id AND s.thread_id = thread.id"
    " AND (s.archived_at IS NOT NULL OR s.seen_at >= {}))"
)


def refresh_row(thread_id: int, waiting: tuple[str | None, str] | None = None) -> None:
    """Bring what the inbox shows of a thread to its mails and links, inside the caller's transaction.

    waiting  whether it waits for a choice, and why; None leaves that as it is

    Every logged mail passes here, so the SQL is plain.
    """
    hold("thread", thread_id)  # who files into it meanwhile comes before this and is read, or after it and writes last
    # The index knows this much. Of the texts only the newest is read: a long thread has many.
    mails = plain.rows("SELECT id, date FROM message WHERE thread_id = ? AND deleted_at IS NULL ORDER BY date DESC, id DESC LIMIT 50", thread_id)
    shown = links.chips(thread_id)
    number = len(mails) if len(mails) < 50 else plain.rows("SELECT COUNT(*) FROM message WHERE thread_id = ? AND deleted_at IS NULL", thread_id)[0][0]
    columns = "message_count = ?, chips = ?, linked = ?"
    values = [number, plain.plain_value(shown), any(chip["kind"] in RECORD_KINDS for chip in shown)]
    if waiting is not None:
        columns += ", waiting = ?, waiting_reason = ?"
        values += waiting
    if not mails:
        plain.do(f"UPDATE thread SET {columns} WHERE id = ?", *values, thread_id)
        return
    ids = [ident for ident, _date in mails]
    text, forward, checks, decision, attached = plain.row(
        "SELECT substr(text, 1, 800), forward, checks, decision,"
        f" EXISTS (SELECT 1 FROM attachment WHERE message_id IN ({plain.marks(ids)}) AND NOT inline) FROM message WHERE id = ?",
        *ids, ids[0],
    )  # fmt: skip
    oldest = mails[-1][1] if number == len(mails) else plain.rows("SELECT MIN(date) FROM message WHERE thread_id = ? AND deleted_at IS NULL", thread_id)[0][0]
    plain.do(
        f"UPDATE thread SET {columns}, last_at = ?, oldest_at = ?, snippet = ?, who = ?, badge = ?,"
        " has_attachment = (? OR (has_attachment AND ?)) WHERE id = ?",  # what the mails beyond these had is not looked up again
        *values, mails[0][1], oldest, _snippet(text, forward), _who(ids), _badge(checks, decision), attached, number > len(mails), thread_id,
    )  # fmt: skip
    # By itself and only when it turns: SQLite writes the index of a column that is set, also to what it was.
    plain.do(f"UPDATE thread SET unread = NOT unread WHERE id = ? AND unread <> ({_UNREAD.format('thread.last_at')})", thread_id)


def _snippet(text: str, forward: str | None) -> str:
    claimed = msgspec.json.decode(forward) if forward else {}
    shown = claimed.get("note") or claimed.get("body") or text
    return " ".join(shown[: _SNIPPET * 4].split())[:_SNIPPET]


def _who(ids: Sequence[int]) -> str:
    """The people outside the company by name, those of the newest mails first; without any, who wrote."""
    names: dict[str, None] = {}
    found = plain.rows(
        f"SELECT name, address FROM participant WHERE message_id IN ({plain.marks(ids)}) AND contact_id IS NOT NULL ORDER BY message_id DESC, id LIMIT 200", *ids
    )
    for name, address in found:
        names.setdefault(name or address)
    if not names:
        wrote = {ident: name or address for ident, name, address in plain.rows(f"SELECT id, from_name, from_address FROM message WHERE id IN ({plain.marks(ids)})", *ids)}
        names = dict.fromkeys(wrote[ident] for ident in ids)
    return ", ".join(list(names)[:_NAMED])


def _badge(checks: str, decision: str) -> str:
    """How the newest mail was proved: dkim, spf, both; "released" when a person vouched for it."""
    if decision != "pass":
        return "released" if decision else ""
    passed = {check.get("method") for check in msgspec.json.decode(checks or "[]") if check.get("result") == "pass" and check.get("aligned")}
    return "both" if {"dkim", "spf"} <= passed else next(iter(sorted(name for name in passed if name)), "")


# --- what people do -----------------------------------------------------------------------------------------------


def set_sharing(viewer: Viewer, thread_id: int, sharing: str) -> str | None:
    """Share a thread with the company, or make it private again. None: there is no such thread."""
    if sharing not in ("private", "company"):
        raise BadInput("sharing", N_("use private or company"))
    with write():
        thread = thread_for(viewer, thread_id)
        if thread is None:
            return None
        demand(may_share(viewer, thread), N_("Only the owner of a thread can share it or make it private."))
        _share(thread, sharing)
        return undo.offer(viewer, "sharing", {"thread": thread_id, "sharing": thread.sharing})


def _share(thread: Any, sharing: str) -> None:
    if thread.sharing == sharing:
        return
    Thread.update(sharing=sharing).where(Thread.id == thread.id).execute()
    Link.update(reader=reader_of(thread.owner_id, sharing)).where(Link.thread == thread.id).execute()
    search.set_access(thread.id)
    beat_thread(thread.owner_id, thread.sharing, sharing)


@undo.reverses("sharing")
def _share_back(viewer: Viewer, facts: dict[str, Any]) -> bool:
    thread = thread_for(viewer, facts["thread"])
    if thread is None or not may_share(viewer, thread):
        return False
    _share(thread, facts["sharing"])
    return True


def delete_thread(viewer: Viewer, thread_id: int) -> str | None:
    """Take a thread with its mails away from every page (F14). None: there is no such thread."""
    with write():
        thread = thread_for(viewer, thread_id)
        if thread is None:
            return None
        demand(may_change(viewer, thread), N_("Only the owner of a thread can delete it."))
        now = dt.datetime.now(UTC)
        Thread.update(deleted_at=now).where(Thread.id == thread_id).execute()
        Message.update(deleted_at=now, deleted_by=f"rep:{viewer.email}").where(Message.thread == thread_id, Message.deleted_at.is_null()).execute()
        _gone_or_back(viewer, thread, "thread-deleted", now)
        return undo.offer(viewer, "delete-thread", {"thread": thread_id})


def restore_thread(viewer: Viewer, thread_id: int) -> bool:
    """Bring a deleted thread back with the mails that were deleted together with it."""
    with write():
        thread = thread_for(viewer, thread_id, deleted=True)
        if thread is None or not may_change(viewer, thread):
            return False
        _bring_back(viewer, thread)
        return True


def _bring_back(viewer: Viewer, thread: Any) -> None:
    together = (Message.thread == thread.id) & (Message.deleted_at == to_micros(thread.deleted_at))
    Message.update(deleted_at=None, deleted_by=None).where(together).execute()
    _live_again(thread)
    _gone_or_back(viewer, thread, "thread-restored", dt.datetime.now(UTC))


def _live_again(thread: Any) -> None:
    """The thread with the names of its mails, which a thread that began meanwhile may have taken over."""
    Thread.update(deleted_at=None).where(Thread.id == thread.id).execute()
    own = Message.select(Message.message_id).where(Message.thread == thread.id, Message.message_id.is_null(False))
    ThreadId.update(thread=thread.id).where(ThreadId.owner == thread.owner_id, ThreadId.message_id.in_(own)).execute()


@undo.reverses("delete-thread")
def _undelete(viewer: Viewer, facts: dict[str, Any]) -> bool:
    return restore_thread(viewer, facts["thread"])


def _gone_or_back(viewer: Viewer, thread: Any, act: str, now: dt.datetime) -> None:
    """What follows when mails of a thread go or come back: the index, the row, the pages, and the audit."""
    search.set_access(thread.id)
    refresh_row(thread.id)
    if thread.owner_id != viewer.rep_id:
        note(viewer, act, f"thread:{thread.id}", now)
    beat_thread(thread.owner_id, thread.sharing)


def delete_message(viewer: Viewer, message_id: int) -> str | None:
    """Take one mail away; the thread goes with its last one. None: there is no such mail."""
    with write():
        found = _message_for(viewer, message_id, opening=False)
        if found is None:
            return None
        thread = thread_for(viewer, found.thread_id)
        if thread is None:
            return None
        demand(may_change(viewer, thread), N_("Only the owner of a thread can delete its mails."))
        now = dt.datetime.now(UTC)
        Message.update(deleted_at=now, deleted_by=f"rep:{viewer.email}").where(Message.id == message_id).execute()
        if not Message.select().where(Message.thread == thread.id, Message.deleted_at.is_null()).exists():
            Thread.update(deleted_at=now).where(Thread.id == thread.id).execute()
        _gone_or_back(viewer, thread, "message-deleted", now)
        return undo.offer(viewer, "delete-message", {"message": message_id})


def restore_message(viewer: Viewer, message_id: int) -> bool:
    """Bring a deleted mail back, and its thread when that went with it."""
    if not is_id(message_id):
        return False
    with write():
        found = Message.select(Message.id, Message.thread, Message.deleted_at).where(Message.id == message_id, Message.deleted_at.is_null(False)).first()
        if found is None:
            return False
        thread = thread_for(viewer, found.thread_id) or thread_for(viewer, found.thread_id, deleted=True)
        if thread is None or not may_change(viewer, thread):
            return False
        Message.update(deleted_at=None, deleted_by=None).where(Message.id == message_id).execute()
        if thread.deleted_at is not None:
            _live_again(thread)
        _gone_or_back(viewer, thread, "message-restored", dt.datetime.now(UTC))
        return True


@undo.reverses("delete-message")
def _undelete_message(viewer: Viewer, facts: dict[str, Any]) -> bool:
    return restore_message(viewer, facts["message"])


# --- each reader's own state --------------------------------------------------------------------------------------


def _set_state(viewer: Viewer, thread_ids: Sequence[int], **state: Any) -> None:
    for thread_id in thread_ids:
        ThreadState.insert(rep=viewer.rep_id, thread=thread_id, **state).on_conflict(
            conflict_target=[ThreadState.rep, ThreadState.thread], update={getattr(ThreadState, name): value for name, value in state.items()}
        ).execute()
    if thread_ids:
        own = f"owner_id = ? AND id IN ({plain.marks(thread_ids)})"
        plain.do(f"UPDATE thread SET unread = {_UNREAD.format('thread.last_at')} WHERE {own}", viewer.rep_id, *thread_ids)


def archive(viewer: Viewer, thread_ids: Iterable[int], archived: bool = True) -> str:
    """Move threads to this reader's archive, or back; those that are not for this viewer are passed over."""
    with write():
        wanted = [ident for ident in thread_ids if is_id(ident)][:500]
        known = [ident for (ident,) in T.select(T.id).where(listed(viewer) & T.id.in_(wanted)).tuples()] if wanted else []
        _archive(viewer, known, archived)
        return undo.offer(viewer, "archive", {"threads": known, "archived": archived})


def _archive(viewer: Viewer, thread_ids: Sequence[int], archived: bool) -> None:
    _set_state(viewer, thread_ids, archived_at=dt.datetime.now(UTC) if archived else None)
    beat(f"rep:{viewer.rep_id}")


@undo.reverses("archive")
def _archive_back(viewer: Viewer, facts: dict[str, Any]) -> bool:
    _archive(viewer, facts["threads"], not facts["archived"])
    return True


def mark_seen(viewer: Viewer, thread_id: int, seen: bool = True) -> bool:
    """Mark a thread read or unread for this reader; False when there is no such thread."""
    thread = thread_for(viewer, thread_id)
    if thread is None:
        return False
    known = ThreadState.select(ThreadState.seen_at).where(ThreadState.rep == viewer.rep_id, ThreadState.thread == thread_id).tuples().first()
    seen_at = known[0] if known else None
    if seen == (seen_at is not None and seen_at >= thread.last_at):
        return True
    with write():
        _set_state(viewer, [thread_id], seen_at=max(thread.last_at, dt.datetime.now(UTC)) if seen else None)
    return True


# --- splitting ----------------------------------------------------------------------------------------------------


def split(viewer: Viewer, message_ids: Sequence[int]) -> tuple[int, str] | None:
    """Take some mails of one thread into a new one of the same owner (F36); its id and the undo token, or None.

    Raises BadInput when the mails are of several threads or all of the thread.
    """
    wanted = sorted({ident for ident in message_ids if is_id(ident)})[:500]
    if not wanted:
        return None
    with write():
        found = list(Message.select().where(Message.id.in_(wanted), Message.deleted_at.is_null()).order_by(Message.date, Message.id))
        threads = {mail.thread_id for mail in found}
        thread = thread_for(viewer, found[0].thread_id) if found and len(found) == len(wanted) else None
        if thread is None or any(thread_for(viewer, ident) is None for ident in threads):
            return None
        if len(threads) > 1:
            raise BadInput("messages", N_("choose mails of one thread only"))
        demand(may_change(viewer, thread), N_("Only the owner of a thread can split it."))
        if not Message.select().where(Message.thread == thread.id, Message.id.not_in(wanted), Message.deleted_at.is_null()).exists():
            raise BadInput("messages", N_("leave at least one mail in the thread"))
        fresh = _split_off(viewer, thread, found)
        return fresh, undo.offer(viewer, "split", {"from": thread.id, "into": fresh, "messages": wanted})


def _split_off(viewer: Viewer, thread: Any, mails: Sequence[Any]) -> int:
    first = mails[0]
    fresh = Thread.create(
        owner=thread.owner_id, conversation_id=thread.conversation_id, split_from=thread.id, sharing=thread.sharing, subject=first.subject,
        base_subject=thread.base_subject, started_at=first.date, last_at=mails[-1].date,
    )  # fmt: skip
    _move(mails, thread.id, fresh.id)
    # People and organisations follow the mails; records stay where they were chosen, so nothing is filed twice unasked.
    links.copy_people(thread.id, fresh.id, [mail.id for mail in mails])
    _after_move(viewer, thread, (thread.id, fresh.id), "thread-split")
    return int(fresh.id)


def _move(mails: Sequence[Any], source: int, target: int) -> None:
    Message.update(thread=target).where(Message.id.in_([mail.id for mail in mails])).execute()
    Outcome.update(thread=target).where(Outcome.inbound_id.in_([mail.inbound_id for mail in mails])).execute()
    own_ids = [mail.message_id for mail in mails if mail.message_id]
    if own_ids:
        ThreadId.delete().where(ThreadId.thread == target, ThreadId.message_id.in_(own_ids)).execute()
        ThreadId.update(thread=target).where(ThreadId.thread == source, ThreadId.message_id.in_(own_ids)).execute()


def _after_move(viewer: Viewer, thread: Any, changed: Iterable[int], act: str) -> None:
    for ident in changed:
        refresh_row(ident)
        search.set_access(ident)
    if thread.owner_id != viewer.rep_id:
        note(viewer, act, f"thread:{thread.id}", dt.datetime.now(UTC))
    beat_thread(thread.owner_id, thread.sharing)


@undo.reverses("split")
def _join_again(viewer: Viewer, facts: dict[str, Any]) -> bool:
    source, target = thread_for(viewer, facts["from"]), thread_for(viewer, facts["into"])
    if source is None or target is None or not may_change(viewer, source):
        return False
    mails = list(Message.select().where(Message.thread == target.id))
    _move(mails, target.id, source.id)
    ThreadId.delete().where(ThreadId.thread == target.id).execute()
    Thread.update(deleted_at=dt.datetime.now(UTC)).where(Thread.id == target.id).execute()
    _after_move(viewer, source, (source.id,), "split-undone")
    return True

