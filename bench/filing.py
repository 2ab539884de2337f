"""What filing costs beyond reading and authentication, and whether that grows with what is stored.

    python -m bench.filing [--stored 1000,1000000] [--mails 300]

For each number a database is filled with that many logged mails (plain SQL: threads, names, mails, people, links, outcomes and
the search index), then already-read mails are filed by the pipeline's own Judge and `filing.write`, eight in a transaction as
the pipeline does it under load (--together 1: as a single mail is filed): two thirds answer stored threads, one third starts new ones.

Beside it stands the least that a store must do for a mail: find one name among all, write the text and its own name, durably.
CPU time of this process, so disk waits are not in it; trust the ratios of one run.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import hashlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from core.mail import forward as forwards
from core.mail.parse import parse
from core.mail.text import body_hash, index_text, shown_text, snippet
from core.pipeline import Judge
from core.plugins import Plugins
from core.reader import Choice, ask
from core.settings import Settings
from core.store import filing, inbound, migrate, search
from core.store.database import PRAGMAS, close_databases, connected, main_db, open_databases, write
from core.store.fields import from_micros
from core.store.load import load
from core.store.models import Rep
from core.store.seal import Seal
from core.store.setup import set_up
from core.types import AuthResult, Envelope, Judgement, LinkCase, Reading

NOW = dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)
REPS, CONTACTS = 50, 2000
A_THREAD = 3  # mails
TEXT = "Here is the offer for the chairs that we talked about last week. " * 12
_PORTION = 20_000


def company(folder: Path) -> tuple[Seal, Plugins]:
    """A company with reps, contacts and deals on SQLite in this folder."""
    settings = Settings(data_dir=folder, secret_key="k" * 32)
    open_databases(settings)
    seal, plugins = Seal("k" * 32), Plugins()
    with connected():
        migrate.migrate(settings)
        search.create_tables()
        set_up(
            company="Acme", slug="acme", mail_domain="drop.example", admin_email="root@sales.example", password="correct horse battery",
            policy="single-open", policies=plugins.policies, seal=seal, now=NOW,
        )  # fmt: skip
        load(people(), NOW)
    return seal, plugins


def people() -> dict[str, Any]:
    contacts = [{"external_id": f"c{n}", "name": f"Person {n}", "addresses": [f"p{n}@c{n % 300}.example"]} for n in range(CONTACTS)]
    deals = [{"external_id": f"d{n}", "title": f"Deal {n}", "contacts": [f"c{n}"], "created_at": "2025-01-01T00:00:00Z"} for n in range(CONTACTS)]
    return {"reps": [{"external_id": f"r{n}", "email": f"rep{n}@sales.example", "name": f"Rep {n}"} for n in range(REPS)], "contacts": contacts, "deals": deals}


def fill(number: int) -> None:
    """That many logged mails in threads of three, as a copy of the last of a few real ones would look."""
    first = Rep.select(Rep.id).where(Rep.email == "rep0@sales.example").scalar()
    start = int(NOW.timestamp() * 1_000_000) - 400 * 86_400_000_000
    for low in range(0, number, _PORTION):
        high = min(low + _PORTION, number)
        with write():
            for text, rows in _rows(low, high, first, start):
                main_db.connection().executemany(text, rows)


def _rows(low: int, high: int, rep: int, start: int) -> Iterator[tuple[str, list[Any]]]:
    # Ids far from those that the filed mails get. Each thread has its links, its chips and a snippet, as filing leaves them.
    mails = range(low, high)
    heads = [n for n in mails if n % A_THREAD == 0]
    owner = {n: rep + (n // A_THREAD) % REPS for n in mails}
    thread = {n: n // A_THREAD + 1 for n in mails}
    person = {n: (n // A_THREAD) % CONTACTS for n in mails}
    at = {n: start + n * 20_000_000 for n in mails}
    chips = '[{"kind":"deal","title":"Deal %d","id":%d},{"kind":"contact","title":"Person %d","id":%d}]'
    yield (
        "INSERT INTO thread (id, owner_id, conversation_id, sharing, subject, base_subject, started_at, last_at, waiting_reason, message_count, who, snippet,"
        " chips, linked, has_attachment, badge, unread) VALUES (?, ?, ?, 'private', ?, ?, ?, ?, '', 3, 'Person', ?, ?, 1, 0, 'dkim', 1)",
        [
            (thread[n], owner[n], f"{at[n]:014x}{_hash(n)[:12]}", f"Offer {n % 5000}", f"offer {n % 5000}", at[n], at[n], TEXT[:200], chips % (person[n], person[n] + 1, person[n], person[n] + 1))
            for n in heads
        ],
    )
    yield ("INSERT INTO thread_id (owner_id, message_id, thread_id) VALUES (?, ?, ?)", [(owner[n], _name(n), thread[n]) for n in mails])
    yield (
        "INSERT INTO message (id, inbound_id, thread_id, owner_id, dedupe_key, message_id, from_address, date, subject, text, safe_html, checks, defects,"
        " decision, joined_by, fact, record_ids, sha256, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'Offer', ?, '', '[]', '[]', 'pass', '', '{}', '[]', ?, 4000)",
        [(n + 1, n + 1, thread[n], owner[n], f"{from_micros(at[n]).date()} {_hash(n)}", _name(n), "rep0@sales.example", at[n], TEXT[:800], f"{n:064d}") for n in mails],
    )
    yield (
        "INSERT INTO participant (message_id, role, address, name, contact_id) VALUES (?, ?, ?, 'Person', ?)",
        [
            one
            for n in mails
            for one in ((n + 1, "from", f"rep{owner[n] - rep}@sales.example", None), (n + 1, "to", f"p{person[n]}@c{person[n] % 300}.example", person[n] + 1))
        ],
    )
    for kind, column in (("contact", "contact_id"), ("deal", "record_id")):
        yield (
            f"INSERT INTO link (thread_id, target, kind, {column}, made_by, policy_version, reason, params, created_at, reader)"
            " VALUES (?, ?, ?, ?, 'policy:single-open', '1', 'thread-contact', '{}', ?, ?)",
            [(thread[n], f"{kind}:{person[n] + 1}", kind, person[n] + 1, at[n], owner[n]) for n in heads],
        )
    yield (
        "INSERT INTO outcome (inbound_id, state, reason, params, source, received_at, decided_at, rcpt_to, size, sender, sender_domain, subject, decision, rule,"
        " message_id, rep_id, thread_id) VALUES (?, 'logged', 'logged', '{}', 'smtp', ?, ?, '[]', 4000, ?, 'sales.example', 'Offer', 'pass', '', ?, ?, ?)",
        [(n + 1, at[n], at[n], f"rep{owner[n] - rep}@sales.example", _name(n), owner[n], thread[n]) for n in mails],
    )
    yield (
        "INSERT INTO search (rowid, subject, names, body, files, access) VALUES (?, ?, ?, ?, '', ?)",
        [(n + 1, f"offer {n % 5000}", f"person p{person[n]}", f"hello chairs word{n % 30000}", f"o{owner[n]}") for n in mails],
    )


def _name(n: int) -> str:
    """A Message-ID. They come in no order, as those of mail programs do."""
    return f"{_hash(n)[:20]}@sales.example"


def _hash(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def mails(number: int, stored: int) -> list[Reading]:
    """Read once, before anything is timed."""
    made = []
    for n in range(number):
        old = (n * 7919) % stored
        rep = (old // A_THREAD) % REPS
        person = (old // A_THREAD) % CONTACTS
        answer = f"In-Reply-To: <{_name(old)}>\r\nReferences: <older{_name(old)}> <{_name(old)}>\r\n" if n % 3 else ""
        raw = (
            f"From: Rep <rep{rep}@sales.example>\r\nTo: Person <p{person}@c{person % 300}.example>\r\nSubject: Re: Offer {old % 5000}\r\n{answer}"
            f"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{_name(-1 - n)}>\r\n\r\nDear customer,\r\n\r\n{TEXT}{n}\r\n"
        ).encode()
        email = parse(raw)
        check = AuthResult("dkim", "pass", "sales.example", True, "dkim-pass", "s1")
        judgement = Judgement("pass", "aligned-dkim", (check,), {"domain": "sales.example"})
        made.append(Reading(email, judgement, forwards.read(email), "", snippet(shown_text(email)), index_text(email), body_hash(email), (), {}))
    return made


def file_all(readings: list[Reading], seal: Seal, plugins: Plugins, stored: int, together: int = 8) -> list[float]:
    """CPU milliseconds of each mail."""

    def decide(name: str, case: LinkCase) -> list[Choice]:
        return ask(plugins.policies[name], case)

    judge, costs = Judge(plugins, seal, decide), []
    for start in range(0, len(readings), together):
        part = range(start, min(start + together, len(readings)))
        began = time.process_time()
        with write():
            for n in part:
                _file(judge, readings[n], stored + 1000 + n)
        costs += [1000 * (time.process_time() - began) / len(part)] * len(part)
    return costs


def _file(judge: Judge, reading: Reading, ident: int) -> None:
    sender = reading.email.identity.mailbox
    envelope = Envelope("smtp", ("acme@drop.example",), mail_from=sender.address if sender else None, client_ip="192.0.2.9", helo="mail.sales.example")
    claim = inbound.Claim(
        id=ident, token="t", envelope=envelope, sha256=f"{ident:064d}", size=4000, received_at=NOW, attempts=1, crashes=0, retries=0, released_by=None,
        claimed_for=None,
    )  # fmt: skip
    verdict = judge.consider(reading, envelope, NOW)
    filing.write(claim, verdict, NOW)
    if verdict.state != "logged":
        raise AssertionError(f"the mail {ident} was {verdict.state} ({verdict.reason})")


def least(stored: int, number: int, together: int) -> float:
    """CPU milliseconds of a mail in a table of names and texts with one index, on a file kept as ours are."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "least.db", isolation_level=None)) as base:
        for name, value in PRAGMAS.items():
            base.execute(f"PRAGMA {name} = {value}")
        base.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, name TEXT UNIQUE, text TEXT)")
        for low in range(0, stored, _PORTION):
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT INTO mail (name, text) VALUES (?, ?)", [(_name(n), TEXT) for n in range(low, min(low + _PORTION, stored))])
            base.execute("COMMIT")
        began = time.process_time()
        for start in range(0, number, together):
            base.execute("BEGIN IMMEDIATE")
            for n in range(start, min(start + together, number)):
                base.execute("SELECT id FROM mail WHERE name = ?", (_name((n * 7919) % stored),)).fetchone()
                base.execute("INSERT INTO mail (name, text) VALUES (?, ?)", (_name(-1 - n), TEXT))
            base.execute("COMMIT")
        return 1000 * (time.process_time() - began) / number


