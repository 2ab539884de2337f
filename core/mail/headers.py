"""The header block read from the raw bytes: fields, encoded words, parameters, ids. One reader at every level of a mail.

A bare CR never ends a line here (DKIM does not see it as one either), so no second field can hide behind it.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import unquote_to_bytes

from core.mail.charsets import decode, wide

MAX_BLOCK = 256 * 1024  # bytes of one header block
MAX_LINES = 1000
MAX_JUNK = 50  # lines that are no fields, between fields
MAX_IDS = 200
MAX_PIECES = 100  # RFC 2231 continuations of one parameter
MAX_PARAMS = 200

# The white space of RFC 5322 (3.2.2). Where bytes are read as latin-1, what Unicode calls white space are pieces of letters:
# 0xA0 is the second half of "à", 0x85 that of "Å".
FWS = " \t\r\n"

# RFC 5322 2.2 and 4.5: a name of printable characters, white space before the colon allowed, folded lines.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# What is still read beyond a limit: without these nobody could say what the mail is.
_VITAL = re.compile(
    rb"(?i)\n(from|to|cc|reply-to|subject|date|message-id|references|in-reply-to|auto-submitted|x-loop|list-id|return-path)"
    rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*){0,1000})"
)
_KNOWN = re.compile(rb"(?i)\n(?:from|to|cc|subject|date|message-id|mime-version|content-[a-z-]{2,25}|received)[ \t]*:")
_BLANK = re.compile(rb"\n\r?\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_WORD = re.compile(rb"=\?([^?\s]{1,60})\?([bBqQ])\?")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_ID = re.compile(rb"<([^<>]{1,998})>")
_SPACE = re.compile(rb"\s+")
_PARAM_NAME = re.compile(r"([^ \t\r\n=;*\"]+)(?:\*(\d{1,3}))?(\*)?")

# Fields that stand at most once (RFC 5322 3.6, RFC 2045): twice means that programs may read two different mails.
# References and In-Reply-To are not among them: every id in all of them counts.
SINGLE = frozenset(
    (
        *("from", "sender", "reply-to", "to", "cc", "date", "subject", "message-id"),
        *("mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id"),
    )
)


@dataclass(slots=True)
class Head:
    """A header block. `fields` are (name as written, unfolded value); `body` is the offset where the body begins."""

    fields: list[tuple[str, bytes]]
    start: int
    end: int  # end of the block, before the blank line
    body: int
    cut: str = ""  # "header-bytes" or "header-lines" when a limit was met
    separated: bool = True  # False: the body began without a blank line
    junk: int = 0  # lines inside the block that are no fields
    _index: dict[str, list[bytes]] = field(default_factory=dict)

    def all(self, name: str) -> list[bytes]:
        """Every value of the field, in order; `name` in lower case."""
        if not self._index and self.fields:
            for found, value in self.fields:
                self._index.setdefault(found.lower(), []).append(value)
        return self._index.get(name, [])

    def first(self, name: str) -> bytes | None:
        values = self.all(name)
        return values[0] if values else None


def readable(raw: bytes) -> bytes:
    """The same bytes, at the same offsets, with a line end that can be seen: a file with CR alone gets LF."""
    if b"\n" not in raw and b"\r" in raw:
        return raw.replace(b"\r", b"\n")
    return raw


def read_head(raw: bytes, start: int = 0, end: int | None = None) -> Head:
    """Read the header block that begins at `start`. Never raises; linear; stops at the limits and says so."""
    end = len(raw) if end is None else end
    pos = _skip_envelope(raw, start, end)
    begin = pos
    fields: list[tuple[str, bytes]] = []
    lines = junk = 0
    while pos < end:
        if raw.startswith((b"\n", b"\r\n"), pos):
            return Head(fields, begin, pos, min(end, pos + (1 if raw[pos] == 10 else 2)), junk=junk)
        match = _FIELD.match(raw, pos, min(end, begin + MAX_BLOCK + 1))  # a field without an end costs no more than the limit
        if match is None:
            if fields and junk < MAX_JUNK and _goes_on(raw, pos, end):
                junk += 1
                pos = _next_line(raw, pos, end)
                continue
            return Head(fields, begin, pos, pos, separated=False, junk=junk)
        after = match.end()
        lines += raw.count(b"\n", pos, after)
        if after - begin > MAX_BLOCK or lines > MAX_LINES:
            return _beyond(raw, begin, pos, end, fields, "header-lines" if lines > MAX_LINES else "header-bytes")
        value = match[2]
        if b"\n" in value:
            value = _FOLD.sub(b"", value)
        fields.append((match[1].decode("ascii"), value.strip(b" \t\r\n")))
        pos = after
    return Head(fields, begin, end, end, junk=junk)


def _skip_envelope(raw: bytes, start: int, end: int) -> int:
    """Step over a leading mbox `From ` line and over continuation lines that continue nothing."""
    pos = start
    if raw.startswith(b"\xef\xbb\xbf", pos):
        pos += 3
    if raw.startswith((b"From ", b">From "), pos) and is_envelope_line(raw[pos : _next_line(raw, pos, end)]):
        pos = _next_line(raw, pos, end)
    while pos < end and raw[pos] in b" \t" and raw[pos : pos + 200].strip():
        pos = _next_line(raw, pos, end)
    return pos


def is_envelope_line(line: bytes) -> bool:
    """True for the line with which an mbox file begins a mail. `From :` is a From field with a blank before its colon (RFC 5322 4.5)."""
    return line.startswith((b"From ", b">From ")) and not line[5:].lstrip(b" \t").startswith(b":")


def _next_line(raw: bytes, pos: int, end: int) -> int:
    found = raw.find(b"\n", pos, end)
    return end if found < 0 else found + 1


def _goes_on(raw: bytes, pos: int, end: int) -> bool:
    """True when the block goes on behind a line that is no field: an ordinary field follows before any empty line,
    or the line looks like a field with a broken name and another field is next."""
    following = _next_line(raw, pos, end)
    if raw.find(b":", pos, min(following, pos + 100)) > 0 and _FIELD.match(raw, following, min(end, following + 1000)):
        return True
    window = min(end, pos + 16_384)
    blank = _BLANK.search(raw, pos, window)
    return _KNOWN.search(raw, pos, window if blank is None else blank.start() + 1) is not None


def _beyond(raw: bytes, begin: int, pos: int, end: int, fields: list[tuple[str, bytes]], cut: str) -> Head:
    """A block over the limits: behind them only the fields that tell what the mail is are read, at most 200, each cut to 10 kB."""
    blank = _BLANK.search(raw, max(begin, pos - 1), end)
    stop = end if blank is None else blank.start() + 1
    for match in islice(_VITAL.finditer(raw, max(begin, pos - 1), stop), 200):
        fields.append((match[1].decode("ascii"), _FOLD.sub(b"", match[2][:10_000]).strip(b" \t\r\n")))
    return Head(fields, begin, stop, end if blank is None else blank.end(), cut=cut)


def fields(raw: bytes) -> list[tuple[str, bytes]]:
    """The fields of the mail's header block: (name as written, unfolded value), at most 1 000 lines or 256 kB of them."""
    return read_head(readable(raw)).fields


