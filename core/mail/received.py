"""Who handed the mail to our boundary: read from the Received fields that trusted relays wrote, and from nothing else.

A trusted relay puts its own Received field on top of what it was given (RFC 5321 4.4), so the topmost field of a mail that
a trusted relay brought is true. It names the host before; as long as that host is trusted too, the next field is true as
well. The first host that is not trusted is the client, and below its entry everything may be forged.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.mail.headers import FWS, fields
from core.types import Envelope, Trust

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 50  # more than any real mail has (Postfix refuses from 50 on)
_LONGEST = 4000  # characters of one Received field that are looked at

# The clauses of RFC 5321 4.4 as they are written in practice; every pattern is tried at one place only, so all are linear.
# Only the first comment counts: what comes later (the name in a client certificate) is the client's own text.
_FROM = re.compile(r"[ \t]*from[ \t]+([^ \t()]{1,255})[ \t]*(?:\(([^()]{0,600}))?\)?[ \t]*(?:\(([^()]{0,600}))?", re.ASCII | re.IGNORECASE)
_BY = re.compile(r"(?:^|[ \t])by[ \t]+([^ \t]{1,255})", re.ASCII | re.IGNORECASE)
_WITH = re.compile(r"[ \t]with[ \t]+([A-Za-z]{1,20})", re.ASCII | re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})(?:%[^\] \t]{1,20})?\]", re.ASCII | re.IGNORECASE)
_HELO = re.compile(r"(?:^|[ \t(])helo[= ]([^ \t()]{1,255})", re.ASCII | re.IGNORECASE)  # Exim, qmail
_SEEN = re.compile(r"(?:[^ \t]{1,255}[ \t])?\[[0-9A-Fa-f:.IPv]{2,50}\]|[0-9A-Fa-f:.]{2,45}")
_COMMENT_FOLLOWS = re.compile(r"\)?[ \t]*\(")
_INSIDE = ("lmtp", "lmtps", "lmtpa", "lmtpsa", "local", "pipe")


@dataclass(frozen=True, slots=True)
class Hop:
    """One Received field: who gave (address and HELO name) and who took; None where it does not say."""

    address: Address | None
    helo: str | None
    by: Address | None  # only when the taker is named by its address
    local: bool  # handed on inside the same host or site: LMTP, a pipe


def boundary(raw: bytes, envelope: Envelope, trust: Trust) -> Envelope:
    """The envelope with `client_ip` and `helo` of the host that handed the mail to our boundary.

    Unchanged when the client is not one of the trusted relays. When it is one, or when a mail without a client (IMAP, a
    file) may have come through them, its trusted Received fields are followed; `relay` then names whom we trusted. A chain
    that cannot be followed gives client_ip None: SPF is never judged against a relay of our own.
    """
    networks = read_networks(trust.networks)
    client = read_address(envelope.client_ip)
    if envelope.relay is not None:
        return envelope
    if envelope.source == "lmtp" and client is not None and client.is_loopback:
        client = None  # the MTA beside us, not the host that gave it the mail
    if client is not None and not within(client, networks):
        return envelope
    if client is None and (not networks or envelope.source == "webhook"):
        # A provider that does not state the client may also hand on Received fields that nobody checked.
        return dataclasses.replace(envelope, client_ip=None)
    found = fields(raw)
    hop = entry([value for name, value in found if name.lower() == "received"], networks)
    relay = envelope.client_ip if client is not None else None
    if hop is None or hop.address is None:
        return dataclasses.replace(envelope, client_ip=None, helo=None, relay=relay)
    sender = envelope.mail_from if envelope.mail_from is not None else _return_path(found)
    return dataclasses.replace(envelope, client_ip=str(hop.address), helo=hop.helo, mail_from=sender, relay=relay or "received")


def entry(received: Sequence[bytes], networks: Sequence[Network]) -> Hop | None:
    """The topmost trusted Received field whose giver is not trusted: where the mail came in. None: it cannot be told."""
    index = border(received, networks)
    return read_hop(received[index]) if index is not None else None


def border(received: Sequence[bytes], networks: Sequence[Network]) -> int | None:
    """The index of that field within `received` (topmost first)."""
    for index, value in enumerate(received[:MAX_HOPS]):
        hop = read_hop(value)
        if hop.by is not None and networks and not _ours(hop.by, networks):
            return None  # written by a host that nobody trusts
        if hop.address is None:
            if hop.local or hop.helo is None:
                continue  # a step inside a trusted host: RFC 5321 4.4 wants a "from" of every mail that came by SMTP
            return None
        if not _ours(hop.address, networks):
            return index
    return None


def read_hop(value: bytes) -> Hop:
    """Read one Received field as Postfix, Exim, Sendmail, qmail, Exchange, Gmail and Dovecot write it. Never raises."""
    text = value[:_LONGEST].decode("utf-8", "replace").replace("\r", " ").replace("\n", " ")
    bare = _without_comments(text)
    by = _BY.search(bare)
    with_ = _WITH.search(bare, by.end() if by else 0)
    taker = read_address(by[1].strip("[];")) if by else None
    giver = _FROM.match(text)
    address = _giver_address(giver[1], giver[2], giver[3], text[giver.end() :]) if giver else None
    return Hop(address, _giver_helo(giver) if giver else None, taker, bool(with_) and with_[1].lower() in _INSIDE)  # type: ignore[index]


def _giver_address(name: str, comment: str | None, second: str | None, rest: str) -> Address | None:
    """The address that the taker saw, never the one by which the client called itself."""
    if comment is None:
        return None  # "from NAME by ...": the name alone is the client's word
    if comment.lower().startswith("helo "):  # qmail: from unknown (HELO name) (192.0.2.1)
        if _COMMENT_FOLLOWS.match(rest):
            return None  # the name that the client gave may hold brackets of its own
        return read_address((second or "").rpartition("@")[2])
    if second is not None and (_SEEN.fullmatch(second) or read_address(comment) is not None):
        return None  # two that look like what a server sees: the first may be part of the client's name
    seen = re.split(r"(?:^|[ \t])helo=", comment, maxsplit=1)[0]  # Exim: ([192.0.2.1] helo=name)
    found = _IN_BRACKETS.findall(seen)
    if found:
        return read_address(found[0]) if len(found) == 1 else None
    if "helo=" in comment or comment.startswith("port="):  # Exim: from [192.0.2.1] (helo=name)
        literal = _IN_BRACKETS.match(name)
        return read_address(literal[1]) if literal else None
    return read_address(seen)  # Exchange: from name (192.0.2.1)


def _giver_helo(giver: re.Match[str]) -> str | None:
    said = _HELO.search(giver[2] or "")
    name = said[1] if said else giver[1]
    return name.strip("[]").rstrip(".") or None


def _without_comments(text: str) -> str:
    """The text outside round brackets, however deep they are nested."""
    out, depth = [], 0
    for part in re.split(r"([()])", text):
        if part == "(":
            depth += 1
        elif part == ")":
            depth = max(0, depth - 1)
            out.append(" ")
        elif not depth:
            out.append(part)
    return "".join(out)


def _return_path(found: Sequence[tuple[str, bytes]]) -> str | None:
    """The Return-Path that our own delivery wrote (RFC 5321 4.4): only one that stands above every Received field."""
    for name, value in found:
        if name.lower() == "received":
            return None
        if name.lower() == "return-path":
            return value.decode("utf-8", "replace").strip(FWS).removeprefix("<").removesuffix(">").strip(FWS)
    return None


def read_address(text: str | None) -> Address | None:
    """An IP address without its zone; IPv4 in IPv6 clothes becomes IPv4. None when it is none."""
    if not text:
        return None
    try:
        found = ipaddress.ip_address(text.strip(FWS).strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a setting; what is none is left out (the settings page refuses it)."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            continue
    return tuple(found)


def within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _ours(address: Address, networks: Sequence[Network]) -> bool:
    """Trusted, or the same host talking to itself (a content filter between two steps of one MTA)."""
    return address.is_loopback or within(address, networks)
