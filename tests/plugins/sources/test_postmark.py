"""Postmark's inbound stream: the mail as text in JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from core.types import WebRequest
from plugins.sources import postmark
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, as_text, basic, change, mail, post


class TestPostmark(WebhookCases):
    module = postmark
    refused_status = 403
    secret, other_secret = "drop:a-password", "drop:another"
    several_recipients = False

    def json(self, event: Any, secret: str | None = None) -> WebRequest:
        return post(json.dumps(event).encode(), "application/json", basic(secret or self.secret))

    def event(self, raw: bytes, rcpt: str = RCPT, key: str = "event-1", **more: Any) -> dict[str, Any]:
        headers = [{"Name": "Return-Path", "Value": f"<{SENDER}>"}]
        return {"RawEmail": as_text(raw), "OriginalRecipient": rcpt, "MessageID": key, "Headers": headers, **more}

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return self.json(self.event(raw, rcpt[0], key), secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"authorization": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [
            (self.json({"RecordType": "Delivery"}), "Delivery"),
            (self.json({"TextBody": "Hi", "OriginalRecipient": RCPT, "Headers": []}), "Include raw email"),
            (change(self.request(mail()), headers={"content-type": "text/plain"}), "JSON"),
        ]

    def test_the_sample_of_the_check_button_is_no_mail(self) -> None:
        world = self.world()
        answer = self.ask(world, self.json(self.event(mail(), key="00000000-0000-0000-0000-000000000000")))
        assert (answer.status, world.kept) == (200, [])
        assert "right" in answer.text

    def test_one_mail_to_two_of_our_addresses_is_two_deliveries(self) -> None:
        world = self.world()
        for rcpt in (RCPT, "r-abc@drop.example"):
            self.ask(world, self.request(mail(), rcpt=(rcpt,)))
        assert [kept.envelope.rcpt_to for kept in world.kept] == [(RCPT,), ("r-abc@drop.example",)]

    def test_only_what_postmark_wrote_above_the_mail_is_evidence(self) -> None:
        world = self.world()
        headers = [
            {"Name": "Return-Path", "Value": ""},
            {"Name": "Received", "Value": "by inbound.example"},
            {"Name": "X-Spam-Tests", "Value": "HTML_MESSAGE, SPF_PASS,DKIM_VALID"},
            {"Name": "Received", "Value": "from the sender"},
            {"Name": "X-Spam-Tests", "Value": "SPF_FAIL"},
            {"Name": "Return-Path", "Value": "<forged@sales.example>"},
            "nonsense",
            {"Name": 5},
        ]
        self.ask(world, self.json(self.event(mail(), Headers=headers)))
        envelope = world.kept[0].envelope
        assert [(v.method, v.result, v.domain) for v in envelope.verdicts] == [("spf", "pass", None), ("dkim", "pass", None)]
        assert envelope.mail_from == ""

    def test_values_of_other_types_break_nothing(self) -> None:
        world = self.world()
        odd: list[Any] = [[], "x", 5, None, {"RawEmail": 5}, {"RawEmail": {}}, self.event(mail(), Headers=5, OriginalRecipient=[1], MessageID={})]
        for event in odd:
            assert self.ask(world, self.json(event)).status in (200, 400)
        assert [kept.envelope.rcpt_to for kept in world.kept] == [()]

    def test_a_lone_surrogate_in_the_text_becomes_the_byte_it_stood_for(self) -> None:
        world = self.world()
        self.ask(world, post(b'{"RawEmail": "Subject: \\udce9\\r\\n\\r\\nx"}', "application/json", basic(self.secret)))
        self.ask(world, post(b'{"RawEmail": "Subject: \\ud800\\r\\n\\r\\nx"}', "application/json", basic(self.secret)))
        assert [kept.raw for kept in world.kept] == [b"Subject: \xe9\r\n\r\nx", b"Subject: ?\r\n\r\nx"]
