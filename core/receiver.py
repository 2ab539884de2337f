"""The receiver process: every way in that is a loop (SMTP, LMTP, IMAP), each in a thread of its own.

SMTP and LMTP are opened by the machine's settings; the others are source instances of the database, which may be added,
changed and paused while it runs. One process at a time runs an instance, by a lease.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

from core import sources
from core.errors import BadInput, Sentence, SettingsError
from core.house import House
from core.reasons import N_
from core.settings import split_address
from core.store import leases
from core.store.company import company
from core.store.database import connected
from core.store.models import SourceInstance
from core.types import Source, SourceContext

log = logging.getLogger("dropcopy.receiver")

LOOK_SECONDS = 1.0
LEASE_SECONDS = 30.0
STOP_SECONDS = 30.0
RESTART_SECONDS = 5.0
OPENING_SECONDS = 30.0
SAY_SECONDS = 10.0  # between two signs of where this process listens; each counts for LEASE_SECONDS


@dataclass
class _Running:
    stop: threading.Event
    stamp: str
    context: SourceContext
    must_open: bool  # the machine's settings name it: when it cannot begin, the process must not go on without it
    error: Exception | None = None  # the last one that stopped it
    told: bool = False  # the plugin itself has named its trouble
    thread: threading.Thread = field(init=False)


class Receiver:
    """Runs sources until `stop`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stopping = threading.Event()
        self._fixed: dict[str, _Running] = {}
        self._instances: dict[int, _Running] = {}
        self._said: tuple[float, dict[str, str]] = (0.0, {})  # when it was said where we listen, and what
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._watcher = threading.Thread(target=self._watch, name="sources", daemon=True)
        self.contexts: dict[str, SourceContext] = {}

    def start(self) -> None:
        """Open every way in. Raises SettingsError when one that the machine's settings name cannot be opened."""
        for name in sources.BUILT_IN:
            address = getattr(self._house.settings, name)
            if address:
                self._start_fixed(name, address)
        self._watcher.start()
        for name, one in self._fixed.items():
            if (error := self._opening(one)) is not None:
                self.stop()
                raise SettingsError(_sentence(name, getattr(self._house.settings, name), error))

    def _opening(self, one: _Running) -> Exception | None:
        """What kept this way in from listening; None when it listens."""
        until = time.monotonic() + OPENING_SECONDS
        while one.error is None and one.context.state.get("port") is None and time.monotonic() < until:
            time.sleep(0.02)
        return one.error

    def _start_fixed(self, name: str, address: str) -> None:
        source = self._house.plugins.sources[name]
        context = sources.machine_context(name, self._machine_settings(source, address), self._house)
        self.contexts[name] = context
        self._fixed[name] = self._run(name, source, context, address, must_open=True)

    def _machine_settings(self, source: Source, address: str) -> Any:
        settings = self._house.settings
        host, port = split_address(address)
        with connected():
            hostname = settings.smtp_hostname or settings.mail_domain or company().mail_domain or socket.getfqdn()
        values: dict[str, Any] = {
            "host": host,
            "port": port,
            "hostname": hostname,
            "max_connections_per_ip": settings.smtp_connections_per_ip,
            "trusted_peers": settings.listed("trusted_networks"),
        }
        if settings.smtp_cert:
            values |= {"tls_cert": str(settings.smtp_cert), "tls_key": str(settings.smtp_key)}
        return sources.check_settings(source, values)

    def _say_where(self) -> None:
        """For whoever asks after the ways in: the settings of a process that asks may be other ones."""
        open_now = {name: address for name, one in self._fixed.items() if (address := _listens_at(one))}
        at, said = self._said
        if open_now == said and time.monotonic() - at < SAY_SECONDS:
            return
        self._said = (time.monotonic(), open_now)
        for name, address in open_now.items():
            leases.receiver_listens(name, address, self._holder, self._house.now(), LEASE_SECONDS)

    # --- instances ---

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                with connected():
                    self._look()  # also when nothing changed: another machine's lease may have run out
                    self._say_where()
            except Exception:
                log.exception("the sources could not be looked at; it is tried again")
            self._stopping.wait(LOOK_SECONDS)

    def _look(self) -> None:
        wanted = {row.id: row for row in SourceInstance.select().where(SourceInstance.enabled) if self._loops(row)}
        for ident, running in list(self._instances.items()):
            row = wanted.get(ident)
            if row is None or running.stamp != _stamp(row) or not running.thread.is_alive():
                self._end(ident)
        for ident, row in wanted.items():
            held = leases.take(f"source:{ident}", self._holder, self._house.now(), LEASE_SECONDS)
            if ident in self._instances:
                sources.note_last(ident, self._instances[ident].context)
            if held and ident not in self._instances:
                self._try_begin(row)
            elif not held and ident in self._instances:
                self._end(ident)

    def _loops(self, row: SourceInstance) -> bool:
        source = self._house.plugins.sources.get(row.kind)
        return source is not None and source.run is not None

    def _try_begin(self, row: SourceInstance) -> None:
        """One instance whose settings do not fit any more must not keep the others from starting."""
        try:
            self._begin(row)
        except BadInput as error:
            place = f"{error.where}: " if error.where else ""
            sentence = Sentence(N_("Its settings do not fit: %(place)s%(why)s"), place=place, why=error.sentence)
            if row.last_error != sentence:
                sources.report_of(row.id, self._house)(sentence)

    def _begin(self, row: SourceInstance) -> None:
        source = self._house.plugins.sources[row.kind]
        context = sources.context_of(row, source, self._house)
        self._instances[row.id] = self._run(row.name, source, context, _stamp(row))

    def _end(self, ident: int) -> None:
        running = self._instances.pop(ident)
        running.stop.set()
        until = time.monotonic() + STOP_SECONDS
        while running.thread.is_alive() and time.monotonic() < until:
            running.thread.join(timeout=LOOK_SECONDS)
            for other in (ident, *self._instances):  # a slow end must not cost the others their leases
                leases.take(f"source:{other}", self._holder, self._house.now(), LEASE_SECONDS)
        sources.note_last(ident, running.context)
        leases.drop(f"source:{ident}", self._holder)

    # --- running ---

    def _run(self, name: str, source: Source, context: SourceContext, stamp: str, *, must_open: bool = False) -> _Running:
        def report(sentence: str) -> None:
            running.told = bool(sentence)
            context.report(sentence)

        running = _Running(threading.Event(), stamp, replace(context, report=report), must_open)
        running.thread = threading.Thread(target=self._guarded, args=(source, running), name=f"source {name}", daemon=True)
        running.thread.start()
        return running

    def _guarded(self, source: Source, running: _Running) -> None:
        assert source.run is not None
        context, stop = running.context, running.stop
        while not stop.is_set():
            try:
                source.run(context, stop)
                return
            except Exception as error:
                running.error = error
                if running.must_open and context.state.get("port") is None:
                    return  # it never listened: `start` says so in a sentence
                log.exception("the source %s stopped and is started again", context.instance)
                if not running.told:  # its own sentence says more
                    context.report(Sentence(N_("It stopped with an error and is started again: %(why)s"), why=str(error)))
                running.told = False
                stop.wait(RESTART_SECONDS)

    def stop(self) -> None:
        """Refuse what is new, finish what was begun within 30 s, then commit what was handed in."""
        self._stopping.set()
        running = [*self._fixed.values(), *self._instances.values()]
        for one in running:
            one.stop.set()
        for one in running:
            one.thread.join(timeout=STOP_SECONDS)
        with connected():
            for ident, one in self._instances.items():
                sources.note_last(ident, one.context)
                leases.drop(f"source:{ident}", self._holder)
            leases.receiver_left(self._holder)
        self._house.intake.close()


def _sentence(name: str, address: str, error: Exception) -> str:
    if isinstance(error, ssl.SSLError) or getattr(error, "filename", None):
        return f"DROPCOPY_SMTP_CERT and DROPCOPY_SMTP_KEY cannot be used: {error}. They must be PEM files that belong together and can be read."
    number = getattr(error, "errno", None) or 0
    why = os.strerror(number) if number > 0 else str(error)  # asyncio hides the cause in a sentence of its own
    return f"DROPCOPY_{name.upper()} names {address}, where nothing can listen: {why}. Choose another port."


def _listens_at(running: _Running) -> str:
    """The address with the port that it was given; "" when it does not listen."""
    port = running.context.state.get("port")
    if port is None or not running.thread.is_alive():
        return ""
    host, _ = split_address(running.stamp)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _stamp(row: SourceInstance) -> str:
    return f"{row.name}|{row.settings}|{row.secrets}"
