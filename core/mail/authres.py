"""What other servers wrote into Authentication-Results (RFC 8601), read tolerantly and believed by position only.

A field counts when its authserv-id is one that the company trusts (compared exactly, without case) and when it stands
above the point where the mail entered that server's house: everything below is the sender's own text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.mail.alignment import ascii_domain
from core.mail.headers import fields
from core.mail.received import border, read_networks
from core.types import AuthResult, Trust

MICROSOFT = "mx.microsoft.com"  # stands for the fields of Microsoft 365, which carry no authserv-id
_LONGEST = 16_384
_MOST_RESULTS = 50

# The words of RFC 8601 2.7, and what older or other servers write for them.
_WORDS = {
    **{same: same for same in ("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror")},
    "hardfail": "fail",
    "error": "permerror",
    "invalid": "permerror",
    "bestguesspass": "none",
    "gray": "temperror",
    "grey": "temperror",
    "processing_failed": "temperror",
    "unknown": "permerror",
}
# Fields that the sender's side writes: from the first of them on nothing can be a relay's.
_ORIGIN = frozenset(
    (
        *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references"),
        *("mime-version", "dkim-signature", "domainkey-signature"),
    )
)
_VALUES = {"dkim": ("header.d", "header.i"), "spf": ("smtp.mailfrom", "smtp.helo"), "dmarc": ("header.from",)}
_RESULT = re.compile(r"([a-z][a-z0-9-]{0,30})(?:/\d{1,4})?=([a-z_]{1,30})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a field: method, RFC 8601 word, and its properties ("header.d" -> "a.example")."""

    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> str | None:
        """The domain that the finding speaks of; None when it names none, and then it proves nothing."""
        for name in _VALUES.get(self.method, ()):
            value = self.properties.get(name)
            if value:
                local, _, domain = value.rpartition("@")
                # header.d and header.from name domains: an address there is somebody's attempt to be read as two.
                return None if local and name in ("header.d", "header.from") else ascii_domain(domain)
        return None


def word(result: str) -> str:
    """A provider's word for a result in the words of RFC 8601; what nobody knows is none."""
    return _WORDS.get(result.strip().lower(), "none")


def trusted_findings(raw: bytes, trust: Trust) -> tuple[str, list[Finding]] | None:
    """(who, findings) of the topmost field that may be believed; None when there is none: that is no information."""
    wanted = {name.strip().lower() for name in trust.authserv_ids if name.strip()}
    if not wanted:
        return None
    for name, value in _above_border(fields(raw), trust):
        text = value[:_LONGEST].decode("utf-8", "replace")
        if name == "arc-authentication-results":
            # RFC 8617 4.1.1: the same after an instance tag. Believed for where it stands, not for its seal.
            instance, _, text = text.partition(";")
            if not re.fullmatch(r"\s*i\s*=\s*\d{1,3}\s*", instance):
                continue
        who, findings = read_results(text)
        if (who or MICROSOFT) in wanted:
            return who or MICROSOFT, findings
    return None


def _above_border(found: Sequence[tuple[str, bytes]], trust: Trust) -> list[tuple[str, bytes]]:
    """The result fields that stand above the Received field with which the mail entered the trusted house."""
    received = [value for name, value in found if name.lower() == "received"]
    entry = border(received, read_networks(trust.networks)) or 0
    above, passed = [], 0
    for name, value in found:
        lower = name.lower()
        if lower == "received":
            if passed == entry:
                break
            passed += 1
        elif lower in _ORIGIN:
            break
        elif lower in ("authentication-results", "arc-authentication-results"):
            above.append((lower, value))
    return above


def read_results(text: str) -> tuple[str, list[Finding]]:
    """Read a field's value: (authserv-id in lower case or "", findings). Comments and quoted text never make a result.

    A field that cannot be read gives ("", []) or the findings before the fault; it never raises.
    """
    parts = _parts(text)
    if not parts:
        return "", []
    who = ""
    if "=" not in (parts[0][0] if parts[0] else ""):
        if len(parts[0]) > 2 or (len(parts[0]) == 2 and parts[0][1] != "1"):  # RFC 8601 2.2: version 1 or none
            return "?", []
        who = parts[0][0].strip('"').lower() if parts[0] else "?"
        parts = parts[1:]
    findings = []
    for words in parts[:_MOST_RESULTS]:
        found = _RESULT.fullmatch(words[0]) if words else None
        if found is None:
            continue
        properties: dict[str, str] = {}
        for piece in words[1:]:
            name, equals, value = piece.partition("=")
            if equals and not name.startswith('"'):
                properties.setdefault(name.lower(), value.strip('"') if value.count('"') == 2 and value[-1] == '"' else value)
        findings.append(Finding(found[1].lower(), word(found[2]), properties))
    return who, findings


def _parts(text: str) -> list[list[str]]:
    """The value cut at its semicolons, each part cut into words; comments gone, quoted strings kept whole. Linear."""
    parts: list[list[str]] = [[]]
    current: list[str] = []
    depth, quoted, escaped = 0, False, False

    def close() -> None:
        if current:
            parts[-1].append("".join(current))
            current.clear()

    for letter in text:
        if escaped:
            escaped = False
            if not depth:
                current.append(letter)
        elif letter == "\\" and (quoted or depth):
            escaped = True
        elif depth:
            depth += (letter == "(") - (letter == ")")
        elif quoted:
            current.append(letter)
            quoted = letter != '"'
        elif letter == '"':
            quoted = True
            current.append(letter)
        elif letter == "(":
            depth = 1
        elif letter == ";":
            close()
            parts.append([])
        elif letter in " \t\r\n":
            close()
        else:
            current.append(letter)
    close()
    return [_joined(words) for words in parts]


def _joined(words: list[str]) -> list[str]:
    """CFWS may stand around the equals sign (RFC 8601 2.2): "dkim = pass" is one word."""
    joined: list[str] = []
    for piece in words:
        if joined and (piece.startswith("=") or joined[-1].endswith("=")):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def as_auth_results(who: str, findings: Sequence[Finding]) -> list[AuthResult]:
    """The findings that count for alignment, as results of a check."""
    return [
        AuthResult(
            found.method,
            found.result,
            found.domain,
            by=who,
            reason="trusted-verdict",
            selector=found.properties.get("header.s"),
            params={"by": who, "method": found.method.upper(), "result": found.result, "domain": found.domain or ""},
        )
        for found in findings
        if found.method in _VALUES
    ]
