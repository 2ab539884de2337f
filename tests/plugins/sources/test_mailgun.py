"""Mailgun's routes: signed by timestamp and token, the mail in a form field."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from urllib.parse import quote_from_bytes

import pytest

from core.types import WebRequest
from plugins.sources import mailgun
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, change, mail, multipart, post


def proof(key: str, secret: str, now: dt.datetime) -> dict[str, str]:
    stamp, token = str(int(now.timestamp())), hashlib.sha256(key.encode()).hexdigest()[:50]
    return {"timestamp": stamp, "token": token, "signature": hmac.new(secret.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()}


class TestMailgun(WebhookCases):
    module = mailgun
    refused_status = 406

    def form(self, fields: dict[str, bytes | str], secret: str | None = None, key: str = "event-1", now: dt.datetime = NOW) -> WebRequest:
        body, kind = multipart({**fields, **proof(key, secret or self.secret, now)})
        return post(body, kind)

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return self.form({"recipient": ",".join(rcpt), "sender": SENDER, "body-mime": raw}, secret, key, now)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, body=request.body.replace(b'"signature"', b'"x"'))

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        event = {"event-data": {"event": "clicked"}, "signature": proof("e", self.secret, NOW)}
        return [
            (self.form({"recipient": RCPT, "body-plain": "Hi", "message-headers": "[]"}), "/mime"),
            (self.form({"recipient": RCPT, "attachments": '[{"url": "http://127.0.0.1/x"}]'}), "store()"),
            (self.form({"recipient": RCPT, "message-url": "http://169.254.169.254/"}), "store()"),
            (self.form({"event": "delivered", "recipient": RCPT}), "tracking"),
            (post(json.dumps(event).encode(), "application/json"), "tracking"),
        ]

    def test_no_stored_message_is_ever_fetched(self) -> None:
        world = self.world()
        for request, _ in self.wrong_kinds():
            self.ask(world, request)
        assert world.web.asked == []

    @pytest.mark.parametrize("off, status", [(-10 * 3600, 401), (-8 * 3600, 200), (240, 200), (600, 401)])
    def test_the_signature_counts_as_long_as_mailgun_tries_again(self, off: int, status: int) -> None:
        world = self.world()
        assert self.ask(world, self.request(mail(), now=NOW + dt.timedelta(seconds=off))).status == status

    def test_a_captured_token_brings_no_second_mail(self) -> None:
        world = self.world()
        assert self.ask(world, self.request(mail(number=1))).status == 200
        assert self.ask(world, self.request(mail(number=2))).status == 200  # the same token with another mail
        assert [kept.raw for kept in world.kept] == [mail(number=1)]

    @pytest.mark.parametrize("stamp", ["", "NaN", "1e9", "-5", "9" * 40, "\u0661"])
    def test_an_odd_timestamp_is_not_believed(self, stamp: str) -> None:
        world = self.world()
        fields = {**proof("x", self.secret, NOW), "timestamp": stamp, "recipient": RCPT, "body-mime": mail()}
        assert self.ask(world, post(*multipart(fields))).status == 401

    def test_a_signed_json_of_another_shape_is_not_believed(self) -> None:
        world = self.world()
        for body in (b"{}", b"[]", b'{"signature": 5}', b'{"signature": {"timestamp": 1, "token": [], "signature": {}}}'):
            assert self.ask(world, post(body, "application/json")).status == 401

    def test_an_urlencoded_mail_keeps_its_bytes(self) -> None:
        world = self.world()
        raw = mail(bytes(range(1, 256)) * 700 + b"\r\n")  # longer than one step of the decoder
        fields = {"recipient": RCPT.encode(), "sender": b"", "body-mime": raw, **{k: v.encode() for k, v in proof("x", self.secret, NOW).items()}}
        body = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in fields.items()).encode()
        assert self.ask(world, post(body, "application/x-www-form-urlencoded")).status == 200
        assert world.kept[0].raw == raw
        assert world.kept[0].envelope.mail_from == ""

    def test_too_many_fields_are_refused(self) -> None:
        world = self.world()
        assert self.ask(world, post(b"a=1&" * 100_000, "application/x-www-form-urlencoded")).status == 413
        assert self.ask(world, post(*multipart({f"f{n}": "x" for n in range(2000)}))).status == 413

    def test_verdicts_that_mailgun_wrote_on_top_are_kept_without_a_domain(self) -> None:
        world = self.world()
        raw = b"X-Mailgun-Spf: Pass\r\nX-Mailgun-Dkim-Check-Result: Fail\r\nReceived: from x by y\r\nX-Mailgun-Spf: Neutral\r\n" + mail()
        self.ask(world, self.request(raw))
        found = [(v.method, v.result, v.domain, v.by) for v in world.kept[0].envelope.verdicts]
        assert found == [("spf", "pass", None, "mailgun"), ("dkim", "fail", None, "mailgun")]
