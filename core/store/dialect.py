"""The full-text index of the mails: the only place with SQL that differs between SQLite and PostgreSQL.

Both index the same words (core.store.words). An entry carries an access term, `o7` for the owner and `shared` for the
company, and every question ends with it: what a viewer may not see is not even walked over. The words that people type are
letters and digits only, so none of them can name the access term.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from peewee import SQL, DatabaseError, NodeList, OperationalError, Value, fn

from core.store import words
from core.store.database import is_sqlite, main_db, run_sql, write

PATIENCE = 2.0  # seconds that one search may take
_MOST_WORDS = 16_000  # PostgreSQL keeps no positions beyond 16 383
_STEPS = 20_000  # SQLite's steps between two looks at the clock: about a millisecond

# Each filed mail is a small index of its own first. Merging eight of a size in place of four writes each word half as often;
# only thirty-two of a size, which merging by portions never lets come, would be merged at once while others wait.
_MERGING = {"automerge": 8, "crisismerge": 32}

_COLUMNS = ("subject", "names", "body", "files")
_WEIGHTS = {"subject": "A", "names": "B", "files": "C", "body": "D"}


class TooSlow(Exception):
    """The search was stopped because it took too long."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words one after the other, in one column or in any. `beginning`: the last word may go on."""

    words: tuple[str, ...]
    column: str = ""
    beginning: bool = False


# --- tables -------------------------------------------------------------------------------------------------------


def create_search() -> None:
    """Make the index when it is missing. Safe to repeat."""
    if is_sqlite():
        # The words are folded already; marks belong to the words, or scripts with vowel signs would be taken apart.
        main_db.execute_sql(
            "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5"
            "(subject, names, body, files, access, tokenize = \"unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'\")"
        )
        known = dict(main_db.execute_sql("SELECT k, v FROM search_config").fetchall())
        for name, value in _MERGING.items():
            if known.get(name) != value:
                main_db.execute_sql("INSERT INTO search (search, rank) VALUES (?, ?)", (name, value))
        return
    main_db.execute_sql("CREATE TABLE IF NOT EXISTS search (message_id bigint PRIMARY KEY, document tsvector NOT NULL)")
    main_db.execute_sql("CREATE INDEX IF NOT EXISTS search_document ON search USING gin (document)")


# Ids: of each stretch of mails that came one after the other the time of the oldest is kept (search_stretch, made by a migration).
_STRETCH = 1000


