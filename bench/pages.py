"""Server time of the pages a rep uses all day, at several sizes: list, conversation, record, search. `make bench-pages`

A generator fills the tables of a fresh SQLite house, without mail passing through it. The reader is a rep who may see one
thread in a hundred: half of these are their own, the others are shared by colleagues. Times are of the whole request through
the app (session, page and template), without the network: p50 and p99 of interleaved rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import create_app
from core.settings import load_settings
from core.store import people, records, search, setup
from core.store.database import connected, main_db, write
from core.store.fields import to_micros
from core.store.models import Rep
from core.store.passwords import hash_password
from core.store.reps import create_rep
from core.store.visibility import viewer_of

PASSWORD = "correct horse battery"
REPS, DEALS, PEOPLE = 100, 400, 2000
WORDS = ["offer", "chair", "desk", "lamp", "delivery", "invoice", "oak", "steel", "price", "visit", "order", "sample", "monday", "friday", "harbour", "kitchen", "window", "garden", "paper", "number", "contract", "month", "truck", "colour", "fabric", "model", "spare", "repair", "letter", "meeting", "minutes", "question", "answer", "plan", "drawing", "customer", "supplier", "stock"]
GOAL = 50.0  # milliseconds at 100,000 threads


def house_in(folder: Path) -> Any:
    """A fresh app with its company, reps, people and deals; the reader is ana@sales.example."""
    (folder / "dropcopy.toml").write_text("")
    app = create_app(load_settings({"DROPCOPY_DATA_DIR": str(folder), "DROPCOPY_BASE_URL": "http://localhost", "DROPCOPY_CONFIG": str(folder / "dropcopy.toml")}))
    house = app.extensions["dropcopy"]
    with connected():
        setup.set_up(
            company="Chairs Ltd", slug="chairs", mail_domain="drop.example", admin_email="cleo@sales.example", password=PASSWORD, policy="single-open",
            policies=house.plugins.policies, seal=house.seal, now=house.now(),
        )  # fmt: skip
        ana = create_rep("ana@sales.example", "Ana Sand", house.now(), password_hash=hash_password(PASSWORD))
        for number in range(REPS - 1):
            create_rep(f"rep{number}@sales.example", f"Rep {number}", house.now())
        viewer = viewer_of(Rep.get_by_id(ana.id))
        contacts = [people.create_contact(viewer, {"name": f"Bo {n}", "addresses": [f"bo{n}@cust{n % 300}.example"]}).id for n in range(PEOPLE // 10)]
        for number in range(DEALS):
            records.create(viewer, "deal", {"title": f"{number} {WORDS[number % len(WORDS)]}s", "contacts": [contacts[number % len(contacts)]]}, house.seal)
    return app


def fill(threads: int, now: dt.datetime) -> None:
    """Threads with one to three mails each, spread over five years; every third one is linked to a deal."""
    dice = random.Random(7)
    with connected():
        ana = Rep.get(Rep.email == "ana@sales.example").id
        others = [rep.id for rep in Rep.select(Rep.id).where(Rep.id != ana)]
        numbers = iter(range(1, threads + 1))
        message_id = 0
        while portion := list(islice(numbers, 2000)):
            with write():
                for number in portion:
                    message_id = _thread(number, threads, message_id, ana, others, now, dice)
        main_db.execute_sql("ANALYZE")
        main_db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _rows(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    cursor = main_db.obj.cursor()
    cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({','.join('?' * len(rows[0]))})", rows)


def _thread(number: int, threads: int, message_id: int, ana: int, others: list[int], now: dt.datetime, dice: random.Random) -> int:
    """One thread with its mails, search entries and link; the id of its last mail. Thread ids are the numbers."""
    mine, shared = number % 200 == 0, number % 200 == 1
    owner = ana if mine else dice.choice(others)
    at = to_micros(now) - (threads - number) * (5 * 365 * 86_400_000_000 // threads)
    subject = " ".join(dice.choices(WORDS, k=4)).capitalize()
    person = dice.randrange(PEOPLE)
    address = f"bo{person}@cust{person % 300}.example"
    mails = dice.randint(1, 3)
    linked = number % 3 == 0
    deal = dice.randint(1, DEALS)
    chips = json.dumps([{"kind": "deal", "title": f"Deal {deal}", "id": deal}]) if linked else "[]"
    _rows(
        "thread", "id, owner_id, conversation_id, sharing, subject, base_subject, started_at, last_at, waiting_reason, message_count, who, snippet, chips, linked, has_attachment, badge",
        [(number, owner, f"c{number}", "company" if shared else "private", subject, subject.lower(), at, at, "", mails, f"Bo {person}", "Hello, here is what we spoke about.", chips, linked, False, "dkim")],
    )  # fmt: skip
    for _each in range(mails):
        message_id += 1
        body = " ".join(dice.choices(WORDS, k=60)) + f" reference{number}"
        _rows(
            "message", "id, inbound_id, thread_id, owner_id, dedupe_key, message_id, from_name, from_address, date, subject, text, safe_html, checks, defects, decision, joined_by, fact, record_ids, sha256, size",
            [(message_id, message_id, number, owner, f"k{message_id}", f"m{message_id}@sales.example", "Ana Sand", "ana@sales.example", at, subject, body, "", "[]", "[]", "pass", "", "{}", "[]", "0" * 64, 4000)],
        )  # fmt: skip
        _rows("participant", "message_id, role, address, name", [(message_id, "from", "ana@sales.example", "Ana Sand"), (message_id, "to", address, f"Bo {person}")])
        _rows(
            "outcome", "inbound_id, state, reason, params, source, received_at, decided_at, rcpt_to, sender, sender_domain, message_id, subject, decision, rep_id, rule, thread_id, size",
            [(message_id, "logged", "logged", "{}", "smtp", at, at, "[]", "ana@sales.example", "sales.example", f"m{message_id}@sales.example", subject, "pass", owner, "account-address", number, 4000)],
        )  # fmt: skip
        search.index(message_id, owner_id=owner, shared=shared, subject=subject, people=[("from", "Ana Sand", "ana@sales.example"), ("to", f"Bo {person}", address)], body=body)
    if linked:
        _rows("link", "thread_id, target, kind, record_id, made_by, policy_version, reason, params, created_at", [(number, f"deal:{deal}", "deal", deal, "policy:single-open", "1", "one-open", "{}", at)])
    return message_id


def asked(threads: int) -> Iterator[tuple[str, str]]:
    """Page by page what a rep asks for, for ever, with other ids and words each time."""
    dice = random.Random(11)
    while True:
        own = max(dice.randint(1, max(threads // 200, 1)) * 200, 200)
        first, second = dice.sample(WORDS, 2)
        yield from (
            ("list", "/inbox"),
            ("list, needs a choice", "/inbox?tab=needs-choice"),
            ("list, shared", "/inbox?tab=shared"),
            ("conversation", f"/threads/{own}"),
            ("record", f"/deals/{dice.randint(1, DEALS)}"),
            ("search, common word", f"/inbox?q={first}"),
            ("search, two words", f"/inbox?q={first}+{second}"),
            ("search, rare word", f"/inbox?q=reference{own}"),
            ("search, sender", f"/inbox?q=to:bo{dice.randrange(PEOPLE)}"),
            ("live version", "/live"),
        )


def measure(app: Any, threads: int, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds of each request, by page."""
    client = app.test_client()
    token = client.get("/login").text.split('name="csrf-token" content="', 1)[1].split('"', 1)[0]
    assert client.post("/login", data={"csrf_token": token, "email": "ana@sales.example", "password": PASSWORD}).status_code == 303
    times: dict[str, list[float]] = {}
    kinds = 10
    for number, (name, path) in enumerate(islice(asked(threads), kinds * (rounds + 2))):
        start = clock()
        answer = client.get(path)
        took = (clock() - start) * 1000
        assert answer.status_code in (200, 204), (path, answer.status_code)
        if number >= 2 * kinds:  # two rounds to warm up
            times.setdefault(name, []).append(took)
    return times


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1_000, 100_000], help="sizes, smallest first (1000000 takes about an hour to fill)")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--cpu", action="store_true", help="CPU time in place of the clock's, for a machine that does other work too")
    parser.add_argument("--keep", type=Path, help="folder in which filled houses are kept for the next time")
    given = parser.parse_args()
    results = {}
    for threads in given.threads:
        with tempfile.TemporaryDirectory() as place:
            folder = given.keep / str(threads) if given.keep else Path(place)
            results[threads] = _at(folder, threads, given.rounds, time.thread_time if given.cpu else time.perf_counter)
    print(f"\n{'page':<22}" + "".join(f"{f'{threads:,}':>22}" for threads in results) + "   p99 ratio")
    smallest, largest = results[given.threads[0]], results[given.threads[-1]]
    for name in smallest:
        cells = "".join(f"{statistics.median(found[name]):>11.1f} /{p99(found[name]):>8.1f} " for found in results.values())
        print(f"{name:<22}{cells}   {p99(largest[name]) / p99(smallest[name]):.2f}{'' if p99(largest[name]) <= GOAL else '  over the goal'}")
    print("milliseconds p50 / p99")


def _at(folder: Path, threads: int, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    ready = folder / "filled"
    if not ready.exists():
        folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        app = house_in(folder)
        with connected():
            main_db.execute_sql("PRAGMA synchronous = off")
            fill(threads, app.extensions["dropcopy"].now())
        ready.touch()
        print(f"{threads:,} threads filled in {time.perf_counter() - start:.0f} s, {os.path.getsize(folder / 'main.db') / 1e6:.0f} MB", flush=True)
    else:
        app = create_app(load_settings({"DROPCOPY_DATA_DIR": str(folder), "DROPCOPY_BASE_URL": "http://localhost", "DROPCOPY_CONFIG": str(folder / "dropcopy.toml")}))
    return measure(app, threads, rounds, clock)


if __name__ == "__main__":
    main()