def odd_structure(raw: bytes, head: Head) -> list[str]:
    """What programs would read in different ways, as codes: bare line ends, NUL, singletons that stand twice."""
    block = raw[head.start : min(head.end, head.start + MAX_BLOCK)]
    found = []
    if _BARE_CR.search(block):
        found.append("bare-cr-in-header")
    if b"\r\n" in block and _BARE_LF.search(block):
        found.append("bare-lf-in-header")
    if b"\0" in block or (not head.separated and b"\0" in raw[head.end : head.end + 1000].partition(b"\n")[0]):
        found.append("nul-in-header")
    seen: dict[str, set[bytes]] = {}
    for name, value in head.fields:
        lower = name.lower()
        if lower in SINGLE:
            # The same value twice reads the same everywhere; two From fields never do.
            seen.setdefault(lower, set()).add(value if lower != "from" else value + b"%d" % len(seen.get(lower, ())))
    found.extend(f"duplicate-header:{name}" for name, values in seen.items() if len(values) > 1)
    return found


# --- text of a field -----------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """One line of text for people: NFC, no controls, no bidi overrides, trimmed."""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = _CONTROL.sub("", text.replace("\t", " ").replace("\r\n", " ").replace("\n", " ").replace("\r", " "))
    return unicodedata.normalize("NFC", text).strip()


def decode_header(value: bytes, charset: str | None = None) -> str:
    """The text of an unstructured value, or of a display name: RFC 2047 words decoded once, raw 8-bit read. Linear.

    `charset` is what raw 8-bit text is taken for when it is not UTF-8: the mail's own charset, say; else windows-1252.
    """
    value = _FOLD.sub(b"", value[:MAX_BLOCK])
    return clean(decode_words(value, charset) if b"=?" in value else _raw_text(value, charset))