def measure(stored: int, number: int, together: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        seal, plugins = company(Path(folder))
        with connected():
            began = time.monotonic()
            fill(stored)
            print(f"{stored:>9,} mails stored in {time.monotonic() - began:.0f} s", flush=True)
            readings = mails(number + 32, stored)
            gc.collect()
            costs = file_all(readings, seal, plugins, stored, together)[32:]  # the first ones warm the caches
        close_databases()
    print(f"{stored:>9,} mails stored: {statistics.fmean(costs):.2f} ms of CPU a mail (median {statistics.median(costs):.2f})", flush=True)
    return statistics.fmean(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", default="1000,1000000", help="how many mails are stored before, several with commas")
    parser.add_argument("--mails", type=int, default=304)
    parser.add_argument("--together", type=int, default=8, help="mails in one transaction")
    given = parser.parse_args()
    sizes = [int(stored) for stored in given.stored.split(",")]
    means = [measure(stored, given.mails, given.together) for stored in sizes]
    floor = [least(stored, 10 * given.mails, given.together) for stored in (sizes[0], sizes[-1])]
    print(f"last to first: {means[-1] / means[0]:.2f}; the least of any store: {floor[0]:.3f} and {floor[1]:.3f} ms, {floor[1] / floor[0]:.2f}")


if __name__ == "__main__":
    main()
