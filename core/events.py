"""Events told to the sinks: after the commit, one delivery row a sink, each retried by itself and given up in the end.

Every sink walks in its own thread, so one that fails or hangs never stops another, and none of them stops the mails. A
sink gets what happens after it was set up, in the order of happening as long as nothing fails.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from core.http import Client
from core.plugins import Plugins
from core.store import plain
from core.store.company import company
from core.store.database import write
from core.store.fields import from_micros, to_micros
from core.store.models import Setting
from core.store.seal import Seal
from core.types import HouseEvent, SinkContext

log = logging.getLogger("dropcopy.events")

WEBHOOK = "plugins.sinks.webhook"
PORTION = 500  # events entered for a sink at once
PASS = 200  # deliveries of one pass
IN_A_ROW = 3  # failures after which a sink is left alone until the next pass
LEASE = dt.timedelta(minutes=2)
# The schedule that Standard Webhooks recommends, about three days in all.
BACKOFF = tuple(dt.timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
# A transaction that is older than this has ended: no event with a smaller number can still appear.
SETTLED = dt.timedelta(minutes=5)
_SECRET = "event_webhook_secret"


# --- settings of the webhook sink ---------------------------------------------------------------------------------


def webhook_secret(seal: Seal) -> str:
    """The signing secret of outgoing webhooks ("" when none is made yet)."""
    row = Setting.get_or_none(Setting.name == _SECRET)
    return seal.open(str(row.value)) if row is not None else ""


def renew_webhook_secret(seal: Seal) -> str:
    """Make a signing secret, in place of the one before; it is to be shown once."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    sealed = seal.close(secret)
    with write():
        Setting.insert(name=_SECRET, value=sealed).on_conflict(conflict_target=[Setting.name], update={Setting.value: sealed}).execute()
    return secret


def _settings_of(sink: str, seal: Seal) -> dict[str, Any] | None:
    """The settings of a sink; None when nobody has set it up, so that nothing is kept for it."""
    if sink != WEBHOOK:
        return {}
    url = company().event_webhook_url
    return {"url": url, "secret": webhook_secret(seal) or renew_webhook_secret(seal)} if url else None


def client_for(networks: tuple[str, ...]) -> Client:
    """Only public hosts over https, unless the admin names networks of the house: there http will do as well."""
    return Client(networks=networks, plain=bool(networks))


# --- delivery -----------------------------------------------------------------------------------------------------


@dataclass
class Teller:
    """Tells one sink what it has not heard yet."""

    sink: str
    plugins: Plugins
    seal: Seal
    now: Callable[[], dt.datetime]
    client: Callable[[tuple[str, ...]], Any] = client_for
    failing: bool = False  # the last delivery failed

    def tell(self, stop: Callable[[], bool] = lambda: False) -> int:
        """One pass: enter what is new, deliver what is due; how many deliveries succeeded."""
        settings = _settings_of(self.sink, self.seal)
        if settings is None:
            _forget_place(self.sink)
            return 0
        enter(self.sink, self.now())
        context = SinkContext(settings, self.client(company().event_webhook_networks), self.now)
        done = failed = 0
        for ident in _due(self.sink, self.now()):
            if stop() or failed >= IN_A_ROW:
                break
            told = self._deliver(ident, context)
            done, failed = done + (told is True), failed + 1 if told is False else 0
        self.failing = failed > 0
        return done

    def _deliver(self, ident: int, context: SinkContext) -> bool | None:
        """True told, False failed, None somebody else has it."""
        event, attempts = _claim(ident, self.now())
        if event is None:
            return None
        trouble = self.plugins.send_event(self.sink, event, context)
        if trouble is None:
            _end(ident, None, self.now())
            return True
        sentence = f"{trouble}"[:300] or type(trouble).__name__
        if attempts > len(BACKOFF):
            log.warning("%s was not told of event %s: %s", self.sink, event.id, sentence)
            _end(ident, sentence, self.now())
        else:
            _later(ident, sentence, self.now() + BACKOFF[attempts - 1])
        return False


def sinks(plugins: Plugins) -> list[str]:
    """The sinks, each once."""
    return list(dict.fromkeys(plugins.sinks()))


