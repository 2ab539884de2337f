"""Events told to the sinks: each sink by itself, nothing missed, nothing twice by rule, and given up in the end."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import events, worker
from core.chores import Chores
from core.errors import BadInput
from core.plugins import Plugins
from core.store import retention
from core.store.company import change_company
from core.store.company import company as company_settings
from core.store.models import Event, EventDelivery, Setting
from core.types import HouseEvent
from tests.spine import Company, at_once, until

pytest_plugins = ["tests.spine"]

GOOD = '''"""Remembers."""
from core.hookspecs import hookimpl
heard = []

@hookimpl
def on_event(event):
    heard.append((event.id, event.name))
'''
BAD = '''"""Breaks."""
from core.hookspecs import hookimpl
tries = []

@hookimpl
def on_event(event, context):
    tries.append(event.id)
    raise RuntimeError("no room for " + event.name)
'''


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    for name, text in (("good", GOOD), ("bad", BAD)):
        (folder / f"{name}.py").write_text(text)
        (folder / f"{name}.py").chmod(0o644)
    return Plugins(folder, names=["plugins.sinks.webhook"])


def module(plugins: Plugins, name: str) -> Any:
    return plugins._manager.get_plugin(name)


def teller(company: Company, plugins: Plugins, sink: str, **more: Any) -> events.Teller:
    return events.Teller(sink, plugins, company.house.seal, company.now, **more)


def happen(company: Company, *names: str) -> list[int]:
    return [int(Event.create(name=name, at=company.at, facts={"n": at}).id) for at, name in enumerate(names)]


def test_a_sink_hears_what_happens_after_it_came_in_order_and_once(company: Company, plugins: Plugins) -> None:
    happen(company, "before.it")
    good = teller(company, plugins, "good")
    assert good.tell() == 0
    ids = happen(company, "mail.logged", "link.added", "contact.created")
    assert good.tell() == 3
    assert good.tell() == 0
    assert module(plugins, "good").heard == list(zip(ids, ("mail.logged", "link.added", "contact.created"), strict=True))


def test_a_real_mail_is_told(company: Company, plugins: Plugins) -> None:
    good = teller(company, plugins, "good")
    good.tell()
    company.send(company.mail())
    company.work()
    good.tell()
    assert {"mail.logged", "link.added"} <= {name for _, name in module(plugins, "good").heard}


def test_a_failing_sink_stops_no_other(company: Company, plugins: Plugins) -> None:
    good, bad = teller(company, plugins, "good"), teller(company, plugins, "bad")
    good.tell(), bad.tell()
    happen(company, *["mail.logged"] * 5)
    assert bad.tell() == 0
    assert good.tell() == 5
    assert len(module(plugins, "bad").tries) == events.IN_A_ROW  # the rest waits for the next pass
    health = {one.sink: one for one in events.health(plugins)}
    assert (health["good"].waiting, health["bad"].waiting) == (0, 5)
    assert health["bad"].trouble == "no room for mail.logged"


def test_a_delivery_is_tried_with_growing_breaks_and_given_up(company: Company, plugins: Plugins) -> None:
    bad = teller(company, plugins, "bad")
    bad.tell()
    happen(company, "mail.logged")
    waits: list[dt.timedelta] = []
    bad.tell()
    while (row := EventDelivery.get()).done_at is None:
        assert row.due_at is not None
        waits.append(row.due_at - company.at)
        assert bad.tell() == 0
        assert EventDelivery.get().attempts == row.attempts  # not before its time
        company.at = row.due_at
        bad.tell()
    assert waits == list(events.BACKOFF)
    assert row.failed == "no room for mail.logged"
    assert events.health(plugins)[-1].given_up + events.health(plugins)[-2].given_up == 1
    company.at += dt.timedelta(days=9)
    tries = len(module(plugins, "bad").tries)
    bad.tell()
    assert len(module(plugins, "bad").tries) == tries == len(events.BACKOFF) + 1


def test_an_event_that_is_committed_late_is_not_missed(company: Company, plugins: Plugins) -> None:
    good = teller(company, plugins, "good")
    good.tell()
    first, second = happen(company, "a.a", "b.b")
    Event.delete().where(Event.id == first).execute()  # its transaction is still open
    assert good.tell() == 1
    Event.insert(id=first, name="a.a", at=company.at, facts={}).execute()
    assert good.tell() == 1
    assert [ident for ident, _ in module(plugins, "good").heard] == [second, first]


def test_the_place_moves_on_so_that_old_events_are_not_looked_at_again(company: Company, plugins: Plugins) -> None:
    good = teller(company, plugins, "good")
    good.tell()
    last = happen(company, *["mail.logged"] * 4)[-1]
    good.tell()
    assert int(Setting.get_by_id("events:good").value) < last
    company.at += dt.timedelta(minutes=6)
    good.tell()
    assert int(Setting.get_by_id("events:good").value) == last
    EventDelivery.delete().execute()
    assert good.tell() == 0


def test_many_events_are_told_over_several_passes(company: Company, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PASS", 7)
    monkeypatch.setattr(events, "PORTION", 5)
    good = teller(company, plugins, "good")
    good.tell()
    ids = happen(company, *["mail.logged"] * 23)
    for _ in range(10):
        good.tell()
    assert [ident for ident, _ in module(plugins, "good").heard] == ids


def test_two_machines_tell_an_event_once(company: Company, plugins: Plugins) -> None:
    tellers = [teller(company, plugins, "good") for _ in range(4)]
    tellers[0].tell()
    ids = happen(company, *["mail.logged"] * 20)
    at_once([one.tell for one in tellers])
    for one in tellers:
        one.tell()
    assert sorted(ident for ident, _ in module(plugins, "good").heard) == ids


def test_one_that_died_while_telling_is_taken_over(company: Company, plugins: Plugins) -> None:
    good = teller(company, plugins, "good")
    good.tell()
    happen(company, "mail.logged")
    events.enter("good", company.at)
    assert events._claim(EventDelivery.get().id, company.at)[0] is not None  # and then the process is gone
    assert good.tell() == 0
    company.at += events.LEASE
    assert good.tell() == 1


def test_events_go_after_their_time_with_their_deliveries(company: Company, plugins: Plugins) -> None:
    good = teller(company, plugins, "good")
    good.tell()
    happen(company, "mail.logged")
    good.tell()
    retention.expire(company_settings(), company.at + dt.timedelta(days=31))
    assert (Event.select().count(), EventDelivery.select().count()) == (0, 0)


# --- the webhook --------------------------------------------------------------------------------------------------


class Receiver:
    """A web server on loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(outer.status)
                self.send_header("Location", "http://169.254.169.254/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def hooked(company: Company, receiver: Receiver) -> Callable[..., None]:
    def set_up(**changes: Any) -> None:
        change_company({"event_webhook_url": receiver.url, "event_webhook_networks": ["127.0.0.0/8"], **changes})
        company.fresh()

    return set_up


def test_a_webhook_is_signed_with_the_secret_of_the_house(company: Company, plugins: Plugins, receiver: Receiver, hooked: Callable[..., None]) -> None:
    hooked()
    secret = events.renew_webhook_secret(company.house.seal)
    hook = teller(company, plugins, events.WEBHOOK)
    hook.tell()
    ident = happen(company, "mail.logged")[0]
    assert hook.tell() == 1
    headers, body = receiver.posts[0]
    signed = f"evt_{ident}.{headers['webhook-timestamp']}.".encode() + body
    mark = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mark).decode()
    assert json.loads(body) == {"type": "mail.logged", "timestamp": "2026-11-20T10:00:05Z", "data": {"n": 0}}


