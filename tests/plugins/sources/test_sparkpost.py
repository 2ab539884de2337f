"""SparkPost's relay webhooks: a batch of mails in base64 or as text."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

from core.types import WebRequest
from plugins.sources import sparkpost
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, World, as_text, basic, change, mail, post


class TestSparkpost(WebhookCases):
    module = sparkpost
    several_recipients = False
    other_secret = "another-word"

    def json(self, events: Any, secret: str | None = None) -> WebRequest:
        return post(json.dumps(events).encode(), "application/json", {"x-messagesystems-webhook-token": secret or self.secret})

    def event(self, raw: bytes, rcpt: str = RCPT, *, encoded: bool = True) -> dict[str, Any]:
        text = base64.b64encode(raw).decode() if encoded else as_text(raw)
        content = {"email_rfc822": text, "email_rfc822_is_base64": encoded}
        return {"msys": {"relay_message": {"content": content, "msg_from": SENDER, "rcpt_to": rcpt, "webhook_id": "1"}}}

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return self.json([self.event(raw, rcpt[0])], secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"x-messagesystems-webhook-token": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [(self.json([{"msys": {"message_event": {"type": "delivery"}}}]), "relay webhook"), (self.json({"msys": {}}), "relayed mails")]

    def test_the_mail_as_text_is_read_as_well(self) -> None:
        world = self.world()
        assert self.ask(world, self.json([self.event(mail("Größe".encode()), encoded=False)])).status == 200
        assert world.kept[0].raw == mail("Größe".encode())

    def test_the_test_of_a_new_webhook_is_no_mail(self) -> None:
        world = self.world()
        assert self.ask(world, self.json([{"msys": {}}])).status == 200
        assert world.kept == []

    def test_a_batch_is_many_mails_and_the_same_mail_to_two_addresses_is_two(self) -> None:
        world = self.world()
        batch = self.json([self.event(mail()), self.event(mail(), "r-abc@drop.example"), self.event(mail(number=2))])
        assert [self.ask(world, batch).status, self.ask(world, batch).status] == [200, 200]
        assert [kept.envelope.rcpt_to[0] for kept in world.kept] == [RCPT, "r-abc@drop.example", RCPT]

    def test_a_login_in_the_address_proves_it_as_well(self) -> None:
        world = World(sparkpost.Settings(secret="drop:a-password"))
        request = self.unproved(self.request(mail()))
        assert self.ask(world, change(request, headers=basic("drop:a-password"))).status == 200
        assert self.ask(world, change(request, headers=basic("drop:another"))).status == 401

    def test_broken_base64_is_refused(self) -> None:
        world = self.world()
        event = self.event(mail())
        event["msys"]["relay_message"]["content"]["email_rfc822"] = "é not base64"
        assert self.ask(world, self.json([event])).status == 400
