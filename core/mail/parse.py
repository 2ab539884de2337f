"""Raw bytes to an Email. Never raises, whatever the bytes are; what is odd or cut is named in `Email.defects`."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass, field, replace
from html import unescape
from itertools import islice
from urllib.parse import unquote

from core.mail.addresses import MAX_MAILBOXES, read_list
from core.mail.charsets import codecs_of, decode
from core.mail.dates import read_date
from core.mail.headers import Head, Params, cap_ids, clean, decode_header, from_base64, ids, odd_structure, read_head, readable
from core.mail.html import html_to_text, text_to_html
from core.mail.identity import identity_of
from core.mail.machine import is_loop, machine_kind
from core.mail.names import extension_of, made_name, safe_name, written_name
from core.mail.tree import IDENTITY, Budget, Part, TooComplex, decoded, leaves, read_tree, uu_blocks
from core.types import Attachment, Email, Mailbox

MAX_ATTACHMENTS = 500
MAX_TEXT = 2_000_000  # characters
MAX_HTML = 2_000_000
MAX_BYTES = MAX_TEXT * 4 + 4  # of a text that are decoded
MAX_FALLBACK = 200_000  # bytes shown of a mail whose parts cannot be found
MAX_ORIGINALS_DEPTH = 10
MAX_HEADERS = 200
MAX_HEADER_TEXT = 2000
UU_STEP = 10_000  # part number of the k-th uuencoded file inside leaf n: n + k * UU_STEP

_MESSAGES = frozenset(("message/rfc822", "message/global"))
_PLAIN_EML = frozenset(("text/plain", "application/octet-stream", "application/eml", "application/x-eml", "message/x-eml", "application/rfc822"))
_SIGNATURES = frozenset(("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"))
_SMIME = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime"))
_CALENDAR = frozenset(("text/calendar", "application/ics"))
_INVITATIONS = frozenset(("request", "reply", "cancel", "counter", "declinecounter"))
_CALENDAR_METHOD = re.compile(rb"(?im)^METHOD:[ \t]*([a-z]{1,20})")
_ORIGINAL_IDS = ("x-google-original-message-id", "x-microsoft-original-message-id", "x-original-message-id", "original-message-id")
_META_CHARSET = re.compile(rb"""(?i)<meta[^>]{0,300}?charset[\s]{0,5}=[\s"']{0,5}([\w.:-]{1,40})""")
_CID = re.compile(r"""(?i)\bcid:([^\s"'<>)]{1,300})""")


def parse(raw: bytes) -> Email:
    """Read a mail. Never raises. Linear in size; bounded in depth, parts, lines, people and text (see the constants)."""
    raw = readable(raw)
    return _read(raw, 0, len(raw), Budget(), 1)


def header_block(raw: bytes) -> bytes:
    """The bytes of the header block as they stand, without a leading mbox line and without the blank line after it."""
    head = read_head(readable(raw))
    return raw[head.start : head.end]


def attachment_bytes(raw: bytes, part: int) -> bytes:
    """The decoded bytes of the attachment whose `Attachment.part` is `part`. KeyError when the mail has none such."""
    raw = readable(raw)
    step, number = divmod(part, UU_STEP)
    head = read_head(raw)
    if head.cut or part < 0:
        raise KeyError(part)
    try:
        root = read_tree(raw, Budget(), head, len(raw))
    except TooComplex:
        raise KeyError(part) from None
    found = [leaf for leaf in leaves(root) if leaf.number == number]
    if not found:
        raise KeyError(part)
    data, _ = decoded(raw, found[0])
    if not step:
        return data
    for index, block in enumerate(uu_blocks(data), 1):
        if index == step:
            return block.data
    raise KeyError(part)


def _read(raw: bytes, start: int, end: int, budget: Budget, depth: int) -> Email:
    head = read_head(raw, start, end)
    defects = odd_structure(raw, head)
    root: Part | None = None
    content = _Content(raw, budget, depth)
    try:
        if head.cut:
            raise TooComplex(head.cut)
        root = read_tree(raw, budget, head, end)
    except TooComplex:
        defects.append("too-complex")
    else:
        content.read(root)
        defects += content.defects
    return _email(raw, head, root, content, defects)


