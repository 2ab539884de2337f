"""What every source must do, whatever way its mail comes in.

A source's test class inherits `SourceCases` and says how to send one mail through it; a webhook's inherits `WebhookCases`
and says how its provider's request looks. `World` holds a small intake that keeps mails in memory by the real rules: the
same instance and key are the same delivery, a refusal is final or not, and nothing counts before `receive` has returned.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.errors import HttpTrouble, Refused
from core.http import HttpAnswer
from core.types import Envelope, SourceContext, WebAnswer, WebRequest

NOW = dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC)
MB = 1024 * 1024
LIMIT = 20 * MB
RCPT = "acme@drop.example"
SENDER = "ada@sales.example"


# --- a small world -------------------------------------------------------------------------------------------------


@dataclass
class Kept:
    id: int
    raw: bytes
    envelope: Envelope


@dataclass
class MemoryIntake:
    message_limit: int = LIMIT
    refuses: Refused | Exception | None = None  # for every mail
    refuses_one: bytes | None = None  # for good, only mails that hold this
    kept: list[Kept] = field(default_factory=list)
    living: set[str] = field(default_factory=lambda: {RCPT})
    lock: Any = field(default_factory=threading.RLock)

    def accepts(self, address: str) -> bool:
        return address.lower() in self.living

    def receive(self, raw: bytes, envelope: Envelope) -> int:
        with self.lock:
            if self.refuses is not None:
                raise self.refuses
            if len(raw) > self.message_limit:
                raise Refused("too-large", limit=self.message_limit)
            if self.refuses_one is not None and self.refuses_one in raw:
                raise Refused("unknown-recipient", address=RCPT)
            for before in self.kept:
                if envelope.key is not None and (before.envelope.instance, before.envelope.key) == (envelope.instance, envelope.key):
                    return before.id
            self.kept.append(Kept(len(self.kept) + 1, raw, envelope))
            return len(self.kept)

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        future: Future[int] = Future()
        try:
            future.set_result(self.receive(raw, envelope))
        except Exception as error:
            future.set_exception(error)
        return future


class MemoryState:
    """Durable like the real one: what comes out is never the object that went in."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.writes = 0
        self.lock = threading.Lock()

    def get(self, name: str, default: Any = None) -> Any:
        with self.lock:
            return json.loads(self.values[name]) if name in self.values else default

    def set(self, **values: Any) -> None:
        with self.lock:
            self.writes += 1
            self.values.update({name: json.dumps(value) for name, value in values.items()})


@dataclass
class Web:
    """The outside web: answers by address; whatever is not there is trouble. Every request is written down."""

    answers: dict[str, HttpAnswer | HttpTrouble] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    hosts: list[Any] = field(default_factory=list)

    def get(self, url: str, *, hosts: Any = None, headers: Any = None, limit: int = MB, timeout: float = 10) -> HttpAnswer:
        return self._answer("GET", url, hosts)

    def post(self, url: str, body: bytes, *, hosts: Any = None, headers: Any = None, limit: int = MB, timeout: float = 10) -> HttpAnswer:
        return self._answer("POST", url, hosts)

    def _answer(self, method: str, url: str, hosts: Any) -> HttpAnswer:
        self.asked.append((method, url))
        self.hosts.append(hosts)
        answer = self.answers.get(url) or HttpTrouble("nobody is there")
        if isinstance(answer, HttpTrouble):
            raise answer
        return answer


class World:
    """One source instance with everything it works with."""

    def __init__(self, settings: Any, *, instance: str = "test", http: Any = None) -> None:
        self.intake = MemoryIntake()
        self.state = MemoryState()
        self.web = http or Web()
        self.now = NOW
        self.reports: list[str] = []
        self.context = SourceContext(
            instance=instance,
            settings=settings,
            intake=self.intake,
            state=self.state,
            dns=None,  # type: ignore[arg-type]
            http=self.web,
            clock=lambda: self.now,
            log=logging.getLogger("test"),
            base_url="https://drop.example",
            report=self.reports.append,
        )

    @property
    def kept(self) -> list[Kept]:
        return self.intake.kept

    @property
    def page(self) -> str:
        """What stands as last error on the source's page."""
        return self.reports[-1] if self.reports else ""


# --- mails ---------------------------------------------------------------------------------------------------------


def mail(body: bytes = b"Hello\r\n", *, subject: bytes = b"Ten chairs", charset: bytes = b"utf-8", number: int = 1) -> bytes:
    """A mail to a customer; the drop address was in Bcc, so it stands nowhere in it."""
    return (
        b"From: Ada <ada@sales.example>\r\nTo: Bo <bo@cust.example>\r\nSubject: %b\r\nMessage-ID: <%d@sales.example>\r\n"
        b"Date: Sun, 22 Nov 2026 09:29:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=%b\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n%b" % (subject, number, charset, body)
    )