def _raw_text(data: bytes, charset: str | None) -> str:
    if not charset or data.isascii():
        return decode(data)[0]
    try:
        return data.decode("utf-8")  # RFC 6532 before the mail's own charset
    except UnicodeDecodeError:
        pass
    text, step = decode(data, charset)
    # Nobody said that the field is in the charset of the body: where that does not fit, or no header can be in it, it is a guess like any other.
    return decode(data)[0] if step == "replaced" or wide(charset) else text


def decode_words(value: bytes, around: str | None = None) -> str:
    """Encoded words to text, without the final cleaning."""
    out: list[str] = []
    pending: list[bytes] = []  # bytes of adjacent words in one charset: letters are split across words in real mail
    charset = ""
    pos = 0
    for start, end, label, data in _words(value):
        between = value[pos:start]
        if pending and not between.strip(b" \t\r\n"):
            if label != charset:
                out.append(decode(b"".join(pending), charset)[0])
                pending = []
        else:
            if pending:
                out.append(decode(b"".join(pending), charset)[0])
                pending = []
            out.append(_raw_text(between, around))
        charset = label
        pending.append(data)
        pos = end
    if pending:
        out.append(decode(b"".join(pending), charset)[0])
    out.append(_raw_text(value[pos:], around))
    return "".join(out)


def _words(value: bytes) -> Iterable[tuple[int, int, str, bytes]]:
    """(start, end, charset, decoded bytes) of every encoded word. Each step moves forward, so it is linear."""
    pos = 0
    while True:
        match = _WORD.search(value, pos)
        if match is None:
            return
        close = value.find(b"?=", match.end())
        if close < 0:
            return
        inner = value.rfind(b"=?", match.end(), close)
        if inner >= 0:  # the first word was never closed
            later = _WORD.match(value, inner)
            if later is not None and later.end() <= close:
                match = later
        label = match[1].decode("latin-1").partition("*")[0].lower()  # RFC 2231 section 5
        data = value[match.end() : close]
        decoded = from_base64(data) if match[2] in b"bB" else from_q(data)
        yield match.start(), close + 2, label, decoded
        pos = close + 2


def from_q(data: bytes) -> bytes:
    """RFC 2047 4.2: `_` is a space, `=XX` an octet, everything else itself."""
    return _Q_ESCAPE.sub(lambda m: bytes.fromhex(m[1].decode("ascii")), data.replace(b"_", b" "))


def from_base64(data: bytes) -> bytes:
    """Base64 as found in mail: what is no base64 is dropped, a broken last group is mended or cut. Never raises."""
    try:
        return binascii.a2b_base64(data)
    except (binascii.Error, ValueError):
        pass
    kept = data.translate(None, _NOT_BASE64)
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


# --- parameters ----------------------------------------------------------------------------------------------------


class Params:
    """The parameters of a Content-Type or Content-Disposition, read from the raw bytes (RFC 2045 5.1, RFC 2231)."""

    __slots__ = ("_pieces", "value")

    def __init__(self, raw: bytes | None) -> None:
        self.value = ""  # what stands before the first `;`, in lower case
        self._pieces: dict[str, dict[tuple[int, bool], bytes]] = {}
        if raw:
            self._read(raw)

    def _read(self, raw: bytes) -> None:
        head, semicolon, rest = raw.decode("latin-1").partition(";")
        self.value = _without_comment(head).strip(FWS + "\"'").lower()
        if not semicolon:
            return
        for index, (name, value) in enumerate(_pairs(rest)):
            if index >= MAX_PARAMS * 5:
                return
            match = _PARAM_NAME.fullmatch(name)
            if match is None:
                continue
            base = match[1].lower()
            if base not in self._pieces and len(self._pieces) >= MAX_PARAMS:
                continue
            pieces = self._pieces.setdefault(base, {})
            number = -1 if match[2] is None else int(match[2])
            if number < MAX_PIECES:
                pieces.setdefault((number, bool(match[3])), value.encode("latin-1"))  # the first of two wins

    def __contains__(self, name: str) -> bool:
        return name in self._pieces

    def text(self, name: str) -> str | None:
        """The decoded value, None when absent. The starred form wins over the plain one (RFC 6266 4.3)."""
        pieces = self._pieces.get(name)
        if not pieces:
            return None
        if (-1, True) in pieces:
            return _extended(pieces[-1, True])
        if (0, True) in pieces or (0, False) in pieces:
            return _continued(pieces)
        plain = pieces.get((-1, False))
        return None if plain is None else decode_header(plain)

    def raw(self, name: str) -> bytes | None:
        """The value as bytes without decoding words: for boundary, charset, start."""
        pieces = self._pieces.get(name)
        if not pieces:
            return None
        if (-1, False) in pieces:
            return pieces[-1, False]
        text = self.text(name)
        return None if text is None else text.encode("utf-8", "replace")


