"""Replies for the page: what is new, what it quotes, and the signature, told apart so that the page can fold the last two.

Nothing is ever deleted: the three parts together hold every line that is not blank. Quoted text is known by its marks, by the attribution
above it (`attribution`), by a separator or by a header block (`forward_block`), all from the one label table. Linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.mail.attribution import Attribution, attribution_at
from core.mail.forward_block import blocks, separator_of
from core.mail.forward_lines import Lines, from_text
from core.mail.labels import is_device_signature, visible

MAX_SIGNATURE_LINES = 15
MAX_TRIED = 200  # lines that are held against the attributions, in one text
_DELIMITER = re.compile(r"\s{0,3}(?:--|—|–|__|_{3,}|\*{2,3}|- -|-{3,9}|~{2,}|={3,})\s*")
# RFC 3676 4.3: two dashes and a space; the space is often lost on the way.
_PROPER_DELIMITER = re.compile(r"(?:--|—) ?\r?")
_GLUED_DELIMITER = re.compile(r"\s?(?:--|—|–) ?[^\W\d_][^\n]{0,60}|[-/][^\W\d_]\w{1,30}(?: [^\W\d_]\w{0,30}){0,2}")


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The parts of a reply, each without blank lines around it; "" when there is none."""

    reply: str
    quoted: str = ""
    signature: str = ""


def trim(text: str) -> Trimmed:
    """Tell the new text of a reply from what it quotes and from the signature. Answers between quoted lines stay where they are."""
    lines = from_text(text.replace("\ufeff", ""))
    marks = _Marks(lines)
    start, end, leading = marks.reply_span()
    reply = "\n".join(lines.raw[start:end])
    tail = lines.raw[end:]
    quoted = _joined([*lines.raw[leading:start], *tail]) + (f"\n{lines.rest}" if lines.rest else "")
    below = ""
    if marks.footer is not None and marks.footer >= end:
        below = "\n".join(lines.raw[marks.footer :])
        quoted = _joined([*lines.raw[leading:start], *lines.raw[end : marks.footer]])
    body, signature = split_signature(reply)
    if not body.strip() and not signature.strip():
        return Trimmed(_strip(text))  # nothing new: better all of it than nothing
    return Trimmed(_strip(body), _strip(quoted), _strip("\n".join(filter(None, (signature, below)))))


def split_quote(text: str) -> tuple[str, str]:
    """(text above, the older mail below it) where everything from one line on is older mail; (text, "") where nothing is.

    Unlike `trim` it never cuts between answers: used to part a forwarded body from the mail that it answers.
    """
    lines = from_text(text)
    cut = _Marks(lines).cut()
    if cut is None:
        return text, ""
    return "\n".join(lines.raw[:cut]), "\n".join([*lines.raw[cut:], *([lines.rest] if lines.rest else [])])


def split_signature(text: str) -> tuple[str, str]:
    """(text, signature): the signature begins at its delimiter or at a line that a telephone adds, near the end."""
    lines = text.rstrip().split("\n")
    first = max(0, len(lines) - MAX_SIGNATURE_LINES)
    for index in range(len(lines) - 1, first - 1, -1):
        line = lines[index]
        if _PROPER_DELIMITER.fullmatch(line) and len(lines) > 1 and index < len(lines) - 1:
            return "\n".join(lines[:index]).rstrip(), "\n".join(lines[index:])
    for index in range(len(lines) - 1, first - 1, -1):
        line = lines[index]
        if not line.strip():
            continue
        alone = index == 0 or not lines[index - 1].strip() or _DELIMITER.fullmatch(lines[index - 1]) is not None
        if is_device_signature(line) and len(line) < 100 and (alone or index >= len(lines) - 2):
            above = index
            while above and (not lines[above - 1].strip() or (is_device_signature(lines[above - 1]) and len(lines[above - 1]) < 100)):
                above -= 1
            if above and _DELIMITER.fullmatch(lines[above - 1]):
                above -= 1
            return "\n".join(lines[:above]).rstrip(), "\n".join(lines[above:])
        if _DELIMITER.fullmatch(line) and 0 < len(lines) - 1 - index <= 10 and all(len(other) < 100 for other in lines[index + 1 :]):
            return "\n".join(lines[:index]).rstrip(), "\n".join(lines[index:])
        if _GLUED_DELIMITER.fullmatch(line) and index and len(lines) - index <= 4 and (alone or line.startswith("--")):
            return "\n".join(lines[:index]).rstrip(), "\n".join(lines[index:])
    return text, ""


def _joined(parts: list[str]) -> str:
    return "\n".join(parts)


def _strip(text: str) -> str:
    return text.strip(" \t\r\n\xa0\u200b")


