"""Real signatures of many signers, and the keys and tags that the standards allow."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from core.dns import Resolver, Zone
from core.reasons import REASONS, remedy, sentence
from core.types import Envelope, Identity, Mailbox, Message
from plugins.checks import dkim
from tests.dnsserver import DnsServer
from tests.judging import NOW
from tests.mailmaker import Signer, make_mail

BEST = ("pass", "policy", "temperror", "fail", "permerror", "none")


def test_every_signature_of_the_corpus_has_the_wanted_result(corpora: Path) -> None:
    folder = corpora / "mailauth/dkim"
    wanted = {row["id"]: row["dkim_any"] for row in map(json.loads, (folder / "expected.jsonl").read_text().splitlines())}
    wrong = {}
    for case in map(json.loads, (folder / "cases.jsonl").read_text().splitlines()):
        now = dt.datetime.fromtimestamp(case["now"], dt.UTC) if "now" in case else NOW
        message = Message((folder / case["raw_path"]).read_bytes(), Identity(None))
        results = dkim.check(message, Envelope(case["arrival"]["source"]), Zone(case["dns"]), now)
        best = min((found.result for found in results), key=BEST.index)
        if not wanted[case["id"]].startswith("not compared") and best != wanted[case["id"]]:
            wrong[case["id"]] = (best, wanted[case["id"]])
    assert wrong == {}


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_a_fresh_key_is_found_over_a_real_dns_server(algorithm: str) -> None:
    signer = Signer("fresh.example", "k7", algorithm)
    message = Message(signer.sign(make_mail("Ana <ana@fresh.example>")), Identity(Mailbox("Ana", "ana@fresh.example")))
    with DnsServer(signer.dns) as server:
        found = dkim.check(message, Envelope("smtp"), Resolver(server.address).for_message(), NOW)
        assert [(one.result, one.domain, one.selector) for one in found] == [("pass", "fresh.example", "k7")]
        server.zone = {signer.name: "SERVFAIL"}
        assert dkim.check(message, Envelope("smtp"), Resolver(server.address).for_message(), NOW)[0].result == "temperror"


def test_line_ends_of_a_file_make_no_difference() -> None:
    signer = Signer("fresh.example", algorithm="ed25519")
    raw = signer.sign(make_mail(body="a\r\n\r\nb  c\r\n"))
    for text in (raw, raw.replace(b"\r\n", b"\n"), b"From x Fri Nov 20 10:00:00 2026\r\n" + raw, raw.replace(b"a\r\n", b"a\n")):
        assert dkim.check(Message(text, Identity(None)), Envelope("import"), Zone(signer.dns), NOW)[0].result == "pass"


def test_a_mail_of_nothing_has_no_signature() -> None:
    for raw in (b"", b"\r\n", b"\n", b"hello", b"\r\n\r\nDKIM-Signature: v=1\r\n", b"From: a@b.example"):
        assert dkim.check(Message(raw, Identity(None)), Envelope("smtp"), Zone({}), NOW)[0].result == "none"


def test_a_body_may_be_empty() -> None:
    signer = Signer("fresh.example", algorithm="ed25519")
    for canonical in ("relaxed/relaxed", "simple/simple"):
        raw = signer.sign(make_mail(body=""), canonical=canonical)
        for text in (raw, raw + b"\r\n\r\n", raw.removesuffix(b"\r\n\r\n") + b"\r\n"):
            assert dkim.check(Message(text, Identity(None)), Envelope("smtp"), Zone(signer.dns), NOW)[0].result == "pass"


def test_every_reason_has_a_sentence_that_needs_nothing_more_than_the_finding_says() -> None:
    source = Path(dkim.__file__).read_text()
    codes = {word for word in source.replace('"', " ").split() if word.startswith("dkim-") and word in REASONS}
    assert len(codes) >= 20
    params = {
        "domain": "a.example",
        "selector": "s",
        "detail": "d",
        "bits": "512",
        "date": "today",
        "count": "9",
        "limit": "8",
        "from_domain": "b.example",
    }
    for code in codes:
        assert "…" not in sentence(code, params)
        assert "{" not in remedy(code, params)
