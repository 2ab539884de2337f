"""The rows of the inbox: read from the thread's own row alone, by key, newest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from core.store.database import main_db
from core.store.fields import from_micros, to_micros
from core.store.models import T, ThreadState
from core.store.paging import Page, cursor_of, read_cursor
from core.store.plain import condition as condition_of
from core.store.visibility import Viewer, listed, visible

# A name of its own, so that conditions in plain SQL can name it beside the thread (t): the reader's state.
S: Any = ThreadState.alias("s")


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """What the inbox shows of a thread. `redacted`: an admin's row of another's private thread, without what was written."""

    id: int
    owner_id: int
    owner: str
    owner_name: str
    sharing: str
    subject: str
    who: str
    snippet: str
    started_at: dt.datetime
    last_at: dt.datetime
    message_count: int
    chips: list[dict[str, Any]]
    waiting: str | None
    waiting_reason: str
    linked: bool
    has_attachment: bool
    badge: str
    conversation_id: str
    unread: bool
    archived: bool
    redacted: bool = False


# Written out: to put these words together from the model costs more than to ask the question. One parameter: whoever reads.
_ROWS = (
    "SELECT t.id, t.owner_id, o.email, o.name, t.sharing, t.subject, t.who, t.snippet, t.started_at, t.last_at, t.message_count, t.chips, t.waiting,"
    " t.waiting_reason, t.linked, t.has_attachment, t.badge, t.conversation_id, s.seen_at, s.archived_at"
    " FROM thread t JOIN rep o ON o.id = t.owner_id LEFT JOIN thread_state s ON s.thread_id = t.id AND s.rep_id = ? WHERE "
)


_Raw = Sequence[Any]  # the columns as the database gives them


def _row(viewer: Viewer, values: _Raw) -> ThreadRow:
    (
        ident, owner_id, owner, owner_name, sharing, subject, who, snippet, started_at, last_at, message_count, chips, waiting, waiting_reason, linked,
        has_attachment, badge, conversation_id, seen_at, archived_at,
    ) = values  # fmt: skip
    if owner_id == viewer.rep_id or sharing == "company":
        return ThreadRow(
            ident, owner_id, owner, owner_name, sharing, subject, who, snippet, from_micros(started_at), from_micros(last_at), message_count,
            msgspec.json.decode(chips), waiting, waiting_reason, bool(linked), bool(has_attachment), badge, conversation_id,
            seen_at is None or seen_at < last_at, archived_at is not None,
        )  # fmt: skip
    # Who, when and state: what an admin may know of another's private thread.
    return ThreadRow(
        ident, owner_id, owner, owner_name, sharing, "", "", "", from_micros(started_at), from_micros(last_at), message_count, [], waiting, "", bool(linked),
        False, badge, conversation_id, False, archived_at is not None, True,
    )  # fmt: skip


def ask(text: str, viewer: Viewer, condition: Any, end: str = "") -> Any:
    """The cursor of a question that is plain SQL before its condition, with one `?` for who reads, and after it."""
    where, params = main_db.get_sql_context().sql(condition).query()
    return main_db.execute_sql(text.replace("?", main_db.obj.param) + where + end, (viewer.rep_id, *params))


_NEWEST_FIRST = " ORDER BY t.last_at DESC, t.id DESC"


def one(viewer: Viewer, thread_id: int) -> ThreadRow | None:
    """The row of a thread that stands in this viewer's lists."""
    found = ask(_ROWS, viewer, listed(viewer) & (T.id == thread_id)).fetchone()
    return _row(viewer, found) if found else None


def many(viewer: Viewer, thread_ids: Sequence[int], *, readable: bool = True) -> list[ThreadRow]:
    """The rows of these threads, in the given order, without those that are not for this viewer."""
    if not thread_ids:
        return []
    rule = visible(viewer) if readable else listed(viewer)
    found = {row.id: row for row in (_row(viewer, values) for values in ask(_ROWS, viewer, rule & these(thread_ids)).fetchall())}
    return [found[thread_id] for thread_id in thread_ids if thread_id in found]


_OF_CONVERSATIONS = (
    f"{_ROWS} t.id IN (SELECT id FROM (SELECT t.id AS id, ROW_NUMBER() OVER (PARTITION BY t.conversation_id ORDER BY t.last_at DESC, t.id DESC) AS place"
    " FROM thread t WHERE "
)