def test_the_secret_is_kept_sealed_and_is_no_setting_that_is_shown(company: Company) -> None:
    secret = events.renew_webhook_secret(company.house.seal)
    assert secret.startswith("whsec_")
    assert events.webhook_secret(company.house.seal) == secret
    assert secret not in json.dumps([row.value for row in Setting.select()])
    company.fresh()
    assert "secret" not in company_settings().model_dump_json()
    assert events.renew_webhook_secret(company.house.seal) != secret


def test_a_receiver_that_is_down_gets_everything_later(company: Company, plugins: Plugins, receiver: Receiver, hooked: Callable[..., None]) -> None:
    hooked()
    hook = teller(company, plugins, events.WEBHOOK)
    hook.tell()
    ids = happen(company, "mail.logged", "mail.held")
    receiver.status = 503
    assert hook.tell() == 0
    receiver.status = 302  # it is not followed
    company.at += dt.timedelta(seconds=5)
    assert hook.tell() == 0
    receiver.status = 200
    company.at += dt.timedelta(minutes=5)
    assert hook.tell() == 2
    assert {headers["webhook-id"] for headers, _ in receiver.posts} == {f"evt_{ident}" for ident in ids}


def test_nothing_is_kept_for_a_webhook_that_nobody_has_set_up(company: Company, plugins: Plugins, hooked: Callable[..., None], receiver: Receiver) -> None:
    hook = teller(company, plugins, events.WEBHOOK)
    happen(company, *["mail.logged"] * 3)
    assert hook.tell() == 0
    hooked()
    hook.tell()
    happen(company, "mail.held")
    receiver.status = 500
    hook.tell()
    hooked(event_webhook_url="")
    hook.tell()
    assert EventDelivery.select().count() == 0


def test_a_private_host_is_asked_only_when_its_network_is_named(company: Company, plugins: Plugins, receiver: Receiver, hooked: Callable[..., None]) -> None:
    hooked(event_webhook_networks=["10.0.0.0/8"])
    hook = teller(company, plugins, events.WEBHOOK)
    hook.tell()
    happen(company, "mail.logged")
    assert hook.tell() == 0
    assert not receiver.posts
    assert "private address" in str(EventDelivery.get().failed)


