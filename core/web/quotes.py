"""What a mail quotes of earlier ones, folded in its safe HTML as it is in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup

# The sanitiser writes balanced tags, attributes in double quotes, and no bare < in text.
_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)(?:"[^"]*"|[^"<>])*>', re.IGNORECASE)


def folded(html: str, word: str) -> str:
    """Each outermost block quote behind a fold that opens at `word`. A mail that is nothing but a quote stays as it is."""
    quotes = list(_outermost(html))
    if not quotes:
        return html
    written, parts, at = "", [], 0
    for start, end in quotes:
        written += html[at:start]
        parts += [html[at:start], "<details><summary>", str(Markup.escape(word)), "</summary>", html[start:end], "</details>"]
        at = end
    written += html[at:]
    bare = _TAG.sub("", written).replace("&nbsp;", " ").strip()
    return "".join([*parts, html[at:]]) if bare or "<img" in written else html


_BREAK = re.compile(r"<(?:p|div|tr|li|br|h[1-6]|hr|pre|ul|ol|table)\b", re.IGNORECASE)
_WIDTH = 80  # characters of a line in the frame


def room(html: str) -> str:
    """How high the frame of this mail had better be, as a class of the style sheet: it cannot tell its height by itself.

    An estimate: what is taller scrolls, and can be shown whole.
    """
    written, at = "", 0
    for start, end in _outermost(html):
        written, at = written + html[at:start], end
    written += html[at:]
    if "<img" in written or "<table" in written:
        return ""
    lines = sum(1 + len(_TAG.sub("", piece)) // _WIDTH for piece in _BREAK.split(written)) + html.count("<blockquote")
    return "low" if lines <= 9 else "half" if lines <= 14 else ""


def _outermost(html: str) -> Iterator[tuple[int, int]]:
    depth = start = 0
    for tag in _TAG.finditer(html):
        if tag[2].lower() != "blockquote":
            continue
        if not tag[1]:
            start = start if depth else tag.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield start, tag.end()
