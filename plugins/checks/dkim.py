"""DKIM (RFC 6376, RFC 8301, RFC 8463): every signature judged, within bounds that a stranger cannot stretch.

Grammar and header canonicalisation are dkimpy's; around them stand our own reading of tags and keys, a body
canonicalisation that is linear and done once, and the arithmetic of `cryptography`. What dkimpy 1.1.8 lets through or trips over
is listed in tests/checks/test_dkim_faults.py, each fault beside its mend.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError
from dkim.util import InvalidTagValueList, parse_tag_value
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from core.hookspecs import hookimpl
from core.mail.alignment import aligned, ascii_domain, pinned
from core.mail.headers import is_envelope_line
from core.reasons import N_
from core.types import AuthResult, Check, Dns, DnsTrouble, Envelope, Message

MAX_SIGNATURES = 8  # judged; each may cost a DNS question and an RSA operation
MAX_LOOKED_AT = 100  # read to find those of the sender's own domain
MAX_SIGNATURE_SIZE = 16_384  # bytes of one field
MAX_KEY_RECORD = 8_192  # bytes
MAX_HEAD = 1_048_576  # bytes of the header block
KEY_BITS = range(1024, 4097)  # RFC 8301 3.2 asks for 1024 at least; above 4096 one check may cost seconds
MAX_EXPONENT = 2**32
CLOCK_LEEWAY = 600  # seconds, on x= and t=
MAILBOX_LEEWAY = 36_000  # seconds, on t= of a mail from a mailbox or a file: whose clock stamped it nobody knows
_LINE_END = re.compile(rb"\r?\n")
_NAME = re.compile(rb"[!-9;-~]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_SPACE = re.compile(rb"[ \t\r\n]+")
_DIGITS = re.compile(rb"[0-9]{1,12}")  # RFC 6376 3.5: t= and x= have at most 12 digits, and l= needs no more here
_SELECTOR = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_QP = re.compile(rb"=([0-9A-F]{2})")


class Verdict(Exception):
    """The end of one signature's way: the RFC 8601 word and the reason code."""

    def __init__(self, result: str, reason: str, **params: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.params = params


# --- the mail -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Mail:
    """A mail as DKIM sees it: fields as (name, value with its CRLFs), and where the body begins.

    The body is read once for each way of canonicalisation, for all signatures that were announced with `expect`.
    """

    headers: list[tuple[bytes, bytes]]
    raw: bytes
    body_at: int
    _expected: set[tuple[str, str, int | None]] = field(default_factory=set)
    _digests: dict[tuple[str, str, int | None], bytes] = field(default_factory=dict)
    _lengths: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: bytes) -> Mail:
        """Split the mail. Raises Verdict when the header block is none that a signature could be judged on."""
        if raw.startswith((b"\n", b"\r\n")):
            return cls([], raw, raw.index(b"\n") + 1)
        ends = [(at, len(blank)) for blank in (b"\n\r\n", b"\n\n") if (at := raw.find(blank, 0, MAX_HEAD)) >= 0]
        if not ends and len(raw) > MAX_HEAD:
            raise Verdict("permerror", "dkim-header-malformed")
        at, size = min(ends, default=(len(raw), 0))
        return cls(_read_fields(raw[: at + 1]), raw, at + size)

    def expect(self, signature: Signature) -> None:
        """Announce a signature, so that the one reading of the body serves it too."""
        self._expected.add((signature.body_way, signature.digest, signature.length))

    def digest(self, signature: Signature) -> tuple[bytes, int]:
        """(digest of the canonical body up to l=, octets of the whole canonical body)."""
        self.expect(signature)
        key = (signature.body_way, signature.digest, signature.length)
        if key not in self._digests:
            self._read_body(signature.body_way)
        return self._digests[key], self._lengths[signature.body_way]

    def _read_body(self, way: str) -> None:
        hashers = {key: hashlib.new(key[1]) for key in self._expected if key[0] == way}
        done = 0
        for piece in canonical_body(self.raw, self.body_at, way):
            for (_, _, length), hasher in hashers.items():
                if length is None or length >= done + len(piece):
                    hasher.update(piece)
                elif length > done:
                    hasher.update(piece[: length - done])
            done += len(piece)
        self._lengths[way] = done
        self._digests.update((key, hasher.digest()) for key, hasher in hashers.items())