def _without_comment(text: str) -> str:
    before, bracket, _ = text.partition("(")
    return before if bracket else text


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """name=value pairs; each step moves forward. Tolerates missing quotes, blanks in values, empty pairs."""
    pos, size = 0, len(text)
    while pos < size:
        equals = text.find("=", pos)
        if equals < 0:
            return
        semicolon = text.find(";", pos, equals)
        if semicolon >= 0:  # a word without a value
            pos = text.rfind(";", pos, equals) + 1
            continue
        name = text[pos:equals].strip(FWS)
        pos = equals + 1
        while pos < size and text[pos] in FWS:
            pos += 1
        if pos < size and text[pos] == '"':
            value, pos = _quoted(text, pos + 1)
            stop = text.find(";", pos)
            pos = size if stop < 0 else stop + 1
        else:
            stop = text.find(";", pos)
            stop = size if stop < 0 else stop
            value = text[pos:stop].strip(FWS)
            if value.endswith(")") and " (" in value:  # a comment; `a (1).pdf` is a name that nobody quoted
                value = value.partition(" (")[0].rstrip(FWS)
            pos = stop + 1
        yield name, value


_QUOTED_PIECE = re.compile(r'[^"\\]+')


def _quoted(text: str, pos: int) -> tuple[str, int]:
    """The inside of a quoted string and the offset after it. A missing closing quote ends at the next `;`."""
    begin, size = pos, len(text)
    out: list[str] = []
    while pos < size:
        char = text[pos]
        if char == '"':
            return "".join(out), pos + 1
        if char == "\\" and pos + 1 < size:
            # Only quotes and backslashes are escaped in practice; a Windows path keeps its backslashes.
            out.append(text[pos + 1] if text[pos + 1] in '"\\' else text[pos : pos + 2])
            pos += 2
            continue
        match = _QUOTED_PIECE.match(text, pos)
        if match is None:
            out.append(char)
            pos += 1
        else:
            out.append(match[0])
            pos = match.end()
    stop = text.find(";", begin)
    stop = size if stop < 0 else stop
    return text[begin:stop].strip(FWS), stop


def _extended(value: bytes) -> str:
    """charset'language'percent-encoded (RFC 2231 section 4)."""
    parts = value.split(b"'", 2)
    if len(parts) == 3:
        return clean(decode(unquote_to_bytes(parts[2]), parts[0].decode("latin-1"))[0])
    return clean(decode(unquote_to_bytes(value))[0])


def _continued(pieces: dict[tuple[int, bool], bytes]) -> str:
    """name*0, name*1* …: the bytes are joined and decoded once by the charset of piece 0; a gap ends the value."""
    charset: str | None = None
    joined: list[bytes] = []
    starred_first = (0, True) in pieces
    for number in range(MAX_PIECES):
        starred = (number, True) in pieces
        piece = pieces.get((number, True)) if starred else pieces.get((number, False))
        if piece is None:
            break
        if number == 0 and starred:
            parts = piece.split(b"'", 2)
            if len(parts) == 3:
                charset, piece = parts[0].decode("latin-1"), parts[2]
        joined.append(unquote_to_bytes(piece) if starred else piece)
    data = b"".join(joined)
    if not starred_first and b"=?" in data:
        return decode_header(data)
    return clean(decode(data, charset)[0])


# --- ids -----------------------------------------------------------------------------------------------------------


def ids(value: bytes) -> tuple[str, ...]:
    """The message ids of a value, without brackets and white space inside, in order, each once; the first 20 and the last 180."""
    found = [_SPACE.sub(b"", match) for match in _ID.findall(value)]
    if not found:
        bare = value.strip().strip(b"<>").strip()
        # Some programs forget the brackets.
        if len(bare) <= 998 and bare.count(b"@") == 1 and not _SPACE.search(bare):
            found = [bare]
    kept = dict.fromkeys(text for text in (clean(decode(one)[0]) for one in found) if text)
    return cap_ids(kept)


def cap_ids(found: Iterable[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(found))
    return unique if len(unique) <= MAX_IDS else unique[:20] + unique[-(MAX_IDS - 20) :]
