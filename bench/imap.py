"""Ten thousand mails from a real Dovecot: how fast, in how much memory, and how little the next look moves.

    python -m bench.imap [NUMBER] [--size BYTES]

Needs Dovecot. Intake and state are those of the service, in SQLite files: every mail is durable before it counts as read.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from core import sources
from core.house import build
from core.settings import load_settings
from core.store.database import connected
from core.store.models import Inbound
from plugins.sources import imap
from tests.plugins.sources.cases import mail
from tests.plugins.sources.dovecot import PASSWORD, dovecot
from tests.plugins.sources.fake_imap import FakeRelay
from tests.running import Running


def memory() -> float:
    """The most that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def kept() -> int:
    with connected():
        return int(Inbound.select().count())


def mailbox(house: Any, port: int) -> Any:
    """The context of a new IMAP source for this port."""
    source = house.plugins.sources["imap"]
    values = {"host": "127.0.0.1", "port": port, "security": "none", "username": "bench", "password": PASSWORD, "default_recipient": "acme@drop.example"}
    with connected():
        return sources.context_of(sources.add(source, "bench", values, house.seal, house), source, house)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("number", type=int, nargs="?", default=10_000)
    arguments.add_argument("--size", type=int, default=4000, help="bytes of each body")
    given = arguments.parse_args()
    make = lambda n: mail(b"x" * given.size + b"\r\n", number=n)  # noqa: E731
    with tempfile.TemporaryDirectory(prefix="dropcopy-bench-") as folder, Running(Path(folder), fresh=True, parts=()) as running, dovecot() as server, FakeRelay(server.port) as relay:
        house = build(load_settings({key: value for key, value in running.env.items() if key.startswith("DROPCOPY_")}))
        context = mailbox(house, relay.port)
        server.fill("bench", given.number // 3, make)  # enough to fill the database's own cache
        imap.poll(context)
        early = memory()
        server.fill("bench", given.number, make, first=given.number)
        before, began, busy = kept(), time.monotonic(), time.process_time()
        print(imap.poll(context))
        seconds, busy = time.monotonic() - began, time.process_time() - busy
        fetched = kept() - before
        print(f"{fetched} mails in {seconds:.1f} s: {fetched / seconds:.0f} mails/s, {fetched / busy:.0f} mails for each second of processor time; load {os.getloadavg()[0]:.1f}")
        print(f"memory: {early:.0f} MB at most after the first third, {memory():.0f} MB at the end")
        moved = relay.bytes
        imap.poll(context)
        print(f"the next look moved {relay.bytes - moved} bytes (both ways) and fetched {kept() - before - fetched} mails")
        house.intake.close()


if __name__ == "__main__":
    main()
