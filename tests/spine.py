"""A company in this process, on SQLite and on PostgreSQL: real intake, real pipeline, a real reader behind the fence.

Test modules ask for it with `pytest_plugins = ["tests.spine"]`.

    company.send(company.mail("Ten chairs"))
    company.work()
    assert company.ends() == ["logged"]
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from huey import MemoryHuey

from core.fence import Fence
from core.house import House
from core.intake import GroupIntake
from core.pipeline import Pipeline
from core.plugins import Plugins
from core.queue import Bell
from core.settings import Settings
from core.store import company as company_settings
from core.store import inbound, lookups
from core.store.database import connected
from core.store.load import load
from core.store.models import Inbound, Message, Outcome, Thread
from core.store.setup import set_up
from core.types import Envelope
from tests.dnsserver import DnsServer
from tests.mailmaker import make_mail, spare_signer
from tests.store.conftest import any_store, postgres_url, store  # the fixtures are taken over under their names
from tests.store.small_world import World

__all__ = ["Company", "any_store", "company", "dns", "fence", "postgres_url", "store"]

NOW = dt.datetime(2026, 11, 20, 10, 0, 5, tzinfo=dt.UTC)
PEOPLE: dict[str, Any] = {
    "reps": [
        {"external_id": "ana", "email": "ana@sales.example", "name": "Ana"},
        {"external_id": "ben", "email": "ben@sales.example", "name": "Ben"},
    ],
    "organisations": [{"external_id": "o1", "name": "Cust Ltd", "domains": ["cust.example"]}],
    "contacts": [{"external_id": "c1", "name": "Bo", "addresses": ["bo@cust.example"], "organisation": "o1"}],
    "deals": [{"external_id": "d1", "title": "Ten chairs", "contacts": ["c1"], "organisation": "o1", "created_at": "2026-01-01T00:00:00Z"}],
}


class Company:
    """A company that is set up, with two reps, one contact and one open deal."""

    def __init__(self, world: World, folder: Path, fence: Fence, plugins: Plugins | None = None) -> None:
        self.at = NOW
        self.fence = fence
        bell = Bell(MemoryHuey(immediate=False))
        settings = Settings(data_dir=folder, secret_key="k" * 32)
        intake = GroupIntake(world.seal, bell, self.now)
        self.house = House(settings, plugins or Plugins(), world.seal, intake, bell, self.now)
        self.addresses = set_up(
            company="Acme", slug="acme", mail_domain="drop.example", admin_email="root@sales.example", password="correct horse battery",
            policy="single-open", policies=self.house.plugins.policies, seal=world.seal, now=self.at,
        )  # fmt: skip
        load(PEOPLE, self.at)
        self.fresh()
        self._made: list[Pipeline] = []

    def now(self) -> dt.datetime:
        return self.at

    def fresh(self) -> None:
        """What was changed behind the caches counts at once."""
        company_settings.forget_cache()
        lookups.forget_ours()

    def mail(self, subject: str = "Ten chairs", *, sender: str = "Ana <ana@sales.example>", to: str = "Bo <bo@cust.example>", **more: Any) -> bytes:
        """A mail signed by the company's own domain."""
        return spare_signer("sales.example").sign(make_mail(sender, to=to, subject=subject, **more))

    def envelope(self, to: Sequence[str] = ("acme@drop.example",), **more: Any) -> Envelope:
        return Envelope("smtp", tuple(to), **{"mail_from": "ana@sales.example", "client_ip": "203.0.113.9", "helo": "mail.sales.example", **more})

    def send(self, raw: bytes, to: Sequence[str] = ("acme@drop.example",), **more: Any) -> int:
        return self.house.intake.receive(raw, self.envelope(to, **more))

    def pipeline(self, worker: str = "w1") -> Pipeline:
        house = self.house
        made = Pipeline(house.settings, house.plugins, house.seal, self.fence, house.now, worker)
        self._made.append(made)
        return made

    def work(self, worker: str = "w1") -> int:
        return self.pipeline(worker).work()

    def ends(self) -> list[str]:
        """The state of every inbound message in order, with the reason when it is not logged; both databases agree about it."""
        with connected():
            found = list(Inbound.select(Inbound.id, Inbound.state, Inbound.reason).order_by(Inbound.id).tuples())
            known = {ident: (state, reason) for ident, state, reason in Outcome.select(Outcome.inbound_id, Outcome.state, Outcome.reason).tuples()}
        for ident, state, reason in found:
            if state in ("logged", "held", "ignored"):
                assert known[ident] == (state, reason)
        return [state if state == "logged" else f"{state}({reason})" for _, state, reason in found]

    def messages(self) -> int:
        return int(Message.select().count())

    def threads(self) -> int:
        return int(Thread.select().count())

    def states(self) -> Mapping[str, Any]:
        return inbound.counts(self.at)

    def close(self) -> None:
        for pipeline in self._made:
            pipeline.close()
        self.house.intake.close()


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run these in threads that begin together; their answers, or the first exception."""
    gate = threading.Barrier(len(works))
    answers: list[Any] = [None] * len(works)
    troubles: list[BaseException] = []

    def run(number: int, work: Callable[[], Any]) -> None:
        gate.wait()
        try:
            with connected():
                answers[number] = work()
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=run, args=(number, work)) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]
    return answers


def until(true: Callable[[], Any], seconds: float = 30) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def dns() -> Iterator[DnsServer]:
    """The DNS that the fence asks; tests may change its zone."""
    with DnsServer(dict(spare_signer("sales.example").dns)) as server:
        yield server


@pytest.fixture(scope="session")
def fence(dns: DnsServer) -> Iterator[Fence]:
    """One fence for all: its zygote needs a second to begin."""
    made = Fence("core.reader:Reader", {"plugins_dir": "", "dns": dns.address})
    yield made
    made.close()


@pytest.fixture
def company(any_store: World, tmp_path: Path, fence: Fence) -> Iterator[Company]:
    made = Company(any_store, tmp_path, fence)
    yield made
    made.close()
    made.fresh()

