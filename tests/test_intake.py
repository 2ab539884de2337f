"""The one entrance: returning means kept; refusals are final or not; concurrent deliveries share a commit."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from core.errors import Refused
from core.store import inbound
from core.store.company import change_company
from core.store.models import Inbound
from tests.spine import Company, at_once

pytest_plugins = ["tests.spine"]


def test_living_drop_addresses_are_accepted_and_no_others(company: Company) -> None:
    intake = company.house.intake
    assert intake.accepts("acme@drop.example")
    assert intake.accepts("ACME@Drop.Example")
    assert intake.accepts("acme-fwd@drop.example")
    assert not intake.accepts("ana@sales.example")
    assert not intake.accepts("")
    assert not intake.accepts("\0@drop.example")


def test_returning_means_kept_byte_for_byte(company: Company) -> None:
    raw = b"\xff\0bare\rlf\n" * 3
    assert inbound.raw_of(company.send(raw)) == raw


def test_a_mail_over_the_limit_is_refused_for_good_and_not_stored(company: Company) -> None:
    change_company({"message_limit": 64 * 1024})
    company.house.intake._limit_at = -10.0
    company.send(b"x" * 64 * 1024)
    with pytest.raises(Refused) as raised:
        company.send(b"x" * (64 * 1024 + 1))
    assert (raised.value.code, raised.value.permanent) == ("too-large", True)
    assert Inbound.select().count() == 1


def test_trouble_of_the_database_is_no_refusal_for_good(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "keep", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Refused) as raised:
        company.send(b"x")
    assert (raised.value.code, raised.value.permanent) == ("disk-full", False)


def test_one_odd_mail_does_not_refuse_its_neighbours(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, gate = inbound.keep, threading.Event()

    def picky(batch: Any, now: Any) -> list[int]:
        gate.wait(10)
        if any(raw == b"odd" for raw, _ in batch):
            raise ValueError("odd")
        return keep(batch, now)

    monkeypatch.setattr(inbound, "keep", picky)
    futures = [company.house.intake.submit(raw, company.envelope()) for raw in (b"a", b"odd", b"b", b"c")]
    gate.set()
    ended = [future.exception(timeout=20) for future in futures]
    assert [type(one).__name__ for one in ended] == ["NoneType", "Refused", "NoneType", "NoneType"]


def test_concurrent_deliveries_share_a_commit(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, sizes, gate = inbound.keep, [], threading.Event()

    def slow(batch: Any, now: Any) -> list[int]:
        gate.wait(10)
        sizes.append(len(batch))
        return keep(batch, now)

    monkeypatch.setattr(inbound, "keep", slow)
    futures = [company.house.intake.submit(f"m{number}".encode(), company.envelope()) for number in range(40)]
    gate.set()
    ids = [future.result(timeout=20) for future in futures]
    assert len(set(ids)) == 40
    assert len(sizes) <= 3


def test_many_threads_at_once_are_all_kept(company: Company) -> None:
    ids = at_once([lambda n=number: company.send(f"m{n}".encode()) for number in range(20)])
    assert len(set(ids)) == Inbound.select().count() == 20


def test_after_closing_nothing_is_taken_and_what_was_handed_in_is_kept(company: Company) -> None:
    future = company.house.intake.submit(b"a", company.envelope())
    company.house.intake.close()
    assert future.result(timeout=10)
    with pytest.raises(Refused) as raised:
        company.send(b"b")
    assert not raised.value.permanent


def test_a_failing_wake_up_loses_no_mail(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company.house.bell.huey, "pending_count", lambda: (_ for _ in ()).throw(ConnectionError("gone")))
    company.send(company.mail())
    company.work()
    assert company.ends() == ["logged"]