def enter(sink: str, now: dt.datetime) -> int:
    """Enter a delivery for every event that this sink has not heard of; how many. A new sink begins with what comes next."""
    with write():
        place = _place(sink)
        if place is None:
            _keep_place(sink, int(plain.row("SELECT COALESCE(MAX(id), 0) FROM event")[0]))
            return 0
        # On PostgreSQL a smaller number may be committed after a larger one, so the place moves on only over settled events.
        entered = plain.do(
            "INSERT INTO event_delivery (event_id, sink, attempts) SELECT e.id, ?, 0 FROM event e WHERE e.id > ?"
            " AND NOT EXISTS (SELECT 1 FROM event_delivery d WHERE d.event_id = e.id AND d.sink = ?) ORDER BY e.id LIMIT ? ON CONFLICT DO NOTHING",
            sink, place, sink, PORTION,
        )  # fmt: skip
        if entered < PORTION:
            settled = plain.row("SELECT MAX(id) FROM event WHERE id > ? AND at < ?", place, to_micros(now - SETTLED))[0]
            if settled is not None:
                _keep_place(sink, int(settled))
    return entered


def _place(sink: str) -> int | None:
    row = plain.row("SELECT value FROM setting WHERE name = ?", f"events:{sink}")
    return None if row is None else int(row[0])


def _keep_place(sink: str, place: int) -> None:
    plain.do("INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", f"events:{sink}", str(place))


def _forget_place(sink: str) -> None:
    """A sink that was switched off hears nothing of the time in between, and what was kept for it goes."""
    if _place(sink) is None:
        return
    with write():
        plain.do("DELETE FROM setting WHERE name = ?", f"events:{sink}")
        plain.do("DELETE FROM event_delivery WHERE sink = ? AND done_at IS NULL", sink)


def _due(sink: str, now: dt.datetime) -> list[int]:
    found = plain.rows(
        "SELECT id FROM event_delivery WHERE sink = ? AND done_at IS NULL AND (due_at IS NULL OR due_at <= ?) ORDER BY event_id LIMIT ?", sink, to_micros(now), PASS
    )
    return [int(row[0]) for row in found]


def _claim(ident: int, now: dt.datetime) -> tuple[HouseEvent | None, int]:
    """The event of a delivery that is ours for the time of the lease, and the number of this try."""
    with write():
        row = plain.row(
            "UPDATE event_delivery SET attempts = attempts + 1, due_at = ? WHERE id = ? AND done_at IS NULL AND (due_at IS NULL OR due_at <= ?)"
            " RETURNING event_id, attempts",
            to_micros(now + LEASE), ident, to_micros(now),
        )  # fmt: skip
    if row is None:
        return None, 0
    event_id, name, at, facts = plain.row("SELECT id, name, at, facts FROM event WHERE id = ?", row[0])
    decoded: Mapping[str, Any] = msgspec.json.decode(facts) if facts else {}
    return HouseEvent(int(event_id), name, from_micros(at), decoded), int(row[1])


def _end(ident: int, failed: str | None, now: dt.datetime) -> None:
    with write():
        plain.do("UPDATE event_delivery SET done_at = ?, failed = ? WHERE id = ?", to_micros(now), failed, ident)


def _later(ident: int, trouble: str, due_at: dt.datetime) -> None:
    with write():
        plain.do("UPDATE event_delivery SET due_at = ?, failed = ? WHERE id = ?", to_micros(due_at), trouble, ident)


@dataclass(frozen=True, slots=True)
class SinkHealth:
    """How a sink fares, for the plugin page."""

    sink: str
    waiting: int
    given_up: int
    trouble: str  # of the last delivery that failed and waits


def health(plugins: Plugins) -> list[SinkHealth]:
    found = []
    for sink in sinks(plugins):
        waits = plain.row("SELECT COUNT(1) FROM event_delivery WHERE sink = ? AND done_at IS NULL", sink)[0]
        given_up = plain.row("SELECT COUNT(1) FROM event_delivery WHERE sink = ? AND done_at IS NOT NULL AND failed IS NOT NULL", sink)[0]
        trouble = plain.row("SELECT failed FROM event_delivery WHERE sink = ? AND done_at IS NULL AND failed IS NOT NULL ORDER BY due_at DESC LIMIT 1", sink)
        found.append(SinkHealth(sink, int(waits), int(given_up), trouble[0] if trouble else ""))
    return found