class _Marks:
    """What each line of a text is."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.size = len(lines)
        self.blank = [not visible(raw).strip(" \t>") for raw in lines.raw]
        self.quoted = [depth > 0 for depth in lines.depth]
        for index in range(1, self.size - 1):
            # a quoted line that was wrapped on the way, its mark lost
            if not self.quoted[index] and not self.blank[index] and self.quoted[index - 1] and self.quoted[index + 1] and len(lines.raw[index]) < 30:
                self.quoted[index] = True
        self.footer = self._footer()
        self.tops = {block.top: block.end for block in blocks(lines) if block.depth == 0 or block.top == 0}
        self.attributions: dict[int, int] = {}
        self._attribute()

    def _footer(self) -> int | None:
        """Where a signature below all quoted text begins."""
        for index in range(self.size - 1, max(-1, self.size - 1 - MAX_SIGNATURE_LINES), -1):
            if self.quoted[index]:
                return None
            if _PROPER_DELIMITER.fullmatch(self.lines.raw[index]) or re.fullmatch(r"_{2,}", self.lines.raw[index].strip()):
                above = next((i for i in range(index - 1, -1, -1) if not self.blank[i]), None)
                return index if above is not None and self.quoted[above] else None
        return None

    def _attribute(self) -> None:
        tried = 0
        texts = self.lines.text
        index = 0
        while index < self.size and tried < MAX_TRIED:
            text = texts[index]
            if self.lines.depth[index] <= 1 and 8 <= len(text) <= 500 and not self.blank[index]:
                window = texts[index : index + 5]
                if any("@" in line or ":" in line[-3:] for line in window) and ("<" in text or any(char.isdigit() for char in text)):
                    tried += 1
                    found = attribution_at(window, 0) or self._bare_attribution(index)
                    if found is not None and self.lines.depth[index] <= 1:
                        self.attributions[index] = found[1]
                        index += found[1]
                        continue
            index += 1

    def _bare_attribution(self, index: int) -> tuple[Attribution, int] | None:
        """A date, a name and an address alone on a line ("2013/7/20 Ana <ana@x.example>"): an attribution only right above quoted lines."""
        text = self.lines.text[index].rstrip()
        if not text[:1].isdigit() or not text.endswith(">"):
            return None
        below = next((i for i in range(index + 1, min(index + 3, self.size)) if not self.blank[i]), None)
        if below is None or not (self.quoted[below] or self.lines.raw[below].startswith("|")):
            return None
        return attribution_at([f"{text}:"], 0)

    def last_own(self, end: int) -> int:
        """The last line above `end` that is neither blank nor quoted, -1 when there is none."""
        return next((i for i in range(end - 1, -1, -1) if not self.blank[i] and not self.quoted[i]), -1)

    def cut(self) -> int | None:
        """The line from which on everything is older mail."""
        end = self.footer if self.footer is not None else self.size
        last = self.last_own(end)
        for index in range(self.size):
            if self.blank[index]:
                continue
            if index in self.tops or self._separates(index):
                return index
            taken = self.attributions.get(index)
            if taken is not None and not self.quoted[index]:
                below = next((i for i in range(index + taken, end) if not self.blank[i]), None)
                if below is None or not self.quoted[below]:
                    if self._own_above(index) or below is None:
                        return index
                elif last < index + taken:
                    return index
            elif self.quoted[index] and index > last:
                return index
        return None

    def _separates(self, index: int) -> bool:
        separator = separator_of(self.lines.text[index], index) if not self.quoted[index] else None
        return separator is not None and separator.kind in ("forward", "original")

    def _own_above(self, index: int) -> bool:
        return any(not self.blank[i] for i in range(index))

    def reply_span(self) -> tuple[int, int, int]:
        """(first line, line behind the last one, first line of what is quoted above) of the new text."""
        cut = self.cut()
        end = cut if cut is not None else (self.footer if self.footer is not None else self.size)
        if cut is not None and self._own_above(cut):
            start = self._leading(end)
            return (start, end, 0) if start < end and self.last_own(end) >= start else (0, end, 0)
        if cut is not None:
            return cut, cut, cut  # nothing but older mail
        start = self._leading(end)
        return (start, end, 0) if self.last_own(end) >= start else (0, end, 0)

    def _leading(self, end: int) -> int:
        """Behind the older mail that stands above the new text (answers below)."""
        index = 0
        while index < end and self.blank[index]:
            index += 1
        taken = self.attributions.get(index)
        if taken is None:
            return 0  # a quote without attribution is what the answer below it answers
        index += taken
        quoted_to = index
        while index < end and (self.blank[index] or self.quoted[index]):
            index += 1
            quoted_to = index
        # Quotes between the answers: then nothing is folded, the answers need them.
        if any(self.quoted[i] for i in range(quoted_to, end)):
            return 0
        return quoted_to
