"""What the sweeper does beside ringing: expire what is past its time, send notices, tell the sinks.

Relays and sinks are other people's machines, so each is talked to in a thread of its own: one that hangs never keeps the
sweeper from its mails. What a thread had begun when the process ended is tried again after its lease.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable

from core import events, notices
from core.events import Teller
from core.house import House
from core.store import retention
from core.store.company import company
from core.store.database import connected

log = logging.getLogger("dropcopy.chores")

EXPIRE_EVERY = dt.timedelta(hours=1)
EXPIRE_ROUNDS = 50  # portions of one sweep; the rest goes with the next


class Chores:
    """Called every fifteen seconds by the one sweeper."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._expired_at: dt.datetime | None = None
        self._beside: dict[str, threading.Thread] = {}
        self._tellers = [Teller(sink, house.plugins, house.seal, house.now) for sink in events.sinks(house.plugins)]

    def run(self) -> None:
        self._expire(self._house.now())
        self._start("notices", lambda: notices.send_due(self._house))
        for teller in self._tellers:
            self._start(teller.sink, teller.tell)

    def wait(self, seconds: float = 60.0) -> None:
        """Until the threads of the last run have ended."""
        for thread in self._beside.values():
            thread.join(seconds)

    def _expire(self, now: dt.datetime) -> None:
        if self._expired_at is not None and dt.timedelta(0) <= now - self._expired_at <= EXPIRE_EVERY:
            return
        for _ in range(EXPIRE_ROUNDS):
            gone = retention.expire(company(), now)
            if not any(number for kind, number in gone.items() if kind != "small"):
                self._expired_at = now
                return

    def _start(self, name: str, work: Callable[[], int]) -> None:
        """Do a work beside the sweeper, unless it is still at it."""
        running = self._beside.get(name)
        if running is not None and running.is_alive():
            return
        self._beside[name] = threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        self._beside[name].start()

    def _guarded(self, name: str, work: Callable[[], int]) -> None:
        try:
            with connected():
                work()
        except Exception:
            log.exception("%s failed and goes on with the next sweep", name)
