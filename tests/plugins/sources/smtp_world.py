"""A small world for the SMTP and LMTP tests: an intake that remembers, a real server on a free port, and a client."""

from __future__ import annotations

import datetime as dt
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from core.errors import Refused
from core.types import Envelope, SourceContext
from plugins.sources import lmtp, smtp

DROP = "drop@crm.example"
HELLO = b"EHLO client.example\r\n"
ENVELOPE = [b"MAIL FROM:<rep@sender.example>\r\n", b"RCPT TO:<drop@crm.example>\r\n"]
MAIL = b"From: rep@sender.example\r\nSubject: chairs\r\n\r\nTen, please.\r\n"


@dataclass
class MemoryIntake:
    """Keeps mails in a list; what it does in `before` happens before the future ends."""

    message_limit: int = 20 * 1024 * 1024
    kept: list[tuple[bytes, Envelope]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    accepted: Callable[[str], bool] = lambda address: re.fullmatch(r"(drop|d\d+|other)(\+\w+)?@crm\.example", address.lower()) is not None
    before: Callable[[], None] = lambda: None

    def accepts(self, address: str) -> bool:
        self.asked.append(address)
        return self.accepted(address)

    def receive(self, raw: bytes, envelope: Envelope) -> int:
        return self.submit(raw, envelope).result()

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()

        def keep() -> None:
            try:
                self.before()
                self.kept.append((raw, envelope))
                future.set_result(len(self.kept))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=keep, daemon=True).start()
        return future


def trouble(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def refusal(code: str, **params: Any) -> Callable[[], None]:
    permanent = params.pop("permanent", True)
    return trouble(Refused(code, permanent=permanent, **params))


class MemoryState:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.changed = threading.Event()

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def set(self, **values: Any) -> None:
        self.values |= values
        self.changed.set()


@dataclass
class World:
    intake: MemoryIntake
    state: MemoryState
    context: SourceContext
    stop: threading.Event
    thread: threading.Thread
    reports: list[str]

    @property
    def port(self) -> int:
        return int(self.state.get("port"))

    def connect(self) -> Client:
        return Client(socket.create_connection(("127.0.0.1", self.port), timeout=10))


@contextmanager
def serving(intake: MemoryIntake | None = None, kind: str = "smtp", **settings: Any) -> Iterator[World]:
    """The real source on a free port, stopped at the end."""
    intake = intake or MemoryIntake()
    model = {"smtp": smtp.SmtpSettings, "lmtp": lmtp.LmtpSettings}[kind]
    run = {"smtp": smtp.run, "lmtp": lmtp.run}[kind]
    state, stop, reports = MemoryState(), threading.Event(), []
    context = SourceContext(
        instance="mx", settings=model(**{"port": 0, "hostname": "mx.crm.example", **settings}), intake=intake, state=state, dns=None, http=None,
        clock=lambda: dt.datetime(2026, 11, 20, 10, 0, tzinfo=dt.UTC), log=logging.getLogger("test.smtp"), report=reports.append,
    )  # type: ignore[arg-type]  # fmt: skip
    thread = threading.Thread(target=run, args=(context, stop), daemon=True)
    thread.start()
    assert state.changed.wait(10), f"the source did not start: {reports}"
    try:
        yield World(intake, state, context, stop, thread, reports)
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive(), "the source did not stop"


class Client:
    """Speaks octets and reads whole replies; "" is the end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def reply(self) -> str:
        lines = []
        while True:
            try:
                line = self.file.readline().decode("latin-1")
            except ConnectionError:
                line = ""
            if not line:
                return "".join(lines)
            lines.append(line)
            if line[3:4] != "-":
                return "".join(lines)

    def send(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def say(self, octets: bytes) -> str:
        self.send(octets)
        return self.reply()

    def says(self, *steps: bytes) -> list[str]:
        return [self.say(step) for step in steps]

    def deliver(self, mail: bytes = MAIL) -> str:
        """A whole transaction; the reply after the final dot."""
        assert [reply[:3] for reply in self.says(*ENVELOPE, b"DATA\r\n")] == ["250", "250", "354"]
        return self.say(mail + b".\r\n")

    def closed(self) -> bool:
        """Read to the end: True when the server has closed, for nothing else ends the reading."""
        return self.reply() == ""

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
