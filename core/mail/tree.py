"""The structure of a mail: parts as offsets into the raw bytes, so that an attached original is byte for byte itself.

One header reader serves every level, so the tree and the sender's identity can never disagree about where a header ends.
Everything is linear in the size, apart from a factor of the nesting depth, which is bounded.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.mail.headers import FWS, Head, Params, from_base64, read_head

MAX_BOUNDARIES = 1000  # boundary lines of a mail
MAX_DEPTH = 50
MAX_NEAR_MISSES = 10_000  # lines that only begin like a boundary line
MAX_UU_LINES = 500_000  # lines read as uuencoded; an honest mail of 20 MB has 340,000

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_BLANKS = re.compile(f"[{FWS}]+")
_LINE_END = re.compile(rb"[ \t]*(?:\r?\n|\r?\Z)")
_PIECE = 1 << 20
_SOFT_BLANKS = re.compile(rb"=[ \t]{1,100}\r?\n")  # RFC 2045 6.7 (3): blanks added on the way
_UU_BEGIN = re.compile(rb"begin [0-7]{3,4} ([^\r\n]{1,255})\r?\n")


class TooComplex(Exception):
    """A limit was met: only the headers are read. The text names the limit."""


@dataclass(slots=True)
class Budget:
    """What may still be read of one delivery, shared by the mail and the originals inside it."""

    boundaries: int = MAX_BOUNDARIES
    originals: int = 100
    near_misses: int = MAX_NEAR_MISSES
    parts_cut: int = 0  # boundary lines behind the limit


@dataclass(slots=True)
class Part:
    """A node. The body is raw[start:end], still transfer-encoded."""

    head: Head
    content_type: str
    params: Params
    start: int
    end: int
    children: list[Part] = field(default_factory=list)
    number: int = -1  # leaves are counted in document order
    broken: bool = False  # a multipart whose boundary never appears

    @property
    def disposition(self) -> Params:
        return Params(self.head.first("content-disposition"))

    @property
    def encoding(self) -> str:
        value = self.head.first("content-transfer-encoding") or b""
        return value.partition(b";")[0].partition(b"(")[0].strip(b" \t\r\n\"'").decode("latin-1").lower()

    def leaf(self) -> bool:
        return not self.children


def read_tree(raw: bytes, budget: Budget, head: Head, end: int) -> Part:
    """The tree of the mail whose header block is `head`, up to the offset `end`. Raises TooComplex when a limit is met."""
    root = _part(head, end, "text/plain")
    stack = [(root, 1)]
    while stack:
        part, depth = stack.pop()
        if not part.content_type.startswith("multipart/"):
            continue
        boundary = part.params.raw("boundary")
        spans = _spans(raw, part, boundary, budget) if boundary else None
        if boundary and not spans:
            spans = _spans(raw, part, boundary, budget, loose=True)
        if not spans:
            part.broken = spans is None
            continue
        if depth >= MAX_DEPTH:
            raise TooComplex("depth")
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"  # RFC 2046 5.1.5
        for start, end in spans:
            child_head = read_head(raw, start, end)
            if child_head.cut:
                raise TooComplex(child_head.cut)
            child = _part(child_head, end, default)
            part.children.append(child)
            stack.append((child, depth + 1))
    for number, leaf in enumerate(leaves(root)):
        leaf.number = number
    return root


def _part(head: Head, end: int, default: str) -> Part:
    value = head.first("content-type")
    params = Params(value)
    content_type = params.value if value is not None else default
    if not _TYPE.fullmatch(content_type):
        content_type = _mended_type(content_type)
    return Part(head, content_type, params, min(head.body, end), end)


def _mended_type(written: str) -> str:
    """RFC 2045 5.2: what cannot be read is text/plain; a lone main type gets its usual subtype."""
    compact = _BLANKS.sub("", written)
    if _TYPE.fullmatch(compact):
        return compact
    first = written.split("/", 1)[0].strip(FWS)
    if first == "multipart":
        return "multipart/mixed"
    if compact in ("html", "text/html,"):
        return "text/html"
    if "/" in written and first in ("application", "image", "audio", "video", "message"):
        return "application/octet-stream"
    return "text/plain"


def _spans(raw: bytes, part: Part, boundary: bytes, budget: Budget, loose: bool = False) -> list[tuple[int, int]] | None:
    """Offsets of the bodies between the boundary lines (RFC 2046 5.1.1); None when there is no such line.

    An unclosed last body ends with its parent. `loose` lets other text follow on a boundary line: the RFC allows it, but it is never needed while exact lines are found.
    """
    mark = b"--" + boundary.rstrip(b" \t")
    spans: list[tuple[int, int]] = []
    seen = False
    begin = -1
    pos = part.start
    while True:
        found = raw.find(mark, pos, part.end)
        if found < 0:
            break
        after = found + len(mark)
        pos = after
        if found > part.start and raw[found - 1] != 10:
            budget.near_misses -= 1
            if budget.near_misses < 0:
                raise TooComplex("boundary-lines")
            continue
        closing = raw.startswith(b"--", after)
        line = _LINE_END.match(raw, after + (2 if closing else 0), part.end)
        if line is None:
            budget.near_misses -= 1
            if budget.near_misses < 0:
                raise TooComplex("boundary-lines")
            if not closing and not loose:
                continue
        seen = True
        if begin >= 0:
            spans.append((begin, max(begin, _before_line_end(raw, found))))
        begin = -1
        if budget.boundaries <= 0:
            budget.parts_cut += raw.count(mark, found, part.end)
            break
        budget.boundaries -= 1
        if closing:
            # A closed multipart that goes on: a second opening line after it is read too, as many programs do not stop.
            pos = line.end() if line is not None else after + 2
            continue
        begin = line.end() if line is not None else _next_line(raw, after, part.end)
        pos = begin
    if 0 <= begin < part.end:
        spans.append((begin, part.end))
    return spans if seen else None


def _next_line(raw: bytes, pos: int, end: int) -> int:
    found = raw.find(b"\n", pos, end)
    return end if found < 0 else found + 1


def _before_line_end(raw: bytes, pos: int) -> int:
    """The line end before a boundary belongs to the boundary."""
    if pos > 0 and raw[pos - 1] == 10:
        pos -= 1
        if pos > 0 and raw[pos - 1] == 13:
            pos -= 1
    return pos


def leaves(root: Part) -> Iterator[Part]:
    """The leaves in document order."""
    stack = [root]
    while stack:
        part = stack.pop()
        if part.leaf():
            yield part
        else:
            stack.extend(reversed(part.children))


# --- transfer encodings --------------------------------------------------------------------------------------------

IDENTITY = frozenset(("", "7bit", "8bit", "binary"))


def decoded(raw: bytes, part: Part) -> tuple[bytes, bool]:
    """The bytes of a leaf without transfer encoding, and whether the encoding was known. Never raises."""
    body = raw[part.start : part.end]
    encoding = part.encoding
    if encoding in IDENTITY:
        return body, True
    if encoding == "base64":
        data = from_base64(body)
        # What is no base64 at all is kept as it stands.
        return (data, True) if data or not body.strip() else (body, False)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(_without_soft_blanks(body)), True
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        found = next(iter(uu_blocks(body)), None)
        return (body if found is None else found.data), True
    return body, False


def _without_soft_blanks(body: bytes) -> bytes:
    """Soft line breaks without the blanks behind their `=`. Piece by piece: a substitution over all holds every line of it in memory."""
    pieces: list[bytes] = []
    pos = 0
    while pos < len(body):
        stop = body.find(b"\n", pos + _PIECE) + 1 or len(body)
        pieces.append(_SOFT_BLANKS.sub(b"=\n", body[pos:stop]))
        pos = stop
    return b"".join(pieces)


@dataclass(slots=True)
class UuBlock:
    start: int
    end: int
    name: bytes
    data: bytes


def uu_blocks(body: bytes) -> Iterator[UuBlock]:
    """Strictly uuencoded blocks: a begin line, only valid lines, an end line. Anything else stays text. Linear."""
    if b"begin " not in body:
        return
    pos = 0
    lines = MAX_UU_LINES
    for _ in range(500):
        start = body.find(b"begin ", pos)
        if start < 0:
            return
        match = _UU_BEGIN.match(body, start) if start == 0 or body[start - 1] == 10 else None
        if match is None:
            pos = start + 6
            continue
        data, end, read = _uu_lines(body, match.end(), lines)
        lines -= read
        if lines <= 0:
            return
        if data is None:
            pos = end
            continue
        yield UuBlock(start, end, match[1].strip(), data)
        pos = end


def _uu_lines(body: bytes, pos: int, most: int) -> tuple[bytes | None, int, int]:
    """The data up to the end line (None when a line is none, or after `most` lines), the offset behind it, and the number of lines read."""
    out: list[bytes] = []
    size = len(body)
    for number in range(1, most + 1):
        if pos >= size:
            return None, size, number
        newline = body.find(b"\n", pos)
        stop = size if newline < 0 else newline
        line = body[pos:stop].rstrip(b"\r")
        after = min(size, stop + 1)
        if line == b"end":
            return b"".join(out), after, number
        chunk = _uu_line(line)
        if chunk is None:
            return None, max(after, pos + 1), number
        out.append(chunk)
        pos = after
    return None, pos, most


def _uu_line(line: bytes) -> bytes | None:
    """One line; None when it is none. a2b_uu alone fills a short line with NUL in silence."""
    if not line or line == b"`":
        return b""
    count = (line[0] - 32) & 63
    if line[0] < 32 or line[0] > 96 or any(byte < 32 or byte > 96 for byte in line):
        return None
    needed = (count + 2) // 3 * 4
    body = line[1:]
    if len(body) < needed - 3 or len(body) > needed + 2:
        return None
    try:
        return binascii.a2b_uu(line[: needed + 1].ljust(needed + 1))
    except binascii.Error:
        return None
