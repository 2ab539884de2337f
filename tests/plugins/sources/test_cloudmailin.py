"""CloudMailin's raw format, whose answers become SMTP answers."""

from __future__ import annotations

import datetime as dt

from core.types import WebRequest
from plugins.sources import cloudmailin
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, basic, change, mail, multipart, post


class TestCloudmailin(WebhookCases):
    module = cloudmailin
    refused_status = 422
    has_key = False
    secret, other_secret = "drop:a-password", "drop:another"

    def form(self, fields: dict[str, bytes | str], secret: str | None = None) -> WebRequest:
        body, kind = multipart(fields)
        return post(body, kind, basic(secret or self.secret))

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "", secret: str | None = None, now: dt.datetime = NOW, **more: str) -> WebRequest:
        to: dict[str, bytes | str] = {f"envelope[recipients][{n}]": address for n, address in enumerate(rcpt)}
        client = {"envelope[remote_ip]": "192.0.2.9", "envelope[helo_domain]": "mail.sales.example"}
        spf = {"envelope[spf][result]": "Pass", "envelope[spf][domain]": "Sales.example"}
        return self.form({"message": raw, "envelope[to]": rcpt[0], "envelope[from]": SENDER, **to, **client, **spf, **more}, secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"authorization": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [
            (self.form({"plain": "Hi", "headers[from]": SENDER, "envelope[to]": RCPT}), "Multipart - Raw"),
            (post(b'{"plain": "Hi"}', "application/json", basic(self.secret)), "Multipart - Raw"),
        ]

    def test_the_client_is_carried_so_that_spf_is_checked_here(self) -> None:
        world = self.world()
        self.ask(world, self.request(mail()))
        assert (world.kept[0].envelope.client_ip, world.kept[0].envelope.helo) == ("192.0.2.9", "mail.sales.example")

    def test_its_spf_verdict_is_kept_with_the_domain(self) -> None:
        world = self.world()
        self.ask(world, self.request(mail()))
        assert [(v.method, v.result, v.domain, v.by) for v in world.kept[0].envelope.verdicts] == [("spf", "pass", "sales.example", "cloudmailin")]
