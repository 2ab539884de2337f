"""The kill harness: `kill -9` of receiver, worker and web at random moments while mail comes in over several connections.

    python -m tests.chaos [--mails 3000] [--kills 60] [--connections 8] [--seed N]

It ends with 0 only when every mail that got a 250 is logged exactly once and none is left waiting.
"""

from __future__ import annotations

import argparse
import queue
import random
import smtplib
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.running import Running

PARTS = ("receive", "worker", "web")


@dataclass
class Report:
    """What a run saw."""

    mails: int
    kills: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    other: dict[str, str] = field(default_factory=dict)
    waiting: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.waiting or self.other)

    def __str__(self) -> str:
        return (
            f"{self.mails} mails acknowledged, {sum(self.kills.values())} kills {dict(self.kills)}, {self.resent} sent again by the client,"
            f" {len(self.lost)} lost, {len(self.doubled)} logged twice, {self.waiting} waiting, {len(self.other)} ended otherwise {list(self.other.items())[:3]},"
            f" {self.seconds:.0f} s"
        )


class Clients:
    """Sends each mail until it is acknowledged, over several connections at once."""

    def __init__(self, house: Running, mails: Mapping[str, bytes], connections: int) -> None:
        self._house = house
        self._left: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        for item in mails.items():
            self._left.put(item)
        self.acked: set[str] = set()
        self.resent = 0
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        client: smtplib.SMTP | None = None
        while True:
            try:
                ident, raw = self._left.get_nowait()
            except queue.Empty:
                return
            while ident not in self.acked:
                try:
                    client = client or smtplib.SMTP(*self._house.smtp, timeout=30)
                    client.sendmail("ana@sales.example", ["acme@drop.example"], raw)
                    self.acked.add(ident)
                except (OSError, smtplib.SMTPException):
                    self.resent += 1
                    client = None
                    time.sleep(0.05)

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)


def run(folder: Path, *, mails: int, kills: int, connections: int, seed: int) -> Report:
    """One run. The kills are spread over the sending; what is left of them comes while the backlog is worked off."""
    chance = random.Random(seed)
    report = Report(mails)
    began = time.monotonic()
    with Running(folder, parts=PARTS) as house:
        made = {f"chaos-{seed}-{n}@sales.example": n for n in range(mails)}
        raws = {ident: house.mail(f"Chaos {n}", to=f"Guest {n % 50} <guest{n % 50}@cust.example>", message_id=f"<{ident}>") for ident, n in made.items()}
        clients = Clients(house, raws, connections)
        while clients.busy or sum(report.kills.values()) < kills:
            if sum(report.kills.values()) < kills:
                part = chance.choice(PARTS)
                house.kill(part)
                house.start(part)
                report.kills[part] += 1
            time.sleep(chance.uniform(0.3, 1.5))
        report.resent = clients.resent
        house.until(lambda: house.status()["received"] + house.status()["processing"] == 0, 240)
        _judge(folder, clients.acked, report)
        report.waiting = house.status()["received"] + house.status()["processing"]
    report.seconds = time.monotonic() - began
    return report


def _judge(folder: Path, acked: set[str], report: Report) -> None:
    with sqlite3.connect(folder / "data" / "main.db") as base:
        logged = Counter(row[0] for row in base.execute("SELECT message_id FROM message WHERE deleted_at IS NULL"))
        ended = dict(base.execute("SELECT message_id, reason FROM outcome WHERE state != 'logged' AND reason != 'duplicate'").fetchall())
    report.lost = [ident for ident in acked if logged[ident] == 0]
    report.doubled = [ident for ident, number in logged.items() if number > 1]
    report.other = {str(ident): reason for ident, reason in ended.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dropcopy-chaos-") as folder:
        report = run(Path(folder), mails=given.mails, kills=given.kills, connections=given.connections, seed=given.seed)
    print(report)
    sys.exit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