def _read_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    pieces: list[bytes] = []
    name = b""
    for number, line in enumerate(_LINE_END.split(head)):
        if not line:
            continue
        if line[0] in b" \t":
            if not name:
                raise Verdict("permerror", "dkim-header-malformed")
            pieces.append(line)
            continue
        if number == 0 and line.startswith(b"From ") and is_envelope_line(line):
            continue
        if name:
            fields.append((name, b"\r\n".join(pieces) + b"\r\n"))
        name, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(name) is None and _NAME.fullmatch(name.rstrip(b" \t")):
            # RFC 5322 4.5 allows blanks before the colon in old mail; programs disagree on what such a field is.
            raise Verdict("none", "dkim-header-odd")
        if not colon or _NAME.fullmatch(name) is None:
            raise Verdict("permerror", "dkim-header-malformed")
        pieces = [value]
    if name:
        fields.append((name, b"\r\n".join(pieces) + b"\r\n"))
    return fields


# --- the body -----------------------------------------------------------------------------------------------------

_BLOCK = 262_144  # octets taken at a time: small enough for the processor's cache, whatever the mail's size
_EMPTY_LINES = b"\r\n" * (_BLOCK // 2)


def canonical_body(raw: bytes, start: int, way: str) -> Iterator[bytes]:
    """The canonical body from `start` on in pieces, "relaxed" (RFC 6376 3.4.4) or "simple" (3.4.3). Linear in all cases.

    Both ways look at one line at a time, so the body may be cut behind any line feed; only the empty lines at its end need
    to wait until something follows.
    """
    waiting = 0  # line ends held back
    empty = True
    while start < len(raw):
        end = raw.rfind(b"\n", start, start + _BLOCK) + 1 or raw.find(b"\n", start + _BLOCK) + 1 or len(raw)
        lines = with_crlf(raw[start:end])
        if way == "relaxed":
            lines = _one_blank(lines).replace(b" \r\n", b"\r\n")
        start = end
        text = _end_of_text(lines)
        if text:
            while waiting:
                step = min(waiting, len(_EMPTY_LINES) // 2)
                yield _EMPTY_LINES[: 2 * step]
                waiting -= step
            empty = False
            yield lines[:text]
        waiting += (len(lines) - text) // 2
    if not empty or way == "simple":
        yield b"\r\n"


def with_crlf(lines: bytes) -> bytes:
    """The lines with CRLF wherever a line feed stands: bare ones are a file's or a relay's way to store the same lines."""
    if lines.count(b"\n") == lines.count(b"\r\n"):
        return lines
    return lines.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _one_blank(lines: bytes) -> bytes:
    lines = lines.replace(b"\t", b" ")
    while b"  " in lines:  # each pass halves every run
        lines = lines.replace(b"  ", b" ")
    return lines


def _end_of_text(lines: bytes) -> int:
    """Where the line ends at the end begin, found in big steps."""
    end = len(lines)
    while lines.endswith(_EMPTY_LINES, 0, end):
        end -= len(_EMPTY_LINES)
    while lines.endswith(b"\r\n", 0, end):
        end -= 2
    return end


def relaxed_body(body: bytes) -> bytes:
    """The whole relaxed body, for those who need it in one piece."""
    return b"".join(canonical_body(body, 0, "relaxed"))


def simple_body(body: bytes) -> bytes:
    return b"".join(canonical_body(body, 0, "simple"))


# --- the signature ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field whose tags are all in order."""

    name: bytes
    value: bytes
    domain: str
    selector: str
    algorithm: str  # "rsa" or "ed25519"
    digest: str  # "sha256" or "sha1"
    headers: tuple[bytes, ...]  # lower case
    policy: CanonicalizationPolicy
    body_way: str
    length: int | None
    body_hash: bytes
    octets: bytes
    identity: str  # domain of i=
    made: int | None  # t=, seconds since 1970
    ends: int | None  # x=


def read_tags(value: bytes) -> dict[bytes, bytes] | None:
    """The tags of a field or of a key record (RFC 6376 3.2); None when they are no such list."""
    try:
        return dict(parse_tag_value(value))
    except (InvalidTagValueList, IndexError):
        return None


def signing_domain(tags: dict[bytes, bytes] | None) -> str | None:
    """The d= of a field, to find the sender's own signatures first; None when it cannot be read."""
    return ascii_domain(tags[b"d"].decode("utf-8", "replace")) if tags and b"d" in tags else None


def read_signature(name: bytes, value: bytes, tags: dict[bytes, bytes] | None) -> Signature:
    """Judge the tags (RFC 6376 3.5 and 6.1.1). Raises Verdict for every signature that cannot hold."""
    if tags is None:
        raise Verdict("permerror", "dkim-tags-wrong", detail=N_("it is too long, or its list of tags cannot be read"))
    for tag in (b"v", b"a", b"b", b"bh", b"d", b"h", b"s"):
        if not tags.get(tag):
            raise _wrong(tag)
    if tags[b"v"] != b"1":
        raise _wrong(b"v")
    algorithm, _, digest = tags[b"a"].lower().partition(b"-")
    if tags[b"a"].lower() not in (b"rsa-sha256", b"ed25519-sha256", b"rsa-sha1"):
        raise _wrong(b"a")
    try:
        policy = CanonicalizationPolicy.from_c_value(tags.get(b"c", b"simple/simple").lower())
    except InvalidCanonicalizationPolicyError as fault:
        raise _wrong(b"c") from fault
    if b"dns/txt" not in [way.strip().lower() for way in tags.get(b"q", b"dns/txt").split(b":")]:
        raise _wrong(b"q")
    domain = signing_domain(tags)
    if domain is None:
        raise _wrong(b"d")
    if _SELECTOR.fullmatch(tags[b"s"]) is None or len(tags[b"s"]) > 200:
        raise _wrong(b"s")
    headers = tuple(part.strip().lower() for part in tags[b"h"].split(b":"))
    if b"from" not in headers:  # RFC 6376 5.4: without it anybody may rewrite the sender
        raise Verdict("permerror", "dkim-from-unsigned")
    made, ends = _times(tags)
    return Signature(
        name,
        value,
        domain,
        tags[b"s"].decode("ascii").lower(),
        algorithm.decode("ascii"),
        digest.decode("ascii"),
        headers,
        policy,
        policy.body_algorithm.name.decode("ascii"),
        _length(tags),
        _decoded(tags, b"bh"),
        _decoded(tags, b"b"),
        _identity(tags, domain),
        made,
        ends,
    )


def _wrong(tag: bytes) -> Verdict:
    name = tag.decode("ascii")
    return Verdict("permerror", "dkim-tags-wrong", detail=f"the tag {name}= is missing or wrong", detail_of=N_("the tag {tag}= is missing or wrong"), detail_tag=name)


def _times(tags: dict[bytes, bytes]) -> tuple[int | None, int | None]:
    times: list[int | None] = []
    for tag in (b"t", b"x"):
        if tag in tags and _DIGITS.fullmatch(tags[tag]) is None:
            raise _wrong(tag)
        times.append(int(tags[tag]) if tag in tags else None)
    made, ends = times
    if made is not None and ends is not None and ends < made:  # RFC 6376 3.5
        raise _wrong(b"x")
    return made, ends


def judge_times(signature: Signature, envelope: Envelope, now: dt.datetime) -> None:
    """RFC 6376 3.5: x= lies not in the past, t= not in the future.

    A mail from a mailbox or a file is judged by the time of its arrival there: it did not expire for having waited.
    """
    waited = envelope.source in ("imap", "import")
    arrived = envelope.received_at if waited and envelope.received_at is not None else now
    if signature.ends is not None and signature.ends + CLOCK_LEEWAY < arrived.timestamp():
        raise Verdict("fail", "dkim-expired", date=_date(signature.ends))
    leeway = MAILBOX_LEEWAY if waited else CLOCK_LEEWAY
    if signature.made is not None and signature.made - leeway > now.timestamp():
        raise Verdict("fail", "dkim-in-future", date=_date(signature.made))


def _date(seconds: int) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _length(tags: dict[bytes, bytes]) -> int | None:
    if b"l" not in tags:
        return None
    digits = tags[b"l"]
    if not digits.isdigit() or len(digits) > 76:  # RFC 6376 3.5
        raise _wrong(b"l")
    return int(digits)


def _decoded(tags: dict[bytes, bytes], tag: bytes) -> bytes:
    text = _SPACE.sub(b"", tags[tag])
    if _BASE64.fullmatch(text) is None:
        raise _wrong(tag)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as fault:
        raise _wrong(tag) from fault


def _identity(tags: dict[bytes, bytes], domain: str) -> str:
    """The domain of i= (quoted-printable, RFC 6376 3.5): the signing domain or one below it."""
    text = _QP.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), _SPACE.sub(b"", tags.get(b"i", b"")))
    if not text:
        return domain
    _, at, host = text.decode("utf-8", "replace").rpartition("@")
    identity = ascii_domain(host) if at else None
    if identity is None or (identity != domain and not identity.endswith(f".{domain}")):
        raise _wrong(b"i")
    return identity


