"""Mandrill's inbound events: signed over the public address, the mail as text in JSON in a form."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from core.types import WebRequest
from plugins.sources import mandrill
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, World, as_text, change, mail, multipart, post

URL = "https://drop.example/in/test-token"


def sign(fields: dict[str, str], secret: str, url: str = URL) -> dict[str, str]:
    content = url + "".join(name + fields[name] for name in sorted(fields))
    return {"x-mandrill-signature": base64.b64encode(hmac.new(secret.encode(), content.encode(), hashlib.sha1).digest()).decode()}


class TestMandrill(WebhookCases):
    module = mandrill
    several_recipients = False

    def form(self, events: Any, secret: str | None = None, **more: str) -> WebRequest:
        fields = {"mandrill_events": events if isinstance(events, str) else json.dumps(events), **more}
        return post(urlencode(fields).encode(), "application/x-www-form-urlencoded", sign(fields, secret or self.secret))

    def event(self, raw: bytes, rcpt: str = RCPT, **more: Any) -> dict[str, Any]:
        message = {"raw_msg": as_text(raw), "email": rcpt, "sender": SENDER, "spf": {"result": "pass"}, "dkim": {"signed": True, "valid": True}, **more}
        return {"event": "inbound", "ts": 1, "msg": message}

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return self.form([self.event(raw, rcpt[0])], secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"x-mandrill-signature": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        fields = {"something": "else"}
        return [
            (self.form([{"event": "open", "msg": {}}]), "tracking"),
            (post(urlencode(fields).encode(), "application/x-www-form-urlencoded", sign(fields, self.secret)), "mandrill_events"),
        ]

    def test_the_probe_of_the_address_is_answered(self) -> None:
        assert self.ask(self.world(), WebRequest("HEAD", "/in/test-token", "", {}, b"")).status == 200

    def test_an_empty_batch_is_fine(self) -> None:
        assert self.ask(self.world(), self.form([])).status == 200

    def test_a_batch_that_is_kept_in_part_comes_again_and_doubles_nothing(self) -> None:
        world = self.world()
        batch = self.form([self.event(mail(number=n), RCPT) for n in (1, 2, 3)])
        receive = world.intake.receive
        world.intake.receive = lambda raw, envelope: 1 / 0 if b"<2@" in raw else receive(raw, envelope)  # type: ignore[method-assign,return-value]
        assert self.ask(world, batch).status == 503
        assert len(world.kept) == 2
        world.intake.receive = receive  # type: ignore[method-assign]
        assert self.ask(world, batch).status == 200
        assert len(world.kept) == 3

    def test_one_mail_refused_for_good_does_not_bring_the_others_again(self) -> None:
        world = self.world()
        world.intake.refuses_one = b"<2@"
        assert self.ask(world, self.form([self.event(mail(number=n)) for n in (1, 2, 3)])).status == 200
        assert len(world.kept) == 2

    def test_the_signature_is_over_every_field_and_the_address(self) -> None:
        world = self.world()
        request = self.form([self.event(mail())], more="field")
        assert self.ask(world, request).status == 200
        assert self.ask(world, change(request, body=request.body + b"&x=1")).status == 401
        elsewhere = WebRequest("POST", "/in/other-token", "", request.headers, request.body)
        assert self.ask(world, elsewhere).status == 401

    def test_behind_a_proxy_the_address_at_mandrill_counts(self) -> None:
        world = World(mandrill.Settings(secret=self.secret, address="https://front.example/hook?a=1"))
        fields = {"mandrill_events": json.dumps([self.event(mail())])}
        headers = sign(fields, self.secret, "https://front.example/hook?a=1")
        assert self.ask(world, post(urlencode(fields).encode(), "application/x-www-form-urlencoded", headers)).status == 200

    def test_a_multipart_form_is_read_as_well(self) -> None:
        world = self.world()
        fields = {"mandrill_events": json.dumps([self.event(mail())])}
        assert self.ask(world, post(*multipart(dict(fields)), sign(fields, self.secret))).status == 200
        assert world.kept[0].raw == mail()

    def test_verdicts_are_kept_without_a_domain(self) -> None:
        world = self.world()
        self.ask(world, self.request(mail()))
        found = [(v.method, v.result, v.domain) for v in world.kept[0].envelope.verdicts]
        assert found == [("spf", "pass", None), ("dkim", "pass", None)]

    def test_events_of_any_shape_break_nothing(self) -> None:
        world = self.world()
        for events in ("nonsense", "[" * 100_000, "{}", "5", "[5, null, []]", '[{"event": "inbound", "msg": {"raw_msg": 5}}]', "[" + "0," * 5000 + "0]"):
            assert self.ask(world, self.form(events)).status == 400
        assert world.kept == []
