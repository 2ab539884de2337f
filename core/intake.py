"""The one entrance: a mail is kept before anyone thinks about it.

Concurrent deliveries share a commit (group commit): callers put their mail into a queue, one writer thread commits what
is there, and each caller's future ends after the durable commit. Nothing is thrown away and nothing deduplicated here.
"""

from __future__ import annotations

import datetime as dt
import errno
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from core.errors import Refused
from core.queue import Bell
from core.store import disk, drops, inbound
from core.store.company import company
from core.store.database import connected
from core.store.seal import Seal
from core.types import Envelope

log = logging.getLogger("dropcopy.intake")

_BATCH = 256
_BATCH_BYTES = 32 * 1024 * 1024
WAIT = 30.0  # seconds a caller waits for the commit; then it answers "later"

_Item = tuple[bytes, Envelope, "Future[int]"]


class GroupIntake:
    """Keeps mails; see core.types.Intake for what a source may call."""

    def __init__(self, seal: Seal, bell: Bell, clock: Callable[[], dt.datetime]) -> None:
        self._seal = seal
        self._bell = bell
        self._clock = clock
        self._queue: queue.Queue[_Item | None] = queue.Queue(maxsize=10_000)
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._limit, self._limit_at = 0, -10.0

    @property
    def message_limit(self) -> int:
        """The admin's limit, at most a second old: it is asked for every mail, inside the event loop of a source."""
        now = time.monotonic()
        if now - self._limit_at > 1.0:
            with connected():
                self._limit, self._limit_at = company().message_limit, now
        return self._limit

    def accepts(self, address: str) -> bool:
        """True when the address is a living drop address; Refused(permanent=False) when that cannot be looked up."""
        try:
            with connected():
                return drops.find(address, self._seal, self._clock()) is not None
        except Exception as error:
            log.exception("a drop address could not be looked up")
            raise Refused("intake-trouble", permanent=False) from error

    def receive(self, raw: bytes, envelope: Envelope) -> int:
        """Keep the mail and return its id: returning means kept. Raises Refused."""
        try:
            return self.submit(raw, envelope).result(timeout=WAIT)
        except TimeoutError:
            raise Refused("intake-trouble", permanent=False) from None

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        """The same without waiting."""
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can cancel it: the mail may be on the disk already
        if self._closed:
            future.set_exception(Refused("intake-trouble", permanent=False))
            return future
        if len(raw) > self.message_limit:
            future.set_exception(Refused("too-large", limit=self.message_limit))
            return future
        self._start()
        try:
            self._queue.put_nowait((raw, envelope, future))
        except queue.Full:
            future.set_exception(Refused("intake-trouble", permanent=False))
        return future

    def close(self) -> None:
        """Commit what has been handed in, then take nothing more."""
        self._closed = True
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join(timeout=WAIT)

    # --- the writer ---

    def _start(self) -> None:
        if self._writer is None:
            with self._starting:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._write, name="intake", daemon=True)
                    self._writer.start()

    def _write(self) -> None:
        with connected():
            while (batch := self._next_batch()) is not None:
                self._commit(batch)

    def _next_batch(self) -> list[_Item] | None:
        """What is there now, waiting for the first; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        batch, size = [first], len(first[0])
        while len(batch) < _BATCH and size < _BATCH_BYTES:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            batch.append(item)
            size += len(item[0])
        return batch

    def _commit(self, batch: list[_Item]) -> None:
        try:
            ids = inbound.keep([(raw, envelope) for raw, envelope, _ in batch], self._clock())
        except Exception as error:
            self._fail(batch, error)
            return
        for (_, _, future), ident in zip(batch, ids, strict=True):
            future.set_result(ident)
        self._bell.ring()

    def _fail(self, batch: list[_Item], error: Exception) -> None:
        kind = disk.kind_of(error)
        if not isinstance(error, disk.NotProved):  # that one was said when the disk failed
            log.error("mail could not be kept: %s", disk.cause_of(error))
        if len(batch) > 1 and kind != "failed":  # one odd mail must not refuse its neighbours; a large one may lack the room that small ones find
            for item in batch:
                self._commit([item])
            return
        full = kind == "full" or getattr(error, "errno", None) == errno.ENOSPC
        for _, _, future in batch:
            future.set_exception(Refused("disk-full" if full else "intake-trouble", permanent=False))