def large_mail(size: int) -> bytes:
    """A mail of exactly `size` bytes, as large mails are: base64 in lines."""
    head = mail(b"")
    lines = (base64.b64encode(bytes(range(57))) + b"\r\n") * (size // 78 + 1)
    return head + lines[: size - len(head) - 2] + b"\r\n"


@cache
def _key() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, base64.b64encode(public)


def signed(raw: bytes, canonicalize: tuple[bytes, bytes] = (b"relaxed", b"relaxed")) -> bytes:
    """The mail with a DKIM signature of sales.example."""
    return dkim.sign(raw, b"sel", b"sales.example", _key()[0], canonicalize=canonicalize) + raw


def still_verifies(raw: bytes) -> bool:
    return dkim.verify(raw, dnsfunc=lambda name, timeout=5: b"v=DKIM1; k=rsa; p=" + _key()[1])


EIGHT_BIT = {
    "utf-8": mail("Größe: zehn Stühle für 100 € — bitte!\r\n".encode()),
    "utf-8 that would also be latin-1": mail("Größe und Café\r\n".encode()),
    "latin-1": mail("Größe und Café\r\n".encode("latin-1"), charset=b"iso-8859-1"),
    "latin-1 that says nothing": mail("Größe und Café\r\n".encode("latin-1"), charset=b"us-ascii"),
    "windows-1252": mail("“Größe” – 100 €\r\n".encode("cp1252"), charset=b"windows-1252"),
}


# --- the cases -----------------------------------------------------------------------------------------------------


class SourceCases:
    """Every source passes these. `send` gives one mail to the source and says what became of it for the sender:
    "kept", "never" or "later"."""

    several_recipients = True  # whether this way in carries more than one
    has_key = True  # whether the same delivery can be known again

    def world(self) -> World:
        raise NotImplementedError

    def send(self, world: World, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1") -> str:
        raise NotImplementedError

    def test_a_mail_is_kept_byte_for_byte(self) -> None:
        world = self.world()
        assert self.send(world, mail()) == "kept"
        assert [kept.raw for kept in world.kept] == [mail()]
        assert world.kept[0].envelope.instance == "test"

    def test_it_is_kept_before_the_answer(self) -> None:
        world = self.world()
        world.intake.refuses = RuntimeError("the disk broke while the mail was being kept")
        assert self.send(world, mail()) == "later"
        world.intake.refuses = None
        assert self.send(world, mail()) == "kept"
        assert len(world.kept) == 1

    def test_a_mail_refused_for_good_does_not_come_again(self) -> None:
        world = self.world()
        world.intake.refuses = Refused("unknown-recipient", address=RCPT)
        assert self.send(world, mail()) == "never"
        assert world.kept == []

    def test_a_temporary_fault_makes_it_come_again(self) -> None:
        world = self.world()
        world.intake.refuses = Refused("intake-trouble", permanent=False)
        assert self.send(world, mail()) == "later"
        world.intake.refuses = None
        assert self.send(world, mail()) == "kept"
        assert len(world.kept) == 1

    def test_the_same_delivery_twice_is_kept_once(self) -> None:
        world = self.world()
        assert [self.send(world, mail()), self.send(world, mail())] == ["kept", "kept"]
        assert len(world.kept) == (1 if self.has_key else 2)

    def test_two_deliveries_are_two(self) -> None:
        world = self.world()
        self.send(world, mail(number=1), key="event-1")
        self.send(world, mail(number=2), key="event-2")
        assert len(world.kept) == 2

    def test_a_mail_of_19_mb_is_kept(self) -> None:
        world = self.world()
        raw = large_mail(19 * MB)
        assert self.send(world, raw) == "kept"
        assert world.kept[0].raw == raw

    def test_a_mail_over_the_limit_is_refused_for_good(self) -> None:
        world = self.world()
        world.intake.message_limit = MB
        assert self.send(world, large_mail(MB + 1)) == "never"
        assert self.send(world, large_mail(MB), key="event-2") == "kept"

    @pytest.mark.parametrize("charset", EIGHT_BIT)
    @pytest.mark.parametrize("body", [b"simple", b"relaxed"])
    def test_the_dkim_signature_of_an_8_bit_mail_still_verifies(self, charset: str, body: bytes) -> None:
        world = self.world()
        raw = signed(EIGHT_BIT[charset], (b"relaxed", body))
        assert self.send(world, raw) == "kept"
        assert world.kept[0].raw == raw
        assert still_verifies(world.kept[0].raw)

    def test_the_envelope_recipient_is_carried(self) -> None:
        world = self.world()
        assert self.send(world, mail()) == "kept"
        assert world.kept[0].envelope.rcpt_to == (RCPT,)

    def test_several_envelope_recipients_are_carried(self) -> None:
        if not self.several_recipients:
            return  # this way in delivers each recipient by itself
        world = self.world()
        both = (RCPT, "r-abc123@drop.example")
        assert self.send(world, mail(), rcpt=both) == "kept"
        assert world.kept[0].envelope.rcpt_to == both


class WebhookCases(SourceCases):
    """Every webhook passes these besides. `request` builds what the provider would send, rightly proved by `secret`."""

    kept_status = 200
    refused_status = 200
    too_large_status: int | None = None
    rotates = True
    mail_from = SENDER  # what must arrive as MAIL FROM
    module: Any

    def settings(self, secret: str) -> Any:
        return self.module.Settings(secret=secret)

    secret = "a-secret-word"
    other_secret = "quite:another-word"

    def world(self) -> World:
        return World(self.settings(self.secret))

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        raise NotImplementedError

    def unproved(self, request: WebRequest) -> WebRequest:
        """The same request without its proof."""
        raise NotImplementedError

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        """Rightly proved requests that are no raw mail, each with a word that the sentence must hold."""
        raise NotImplementedError

    def ask(self, world: World, request: WebRequest) -> WebAnswer:
        return self.module.handle(request, world.context)

    def send(self, world: World, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1") -> str:
        before = len(world.kept)
        answer = self.ask(world, self.request(raw, rcpt=rcpt, key=key))
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) > 0
            return "later"
        if answer.text.startswith("Kept as"):
            assert answer.status == self.kept_status
            return "kept"
        assert len(world.kept) == before
        too_large = len(raw) > world.intake.message_limit
        assert answer.status == (self.too_large_status if too_large and self.too_large_status else self.refused_status)
        return "never"

    def test_the_envelope_is_that_of_the_transport(self) -> None:
        world = self.world()
        self.ask(world, self.request(mail()))
        envelope = world.kept[0].envelope
        assert (envelope.source, envelope.mail_from, envelope.received_at) == ("webhook", self.mail_from, NOW)

    def test_a_request_without_proof_is_not_believed(self) -> None:
        world = self.world()
        answer = self.ask(world, self.unproved(self.request(mail())))
        assert (answer.status, world.kept, world.web.asked) == (401, [], [])

    def test_a_request_with_another_source_s_secret_is_not_believed(self) -> None:
        world = self.world()
        answer = self.ask(world, self.request(mail(), secret=self.other_secret))
        assert (answer.status, world.kept) == (401, [])
        assert "wrong or missing" in world.page

    def test_while_a_secret_is_exchanged_the_old_and_the_new_one_count(self) -> None:
        if not self.rotates:
            return  # this provider has one key
        world = World(self.settings(f"{self.other_secret} {self.secret}"))
        assert self.ask(world, self.request(mail(), secret=self.secret)).status == self.kept_status
        assert self.ask(world, self.request(mail(), key="event-2", secret=self.other_secret)).status == self.kept_status

    def test_a_payload_of_the_wrong_kind_is_answered_with_the_probable_mistake(self) -> None:
        for request, word in self.wrong_kinds():
            world = self.world()
            answer = self.ask(world, request)
            assert 400 <= answer.status < 500
            assert answer.status not in (401, 410)
            assert word in answer.text
            assert world.page == answer.text
            assert world.kept == []

    def test_a_mail_that_comes_through_clears_the_page(self) -> None:
        world = self.world()
        world.reports.append("something was wrong")
        self.ask(world, self.request(mail()))
        assert world.page == ""

    def test_only_post_is_taken(self) -> None:
        world = self.world()
        for method in ("GET", "PUT", "DELETE"):
            answer = self.ask(world, change(self.request(mail()), method=method))
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert world.kept == []

    def test_a_compressed_body_is_not_taken(self) -> None:
        world = self.world()
        answer = self.ask(world, change(self.request(mail()), headers={"content-encoding": "gzip"}))
        assert (answer.status, world.kept) == (415, [])

    def test_a_broken_body_is_no_fault_of_ours(self) -> None:
        world = self.world()
        whole = self.request(mail())
        for body in (b"", b"\0", whole.body[: len(whole.body) // 2], b"[" * 100_000, b"{" * 100_000, b'{"a":' * 100_000, b"\xff" * 1000):
            assert 400 <= self.ask(world, change(whole, body=body)).status < 500
        assert world.kept == []

    def test_fifty_requests_at_once_with_one_key_are_one_mail(self) -> None:
        if not self.has_key:
            return  # this provider gives no key
        world = self.world()
        request = self.request(mail())
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(self.ask(world, request).status)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {self.kept_status}
        assert len(world.kept) == 1


# --- requests ------------------------------------------------------------------------------------------------------


def post(body: bytes, content_type: str, headers: dict[str, str] | None = None, path: str = "/in/test-token") -> WebRequest:
    return WebRequest("POST", path, "", {"content-type": content_type, **{k.lower(): v for k, v in (headers or {}).items()}}, body)


def change(request: WebRequest, *, method: str | None = None, body: bytes | None = None, headers: dict[str, str | None] | None = None) -> WebRequest:
    """The request with something else in it; a header of None is taken out."""
    fields = {name: value for name, value in {**request.headers, **(headers or {})}.items() if value is not None}
    return WebRequest(method or request.method, request.path, request.query, fields, request.body if body is None else body)


def multipart(fields: dict[str, bytes | str]) -> tuple[bytes, str]:
    boundary = "xYzZY-7d1"
    out = b""
    for name, value in fields.items():
        content = value.encode() if isinstance(value, str) else value
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), f'multipart/form-data; boundary="{boundary}"'


def basic(login: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(login.encode()).decode()}


def as_text(raw: bytes) -> str:
    """What a provider that puts the mail into JSON makes of it: UTF-8, else byte for character."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