def _email(raw: bytes, head: Head, root: Part | None, content: _Content, defects: list[str]) -> Email:
    identity = identity_of(head)
    to, cc, reply_to = (_people(head, name, defects) for name in ("to", "cc", "reply-to"))
    message_id, known_ids = _ids(head)
    date = _date(head, defects)
    return Email(
        identity=identity,
        message_id=message_id,
        ids=known_ids,
        references=cap_ids(one for name in ("references", "in-reply-to") for value in head.all(name)[:20] for one in ids(value)),
        subject=decode_header(head.first("subject") or b"", _charset(root))[:MAX_HEADER_TEXT],
        date=date,
        to=to,
        cc=cc,
        reply_to=reply_to,
        text=content.text,
        html=content.html,
        attachments=tuple(content.attachments),
        machine=machine_kind(raw, head, root, identity),
        loop=is_loop(head),
        thread_index=_thread_index(head),
        headers=tuple((name[:100], decode_header(value[:10_000])[:MAX_HEADER_TEXT]) for name, value in head.fields[:MAX_HEADERS]),
        defects=tuple(dict.fromkeys(defects)),
        flowed=content.flowed,
        originals=tuple(content.originals),
    )


# --- header values -------------------------------------------------------------------------------------------------


def _charset(root: Part | None) -> str | None:
    """The charset of the first part that names one: what raw 8-bit headers are most likely in."""
    if root is None:
        return None
    for leaf in islice(leaves(root), 3):
        charset = leaf.params.raw("charset")
        if charset:
            return charset.decode("latin-1")
    return None


def _people(head: Head, name: str, defects: list[str]) -> tuple[Mailbox, ...]:
    found: list[Mailbox] = []
    for value in head.all(name)[:20]:
        listed = read_list(value)
        found.extend(listed.mailboxes)
        if listed.cut or len(found) > MAX_MAILBOXES:
            defects.append(f"participants-cut:{name}")
            break
    return tuple(found[:MAX_MAILBOXES])


def _ids(head: Head) -> tuple[str | None, tuple[str, ...]]:
    own = [one for value in head.all("message-id")[:1] for one in ids(value)]
    other = [one for name in _ORIGINAL_IDS for value in head.all(name)[:2] for one in ids(value)]
    return (own[0] if own else None), cap_ids(own[:1] + other)


def _date(head: Head, defects: list[str]) -> dt.datetime | None:
    value = head.first("date")
    if value is None:
        return None
    found = read_date(value)
    if found is None:
        defects.append("bad-date")
    return found


def _thread_index(head: Head) -> str | None:
    """The root of an Exchange conversation: the first 22 bytes (1 reserved, 5 time, 16 GUID)."""
    value = head.first("thread-index")
    if not value or len(value) > 10_000:
        return None
    data = from_base64(value)
    return data[:22].hex() if len(data) >= 22 else None


# --- bodies and attachments ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Segment:
    """A run of the body. None is "this form is absent", "" is an empty one."""

    text: str | None = None
    html: str | None = None
    flowed: str = ""


