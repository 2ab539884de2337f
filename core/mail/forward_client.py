"""Which client wrote a block, and in which language: read off the labels, the separator, the order of the lines and the HTML.

Many clients look alike by nature (Apple Mail on both systems, Samsung and K-9, Gmail and what copies it): the name is information for
the page, nothing depends on it. Where labels fit several languages the separator and the subject's prefix choose; else it is None.
"""

from __future__ import annotations

import functools
import re
from collections import Counter

from core.mail.forward_block import Block
from core.mail.forward_lines import Lines
from core.mail.labels import Pair, fold, table

_HTML_MARKS = (
    ("gmail_sendername", "gmail"),
    ("gmail_attr", "gmail"),
    ("moz-forward-container", "thunderbird"),
    ("moz-email-headers-table", "thunderbird"),
    ("divrplyfwdmsg", "outlook_com"),
    ("<!-- originalmessage", "samsung_mail"),
    ("background: #f5f5f5", "windows_live_mail"),
    ("border:none;border-top:solid #b5c4df", "outlook_desktop_windows"),
    ("<br type='attribution'>", "google_android"),
    ("ydpyahoo_quoted", "yahoo"),
    ("yahoo_quoted", "yahoo"),
)
_OUTLOOKS = ("outlook_desktop_windows", "outlook_mac_2019_new", "windows_live_mail", "outlook_com", "outlook_web", "outlook_desktop_2013")
_OFFSET = re.compile(r"[+-]\d{4}\s*$")
_HTML_HEAD = 200_000


def name_client(block: Block, lines: Lines, html: str, prefix_languages: frozenset[str]) -> tuple[str | None, str | None]:
    """(client, language) of a block; either is None when several fit equally well."""
    bonus = _bonuses(block, lines, html)
    pairs = block.separator.pairs if block.separator is not None else frozenset()
    client: str | None = _separatorless(block, bonus) if block.separator is None else None
    if block.separator is not None and block.separator.kind == "rule":
        client = "outlook_com" if "_" in lines.text[block.separator.line] else None
    if client is None:
        client = _likeliest(tuple(block.labels), pairs, tuple(sorted(bonus.items())))
    if client == "apple_mail" and block.order[:3] == ["from", "date", "to"]:
        client = "apple_ios"
    return client, _language(tuple(block.labels), pairs, client, prefix_languages)


@functools.lru_cache(maxsize=1024)
def _likeliest(labels: tuple[tuple[str, str], ...], pairs: frozenset[Pair], bonus: tuple[tuple[str, int], ...]) -> str | None:
    """The client whose labels and separator fit best; of several the one that most people use."""
    extra = dict(bonus)
    clients: Counter[str] = Counter()
    for (name, _), score in _label_scores(labels, pairs).items():
        if name:
            clients[name] = max(clients[name], score + extra.get(name, 0))
    if not clients:
        return None
    best = max(clients.values())
    leaders = sorted(name for name, score in clients.items() if score == best)
    common = ("gmail", "thunderbird", "apple_mail", "google_android", "yahoo", "samsung_mail", "k9", *_OUTLOOKS)
    return leaders[0] if len(leaders) == 1 else next((name for name in common if name in leaders), leaders[0])


def name_language(block: Block, prefix_languages: frozenset[str]) -> str | None:
    """The language of a block's labels."""
    return _language(tuple(block.labels), block.separator.pairs if block.separator is not None else frozenset(), None, prefix_languages)


@functools.lru_cache(maxsize=1024)
def label_languages(labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The languages that most of the labels belong to, at most four; one only when it fits better than every other."""
    counts: Counter[str] = Counter()
    for (_, tag), score in _label_scores(labels, frozenset()).items():
        counts[tag] = max(counts[tag], score)
    nearest = sorted(counts, key=lambda tag: (-counts[tag], tag))[:4]
    if len(nearest) > 1 and counts[nearest[0]] > counts[nearest[1]]:
        return (nearest[0],)
    return tuple(nearest)


@functools.lru_cache(maxsize=1024)
def _label_scores(labels: tuple[tuple[str, str], ...], pairs: frozenset[Pair]) -> Counter[Pair]:
    scores: Counter[Pair] = Counter()
    for kind, label in labels:
        scores.update(table().headers[label].get(kind, ()))
    for pair in pairs:
        scores[pair] += 3
    return scores


def _bonuses(block: Block, lines: Lines, html: str) -> Counter[str]:
    bonus: Counter[str] = Counter()
    if html:
        head = html[:_HTML_HEAD].lower()
        for mark, client in _HTML_MARKS:
            if mark in head:
                bonus[client] += 3
                break
    order = [kind for kind in block.order if kind in ("from", "to", "date", "subject")]
    if block.tabbed:
        bonus["thunderbird"] += 2
    if order == ["from", "date", "to", "subject"]:
        bonus["missive"] += 1
        bonus["samsung_mail"] += 1
        bonus["k9"] += 1
    if order == ["from", "date", "subject", "to"]:
        for client in ("gmail", "google_android", "hubspot"):
            bonus[client] += 1
    date = block.values.get("date", "")
    if "(GMT" in date:
        bonus["samsung_mail"] += 2
    if _OFFSET.search(date):
        bonus["hubspot"] += 2
    if block.glued:
        bonus["yahoo"] += 1
    return bonus


def _separatorless(block: Block, bonus: Counter[str]) -> str:
    marked = next((client for client in ("windows_live_mail", "outlook_com", "outlook_desktop_windows") if bonus[client]), None)
    if marked:
        return marked
    if "[mailto:" in block.values.get("from", "").lower():
        return "outlook_desktop_2013"
    return "outlook_mac_2019_new" if dict(block.labels).get("date") in _mac_dates() else "outlook_desktop_windows"


@functools.cache
def _mac_dates() -> frozenset[str]:
    """How Outlook for Mac calls the date, where Outlook for Windows says "Sent"."""
    return frozenset(fold(row.label) for row in table().rows if row.kind == "date" and "outlook_mac_2019_new" in row.clients)


@functools.lru_cache(maxsize=1024)
def _language(labels: tuple[tuple[str, str], ...], pairs: frozenset[Pair], client: str | None, prefix_languages: frozenset[str]) -> str | None:
    scores = _label_scores(labels, pairs)
    family = "apple_mail" if client == "apple_ios" else client
    tags: Counter[str] = Counter()
    for (name, tag), score in scores.items():
        if family is None or name == family:
            tags[tag] = max(tags[tag], score)
    every: Counter[str] = Counter()
    for (_, tag), score in scores.items():
        every[tag] = max(every[tag], score)
    if not tags or (every and max(tags.values()) < max(every.values()) - 3):
        tags = every
    if not tags:
        return None
    best = max(tags.values())
    leaders = sorted(tag for tag, score in tags.items() if score == best)
    if len(leaders) == 1:
        return leaders[0]
    if "en" in leaders:
        return "en"
    bases = {tag.partition("-")[0] for tag in leaders}
    if len(bases) == 1:
        base = bases.pop()
        return base if base in leaders or len(leaders) > 1 else leaders[0]
    hinted = [tag for tag in leaders if tag in prefix_languages]
    if len(hinted) == 1:
        return hinted[0]
    wider = Counter({tag: every[tag] for tag in leaders})
    top = [tag for tag in leaders if wider[tag] == max(wider.values())]
    return top[0] if len(top) == 1 else None
