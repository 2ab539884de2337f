"""The line above quoted text: "On Monday, Ana <a@x.example> wrote:", in every language of the label table.

Each template of the table is a chain of fixed words and gaps. A line is held against the words by plain searching from left to right,
so the time is linear; only lines that can be one at all (an address or a number in it, a colon or the template's own end) are looked at.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from core.mail.forward_people import clean_name, read_people
from core.mail.labels import fold, table, visible
from core.types import Mailbox

MAX_LINE = 500
MAX_JOINED = 4  # lines that one attribution may be wrapped over
_GAP = re.compile(r"\{(\w+)\}")
_SPACES = re.compile(r"\s+")
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"]@[^\s<>()\[\],;:\"]")


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who wrote the quoted text and when, as far as the line says."""

    language: str
    date: str
    name: str
    sender: Mailbox | None


@dataclass(frozen=True, slots=True)
class _Template:
    language: str
    first: str  # the fixed words before the first gap, folded
    last: str  # those behind the last one
    pieces: tuple[str, ...]  # those between the gaps
    gaps: tuple[str, ...]


@functools.cache
def _templates() -> tuple[_Template, ...]:
    found: dict[tuple[str, tuple[str, ...]], _Template] = {}
    for written, language in table().attributions:
        parts = _GAP.split(_plain(written).rstrip(" :：.՝`፦៖"))
        literals = [part.casefold() for part in parts[0::2]]
        gaps = tuple("person" if gap in ("name", "address") else gap for gap in parts[1::2])
        template = _Template(language, literals[0].lstrip(), literals[-1].rstrip(), tuple(literals[1:-1]), gaps)
        if len("".join(literals).strip(" ,:.")) > 1:
            found.setdefault((language, tuple(literals)), template)
    return tuple(sorted(found.values(), key=lambda t: -sum(map(len, (t.first, t.last, *t.pieces)))))


@functools.cache
def _beginnings() -> tuple[str, ...]:
    return tuple(sorted({t.first for t in _templates() if len(t.first.strip()) > 1}))


@functools.cache
def _endings() -> tuple[str, ...]:
    return tuple(sorted({t.last for t in _templates() if t.last.strip()}))


def _plain(text: str) -> str:
    return _SPACES.sub(" ", visible(text)).strip()


def read_attribution(text: str) -> Attribution | None:
    """What an attribution says, or None when the text is none. `text` is one line, or a wrapped one joined by spaces."""
    if len(text) > MAX_LINE or not (_ADDRESS.search(text) or any(char.isdigit() for char in text)):
        return None
    plain = _plain(text).strip("*_- ")
    colon = plain.endswith((":", "：", "፦", "`", "៖"))
    core = plain.rstrip(" :：.՝`፦៖")
    folded = core.casefold()
    if len(folded) != len(core):
        folded = core.lower() if len(core.lower()) == len(core) else core
    if not colon and not folded.endswith(_endings()):
        return None
    if colon and core[:1].isdigit() and core.endswith(">"):  # "2024-06-03 9:00 GMT+02:00 Ana <a@x.example>:" needs no words
        date, person = _resplit(core)
        read = read_people(person)
        if len(read.mailboxes) == 1:
            return Attribution("", date, read.mailboxes[0].name or "", read.mailboxes[0])
    for template in _templates():
        if not colon and not template.last:
            continue
        if folded.startswith(template.first) and folded.endswith(template.last) and len(folded) > len(template.first) + len(template.last):
            gaps = _gaps(template, folded, core)
            if gaps is not None:
                found = _said(template, gaps)
                if found is not None:
                    return found
    return None


def _gaps(template: _Template, folded: str, core: str) -> list[str] | None:
    position, end = len(template.first), len(core) - len(template.last)
    gaps = []
    for piece in template.pieces:
        if not piece.strip():
            at = folded.find(piece or " ", position + 1, end)
        else:
            at = folded.find(piece, position, end)
        if at < 0:
            return None
        gaps.append(core[position:at])
        position = at + len(piece)
    gaps.append(core[position:end])
    return gaps


