"""Search: what people type, understood without ever raising, answered from the index, newest first.

The language: words, "phrases", `-word`, OR, brackets, `beginning*`, and operators (`from:`, `is:unlinked`, `before:` …, see
docs/api.md). Text is answered by the index, in which the visibility rule is a term; every mail that comes out of it is
checked once more against the thread's own row, which is the truth.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from core.reasons import N_
from core.store import dialect, words
from core.store.database import at_end, main_db, run_sql
from core.store.dialect import Phrase
from core.store.fields import to_micros
from core.store.models import Message, Rep, T, Thread
from core.store.paging import cursor_of, read_cursor
from core.store.plain import condition as condition_of
from core.store.rows import MOST_SORTED, among, ask
from core.store.visibility import Viewer, visible

MOST_CHARACTERS = 256
MOST_TERMS = 16
MOST_DEPTH = 10
INDEXED = 200_000  # characters of text a mail

# --- writing the index --------------------------------------------------------------------------------------------


def create_tables() -> None:
    """Make the index; called by the migration."""
    dialect.create_search()


def access_terms(owner_id: int, shared: bool) -> list[str]:
    return [f"o{owner_id}", "shared"] if shared else [f"o{owner_id}"]


def index(
    message_id: int, *, at: dt.datetime, owner_id: int, shared: bool, subject: str, people: Iterable[tuple[str, str | None, str]], body: str, files: Iterable[str] = (),
    fresh: bool = False,
) -> None:  # fmt: skip
    """Index a mail inside the caller's transaction.

    at      the house's time of the mail
    people  (role, name, address) of each
    body    its new text
    fresh   it was never indexed: it goes in at the end of the transaction, together with the others that this brings
    """
    columns = {
        "subject": words.to_index(subject[:2000]),
        "names": words.of_people(people),
        "body": dialect.words_of(body[:INDEXED]),
        "files": words.to_index(" ".join(files)[:20_000]),
    }
    entry = dialect.Entry(message_id, to_micros(at), columns, access_terms(owner_id, shared), fresh)
    if fresh:
        at_end(dialect.write_entries, entry)
    else:
        dialect.write_entries([entry])


def remove(message_id: int) -> None:
    """Take a mail out of the index for good."""
    dialect.remove_entries([message_id])


def set_access(thread_id: int) -> None:
    """Bring the access terms of a thread's mails to its owner and sharing; deleted mails are found by nobody."""
    thread = Thread.select(Thread.owner, Thread.sharing, Thread.deleted_at).where(Thread.id == thread_id).tuples().first()
    if thread is None:
        return
    owner_id, sharing, deleted_at = thread
    rows = list(Message.select(Message.id, Message.deleted_at).where(Message.thread == thread_id).tuples())
    gone = [ident for ident, deleted in rows if deleted is not None or deleted_at is not None]
    there = [ident for ident, deleted in rows if deleted is None and deleted_at is None]
    dialect.write_access(there, access_terms(owner_id, sharing == "company"))
    dialect.write_access(gone, [])


# --- reading what was typed ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """Words to be found in the index."""

    phrase: Phrase
    shown: str


@dataclass(frozen=True)
class Fact:
    """A condition in plain SQL: over t and s, or (`of_mail`) over a mail m.

    few     the threads that meet it, as a question of the index: where they are few a search may begin with them
    thread  what the row of a thread with such a mail shows, as a condition over t without parameters: it spares looking at the mails of others
    until   microseconds: such a mail was written before
    """

    sql: str
    params: tuple[Any, ...]
    shown: str
    of_mail: bool = False
    few: str = ""
    thread: str = ""
    until: int | None = None


@dataclass(frozen=True)
class Every:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    part: Node


Node = Text | Fact | Every | Either | Not


