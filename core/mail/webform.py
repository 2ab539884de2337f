"""What a webhook request holds: proof of its sender, form fields and JSON with their bytes intact, and the mails in them.

Flask's `request.form` decodes text and thereby breaks 8-bit mail and its DKIM body hash; everything here works on bytes.
A webhook source is `handle = webhook(read, refused=…)`: `read(request, context)` proves the request first and then gives
its mails. It raises Unproved (401, nothing inside is believed) or Unusable (a status and a sentence).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import idna
from pydantic import AfterValidator, SecretStr
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, parse_options_header

from core.errors import DropcopyError, Refused, Sentence, sentence_of
from core.reasons import N_
from core.types import Envelope, SourceContext, TrustedVerdict, WebAnswer, WebRequest

MAX_FIELDS = 1000  # of a form
MAX_MAILS = 1000  # in one batch
MAX_RECIPIENTS = 1000
MAX_SIGNATURES = 10  # DKIM signatures looked at
MAX_HEADER = 1 << 20  # bytes of a mail's header block looked at
RETRY_AFTER = 60  # seconds

Handle = Callable[[WebRequest, SourceContext], WebAnswer]


class Unproved(DropcopyError):
    """The request does not show the secret: 401."""


class Unusable(DropcopyError):
    """The request cannot be taken. `tell`: the sentence names a wrong set-up, so the source's page shows it too."""

    def __init__(self, status: int, sentence: str, /, *, tell: bool = False, **params: Any) -> None:
        self.sentence = Sentence(sentence, **params)
        super().__init__(str(self.sentence))
        self.status = status
        self.tell = tell


class Nothing(DropcopyError):
    """A rightly proved request that carries no mail, such as a provider's test button: 200 with the sentence."""

    def __init__(self, sentence: str) -> None:
        self.sentence = Sentence(sentence)
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail of a request. mail_from: "" is the null sender, None unknown. `key` is the provider's event id."""

    raw: bytes
    rcpt_to: tuple[str, ...]
    mail_from: str | None = None
    key: str | None = None
    client_ip: str | None = None
    helo: str | None = None
    verdicts: tuple[TrustedVerdict, ...] = ()


Read = Callable[[WebRequest, SourceContext], list[Mail]]


# --- from request to answer ---------------------------------------------------------------------------------------


def webhook(read: Read, *, refused: int, too_large: int | None = None, kept: int = 200) -> Handle:
    """A source's `handle`. `refused` is the status that makes this provider give up, `too_large` one of its own for that."""

    def handle(request: WebRequest, context: SourceContext) -> WebAnswer:
        try:
            demand_plain_post(request)
            mails = read(request, context)
        except Unproved:
            context.report(N_("A request was refused because its signature or password was wrong or missing."))
            headers = {"WWW-Authenticate": 'Basic realm="Dropcopy", charset="UTF-8"'}
            return WebAnswer(401, N_("The signature or password is wrong or missing."), headers)
        except Unusable as no:
            if no.tell:
                context.report(no.sentence)
            return WebAnswer(no.status, no.sentence, {"Allow": "POST"} if no.status == 405 else {})
        except Nothing as nothing:
            context.report("")
            return WebAnswer(200, nothing.sentence)
        return _keep(mails, context, refused, too_large or refused, kept)

    return handle


def demand_plain_post(request: WebRequest) -> None:
    """Only POST, and nothing compressed: a small body may not become a large one."""
    if request.method != "POST":
        raise Unusable(405, N_("Mail is delivered here with POST."))
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unusable(415, N_("Compressed requests are not taken; send the body as it is."))


def _keep(mails: list[Mail], context: SourceContext, refused: int, too_large: int, kept: int) -> WebAnswer:
    """Hand every mail to the intake and answer after the commits. One that must wait makes the whole request wait:
    the provider sends it again, and those that were kept are known by their keys."""
    ids: list[int] = []
    no: Refused | None = None
    waits = False
    for mail in mails:
        try:
            ids.append(context.intake.receive(mail.raw, _envelope(mail, context)))
        except Refused as error:
            waits |= not error.permanent
            no = error
        except Exception:
            context.log.exception("The intake failed.")
            waits = True
    if waits:
        return WebAnswer(503, sentence_of("intake-trouble"), {"Retry-After": str(RETRY_AFTER)})
    if no is not None and not ids:
        return WebAnswer(too_large if no.code == "too-large" else refused, no.sentence)
    context.report("")
    return WebAnswer(kept, Sentence(N_("Kept as %(numbers)s."), numbers=", ".join(map(str, ids))) if ids else N_("There was no mail in it."))