# --- the key ------------------------------------------------------------------------------------------------------

PublicKey = rsa.RSAPublicKey | VerifyKey
_HASHES: dict[str, hashes.HashAlgorithm] = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}  # noqa: S303 - see `judge`


def fetch_key(signature: Signature, dns: Dns) -> PublicKey:
    """The published key (RFC 6376 6.1.2). Raises Verdict; DnsTrouble passes through."""
    records = dns.txt(f"{signature.selector}._domainkey.{signature.domain}")
    if not records:
        raise Verdict("permerror", "dkim-key-missing")
    if len(records) > 1:  # RFC 6376 3.6.2.2 leaves it undefined: nobody can say which key is meant
        raise Verdict("permerror", "dkim-key-several")
    return read_key(records[0], signature)


def read_key(record: bytes, signature: Signature) -> PublicKey:
    """The key out of its record, when it may be used for this signature (RFC 6376 3.6.1)."""
    tags = _key_tags(record) if len(record) <= MAX_KEY_RECORD else None
    if tags is None:
        raise Verdict("permerror", "dkim-key-wrong", detail=N_("it is too long, or its list of tags cannot be read"))
    if tags.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in tags:
        raise Verdict("permerror", "dkim-key-wrong", detail=N_("it is no DKIM key record"))
    if not tags[b"p"]:
        raise Verdict("permerror", "dkim-key-revoked")
    if not {b"*", b"email"} & _listed(tags, b"s", b"*"):
        raise Verdict("permerror", "dkim-key-other-use")
    if signature.digest.encode("ascii") not in _listed(tags, b"h", signature.digest.encode("ascii")):
        raise Verdict("permerror", "dkim-key-wrong", detail=f"it does not allow {signature.digest}", detail_of=N_("it does not allow {digest}"), detail_digest=signature.digest)
    if tags.get(b"k", b"rsa").lower() != signature.algorithm.encode("ascii"):
        raise Verdict("permerror", "dkim-key-wrong", detail=N_("it is of another kind than the signature"))
    if b"s" in _listed(tags, b"t", b"") and signature.identity != signature.domain:
        raise Verdict("permerror", "dkim-key-strict")
    return _load_key(signature.algorithm, tags[b"p"])


