"""A small DNS server on loopback for tests: UDP and TCP, with failures on demand.

    with DnsServer({"a.example": {"TXT": ["v=spf1 -all"], "MX": [[10, "mx.a.example"]]},
                    "dead.example": "SERVFAIL", "slow.example": {"TXT": "TIMEOUT"}}) as server:
        resolver = Resolver(server.address)

The zone has the form of `core.dns.Zone` and may be replaced at any time (`server.zone = {...}`). CNAMEs are followed within
the zone, as a recursive resolver would. `server.truncate` (octets; default 1232) sets the size from which UDP answers come
truncated; `server.questions` lists every (transport, name, kind) asked, so that a test can count them.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset


class DnsServer:
    def __init__(self, zone: Mapping[str, Any] | None = None, *, ttl: int = 300, truncate: int = 1232) -> None:
        self.zone: Mapping[str, Any] = zone or {}
        self.ttl = ttl
        self.truncate = truncate
        self.questions: list[tuple[str, str, str]] = []
        self._udp, self._tcp = _bind(self)
        self.address = f"127.0.0.1:{self._udp.server_address[1]}"

    def __enter__(self) -> DnsServer:
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    start = __enter__
    stop = __exit__

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        """The reply to one question; None keeps silent."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        name = _text(question.name)
        self.questions.append((transport, name, kind))
        reply = dns.message.make_response(query, recursion_available=True)
        zone = {str(key).rstrip(".").lower(): value for key, value in self.zone.items()}
        for _ in range(20):
            records = zone.get(name)
            found = _of_kind(records, kind)
            if found == "TIMEOUT":
                return None
            if found == "SERVFAIL":
                reply.set_rcode(dns.rcode.SERVFAIL)
                break
            if found:
                _add(reply, name, kind, self.ttl, found)
                break
            alias = _of_kind(records, "CNAME")
            if not alias:
                reply.set_rcode(dns.rcode.NXDOMAIN if records is None else dns.rcode.NOERROR)
                break
            _add(reply, name, "CNAME", self.ttl, alias)
            name = str(alias[0] if isinstance(alias, list) else alias).rstrip(".").lower()
        if transport == "udp":
            whole = reply.to_wire(max_size=65535)
            if len(whole) > self.truncate:
                cut = dns.message.make_response(query, recursion_available=True)
                cut.flags |= dns.flags.TC
                return cut.to_wire()
            return whole
        return reply.to_wire(max_size=65535)


def _of_kind(records: Any, kind: str) -> Any:
    if isinstance(records, str):
        return records
    return (records or {}).get(kind)


def _add(reply: dns.message.Message, name: str, kind: str, ttl: int, values: Any) -> None:
    owner = _name(name)
    rrset = dns.rrset.RRset(owner, dns.rdataclass.IN, dns.rdatatype.from_text(kind))
    for value in values if isinstance(values, list) else [values]:
        rrset.add(_record(kind, value), ttl)
    reply.answer.append(rrset)


def _record(kind: str, value: Any) -> dns.rdata.Rdata:
    type_ = dns.rdatatype.from_text(kind)
    if kind == "TXT":
        parts = value if isinstance(value, list | tuple) else [value]
        octets = b"".join(part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape") for part in parts)
        strings = [octets[i : i + 255] for i in range(0, len(octets), 255)] or [b""]
        wire = b"".join(bytes([len(string)]) + string for string in strings)
    elif kind == "MX":
        preference, host = value if isinstance(value, list | tuple) else str(value).split(None, 1)
        wire = struct.pack("!H", int(preference)) + _name(str(host)).to_wire()
    elif kind in ("CNAME", "PTR", "NS"):
        wire = _name(str(value)).to_wire()
    else:
        return dns.rdata.from_text(dns.rdataclass.IN, type_, str(value))
    return dns.rdata.from_wire(dns.rdataclass.IN, type_, wire, 0, len(wire))


def _name(name: str) -> dns.name.Name:
    labels = [label.encode("utf-8", "surrogateescape") for label in name.rstrip(".").split(".") if label]
    return dns.name.Name([*labels, b""])


def _text(name: dns.name.Name) -> str:
    return b".".join(label for label in name.labels if label).decode("utf-8", "surrogateescape").lower()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    owner: DnsServer


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    owner: DnsServer


class _OnUdp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, socket = self.request
        reply = self.server.owner.answer(wire, "udp")  # type: ignore[attr-defined]
        if reply is not None:
            socket.sendto(reply, self.client_address)


class _OnTcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = self.request.recv(2)
        if len(head) < 2:
            return
        wanted = struct.unpack("!H", head)[0]
        wire = b""
        while len(wire) < wanted:
            chunk = self.request.recv(wanted - len(wire))
            if not chunk:
                return
            wire += chunk
        reply = self.server.owner.answer(wire, "tcp")  # type: ignore[attr-defined]
        if reply is not None:
            self.request.sendall(struct.pack("!H", len(reply)) + reply)


def _bind(owner: DnsServer) -> tuple[_Udp, _Tcp]:
    """The same free port on UDP and TCP."""
    for _ in range(50):
        udp = _Udp(("127.0.0.1", 0), _OnUdp)
        try:
            tcp = _Tcp(("127.0.0.1", udp.server_address[1]), _OnTcp)
        except OSError:
            udp.server_close()
            continue
        udp.owner = tcp.owner = owner
        return udp, tcp
    raise OSError("no port is free on both UDP and TCP")
