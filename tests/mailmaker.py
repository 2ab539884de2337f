"""Mails and DKIM signatures made fresh for every test run: nothing memorised can pass.

    signer = Signer("sales.example")                       # a fresh RSA key; algorithm="ed25519" for the other kind
    raw = signer.sign(make_mail("Ana <ana@sales.example>", to="bo@cust.example"))
    dns = signer.dns | spf("sales.example", "ip4:192.0.2.0/24 -all")

Every tag of the signature and of the key record can be set, so that wrong ones can be made too. The signing is written
from RFC 6376 on its own, apart from the code under test.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

_SERIAL = itertools.count(1)
SIGNED = ("From", "To", "Subject", "Date", "Message-ID")


def make_mail(
    sender: str = "Ana <ana@sales.example>",
    *,
    to: str = "Bo <bo@cust.example>",
    subject: str = "Ten chairs",
    body: str | bytes = "Hello Bo,\r\n\r\nhere is the offer.\r\n",
    date: str = "Fri, 20 Nov 2026 10:00:00 +0000",
    message_id: str | None = None,
    headers: Sequence[str] = (),
    html: str | None = None,
) -> bytes:
    """A plain mail with CRLF line ends. `headers` are whole extra lines that come first ("X-Note: hello")."""
    message_id = message_id or f"<mail-{next(_SERIAL)}@made.example>"
    content = "text/html" if html is not None else "text/plain"
    lines = [
        *headers,
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        f"Date: {date}",
        f"Message-ID: {message_id}",
        "MIME-Version: 1.0",
        f"Content-Type: {content}; charset=utf-8",
    ]
    text = html if html is not None else body
    octets = text if isinstance(text, bytes) else re.sub(r"\r?\n", "\r\n", text).encode()
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + octets


def spf(domain: str, terms: str) -> dict[str, Any]:
    """The dns mapping of one SPF record: spf("a.example", "ip4:192.0.2.1 -all")."""
    return {domain: {"TXT": [f"v=spf1 {terms}"]}}


def dmarc(domain: str, tags: str) -> dict[str, Any]:
    return {f"_dmarc.{domain}": {"TXT": [f"v=DMARC1; {tags}"]}}


class Signer:
    """A domain's DKIM key. `record` overrides the published key record, `record_tags` adds tags to it ("t=s; s=email")."""

    def __init__(
        self,
        domain: str,
        selector: str = "s1",
        algorithm: str = "rsa",
        *,
        bits: int = 2048,
        exponent: int = 65537,
        record: str | None = None,
        record_tags: str = "",
    ) -> None:
        self.domain = domain
        self.selector = selector
        self.algorithm = algorithm
        if algorithm == "rsa":
            self.key: Any = rsa.generate_private_key(public_exponent=exponent, key_size=bits)
            public = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        else:
            self.key = ed25519.Ed25519PrivateKey.generate()
            public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        tags = f"{record_tags}; " if record_tags else ""
        self.record = record if record is not None else f"v=DKIM1; k={algorithm}; {tags}p={base64.b64encode(public).decode()}"

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def dns(self) -> dict[str, Any]:
        return {self.name: {"TXT": [self.record]}}

    def sign(
        self,
        raw: bytes,
        *,
        headers: Sequence[str] = SIGNED,
        canonical: str = "relaxed/relaxed",
        length: int | None = None,
        tags: Mapping[str, str | None] | None = None,
        hash_name: str = "sha256",
        break_signature: bool = False,
    ) -> bytes:
        """The mail with a DKIM-Signature on top. `tags` sets or (None) removes tags before the signing; `length` is l=."""
        head, _, body = _crlf(raw).partition(b"\r\n\r\n")
        header_way, _, body_way = canonical.lower().partition("/")
        octets = _body(body, body_way or "simple")
        if length is not None:
            octets = octets[:length]
        shown = {
            "v": "1",
            "a": f"{self.algorithm}-{hash_name}",
            "c": canonical,
            "d": self.domain,
            "s": self.selector,
            "h": ":".join(headers),
            "bh": base64.b64encode(hashlib.new(hash_name, octets).digest()).decode(),
        }
        if length is not None:
            shown["l"] = str(length)
        for tag, value in (tags or {}).items():
            if value is None:
                shown.pop(tag, None)
            else:
                shown[tag] = value
        unsigned = " " + "; ".join(f"{tag}={value}" for tag, value in shown.items()) + "; b="
        fields = _fields(head)
        covered = [_header(name, value, header_way) for name, value in _select(fields, shown.get("h", "").split(":"))]
        own = _header(b"DKIM-Signature", unsigned.encode(), header_way).removesuffix(b"\r\n")
        signed = b"".join(covered) + own
        if self.algorithm == "rsa":
            algorithm = hashes.SHA1() if hash_name == "sha1" else hashes.SHA256()
            signature = self.key.sign(signed, padding.PKCS1v15(), algorithm)
        else:
            signature = self.key.sign(hashlib.new(hash_name, signed).digest())  # RFC 8463 section 3
        if break_signature:
            signature = bytes([signature[0] ^ 1]) + signature[1:]
        return b"DKIM-Signature:" + unsigned.encode() + base64.b64encode(signature) + b"\r\n" + raw


def _crlf(raw: bytes) -> bytes:
    return re.sub(rb"\r?\n", b"\r\n", raw)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, colon, value = line.partition(b":")
        if colon:
            fields.append((name, value))
    return fields


def _select(fields: list[tuple[bytes, bytes]], names: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """RFC 6376 5.4.2: of several fields of one name the last is signed first."""
    left = list(fields)
    chosen = []
    for name in names:
        for index in range(len(left) - 1, -1, -1):
            if left[index][0].strip().lower() == name.strip().lower().encode():
                chosen.append(left.pop(index))
                break
    return chosen


def _header(name: bytes, value: bytes, way: str) -> bytes:
    if way == "simple":
        return name + b":" + value + b"\r\n"
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" \t")
    return name.strip().lower() + b":" + value + b"\r\n"


def _body(body: bytes, way: str) -> bytes:
    lines = body.split(b"\r\n")
    if way == "relaxed":
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return b"" if way == "relaxed" else b"\r\n"
    return b"\r\n".join(lines) + b"\r\n"


@functools.lru_cache(maxsize=8)
def spare_signer(domain: str, algorithm: str = "rsa") -> Signer:
    """A signer that tests of one run share when they do not care about the key: making RSA keys takes time."""
    return Signer(domain, algorithm=algorithm)
