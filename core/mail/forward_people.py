"""Names and addresses as clients write them into a block: `Name <x>`, `Name [mailto:x]`, `x<mailto:x>`, `"Last, First" <x>`, `a; b`.

This is display text, not a header field: commas stand in names without quotes, links stand behind addresses, names stand alone. What
comes out is checked and written by the address reader of the house; an address that it refuses is a bad one, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.mail.addresses import normalise
from core.mail.labels import INVISIBLE, table, visible
from core.types import Mailbox

MAX_PEOPLE = 500
MAX_VALUE = 20_000
MAX_NAME_PARTS = 40
_TOKEN = re.compile(r'"(?:[^"\\]|\\.){0,200}"|<[^<>]{0,400}<[^<>]{0,400}>\s?>?|<[^<>]{0,400}>|[,;，；、]|[^"<,;，；、]+|.', re.DOTALL)
_MAILTO = re.compile(r"\[\s?mailto:([^\[\]\s]{1,400})\]", re.IGNORECASE)
_BARE = re.compile(r"[^\s<>()\[\],;:\"'“”«»]{1,64}@[^\s<>()\[\],;:\"“”«»]{1,255}")
_QUOTES = ("''", '""', "“”", "„“", "„”", "«»", "‹›", "‘’", "‚‘", "()")
# Overrides and embeddings turn the text around: in an address they are an attack, at its edges an artefact of right-to-left text.
_TURNING = str.maketrans("", "", "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x61C))))


@dataclass(frozen=True, slots=True)
class People:
    """What a value names. `names` stood without an address; `bad` is True when something in the place of an address is none."""

    mailboxes: tuple[Mailbox, ...] = ()
    names: tuple[str, ...] = ()
    bad: bool = False
    conflict: bool = False  # a link behind an address leads to another address


def read_people(value: str) -> People:
    """Everybody that a From, To or Cc value names, in order, each address once."""
    value = _MAILTO.sub(r"<\1>", value[:MAX_VALUE]).replace("\xa0", " ").replace("\u202f", " ")
    reader = _Reader()
    for match in _TOKEN.finditer(value):
        token = match.group()
        if token[0] == "<" and len(token) > 1:
            reader.angle(token)
        elif token in (",", ";", "，", "；", "、"):
            reader.comma(";" if token in ";；" else ",")
        elif token[0] == '"' and len(token) > 1:
            reader.name.append(re.sub(r"\\(.)", r"\1", token[1:-1]))
        else:
            reader.name.append(token)
        if len(reader.found) >= MAX_PEOPLE:
            break
    reader.comma(";")
    return People(tuple(reader.found), tuple(reader.names), reader.bad, reader.conflict)


def read_sender(value: str) -> tuple[Mailbox | None, str]:
    """(the one author that a From value names or None, the name that stood there).

    A delegate writes "A on behalf of B": the author is B when B stands there with a name. Two authors without such words, a bad
    address, or a link to another address than the one shown name nobody.
    """
    people = read_people(value)
    if people.conflict or not people.mailboxes:
        return None, people.names[0] if people.names and not people.bad else ""
    first = people.mailboxes[0]
    delegate = _delegate(value)
    if people.bad or (len(people.mailboxes) > 1 and not delegate):
        return None, first.name or ""
    if delegate:
        behind = read_people(delegate)
        if not behind.mailboxes:
            return None, clean_name(delegate)  # the author has a name only, the address is the delegate's
        if behind.mailboxes[0].name:
            return behind.mailboxes[0], behind.mailboxes[0].name
    return first, first.name or ""


def _delegate(value: str) -> str:
    """What stands behind "on behalf of", "im Auftrag von" …; "" when there are no such words."""
    lowered = visible(value).casefold()
    if len(lowered) != len(visible(value)):
        return ""
    for words in table().delegates:
        at = lowered.find(f" {words} ")
        if at >= 0:
            return visible(value)[at + len(words) + 2 :]
    return ""


class _Reader:
    def __init__(self) -> None:
        self.name: list[str] = []
        self.found: list[Mailbox] = []
        self.names: list[str] = []
        self.bad = False
        self.conflict = False
        self.seen: set[str] = set()

    def angle(self, token: str) -> None:
        """`<x>`, `<mailto:x>`, `<x<mailto:x>>`: closes a mailbox."""
        inside = [part for part in re.split(r"[<>]", token) if part.strip()]
        shown = [address for address in (_address(part) for part in inside) if address]
        before = "".join(self.name).strip()
        if not shown:
            if inside and before and _address(before) and "@" not in token:
                return  # an address with some other link behind it
            self.bad = True
            self.name.clear()
            return
        if len({address.lower() for address in shown}) > 1:
            self.conflict = True
        address = shown[0]
        if _linked(inside[0]) and _address(before) not in (None, address):
            # The text of the link is an address, and the link leads elsewhere.
            self.conflict = self.conflict or not before.count(" ")
        if not before and self.found and self.found[-1].address.lower() == address.lower():
            return  # Name<mailto:x> <x>
        self._add(before, address)

    def comma(self, token: str) -> None:
        if token == "," and len(self.name) > MAX_NAME_PARTS:
            self.name.clear()  # no name has so many commas
        text = "".join(self.name).strip()
        if not text:
            self.name.clear()
        elif "@" in text:
            self._bare(text)
        elif token != ",":
            if clean_name(text):
                self.names.append(clean_name(text))
            self.name.clear()
        else:
            self.name.append(", ")  # "Last, First": the comma belongs to the name

    def _bare(self, text: str) -> None:
        address = _address(text)
        if address is not None:
            self._add("", address)
            return
        found = _BARE.search(text)
        address = _address(found.group()) if found else None
        scheme = text[: found.start()].rstrip().lower() if found else ""
        if found is None or address is None or (scheme.endswith(":") and not scheme.endswith("mailto:")):
            self.bad = True
            self.name.clear()
            return
        self._add((text[: found.start()] + " " + text[found.end() :]).strip(" ()[]<>"), address)

    def _add(self, name: str, address: str) -> None:
        self.name.clear()
        if address.lower() in self.seen:
            return
        self.seen.add(address.lower())
        cleaned = clean_name(name)
        if _address(cleaned) is not None and cleaned.lower() == address.lower():
            cleaned = ""
        self.found.append(Mailbox(cleaned or None, address))


def _linked(part: str) -> bool:
    return part.strip()[:7].lower() == "mailto:"


def _address(part: str) -> str | None:
    text = _edges(part.strip(" \t'*"))
    if text[:7].lower() == "mailto:":
        text = text[7:].partition("?")[0]
    address = normalise(text.strip(" \t'"))
    if address is None or "." not in address.rpartition("@")[2]:
        return None  # a name without a dot is a machine, not somebody's mail domain
    return address


def _edges(text: str) -> str:
    """The text without invisible characters at its ends; inside they stay, and make the address a bad one."""
    start, end = 0, len(text)
    while start < end and ord(text[start]) in INVISIBLE:
        start += 1
    while end > start and ord(text[end - 1]) in INVISIBLE:
        end -= 1
    return text[start:end].strip()


def clean_name(name: str) -> str:
    """A display name: one line, no turning or control characters, no quotes around it, of a delegate's two names the second."""
    if not (name.isascii() and name.isprintable()):
        name = "".join(char for char in name.translate(_TURNING) if char.isprintable() or char.isspace())
    name = " ".join(name.split()).strip(" ,;*<>")
    for _ in range(3):
        for pair in _QUOTES:
            if len(name) > 1 and name[0] == pair[0] and name[-1] == pair[1]:
                name = name[1:-1].strip()
                break
        else:
            break
    lowered = name.casefold()
    for words in table().delegates:
        at = lowered.find(f" {words} ")
        if at >= 0:
            name = name[at + len(words) + 2 :].strip()
            break
    return name[:200]
