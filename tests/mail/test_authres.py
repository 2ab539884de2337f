"""Authentication-Results: read tolerantly, believed by name and place."""

from __future__ import annotations

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.authres import read_results, trusted_findings, word
from core.types import Trust

TRUST = Trust(authserv_ids=("mx.drop.example", "mx.microsoft.com"))


def findings(text: str) -> list[tuple[str, str, str | None]]:
    return [(found.method, found.result, found.domain) for found in read_results(text)[1]]


@pytest.mark.parametrize(
    "text, wanted",
    [
        (
            "mx.a; spf=pass smtp.mailfrom=rep@sales.example; dkim=none; dmarc=pass (p=none) header.from=sales.example",
            [("spf", "pass", "sales.example"), ("dkim", "none", None), ("dmarc", "pass", "sales.example")],
        ),
        (
            "mx.a 1; dkim = pass (2048-bit key) header.d=Sales.Example header.i=@sales.example header.s=s1",
            [("dkim", "pass", "sales.example")],
        ),
        ("mx.a; dkim=pass header.i=@eu.sales.example", [("dkim", "pass", "eu.sales.example")]),
        ("mx.a; spf=hardfail smtp.mailfrom=sales.example", [("spf", "fail", "sales.example")]),
        ('mx.a; spf=pass smtp.mailfrom="" smtp.helo=h.sales.example', [("spf", "pass", "h.sales.example")]),
        ("mx.a; none", []),
        ("mx.a 2; dkim=pass header.d=sales.example", []),
        ("", []),
        (";;;", []),
        (
            "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=sales.example; dkim=pass (signature was verified) header.d=sales.example;dmarc=pass action=none header.from=sales.example;compauth=pass reason=100",
            [
                ("spf", "pass", "sales.example"),
                ("dkim", "pass", "sales.example"),
                ("dmarc", "pass", "sales.example"),
                ("compauth", "pass", None),
            ],
        ),
    ],
)
def test_fields_of_common_servers_are_read(text: str, wanted: list[tuple[str, str, str | None]]) -> None:
    assert findings(text) == wanted


def test_the_library_stumbles_over_fields_without_a_name() -> None:
    with pytest.raises(Exception):
        authres.AuthenticationResultsHeader.parse(
            "Authentication-Results: spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=sales.example; compauth=pass reason=100"
        )
    with pytest.raises(Exception):
        authres.AuthenticationResultsHeader.parse("Authentication-Results: mx.a 2; dkim=pass header.d=sales.example")


@pytest.mark.parametrize(
    "text",
    [
        "mx.a; spf=fail (x; dkim=pass header.d=sales.example) smtp.mailfrom=evil.example",
        'mx.a; spf=fail reason="x; dkim=pass header.d=sales.example" smtp.mailfrom=evil.example',
        'mx.a; spf=fail smtp.mailfrom="; dkim=pass header.d=sales.example ;"@evil.example',
        "mx.a; spf=fail smtp.mailfrom=x; dkim=pass header.d=sales.example@evil.example",
        "mx.a; spf=fail (a (b; dkim=pass header.d=sales.example) c) smtp.mailfrom=evil.example",
        'mx.a; spf=fail (\\); dkim=pass header.d=sales.example) smtp.mailfrom="a\\"; dkim=pass header.d=sales.example"@evil.example',
        "mx.a; dkim=fail (dkim=pass) header.d=sales.example",
        "mx.a; x-dkim=pass header.d=sales.example",
        "mx.a; dkim=pass header.b=sales.example",
        "mx.a; dkim=pass header.d=sales.example.evil.example",
    ],
)
def test_injected_text_never_passes_for_the_sender(text: str) -> None:
    assert ("pass", "sales.example") not in [(result, domain) for _, result, domain in findings(text)]


@given(st.text(alphabet='ab.@;=()"\\ \t\u20ac/1', max_size=120))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read_results(text)
    read_results("mx.a; dkim=pass " + text)


def test_words_of_providers() -> None:
    assert [word(text) for text in ("PASS", "GRAY", "PROCESSING_FAILED", "hardfail", "what?")] == [
        "pass",
        "temperror",
        "temperror",
        "fail",
        "none",
    ]