# --- writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A mail as the index holds it.

    written_at  the house's time of the mail, in microseconds
    columns     the words of subject, names, body and files
    access      the access terms of those who may find it
    fresh       it was never indexed
    """

    message_id: int
    written_at: int
    columns: Mapping[str, Sequence[str]]
    access: Sequence[str]
    fresh: bool = False


def write_entries(entries: Sequence[Entry]) -> None:
    """Index the words of mails, in place of what was there.

    SQLite's index writes what it has gathered when it commits, but also before every statement that may have to be taken back by itself
    (one of several rows), so the entries come one after the other: a small index for all of them together in place of one for each.
    """
    if not is_sqlite():
        for entry in entries:
            run_sql(
                main_db,
                "INSERT INTO search (message_id, document) VALUES (?, ?::tsvector) ON CONFLICT (message_id) DO UPDATE SET document = EXCLUDED.document",
                (entry.message_id, _vector(entry.columns, entry.access)),
            )
        return
    oldest: dict[int, int] = {}
    for entry in sorted(entries, key=lambda entry: entry.message_id):  # an id that is smaller than the one before has the index write, too
        if not entry.fresh:
            run_sql(main_db, "DELETE FROM search WHERE rowid = ?", (entry.message_id,))
        run_sql(
            main_db,
            "INSERT INTO search (rowid, subject, names, body, files, access) VALUES (?, ?, ?, ?, ?, ?)",
            (entry.message_id, *(" ".join(entry.columns[name]) for name in _COLUMNS), " ".join(entry.access)),
        )
        stretch = entry.message_id // _STRETCH
        oldest[stretch] = min(entry.written_at, oldest.get(stretch, entry.written_at))
    for stretch, written_at in oldest.items():
        run_sql(
            main_db,
            "INSERT INTO search_stretch (stretch, oldest) VALUES (?, ?) ON CONFLICT (stretch) DO UPDATE SET oldest = excluded.oldest WHERE excluded.oldest < oldest",
            (stretch, written_at),
        )


_LONGEST = 100  # letters of one word, as in core.store.words


def words_of(text: str) -> Sequence[str]:
    """The words of a body as an entry takes them.

    SQLite's tokenizer cuts plain ASCII exactly as our function does, and ten times as quickly, so such a text goes there
    as it is, in small letters; a text with a run longer than a word may be is cut by ours.
    """
    if is_sqlite() and text.isascii() and max(map(len, text.split()), default=0) <= _LONGEST:
        return [text.lower().replace("_", " ")]
    return words.to_index(text)


def _vector(columns: Mapping[str, Sequence[str]], access: Sequence[str]) -> str:
    """The text form of a tsvector. Words hold letters and digits only, so nothing needs escaping but the access terms."""
    places: dict[str, list[str]] = {f"#{term}": [] for term in access}
    at = 0
    for column in ("subject", "names", "files", "body"):
        weight = _WEIGHTS[column]
        for word in columns[column]:
            at += 1
            if at > _MOST_WORDS:
                break
            known = places.setdefault(word, [])
            if len(known) < 255:
                known.append(f"{at}{weight}")
        at += 1  # no phrase runs from one column into the next
    return " ".join(f"'{word}':{','.join(found)}" if found else f"'{word}'" for word, found in places.items())


def write_access(message_ids: Sequence[int], access: Sequence[str]) -> None:
    """Change who finds these mails; nobody when `access` is empty."""
    for message_id in message_ids:
        if is_sqlite():
            run_sql(main_db, "UPDATE search SET access = ? WHERE rowid = ?", (" ".join(access), message_id))
        else:
            run_sql(
                main_db,
                "UPDATE search SET document = ts_delete(document, ARRAY(SELECT lexeme FROM unnest(document) WHERE left(lexeme, 1) = '#'))"
                " || array_to_tsvector(?::text[]) WHERE message_id = ?",
                ([f"#{term}" for term in access], message_id),
            )


def remove_entries(message_ids: Sequence[int]) -> None:
    for message_id in message_ids:
        run_sql(main_db, f"DELETE FROM search WHERE {_key()} = ?", (message_id,))


# --- the language of the index ------------------------------------------------------------------------------------


def phrase(wanted: Phrase) -> str:
    """One phrase in the language of the database's index."""
    if is_sqlite():
        columns = wanted.column or " ".join(_COLUMNS)
        words = " ".join(wanted.words)
        return f'{{{columns}}} : "{words}"' + (" *" if wanted.beginning else "")
    weight = _WEIGHTS.get(wanted.column, "")
    last = len(wanted.words) - 1
    parts = []
    for at, word in enumerate(wanted.words):
        marks = ("*" if wanted.beginning and at == last else "") + weight
        parts.append(f"'{word}':{marks}" if marks else f"'{word}'")
    return f"({' <-> '.join(parts)})"


def is_slow(wanted: Phrase) -> bool:
    """True for a beginning alone: SQLite's index reads all mails of all words that begin so before it gives the newest."""
    return is_sqlite() and wanted.beginning and len(wanted.words) == 1