def _said(template: _Template, gaps: list[str]) -> Attribution | None:
    dates = [gap for kind, gap in zip(template.gaps, gaps, strict=True) if kind in ("date", "time")]
    people = [gap for kind, gap in zip(template.gaps, gaps, strict=True) if kind == "person"]
    date, person = " ".join(dates).strip(" ,"), " ".join(people).strip(" ,")
    joined = " ".join(gaps)
    if not dates:  # "Ana <a@x.example> wrote:" says no date: then an address must stand there
        read = read_people(person)
        fits = len(read.mailboxes) == 1 and not read.names and person.rstrip().endswith((">", read.mailboxes[0].address))
        return Attribution(template.language, "", read.mailboxes[0].name or "", read.mailboxes[0]) if fits else None
    if not any(char.isdigit() for char in date) and any(char.isdigit() for char in person) and "@" not in person and ", " in person:
        more, _, person = person.rpartition(", ")  # "El jueves, 21 de noviembre de 2013, Ana": the name is what stands last
        return Attribution(template.language, f"{date}, {more}", clean_name(person), None)
    if not any(char.isdigit() for char in date) and not (_ADDRESS.search(joined) and any(char.isdigit() for char in joined)):
        return None
    if not person or not any(char.isalnum() for char in person):
        return None
    if not _ADDRESS.search(person) and _ADDRESS.search(date):
        date, person = _resplit(f"{date} {person}")
    elif not any(char.isdigit() for char in date):
        date, person = _resplit(joined)
    else:
        date, person = _tidy(date, person)
    read = read_people(person)
    sender = read.mailboxes[0] if len(read.mailboxes) == 1 and not read.bad and not read.conflict else None
    name = sender.name if sender else (clean_name(person) if "@" not in person else "")
    return Attribution(template.language, date.strip(" ,"), name or "", sender)


def _tidy(date: str, person: str) -> tuple[str, str]:
    """Move what belongs to the date out of the name: a template with a plain space between the two cuts at the first one."""
    address = _ADDRESS.search(person)
    head = person[: address.start()] if address else person
    at = max((i for i, char in enumerate(head) if char.isdigit()), default=-1)
    if at < 0 or head.count("<") or head.count("("):
        opening = min((head.find(c) for c in "<(" if c in head), default=-1)
        at = max((i for i, char in enumerate(head[:opening] if opening >= 0 else head) if char.isdigit()), default=-1)
    if at < 0:
        return date, person
    cut = at + 1
    rest = person[cut:]
    # "9:31 AM GMT+1, Ana <…>": the zone and the half of the day go with the numbers, up to the comma that ends them
    comma = rest.find(",")
    opening = rest.find("<")
    if 0 <= comma < 14 and (opening < 0 or comma < opening):
        cut += comma + 1
    moved = f"{date} {person[:cut]}" if date not in person[:cut] else person[:cut]
    return moved.strip(" ,"), person[cut:].strip(" ,")


def _resplit(text: str) -> tuple[str, str]:
    """Date and person of a text that holds both, when the template's order did not fit: the date ends with its last number."""
    address = _ADDRESS.search(text)
    if address is None:
        return text, ""
    opening = max(text.rfind("<", 0, address.start() + 1), text.rfind("(", 0, address.start() + 1))
    head = text[:opening] if opening > 0 else text[: address.start()]
    last = max((i for i, char in enumerate(head) if char.isdigit()), default=-1)
    if last < 0:
        return "", text
    return text[: last + 1].strip(" ,"), text[last + 1 :].strip(" ,")


def starts_attribution(line: str) -> bool:
    """True when a line may be the beginning of an attribution that is wrapped over several lines."""
    folded = fold(line[:40])
    return bool(folded) and (f"{folded} ".startswith(_beginnings()) or folded[:1].isdigit() or ("<" in line and _ADDRESS.search(line) is not None))


def attribution_at(texts: list[str], index: int) -> tuple[Attribution, int] | None:
    """(what the attribution says, how many lines it takes) when one begins at `index`."""
    line = texts[index]
    if not line or len(line) > MAX_LINE:
        return None
    found = read_attribution(line)
    if found is not None:
        return found, 1
    if ":" in line.rstrip()[-1:] or not starts_attribution(line):
        return None
    joined = line.rstrip()
    for taken in range(2, MAX_JOINED + 1):
        if index + taken > len(texts) or not texts[index + taken - 1].strip():
            return None
        further = texts[index + taken - 1].strip()
        joined += ("" if joined.endswith("<") else " ") + further
        found = read_attribution(joined)
        if found is not None:
            return found, taken
    return None
