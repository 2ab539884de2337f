"""Ten thousand mails from a real Dovecot: how fast, in how much memory, and how little the next look moves.

    python bench/imap.py [NUMBER] [--size BYTES]

Needs Dovecot. The mailbox keeps its progress in an SQLite file with synchronous=FULL, one durable write a mail, as in service.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plugins.sources import imap
from tests.plugins.sources.cases import World, mail
from tests.plugins.sources.dovecot import PASSWORD, dovecot
from tests.plugins.sources.fake_imap import FakeRelay


class DurableState:
    """The shape of a source instance's real state: one row a name."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT)")

    def get(self, name: str, default: Any = None) -> Any:
        row = self.db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            self.db.execute("INSERT INTO state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, json.dumps(value)))


class CountingIntake:
    """Keeps every mail durably and remembers only its key, so that the memory seen is the poller's own."""

    message_limit = 20 << 20

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE kept (key TEXT PRIMARY KEY, raw BLOB)")

    def accepts(self, address: str) -> bool:
        return True

    def submit(self, raw: bytes, envelope: Any) -> Any:
        self.db.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (envelope.key, raw))
        future: Future[int] = Future()
        future.set_result(1)
        return future

    def count(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM kept").fetchone()[0])


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("number", type=int, nargs="?", default=10_000)
    arguments.add_argument("--size", type=int, default=4000, help="bytes of each body")
    given = arguments.parse_args()
    with dovecot() as server, tempfile.TemporaryDirectory() as folder, FakeRelay(server.port) as relay:
        settings = imap.Settings(host="127.0.0.1", port=relay.port, security="none", username="bench", password=PASSWORD)
        world = World(settings)
        intake = CountingIntake(Path(folder) / "intake.db")
        object.__setattr__(world.context, "intake", intake)
        object.__setattr__(world.context, "state", DurableState(Path(folder) / "state.db"))
        server.fill("bench", given.number // 10, lambda n: mail(b"x" * given.size + b"\r\n", number=n))
        imap.poll(world.context)
        early = memory()
        server.fill("bench", given.number, lambda n: mail(b"x" * given.size + b"\r\n", number=n), first=given.number)
        before, began = intake.count(), time.monotonic()
        print(imap.poll(world.context))
        seconds = time.monotonic() - began
        fetched = intake.count() - before
        print(f"{fetched} mails in {seconds:.1f} s: {fetched / seconds:.0f} mails/s")
        print(f"memory: {early:.0f} MB at most after the first tenth, {memory():.0f} MB at the end")
        moved = relay.bytes
        imap.poll(world.context)
        print(f"the next look moved {relay.bytes - moved} bytes (both ways) and fetched {intake.count() - before - fetched} mails")


if __name__ == "__main__":
    main()