def that_begin(message_ids: Sequence[int], wanted: Sequence[Phrase]) -> list[int]:
    """Those of these mails, in their order, whose indexed text has words with all of these beginnings. SQLite only.

    Raises TooSlow where the time of `patience` is over.
    """
    found: list[int] = []
    for at in range(0, len(message_ids), _READ_AT_ONCE):
        part = message_ids[at : at + _READ_AT_ONCE]
        rows = run_sql(main_db, f"SELECT rowid, {', '.join(_COLUMNS)} FROM search WHERE rowid IN ({', '.join(map(str, part))})").fetchall()
        texts = {ident: dict(zip(_COLUMNS, columns, strict=True)) for ident, *columns in rows}
        found += [ident for ident in part if ident in texts and all(_holds(texts[ident], one) for one in wanted)]
        _clock.look()
    return found


_READ_AT_ONCE = 60
# What stands before a word of the index: it is cut already, or it is small ASCII (`words_of`).
_BETWEEN_WORDS = frozenset(chr(number) for number in range(128) if not chr(number).isalnum())


def _holds(columns: Mapping[str, str], wanted: Phrase) -> bool:
    """A word of the column (or of any) begins so."""
    return any(_has_beginning(columns[name], wanted.words[0]) for name in ([wanted.column] if wanted.column else _COLUMNS))


def _has_beginning(text: str, beginning: str) -> bool:
    at = text.find(beginning)
    while at > 0 and text[at - 1] not in _BETWEEN_WORDS:
        at = text.find(beginning, at + 1)
    return at >= 0


def anything(access: Sequence[str]) -> str:
    """All that the holder of these access terms may find. SQLite only."""
    terms = " OR ".join(f'"{term}"' for term in access)
    return f"access : ({terms})"


def both(parts: Sequence[str]) -> str:
    return "(" + (" AND " if is_sqlite() else " & ").join(parts) + ")"


def either(parts: Sequence[str]) -> str:
    return "(" + (" OR " if is_sqlite() else " | ").join(parts) + ")"


def without(wanted: str, unwanted: Sequence[str]) -> str:
    """What matches `wanted` and none of `unwanted`. SQLite knows NOT between two sides only."""
    return f"({wanted} NOT {either(unwanted)})" if is_sqlite() else f"({wanted} & !{either(unwanted)})"


def within(query: str, access: Sequence[str]) -> str:
    """The query, limited to what the holder of these access terms may find. The brackets are what keeps an OR inside."""
    if is_sqlite():
        return f"({query}) AND {anything(access)}"
    terms = " | ".join(f"'#{term}'" for term in access)
    return f"({query}) & ({terms})"


# --- asking -------------------------------------------------------------------------------------------------------


def _key() -> str:
    return "rowid" if is_sqlite() else "message_id"


def _matches() -> str:
    return "search MATCH ?" if is_sqlite() else "document @@ ?::tsquery"


_MOST_AT_ONCE = 3200  # mails of one portion


def hits(query: str, before: int, portion: int, written_before: int | None = None) -> Generator[list[int], None, None]:
    """The ids of the matching mails below `before`, newest first, in growing portions; `portion`: how many the first one holds.

    written_before  microseconds; mails that were written later need not be among them
    """
    if is_sqlite() and written_before is None:
        # One walk, which goes on as long as somebody asks: to begin anew costs more than to go on.
        with closing(run_sql(main_db, "SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? ORDER BY rowid DESC", (query, before))) as walk:
            while ids := [int(ident) for (ident,) in walk.fetchmany(portion)]:
                yield ids
                portion = min(portion * 2, _MOST_AT_ONCE)
        return
    while ids := _hits_below(query, before, portion, written_before):
        yield ids
        if len(ids) < portion:
            return
        before, portion = ids[-1], min(portion * 2, _MOST_AT_ONCE)