_key_tags = functools.lru_cache(maxsize=1024)(read_tags)


def _listed(tags: dict[bytes, bytes], tag: bytes, otherwise: bytes) -> set[bytes]:
    return {word.strip().lower() for word in tags.get(tag, otherwise).split(b":")}


@functools.lru_cache(maxsize=1024)
def _load_key(algorithm: str, text: bytes) -> PublicKey:
    try:
        octets = decode_key(text)
        if algorithm == "ed25519":  # RFC 8463 section 4: the bare 32 octets
            return VerifyKey(octets)
        bits, exponent = rsa_size(octets)
        if bits not in KEY_BITS or exponent >= MAX_EXPONENT:
            raise Verdict("permerror", "dkim-key-weak" if bits < KEY_BITS.start else "dkim-key-huge", bits=str(bits))
        key = load_der_public_key(octets)
    except (ValueError, CryptoError, UnsupportedAlgorithm) as fault:
        raise Verdict("permerror", "dkim-key-wrong", detail=N_("the key cannot be read")) from fault
    if not isinstance(key, rsa.RSAPublicKey):
        raise Verdict("permerror", "dkim-key-wrong", detail=N_("it is no RSA key"))
    return key


def decode_key(text: bytes) -> bytes:
    """The octets of p=. Raises ValueError."""
    return base64.b64decode(_SPACE.sub(b"", text), validate=True)


