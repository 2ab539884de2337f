"""SendGrid's Inbound Parse with the raw mail."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from core.types import WebRequest
from plugins.sources import sendgrid
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, basic, change, mail, multipart, post


class TestSendgrid(WebhookCases):
    module = sendgrid
    secret, other_secret = "drop:a-password", "drop:another"
    has_key = False

    def form(self, fields: dict[str, bytes | str], secret: str | None = None) -> WebRequest:
        body, kind = multipart(fields)
        return post(body, kind, basic(secret or self.secret))

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "", secret: str | None = None, now: dt.datetime = NOW, **more: str) -> WebRequest:
        return self.form({"email": raw, "envelope": json.dumps({"to": rcpt, "from": SENDER}), "sender_ip": "192.0.2.9", "SPF": "pass", **more}, secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"authorization": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [
            (self.form({"headers": "From: a", "text": "Hi", "envelope": "{}"}), "raw, full MIME"),
            (self.form({"email": ""}), "raw, full MIME"),
            (post(b'[{"event": "open"}]', "application/json", basic(self.secret)), "Inbound Parse"),
        ]

    def test_the_client_is_carried_so_that_spf_is_checked_here(self) -> None:
        world = self.world()
        self.ask(world, self.request(mail()))
        assert world.kept[0].envelope.client_ip == "192.0.2.9"

    @pytest.mark.parametrize(
        "field, verdicts",
        [
            ("{@sales.example : pass}", [("dkim", "pass", "sales.example")]),
            ("{@a.example : pass, @B.example : fail}", [("dkim", "pass", "a.example"), ("dkim", "fail", "b.example")]),
            ("none", []),
            ("{}", []),
            ('{"@a.example": "pass"', []),
            ("@" * 100_000, []),
        ],
    )
    def test_a_dkim_verdict_is_kept_with_its_domain(self, field: str, verdicts: list[tuple[str, str, str]]) -> None:
        world = self.world()
        self.ask(world, self.request(mail(), dkim=field))
        found = [(v.method, v.result, v.domain) for v in world.kept[0].envelope.verdicts]
        assert found == [*verdicts, ("spf", "pass", None)]

    @pytest.mark.parametrize("envelope", ["", "[]", "nonsense", '{"to": 5}', '{"to": [1, null]}', "{" * 100_000])
    def test_an_odd_envelope_breaks_nothing(self, envelope: str) -> None:
        world = self.world()
        assert self.ask(world, self.form({"email": mail(), "envelope": envelope})).status in (200, 400)
        assert all(kept.envelope.rcpt_to == () for kept in world.kept)
