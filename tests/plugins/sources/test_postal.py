"""Postal's HTTP endpoints: the mail in base64, signed with the server's key."""

from __future__ import annotations

import base64
import datetime as dt
import json
from functools import cache
from typing import Any

import pydantic
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from core.types import WebRequest
from plugins.sources import postal
from tests.plugins.sources.cases import NOW, RCPT, SENDER, WebhookCases, World, change, mail, post


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024 if name == "ours" else 2048)


def public(name: str, encoding: serialization.Encoding = serialization.Encoding.DER) -> str:
    octets = key(name).public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    return octets.decode() if encoding is serialization.Encoding.PEM else base64.b64encode(octets).decode()


def sign(body: bytes, name: str, algorithm: hashes.HashAlgorithm) -> str:
    return base64.b64encode(key(name).sign(body, padding.PKCS1v15(), algorithm)).decode()


class Cases(WebhookCases):
    module = postal
    refused_status = 422
    rotates = False
    several_recipients = False
    secret, other_secret = "ours", "theirs"
    header, algorithm = "x-postal-signature", hashes.SHA1

    def settings(self, secret: str) -> Any:
        return postal.Settings(public_key=public(secret))

    def json(self, event: Any, secret: str | None = None) -> WebRequest:
        body = json.dumps(event).encode()
        return post(body, "application/json", {self.header: sign(body, secret or self.secret, self.algorithm())})

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        event = {"id": key, "rcpt_to": rcpt[0], "mail_from": SENDER, "message": base64.encodebytes(raw).decode(), "base64": True}
        return self.json(event, secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        return change(request, headers={self.header: None})

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [
            (self.json({"status": "Held"}), "HTTP endpoint"),
            (self.json({"plain_body": "Hi", "rcpt_to": RCPT}), "raw message"),
        ]


class TestOlderPostal(Cases):
    pass


class TestPostal(Cases):
    header, algorithm = "x-postal-signature-256", hashes.SHA256

    def test_where_both_signatures_stand_the_stronger_one_decides(self) -> None:
        world = self.world()
        request = self.request(mail())
        weak = {"x-postal-signature": sign(request.body, "ours", hashes.SHA1()), "x-postal-signature-256": "AAAA"}
        assert self.ask(world, change(request, headers=weak)).status == 401

    @pytest.mark.parametrize("signature", ["", "é", "!!!", "AAAA", "A" * 100_000])
    def test_a_malformed_signature_is_not_believed(self, signature: str) -> None:
        world = self.world()
        assert self.ask(world, change(self.request(mail()), headers={self.header: signature})).status == 401

    def test_the_key_may_be_pem(self) -> None:
        world = World(postal.Settings(public_key=public("ours", serialization.Encoding.PEM)))
        assert self.ask(world, self.request(mail())).status == 200

    def test_what_is_no_rsa_key_is_refused_at_set_up(self) -> None:
        curve = ec.generate_private_key(ec.SECP256R1()).public_key()
        pem = curve.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        for text in ("", "nonsense", "AAAA", pem):
            with pytest.raises(pydantic.ValidationError):
                postal.Settings(public_key=text)

    def test_a_number_as_id_is_a_key_too(self) -> None:
        world = self.world()
        event = {"id": 7, "rcpt_to": RCPT, "mail_from": "", "message": base64.b64encode(mail()).decode(), "base64": True}
        self.ask(world, self.json(event))
        self.ask(world, self.json(event))
        assert [(kept.envelope.key, kept.envelope.mail_from) for kept in world.kept] == [("7", "")]
