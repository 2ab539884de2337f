"""ARC: chains are validated as the standard wants, and a trusted forwarder's findings count only where the admin says so."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization

from core.dns import Zone
from core.types import DnsTrouble, Envelope, Identity, Mailbox, Message, Trust
from plugins.checks import arc
from tests.judging import NOW, decide
from tests.mailmaker import Signer, make_mail

TRUST = Trust(arc_sealers=("list.example",))


def sealed(raw: bytes, sealer: Signer, found: str) -> bytes:
    """The mail with one ARC set: `found` is what the sealer says it found."""
    pem = sealer.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    marked = f"Authentication-Results: {sealer.domain}; {found}\r\n".encode() + raw
    lines = dkimpy.arc_sign(
        marked,
        sealer.selector.encode(),
        sealer.domain.encode(),
        pem,
        sealer.domain.encode(),
        include_headers=[b"from", b"to", b"subject"],
    )
    return b"".join(lines) + marked


@pytest.fixture(scope="module")
def sealer() -> Signer:
    return Signer("list.example")


@pytest.fixture(scope="module")
def mail(sealer: Signer) -> bytes:
    return sealed(make_mail(), sealer, "dkim=pass header.d=sales.example; spf=pass smtp.mailfrom=sales.example")


def test_every_chain_of_the_suite_is_judged_as_it_wants(corpora: Path) -> None:
    cases = [json.loads(line) for line in (corpora / "mailauth/arc/cases.jsonl").read_text().splitlines()]
    assert len(cases) == 86
    found = {case["id"]: (arc.validate(base64.b64decode(case["raw_base64"]), Zone(case["dns"]))[0], case["cv"]) for case in cases}
    assert {name: pair for name, pair in found.items() if pair[1] is not None and pair[0] != pair[1]} == {}


def test_it_is_off_until_a_sealer_is_listed(mail: bytes, sealer: Signer) -> None:
    message = Message(mail, Identity(Mailbox(None, "ana@sales.example")))
    assert arc.check(message, Envelope("smtp"), Zone(sealer.dns), NOW) == []
    assert decide(mail, sealer.dns, client_ip=None, mail_from=None).decision != "pass"


def test_a_listed_sealers_findings_pass_the_mail(mail: bytes, sealer: Signer) -> None:
    judged = decide(mail, sealer.dns, client_ip="203.0.113.9", mail_from="bounce@list.example", trust=TRUST)
    assert (judged.decision, judged.reason, judged.params["by"]) == ("pass", "aligned-trusted", "list.example")


def test_another_sealer_proves_nothing(mail: bytes, sealer: Signer) -> None:
    judged = decide(mail, sealer.dns, client_ip=None, mail_from=None, trust=Trust(arc_sealers=("other.example",)))
    assert judged.decision != "pass"
    assert "arc-not-trusted" in [check.reason for check in judged.checks]


def test_a_changed_mail_breaks_the_chain(mail: bytes, sealer: Signer) -> None:
    judged = decide(mail + b"buy\r\n", sealer.dns, client_ip=None, mail_from=None, trust=TRUST)
    assert judged.decision != "pass"
    assert "arc-fail" in [check.reason for check in judged.checks]


def test_findings_for_a_stranger_do_not_align(sealer: Signer) -> None:
    raw = sealed(make_mail(), sealer, "dkim=pass header.d=evil.example")
    assert decide(raw, sealer.dns, client_ip=None, mail_from=None, trust=TRUST).decision == "reject"


def test_dns_trouble_is_temporary(mail: bytes, sealer: Signer) -> None:
    with pytest.raises(DnsTrouble):
        arc.validate(mail, Zone({sealer.name: "SERVFAIL"}))
    message = Message(mail, Identity(None), TRUST)
    assert [found.result for found in arc.check(message, Envelope("smtp"), Zone({sealer.name: "SERVFAIL"}), NOW)] == ["temperror"]


def test_the_mail_waits_for_the_dns_of_a_listed_sealer_and_of_nobody_else(sealer: Signer) -> None:
    own = Signer("sales.example")
    mail = sealed(own.sign(make_mail()) + b"a footer of the list\r\n", sealer, "dkim=pass header.d=sales.example")
    dns = own.dns | {sealer.name: "TIMEOUT"}
    judged = decide(mail, dns, client_ip="203.0.113.9", mail_from="bounce@list.example", trust=TRUST)
    assert (judged.decision, judged.params["domain"]) == ("retry", "list.example")
    for sealers in ("other.example", "example", "x.list.example"):
        assert decide(mail, dns, client_ip="203.0.113.9", mail_from="bounce@list.example", trust=Trust(arc_sealers=(sealers,))).decision == "reject"
    claimed = b"ARC-Seal: i=2; d=evil.example; s=s\r\n" + mail  # a later seal of a stranger, and no chain any more
    assert decide(claimed, dns | {"s._domainkey.evil.example": "TIMEOUT"}, client_ip="203.0.113.9", mail_from="bounce@list.example", trust=TRUST).decision == "reject"


@pytest.mark.parametrize(
    "front, verdict",
    [
        (b"ARC-Seal: i=1\r\n" * 40, "fail"),
        (b"ARC-Seal: i=1; b=" + b"\r\n " * 9000 + b"\r\n", "fail"),
        (b" x\r\n", "fail"),
        (b"ARC-Seal: i=2; cv=pass\r\n", "fail"),
        (b"ARC-Seal: \xff\r\n", "pass"),  # of no set, so it is no part of the chain
        (b"ARC-Message-Signature: i=x\r\n", "pass"),
    ],
)
def test_no_chain_makes_it_raise(front: bytes, verdict: str, mail: bytes, sealer: Signer) -> None:
    assert arc.validate(front + mail, Zone(sealer.dns))[0] == verdict


def test_a_huge_key_is_never_computed_with(mail: bytes, sealer: Signer) -> None:
    from tests.checks.test_dkim_faults import der_key

    record = f"v=DKIM1; p={base64.b64encode(der_key((1 << 16383) | 1, 2**4096 + 1)).decode()}"
    assert arc.validate(mail, Zone({sealer.name: {"TXT": [record]}}))[0] == "fail"
