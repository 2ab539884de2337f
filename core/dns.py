"""Questions to the DNS: one bounded cache for the process, a budget for every message, and a made-up DNS for explanations.

Both kinds, `Resolver` and `Zone`, answer alike (`core.types.Dns`):
`txt(name)` gives each TXT record as one string of bytes; `lookup(name, kind)` gives A, AAAA, PTR and CNAME as text without
a trailing dot, MX as (preference, host) and TXT as bytes. What does not exist is an empty list; SERVFAIL, a timeout and a
spent budget raise `DnsTrouble`, which is never cached.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver

from core.errors import SettingsError
from core.types import DnsTrouble

KINDS = ("TXT", "A", "AAAA", "MX", "PTR", "CNAME", "NS")
_SHORTEST_TTL = 60.0  # seconds; spares names whose owners publish a TTL of nothing
_LONGEST_TTL = 3600.0
_NEGATIVE_TTL = 60.0
_ONE_QUERY = 5.0  # seconds for one question with all its retries
_ONE_TRY = 2.0
_CNAME_STEPS = 10


class Resolver:
    """A live, cached, thread-safe resolver.

    nameserver   "host:port" of the resolver to ask; None takes the system's.
    deadline     seconds that all questions of one message may take together.
    max_queries  questions that one message may send; answers from the cache are free.
    """

    def __init__(self, nameserver: str | None = None, *, deadline: float = 10.0, max_queries: int = 20) -> None:
        self.deadline = deadline
        self.max_queries = max_queries
        self._stub = _stub(nameserver)
        self._cache = _Cache()

    def txt(self, name: str) -> list[bytes]:
        return self.lookup(name, "TXT")

    def lookup(self, name: str, kind: str) -> list[Any]:
        return self.ask(name, kind, None)

    def for_message(self) -> _Budget:
        """A view for one message: the same cache, a deadline and a number of questions of its own."""
        return _Budget(self, self.deadline, self.max_queries)

    def ask(self, name: str, kind: str, budget: _Budget | None) -> list[Any]:
        """Answer from the cache, else from the network as far as the budget reaches."""
        question = wire_name(name)
        if question is None:
            return []
        key = (question, kind)
        kept = self._cache.get(key)
        if kept is not None:
            return list(kept)
        lifetime = _ONE_QUERY if budget is None else min(_ONE_QUERY, budget.spend(name))
        values, ttl = self._send(question, kind, lifetime)
        self._cache.put(key, tuple(values), ttl)
        return values

    def _send(self, name: dns.name.Name, kind: str, lifetime: float) -> tuple[list[Any], float]:
        try:
            answer = self._stub.resolve(name, kind, search=False, lifetime=lifetime, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return [], _NEGATIVE_TTL
        except (dns.exception.DNSException, OSError, ValueError) as trouble:
            if _runs_in_circles(trouble):
                return [], _NEGATIVE_TTL
            raise DnsTrouble(f"{name} {kind}: {type(trouble).__name__}") from trouble
        if answer.rrset is None:
            return [], _NEGATIVE_TTL
        return [_value(record, kind) for record in answer.rrset], min(max(answer.rrset.ttl, _SHORTEST_TTL), _LONGEST_TTL)


class _Budget:
    """What one message may still ask. The clock starts with the first question that goes out."""

    def __init__(self, resolver: Resolver, deadline: float, queries: int) -> None:
        self._resolver = resolver
        self._seconds = deadline
        self._until: float | None = None
        self._queries = queries

    def txt(self, name: str) -> list[bytes]:
        return self.lookup(name, "TXT")

    def lookup(self, name: str, kind: str) -> list[Any]:
        return self._resolver.ask(name, kind, self)

    def spend(self, name: str) -> float:
        """Count one question; gives the seconds that are left for it."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        self._queries -= 1
        if self._queries < 0 or now >= self._until:
            raise DnsTrouble(f"{name}: the message has asked the DNS for all that it may")
        return self._until - now


class _Cache:
    """Answers by question until their time is over, the least used thrown out first, bounded in number and in bytes."""

    def __init__(self, entries: int = 20_000, size: int = 32 * 1024 * 1024) -> None:
        self._answers: OrderedDict[tuple[dns.name.Name, str], tuple[float, int, tuple[Any, ...]]] = OrderedDict()
        self._lock = threading.Lock()
        self._entries = entries
        self._size = size
        self._held = 0

    def get(self, key: tuple[dns.name.Name, str]) -> tuple[Any, ...] | None:
        with self._lock:
            kept = self._answers.get(key)
            if kept is None:
                return None
            if kept[0] <= time.monotonic():
                self._drop(key)
                return None
            self._answers.move_to_end(key)
            return kept[2]

    def put(self, key: tuple[dns.name.Name, str], values: tuple[Any, ...], ttl: float) -> None:
        size = 400 + sum(len(value) if isinstance(value, bytes) else 100 for value in values)
        with self._lock:
            self._drop(key)
            self._answers[key] = (time.monotonic() + ttl, size, values)
            self._held += size
            while self._answers and (len(self._answers) > self._entries or self._held > self._size):
                self._drop(next(iter(self._answers)))

    def _drop(self, key: tuple[dns.name.Name, str]) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self._held -= kept[1]

    def __len__(self) -> int:
        return len(self._answers)


