"""What pyspf 2.0.14 trips over, each fault beside its mend: first the stock library, then ours."""

from __future__ import annotations

import ipaddress
import threading
import warnings
from typing import Any

import dns.name
import pytest
import spf as pyspf

from core.dns import Resolver, Zone
from core.types import DnsTrouble, Envelope, Identity, Message, Trust
from plugins.checks import spf
from tests.dnsserver import DnsServer
from tests.judging import NOW

ZONE = Zone(
    {
        "a.example": {"TXT": ["v=spf1 ip4:192.0.2.10 ip6:2001:db8::/32 -all"]},
        "mx.a.example": {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]},
    }
)


def ours(
    mail_from: str | None, ip: str | None = "192.0.2.10", helo: str | None = "mx.a.example", dns: Any = ZONE, **more: Any
) -> tuple[str, str | None, str]:
    envelope = Envelope("smtp", (), mail_from, ip, helo)
    found = spf.check(Message(b"", Identity(None), more.get("trust", Trust())), envelope, dns.for_message(), NOW)
    assert len(found) == 1
    return found[0].result, found[0].domain, found[0].reason


def stock(**arguments: Any) -> str:
    with spf._with(arguments.pop("dns", ZONE)):
        return str(pyspf.check2(**arguments)[0])


def test_the_one_hook_is_set_once_and_asks_the_dns_of_its_own_thread() -> None:
    assert pyspf.DNSLookup is spf._look_up
    with pytest.raises(pyspf.TempError):
        spf._look_up("a.example", "TXT")
    wrong: list[str] = []

    def work(number: int) -> None:
        allowed = number % 2
        zone = Zone({"t.example": {"TXT": [f"v=spf1 {'ip4:192.0.2.10' if allowed else 'ip4:198.51.100.1'} -all"]}})
        for _ in range(200):
            if ours("x@t.example", dns=zone)[0] != ("pass" if allowed else "fail"):
                wrong.append("mixed up")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_stock_hook_may_not_be_used_under_strict_warnings() -> None:
    with DnsServer({}) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((DeprecationWarning, AttributeError)):
            pyspf.DNSLookup_dnspython("a.example", "TXT")
        assert Resolver(server.address).txt("a.example") == []
        assert [name for _, name, _ in server.questions] == ["a.example"], "no local search suffix was put behind it"


def test_an_invalid_address_of_the_client_is_no_client() -> None:
    with pytest.raises(pyspf.PermError):
        stock(i="999.1.1.1", s="x@a.example", h="h")
    assert ours("x@a.example", "999.1.1.1")[2] == "spf-not-checked"


@pytest.mark.parametrize("ip", ["", None])
def test_without_a_client_spf_is_not_checked(ip: str | None) -> None:
    with pytest.raises(AttributeError):
        stock(i=ip, s="x@a.example", h="h")
    assert ours("x@a.example", ip)[2] == "spf-not-checked"


def test_the_zone_of_an_ipv6_address_is_cut() -> None:
    zone = Zone({"l.example": {"TXT": ["v=spf1 ip6:fe80::/10 -all"]}})
    with pytest.raises(ipaddress.AddressValueError):
        stock(i="fe80::1%eth0", s="x@l.example", h="h", dns=zone)
    assert ours("x@l.example", "fe80::1%eth0", dns=zone)[0] == "pass"
    assert ours("x@a.example", "::ffff:192.0.2.10")[0] == "pass"


def test_an_empty_sender_without_a_helo_name() -> None:
    with pytest.raises(AttributeError):
        stock(i="192.0.2.10", s="", h=None)
    assert ours("", helo=None) == ("none", None, "spf-none")


def test_an_empty_sender_is_judged_by_its_helo_name() -> None:
    assert ours("") == ours("<>") == ("pass", "mx.a.example", "spf-pass")
    assert ours("", "203.0.113.9")[0] == "fail"


@pytest.mark.parametrize(
    "address", ["a@b@a.example", '"x@b.example"@a.example', "x@A.Example", "x@a.example.", "@a.example", "<x@a.example>"]
)
def test_the_domain_stands_after_the_last_at_sign(address: str) -> None:
    if address.count("@") > 1:
        assert stock(i="192.0.2.10", s=address, h="h") == "none"
    assert ours(address)[:2] == ("pass", "a.example")