def _envelope(mail: Mail, context: SourceContext) -> Envelope:
    return Envelope(
        source="webhook",
        instance=context.instance,
        rcpt_to=mail.rcpt_to,
        mail_from=mail.mail_from,
        client_ip=mail.client_ip,
        helo=mail.helo,
        received_at=context.clock(),
        verdicts=mail.verdicts,
        key=short_key(mail.key),
    )


def short_key(key: str | None) -> str | None:
    """A key as it is, or its hash when it is long: it stands in an index."""
    return key if key is None or len(key) <= 200 else "sha256:" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


# --- proof --------------------------------------------------------------------------------------------------------


def secrets(setting: SecretStr) -> list[bytes]:
    """The secrets of a field: several, separated by white space, while an old one is exchanged for a new one."""
    return [word.encode() for word in setting.get_secret_value().split()]


def _logins_only(setting: SecretStr) -> SecretStr:
    words = setting.get_secret_value().split()
    if not words or not all(word.partition(":")[0] and word.partition(":")[2] for word in words):
        raise ValueError(N_("Enter a login as user:password."))
    return setting


Login = Annotated[SecretStr, AfterValidator(_logins_only)]  # of a settings model: one or several user:password


def same(given: bytes, wanted: Iterable[bytes]) -> bool:
    """True when `given` is one of `wanted`; takes the same time wherever they differ."""
    fits = False
    for want in wanted:
        fits |= hmac.compare_digest(given, want)
    return fits