@dataclass(slots=True)
class _Content:
    """The bodies, attachments and originals of one mail, collected from its tree (which is at most 50 deep)."""

    raw: bytes
    budget: Budget
    depth: int
    text: str = ""
    html: str = ""
    flowed: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    originals: list[Email] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    cut: int = 0

    def read(self, root: Part) -> None:
        if not root.head.separated:
            self.defects.append("no-blank-line")
        if root.head.junk:
            self.defects.append("junk-in-header")
        body = _joined(self._segments(root, named_is_file=False))
        if body.text is None and body.html is None:
            body = self._named_body(root)
        self.text, self.html, self.flowed = body.text or "", body.html or "", body.flowed
        if len(self.text) > MAX_TEXT:
            self.text = self.text[:MAX_TEXT]
            self.defects.append("text-cut")
        if len(self.html) > MAX_HTML:
            self.html = self.html[:MAX_HTML]
            self.defects.append("html-cut")
        if self.budget.parts_cut and self.depth == 1:
            self.defects.append(f"parts-cut:{self.budget.parts_cut}")
        if self.cut:
            self.defects.append(f"attachments-cut:{self.cut + (self.budget.parts_cut if self.depth == 1 else 0)}")
        self._mark_inline()

    def _mark_inline(self) -> None:
        if not self.html or not any(one.content_id for one in self.attachments):
            return
        used = {unquote(unescape(found)) for found in _CID.findall(self.html)}
        self.attachments = [replace(one, inline=True) if one.content_id in used else one for one in self.attachments]

    def _named_body(self, root: Part) -> _Segment:
        """Nothing but files: the first text that is not marked as one is shown, and stays listed as a file."""
        for leaf in leaves(root):
            if leaf.content_type in ("text/plain", "text/html") and leaf.disposition.value != "attachment":
                html = leaf.content_type == "text/html"
                text = self._text(leaf, self._decoded(leaf), html)
                if not text.strip():
                    continue
                return _Segment(html=text) if html else _Segment(text=text, flowed=_flowed(leaf))
        return _Segment()

    # -- structure --

    def _segments(self, part: Part, named_is_file: bool) -> list[_Segment]:
        if part.leaf():
            return self._leaf(part, named_is_file)
        kind = part.content_type.partition("/")[2]
        if kind == "alternative":
            return self._alternative(part)
        if kind == "related":
            return self._related(part)
        if kind == "encrypted":
            self.defects.append("encrypted")
            return self._all_attached(part.children, "encrypted")
        if kind == "signed":  # RFC 1847 2.1: the content, then its signature
            rest = [child for child in part.children[1:] if child.content_type not in _SIGNATURES]
            return self._segments(part.children[0], named_is_file) + self._all_attached(rest)
        if kind == "report":
            return self._segments(part.children[0], named_is_file) + self._all_attached(part.children[1:])
        return [segment for child in part.children for segment in self._segments(child, named_is_file=True)]

    def _alternative(self, part: Part) -> list[_Segment]:
        """The last text and the last HTML: the richest of each (RFC 2046 5.1.4)."""
        best = _Segment()
        texts: list[_Segment] = []
        for child in part.children:
            found = _joined(self._segments(child, named_is_file=False))
            if found.text is not None and (found.text.strip() or best.text is None):
                best.text, best.flowed = found.text, found.flowed
                texts.append(found)
            if found.html is not None and (found.html.strip() or best.html is None):
                best.html = found.html
        if best.html is None and len(texts) > 1:
            # Two plain texts are no choice of forms: a program named one of them wrongly, so none is dropped.
            return texts
        return [] if best.text is None and best.html is None else [best]

    def _related(self, part: Part) -> list[_Segment]:
        """RFC 2387: the root is the part that `start` names, else the first."""
        wanted = (part.params.raw("start") or b"").strip(b"<> ")
        root = part.children[0]
        if wanted:
            root = next((child for child in part.children if (child.head.first("content-id") or b"").strip(b"<> ") == wanted), root)
        if root.leaf() and root.content_type not in ("text/html", "text/plain"):
            root = next((child for child in part.children if child.content_type in ("text/html", "multipart/alternative")), root)
        segments: list[_Segment] = []
        for child in part.children:
            if child is root or not child.leaf():
                segments += self._segments(child, named_is_file=False)
            else:
                segments += self._all_attached([child])
        return segments

    def _all_attached(self, parts: list[Part], note: str = "") -> list[_Segment]:
        for part in parts:
            for leaf in leaves(part):
                self._attach(leaf, note)
        return []

    def _leaf(self, part: Part, named_is_file: bool) -> list[_Segment]:
        if part.content_type.startswith("multipart/"):
            return self._without_boundary(part) if part.broken else []
        if part.content_type not in ("text/plain", "text/html") or part.disposition.value == "attachment":
            self._attach(part)
            return []
        if named_is_file and written_name(part):
            self._attach(part)
            return []
        data = self._decoded(part)
        if part.content_type == "text/html":
            return [_Segment(html=self._text(part, data, html=True))]
        return [_Segment(text=self._text(part, self._without_uu(part, data)), flowed=_flowed(part))]

    def _without_boundary(self, part: Part) -> list[_Segment]:
        """A multipart whose boundary never appears: what follows its header is shown as text."""
        self.defects.append("boundary-missing")
        data = self.raw[part.start : min(part.end, part.start + MAX_FALLBACK)]
        return [_Segment(text=self._text(part, data))] if data.strip() else []

    # -- leaves --

    def _decoded(self, part: Part) -> bytes:
        data, known = decoded(self.raw, part)
        if not known:
            self.defects.append("bad-encoding")
        return data

    def _text(self, part: Part, data: bytes, html: bool = False) -> str:
        charset = (part.params.raw("charset") or b"").decode("latin-1")
        if html and not codecs_of(charset):
            match = _META_CHARSET.search(data[:2000])
            if match is not None:
                charset = match[1].decode("latin-1")
        if len(data) > MAX_BYTES:  # at a line end where there is one: half a letter at the end would make all before it a guess
            data = data[: data.rfind(b"\n", MAX_BYTES - 10_000, MAX_BYTES) + 1 or MAX_BYTES]
        text, step = decode(data, charset)
        if step in ("guessed", "replaced"):
            self.defects.append(f"charset-{step}")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text

    def _without_uu(self, part: Part, data: bytes) -> bytes:
        """The text around uuencoded files; the files become attachments."""
        kept: list[bytes] = []
        pos = 0
        for index, block in enumerate(uu_blocks(data), 1):
            kept.append(data[pos : block.start])
            pos = block.end
            name = safe_name(decode_header(block.name)) or made_name("application/octet-stream", part.number)
            self._add(name, "application/octet-stream", None, memoryview(block.data), part.number + index * UU_STEP)
        if not pos:
            return data
        kept.append(data[pos:])
        return b"".join(kept)

    def _attach(self, part: Part, note: str = "") -> None:
        if len(self.attachments) >= MAX_ATTACHMENTS:
            self.cut += 1
            return
        content_type = "application/octet-stream" if part.content_type.startswith("multipart/") else part.content_type
        name = written_name(part)
        if part.encoding in IDENTITY:
            source, start, end = self.raw, part.start, part.end
        else:
            source = self._decoded(part)
            start, end = 0, len(source)
        subject: bytes | None = None
        if content_type in _MESSAGES or (content_type in _PLAIN_EML and extension_of(name) == ".eml"):
            subject = self._original(source, start, end)
        elif content_type in _CALENDAR:
            note = note or _calendar_note(part.params, source[start : start + 4000])
        elif content_type in _SMIME:
            kind = (part.params.raw("smime-type") or b"").strip().lower()
            note = note or ("signed" if kind == b"signed-data" else "encrypted")
            self.defects.append("signed-content" if note == "signed" else "encrypted")
        name = name or made_name(content_type, part.number, subject)
        self._add(name, content_type, part.head.first("content-id"), memoryview(source)[start:end], part.number, note)

    def _add(self, name: str, content_type: str, content_id: bytes | None, data: memoryview, number: int, note: str = "") -> None:
        if len(self.attachments) >= MAX_ATTACHMENTS:
            self.cut += 1
            return
        known_as = clean(decode(content_id.strip(b" \t<>")[:300])[0]) if content_id else None
        digest = hashlib.sha256(data).hexdigest()
        self.attachments.append(Attachment(name, content_type, len(data), False, known_as or None, digest, number, note))

    def _original(self, source: bytes, start: int, end: int) -> bytes | None:
        """Read an attached mail the same way; gives its subject for a name."""
        if self.depth >= MAX_ORIGINALS_DEPTH or self.budget.originals <= 0:
            self.defects.append("originals-cut")
            if self.depth >= MAX_ORIGINALS_DEPTH:
                self.defects.append("too-complex")
            return read_head(source, start, end).first("subject")
        self.budget.originals -= 1
        if source is not self.raw:
            source = readable(source)
        original = _read(source, start, end, self.budget, self.depth + 1)
        if not original.headers:
            return None
        if "too-complex" in original.defects:
            self.defects.append("too-complex")
        self.originals.append(original)
        return original.subject.encode("utf-8")