@dataclass
class Query:
    """What was understood: the part for the index, the conditions beside it, and the sentences about it."""

    text: str | None = None  # in the language of the index, None when no word must be found
    beginnings: tuple[Phrase, ...] = ()  # what of it the index is slow to answer …
    loose: str = ""  # … and the text without that
    condition: str = ""  # over t, s
    params: list[Any] = field(default_factory=list)
    of_mail: tuple[Node, ...] = ()  # what is asked of single mails beside the text: over m (and t, s)
    begin: list[int] | None = None  # the threads to look among, when the query names few
    understood: str = ""
    notes: tuple[str, ...] = ()
    held: bool = False  # is:held: asks about mail that is in no thread
    contradicts: bool = False  # a word must be found and must not: the index would look at every mail that has it


_TOKEN = re.compile(
    r"""\s*(?: (?P<open>\() | (?P<close>\)) | (?P<minus>-)(?=[^\s-])
      | (?P<name>[a-z_]{2,10}):(?P<value>"[^"]*"?|[^\s()"]*)
      | "(?P<phrase>[^"]*)"? | (?P<word>[^\s()"]+) )""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass
class _Reader:
    """One pass over the typed text. Whatever is no grammar is text; nothing raises."""

    viewer: Viewer
    now: dt.datetime
    zone: dt.tzinfo
    notes: list[str] = field(default_factory=list)
    held: bool = False
    terms: int = 0

    def read(self, text: str) -> Node:
        self.tokens = [match for match in _TOKEN.finditer(text[:MOST_CHARACTERS]) if match.group().strip()]
        self.at = 0
        parts: list[Node] = []
        while self.at < len(self.tokens):  # a closing bracket too many is passed over
            parts.append(self._either(0))
            if self.at < len(self.tokens) and self.tokens[self.at]["close"]:
                self.at += 1
        if len(text) > MOST_CHARACTERS:
            self.notes.append(N_("Only the first 256 characters were looked at."))
        return Every(tuple(parts))

    def _either(self, depth: int) -> Node:
        parts = [self._all(depth)]
        while self._is_or():
            self.at += 1
            parts.append(self._all(depth))
        kept = tuple(part for part in parts if part != Every(()))
        return kept[0] if len(kept) == 1 else Either(kept) if kept else Every(())

    def _is_or(self) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at]["word"] == "OR"

    def _all(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.tokens) and not self.tokens[self.at]["close"] and not self._is_or():
            node = self._one(depth)
            if node is not None:
                parts.append(node)
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self, depth: int) -> Node | None:
        token = self.tokens[self.at]
        self.at += 1
        if token["minus"]:
            inner = self._one(depth) if self.at < len(self.tokens) and not self.tokens[self.at]["close"] else None
            return None if inner is None else Not(inner)
        if token["open"]:
            if depth >= MOST_DEPTH:
                return None
            node = self._either(depth + 1)
            if self.at < len(self.tokens) and self.tokens[self.at]["close"]:
                self.at += 1
            return None if node == Every(()) else node
        self.terms += 1
        if self.terms > MOST_TERMS:
            if self.terms == MOST_TERMS + 1:
                self.notes.append(N_("Only the first 16 terms were looked at."))
            return None
        if token["name"]:
            return self._operator(token)
        if token["phrase"] is not None:
            return self._text(token["phrase"], "", f'"{token["phrase"]}"')
        return self._text(token["word"], "", token["word"])

    def _text(self, typed: str, column: str, shown: str) -> Node | None:
        found, beginning = words.to_ask(typed)
        if not found:
            return None
        starred = typed.endswith("*") and len(found[-1]) >= 3
        return Text(Phrase(tuple(found), column, beginning or starred), shown)

    def _operator(self, token: re.Match[str]) -> Node | None:
        name, raw = token["name"].lower(), token["value"]
        value = raw.strip('"').strip()
        answer = _OPERATORS.get(name)
        if answer is None:  # http://…, re:hello and 12:30 are text
            return self._text(f"{token['name']}:{value}", "", f"{token['name']}:{raw}")
        node = answer(self, name, value) if value else None
        if node is None:
            self.notes.append(f"{name}:{value}")
        return node


def _person(reader: _Reader, name: str, value: str) -> Node | None:
    found, beginning = words.ask_for_person(words.ROLES[name], value)
    return Text(Phrase(tuple(found), "names", beginning), f"{name}:{value}") if found else None


def _column(reader: _Reader, name: str, value: str) -> Node | None:
    return reader._text(value, {"subject": "subject", "filename": "files"}[name], f"{name}:{value}")


def _has(reader: _Reader, name: str, value: str) -> Node | None:
    shown = f"has:{value.lower()}"
    if value.lower() in ("attachment", "attachments", "file"):
        held = "EXISTS (SELECT 1 FROM attachment a WHERE a.message_id = m.id AND NOT a.inline)"  # as the paper clip of a row has it
        return Fact(held, (), shown, of_mail=True, thread="t.has_attachment")
    if value.lower() == "link":
        return Fact("EXISTS (SELECT 1 FROM link l WHERE l.thread_id = t.id AND l.removed_at IS NULL)", (), shown)
    return None


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None


def _date(reader: _Reader, name: str, value: str) -> Node | None:
    """Days in the reader's zone, half-open: `after:` includes its day, `before:` excludes it."""
    day = _day(value)
    if day is None or not 1970 <= day.year <= 9000:
        return None
    start = to_micros(dt.datetime(day.year, day.month, day.day, tzinfo=reader.zone).astimezone(dt.UTC))
    return _written(name == "after", start, f"{name}:{day}")


def _written(after: bool, moment: int, shown: str) -> Fact:
    """Mails of this moment and later, or before it. A thread is listed at its newest mail."""
    return Fact(f"m.date {'>=' if after else '<'} ?", (moment,), shown, of_mail=True, thread=f"t.last_at >= {moment:d}" if after else f"t.oldest_at < {moment:d}", until=None if after else moment)


_AGE = re.compile(r"(\d{1,4})([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


def _age(reader: _Reader, name: str, value: str) -> Node | None:
    found = _AGE.fullmatch(value.lower())
    if found is None:
        return None
    days = min(int(found[1]) * _DAYS[found[2]], 20_000)
    moment = max(to_micros(reader.now - dt.timedelta(days=days)), 0)
    return _written(name == "newer_than", moment, f"{name}:{value.lower()}")


_IS = {
    "unread": "(s.seen_at IS NULL OR s.seen_at < t.last_at)",
    "read": "s.seen_at >= t.last_at",
    "archived": "s.archived_at IS NOT NULL",
    "linked": "t.linked",
    "unlinked": "NOT t.linked",
    "private": "t.sharing = 'private'",
    "company": "t.sharing = 'company'",
    "shared": "t.sharing = 'company'",
    "waiting": "t.waiting IS NOT NULL",
}


def _is(reader: _Reader, name: str, value: str) -> Node | None:
    if value.lower() == "held":
        reader.held = True
        return Fact("1 = 0", (), "is:held")
    sql = _IS.get(value.lower())
    return Fact(sql, (), f"is:{value.lower()}") if sql else None


_MOST_NAMED = 5000  # contacts, organisations or records that one name may stand for before the walk compares names itself


def _linked(reader: _Reader, name: str, value: str) -> Node | None:
    """By id, or by a part of the title."""
    kind = {"org": "organisation"}.get(name, name)
    params: tuple[Any, ...]
    column = {"contact": "contact_id", "organisation": "organisation_id"}.get(kind, "record_id")
    readable = f"l.removed_at IS NULL AND {among('l.reader', (reader.viewer.rep_id, 0))}"
    table, title = {"contact_id": ("contact", "name"), "organisation_id": ("organisation", "name")}.get(column, ("record", "title"))
    holds = f"lower(x.{title}) LIKE lower(?) ESCAPE '\\'"
    if value.isascii() and value.isdigit() and len(value) < 19:
        ids = [int(value)]
    else:
        found = run_sql(main_db, f"SELECT x.id FROM {table} x WHERE {holds} LIMIT {_MOST_NAMED + 1}", (dialect.contains(value),)).fetchall()
        ids = [ident for (ident,) in found]
    if len(ids) <= _MOST_NAMED:
        live, params = f"FROM link l WHERE {readable} AND l.kind = ? AND {among(f'{{}}l.{column}', ids)}", (kind,)
        few = f"SELECT l.thread_id {live.format('')}"
    else:
        live, params = f"FROM link l JOIN {table} x ON x.id = l.{column} WHERE {readable} AND l.kind = ? AND {holds}", (kind, dialect.contains(value))
        few = ""  # what so many stand on is met soon on a walk
    # Of a thread that is known already its own links are looked at, not all those of the record: the plus keeps its index out.
    return Fact(f"EXISTS (SELECT 1 {live.format('+')} AND l.thread_id = t.id)", params, f"{name}:{value}", few=few)


_Operator = Callable[[_Reader, str, str], "Node | None"]
_OPERATORS: dict[str, _Operator] = {
    **dict.fromkeys(("from", "to", "cc"), _person),
    **dict.fromkeys(("subject", "filename"), _column),
    "has": _has,
    **dict.fromkeys(("before", "after"), _date),
    **dict.fromkeys(("older_than", "newer_than"), _age),
    "is": _is,
    **dict.fromkeys(("deal", "lead", "project", "org", "organisation", "contact"), _linked),
}

# --- from what was understood to a query --------------------------------------------------------------------------


def _shown(node: Node) -> str:
    """The query as it was understood, for below the search box."""
    if isinstance(node, Text | Fact):
        return node.shown
    if isinstance(node, Not):
        return "-" + (f"({_shown(node.part)})" if isinstance(node.part, Every | Either) else _shown(node.part))
    if isinstance(node, Every):
        return " ".join(f"({_shown(part)})" if isinstance(part, Either) and len(node.parts) > 1 else _shown(part) for part in node.parts)
    return " OR ".join(_shown(part) for part in node.parts)


def _is_for_index(node: Node) -> bool:
    """True when the index can answer the node: no fact stands in it, and something in it must be found."""
    if isinstance(node, Either):
        return all(_is_for_index(part) for part in node.parts)
    if isinstance(node, Every):
        wanted = [part for part in node.parts if not isinstance(part, Not)]
        return bool(wanted) and all(_is_for_index(part.part if isinstance(part, Not) else part) for part in node.parts)
    return isinstance(node, Text)


def _wanted(node: Node) -> str:
    """A node that is for the index, in its language."""
    if isinstance(node, Text):
        return dialect.phrase(node.phrase)
    if isinstance(node, Either):
        return dialect.either([_wanted(part) for part in node.parts])
    assert isinstance(node, Every)
    return _wanted_all(node.parts)


def _wanted_all(parts: Sequence[Node]) -> str:
    query = dialect.both([_wanted(part) for part in parts if not isinstance(part, Not)])
    unwanted = [_wanted(part.part) for part in parts if isinstance(part, Not)]
    return dialect.without(query, unwanted) if unwanted else query


class _Sql:
    """A node as a condition in plain SQL over t, s and one mail m, which is one of `among`.

    Text is looked up in the index among these mails alone: the hits in all mail may be most of it.
    """

    def __init__(self, viewer: Viewer, among: Iterable[int]) -> None:
        self.access = access_terms(viewer.rep_id, True)
        self.among = sorted(among)
        self.params: list[Any] = []

    def mails_with(self, node: Node) -> Collection[int]:
        """Those of the mails that a node for the index finds."""
        if isinstance(node, Text) and dialect.is_slow(node.phrase):
            return dialect.that_begin(self.among, [node.phrase])
        return dialect.hits_among(dialect.within(_wanted(node), self.access), self.among)

    def write(self, node: Node) -> str:
        if isinstance(node, Text):
            return among("m.id", self.mails_with(node))
        if isinstance(node, Fact):
            self.params += node.params
            return node.sql
        if isinstance(node, Not):
            return f"NOT COALESCE(({self.write(node.part)}), FALSE)"
        joined = " AND " if isinstance(node, Every) else " OR "
        return "(" + joined.join(self.write(part) for part in node.parts) + ")" if node.parts else "TRUE"


def _has_text(node: Node) -> bool:
    if isinstance(node, Not):
        return _has_text(node.part)
    return isinstance(node, Text) or (isinstance(node, Every | Either) and any(_has_text(part) for part in node.parts))


def _of_mail(node: Node) -> bool:
    """True when the node asks about single mails, not about the thread alone."""
    if isinstance(node, Text):
        return True
    if isinstance(node, Fact):
        return node.of_mail
    if isinstance(node, Not):
        return _of_mail(node.part)
    return any(_of_mail(part) for part in node.parts)


def _flat(node: Node) -> list[Node]:
    """The parts that must all hold."""
    if isinstance(node, Every):
        return [inner for part in node.parts for inner in _flat(part)]
    return [node]


def understand(viewer: Viewer, text: str, now: dt.datetime | None = None) -> Query:
    """Read what was typed. Never raises; what was not understood stands in `notes`."""
    now = now or dt.datetime.now(dt.UTC)
    reader = _Reader(viewer, now, _zone(viewer) if ":" in text else dt.UTC)
    node = reader.read(text.replace("\x00", " "))
    query = Query(understood=_shown(node), notes=tuple(reader.notes), held=reader.held)
    parts = _flat(node)
    positive = [part for part in parts if _is_for_index(part)]
    negative = [part for part in parts if isinstance(part, Not) and _is_for_index(part.part)] if positive else []
    if positive:
        access = access_terms(viewer.rep_id, True)
        query.text = dialect.within(_wanted_all([*positive, *negative]), access)
        query.contradicts = any(isinstance(part, Not) and part.part in positive for part in negative)
        slow = [part for part in positive if isinstance(part, Text) and dialect.is_slow(part.phrase)]
        if slow:
            query.beginnings = tuple(part.phrase for part in slow)
            query.loose = _loose([part for part in positive if part not in slow], negative, access)
    rest = [part for part in parts if part not in positive and part not in negative]
    of_thread = [part for part in rest if not _of_mail(part)]
    query.of_mail = tuple(part for part in rest if _of_mail(part))
    if of_thread:
        sql = _Sql(viewer, ())
        query.condition = sql.write(Every(tuple(of_thread)))
        query.params = sql.params
        most = MOST_SORTED if query.text is None else _FEW
        query.begin = next((found for part in of_thread if isinstance(part, Fact) and part.few and (found := _few_threads(part, most)) is not None), None)
    return query


def _loose(positive: Sequence[Node], negative: Sequence[Node], access: Sequence[str]) -> str:
    """What is asked of the index beside the beginnings that it is slow to answer."""
    if positive:
        return dialect.within(_wanted_all([*positive, *negative]), access)
    unwanted = [_wanted(part.part) for part in negative if isinstance(part, Not)]
    return dialect.without(dialect.anything(access), unwanted) if unwanted else dialect.anything(access)


def asks_for_held(viewer: Viewer, text: str) -> bool:
    """True when the text holds is:held, which no conversation can answer: held mail stands in none."""
    return "held" in text.lower() and understand(viewer, text).held


def _zone(viewer: Viewer) -> dt.tzinfo:
    row = Rep.select(Rep.time_zone).where(Rep.id == viewer.rep_id).tuples().first()
    try:
        return ZoneInfo(row[0]) if row else dt.UTC
    except (KeyError, ValueError, OSError):
        return dt.UTC


_SOME_MAIL = "EXISTS (SELECT 1 FROM message m WHERE m.thread_id = t.id AND m.deleted_at IS NULL AND {})"


def condition_of_threads(query: Query) -> Any:
    """What a query asks of threads, as a condition; None when it asks nothing."""
    return condition_of(query.condition, query.params) if query.condition else None


def asks_for_text(query: Query) -> bool:
    """True when a query without text that must be found has text all the same: excluded, or as one of several choices."""
    return any(_has_text(part) for part in query.of_mail)


def condition_of_mails(viewer: Viewer, query: Query, thread_ids: Sequence[int] = ()) -> Any:
    """What a query without text asks of the mails of a thread, as a condition on threads; None when it asks nothing.

    One mail of the thread must meet all that is asked of a mail; what is excluded may stand in none of them.
    A query that `asks_for_text` is answered for these threads alone.
    """
    if not query.of_mail:
        return None
    mails = _mails_of(thread_ids) if asks_for_text(query) else {}
    sql = _Sql(viewer, mails)
    asked = tuple(part for part in query.of_mail if not isinstance(part, Not))
    parts = [part.thread for part in asked if isinstance(part, Fact) and part.thread]
    parts += [_SOME_MAIL.format(sql.write(Every(asked)))] if asked else []
    for part in query.of_mail:
        if isinstance(part, Not):
            if _is_for_index(part.part):
                parts.append(f"NOT ({among('t.id', {mails[ident] for ident in sql.mails_with(part.part)})})")
            else:
                parts.append("NOT " + _SOME_MAIL.format(sql.write(part.part)))
    return condition_of(" AND ".join(parts), sql.params)


def _mails_of(thread_ids: Sequence[int]) -> dict[int, int]:
    """The mails of these threads: id -> thread."""
    if not thread_ids:
        return {}
    return dict(run_sql(main_db, f"SELECT id, thread_id FROM message WHERE {among('thread_id', thread_ids)} AND deleted_at IS NULL").fetchall())


# --- finding ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hit:
    """A thread that was found, and its newest mail that matches."""

    thread_id: int
    message_id: int


@dataclass(frozen=True, slots=True)
class Found:
    hits: list[Hit]
    next: str | None = None
    understood: str = ""
    notes: tuple[str, ...] = ()
    held: bool = False


M: Any = Message.alias("m")
_CHUNK = 60  # mails of the index that are looked at first: three for each row of a page
TOO_SLOW = N_("The search was stopped because it took too long; add a word or a date to narrow it down.")


def find(viewer: Viewer, text: str, cursor: str | None = None, limit: int = 50, condition: Any = None) -> Found:
    """The threads with a mail that matches, newest mail first. Never raises but BadInput for a cursor that is none of ours.

    `condition` limits the threads further (over t and s). A text in which no word must be found gives no hits here:
    `core.store.threads.page` answers it by walking the inbox.
    """
    query = understand(viewer, text)
    return find_query(viewer, query, cursor, limit, condition)


def find_query(viewer: Viewer, query: Query, cursor: str | None, limit: int, condition: Any = None) -> Found:
    after = read_cursor(cursor, 1)
    before = after[0] if after else 2**62
    if query.text is None or query.contradicts or before <= 0:
        return Found([], None, query.understood, query.notes, query.held)
    found: dict[int, int] = {}
    place: int | None = before
    try:
        with dialect.patience():
            place = _collect(viewer, query, before, limit, condition, found)
        notes = query.notes
    except dialect.TooSlow:
        notes, place = (*query.notes, TOO_SLOW), None
    hits = [Hit(thread, message) for thread, message in found.items()][:limit]
    return Found(hits, cursor_of(place) if place is not None else None, query.understood, notes, query.held)


def _collect(viewer: Viewer, query: Query, before: int, limit: int, condition: Any, found: dict[int, int]) -> int | None:
    """Fill `found` up to the limit; gives the id below which the next page goes on, or None at the end."""
    began = before
    with closing(_hits(viewer, query, before)) as portions:
        for ids in portions:
            fresh = [(message, thread) for message, thread in _checked(viewer, query, ids, condition) if thread not in found]
            shown_before = _shown_before(viewer, query, {thread for _, thread in fresh}, began, condition)
            for message, thread in fresh:
                if thread in found or thread in shown_before:
                    continue
                if len(found) == limit:
                    return before
                found[thread] = message
                before = message
            before = ids[-1]
    return None


_FEW = 5000  # threads whose mails a query for words may begin with


def _hits(viewer: Viewer, query: Query, before: int) -> Generator[list[int], None, None]:
    """The mails below `before` that the index gives for the text, newest first, in growing portions."""
    few = _mails_to_begin_with(viewer, query, before)
    if few is not None and (not query.beginnings or len(few) <= _MOST_LOOKED_THROUGH):
        hits = sorted(_among(query, few), reverse=True)
        yield from (hits[at : at + _CHUNK] for at in range(0, len(hits), _CHUNK))
        return
    until = min((part.until for part in query.of_mail if isinstance(part, Fact) and part.until is not None), default=None)
    if query.beginnings:
        before = yield from _looked_through(query, before, until)
    yield from dialect.hits(query.text or "", before, _CHUNK, until)


_SPARSE = 6  # mails for each that matches: where more are needed, the index is asked
_MOST_LOOKED_THROUGH = 600  # mails of one question


def _looked_through(query: Query, before: int, until: int | None) -> Generator[list[int], None, int]:
    """The newest mails with such beginnings, found by looking at their words as long as many match; at last the id below which the index must answer."""
    looked, matching = 0, 0
    with closing(dialect.hits(query.loose, before, _CHUNK, until)) as portions:
        for portion in portions:
            ids = portion[: _MOST_LOOKED_THROUGH - looked]
            if found := dialect.that_begin(ids, query.beginnings):
                yield found
            looked, matching, before = looked + len(ids), matching + len(found), ids[-1]
            if matching * _SPARSE < looked or looked >= _MOST_LOOKED_THROUGH:
                return before
    return 0


def _among(query: Query, message_ids: Sequence[int]) -> list[int]:
    """Those of these mails that match the text."""
    found = sorted(dialect.hits_among(query.loose or query.text or "", message_ids))
    return dialect.that_begin(found, query.beginnings) if query.beginnings and found else found


def _few_threads(fact: Fact, most: int) -> list[int] | None:
    """The threads that meet it, None when there are too many of them to begin a search with."""
    found = run_sql(main_db, f"{fact.few} LIMIT {most + 1}", fact.params).fetchall()
    return [int(ident) for (ident,) in found] if len(found) <= most else None


def _mails_to_begin_with(viewer: Viewer, query: Query, before: int) -> list[int] | None:
    """The readable mails of the few threads that the query names; None when it names none, or too many."""
    if query.begin is None:
        return None
    readable = [ident for (ident,) in T.select(T.id).where(condition_of(among("t.id", query.begin)) & visible(viewer)).tuples()]
    return [ident for ident in _mails_of(readable) if ident < before]


def _checked(viewer: Viewer, query: Query, ids: Sequence[int], condition: Any) -> list[tuple[int, int]]:
    """Of these mails those that the rows let this viewer see and that meet the conditions: (mail, thread), newest first."""
    if not ids:
        return []
    rule = visible(viewer) & condition_of(among("m.id", ids))
    if query.condition:
        rule &= condition_of(query.condition, query.params)
    if query.of_mail:
        sql = _Sql(viewer, ids)
        rule &= condition_of(sql.write(Every(query.of_mail)), sql.params)
    if condition is not None:
        rule &= condition
    return [(int(message), int(thread)) for message, thread in ask(_MAILS, viewer, rule, " ORDER BY m.id DESC").fetchall()]


# A cross join keeps SQLite from starting at the threads: it would walk everything that the viewer may see.
_MAILS = (
    "SELECT m.id, m.thread_id FROM message m CROSS JOIN thread t LEFT JOIN thread_state s ON s.thread_id = t.id AND s.rep_id = ?"
    " WHERE t.id = m.thread_id AND m.deleted_at IS NULL AND "
)


def _shown_before(viewer: Viewer, query: Query, threads: set[int], began: int, condition: Any) -> set[int]:
    """Of these threads those that a page before has shown already by a newer mail."""
    if not threads or began >= 2**62:
        return set()
    newer = [ident for (ident,) in M.select(M.id).where(M.thread.in_(list(threads)), M.id >= began).limit(5000).tuples()]
    return {thread for _, thread in _checked(viewer, query, _among(query, newer), condition)}
