"""The raw mail over HTTP: signed (Standard Webhooks), with a login, or with a bearer token."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
from typing import Any

import pydantic
import pytest

from core.types import WebRequest
from plugins.sources import generic
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, World, basic, change, mail, post

KEY, OTHER = b"k" * 24, b"o" * 32


def whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def signature(key: bytes, ident: str, stamp: str, body: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()


def envelope(rcpt: tuple[str, ...] = (RCPT,)) -> dict[str, str]:
    return {"x-envelope-from": SENDER, "x-envelope-to": ", ".join(rcpt)}


class Cases(WebhookCases):
    module = generic
    kept_status, refused_status, too_large_status = 202, 422, 413

    def proof(self, raw: bytes, key: str, secret: str, now: dt.datetime) -> dict[str, str]:
        raise NotImplementedError

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return post(raw, "message/rfc822", {**envelope(rcpt), **self.proof(raw, key, secret or self.secret, now)})

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={"webhook-signature": None, "authorization": None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [(change(self.request(mail()), headers={"content-type": "application/json"}), "message/rfc822")]

    def test_a_broken_body_is_no_fault_of_ours(self) -> None:
        """Every body is a mail here, but for none at all."""
        for body in (b"", b" \r\n\r\n"):
            world = self.world()
            answer = self.ask(world, self.request(body))
            assert (answer.status, "is empty" in answer.text, world.kept) == (400, True, [])


class TestSigned(Cases):
    secret, other_secret = whsec(KEY), whsec(OTHER)

    def proof(self, raw: bytes, key: str, secret: str, now: dt.datetime) -> dict[str, str]:
        stamp = str(int(now.timestamp()))
        octets = base64.b64decode(secret.removeprefix("whsec_"))
        return {"webhook-id": key, "webhook-timestamp": stamp, "webhook-signature": signature(octets, key, stamp, raw)}

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_a_signature_six_minutes_off_is_not_believed(self, minutes: int) -> None:
        world = self.world()
        assert self.ask(world, self.request(mail(), now=NOW + dt.timedelta(minutes=minutes))).status == 401
        assert world.kept == []

    @pytest.mark.parametrize("minutes", [-4, 4])
    def test_clocks_may_differ_by_some_minutes(self, minutes: int) -> None:
        world = self.world()
        assert self.ask(world, self.request(mail(), now=NOW + dt.timedelta(minutes=minutes))).status == 202

    def test_one_right_signature_among_several_is_enough(self) -> None:
        world = self.world()
        request = self.request(mail())
        listed = f"v1,AAAA v1a,BBBB {signature(OTHER, 'x', '1', b'')} {request.headers['webhook-signature']}"
        assert self.ask(world, change(request, headers={"webhook-signature": listed})).status == 202

    @pytest.mark.parametrize(
        "fields",
        [
            {"webhook-signature": ""},
            {"webhook-signature": "v1"},
            {"webhook-signature": "v1,"},
            {"webhook-signature": "v1,a,b"},
            {"webhook-signature": " "},
            {"webhook-signature": "v1,\u00e9\u00ff"},
            {"webhook-signature": "v2,AAAA"},
            {"webhook-timestamp": "NaN"},
            {"webhook-timestamp": "inf"},
            {"webhook-timestamp": "1e400"},
            {"webhook-timestamp": "9" * 30},
            {"webhook-timestamp": "-1"},
            {"webhook-timestamp": "\u0661\u0662"},
            {"webhook-timestamp": None},
            {"webhook-id": None},
            {"webhook-id": ""},
            {"webhook-id": "x" * 1000},
            {"webhook-id": "\u00e9"},
        ],
    )
    def test_a_malformed_proof_is_not_believed(self, fields: dict[str, str | None]) -> None:
        world = self.world()
        assert self.ask(world, change(self.request(mail()), headers=fields)).status == 401
        assert world.kept == []

    @pytest.mark.parametrize("ident, stamp", [("a.b", None), ("a", "1795323306.5"), ("a.1795323306", None)])
    def test_dots_that_would_move_bytes_between_the_signed_parts_are_not_believed(self, ident: str, stamp: str | None) -> None:
        world = self.world()
        stamp = stamp or str(int(NOW.timestamp()))
        fields = {"webhook-id": ident, "webhook-timestamp": stamp, "webhook-signature": signature(KEY, ident, stamp, mail())}
        assert self.ask(world, post(mail(), "message/rfc822", {**envelope(), **fields})).status == 401

    def test_an_ed25519_signature_is_never_compared_with_a_shared_secret(self) -> None:
        world = self.world()
        request = self.request(mail())
        claimed = request.headers["webhook-signature"].replace("v1,", "v1a,")
        assert self.ask(world, change(request, headers={"webhook-signature": claimed})).status == 401

    def test_a_login_does_not_replace_the_signature(self) -> None:
        world = self.world()
        request = self.unproved(self.request(mail()))
        assert self.ask(world, change(request, headers=basic(self.secret))).status == 401
        assert self.ask(world, change(request, headers={"authorization": f"Bearer {self.secret}"})).status == 401

    def test_another_body_under_the_same_signature_is_not_believed(self) -> None:
        world = self.world()
        assert self.ask(world, change(self.request(mail()), body=mail() + b"more")).status == 401

    @pytest.mark.parametrize("secret", ["", " ", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "short"])
    def test_a_weak_secret_is_refused_at_set_up(self, secret: str) -> None:
        with pytest.raises(pydantic.ValidationError):
            generic.Settings(secret=secret)


class TestLogin(Cases):
    secret, other_secret = "drop:a-password", "drop:another"
    has_key = False

    def proof(self, raw: bytes, key: str, secret: str, now: dt.datetime) -> dict[str, str]:
        return basic(secret)

    @pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic \u00e9", "Basic ZHJvcA==", "Digest x", "", "Basic " + "A" * 10_001])
    def test_a_malformed_login_is_not_believed(self, value: str) -> None:
        world = self.world()
        answer = self.ask(world, change(self.request(mail()), headers={"authorization": value}))
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


class TestToken(Cases):
    secret, other_secret = "a-bearer-token", "another-token"
    has_key = False

    def proof(self, raw: bytes, key: str, secret: str, now: dt.datetime) -> dict[str, str]:
        return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    "given, arrives",
    [
        ("<acme@DROP.Example>", ("acme@drop.example",)),
        ("a@drop.example,b@drop.example, a@drop.example", ("a@drop.example", "b@drop.example")),
        ('"odd, name"@drop.example, b@drop.example', ('"odd, name"@drop.example', "b@drop.example")),
        ("ok@b\u00c3\u00bccher.example", ("ok@xn--bcher-kva.example",)),
        ("nobody, @drop.example, a@, , \x00a@drop.example", ()),
        ("", ()),
    ],
)
def test_recipients_are_read_as_addresses_and_nothing_else(given: str, arrives: tuple[str, ...]) -> None:
    world = World(generic.Settings(secret="a-bearer-token"))
    request = post(mail(), "message/rfc822", {"x-envelope-to": given, "authorization": "Bearer a-bearer-token"})
    assert generic.handle(request, world.context).status == 202
    assert world.kept[0].envelope.rcpt_to == arrives


@pytest.mark.parametrize("given, arrives", [("<>", ""), ("", ""), (None, None), ("ada@sales.example", "ada@sales.example"), ("no address", None)])
def test_the_null_sender_and_an_unknown_one_are_not_the_same(given: str | None, arrives: str | None) -> None:
    world = World(generic.Settings(secret="a-bearer-token"))
    fields: dict[str, Any] = {"x-envelope-to": RCPT, "authorization": "Bearer a-bearer-token"} | ({} if given is None else {"x-envelope-from": given})
    generic.handle(post(mail(), "message/rfc822", fields), world.context)
    assert world.kept[0].envelope.mail_from == arrives


def test_what_our_own_relay_knows_of_the_client_is_carried_for_spf() -> None:
    world = World(generic.Settings(secret="a-bearer-token"))
    fields = {"authorization": "Bearer a-bearer-token", "x-envelope-client-ip": "192.0.2.9", "x-envelope-helo": "mail.sales.example", **envelope()}
    generic.handle(post(mail(), "message/rfc822", fields), world.context)
    assert (world.kept[0].envelope.client_ip, world.kept[0].envelope.helo) == ("192.0.2.9", "mail.sales.example")
