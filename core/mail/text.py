"""What of a mail is shown, indexed and compared as text."""

from __future__ import annotations

import hashlib
import re
import struct

from core.mail.html import html_to_text
from core.types import Email

MAX_INDEXED = 200_000  # bytes in UTF-8

_SIGNATURE = "-- "  # RFC 3676 4.3
_SPACES = re.compile(r"\s+")
# "See the HTML" and its like: texts that stand in place of a body.
_PLACEHOLDER = re.compile(
    r"(?i)(?:see|view|open|display|read|switch|enable|use|support|version|format|anzeigen|ansehen|consult|afficher|ver).{0,80}html"
    r"|html.{0,80}(?:view|version|reader|format|compatible|capable|display|mail|message|anzeigen|ansicht)"
)


def unflow(text: str, delsp: bool = False) -> str:
    """Join the lines of format=flowed text (RFC 3676 4.1): equal quote depth only, stuffing removed, never the signature line."""
    out: list[str] = []
    paragraph: list[str] = []
    depth = 0

    def flush() -> None:
        nonlocal paragraph
        if paragraph:
            out.append((">" * depth + " " if depth else "") + "".join(paragraph))
            paragraph = []

    for line in text.split("\n"):
        content = line.lstrip(">")
        quotes = len(line) - len(content)
        if content.startswith(" "):
            content = content[1:]
        if paragraph and (quotes != depth or content == _SIGNATURE):
            flush()
        depth = quotes
        soft = content.endswith(" ") and content != _SIGNATURE
        paragraph.append(content[:-1] if soft and delsp else content)
        if not soft:
            flush()
    flush()
    return "\n".join(out)


def plain_text(email: Email) -> str:
    """The text part, flowed lines joined."""
    return unflow(email.text, email.flowed == "delsp") if email.flowed else email.text


def shown_text(email: Email) -> str:
    """The text that stands for the mail: its text part, or the text of the HTML when that part is missing or only points to it."""
    if email.html and _says_nothing(email.text):
        found = html_to_text(email.html)
        if found or not email.text.strip():
            return found
    return plain_text(email)


def _says_nothing(text: str) -> bool:
    stripped = text.strip()
    return not stripped or (len(stripped) < 300 and bool(_PLACEHOLDER.search(_SPACES.sub(" ", stripped))))


def snippet(text: str, length: int = 140) -> str:
    """The first words on one line, at most `length` characters, cut between words where that is possible."""
    lines = [line for line in text[: length * 20].split("\n") if not line.startswith(">")]
    flat = _SPACES.sub(" ", " ".join(lines)).strip()
    if not flat:
        flat = _SPACES.sub(" ", text[: length * 20]).strip()
    if len(flat) <= length:
        return flat
    cut = flat[: length - 1]
    space = cut.rfind(" ", length * 2 // 3)
    return (cut[:space] if space > 0 else cut).rstrip() + "…"


def body_hash(email: Email) -> str:
    """sha256 (hex) of what the mail says: texts and attachments, however they were carried.

    Transfer encoding, boundaries, line ends, white space at line ends and empty lines at the end make no difference.
    """
    digest = hashlib.sha256()
    for text in (email.text, email.html):
        data = _canonical(text).encode("utf-8", "replace")
        digest.update(struct.pack(">Q", len(data)))
        digest.update(data)
    for one in sorted(email.attachments, key=lambda attachment: attachment.sha256):
        digest.update(bytes.fromhex(one.sha256))
    return digest.hexdigest()


def _canonical(text: str) -> str:
    return "\n".join(line.rstrip(" \t\xa0") for line in text.split("\n")).strip("\n")


# --- search --------------------------------------------------------------------------------------------------------

_QUOTE_LINE = re.compile(r"[ \t]{0,3}>")
# `On … wrote:` in many languages is: a line that ends in a colon right before quoted lines. Told by place, not by words.
_DIVIDER = re.compile(
    r"[ \t]{0,3}(?:-{2,}[ \t]*(?:original message|original-nachricht|ursprüngliche nachricht|message d'origine|mensaje original"
    r"|messaggio originale|mensagem original|oorspronkelijk bericht|oprindelig meddelelse|originalmeddelande|ursprungligt meddelande"
    r"|opprinnelig melding|alkuperäinen viesti|wiadomość oryginalna|původní zpráva|исходное сообщение|原始邮件|元のメッセージ)[ \t]*-{2,}|_{30,})[ \t]*",
    re.IGNORECASE,
)


def index_text(email: Email) -> str:
    """The new words of the mail for search, at most 200 kB: quoted history is left out. "" when there are none."""
    if email.html and _says_nothing(email.text):
        found = html_to_text(email.html, quotes=False) or html_to_text(email.html)
    else:
        found = without_quotes(plain_text(email)[: MAX_INDEXED * 4])
    data = found.encode("utf-8", "replace")
    return found if len(data) <= MAX_INDEXED else data[:MAX_INDEXED].decode("utf-8", "ignore")


def without_quotes(text: str) -> str:
    """Text without quoted lines, without the line that introduces them, and without what follows an Outlook divider."""
    kept: list[str] = []
    for line in text.split("\n"):
        if _DIVIDER.fullmatch(line[:200]) and any(one.strip() for one in kept):
            break
        if _QUOTE_LINE.match(line):
            _drop_introduction(kept)
            continue
        kept.append(line)
    result = "\n".join(kept).strip()
    return result or text.strip()


def _drop_introduction(kept: list[str]) -> None:
    """`On Monday Bo wrote:` may be folded over two lines; empty lines may stand between it and the quote."""
    last = len(kept) - 1
    while last >= 0 and not kept[last].strip() and len(kept) - last <= 3:
        last -= 1
    if last < 0:
        return
    line = kept[last].rstrip()
    if not line.endswith((":", "：")) or len(line) > 200 or not any(char.isdigit() or char in "@<" for char in line):
        return
    del kept[last:]