class Zone:
    """A DNS that holds what an `explain` case says and nothing else.

    `data` maps a name to {"TXT": [...], "MX": [[10, "host"]], ...}; "SERVFAIL" or "TIMEOUT" in place of the list, or of
    the whole mapping, fails so. Names compare without case and trailing dot. A TXT record may be a list of its strings.
    """

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self._names = {_plain(str(name)): records for name, records in (data or {}).items()}

    def txt(self, name: str) -> list[bytes]:
        return self.lookup(name, "TXT")

    def lookup(self, name: str, kind: str) -> list[Any]:
        name = _plain(name)
        for _ in range(_CNAME_STEPS):
            values = self._records(name, kind)
            if values or kind == "CNAME":
                return values
            onward = self._records(name, "CNAME")
            if not onward:
                return []
            name = _plain(onward[0])
        return []

    def for_message(self) -> Zone:
        return self

    def _records(self, name: str, kind: str) -> list[Any]:
        records = self._names.get(name)
        if isinstance(records, Mapping):
            records = next((found for type_, found in records.items() if str(type_).upper() == kind), None)
        if records is None:
            return []
        if isinstance(records, str):
            if records.upper() in ("SERVFAIL", "TIMEOUT"):
                raise DnsTrouble(f"{name} {kind}: {records.upper()}")
            records = [records]
        if not isinstance(records, list | tuple):
            return []
        return [_made_up(record, kind) for record in records]


def _made_up(record: Any, kind: str) -> Any:
    """One value of a Zone in the form that a live answer would have."""
    if kind == "TXT":
        parts = record if isinstance(record, list | tuple) else [record]
        return b"".join(part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape") for part in parts)
    if kind == "MX":
        preference, host = record if isinstance(record, list | tuple) else str(record).split(None, 1)
        return int(preference), str(host).removesuffix(".")
    return str(record).removesuffix(".") if kind in ("CNAME", "PTR", "NS") else str(record)


def _value(record: Any, kind: str) -> Any:
    if kind == "TXT":
        return b"".join(record.strings)
    if kind == "MX":
        return int(record.preference), _text(record.exchange)
    if kind in ("CNAME", "PTR", "NS"):
        return _text(record.target)
    return str(record.address)


def _text(name: dns.name.Name) -> str:
    """A name from the DNS as it is on the wire, without escapes and trailing dot."""
    return b".".join(label for label in name.labels if label).decode("utf-8", "surrogateescape")


def wire_name(name: str) -> dns.name.Name | None:
    """The name label by label as it stands: a stranger's backslashes and symbols mean nothing. None: no such name can be."""
    labels = [label.encode("utf-8", "surrogateescape") for label in name.removesuffix(".").lower().split(".")]
    if not all(labels):
        return None
    try:
        return dns.name.Name([*labels, b""])
    except dns.exception.DNSException:  # a label over 63 or a name over 255 octets: RFC 1035 2.3.4
        return None


def _plain(name: str) -> str:
    return name.strip().removesuffix(".").lower()


def _stub(nameserver: str | None) -> dns.resolver.Resolver:
    """dnspython's resolver, told whom to ask. A system without resolver configuration asks nobody and always has trouble."""
    if nameserver is None:
        try:
            stub = dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            stub = dns.resolver.Resolver(configure=False)
    else:
        host, _, port = nameserver.rpartition(":") if _has_port(nameserver) else (nameserver, "", "53")
        stub = dns.resolver.Resolver(configure=False)
        stub.nameservers = [_address(host.strip("[]"))]
        stub.port = int(port)
    stub.timeout = _ONE_TRY
    stub.use_edns(0, 0, 1232)  # the size that passes everywhere without fragments
    return stub


def _runs_in_circles(trouble: Exception) -> bool:
    """True for a CNAME loop: its owner's lasting mistake, at the end of which nothing is; asking again would not help."""
    errors = getattr(trouble, "kwargs", {}).get("errors") or []
    return bool(errors) and all(isinstance(error[3], dns.message.ChainTooLong) for error in errors)


def _has_port(nameserver: str) -> bool:
    host, colon, port = nameserver.rpartition(":")
    return bool(colon) and port.isdigit() and (":" not in host or host.endswith("]"))


def _address(host: str) -> str:
    """The IP address of a resolver that is named by host name, as containers like to do."""
    try:
        return str(socket.getaddrinfo(host, 53, type=socket.SOCK_DGRAM)[0][4][0])
    except OSError as trouble:
        raise SettingsError(
            f"The DNS resolver {host} cannot be found: give its IP address and port, for example 127.0.0.1:53."
        ) from trouble
