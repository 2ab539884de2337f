"""What others found counts only when the mail came through their hands."""

from __future__ import annotations

import pytest

from core.types import AuthResult, Envelope, Identity, Message, Trust, TrustedVerdict
from plugins.checks import trusted
from tests.judging import NOW

RAW = b"Authentication-Results: mx.drop.example; dkim=pass header.d=sales.example\r\nFrom: ana@sales.example\r\n\r\nhello"
TRUST = Trust(authserv_ids=("mx.drop.example",), networks=("10.0.0.0/8",))


def found(envelope: Envelope, raw: bytes = RAW, trust: Trust = TRUST) -> list[AuthResult]:
    return trusted.check(Message(raw, Identity(None), trust), envelope, None, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("imap"),
        Envelope("lmtp"),
        Envelope("explain"),
        Envelope("import"),
        Envelope("smtp", client_ip="10.0.0.5"),
        Envelope("smtp", client_ip="192.0.2.1", relay="10.0.0.5"),
    ],
)
def test_a_mail_from_trusted_hands_is_believed(envelope: Envelope) -> None:
    assert [(one.method, one.result, one.domain, one.by) for one in found(envelope)] == [
        ("dkim", "pass", "sales.example", "mx.drop.example")
    ]


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("smtp", client_ip="192.0.2.1"),
        Envelope("smtp"),
        Envelope("webhook"),
        Envelope("webhook", client_ip="192.0.2.1"),
        Envelope("explain", client_ip="192.0.2.1"),
    ],
)
def test_a_stranger_who_speaks_to_us_directly_is_not(envelope: Envelope) -> None:
    assert found(envelope) == []


def test_a_providers_verdicts_keep_their_domain_and_their_name() -> None:
    verdicts = (TrustedVerdict("dkim", "PASS", "sales.example", "ses"), TrustedVerdict("spf", "GRAY", None, "ses"))
    results = found(Envelope("webhook", verdicts=verdicts), raw=b"")
    assert [(one.method, one.result, one.domain, one.by, one.reason) for one in results] == [
        ("dkim", "pass", "sales.example", "ses", "trusted-verdict"),
        ("spf", "temperror", None, "ses", "trusted-without-domain"),
    ]