def demand_login(request: WebRequest, logins: Iterable[bytes]) -> None:
    """HTTP Basic (RFC 7617) with one of the `user:password` logins, else Unproved."""
    scheme, _, value = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unproved
    try:
        given = base64.b64decode(value.strip().encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Unproved from error
    if not same(given, logins):
        raise Unproved


def demand_hex_mac(given: str, content: bytes, keys: Iterable[bytes]) -> None:
    """HMAC-SHA256 in hexadecimal with one of the keys, else Unproved."""
    wanted = [hmac.new(key, content, hashlib.sha256).hexdigest().encode() for key in keys]
    if not same(given.strip().lower().encode("utf-8", "surrogateescape"), wanted):
        raise Unproved


# --- bodies -------------------------------------------------------------------------------------------------------


def content_type(request: WebRequest) -> str:
    """The media type alone, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def form(request: WebRequest) -> dict[str, bytes]:
    """The fields of a multipart or urlencoded form, byte for byte; of a repeated name the first one counts.

    Raises Unusable: 415 for another type, 413 for too many fields, 400 for a broken or cut-off body.
    """
    kind = content_type(request)
    if kind == "multipart/form-data":
        return _multipart(request)
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(request.body)
    raise Unusable(415, N_("A form was expected here, but the request is %(kind)s."), kind=kind or Sentence(N_("of no type")))


def _multipart(request: WebRequest) -> dict[str, bytes]:
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary")
    if not boundary:
        raise Unusable(400, N_("The form names no boundary."))
    found: dict[str, bytes] = {}
    seen = 0
    ended = False

    def take(part: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > MAX_FIELDS:
            raise Unusable(413, N_("The form has more than %(number)s fields."), number=MAX_FIELDS)
        found.setdefault((part.field_name or b"").decode("utf-8", "replace"), _part_bytes(part))

    def end() -> None:
        nonlocal ended
        ended = True

    # The core has bounded the body already, so file parts may stay in memory as well.
    parser = FormParser(
        "multipart/form-data", take, take, end, boundary, config={"MAX_MEMORY_FILE_SIZE": len(request.body) + 1}
    )
    try:
        parser.write(request.body)
        parser.finalize()
    except FormParserError as error:
        raise Unusable(400, N_("The form is broken.")) from error
    finally:
        parser.close()
    if not ended:
        raise Unusable(400, N_("The form ends before its last boundary."))
    return found


def _part_bytes(part: Any) -> bytes:
    if not isinstance(part, File):
        return part.value or b""
    try:
        part.file_object.seek(0)
        return part.file_object.read()
    finally:
        part.close()


def _urlencoded(body: bytes) -> dict[str, bytes]:
    if body.count(b"&") >= MAX_FIELDS:
        raise Unusable(413, N_("The form has more than %(number)s fields."), number=MAX_FIELDS)
    found: dict[str, bytes] = {}
    for pair in body.split(b"&"):
        name, _, value = pair.partition(b"=")
        if pair:
            found.setdefault(_unquoted(name).decode("utf-8", "replace"), _unquoted(value))
    return found


def _unquoted(value: bytes) -> bytes:
    """The bytes of a urlencoded value. In steps: unquote_to_bytes needs some fifty times the memory of its input."""
    value = value.replace(b"+", b" ")
    out = bytearray()
    start = 0
    while start < len(value):
        end = min(start + 65536, len(value))
        while end < len(value) and b"%" in value[end - 2 : end]:
            end -= 1
        out += unquote_to_bytes(value[start:end])
        start = end
    return bytes(out)


def read_json(body: bytes) -> Any:
    """The JSON value of a body. Raises Unusable(400) for anything else, also for one nested too deeply."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # ValueError: also bad UTF-8 and integers beyond all reason
        raise Unusable(400, N_("The request is not readable JSON.")) from error


def json_object(body: bytes) -> dict[str, Any]:
    value = read_json(body)
    if not isinstance(value, dict):
        raise Unusable(400, N_("A JSON object was expected."))
    return value


def part(value: Any, *names: str) -> Any:
    """value[a][b]… of untrusted JSON; None as soon as something on the way is missing or no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_of(value: Any, *names: str) -> str | None:
    """The same, but only text; everything else is None."""
    found = part(value, *names)
    return found if isinstance(found, str) else None


def decode_base64(text: str) -> bytes:
    """Base64 with or without line breaks. Raises Unusable(400)."""
    try:
        return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Unusable(400, N_("The mail in the request is not readable base64.")) from error


# --- addresses ----------------------------------------------------------------------------------------------------


def address(value: str | None) -> str | None:
    """An envelope address: `local@domain` with the domain in lower-case A-labels, "" for the null sender `<>`.

    None when nothing is given or it is no address (RFC 5321 4.1.2), so that no odd text ever counts as one.
    """
    if value is None:
        return None
    value = value.strip()
    if value.startswith("<") and value.endswith(">"):
        value = value[1:-1].strip()
    if not value:
        return ""
    local, at, domain = value.rpartition("@")
    if not (at and local and domain) or len(value) > 320 or any(c < " " or c == "\x7f" for c in value):
        return None
    return f"{local}@{_domain(domain)}"


def _domain(domain: str) -> str:
    if domain.isascii():
        return domain.lower().rstrip(".")
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return domain.lower()


def recipients(values: Iterable[Any]) -> tuple[str, ...]:
    """The addresses among the values, each once, in order."""
    found: dict[str, None] = {}
    for value in values:
        one = address(value) if isinstance(value, str) else None
        if one and len(found) < MAX_RECIPIENTS:
            found.setdefault(one)
    return tuple(found)


# A comma inside a quoted local part separates nothing (RFC 5322 3.2.4); that has 64 octets at most (RFC 5321 4.5.3.1.1),
# and without a bound each stray quote would be looked for to the end.
_LISTED = re.compile(r'(?:"(?:[^"\\]|\\.){0,64}"|[^,"]|")+')


def address_list(value: str) -> tuple[str, ...]:
    """The addresses of a header value with commas, as several X-Envelope-To fields arrive joined."""
    return recipients(_LISTED.findall(value))


def header_text(value: str) -> str:
    """A header value as text: WSGI gives its bytes as latin-1, and who sends more than ASCII sends UTF-8 (RFC 6532)."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def domain_of(mail_from: str | None) -> str | None:
    return (mail_from or "").rpartition("@")[2] or None


# --- a mail that came as text -------------------------------------------------------------------------------------


def text_to_raw(text: str) -> bytes:
    """The bytes of a mail that a provider put into JSON as text.

    Providers decode the mail as UTF-8, and what is no UTF-8 byte for character. Which of both it was is told by the DKIM
    body hash when the mail carries one, else by what the mail declares and holds.
    """
    if text.isascii():
        return text.encode("ascii")
    candidates: dict[str, bytes] = {}
    for charset in ("utf-8", "latin-1", "cp1252"):
        try:
            candidates[charset] = text.encode(charset, "surrogateescape")
        except UnicodeEncodeError:
            continue
    if not candidates:
        return text.encode("utf-8", "replace")
    fitting = {charset: raw for charset, raw in candidates.items() if body_hash_fits(raw)} or candidates
    if len(fitting) > 1 and _is_no_utf8(text):
        fitting.pop("utf-8", None)
    return next(iter(fitting.values()))


_CHARSET = re.compile(r'charset="?([a-z0-9_-]{1,40})', re.ASCII | re.IGNORECASE)
_C1 = re.compile("[\x80-\x9f]")


def _is_no_utf8(text: str) -> bool:
    """True when the mail names charsets, but UTF-8 nowhere, or holds control characters that no one writes: those are bytes."""
    names = {match[1].lower() for match in _CHARSET.finditer(text)} - {"us-ascii", "ascii"}
    return not names & {"utf-8", "utf8"} and (bool(names) or _C1.search(text) is not None)


def header_block(raw: bytes) -> bytes:
    """The header fields of a mail with line ends of any kind, at most MAX_HEADER bytes, without the empty line."""
    head = raw[:MAX_HEADER]
    ends = [at for at in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if at >= 0]
    return head[: min(ends)] if ends else head


def top_fields(raw: bytes, receiveds: int = 0) -> list[tuple[str, str]]:
    """Names (lower case) and values of the fields above the first Received, or above the one after `receiveds` of them.

    Only they were written by the last host; what stands below may come from the sender.
    """
    found: list[tuple[str, str]] = []
    for line in header_block(raw).splitlines():
        if line[:1] in (b" ", b"\t"):
            if found:
                found[-1] = (found[-1][0], found[-1][1] + " " + line.strip().decode("utf-8", "replace"))
            continue
        name, _, value = line.partition(b":")
        key = name.strip().decode("ascii", "replace").lower()
        if key == "received":
            if receiveds <= 0:
                break
            receiveds -= 1
        found.append((key, value.strip().decode("utf-8", "replace")))
    return found


_DKIM_FIELD = re.compile(rb"^dkim-signature[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)


def body_hash_fits(raw: bytes) -> bool:
    """True when the body hash of a DKIM signature in the mail is that of its body (RFC 6376 3.7). No key is needed."""
    head = header_block(raw)
    body = raw[len(head) :]
    body = re.sub(rb"\A\r?\n\r?\n", b"", body).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for number, field in enumerate(_DKIM_FIELD.finditer(head)):
        if number == MAX_SIGNATURES:
            break
        tags = dict(tag.split(b"=", 1) for tag in b"".join(field[1].split()).split(b";") if b"=" in tag)
        algorithm = hashlib.sha1 if tags.get(b"a", b"").endswith(b"sha1") else hashlib.sha256
        content = _canonical(body, relaxed=tags.get(b"c", b"").lower().endswith(b"/relaxed"))
        if tags.get(b"l", b"").isdigit():
            content = content[: int(tags[b"l"][:12])]
        if base64.b64encode(algorithm(content).digest()) == tags.get(b"bh"):
            return True
    return False


def _canonical(body: bytes, *, relaxed: bool) -> bytes:
    """RFC 6376 3.4.3 and 3.4.4, in time linear in the body."""
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
        body = b"\r\n".join(lines)
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    body = body[:end]
    return body + b"\r\n" if body or not relaxed else b""
