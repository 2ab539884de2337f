"""Server time of the pages a rep uses all day, at several sizes: list, conversation, record, search. `make bench-pages`

A generator fills the tables of a fresh SQLite house, without mail passing through it. The reader is a rep who may see one
thread in a hundred: half of these are their own, the others are shared by colleagues. Times are of the whole request through
the app (session, page and template), without the network: p50 and p99, in milliseconds, of rounds that take turns between the sizes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import create_app
from core.settings import load_settings
from core.store import dialect, records, search, setup
from core.store.database import connected, main_db, write
from core.store.fields import from_micros, to_micros
from core.store.models import Rep
from core.store.paging import cursor_of
from core.store.passwords import hash_password
from core.store.reps import create_rep
from core.store.visibility import viewer_of
from core.web import settle

PASSWORD = "correct horse battery"
REPS = 100


YEARS = 5 * 365 * 86_400_000_000  # microseconds over which the mail is spread


@dataclass(frozen=True)
class Sizes:
    """How much there is. Customers and deals grow with the mail; number 1 of each is the largest: one thread in a hundred."""

    threads: int
    people: int
    organisations: int
    deals: int


def sizes(threads: int) -> Sizes:
    people = max(2000, threads // 50)
    return Sizes(threads, people, people * 3 // 20, max(400, threads // 250))


WORDS = [
    "offer",
    "chair",
    "desk",
    "lamp",
    "delivery",
    "invoice",
    "oak",
    "steel",
    "price",
    "visit",
    "order",
    "sample",
    "monday",
    "friday",
    "harbour",
    "kitchen",
    "window",
    "garden",
    "paper",
    "number",
    "contract",
    "month",
    "truck",
    "colour",
    "fabric",
    "model",
    "spare",
    "repair",
    "letter",
    "meeting",
    "minutes",
    "question",
    "answer",
    "plan",
    "drawing",
    "customer",
    "supplier",
    "stock",
]
GOAL = 50.0  # milliseconds at 100,000 threads
GROWTH = 1.5  # p99 of the largest house against the smallest


def house_in(folder: Path, size: Sizes) -> Any:
    """A fresh app with its company, reps, people and deals; the reader is ana@sales.example."""
    (folder / "dropcopy.toml").write_text("")
    app = house_of(folder)
    house = app.extensions["dropcopy"]
    with connected():
        main_db.execute_sql("PRAGMA synchronous = off")
        setup.set_up(
            company="Chairs Ltd", slug="chairs", mail_domain="drop.example", admin_email="cleo@sales.example", password=PASSWORD, policy="single-open",
            policies=house.plugins.policies, seal=house.seal, now=house.now(),
        )  # fmt: skip
        ana = create_rep("ana@sales.example", "Ana Sand", house.now(), password_hash=hash_password(PASSWORD))
        for number in range(REPS - 1):
            create_rep(f"rep{number}@sales.example", f"Rep {number}", house.now())
        viewer = viewer_of(Rep.get_by_id(ana.id))
        found: Rows = {}
        with write():
            _people(found, size, to_micros(house.now()))
            _enter(found)
        for number in range(size.deals):
            records.create(viewer, "deal", {"title": _title(number), "contacts": [number % size.people + 1]}, house.seal)
    return app


_WHY = {"deal": "only-open", "organisation": "contact-organisation", "contact": "thread-contact"}
Rows = dict[tuple[str, str], list[tuple[Any, ...]]]  # (table, its columns) -> rows
PORTION = 2000  # threads a transaction


def _title(deal: int) -> str:
    return f"{deal} {WORDS[deal % len(WORDS)]}s"


def fill(size: Sizes, now: dt.datetime) -> None:
    """Threads with one to three mails each, spread over five years.

    Every one stands on a contact and an organisation, every third one on a deal. One in twenty waits for a choice, one in
    eight brings files; the reader has read nearly all and archived a quarter of them. One mail in fifty did not get in.
    """
    dice = random.Random(7)
    with connected():
        main_db.execute_sql("PRAGMA synchronous = off")
        main_db.execute_sql("PRAGMA cache_size = -500000")
        ana = Rep.get(Rep.email == "ana@sales.example").id
        others = [rep.id for rep in Rep.select(Rep.id).where(Rep.id != ana)]
        numbers = iter(range(1, size.threads + 1))
        message_id = 0
        while portion := list(islice(numbers, PORTION)):
            found: Rows = {}
            with write():
                for number in portion:
                    message_id = _thread(found, number, size, message_id, ana, others, now, dice)
                _enter(found)
        main_db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _enter(found: Rows) -> None:
    cursor = main_db.obj.cursor()
    for (table, columns), rows in found.items():
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({','.join('?' * len(rows[0]))})", rows)
    found.clear()


def _row(found: Rows, table: str, columns: str, *values: Any) -> None:
    found.setdefault((table, columns), []).append(values)


def _people(found: Rows, size: Sizes, now: int) -> None:
    """The organisations and contacts that every thread stands on."""
    for number in range(size.organisations):
        _row(found, "organisation", "id, name, created_at, updated_at", number + 1, f"Customer {number}", now, now)
        _row(found, "organisation_domain", "domain, organisation_id", f"cust{number}.example", number + 1)
    columns = "id, name, organisation_id, created_at, updated_at"
    for number in range(size.people):
        _row(found, "contact", columns, number + 1, f"Bo {number}", number % size.organisations + 1, now, now)
        _row(found, "contact_address", "address, contact_id", _address(number, size), number + 1)


def _address(person: int, size: Sizes) -> str:
    return f"bo{person}@cust{person % size.organisations}.example"


def _thread(
    found: Rows, number: int, size: Sizes, message_id: int, ana: int, others: list[int], now: dt.datetime, dice: random.Random
) -> int:
    """One thread with its mails, search entries and links; the id of its last mail. Thread ids are the numbers."""
    mine, shared = number % 200 == 0, number % 200 == 1
    owner = ana if mine else dice.choice(others)
    at = to_micros(now) - (size.threads - number) * (YEARS // size.threads)
    subject = " ".join(dice.choices(WORDS, k=4)).capitalize()
    largest = dice.random() < 0.01
    person, deal = (0, 1) if largest else (dice.randrange(size.people), dice.randint(1, size.deals))
    organisation = person % size.organisations
    mails = dice.randint(1, 3)
    waiting, seen = dice.random() < 0.05, (mine or shared) and dice.random() < 0.97
    linked, files = number % 3 == 0 and not waiting, number % 8 == 0
    targets = [("deal", deal, _title(deal - 1))] if linked else []
    targets += [("organisation", organisation + 1, f"Customer {organisation}"), ("contact", person + 1, f"Bo {person}")]
    _row(
        found, "thread",
        "id, owner_id, conversation_id, sharing, subject, base_subject, started_at, last_at, waiting, waiting_reason, message_count, who, snippet, chips, linked, has_attachment, badge, unread, oldest_at",
        number, owner, f"c{number}", "company" if shared else "private", subject, subject.lower(), at, at, "needs-choice" if waiting else None, "several-open" if waiting else "", mails,
        f"Bo {person}", "Hello, here is what we spoke about. The rest stands in the offer that I sent on Monday, with the drawing.",
        json.dumps([{"kind": kind, "title": title, "id": ident} for kind, ident, title in targets]), linked, files, dice.choice(["dkim", "spf", "both"]), not (mine and seen), at,
    )  # fmt: skip
    for kind, ident, _named in targets:
        _row(
            found, "link", f"thread_id, target, kind, {kind if kind != 'deal' else 'record'}_id, made_by, policy_version, reason, params, created_at, reader",
            number, f"{kind}:{ident}", kind, ident, "policy:single-open", "1", _WHY[kind], "{}", at, 0 if shared else owner,
        )  # fmt: skip
    columns = "thread_id, record_id, reason, params, offer, rank"
    for rank in range(2 if waiting else 0):
        _row(found, "candidate", columns, number, (deal + rank) % size.deals + 1, "several-open", "{}", True, rank)
    if seen:
        archived = at if dice.random() < 0.25 else None
        _row(found, "thread_state", "rep_id, thread_id, seen_at, archived_at", ana, number, at, archived)
    for _each in range(mails):
        message_id += 1
        _mail(
            found, message_id, number, owner, (f"Bo {person}", _address(person, size), person + 1), at, subject, shared, files, dice
        )
    if number % 50 == 0:
        ended = dice.choice([("held", "auth-dns-gave-up"), ("held", "unknown-sender"), ("ignored", "auth-rejected")])
        rest = ("{}", "smtp", at, at, "[]", _address(person, size), "", "", subject, "fail", owner, "", None, 4000)
        _row(found, "outcome", _OUTCOME, 2 * message_id + 1, *ended, *rest)
    return message_id


_OUTCOME = "inbound_id, state, reason, params, source, received_at, decided_at, rcpt_to, sender, sender_domain, message_id, subject, decision, rep_id, rule, thread_id, size"


def _mail(
    found: Rows, ident: int, thread: int, owner: int, person: tuple[str, str, int], at: int, subject: str, shared: bool, files: bool, dice: random.Random
) -> None:  # fmt: skip
    body = " ".join(dice.choices(WORDS, k=60)) + f" reference{thread}"
    name, address, contact = person
    _row(
        found, "message",
        "id, inbound_id, thread_id, owner_id, dedupe_key, message_id, from_name, from_address, date, subject, text, safe_html, checks, defects, decision, joined_by, fact, record_ids, sha256, size",
        ident, 2 * ident, thread, owner, f"k{ident}", f"m{ident}@sales.example", "Ana Sand", "ana@sales.example", at, subject, body, "", "[]", "[]", "pass", "", "{}", "[]", "0" * 64, 4000,
    )  # fmt: skip
    _row(found, "participant", "message_id, role, address, name, contact_id", ident, "from", "ana@sales.example", "Ana Sand", None)
    _row(found, "participant", "message_id, role, address, name, contact_id", ident, "to", address, name, contact)
    if files:
        columns = "message_id, part, filename, content_type, size, inline, sha256, note"
        _row(found, "attachment", columns, ident, 1, "drawing.pdf", "application/pdf", 30_000, False, "0" * 64, "")
    _row(
        found, "outcome", _OUTCOME, 2 * ident, "logged", "logged", "{}", "smtp", at, at, "[]", "ana@sales.example", "sales.example", f"m{ident}@sales.example", subject, "pass", owner,
        "account-address", thread, 4000,
    )  # fmt: skip
    people = [("from", "Ana Sand", "ana@sales.example"), ("to", name, address)]
    names = ["drawing.pdf"] if files else []
    search.index(ident, at=from_micros(at), owner_id=owner, shared=shared, subject=subject, people=people, body=body, files=names, fresh=True)


Asked = dict[str, Callable[[random.Random, Sizes], str]]


def _own(dice: random.Random, size: Sizes) -> int:
    """A thread of the reader."""
    return dice.randint(1, size.threads // 200) * 200


def _then(dice: random.Random, size: Sizes, now: int) -> str:
    """The cursor of some page further back in a list."""
    place = dice.randint(1, size.threads)
    return cursor_of(now - (size.threads - place) * (YEARS // size.threads), place)


def _word(dice: random.Random) -> str:
    return dice.choice(WORDS)


def _day(dice: random.Random, now: dt.datetime) -> str:
    return str((now - dt.timedelta(days=dice.randint(30, 1700))).date())


def pages(now: dt.datetime) -> Asked:
    """Page by page what a rep asks for, with other ids, places and words each time."""
    at = to_micros(now)
    return {
        "list": lambda d, n: "/inbox",
        "list, further back": lambda d, n: f"/inbox?cursor={_then(d, n, at)}",
        "list, needs a choice": lambda d, n: "/inbox?tab=needs-choice",
        "list, mine": lambda d, n: "/inbox?tab=mine",
        "list, shared": lambda d, n: "/inbox?tab=shared",
        "list, shared, back": lambda d, n: f"/inbox?tab=shared&cursor={_then(d, n, at)}",
        "list, archived": lambda d, n: "/inbox?tab=archived",
        "list, archived, back": lambda d, n: f"/inbox?tab=archived&cursor={_then(d, n, at)}",
        "new ones": lambda d, n: "/inbox/new?since=0-0",
        "rail with its counts": lambda d, n: "/live/rail",
        "live version": lambda d, n: "/live",
        "conversation": lambda d, n: f"/threads/{_own(d, n)}",
        "deal": lambda d, n: f"/deals/{d.randint(1, n.deals)}",
        "contact": lambda d, n: f"/contacts/{d.randint(1, n.people)}",
        "organisation": lambda d, n: f"/organisations/{d.randint(1, n.organisations)}",
        "largest deal": lambda d, n: "/deals/1",
        "largest contact": lambda d, n: "/contacts/1",
        "largest organisation": lambda d, n: "/organisations/1",
        "deals": lambda d, n: "/deals",
        "contacts": lambda d, n: "/contacts",
        "choices": lambda d, n: "/choices",
        "held": lambda d, n: "/held",
        "reports": lambda d, n: "/reports",
        "search, common word": lambda d, n: f"/inbox?q={_word(d)}",
        "search, second page": lambda d, n: f"/inbox?q={_word(d)}&cursor={cursor_of(d.randint(1, 2 * n.threads))}",
        "search, two words": lambda d, n: f"/inbox?q={_word(d)}+{_word(d)}",
        "search, without": lambda d, n: f"/inbox?q={_word(d)}+-{_word(d)}",
        "search, or": lambda d, n: f"/inbox?q=reference{_own(d, n)}+OR+{_word(d)}",
        "search, phrase": lambda d, n: f"/inbox?q=%22{_word(d)}+{_word(d)}%22",
        "search, beginning": lambda d, n: f"/inbox?q={_word(d)[:3]}*",
        "search, rare word": lambda d, n: f"/inbox?q=reference{_own(d, n)}",
        "search, no such word": lambda d, n: f"/inbox?q=absent{d.random()}",
        "search, foreign word": lambda d, n: f"/inbox?q=reference{_own(d, n) - 2}",
        "search, in shared": lambda d, n: f"/inbox?tab=shared&q={_word(d)}",
        "search, in archived": lambda d, n: f"/inbox?tab=archived&q={_word(d)}",
        "search, to": lambda d, n: f"/inbox?q=to:bo{d.randrange(n.people)}",
        "search, from": lambda d, n: f"/inbox?q=from:ana@sales.example+{_word(d)}",
        "search, subject": lambda d, n: f"/inbox?q=subject:{_word(d)}",
        "search, filename": lambda d, n: f"/inbox?q=filename:drawing+{_word(d)}",
        "search, has file": lambda d, n: "/inbox?q=has:attachment",
        "search, word and file": lambda d, n: f"/inbox?q={_word(d)}+has:attachment",
        "search, before": lambda d, n: f"/inbox?q=before:{_day(d, now)}",
        "search, word, before": lambda d, n: f"/inbox?q={_word(d)}+before:{_day(d, now)}",
        "search, word, after": lambda d, n: f"/inbox?q={_word(d)}+after:{_day(d, now)}",
        "search, older": lambda d, n: "/inbox?q=older_than:4y",
        "search, unlinked": lambda d, n: "/inbox?q=is:unlinked",
        "search, waiting": lambda d, n: "/inbox?q=is:waiting",
        "search, unread": lambda d, n: "/inbox?q=is:unread",
        "search, word, unread": lambda d, n: f"/inbox?q={_word(d)}+is:unread",
        "search, not word": lambda d, n: f"/inbox?q=-{_word(d)}",
        "search, held": lambda d, n: "/inbox?q=is:held",
        "search, deal": lambda d, n: f"/inbox?q=deal:{d.randint(1, n.deals)}",
        "search, deal's title": lambda d, n: f"/inbox?q=deal:%22{d.randint(1, n.deals - 1)}+%22",
        "search, organisation": lambda d, n: f"/inbox?q=org:%22Customer+{d.randrange(n.organisations)}%22",
        "search, nonsense": lambda d, n: f"/inbox?q=%28%28-%22*)OR+:{d.randrange(99)}+x:y+AND%27",
    }


Took = dict[str, list[tuple[float, int]]]  # page -> milliseconds and bytes of each request


def answer(asked: Any, folder: Path, threads: int, cpu: bool, only: str) -> None:
    """The life of a process with one house: sign in, then a round of all pages whenever `asked` (a pipe) says so."""
    with (folder / "main.db").open("rb") as file:  # a kept house may not be in memory any more, as one that is used is
        while file.read(1 << 24):
            pass
    app = house_of(folder)
    clock = time.thread_time if cpu else time.perf_counter
    client = app.test_client()
    settle(app)
    with connected():
        main_db.execute_sql("DELETE FROM throttle")  # a kept house has been signed in to before
    token = client.get("/login").text.split('name="csrf-token" content="', 1)[1].split('"', 1)[0]
    assert client.post("/login", data={"csrf_token": token, "email": "ana@sales.example", "password": PASSWORD}).status_code == 303
    filled = dt.datetime.fromtimestamp(os.path.getmtime(folder / "filled"), dt.UTC)
    kinds = {name: path for name, path in pages(filled).items() if only in name}
    dice = random.Random(11)
    while asked.recv():
        found = {}
        for name, path in kinds.items():
            place = path(dice, sizes(threads))
            start = clock()
            got = client.get(place)
            found[name] = (clock() - start) * 1000, len(got.data)
            assert got.status_code in (200, 204), (place, got.status_code)
        asked.send(found)


def measure(folders: dict[int, Path], rounds: int, cpu: bool, only: str) -> dict[int, Took]:
    """All sizes round by round in turn, each in a process of its own: a minute in which the machine is slow is one for all of them."""
    new = multiprocessing.get_context("spawn")
    pipes = {}
    for threads, folder in folders.items():
        pipes[threads], other = new.Pipe()
        new.Process(target=answer, args=(other, folder, threads, cpu, only), daemon=True).start()
        other.close()  # so that a process that ends is noticed here
    found: dict[int, Took] = {threads: {} for threads in folders}
    for number in range(rounds + 2):
        for threads, pipe in pipes.items():
            pipe.send(True)
            for name, took in pipe.recv().items():
                if number >= 2:  # two rounds to warm up
                    found[threads].setdefault(name, []).append(took)
    for pipe in pipes.values():
        pipe.send(False)
    return found


def part(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1_000, 100_000],
        help="sizes, smallest first (1000000 wants 6 GB and ten minutes to fill)",
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--cpu", action="store_true", help="CPU time in place of the clock's, for a machine that does other work too"
    )
    parser.add_argument("--keep", type=Path, help="folder in which filled houses are kept for the next time")
    parser.add_argument("--only", default="", help="only the pages whose name holds this")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folders = {threads: (given.keep or Path(place)) / str(threads) for threads in given.threads}
        for threads, folder in folders.items():
            fill_once(folder, threads)
        results = measure(folders, given.rounds, given.cpu, given.only)
    print(f"\n{'page':<22}" + "".join(f"{f'{threads:,}':>30}" for threads in results) + "   p99 ratio")
    smallest, largest = results[given.threads[0]], results[given.threads[-1]]
    for name in smallest:
        cells = "".join(_cell(found[name]) for found in results.values())
        slowest = [part([took for took, _size in found[name]], 99) for found in (smallest, largest)]
        over = [f"{slowest[1]:.0f} ms"] if slowest[1] > GOAL else []
        over += ["grows"] if slowest[1] > GROWTH * slowest[0] else []
        print(f"{name:<22}{cells}   {slowest[1] / slowest[0]:.2f}  {', '.join(over)}")
    print("milliseconds p50 / p95 / p99, kB of the answer")


def _cell(found: list[tuple[float, int]]) -> str:
    times = [took for took, _size in found]
    return f"{part(times, 50):>8.1f} /{part(times, 95):>6.1f} /{part(times, 99):>6.1f} {max(size for _took, size in found) / 1000:>4.0f}"


def house_of(folder: Path) -> Any:
    """The app on this folder."""
    environ = {"DROPCOPY_DATA_DIR": str(folder), "DROPCOPY_BASE_URL": "http://localhost", "DROPCOPY_CONFIG": str(folder / "dropcopy.toml")}
    return create_app(load_settings(environ))


def fill_once(folder: Path, threads: int) -> None:
    """Fill the house in this folder, unless an earlier run has."""
    if (folder / "filled").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    app = house_in(folder, sizes(threads))
    with connected():
        fill(sizes(threads), app.extensions["dropcopy"].now())
        dialect.tidy()  # as every night
    (folder / "filled").touch()
    print(f"{threads:,} threads filled in {time.perf_counter() - start:.0f} s, {os.path.getsize(folder / 'main.db') / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