def rsa_size(der: bytes) -> tuple[int, int]:
    """(bits of the modulus, exponent) straight from the DER, before anything is computed with them.

    The record holds a SubjectPublicKeyInfo or a bare RSAPublicKey (RFC 6376 3.6.1 and its errata).
    """
    inside = _der(der, 0x30)[0]
    if inside[:1] == b"\x30":
        _, rest = _der(inside, 0x30)
        inside = _der(_der(rest, 0x03)[0][1:], 0x30)[0]
    modulus, rest = _der(inside, 0x02)
    exponent, _ = _der(rest, 0x02)
    return int.from_bytes(modulus, "big").bit_length(), int.from_bytes(exponent, "big")


def _der(octets: bytes, tag: int) -> tuple[bytes, bytes]:
    """(content of the first element, what follows it). Raises ValueError."""
    if len(octets) < 2 or octets[0] != tag:
        raise ValueError("not the element that a key has here")
    size, start = octets[1], 2
    if size & 0x80:
        count = size & 0x7F
        start += count
        size = int.from_bytes(octets[2:start], "big")
    if start > 6 or start + size > len(octets):
        raise ValueError("the element is cut off")
    return octets[start : start + size], octets[start + size :]


# --- the arithmetic -----------------------------------------------------------------------------------------------


def judge(signature: Signature, mail: Mail, key: PublicKey) -> None:
    """Body hash, then signature (RFC 6376 6.1.3). Raises Verdict when either does not hold or covers too little."""
    digest, whole = mail.digest(signature)
    if signature.length is not None and signature.length > whole:
        raise Verdict("permerror", "dkim-tags-wrong", detail=N_("the tag l= is longer than the body"))
    if digest != signature.body_hash:
        raise Verdict("fail", "dkim-body-changed")
    hashed = hashlib.new(signature.digest, signed_header(signature, mail)).digest()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.octets, hashed, padding.PKCS1v15(), Prehashed(_HASHES[signature.digest]))
        else:
            key.verify(hashed, signature.octets)  # RFC 8463 section 3
    except (InvalidSignature, CryptoError) as fault:
        raise Verdict("fail", "dkim-header-changed") from fault
    if signature.length == 0 and whole:
        raise Verdict("none", "dkim-nothing-signed")
    if signature.length is not None and signature.length < whole:
        raise Verdict("policy", "dkim-partly-signed")
    if signature.digest == "sha1":
        # RFC 8301 3.1: it holds, but whoever can make SHA-1 collide can make one that holds too. It never counts.
        raise Verdict("pass", "dkim-sha1")


def signed_header(signature: Signature, mail: Mail) -> bytes:
    """The octets that were signed: the fields of h=, then the signature field with an empty b= (RFC 6376 3.7)."""
    # A second From field is always put in, signed or not: its presence must break the signature (RFC 6376 8.15).
    names = [*signature.headers, b"from"]
    left: dict[bytes, list[tuple[bytes, bytes]]] = {name: [] for name in names}
    for name, value in mail.headers:
        if name.lower() in left:
            left[name.lower()].append((name, value))
    chosen = [left[name].pop() for name in names if left[name]]  # RFC 6376 5.4.2: of several the last comes first
    canonical = signature.policy.canonicalize_headers([*chosen, (signature.name, without_b(signature.value))])
    return b"".join(name + b":" + value for name, value in canonical).removesuffix(b"\r\n")


