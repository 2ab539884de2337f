"""Forwards from HCL Notes (Lotus Notes), which sets sender, recipients and subject in columns instead of labelled lines."""

from __future__ import annotations

import re

from core.hookspecs import hookimpl
from core.mail.forward import split_note
from core.mail.forward_dates import read_block_date
from core.mail.forward_lines import from_html, from_text
from core.mail.forward_people import read_people, read_sender
from core.mail.labels import subject_prefix
from core.types import Email, Forward

MAX_LINES = 400  # lines above the block
MAX_BLOCK = 25  # lines of the block

# "----- Forwarded by Bo Seller/Sales/ACME on 05/17/2024 09:40 AM -----" (en, de, fr, es, it, nl)
_SEPARATOR = re.compile(r"-{3,}\s?(?:Forwarded by|Weitergeleitet von|Réacheminé par|Remitido por|Inoltrato da|Doorgestuurd door) .{1,200}-{3,}\s?")
_LABELS = {"to": "to", "an": "to", "pour": "to", "para": "to", "per": "to", "aan": "to", "a": "to"}
_LABELS |= {"cc": "cc", "kopie": "cc", "copie": "cc", "subject": "subject", "thema": "subject", "objet": "subject", "asunto": "subject"}
_LABELS |= {"oggetto": "subject", "onderwerp": "subject"}
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}")


@hookimpl
def read_forward(email: Email) -> Forward | None:
    """The forward below a "Forwarded by" line, when its fields stand in columns; None leaves the mail to the core's reader."""
    if subject_prefix(email.subject)[0] == "reply":
        return None
    if "--" not in (email.text.strip() or email.html):
        return None  # its separator is a line of dashes
    lines = (from_text(email.text) if email.text.strip() else from_html(email.html)).raw
    top = next((i for i, line in enumerate(lines[:MAX_LINES]) if _SEPARATOR.fullmatch(line.strip())), None)
    if top is None:
        return None
    columns = _columns(lines[top + 1 : top + 1 + MAX_BLOCK])
    if columns is None:
        return None
    fields, taken = columns
    sender, name = read_sender(fields["from"])
    note, signature = split_note("\n".join(lines[:top]))
    return Forward(
        unreadable=sender is None,
        client="hcl_notes",
        sender=sender,
        sender_name=name or None if sender is None else None,
        to=read_people(fields.get("to", "")).mailboxes,
        cc=read_people(fields.get("cc", "")).mailboxes,
        subject=fields.get("subject"),
        date=read_block_date(fields.get("date", "")),
        date_raw=fields.get("date") or None,
        note=note,
        signature=signature,
        body="\n".join(lines[top + 1 + taken :]).strip(),
        evidence="text" if email.text.strip() else "html",
    )


def _columns(lines: list[str]) -> tuple[dict[str, str], int] | None:
    """({field: value}, lines taken): a label stands alone at the end of its line, its value in the lines below it.

    The left column holds the sender and below it the date; it ends where the right one begins, four spaces or more.
    """
    fields: dict[str, list[str]] = {"from": [], "date": []}
    label = ""
    taken = 0
    for line in lines:
        left, right = _halves(line)
        word = right.casefold().rstrip(":")
        if word in _LABELS and _LABELS[word] not in fields:
            label = _LABELS[word]
            fields[label] = []
            right = ""
        if left:
            fields["date" if fields["date"] or _DATE.search(left) else "from"].append(left)
        if right:
            if not label:
                if fields["from"]:
                    return None
                continue
            fields[label].append(right)
        taken += 1
        if label == "subject" and fields["subject"] and not line.strip():
            break
    if not fields.get("subject") or not any("@" in part for part in fields["from"]):
        return None
    return {name: _joined(parts) for name, parts in fields.items()}, taken


def _joined(parts: list[str]) -> str:
    """The lines of a column as one value; an address that the column cut in two is whole again."""
    value = ""
    for part in parts:
        value += part if not value or value.rfind("<") > value.rfind(">") else f" {part}"
    return value


def _halves(line: str) -> tuple[str, str]:
    text = line.rstrip()
    if text.strip().casefold().rstrip(":") in _LABELS:
        return "", text.strip()
    inner = text.strip()
    cut = re.search(r" {4,}", inner)
    if cut is not None:
        return inner[: cut.start()], inner[cut.end() :].strip()
    indent = len(text) - len(text.lstrip())
    return ("", inner) if indent > 20 else (inner, "")
