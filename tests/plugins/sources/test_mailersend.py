"""MailerSend's inbound routes: the mail as text in signed JSON."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import pytest

from core.types import WebRequest
from plugins.sources import mailersend
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, as_text, change, mail, post


class TestMailersend(WebhookCases):
    module = mailersend

    def json(self, event: Any, secret: str | None = None) -> WebRequest:
        body = json.dumps(event).encode()
        return post(body, "application/json", {"signature": hmac.new((secret or self.secret).encode(), body, hashlib.sha256).hexdigest()})

    def event(self, raw: bytes, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", **more: Any) -> dict[str, Any]:
        to = {"rcptTo": [{"email": address} for address in rcpt]}
        return {"type": "inbound.message", "data": {"id": key, "raw": as_text(raw), "sender": {"email": SENDER}, "recipients": to, **more}}

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return self.json(self.event(raw, rcpt, key), secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"signature": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [(self.json({"type": "activity.sent", "data": {}}), "activity.sent"), (self.json({"type": "inbound.message", "data": {}}), "raw mail")]

    def test_a_broken_body_is_no_fault_of_ours(self) -> None:
        world = self.world()
        for body in (b"", b"[" * 100_000, b"\xff", b"[]", b"9" * 10_000, b"NaN"):
            signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            assert self.ask(world, post(body, "application/json", {"signature": signature})).status == 400

    @pytest.mark.parametrize("signature", ["", "\u00e9", "zz" * 32, "0" * 63, "0" * 100_000])
    def test_a_malformed_signature_is_not_believed(self, signature: str) -> None:
        world = self.world()
        assert self.ask(world, change(self.request(mail()), headers={"signature": signature})).status == 401

    def test_verdicts_are_kept_without_a_domain(self) -> None:
        world = self.world()
        self.ask(world, self.json(self.event(mail(), spf_check={"code": "~", "value": None}, dkim_check=False)))
        self.ask(world, self.json(self.event(mail(), key="2", spf_check="odd", dkim_check="odd")))
        found = [[(v.method, v.result, v.domain) for v in kept.envelope.verdicts] for kept in world.kept]
        assert found == [[("spf", "softfail", None), ("dkim", "fail", None)], []]