@pytest.mark.parametrize(
    "changes",
    [
        {"event_webhook_url": "http://hooks.example/"}, {"event_webhook_url": "ftp://hooks.example/"}, {"event_webhook_url": "https://u:p@hooks.example/"},
        {"event_webhook_url": "hooks.example"}, {"event_webhook_url": "https://["}, {"event_webhook_networks": ["the office"]},
    ],
)  # fmt: skip
def test_a_wrong_address_is_not_taken(company: Company, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        change_company(changes)


def test_the_chores_tell_every_sink_beside_each_other(company: Company, plugins: Plugins) -> None:
    company.house = replace(company.house, plugins=plugins)
    chores = Chores(company.house)
    chores.run()
    chores.wait()
    happen(company, "mail.logged")
    chores.run()
    chores.wait()
    assert len(module(plugins, "good").heard) == 1
    assert len(module(plugins, "bad").tries) == 1
    happen(company, "mail.held")
    chores.tell()
    chores.wait()
    assert len(module(plugins, "good").heard) == 2
    assert len(module(plugins, "bad").tries) == 1  # it fails, so it is left alone until the next sweep


def test_the_search_index_is_tidied_once_a_night(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    tidied: list[dt.datetime] = []

    def tidy() -> None:
        tidied.append(company.at)
        if len(tidied) == 2:
            raise OSError("a hiccup")

    monkeypatch.setattr("core.store.dialect.tidy", tidy)
    chores = Chores(company.house)
    noon = dt.datetime(2026, 3, 2, 12).astimezone()  # by the machine's clock
    for hours in (0, 6, 13, 14.5, 15, 15.5, 17.1, 24, 38.9, 39, 39.1):
        company.at = (noon + dt.timedelta(hours=hours)).astimezone(dt.UTC)
        chores.run()
        chores.wait()
    assert [round((at - noon) / dt.timedelta(hours=1), 1) for at in tidied] == [14.5, 38.9, 39.0]  # once a night, and again when it failed


def test_a_filed_mail_is_told_without_waiting_for_the_sweep(company: Company, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 3600.0)
    monkeypatch.setattr(company.fence, "close", lambda: None)  # it is shared between the tests
    company.house = replace(company.house, plugins=plugins)
    chores = Chores(company.house)
    swept: list[int] = []

    def sweep() -> None:
        chores.run()
        chores.wait()
        swept.append(1)

    one = worker.Worker(company.house, sweep, chores.tell)
    one._fence = company.fence
    one.start()
    try:
        until(lambda: swept)
        for number in range(3):
            company.send(company.mail(f"Chairs {number}"))
            until(lambda: [name for _, name in module(plugins, "good").heard].count("mail.logged") == number + 1)
    finally:
        one.stop()
        chores.wait()
    assert len(swept) == 1
    heard = [ident for ident, _ in module(plugins, "good").heard]
    assert heard == sorted(set(heard))


def test_only_the_process_that_sweeps_tells(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TELL_SECONDS", 0.0)
    told: list[int] = []
    both = [worker.Worker(company.house, tell=lambda number=number: told.append(number)) for number in (1, 2)]
    for one in both:
        one._sweep()
    threads = [threading.Thread(target=one._tell_at_once) for one in reversed(both)]
    for one, thread in zip(reversed(both), threads, strict=True):
        thread.start()
        one._queued.set()
        until(lambda one=one: not one._queued.is_set())
    until(lambda: told)
    for one in both:
        one._stopping.set()
        one._queued.set()
    for thread in threads:
        thread.join(20)
    for one in both:
        one._fence.close()
    assert told == [1]


def test_what_is_queued_while_a_sink_is_being_told_is_told_then(company: Company, plugins: Plugins) -> None:
    company.house = replace(company.house, plugins=plugins)
    chores = Chores(company.house)
    chores.run()
    chores.wait()
    gate, inside, heard = threading.Event(), threading.Event(), []

    def slow(event: HouseEvent, context: Any) -> None:
        heard.append(event.name)
        inside.set()
        gate.wait(30)

    for implementation in plugins._implementations("on_event"):
        if implementation.plugin_name == "bad":
            implementation.function = slow
    happen(company, "mail.logged")
    chores.tell()
    assert inside.wait(20)
    happen(company, "mail.held")
    chores.tell()
    gate.set()
    chores.wait()
    assert heard == ["mail.logged", "mail.held"]


def test_a_sink_that_hangs_keeps_neither_the_sweeper_nor_the_others(company: Company, plugins: Plugins) -> None:
    company.house = replace(company.house, plugins=plugins)
    chores = Chores(company.house)
    chores.run()
    chores.wait()
    gate, inside = threading.Event(), threading.Event()

    def hang(event: HouseEvent, context: Any) -> None:
        inside.set()
        gate.wait(30)

    for implementation in plugins._implementations("on_event"):
        if implementation.plugin_name == "bad":
            implementation.function = hang
    happen(company, "mail.logged")
    try:
        chores.run()
        assert inside.wait(20)
        chores._beside["good"].join(20)
        happen(company, "mail.held")
        chores.run()  # the one that hangs is not begun a second time
        chores._beside["good"].join(20)
        assert len(module(plugins, "good").heard) == 2
    finally:
        gate.set()
        chores.wait()
