"""The RFC 7208 test suite through our check: over a made-up DNS, and over a real one on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spf as pyspf
import yaml

from core.dns import Resolver, Zone
from core.types import Dns, Envelope, Identity, Message
from plugins.checks import spf
from tests.dnsserver import DnsServer
from tests.judging import NOW

KINDS = ("TXT", "A", "AAAA", "MX", "PTR")


def zone_of(records: dict[str, list[Any]]) -> dict[str, Any]:
    """The suite's zone in our form. Its SPF records stand for TXT unless TXT is given; TIMEOUT fails what is not given."""
    zone: dict[str, Any] = {}
    for name, entries in records.items():
        kinds: dict[str, Any] = {}
        for entry in entries:
            for kind, value in entry.items() if isinstance(entry, dict) else []:
                kinds.setdefault(kind, []).append(value)
        spf_records = kinds.pop("SPF", None)
        if spf_records and "TXT" not in kinds and "TIMEOUT" not in entries:
            kinds["TXT"] = spf_records
        kinds = {kind: [value for value in values if value != "NONE"] for kind, values in kinds.items()}
        kinds = {kind: "TIMEOUT" if "TIMEOUT" in values else values for kind, values in kinds.items()}
        if "TIMEOUT" in entries:
            kinds = dict.fromkeys(KINDS, "TIMEOUT") | {kind: values for kind, values in kinds.items() if values}
        zone[name] = kinds
    return zone


def cases(file: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for document in yaml.safe_load_all(file.read_text()):
        for name, case in (document or {}).get("tests", {}).items():
            yield name, case, zone_of(document["zonedata"])


def result(case: dict[str, Any], dns: Dns) -> str:
    envelope = Envelope("smtp", (), case["mailfrom"], case["host"], case["helo"])
    return spf.check(Message(b"", Identity(None)), envelope, dns, NOW)[0].result


def wanted(case: dict[str, Any]) -> list[str]:
    return case["result"] if isinstance(case["result"], list) else [case["result"]]


def test_every_case_of_the_rfc_suite_gives_the_wanted_result(corpora: Path) -> None:
    found = {
        name: (result(case, Zone(zone).for_message()), wanted(case))
        for name, case, zone in cases(corpora / "mailauth/spf/rfc7208-tests.yml")
    }
    assert len(found) == 203
    assert {name: pair for name, pair in found.items() if pair[0] not in pair[1]} == {}


def test_every_case_of_the_librarys_own_suite_gives_the_wanted_result(corpora: Path) -> None:
    """Two of the sixteen ask for pyspf's lax and harsh modes, which no receiver uses: asked of the library over our DNS."""
    found = {}
    for name, case, zone in cases(corpora / "mailauth/spf/test.yml"):
        if case.get("strict", 1) == 1:
            found[name] = (result(case, Zone(zone)), wanted(case))
        else:
            with spf._with(Zone(zone)):
                query = pyspf.query(i=case["host"], s=case["mailfrom"], h=case["helo"], strict=case["strict"])
                found[name] = (query.check()[0], wanted(case))
    assert len(found) == 16
    assert {name: pair for name, pair in found.items() if pair[0] not in pair[1]} == {}


def test_the_rfc_suite_holds_over_a_real_dns_server(corpora: Path) -> None:
    """All 203; names that time out answer SERVFAIL here, which is the same to the check and does not make the test wait."""
    by_zone: dict[int, tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]] = {}
    for name, case, zone in cases(corpora / "mailauth/spf/rfc7208-tests.yml"):
        by_zone.setdefault(hash(repr(zone)), (zone, []))[1].append((name, case))
    wrong, asked = {}, 0
    with DnsServer() as server:
        for zone, named in by_zone.values():
            server.zone = {
                name: {kind: "SERVFAIL" if values == "TIMEOUT" else values for kind, values in kinds.items()}
                for name, kinds in zone.items()
            }
            resolver = Resolver(server.address, deadline=5)
            for name, case in named:
                asked += 1
                got = result(case, resolver.for_message())
                if got not in wanted(case):
                    wrong[name] = (got, wanted(case))
        over = {transport for transport, _, _ in server.questions}
    assert asked == 203
    assert wrong == {}
    assert over == {"udp"}


@pytest.mark.parametrize("truncate", [1232, 20])
def test_a_truncated_answer_is_asked_again_over_tcp(truncate: int) -> None:
    terms = " ".join(f"ip4:198.51.100.{n}" for n in range(90))
    with DnsServer({"long.example": {"TXT": [f"v=spf1 {terms} ip4:192.0.2.10 -all"]}}, truncate=truncate) as server:
        case = {"mailfrom": "x@long.example", "host": "192.0.2.10", "helo": "h.example"}
        assert result(case, Resolver(server.address).for_message()) == "pass"
        assert [transport for transport, _, _ in server.questions] == ["udp", "tcp"]


def test_the_sentence_of_a_failure_names_the_record_that_would_mend_it() -> None:
    from core.reasons import remedy, sentence

    zone = Zone({"a.example": {"TXT": ["v=spf1 -all"]}})
    found = spf.check(Message(b"", Identity(None)), Envelope("smtp", (), "x@a.example", "2001:db8::7", "h.example"), zone, NOW)[0]
    assert sentence(found.reason, found.params) == "The SPF record of a.example forbids the server 2001:db8::7."
    assert "ip6:2001:db8::7" in remedy(found.reason, found.params)
