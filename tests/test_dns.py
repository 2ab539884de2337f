"""The resolver: cache, budgets, failures; and the made-up DNS of explanations, which answers like the live one."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from core import dns as house_dns
from core.dns import Resolver, Zone
from core.errors import SettingsError
from core.types import DnsTrouble
from tests.dnsserver import DnsServer

DATA: dict[str, Any] = {
    "a.example": {
        "TXT": ["v=spf1 -all", ["two ", "strings"]],
        "MX": [[10, "mx.a.example"], "20 mx2.a.example."],
        "A": ["192.0.2.1"],
    },
    "mx.a.example": {"A": ["192.0.2.2"], "AAAA": ["2001:db8::2"]},
    "www.a.example": {"CNAME": ["A.Example."]},
    "2.2.0.192.in-addr.arpa": {"PTR": ["mx.a.example."]},
    "circle.example": {"CNAME": ["circle.example"]},
    "dead.example": "SERVFAIL",
    "half.example": {"TXT": "SERVFAIL", "A": ["192.0.2.3"]},
}


@pytest.fixture(params=["zone", "server"])
def dns(request: pytest.FixtureRequest) -> Any:
    if request.param == "zone":
        yield Zone(DATA)
    else:
        with DnsServer(DATA) as server:
            yield Resolver(server.address)


def test_answers_have_one_form_whoever_gives_them(dns: Any) -> None:
    assert sorted(dns.txt("A.example.")) == [b"two strings", b"v=spf1 -all"]
    assert sorted(dns.lookup("a.example", "MX")) == [(10, "mx.a.example"), (20, "mx2.a.example")]
    assert dns.lookup("mx.a.example", "A") == ["192.0.2.2"]
    assert dns.lookup("mx.a.example", "AAAA") == ["2001:db8::2"]
    assert dns.lookup("2.2.0.192.in-addr.arpa", "PTR") == ["mx.a.example"]
    assert dns.lookup("www.a.example", "CNAME")[0].lower() == "a.example"


def test_aliases_are_followed_and_a_circle_has_nothing_at_its_end(dns: Any) -> None:
    assert dns.lookup("www.a.example", "A") == ["192.0.2.1"]
    assert dns.txt("circle.example") == []


def test_what_does_not_exist_is_empty(dns: Any) -> None:
    assert dns.txt("nobody.example") == dns.lookup("a.example", "AAAA") == []


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..example", "x" * 64 + ".example", "a." * 130 + "example", "\\300.example", "\U0001f600.example", "a b.example"],
)
def test_no_name_makes_it_raise(dns: Any, name: str) -> None:
    assert dns.txt(name) == []


def test_trouble_is_no_answer(dns: Any) -> None:
    for name in ("dead.example", "half.example"):
        with pytest.raises(DnsTrouble):
            dns.txt(name)
    assert dns.lookup("half.example", "A") == ["192.0.2.3"]


def test_a_timeout_is_trouble() -> None:
    with pytest.raises(DnsTrouble):
        Zone({"slow.example": {"TXT": "TIMEOUT"}}).txt("slow.example")
    with DnsServer({"slow.example": "TIMEOUT"}) as server:
        view = Resolver(server.address, deadline=0.3).for_message()
        start = time.monotonic()
        with pytest.raises(DnsTrouble):
            view.txt("slow.example")
        with pytest.raises(DnsTrouble):
            view.txt("other.example")
        assert time.monotonic() - start < 5, "the deadline of the message is for all its questions together"
        assert [name for _, name, _ in server.questions] == ["slow.example"]


def test_a_message_may_ask_twenty_times_and_the_cache_is_free() -> None:
    with DnsServer({}) as server:
        resolver = Resolver(server.address)
        first, second = resolver.for_message(), resolver.for_message()
        for number in range(20):
            first.txt(f"n{number}.example")
        with pytest.raises(DnsTrouble):
            first.txt("n20.example")
        for number in range(20):
            second.txt(f"n{number}.example")
        second.txt("n20.example")
        assert len(server.questions) == 21


def test_answers_are_kept_for_their_time_and_trouble_never(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(house_dns.time, "monotonic", lambda: now[0])
    cache = house_dns._Cache()
    name = house_dns.wire_name("a.example")
    assert name is not None
    cache.put((name, "TXT"), (b"x",), 60)
    assert cache.get((name, "TXT")) == (b"x",)
    now[0] += 61
    assert cache.get((name, "TXT")) is None
    assert len(cache) == 0


def test_trouble_is_asked_again() -> None:
    with DnsServer({"a.example": "SERVFAIL"}) as server:
        resolver = Resolver(server.address)
        with pytest.raises(DnsTrouble):
            resolver.txt("a.example")
        server.zone = {"a.example": {"TXT": ["well"]}}
        assert resolver.txt("a.example") == [b"well"]
        server.zone = {}
        assert resolver.txt("A.EXAMPLE.") == [b"well"]


@pytest.mark.parametrize("ttl, kept", [(0, 60), (300, 300), (86_400, 3600)])
def test_times_to_live_lie_between_a_minute_and_an_hour(ttl: int, kept: int) -> None:
    with DnsServer({"a.example": {"TXT": ["x"]}}, ttl=ttl) as server:
        resolver = Resolver(server.address)
        resolver.txt("a.example")
        (until, _, _), *_ = resolver._cache._answers.values()
        assert kept - 5 < until - time.monotonic() <= kept


def test_the_cache_is_bounded_in_number_and_in_bytes() -> None:
    cache = house_dns._Cache(entries=10, size=5000)
    for number in range(50):
        name = house_dns.wire_name(f"n{number}.example")
        assert name is not None
        cache.put((name, "TXT"), (b"x" * 1000,), 60)
    assert len(cache) <= 3
    cache.put((name, "TXT"), (b"x" * 10_000,), 60)
    assert len(cache) == 0


def test_a_long_answer_comes_over_tcp() -> None:
    with DnsServer({"a.example": {"TXT": ["y" * 3000]}}) as server:
        assert Resolver(server.address).txt("a.example") == [b"y" * 3000]
        assert [transport for transport, _, _ in server.questions] == ["udp", "tcp"]


def test_many_threads_share_one_resolver() -> None:
    data = {f"n{number}.example": {"TXT": [str(number)]} for number in range(50)}
    wrong: list[int] = []
    with DnsServer(data) as server:
        resolver = Resolver(server.address, max_queries=100)

        def work() -> None:
            view = resolver.for_message()
            wrong.extend(number for number in range(50) if view.txt(f"n{number}.example") != [str(number).encode()])

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("127.0.0.1:5353", "127.0.0.1", 5353),
        ("127.0.0.1", "127.0.0.1", 53),
        ("[::1]:54", "::1", 54),
        ("::1", "::1", 53),
        ("localhost:99", "127.0.0.1", 99),
    ],
)
def test_a_resolver_is_named_by_address_or_name_with_or_without_port(text: str, host: str, port: int) -> None:
    stub = Resolver(text)._stub
    assert (stub.nameservers[0] in (host, "::1"), stub.port) == (True, port)


def test_a_resolver_that_cannot_be_found_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise OSError("unknown name")

    monkeypatch.setattr(house_dns.socket, "getaddrinfo", nobody)
    with pytest.raises(SettingsError, match=r"dns\.nowhere\.example"):
        Resolver("dns.nowhere.example:53")