def _hits_below(query: str, before: int, limit: int, written_before: int | None) -> list[int]:
    """The newest so many. Between two portions whole stretches are passed over where all mail is younger."""
    if written_before is not None and is_sqlite():
        old = run_sql(main_db, "SELECT stretch FROM search_stretch WHERE stretch <= ? AND oldest < ? ORDER BY stretch DESC LIMIT 1", ((before - 1) // _STRETCH, written_before))
        row = old.fetchone()
        before = min(before, (row[0] + 1) * _STRETCH) if row is not None else 0
    rows = run_sql(main_db, f"SELECT {_key()} FROM search WHERE {_matches()} AND {_key()} < ? ORDER BY {_key()} DESC LIMIT ?", (query, before, limit))
    return [int(row[0]) for row in rows.fetchall()]


_APART = 20_000  # ids: mails that are further apart are looked for one stretch after the other


def hits_among(query: str, message_ids: Iterable[int]) -> set[int]:
    """Those of these mails that match.

    By stretches of ids: walking the hits between two mails costs a thousandth of asking the index about each mail.
    """
    wanted = sorted(set(message_ids))
    found: set[int] = set()
    first = 0
    for at in range(1, len(wanted) + 1):
        if at == len(wanted) or wanted[at] - wanted[at - 1] > _APART:
            found.update(_hits_between(query, wanted[first], wanted[at - 1]))
            first = at
    return found.intersection(wanted)


def _hits_between(query: str, first: int, last: int) -> list[int]:
    rows = run_sql(main_db, f"SELECT {_key()} FROM search WHERE {_matches()} AND {_key()} BETWEEN ? AND ?", (query, first, last))
    return [int(row[0]) for row in rows.fetchall()]


class _Clock(threading.local):
    """When the search of this thread must have ended; SQLite looks at it by itself, but not while we read what it gave."""

    end = float("inf")

    def look(self) -> None:
        if time.monotonic() > self.end:
            raise TooSlow


_clock = _Clock()


@contextmanager
def patience(seconds: float = PATIENCE) -> Iterator[None]:
    """Stop what takes longer than this with TooSlow. Reading only: on PostgreSQL the block is a transaction."""
    if is_sqlite():
        connection = main_db.obj.connection()
        _clock.end = end = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            yield
        except (OperationalError, sqlite3.OperationalError) as error:  # the second while rows are fetched: peewee leaves that as it is
            if "interrupted" not in str(error):
                raise
            raise TooSlow from error
        finally:
            connection.set_progress_handler(None, 0)
            _clock.end = float("inf")
        return
    try:
        with main_db.atomic():
            main_db.execute_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            yield
            main_db.execute_sql("SET LOCAL statement_timeout = 0")
    except DatabaseError as error:
        if "statement timeout" in str(error):
            raise TooSlow from error
        raise


_TIDIED = 100  # pages of the index at once: some hundredths of a second


def tidy() -> int:
    """Make one part of the many in which the index was written, without what was deleted: a search looks into each of them.

    In portions, with as much time between them as they take: filing goes on. SQLite only; gives the number of portions.
    """
    if not is_sqlite():
        return 0
    portions, pages = 0, -_TIDIED  # a number below zero begins it (sqlite.org/fts5.html, the 'merge' command)
    while True:
        before, began = main_db.obj.connection().total_changes, time.monotonic()
        with write(durable=False):
            run_sql(main_db, "INSERT INTO search (search, rank) VALUES ('merge', ?)", (pages,))
        portions, pages = portions + 1, _TIDIED
        if main_db.obj.connection().total_changes - before < 2:
            return portions
        time.sleep(time.monotonic() - began)


# --- plain conditions ---------------------------------------------------------------------------------------------


def sifting(number: Any) -> Any:
    """A column of numbers as it stands in a condition that sifts what another one finds, never the way to find it.

    Without this the database chooses by guess among the indexes: it keeps no statistics of its tables, for they would be those
    of another day, and the guess is the wrong one as soon as there is much of everything.
    """
    return NodeList((SQL("+"), number), glue="")


def contains(text: str) -> str:
    """The text as a LIKE pattern that matches anywhere; its own wildcards are taken literally (escape is backslash)."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def like(field: Any, pattern: str) -> Any:
    """The field matches a pattern of `contains`, whatever the case of its letters."""
    return NodeList((fn.LOWER(field), SQL("LIKE LOWER("), Value(pattern), SQL(") ESCAPE '\\'")))