def of_conversations(viewer: Viewer, conversations: Collection[str], condition: Any, most: int) -> list[ThreadRow]:
    """Of each of these conversations the newest threads that meet the condition, at most so many; newest first."""
    if not conversations:
        return []
    rule = T.conversation_id.in_(list(conversations)) & condition
    found = ask(_OF_CONVERSATIONS, viewer, rule, f") AS n WHERE place <= {int(most)}){_NEWEST_FIRST}")
    return [_row(viewer, values) for values in found.fetchall()]


Branch = Any  # a condition on T that one index answers in the order of the list
MOST_SORTED = 500  # threads: of more a walk finds a page sooner than they are sorted


def own(viewer: Viewer) -> Branch:
    return condition_of("t.owner_id = ?", (viewer.rep_id,))


def others_shared(viewer: Viewer) -> Branch:
    return condition_of("t.sharing = 'company' AND t.owner_id != ?", (viewer.rep_id,))


def others_private(viewer: Viewer) -> Branch:
    return condition_of("t.sharing = 'private' AND t.owner_id != ?", (viewer.rep_id,))


def among(column: str, ids: Collection[int]) -> str:
    """The column is one of these ids, as plain SQL: written out, because thousands of parameters cost more than the question."""
    return f"{column} IN ({', '.join(map(str, map(int, ids)))})" if ids else "1 = 0"


def these(thread_ids: Collection[int]) -> Branch:
    """Threads that are known already; they are sorted, not walked."""
    return condition_of(among("t.id", thread_ids))


def cursor_after(row: ThreadRow) -> str:
    """The place in a list of threads behind this one."""
    return cursor_of(to_micros(row.last_at), row.id)


_Place = tuple[int, ...]  # last_at and id: where a thread stands in a list


def page(viewer: Viewer, branches: Iterable[Branch], condition: Any, cursor: str | None, limit: int) -> Page[ThreadRow]:
    """The newest threads of several branches that meet the condition."""
    return _page(viewer, _places(viewer, branches, condition, read_cursor(cursor, 2), limit + 1), limit)


def page_in_portions(
    viewer: Viewer, branches: Sequence[Branch], condition: Any, asked: Callable[[Sequence[int]], Any], cursor: str | None, limit: int
) -> Page[ThreadRow]:
    """As `page`, for a further condition that is made for each portion of threads (`asked` of their ids)."""
    found: list[_Place] = []
    after, portion, looked = read_cursor(cursor, 2), 2 * limit, 0
    while len(found) <= limit:
        places = _places(viewer, branches, condition, after, portion)
        ids = [ident for _last_at, ident in places]
        kept = {ident for (ident,) in ask(_IDS, viewer, these(ids) & asked(ids)).fetchall()} if ids else set()
        found += [place for place in places if place[1] in kept]
        if len(places) < portion:
            break
        after, looked = places[-1], looked + portion
        portion = min(limit + looked * (limit + 1 - len(found)) // max(len(found), 1), _MOST_AT_ONCE)  # as many as will do when it goes on so
    return _page(viewer, found, limit)


_MOST_AT_ONCE = 800
_JOINED = " FROM thread t LEFT JOIN thread_state s ON s.thread_id = t.id AND s.rep_id = ? WHERE "
_IDS = f"SELECT t.id{_JOINED}"
_PLACES = f"SELECT t.last_at, t.id{_JOINED}"


def _places(viewer: Viewer, branches: Iterable[Branch], condition: Any, after: _Place | None, most: int) -> list[_Place]:
    """Where the newest threads of these branches stand, at most so many, each branch walked along its own index.

    One query over "mine or shared" would sort every thread of the company; two short walks touch a page each. And what one
    branch has filled a page with, the next one can only add to with what is newer: it is walked no further than that.
    """
    rule = listed(viewer)
    if after is not None:
        rule &= condition_of("t.last_at <= ? AND (t.last_at < ? OR t.id < ?)", (after[0], *after))
    if condition is not None:
        rule &= condition
    found: list[_Place] = []
    for branch in branches:
        newer = branch & rule & condition_of("t.last_at >= ?", found[-1][:1]) if len(found) == most else branch & rule
        found += [(last_at, ident) for last_at, ident in ask(_PLACES, viewer, newer, f"{_NEWEST_FIRST} LIMIT {int(most)}").fetchall()]
        found = sorted(found, reverse=True)[:most]
    return found


def _page(viewer: Viewer, found: Sequence[_Place], limit: int) -> Page[ThreadRow]:
    """The rows of a page; one place more than it holds says that there is a next one."""
    shown = many(viewer, [ident for _last_at, ident in found[:limit]], readable=False)
    return Page(shown, cursor_of(*found[limit - 1]) if len(found) > limit else None)
