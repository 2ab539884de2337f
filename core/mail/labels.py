"""The words that mail clients write around quoted and forwarded mail: one table, `labels.csv`, beside this file.

A row is `kind,label,language,clients,evidence`. The kinds are

- `from to cc date subject reply_to other`: what stands before the colon of a header line,
- `forward_separator original_separator`: the line above a block; the second is written above replies too,
- `attribution`: "On {date}, {person} wrote:",
- `forward_prefix reply_prefix`: what stands before the colon in a subject,
- `device_signature`: how the line begins that a telephone adds,
- `on_behalf_of`: what stands between the two names of a delegate's From line.

`clients` are names joined by spaces, `evidence` is how we know: `official` (the client's own locale files), `captured` (a mail of that
client), `seen` (a real mail looked at), `pattern` (another program looks for it), `wording` (known from use, no mail kept).
A new language is a new row; `docs/forwards.md` says how, and with which test.
"""

from __future__ import annotations

import csv
import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("labels.csv")
HEADER_KINDS = ("from", "to", "cc", "date", "subject", "reply_to", "other")
KINDS = frozenset(
    (*HEADER_KINDS, "forward_separator", "original_separator", "attribution", "forward_prefix", "reply_prefix", "device_signature", "on_behalf_of")
)
EVIDENCE = frozenset(("official", "captured", "seen", "pattern", "wording"))

# Characters that show nothing: bidi marks, embeddings, overrides and isolates, zero-width spaces and joiners, the BOM, the soft hyphen.
INVISIBLE = dict.fromkeys((0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x206A), 0xFEFF))
DASHES = "-‐‑‒–—―−_=*"
_EDGES = " \t:：፡፦៖՝`´-*_"
OWN_MARKS = ("-", "`", "՝")
_SPACES = re.compile(r"\s+")

Pair = tuple[str, str]  # (client, language)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    kind: str
    label: str
    language: str
    clients: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Separator:
    """What the table knows of the words between two runs of dashes. `exact` maps the whole line, dashes counted, to its writers."""

    forward: bool  # False: written above replies too
    pairs: frozenset[Pair]
    exact: dict[str, frozenset[Pair]]


@dataclass(frozen=True, slots=True)
class Table:
    """The table, indexed for one look-up a line."""

    rows: tuple[Row, ...]
    headers: dict[str, dict[str, frozenset[Pair]]]  # folded label -> kind -> who writes it
    unmarked: frozenset[str]  # folded labels that end with a mark of their own instead of a colon ("-" in Burmese)
    separators: dict[str, Separator]  # folded words -> separator
    spellings: dict[str, dict[str, frozenset[str]]]  # language -> label as written -> kinds, for lines glued together
    prefixes: dict[str, frozenset[str]]  # folded subject prefix -> {"forward", "reply"}
    prefix_languages: dict[str, frozenset[str]]
    devices: tuple[str, ...]
    delegates: tuple[str, ...]
    attributions: tuple[tuple[str, str], ...]  # (template, language)


def visible(text: str) -> str:
    """The text without characters that show nothing, with ordinary spaces."""
    if text.isascii():
        return text
    return text.translate(INVISIBLE).replace("\xa0", " ").replace("\u202f", " ")


@functools.lru_cache(maxsize=8192)
def fold(label: str) -> str:
    """The form in which labels are compared: compatible letters, one case, no marks, no colon, no bold stars."""
    text = unicodedata.normalize("NFKC", label).translate(INVISIBLE).casefold()
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text).strip(_EDGES))


def words(line: str) -> str:
    """The folded words of a separator, without its dashes."""
    return fold(visible(line).strip(" \t" + DASHES))


def read_rows(path: Path = TABLE) -> tuple[Row, ...]:
    """The rows of a table file, in its order. Raises ValueError for an unknown kind or evidence."""
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        for entry in csv.DictReader(file):
            row = Row(entry["kind"], entry["label"], entry["language"], tuple(entry["clients"].split()), tuple(entry["evidence"].split()))
            if row.kind not in KINDS or not row.label or not EVIDENCE.issuperset(row.evidence) or not row.evidence:
                raise ValueError(f"{path.name}: {row} is no valid row")
            rows.append(row)
    return tuple(rows)


def _pairs(row: Row) -> list[Pair]:
    return [(client, row.language) for client in row.clients or ("",)]


