"""`/livez`, `/readyz`, `/metrics`: what watches over the machine reads."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.store import inbound, leases
from core.store.database import connected, main_db
from core.store.models import Outcome, SourceInstance
from tests.web.world import World


def numbers(world: World) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of the labels' names…) -> value."""
    answer = world.app.test_client().get("/metrics")
    assert answer.status_code == 200
    return {(one.name, *(value for _label, value in sorted(one.labels.items()))): one.value for family in text_string_to_metric_families(answer.text) for one in family.samples}


def test_the_metrics_tell_every_mail_by_state_and_reason(world: World, mail: SimpleNamespace) -> None:
    world.mail("Who is that", sender="Stranger <stranger@far.example>", ip="192.0.2.30")
    found = numbers(world)
    with connected():
        counts = inbound.counts(world.house.now())
        ends = Counter(Outcome.select(Outcome.state, Outcome.reason).where(Outcome.state != "logged").tuples())
    states = {state: counts[state] for state in ("received", "processing", "logged", "held", "ignored")}
    assert {state: found["dropcopy_inbound_messages", state] for state in states} == states
    assert found["dropcopy_inbound_accepted",] == sum(states.values()) > 0
    assert {(state, reason): value for (name, *labels), value in found.items() if name == "dropcopy_inbound_reasons" for reason, state in [labels]} == ends
    assert ends
    assert found["dropcopy_oldest_waiting_seconds",] == counts["oldest_waiting_s"]


def test_the_metrics_tell_how_long_the_steps_take(world: World, mail: SimpleNamespace) -> None:
    with connected():
        world._pipeline._times.flush()
    found = numbers(world)
    runs = {key[1]: value for key, value in found.items() if key[0] == "dropcopy_step_runs_total"}
    assert {"parse", "authenticate", "file"} <= set(runs)
    assert all(value >= 1 and found["dropcopy_step_seconds_total", step] >= 0 for step, value in runs.items())


def test_the_metrics_tell_when_a_source_last_brought_mail(world: World, mail: SimpleNamespace) -> None:
    with connected():
        SourceInstance.create(kind="generic", name="Watched", token="watched", created_at=world.house.now(), last_mail_at=world.house.now())
    try:
        assert numbers(world)["dropcopy_source_last_mail_timestamp", "Watched"] == pytest.approx(world.house.now().timestamp(), abs=3600)
    finally:
        with connected():
            SourceInstance.delete().where(SourceInstance.name == "Watched").execute()


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("10.1.2.3", 200), ("fd00::1", 200), ("8.8.8.8", 404), ("2001:4860:4860::8888", 404), ("", 404)])
def test_the_metrics_are_for_private_networks_alone(world: World, address: str, status: int) -> None:
    assert world.app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": address}).status_code == status


def test_no_word_of_a_mail_and_no_address_stands_in_the_metrics(world: World, mail: SimpleNamespace) -> None:
    text = world.app.test_client().get("/metrics").text
    assert "@" not in text
    assert "offer" not in text.lower()


@pytest.fixture
def worker(world: World) -> Iterator[None]:
    """A worker that has just said that it is there."""
    with connected():
        leases.worker_lives("w1", world.house.now(), 60)
    yield
    with connected():
        leases.worker_left("w1")


def checks(world: World) -> dict[str, str]:
    """What is not as it should be."""
    return {name: said for name, said in world.app.test_client().get("/readyz").json["checks"].items() if said != "ok"}


def test_without_a_worker_that_was_heard_of_nothing_is_ready(world: World, worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.app.test_client()
    assert client.get("/readyz").json == {"ready": True, "sentence": "", "checks": dict.fromkeys(("database", "disk", "tables", "workers", "queue"), "ok")}
    assert numbers(world)["dropcopy_workers",] == 1
    with connected():
        leases.worker_lives("w1", world.house.now() - dt.timedelta(seconds=61), 60)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["ready"]) == (503, False)
    assert list(checks(world)) == ["workers"]
    assert answer.json["sentence"] == answer.json["checks"]["workers"]
    assert numbers(world)["dropcopy_workers",] == 0
    with connected():
        leases.worker_lives("w2", world.house.now(), 60)
        assert leases.living_workers(world.house.now()) == 1
        leases.worker_left("w2")
        assert leases.living_workers(world.house.now()) == 0


@pytest.mark.parametrize("change", ["DELETE FROM migrations_main", "INSERT INTO migrations_main (name, applied) VALUES ('9999_of_tomorrow', '2030-01-01')"])
def test_tables_of_another_version_are_not_ready(world: World, worker: None, change: str) -> None:
    with connected():
        before = main_db.execute_sql("SELECT * FROM migrations_main").fetchall()
        main_db.execute_sql(change)
    try:
        assert list(checks(world)) == ["tables"]
        assert world.app.test_client().get("/readyz").status_code == 503
    finally:
        with connected():
            main_db.execute_sql("DELETE FROM migrations_main")
            for row in before:
                main_db.execute_sql(f"INSERT INTO migrations_main VALUES ({', '.join('?' * len(row))})", row)
    assert checks(world) == {}


def test_a_queue_that_is_away_is_told_and_stops_nothing(world: World, worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> int:
        raise OSError("redis://user:secret@host")

    monkeypatch.setattr(world.house.bell.huey, "pending_count", gone)
    answer = world.app.test_client().get("/readyz")
    assert (answer.status_code, list(checks(world))) == (200, ["queue"])
    assert "secret" not in answer.text


def test_ready_means_that_the_tables_are_there(world: World, worker: None) -> None:
    client = world.app.test_client()
    assert (client.get("/readyz").status_code, client.get("/readyz").json["ready"]) == (200, True)
    with connected():
        main_db.execute_sql("ALTER TABLE outcome RENAME TO outcome_away")
    try:
        assert (client.get("/readyz").status_code, client.get("/readyz").json["ready"]) == (503, False)
        assert client.get("/livez").status_code == 200, "it lives, though it cannot work"
    finally:
        with connected():
            main_db.execute_sql("ALTER TABLE outcome_away RENAME TO outcome")
    assert client.get("/readyz").status_code == 200