GOOD = "Authentication-Results: mx.drop.example; spf=pass smtp.mailfrom=sales.example\r\n"
FORGED = "Authentication-Results: mx.drop.example; spf=pass smtp.mailfrom=forged.example\r\n"
ENTRY = "Received: from mail.x.example (mail.x.example [192.0.2.1]) by mx.drop.example (Postfix) with ESMTPS; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
INSIDE = "Received: from mx.drop.example by imap.drop.example with LMTP id x; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
REST = "From: ana@sales.example\r\nSubject: x\r\n"


def believed(head: str, trust: Trust = TRUST) -> str | None:
    found = trusted_findings((head + "\r\nhello").encode(), trust)
    return found[1][0].domain if found and found[1] else None


def test_a_field_above_the_entry_of_the_mail_is_believed() -> None:
    assert believed(GOOD + ENTRY + REST) == "sales.example"
    assert believed("Return-Path: <x>\r\nDelivered-To: y\r\n" + GOOD + ENTRY + REST) == "sales.example"
    assert believed(GOOD + REST) == "sales.example"
    assert believed(INSIDE + GOOD + ENTRY + REST) == "sales.example"
    assert believed(GOOD.replace("mx.drop.example", "MX.Drop.Example") + ENTRY + REST) == "sales.example"


@pytest.mark.parametrize(
    "head",
    [
        ENTRY + FORGED + REST,
        INSIDE + ENTRY + FORGED + REST,
        REST + FORGED,
        "DKIM-Signature: v=1\r\n" + FORGED + REST,
        "Subject: y\r\n" + FORGED + ENTRY,
    ],
)
def test_a_field_below_is_the_senders_own(head: str) -> None:
    assert believed(head) is None


def test_the_topmost_field_of_a_trusted_name_wins() -> None:
    assert believed(GOOD + FORGED + ENTRY + REST) == "sales.example"
    assert (
        believed("Authentication-Results: mx.other.example; spf=pass smtp.mailfrom=other.example\r\n" + GOOD + ENTRY + REST)
        == "sales.example"
    )


@pytest.mark.parametrize(
    "name", ["mx.drop.example.evil.example", "xmx.drop.example", "drop.example", "mx.drop.exampl\u0435", "mx.drop.example/x"]
)
def test_only_the_exact_name_is_trusted(name: str) -> None:
    assert believed(GOOD.replace("mx.drop.example", name) + ENTRY + REST) is None
    assert believed(GOOD + ENTRY + REST, Trust()) is None


def test_gmails_copy_above_its_entry_is_read() -> None:
    trust = Trust(authserv_ids=("mx.google.com",))
    gmail = "Delivered-To: x\r\nReceived: by 2002:a05:6a10::1 with SMTP id x; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    gmail += "ARC-Authentication-Results: i=1; mx.google.com;\r\n       dkim=pass header.i=@sales.example header.s=s1;\r\n       spf=pass smtp.mailfrom=sales.example\r\n"
    entry = ENTRY.replace("mx.drop.example (Postfix)", "mx.google.com")
    forged = "Authentication-Results: mx.google.com; dkim=pass header.d=forged.example\r\n"
    assert believed(gmail + entry + forged + REST, trust) == "sales.example"
    assert believed(entry + forged + REST, trust) is None


def test_a_nameless_field_of_microsoft_is_read_above_the_entry_only() -> None:
    nameless = "Authentication-Results: spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=sales.example; dkim=none\r\n"
    inside = "Received: from AM0.prod.outlook.example (2603:10a6::1) by DB9.prod.outlook.example (2603:10a6::2) with HTTPS; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    trust = Trust(authserv_ids=("mx.microsoft.com",), networks=("2603:1000::/24",))
    assert believed(inside + nameless + ENTRY + REST, trust) == "sales.example"
    assert believed(inside + nameless + ENTRY + REST, Trust(authserv_ids=("mx.microsoft.com",))) is None
    assert believed(nameless + ENTRY + REST, Trust(authserv_ids=("mx.drop.example",))) is None