def _separators(rows: Iterable[Row]) -> dict[str, Separator]:
    forward: dict[str, bool] = {}
    pairs: dict[str, set[Pair]] = {}
    exact: dict[str, dict[str, set[Pair]]] = {}
    for row in rows:
        core = words(row.label)
        if not core:
            continue  # a bare rule: read by its shape
        forward[core] = forward.get(core, False) or row.kind == "forward_separator"
        pairs.setdefault(core, set()).update(_pairs(row))
        exact.setdefault(core, {}).setdefault(exact_form(row.label), set()).update(_pairs(row))
    return {core: Separator(forward[core], frozenset(pairs[core]), {k: frozenset(v) for k, v in exact[core].items()}) for core in pairs}


def exact_form(line: str) -> str:
    """A separator line with its dashes, for telling clients apart that use the same words."""
    return _SPACES.sub(" ", visible(line)).strip()


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


@functools.cache
def table() -> Table:
    """The table of this installation, read once."""
    rows = read_rows()
    headers: dict[str, dict[str, set[Pair]]] = {}
    spellings: dict[str, dict[str, set[str]]] = {}
    prefixes: dict[str, set[str]] = {}
    prefix_languages: dict[str, set[str]] = {}
    for row in rows:
        if row.kind in HEADER_KINDS:
            headers.setdefault(fold(row.label), {}).setdefault(row.kind, set()).update(_pairs(row))
            spellings.setdefault(row.language, {}).setdefault(visible(row.label).rstrip(" :"), set()).add(row.kind)
        elif row.kind.endswith("_prefix"):
            prefixes.setdefault(fold(row.label), set()).add(row.kind.removesuffix("_prefix"))
            if row.kind == "forward_prefix":
                prefix_languages.setdefault(fold(row.label), set()).add(row.language)
    for key, kinds in list(headers.items()):
        plain = _without_accents(key)
        if len(plain) > 3 and plain not in headers and len(kinds) == 1:
            headers[plain] = kinds  # clients and people lose accents on the way
    of = {kind: [row for row in rows if row.kind == kind] for kind in KINDS}
    return Table(
        rows=rows,
        headers={key: {kind: frozenset(found) for kind, found in kinds.items()} for key, kinds in headers.items()},
        unmarked=frozenset(fold(row.label) for row in rows if row.kind in HEADER_KINDS and row.label.endswith(OWN_MARKS)),
        separators=_separators([*of["forward_separator"], *of["original_separator"]]),
        spellings={language: {k: frozenset(v) for k, v in found.items()} for language, found in spellings.items()},
        prefixes={key: frozenset(found) for key, found in prefixes.items()},
        prefix_languages={key: frozenset(found) for key, found in prefix_languages.items()},
        devices=tuple(sorted({fold(row.label) for row in of["device_signature"]})),
        delegates=tuple(sorted({fold(row.label) for row in of["on_behalf_of"]}, key=len, reverse=True)),
        attributions=tuple((row.label, row.language) for row in of["attribution"]),
    )


# "[EXTERNAL] ", "{ext} ", "(Extern): ", "*** SPAM *** ", "EXTERNAL: "
_TAG = re.compile(r"(?:\[[^\]]*\]|\{[^}]{1,40}\}|\((?=[^\W\d_])[^)]{1,40}\)|\*{2,5} ?[^*]{1,40}? ?\*{2,5})\s*:?\s*|EXT(?:ERNAL?)?\s?:\s*", re.IGNORECASE)


def subject_prefix(subject: str) -> tuple[str, str, frozenset[str]]:
    """How a subject begins: ("forward" | "reply" | "either" | "", the subject without that one prefix, languages of the prefix).

    Tags of gateways before the prefix ("[EXTERNAL] Fw: …", "EXTERNAL: Fw: …") are passed over. "VS:" is a forward in Danish and Norwegian and a
    reply in Finnish, so it is "either".
    """
    text = visible(subject[:2000]).strip()
    for _ in range(4):  # gateways add a tag or two, never many
        tag = _TAG.match(text)
        if tag is None:
            break
        text = text[tag.end() :]
    found = re.match(r"([^\W\d_][^\s:：\[\(]{0,13}(?: \w{1,10}){0,2}?)\s?(?:\[\d{1,3}\]|\(\d{1,3}\))?\s?[:：]", text)
    if found is None:
        return "", text, frozenset()
    key = fold(found.group(1))
    kinds = table().prefixes.get(key, frozenset())
    rest = text[found.end() :].strip()
    if not kinds:
        return "", text, frozenset()
    if len(kinds) == 2:
        return "either", rest, table().prefix_languages[key]
    if "forward" in kinds:
        return "forward", rest, table().prefix_languages[key]
    return "reply", rest, frozenset()


def is_device_signature(line: str) -> bool:
    """True for the line that a telephone or a mail app adds by itself ("Sent from my iPhone")."""
    text = fold(line[:120])
    return bool(text) and text.startswith(table().devices)