def _calendar_note(params: Params, data: bytes) -> str:
    """RFC 6047 2.4: the method stands in the parameter and in the body."""
    method = (params.raw("method") or b"").strip().lower()
    if not method:
        match = _CALENDAR_METHOD.search(data)
        method = match[1].lower() if match else b""
    return "invitation" if method.decode("latin-1") in _INVITATIONS else ""


def _flowed(part: Part) -> str:
    """RFC 3676: format=flowed, and whether the trailing space goes when lines are joined."""
    if (part.params.raw("format") or b"").strip().lower() != b"flowed":
        return ""
    return "delsp" if (part.params.raw("delsp") or b"").strip().lower() == b"yes" else "flowed"


def _joined(segments: list[_Segment]) -> _Segment:
    """Several runs as one body. Where one run has HTML, every other gets one too, or its text would not be shown."""
    if len(segments) == 1:
        return segments[0]
    if not segments:
        return _Segment()
    text: str | None = None
    html: str | None = None
    if any(one.html is not None for one in segments):
        html = "\n".join(one.html if one.html is not None else text_to_html(one.text or "") for one in segments)
    if any(one.text is not None for one in segments):
        pieces = [one.text if one.text is not None else html_to_text(one.html or "") for one in segments]
        text = "".join(piece if not piece or piece.endswith("\n") else piece + "\n" for piece in pieces[:-1]) + pieces[-1]
    flows = {one.flowed for one in segments if one.text is not None}
    return _Segment(text, html, flows.pop() if len(flows) == 1 else "")
