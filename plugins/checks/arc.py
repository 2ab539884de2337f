"""ARC (RFC 8617): what a forwarder that the company trusts saw before it changed the mail. Off until a sealer is listed.

dkimpy validates the chain; the body canonicalisation, the keys and the number of seals are bounded here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import dkim as dkimpy
from dkim.canonicalization import Relaxed, Simple
from dkim.util import InvalidTagValueList, parse_tag_value

from core.hookspecs import hookimpl
from core.mail.authres import as_auth_results, read_results
from core.mail.headers import fields
from core.types import AuthResult, Check, Dns, DnsTrouble, Envelope, Message
from plugins.checks.dkim import KEY_BITS, MAX_EXPONENT, MAX_KEY_RECORD, decode_key, read_tags, relaxed_body, rsa_size, simple_body

MAX_SEALS = 10  # RFC 8617 4.2.1 allows 50; each costs two RSA operations and a body hash
MAX_FIELD = 8_192  # bytes of one field of a seal

# dkimpy's own take time with the square of a run of blanks; the mended ones give the same octets.
Relaxed.canonicalize_body = staticmethod(relaxed_body)
Simple.canonicalize_body = staticmethod(simple_body)

_SEAL_FIELD = re.compile(rb"arc-(?:seal|message-signature|authentication-results)", re.IGNORECASE)


def validate(raw: bytes, dns: Dns) -> tuple[str, list[dict[str, Any]]]:
    """("pass" | "fail" | "none", one dict a seal, the newest first). DnsTrouble passes through, nothing else does."""
    try:
        arc = dkimpy.ARC(raw, minkey=KEY_BITS.start)
        fields = [value for name, value in arc.headers if _SEAL_FIELD.fullmatch(name)]
        if len(fields) > 3 * MAX_SEALS or any(len(value) > MAX_FIELD for value in fields):
            return "fail", []
        verdict, seals, _ = arc.verify(dnsfunc=_keys(dns))
    except DnsTrouble:
        raise
    except Exception:  # whatever a stranger's header makes dkimpy stumble over
        return "fail", []
    return (verdict or b"fail").decode("ascii"), seals


def _keys(dns: Dns) -> Any:
    """dkimpy's look-up of a key: None for one that may not be used, so that no arithmetic is done with it."""

    def fetch(name: bytes, timeout: float = 5) -> bytes | None:
        records = dns.txt(name.decode("utf-8", "replace").removesuffix("."))
        return records[0] if len(records) == 1 and _bearable(records[0]) else None

    return fetch


def _bearable(record: bytes) -> bool:
    if len(record) > MAX_KEY_RECORD:
        return False
    try:
        bits, exponent = rsa_size(decode_key(bytes(parse_tag_value(record).get(b"p", b""))))
    except (InvalidTagValueList, IndexError, ValueError):
        return False
    return bits in KEY_BITS and exponent < MAX_EXPONENT


def check(message: Message, envelope: Envelope, dns: Dns, now: dt.datetime) -> list[AuthResult]:
    """Nothing without listed sealers; else the chain's result and, from a listed sealer, what it found."""
    if not message.trust.arc_sealers:
        return []
    trusted = {name.strip().lower().removesuffix(".") for name in message.trust.arc_sealers}
    try:
        verdict, seals = validate(message.raw, dns)
    except DnsTrouble:
        # The domain is named, and the mail waits for it, only where the chain could still count: nobody else's DNS is worth a second try.
        claimed = _claimed_sealer(message.raw)
        return [AuthResult("arc", "temperror", claimed if claimed in trusted else None, reason="arc-dns-trouble")]
    if verdict != "pass" or not seals:
        return [AuthResult("arc", verdict, reason=f"arc-{verdict}" if verdict in ("fail", "none") else "arc-fail")]
    newest = _sealer(seals[0])
    if newest not in trusted:
        return [AuthResult("arc", "pass", newest, reason="arc-not-trusted", params={"domain": newest})]
    results = [AuthResult("arc", "pass", newest, reason="arc-pass", params={"domain": newest})]
    for seal in seals:  # a seal speaks for what stands below it only while every later sealer is trusted too
        if _sealer(seal) not in trusted:
            break
        _, _, text = bytes(seal["aar-value"]).decode("utf-8", "replace").partition(";")
        results += as_auth_results(_sealer(seal), read_results(text)[1])
    return results


def _sealer(seal: dict[str, Any]) -> str:
    return bytes(seal["as-domain"]).decode("ascii", "replace").lower()


def _claimed_sealer(raw: bytes) -> str:
    """The d= of the seal with the highest number, as it says; "" when there is none that can be read."""
    seals: list[tuple[int, str]] = []
    for name, value in fields(raw):
        if name.upper() == "ARC-SEAL" and len(value) <= MAX_FIELD:
            tags = read_tags(value) or {}
            if tags.get(b"i", b"").isdigit():
                seals.append((int(tags[b"i"][:3]), tags.get(b"d", b"").decode("ascii", "replace").lower()))
    return max(seals, default=(0, ""))[1]


@hookimpl
def register_checks() -> list[Check]:
    return [Check("arc", "ARC seals of trusted forwarders", check)]