def test_the_local_part_reaches_the_macros_whole() -> None:
    zone = Zone(
        {
            "m.example": {"TXT": ["v=spf1 exists:%{l}.ok.example -all"]},
            "a@b.ok.example": {"A": ["127.0.0.2"]},
            "postmaster.ok.example": {"A": ["127.0.0.2"]},
        }
    )
    assert ours("a@b@m.example", dns=zone)[0] == "pass"
    assert ours("@m.example", dns=zone)[0] == "pass"


@pytest.mark.parametrize(
    "domain", ["localhost", "a", "", ".", "a..example", "x" * 64 + ".example", ".".join(["abcdefgh"] * 40), "[192.0.2.10]"]
)
def test_what_is_no_domain_has_no_record(domain: str) -> None:
    zone = Zone({name: {"TXT": ["v=spf1 +all"]} for name in (domain, "localhost")})
    assert ours(f"x@{domain}", dns=zone)[0] == "none"


@pytest.mark.parametrize(
    "local, terms",
    [
        ("x" * 300, "exists:%{l}.a.example -all"),
        ("a\\", "exists:%{l}.a.example -all"),
        ("a\\300b", "exists:%{l}.a.example -all"),
        ("\U0001f600", "exists:%{l}.a.example -all"),
        ("..", "exists:%{l}.a.example -all"),
        ("x", "exists:\U0001f600.example -all"),
        ("x", "include:" + "a." * 120 + "example -all"),
        ("x", "a:%{l}%{l}%{l}%{l}%{x} -all"),
        ("x", "ip4:1.2.3 -all"),
        ("x", "redirect=e.example"),
        ("\ud800", "exists:%{l}.a.example -all"),
    ],
)
def test_a_strangers_text_never_makes_the_check_raise(local: str, terms: str) -> None:
    zone = {"e.example": {"TXT": [f"v=spf1 {terms}"]}}
    assert ours(f"{local}@e.example", dns=Zone(zone))[0] in ("fail", "permerror", "neutral")
    with DnsServer(zone) as server:
        assert ours(f"{local}@e.example", dns=Resolver(server.address))[0] in ("fail", "permerror", "neutral", "temperror")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_backslash_in_the_local_part_breaks_the_stock_look_up() -> None:
    with pytest.raises(dns.name.BadEscape):
        pyspf.DNSLookup_dnspython("a\\300b.a.example", "A")


def test_an_endless_record_is_an_error_of_the_record() -> None:
    loop = Zone({"l.example": {"TXT": ["v=spf1 include:m.example -all"]}, "m.example": {"TXT": ["v=spf1 include:l.example -all"]}})
    assert ours("x@l.example", dns=loop) == ("permerror", "l.example", "spf-record-wrong")
    turns = Zone({f"r{n}.example": {"TXT": [f"v=spf1 redirect=r{n + 1}.example"]} for n in range(60)})
    assert ours("x@r0.example", dns=turns)[0] == "permerror"


@pytest.mark.parametrize("trouble", ["SERVFAIL", "TIMEOUT"])
def test_dns_trouble_is_temporary(trouble: str) -> None:
    zone = Zone({"t.example": trouble, "i.example": {"TXT": ["v=spf1 include:t.example -all"]}})
    assert ours("x@t.example", dns=zone) == ("temperror", "t.example", "spf-dns-trouble")
    assert ours("x@i.example", dns=zone)[0] == "temperror"


def test_a_dead_resolver_costs_the_budget_of_the_message_and_no_more() -> None:
    class Dead:
        asked = 0

        def txt(self, name: str) -> list[bytes]:
            Dead.asked += 1
            raise DnsTrouble("the budget is spent")

        lookup = txt

        def for_message(self) -> Any:
            return self

    assert ours("x@a.example", dns=Dead())[0] == "temperror"
    assert Dead.asked == 1


def test_spf_is_never_judged_against_a_relay_of_our_own() -> None:
    trust = Trust(networks=("192.0.2.0/24",))
    assert ours("x@a.example", trust=trust)[2] == "spf-not-checked"
