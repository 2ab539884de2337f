"""What the sweeper does beside ringing: expire what is past its time, send notices, tell the sinks, tidy the search index at night.

Relays and sinks are other people's machines, so each is talked to in a thread of its own: one that hangs never keeps the
sweeper from its mails. What a thread had begun when the process ended is tried again after its lease, and tidying in the next night.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable

from core import events, notices
from core.events import Teller
from core.house import House
from core.store import dialect, retention
from core.store.company import company
from core.store.database import connected

log = logging.getLogger("dropcopy.chores")

EXPIRE_EVERY = dt.timedelta(hours=1)
EXPIRE_ROUNDS = 50  # portions of one sweep; the rest goes with the next
NIGHT = range(2, 5)  # hours of the machine's clock


class Chores:
    """`run` is called every fifteen seconds by the one sweeper, `tell` in between, when something was filed."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._expired_at: dt.datetime | None = None
        self._tidied_on: dt.date | None = None
        self._beside: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._tellers = [Teller(sink, house.plugins, house.seal, house.now) for sink in events.sinks(house.plugins)]

    def run(self) -> None:
        try:
            self._expire(self._house.now())
        except Exception:
            log.exception("what is past its time could not be removed; it is tried again with the next sweep")
        self._start("notices", lambda: notices.send_due(self._house))
        for teller in self._tellers:
            self._start(teller.sink, teller.tell)
        self._tidy(self._house.now().astimezone())

    def tell(self) -> None:
        """Send and tell at once what was queued just now. A sink that fails is left alone until the next sweep."""
        self._start("notices", lambda: notices.send_due(self._house), again=True)
        for teller in self._tellers:
            if not teller.failing:
                self._start(teller.sink, teller.tell, again=True)

    def wait(self, seconds: float = 60.0) -> None:
        """Until the threads of the last run have ended."""
        for thread in list(self._beside.values()):
            thread.join(seconds)

    def _expire(self, now: dt.datetime) -> None:
        if self._expired_at is not None and dt.timedelta(0) <= now - self._expired_at <= EXPIRE_EVERY:
            return
        for _ in range(EXPIRE_ROUNDS):
            gone = retention.expire(company(), now)
            if not any(number for kind, number in gone.items() if kind != "small"):
                self._expired_at = now
                return

    def _tidy(self, here: dt.datetime) -> None:
        """Once a night; `here`: the time by the machine's clock."""

        def tidy() -> int:
            portions = dialect.tidy()
            self._tidied_on = here.date()
            return portions

        if here.hour in NIGHT and here.date() != self._tidied_on:
            self._start("tidying the search index", tidy)

    def _start(self, name: str, work: Callable[[], int], *, again: bool = False) -> None:
        """Do a work beside the sweeper, unless it is still at it; `again` has it look once more then, for what was queued meanwhile."""
        with self._lock:
            if name not in self._busy:
                thread = threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
                thread.start()
                self._busy.add(name)
                self._beside[name] = thread
            elif again:
                self._again.add(name)

    def _guarded(self, name: str, work: Callable[[], int]) -> None:
        while True:
            try:
                with connected():
                    work()
            except Exception:
                log.exception("%s failed and goes on with the next sweep", name)
            with self._lock:
                if name not in self._again:
                    self._busy.discard(name)
                    return
                self._again.discard(name)