def without_b(value: bytes) -> bytes:
    """The field's value with nothing after `b=` (RFC 6376 3.5). Linear, whatever stands there."""
    parts = value.split(b";")
    for index, part in enumerate(parts):
        name, equals, _ = part.partition(b"=")
        if equals and name.strip() == b"b":
            parts[index] = name + equals
            if index == len(parts) - 1:
                parts[index] += b"\r\n"
            break
    return b";".join(parts)


# --- the check ----------------------------------------------------------------------------------------------------


def check(message: Message, envelope: Envelope, dns: Dns, now: dt.datetime) -> list[AuthResult]:
    """One result a signature, those of the sender's own domain first; one `none` when there is no signature."""
    try:
        mail = Mail.read(message.raw)
    except Verdict as verdict:
        signed = re.search(rb"(?:\A|\n)dkim-signature[ \t]*:", message.raw[:1_000_000], re.IGNORECASE)
        return [AuthResult("dkim", verdict.result if signed else "none", reason=verdict.reason if signed else "dkim-none")]
    found = [(name, value) for name, value in mail.headers if name.lower() == b"dkim-signature"]
    if not found:
        return [AuthResult("dkim", "none", reason="dkim-none")]
    sender = message.identity.mailbox.domain if message.identity.mailbox else None
    looked_at = [
        (name, value, read_tags(value) if len(value) <= MAX_SIGNATURE_SIZE else None) for name, value in found[:MAX_LOOKED_AT]
    ]
    looked_at.sort(key=lambda one: _distance(signing_domain(one[2]), sender, message))
    read = [_announced(mail, *one) for one in looked_at[:MAX_SIGNATURES]]
    results = [
        _one(mail, signing_domain(one[2]), signature, envelope, dns, now) for one, signature in zip(looked_at, read, strict=False)
    ]
    if len(found) > MAX_SIGNATURES:
        results.append(
            AuthResult("dkim", "none", reason="dkim-too-many", params={"count": str(len(found)), "limit": str(MAX_SIGNATURES)})
        )
    return results


def _distance(domain: str | None, sender: str | None, message: Message) -> int:
    """Order of the signatures: the sender's own domain, one that an admin pinned or that is related, strangers."""
    if domain is None or sender is None:
        return 2
    if domain == sender:
        return 0
    return 1 if aligned(domain, sender) or pinned(domain, sender, message.trust.extra_signers) else 2


def _announced(mail: Mail, name: bytes, value: bytes, tags: dict[bytes, bytes] | None) -> Signature | Verdict:
    """The signature, announced to the mail before its body is read; or why it is none."""
    try:
        signature = read_signature(name, value, tags)
    except Verdict as verdict:
        return verdict
    mail.expect(signature)
    return signature


def _one(
    mail: Mail, domain: str | None, signature: Signature | Verdict, envelope: Envelope, dns: Dns, now: dt.datetime
) -> AuthResult:
    selector, params = "", {}
    try:
        if isinstance(signature, Verdict):
            raise signature
        selector = signature.selector
        judge_times(signature, envelope, now)
        judge(signature, mail, fetch_key(signature, dns))
        result, reason = "pass", "dkim-pass"
    except Verdict as verdict:
        result, reason, params = verdict.result, verdict.reason, verdict.params
    except DnsTrouble:
        result, reason = "temperror", "dkim-dns-trouble"
    facts = {"domain": domain or "", "selector": selector, **params}
    return AuthResult("dkim", result, domain, reason=reason, selector=selector or None, params=facts)


@hookimpl
def register_checks() -> list[Check]:
    return [Check("dkim", "DKIM signatures", check)]
