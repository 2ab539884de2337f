"""The worker process: huey's consumer as the wake-up, claims with leases, and the sweeper.

The sweeper is the only retry authority: it rings again for whatever is due, repairs what a crash left between the two
files, and keeps the leases of the living worker fresh.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from huey.consumer import Consumer

from core.house import House
from core.pipeline import Pipeline, make_fence
from core.queue import INITIAL_DELAY, MAX_DELAY
from core.store import disk, inbound, leases
from core.store.database import connected
from core.store.step_times import StepTimes

log = logging.getLogger("dropcopy.worker")

SWEEP_SECONDS = 15.0
HEARTBEAT_SECONDS = 10.0
ALIVE_SECONDS = 60.0  # a worker that has not been heard of for so long counts as gone
STOP_SECONDS = 25.0
TELL_SECONDS = 1.0  # between two looks at what filing has queued for others, however many mails are filed meanwhile
SPARE_SECONDS = 2.0  # mails may hold all threads so long before others stand in
COMPLAINT_SECONDS = 30.0


class _Seldom(logging.Filter):
    """Of the consumer's complaints one in half a minute, without its traceback: while the queue is away each thread has five a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0
        self._unsaid = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        if time.monotonic() < self._next:
            self._unsaid += 1
            return False
        trouble = record.exc_info[1] if record.exc_info else None
        record.msg = f"{record.getMessage()} {' '.join(str(trouble or '').split())} (said {self._unsaid} times more in between; the sweeper finds the mail meanwhile)"
        record.args, record.exc_info, record.exc_text = (), None, None
        self._next, self._unsaid = time.monotonic() + COMPLAINT_SECONDS, 0
        return True


_SELDOM = _Seldom()


class _QuietConsumer(Consumer):
    """huey's consumer without its signal handlers: the process decides itself when to stop, and always gracefully."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for part in ("", ".Worker", ".Scheduler"):  # a filter is not inherited
            logging.getLogger("huey.consumer" + part).addFilter(_SELDOM)

    def _set_signal_handlers(self) -> None:
        return


class Worker:
    """Threads that bring mails to their end until `stop`."""

    def __init__(self, house: House, chores: Callable[[], None] = lambda: None, tell: Callable[[], None] = lambda: None) -> None:
        self._house = house
        self._chores = chores
        self._tell = tell
        self._queued = threading.Event()  # there may be notices and events that nobody has been told of
        self._sweeps = False  # this process has the lease of the sweeper
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._fence = make_fence(house.settings)
        self._mine = threading.local()
        self._times = StepTimes()
        self._pipelines: list[Pipeline] = []
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        house.bell.on_ring(self.work)
        count = house.settings.workers or 2 * (os.cpu_count() or 1)
        self._count = count
        self._long = 0  # mails that take long to read, now
        self._spares: set[threading.Thread] = set()
        self._lock = threading.Lock()
        # Only this process's own sweeper is periodic; huey's periodic tasks have a grain of a minute and are not used.
        self._consumer = _QuietConsumer(
            house.bell.huey,
            workers=count,
            worker_type="thread",
            initial_delay=INITIAL_DELAY,
            max_delay=MAX_DELAY,
            backoff=1.5,
            periodic=False,
            shutdown_timeout=STOP_SECONDS,
        )

    def work(self) -> int:
        """What a rung worker thread does: finish everything that is due."""
        if self._stopping.is_set():
            return 0
        done = self._pipeline().work(self._stopping.is_set)
        self._queued.set()  # a page that has queued a notice rings, too
        return done

    def _pipeline(self) -> Pipeline:
        pipeline: Pipeline | None = getattr(self._mine, "pipeline", None)
        if pipeline is None:
            house = self._house
            pipeline = Pipeline(house.settings, house.plugins, house.seal, self._fence, house.now, self.name, self._times, house.bell.ring, self._took_long, self._queued.set)
            self._mine.pipeline = pipeline
            self._pipelines.append(pipeline)
        return pipeline

    def _took_long(self, change: int) -> None:
        """Count the mails that take long. When they hold every thread, another one stands in, at most as many as there are."""
        with self._lock:
            self._long += change
            if self._long < self._count + len(self._spares) or len(self._spares) >= self._count or self._stopping.is_set():
                return
            spare = threading.Thread(target=self._stand_in, name="spare", daemon=True)
            self._spares.add(spare)
        spare.start()

    def _stand_in(self) -> None:
        """Do the work of the threads that are held, until one of them is free again."""
        pause = SPARE_SECONDS  # most of what takes long is over by then
        try:
            while not self._stopping.wait(pause):
                with self._lock:
                    if self._long < self._count:
                        return
                self.work()
                pause = MAX_DELAY
        except Exception:
            log.exception("a thread that stood in failed; the others go on")
        finally:
            with self._lock:
                self._spares.discard(threading.current_thread())
            pipeline = getattr(self._mine, "pipeline", None)
            if pipeline is not None:
                self._pipelines.remove(pipeline)
                pipeline.close()

    def start(self) -> None:
        self._fence.warm()
        self._consumer.start()
        for work, every, name in ((self._sweep, SWEEP_SECONDS, "sweeper"), (self._beat, HEARTBEAT_SECONDS, "heartbeat")):
            thread = threading.Thread(target=self._every, args=(work, every), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        threading.Thread(target=self._tell_at_once, name="teller", daemon=True).start()

    def _every(self, work: Callable[[], None], seconds: float) -> None:
        while True:
            try:
                with connected():
                    work()
            except Exception as error:
                # A disk in trouble was said when it began; a trace of it every few seconds would bury everything else.
                trace = disk.kind_of(error) is None
                log.error("the %s failed and goes on: %s", threading.current_thread().name, disk.cause_of(error), exc_info=trace)
            if self._stopping.wait(seconds):
                return

    def _beat(self) -> None:
        inbound.renew(self.name, self._house.now())
        leases.worker_lives(self.name, self._house.now(), ALIVE_SECONDS)
        self._times.flush()

    def _tell_at_once(self) -> None:
        """Tell others what was queued without waiting for the sweep. Only where the sweeper is: two at once would tell in any order."""
        while True:
            self._queued.wait()
            if self._stopping.is_set():
                return
            self._queued.clear()
            if self._sweeps:
                try:
                    self._tell()
                except Exception:
                    log.exception("telling at once failed; the next sweep tells")
            if self._stopping.wait(TELL_SECONDS):
                return

    def _sweep(self) -> None:
        now = self._house.now()
        self._sweeps = False  # until it is known
        self._sweeps = leases.take("sweeper", self.name, now, 2 * SWEEP_SECONDS)
        if not self._sweeps:
            return
        ends = inbound.unmarked()
        if ends:
            inbound.mark(ends)
        inbound.resume()
        if inbound.anything_due(now) and not self._house.bell.ring():
            self.work()  # the queue is gone: the mail is not, so the sweeper does the work itself
        self._chores()

    def stop(self) -> None:
        """Finish what was begun, give the rest back, end the children."""
        self._stopping.set()
        self._queued.set()
        self._consumer.stop(graceful=True)
        for spare in list(self._spares):
            spare.join(STOP_SECONDS)
        for pipeline in list(self._pipelines):
            pipeline.close()
        with connected():
            inbound.give_back(self.name)
            leases.drop("sweeper", self.name)
            leases.worker_left(self.name)
        self._fence.close()
