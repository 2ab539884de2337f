"""What must hold for any bytes whatever: asked by the hypothesis tests, by the fuzzers and of every find that is kept.

Each function takes bytes and raises AssertionError with a word on what does not hold.
"""

from __future__ import annotations

import email
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser

import dkim

from core.mail import forward
from core.mail.addresses import normalise
from core.mail.alignment import ascii_domain
from core.mail.dates import read_date
from core.mail.headers import Params, decode_header, ids
from core.mail.html import safe_html
from core.mail.identity import read_identity
from core.mail.parse import attachment_bytes, parse
from core.mail.scanner import END, DataScanner
from core.mail.text import body_hash, index_text, shown_text, snippet
from core.types import Email

AMBIGUOUS = ("bare-cr-in-header", "nul-in-header", "duplicate-header", "too-complex", "junk-in-header", "no-blank-line")
# What no shown text may hold: it is not seen, turns the line around, or is refused by a database.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_ACTIVE_TAGS = frozenset(["script", "svg", "math", "iframe", "frame", "object", "embed", "form", "base", "meta", "link", "style", "template", "noscript", "xmp", "video", "audio", "source", "input", "button", "select", "textarea"])
_ACTIVE_NAMES = ("id", "name", "class", "srcset", "formaction", "background", "action", "poster", "ping", "srcdoc", "is", "slot")


class _Active(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in _ACTIVE_TAGS:
            self.found.append(tag)
        for name, value in attributes:
            plain = re.sub(r"[\x00-\x20\x7f-\xa0\u200b-\u200f]", "", value or "").lower()
            if name.startswith(("on", "hx-", "data-", "x-", "v-", "@", ":")) or name in _ACTIVE_NAMES:
                self.found.append(f"{tag} {name}")
            elif (name in ("href", "src") and ":" in plain.partition("/")[0] and not plain.startswith(("http:", "https:", "mailto:", "tel:", "cid:"))) or (name == "style" and "url(" in plain):
                self.found.append(f"{tag} {name}={value}")
            elif name == "src" and not plain.startswith("cid:"):
                self.found.append(f"{tag} asks {value}")


def active(html: str) -> list[str]:
    """What of HTML would act, name a thing of the page, or ask anybody for anything by itself."""
    reader = _Active()
    reader.feed(html)
    reader.close()
    return reader.found


def check_identity(raw: bytes) -> None:
    """One sender for DKIM alignment, attribution and page; and no other program sees another one unless the mail is held."""
    identity = read_identity(raw)
    read = parse(raw)
    assert read.identity == identity, "the page names another sender"
    assert (identity.mailbox is None) == bool(identity.reason), "neither a sender nor a reason"
    if identity.mailbox is None:
        return
    address = identity.mailbox.address
    local, _, domain = address.rpartition("@")
    assert normalise(address) == address, "the written form is not its own written form"
    assert domain.isascii(), "a domain outside ASCII would be shown instead of its punycode"
    assert domain.startswith("[") or ascii_domain(domain) in (domain, None), "alignment looks at another domain"
    assert local.isascii() or not any(low.isascii() for char in local if not char.isascii() for low in char.lower()), "a look-alike lowers to ASCII"
    assert not UNSEEN.search(address + (identity.mailbox.name or "")), "something unseen in the sender"
    if any(defect.partition(":")[0] in AMBIGUOUS for defect in read.defects):
        return
    assert len(_dkim_senders(raw)) <= 1, "DKIM sees several From fields"
    others = email.message_from_bytes(raw).get_all("From") or []  # none at all when that program gives the header up
    assert len(others) <= 1, f"another program sees {len(others)} From fields"


def _dkim_senders(raw: bytes) -> list[bytes]:
    try:
        fields, _ = dkim.rfc822_parse(raw)
    except (dkim.MessageFormatError, IndexError):
        return []  # then no signature can hold either
    return [value for name, value in fields if name.strip().lower() == b"from"]


def check_headers(data: bytes) -> None:
    """Text of a field is one line of clean text; the readers of dates, ids and parameters end with an answer."""
    for charset in (None, "iso-2022-jp", "utf-7", "x-unknown"):
        text = decode_header(data, charset)
        text.encode("utf-8")
        assert not UNSEEN.search(text), "something unseen in a header text"
        assert text == text.strip(), "blanks around a header text"
    found = read_date(data)
    assert found is None or found.tzinfo is not None, "a date without a zone"
    for one in ids(data):
        assert one, "an empty id"
        assert not UNSEEN.search(one), "something unseen in an id"
    params = Params(data)
    for name in ("filename", "name", "charset", "boundary"):
        text = params.text(name) or ""
        text.encode("utf-8")
        assert not UNSEEN.search(text), "something unseen in a parameter"
        assert params.raw(name) is None or name in params, "a value of what is absent"


def _texts(read: Email) -> list[str]:
    people = [box for box in (read.identity.mailbox, *read.to, *read.cc, *read.reply_to) if box is not None]
    found = [read.subject, read.text, read.html, read.message_id or "", *read.ids, *read.references]
    found += [text for box in people for text in (box.name or "", box.address)]
    found += [text for one in read.attachments for text in (one.filename, one.content_type, one.content_id or "")]
    return found + [text for original in read.originals for text in _texts(original)]


def check_mail(raw: bytes) -> None:
    """Any bytes are a mail that the database takes; its attachments are found again; its HTML is harmless; its size bounds the work."""
    read = parse(raw)
    for text in _texts(read):
        assert "\0" not in text, "NUL in a text"
        text.encode("utf-8")
    for one in read.attachments:
        assert hashlib.sha256(attachment_bytes(raw, one.part)).hexdigest() == one.sha256, "an attachment is not found again"
        assert "/" not in one.filename, "a file name that leads elsewhere"
        assert not UNSEEN.search(one.filename), "something unseen in a file name"
        assert 0 < len(one.filename.encode()) <= 200, "a file name without length or without end"
    safe = safe_html(read.html)
    assert active(safe) == [], "active HTML"
    assert len(snippet(shown_text(read))) <= 140, "a long snippet"
    assert len(index_text(read).encode("utf-8", "replace")) <= 200_000, "a long index text"
    assert body_hash(read) == body_hash(parse(raw)), "the same mail is not the same"
    claimed = forward.read(read)
    if claimed is not None:
        assert claimed.unreadable or claimed.sender is not None, "a forward without author that is not called unreadable"


def check_stream(data: bytes) -> None:
    """The end of a mail in a stream is CR LF . CR LF and nothing else, however the network cuts it."""
    end = (b"\r\n" + data).find(END)
    expected = None if end < 0 else (b"\r\n" + data)[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
    rest = b"" if end < 0 else (b"\r\n" + data)[end + len(END) :]
    for size in (1, 2, 3, 5, len(data) or 1):
        scanner, got, at = DataScanner(), b"", 0
        while at < len(data) and not scanner.done:
            got += scanner.feed(data[at : at + size])
            at += size
        assert scanner.done == (expected is not None), "an end where none is, or none where one is"
        if expected is not None:
            assert got == expected, "other octets"
            assert scanner.rest + data[at:] == rest, "another rest"


CHECKS: dict[str, Callable[[bytes], None]] = {"identity": check_identity, "headers": check_headers, "mail": check_mail, "stream": check_stream}
