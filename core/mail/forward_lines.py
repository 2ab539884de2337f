"""Mail text as lines with their quote depth, from plain text or from HTML: what the block reader walks over.

HTML is read by a flat walk over its tags, not by a tree: a tree builder needs quadratic time for deeply nested tags (0.9 s for
100 kB of `<div>`), and lines need no tree. The result is only looked at as text; it is never shown as HTML.
"""

from __future__ import annotations

import html as entities
import re
from dataclasses import dataclass
from urllib.parse import unquote

MAX_LINES = 4000  # the block is near the top; what lies below is kept as body, unread
MAX_TEXT = 1_000_000  # characters of a body that are looked at
MAX_DEPTH = 20

_LINE_END = re.compile(r"\r\n|\r|\n")
# RFC 3676 4.5: quote marks stand at the start; spaces between them are what real clients write.
_QUOTE = re.compile("(?:[ \t\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]{0,8}>)+ ?")
_RULE = "_" * 32


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of one body: `text[i]` without its quote marks, `depth[i]` how many there were, `raw[i]` as written.

    `rest` is what lies below the lines that are looked at.
    """

    text: list[str]
    depth: list[int]
    raw: list[str]
    rest: str = ""
    flowed: bool = False
    delsp: bool = False

    def __len__(self) -> int:
        return len(self.text)

    def closed(self, index: int) -> bool:
        """True when the end of this line was put in without a space (RFC 3676 4.1, DelSp: the space before it is no text)."""
        return self.delsp and self.raw[index].endswith(" ") and not self.raw[index].endswith("  ")


def from_text(text: str, *, flowed: bool = False, delsp: bool = False) -> Lines:
    """The lines of a plain text body. CRLF, LF and CR all end a line."""
    return _lines(text[:MAX_TEXT], flowed=flowed, delsp=delsp, beyond=text[MAX_TEXT:])


def from_html(html: str) -> Lines:
    """The lines that an HTML body shows; `<blockquote>` becomes quote depth, a `mailto:` link shows its address."""
    return _lines(html_text(html), flowed=False, delsp=False, beyond="")


def _lines(text: str, *, flowed: bool, delsp: bool, beyond: str) -> Lines:
    raw = _LINE_END.split(text, MAX_LINES)
    rest = (raw.pop() if len(raw) > MAX_LINES else "") + beyond
    stripped: list[str] = []
    depths: list[int] = []
    for line in raw:
        if ">" in line[:9]:
            mark = _QUOTE.match(line)
            if mark is not None:
                depths.append(mark.group().count(">"))
                stripped.append(line[mark.end() :])
                continue
        depths.append(0)
        stripped.append(line)
    return Lines(stripped, depths, raw, rest, flowed, delsp)


_BLOCKS = frozenset(
    ["address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "html", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul"]
)
_HIDDEN = frozenset(("script", "style", "title", "template", "noscript", "svg", "math"))
_SPACE = re.compile(r"[ \t\r\n\f]+")
_NAME = re.compile(r"/?[A-Za-z][A-Za-z0-9:]{0,30}")
_HREF = re.compile(r"""href\s{0,5}=\s{0,5}(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""", re.IGNORECASE)


class _Writer:
    """Collects the lines that the tags and texts of a page amount to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.parts: list[str] = []
        self.depth = 0
        self.pre = False
        self.link: str | None = None
        self.link_from = 0
        self.spaced = False  # the open paragraph wants a blank line below it

    def text(self, piece: str) -> None:
        piece = entities.unescape(piece)
        if self.pre:
            first, *others = _LINE_END.split(piece)
            self.parts.append(first)
            for other in others:
                self.end_line(always=True)
                self.parts.append(other)
            return
        piece = _SPACE.sub(" ", piece)
        if piece == " " and not self.parts:
            return
        self.parts.append(piece)

    def end_line(self, *, always: bool) -> None:
        line = "".join(self.parts)
        self.parts.clear()
        self.link_from = 0
        if not line.strip(" \t\n") and not always:
            return
        self.lines.append("> " * min(self.depth, MAX_DEPTH) + (line if self.pre else line.strip(" ")))

    def blank(self) -> None:
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append("> " * min(self.depth, MAX_DEPTH))

    def close_link(self) -> None:
        """Show the address of a `mailto:` link whose text does not (Windows Live Mail writes it nowhere else)."""
        if self.link is not None:
            shown = "".join(self.parts[self.link_from :])
            if "@" not in shown:
                self.parts.append(f" <{self.link}>")
            elif self.link.lower() not in shown.lower():
                self.parts.append(f"<mailto:{self.link}>")
        self.link = None


def html_text(html: str) -> str:
    """The text of an HTML body, one line a line as shown, with `> ` for each level of `<blockquote>`. Linear time."""
    html = html[:MAX_TEXT]
    writer = _Writer()
    hidden = ""
    position = 0
    length = len(html)
    while position < length and len(writer.lines) <= MAX_LINES:
        start = html.find("<", position)
        if start < 0:
            start = length
        if start > position and not hidden:
            writer.text(html[position:start])
        if start == length:
            break
        if html.startswith("<!--", start):
            end = html.find("-->", start + 4)
            position = length if end < 0 else end + 3
            continue
        end = _tag_end(html, start)
        if end < 0:
            if not hidden:
                writer.text(html[start:])  # no ">" left: what looks like a tag is text
            break
        name_match = _NAME.match(html, start + 1)
        if name_match is None:
            if not hidden and html[start + 1 : start + 2] not in "!?/":
                writer.text("<")
                position = start + 1
            else:
                position = end + 1
            continue
        position = end + 1
        name = name_match.group().lower()
        if hidden:
            if name == "/" + hidden:
                hidden = ""
        elif name in _HIDDEN:
            hidden = "" if html[end - 1] == "/" else name
        else:
            _tag(writer, name, html[name_match.end() : end])
    writer.end_line(always=False)
    return "\n".join(writer.lines)


def _tag_end(html: str, start: int) -> int:
    """Where the tag ends: its ">", passing over one inside a quoted attribute; -1 when there is none."""
    end = html.find(">", start)
    for _ in range(3):
        if end < 0 or end - start > 4000 or not html.count('"', start, end) % 2:
            return end
        further = html.find(">", end + 1, start + 4000)
        if further < 0:
            return end
        end = further
    return end


def _tag(writer: _Writer, name: str, attributes: str) -> None:
    if name == "br":
        writer.end_line(always=True)
    elif name in ("td", "th", "/td", "/th"):
        if name.startswith("/") and writer.parts:
            writer.parts.append("\t")
    elif name == "a":
        writer.close_link()
        found = _HREF.search(attributes[:4000])
        target = entities.unescape(next((group for group in found.groups() if group), "")) if found else ""
        if target[:7].lower() == "mailto:" and len(target) < 400:
            writer.link = unquote(target[7:].partition("?")[0]).strip()
            writer.link_from = len(writer.parts)
    elif name == "/a":
        writer.close_link()
    elif name == "hr":
        writer.end_line(always=False)
        writer.lines.append(_RULE)
    elif name.removeprefix("/") in _BLOCKS:
        writer.close_link()
        writer.end_line(always=False)
        if name == "/p" and writer.spaced:
            writer.blank()
        elif name == "p":
            writer.spaced = "mso" not in attributes[:500].lower()
        elif name == "blockquote":
            writer.depth += 1
        elif name == "/blockquote":
            writer.depth = max(0, writer.depth - 1)
        elif name in ("pre", "/pre"):
            writer.pre = name == "pre"
