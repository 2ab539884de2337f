"""What else dkimpy and pyspf do by themselves, each fault beside its mend. The others stand in test_dkim_faults and test_spf_faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import dkim as dkimpy
import dkim.canonicalization as stock_ways
import dns.exception
import dns.name
import pytest
import spf as pyspf

from core.dns import Zone
from core.types import Envelope, Identity, Mailbox, Message
from plugins.checks import dkim, spf
from tests.judging import NOW, decide
from tests.mailmaker import Signer, make_mail

DOMAIN = "sales.example"


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(DOMAIN)


def stock_key(signer: Signer) -> Callable[..., bytes]:
    return lambda name, timeout=5: signer.record.encode()


def test_an_identity_in_quoted_printable_is_read(signer: Signer) -> None:
    """RFC 6376 2.11 and 3.5: i= may be encoded, and what it says is what counts."""
    raw = signer.sign(make_mail(), tags={"i": f"ana@=65u.{DOMAIN}"})
    message = Message(raw, Identity(Mailbox(None, f"ana@{DOMAIN}")))
    assert dkim.check(message, Envelope("smtp"), Zone(signer.dns), NOW)[0].result == "pass"
    whole = signer.sign(make_mail(), tags={"i": f"ana=40{DOMAIN}"})
    with pytest.raises((dkimpy.DKIMException, IndexError)):
        dkimpy.DKIM(whole).verify(dnsfunc=stock_key(signer))


@pytest.mark.parametrize("field", ["Reply-To: x@evil.example", "Content-Type: text/html", "CC: x@evil.example"])
def test_a_field_that_was_not_signed_changes_what_is_shown(signer: Signer, field: str) -> None:
    name = field.partition(":")[0]
    raw = field.encode() + b"\r\n" + signer.sign(make_mail(headers=[f"{name}: a@{DOMAIN}"] if name != "Content-Type" else ()))
    assert dkimpy.DKIM(raw).verify(dnsfunc=stock_key(signer)) is True
    assert (decide(raw, signer.dns).decision, decide(raw, signer.dns).reason) == ("hold", "duplicate-header")


def test_each_signature_canonicalises_the_body_again(signer: Signer) -> None:
    raw = make_mail()
    for _ in range(12):
        raw = signer.sign(raw)
    read: list[int] = []

    def counted(body: bytes, real: Callable[[bytes], bytes] = stock_ways.Relaxed.canonicalize_body) -> bytes:
        read.append(len(body))
        return real(body)

    with mock.patch.object(stock_ways.Relaxed, "canonicalize_body", staticmethod(counted)):
        verifier = dkimpy.DKIM(raw)
        for number in range(12):
            verifier.verify(idx=number, dnsfunc=stock_key(signer))
    assert len(read) == 12
    with mock.patch.object(dkim, "canonical_body", side_effect=dkim.canonical_body) as ours:
        dkim.check(Message(raw, Identity(Mailbox(None, f"ana@{DOMAIN}"))), Envelope("smtp"), Zone(signer.dns), NOW)
    assert ours.call_count == 1


def ours_spf(mail_from: str, zone: dict[str, Any]) -> str:
    return spf.check(Message(b"", Identity(None)), Envelope("smtp", (), mail_from, "192.0.2.10", "h.example"), Zone(zone).for_message(), NOW)[0].result


def test_a_sender_of_bytes_makes_the_stock_library_stumble() -> None:
    """Ours is text from the edge on, with every octet that came: never bytes, and never an error."""
    with spf._with(Zone({})), pytest.raises(TypeError):
        pyspf.check2(i="192.0.2.10", s=b"ana@sales.example", h="h.example")
    for odd in ("\udce9na@sales.example", "\xe9na@sales.example", "a\udc80@\udcffsales.example"):
        assert ours_spf(odd, {DOMAIN: {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]}}) in ("pass", "none", "permerror")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["x" * 64 + ".example", "a." * 200 + "example", "a..example"])
def test_a_name_that_is_none_makes_the_stock_look_up_raise(name: str) -> None:
    with pytest.raises(dns.exception.DNSException):
        pyspf.DNSLookup_dnspython(name, "TXT")
    assert ours_spf("x@e.example", {"e.example": {"TXT": [f"v=spf1 include:{name} -all"]}}) in ("permerror", "fail")


def test_a_single_label_passes_in_the_stock_library() -> None:
    """RFC 7208 4.3: a name without a dot has no record; a resolver with a search list would find the company's own."""
    zone = {"localhost": {"TXT": ["v=spf1 +all"]}}
    with spf._with(Zone(zone)):
        assert pyspf.check2(i="192.0.2.10", s="x@localhost", h="localhost")[0] == "pass"
    assert ours_spf("x@localhost", zone) == "none"
